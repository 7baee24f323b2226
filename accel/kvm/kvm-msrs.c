/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers, between the kernel and X86CpuState. Which there
 * are is asked of the kernel and tried on the first vCPU: one that cannot be
 * read and written back unchanged is not state of the guest's. Those with a
 * place in X86CpuState go there, the others into its list. VMX's capability
 * MSRs are a property of the vCPU and no state of it: kvm-vmx.c.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <errno.h>

#include "accel/kvm/kvm-vmx.h"
#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

/* Banks in the stream's cpu section: 40 registers, four to a bank. */
#define MCE_BANKS 10

typedef struct MsrPlace {
    uint32_t index;
    size_t offset;
} MsrPlace;

#define PLACE(msr, field) { msr, offsetof(X86CpuState, field) }

static const MsrPlace places[] = {
    PLACE(X86_MSR_TSC, tsc),
    PLACE(X86_MSR_TSC_ADJUST, tsc_adjust),
    PLACE(X86_MSR_SPEC_CTRL, spec_ctrl),
    PLACE(X86_MSR_SYSENTER_CS, sysenter_cs),
    PLACE(X86_MSR_SYSENTER_ESP, sysenter_esp),
    PLACE(X86_MSR_SYSENTER_EIP, sysenter_eip),
    PLACE(X86_MSR_MCG_STATUS, mcg_status),
    PLACE(X86_MSR_MCG_CTL, mcg_ctl),
    PLACE(X86_MSR_MISC_ENABLE, misc_enable),
    PLACE(X86_MSR_PAT, pat),
    PLACE(X86_MSR_MTRR_DEFTYPE, mtrr_deftype),
    PLACE(X86_MSR_TSC_DEADLINE, tsc_deadline),
    PLACE(X86_MSR_XSS, xss),
    PLACE(X86_MSR_STAR, star),
    PLACE(X86_MSR_LSTAR, lstar),
    PLACE(X86_MSR_CSTAR, cstar),
    PLACE(X86_MSR_FMASK, fmask),
    PLACE(X86_MSR_KERNEL_GS_BASE, kernel_gs_base),
    PLACE(X86_MSR_TSC_AUX, tsc_aux),
    PLACE(X86_MSR_VM_HSAVE, vm_hsave),
    PLACE(X86_MSR_KVM_WALL_CLOCK, wall_clock_msr),
    PLACE(X86_MSR_KVM_SYSTEM_TIME, system_time_msr),
    PLACE(0x250, mtrr_fixed[0]), PLACE(0x258, mtrr_fixed[1]),
    PLACE(0x259, mtrr_fixed[2]), PLACE(0x268, mtrr_fixed[3]),
    PLACE(0x269, mtrr_fixed[4]), PLACE(0x26a, mtrr_fixed[5]),
    PLACE(0x26b, mtrr_fixed[6]), PLACE(0x26c, mtrr_fixed[7]),
    PLACE(0x26d, mtrr_fixed[8]), PLACE(0x26e, mtrr_fixed[9]),
    PLACE(0x26f, mtrr_fixed[10]),
};

/* The old numbers of KVM's clock MSRs; the new ones are the same registers. */
#define MSR_OLD_WALL_CLOCK 0x11
#define MSR_OLD_SYSTEM_TIME 0x12

/* Where @index lives in @state, NULL if in its list. */
static uint64_t *msr_place(X86CpuState *state, uint32_t index)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i].index == index) {
            return (uint64_t *)((uint8_t *)state + places[i].offset);
        }
    }
    if (index >= X86_MSR_MTRR_BASE0 && index < X86_MSR_MTRR_BASE0 + 16) {
        unsigned i = (index - X86_MSR_MTRR_BASE0) / 2;

        return index & 1 ? &state->mtrr_var[i].mask :
            &state->mtrr_var[i].base;
    }
    if (index >= X86_MSR_MC0_CTL && index < X86_MSR_MC0_CTL + 4 * MCE_BANKS) {
        return &state->mce_banks[index - X86_MSR_MC0_CTL];
    }
    return NULL;
}

