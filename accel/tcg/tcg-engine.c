/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making an engine of the Unicorn library (2.0).
 *
 * The library hides the base, limit and access rights that a segment register
 * has cached; only selectors can be asked for. They lie in the context that
 * uc_context_save() fills, at places that no header tells. So these are looked
 * for once per engine: marks are written through the public registers and
 * found again. What is not found where it must be is an error at start-up, not
 * a guess.
 */
#include "accel/tcg/tcg-internal.h"

#include <string.h>

#include "system/vm.h"
#include "util/error.h"

bool tcg_check(uc_err status, const char *what, GError **error)
{
    if (status != UC_ERR_OK) {
        tm_error_set(error, "cannot %s: %s", what, uc_strerror(status));
    }
    return status == UC_ERR_OK;
}

static const uint8_t *context_bytes(const uc_context *context)
{
    return (const uint8_t *)context;
}

static uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* A segment register: selector, 4 bytes of nothing, base, limit, rights. */
static void segment_at(const uint8_t *p, X86Segment *ret)
{
    ret->selector = get_u32(p);
    ret->base = get_u64(p + 8);
    ret->limit = get_u32(p + 16);
    ret->flags = get_u32(p + 20);
}

void tcg_segment_read(const TcgCpu *cpu, const uc_context *context,
                      unsigned index, X86Segment *ret)
{
    segment_at(context_bytes(context) + cpu->layout.es +
               TCG_SEGMENT_STRIDE * index, ret);
}

/* The marks that layout_find() looks for. */
static const uint16_t mark_selector[4] = { 0x5a18, 0xc3e8, 0x96b0, 0x2d78 };
static const uint64_t mark_base[2] = {
    UINT64_C(0x1bd11bdaa9fc1a22), UINT64_C(0x7f4a7c15f39cc060),
};
static const uc_x86_mmr mark_table = {
    .selector = 0x6ee8, .base = UINT64_C(0x3c6ef372fe94f82b),
    .limit = 0x510e527f, .flags = 0x8200,
};

static bool write_marks(uc_engine *uc, GError **error)
{
    static const int regs[4] = {
        UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS, UC_X86_REG_DS,
    };

    for (unsigned i = 0; i < 4; i++) {
        uint64_t value = mark_selector[i];

        if (!tcg_check(uc_reg_write(uc, regs[i], &value), "write a selector",
                       error)) {
            return false;
        }
    }
    return tcg_check(uc_reg_write(uc, UC_X86_REG_FS_BASE, &mark_base[0]),
                     "write FS.base", error) &&
        tcg_check(uc_reg_write(uc, UC_X86_REG_GS_BASE, &mark_base[1]),
                  "write GS.base", error) &&
        tcg_check(uc_reg_write(uc, UC_X86_REG_LDTR, &mark_table),
                  "write LDTR", error);
}

/* Do all marks stand where they must if ES is at @p? */
static bool marks_at(const uint8_t *p)
{
    X86Segment s;

    for (unsigned i = 0; i < 4; i++) {
        segment_at(p + TCG_SEGMENT_STRIDE * i, &s);
        if (s.selector != mark_selector[i]) {
            return false;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        segment_at(p + TCG_SEGMENT_STRIDE * (X86_SEG_FS + i), &s);
        if (s.base != mark_base[i]) {
            return false;
        }
    }
    segment_at(p + TCG_SEGMENT_STRIDE * X86_SEG_LDT, &s);
    return s.selector == mark_table.selector && s.base == mark_table.base &&
        s.limit == mark_table.limit && s.flags == mark_table.flags;
}

/* Context: an engine nobody needs any more; the marks stay in it. */
static bool layout_find(uc_engine *uc, TcgLayout *ret, GError **error)
{
    const size_t span = TCG_SEGMENT_STRIDE * (X86_SEG_TR + 1);
    size_t size = uc_context_size(uc);
    uc_context *context;

    if (!write_marks(uc, error) ||
        !tcg_check(uc_context_alloc(uc, &context), "make a context", error)) {
        return false;
    }
    if (uc_context_save(uc, context) == UC_ERR_OK) {
        for (size_t at = 0; at + span <= size && !ret->known; at += 4) {
            if (marks_at(context_bytes(context) + at)) {
                ret->es = at;
                ret->known = true;
            }
        }
    }
    uc_context_free(context);
    if (!ret->known) {
        tm_error_set(error, "this version of the Unicorn library keeps its "
                     "registers in an unknown way (2.0 is known)");
    }
    return ret->known;
}

static bool map_ram(TcgCpu *cpu, GError **error)
{
    GPtrArray *regions = cpu->tcg->regions;

    for (guint i = 0; i < regions->len; i++) {
        const TcgRegion *r = g_ptr_array_index(regions, i);
        const MemorySection *s = &r->section;
        uint32_t prot = s->readonly ? UC_PROT_READ | UC_PROT_EXEC
                                    : UC_PROT_ALL;

        if (!tcg_check(uc_mem_map_ptr(cpu->uc, s->gpa, s->size, prot,
                                      s->block->host + s->offset),
                       "map guest RAM", error)) {
            return false;
        }
    }
    return true;
}

static bool open_uc(uc_engine **ret, GError **error)
{
    return tcg_check(uc_open(UC_ARCH_X86, UC_MODE_64, ret),
                     "open the Unicorn library", error);
}

/* Must come before anything that makes the library build its CPU. */
static bool set_model(TcgCpu *cpu, GError **error)
{
    int model = cpu->tcg->model;

    return model == TCG_MODEL_DEFAULT ||
        tcg_check(uc_ctl_set_cpu_model(cpu->uc, model), "choose a CPU model",
                  error);
}

static bool find_layout_once(TcgCpu *cpu, GError **error)
{
    uc_engine *uc;
    bool ok;

    if (cpu->layout.known) {
        return true;
    }
    if (!open_uc(&uc, error)) {
        return false;
    }
    ok = layout_find(uc, &cpu->layout, error);
    uc_close(uc);
    return ok;
}

bool tcg_engine_open(TcgCpu *cpu, GError **error)
{
    tcg_engine_close(cpu);
    if (!find_layout_once(cpu, error) || !open_uc(&cpu->uc, error)) {
        return false;
    }
    if (!set_model(cpu, error) || !map_ram(cpu, error)) {
        tcg_engine_close(cpu);
        return false;
    }
    return true;
}

bool tcg_engine_finish(TcgCpu *cpu, GError **error)
{
    return tcg_hooks_add(cpu, error) && tcg_track(cpu, error);
}

void tcg_engine_close(TcgCpu *cpu)
{
    if (cpu->uc) {
        uc_close(cpu->uc);
    }
    cpu->uc = NULL;
    cpu->tracking = false;
    cpu->store_bytes = 0;
}
