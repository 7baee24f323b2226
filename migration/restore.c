/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory from a file with fixed places; see restore.h. This file takes in what
 * the file says; how pages come is the other restore-*.c's.
 */
#include "migration/restore-fault.h"

#include <inttypes.h>

#include "io/channel-kinds.h"
#include "trace/migration.h"
#include "util/bitmap.h"
#include "util/error.h"

static void block_clear(gpointer opaque)
{
    RestoreBlock *rb = opaque;

    g_free(rb->bitmap);
    g_free(rb->there);
}

Restore *restore_new(Channel *file, const RestoreConfig *config)
{
    Restore *r = g_new0(Restore, 1);

    r->config = *config;
    r->config.working_set = r->working_set = g_strdup(config->working_set);
    r->file = channel_ref(file);
    r->blocks = g_array_new(FALSE, FALSE, sizeof(RestoreBlock));
    g_array_set_clear_func(r->blocks, block_clear);
    return r;
}

void restore_free(Restore *r)
{
    if (!r) {
        return;
    }
    restore_fault_free(r->fault);
    page_sums_free(r->held);
    g_free(r->working_set);
    g_array_unref(r->blocks);
    channel_unref(r->file);
    g_free(r);
}

void restore_set_sums(Restore *r, PageSums *sums)
{
    r->sums = sums;
}

bool restore_hold_sums(Restore *r, PageSums *sums, GError **error)
{
    r->held = sums;
    return fault_hold_sums(r->fault, error);
}

/* ---- taking in ------------------------------------------------------- */

static bool check_new(const Restore *r, const RAMBlock *block, GError **error)
{
    for (unsigned i = 0; i < r->blocks->len; i++) {
        if (restore_block(r, i)->block == block) {
            tm_error_set(error, "RAM block '%s' is on the list twice",
                         block->name);
            return false;
        }
    }
    return true;
}

/* Bits of the last word that stand for no page. */
static bool check_tail(const RestoreBlock *rb, GError **error)
{
    uint64_t npages = rb->block->npages;
    unsigned used = npages % BITMAP_WORD_BITS;
    uint64_t last = rb->bitmap[bitmap_words(npages) - 1];

    if (used && last >> used) {
        tm_error_set(error, "the bitmap of RAM block '%s' has bits beyond its "
                     "0x%" PRIx64 " pages", rb->block->name, npages);
        return false;
    }
    return true;
}

/* As long as this machine's block needs it, whatever is in the file. */
static bool read_bitmap(Restore *r, RestoreBlock *rb, GError **error)
{
    struct iovec iov = { .iov_len = bitmap_bytes(rb->block->npages) };

    iov.iov_base = rb->bitmap = bitmap_try_new(rb->block->npages, error);
    if (!rb->bitmap) {
        return false;
    }
    if (!channel_preadv_full(r->file, &iov, 1, rb->places.bitmap, error)) {
        g_prefix_error(error, "cannot read the bitmap of RAM block '%s': ",
                       rb->block->name);
        return false;
    }
    return check_tail(rb, error);
}

bool restore_add_block(Restore *r, Stream *s, RAMBlock *block, GError **error)
{
    RestoreBlock rb = { .block = block };

    if (!check_new(r, block, error) ||
        !channel_file_size(r->file, &r->file_bytes, error) ||
        !mapped_get_header(s, block, r->file_bytes, &rb.places, error)) {
        return false;
    }
    if (!read_bitmap(r, &rb, error)) {
        block_clear(&rb);
        return false;
    }
    rb.sums = r->sums ? page_sums_find(r->sums, block->name) : NULL;
    if (rb.sums) {
        page_sums_count_bitmap(rb.sums, rb.bitmap);
    }
    g_array_append_val(r->blocks, rb);
    return true;
}

/* ---- bringing memory there ------------------------------------------- */

