/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages by the rings of the vCPUs, for the whole VM instead of the log.
 *
 * A pass, in the reaper's thread, under the slots lock:
 *
 *     harvest   every ring in order; entries of one ring are gathered by words
 *               of the slots' caches, which are all zero between passes
 *     reset     the kernel takes the entries back and write-protects the pages
 *     publish   the words go into the clients' bitmaps, ring by ring, and what
 *               was new is counted for the ring's vCPU
 *
 * in this order: a page that somebody reads because of its bit is protected
 * by then, and a store that comes later makes another entry. There is nothing
 * left to clear, and the cost of a pass follows the number of entries, not the
 * size of the guest.
 *
 * Tracking can be lost: kernels push past a full ring where they emulate guest
 * code, and lose entries in a reset that a signal cuts short. Then, until
 * repaired, every pass that somebody waits for makes all logged pages dirty for
 * every client (unless the repair has begun and nothing was pushed since), and
 * the owner is asked (lost hook) to stop the vCPUs and call
 * kvm_dirty_ring_repair().
 */
#ifndef ACCEL_KVM_KVM_DIRTY_RING_H
#define ACCEL_KVM_KVM_DIRTY_RING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-dirty-reaper.h"
#include "accel/kvm/kvm-ring.h"
#include "accel/kvm/kvm-slots.h"

/* How it showed that tracking is lost. */
typedef enum KvmRingLoss {
    KVM_RING_LOSS_WHOLE,   /* all entries of a ring were dirty at once */
    KVM_RING_LOSS_STUCK,   /* twice full, and nothing in it */
    KVM_RING_LOSS_SHORT,   /* the kernel took back less, or in pieces */
    KVM_RING_LOSS_AHEAD,   /* entries beyond a free one, or too many taken */
    KVM_RING_LOSS_MAX,
} KvmRingLoss;

/* Counters; run from the VM's start. */
typedef struct KvmRingStats {
    uint64_t passes;       /* that found anything */
    uint64_t entries;      /* harvested */
    uint64_t dropped;      /* of these: of slots that are gone or not logged,
                              or out of range */
    uint64_t resets;       /* calls of the kernel */
    uint64_t full_exits;   /* vCPUs that left with a full ring */
    uint64_t full_ns;      /* how long they waited, in all */
    uint64_t fullest;      /* entries in one ring at once, at most */
    uint64_t lost;         /* times that tracking was lost */
    uint64_t repaired;     /* of these */
    uint64_t losses[KVM_RING_LOSS_MAX]; /* by sign; one loss may show several */
} KvmRingStats;

typedef struct KvmRingWords KvmRingWords;

struct KvmDirtyRing {
    KvmSlots *slots;
    uint32_t entries;      /* of each ring */
    KvmReaper reaper;
    /** Tracking is lost: stop the vCPUs and repair. Context: the reaper's or a
     *  vCPU's thread, no lock. NULL: whoever owns this looks itself. */
    void (*on_lost)(void *opaque);
    void *opaque;
    bool may_overrun;      /* the kernel may push into a full ring */
    int running;           /* vCPUs in guest mode; atomic */
    int logged;            /* slots that are logged; atomic */
    KvmRingStats stats;    /* atomic, field by field */
    /* The slots lock. */
    GPtrArray *rings;      /* of KvmRing * */
    GArray *words;         /* of KvmRingWords: gathered in this pass */
    KvmSlot *last_slot;    /* of the last entry; only within a harvest */
    bool lost;             /* atomic for readers */
    bool unknown;          /* what was written is not known: a loss that no
                              repair has come after. Without it but lost, a
                              ring is astray that was empty at the repair */
    KvmRingLoss why;       /* the first sign of the last loss */
    char *broken;          /* why it could not be repaired, or NULL */
};

/**
 * kvm_dirty_ring_new() - what slots->dirty->enable switches on
 * Sets slots->ring. Kernels that keep a log beside the rings, for writes that
 * no vCPU made, do so on other architectures: on x86 there are none.
 * @entries: of each ring, a power of two
 * @capability: KVM_CAP_DIRTY_LOG_RING or KVM_CAP_DIRTY_LOG_RING_ACQ_REL
 * Context: start-up, before the first slot and the first vCPU.
 * Errors:  the kernel refused.
 * Returns: free with kvm_dirty_ring_free(); NULL on error.
 */
