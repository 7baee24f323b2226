/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory listener of KVM: sections of the map on one side, slots on the
 * other. A range may touch several slots, and begin and end inside of one.
 */
#include "accel/kvm/kvm-slots.h"

/* A sync asks for one section after the other; what the kernel holds back for
 * all of them comes out at the first. */
static bool flush_once(KvmSlots *slots, GError **error)
{
    uint64_t sync = memory_map_sync_serial(slots->listener.map);

    if (!slots->dirty->flush || slots->flushed == sync) {
        return true;
    }
    slots->flushed = sync;
    return slots->dirty->flush(slots, error);
}

static bool log_sync(MemoryListener *l, const MemorySection *s,
                     GError **error)
{
    KvmSlots *slots = (KvmSlots *)l;
    bool ok = true;
    KvmSlot *slot;

    if (!flush_once(slots, error)) {
        return false;
    }
    kvm_slots_lock(slots);
    kvm_slots_retire_locked(slots);
    for (guint i = kvm_slots_first_locked(slots, s->gpa);
         ok && (slot = kvm_slots_at_locked(slots, i, s->gpa + s->size)); i++) {
        if (slot->logging) {
            ok = kvm_slots_sync_one_locked(slots, slot, error);
        }
    }
    kvm_slots_unlock(slots);
    return ok;
}

/* The part of @slot that lies in [gpa, gpa + size), in pages of the slot. */
static void slot_part(const KvmSlot *slot, const MemorySection *s,
                      uint64_t *ret_first, uint64_t *ret_npages)
{
    uint64_t slot_end = slot->gpa + (slot->npages << TM_PAGE_BITS);
    uint64_t begin = MAX(s->gpa, slot->gpa);
    uint64_t end = MIN(s->gpa + s->size, slot_end);

    *ret_first = (begin - slot->gpa) >> TM_PAGE_BITS;
    *ret_npages = (end - begin) >> TM_PAGE_BITS;
}

/* A clear is a loop over all slots the range touches: a section may be made
 * of several. A slot whose cache was not merged since its log began knows
 * nothing that may be cleared. */
static bool log_clear(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    KvmSlots *slots = (KvmSlots *)l;
    DirtyClearStats stats = { 0 };
    uint64_t first, npages;
    bool ok = true;
    KvmSlot *slot;

    if (!slots->dirty->clear) {
        return true;
    }
    kvm_slots_lock(slots);
    for (guint i = kvm_slots_first_locked(slots, s->gpa);
         ok && (slot = kvm_slots_at_locked(slots, i, s->gpa + s->size)); i++) {
        if (slot->logging && slot->told) {
            slot_part(slot, s, &first, &npages);
            ok = slots->dirty->clear(slots, slot, first, npages, &stats,
                                     error);
        }
    }
    kvm_slots_unlock(slots);
    if (stats.calls) {
        dirty_clear_account(slots->listener.map, &stats);
    }
    return ok;
}

static bool region_add(MemoryListener *l, const MemorySection *s,
                       GError **error)
{
    return kvm_slots_add((KvmSlots *)l, s, error);
}

static void region_del(MemoryListener *l, const MemorySection *s)
{
    kvm_slots_del((KvmSlots *)l, s);
}

static bool log_start(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    return kvm_slots_log_start((KvmSlots *)l, s, error);
}

static void log_stop(MemoryListener *l, const MemorySection *s)
{
    kvm_slots_log_stop((KvmSlots *)l, s);
}

const MemoryListenerOps kvm_slots_listener_ops = {
    .region_add = region_add,
    .region_del = region_del,
    .log_start = log_start,
    .log_stop = log_stop,
    .log_sync = log_sync,
    .log_clear = log_clear,
};
