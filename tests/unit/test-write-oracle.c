/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle of writes that the dirty log is held against must itself be
 * right: it tells just the pages that were written, each once, by this thread,
 * by others and by system calls, in every kind of memory that guests have.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kvm/write-oracle.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define HUGE (UINT64_C(2) << 20)
#define NPAGES UINT64_C(2051)     /* odd, and not all of a huge page */
#define BYTES (5 * HUGE)
#define WORDS (NPAGES / 64 + 1)
#define THREADS 3
#define STORES 5000

typedef struct Kind {
    const char *name;
    bool shared, huge, populated;
} Kind;

static const Kind kinds[] = {
    { "anonymous", .populated = true },
    { "holes" },
    { "thp", .huge = true, .populated = true },
    { "memfd", .shared = true, .populated = true },
    { "memfd-holes", .shared = true },
};

typedef struct Memory {
    uint8_t *map, *at;
    int fd;
    WriteOracle *oracle;
} Memory;

static bool map_memory(Memory *m, const Kind *k)
{
    const char *why;
    int r;

    m->fd = -1;
    if (k->shared) {
        m->fd = memfd_create("write-oracle", MFD_CLOEXEC);
        r = ftruncate(m->fd, BYTES);
        g_assert_cmpint(r, ==, 0);
    }
    m->map = mmap(NULL, BYTES + HUGE, PROT_READ | PROT_WRITE, k->shared ?
                  MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, m->fd, 0);
    g_assert_true(m->map != MAP_FAILED);
    m->at = (uint8_t *)(((uintptr_t)m->map + HUGE - 1) & -HUGE);
    if (k->shared) {
        m->at = m->map; /* the file ends where the rounding up would begin */
    }
    madvise(m->at, BYTES, k->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    if (k->populated) {
        memset(m->at, 1, BYTES);
    }
    m->oracle = write_oracle_new(m->at, NPAGES, &why);
    if (!m->oracle) {
        g_test_skip(why);
    }
    return m->oracle;
}

static void unmap_memory(Memory *m)
{
    if (m->oracle) {
        write_oracle_free(m->oracle);
    }
    munmap(m->map, BYTES + HUGE);
    if (m->fd >= 0) {
        close(m->fd);
    }
}

static void store(Memory *m, uint64_t page, uint64_t value)
{
    __atomic_store_n((uint64_t *)(m->at + page * PAGE + 8), value,
                     __ATOMIC_RELAXED);
}

static void check_words(const uint64_t *got, const uint64_t *want)
{
    for (unsigned i = 0; i < WORDS; i++) {
        g_assert_cmphex(got[i], ==, want[i]);
    }
}

/* Round after round a random set of pages, of all sizes from none to all. */
static void test_exact(gconstpointer data)
{
    uint64_t words[WORDS], want[WORDS];
    Memory m;

    if (map_memory(&m, data)) {
        for (unsigned round = 0; round < 30; round++) {
            uint64_t n = 0;

            memset(want, 0, sizeof(want));
            for (uint64_t p = 0; p < NPAGES; p++) {
                if (g_test_rand_int_range(0, 30) < (int)round) {
                    store(&m, p, round);
                    bitmap_set_bit(want, p);
                    n++;
                }
            }
            g_assert_cmpuint(write_oracle_take(m.oracle, words), ==, n);
            check_words(words, want);
        }
    }
    unmap_memory(&m);
}

/* Reads are nobody's business, and do not end the watch over a page. */
static void test_reads(gconstpointer data)
{
    uint64_t words[WORDS], want[WORDS] = { 0 }, sum = 0;
    Memory m;

    if (map_memory(&m, data)) {
        for (uint64_t p = 0; p < NPAGES; p++) {
            sum += *(volatile uint8_t *)(m.at + p * PAGE);
        }
        g_assert_cmpuint(write_oracle_take(m.oracle, words), ==, 0);
        store(&m, 65, sum);
        bitmap_set_bit(want, 65);
        g_assert_cmpuint(write_oracle_take(m.oracle, words), ==, 1);
        check_words(words, want);
    }
    unmap_memory(&m);
}

/* The kernel writes too, as it does for a vCPU or for a read(2) of a disk. */
static void test_system_call(gconstpointer data)
{
    uint64_t words[WORDS], want[WORDS] = { 0 };
    int fds[2];
    Memory m;

    if (map_memory(&m, data)) {
        g_assert_cmpint(pipe(fds), ==, 0);
        g_assert_cmpint(write(fds[1], "12345678", 8), ==, 8);
        g_assert_cmpint(read(fds[0], m.at + 130 * PAGE - 4, 8), ==, 8);
        close(fds[0]);
        close(fds[1]);
        bitmap_set(want, 129, 2);
        g_assert_cmpuint(write_oracle_take(m.oracle, words), ==, 2);
        check_words(words, want);
    }
    unmap_memory(&m);
}

typedef struct Writer {
    Memory *m;
    GRand *rand;
    uint64_t last[NPAGES];    /* number of the store to each page */
    uint64_t sum[WORDS];      /* pages stored to */
} Writer;

static gpointer run_writer(gpointer opaque)
{
    Writer *w = opaque;

    for (unsigned i = 1; i <= STORES; i++) {
        uint64_t page = g_rand_int(w->rand) % (NPAGES / 2);

        store(w->m, page, i);
        bitmap_set_bit(w->sum, page);
    }
    return NULL;
}

/*
 * Threads store while it is asked all the time. What was told is read after:
 * once they are done and it has been asked once more, no page holds anything
 * that was not read, and no page was told that nobody has written.
 */
static void take_and_read(Memory *m, uint64_t *copy, uint64_t *sum)
{
    uint64_t words[WORDS];

    write_oracle_take(m->oracle, words);
    for (uint64_t p = 0; p < NPAGES; p++) {
        if (bitmap_test_bit(words, p)) {
            copy[p] = __atomic_load_n((uint64_t *)(m->at + p * PAGE + 8),
                                      __ATOMIC_RELAXED);
        }
    }
    bitmap_or_into(sum, words, NPAGES);
}

static void test_threads(gconstpointer data)
{
    g_autofree Writer *writers = g_new0(Writer, THREADS);
    g_autofree uint64_t *copy = g_new0(uint64_t, NPAGES);
    uint64_t sum[WORDS] = { 0 }, want[WORDS] = { 0 };
    GThread *threads[THREADS];
    Memory m;

    if (map_memory(&m, data)) {
        for (uint64_t p = 0; p < NPAGES; p++) {
            copy[p] = *(uint64_t *)(m.at + p * PAGE + 8);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            writers[i].m = &m;
            writers[i].rand = g_rand_new_with_seed(g_test_rand_int());
            threads[i] = g_thread_new("writer", run_writer, &writers[i]);
        }
        for (unsigned i = 0; i < 50; i++) {
            take_and_read(&m, copy, sum);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            g_thread_join(threads[i]);
            g_rand_free(writers[i].rand);
            bitmap_or_into(want, writers[i].sum, NPAGES);
        }
        take_and_read(&m, copy, sum);
        check_words(sum, want);
        for (uint64_t p = 0; p < NPAGES; p++) {
            g_assert_cmphex(*(uint64_t *)(m.at + p * PAGE + 8), ==, copy[p]);
        }
    }
    unmap_memory(&m);
}

static void add(const char *name, GTestDataFunc run)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/write-oracle/%s/%s", name,
                                                kinds[i].name);

        g_test_add_data_func(path, &kinds[i], run);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("take/exact", test_exact);
    add("take/no-reads", test_reads);
    add("take/system-call", test_system_call);
    add("take/threads", test_threads);
    return g_test_run();
}
