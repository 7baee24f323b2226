/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty bits of RAM blocks, one bitmap per block and client. A client is on
 * for all blocks (migration, dirty rate) or for some (the display, for the
 * block that it shows). Where it is off it collects nothing and costs nothing
 * but address space.
 *
 * Memory order, for all functions here. A mark follows the store to guest
 * memory with a full fence between, then is one atomic OR (release) per word;
 * a take is one atomic AND (acquire). So whoever takes a bit and then reads
 * the page sees at least the bytes that the mark told of, and a store later
 * than the take marks again. The fence is full because a mark first asks which
 * clients are on: either it sees a client that just comes on, or that client,
 * which begins to read pages only later, sees the bytes. It pairs with
 * dirty_client_start(). Doubt falls on the dirty side.
 *
 * Life of a bitmap. It is mapped when its client is started for the first
 * time and stays mapped until ram_list_done(); one bit per page, 32 KiB per
 * GiB of RAM and client. Stopping a client switches its bit in
 * RAMBlock.clients off and gives the pages back to the kernel, which leaves
 * address space that reads as zeros. So a marker that asked before and comes
 * late never meets freed memory: its bit falls into a bitmap that nobody
 * reads, or, if the client was started again meanwhile, is one bit too many.
 */
#ifndef SYSTEM_DIRTY_BITMAP_H
#define SYSTEM_DIRTY_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ramblock.h"

/**
 * dirty_client_start() - give a client bitmaps for all blocks
 * @all_ones: begin with every page dirty (migration), else with none
 * Does not start logging in the accelerators: dirty_log_start() of
 * dirty-sync.h does both in the right order.
 * Context: big lock. Cost: with @all_ones, O(npages/64).
 * Errors:  the client is on already; no memory (nothing is changed).
 */
bool dirty_client_start(RAMList *list, DirtyClient client, bool all_ones,
                        GError **error);

/**
 * dirty_client_start_block() - the same for one block, with no page dirty
 * Context: big lock. Errors: on already for @block; no memory.
 */
bool dirty_client_start_block(RAMList *list, DirtyClient client,
                              RAMBlock *block, GError **error);

/**
 * dirty_client_stop() - forget a client's bits and give their memory back
 * Whatever blocks it is on for; off already: nothing. Safe beside markers on
 * any thread, see above; a taker finds nothing from then on.
 * Context: big lock.
 */
void dirty_client_stop(RAMList *list, DirtyClient client);

/** dirty_client_stop_block() - the same for one block. Context: big lock. */
void dirty_client_stop_block(RAMList *list, DirtyClient client,
                             RAMBlock *block);

/** dirty_client_is_on() - is the client started, for any block?
 *  dirty_block_clients() - bit per client that is on for the block.
 *  Context: any thread. */
bool dirty_client_is_on(const RAMList *list, DirtyClient client);
uint32_t dirty_block_clients(const RAMBlock *block);

/**
 * dirty_bitmap_mark() - the VMM wrote these pages: mark for all clients on
 * @first, @npages: page index in the block; an empty range is fine
 * To be called after the bytes were written; has the fence they need.
 * Context: any thread, lock-free. Cost: one fence while no client is on.
 */
void dirty_bitmap_mark(RAMList *list, RAMBlock *block, uint64_t first,
                       uint64_t npages);

/**
 * dirty_bitmap_mark_client() - mark for one client only (it must be on)
 * @first, @npages: page index in the block; an empty range is fine
 * Used to give back pages that were taken and could not be sent.
 * Context: any thread, lock-free.
 */
void dirty_bitmap_mark_client(RAMBlock *block, DirtyClient client,
                              uint64_t first, uint64_t npages);

/**
 * dirty_bitmap_or_words() - merge bits fetched from an accelerator
 * @first:  page index in the block of bit 0 of @words; any alignment
 * @words:  little-endian bit order, @npages bits; bits beyond are ignored
 * @ret_new: bits newly set per client (added to), or NULL
 * Context: any thread, lock-free.
 * Returns: number of bits set in @words.
 */
uint64_t dirty_bitmap_or_words(RAMList *list, RAMBlock *block, uint64_t first,
                               const uint64_t *words, uint64_t npages,
                               uint64_t ret_new[DIRTY_CLIENT_MAX]);

/**
 * dirty_bitmap_take() - test and clear one page's bit
 * The caller reads the page only after this returned true, and after the
 * kernel's bit was cleared: clear, then take, then read, then send.
 * Context: any thread, lock-free; the client must be on.
 * Returns: whether the bit was set.
 */
bool dirty_bitmap_take(RAMBlock *block, DirtyClient client, uint64_t page);

/**
 * dirty_bitmap_take_range() - move a range of bits out of the bitmap
 * @first, @npages: page index in the block
 * @ret_words: bitmap_words(@npages) words, overwritten; bit 0 is page @first,
 *             bits from @npages on are zero
 * Order as in dirty_bitmap_take(); bits outside of the range stay.
 * Context: any thread, lock-free; the client must be on.
 * Returns: number of bits that were set.
 */
uint64_t dirty_bitmap_take_range(RAMBlock *block, DirtyClient client,
                                 uint64_t first, uint64_t npages,
                                 uint64_t *ret_words);

/**
 * dirty_bitmap_next() - first dirty page at or after @from
 * Context: any thread; the answer may be stale at once.
 * Returns: page index, or block->npages if there is none.
 */
uint64_t dirty_bitmap_next(const RAMBlock *block, DirtyClient client,
                           uint64_t from);

/**
 * dirty_bitmap_next_clean() - first page at or after @from that is not dirty
 * @end: up to the block's end; it and what follows is not looked at, so that
 *       who wants a piece of a long run does not pay for all of it
 * Context: any thread; the answer may be stale at once.
 * Cost:    O((@end - @from)/64).
 * Returns: page index, or @end if there is none before.
 */
uint64_t dirty_bitmap_next_clean(const RAMBlock *block, DirtyClient client,
                                 uint64_t from, uint64_t end);

/** dirty_bitmap_test() - is the page dirty for @client? Context: any. */
bool dirty_bitmap_test(const RAMBlock *block, DirtyClient client,
                       uint64_t page);

/** dirty_bitmap_count() - dirty pages of one block; beside markers a moment's
 *  estimate. Context: any thread. Cost: O(npages/64). */
uint64_t dirty_bitmap_count(const RAMBlock *block, DirtyClient client);

/**
 * dirty_balance_get() - the counters of one bitmap
 * Context: any thread; each counter by itself is exact, together they agree
 * only while nobody marks or takes. All zero without debug checks.
 */
void dirty_balance_get(const RAMBlock *block, DirtyClient client,
                       DirtyBalance *ret);

/**
 * dirty_balance_check() - does the balance hold?
 *     fetched + marked = fresh + already
 *     initial + fresh  = taken + bits that are set now
 * A marker or taker at work in the same moment makes the question moot, and
 * the answer is yes. Without debug checks the answer is always yes.
 * Context: any thread. Cost: O(npages/64).
 * Errors:  it does not; the words give the numbers.
 */
bool dirty_balance_check(const RAMBlock *block, DirtyClient client,
                         GError **error);

#endif
