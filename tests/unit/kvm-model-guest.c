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

#include <errno.h>
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

KvmModelSlot *kvm_model_slot_at(KvmModel *m, uint32_t as_id, uint64_t gpa)
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

/* mmu_lock */
static void log_one(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                    uint64_t page)
{
    if (m->ring_bytes) {
        kvm_model_push(m, v, slot, page);
    } else {
        put(slot->dirty, page);
    }
}

static void log_page(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                     uint64_t page)
{
    if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
        return;
    }
    log_one(m, v, slot, page);
    if (m->bug == KVM_MODEL_BUG_EXTRA_DIRTY && page + 1 < slot->npages) {
        log_one(m, v, slot, page + 1);
    }
}

/* The kernel stores for the vCPU, whatever the page table says, and logs
 * that afterwards. */
static void store_and_log(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                          uint64_t page, uint64_t *at, uint64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
    g_mutex_lock(&m->mmu_lock);
    log_page(m, v, slot, page);
    g_mutex_unlock(&m->mmu_lock);
    if (++v->unlooked > m->log_batch) {
        kvm_model_left(v);
    }
}

static KvmModelStore store_in(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                              uint64_t gpa, uint64_t value)
{
    uint64_t page = (gpa - slot->gpa) >> MODEL_PAGE_BITS;
    uint64_t *at = (uint64_t *)(slot->host + (page << MODEL_PAGE_BITS));

    if (slot->flags & KVM_MEM_READONLY) {
        return KVM_MODEL_EXIT;
    }
    if (__atomic_load_n(&m->log_stores, __ATOMIC_RELAXED)) {
        store_and_log(m, v, slot, page, at, value);
        return KVM_MODEL_STORED;
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
    slot = kvm_model_slot_at(m, v->as_id, gpa);
    r = slot ? store_in(m, v, slot, gpa, value) : KVM_MODEL_EXIT;
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

/* mmu_lock; D (or the entry) before W, and both before the store that
 * follows. */
static void fault_in(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                     uint64_t page)
{
    if (!has(slot->writable, page)) {
        log_page(m, v, slot, page);
        put(slot->writable, page);
    }
}

void kvm_model_fault(KvmModel *m, unsigned vcpu, uint64_t gpa)
{
    KvmModelVcpu *v = &m->vcpus[vcpu];
    KvmModelSlot *slot;

    enter(v);
    slot = kvm_model_slot_at(m, v->as_id, gpa);
    if (slot && !(slot->flags & KVM_MEM_READONLY)) {
        g_mutex_lock(&m->mmu_lock);
        fault_in(m, v, slot, (gpa - slot->gpa) >> MODEL_PAGE_BITS);
        g_mutex_unlock(&m->mmu_lock);
    }
    leave(v);
    v->faults++;
    if (!v->ring.pml) { /* which takes it without an exit */
        kvm_model_left(v);
    }
}

/* ---- guest mode ---------------------------------------------------------- */

static void drain(KvmModel *m, KvmModelVcpu *v)
{
    kvm_model_left(v);
    if (v->ring.pml) {
        g_mutex_lock(&m->mmu_lock);
        kvm_model_drain(m, v);
        g_mutex_unlock(&m->mmu_lock);
    }
}

void kvm_model_kick(KvmModel *m, unsigned vcpu)
{
    drain(m, &m->vcpus[vcpu]);
}

static int enter_guest(KvmModel *m, KvmModelVcpu *v)
{
    drain(m, v);
    if (kvm_model_ring_is_full(m, v)) {
        v->full_exits++;
        return KVM_EXIT_DIRTY_RING_FULL;
    }
    v->unlooked = 0;
    __atomic_store_n(&v->in_guest, true, __ATOMIC_RELAXED);
    return 0;
}

int kvm_model_vcpu_enter(KvmModel *m, unsigned vcpu)
{
    return enter_guest(m, &m->vcpus[vcpu]);
}

KvmModelStore kvm_model_vcpu_try(KvmModel *m, unsigned vcpu, uint64_t gpa,
                                 uint64_t value)
{
    KvmModelVcpu *v = &m->vcpus[vcpu];
    KvmModelStore r = KVM_MODEL_FAULT;

    while (r == KVM_MODEL_FAULT) {
        if (!__atomic_load_n(&v->in_guest, __ATOMIC_RELAXED) &&
            enter_guest(m, v)) {
            return KVM_MODEL_FULL;
        }
        r = kvm_model_store(m, vcpu, gpa, value);
        if (r == KVM_MODEL_FAULT) {
            kvm_model_fault(m, vcpu, gpa);
        }
    }
    if (r == KVM_MODEL_EXIT) {
        drain(m, v);
    }
    return r;
}

int kvm_model_run(KvmModel *m, KvmModelVcpu *v)
{
    int r = -EINTR;

    v->run->exit_reason = KVM_EXIT_INTR;
    if (!__atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED)) {
        r = enter_guest(m, v);
        r = r ? r : m->guest ? m->guest(m->opaque, v - m->vcpus) : -EINTR;
        drain(m, v);
    }
    if (r >= 0) {
        v->run->exit_reason = r;
    }
    return MIN(r, 0);
}

bool kvm_model_vcpu_write(KvmModel *m, unsigned vcpu, uint64_t gpa,
                          uint64_t value)
{
    return kvm_model_vcpu_try(m, vcpu, gpa, value) == KVM_MODEL_STORED;
}

bool kvm_model_write(KvmModel *m, uint64_t gpa, uint64_t value)
{
    return kvm_model_vcpu_write(m, 0, gpa, value);
}

void kvm_model_kernel_write(KvmModel *m, uint64_t gpa, uint64_t value)
{
    KvmModelSlot *slot = kvm_model_slot_at(m, 0, gpa);
    uint64_t page = (gpa - slot->gpa) >> MODEL_PAGE_BITS;
    uint64_t *at = (uint64_t *)(slot->host + (page << MODEL_PAGE_BITS));

    __atomic_store_n(at, value, __ATOMIC_RELAXED);
    if (slot->dirty) {
        put(slot->dirty, page);
    }
}
