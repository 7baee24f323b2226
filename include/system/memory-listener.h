/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the guest-physical memory map and those who have to know
 * about it: accelerators (KVM slots, the software CPU's maps) and tests.
 *
 * All hooks run under the big lock, except log_clear, which the migration
 * thread calls without it; none of them may change the map. A hook that is
 * NULL is skipped. Every section that region_add accepted is given back to
 * region_del once, with the same values; between the two it does not change.
 * While any dirty client is on for a block, and only then, all sections that
 * show it are logged:
 *
 *     clients go 0 -> some:           log_start of every such section
 *     a section appears meanwhile:    region_add, log_start; its pages count
 *                                     as dirty for every client
 *     a section goes away meanwhile:  log_sync, region_del (ends its logging)
 *     clients go some -> 0:           log_stop of every such section
 *
 * No vCPU is in guest mode while region_add, region_del, log_start and
 * log_stop run (memory_map_set_hold()).
 */
#ifndef SYSTEM_MEMORY_LISTENER_H
#define SYSTEM_MEMORY_LISTENER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ramblock.h"

typedef struct MemoryMap MemoryMap;
typedef struct MemoryListener MemoryListener;

/* A window of guest-physical space that shows part of a RAM block. */
typedef struct MemorySection {
    uint64_t gpa;      /* guest-physical address, page aligned */
    uint64_t size;     /* bytes, page aligned, > 0 */
    RAMBlock *block;
    uint64_t offset;   /* bytes into the block, page aligned */
    bool readonly;
} MemorySection;

typedef struct MemoryListenerOps {
    /**
     * A section appeared. If it fails, the hook has left nothing behind, the
     * map's commit fails (at start-up: fatal) and the next commit tries again.
     */
    bool (*region_add)(MemoryListener *l, const MemorySection *s,
                       GError **error);
    /**
     * A section goes away, and its logging with it. Its dirty bits were synced
     * just before, and no vCPU has run since.
     */
    void (*region_del)(MemoryListener *l, const MemorySection *s);
    /** Begin to log writes to the section. On error it is not logged. */
    bool (*log_start)(MemoryListener *l, const MemorySection *s,
                      GError **error);
    /** Nobody wants to know any more; bits not yet fetched are forgotten. */
    void (*log_stop)(MemoryListener *l, const MemorySection *s);
    /**
     * Fetch what the accelerator knows of the section and hand it to
     * dirty_sync_merge() before returning. On error nothing is lost: what was
     * not merged will be reported by the next call.
     */
    bool (*log_sync)(MemoryListener *l, const MemorySection *s,
                     GError **error);
    /**
     * Forget (re-protect) the pages of @s, a part of one known section, as far
     * as earlier log_syncs reported them, and no others. On return later
     * writes are logged again. Not called beside region_add and region_del.
     * Context: any thread, no lock but the map's own reader lock.
     */
    bool (*log_clear)(MemoryListener *l, const MemorySection *s,
                      GError **error);
} MemoryListenerOps;

struct MemoryListener {
    const MemoryListenerOps *ops;
    const char *name; /* for messages and traces; not NULL */
    MemoryMap *map;   /* set while registered; set before the first hook */
};

/**
 * memory_listener_register() - from now on @l hears of the map's changes
 * Replays region_add (and log_start, if clients are on) for what is there.
 * Any number of listeners may be registered; they hear of what appears in the
 * order of registration, of what goes away in the reverse order.
 * Context: big lock.
 * Errors:  a replayed hook failed; what had been replayed is taken back and
 *          @l is not registered.
 */
bool memory_listener_register(MemoryMap *map, MemoryListener *l,
                              GError **error);

/**
 * memory_listener_unregister() - @l is told that everything goes away
 * As if all sections were removed: log_sync if clients are on, region_del. On
 * return no hook of @l runs, not even log_clear. Not registered: nothing.
 * Context: big lock.
 */
void memory_listener_unregister(MemoryListener *l);

/**
 * memory_map_sync_serial() - the number of the sync that is under way
 * For a log_sync that has something to do for all sections at once: it does so
 * when the number is one that it has not seen.
 * Context: big lock, in log_sync.
 */
uint64_t memory_map_sync_serial(const MemoryMap *map);

/**
 * memory_region_clear_dirty_bitmap() - clear pages of a block in every
 * accelerator, through all windows that show them
 * @first, @npages: page index in the block; an empty range is fine
 * Must return before the pages' bits are taken and their bytes are read.
 * Clears only what earlier syncs have reported (see log_clear).
 * Context: any thread, with or without the big lock; waits for a commit of
 *          the map that is under way. Cost: the accelerator's CLEAR calls.
 * Errors:  the first of log_clear; the others are made still. Pages may then
 *          be reported again, none is lost.
 */
bool memory_region_clear_dirty_bitmap(MemoryMap *map, RAMBlock *block,
                                      uint64_t first, uint64_t npages,
                                      GError **error);

/* Which pages of a range were dirty at one moment; the owner's own copy. */
typedef struct DirtySnapshot {
    uint64_t first;        /* page index in the block */
    uint64_t npages;
    uint64_t dirty_pages;  /* number of bits set in words */
    uint64_t words[];      /* bit 0 is page first */
} DirtySnapshot;

/**
 * memory_region_snapshot_and_clear_dirty() - what was written since last time
 * @client: must be on; only its bits are taken, other clients keep theirs
 * @first, @npages: page index in the block
 * For a display that redraws what has changed: syncs the block's sections,
 * clears the range in the accelerators and then takes the client's bits, in
 * that order, so a write during or after the call shows in the next snapshot.
 * Context: big lock. Cost: fetching all of the block's sections.
 * Errors:  no memory; log_sync or log_clear. The client keeps its bits.
 * Returns: a snapshot for dirty_snapshot_free(); NULL on error.
 */
DirtySnapshot *memory_region_snapshot_and_clear_dirty(MemoryMap *map,
                                                      RAMBlock *block,
                                                      DirtyClient client,
                                                      uint64_t first,
                                                      uint64_t npages,
                                                      GError **error);

/** dirty_snapshot_test() - was page @page of the block, which lies in the
 *  snapshot's range, dirty? Context: any thread. */
bool dirty_snapshot_test(const DirtySnapshot *snap, uint64_t page);

/** dirty_snapshot_free() - NULL is fine. Context: its owner. */
void dirty_snapshot_free(DirtySnapshot *snap);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DirtySnapshot, dirty_snapshot_free)

#endif
