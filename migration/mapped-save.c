/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages to their places in a file; see mapped-save.h. One run is open at a
 * time: neighbouring pages that are to be written, or neighbouring places that
 * are to be given back. Whatever does not continue it closes it, so nothing
 * overtakes anything.
 */
#include "migration/mapped-save.h"

#include <string.h>

#include "io/channel-kinds.h"
#include "migration/mapped-layout.h"
#include "trace/migration.h"
#include "util/bitmap.h"
#include "util/error.h"
#include "util/iov.h"

/* 1 MiB at once: more does not make a disk faster. */
#define RUN_PAGES 256

typedef struct MappedBlock {
    const RAMBlock *block;
    MappedPlaces places;
    uint64_t *bitmap;        /* see mapped-layout.h */
} MappedBlock;

struct MappedSave {
    Channel *file;
    Channel *direct;         /* for pages; or NULL */
    uint8_t *bounce;         /* a run, aligned; if there is @direct */
    Stream *s;
    GArray *blocks;          /* of MappedBlock */
    bool can_punch;          /* until the file system says no */
    /* The open run; npages 0: none. */
    const MappedBlock *of;
    uint64_t first;
    uint64_t npages;
    unsigned n_iov;          /* 0: of zeros, to be given back */
    struct iovec iov[RUN_PAGES];
};

static void close_run(MappedSave *ms);

static void on_flush(void *opaque, Stream *s)
{
    close_run(opaque);
}

static void block_clear(gpointer opaque)
{
    g_free(((MappedBlock *)opaque)->bitmap);
}

MappedSave *mapped_save_new(Channel *file, Channel *direct, Stream *s)
{
    MappedSave *ms = g_new0(MappedSave, 1);

    ms->file = channel_ref(file);
    if (direct) {
        ms->direct = channel_ref(direct);
        ms->bounce = g_aligned_alloc(RUN_PAGES, TM_PAGE_BYTES, TM_PAGE_BYTES);
    }
    ms->s = s;
    ms->blocks = g_array_new(FALSE, FALSE, sizeof(MappedBlock));
    g_array_set_clear_func(ms->blocks, block_clear);
    ms->can_punch = true;
    stream_set_flush_hook(s, on_flush, ms);
    return ms;
}

void mapped_save_free(MappedSave *ms)
{
    if (!ms) {
        return;
    }
    stream_set_flush_hook(ms->s, NULL, NULL);
    g_array_unref(ms->blocks);
    g_aligned_free(ms->bounce);
    channel_unref(ms->direct);
    channel_unref(ms->file);
    g_free(ms);
}

bool mapped_save_put_header(MappedSave *ms, const RAMBlock *block,
                            GError **error)
{
    MappedBlock one = { .block = block };

    one.bitmap = bitmap_try_new(block->npages, error);
    if (!one.bitmap) {
        return false;
    }
    one.places = mapped_put_header(ms->s, block);
    g_array_append_val(ms->blocks, one);
    return true;
}

/* ---- runs ------------------------------------------------------------ */

static void write_at(MappedSave *ms, Channel *to, const struct iovec *iov,
                     unsigned n_iov, uint64_t place)
{
    GError *error = NULL;

    if (stream_error(ms->s)) {
        return;
    }
    if (!channel_pwritev_full(to, iov, n_iov, place, &error)) {
        stream_set_error(ms->s, error);
    }
}

/* Guest memory always is; copies of it are as they were made. */
static bool is_aligned(const MappedSave *ms)
{
    for (unsigned i = 0; i < ms->n_iov; i++) {
        if ((uintptr_t)ms->iov[i].iov_base % TM_PAGE_BYTES) {
            return false;
        }
    }
    return true;
}

/* Who cancels shuts down the stream's channel, and does not know the other. */
static void write_direct(MappedSave *ms, uint64_t bytes, uint64_t place)
{
    struct iovec all = { ms->bounce, bytes };

    if (channel_is_shut(ms->file)) {
        channel_shutdown(ms->direct);
    }
    if (is_aligned(ms)) {
        write_at(ms, ms->direct, ms->iov, ms->n_iov, place);
    } else {
        iov_to_buf(ms->iov, ms->n_iov, 0, ms->bounce, bytes);
        write_at(ms, ms->direct, &all, 1, place);
    }
}

