/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slot table: sections of the memory map come and go, slots with them;
 * the log flag goes on and off.
 */
#include "accel/kvm/kvm-slots.h"

#include <linux/kvm.h>

#include "system/dirty-bitmap.h"
#include "trace/accel_kvm.h"
#include "util/bitmap.h"
#include "util/error.h"

void kvm_slots_init(KvmSlots *slots, KvmIo *io, const KvmDirtyOps *dirty,
                    KvmLogMode mode, uint32_t max_slots, bool readonly_mem)
{
    *slots = (KvmSlots) {
        .listener = { .ops = &kvm_slots_listener_ops, .name = "kvm" },
        .io = io,
        .dirty = dirty,
        .mode = mode,
        .max_slots = max_slots,
        .max_pages = KVM_SLOT_MAX_PAGES,
        .readonly_mem = readonly_mem,
        .clock = clock_new_host(),
        .table = g_ptr_array_new(),
        .by_id = g_ptr_array_new(),
        .stuck = g_ptr_array_new(),
        .free_ids = g_array_new(FALSE, FALSE, sizeof(uint32_t)),
    };
    g_mutex_init(&slots->lock);
}

static void slot_free(gpointer opaque)
{
    KvmSlot *slot = opaque;

    g_free(slot->cache);
    g_free(slot);
}

void kvm_slots_done(KvmSlots *slots)
{
    if (!slots->table) {
        return;
    }
    g_ptr_array_set_free_func(slots->table, slot_free);
    g_ptr_array_free(slots->table, TRUE);
    g_ptr_array_free(slots->by_id, TRUE);
    g_ptr_array_set_free_func(slots->stuck, slot_free);
    g_ptr_array_free(slots->stuck, TRUE);
    g_array_free(slots->free_ids, TRUE);
    g_mutex_clear(&slots->lock);
    clock_free(slots->clock);
    slots->table = NULL;
}

void kvm_slots_lock(KvmSlots *slots)
{
    g_mutex_lock(&slots->lock);
}

void kvm_slots_unlock(KvmSlots *slots)
{
    g_mutex_unlock(&slots->lock);
}

