/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by reading everything before the guest runs. A disk, and the copy
 * out of the page cache even more, is faster when several threads ask: each
 * takes the next piece of a run of pages that are in the file, and reads it
 * straight into guest memory.
 */
#include "migration/restore-internal.h"

#include "io/channel-kinds.h"
#include "system/guest-access.h"
#include "util/bitmap.h"
#include "util/error.h"
#include "util/thread.h"

#define READ_THREADS_MAX 4
/* What one thread reads at once: 2 MiB. */
#define PIECE_PAGES 512

typedef struct Reader {
    Restore *r;
    Channel *from;
    GMutex lock;           /* guards the rest */
    unsigned index;        /* of the block that is under way ... */
    uint64_t page;         /* ... and the next page of it */
    GError *error;         /* the first */
} Reader;

typedef struct Piece {
    const RestoreBlock *rb;
    uint64_t first;
    uint64_t npages;
} Piece;

static bool find_piece(const RestoreBlock *rb, uint64_t from, Piece *ret)
{
    if (rb->is_there) {
        return false;
    }
    ret->rb = rb;
    ret->first = bitmap_find_next_run(rb->bitmap, rb->block->npages, from,
                                      &ret->npages);
    ret->npages = MIN(ret->npages, PIECE_PAGES);
    return ret->npages > 0;
}

static bool next_piece(Reader *reader, Piece *ret)
{
    bool found = false;

    g_mutex_lock(&reader->lock);
    while (!reader->error && !found && reader->index < reader->r->blocks->len) {
        found = find_piece(restore_block(reader->r, reader->index),
                           reader->page, ret);
        if (found) {
            reader->page = ret->first + ret->npages;
        } else {
            reader->index++;
            reader->page = 0;
        }
    }
    g_mutex_unlock(&reader->lock);
    return found;
}

static void note_error(Reader *reader, const Piece *piece, GError *error)
{
    g_prefix_error(&error, "cannot read pages of RAM block '%s': ",
                   piece->rb->block->name);
    g_mutex_lock(&reader->lock);
    if (reader->error) {
        g_error_free(error);
    } else {
        reader->error = error;
    }
    g_mutex_unlock(&reader->lock);
}

/* Whoever has read it knows it best. */
static void note_piece(const Piece *piece)
{
    if (piece->rb->sums) {
        page_sums_note_range(piece->rb->sums, piece->rb->block->host,
                             piece->first, piece->npages);
    }
}

static gpointer read_pieces(gpointer opaque)
{
    Reader *reader = opaque;
    Piece piece;

    while (next_piece(reader, &piece)) {
        struct iovec iov = {
            guest_load_place(piece.rb->block, piece.first, piece.npages),
            piece.npages << TM_PAGE_BITS,
        };
        GError *error = NULL;

        if (channel_is_shut(reader->r->file)) {
            channel_shutdown(reader->from); /* it may be another one */
        }
        if (!channel_preadv_full(reader->from, &iov, 1,
                                 piece.rb->places.pages +
                                     (piece.first << TM_PAGE_BITS), &error)) {
            note_error(reader, &piece, error);
        } else {
            note_piece(&piece);
        }
    }
    return NULL;
}

static void note_zeros(const RestoreBlock *rb)
{
    uint64_t page = 0, npages = rb->block->npages;

    while ((page = bitmap_find_next_zero(rb->bitmap, npages, page)) < npages) {
        page_sums_note(rb->sums, page++, NULL);
    }
}

/* Make what is not in the file zero: all at once where that can be. */
static void clear_block(const RestoreBlock *rb)
{
    uint64_t page = 0, npages = rb->block->npages;

    if (rb->sums) {
        note_zeros(rb);
    }
    if (hostmem_discard(rb->block->mem)) {
        return;
    }
    while ((page = bitmap_find_next_zero(rb->bitmap, npages, page)) < npages) {
        guest_load_page(rb->block, page++, NULL);
    }
}

static void run_threads(Reader *reader)
{
    unsigned n = MIN(g_get_num_processors(), READ_THREADS_MAX);
    GThread *threads[READ_THREADS_MAX];

    for (unsigned i = 1; i < n; i++) { /* or as many as there are */
        threads[i] = thread_new("restore", read_pieces, reader, NULL);
    }
    read_pieces(reader);
    for (unsigned i = 1; i < n; i++) {
        if (threads[i]) {
            g_thread_join(threads[i]);
        }
    }
}

Channel *restore_open_source(Restore *r, GError **error)
{
    Channel *direct;

    if (!r->config.direct_io) {
        return channel_ref(r->file);
    }
    direct = channel_file_open_direct(r->file, false, r->config.fdsets, error);
    if (!direct) {
        g_prefix_error(error, "parameter 'direct-io': ");
    }
    return direct;
}

bool restore_read_blocks(Restore *r, GError **error)
{
    g_autoptr(Channel) from = restore_open_source(r, error);
    Reader reader = { .r = r, .from = from };

    if (!from) {
        return false;
    }
    for (unsigned i = 0; i < r->blocks->len; i++) {
        if (!restore_block(r, i)->is_there) {
            clear_block(restore_block(r, i));
        }
    }
    g_mutex_init(&reader.lock);
    run_threads(&reader);
    g_mutex_clear(&reader.lock);
    if (reader.error) {
        g_propagate_error(error, reader.error);
        return false;
    }
    for (unsigned i = 0; i < r->blocks->len; i++) {
        RestoreBlock *rb = restore_block(r, i);

        if (!rb->is_there) {
            rb->is_there = true;
            r->read_bytes += bitmap_count(rb->bitmap, 0, rb->block->npages)
                << TM_PAGE_BITS;
        }
    }
    return true;
}
