/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and vector registers, between the kernel's XSAVE area (or its older
 * structure) and X86CpuState. What has no name there stays in the area, which
 * is kept whole beside the names.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <string.h>

#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"

/* Offsets in the XSAVE area, architectural but for PKRU's. */
#define XSAVE_FCW 0
#define XSAVE_FSW 2
#define XSAVE_FTW 4
#define XSAVE_FOP 6
#define XSAVE_FIP 8
#define XSAVE_FDP 16
#define XSAVE_MXCSR 24
#define XSAVE_ST 32
#define XSAVE_XMM 160
#define XSAVE_BV 512
#define XSAVE_YMMH 576

static void get_legacy_area(X86CpuState *s, const uint8_t *area)
{
    memcpy(&s->fcw, area + XSAVE_FCW, 2);
    memcpy(&s->fsw, area + XSAVE_FSW, 2);
    s->ftag = area[XSAVE_FTW];
    memcpy(&s->fop, area + XSAVE_FOP, 2);
    memcpy(&s->fip, area + XSAVE_FIP, 8);
    memcpy(&s->fdp, area + XSAVE_FDP, 8);
    memcpy(&s->mxcsr, area + XSAVE_MXCSR, 4);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&s->fpregs[i].mantissa, area + XSAVE_ST + 16 * i, 8);
        memcpy(&s->fpregs[i].exponent, area + XSAVE_ST + 16 * i + 8, 2);
    }
    memcpy(s->xmm, area + XSAVE_XMM, sizeof(s->xmm));
}

static void set_legacy_area(const X86CpuState *s, uint8_t *area)
{
    memcpy(area + XSAVE_FCW, &s->fcw, 2);
    memcpy(area + XSAVE_FSW, &s->fsw, 2);
    area[XSAVE_FTW] = s->ftag;
    memcpy(area + XSAVE_FOP, &s->fop, 2);
    memcpy(area + XSAVE_FIP, &s->fip, 8);
    memcpy(area + XSAVE_FDP, &s->fdp, 8);
    memcpy(area + XSAVE_MXCSR, &s->mxcsr, 4);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(area + XSAVE_ST + 16 * i, &s->fpregs[i].mantissa, 8);
        memcpy(area + XSAVE_ST + 16 * i + 8, &s->fpregs[i].exponent, 2);
    }
    memcpy(area + XSAVE_XMM, s->xmm, sizeof(s->xmm));
}

/* Components that the vCPU's CPUID has. The kernel may show others that its
 * own CPU has and no guest instruction reaches; it would not take them back. */
static uint64_t reachable(const X86CpuState *s, uint64_t bv)
{
    return s->xcr0_can ? bv & s->xcr0_can : bv;
}

static bool get_xsave(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    const uint32_t pkru = kv->kvm->pkru_offset;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_XSAVE, s->xsave, "KVM_GET_XSAVE", error)) {
        return false;
    }
    get_legacy_area(s, s->xsave);
    memcpy(&s->xstate_bv, s->xsave + XSAVE_BV, 8);
    s->xstate_bv = reachable(s, s->xstate_bv);
    memcpy(s->ymmh, s->xsave + XSAVE_YMMH, sizeof(s->ymmh));
    s->pkru = 0;
    if (pkru && s->xstate_bv & X86_XSTATE_PKRU) {
        memcpy(&s->pkru, s->xsave + pkru, 4);
    }
    return true;
}

/* The named registers win over the area, which adds what has no name. */
static bool set_xsave(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    static const X86Vec128 zero[16];
    g_autofree uint8_t *area = g_memdup2(s->xsave, s->xsave_size);
    uint64_t bv = s->xstate_bv | X86_XSTATE_X87 | X86_XSTATE_SSE;
    const uint32_t pkru = kv->kvm->pkru_offset;

    set_legacy_area(s, area);
    if (memcmp(s->ymmh, zero, sizeof(zero))) {
        bv |= X86_XSTATE_AVX;
    }
    memcpy(area + XSAVE_YMMH, s->ymmh, sizeof(s->ymmh));
    if (pkru && s->pkru) {
        bv |= X86_XSTATE_PKRU;
    }
    if (pkru) {
        memcpy(area + pkru, &s->pkru, 4);
    }
    bv = reachable(s, bv);
    memcpy(area + XSAVE_BV, &bv, 8);
    return kvm_vcpu_ioctl(kv, KVM_SET_XSAVE, area, "KVM_SET_XSAVE", error);
}

/* Hosts without XSAVE. struct kvm_fpu holds what the legacy area does. */
static bool get_fpu(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_fpu fpu;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_FPU, &fpu, "KVM_GET_FPU", error)) {
        return false;
    }
    s->fcw = fpu.fcw;
    s->fsw = fpu.fsw;
    s->ftag = fpu.ftwx;
    s->fop = fpu.last_opcode;
    s->fip = fpu.last_ip;
    s->fdp = fpu.last_dp;
    s->mxcsr = fpu.mxcsr;
    for (unsigned i = 0; i < 8; i++) {
        memcpy(&s->fpregs[i].mantissa, fpu.fpr[i], 8);
        memcpy(&s->fpregs[i].exponent, fpu.fpr[i] + 8, 2);
    }
    memcpy(s->xmm, fpu.xmm, sizeof(s->xmm));
    return true;
}

static bool set_fpu(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_fpu fpu = {
        .fcw = s->fcw, .fsw = s->fsw, .ftwx = s->ftag, .last_opcode = s->fop,
        .last_ip = s->fip, .last_dp = s->fdp, .mxcsr = s->mxcsr,
    };

    for (unsigned i = 0; i < 8; i++) {
        memcpy(fpu.fpr[i], &s->fpregs[i].mantissa, 8);
        memcpy(fpu.fpr[i] + 8, &s->fpregs[i].exponent, 2);
    }
    memcpy(fpu.xmm, s->xmm, sizeof(s->xmm));
    return kvm_vcpu_ioctl(kv, KVM_SET_FPU, &fpu, "KVM_SET_FPU", error);
}

static bool get_xcrs(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_xcrs xcrs;

    if (!kv->kvm->caps.xcrs) {
        return true;
    }
    if (!kvm_vcpu_ioctl(kv, KVM_GET_XCRS, &xcrs, "KVM_GET_XCRS", error)) {
        return false;
    }
    for (uint32_t i = 0; i < MIN(xcrs.nr_xcrs, KVM_MAX_XCRS); i++) {
        if (xcrs.xcrs[i].xcr == 0) {
            s->xcr0 = xcrs.xcrs[i].value;
        }
    }
    return true;
}

static bool set_xcrs(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_xcrs xcrs = {
        .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = s->xcr0 } },
    };

    return !kv->kvm->caps.xcrs ||
        kvm_vcpu_ioctl(kv, KVM_SET_XCRS, &xcrs, "KVM_SET_XCRS", error);
}

bool kvm_fpu_get(KvmVcpu *kv, GError **error)
{
    X86CpuState *s = kv->vcpu->state;

    return (s->xsave ? get_xsave(kv, s, error) : get_fpu(kv, s, error)) &&
        get_xcrs(kv, s, error);
}

bool kvm_fpu_set(KvmVcpu *kv, GError **error)
{
    const X86CpuState *s = kv->vcpu->state;

    return (s->xsave ? set_xsave(kv, s, error) : set_fpu(kv, s, error)) &&
        set_xcrs(kv, s, error);
}
