/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's face of KVM, as far as the enlightened VMCS needs it: a guest
 * that runs guests of its own (Hyper-V, mostly) then keeps their state in a
 * page of memory that KVM reads, and spares both of them exits.
 */
#ifndef ACCEL_KVM_KVM_HYPERV_H
#define ACCEL_KVM_KVM_HYPERV_H

#include <glib.h>
#include <stdbool.h>

#include "accel/kvm/kvm-state.h"

/**
 * kvm_hyperv_check() - can the enlightened VMCS be had?
 * @features: the guest's
 * Errors:  this kernel lacks the capability; the guest has no VMX.
 */
bool kvm_hyperv_check(const KvmCaps *caps, const X86FeatureSet *features,
                      GError **error);

/**
 * kvm_hyperv_enable() - switch the enlightened VMCS on for a vCPU
 * @cpuid: the guest's leaves: Hyper-V's are added, KVM's own move up to make
 *         room for them (guests look for both at every 256th number)
 * @ret_perf_global_ctrl: as for evmcs_filter_msr()
 * Context: a new vCPU, before its CPUID is set.
 * Errors:  the ioctl's; a version that is not known here; something beside it
 *          that it needs.
 */
bool kvm_hyperv_enable(KvmVcpu *kv, GArray *cpuid,
                       bool *ret_perf_global_ctrl, GError **error);

#endif
