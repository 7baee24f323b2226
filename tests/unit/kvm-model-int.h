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

/** kvm_model_interleave() - a moment in which others may run */
void kvm_model_interleave(KvmModel *m);

/** kvm_model_wait_stores() - every vCPU has been outside of a store since */
void kvm_model_wait_stores(KvmModel *m);

/** kvm_model_flush() - no TLB holds a page of @slot that is not writable */
void kvm_model_flush(KvmModel *m, KvmModelSlot *slot);

/** kvm_model_slot_free() - for a slot that no vCPU can see any more */
void kvm_model_slot_free(gpointer slot);

#endif
