/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunked clearing of the dirty log; see clear-bmap.h.
 */
#include "migration/clear-bmap.h"

#include "trace/migration.h"
#include "util/bitmap.h"

unsigned clear_bmap_shift(unsigned asked, uint64_t npages)
{
    unsigned whole = CLEAR_BMAP_SHIFT_MIN;

    while (whole < CLEAR_BMAP_SHIFT_MAX && (npages - 1) >> whole) {
        whole++;
    }
    return CLAMP(asked, CLEAR_BMAP_SHIFT_MIN, whole);
}

bool clear_bmap_init(ClearBmap *cb, uint64_t npages, unsigned shift,
                     GError **error)
{
    *cb = (ClearBmap){0};
    shift = clear_bmap_shift(shift, npages);
    cb->nchunks = ((npages - 1) >> shift) + 1;
    cb->armed = bitmap_try_new(cb->nchunks, error);
    if (!cb->armed) {
        cb->nchunks = 0;
        return false;
    }
    cb->npages = npages;
    cb->shift = shift;
    return true;
}

void clear_bmap_done(ClearBmap *cb)
{
    g_free(cb->armed);
    *cb = (ClearBmap){0};
}

void clear_bmap_arm(ClearBmap *cb)
{
    bitmap_set(cb->armed, 0, cb->nchunks);
}

static bool clear_chunk(ClearBmap *cb, MemoryMap *map, RAMBlock *block,
                        uint64_t chunk, GError **error)
{
    uint64_t first = chunk << cb->shift;
    uint64_t npages = MIN(UINT64_C(1) << cb->shift, cb->npages - first);

    trace_migration_bitmap_clear_dirty(block->name, first, npages);
    return memory_region_clear_dirty_bitmap(map, block, first, npages, error);
}

bool clear_bmap_before_read(ClearBmap *cb, MemoryMap *map, RAMBlock *block,
                            uint64_t first, uint64_t npages, uint64_t *clears,
                            GError **error)
{
    uint64_t chunk = first >> cb->shift;
    uint64_t last = (first + npages - 1) >> cb->shift;

    g_assert(npages > 0 && first + npages <= cb->npages);
    for (; chunk <= last; chunk++) {
        if (!bitmap_test_bit(cb->armed, chunk)) {
            continue;
        }
        if (!clear_chunk(cb, map, block, chunk, error)) {
            return false;
        }
        bitmap_clear_bit(cb->armed, chunk);
        (*clears)++;
    }
    return true;
}
