/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capabilities of VMX that a guest finds: MSRs that tell which controls
 * its own guests may use. A property of the vCPU, set once when it is made.
 */
#ifndef ACCEL_KVM_KVM_VMX_H
#define ACCEL_KVM_KVM_VMX_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-state.h"

/** kvm_vmx_is_capability() - is this one of those MSRs? */
bool kvm_vmx_is_capability(uint32_t index);

/**
 * kvm_vmx_read() - what this kernel can give, into kvm->vmx_msrs
 * Only those that can be set: the others the kernel makes from them or from
 * CPUID. A kernel that does not tell of feature MSRs gives an empty list.
 * Context: start-up; the guest is to have VMX.
 * Errors:  the ioctl's.
 */
bool kvm_vmx_read(KvmState *kvm, GError **error);

/**
 * kvm_vmx_set() - give them to a vCPU; nothing if kvm->vmx_msrs is NULL
 * With the enlightened VMCS on, those that it has no field for are left out.
 * @perf_global_ctrl: as for evmcs_filter_msr()
 * Errors:  the first MSR that the kernel refused, by number and value.
 */
bool kvm_vmx_set(KvmVcpu *kv, bool perf_global_ctrl, GError **error);

#endif