static uint64_t *msr_field(X86CpuState *state, uint32_t index)
{
    uint64_t *place = msr_place(state, index);

    for (uint32_t i = 0; !place && i < state->n_msrs; i++) {
        if (state->msrs[i].index == index) {
            place = &state->msrs[i].value;
        }
    }
    return place;
}

/* Machine-check control register; recovery of software errors. */
#define MCG_CTL_P (UINT64_C(1) << 8)
#define MCG_SER_P (UINT64_C(1) << 24)

bool kvm_mce_setup(KvmVcpu *kv, GError **error)
{
    uint32_t banks = MIN(kv->kvm->caps.mce_banks, MCE_BANKS);
    uint64_t cap = 0;

    if (!banks || kvm_sys(&kv->kvm->io, KVM_X86_GET_MCE_CAP_SUPPORTED,
                          &cap) < 0) {
        return true; /* then there is nothing to keep */
    }
    cap = (cap & (MCG_CTL_P | MCG_SER_P)) | banks;
    kv->vcpu->state->mcg_cap = cap;
    return kvm_vcpu_ioctl(kv, KVM_X86_SETUP_MCE, &cap, "KVM_X86_SETUP_MCE",
                          error);
}

/* Can it be read, and written back as it is? */
static bool msr_is_state(KvmVcpu *kv, uint32_t index)
{
    g_autofree struct kvm_msrs *block =
        g_malloc0(sizeof(*block) + sizeof(block->entries[0]));
    KvmIo *io = &kv->kvm->io;

    block->nmsrs = 1;
    block->entries[0].index = index;
    return kvm_vcpu(io, kv->fd, KVM_GET_MSRS, block) == 1 &&
        kvm_vcpu(io, kv->fd, KVM_SET_MSRS, block) == 1;
}

static void try_msr(KvmVcpu *kv, uint32_t index)
{
    GArray *list = kv->kvm->msrs;

    if (index == MSR_OLD_WALL_CLOCK || index == MSR_OLD_SYSTEM_TIME ||
        index == X86_MSR_APIC_BASE || kvm_vmx_is_capability(index)) {
        return;
    }
    for (guint i = 0; i < list->len; i++) {
        if (g_array_index(list, uint32_t, i) == index) {
            return;
        }
    }
    if (msr_is_state(kv, index)) {
        g_array_append_val(list, index);
    }
}

