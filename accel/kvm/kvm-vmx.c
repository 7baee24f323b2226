/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX capability MSRs from the kernel's list of feature MSRs to each vCPU.
 */
#include "accel/kvm/kvm-vmx.h"

#include <string.h>

#include "accel/kvm/kvm-evmcs.h"
#include "accel/kvm/kvm-vcpu.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

/*
 * Those that are for us to set. The plain twins of the "true" ones are made
 * from those, and what CR0 and CR4 may hold at most is made from CPUID; the
 * kernel refuses to take them.
 */
static const uint32_t settable[] = {
    X86_MSR_VMX_BASIC, X86_MSR_VMX_TRUE_PIN, X86_MSR_VMX_TRUE_PRIMARY,
    X86_MSR_VMX_TRUE_EXIT, X86_MSR_VMX_TRUE_ENTRY, X86_MSR_VMX_SECONDARY,
    X86_MSR_VMX_MISC, X86_MSR_VMX_CR0_FIXED0, X86_MSR_VMX_CR4_FIXED0,
    X86_MSR_VMX_VMCS_ENUM, X86_MSR_VMX_EPT_VPID, X86_MSR_VMX_VMFUNC,
};

bool kvm_vmx_is_capability(uint32_t index)
{
    return index >= X86_MSR_VMX_BASIC && index <= X86_MSR_VMX_VMFUNC;
}

static bool is_listed(const struct kvm_msr_list *list, uint32_t index)
{
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        if (list->indices[i] == index) {
            return true;
        }
    }
    return false;
}

static struct kvm_msrs *block_new(uint32_t n)
{
    return g_malloc0(sizeof(struct kvm_msrs) +
                     n * sizeof(struct kvm_msr_entry));
}

/* The kernel may lack some; asked for one of those it would stop there. */
static struct kvm_msrs *block_of_listed(const struct kvm_msr_list *list)
{
    struct kvm_msrs *block = block_new(G_N_ELEMENTS(settable));

    for (unsigned i = 0; i < G_N_ELEMENTS(settable); i++) {
        if (is_listed(list, settable[i])) {
            block->entries[block->nmsrs++].index = settable[i];
        }
    }
    return block;
}

static bool read_values(KvmState *kvm, GError **error)
{
    g_autofree struct kvm_msr_list *list = kvm_msrs_list(
        &kvm->io, KVM_GET_MSR_FEATURE_INDEX_LIST,
        "KVM_GET_MSR_FEATURE_INDEX_LIST", error);
    g_autofree struct kvm_msrs *block = NULL;
    int r;

    if (!list) {
        return false;
    }
    block = block_of_listed(list);
    r = kvm_sys(&kvm->io, KVM_GET_MSRS, block);
    if (r < 0) {
        tm_error_set_errno(error, r, "cannot read feature MSRs "
                           "(KVM_GET_MSRS)");
        return false;
    }
    if (r != (int)block->nmsrs) {
        tm_error_set(error, "cannot read feature MSR 0x%x (KVM_GET_MSRS)",
                     block->entries[r].index);
        return false;
    }
    g_array_append_vals(kvm->vmx_msrs, block->entries, block->nmsrs);
    return true;
}

bool kvm_vmx_read(KvmState *kvm, GError **error)
{
    kvm->vmx_msrs = g_array_new(FALSE, FALSE, sizeof(struct kvm_msr_entry));
    return !kvm->caps.msr_features || read_values(kvm, error);
}

bool kvm_vmx_set(KvmVcpu *kv, bool perf_global_ctrl, GError **error)
{
    const GArray *msrs = kv->kvm->vmx_msrs;
    g_autofree struct kvm_msrs *block = NULL;
    int r;

    if (!msrs || !msrs->len) {
        return true;
    }
    block = block_new(msrs->len);
    block->nmsrs = msrs->len;
    memcpy(block->entries, msrs->data, msrs->len * sizeof(block->entries[0]));
    for (uint32_t i = 0; kv->kvm->evmcs && i < block->nmsrs; i++) {
        block->entries[i].data = evmcs_filter_msr(
            block->entries[i].index, block->entries[i].data,
            perf_global_ctrl);
    }
    r = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_SET_MSRS, block);
    return kvm_msrs_check_count(kv, block, r, "KVM_SET_MSRS", error);
}
