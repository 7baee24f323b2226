/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caches of a named model, in Intel's and in AMD's way of telling. They
 * are the same on every host, so that a guest that moves sees none change.
 * How many vCPUs share one is for the accelerator to put in.
 */
#include "target/i386/cpuid-build.h"

enum { CACHE_DATA = 1, CACHE_CODE = 2, CACHE_UNIFIED = 3 };

#define LINE_BYTES 64
#define KIB 1024u

static const struct {
    unsigned type, level, ways, bytes;
} caches[] = {
    { CACHE_DATA, 1, 8, 32 * KIB },
    { CACHE_CODE, 1, 8, 32 * KIB },
    { CACHE_UNIFIED, 2, 16, 1024 * KIB },
    { CACHE_UNIFIED, 3, 16, 16384 * KIB },
};

#define SELF_INITIALISING (1u << 8)
#define INCLUSIVE (1u << 1)

/* Leaf 2: "see leaf 4". */
#define SEE_LEAF_4 0x00feff01

/* Leaves 4 and 0x8000001d are alike in what is put here. */
static void put_list(GArray *cpuid, uint32_t leaf)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(caches); i++) {
        X86CpuidEntry *e = x86_cpuid_put(cpuid, leaf, i);

        e->reg[X86_EAX] = caches[i].type | caches[i].level << 5 |
            SELF_INITIALISING;
        e->reg[X86_EBX] = (caches[i].ways - 1) << 22 | (LINE_BYTES - 1);
        e->reg[X86_ECX] = caches[i].bytes / LINE_BYTES / caches[i].ways - 1;
        e->reg[X86_EDX] = caches[i].level == 3 ? INCLUSIVE : 0;
    }
    x86_cpuid_put(cpuid, leaf, G_N_ELEMENTS(caches)); /* no more */
}

/* AMD's code for "8 ways" and "16 ways" of second and third level caches. */
static unsigned amd_ways(unsigned ways)
{
    return ways == 16 ? 8 : 6;
}

static void put_amd_sizes(GArray *cpuid)
{
    X86CpuidEntry *first = x86_cpuid_put(cpuid, X86_CPUID_EXT + 5, -1);
    X86CpuidEntry *others;

    for (unsigned i = 0; i < 2; i++) {
        first->reg[X86_ECX + i] = caches[i].bytes / KIB << 24 |
            caches[i].ways << 16 | 1 << 8 | LINE_BYTES;
    }
    others = x86_cpuid_put(cpuid, X86_CPUID_EXT + 6, -1);
    others->reg[X86_ECX] = caches[2].bytes / KIB << 16 |
        amd_ways(caches[2].ways) << 12 | 1 << 8 | LINE_BYTES;
    others->reg[X86_EDX] = caches[3].bytes / (512 * KIB) << 18 |
        amd_ways(caches[3].ways) << 12 | 1 << 8 | LINE_BYTES;
}

static void put_intel_size(GArray *cpuid)
{
    X86CpuidEntry *e = x86_cpuid_put(cpuid, X86_CPUID_EXT + 6, -1);

    e->reg[X86_ECX] = caches[2].bytes / KIB << 16 |
        amd_ways(caches[2].ways) << 12 | LINE_BYTES;
}

void x86_cpuid_put_caches(GArray *cpuid, bool amd, bool topoext)
{
    if (!amd) {
        x86_cpuid_put(cpuid, 2, -1)->reg[X86_EAX] = SEE_LEAF_4;
        put_list(cpuid, 4);
        put_intel_size(cpuid);
        return;
    }
    put_amd_sizes(cpuid);
    if (topoext) {
        put_list(cpuid, X86_CPUID_EXT + 0x1d);
    }
}
