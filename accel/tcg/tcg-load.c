/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers into a new engine.
 *
 * The library lets us write most registers, but a write of CR0, CR4 or CS
 * changes only what the guest would read: the mode in which the engine runs
 * and what its segment registers have cached stay as they were. So the engine
 * is taken where it has to be by running instructions in it, as firmware
 * would, from a scratch area that is mapped only meanwhile:
 *
 *   start (64 bit, flat)
 *     |-- to long mode:  CR4, CR0 --> segments --> IRETQ to its level
 *     `-- to the others: IRETQ to 32-bit code, CR0 without paging (this
 *         leaves long mode), CR4 --> segments --> far jump, or IRET to an
 *         outer level; to real mode: 16-bit code, CR0.PE off, far jump
 *
 * Each step is a snippet that is run up to its end and checked. Everything
 * that has no side effects (general registers, CR3, tables, selectors) is then
 * simply written, and at last the segments are compared with what was wanted.
 *
 * Scratch area, from SCRATCH on: a descriptor table of 64 KiB, a page of
 * code, a page of data, three pages of page tables that map it to itself.
 */
#include "accel/tcg/tcg-internal.h"

#include <string.h>
#include <sys/mman.h>

#include "target/i386/x86-bits.h"
#include "util/error.h"

#define SCRATCH UINT64_C(0xfffe0000)
#define SCRATCH_BYTES 0x20000
#define CODE_AT 0x10000
#define DATA_AT 0x11000
#define TABLES_AT 0x12000

#define X86_CR0_PG (UINT64_C(1) << 31)
#define X86_CR4_PAE (UINT64_C(1) << 5)
#define X86_EFER_SCE UINT64_C(1)
#define X86_EFER_LME (UINT64_C(1) << 8)
#define X86_EFER_NXE (UINT64_C(1) << 11)
#define MSR_EFER 0xc0000080
#define SEGMENT_FLAGS 0x00f0ff00u
#define NULL_SELECTOR(s) (((s) & 0xfffc) == 0)

/* Selectors of the scratch table that are never a guest's own meanwhile. */
enum {
    TEMP_CODE = 0xff00, TEMP_DATA = 0xff08, TEMP_CODE32 = 0xff10,
    TEMP_FLAT = 0xff18, TEMP_CODE16 = 0xff20,
};

typedef struct Loader {
    uc_engine *uc;
    const X86CpuState *want;
    uint8_t *scratch;
    size_t code;          /* where the next snippet goes; no place is used
                             twice, the engine might remember it */
    bool long_mode, real_mode;
    unsigned cpl;
    GError **error;
} Loader;

static bool put_reg(Loader *l, int reg, uint64_t value)
{
    return tcg_check(uc_reg_write(l->uc, reg, &value), "write a register",
                     l->error);
}

static uint64_t get_reg(Loader *l, int reg)
{
    uint64_t value = 0;

    uc_reg_read(l->uc, reg, &value);
    return value;
}

static bool put_table(Loader *l, int reg, uint64_t base, uint32_t limit)
{
    uc_x86_mmr mmr = { .base = base, .limit = limit };

    return tcg_check(uc_reg_write(l->uc, reg, &mmr), "write a table register",
                     l->error);
}

/* Descriptor for @selector; a selector of an LDT uses the same table. */
static void put_descriptor(Loader *l, unsigned selector, uint64_t base,
                           uint32_t limit, uint32_t flags)
{
    uint64_t high = flags & SEGMENT_FLAGS;
    uint64_t descriptor;

    if (limit > 0xfffff) {
        high |= X86_DESC_G;
    }
    limit >>= high & X86_DESC_G ? 12 : 0;
    high |= (limit & 0xf0000) | (base & 0xff000000) | (base >> 16 & 0xff);
    descriptor = high << 32 | (base & 0xffff) << 16 | (limit & 0xffff);
    memcpy(l->scratch + (selector & 0xfff8), &descriptor, sizeof(descriptor));
}

/*
 * Run @n bytes of code. @base: of the code segment the engine is in; @until:
 * linear address it has to arrive at, or 0: the end of the snippet. What is
 * there is not executed, and need not even be mapped.
 */
static bool run(Loader *l, const void *bytes, size_t n, uint64_t base,
                uint64_t until)
{
    uint64_t at = SCRATCH + CODE_AT + l->code;
    uc_err status;

    memcpy(l->scratch + CODE_AT + l->code, bytes, n);
    l->code += n;
    if (!until) {
        until = at + n;
    }
    status = uc_emu_start(l->uc, at - base, until, 0, 0);
    l->code += 16;
    if (status != UC_ERR_OK && status != UC_ERR_FETCH_UNMAPPED &&
        status != UC_ERR_FETCH_PROT) {
        return tcg_check(status, "enter the guest's mode", l->error);
    }
    return true;
}

/* mov sreg, ax, in code of 32 or 64 bits (@wide) or of 16 */
static bool run_mov_segment(Loader *l, unsigned index, unsigned selector,
                            bool wide, uint64_t base)
{
    uint8_t code[] = { 0x66, 0xb8, selector, selector >> 8,
                       0x8e, 0xc0 | index << 3 };

    return wide ? run(l, code, sizeof(code), base, 0)
                : run(l, code + 1, sizeof(code) - 1, base, 0);
}

/* mov crN, rax (eax) */
static bool run_mov_cr(Loader *l, unsigned cr, uint64_t value, uint64_t base)
{
    uint8_t code[] = { 0x0f, 0x22, 0xc0 | cr << 3 };

    return put_reg(l, UC_X86_REG_RAX, value) &&
        run(l, code, sizeof(code), base, 0);
}

/* IRETQ or IRET (@wide false) with a frame of our making. */
static bool run_iret(Loader *l, bool wide, uint64_t rip, unsigned cs,
                     unsigned ss, uint64_t until)
{
    uint64_t frame64[5] = { rip, cs, X86_FLAGS_ONE, SCRATCH + DATA_AT, ss };
    uint32_t frame32[5] = { rip, cs, X86_FLAGS_ONE, SCRATCH + DATA_AT, ss };
    uint8_t code[] = { 0x48, 0xcf };

    if (wide) {
        memcpy(l->scratch + DATA_AT, frame64, sizeof(frame64));
    } else {
        memcpy(l->scratch + DATA_AT, frame32, sizeof(frame32));
    }
    return put_reg(l, UC_X86_REG_RSP, SCRATCH + DATA_AT) &&
        run(l, wide ? code : code + 1, wide ? 2 : 1, 0, until);
}

/* jmp far cs:[DATA_AT], in 32-bit code */
static bool run_far_jump(Loader *l, uint32_t eip, uint16_t cs, uint64_t until)
{
    uint32_t pointer = SCRATCH + DATA_AT;
    uint8_t code[7] = { 0x2e, 0xff, 0x2d };

    memcpy(code + 3, &pointer, 4);
    memcpy(l->scratch + DATA_AT, &eip, 4);
    memcpy(l->scratch + DATA_AT + 4, &cs, 2);
    return run(l, code, sizeof(code), 0, until);
}

static bool put_efer(Loader *l)
{
    const uint64_t mask = X86_EFER_SCE | X86_EFER_LME | X86_EFER_NXE;
    uc_x86_msr msr = { .rid = MSR_EFER, .value = l->want->efer };

    if (!tcg_check(uc_reg_write(l->uc, UC_X86_REG_MSR, &msr), "write EFER",
                   l->error) ||
        !tcg_check(uc_reg_read(l->uc, UC_X86_REG_MSR, &msr), "read EFER",
                   l->error)) {
        return false;
    }
    if ((msr.value ^ l->want->efer) & mask) {
        tm_error_set(l->error, "the software CPU cannot do EFER 0x%"
                     G_GINT64_MODIFIER "x", l->want->efer);
        return false;
    }
    return true;
}

/* ES, SS and DS through a temporary selector: their own is written later.
 * FS and GS by their own, which no later write could set alone; what real mode
 * left in them under a null selector is lost in protected mode. */
static bool load_data_segment(Loader *l, unsigned index)
{
    const X86Segment *s = &l->want->segs[index];
    uint32_t flags = s->flags & SEGMENT_FLAGS;
    unsigned selector = TEMP_DATA;

    if (l->real_mode) {
        flags = X86_DESC_P | X86_DESC_S | X86_TYPE_DATA_RWA;
    } else if (index == X86_SEG_FS || index == X86_SEG_GS) {
        selector = s->selector & 0xffff;
    }
    if (!(flags & X86_DESC_P) || !(flags & X86_DESC_S) ||
        NULL_SELECTOR(selector)) {
        return run_mov_segment(l, index, 0, true, 0);
    }
    put_descriptor(l, selector, s->base, s->limit, flags);
    return run_mov_segment(l, index, selector, true, 0);
}

static bool load_data_segments(Loader *l)
{
    return load_data_segment(l, X86_SEG_ES) &&
        load_data_segment(l, X86_SEG_DS) && load_data_segment(l, X86_SEG_FS) &&
        load_data_segment(l, X86_SEG_GS);
}

/* The stack segment for an IRET; null where it is so (64 bit only). */
static unsigned prepare_stack(Loader *l)
{
    const X86Segment *s = &l->want->segs[X86_SEG_SS];

    if (!(s->flags & X86_DESC_P)) {
        return l->cpl;
    }
    put_descriptor(l, TEMP_DATA, s->base, s->limit, s->flags);
    return TEMP_DATA | l->cpl;
}

static bool load_long_mode(Loader *l)
{
    const X86CpuState *w = l->want;
    const X86Segment *cs = &w->segs[X86_SEG_CS];
    uint64_t landing = SCRATCH + DATA_AT + 0x800;
    unsigned ss;

    if (!put_efer(l) || !put_reg(l, UC_X86_REG_CR3, SCRATCH + TABLES_AT) ||
        !run_mov_cr(l, 4, w->cr4, 0) || !run_mov_cr(l, 0, w->cr0, 0) ||
        !load_data_segments(l)) {
        return false;
    }
    put_descriptor(l, TEMP_CODE, cs->base, cs->limit, cs->flags);
    ss = prepare_stack(l);
    if (!(cs->flags & X86_DESC_L)) { /* 32-bit code under a 64-bit kernel */
        landing -= cs->base;
    }
    return run_iret(l, true, landing, TEMP_CODE | l->cpl, ss,
                    SCRATCH + DATA_AT + 0x800);
}

/* From the first state to 32-bit code without paging, out of long mode. */
static bool leave_long_mode(Loader *l)
{
    const uint32_t flat = X86_DESC_P | X86_DESC_S | X86_DESC_DB | X86_DESC_G;
    uint64_t next = SCRATCH + CODE_AT + l->code + 2;

    put_descriptor(l, TEMP_CODE32, 0, UINT32_MAX, flat | X86_TYPE_CODE_RXA);
    put_descriptor(l, TEMP_FLAT, 0, UINT32_MAX, flat | X86_TYPE_DATA_RWA);
    return put_reg(l, UC_X86_REG_CR3, SCRATCH + TABLES_AT) &&
        put_reg(l, UC_X86_REG_CR4, X86_CR4_PAE) &&
        put_reg(l, UC_X86_REG_CR0, X86_CR0_PG | X86_CR0_PE | X86_CR0_ET) &&
        run_iret(l, true, next, TEMP_CODE32, TEMP_FLAT, next) &&
        run_mov_cr(l, 0, (l->want->cr0 & ~X86_CR0_PG) | X86_CR0_PE, 0) &&
        run_mov_cr(l, 4, l->want->cr4, 0) && put_efer(l);
}

static bool load_protected_mode(Loader *l)
{
    const X86CpuState *w = l->want;
    const X86Segment *cs = &w->segs[X86_SEG_CS];
    uint64_t landing = SCRATCH + DATA_AT + 0x800;

    put_descriptor(l, TEMP_CODE, cs->base, cs->limit, cs->flags);
    if (l->cpl > 0) {
        return run_iret(l, false, (uint32_t)(landing - cs->base),
                        TEMP_CODE | l->cpl, prepare_stack(l), landing);
    }
    /* The limit is looked at: arrive where the guest really is. */
    return load_data_segment(l, X86_SEG_SS) &&
        run_far_jump(l, w->rip, TEMP_CODE, (uint32_t)(cs->base + w->rip));
}

static bool load_real_mode(Loader *l)
{
    const X86CpuState *w = l->want;
    const uint64_t base = SCRATCH + CODE_AT;
    uint16_t cs = w->segs[X86_SEG_CS].selector, ip = w->rip;
    uint8_t jump[] = { 0xea, ip, ip >> 8, cs, cs >> 8 };

    put_descriptor(l, TEMP_CODE16, base, 0xffff,
                   X86_DESC_P | X86_DESC_S | X86_TYPE_CODE_RXA);
    return load_data_segment(l, X86_SEG_SS) &&
        run_far_jump(l, l->code + 7, TEMP_CODE16, base + l->code + 7) &&
        run_mov_cr(l, 0, w->cr0 & ~X86_CR0_PE, base) &&
        run_mov_segment(l, X86_SEG_FS, w->segs[X86_SEG_FS].selector, false,
                        base) &&
        run_mov_segment(l, X86_SEG_GS, w->segs[X86_SEG_GS].selector, false,
                        base) &&
        run(l, jump, sizeof(jump), base, ((uint64_t)cs << 4) + ip);
}

static bool load_mode(Loader *l)
{
    if (!put_table(l, UC_X86_REG_GDTR, SCRATCH, 0xffff) ||
        !put_table(l, UC_X86_REG_LDTR, SCRATCH, 0xffff)) {
        return false;
    }
    if (l->long_mode) {
        return load_long_mode(l);
    }
    return leave_long_mode(l) && load_data_segments(l) &&
        (l->real_mode ? load_real_mode(l) : load_protected_mode(l));
}

static bool load_x87(Loader *l)
{
    static const int fp[8] = {
        UC_X86_REG_FP0, UC_X86_REG_FP1, UC_X86_REG_FP2, UC_X86_REG_FP3,
        UC_X86_REG_FP4, UC_X86_REG_FP5, UC_X86_REG_FP6, UC_X86_REG_FP7,
    };
    const X86CpuState *w = l->want;
    unsigned top = w->fsw >> 11 & 7;
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t raw[16] = { 0 };

        memcpy(raw, &w->fpregs[i].mantissa, 8);
        memcpy(raw + 8, &w->fpregs[i].exponent, 2);
        if (!tcg_check(uc_reg_write(l->uc, fp[(top + i) & 7], raw),
                       "write an x87 register", l->error)) {
            return false;
        }
        tags |= (w->ftag >> i & 1 ? 0 : 3) << 2 * i;
    }
    return put_reg(l, UC_X86_REG_FPCW, w->fcw) &&
        put_reg(l, UC_X86_REG_FPSW, w->fsw) &&
        put_reg(l, UC_X86_REG_FPTAG, tags) &&
        put_reg(l, UC_X86_REG_MXCSR, w->mxcsr);
}

static bool load_vectors(Loader *l)
{
    for (unsigned i = 0; i < 16; i++) {
        const X86CpuState *w = l->want;
        uint64_t ymm[4] = { w->xmm[i].lo, w->xmm[i].hi, w->ymmh[i].lo,
                            w->ymmh[i].hi };

        if (!tcg_check(uc_reg_write(l->uc, UC_X86_REG_YMM0 + i, ymm),
                       "write a vector register", l->error)) {
            return false;
        }
    }
    return true;
}

static bool load_msrs(Loader *l)
{
    for (const TcgMsr *m = tcg_msrs; m->index; m++) {
        uc_x86_msr msr = { .rid = m->index };

        memcpy(&msr.value, (const char *)l->want + m->offset, 8);
        if (!tcg_check(uc_reg_write(l->uc, UC_X86_REG_MSR, &msr),
                       "write an MSR", l->error)) {
            return false;
        }
    }
    return true;
}

static bool put_system_segment(Loader *l, int reg, unsigned index)
{
    const X86Segment *s = &l->want->segs[index];
    uc_x86_mmr mmr = {
        .selector = s->selector, .base = s->base, .limit = s->limit,
        .flags = s->flags,
    };

    return tcg_check(uc_reg_write(l->uc, reg, &mmr), "write a system segment",
                     l->error);
}

/* All that can simply be written; CR3 last but for what hangs on it. */
static bool load_plain(Loader *l)
{
    const X86CpuState *w = l->want;

    for (const TcgReg *r = tcg_plain_regs; r->reg; r++) {
        uint64_t value;

        memcpy(&value, (const char *)w + r->offset, 8);
        if (!put_reg(l, r->reg, value)) {
            return false;
        }
    }
    return put_reg(l, UC_X86_REG_ES, w->segs[X86_SEG_ES].selector) &&
        put_reg(l, UC_X86_REG_CS, w->segs[X86_SEG_CS].selector) &&
        put_reg(l, UC_X86_REG_SS, w->segs[X86_SEG_SS].selector) &&
        put_reg(l, UC_X86_REG_DS, w->segs[X86_SEG_DS].selector) &&
        put_table(l, UC_X86_REG_GDTR, w->segs[X86_SEG_GDT].base,
                  w->segs[X86_SEG_GDT].limit) &&
        put_table(l, UC_X86_REG_IDTR, w->segs[X86_SEG_IDT].base,
                  w->segs[X86_SEG_IDT].limit) &&
        put_system_segment(l, UC_X86_REG_LDTR, X86_SEG_LDT) &&
        put_system_segment(l, UC_X86_REG_TR, X86_SEG_TR) &&
        put_reg(l, UC_X86_REG_CR2, w->cr2) &&
        put_reg(l, UC_X86_REG_CR3, w->cr3) &&
        (w->cr0 == get_reg(l, UC_X86_REG_CR0) ||
         put_reg(l, UC_X86_REG_CR0, w->cr0)) &&
        (!l->long_mode ||
         (put_reg(l, UC_X86_REG_FS_BASE, w->segs[X86_SEG_FS].base) &&
          put_reg(l, UC_X86_REG_GS_BASE, w->segs[X86_SEG_GS].base)));
}

/* Did the code segment arrive? It decides how the guest's bytes are read. */
static bool verify(Loader *l, TcgCpu *cpu)
{
    const uint32_t mask = X86_DESC_L | X86_DESC_DB;
    const X86Segment *want = &l->want->segs[X86_SEG_CS];
    X86Segment got = { 0 };
    uc_context *context;
    bool ok;

    if (!tcg_check(uc_context_alloc(l->uc, &context), "make a context",
                   l->error)) {
        return false;
    }
    ok = uc_context_save(l->uc, context) == UC_ERR_OK;
    if (ok) {
        tcg_segment_read(cpu, context, X86_SEG_CS, &got);
        ok = (l->real_mode || !((got.flags ^ want->flags) & mask)) &&
            ((want->flags & X86_DESC_L) || got.base == want->base);
    }
    uc_context_free(context);
    if (!ok) {
        tm_error_set(l->error, "the software CPU cannot do a code segment "
                     "0x%x at 0x%" G_GINT64_MODIFIER "x with rights 0x%x",
                     want->selector, want->base, want->flags);
    }
    return ok;
}

static void scratch_tables(uint8_t *scratch)
{
    uint64_t at = SCRATCH + TABLES_AT;
    uint64_t entries[3] = {
        (at + 0x1000) | 7, (at + 0x2000) | 7, (SCRATCH & ~0x1fffffull) | 0xe7,
    };

    memcpy(scratch + TABLES_AT + 8 * (SCRATCH >> 39 & 511), &entries[0], 8);
    memcpy(scratch + TABLES_AT + 0x1000 + 8 * (SCRATCH >> 30 & 511),
           &entries[1], 8);
    memcpy(scratch + TABLES_AT + 0x2000 + 8 * (SCRATCH >> 21 & 511),
           &entries[2], 8);
}

static bool state_is_loadable(const X86CpuState *s, GError **error)
{
    if (s->rflags & X86_FLAGS_VM) {
        tm_error_set(error, "the software CPU has no virtual-8086 mode");
        return false;
    }
    if ((s->cr0 & X86_CR0_PG) && !(s->cr0 & X86_CR0_PE)) {
        tm_error_set(error, "CR0 0x%" G_GINT64_MODIFIER "x does not exist",
                     s->cr0);
        return false;
    }
    return true;
}

bool tcg_load_state(TcgCpu *cpu, const X86CpuState *state, GError **error)
{
    Loader l = {
        .uc = cpu->uc, .want = state, .error = error,
        .long_mode = (state->efer & X86_EFER_LME) && (state->cr0 & X86_CR0_PG),
        .real_mode = !(state->cr0 & X86_CR0_PE),
    };
    bool ok;

    if (!state_is_loadable(state, error)) {
        return false;
    }
    l.cpl = l.real_mode ? 0 : state->segs[X86_SEG_CS].selector & 3;
    l.scratch = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l.scratch == MAP_FAILED) {
        tm_error_set(error, "no memory for the software CPU");
        return false;
    }
    scratch_tables(l.scratch);
    ok = tcg_check(uc_mem_map_ptr(l.uc, SCRATCH, SCRATCH_BYTES, UC_PROT_ALL,
                                  l.scratch), "map the scratch area", error) &&
        load_mode(&l) && load_x87(&l) && load_vectors(&l) && load_msrs(&l) &&
        load_plain(&l) &&
        /* This also makes the engine forget what it knew of addresses. */
        tcg_check(uc_mem_unmap(l.uc, SCRATCH, SCRATCH_BYTES),
                  "unmap the scratch area", error) &&
        verify(&l, cpu);
    if (!ok) {
        tcg_engine_close(cpu); /* it still has the mapping */
    }
    munmap(l.scratch, SCRATCH_BYTES);
    return ok;
}
