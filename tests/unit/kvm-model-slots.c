/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel model's memory slots. A slot never changes while a vCPU can see
 * it: a change makes a new one, puts it into a new table, waits until no store
 * is under way that may use the old, and hands the bitmaps on or frees them.
 */
#include "kvm-model-int.h"

#include <errno.h>

#include "util/bitmap.h"

#define MAX_SLOT_PAGES ((UINT64_C(1) << 31) - 1)
#define MAX_GPA (UINT64_C(1) << 52)
#define MAX_USER_ADDRESS (UINT64_C(1) << 47)
#define KNOWN_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

void kvm_model_slot_free(gpointer data)
{
    KvmModelSlot *slot = data;

    g_free(slot->dirty);
    g_free(slot->writable);
    g_free(slot->tlb);
    g_free(slot);
}

KvmModelSlot *kvm_model_slot(KvmModel *m, uint32_t id)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        if (slot->id == id) {
            return slot;
        }
    }
    return NULL;
}

/* ---- replacing ---------------------------------------------------------- */

/* A table without @old (may be NULL) and with @add (may be NULL). On return
 * no vCPU uses the former table; @old itself stays, for the caller. */
static void publish(KvmModel *m, KvmModelSlot *old, KvmModelSlot *add)
{
    GPtrArray *now = m->slots;
    GPtrArray *next = g_ptr_array_sized_new(now->len + 1);

    for (guint i = 0; i < now->len; i++) {
        if (g_ptr_array_index(now, i) != old) {
            g_ptr_array_add(next, g_ptr_array_index(now, i));
        }
    }
    if (add) {
        g_ptr_array_add(next, add);
    }
    g_mutex_lock(&m->mmu_lock); /* for those who look the slot up under it */
    __atomic_store_n(&m->slots, next, __ATOMIC_SEQ_CST);
    g_mutex_unlock(&m->mmu_lock);
    kvm_model_wait_stores(m);
    g_ptr_array_free(now, TRUE);
}

static void set_changing(KvmModel *m)
{
    __atomic_store_n(&m->changing, m->changing + 1, __ATOMIC_SEQ_CST);
}

/* All of a slot's pages to be faulted in again. */
static void protect_all(KvmModel *m, KvmModelSlot *slot)
{
    for (uint64_t w = 0; w < bitmap_words(slot->npages); w++) {
        if (__atomic_load_n(&slot->writable[w], __ATOMIC_RELAXED)) {
            g_mutex_lock(&m->mmu_lock);
            __atomic_store_n(&slot->writable[w], 0, __ATOMIC_SEQ_CST);
            g_mutex_unlock(&m->mmu_lock);
        }
    }
    kvm_model_flush(m, slot);
}

/* Of a slot that is logged; NULL if rings are all there is. */
static uint64_t *new_log(KvmModel *m, uint64_t npages)
{
    uint64_t *dirty;

    if (!kvm_model_has_log(m)) {
        return NULL;
    }
    dirty = bitmap_try_new(npages, NULL);
    if (m->manual & KVM_DIRTY_LOG_INITIALLY_SET) {
        bitmap_set(dirty, 0, npages);
    }
    return dirty;
}

/* ---- the changes -------------------------------------------------------- */

static void create_slot(KvmModel *m,
                        const struct kvm_userspace_memory_region *r)
{
    KvmModelSlot *slot = g_new0(KvmModelSlot, 1);

    slot->id = r->slot;
    slot->flags = r->flags;
    slot->gpa = r->guest_phys_addr;
    slot->npages = r->memory_size >> MODEL_PAGE_BITS;
    slot->host = (uint8_t *)(uintptr_t)r->userspace_addr;
    slot->writable = bitmap_try_new(slot->npages, NULL);
    slot->tlb = bitmap_try_new(slot->npages, NULL);
    if (r->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        slot->dirty = new_log(m, slot->npages);
    }
    publish(m, NULL, slot);
}

static void delete_slot(KvmModel *m, KvmModelSlot *slot)
{
    publish(m, slot, NULL);
    kvm_model_slot_free(slot);
}

