/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers, between the kernel's structures and X86CpuState; MSRs
 * are in kvm-msrs.c. The local APIC (and with it the task priority, CR8) is
 * not touched here: it is a device of its own, kvm-apic.c.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <string.h>

#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

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

/* The order in which struct kvm_regs has them. */
#define FOR_EACH_GPR(X)                                                    \
    X(RAX, rax) X(RCX, rcx) X(RDX, rdx) X(RBX, rbx) X(RSP, rsp)            \
    X(RBP, rbp) X(RSI, rsi) X(RDI, rdi) X(R8, r8) X(R9, r9) X(R10, r10)    \
    X(R11, r11) X(R12, r12) X(R13, r13) X(R14, r14) X(R15, r15)

static bool get_regs(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_regs regs;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_REGS, &regs, "KVM_GET_REGS", error)) {
        return false;
    }
#define GET(name, field) s->regs[X86_##name] = regs.field;
    FOR_EACH_GPR(GET)
#undef GET
    s->rip = regs.rip;
    s->rflags = regs.rflags;
    return true;
}

static bool set_regs(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_regs regs = { .rip = s->rip, .rflags = s->rflags };

#define SET(name, field) regs.field = s->regs[X86_##name];
    FOR_EACH_GPR(SET)
#undef SET
    return kvm_vcpu_ioctl(kv, KVM_SET_REGS, &regs, "KVM_SET_REGS", error);
}

static void get_segment(X86Segment *to, const struct kvm_segment *from)
{
    *to = (X86Segment) {
        .selector = from->selector,
        .base = from->base,
        .limit = from->limit,
        .flags = (uint32_t)from->type << X86_DESC_TYPE_SHIFT |
            (from->s ? X86_DESC_S : 0) |
            (uint32_t)from->dpl << X86_DESC_DPL_SHIFT |
            (from->present && !from->unusable ? X86_DESC_P : 0) |
            (from->avl ? X86_DESC_AVL : 0) | (from->l ? X86_DESC_L : 0) |
            (from->db ? X86_DESC_DB : 0) | (from->g ? X86_DESC_G : 0),
    };
}

/* In virtual-8086 mode the hardware knows one kind of segment only. */
static void set_v8086_segment(struct kvm_segment *to, const X86Segment *from)
{
    *to = (struct kvm_segment) {
        .selector = from->selector, .base = from->base, .limit = from->limit,
        .type = 3, .present = 1, .dpl = 3, .s = 1,
    };
}

static void set_segment(struct kvm_segment *to, const X86Segment *from)
{
    uint32_t flags = from->flags;

    *to = (struct kvm_segment) {
        .selector = from->selector,
        .base = from->base,
        .limit = from->limit,
        .type = flags >> X86_DESC_TYPE_SHIFT & 0xf,
        .s = !!(flags & X86_DESC_S),
        .dpl = flags >> X86_DESC_DPL_SHIFT & 3,
        .present = !!(flags & X86_DESC_P),
        .unusable = !(flags & X86_DESC_P),
        .avl = !!(flags & X86_DESC_AVL),
        .l = !!(flags & X86_DESC_L),
        .db = !!(flags & X86_DESC_DB),
        .g = !!(flags & X86_DESC_G),
    };
}

/* Those that virtual-8086 mode changes come first. */
static void sregs_segments(struct kvm_sregs *sregs,
                           struct kvm_segment *ret[X86_SEG_TR + 1])
{
    ret[X86_SEG_ES] = &sregs->es;
    ret[X86_SEG_CS] = &sregs->cs;
    ret[X86_SEG_SS] = &sregs->ss;
    ret[X86_SEG_DS] = &sregs->ds;
    ret[X86_SEG_FS] = &sregs->fs;
    ret[X86_SEG_GS] = &sregs->gs;
    ret[X86_SEG_LDT] = &sregs->ldt;
    ret[X86_SEG_TR] = &sregs->tr;
}

static void get_table(X86Segment *to, const struct kvm_dtable *from)
{
    *to = (X86Segment) { .base = from->base, .limit = from->limit };
}

