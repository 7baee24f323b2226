/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 3 of the data's way: choose the next run of dirty pages. A cursor goes
 * through the blocks in their order and through each block upwards, and comes
 * round to the first page again; what it passes and what becomes dirty behind
 * it is found on the next way round.
 */
#ifndef MIGRATION_PAGE_SEARCH_H
#define MIGRATION_PAGE_SEARCH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/dirty-bitmap.h"
#include "system/ramblock.h"

/* Pages that belong together: neighbours of one block. */
typedef struct PageRun {
    RAMBlock *block;
    unsigned index;   /* of the block among those searched */
    uint64_t first;   /* page in the block */
    uint64_t npages;  /* > 0 */
} PageRun;

typedef struct PageSearch {
    const GPtrArray *blocks; /* of RAMBlock * */
    DirtyClient client;
    unsigned index;          /* the cursor: block ... */
    uint64_t page;           /* ... and page in it */
} PageSearch;

/** page_search_init() - the cursor stands at the first page
 *  @blocks: of RAMBlock *; stays the caller's, and as it is */
void page_search_init(PageSearch *search, const GPtrArray *blocks,
                      DirtyClient client);

/**
 * page_search_next() - the next run of pages that are dirty for the client
 * @max_pages: at most as many, > 0
 * The bits are only looked at; more may be set at any time, and only the
 * caller takes them. The cursor moves behind the run, or back to the first
 * page if there was none.
 * Context: one thread; lock-free.
 * Cost: O(words looked at), a whole way round if nothing is dirty.
 * Returns: false if nothing was dirty anywhere on a whole way round.
 */
bool page_search_next(PageSearch *search, uint64_t max_pages,
                      PageRun *ret_run);

#endif
