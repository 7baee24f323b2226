/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One sync round: every listener fetches what its accelerator knows and
 * merges it into the bitmaps of every client that is on. Also the switch that
 * starts and stops logging, which acts on the listeners only when a block's
 * set of clients goes from none to some and back.
 */
#ifndef SYSTEM_DIRTY_SYNC_H
#define SYSTEM_DIRTY_SYNC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-map.h"

/* Since the migration client was started last, or, while it is not on, since
 * logging began; read with dirty_sync_stats(). */
typedef struct DirtySyncStats {
    uint64_t rounds;
    uint64_t fetched_pages;  /* bits reported by accelerators */
    uint64_t new_pages;      /* of these, newly set for the migration client */
    uint64_t last_new_pages; /* from the end of the last round but one to
                                that of the last; accelerators may report
                                between rounds */
    uint64_t time_ns;        /* in all rounds */
    uint64_t last_time_ns;
} DirtySyncStats;

/**
 * dirty_log_start() - a client comes on for all blocks
 * Bitmaps first (all ones for migration), then the listeners' log_start for
 * blocks that no client was on for: no write can fall between. A client that
 * joins others and begins with nothing dirty is first told of what is already
 * logged (a sync), or the others' clears would take writes back that it never
 * heard of.
 * Context: big lock, which it may drop while vCPUs leave guest mode.
 * Errors:  client on already, no memory, a listener refused; all undone.
 */
bool dirty_log_start(MemoryMap *map, DirtyClient client, bool all_ones,
                     GError **error);

/**
 * dirty_log_start_block() - a client comes on for one block, with none of its
 * pages dirty
 * For the display, which shows one block: the others are not logged for it.
 * Context, Errors: as dirty_log_start().
 */
bool dirty_log_start_block(MemoryMap *map, DirtyClient client,
                           RAMBlock *block, GError **error);

/**
 * dirty_log_stop() - a client goes off and its bits are forgotten
 * The listeners' log_stop follows for blocks that it was the last one on.
 * Off already: nothing.
 * Context: big lock, which it may drop while vCPUs leave guest mode; not in
 *          the blackout of a migration (it costs a change of every memory
 *          slot).
 */
void dirty_log_stop(MemoryMap *map, DirtyClient client);

/** dirty_log_stop_block() - the same for one block. Context: as there. */
void dirty_log_stop_block(MemoryMap *map, DirtyClient client,
                          RAMBlock *block);

/**
 * dirty_sync_round() - fetch and merge everything, once
 * Complete only if no vCPU is in guest mode: the last round of a migration
 * comes after all of them have left it.
 * While no client is on there is nothing to fetch. Builds with debug checks
 * assert the balance of every bitmap.
 * Context: big lock.
 * Errors:  the first of a listener's log_sync, the others are called still;
 *          what was not merged comes again.
 */
bool dirty_sync_round(MemoryMap *map, GError **error);

/**
 * dirty_sync_merge() - called by log_sync hooks with what they fetched
 * @s:     the section, or a part of it that begins at bit 0 of @words
 * @words: one bit per page of @s; bits beyond are ignored; the caller's own
 * @by_client: a counter per client, to which the pages that were new for it
 *         are added (atomic, relaxed): whose stores they were is then known;
 *         or NULL
 * The bits stand in the bitmap of every client that is on when this returns:
 * only then may the accelerator be told to forget them.
 * Context: any thread, any listener lock may be held; meant for log_sync,
 *          region_del and accelerators that hear of writes at any time.
 */
void dirty_sync_merge(MemoryMap *map, const MemorySection *s,
                      const uint64_t *words,
                      uint64_t by_client[DIRTY_CLIENT_MAX]);

/** dirty_sync_stats() - a copy; beside a round its numbers need not agree.
 *  Context: any thread. */
void dirty_sync_stats(MemoryMap *map, DirtySyncStats *ret);

/* CLEAR calls of the accelerators; what query-migrate shows of them. */
typedef struct DirtyClearStats {
    uint64_t calls;      /* into the kernel */
    uint64_t pages;      /* bits that were set in these calls */
    uint64_t span_pages; /* sum of the calls' lengths */
    uint64_t time_ns;
} DirtyClearStats;

/** dirty_clear_account() - called by listeners that cleared.
 *  Context: any thread. */
void dirty_clear_account(MemoryMap *map, const DirtyClearStats *add);

/** dirty_clear_stats() - since the map was made; a copy. Context: any. */
void dirty_clear_stats(MemoryMap *map, DirtyClearStats *ret);

#endif
