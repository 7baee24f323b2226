/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between X86CpuState and its form on the wire: what is computed, what is
 * checked.
 */
#include "target/i386/cpu-wire.h"

#include <string.h>

#include "target/i386/x86-bits.h"
#include "util/error.h"

/* hflags. A KVM destination computes its own; a software CPU believes it. */
#define HF_INHIBIT_IRQ (1u << 3)
#define HF_CS32 (1u << 4)
#define HF_SS32 (1u << 5)
#define HF_ADDSEG (1u << 6)
#define HF_PE (1u << 7)
#define HF_TF (1u << 8)
#define HF_MP_SHIFT 9     /* CR0's MP, EM, TS */
#define HF_IOPL (3u << 12)
#define HF_LMA (1u << 14)
#define HF_CS64 (1u << 15)
#define HF_VM (1u << 17)
#define HF_SVME (1u << 20)
#define HF_OSFXSR (1u << 22)

#define HF2_GIF (1u << 0)
#define HF2_NMI_MASKED (1u << 2)

#define A20_BIT (1 << 20)

static const struct {
    uint32_t index;
    uint64_t reset;
} named_msrs[CPU_MSR_NAMED] = {
    [CPU_MSR_ASYNC_PF] = { X86_MSR_KVM_ASYNC_PF, 0 },
    [CPU_MSR_PV_EOI] = { X86_MSR_KVM_PV_EOI, 0 },
    [CPU_MSR_STEAL_TIME] = { X86_MSR_KVM_STEAL_TIME, 0 },
    [CPU_MSR_POLL_CONTROL] = { X86_MSR_KVM_POLL_CONTROL, 1 },
    [CPU_MSR_FEATURE_CONTROL] = { X86_MSR_FEATURE_CONTROL, 0 },
};

/* Width of code and stack, and whether segment bases count. */
static uint32_t segment_hflags(const X86CpuState *s)
{
    const X86Segment *segs = s->segs;
    uint32_t flags = 0;

    if (s->efer & X86_EFER_LMA && segs[X86_SEG_CS].flags & X86_DESC_L) {
        return HF_CS32 | HF_SS32 | HF_CS64;
    }
    if (segs[X86_SEG_CS].flags & X86_DESC_DB) {
        flags |= HF_CS32;
    }
    if (segs[X86_SEG_SS].flags & X86_DESC_DB) {
        flags |= HF_SS32;
    }
    if (!(s->cr0 & X86_CR0_PE) || s->rflags & X86_FLAGS_VM ||
        !(flags & HF_CS32) || segs[X86_SEG_DS].base ||
        segs[X86_SEG_ES].base || segs[X86_SEG_SS].base) {
        flags |= HF_ADDSEG;
    }
    return flags;
}

uint32_t x86_cpu_hflags(const X86CpuState *s)
{
    uint32_t flags = segment_hflags(s);

    flags |= s->segs[X86_SEG_SS].flags >> X86_DESC_DPL_SHIFT & 3; /* CPL */
    flags |= s->cr0 & X86_CR0_PE ? HF_PE : 0;
    flags |= (uint32_t)((s->cr0 & (X86_CR0_MP | X86_CR0_EM | X86_CR0_TS)) >> 1)
        << HF_MP_SHIFT;
    flags |= s->rflags & (HF_TF | HF_IOPL | HF_VM); /* same places */
    flags |= s->efer & X86_EFER_LMA ? HF_LMA : 0;
    flags |= s->efer & X86_EFER_SVME ? HF_SVME : 0;
    flags |= s->cr4 & X86_CR4_OSFXSR ? HF_OSFXSR : 0;
    flags |= s->interrupt_shadow ? HF_INHIBIT_IRQ : 0;
    return flags;
}

uint32_t x86_cpu_hflags2(const X86CpuState *s)
{
    return HF2_GIF | (s->nmi_masked ? HF2_NMI_MASKED : 0);
}

static int named_msr(uint32_t index)
{
    for (int i = 0; i < CPU_MSR_NAMED; i++) {
        if (named_msrs[i].index == index) {
            return i;
        }
    }
    return -1;
}

static bool msrs_to_wire(X86CpuWire *w, GError **error)
{
    const X86CpuState *s = w->vcpu->state;

    for (uint32_t i = 0; i < s->n_msrs; i++) {
        const X86Msr *msr = &s->msrs[i];
        int name = named_msr(msr->index);

        if (name >= 0) {
            w->named[name] = msr->value;
        } else if (msr->value != msr->reset) {
            if (w->n_msrs == CPU_WIRE_MSRS) {
                tm_error_set(error, "vCPU %u has more than %u changed MSRs",
                             w->vcpu->index, CPU_WIRE_MSRS);
                return false;
            }
            w->msrs[w->n_msrs++] = (CpuWireEntry) {
                .index = msr->index, .value = msr->value,
            };
        }
    }
    return true;
}

void x86_cpu_wire_init(X86CpuWire *w)
{
    w->env = *w->vcpu->state;
    w->env.tsc_adjust = 0;
    w->env.tsc_deadline = 0;
    w->env.misc_enable = 1;
    w->env.xss = 0;
    w->env.pkru = 0;
    w->env.spec_ctrl = 0;
    w->env.error_code = 0;
    w->tsc_khz = 0;
    for (unsigned i = 0; i < CPU_MSR_NAMED; i++) {
        w->named[i] = named_msrs[i].reset;
    }
    w->n_msrs = 0;
    memset(w->msrs, 0, sizeof(w->msrs));
    memset(w->xsave, 0, sizeof(w->xsave));
}

