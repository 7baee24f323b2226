/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers out of an engine. What the library has no register for (machine
 * check banks, MTRRs, the TSC, clocks) stays in the state as it was loaded.
 */
#include "accel/tcg/tcg-internal.h"

#include <string.h>

#include "target/i386/x86-bits.h"
#include "util/error.h"

#define STATE(field) offsetof(X86CpuState, field)
#define X86_CR0_PG (UINT64_C(1) << 31)

const TcgReg tcg_plain_regs[] = {
    { UC_X86_REG_RAX, STATE(regs[X86_RAX]) },
    { UC_X86_REG_RCX, STATE(regs[X86_RCX]) },
    { UC_X86_REG_RDX, STATE(regs[X86_RDX]) },
    { UC_X86_REG_RBX, STATE(regs[X86_RBX]) },
    { UC_X86_REG_RSP, STATE(regs[X86_RSP]) },
    { UC_X86_REG_RBP, STATE(regs[X86_RBP]) },
    { UC_X86_REG_RSI, STATE(regs[X86_RSI]) },
    { UC_X86_REG_RDI, STATE(regs[X86_RDI]) },
    { UC_X86_REG_R8, STATE(regs[X86_R8]) },
    { UC_X86_REG_R9, STATE(regs[X86_R9]) },
    { UC_X86_REG_R10, STATE(regs[X86_R10]) },
    { UC_X86_REG_R11, STATE(regs[X86_R11]) },
    { UC_X86_REG_R12, STATE(regs[X86_R12]) },
    { UC_X86_REG_R13, STATE(regs[X86_R13]) },
    { UC_X86_REG_R14, STATE(regs[X86_R14]) },
    { UC_X86_REG_R15, STATE(regs[X86_R15]) },
    { UC_X86_REG_RIP, STATE(rip) },
    { UC_X86_REG_RFLAGS, STATE(rflags) },
    { UC_X86_REG_DR0, STATE(dr[0]) },
    { UC_X86_REG_DR1, STATE(dr[1]) },
    { UC_X86_REG_DR2, STATE(dr[2]) },
    { UC_X86_REG_DR3, STATE(dr[3]) },
    { UC_X86_REG_DR6, STATE(dr[6]) },
    { UC_X86_REG_DR7, STATE(dr[7]) },
    { 0 },
};

const TcgMsr tcg_msrs[] = {
    { 0x174, STATE(sysenter_cs) },
    { 0x175, STATE(sysenter_esp) },
    { 0x176, STATE(sysenter_eip) },
    { 0x277, STATE(pat) },
    { 0xc0000081, STATE(star) },
    { 0xc0000082, STATE(lstar) },
    { 0xc0000083, STATE(cstar) },
    { 0xc0000084, STATE(fmask) },
    { 0xc0000102, STATE(kernel_gs_base) },
    { 0xc0000103, STATE(tsc_aux) },
    { 0 },
};

typedef struct Saver {
    uc_engine *uc;
    X86CpuState *state;
    GError **error;
} Saver;

static bool get_reg(Saver *s, int reg, void *ret)
{
    return tcg_check(uc_reg_read(s->uc, reg, ret), "read a register",
                     s->error);
}

static bool save_plain(Saver *s)
{
    static const TcgReg control[] = {
        { UC_X86_REG_CR0, STATE(cr0) }, { UC_X86_REG_CR2, STATE(cr2) },
        { UC_X86_REG_CR3, STATE(cr3) }, { UC_X86_REG_CR4, STATE(cr4) },
        { 0 },
    };
    const TcgReg *tables[] = { tcg_plain_regs, control };

    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const TcgReg *r = tables[i]; r->reg; r++) {
            uint64_t value = 0;

            if (!get_reg(s, r->reg, &value)) {
                return false;
            }
            memcpy((char *)s->state + r->offset, &value, 8);
        }
    }
    return true;
}

static bool save_msr(Saver *s, uint32_t index, uint64_t *ret)
{
    uc_x86_msr msr = { .rid = index };

    if (!get_reg(s, UC_X86_REG_MSR, &msr)) {
        return false;
    }
    *ret = msr.value;
    return true;
}

static bool save_msrs(Saver *s)
{
    for (const TcgMsr *m = tcg_msrs; m->index; m++) {
        uint64_t value;

        if (!save_msr(s, m->index, &value)) {
            return false;
        }
        memcpy((char *)s->state + m->offset, &value, 8);
    }
    return save_msr(s, 0xc0000080, &s->state->efer);
}

static bool save_x87(Saver *s)
{
    static const int fp[8] = {
        UC_X86_REG_FP0, UC_X86_REG_FP1, UC_X86_REG_FP2, UC_X86_REG_FP3,
        UC_X86_REG_FP4, UC_X86_REG_FP5, UC_X86_REG_FP6, UC_X86_REG_FP7,
    };
    X86CpuState *state = s->state;
    uint16_t tags = 0;
    unsigned top;

    if (!get_reg(s, UC_X86_REG_FPCW, &state->fcw) ||
        !get_reg(s, UC_X86_REG_FPSW, &state->fsw) ||
        !get_reg(s, UC_X86_REG_FPTAG, &tags) ||
        !get_reg(s, UC_X86_REG_MXCSR, &state->mxcsr)) {
        return false;
    }
    top = state->fsw >> 11 & 7;
    state->ftag = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t raw[16] = { 0 };

        if (!get_reg(s, fp[(top + i) & 7], raw)) {
            return false;
        }
        memcpy(&state->fpregs[i].mantissa, raw, 8);
        memcpy(&state->fpregs[i].exponent, raw + 8, 2);
        state->ftag |= ((tags >> 2 * i & 3) != 3) << i;
    }
    return true;
}

static bool save_vectors(Saver *s)
{
    for (unsigned i = 0; i < 16; i++) {
        uint64_t ymm[4] = { 0 };

        if (!get_reg(s, UC_X86_REG_YMM0 + i, ymm)) {
            return false;
        }
        s->state->xmm[i] = (X86Vec128) { ymm[0], ymm[1] };
        s->state->ymmh[i] = (X86Vec128) { ymm[2], ymm[3] };
    }
    return true;
}

static bool save_table(Saver *s, int reg, X86Segment *ret)
{
    uc_x86_mmr mmr = { 0 };

    if (!get_reg(s, reg, &mmr)) {
        return false;
    }
    *ret = (X86Segment) { .base = mmr.base, .limit = mmr.limit };
    return true;
}

static bool save_segments(Saver *s, const TcgCpu *cpu)
{
    uc_context *context;
    uc_err status;

    if (!save_table(s, UC_X86_REG_GDTR, &s->state->segs[X86_SEG_GDT]) ||
        !save_table(s, UC_X86_REG_IDTR, &s->state->segs[X86_SEG_IDT]) ||
        !tcg_check(uc_context_alloc(s->uc, &context), "make a context",
                   s->error)) {
        return false;
    }
    status = uc_context_save(s->uc, context);
    for (unsigned i = X86_SEG_ES; status == UC_ERR_OK && i <= X86_SEG_TR;
         i++) {
        tcg_segment_read(cpu, context, i, &s->state->segs[i]);
        s->state->segs[i].flags &= 0x00f0ff00;
    }
    uc_context_free(context);
    return tcg_check(status, "save a context", s->error);
}

bool tcg_save_state(TcgCpu *cpu, X86CpuState *state, GError **error)
{
    Saver s = { .uc = cpu->uc, .state = state, .error = error };

    return save_plain(&s) && save_msrs(&s) && save_x87(&s) &&
        save_vectors(&s) && save_segments(&s, cpu);
}
