/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door for the VMM's own access to guest memory. Every write marks
 * the pages it touched, after the bytes are there; guest_load_page() and who
 * asks guest_load_place() are the only writers that do not mark, because the
 * incoming side of a migration brings memory to the state its dirty bits
 * describe.
 */
#ifndef SYSTEM_GUEST_ACCESS_H
#define SYSTEM_GUEST_ACCESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-map.h"

/**
 * guest_read(), guest_write(), guest_memset() - by guest-physical address
 * A range may span windows of several blocks. 1, 2, 4 or 8 bytes at an address
 * of their own alignment are one single access; longer ranges have no order
 * within. Bytes written are marked dirty for every client, page by page.
 * Context: any thread, lock-free against vCPUs; may race with them as DMA does.
 * Returns: the number of bytes accessed from the start, = @len on success;
 *          less where the range meets a hole, I/O or (writes) read-only RAM;
 *          0 when memory is lost (ram_list_lose()).
 */
uint64_t guest_read(MemoryMap *map, uint64_t gpa, void *buf, uint64_t len);
uint64_t guest_write(MemoryMap *map, uint64_t gpa, const void *buf,
                     uint64_t len);
uint64_t guest_memset(MemoryMap *map, uint64_t gpa, uint8_t value,
                      uint64_t len);

/**
 * guest_load_page() - the incoming side's writer; does not mark
 * @page: index in the block, < npages
 * @data: 4096 bytes, or NULL for a page of zeros (which is then written only
 *        if the page is not zero already, so that holes of anonymous memory
 *        stay holes)
 * Context: a loading thread, one per page at a time; the guest does not run.
 */
void guest_load_page(RAMBlock *block, uint64_t page, const void *data);

/**
 * guest_load_place() - where the incoming side reads pages straight into
 * memory; does not mark
 * Context: as guest_load_page(), all of the run.
 * Returns: room for @npages pages.
 */
void *guest_load_place(RAMBlock *block, uint64_t first, uint64_t npages);

#endif
