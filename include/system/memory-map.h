/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest-physical map: a flat, sorted list of RAM windows and of I/O
 * regions, one for memory space and one for port space. Changes are made
 * between begin and commit; the commit tells the listeners the differences.
 * An I/O region in memory space hides the RAM below it: the window is cut in
 * two, and whole again when the region is gone. A window never merges with
 * its neighbour, so that removing the one leaves the other untouched.
 *
 * Readers (guest access, I/O exits) work on an immutable view, which a commit
 * replaces; an access that is under way ends on the view it began with.
 * Changes are made under the big lock; while one is under way no vCPU is in
 * guest mode (memory_map_set_hold()).
 */
#ifndef SYSTEM_MEMORY_MAP_H
#define SYSTEM_MEMORY_MAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-listener.h"
#include "system/ramblock.h"

typedef enum IoSpace {
    IO_SPACE_PORT,    /* 64 KiB of ports */
    IO_SPACE_MEMORY,  /* MMIO */
} IoSpace;

/* A device's registers. Hooks run under the big lock. */
typedef struct IoRegionOps {
    /**
     * @offset from the region's base, of any alignment; @size 1, 2, 4 or 8
     * bytes, within the region. Without a hook reads give all ones and writes
     * are ignored.
     */
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value,
                  unsigned size);
    /* Largest access the hooks take: 1, 2, 4 or 8; wider ones are split,
     * ascending. */
    unsigned max_access;
} IoRegionOps;

/** memory_map_new() - an empty map over these blocks (not owned), which
 *  outlive it. Context: start-up. */
MemoryMap *memory_map_new(RAMList *ram);

/** memory_map_free() - NULL is fine. Context: nobody uses it; listeners are
 *  unregistered. */
void memory_map_free(MemoryMap *map);

/** memory_map_ram() - the list given to memory_map_new(). Context: any. */
RAMList *memory_map_ram(MemoryMap *map);

/**
 * memory_map_set_hold() - how to keep vCPUs out of guest mode
 * @hold:    called by the outermost begin, and where logging goes on or off;
 *           nests; may drop the big lock while it waits
 * @release: called after the outermost commit
 * Without it (tests, no vCPUs) the caller sees to it.
 * Context: start-up.
 */
void memory_map_set_hold(MemoryMap *map, void (*hold)(void *opaque),
                         void (*release)(void *opaque), void *opaque);

/**
 * memory_map_begin(), memory_map_commit() - bracket changes; they nest
 * From the outermost begin to its commit no vCPU is in guest mode, so a guest
 * sees a window gone and back in pieces as one step, and no write can fall
 * between the last look at a window's dirty log and its end.
 * The outermost commit calls region_del and region_add of all listeners for
 * what changed: first all that goes away, then all that appears; a section
 * that stays as it is gets no call. One that goes away while logging is on is
 * synced first. Inner commits do nothing and succeed.
 * Context: big lock; begin drops it while it waits for vCPUs and for a change
 *          that another thread is making. May be called by a device's hook:
 *          look at its registers again after begin.
 * Errors:  a region_add or log_start failed (named in @error). The map is as
 *          planned, only that listener lacks that section; it is offered again
 *          by the next commit.
 */
void memory_map_begin(MemoryMap *map);
bool memory_map_commit(MemoryMap *map, GError **error);

/**
 * memory_map_add_ram() - show part of a block at a guest address
 * @gpa, @size, @offset: bytes, page aligned
 * @readonly: ROM: the guest's and our own writes to it are ignored
 * Context: big lock, between begin and commit; seen from the commit on.
 * Errors:  not aligned, beyond the block, overlaps other RAM, wraps.
 * Returns: an id for memory_map_del(), or 0 with @error set.
 */
unsigned memory_map_add_ram(MemoryMap *map, uint64_t gpa, uint64_t size,
                            RAMBlock *block, uint64_t offset, bool readonly,
                            GError **error);

/**
 * memory_map_add_io() - claim ports or memory for a device
 * @base, @size: bytes (or ports); memory regions page aligned
 * @ops, @opaque: live until the commit after memory_map_del()
 * @name: shown by "info mtree"; copied
 * Context: big lock, between begin and commit; seen from the commit on.
 * Errors:  overlap with I/O, wrap, not page aligned, an odd max_access.
 * Returns: an id, or 0 with @error set.
 */
unsigned memory_map_add_io(MemoryMap *map, IoSpace space, uint64_t base,
                           uint64_t size, const IoRegionOps *ops, void *opaque,
                           const char *name, GError **error);

/** memory_map_del() - remove a window or region by an id that add gave, once.
 *  Context: big lock, between begin and commit. */
void memory_map_del(MemoryMap *map, unsigned id);

/**
 * memory_map_find() - the visible RAM section that holds @gpa
 * @ret: a copy, cut to start at @gpa and reaching to the section's end; not
 *       touched if there is none
 * Context: any thread. Cost: O(log n).
 * Returns: false if there is no RAM (a hole, or I/O).
 */
bool memory_map_find(MemoryMap *map, uint64_t gpa, MemorySection *ret);

/**
 * memory_map_has_io() - does a device claim any of this memory?
 * @gpa, @size: bytes; not empty, not wrapping
 * RAM that is added there would be hidden in part.
 * Context: big lock; changes not yet committed do not count.
 */
bool memory_map_has_io(MemoryMap *map, uint64_t gpa, uint64_t size);

/**
 * memory_map_foreach_ram() - call @fn for every visible section in order of
 * guest address, until it returns false
 * Context: big lock.
 */
void memory_map_foreach_ram(MemoryMap *map,
                            bool (*fn)(const MemorySection *s, void *opaque),
                            void *opaque);

/**
 * memory_map_io_read(), memory_map_io_write() - an access by a vCPU or qtest
 * @size: 1, 2, 4 or 8 bytes; an access that straddles regions is split
 * An address nobody claims reads as all ones and ignores writes. For memory
 * space, RAM below the address is accessed through guest-access.h (marking).
 * Numbers are little-endian; bits of @value beyond @size are ignored.
 * Context: any thread; takes the big lock unless the caller holds it.
 */
uint64_t memory_map_io_read(MemoryMap *map, IoSpace space, uint64_t addr,
                            unsigned size);
void memory_map_io_write(MemoryMap *map, IoSpace space, uint64_t addr,
                         uint64_t value, unsigned size);

/** memory_map_to_text() - what "info mtree" shows: a line per visible section
 *  and region, per address space. Context: big lock. Returns: to g_free(). */
char *memory_map_to_text(MemoryMap *map);

#endif
