/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk. All kinds of tables are the same walk with other numbers: how
 * many levels, how wide an entry, how many index bits a level.
 *
 *   kind        levels  entry  index bits per level (top first)
 *   32 bit           2      4  10 10
 *   PAE              3      8   2  9  9
 *   long mode        4      8   9  9  9  9
 *   LA57             5      8   9  9  9  9  9
 *
 * Source: Intel SDM volume 3, chapter "Paging".
 */
#include "target/i386/page-walk.h"

#include "system/guest-access.h"
#include "target/i386/x86-bits.h"

#define CR0_PG (UINT64_C(1) << 31)
#define CR4_PSE (UINT64_C(1) << 4)
#define CR4_PAE (UINT64_C(1) << 5)
#define CR4_LA57 (UINT64_C(1) << 12)
#define ENTRY_PRESENT (UINT64_C(1) << 0)
#define ENTRY_LARGE (UINT64_C(1) << 7)
#define PAGE_SHIFT 12
#define ADDRESS_MASK UINT64_C(0x000ffffffffff000)

typedef struct Tables {
    unsigned levels;
    unsigned entry_bytes;
    unsigned index_bits;
    uint64_t root;       /* gpa of the top table */
    bool large_leaf_2;   /* may an entry of level 2 map a page itself? */
    bool large_leaf_3;
} Tables;

static Tables tables_of(const X86CpuState *state)
{
    Tables t = { .entry_bytes = 8, .index_bits = 9, .large_leaf_2 = true };

    if (state->efer & X86_EFER_LMA) {
        t.levels = state->cr4 & CR4_LA57 ? 5 : 4;
        t.root = state->cr3 & ADDRESS_MASK;
        t.large_leaf_3 = true;
    } else if (state->cr4 & CR4_PAE) {
        t.levels = 3;
        t.root = state->cr3 & 0xffffffe0;
    } else {
        t.levels = 2;
        t.entry_bytes = 4;
        t.index_bits = 10;
        t.root = state->cr3 & 0xfffff000;
        t.large_leaf_2 = state->cr4 & CR4_PSE;
    }
    return t;
}

static bool is_leaf(const Tables *t, unsigned level, uint64_t entry)
{
    if (level == 1) {
        return true;
    }
    return (entry & ENTRY_LARGE) && ((level == 2 && t->large_leaf_2) ||
                                     (level == 3 && t->large_leaf_3));
}

/* Address bits of an entry; a large page of 32-bit tables keeps its bits
 * 32..39 where a small one has flags (PSE-36). */
static uint64_t entry_address(const Tables *t, unsigned level, uint64_t entry)
{
    if (t->entry_bytes == 4 && level == 2 && (entry & ENTRY_LARGE) &&
        t->large_leaf_2) {
        return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
    }
    return entry & ADDRESS_MASK;
}

bool x86_translate(const X86CpuState *state, MemoryMap *map, uint64_t gva,
                   uint64_t *ret_gpa)
{
    Tables t = tables_of(state);
    uint64_t table = t.root;

    if (!(state->cr0 & CR0_PG)) {
        *ret_gpa = gva & 0xffffffff;
        return true;
    }
    if (!(state->efer & X86_EFER_LMA)) {
        gva &= 0xffffffff;
    }
    for (unsigned level = t.levels; level; level--) {
        unsigned shift = PAGE_SHIFT + (level - 1) * t.index_bits;
        uint64_t index = gva >> shift & ((1u << t.index_bits) - 1);
        uint64_t entry = 0;

        if (guest_read(map, table + index * t.entry_bytes, &entry,
                       t.entry_bytes) != t.entry_bytes ||
            !(entry & ENTRY_PRESENT)) {
            return false;
        }
        table = entry_address(&t, level, entry);
        if (is_leaf(&t, level, entry)) {
            uint64_t in_page = (UINT64_C(1) << shift) - 1;

            *ret_gpa = (table & ~in_page) | (gva & in_page);
            return true;
        }
    }
    return false;
}
