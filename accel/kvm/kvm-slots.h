/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory slots of a VM: which guest-physical ranges KVM backs with which
 * pages of which RAM block, and what is known of their dirty bits.
 *
 * A slot's cache has one bit per page and stands between the kernel's bitmap
 * and the clients': a bit is set in it from the fetch that showed it until
 * the clear that took it back. While logging with manual clear is on
 *
 *     cache  is a subset of  the kernel's bitmap            (I3)
 *     cache  is a subset of  what every client has been told (I5)
 *
 * so that "clear what the cache shows" never clears a write that nobody knows
 * of. The slots lock makes a fetch with its merge, and a clear with its
 * forgetting, one step each for everybody else. It is held across the GET of
 * one slot and the CLEAR of one chunk, as the kernel takes its own lock for as
 * long; callers bound a clear by the chunk they ask for.
 *
 * The table is as long as slots are in use (a handful) and sorted by address;
 * a look-up is a binary search, whatever the kernel's maximum is.
 */
#ifndef ACCEL_KVM_KVM_SLOTS_H
#define ACCEL_KVM_KVM_SLOTS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-dirty.h"
#include "accel/kvm/kvm-ioctl.h"
#include "accel/kvm/kvm-options.h"
#include "system/memory-listener.h"
#include "util/clock.h"
#include "util/compiler.h"

/* The kernel's limit: a slot's page count fits in 31 bits. */
#define KVM_SLOT_MAX_PAGES ((UINT64_C(1) << 31) - 1)

/* The local APIC's page is never RAM for a guest; KVM treats stores to it as
 * stores to the APIC even if a slot covers it. */
#define KVM_APIC_PAGE_GPA UINT64_C(0xfee00000)

struct KvmSlot {
    uint32_t id;          /* the kernel's name for it */
    uint64_t gpa;         /* bytes, page aligned */
    uint64_t npages;
    RAMBlock *block;
    uint64_t offset;      /* bytes into the block */
    bool readonly;
    bool logging;
    bool kernel_logs;     /* the kernel's flag; on alone if it would not go */
    bool preset;          /* the cache was filled at log start, not fetched */
    bool told;            /* the cache has been merged since log start */
    uint64_t *cache;      /* while logging; bits from npages on are zero */
};

typedef struct KvmDirtyRing KvmDirtyRing;

struct KvmSlots {
    MemoryListener listener;
    KvmIo *io;
    const KvmDirtyOps *dirty;
    KvmLogMode mode;
    KvmDirtyRing *ring;      /* of kvm_dirty_ring_ops; NULL: a dirty log */
    uint64_t flushed;        /* sync of the map that was flushed for; big
                                lock */
    uint32_t max_slots;      /* of the kernel */
    uint64_t max_pages;      /* of one slot */
    bool readonly_mem;       /* the kernel has read-only slots */
    Clock *clock;            /* for what calls cost */
    GMutex lock;             /* the slots lock: all below */
    GPtrArray *table;        /* of KvmSlot *, sorted by gpa */
    GPtrArray *by_id;        /* of KvmSlot *: those of the table, or NULL */
    GPtrArray *stuck;        /* of KvmSlot * that the kernel would not remove;
                                empty but for a kernel out of memory */
    GArray *free_ids;        /* of uint32_t, below next_id */
    uint32_t next_id;
};

/**
 * kvm_slots_init() - an empty table
 * @dirty: how dirty pages are learnt; @mode must fit it
 * @max_slots: the kernel's limit of slots
 * Context: start-up. Register slots->listener with the map afterwards.
 */
void kvm_slots_init(KvmSlots *slots, KvmIo *io, const KvmDirtyOps *dirty,
                    KvmLogMode mode, uint32_t max_slots, bool readonly_mem);

/** kvm_slots_done() - Context: the listener is unregistered. */
void kvm_slots_done(KvmSlots *slots);

/** kvm_slots_lock(), kvm_slots_unlock() - the slots lock; innermost but for
 *  the locks of dirty-sync. Context: any thread. */
