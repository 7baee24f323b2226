/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the kernel model share.
 */
#ifndef TESTS_KVM_MODEL_INT_H
#define TESTS_KVM_MODEL_INT_H

#include "kvm-model.h"

#include <linux/kvm.h>

#define MODEL_PAGE_BITS 12
#define MODEL_PAGE_BYTES (UINT64_C(1) << MODEL_PAGE_BITS)
#define MODEL_WORD_PAGES 64

/* slots_lock is held in all that follow but where said. */

/** kvm_model_set_region() - KVM_SET_USER_MEMORY_REGION */
int kvm_model_set_region(KvmModel *m,
                         const struct kvm_userspace_memory_region *r);
/** kvm_model_get_log(), kvm_model_clear_log() - KVM_{GET,CLEAR}_DIRTY_LOG */
int kvm_model_get_log(KvmModel *m, const struct kvm_dirty_log *log);
int kvm_model_clear_log(KvmModel *m, const struct kvm_clear_dirty_log *log);

/** kvm_model_enable_ring(), kvm_model_enable_ring_bitmap() - KVM_ENABLE_CAP */
int kvm_model_enable_ring(KvmModel *m, const struct kvm_enable_cap *cap);
int kvm_model_enable_ring_bitmap(KvmModel *m,
                                 const struct kvm_enable_cap *cap);
/** kvm_model_new_vcpu() - KVM_CREATE_VCPU */
int kvm_model_new_vcpu(KvmModel *m, uintptr_t id);
/** kvm_model_reset_rings() - KVM_RESET_DIRTY_RINGS */
int kvm_model_reset_rings(KvmModel *m);

/** kvm_model_has_log() - is there a bitmap for slots that are logged? */
static inline bool kvm_model_has_log(const KvmModel *m)
{
    return !m->ring_bytes || m->ring_with_bitmap;
}

/** kvm_model_vcpu_of() - by its file, or NULL. Context: any. */
KvmModelVcpu *kvm_model_vcpu_of(KvmModel *m, int fd);
void kvm_model_vcpu_free(KvmModelVcpu *v);

/** kvm_model_push() - a store of @v to a page of a logged @slot becomes an
 *  entry, now or when hardware tells. Context: mmu_lock. */
void kvm_model_push(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                    uint64_t page);

/** kvm_model_drain() - what hardware holds for @v becomes entries. Context:
 *  mmu_lock. */
void kvm_model_drain(KvmModel *m, KvmModelVcpu *v);

/** kvm_model_ring_is_full() - up to the soft limit. Context: any. */
bool kvm_model_ring_is_full(const KvmModel *m, const KvmModelVcpu *v);

/** kvm_model_left() - @v is not in guest mode, it has to enter again.
 *  Context: any. */
static inline void kvm_model_left(KvmModelVcpu *v)
{
    __atomic_store_n(&v->in_guest, false, __ATOMIC_RELAXED);
}

/** kvm_model_run() - KVM_RUN. Context: no lock. */
int kvm_model_run(KvmModel *m, KvmModelVcpu *v);

/** kvm_model_in_rings() - is every writable page of @slot in a ring, or in
 *  what goes there? Context: mmu_lock. */
bool kvm_model_in_rings(KvmModel *m, const KvmModelSlot *slot);

/** kvm_model_slot_at() - the slot of an address, or NULL. Context: mmu_lock,
 *  or in a vCPU's store. */
KvmModelSlot *kvm_model_slot_at(KvmModel *m, uint32_t as_id, uint64_t gpa);

/** kvm_model_interleave() - a moment in which others may run */
void kvm_model_interleave(KvmModel *m);

/** kvm_model_wait_stores() - every vCPU has been outside of a store since */
void kvm_model_wait_stores(KvmModel *m);

/** kvm_model_flush() - no TLB holds a page of @slot that is not writable */
void kvm_model_flush(KvmModel *m, KvmModelSlot *slot);

/** kvm_model_slot_free() - for a slot that no vCPU can see any more */
void kvm_model_slot_free(gpointer slot);

#endif
