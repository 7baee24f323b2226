/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor over dirty pages; see page-search.h.
 */
#include "migration/page-search.h"

#include "trace/migration.h"

void page_search_init(PageSearch *search, const GPtrArray *blocks,
                      DirtyClient client)
{
    *search = (PageSearch){.blocks = blocks, .client = client};
}

/* From the cursor to the end of its block. */
static bool search_block(PageSearch *search, RAMBlock *block,
                         uint64_t max_pages, PageRun *ret_run)
{
    uint64_t first = dirty_bitmap_next(block, search->client, search->page);
    uint64_t end;

    if (first >= block->npages) {
        return false;
    }
    /* A run may be the whole block, and is looked at once per piece. */
    end = dirty_bitmap_next_clean(block, search->client, first + 1,
                                  MIN(block->npages - first, max_pages) +
                                  first);
    *ret_run = (PageRun){
        .block = block,
        .index = search->index,
        .first = first,
        .npages = end - first,
    };
    search->page = first + ret_run->npages;
    trace_page_pick(block->name, first, ret_run->npages);
    return true;
}

bool page_search_next(PageSearch *search, uint64_t max_pages,
                      PageRun *ret_run)
{
    unsigned n = search->blocks->len;

    /* n + 1 blocks: the first one again, for what lies before the cursor. */
    for (unsigned tried = 0; n > 0 && tried <= n; tried++) {
        RAMBlock *block = g_ptr_array_index(search->blocks, search->index);

        if (search_block(search, block, max_pages, ret_run)) {
            return true;
        }
        search->index = (search->index + 1) % n;
        search->page = 0;
    }
    search->index = 0;
    return false;
}
