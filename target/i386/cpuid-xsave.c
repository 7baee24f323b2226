/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID's leaf 0xd: which components of state the guest can switch on, and
 * where they lie when saved. Where is the host's hardware's choice; which
 * follows from the features, so that a guest never finds registers that no
 * instruction it knows of can use.
 */
#include "target/i386/cpuid-build.h"

#include "target/i386/x86-bits.h"

#define LEAF 0xd
#define AREA_BYTES (512 + 64)  /* legacy part and header */
#define COMPONENTS 63

/* The feature whose registers a component holds. */
static const struct {
    unsigned component;
    const char *feature;
} owners[] = {
    { 2, "avx" },
    { 3, "mpx" },
    { 4, "mpx" },
    { 5, "avx512f" },
    { 6, "avx512f" },
    { 7, "avx512f" },
    { 8, "intel-pt" },
    { 9, "pku" },
    { 11, "shstk" },
    { 12, "shstk" },
    { 15, "arch-lbr" },
    { 17, "amx-tile" },
    { 18, "amx-tile" },
};

static uint64_t wanted_components(const X86FeatureSet *set, bool keep_unknown)
{
    uint64_t always = X86_XSTATE_X87 | X86_XSTATE_SSE;
    uint64_t known = always, have = always;

    for (unsigned i = 0; i < G_N_ELEMENTS(owners); i++) {
        uint64_t bit = UINT64_C(1) << owners[i].component;

        known |= bit;
        if (x86_features_has(set, owners[i].feature)) {
            have |= bit;
        }
    }
    return have | (keep_unknown ? ~known : 0);
}

/* The components that two registers of @e list. */
static uint64_t pair(const X86CpuidEntry *e, unsigned low, unsigned high)
{
    return e ? e->reg[low] | (uint64_t)e->reg[high] << 32 : 0;
}

static void set_pair(X86CpuidEntry *e, unsigned low, unsigned high,
                     uint64_t value)
{
    e->reg[low] = value;
    e->reg[high] = value >> 32;
}

static void put_components(GArray *cpuid, const GArray *host, uint64_t have,
                           uint64_t xcr0, uint32_t *bytes)
{
    for (unsigned i = 2; i < COMPONENTS; i++) {
        const X86CpuidEntry *from = x86_cpuid_find(host, LEAF, i);
        X86CpuidEntry *e;

        if (!(have >> i & 1) || !from) {
            continue;
        }
        e = x86_cpuid_put(cpuid, LEAF, i);
        *e = *from;
        if (xcr0 >> i & 1) {
            *bytes = MAX(*bytes, e->reg[X86_EAX] + e->reg[X86_EBX]);
        }
    }
}

void x86_cpuid_put_xsave(GArray *cpuid, const X86FeatureSet *set,
                         const GArray *host, bool keep_unknown)
{
    const X86CpuidEntry *host_main = x86_cpuid_find(host, LEAF, 0);
    const X86CpuidEntry *host_more = x86_cpuid_find(host, LEAF, 1);
    uint64_t wanted = wanted_components(set, keep_unknown);
    uint64_t xcr0 = pair(host_main, X86_EAX, X86_EDX) & wanted;
    uint64_t xss = 0;
    uint32_t bytes = AREA_BYTES;
    X86CpuidEntry *e;

    if (!host_main || !x86_features_has(set, "xsave")) {
        return;
    }
    if (host_more && x86_features_has(set, "xsaves")) {
        xss = pair(host_more, X86_ECX, X86_EDX) & wanted;
    }
    put_components(cpuid, host, xcr0 | xss, xcr0, &bytes);
    e = x86_cpuid_put(cpuid, LEAF, 0);
    set_pair(e, X86_EAX, X86_EDX, xcr0);
    e->reg[X86_EBX] = e->reg[X86_ECX] = bytes;
    if (host_more) {
        e = x86_cpuid_put(cpuid, LEAF, 1);
        e->reg[X86_EAX] = host_more->reg[X86_EAX]; /* features come later */
        e->reg[X86_EBX] = host_more->reg[X86_EBX]; /* KVM computes it */
        set_pair(e, X86_ECX, X86_EDX, xss);
    }
}
