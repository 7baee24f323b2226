/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing of working sets; see restore-set.h.
 */
#include "migration/restore-set.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "util/bitmap.h"
#include "util/byteorder.h"
#include "util/error.h"

#define MAGIC "TMwrkset"
#define MAGIC_BYTES 8
#define HEAD_BYTES 24
#define RUN_BYTES 16
#define SUM_BYTES 8
#define SIZE_MAX_BYTES (64u << 20)

static uint64_t hash_numbers(uint64_t a, uint64_t b, uint64_t seed)
{
    uint8_t bytes[16];

    store_be64(bytes, a);
    store_be64(bytes + 8, b);
    return XXH3_64bits_withSeed(bytes, sizeof(bytes), seed);
}

static uint64_t identity(const Restore *r)
{
    uint64_t hash = hash_numbers(r->file_bytes, r->blocks->len, 0);

    for (unsigned i = 0; i < r->blocks->len; i++) {
        const RestoreBlock *rb = restore_block(r, i);

        hash = hash_numbers(rb->block->npages, rb->places.pages, hash);
        hash = XXH3_64bits_withSeed(rb->block->name, strlen(rb->block->name),
                                    hash);
        hash = XXH3_64bits_withSeed(rb->bitmap,
                                    bitmap_bytes(rb->block->npages), hash);
    }
    return hash;
}

/* ---- reading --------------------------------------------------------- */

static bool read_all(int fd, uint8_t *data, size_t n)
{
    size_t done = 0;
    ssize_t got = 1;

    while (done < n && got) {
        got = pread(fd, data + done, n - done, done);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        done += MAX(got, 0);
    }
    return done == n;
}

static GByteArray *read_file(int fd, const char *path, GError **error)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    struct stat st;

    if (fstat(fd, &st) < 0) {
        tm_error_set_errno(error, errno, "cannot look at '%s'", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)SIZE_MAX_BYTES) {
        tm_error_set(error, "'%s' is no working set: it is %s", path,
                     S_ISREG(st.st_mode) ? "too large" : "no regular file");
        return NULL;
    }
    g_byte_array_set_size(data, st.st_size);
    if (!read_all(fd, data->data, data->len)) {
        tm_error_set(error, "cannot read '%s'", path);
        return NULL;
    }
    if (data->len && (data->len < MAGIC_BYTES ||
                      memcmp(data->data, MAGIC, MAGIC_BYTES))) {
        tm_error_set(error, "'%s' is no working set, and is not written over",
                     path);
        return NULL;
    }
    return g_steal_pointer(&data);
}

/* Returns: false if the run is of no pages of this machine. */
static bool get_run(const Restore *r, const uint8_t *at, WorkingRun *ret)
{
    uint64_t npages;

    ret->index = load_be32(at);
    ret->n = load_be32(at + 4);
    ret->first = load_be64(at + 8);
    if (ret->index >= r->blocks->len) {
        return false;
    }
    npages = restore_block(r, ret->index)->block->npages;
    return ret->n && ret->first < npages && ret->n <= npages - ret->first;
}

/* Returns: NULL, or what is wrong with it. */
static const char *parse(const Restore *r, const GByteArray *data, GArray *runs)
{
    uint64_t n, pages = restore_normal_pages(r) + restore_zero_pages(r);

    if (data->len < HEAD_BYTES + SUM_BYTES) {
        return "it is cut";
    }
    n = load_be64(data->data + 16);
    if (n != (data->len - HEAD_BYTES - SUM_BYTES) / RUN_BYTES ||
        (data->len - HEAD_BYTES - SUM_BYTES) % RUN_BYTES ||
        load_be64(data->data + data->len - SUM_BYTES) !=
            XXH3_64bits(data->data, data->len - SUM_BYTES)) {
        return "it is damaged";
    }
    if (load_be64(data->data + MAGIC_BYTES) != identity(r)) {
        return "it is of another file";
    }
    for (uint64_t i = 0; i < n; i++) {
        WorkingRun run;

        if (!get_run(r, data->data + HEAD_BYTES + i * RUN_BYTES, &run) ||
            run.n > pages) {
            g_array_set_size(runs, 0);
            return "it has pages that the machine has not";
        }
        pages -= run.n; /* each is in it once */
        g_array_append_val(runs, run);
    }
    return NULL;
}