bool x86_cpu_to_wire(X86CpuWire *w, GError **error)
{
    const X86CpuState *s = w->vcpu->state;

    if (s->nested) {
        tm_error_set(error, "vCPU %u runs, or is about to run, a guest of its "
                     "own (nested virtualisation), which cannot be carried",
                     w->vcpu->index);
        return false;
    }
    x86_cpu_wire_init(w);
    w->env = *s;
    w->hflags = x86_cpu_hflags(s);
    w->hflags2 = x86_cpu_hflags2(s);
    w->a20_mask = -1;
    w->sysenter_cs = s->sysenter_cs;
    w->fpu_format = 0;
    w->tsc_khz = s->tsc_khz;
    if (s->xsave) {
        memcpy(w->xsave, s->xsave, MIN(s->xsave_size, sizeof(w->xsave)));
    }
    return msrs_to_wire(w, error);
}

static bool refuse(X86CpuWire *w, GError **error, const char *what)
{
    tm_error_set(error, "vCPU %u: %s", w->vcpu->index, what);
    return false;
}

/* Registers that this vCPU's CPUID has not would be lost without a word. */
static bool check_xcr0(X86CpuWire *w, GError **error)
{
    uint64_t can = w->vcpu->state->xcr0_can;
    uint64_t has = w->env.xcr0 | (w->env.pkru ? X86_XSTATE_PKRU : 0);

    if (can && has & ~can) {
        tm_error_set(error, "vCPU %u: state components 0x%" G_GINT64_MODIFIER
                     "x of XCR0 are in use, this vCPU has only 0x%"
                     G_GINT64_MODIFIER "x (-cpu, or the host)",
                     w->vcpu->index, (guint64)has, (guint64)can);
        return false;
    }
    return true;
}

static bool check_wire(X86CpuWire *w, GError **error)
{
    const X86CpuState *s = &w->env;

    if (w->fpu_format) {
        return refuse(w, error, "unknown form of x87 registers");
    }
    if (!(w->a20_mask & A20_BIT)) {
        return refuse(w, error, "the A20 line is off");
    }
    if (s->interrupt_injected < -1 || s->interrupt_injected > 255 ||
        s->exception_nr < -1 || s->exception_nr > 31) {
        return refuse(w, error, "event in flight out of range");
    }
    if (w->tsc_khz < 0 || w->tsc_khz > UINT32_MAX) {
        return refuse(w, error, "TSC frequency out of range");
    }
    if (s->xstate_bv & ~X86_XSTATE_NAMED && !w->vcpu->state->xsave) {
        return refuse(w, error, "XSAVE state that this host cannot hold");
    }
    if (w->n_msrs > CPU_WIRE_MSRS) {
        return refuse(w, error, "too many MSRs");
    }
    return check_xcr0(w, error);
}

static X86Msr *find_msr(X86CpuState *s, uint32_t index)
{
    for (uint32_t i = 0; i < s->n_msrs; i++) {
        if (s->msrs[i].index == index) {
            return &s->msrs[i];
        }
    }
    return NULL;
}

static bool check_msr(X86CpuWire *w, uint32_t index, GError **error)
{
    if (!find_msr(w->vcpu->state, index)) {
        tm_error_set(error, "vCPU %u: MSR 0x%x is not known to this host",
                     w->vcpu->index, index);
        return false;
    }
    return true;
}

static bool check_msrs(X86CpuWire *w, GError **error)
{
    for (unsigned i = 0; i < CPU_MSR_NAMED; i++) {
        if (w->named[i] != named_msrs[i].reset &&
            !check_msr(w, named_msrs[i].index, error)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < w->n_msrs; i++) {
        if (!check_msr(w, w->msrs[i].index, error)) {
            return false;
        }
    }
    return true;
}

static void msrs_from_wire(X86CpuWire *w, X86CpuState *s)
{
    for (uint32_t i = 0; i < s->n_msrs; i++) {
        int name = named_msr(s->msrs[i].index);

        s->msrs[i].value = name >= 0 ? w->named[name] : s->msrs[i].reset;
    }
    for (uint32_t i = 0; i < w->n_msrs; i++) {
        find_msr(s, w->msrs[i].index)->value = w->msrs[i].value;
    }
}

/* Pointers and what belongs to them stay the vCPU's own. */
static void env_from_wire(X86CpuWire *w, X86CpuState *s)
{
    X86CpuState old = *s;

    *s = w->env;
    s->xsave = old.xsave;
    s->xsave_size = old.xsave_size;
    s->msrs = old.msrs;
    s->n_msrs = old.n_msrs;
    s->xcr0_can = old.xcr0_can;
    s->wire = old.wire;
    s->halted = old.halted;
    s->interrupt_request = old.interrupt_request;
    s->cr8 = old.cr8;
    s->apic_base = old.apic_base;
    s->tsc_khz = w->tsc_khz;
    s->nested = false;
    s->sysenter_cs = w->sysenter_cs;
    s->interrupt_shadow = !!(w->hflags & HF_INHIBIT_IRQ);
    s->nmi_masked = !!(w->hflags2 & HF2_NMI_MASKED);
    if (s->xsave) {
        memcpy(s->xsave, w->xsave, MIN(s->xsave_size, sizeof(w->xsave)));
    }
}

bool x86_cpu_from_wire(X86CpuWire *w, GError **error)
{
    if (!check_wire(w, error) || !check_msrs(w, error)) {
        return false;
    }
    env_from_wire(w, w->vcpu->state);
    msrs_from_wire(w, w->vcpu->state);
    return true;
}