/*
 * Another address, another log flag, or both; the bitmap stays if it may.
 * A slot that moves is out of sight while its mappings go. A log that begins
 * with every bit set may leave pages writable; one that begins empty protects
 * them, after the last vCPU that faults without logging is done.
 */
static void change_slot(KvmModel *m, KvmModelSlot *slot,
                        const struct kvm_userspace_memory_region *r)
{
    KvmModelSlot *next = g_memdup2(slot, sizeof(*slot));
    bool moves = slot->gpa != r->guest_phys_addr;
    bool logs = r->flags & KVM_MEM_LOG_DIRTY_PAGES;
    bool starts = logs && !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES);

    next->gpa = r->guest_phys_addr;
    next->flags = r->flags;
    if (!logs) {
        next->dirty = NULL;
    } else if (starts) {
        next->dirty = new_log(m, slot->npages);
    }
    if (moves) {
        publish(m, slot, NULL);
        protect_all(m, slot);
        publish(m, NULL, next);
    } else {
        publish(m, slot, next);
        if (starts && !(m->manual & KVM_DIRTY_LOG_INITIALLY_SET)) {
            protect_all(m, next);
        }
    }
    if (!logs) {
        g_free(slot->dirty);
    }
    g_free(slot);
}

/* ---- the call ----------------------------------------------------------- */

static bool overlaps(const KvmModelSlot *slot, uint64_t gpa, uint64_t npages)
{
    return gpa < slot->gpa + (slot->npages << MODEL_PAGE_BITS) &&
        slot->gpa < gpa + (npages << MODEL_PAGE_BITS);
}

static bool is_taken(KvmModel *m, uint32_t id, uint64_t gpa, uint64_t npages)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        if (slot->id != id && slot->id >> 16 == id >> 16 &&
            overlaps(slot, gpa, npages)) {
            return true;
        }
    }
    return false;
}

static bool is_sane(const KvmModel *m,
                    const struct kvm_userspace_memory_region *r)
{
    uint64_t bytes = r->memory_size;

    return !(r->flags & ~KNOWN_FLAGS) &&
        bytes % MODEL_PAGE_BYTES == 0 &&
        r->guest_phys_addr % MODEL_PAGE_BYTES == 0 &&
        r->userspace_addr % MODEL_PAGE_BYTES == 0 &&
        r->slot >> 16 < m->address_spaces &&
        (r->slot & 0xffff) < KVM_MODEL_SLOTS &&
        bytes >> MODEL_PAGE_BITS <= MAX_SLOT_PAGES &&
        r->guest_phys_addr <= MAX_GPA - bytes &&
        r->userspace_addr <= MAX_USER_ADDRESS - bytes;
}

/* Returns: whether @r leaves all of @slot that may not change. */
static bool may_become(const KvmModelSlot *slot,
                       const struct kvm_userspace_memory_region *r)
{
    return slot->npages == r->memory_size >> MODEL_PAGE_BITS &&
        slot->host == (uint8_t *)(uintptr_t)r->userspace_addr &&
        !((slot->flags ^ r->flags) & KVM_MEM_READONLY);
}

int kvm_model_set_region(KvmModel *m,
                         const struct kvm_userspace_memory_region *r)
{
    KvmModelSlot *slot = kvm_model_slot(m, r->slot);
    uint64_t npages = r->memory_size >> MODEL_PAGE_BITS;
    bool new_place = !slot || slot->gpa != r->guest_phys_addr;

    m->sets++;
    if (!is_sane(m, r) || (!npages && !slot) ||
        (npages && slot && !may_become(slot, r))) {
        return -EINVAL;
    }
    if (npages && new_place &&
        is_taken(m, r->slot, r->guest_phys_addr, npages)) {
        return -EEXIST;
    }
    set_changing(m);
    if (!npages) {
        delete_slot(m, slot);
    } else if (!slot) {
        create_slot(m, r);
    } else if (new_place || slot->flags != r->flags) {
        change_slot(m, slot, r);
    }
    set_changing(m);
    return 0;
}
