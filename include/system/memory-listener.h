/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the guest-physical memory map and those who have to know
 * about it: accelerators (KVM slots, the software CPU's maps) and tests.
 *
 * All hooks run under the big lock, except log_clear, which the migration
 * thread calls without it. A hook that is NULL is skipped. add/del come in
 * pairs with identical sections, between memory_map_begin() and _commit().
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
    /** A section appeared. Errors fail the map's commit (start-up: fatal). */
    bool (*region_add)(MemoryListener *l, const MemorySection *s,
                       GError **error);
    /** A section goes away; its dirty bits were synced just before. */
    void (*region_del)(MemoryListener *l, const MemorySection *s);
    /** First client came on: begin to log writes to the section. */
    bool (*log_start)(MemoryListener *l, const MemorySection *s,
                      GError **error);
    /** Last client went off. */
    void (*log_stop)(MemoryListener *l, const MemorySection *s);
    /**
     * Fetch what the accelerator knows of the section and hand it to
     * dirty_sync_merge() before returning. On error nothing is lost: what was
     * not merged will be reported by the next call.
     */
    bool (*log_sync)(MemoryListener *l, const MemorySection *s,
                     GError **error);
    /**
     * Forget (re-protect) the pages of @s, a part of a known section, as far
     * as earlier log_syncs reported them. On return later writes are logged
     * again. Context: any thread, no lock.
     */
    bool (*log_clear)(MemoryListener *l, const MemorySection *s,
                      GError **error);
} MemoryListenerOps;

struct MemoryListener {
    const MemoryListenerOps *ops;
    const char *name;
    MemoryMap *map;  /* set while registered */
};

/**
 * memory_listener_register() - from now on @l hears of the map's changes
 * Replays region_add (and log_start, if clients are on) for what is there.
 * Context: big lock.
 * Errors:  a replayed hook failed; @l is then not registered.
 */
bool memory_listener_register(MemoryMap *map, MemoryListener *l,
                              GError **error);

/** memory_listener_unregister() - replays log_stop and region_del.
 *  Context: big lock. */
void memory_listener_unregister(MemoryListener *l);

/**
 * memory_region_clear_dirty_bitmap() - clear pages of a block in every
 * accelerator, through all windows that show them
 * @first, @npages: page index in the block
 * Must return before the pages' bits are taken and their bytes are read.
 * Clears only what earlier syncs have reported (see log_clear).
 * Context: any thread, no lock held. Cost: the accelerator's CLEAR calls.
 * Errors:  those of log_clear; pages may then be reported again, none is lost.
 */
bool memory_region_clear_dirty_bitmap(MemoryMap *map, RAMBlock *block,
                                      uint64_t first, uint64_t npages,
                                      GError **error);

#endif
