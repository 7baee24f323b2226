/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty ring of one vCPU, as user space sees it
 * (Documentation/virt/kvm/api.rst 8.29): entries in memory shared with the
 * kernel, each of them free, dirty (the kernel has pushed it) or harvested
 * (user space has read it and the kernel may have it back).
 *
 *      reset              next            the kernel's dirty index
 *        |                  |                     |
 *   free | harvested ...    | dirty ...           | free
 *
 * Both of our indices run free; they are those of the kernel as long as
 * nothing was lost, which is why entries are harvested in order and none is
 * ever skipped: the kernel takes back in order and stops at the first entry
 * that is not harvested.
 *
 * Three parties touch an entry: the vCPU's thread in the kernel pushes (slot
 * and offset, then the flag), we read (the flag first, acquire) and give back
 * (the flag last, release), and whoever resets frees it in the kernel. The
 * flags carry the order between them.
 *
 * A ring that overflowed is astray: entries were overwritten, and where the
 * kernel goes on is not known. kvm_ring_repair() finds the way back.
 */
#ifndef ACCEL_KVM_KVM_RING_H
#define ACCEL_KVM_KVM_RING_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct KvmRing {
    struct kvm_dirty_gfn *entries;  /* shared with the kernel */
    uint32_t n;              /* of entries, a power of two */
    uint32_t next;           /* to be harvested next */
    uint32_t reset;          /* the first that the kernel has not taken back */
    bool astray;             /* the kernel may be elsewhere than next */
    unsigned suspect;        /* passes to go in which entries ahead are looked
                                for: it was more than half full */
    unsigned repairs;        /* of a stuck ring, since an entry was pushed;
                                atomic */
    bool doubt;              /* astray, once what was given is taken */
    uint64_t harvested;      /* in all; atomic */
    uint64_t taken;          /* by the kernel, but for repairs; atomic */
    uint32_t last;           /* in the last pass */
    bool stuck;              /* the vCPU left with a full ring and there was
                                nothing in it; atomic */
    /* The vCPU's thread: what was harvested when it left with a full ring, and
     * how often that was so without anything new. */
    uint64_t seen;
    uint64_t taken_before;   /* taken, when it entered the guest */
    unsigned in_vain;
    uint64_t *by_client;     /* counters of dirty_sync_merge(); NULL: none */
} KvmRing;

/** What becomes of an entry: @slot with the address space in its high half,
 *  @offset in pages of the slot; as the kernel wrote them, unchecked. */
typedef void KvmRingFn(void *opaque, uint32_t slot, uint64_t offset);

/**
 * kvm_ring_init() - @entries: @n of them, mapped from the vCPU's file
 * Context: any; the ring is the caller's alone, as in all that follow.
 */
void kvm_ring_init(KvmRing *r, struct kvm_dirty_gfn *entries, uint32_t n);

/**
 * kvm_ring_harvest() - read what the kernel has pushed, in order, and give it
 * back; the vCPU may run meanwhile
 * Not more than the ring is large: see kvm_ring_is_whole().
 * Returns: how many entries, also in r->last.
 */
uint32_t kvm_ring_harvest(KvmRing *r, KvmRingFn *fn, void *opaque);

/** kvm_ring_given() - entries given back that the kernel has not taken */
uint32_t kvm_ring_given(const KvmRing *r);

/** kvm_ring_is_whole() - all entries of the ring are given back at once: the
 *  kernel keeps some in reserve, so it has overflowed, or nearly */
bool kvm_ring_is_whole(const KvmRing *r);

/** kvm_ring_all_taken() - the kernel has taken back what was given */
void kvm_ring_all_taken(KvmRing *r);

/** kvm_ring_find_taken() - it has taken an unknown part of it: look */
void kvm_ring_find_taken(KvmRing *r);

/**
 * kvm_ring_is_ahead() - has the kernel pushed beyond a free entry?
 * Entries are pushed in order, so that cannot be in a ring that is in order.
 * Cost: reads every entry's flags.
 */
bool kvm_ring_is_ahead(const KvmRing *r);

/**
 * kvm_ring_came_round() - after a reset: has the kernel pushed, since the last
 * harvest began, as many entries as the ring has?
 * The next one would have gone into the first entry of that harvest. Was that
 * in the moment in which it was taken back, the kernel has protected the wrong
 * page or wiped out the new entry, and nothing else shows it.
 * Cost: one load.
 */
bool kvm_ring_came_round(const KvmRing *r);

/** kvm_ring_has_entries() - is any entry not free? Cost: reads every entry's
 *  flags. */
bool kvm_ring_has_entries(const KvmRing *r);

/** Make the kernel take back what is harvested, as much as it will. */
typedef void KvmRingResetFn(void *opaque);

/**
 * kvm_ring_repair() - bring the indices together again
 * What the entries say is dropped: the caller holds all pages for dirty.
 * @reset: affects other rings only as far as they have entries given back
 * Context: the vCPU is out of guest mode; signals blocked.
 * Returns: false if the ring is astray still, which it leaves as soon as the
 *          vCPU has pushed again: let it run and repair once more.
 */
bool kvm_ring_repair(KvmRing *r, KvmRingResetFn *reset, void *opaque);

#endif
