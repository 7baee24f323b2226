/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-ring-vm.h. Tracking is lost in the reaper's or a vCPU's thread; the
 * repair wants all vCPUs out of guest mode, and so the big lock. Whoever holds
 * that may be waiting for the reaper: so neither of the two takes it, and the
 * main loop repairs.
 */
#include "accel/kvm/kvm-ring-vm.h"

#include <errno.h>
#include <sys/mman.h>

#include "accel/accel-ops.h"
#include "accel/kvm/kvm-dirty-ring.h"
#include "system/cpus.h"
#include "util/error.h"

/* While a ring is astray: how often it is looked whether its vCPU has pushed
 * anything since the last repair. */
#define RETRY_MIN_MS 1
#define RETRY_MAX_MS 100

/* Which loss it was that the repair has to do with. */
static void tell(KvmState *kvm, bool repaired, const GError *error)
{
    KvmDirtyRing *d = kvm->slots.ring;
    Accel *accel = kvm->accel;
    KvmRingStats stats;

    kvm_dirty_ring_stats(d, &stats);
    if (accel->tracking_lost) {
        KvmRingLoss why = __atomic_load_n(&d->why, __ATOMIC_RELAXED);

        accel->tracking_lost(kvm_ring_loss_text(why), stats.lost, repaired,
                             error ? error->message : NULL);
    }
}

static void again(KvmState *kvm, unsigned ms);

/* Not more than once a second: where it is lost all the time the count says
 * so. That it cannot be repaired is told at once. */
static void tell_change(KvmState *kvm, bool ok, const GError *error)
{
    KvmRepairTold now = ok ? KVM_REPAIR_DONE :
        error ? KVM_REPAIR_BROKEN : KVM_REPAIR_DUE;
    gint64 now_us = g_get_monotonic_time();
    bool changed = now != kvm->repair_told || ok;

    if (changed && (now == KVM_REPAIR_BROKEN || !kvm->told_us ||
                    now_us - kvm->told_us >= G_USEC_PER_SEC)) {
        tell(kvm, ok, error);
        kvm->told_us = now_us;
    }
    kvm->repair_told = now;
}

static gboolean repair(gpointer opaque)
{
    KvmState *kvm = opaque;
    KvmDirtyRing *d = kvm->slots.ring;
    g_autoptr(GError) error = NULL;
    bool ok;

    g_mutex_lock(&kvm->repair_lock);
    kvm->repair_source = 0;
    g_mutex_unlock(&kvm->repair_lock);

    /* While a ring is astray and nothing comes, its vCPU is left alone. */
    if (kvm_dirty_ring_can_repair(d)) {
        cpus_hold_all(kvm->vm);
        ok = kvm_dirty_ring_repair(d, &error);
        cpus_release_all(kvm->vm);
        tell_change(kvm, ok, error);
    } else {
        ok = !kvm_dirty_ring_is_lost(d);
    }
    if (ok) {
        kvm->repair_ms = 0;
    } else {
        kvm->repair_ms = CLAMP(2 * kvm->repair_ms, RETRY_MIN_MS, RETRY_MAX_MS);
        again(kvm, kvm->repair_ms);
    }
    return G_SOURCE_REMOVE;
}

/* In @ms; at once (0) even if a later time was chosen. */
static void again(KvmState *kvm, unsigned ms)
{
    g_mutex_lock(&kvm->repair_lock);
    if (kvm->repair_source && !ms && !kvm->repair_at_once) {
        g_source_remove(kvm->repair_source);
        kvm->repair_source = 0;
    }
    if (!kvm->repair_source) {
        kvm->repair_at_once = !ms;
        kvm->repair_source = ms ? g_timeout_add(ms, repair, kvm) :
            g_idle_add_full(G_PRIORITY_HIGH, repair, kvm, NULL);
    }
    g_mutex_unlock(&kvm->repair_lock);
}

static void on_lost(void *opaque)
{
    again(opaque, 0);
}

/* ---- the accelerator's door ----------------------------------------------- */