struct kvm_msr_list *kvm_msrs_list(KvmIo *io, unsigned long request,
                                   const char *what, GError **error)
{
    struct kvm_msr_list empty = { .nmsrs = 0 };
    struct kvm_msr_list *list;
    int r = kvm_sys(io, request, &empty);

    if (r < 0 && r != -E2BIG) {
        tm_error_set_errno(error, r, "%s failed", what);
        return NULL;
    }
    list = g_malloc0(sizeof(*list) + empty.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = empty.nmsrs;
    r = kvm_sys(io, request, list);
    if (r < 0) {
        tm_error_set_errno(error, r, "%s failed", what);
        g_free(list);
        return NULL;
    }
    return list;
}

/* The kernel's list leaves out the ranges; the deadline must be set after the
 * clock it refers to, so it comes last. */
static bool find_msrs(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;
    g_autofree struct kvm_msr_list *list = kvm_msrs_list(
        &kvm->io, KVM_GET_MSR_INDEX_LIST, "KVM_GET_MSR_INDEX_LIST", error);

    if (!list) {
        return false;
    }
    kvm->msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    try_msr(kv, X86_MSR_FEATURE_CONTROL);
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        if (list->indices[i] != X86_MSR_TSC_DEADLINE) {
            try_msr(kv, list->indices[i]);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        if (places[i].index != X86_MSR_TSC_DEADLINE) {
            try_msr(kv, places[i].index);
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        try_msr(kv, X86_MSR_MTRR_BASE0 + i);
    }
    for (unsigned i = 0; i < 4 * MCE_BANKS; i++) {
        try_msr(kv, X86_MSR_MC0_CTL + i);
    }
    try_msr(kv, X86_MSR_TSC_DEADLINE);
    return true;
}

bool kvm_msrs_init(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;
    X86CpuState *state = kv->vcpu->state;

    if (!kvm->msrs && !find_msrs(kv, error)) {
        return false;
    }
    g_free(state->msrs);
    state->msrs = g_new0(X86Msr, kvm->msrs->len);
    state->n_msrs = 0;
    for (guint i = 0; i < kvm->msrs->len; i++) {
        uint32_t index = g_array_index(kvm->msrs, uint32_t, i);

        if (!msr_place(state, index)) {
            state->msrs[state->n_msrs++].index = index;
        }
    }
    return true;
}

static struct kvm_msrs *block_new(KvmState *kvm)
{
    struct kvm_msrs *block = g_malloc0(sizeof(*block) + kvm->msrs->len *
                                       sizeof(block->entries[0]));

    block->nmsrs = kvm->msrs->len;
    for (guint i = 0; i < kvm->msrs->len; i++) {
        block->entries[i].index = g_array_index(kvm->msrs, uint32_t, i);
    }
    return block;
}

bool kvm_msrs_check_count(KvmVcpu *kv, const struct kvm_msrs *block, int r,
                          const char *what, GError **error)
{
    if (r == (int)block->nmsrs) {
        return true;
    }
    if (r < 0) {
        tm_error_set_errno(error, r, "%s of vCPU %u failed", what,
                           kv->vcpu->index);
    } else {
        tm_error_set(error, "%s of vCPU %u: MSR 0x%x, value 0x%"
                     G_GINT64_MODIFIER "x, was refused", what,
                     kv->vcpu->index, block->entries[r].index,
                     (guint64)block->entries[r].data);
    }
    return false;
}

bool kvm_msrs_get(KvmVcpu *kv, GError **error)
{
    g_autofree struct kvm_msrs *block = block_new(kv->kvm);
    int r = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_GET_MSRS, block);

    if (!kvm_msrs_check_count(kv, block, r, "KVM_GET_MSRS", error)) {
        return false;
    }
    for (uint32_t i = 0; i < block->nmsrs; i++) {
        *msr_field(kv->vcpu->state, block->entries[i].index) =
            block->entries[i].data;
    }
    return true;
}

static bool is_set_here(const KvmState *kvm, uint32_t index)
{
    for (guint i = 0; i < kvm->msrs->len; i++) {
        if (g_array_index(kvm->msrs, uint32_t, i) == index) {
            return true;
        }
    }
    return false;
}

/* A value loaded from elsewhere for an MSR that this vCPU has not. */
static bool check_places(KvmVcpu *kv, GError **error)
{
    g_autofree X86CpuState *fresh = g_new0(X86CpuState, 1);

    x86_cpu_reset(fresh);
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        uint32_t index = places[i].index;
        uint64_t value = *msr_place(kv->vcpu->state, index);

        if (value != *msr_place(fresh, index) &&
            !is_set_here(kv->kvm, index)) {
            tm_error_set(error, "MSR 0x%x has value 0x%" G_GINT64_MODIFIER
                         "x, and this vCPU has no such MSR", index,
                         (guint64)value);
            return false;
        }
    }
    return true;
}

bool kvm_msrs_set(KvmVcpu *kv, GError **error)
{
    g_autofree struct kvm_msrs *block = block_new(kv->kvm);
    int r;

    if (!check_places(kv, error)) {
        return false;
    }

    for (uint32_t i = 0; i < block->nmsrs; i++) {
        block->entries[i].data =
            *msr_field(kv->vcpu->state, block->entries[i].index);
    }
    r = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_SET_MSRS, block);
    return kvm_msrs_check_count(kv, block, r, "KVM_SET_MSRS", error);
}
