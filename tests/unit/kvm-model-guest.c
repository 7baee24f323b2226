/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel model's vCPUs: stores, faults, and how the ioctls' side learns
 * that no store is under way (the inter-processor interrupt of a TLB flush).
 *
 *     vCPU                            flush
 *     seq = odd          (seq_cst)    W or T changed      (seq_cst)
 *     look at T, W       (seq_cst)    look at seq         (seq_cst)
 *     store                           odd: wait until it has changed
 *     seq = even         (release)
 *
 * Of the two looks one comes second, so either the vCPU sees the change or
 * the flush sees the store and waits for it.
 */
#include "kvm-model-int.h"

#include <sched.h>

#include "util/bitmap.h"

/* The word is another page's too, so atomic even under mmu_lock. */
static bool has(const uint64_t *map, uint64_t page)
{
    return __atomic_load_n(&map[page / MODEL_WORD_PAGES], __ATOMIC_SEQ_CST) >>
        page % MODEL_WORD_PAGES & 1;
}

static void put(uint64_t *map, uint64_t page)
{
    __atomic_fetch_or(&map[page / MODEL_WORD_PAGES],
                      UINT64_C(1) << page % MODEL_WORD_PAGES,
                      __ATOMIC_SEQ_CST);
}

static void enter(KvmModelVcpu *v)
{
    __atomic_store_n(&v->seq, v->seq + 1, __ATOMIC_SEQ_CST);
}

static void leave(KvmModelVcpu *v)
{
    __atomic_store_n(&v->seq, v->seq + 1, __ATOMIC_RELEASE);
}

void kvm_model_wait_stores(KvmModel *m)
{
    for (unsigned i = 0; i < KVM_MODEL_VCPUS; i++) {
        KvmModelVcpu *v = &m->vcpus[i];
        uint64_t seq = __atomic_load_n(&v->seq, __ATOMIC_SEQ_CST);

        while (seq % 2 && __atomic_load_n(&v->seq, __ATOMIC_ACQUIRE) == seq) {
            sched_yield();
        }
    }
}

/* A vCPU that is in the middle may have seen W and set T a moment later, so
 * wait, drop T, and wait again for those that had seen T. */
void kvm_model_flush(KvmModel *m, KvmModelSlot *slot)
{
    kvm_model_wait_stores(m);
    for (uint64_t w = 0; w < bitmap_words(slot->npages); w++) {
        if (__atomic_load_n(&slot->tlb[w], __ATOMIC_RELAXED)) {
            __atomic_store_n(&slot->tlb[w], 0, __ATOMIC_SEQ_CST);
        }
    }
    kvm_model_wait_stores(m);
}

static KvmModelSlot *slot_of(KvmModel *m, uint32_t as_id, uint64_t gpa)
{
    GPtrArray *slots = __atomic_load_n(&m->slots, __ATOMIC_SEQ_CST);

    for (guint i = 0; i < slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(slots, i);

        if (slot->id >> 16 == as_id && gpa >= slot->gpa &&
            (gpa - slot->gpa) >> MODEL_PAGE_BITS < slot->npages) {
            return slot;
        }
    }
    return NULL;
}

static KvmModelStore store_in(KvmModelSlot *slot, uint64_t gpa, uint64_t value)
{
    uint64_t page = (gpa - slot->gpa) >> MODEL_PAGE_BITS;
    uint64_t *at = (uint64_t *)(slot->host + (page << MODEL_PAGE_BITS));

    if (slot->flags & KVM_MEM_READONLY) {
        return KVM_MODEL_EXIT;
    }
    if (!has(slot->tlb, page)) {
        if (!has(slot->writable, page)) {
            return KVM_MODEL_FAULT;
        }
        put(slot->tlb, page);
    }
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
    return KVM_MODEL_STORED;
}

KvmModelStore kvm_model_store(KvmModel *m, unsigned vcpu, uint64_t gpa,
                              uint64_t value)
{
    KvmModelVcpu *v = &m->vcpus[vcpu];
    KvmModelSlot *slot;
    KvmModelStore r;
    uint64_t changing;

    enter(v);
    changing = __atomic_load_n(&m->changing, __ATOMIC_SEQ_CST);
    slot = slot_of(m, v->as_id, gpa);
    r = slot ? store_in(slot, gpa, value) : KVM_MODEL_EXIT;
    leave(v);
    if (!slot && (changing % 2 ||
                  changing != __atomic_load_n(&m->changing,
                                              __ATOMIC_SEQ_CST))) {
        sched_yield();
        return KVM_MODEL_FAULT; /* it may be on its way back */
    }
    v->exits += r == KVM_MODEL_EXIT;
    return r;
}

/* mmu_lock; D before W, and both before the store that follows. */
static void fault_in(KvmModel *m, KvmModelSlot *slot, uint64_t page)
{
    if (has(slot->writable, page)) {
        return;
    }
    if (slot->dirty) {
        put(slot->dirty, page);
        if (m->bug == KVM_MODEL_BUG_EXTRA_DIRTY && page + 1 < slot->npages) {
            put(slot->dirty, page + 1);
        }
    }
    put(slot->writable, page);
}

void kvm_model_fault(KvmModel *m, unsigned vcpu, uint64_t gpa)
{
    KvmModelVcpu *v = &m->vcpus[vcpu];
    KvmModelSlot *slot;

    enter(v);
    slot = slot_of(m, v->as_id, gpa);
    if (slot && !(slot->flags & KVM_MEM_READONLY)) {
        g_mutex_lock(&m->mmu_lock);
        fault_in(m, slot, (gpa - slot->gpa) >> MODEL_PAGE_BITS);
        g_mutex_unlock(&m->mmu_lock);
    }
    leave(v);
    v->faults++;
}

bool kvm_model_vcpu_write(KvmModel *m, unsigned vcpu, uint64_t gpa,
                          uint64_t value)
{
    KvmModelStore r;

    while ((r = kvm_model_store(m, vcpu, gpa, value)) == KVM_MODEL_FAULT) {
        kvm_model_fault(m, vcpu, gpa);
    }
    return r == KVM_MODEL_STORED;
}

bool kvm_model_write(KvmModel *m, uint64_t gpa, uint64_t value)
{
    return kvm_model_vcpu_write(m, 0, gpa, value);
}