/* Room that cannot be given back stays in use, and is never read. */
static void punch_at(MappedSave *ms, uint64_t place, uint64_t bytes)
{
    ms->can_punch = ms->can_punch && channel_file_punch(ms->file, place, bytes);
}

static void close_run(MappedSave *ms)
{
    uint64_t place, bytes = ms->npages << TM_PAGE_BITS;

    if (!ms->npages) {
        return;
    }
    place = ms->of->places.pages + (ms->first << TM_PAGE_BITS);
    if (ms->n_iov && ms->direct) {
        write_direct(ms, bytes, place);
    } else if (ms->n_iov) {
        write_at(ms, ms->file, ms->iov, ms->n_iov, place);
    } else {
        punch_at(ms, place, bytes);
    }
    trace_mapped_save_run(ms->of->block->name, ms->first, ms->npages,
                          ms->n_iov ? "write" : "punch");
    ms->npages = 0;
    ms->n_iov = 0;
}

static bool continues(const MappedSave *ms, const MappedBlock *of,
                      uint64_t page, bool data)
{
    return ms->npages && ms->of == of && page == ms->first + ms->npages &&
           data == (ms->n_iov > 0) && (!data || ms->npages < RUN_PAGES);
}

static void add_data(MappedSave *ms, const uint8_t *data)
{
    struct iovec *last = ms->n_iov ? &ms->iov[ms->n_iov - 1] : NULL;

    if (last && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += TM_PAGE_BYTES;
    } else {
        ms->iov[ms->n_iov++] = (struct iovec){ (void *)data, TM_PAGE_BYTES };
    }
}

static void add_page(MappedSave *ms, const MappedBlock *of, uint64_t page,
                     const uint8_t *data)
{
    if (!continues(ms, of, page, data)) {
        close_run(ms);
        ms->of = of;
        ms->first = page;
    }
    if (data) {
        add_data(ms, data);
    }
    ms->npages++;
}

/* ---- pages ----------------------------------------------------------- */

static const MappedBlock *find_block(const MappedSave *ms,
                                     const RAMBlock *block)
{
    for (unsigned i = 0; i < ms->blocks->len; i++) {
        const MappedBlock *one = &g_array_index(ms->blocks, MappedBlock, i);

        if (one->block == block) {
            return one;
        }
    }
    g_assert_not_reached(); /* START has put every block's header */
}

void mapped_save_put_page(MappedSave *ms, const RAMBlock *block, uint64_t page,
                          const uint8_t *data)
{
    const MappedBlock *of = find_block(ms, block);

    if (data) {
        bitmap_set_bit(of->bitmap, page);
        add_page(ms, of, page, data);
        stream_add_bytes(ms->s, TM_PAGE_BYTES);
    } else if (bitmap_test_bit(of->bitmap, page)) {
        bitmap_clear_bit(of->bitmap, page);
        add_page(ms, of, page, NULL);
    }
}

const uint64_t *mapped_save_bitmap(const MappedSave *ms, const char *block)
{
    for (unsigned i = 0; i < ms->blocks->len; i++) {
        const MappedBlock *one = &g_array_index(ms->blocks, MappedBlock, i);

        if (!strcmp(one->block->name, block)) {
            return one->bitmap;
        }
    }
    return NULL;
}

void mapped_save_finish(MappedSave *ms)
{
    stream_flush(ms->s);
    for (unsigned i = 0; i < ms->blocks->len; i++) {
        const MappedBlock *one = &g_array_index(ms->blocks, MappedBlock, i);
        struct iovec iov = { one->bitmap, bitmap_bytes(one->block->npages) };

        write_at(ms, ms->file, &iov, 1, one->places.bitmap);
        stream_add_bytes(ms->s, iov.iov_len);
    }
}
