/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode dirty-bitmap: one more client of the dirty log.
 *
 *     log on, sync   what was dirty before, and with a log that begins all
 *                    set: everything
 *     clear, take    in pieces, all of it; from here on writes are noted
 *     wait
 *     sync, count
 *     log off
 *
 * A piece is watched from the moment of its clear on. With pieces of one size
 * cleared one after the other, the time that they are watched on average
 * begins in the middle of that loop: so does the period.
 *
 * Other clients keep their bits: what this one clears was merged into theirs
 * by the sync before, and who reads pages clears them first (ram.c).
 */
#include "migration/dirtyrate-internal.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "util/bitmap.h"

/* Of one clear: 128 MiB, so that neither a vCPU that faults nor the end of
 * the program waits for long. */
#define PIECE_PAGES UINT64_C(32768)

bool dirty_rate_log_begin(DirtyRate *r, GError **error)
{
    return dirty_log_start(r->vm->map, DIRTY_CLIENT_RATE, false, error);
}

bool dirty_rate_log_sync(DirtyRate *r, GError **error)
{
    bool ok;

    big_lock();
    ok = dirty_sync_round(r->vm->map, error);
    big_unlock();
    return ok;
}

/* Clear, then take, as whoever reads pages does it. */
static bool forget_piece(DirtyRate *r, RAMBlock *block, uint64_t first,
                         uint64_t npages, GError **error)
{
    uint64_t words[PIECE_PAGES / BITMAP_WORD_BITS];

    if (!memory_region_clear_dirty_bitmap(r->vm->map, block, first, npages,
                                          error)) {
        return false;
    }
    dirty_bitmap_take_range(block, DIRTY_CLIENT_RATE, first, npages, words);
    return true;
}

static bool forget_block(DirtyRate *r, RAMBlock *block, GError **error)
{
    for (uint64_t first = 0; first < block->npages; first += PIECE_PAGES) {
        uint64_t npages = MIN(PIECE_PAGES, block->npages - first);

        if (!dirty_rate_go_on(r, error) ||
            !forget_piece(r, block, first, npages, error)) {
            return false;
        }
    }
    return true;
}

bool dirty_rate_log_forget(DirtyRate *r, GError **error)
{
    for (guint i = 0; i < r->vm->ram.blocks->len; i++) {
        if (!forget_block(r, g_ptr_array_index(r->vm->ram.blocks, i), error)) {
            return false;
        }
    }
    return true;
}

static uint64_t count_all(const DirtyRate *r)
{
    uint64_t n = 0;

    for (guint i = 0; i < r->vm->ram.blocks->len; i++) {
        n += dirty_bitmap_count(g_ptr_array_index(r->vm->ram.blocks, i),
                                DIRTY_CLIENT_RATE);
    }
    return n;
}

static bool measure(DirtyRate *r, DirtyRateResult *ret, GError **error)
{
    int64_t from_ns, to_ns;

    if (!dirty_rate_log_sync(r, error)) {
        return false;
    }
    from_ns = clock_now_ns(r->clock);
    if (!dirty_rate_log_forget(r, error)) {
        return false;
    }
    to_ns = clock_now_ns(r->clock);
    if (!dirty_rate_wait(r, to_ns + r->wait_ns, error) ||
        !dirty_rate_log_sync(r, error)) {
        return false;
    }
    ret->period_ns = clock_now_ns(r->clock) - (from_ns + to_ns) / 2;
    ret->pages = count_all(r);
    return true;
}

bool dirty_rate_log_measure(DirtyRate *r, DirtyRateResult *ret, GError **error)
{
    bool ok = measure(r, ret, error);

    big_lock();
    dirty_log_stop(r->vm->map, DIRTY_CLIENT_RATE);
    big_unlock();
    return ok;
}
