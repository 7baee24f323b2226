/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the memory map: what its files share, nobody else.
 *
 * The map is kept twice. The *plan* is two arrays of what was asked for, which
 * add and del change at once under the big lock. The *view* is what is visible
 * of it: sorted, RAM already cut where I/O hides it, and never changed once
 * it is built; the outermost commit makes a new one. A reader takes a
 * reference to the view of the moment and needs no lock while it uses it, not
 * even if a write through it blocks for long (a page fault in a background
 * snapshot); the last reference frees it.
 *
 * Locks, from outside in:
 *   big lock      the plan, the views' making, the listeners' list, all hooks
 *                 but log_clear
 *   clear_lock    writer: a commit while it tells the listeners, register and
 *                 unregister. Reader: memory_region_clear_dirty_bitmap(). So
 *                 no log_clear runs on a section that is just going away.
 *   view_lock     the pointer to the view, for the length of "load, count one
 *                 up"; nothing is called with it held.
 */
#ifndef SYSTEM_MEMORY_MAP_INT_H
#define SYSTEM_MEMORY_MAP_INT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/dirty-sync.h"
#include "system/memory-listener.h"
#include "system/memory-map.h"

/* A RAM window as asked for. */
typedef struct RamWindow {
    unsigned id;
    MemorySection section;
} RamWindow;

/* A device's region as asked for. */
typedef struct IoRegion {
    unsigned id;
    IoSpace space;
    uint64_t base;
    uint64_t size;
    const IoRegionOps *ops;
    void *opaque;
    char *name; /* owned by the plan; not valid in views */
} IoRegion;

typedef struct MemoryView {
    gint refs;                /* atomic */
    GArray *sections;         /* of MemorySection, by gpa, disjoint */
    GArray *io[2];            /* of IoRegion, per IoSpace, by base, disjoint */
} MemoryView;

/* A listener and what it was told: the base of the next differences. */
typedef struct ListenerEntry {
    MemoryListener *listener;
    GArray *known;            /* of MemorySection, by gpa */
} ListenerEntry;

struct MemoryMap {
    RAMList *ram;
    unsigned depth;           /* of begin without commit; big lock */
    unsigned next_id;         /* big lock */
    bool changed;             /* plan and listeners differ; big lock */
    GArray *windows;          /* the plan: RamWindow; big lock */
    GArray *regions;          /* the plan: IoRegion; big lock */
    void (*hold)(void *opaque);    /* NULL: nobody to hold; these three are */
    void (*release)(void *opaque); /* fixed at start-up */
    void *hold_opaque;

    GRWLock view_lock;
    MemoryView *view;         /* never NULL; view_lock */

    GRWLock clear_lock;
    GPtrArray *listeners;     /* of ListenerEntry *, in order of registration */

    uint64_t sync_serial;     /* of the sync under way; big lock */
    DirtySyncStats sync;      /* atomic, field by field */
    uint64_t round_new_pages; /* sync.new_pages at the last round's end */
    DirtyClearStats clear;    /* atomic, field by field */
};

/** memory_map_hold(), memory_map_release() - no vCPU is in guest mode between
 *  the two; they nest. Context: big lock, which hold may drop. */
void memory_map_hold(MemoryMap *map);
void memory_map_release(MemoryMap *map);

/**
 * memory_view_build() - what is visible of the plan
 * Context: big lock. Returns: a view with one reference.
 */
MemoryView *memory_view_build(const MemoryMap *map);

/** memory_view_get() - a reference to the view of the moment.
 *  Context: any thread. */
MemoryView *memory_view_get(MemoryMap *map);

/** memory_view_put() - give a reference back. Context: any thread. */
void memory_view_put(MemoryView *view);

/** memory_view_publish() - make @view (its reference is taken over) the view
 *  of the moment. Context: big lock. */
void memory_view_publish(MemoryMap *map, MemoryView *view);

/**
 * memory_view_find_ram() - the section that holds @gpa, from @gpa on
 * Returns: false if there is none; @ret is untouched then.
 */
bool memory_view_find_ram(const MemoryView *view, uint64_t gpa,
                          MemorySection *ret);

/** memory_view_find_io() - the region that holds @addr, or NULL. */
const IoRegion *memory_view_find_io(const MemoryView *view, IoSpace space,
                                    uint64_t addr);

/**
 * memory_listeners_update() - tell all listeners how @view differs from what
 * they know, and publish it (its reference is taken over)
 * First what goes away, listeners in reverse order; then the view; then what
 * appears. Sections that stay are not mentioned.
 * Context: big lock. Errors: the first region_add or log_start that failed;
 *          its section is not known to that listener, everything else is done.
 */
bool memory_listeners_update(MemoryMap *map, MemoryView *view,
                             GError **error);

/**
 * memory_listeners_log_start() - log_start for every section of @block
 * Context: big lock. Errors: a hook's; those that were started are stopped.
 */
bool memory_listeners_log_start(MemoryMap *map, const RAMBlock *block,
                                GError **error);

/** memory_listeners_log_stop() - log_stop for every section of @block.
 *  Context: big lock. */
void memory_listeners_log_stop(MemoryMap *map, const RAMBlock *block);

/**
 * memory_listeners_log_sync() - log_sync for every section that is logged
 * @block: only sections that show (a part of) this block; NULL: all
 * Context: big lock. Errors: the first hook's; the others are called still.
 */
bool memory_listeners_log_sync(MemoryMap *map, const RAMBlock *block,
                               GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryView, memory_view_put)

#endif
