/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the dirty rings have lost track: noticing, living with it, and finding
 * the way back. Until that is done nothing is known of the writes, so that
 * every sync says that all is dirty: a bit too many costs a page. Afterwards a
 * ring may be astray still, but it is empty and its pages are protected: all
 * is dirty again as soon as there is an entry in it.
 */
#include "accel/kvm/kvm-dirty-ring.h"

#include <linux/kvm.h>
#include <time.h>

#include "trace/accel_kvm.h"
#include "util/error.h"

/* Full exits without anything new in the ring until it counts as stuck. */
#define STUCK_EXITS 2
/* What a vCPU waits before it looks whether its ring was repaired, unless it is
 * kicked. */
#define STUCK_WAIT_NS 500000
/* Repairs of a ring that is stuck and empty until its vCPU gives up. Each takes
 * a quarter of the ring, and what overflows in one run of the guest is a few
 * lengths of it. */
#define HOPELESS_REPAIRS 1000

static const char *const loss_text[KVM_RING_LOSS_MAX] = {
    [KVM_RING_LOSS_WHOLE] = "a ring was full to its last entry",
    [KVM_RING_LOSS_STUCK] = "a ring is full and holds nothing",
    [KVM_RING_LOSS_SHORT] = "a reset was cut short",
    [KVM_RING_LOSS_AHEAD] = "a ring's entries are out of order",
};

const char *kvm_ring_loss_text(KvmRingLoss why)
{
    return loss_text[why];
}

void kvm_dirty_ring_lose_locked(KvmDirtyRing *d, KvmRingLoss why)
{
    trace_kvm_ring_lost(loss_text[why], d->lost);
    __atomic_fetch_add(&d->stats.losses[why], 1, __ATOMIC_RELAXED);
    d->unknown = true;
    if (!d->lost) {
        __atomic_fetch_add(&d->stats.lost, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&d->why, why, __ATOMIC_RELAXED);
        __atomic_store_n(&d->lost, true, __ATOMIC_RELEASE);
    }
}

/* An astray ring was emptied by the repair, and its slots' logs began anew: it
 * is not harvested, and whatever is pushed into it stays there to be seen. */
bool kvm_dirty_ring_is_unknown_locked(const KvmDirtyRing *d)
{
    bool unknown = d->unknown;

    for (guint i = 0; i < d->rings->len && !unknown; i++) {
        const KvmRing *ring = g_ptr_array_index(d->rings, i);

        unknown = ring->astray && kvm_ring_has_entries(ring);
    }
    return unknown;
}

bool kvm_dirty_ring_can_repair(KvmDirtyRing *d)
{
    bool can;

    kvm_slots_lock(d->slots);
    can = d->broken || kvm_dirty_ring_is_unknown_locked(d);
    for (guint i = 0; i < d->rings->len && !can; i++) {
        const KvmRing *ring = g_ptr_array_index(d->rings, i);

        can = __atomic_load_n(&ring->stuck, __ATOMIC_ACQUIRE);
    }
    kvm_slots_unlock(d->slots);
    return can;
}

bool kvm_dirty_ring_is_lost(const KvmDirtyRing *d)
{
    return __atomic_load_n(&d->lost, __ATOMIC_ACQUIRE);
}

void kvm_dirty_ring_assume_locked(KvmDirtyRing *d)
{
    for (guint i = 0; i < d->slots->table->len; i++) {
        const KvmSlot *slot = g_ptr_array_index(d->slots->table, i);

        if (slot->logging) {
            kvm_slots_assume_dirty_locked(d->slots, slot);
        }
    }
}

/* ---- repair -------------------------------------------------------------- */

static void take_back(void *opaque)
{
    KvmDirtyRing *d = opaque;

    while (kvm_vm(d->slots->io, KVM_RESET_DIRTY_RINGS, NULL) > 0) {
        __atomic_fetch_add(&d->stats.resets, 1, __ATOMIC_RELAXED);
    }
}

/* Returns: whether every page of every logged slot is protected. */
static bool log_again_locked(KvmDirtyRing *d, GError **error)
    TSA_REQUIRES(d->slots->lock);
