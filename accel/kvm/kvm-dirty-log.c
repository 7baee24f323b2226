/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 1 of a dirty page's way: from the kernel's log into the slot's cache
 * (KVM_GET_DIRTY_LOG, Documentation/virt/kvm/api.rst 4.8), and on into the
 * clients' bitmaps.
 *
 * Two modes. Without manual clear GET takes the bits: what it returns exists
 * nowhere else, so it is merged before anything can fail. With manual clear
 * GET is a copy; the kernel's bits only grow until they are cleared, which is
 * done under the slots lock out of this cache, so a bit once in the cache is
 * in every later copy until then, and replacing the cache loses nothing.
 *
 * A GET shows what was logged when it ran. Only one that is made when all
 * vCPUs have left guest mode is complete (hardware may hold back entries).
 */
#include "accel/kvm/kvm-slots.h"

#include <linux/kvm.h>

#include "trace/accel_kvm.h"
#include "util/bitmap.h"
#include "util/error.h"

static bool enable_log(KvmSlots *slots, GError **error)
{
    return true; /* the log flag of a slot is all it takes */
}

static bool enable_manual(KvmSlots *slots, GError **error)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
        .args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
    };
    int r;

    if (slots->mode.initially_set) {
        cap.args[0] |= KVM_DIRTY_LOG_INITIALLY_SET;
    }
    r = kvm_vm(slots->io, KVM_ENABLE_CAP, &cap);
    if (r < 0) {
        tm_error_set_errno(error, r, "cannot enable manual dirty log "
                           "protection (KVM_ENABLE_CAP, %d)",
                           (int)cap.args[0]);
        return false;
    }
    return true;
}

bool kvm_dirty_get(KvmSlots *slots, KvmSlot *slot, uint64_t *words,
                   GError **error)
{
    struct kvm_dirty_log log = { .slot = slot->id, .dirty_bitmap = words };
    int r = kvm_vm(slots->io, KVM_GET_DIRTY_LOG, &log);

    if (r < 0) {
        tm_error_set_errno(error, r, "cannot get the dirty log of slot %u, "
                           "%" G_GUINT64_FORMAT " pages", slot->id,
                           slot->npages);
        return false;
    }
    return true;
}

/*
 * A GET that fails may have taken bits that it could not hand over (EFAULT):
 * they exist nowhere then. So the whole slot counts as dirty for whoever is
 * on; the error is told all the same.
 */
static bool fetch_log(KvmSlots *slots, KvmSlot *slot, GError **error)
{
    if (!kvm_dirty_get(slots, slot, slot->cache, error)) {
        kvm_slots_assume_dirty_locked(slots, slot);
        return false;
    }
    return true;
}

#ifdef TM_DEBUG_CHECKS
/* I3: every bit of the cache is still set in the kernel. */
static void check_known(KvmSlots *slots, KvmSlot *slot)
{
    g_autofree uint64_t *kernel = bitmap_try_new(slot->npages, NULL);

    if (!kernel || !kvm_dirty_get(slots, slot, kernel, NULL)) {
        return;
    }
    for (uint64_t i = 0; i < bitmap_words(slot->npages); i++) {
        g_assert_cmphex(slot->cache[i] & ~kernel[i], ==, 0);
    }
}
#else
static void check_known(KvmSlots *slots, KvmSlot *slot)
{
}
#endif

/*
 * A GET that faults may have copied some of the words. These bits are true,
 * but nobody was told of them, and somebody else's clear must not take them:
 * until a GET succeeds nothing of the slot is cleared, which loses nothing.
 */
static bool fetch_manual(KvmSlots *slots, KvmSlot *slot, GError **error)
{
    check_known(slots, slot);
    if (slot->preset) {
        slot->preset = false;
        return true;
    }
    if (!kvm_dirty_get(slots, slot, slot->cache, error)) {
        slot->told = false;
        return false;
    }
    return true;
}

static void stop_log(KvmSlots *slots, KvmSlot *slot)
{
    g_clear_pointer(&slot->cache, g_free);
    slot->preset = false;
    slot->told = false;
}

const KvmDirtyOps kvm_dirty_log_ops = {
    .name = "dirty-log",
    .enable = enable_log,
    .fetch = fetch_log,
    .stop = stop_log,
};

const KvmDirtyOps kvm_dirty_log_manual_ops = {
    .name = "dirty-log-manual",
    .enable = enable_manual,
    .fetch = fetch_manual,
    .clear = kvm_clear_log_range,
    .stop = stop_log,
};

bool kvm_slots_sync_one_locked(KvmSlots *slots, KvmSlot *slot, GError **error)
{
    MemorySection whole = {
        .gpa = slot->gpa, .size = slot->npages << TM_PAGE_BITS,
        .block = slot->block, .offset = slot->offset,
        .readonly = slot->readonly,
    };
    int64_t begin_ns = clock_now_ns(slots->clock);

    if (!slots->dirty->fetch) {
        return true;
    }
    if (!slots->dirty->fetch(slots, slot, error)) {
        return false;
    }
    if (trace_event_is_on(&trace_event_kvm_dirty_fetch)) {
        trace_kvm_dirty_fetch(slot->id, slot->gpa, slot->npages,
                              bitmap_count(slot->cache, 0, slot->npages),
                              clock_now_ns(slots->clock) - begin_ns);
    }
    dirty_sync_merge(slots->listener.map, &whole, slot->cache, NULL);
    slot->told = true;
    return true;
}
