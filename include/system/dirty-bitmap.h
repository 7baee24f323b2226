/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty bits of RAM blocks, one bitmap per block and client. A client that is
 * off has no bitmap, costs nothing and collects nothing.
 *
 * Memory order, for all functions here: a mark is a relaxed atomic OR of the
 * word that follows the store to guest memory with a release fence between;
 * a take is an atomic AND with acquire order, so that whoever takes a bit and
 * then reads the page sees at least the bytes that the mark told of. A store
 * later than the take marks again. Doubt falls on the dirty side.
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
 * Context: big lock.
 * Errors:  the client is on already; no memory (nothing is changed).
 */
bool dirty_client_start(RAMList *list, DirtyClient client, bool all_ones,
                        GError **error);

/**
 * dirty_client_stop() - drop a client's bitmaps; its bits are forgotten
 * The memory is freed only once no marker can hold the old pointer: markers
 * run under the big lock or in a vCPU thread, so the free is deferred by the
 * implementation (how is said in dirty-bitmap.c). Off already: nothing.
 * Context: big lock.
 */
void dirty_client_stop(RAMList *list, DirtyClient client);

/** dirty_client_is_on() - Context: any thread. */
bool dirty_client_is_on(const RAMList *list, DirtyClient client);

/**
 * dirty_bitmap_mark() - the VMM wrote these pages: mark for all clients on
 * @first, @npages: page index in the block; an empty range is fine
 * Context: any thread, lock-free. Cost: nothing while no client is on.
 */
void dirty_bitmap_mark(RAMList *list, RAMBlock *block, uint64_t first,
                       uint64_t npages);

/**
 * dirty_bitmap_mark_client() - mark for one client only (it must be on)
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
 * dirty_bitmap_next() - first dirty page at or after @from
 * Context: any thread; the answer may be stale at once.
 * Returns: page index, or block->npages if there is none.
 */
uint64_t dirty_bitmap_next(const RAMBlock *block, DirtyClient client,
                           uint64_t from);

/** dirty_bitmap_next_clean() - first page at or after @from that is not dirty;
 *  block->npages if none. Context: any thread. */
uint64_t dirty_bitmap_next_clean(const RAMBlock *block, DirtyClient client,
                                 uint64_t from);

/** dirty_bitmap_test() - is the page dirty for @client? Context: any. */
bool dirty_bitmap_test(const RAMBlock *block, DirtyClient client,
                       uint64_t page);

/** dirty_bitmap_count() - dirty pages of one block. Cost: O(npages/64). */
uint64_t dirty_bitmap_count(const RAMBlock *block, DirtyClient client);

#endif