guint kvm_slots_first_locked(const KvmSlots *slots, uint64_t gpa)
{
    guint low = 0, high = slots->table->len;

    while (low < high) {
        guint mid = low + (high - low) / 2;
        const KvmSlot *slot = g_ptr_array_index(slots->table, mid);

        /* as a last byte, so that the end of the address space fits */
        if (slot->gpa + (slot->npages << TM_PAGE_BITS) - 1 < gpa) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

KvmSlot *kvm_slots_by_id_locked(const KvmSlots *slots, uint32_t id)
{
    return id < slots->by_id->len ? g_ptr_array_index(slots->by_id, id) : NULL;
}

/* The slot comes into the table, or (NULL) goes out of it. */
static void set_by_id_locked(KvmSlots *slots, uint32_t id, KvmSlot *slot)
    TSA_REQUIRES(slots->lock);
static void set_by_id_locked(KvmSlots *slots, uint32_t id, KvmSlot *slot)
{
    if (id >= slots->by_id->len) {
        g_ptr_array_set_size(slots->by_id, id + 1);
    }
    g_ptr_array_index(slots->by_id, id) = slot;
}

KvmSlot *kvm_slots_at_locked(const KvmSlots *slots, guint i, uint64_t end)
{
    KvmSlot *slot;

    if (i >= slots->table->len) {
        return NULL;
    }
    slot = g_ptr_array_index(slots->table, i);
    return slot->gpa < end ? slot : NULL;
}

/* Tell the kernel how the slot is now to be; @npages 0 removes it. */
static bool set_region(KvmSlots *slots, const KvmSlot *slot, uint64_t npages,
                       bool logging, GError **error)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot->id,
        .flags = (slot->readonly ? KVM_MEM_READONLY : 0) |
            (logging ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = slot->gpa,
        .memory_size = npages << TM_PAGE_BITS,
        .userspace_addr = (uintptr_t)slot->block->host + slot->offset,
    };
    int r = kvm_vm(slots->io, KVM_SET_USER_MEMORY_REGION, &region);

    trace_kvm_set_region(slot->id, region.flags, slot->gpa, npages, r);
    if (r < 0) {
        tm_error_set_errno(error, r, "cannot set memory slot %u at 0x%"
                           G_GINT64_MODIFIER "x, %" G_GUINT64_FORMAT
                           " pages (KVM_SET_USER_MEMORY_REGION)", slot->id,
                           slot->gpa, npages);
        return false;
    }
    return true;
}

static bool take_id_locked(KvmSlots *slots, uint32_t *ret, GError **error)
{
    if (slots->free_ids->len) {
        *ret = g_array_index(slots->free_ids, uint32_t,
                             slots->free_ids->len - 1);
        g_array_set_size(slots->free_ids, slots->free_ids->len - 1);
        return true;
    }
    if (slots->next_id >= slots->max_slots) {
        tm_error_set(error, "no memory slot is left: KVM has %u",
                     slots->max_slots);
        return false;
    }
    *ret = slots->next_id++;
    return true;
}

static bool add_one_locked(KvmSlots *slots, const MemorySection *s,
                           GError **error)
    TSA_REQUIRES(slots->lock);
static bool add_one_locked(KvmSlots *slots, const MemorySection *s,
                           GError **error)
{
    g_autofree KvmSlot *slot = g_new0(KvmSlot, 1);

    slot->gpa = s->gpa;
    slot->npages = s->size >> TM_PAGE_BITS;
    slot->block = s->block;
    slot->offset = s->offset;
    slot->readonly = s->readonly;
    if (!take_id_locked(slots, &slot->id, error)) {
        return false;
    }
    if (!set_region(slots, slot, slot->npages, false, error)) {
        g_array_append_val(slots->free_ids, slot->id);
        return false;
    }
    set_by_id_locked(slots, slot->id, slot);
    g_ptr_array_insert(slots->table, kvm_slots_first_locked(slots, s->gpa),
                       g_steal_pointer(&slot));
    return true;
}

void kvm_slots_assume_dirty_locked(KvmSlots *slots, const KvmSlot *slot)
{
    trace_kvm_slot_assumed_dirty(slot->id, slot->npages);
    dirty_bitmap_mark(memory_map_ram(slots->listener.map), slot->block,
                      slot->offset >> TM_PAGE_BITS, slot->npages);
}

/* Collect what is not yet told, so that removal loses no bit. */
static void sync_before_del_locked(KvmSlots *slots, KvmSlot *slot)
    TSA_REQUIRES(slots->lock);
static void sync_before_del_locked(KvmSlots *slots, KvmSlot *slot)
{
    /* The safe side: what cannot be asked for is dirty. */
    if (slot->logging && !kvm_slots_sync_one_locked(slots, slot, NULL)) {
        kvm_slots_assume_dirty_locked(slots, slot);
    }
}

static void del_at_locked(KvmSlots *slots, guint i)
    TSA_REQUIRES(slots->lock);
static void del_at_locked(KvmSlots *slots, guint i)
{
    KvmSlot *slot = g_ptr_array_index(slots->table, i);

    sync_before_del_locked(slots, slot);
    if (slot->logging) {
        slots->dirty->stop(slots, slot);
    }
    g_ptr_array_remove_index(slots->table, i);
    set_by_id_locked(slots, slot->id, NULL);
    if (set_region(slots, slot, 0, false, NULL)) {
        g_array_append_val(slots->free_ids, slot->id);
        slot_free(slot);
    } else {
        slot->logging = false;
        g_ptr_array_add(slots->stuck, slot);
    }
}

/*
 * The guest can write through a slot that the kernel would not remove, and
 * the log of it is nobody's. So its pages count as dirty each time that
 * somebody asks, and once more when it is gone: in this order, as vCPUs may
 * run.
 */
void kvm_slots_retire_locked(KvmSlots *slots)
{
    for (guint i = slots->stuck->len; i-- > 0; ) {
        KvmSlot *slot = g_ptr_array_index(slots->stuck, i);
        bool gone = set_region(slots, slot, 0, false, NULL);

        kvm_slots_assume_dirty_locked(slots, slot);
        if (gone) {
            g_array_append_val(slots->free_ids, slot->id);
            g_ptr_array_remove_index(slots->stuck, i);
            slot_free(slot);
        }
    }
}

static void del_range_locked(KvmSlots *slots, uint64_t gpa, uint64_t size)
    TSA_REQUIRES(slots->lock);
static void del_range_locked(KvmSlots *slots, uint64_t gpa, uint64_t size)
{
    guint i = kvm_slots_first_locked(slots, gpa);

    while (kvm_slots_at_locked(slots, i, gpa + size)) {
        del_at_locked(slots, i);
    }
}

/* Size of the next piece of what remains: up to the slot limit, and not into
 * the APIC's page. */
static uint64_t piece_bytes(const KvmSlots *slots, const MemorySection *rest)
{
    uint64_t size = MIN(rest->size, slots->max_pages << TM_PAGE_BITS);

    if (rest->gpa < KVM_APIC_PAGE_GPA) {
        size = MIN(size, KVM_APIC_PAGE_GPA - rest->gpa);
    }
    return size;
}

bool kvm_slots_add(KvmSlots *slots, const MemorySection *s, GError **error)
{
    MemorySection rest = *s;
    bool ok = true;

    if (s->readonly && !slots->readonly_mem) {
        return true; /* every access exits and is served by the memory map */
    }
    kvm_slots_lock(slots);
    kvm_slots_retire_locked(slots);
    while (rest.size) {
        MemorySection piece = rest;

        if (rest.gpa == KVM_APIC_PAGE_GPA) {
            piece.size = TM_PAGE_BYTES;
        } else {
            piece.size = piece_bytes(slots, &rest);
            ok = add_one_locked(slots, &piece, error);
            if (!ok) {
                del_range_locked(slots, s->gpa, rest.gpa - s->gpa);
                break;
            }
        }
        rest.gpa += piece.size;
        rest.offset += piece.size;
        rest.size -= piece.size;
    }
    kvm_slots_unlock(slots);
    return ok;
}

/* What is held back comes out before the slot goes: nobody could say later
 * which memory it was for. Beside a kernel that refuses, the caller's sync has
 * told that all is dirty. */
void kvm_slots_del(KvmSlots *slots, const MemorySection *s)
{
    if (slots->dirty->flush) {
        slots->dirty->flush(slots, NULL);
    }
    kvm_slots_lock(slots);
    del_range_locked(slots, s->gpa, s->size);
    kvm_slots_unlock(slots);
}

static bool log_start_one_locked(KvmSlots *slots, KvmSlot *slot,
                                 GError **error)
{
    if (slot->logging) {
        return true;
    }
    slot->cache = bitmap_try_new(slot->npages, error);
    if (!slot->cache) {
        return false;
    }
    if (!set_region(slots, slot, slot->npages, true, error)) {
        g_clear_pointer(&slot->cache, g_free);
        return false;
    }
    slot->logging = true;
    slot->told = false;
    /*
     * The kernel has set every bit, so the first fetch would bring back ones:
     * write them down and save the call. Only because the kernel said that it
     * does so: a cache bit without the kernel's is a write that gets lost. A
     * log that the kernel would not end goes on with the bits that it has.
     */
    slot->preset = slots->mode.initially_set && !slot->kernel_logs;
    slot->kernel_logs = true;
    if (slot->preset) {
        bitmap_set(slot->cache, 0, slot->npages);
    }
    if (slots->dirty->start) {
        slots->dirty->start(slots, slot);
    }
    return true;
}

static void log_stop_range_locked(KvmSlots *slots, uint64_t gpa, uint64_t size)
    TSA_REQUIRES(slots->lock);
static void log_stop_range_locked(KvmSlots *slots, uint64_t gpa, uint64_t size)
{
    KvmSlot *slot;

    for (guint i = kvm_slots_first_locked(slots, gpa);
         (slot = kvm_slots_at_locked(slots, i, gpa + size)); i++) {
        if (slot->logging) {
            /* If the kernel refuses it goes on logging for nobody. */
            slot->kernel_logs = !set_region(slots, slot, slot->npages, false,
                                            NULL);
            slots->dirty->stop(slots, slot);
            slot->logging = false;
        }
    }
}

bool kvm_slots_log_start(KvmSlots *slots, const MemorySection *s,
                         GError **error)
{
    bool ok = true;
    KvmSlot *slot;

    kvm_slots_lock(slots);
    for (guint i = kvm_slots_first_locked(slots, s->gpa);
         ok && (slot = kvm_slots_at_locked(slots, i, s->gpa + s->size)); i++) {
        ok = log_start_one_locked(slots, slot, error);
    }
    if (!ok) {
        log_stop_range_locked(slots, s->gpa, s->size);
    }
    kvm_slots_unlock(slots);
    return ok;
}

void kvm_slots_log_stop(KvmSlots *slots, const MemorySection *s)
{
    kvm_slots_lock(slots);
    log_stop_range_locked(slots, s->gpa, s->size);
    kvm_slots_unlock(slots);
}

bool kvm_slots_log_again_locked(KvmSlots *slots, KvmSlot *slot,
                                GError **error)
{
    return set_region(slots, slot, slot->npages, false, error) &&
        set_region(slots, slot, slot->npages, true, error);
}
