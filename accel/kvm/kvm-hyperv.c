/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only what the enlightened VMCS needs is offered: hypercalls, the vCPU's
 * index, and the assist page, in which a guest says that it uses one.
 * Numbers are those of Microsoft's hypervisor specification.
 */
#include "accel/kvm/kvm-hyperv.h"

#include <string.h>

#include "accel/kvm/kvm-cpu.h"
#include "target/i386/cpu-plan.h"
#include "util/error.h"

#define LEAF_VENDOR 0x40000000u
#define LEAF_INTERFACE 0x40000001u
#define LEAF_VERSION 0x40000002u
#define LEAF_FEATURES 0x40000003u
#define LEAF_ADVICE 0x40000004u
#define LEAF_LIMITS 0x40000005u
#define LEAF_NESTED 0x4000000au
#define ROOM 0x100u   /* numbers for a hypervisor's leaves */

#define FEATURE_ASSIST_PAGE (1u << 4)
#define FEATURE_HYPERCALL (1u << 5)
#define FEATURE_VP_INDEX (1u << 6)
#define NEEDED_FEATURES (FEATURE_ASSIST_PAGE | FEATURE_HYPERCALL |          \
                         FEATURE_VP_INDEX)
#define ADVICE_EVMCS (1u << 14)
#define NEVER_SPIN_CALL 0xffffffffu  /* spinning is not to be told of */
#define NESTED_VERSIONS 0xffffu
#define NESTED_PERF_GLOBAL_CTRL (1u << 0)  /* in EBX */

#define EVMCS_VERSION 1   /* the one that kvm-evmcs.c knows */

static bool missing(GError **error, const char *what)
{
    g_set_error(error, TM_ERROR, TM_ERROR_KVM_MISSING_CAP,
                "-cpu: 'hv-evmcs': this kernel's KVM lacks %s", what);
    return false;
}

bool kvm_hyperv_check(const KvmCaps *caps, const X86FeatureSet *features,
                      GError **error)
{
    if (!caps->hyperv_evmcs) {
        return missing(error, "KVM_CAP_HYPERV_ENLIGHTENED_VMCS");
    }
    if (!x86_features_has(features, "vmx")) {
        tm_error_set(error, "-cpu: 'hv-evmcs' needs the feature 'vmx', which "
                     "this guest does not have");
        return false;
    }
    return true;
}

static bool switch_on(KvmVcpu *kv, GError **error)
{
    uint16_t versions = 0; /* the lowest and, above it, the highest */
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
        .args = { (uintptr_t)&versions },
    };

    if (!kvm_vcpu_ioctl(kv, KVM_ENABLE_CAP, &cap,
                        "KVM_ENABLE_CAP(KVM_CAP_HYPERV_ENLIGHTENED_VMCS)",
                        error)) {
        return false;
    }
    if ((versions & 0xff) > EVMCS_VERSION || versions >> 8 < EVMCS_VERSION) {
        tm_error_set(error, "-cpu: 'hv-evmcs': this kernel has versions %u to "
                     "%u of the enlightened VMCS, only %u is supported",
                     versions & 0xff, versions >> 8, EVMCS_VERSION);
        return false;
    }
    return true;
}

/* KVM's leaves, which tell in the first where the last is. */
static void move_kvm_leaves(GArray *cpuid)
{
    for (guint i = 0; i < cpuid->len; i++) {
        X86CpuidEntry *e = &g_array_index(cpuid, X86CpuidEntry, i);

        if (e->leaf >= X86_CPUID_KVM && e->leaf < X86_CPUID_KVM + ROOM) {
            if (e->leaf == X86_CPUID_KVM) {
                e->reg[X86_EAX] += ROOM;
            }
            e->leaf += ROOM;
        }
    }
}

static void put(GArray *cpuid, uint32_t leaf, uint32_t eax, uint32_t ebx,
                uint32_t ecx, uint32_t edx)
{
    X86CpuidEntry e = { .leaf = leaf, .reg = { eax, ebx, ecx, edx } };

    g_array_append_val(cpuid, e);
}

/* As the kernel has it; zeros if it has none. */
static void copy(GArray *cpuid, const GArray *offered, uint32_t leaf)
{
    const X86CpuidEntry *e = x86_cpuid_find(offered, leaf, 0);

    if (e) {
        put(cpuid, leaf, e->reg[X86_EAX], e->reg[X86_EBX], e->reg[X86_ECX],
            e->reg[X86_EDX]);
    }
}

static void add_leaves(GArray *cpuid, const GArray *offered,
                       uint32_t versions, uint32_t nested_ebx)
{
    uint32_t vendor[3];

    memcpy(vendor, "Microsoft Hv", sizeof(vendor));
    put(cpuid, LEAF_VENDOR, LEAF_NESTED, vendor[0], vendor[1], vendor[2]);
    copy(cpuid, offered, LEAF_INTERFACE);
    copy(cpuid, offered, LEAF_VERSION);
    put(cpuid, LEAF_FEATURES, NEEDED_FEATURES, 0, 0, 0);
    put(cpuid, LEAF_ADVICE, ADVICE_EVMCS, NEVER_SPIN_CALL, 0, 0);
    copy(cpuid, offered, LEAF_LIMITS);
    put(cpuid, LEAF_NESTED, versions, nested_ebx, 0, 0);
}

bool kvm_hyperv_enable(KvmVcpu *kv, GArray *cpuid,
                       bool *ret_perf_global_ctrl, GError **error)
{
    g_autoptr(GArray) offered = NULL;
    const X86CpuidEntry *features, *nested;
    uint32_t versions, ebx;

    if (!switch_on(kv, error)) {
        return false;
    }
    offered = kvm_cpuid_fetch(&kv->kvm->io, kv->fd,
                              KVM_GET_SUPPORTED_HV_CPUID,
                              "KVM_GET_SUPPORTED_HV_CPUID", error);
    if (!offered) {
        return false;
    }
    features = x86_cpuid_find(offered, LEAF_FEATURES, 0);
    nested = x86_cpuid_find(offered, LEAF_NESTED, 0);
    if (!features || NEEDED_FEATURES & ~features->reg[X86_EAX] ||
        !x86_cpuid_find(offered, LEAF_INTERFACE, 0)) {
        return missing(error, "Hyper-V's hypercalls, assist page or index");
    }
    versions = nested ? nested->reg[X86_EAX] & NESTED_VERSIONS : 0;
    if (!versions) {
        return missing(error, "Hyper-V's leaf of nested features");
    }
    ebx = nested->reg[X86_EBX] & NESTED_PERF_GLOBAL_CTRL;
    move_kvm_leaves(cpuid);
    add_leaves(cpuid, offered, versions, ebx);
    *ret_perf_global_ctrl = ebx;
    return true;
}
