/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU: its file, its thread's signal, the run loop; and its registers.
 */
#ifndef ACCEL_KVM_KVM_VCPU_H
#define ACCEL_KVM_KVM_VCPU_H

#include <glib.h>
#include <stdbool.h>

#include "accel/kvm/kvm-state.h"

/** kvm_vcpu_signal_init() - install the handler of the kick signal
 *  Context: start-up. Errors: sigaction failed. */
bool kvm_vcpu_signal_init(GError **error);

/** kvm_vcpu_new() - AccelOps.vcpu_new. Blocks all signals but the kick's in
 *  the calling thread. Errors: as there. */
bool kvm_vcpu_new(Vcpu *vcpu, GError **error);

/** kvm_vcpu_free() - close it; NULL is fine. Context: its thread is gone. */
void kvm_vcpu_free(KvmVcpu *kv);

/** kvm_vcpu_run() - AccelOps.vcpu_run. Returns only when no port or memory
 *  access of the guest is half done, so that the registers are whole. */
VcpuExit kvm_vcpu_run(Vcpu *vcpu);

/** kvm_vcpu_kick() - AccelOps.kick. */
void kvm_vcpu_kick(Vcpu *vcpu);

/** kvm_get_state(), kvm_set_state() - AccelOps.get_state, set_state. */
bool kvm_get_state(Vcpu *vcpu, GError **error);
bool kvm_set_state(Vcpu *vcpu, GError **error);

/** kvm_fpu_get(), kvm_fpu_set() - x87 and vector registers, XCR0; kvm-fpu.c.
 *  Errors: the ioctl's. */
bool kvm_fpu_get(KvmVcpu *kv, GError **error);
bool kvm_fpu_set(KvmVcpu *kv, GError **error);

/**
 * kvm_nested_get() - is a guest of the guest's under way? Into state->nested;
 * kvm-nested.c. Also of a guest that has switched VMX on and runs none: it
 * would not find it so elsewhere.
 * Errors: the ioctl's.
 */
bool kvm_nested_get(KvmVcpu *kv, GError **error);

/** kvm_nested_leave() - drop it. Errors: the ioctl's. */
bool kvm_nested_leave(KvmVcpu *kv, GError **error);

/* What the run loop does after an exit was dealt with. */
typedef enum KvmAction {
    KVM_GO_ON,    /* enter again: the access is completed there */
    KVM_GO_HALT,  /* wait for an event */
    KVM_GO_OUT,   /* leave: the machine is asked to stop or reset */
} KvmAction;

/** kvm_exit_handle() - deal with kv->run->exit_reason.
 *  Context: the vCPU's thread, no lock. */
KvmAction kvm_exit_handle(KvmVcpu *kv);

/** kvm_exit_fail() - the vCPU cannot go on: report why with its registers,
 *  ask for run state internal-error. The VM stays inspectable.
 *  Context: the vCPU's thread, no lock. */
void kvm_exit_fail(KvmVcpu *kv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* MSRs: kvm-msrs.c. */

/** kvm_mce_setup() - machine-check banks, as many as the stream carries.
 *  Errors: the ioctl failed. */
bool kvm_mce_setup(KvmVcpu *kv, GError **error);

/** kvm_msrs_init() - which can be read and set, found out on the first vCPU;
 *  makes the list of those without a field of their own in its state.
 *  Context: the vCPU's thread, big lock. Errors: no memory in the kernel. */
bool kvm_msrs_init(KvmVcpu *kv, GError **error);

/** kvm_msrs_list() - the numbers that a request of /dev/kvm fills in
 *  @request: KVM_GET_MSR_INDEX_LIST or its like, named by @what
 *  Errors: the ioctl's. Returns: free with g_free(); NULL on error. */
struct kvm_msr_list *kvm_msrs_list(KvmIo *io, unsigned long request,
                                   const char *what, GError **error);

/** kvm_msrs_check_count() - did an ioctl on MSRs take all of @block?
 *  The kernel stops at the first that it refuses and returns how many came
 *  before. @r: what it returned;  @what: "KVM_SET_MSRS"
 *  Errors: it failed, or stopped short: the MSR is named. */
bool kvm_msrs_check_count(KvmVcpu *kv, const struct kvm_msrs *block, int r,
                          const char *what, GError **error);

/** kvm_msrs_get(), kvm_msrs_set() - all of kvm->msrs; the kernel's count of
 *  accepted ones is checked. Errors: the first MSR refused, by number. */
bool kvm_msrs_get(KvmVcpu *kv, GError **error);
bool kvm_msrs_set(KvmVcpu *kv, GError **error);

#endif
