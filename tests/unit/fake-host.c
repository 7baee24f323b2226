/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-host.h.
 */
#include "fake-host.h"

#include <string.h>

static X86CpuidEntry *put(GArray *cpuid, uint32_t leaf, int subleaf)
{
    X86CpuidEntry e = {
        .leaf = leaf, .subleaf = MAX(subleaf, 0), .indexed = subleaf >= 0,
    };

    for (guint i = 0; i < cpuid->len; i++) {
        X86CpuidEntry *old = &g_array_index(cpuid, X86CpuidEntry, i);

        if (old->leaf == leaf && old->subleaf == e.subleaf) {
            return old;
        }
    }
    g_array_append_val(cpuid, e);
    return &g_array_index(cpuid, X86CpuidEntry, cpuid->len - 1);
}

static void put_regs(GArray *cpuid, uint32_t leaf, int subleaf, uint32_t eax,
                     uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    X86CpuidEntry *e = put(cpuid, leaf, subleaf);

    e->reg[X86_EAX] = eax;
    e->reg[X86_EBX] = ebx;
    e->reg[X86_ECX] = ecx;
    e->reg[X86_EDX] = edx;
}

static void put_text(GArray *cpuid, uint32_t leaf, uint32_t eax,
                     const char *ebx, const char *ecx, const char *edx)
{
    X86CpuidEntry *e = put(cpuid, leaf, -1);

    e->reg[X86_EAX] = eax;
    memcpy(&e->reg[X86_EBX], ebx, 4);
    memcpy(&e->reg[X86_ECX], ecx, 4);
    memcpy(&e->reg[X86_EDX], edx, 4);
}

/* Component, size, offset (0: a supervisor's), as hardware has them. */
static void put_xsave(GArray *cpuid)
{
    static const uint32_t parts[][3] = {
        { 2, 256, 576 }, { 5, 64, 1088 }, { 6, 512, 1152 }, { 7, 1024, 1664 },
        { 8, 128, 0 }, { 9, 8, 2688 }, { 11, 16, 0 }, { 12, 24, 0 },
        { 15, 808, 0 }, { 17, 64, 2752 }, { 18, 8192, 2816 },
    };

    put_regs(cpuid, 0xd, 0, FAKE_HOST_XCR0, 11008, 11008, 0);
    put_regs(cpuid, 0xd, 1, 0, 3000, FAKE_HOST_XSS, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        put_regs(cpuid, 0xd, parts[i][0], parts[i][1], parts[i][2],
                 !parts[i][2], 0);
    }
}

static void put_features(GArray *cpuid, const char *without)
{
    X86FeatureSet all, lacks;

    x86_features_all(&all);
    x86_features_parse(without, &lacks);
    x86_features_remove(&all, &lacks);
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = x86_cpuid_word(i);
        bool indexed = w->leaf == 7 || w->leaf == 0xd;

        put(cpuid, w->leaf, indexed ? (int)w->subleaf : -1)->reg[w->reg] |=
            all.word[i];
    }
}

GArray *fake_host_new(const char *vendor, const char *without)
{
    GArray *cpuid = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));

    put_text(cpuid, 0, 0x1f, vendor, vendor + 8, vendor + 4);
    put_regs(cpuid, 1, -1, 0x000806f8, 0x800, 0, 0);
    put_regs(cpuid, 4, 0, 0x121, 0x02c0003f, 63, 0);
    put_regs(cpuid, 4, 1, 0, 0, 0, 0);
    put_regs(cpuid, 7, 0, 2, FAKE_HOST_NAMELESS, 0, 0);
    put_regs(cpuid, 0xb, 0, 0, 0, 0x100, 0);
    put_xsave(cpuid);
    put_regs(cpuid, 0x14, 0, 1, 15, 7, 0);
    put_regs(cpuid, 0x14, 1, 0x2490002, 0x3f, 0, 0);
    put_regs(cpuid, 0x1d, 0, 1, 0, 0, 0);
    put_text(cpuid, X86_CPUID_KVM, X86_CPUID_KVM + 1, "KVMK", "VMKV",
             "M\0\0\0");
    put_text(cpuid, X86_CPUID_EXT, X86_CPUID_EXT + 0x21, vendor, vendor + 8,
             vendor + 4);
    put_regs(cpuid, X86_CPUID_EXT + 8, -1, FAKE_HOST_WIDTHS, 0, 0, 0);
    put_regs(cpuid, X86_CPUID_EXT + 0xa, -1, 1, 16, 0, 0);
    put_features(cpuid, without);
    return cpuid;
}

uint32_t fake_host_reg(const GArray *cpuid, uint32_t leaf, uint32_t subleaf,
                       unsigned reg)
{
    const X86CpuidEntry *e = x86_cpuid_find(cpuid, leaf, subleaf);

    return e ? e->reg[reg] : 0;
}
