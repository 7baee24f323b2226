/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-model-vcpu.h.
 */
#include "kvm-model-vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "target/i386/cpu-plan.h"

/* Which of the MSRs can be set: not those that are made from their "true"
 * twins (0x481 to 0x484) or from CPUID (0x487, 0x489). */
static bool can_be_set(uint32_t index)
{
    return !(index >= 0x481 && index <= 0x484) && index != 0x487 &&
        index != 0x489;
}

static bool is_control(uint32_t index)
{
    return (index >= 0x481 && index <= 0x484) || index == 0x48b ||
        (index >= 0x48d && index <= 0x490);
}

static bool is_vmx(uint32_t index)
{
    return index >= KVM_MODEL_VMX_FIRST &&
        index < KVM_MODEL_VMX_FIRST + KVM_MODEL_VMX_COUNT;
}

uint64_t kvm_model_vmx_full(uint32_t index)
{
    if (is_control(index)) {
        return UINT64_C(0xffffffff) << 32 | 0x16; /* 0x16: must be 1 */
    }
    return index == 0x491 ? 1 : UINT64_C(0x00da040000000000) | index;
}

/* The controls without a field, as the kernel's deny-list of 2020 has them,
 * and those that it learnt of later. */
static uint64_t dropped(const KvmModelVcpu *m, uint32_t index)
{
    bool perf = m->perf_global_ctrl;

    switch (index) {
    case 0x481: case 0x48d:
        return UINT64_C(0xc0) << 32;
    case 0x482: case 0x48e:
        return UINT64_C(0x20000) << 32;
    case 0x483: case 0x48f:
        return (perf ? UINT64_C(0x400000) : UINT64_C(0x401000)) << 32;
    case 0x484: case 0x490:
        return perf ? 0 : UINT64_C(0x2000) << 32;
    case 0x48b:
        return UINT64_C(0x2026701) << 32;
    case 0x491:
        return 1;
    default:
        return 0;
    }
}

uint64_t kvm_model_vcpu_rdmsr(const KvmModelVcpu *m, uint32_t index)
{
    uint64_t value = m->vmx[index - KVM_MODEL_VMX_FIRST];

    return m->evmcs_on ? value & ~dropped(m, index) : value;
}

/* May @value replace @now? Nothing may be 1 that may not be now, and what
 * must be 1 must stay so. */
static bool is_allowed(uint32_t index, uint64_t now, uint64_t value)
{
    if (!is_vmx(index) || !can_be_set(index)) {
        return false;
    }
    if (is_control(index)) {
        return !((value & ~now) >> 32) && !(uint32_t)(now & ~value);
    }
    return index == 0x491 ? !(value & ~now) : value == now;
}

static int set_msrs(KvmModelVcpu *m, const struct kvm_msrs *block)
{
    m->msr_sets++;
    for (uint32_t i = 0; i < block->nmsrs; i++) {
        uint32_t index = block->entries[i].index;
        uint64_t *now = &m->vmx[index - KVM_MODEL_VMX_FIRST];

        if (!m->has_vmx || !is_vmx(index) ||
            !is_allowed(index, *now, block->entries[i].data)) {
            return i; /* as far as it came */
        }
        *now = block->entries[i].data;
    }
    return block->nmsrs;
}

static int get_feature_msrs(KvmModelVcpu *m, struct kvm_msrs *block)
{
    for (uint32_t i = 0; i < block->nmsrs; i++) {
        uint32_t index = block->entries[i].index;

        if (!m->has_vmx || !is_vmx(index) || index == m->lacks_msr) {
            return i;
        }
        block->entries[i].data = kvm_model_vmx_full(index);
    }
    return block->nmsrs;
}

static int list_feature_msrs(KvmModelVcpu *m, struct kvm_msr_list *list)
{
    uint32_t room = list->nmsrs;

    list->nmsrs = 0;
    for (unsigned i = 0; m->has_vmx && i < KVM_MODEL_VMX_COUNT; i++) {
        if (KVM_MODEL_VMX_FIRST + i == m->lacks_msr) {
            continue;
        }
        if (list->nmsrs < room) {
            list->indices[list->nmsrs] = KVM_MODEL_VMX_FIRST + i;
        }
        list->nmsrs++;
    }
    return list->nmsrs > room ? -E2BIG : 0;
}

