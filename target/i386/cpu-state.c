/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers: power-on values and the boot sector's.
 *
 * What depends on the host survives a reset: the TSC's frequency, which MSRs
 * the accelerator lists (each with the value it has after power-on), the size
 * of the XSAVE area, and whether this is the bootstrap processor.
 */
#include "target/i386/cpu-state.h"

#include <string.h>

#include "target/i386/x86-bits.h"

/* Which of the host's properties live on. */
typedef struct Kept {
    uint64_t apic_base, mcg_cap, xcr0_can;
    uint32_t tsc_khz, xsave_size, n_msrs;
    uint8_t *xsave;
    X86Msr *msrs;
    struct X86CpuWire *wire;
} Kept;

static void put_segment(X86Segment *seg, uint32_t selector, uint64_t base,
                        uint32_t flags)
{
    *seg = (X86Segment) {
        .selector = selector, .base = base, .limit = 0xffff, .flags = flags,
    };
}

static void reset_segments(X86CpuState *s)
{
    const uint32_t data = X86_DESC_P | X86_DESC_S | X86_TYPE_DATA_RWA;

    for (unsigned i = X86_SEG_ES; i <= X86_SEG_GS; i++) {
        put_segment(&s->segs[i], 0, 0, data);
    }
    put_segment(&s->segs[X86_SEG_CS], 0xf000, 0xffff0000,
                X86_DESC_P | X86_DESC_S | X86_TYPE_CODE_RXA);
    put_segment(&s->segs[X86_SEG_LDT], 0, 0, X86_DESC_P | X86_TYPE_LDT);
    put_segment(&s->segs[X86_SEG_TR], 0, 0, X86_DESC_P | X86_TYPE_TSS_BUSY);
    put_segment(&s->segs[X86_SEG_GDT], 0, 0, 0);
    put_segment(&s->segs[X86_SEG_IDT], 0, 0, 0);
}

static void reset_fpu(X86CpuState *s)
{
    s->fcw = 0x37f;
    s->mxcsr = 0x1f80;
    s->xcr0 = 1;
}

static void reset_msrs(X86CpuState *s)
{
    s->pat = X86_PAT_RESET;
    s->misc_enable = 1; /* fast strings */
    s->smbase = 0x30000;
    s->mcg_ctl = 0;
    for (uint32_t i = 0; i < s->n_msrs; i++) {
        s->msrs[i].value = s->msrs[i].reset;
    }
}

static void restore_kept(X86CpuState *s, const Kept *kept)
{
    bool bsp = kept->apic_base & X86_APIC_BASE_BSP;

    s->apic_base = X86_APIC_BASE_ADDRESS | X86_APIC_BASE_ENABLE |
        (bsp ? X86_APIC_BASE_BSP : 0);
    s->mp_state = bsp ? X86_MP_RUNNABLE : X86_MP_UNINITIALIZED;
    s->mcg_cap = kept->mcg_cap;
    s->xcr0_can = kept->xcr0_can;
    s->tsc_khz = kept->tsc_khz;
    s->xsave_size = kept->xsave_size;
    s->xsave = kept->xsave;
    if (s->xsave) {
        memset(s->xsave, 0, s->xsave_size);
    }
    s->n_msrs = kept->n_msrs;
    s->msrs = kept->msrs;
    s->wire = kept->wire;
}

void x86_cpu_reset(X86CpuState *state)
{
    Kept kept = {
        .apic_base = state->apic_base, .mcg_cap = state->mcg_cap,
        .xcr0_can = state->xcr0_can,
        .tsc_khz = state->tsc_khz, .xsave_size = state->xsave_size,
        .xsave = state->xsave, .n_msrs = state->n_msrs, .msrs = state->msrs,
        .wire = state->wire,
    };

    memset(state, 0, sizeof(*state));
    restore_kept(state, &kept);
    state->rip = 0xfff0;
    state->rflags = X86_FLAGS_ONE;
    state->regs[X86_RDX] = 0x600; /* family 6, as CPUs tell after power-on */
    state->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
    state->dr[6] = 0xffff0ff0;
    state->dr[7] = 0x400;
    state->interrupt_injected = -1;
    state->exception_nr = -1;
    reset_segments(state);
    reset_fpu(state);
    reset_msrs(state);
}

X86CpuState *x86_cpu_state_new(void)
{
    X86CpuState *state = g_new0(X86CpuState, 1);

    state->apic_base = X86_APIC_BASE_BSP;
    x86_cpu_reset(state);
    return state;
}

void x86_cpu_state_free(X86CpuState *state)
{
    if (!state) {
        return;
    }
    g_free(state->xsave);
    g_free(state->msrs);
    g_free(state->wire);
    g_free(state);
}

void x86_cpu_set_boot_sector(X86CpuState *state, uint8_t drive)
{
    const uint32_t data = X86_DESC_P | X86_DESC_S | X86_TYPE_DATA_RWA;

    for (unsigned i = X86_SEG_ES; i <= X86_SEG_GS; i++) {
        put_segment(&state->segs[i], 0, 0, data);
    }
    put_segment(&state->segs[X86_SEG_CS], 0, 0,
                X86_DESC_P | X86_DESC_S | X86_TYPE_CODE_RXA);
    put_segment(&state->segs[X86_SEG_IDT], 0, 0, 0);
    state->segs[X86_SEG_IDT].limit = 0x3ff;
    state->rip = 0x7c00;
    state->regs[X86_RDX] = drive;
    state->regs[X86_RSP] = 0x7c00;
    state->rflags = X86_FLAGS_ONE;
}
