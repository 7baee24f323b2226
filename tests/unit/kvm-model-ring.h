/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel model's dirty rings (see kvm-model.h). A VM with a ring keeps no
 * bitmaps: what a vCPU's fault logs goes as an entry into that vCPU's ring,
 * before the page becomes writable. An entry is
 *
 *     free -> DIRTY (kernel) -> RESET (user space) -> free (kernel)
 *
 * and KVM_RESET_DIRTY_RINGS takes those marked RESET in order, ring by ring,
 * up to the first that is not, and protects their pages in masks of up to 64
 * neighbours. The indices run free over 32 bits; used is what lies between,
 * harvested or not. From the soft limit on a vCPU leaves before it enters;
 * nothing keeps a push within the ring's size.
 *
 *     reset                      dirty        reset + soft limit   + size
 *       |--- harvested ---|-- dirty --|            |   reserve      |
 *
 * Order of memory: an entry is filled before its flag says DIRTY (release),
 * RESET is looked at with acquire, and it is made free with release, which
 * comes before its page is protected.
 *
 * How kernels go wrong, when told to: each store is logged and a vCPU does
 * not look at the limit for a while (log_stores, log_batch), so that entries
 * are overwritten; what is logged shows at the next exit or kick only (pml);
 * a reset ends early and forgets a mask (reset_cuts); it fails (fail_request).
 * Once entries are overwritten or forgotten, the model stops asserting I2;
 * kvm_model_broken() still tells.
 */
#ifndef TESTS_KVM_MODEL_RING_H
#define TESTS_KVM_MODEL_RING_H

#include <linux/kvm.h>
#include <stdint.h>

#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif

#define KVM_MODEL_RING_BYTES (1u << 20)  /* the largest ring */
#define KVM_MODEL_RING_RESERVED 64u      /* entries above the soft limit */
#define KVM_MODEL_PML_ENTRIES 512u       /* ... and for a hardware buffer */

typedef struct KvmModel KvmModel;

typedef struct KvmModelRing {
    struct kvm_dirty_gfn *entries;  /* shared with who maps them; NULL: none */
    uint32_t size, soft_limit;      /* entries */
    uint32_t dirty;      /* the next to push; atomic, mmu_lock */
    uint32_t reset;      /* the next to reset; atomic, slots_lock */
    uint64_t pushes;     /* mmu_lock */
    uint64_t *pml;       /* addresses in hardware; NULL: none. mmu_lock */
    unsigned n_pml;
} KvmModelRing;

/**
 * kvm_model_vcpu_mmap() - map a vCPU's file as mmap(2) would
 * Errors: NULL with errno: the ring private EINVAL, executable EPERM.
 */
void *kvm_model_vcpu_mmap(KvmModel *m, int vcpu_fd, int prot, int flags,
                          unsigned page, size_t length);

/** kvm_model_kick() - vCPU @vcpu leaves guest mode, so that its hardware
 *  buffer is emptied. Context: any thread. */
void kvm_model_kick(KvmModel *m, unsigned vcpu);

/** kvm_model_ring_used() - entries of @vcpu's ring that are not free */
uint32_t kvm_model_ring_used(const KvmModel *m, unsigned vcpu);

/** kvm_model_kernel_write() - the kernel stores on nobody's behalf: that is
 *  in no ring, and only a bitmap has it. Context: any thread, with no change
 *  of slots beside it. */
void kvm_model_kernel_write(KvmModel *m, uint64_t gpa, uint64_t value);

#endif
