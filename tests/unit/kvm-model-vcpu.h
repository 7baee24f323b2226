/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's half of a vCPU's making in user space: CPUID, the capability
 * MSRs of VMX and the enlightened VMCS, with the kernel's rules and errors.
 * It stands behind KvmIoctlOps where /dev/kvm would; memory and the dirty log
 * are kvm-model.c's. Few hosts nest VMX, none of them where tests run.
 *
 * Two ages of kernel are told apart. The older (5.0 to 5.5) drops controls
 * from a vCPU's MSRs when the enlightened VMCS is switched on, and afterwards
 * refuses to have them set. The newer keeps what was set and drops them when
 * the guest reads.
 */
#ifndef TESTS_KVM_MODEL_VCPU_H
#define TESTS_KVM_MODEL_VCPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

#define KVM_MODEL_VMX_FIRST 0x480u
#define KVM_MODEL_VMX_COUNT 18       /* 0x480 to 0x491 */
#define KVM_MODEL_VCPU_FD 77

typedef struct KvmModelVcpu {
    KvmIo io;
    GArray *cpuid;           /* of X86CpuidEntry: what it supports; owned */
    GArray *given;           /* ... what KVM_SET_CPUID2 brought, or NULL */
    /* What kind of kernel it is; set by tests, before it is used. */
    GArray *forced;          /* ... what is in force instead, whatever it
                                brings; owned; NULL: what it brought */
    bool has_vmx;            /* it nests: the MSRs are there */
    bool has_evmcs;          /* and the capability */
    bool has_msr_features;   /* feature MSRs can be asked for */
    bool drops_when_enabled; /* the older age */
    bool perf_global_ctrl;   /* a later enlightened VMCS, with that field */
    uint16_t evmcs_versions;
    uint32_t lacks_msr;      /* a feature MSR that is not there; 0: all are */
    uint32_t hides_hv_leaf;  /* a leaf of Hyper-V's that is not there */
    unsigned long fail_request;  /* this request fails ... */
    int fail_errno;              /* ... with this */
    /* What has come of it. */
    bool evmcs_on;
    uint64_t vmx[KVM_MODEL_VMX_COUNT];  /* the vCPU's */
    unsigned msr_sets;       /* KVM_SET_MSRS calls with one of them */
    /* Registers of interest: a component that is in xsave_bv may be beyond
     * what the vCPU has; setting such a one is refused. */
    uint64_t xsave_bv, xcr0;
    uint64_t xcr0_given;     /* by the CPUID that it has */
    uint16_t nested_format, nested_flags;
    uint64_t vmxon_pa;
    unsigned nested_sets;
} KvmModelVcpu;

/** kvm_model_vcpu_new() - a kernel that nests VMX, of the older age, with
 *  every control on; takes @cpuid over */
KvmModelVcpu *kvm_model_vcpu_new(GArray *cpuid);
void kvm_model_vcpu_free(KvmModelVcpu *m);

/** kvm_model_vmx_full() - the value of a capability MSR of the host */
uint64_t kvm_model_vmx_full(uint32_t index);

/** kvm_model_vcpu_rdmsr() - what the guest reads from a capability MSR */
uint64_t kvm_model_vcpu_rdmsr(const KvmModelVcpu *m, uint32_t index);

#endif