static int enable_evmcs(KvmModelVcpu *m, const struct kvm_enable_cap *cap)
{
    uint16_t *versions = (uint16_t *)(uintptr_t)cap->args[0];

    if (cap->cap != KVM_CAP_HYPERV_ENLIGHTENED_VMCS || cap->flags ||
        !m->has_evmcs) {
        return -EINVAL;
    }
    m->evmcs_on = true;
    for (unsigned i = 0; m->drops_when_enabled && i < KVM_MODEL_VMX_COUNT;
         i++) {
        m->vmx[i] &= ~dropped(m, KVM_MODEL_VMX_FIRST + i);
    }
    *versions = m->evmcs_versions;
    return 0;
}

/* ---- CPUID ------------------------------------------------------------ */

static int put_cpuid(struct kvm_cpuid2 *list, const GArray *cpuid)
{
    if (list->nent < cpuid->len) {
        return -E2BIG;
    }
    for (guint i = 0; i < cpuid->len; i++) {
        const X86CpuidEntry *e = &g_array_index(cpuid, X86CpuidEntry, i);

        list->entries[i] = (struct kvm_cpuid_entry2) {
            .function = e->leaf, .index = e->subleaf,
            .flags = e->indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = e->reg[X86_EAX], .ebx = e->reg[X86_EBX],
            .ecx = e->reg[X86_ECX], .edx = e->reg[X86_EDX],
        };
    }
    list->nent = cpuid->len;
    return 0;
}

static int set_cpuid(KvmModelVcpu *m, const struct kvm_cpuid2 *list)
{
    g_clear_pointer(&m->given, g_array_unref);
    m->given = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));
    for (uint32_t i = 0; i < list->nent; i++) {
        const struct kvm_cpuid_entry2 *k = &list->entries[i];
        X86CpuidEntry e = {
            .leaf = k->function, .subleaf = k->index,
            .indexed = k->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .reg = { k->eax, k->ebx, k->ecx, k->edx },
        };

        g_array_append_val(m->given, e);
    }
    return 0;
}

static int hv_cpuid(KvmModelVcpu *m, struct kvm_cpuid2 *list)
{
    const X86CpuidEntry all[] = {
        { .leaf = 0x40000000, .reg = { 0x40000082, 1, 2, 3 } },
        { .leaf = 0x40000001, .reg = { 0x31237648 } },     /* Hv#1 */
        { .leaf = 0x40000002, .reg = { 0x3839, 0xa0000 } },
        { .leaf = 0x40000003, .reg = { 0xeff, 0x30, 0, 0xdc0 } },
        { .leaf = 0x40000004, .reg = { m->evmcs_on ? 0x4e20 : 0xe20 } },
        { .leaf = 0x40000005, .reg = { 0xffffffff, 64 } },
        { .leaf = 0x4000000a, .reg = { m->evmcs_on ? m->evmcs_versions |
                                       0xa0000 : 0, m->perf_global_ctrl } },
    };
    g_autoptr(GArray) offered = g_array_new(FALSE, FALSE, sizeof(all[0]));

    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        if (all[i].leaf != m->hides_hv_leaf) {
            g_array_append_val(offered, all[i]);
        }
    }
    return put_cpuid(list, offered);
}

/* ---- registers -------------------------------------------------------- */

#define XSAVE_BV 512

static int get_xsave(KvmModelVcpu *m, struct kvm_xsave *area)
{
    memset(area, 0, sizeof(*area));
    memcpy((uint8_t *)area + XSAVE_BV, &m->xsave_bv, 8);
    return 0;
}

static int set_xsave(KvmModelVcpu *m, const struct kvm_xsave *area)
{
    uint64_t bv;

    memcpy(&bv, (const uint8_t *)area + XSAVE_BV, 8);
    if (bv & ~m->xcr0_given) {
        return -EINVAL;
    }
    m->xsave_bv = bv;
    return 0;
}

static int set_xcrs(KvmModelVcpu *m, const struct kvm_xcrs *xcrs)
{
    if (xcrs->xcrs[0].value & ~m->xcr0_given) {
        return -EINVAL;
    }
    m->xcr0 = xcrs->xcrs[0].value;
    return 0;
}

static int get_nested(KvmModelVcpu *m, struct kvm_nested_state *n)
{
    if (n->size < sizeof(*n)) {
        return -E2BIG;
    }
    n->size = sizeof(*n);
    n->format = m->nested_format;
    n->flags = m->nested_flags;
    if (m->nested_format == KVM_STATE_NESTED_FORMAT_VMX) {
        n->hdr.vmx.vmxon_pa = m->vmxon_pa;
        n->hdr.vmx.vmcs12_pa = UINT64_MAX;
    }
    return 0;
}

