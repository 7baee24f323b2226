/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU model on KVM. What the kernel lists as supported is the host's
 * half; -cpu is the wish; target/i386/cpu-plan.h makes the guest's CPUID of
 * both. Once per machine; each vCPU gets a copy with its own numbers in it.
 */
#include "accel/kvm/kvm-cpu.h"

#include "accel/kvm/kvm-hyperv.h"
#include "accel/kvm/kvm-vmx.h"
#include "system/vm.h"
#include "target/i386/cpu-plan.h"
#include "target/i386/cpu-state.h"
#include "util/error.h"

#define PKRU_COMPONENT 9

/* Bits that the kernel sets as the guest's registers or its own version have
 * it, and that follow from the number of vCPUs. */
#define NOT_BY_MODEL "apic monitor ht xsaves cmp-legacy"

/* What KVM gives a guest without listing it: older kernels leave out the bit
 * that says "hypervisor", and all of them a timer of the local APIC that
 * depends on where the APIC is. */
static void add_unlisted(const KvmState *kvm, X86FeatureSet *host)
{
    X86FeatureSet more;

    x86_features_parse(kvm->caps.tsc_deadline ? "hypervisor tsc-deadline" :
                       "hypervisor", &more);
    x86_features_add(host, &more);
}

/* Tell of what is missing, or refuse to go on without. */
static bool judge_plan(KvmState *kvm, const X86CpuSpec *spec,
                       const X86CpuPlan *plan, GError **error)
{
    g_autofree char *names = x86_features_text(&plan->missing);
    g_autofree char *line = NULL;

    if (!*names || spec->check == X86_CPU_CHECK_OFF) {
        return true;
    }
    if (spec->check == X86_CPU_CHECK_ENFORCE) {
        tm_error_set(error, "-cpu %s,enforce: this host cannot give the guest "
                     "%s", spec->model->name, names);
        kvm->accel->options_refused = true;
        return false;
    }
    line = g_strdup_printf("-cpu %s: this host cannot give the guest %s; it "
                           "goes without", spec->model->name, names);
    if (kvm->accel->report) {
        kvm->accel->report(line);
    }
    return true;
}

static void find_pkru(KvmState *kvm, const GArray *cpuid)
{
    const X86CpuidEntry *e = x86_cpuid_find(cpuid, 0xd, PKRU_COMPONENT);

    kvm->pkru_offset = 0;
    if (e && e->reg[X86_EAX] &&
        e->reg[X86_EBX] + 4 <= sizeof(struct kvm_xsave)) {
        kvm->pkru_offset = e->reg[X86_EBX];
    }
}

static bool plan_cpu(KvmState *kvm, const X86CpuSpec *spec,
                     const GArray *host, GError **error)
{
    X86CpuPlan plan;

    x86_cpu_plan(spec, &kvm->host_features, &plan);
    if (!judge_plan(kvm, spec, &plan, error)) {
        return false;
    }
    if (spec->hv_evmcs &&
        !kvm_hyperv_check(&kvm->caps, &plan.features, error)) {
        kvm->accel->options_refused = true;
        return false;
    }
    kvm->evmcs = spec->hv_evmcs;
    kvm->cpuid = x86_cpuid_build(spec, &plan, host);
    return !x86_features_has(&plan.features, "vmx") ||
        kvm_vmx_read(kvm, error);
}

bool kvm_cpu_init(KvmState *kvm, GError **error)
{
    g_autoptr(GArray) host = kvm_cpuid_fetch(&kvm->io, -1,
        KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID", error);
    g_autoptr(X86CpuSpec) all = NULL;

    if (!host) {
        return false;
    }
    x86_cpuid_features(host, &kvm->host_features);
    add_unlisted(kvm, &kvm->host_features);
    if (kvm->vm->cpu) {
        return plan_cpu(kvm, kvm->vm->cpu, host, error);
    }
    all = x86_cpu_spec_parse("max", error);
    return plan_cpu(kvm, all, host, error);
}

void kvm_cpu_done(KvmState *kvm)
{
    g_clear_pointer(&kvm->cpuid, g_array_unref);
    g_clear_pointer(&kvm->vmx_msrs, g_array_unref);
}

/* Tell of what the guest has and -cpu is against: a KVM that runs code at
 * CPL 3 straight on the CPU cannot take away what such code finds there. */
static void tell_surplus(const KvmState *kvm, const GArray *given,
                         const GArray *in_force)
{
    const X86CpuSpec *spec = kvm->vm->cpu;
    g_autofree char *names = NULL, *line = NULL;
    X86FeatureSet surplus, fine;

    if (!spec || spec->check == X86_CPU_CHECK_OFF || !kvm->accel->report) {
        return;
    }
    x86_cpuid_features(in_force, &surplus);
    x86_cpuid_features(given, &fine);
    x86_features_remove(&surplus, &fine);
    x86_features_parse(NOT_BY_MODEL, &fine);
    x86_features_remove(&surplus, &fine);
    if (spec->model->is_host) {
        x86_features_keep(&surplus, &spec->minus);
    }
    if (!x86_features_empty(&surplus)) {
        names = x86_features_text(&surplus);
        line = g_strdup_printf("-cpu %s: this host's KVM gives the guest %s "
                               "all the same", spec->model->name, names);
        kvm->accel->report(line);
    }
}

/* Set CPUID and read it back. What is in force says which registers the vCPU
 * has, whatever was set. */
static bool put_in_force(KvmVcpu *kv, const GArray *cpuid, GError **error)
{
    g_autoptr(GArray) in_force = NULL;

    if (!kvm_cpuid_set(kv, cpuid, error)) {
        return false;
    }
    in_force = kvm_cpuid_fetch(&kv->kvm->io, kv->fd, KVM_GET_CPUID2,
                               "KVM_GET_CPUID2", error);
    if (!in_force) {
        return false;
    }
    kv->vcpu->state->xcr0_can = x86_cpuid_xcr0(in_force);
    find_pkru(kv->kvm, in_force);
    if (kv->vcpu->index == 0) {
        tell_surplus(kv->kvm, cpuid, in_force);
    }
    return true;
}

/* The enlightened VMCS first: what the kernel says of it depends on whether
 * it is on, and so does which capabilities it lets be set. */
bool kvm_cpu_setup(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;
    g_autoptr(GArray) cpuid = g_array_copy(kvm->cpuid);
    bool perf_global_ctrl = false;

    if (kvm->evmcs &&
        !kvm_hyperv_enable(kv, cpuid, &perf_global_ctrl, error)) {
        return false;
    }
    return put_in_force(kv, cpuid, error) &&
        kvm_vmx_set(kv, perf_global_ctrl, error);
}