static void set_pace(Accel *accel, unsigned max_us)
{
    KvmState *kvm = accel->opaque;

    kvm_reaper_set_pace(&kvm->slots.ring->reaper, max_us);
}

static void ring_info(Accel *accel, AccelRingInfo *ret)
{
    KvmState *kvm = accel->opaque;
    KvmRingStats stats;

    kvm_dirty_ring_stats(kvm->slots.ring, &stats);
    *ret = (AccelRingInfo) {
        .host_known = kvm->ring_host.known,
        .logs_every_store = kvm->ring_host.per_store,
        .period_us = kvm_reaper_get_period(&kvm->slots.ring->reaper),
        .entries = stats.entries,
        .dropped = stats.dropped,
        .resets = stats.resets,
        .fullest = stats.fullest,
        .full_exits = stats.full_exits,
        .full_ns = stats.full_ns,
        .lost = stats.lost,
        .repaired = stats.repaired,
    };
}

/* Where code is emulated a ring fills as fast as it stores: an eighth of it is
 * the longest that may be waited beside a guest that is not idle. */
static void choose_period(KvmState *kvm)
{
    KvmDirtyRing *d = kvm->slots.ring;
    uint64_t fill_us = (uint64_t)d->entries / KVM_REAPER_FILL_SHARE *
        kvm->ring_host.store_ns / 1000;

    if (kvm->ring_host.per_store) {
        kvm_reaper_set_most(&d->reaper, MIN(fill_us, KVM_REAPER_MAX_US));
    }
}

void kvm_ring_vm_init(KvmState *kvm, const KvmOptions *options)
{
    KvmDirtyRing *d = kvm->slots.ring;
    Accel *accel = kvm->accel;

    if (!d) {
        return;
    }
    kvm_ring_selftest(kvm->io.ops, d->entries, kvm->mode.ring_capability,
                      &kvm->ring_host);
    d->may_overrun = !kvm->ring_host.known || kvm->ring_host.per_store;
    choose_period(kvm);
    kvm_reaper_set_delay(&d->reaper, options->ring_delay_us);
    d->on_lost = on_lost;
    d->opaque = kvm;
    accel->dirty_ring_entries = d->entries;
    accel->tells_writer = true;
    accel->set_dirty_pace = set_pace;
    accel->ring_info = ring_info;
}

void kvm_ring_vm_done(KvmState *kvm)
{
    kvm_dirty_ring_free(kvm->slots.ring);
    if (kvm->repair_source) {
        g_source_remove(kvm->repair_source);
    }
    g_mutex_clear(&kvm->repair_lock);
}

/* ---- vCPUs ---------------------------------------------------------------- */

static size_t ring_bytes(const KvmVcpu *kv)
{
    return kv->kvm->mode.ring_entries * sizeof(struct kvm_dirty_gfn);
}

bool kvm_ring_vcpu_map(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;

    if (!kvm->slots.ring) {
        return true;
    }
    kv->ring_map = kvm->io.ops->mmap(&kvm->io, kv->fd,
                                     KVM_DIRTY_LOG_PAGE_OFFSET,
                                     ring_bytes(kv));
    if (!kv->ring_map) {
        tm_error_set_errno(error, errno, "cannot map the dirty ring of vCPU "
                           "%u", kv->vcpu->index);
        return false;
    }
    kv->ring = kvm_dirty_ring_add(kvm->slots.ring, kv->ring_map,
                                  kv->vcpu->dirty_pages);
    return true;
}

void kvm_ring_vcpu_unmap(KvmVcpu *kv)
{
    if (kv->ring) {
        kvm_dirty_ring_del(kv->kvm->slots.ring, kv->ring);
        kv->ring = NULL;
        munmap(kv->ring_map, ring_bytes(kv));
    }
}

void kvm_ring_vcpu_ends(KvmVcpu *kv)
{
    if (kv->ring) {
        kvm_dirty_ring_orphan(kv->kvm->slots.ring, kv->ring);
    }
}