static bool get_sregs(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_segment *segs[X86_SEG_TR + 1];
    struct kvm_sregs sregs;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS", error)) {
        return false;
    }
    sregs_segments(&sregs, segs);
    for (unsigned i = 0; i <= X86_SEG_TR; i++) {
        get_segment(&s->segs[i], segs[i]);
    }
    get_table(&s->segs[X86_SEG_GDT], &sregs.gdt);
    get_table(&s->segs[X86_SEG_IDT], &sregs.idt);
    s->cr0 = sregs.cr0;
    s->cr2 = sregs.cr2;
    s->cr3 = sregs.cr3;
    s->cr4 = sregs.cr4;
    s->cr8 = sregs.cr8;
    s->efer = sregs.efer;
    s->apic_base = sregs.apic_base;
    return true;
}

/* Read first: CR8 and the APIC's base are the APIC's to set, and an interrupt
 * in flight travels with the events. */
static bool set_sregs(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    bool v8086 = s->rflags & X86_FLAGS_VM;
    struct kvm_segment *segs[X86_SEG_TR + 1];
    struct kvm_sregs sregs;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_SREGS, &sregs, "KVM_GET_SREGS", error)) {
        return false;
    }
    sregs_segments(&sregs, segs);
    for (unsigned i = 0; i <= X86_SEG_TR; i++) {
        if (v8086 && i <= X86_SEG_GS) {
            set_v8086_segment(segs[i], &s->segs[i]);
        } else {
            set_segment(segs[i], &s->segs[i]);
        }
    }
    sregs.gdt.base = s->segs[X86_SEG_GDT].base;
    sregs.gdt.limit = s->segs[X86_SEG_GDT].limit;
    sregs.idt.base = s->segs[X86_SEG_IDT].base;
    sregs.idt.limit = s->segs[X86_SEG_IDT].limit;
    sregs.cr0 = s->cr0;
    sregs.cr2 = s->cr2;
    sregs.cr3 = s->cr3;
    sregs.cr4 = s->cr4;
    sregs.efer = s->efer;
    memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
    return kvm_vcpu_ioctl(kv, KVM_SET_SREGS, &sregs, "KVM_SET_SREGS", error);
}

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

static bool get_xsave(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    const uint32_t pkru = kv->kvm->pkru_offset;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_XSAVE, s->xsave, "KVM_GET_XSAVE", error)) {
        return false;
    }
    get_legacy_area(s, s->xsave);
    memcpy(&s->xstate_bv, s->xsave + XSAVE_BV, 8);
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

static bool get_debugregs(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_debugregs regs;

    if (!kv->kvm->caps.debugregs) {
        return true;
    }
    if (!kvm_vcpu_ioctl(kv, KVM_GET_DEBUGREGS, &regs, "KVM_GET_DEBUGREGS",
                        error)) {
        return false;
    }
    memcpy(s->dr, regs.db, sizeof(regs.db));
    s->dr[4] = s->dr[6] = regs.dr6;
    s->dr[5] = s->dr[7] = regs.dr7;
    return true;
}

static bool set_debugregs(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_debugregs regs = { .dr6 = s->dr[6], .dr7 = s->dr[7] };

    memcpy(regs.db, s->dr, sizeof(regs.db));
    return !kv->kvm->caps.debugregs ||
        kvm_vcpu_ioctl(kv, KVM_SET_DEBUGREGS, &regs, "KVM_SET_DEBUGREGS",
                       error);
}

static bool get_events(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_vcpu_events ev = { 0 };

    if (!kvm_vcpu_ioctl(kv, KVM_GET_VCPU_EVENTS, &ev, "KVM_GET_VCPU_EVENTS",
                        error)) {
        return false;
    }
    s->exception_nr = ev.exception.injected ? ev.exception.nr : -1;
    s->has_error_code = ev.exception.has_error_code;
    s->error_code = ev.exception.error_code;
    s->interrupt_injected = ev.interrupt.injected ? ev.interrupt.nr : -1;
    s->soft_interrupt = ev.interrupt.soft;
    s->interrupt_shadow = ev.interrupt.shadow;
    s->nmi_injected = ev.nmi.injected;
    s->nmi_pending = ev.nmi.pending;
    s->nmi_masked = ev.nmi.masked;
    s->sipi_vector = ev.sipi_vector;
    return true;
}