void kvm_slots_lock(KvmSlots *slots) TSA_ACQUIRE(slots->lock);
void kvm_slots_unlock(KvmSlots *slots) TSA_RELEASE(slots->lock);

/**
 * kvm_slots_add() - back a section with slots
 * Makes one slot, or several if it is larger than one may be or covers the
 * APIC's page, which is left out.
 * Context: big lock.
 * Errors:  no slot is left, the kernel refused; nothing is added then.
 */
bool kvm_slots_add(KvmSlots *slots, const MemorySection *s, GError **error);

/**
 * kvm_slots_del() - take a section's slots away
 * Logged ones are fetched and merged first. One that the kernel does not
 * remove is tried again by every later add and sync; until it is gone its
 * pages count as dirty at each sync, and its place cannot be used.
 * Context: big lock, vCPUs out of guest mode.
 */
void kvm_slots_del(KvmSlots *slots, const MemorySection *s);

/** kvm_slots_retire_locked() - try to remove what would not go, and mark it.
 *  Context: slots lock. Cost: nothing, if there is none. */
void kvm_slots_retire_locked(KvmSlots *slots) TSA_REQUIRES(slots->lock);

/**
 * kvm_slots_log_start() - log writes to a section from now on
 * Context: big lock.
 * Errors:  no memory, the kernel refused; logging is off then.
 */
bool kvm_slots_log_start(KvmSlots *slots, const MemorySection *s,
                         GError **error);

/** kvm_slots_log_stop() - no longer; what was not merged is forgotten.
 *  Context: big lock. */
void kvm_slots_log_stop(KvmSlots *slots, const MemorySection *s);

/**
 * kvm_slots_first_locked() - index of the first slot that ends beyond @gpa
 * Slots from there on, while their gpa is below a range's end, overlap it.
 * Context: slots lock. Cost: O(log n).
 */
guint kvm_slots_first_locked(const KvmSlots *slots, uint64_t gpa)
    TSA_REQUIRES(slots->lock);

/** kvm_slots_by_id_locked() - the slot of the table that the kernel knows as
 *  @id, with its address space in the high half; NULL: none.
 *  Context: slots lock. Cost: O(1). */
KvmSlot *kvm_slots_by_id_locked(const KvmSlots *slots, uint32_t id)
    TSA_REQUIRES(slots->lock);

/**
 * kvm_slots_log_again_locked() - end a logged slot's log and begin it anew
 * The kernel protects all of its pages in doing so. What it had logged is
 * forgotten: the caller holds the slot for dirty.
 * Context: slots lock, vCPUs out of guest mode.
 * Errors:  the kernel's; the slot counts as logged still.
 */
bool kvm_slots_log_again_locked(KvmSlots *slots, KvmSlot *slot,
                                GError **error) TSA_REQUIRES(slots->lock);

/** kvm_slots_at_locked() - slot @i, or NULL if it begins at or after @end or
 *  there is none. Context: slots lock. */
KvmSlot *kvm_slots_at_locked(const KvmSlots *slots, guint i, uint64_t end)
    TSA_REQUIRES(slots->lock);

/**
 * kvm_slots_sync_one_locked() - fetch a slot and merge its cache
 * Always the whole slot, even if less was asked for: a bit that is in the
 * cache must have been told to every client, or a clear would lose it.
 * Context: slots lock, big lock.
 * Errors:  fetch's. Nothing is lost.
 */
bool kvm_slots_sync_one_locked(KvmSlots *slots, KvmSlot *slot,
                               GError **error) TSA_REQUIRES(slots->lock);

/**
 * kvm_slots_assume_dirty_locked() - every page of the slot is dirty for every
 * client that is on: the safe side where the kernel's bits cannot be had
 * Context: slots lock.
 */
void kvm_slots_assume_dirty_locked(KvmSlots *slots, const KvmSlot *slot)
    TSA_REQUIRES(slots->lock);

/* Hooks of the listener, shared with tests. */
extern const MemoryListenerOps kvm_slots_listener_ops;

#endif