static int set_nested(KvmModelVcpu *m, const struct kvm_nested_state *n)
{
    bool vmx = m->nested_format == KVM_STATE_NESTED_FORMAT_VMX;

    if (n->format != m->nested_format || n->size < sizeof(*n) ||
        (vmx && n->hdr.vmx.vmxon_pa == UINT64_MAX &&
         n->hdr.vmx.vmcs12_pa != UINT64_MAX)) {
        return -EINVAL;
    }
    m->nested_sets++;
    m->nested_flags = n->flags;
    if (vmx) {
        m->vmxon_pa = n->hdr.vmx.vmxon_pa;
    }
    return 0;
}

/* ---- the seam --------------------------------------------------------- */

static int check_extension(const KvmModelVcpu *m, uintptr_t cap)
{
    switch (cap) {
    case KVM_CAP_HYPERV_ENLIGHTENED_VMCS:
        return m->has_evmcs;
    case KVM_CAP_GET_MSR_FEATURES:
        return m->has_msr_features;
    case KVM_CAP_TSC_DEADLINE_TIMER:
        return 1;
    default:
        return 0;
    }
}

static bool must_fail(const KvmModelVcpu *m, unsigned long request)
{
    return m->fail_errno && request == m->fail_request;
}

static int model_sys(KvmIo *io, unsigned long request, void *arg)
{
    KvmModelVcpu *m = io->opaque;

    if (must_fail(m, request)) {
        return -m->fail_errno;
    }
    switch (request) {
    case KVM_GET_SUPPORTED_CPUID:
        return put_cpuid(arg, m->cpuid);
    case KVM_GET_MSR_FEATURE_INDEX_LIST:
        return m->has_msr_features ? list_feature_msrs(m, arg) : -EINVAL;
    case KVM_GET_MSRS:
        return m->has_msr_features ? get_feature_msrs(m, arg) : -EINVAL;
    default:
        return -ENOTTY;
    }
}

static int model_vm(KvmIo *io, unsigned long request, void *arg)
{
    KvmModelVcpu *m = io->opaque;

    return request == KVM_CHECK_EXTENSION ?
        check_extension(m, (uintptr_t)arg) : -ENOTTY;
}

static int model_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg)
{
    KvmModelVcpu *m = io->opaque;

    g_assert_cmpint(vcpu_fd, ==, KVM_MODEL_VCPU_FD);
    if (must_fail(m, request)) {
        return -m->fail_errno;
    }
    switch (request) {
    case KVM_SET_CPUID2:
        return set_cpuid(m, arg);
    case KVM_GET_CPUID2:
        return put_cpuid(arg, m->forced ? m->forced : m->given);
    case KVM_SET_MSRS:
        return set_msrs(m, arg);
    case KVM_ENABLE_CAP:
        return enable_evmcs(m, arg);
    case KVM_GET_SUPPORTED_HV_CPUID:
        return hv_cpuid(m, arg);
    case KVM_GET_XSAVE:
        return get_xsave(m, arg);
    case KVM_SET_XSAVE:
        return set_xsave(m, arg);
    case KVM_SET_XCRS:
        return set_xcrs(m, arg);
    case KVM_GET_NESTED_STATE:
        return get_nested(m, arg);
    case KVM_SET_NESTED_STATE:
        return set_nested(m, arg);
    default:
        return -ENOTTY;
    }
}

static const KvmIoctlOps model_ops = {
    .sys = model_sys, .vm = model_vm, .vcpu = model_vcpu,
};

KvmModelVcpu *kvm_model_vcpu_new(GArray *cpuid)
{
    KvmModelVcpu *m = g_new0(KvmModelVcpu, 1);

    m->io = (KvmIo) { .ops = &model_ops, .sys_fd = -1, .vm_fd = -1,
                      .opaque = m };
    m->cpuid = cpuid;
    m->has_vmx = m->has_evmcs = m->has_msr_features = true;
    m->drops_when_enabled = true;
    m->evmcs_versions = 0x0101;
    m->vmxon_pa = UINT64_MAX;
    for (unsigned i = 0; i < KVM_MODEL_VMX_COUNT; i++) {
        m->vmx[i] = kvm_model_vmx_full(KVM_MODEL_VMX_FIRST + i);
    }
    return m;
}

void kvm_model_vcpu_free(KvmModelVcpu *m)
{
    g_array_unref(m->cpuid);
    if (m->given) {
        g_array_unref(m->given);
    }
    if (m->forced) {
        g_array_unref(m->forced);
    }
    g_free(m);
}
