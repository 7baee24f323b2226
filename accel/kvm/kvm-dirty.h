/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the slot table and the ways in which KVM tells which pages
 * were written: the dirty log whose GET also clears (kvm-dirty-log.c), the
 * one that is cleared by hand (also kvm-clear-log.c), and the dirty rings
 * (kvm-dirty-ring.c).
 *
 * All hooks that take a slot run under the slots lock.
 */
#ifndef ACCEL_KVM_KVM_DIRTY_H
#define ACCEL_KVM_KVM_DIRTY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/dirty-sync.h"

typedef struct KvmSlots KvmSlots;
typedef struct KvmSlot KvmSlot;

typedef struct KvmDirtyOps {
    const char *name;
    /** Switch the mechanism on for the whole VM. Context: start-up, before
     *  the first slot and vCPU. Errors: the kernel refused. */
    bool (*enable)(KvmSlots *slots, GError **error);
    /** Bring the slot's cache up to what the kernel knows. A bit that was in
     *  the cache stays. On error the cache is unchanged. NULL: flush has
     *  published all there is. */
    bool (*fetch)(KvmSlots *slots, KvmSlot *slot, GError **error);
    /** Re-protect the pages of the range whose bits are in the cache, then
     *  drop these bits. Adds what it did to @stats. On error the cache is
     *  unchanged. NULL: fetch has done it. */
    bool (*clear)(KvmSlots *slots, KvmSlot *slot, uint64_t first,
                  uint64_t npages, DirtyClearStats *stats, GError **error);
    /** Make the kernel show what it holds back for all slots, before a sync
     *  and before slots go away. NULL: it holds back nothing once the vCPUs
     *  have left guest mode. Context: big lock, not the slots lock. Errors:
     *  not all could be had; nothing is forgotten. */
    bool (*flush)(KvmSlots *slots, GError **error);
    /** Logging of the slot has begun. NULL: nothing to do. */
    void (*start)(KvmSlots *slots, KvmSlot *slot);
    /** Logging of the slot ends: forget what belongs to it. */
    void (*stop)(KvmSlots *slots, KvmSlot *slot);
} KvmDirtyOps;

/* GET takes the bits and re-protects. */
extern const KvmDirtyOps kvm_dirty_log_ops;
/* GET shows the bits, CLEAR takes them. */
extern const KvmDirtyOps kvm_dirty_log_manual_ops;
/* Rings of the vCPUs, read all the time. */
extern const KvmDirtyOps kvm_dirty_ring_ops;

/**
 * kvm_clear_log_range() - the clear hook of the manual dirty log
 * @first, @npages: pages of the slot, not empty, inside the slot
 * Context: slots lock.   Cost: one ioctl, or none if the cache holds no bit
 *          of the range.
 * Errors:  the ioctl's; the cache is unchanged then.
 */
bool kvm_clear_log_range(KvmSlots *slots, KvmSlot *slot, uint64_t first,
                         uint64_t npages, DirtyClearStats *stats,
                         GError **error);

/**
 * kvm_dirty_get() - KVM_GET_DIRTY_LOG of a slot
 * @words: room for bitmap_words(slot->npages) words
 * Context: slots lock. Without manual clear the bits are gone from the kernel
 *          afterwards.
 * Errors:  the ioctl's.
 */
bool kvm_dirty_get(KvmSlots *slots, KvmSlot *slot, uint64_t *words,
                   GError **error);

#endif