/* Whoever asks for it by name gets it, or an error. */
static bool map_blocks(Restore *r, GError **error)
{
    for (unsigned i = 0; i < r->blocks->len; i++) {
        RestoreBlock *rb = restore_block(r, i);

        if (!restore_check_map(r, rb, error) ||
            !restore_map_block(r, rb, error)) {
            g_prefix_error(error, "parameter 'x-restore-mode': ");
            return false;
        }
    }
    return true;
}

/* Map what can be; the rest is read. */
static void map_some(Restore *r)
{
    for (unsigned i = 0; i < r->blocks->len; i++) {
        RestoreBlock *rb = restore_block(r, i);
        g_autoptr(GError) error = NULL;

        if (!restore_check_map(r, rb, &error) ||
            !restore_map_block(r, rb, &error)) {
            trace_restore_no_map(rb->block->name, error->message);
        }
    }
}

/* What comes when it is touched has not been looked at. */
static void note_unread(Restore *r)
{
    for (unsigned i = 0; i < r->blocks->len; i++) {
        RestoreBlock *rb = restore_block(r, i);

        if (rb->sums) {
            rb->sums->unread = rb->is_there || r->fault;
        }
    }
}

static bool check_mode(const Restore *r, GError **error)
{
    if (r->config.mode == RESTORE_MODE_MAP && r->config.must_check) {
        tm_error_set(error, "parameter 'x-restore-mode': 'map' does not hold "
                     "pages against their checksums, as capability "
                     "'page-checksums' asks for ('x-verify' does)");
        return false;
    }
    return true;
}

static bool by_faults(Restore *r, GError **error)
{
    if (!restore_fault_start(r, error)) {
        g_prefix_error(error, "parameter 'x-restore-mode': ");
        return false;
    }
    return true;
}

static bool bring_memory(Restore *r, GError **error)
{
    RestoreMode mode = r->config.mode;

    if (mode == RESTORE_MODE_AUTO && !r->config.must_check) {
        map_some(r);
    }
    if ((mode == RESTORE_MODE_MAP && !map_blocks(r, error)) ||
        (mode == RESTORE_MODE_FAULT && !by_faults(r, error))) {
        return false;
    }
    note_unread(r);
    return restore_mode_is_late(mode) || restore_read_blocks(r, error);
}

static int64_t now_ns(const Restore *r)
{
    return r->config.clock ? clock_now_ns(r->config.clock) : 0;
}

bool restore_memory(Restore *r, GError **error)
{
    int64_t begin_ns = now_ns(r);
    bool ok;

    /* By then others may use the memory, or be bringing it. */
    if (r->has_begun) {
        tm_error_set(error, "memory has been restored from the file already");
        return false;
    }
    r->has_begun = true;
    ok = check_mode(r, error) && bring_memory(r, error);
    r->memory_ns = now_ns(r) - begin_ns;
    restore_note_faults(&r->faults_before);
    /* Pairs with restore_query(). */
    __atomic_store_n(&r->is_done, ok, __ATOMIC_RELEASE);
    return ok;
}

bool restore_is_lazy(const Restore *r)
{
    return r->fault;
}

void restore_fetch(Restore *r)
{
    restore_fault_fetch(r->fault);
}

bool restore_needs_file(const Restore *r)
{
    if (r->fault) {
        return !__atomic_load_n(&r->fault->stats.end_ns, __ATOMIC_SEQ_CST);
    }
    for (unsigned i = 0; i < r->blocks->len; i++) {
        if (restore_block(r, i)->shows_file) {
            return true;
        }
    }
    return false;
}

bool restore_check_unused(const Restore *r, GError **error)
{
    if (r->config.direct_io || r->config.mode != RESTORE_MODE_AUTO) {
        tm_error_set(error, "parameter '%s' needs a stream with capability "
                     "'mapped-ram'", r->config.direct_io ? "direct-io"
                                                         : "x-restore-mode");
        return false;
    }
    return true;
}
