/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "info registers": one vCPU's registers as text, in the columns that readers
 * of other machine monitors know. In long mode registers are 64 bits wide.
 */
#include "target/i386/cpu-state.h"

#include <inttypes.h>

#include "system/cpus.h"
#include "target/i386/x86-bits.h"

static const char seg_names[X86_SEG_COUNT][4] = {
    "ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR", "GDT", "IDT",
};

static bool is_long(const X86CpuState *s)
{
    return s->efer & X86_EFER_LMA;
}

static void put_general(GString *out, const X86CpuState *s)
{
    static const struct { uint8_t reg; char name[3]; } order[] = {
        { X86_RAX, "AX" }, { X86_RBX, "BX" }, { X86_RCX, "CX" },
        { X86_RDX, "DX" }, { X86_RSI, "SI" }, { X86_RDI, "DI" },
        { X86_RBP, "BP" }, { X86_RSP, "SP" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        char end = i % 4 == 3 ? '\n' : ' ';

        if (is_long(s)) {
            g_string_append_printf(out, "R%s=%016" PRIx64 "%c", order[i].name,
                                   s->regs[order[i].reg], end);
        } else {
            g_string_append_printf(out, "E%s=%08" PRIx32 "%c", order[i].name,
                                   (uint32_t)s->regs[order[i].reg], end);
        }
    }
    for (unsigned i = X86_R8; is_long(s) && i < X86_GPR_COUNT; i++) {
        g_string_append_printf(out, "R%-2u=%016" PRIx64 "%c", i, s->regs[i],
                               i % 4 == 3 ? '\n' : ' ');
    }
}

static void put_flags(GString *out, const X86CpuState *s)
{
    /* direction, overflow, sign, zero, adjust, parity, carry */
    static const struct { uint8_t bit; char letter; } flags[] = {
        { 10, 'D' }, { 11, 'O' }, { 7, 'S' }, { 6, 'Z' }, { 4, 'A' },
        { 2, 'P' }, { 0, 'C' },
    };
    char text[G_N_ELEMENTS(flags) + 1] = "";
    unsigned cpl = s->segs[X86_SEG_SS].flags >> X86_DESC_DPL_SHIFT & 3;
    bool halted = s->halted || s->mp_state == X86_MP_HALTED;

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        text[i] = s->rflags >> flags[i].bit & 1 ? flags[i].letter : '-';
    }
    if (is_long(s)) {
        g_string_append_printf(out, "RIP=%016" PRIx64 " RFL=", s->rip);
    } else {
        g_string_append_printf(out, "EIP=%08" PRIx32 " EFL=",
                               (uint32_t)s->rip);
    }
    g_string_append_printf(out, "%08" PRIx32 " [%s] CPL=%u II=%u A20=1 SMM=0 "
                           "HLT=%d\n", (uint32_t)s->rflags, text, cpl,
                           s->interrupt_shadow, halted);
}

/* " DPL=0 CS32 [-RA]" and the like, in protected mode only. */
static void put_descriptor(GString *out, const X86Segment *seg)
{
    static const char system_types[16][12] = {
        "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16",
        "TaskGate", "IntGate16", "TrapGate16", "Reserved", "TSS32-avl",
        "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32",
        "TrapGate32",
    };
    unsigned type = seg->flags >> X86_DESC_TYPE_SHIFT & 0xf;

    g_string_append_printf(out, " DPL=%u ",
                           seg->flags >> X86_DESC_DPL_SHIFT & 3);
    if (!(seg->flags & X86_DESC_S)) {
        g_string_append(out, system_types[type]);
    } else if (type & 8) {
        g_string_append_printf(out, "CS%s [%c%c%c]",
                               seg->flags & X86_DESC_L ? "64" :
                               seg->flags & X86_DESC_DB ? "32" : "16",
                               type & 4 ? 'C' : '-', type & 2 ? 'R' : '-',
                               type & 1 ? 'A' : '-');
    } else {
        g_string_append_printf(out, "DS%s [%c%c%c]",
                               seg->flags & X86_DESC_DB ? "32" : "16",
                               type & 4 ? 'E' : '-', type & 2 ? 'W' : '-',
                               type & 1 ? 'A' : '-');
    }
}

static void put_base(GString *out, const X86CpuState *s, uint64_t base)
{
    if (is_long(s)) {
        g_string_append_printf(out, "%016" PRIx64, base);
    } else {
        g_string_append_printf(out, "%08" PRIx32, (uint32_t)base);
    }
}

static void put_segments(GString *out, const X86CpuState *s)
{
    for (unsigned i = 0; i < X86_SEG_GDT; i++) {
        const X86Segment *seg = &s->segs[i];

        g_string_append_printf(out, "%-3s=%04" PRIx32 " ", seg_names[i],
                               seg->selector);
        put_base(out, s, seg->base);
        g_string_append_printf(out, " %08" PRIx32 " %08" PRIx32, seg->limit,
                               seg->flags);
        if (s->cr0 & X86_CR0_PE && seg->flags & X86_DESC_P) {
            put_descriptor(out, seg);
        }
        g_string_append_c(out, '\n');
    }
    for (unsigned i = X86_SEG_GDT; i < X86_SEG_COUNT; i++) {
        g_string_append_printf(out, "%-3s=     ", seg_names[i]);
        put_base(out, s, s->segs[i].base);
        g_string_append_printf(out, " %08" PRIx32 "\n", s->segs[i].limit);
    }
}

static void put_control(GString *out, const X86CpuState *s)
{
    g_string_append_printf(out, "CR0=%08" PRIx32 " CR2=", (uint32_t)s->cr0);
    put_base(out, s, s->cr2);
    g_string_append(out, " CR3=");
    put_base(out, s, s->cr3);
    g_string_append_printf(out, " CR4=%08" PRIx32 "\n", (uint32_t)s->cr4);
    for (unsigned i = 0; i < 4; i++) {
        g_string_append_printf(out, "DR%u=%016" PRIx64 " ", i, s->dr[i]);
    }
    g_string_append_printf(out, "\nDR6=%016" PRIx64 " DR7=%016" PRIx64
                           "\nEFER=%016" PRIx64 "\n", s->dr[6], s->dr[7],
                           s->efer);
}

static void put_fpu(GString *out, const X86CpuState *s)
{
    unsigned n_xmm = is_long(s) ? 16 : 8;

    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x "
                           "MXCSR=%08" PRIx32 "\n", s->fcw, s->fsw & ~0x3800,
                           s->fsw >> 11 & 7, s->ftag & 0xff, s->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        g_string_append_printf(out, "FPR%u=%016" PRIx64 " %04x%c", i,
                               s->fpregs[i].mantissa, s->fpregs[i].exponent,
                               i & 1 ? '\n' : ' ');
    }
    for (unsigned i = 0; i < n_xmm; i++) {
        g_string_append_printf(out, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c",
                               i, s->xmm[i].hi, s->xmm[i].lo,
                               i & 1 ? '\n' : ' ');
    }
}

char *x86_cpu_state_to_text(const Vcpu *vcpu)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "CPU#%u\n", vcpu->index);
    put_general(out, vcpu->state);
    put_flags(out, vcpu->state);
    put_segments(out, vcpu->state);
    put_control(out, vcpu->state);
    put_fpu(out, vcpu->state);
    return g_string_free(out, FALSE);
}