KvmDirtyRing *kvm_dirty_ring_new(KvmSlots *slots, uint32_t entries,
                                 uint32_t capability, GError **error);

/** kvm_dirty_ring_free() - NULL is fine. Context: no vCPU runs, nothing is
 *  logged any more; before kvm_slots_done(). */
void kvm_dirty_ring_free(KvmDirtyRing *d);

/**
 * kvm_dirty_ring_add() - a vCPU's ring comes in
 * @entries: d->entries of them, mapped; @by_client: see KvmRing
 * Context: before the vCPU runs for the first time; any lock but the slots
 *          lock.
 * Returns: kvm_dirty_ring_del() drains it and takes it out; the mapping is the
 *          caller's.
 */
KvmRing *kvm_dirty_ring_add(KvmDirtyRing *d, struct kvm_dirty_gfn *entries,
                            uint64_t by_client[DIRTY_CLIENT_MAX]);
void kvm_dirty_ring_del(KvmDirtyRing *d, KvmRing *ring);

/** kvm_dirty_ring_orphan() - the counters that the ring's pages were counted
 *  in go away. Context: no slots lock. */
void kvm_dirty_ring_orphan(KvmDirtyRing *d, KvmRing *ring);

/** kvm_dirty_ring_enter(), kvm_dirty_ring_leave() - around KVM_RUN.
 *  Context: the vCPU's thread. */
void kvm_dirty_ring_enter(KvmDirtyRing *d, KvmRing *ring);
void kvm_dirty_ring_leave(KvmDirtyRing *d);

/**
 * kvm_dirty_ring_full() - a vCPU left with its ring full
 * Waits for a pass, or if that was of no use for a moment, in which somebody
 * may repair; the vCPU may then try again.
 * Context: the vCPU's thread, no lock.
 * Returns: false if repairing was of no use either, again and again.
 */
bool kvm_dirty_ring_full(KvmDirtyRing *d, KvmRing *ring);

/**
 * kvm_dirty_ring_repair() - find the way back after a loss
 * Rings are put in order, every logged slot's log is ended and begun anew,
 * which protects its pages again, and all of them are dirty for every client.
 * Context: big lock, all vCPUs out of guest mode.
 * Errors:  the kernel would not begin a log again; every sync fails until it
 *          does.
 * Returns: false too, without an error, if a ring is astray still: its vCPU
 *          has to run for a moment, then it is to be called again.
 */
bool kvm_dirty_ring_repair(KvmDirtyRing *d, GError **error);

/** kvm_dirty_ring_is_lost() - is there anything to repair? Context: any
 *  thread. */
bool kvm_dirty_ring_is_lost(const KvmDirtyRing *d);

/** kvm_dirty_ring_can_repair() - has anything happened since the last repair
 *  that makes the next one worth while? Context: no slots lock. */
bool kvm_dirty_ring_can_repair(KvmDirtyRing *d);

/** kvm_dirty_ring_stats() - a copy. Context: any thread. */
void kvm_dirty_ring_stats(const KvmDirtyRing *d, KvmRingStats *ret);

/** kvm_ring_loss_text() - the sign in words */
const char *kvm_ring_loss_text(KvmRingLoss why);

/* Between kvm-dirty-ring.c and kvm-ring-lost.c; slots lock. */

/** kvm_dirty_ring_lose_locked() - a sign of loss */
void kvm_dirty_ring_lose_locked(KvmDirtyRing *d, KvmRingLoss why);

/** kvm_dirty_ring_assume_locked() - every page of every logged slot is dirty
 *  for every client */
void kvm_dirty_ring_assume_locked(KvmDirtyRing *d);

/** kvm_dirty_ring_is_unknown_locked() - may something have been written that
 *  nobody was told of? */
bool kvm_dirty_ring_is_unknown_locked(const KvmDirtyRing *d);

/** kvm_dirty_ring_repair_locked() - the reaper's part of the repair */
void kvm_dirty_ring_repair_locked(KvmDirtyRing *d);

#endif