GArray *working_set_load(const Restore *r, const char *path, char **ret_words,
                         GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    g_autoptr(GByteArray) data = NULL;
    const char *why;

    *ret_words = NULL;
    if (fd < 0 && errno == ENOENT) {
        return g_steal_pointer(&runs);
    }
    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s'", path);
        return NULL;
    }
    data = read_file(fd, path, error);
    close(fd);
    if (!data) {
        return NULL;
    }
    why = parse(r, data, runs);
    if (why) {
        *ret_words = g_strdup_printf("the working set '%s' is not used: %s",
                                     path, why);
    }
    return g_steal_pointer(&runs);
}

/* ---- writing --------------------------------------------------------- */

/* The pages of @run that were in none before it. */
static void add_new(GArray *runs, uint64_t *seen, const WorkingRun *run)
{
    uint64_t end = run->first + run->n, first, next;

    for (first = run->first; first < end; first = next) {
        first = bitmap_find_next_zero(seen, end, first);
        next = bitmap_find_next_set(seen, end, first);
        if (next > first) {
            WorkingRun part = { run->index, first, next - first };

            g_array_append_val(runs, part);
        }
    }
    bitmap_set(seen, run->first, run->n);
}

static void add_all_new(GArray *runs, uint64_t **seen, const GArray *more)
{
    for (unsigned i = 0; i < more->len; i++) {
        const WorkingRun *run = &g_array_index(more, WorkingRun, i);

        add_new(runs, seen[run->index], run);
    }
}

GArray *working_set_merge(const Restore *r, const GArray *missed,
                          const GArray *known, GError **error)
{
    unsigned n = r->blocks->len;
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    g_autoptr(GPtrArray) seen = g_ptr_array_new_full(n, g_free);

    for (unsigned i = 0; i < n; i++) {
        uint64_t npages = restore_block(r, i)->block->npages;
        uint64_t *map = bitmap_try_new(npages, error);

        if (!map) {
            return NULL;
        }
        g_ptr_array_add(seen, map);
    }
    add_all_new(runs, (uint64_t **)seen->pdata, missed);
    add_all_new(runs, (uint64_t **)seen->pdata, known);
    return g_steal_pointer(&runs);
}

static void put64(GByteArray *data, uint64_t value)
{
    uint8_t bytes[8];

    store_be64(bytes, value);
    g_byte_array_append(data, bytes, sizeof(bytes));
}

bool working_set_save(const Restore *r, const char *path, const GArray *runs,
                      GError **error)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    unsigned n = MIN(runs->len, (SIZE_MAX_BYTES - HEAD_BYTES - SUM_BYTES) /
                     RUN_BYTES);

    g_byte_array_append(data, (const uint8_t *)MAGIC, MAGIC_BYTES);
    put64(data, identity(r));
    put64(data, n);
    for (unsigned i = 0; i < n; i++) {
        const WorkingRun *run = &g_array_index(runs, WorkingRun, i);

        put64(data, (uint64_t)run->index << 32 | run->n);
        put64(data, run->first);
    }
    put64(data, XXH3_64bits(data->data, data->len));
    if (!g_file_set_contents_full(path, (const char *)data->data, data->len,
                                  G_FILE_SET_CONTENTS_CONSISTENT |
                                  G_FILE_SET_CONTENTS_DURABLE, 0600, error)) {
        g_prefix_error(error, "cannot write the working set '%s': ", path);
        return false;
    }
    return true;
}
