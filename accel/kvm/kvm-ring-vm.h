/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty rings and the rest of the machine: vCPUs map theirs, leave the
 * guest when it is full, and are stopped when tracking is lost.
 */
#ifndef ACCEL_KVM_KVM_RING_VM_H
#define ACCEL_KVM_KVM_RING_VM_H

#include <glib.h>
#include <stdbool.h>

#include "accel/kvm/kvm-state.h"

/** kvm_ring_vm_init() - the rings are enabled: find out what kind of host this
 *  is, fill the accelerator's door. No ring: nothing. Context: start-up. */
void kvm_ring_vm_init(KvmState *kvm, const KvmOptions *options);

/** kvm_ring_vm_done() - Context: big lock; vCPUs are gone. */
void kvm_ring_vm_done(KvmState *kvm);

/**
 * kvm_ring_vcpu_map() - map the ring of a vCPU that is otherwise complete, and
 * have it harvested from then on
 * No rings: nothing. Context: the vCPU's thread.
 * Errors: mmap().
 */
bool kvm_ring_vcpu_map(KvmVcpu *kv, GError **error);

/** kvm_ring_vcpu_unmap() - harvest it once more and take it out; not mapped:
 *  nothing. Context: the vCPU's thread is gone; no slots lock. */
void kvm_ring_vcpu_unmap(KvmVcpu *kv);

/** kvm_ring_vcpu_ends() - the vCPU's thread ends, and Vcpu with it */
void kvm_ring_vcpu_ends(KvmVcpu *kv);

#endif
