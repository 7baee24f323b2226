/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by mapping the file over guest memory: nothing is read before it is
 * touched, by then the kernel does it, and what is only read is one copy for
 * all guests of the same file.
 *
 *   file      |####..##......................##.####|     . : a hole
 *   bitmap    |####..##......................##.####|
 *   memory    |==mapped=|      anonymous      |==mapped=|
 *                   ^ a small gap: reads as zeros, unless there is something
 *                     in the file after all, which is cleared then
 *
 * A gap that is worth it stays anonymous memory, which may be of huge pages;
 * how large that is, is such that there are not too many mappings.
 */
#include "migration/restore-internal.h"

#include <errno.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "system/guest-access.h"
#include "util/bitmap.h"
#include "util/error.h"

/* Gaps of zeros from this many pages on are not mapped: 2 MiB, or what makes
 * for no more than so many pieces of a block. With the gaps between them that
 * is twice as many mappings (Linux lets a process have 65530 in all). */
#define GAP_PAGES 512
#define PIECES_MAX 4096

bool restore_check_map(const Restore *r, const RestoreBlock *rb,
                       GError **error)
{
    if (r->config.direct_io) {
        tm_error_set(error, "a mapping cannot pass by the page cache, as "
                     "parameter 'direct-io' asks for");
        return false;
    }
    if (!hostmem_check_map(rb->block->mem, error)) {
        g_prefix_error(error, "RAM block '%s' cannot be mapped: ",
                       rb->block->name);
        return false;
    }
    return true;
}

bool restore_next_piece(const RestoreBlock *rb, uint64_t from,
                        uint64_t *ret_first, uint64_t *ret_end)
{
    uint64_t npages = rb->block->npages;
    uint64_t gap = MAX(GAP_PAGES, npages / PIECES_MAX);
    uint64_t n, next, end;

    *ret_first = bitmap_find_next_run(rb->bitmap, npages, from, &n);
    end = *ret_first + n;
    while (n && (next = bitmap_find_next_run(rb->bitmap, npages, end, &n)) <
                    npages && next - end < gap) {
        end = next + n;
    }
    *ret_end = end;
    return *ret_first < npages;
}

/* First byte from @place on that the file has something at; @end: none before
 * that. A file system that cannot tell has something everywhere. */
static uint64_t next_data(const Restore *r, uint64_t place, uint64_t end)
{
    off_t at = lseek(channel_file_fd(r->file), place, SEEK_DATA);

    if (at < 0) {
        return errno == ENXIO ? end : place;
    }
    return MIN((uint64_t)at, end);
}

/*
 * Pages of zeros that are mapped, and not holes: somebody wrote them and did
 * not give the room back. One question to the file for each gap, or for each
 * piece of data in them, whichever are fewer.
 */
static void clear_gaps(const Restore *r, const RestoreBlock *rb,
                       uint64_t page, uint64_t end)
{
    uint64_t pages = rb->places.pages;
    uint64_t data;

    while ((page = bitmap_find_next_zero(rb->bitmap, end, page)) < end) {
        data = next_data(r, pages + (page << TM_PAGE_BITS),
                         pages + (end << TM_PAGE_BITS));
        if (data >= pages + ((page + 1) << TM_PAGE_BITS)) {
            page = (data - pages) >> TM_PAGE_BITS;
        } else {
            guest_load_page(rb->block, page++, NULL);
        }
    }
}

static bool map_pieces(Restore *r, RestoreBlock *rb, GError **error)
{
    HostMem *mem = rb->block->mem;
    int fd = channel_file_fd(r->file);
    uint64_t first, end = 0;

    while (restore_next_piece(rb, end, &first, &end)) {
        uint64_t offset = first << TM_PAGE_BITS;

        if (!hostmem_map_file(mem, offset, (end - first) << TM_PAGE_BITS, fd,
                              rb->places.pages + offset, error)) {
            return false;
        }
        clear_gaps(r, rb, first, end);
    }
    return true;
}

/* Pieces of the file that were left would come back in place of zeros when the
 * rest of the block is discarded, and would need the file. */
bool restore_map_block(Restore *r, RestoreBlock *rb, GError **error)
{
    HostMem *mem = rb->block->mem;

    if (!hostmem_make_anonymous(mem, error)) {
        return false;
    }
    rb->is_there = map_pieces(r, rb, error);
    if (!rb->is_there) {
        hostmem_make_anonymous(mem, NULL);
    }
    rb->shows_file = mem->shows_file;
    return rb->is_there;
}
