/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers, between the kernel's structures and X86CpuState; MSRs
 * are in kvm-msrs.c, x87 and vector registers in kvm-fpu.c. The local APIC
 * (and with it the task priority, CR8) is not touched here: it is a device of
 * its own, kvm-apic.c.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <string.h>

#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

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
        tm_error_set_errno(error, r, "it needs a TSC of %u kHz, this host's "
                           "has %d kHz", s->tsc_khz, now);
        return false;
    }
    return true;
}

bool kvm_get_state(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = vcpu->accel;
    X86CpuState *s = vcpu->state;

    return get_regs(kv, s, error) && get_sregs(kv, s, error) &&
        kvm_fpu_get(kv, error) && kvm_msrs_get(kv, error) &&
        get_events(kv, s, error) && get_debugregs(kv, s, error) &&
        get_mp_state(kv, s, error) && get_tsc_khz(kv, s, error) &&
        kvm_nested_get(kv, error);
}

/* The clock's frequency before its value; what is in flight last, because
 * setting registers drops it. */
bool kvm_set_state(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = vcpu->accel;
    const X86CpuState *s = vcpu->state;

    if (!kvm_nested_leave(kv, error) || !set_tsc_khz(kv, s, error) ||
        !set_sregs(kv, s, error) ||
        !set_regs(kv, s, error) ||
        !kvm_fpu_set(kv, error) || !kvm_msrs_set(kv, error) ||
        !set_debugregs(kv, s, error) || !set_mp_state(kv, s, error) ||
        !set_events(kv, s, error)) {
        return false;
    }
    kv->failed = false;
    return true;
}