static bool log_again_locked(KvmDirtyRing *d, GError **error)
{
    bool ok = true;

    for (guint i = 0; i < d->slots->table->len; i++) {
        KvmSlot *slot = g_ptr_array_index(d->slots->table, i);

        if (slot->logging &&
            !kvm_slots_log_again_locked(d->slots, slot, ok ? error : NULL)) {
            ok = false;
        }
    }
    return ok;
}

void kvm_dirty_ring_repair_locked(KvmDirtyRing *d)
{
    g_autoptr(GError) error = NULL;
    bool astray = false;

    for (guint i = 0; i < d->rings->len; i++) {
        if (!kvm_ring_repair(g_ptr_array_index(d->rings, i), take_back, d)) {
            astray = true;
        }
    }
    g_clear_pointer(&d->broken, g_free);
    if (!log_again_locked(d, &error)) {
        d->broken = g_strdup_printf("the dirty ring has lost track of the "
                                    "guest's writes (%s), and the log could "
                                    "not be begun anew: %s",
                                    loss_text[d->why], error->message);
    }
    kvm_dirty_ring_assume_locked(d);
    if (d->lost && !astray && !d->broken) {
        __atomic_fetch_add(&d->stats.repaired, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&d->lost, astray || d->broken, __ATOMIC_RELEASE);
    d->unknown = d->broken != NULL;
    trace_kvm_ring_repair(astray, d->broken ? d->broken : "none");
}

bool kvm_dirty_ring_repair(KvmDirtyRing *d, GError **error)
{
    bool ok;

    kvm_reaper_ask(&d->reaper, KVM_REAPER_REPAIR);
    kvm_slots_lock(d->slots);
    ok = !d->lost;
    if (d->broken) {
        tm_error_set(error, "%s", d->broken);
    }
    kvm_slots_unlock(d->slots);
    return ok;
}

/* ---- a vCPU whose ring is full ------------------------------------------- */

/* A signal ends it early. g_usleep() would go on with what is left, which the
 * kernel rounds up by the timer's slack: with a signal each 50 us, for ever. */
static void pause_briefly(void)
{
    const struct timespec time = { .tv_nsec = STUCK_WAIT_NS };

    nanosleep(&time, NULL);
}

/*
 * Its thread is not the one to repair: that needs all vCPUs out. The ring is
 * stuck only if nothing was taken from it since the vCPU entered the guest: a
 * repair takes blindly then, and must not do so from a ring that has room. No
 * repair can come between the exit and this, as the vCPU is not at rest.
 */
static void be_stuck(KvmDirtyRing *d, KvmRing *ring)
{
    bool stuck;

    kvm_slots_lock(d->slots);
    stuck = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE) ==
        ring->taken_before;
    if (stuck) {
        __atomic_store_n(&ring->stuck, true, __ATOMIC_RELEASE);
        ring->astray = true;
        kvm_dirty_ring_lose_locked(d, KVM_RING_LOSS_STUCK);
    }
    kvm_slots_unlock(d->slots);
    /* Also if it is lost already: this vCPU waits for nothing else. */
    if (stuck && d->on_lost) {
        d->on_lost(d->opaque);
    }
    pause_briefly();
}

static bool is_astray(KvmDirtyRing *d, const KvmRing *ring)
{
    bool astray;

    kvm_slots_lock(d->slots);
    astray = ring->astray;
    kvm_slots_unlock(d->slots);
    return astray;
}

bool kvm_dirty_ring_full(KvmDirtyRing *d, KvmRing *ring)
{
    gint64 begin_us = g_get_monotonic_time();
    uint64_t harvested;

    if (!is_astray(d, ring)) {
        kvm_reaper_ask(&d->reaper, KVM_REAPER_PASS);
    }
    harvested = __atomic_load_n(&ring->harvested, __ATOMIC_ACQUIRE);
    if (harvested != ring->seen) {
        ring->seen = harvested;
        ring->in_vain = 0;
    } else if (++ring->in_vain >= STUCK_EXITS) {
        be_stuck(d, ring);
    }
    __atomic_fetch_add(&d->stats.full_exits, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->stats.full_ns,
                       (g_get_monotonic_time() - begin_us) * 1000,
                       __ATOMIC_RELAXED);
    return __atomic_load_n(&ring->repairs, __ATOMIC_RELAXED) <
        HOPELESS_REPAIRS;
}