static bool set_events(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_vcpu_events ev = {
        .exception = {
            .injected = s->exception_nr >= 0,
            .nr = s->exception_nr >= 0 ? s->exception_nr : 0,
            .has_error_code = s->has_error_code,
            .error_code = s->error_code,
        },
        .interrupt = {
            .injected = s->interrupt_injected >= 0,
            .nr = s->interrupt_injected >= 0 ? s->interrupt_injected : 0,
            .soft = s->soft_interrupt,
            .shadow = s->interrupt_shadow,
        },
        .nmi = {
            .injected = s->nmi_injected,
            .pending = s->nmi_pending,
            .masked = s->nmi_masked,
        },
        .sipi_vector = s->sipi_vector,
        .flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
            KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SHADOW,
    };

    return kvm_vcpu_ioctl(kv, KVM_SET_VCPU_EVENTS, &ev, "KVM_SET_VCPU_EVENTS",
                          error);
}

static bool get_mp_state(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    struct kvm_mp_state mp;

    if (!kvm_vcpu_ioctl(kv, KVM_GET_MP_STATE, &mp, "KVM_GET_MP_STATE",
                        error)) {
        return false;
    }
    s->mp_state = mp.mp_state;
    s->halted = mp.mp_state == KVM_MP_STATE_HALTED;
    return true;
}

static bool set_mp_state(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    struct kvm_mp_state mp = { .mp_state = s->mp_state };

    return kvm_vcpu_ioctl(kv, KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE",
                          error);
}

static bool get_tsc_khz(KvmVcpu *kv, X86CpuState *s, GError **error)
{
    int khz;

    if (kv->kvm->caps.get_tsc_khz) {
        khz = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_GET_TSC_KHZ, NULL);
        s->tsc_khz = MAX(khz, 0); /* an error: the host's is not stable */
    }
    return true;
}

/* Set only if it differs: most hosts cannot scale. */
static bool set_tsc_khz(KvmVcpu *kv, const X86CpuState *s, GError **error)
{
    int now, r;

    if (!s->tsc_khz || !kv->kvm->caps.get_tsc_khz) {
        return true;
    }
    now = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_GET_TSC_KHZ, NULL);
    if (now == (int)s->tsc_khz) {
        return true;
    }
    r = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_SET_TSC_KHZ, KVM_ARG(s->tsc_khz));
    if (r < 0) {
        tm_error_set_errno(error, r, "vCPU %u needs a TSC of %u kHz, this "
                           "host's has %d kHz", kv->vcpu->index, s->tsc_khz,
                           now);
        return false;
    }
    return true;
}

bool kvm_get_state(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = vcpu->accel;
    X86CpuState *s = vcpu->state;

    return get_regs(kv, s, error) && get_sregs(kv, s, error) &&
        (s->xsave ? get_xsave(kv, s, error) : get_fpu(kv, s, error)) &&
        get_xcrs(kv, s, error) && kvm_msrs_get(kv, error) &&
        get_events(kv, s, error) && get_debugregs(kv, s, error) &&
        get_mp_state(kv, s, error) && get_tsc_khz(kv, s, error);
}

/* The clock's frequency before its value; what is in flight last, because
 * setting registers drops it. */
bool kvm_set_state(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = vcpu->accel;
    const X86CpuState *s = vcpu->state;

    if (!set_tsc_khz(kv, s, error) || !set_sregs(kv, s, error) ||
        !set_regs(kv, s, error) ||
        !(s->xsave ? set_xsave(kv, s, error) : set_fpu(kv, s, error)) ||
        !set_xcrs(kv, s, error) || !kvm_msrs_set(kv, error) ||
        !set_debugregs(kv, s, error) || !set_mp_state(kv, s, error) ||
        !set_events(kv, s, error)) {
        return false;
    }
    kv->failed = false;
    return true;
}
