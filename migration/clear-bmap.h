/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which chunks of a RAM block still have to be cleared in the accelerator
 * before their pages may be read: one bit per chunk. Hop 4 of the data's way.
 *
 * Every sync arms all chunks (what it merged is still set in the kernel);
 * the sender disarms a chunk when it is about to read the first of its pages:
 *
 *    sync        page 5          page 6    page 300          sync
 *    1 1 1 1     clear chunk 0   -         clear chunk 4     1 1 1 1
 *                0 1 1 1 1                 0 1 1 1 0
 *
 * So the kernel's mmu lock is held for one chunk at a time, memory that was
 * not dirty is never re-protected, and a chunk is cleared at most once a
 * round. Forgetting to arm is safe but makes the next syncs useless; clearing
 * after the read would lose pages.
 *
 * Used by the migration thread only; no lock.
 */
#ifndef MIGRATION_CLEAR_BMAP_H
#define MIGRATION_CLEAR_BMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-listener.h"

/* A chunk is never smaller than a word of the kernel's bitmap. */
#define CLEAR_BMAP_SHIFT_MIN 6
#define CLEAR_BMAP_SHIFT_MAX 63
#define CLEAR_BMAP_SHIFT_DEFAULT 18 /* 1 GiB */

typedef struct ClearBmap {
    uint64_t *armed;   /* one bit per chunk */
    uint64_t nchunks;
    uint64_t npages;   /* of the block */
    unsigned shift;    /* log2 of the pages of a chunk */
} ClearBmap;

/**
 * clear_bmap_shift() - the shift that is used when @asked was asked for
 * At least CLEAR_BMAP_SHIFT_MIN; no larger than one chunk for the whole block
 * takes. Pure.
 */
unsigned clear_bmap_shift(unsigned asked, uint64_t npages);

/** clear_bmap_init() - for a block of @npages pages; nothing is armed.
 *  Errors: no memory; @cb is then all zero. */
bool clear_bmap_init(ClearBmap *cb, uint64_t npages, unsigned shift,
                     GError **error);

/** clear_bmap_done() - free; an all-zero @cb is fine. */
void clear_bmap_done(ClearBmap *cb);

/** clear_bmap_arm() - a sync has merged into this block. */
void clear_bmap_arm(ClearBmap *cb);

/**
 * clear_bmap_before_read() - clear every armed chunk that holds one of these
 * pages
 * Comes before their dirty bits are taken, and so before they are read.
 * @clears: counts chunks cleared (added to)
 * Errors: the accelerator's; the chunk stays armed, no page is lost.
 */
bool clear_bmap_before_read(ClearBmap *cb, MemoryMap *map, RAMBlock *block,
                            uint64_t first, uint64_t npages, uint64_t *clears,
                            GError **error);

#endif
