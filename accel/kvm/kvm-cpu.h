/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the guest's vCPUs are: their CPUID, from -cpu and what this kernel's
 * KVM can give.
 */
#ifndef ACCEL_KVM_KVM_CPU_H
#define ACCEL_KVM_KVM_CPU_H

#include <glib.h>
#include <stdbool.h>

#include "accel/kvm/kvm-state.h"

/**
 * kvm_cpu_init() - read what the host can give, make the guest's CPUID of it
 * Reports, unless -cpu says check=off, what was asked for and cannot be had.
 * Context: start-up, before the first vCPU.
 * Errors:  the ioctl's; with "enforce", what cannot be had; something that
 *          this kernel lacks as a whole. accel->options_refused is set by
 *          those that -cpu brought about.
 */
bool kvm_cpu_init(KvmState *kvm, GError **error);

/** kvm_cpu_done() - free what kvm_cpu_init() made, if it was called. */
void kvm_cpu_done(KvmState *kvm);

/** kvm_cpu_setup() - put CPUID in force on a new vCPU, and with it what nested
 *  guests can use: the enlightened VMCS, the capabilities of VMX; learn which
 *  registers it has of what is in force then. For the first one, reports
 *  what is in force and -cpu is against, unless it says check=off.
 *  Context: the vCPU's thread, big lock; before its registers are touched.
 *  Errors: the ioctl's; an MSR that the kernel refused. */
bool kvm_cpu_setup(KvmVcpu *kv, GError **error);

/* kvm-cpuid.c: the kernel's form of CPUID. */

/** kvm_cpuid_fetch() - a list of leaves from the kernel
 *  @vcpu_fd: -1 to ask /dev/kvm;  @request: that fills a struct kvm_cpuid2,
 *  named by @what
 *  Errors: the ioctl failed. Returns: of X86CpuidEntry; NULL on error. */
GArray *kvm_cpuid_fetch(KvmIo *io, int vcpu_fd, unsigned long request,
                        const char *what, GError **error);

/** kvm_cpuid_set() - give @cpuid to a vCPU, with its own number and the number
 *  of vCPUs put in. Errors: the ioctl failed. */
bool kvm_cpuid_set(KvmVcpu *kv, const GArray *cpuid, GError **error);

#endif
