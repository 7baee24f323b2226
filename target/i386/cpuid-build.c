/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's CPUID as a list of leaves. For the host's own model that is the
 * host's list with bits and leaves taken out; for a named model it is made
 * from the model's row, leaf by leaf.
 */
#include "target/i386/cpuid-build.h"

#include <string.h>

#include "target/i386/x86-bits.h"

#define EXT(n) (X86_CPUID_EXT + (n))
#define KVM_LEAVES 0x100u   /* numbers that are a hypervisor's */
#define CLFLUSH_8_BYTES (8u << 8)  /* lines of 64 bytes */

/* Bits of leaf 1's EDX that AMD has in leaf 0x80000001's, too. */
#define AMD_TWINS 0x0183f3ffu

/* Leaves that describe one feature, and are the host's to describe. */
static const struct {
    uint32_t leaf;
    const char *feature;
} described[] = {
    { 5, "monitor" },
    { 0x12, "sgx" },
    { 0x14, "intel-pt" },
    { 0x1c, "arch-lbr" },
    { 0x1d, "amx-tile" },
    { 0x1e, "amx-tile" },
    { EXT(0xa), "svm" },
};

X86CpuidEntry *x86_cpuid_put(GArray *cpuid, uint32_t leaf, int subleaf)
{
    X86CpuidEntry *old = x86_cpuid_find(cpuid, leaf, MAX(subleaf, 0));
    X86CpuidEntry e = {
        .leaf = leaf, .subleaf = MAX(subleaf, 0), .indexed = subleaf >= 0,
    };

    if (old) {
        return old;
    }
    g_array_append_val(cpuid, e);
    return &g_array_index(cpuid, X86CpuidEntry, cpuid->len - 1);
}

static bool is_kvm_leaf(uint32_t leaf)
{
    return leaf >= X86_CPUID_KVM && leaf < X86_CPUID_KVM + KVM_LEAVES;
}

/* Is @leaf one that goes when its feature is not there? */
static bool is_undone(uint32_t leaf, const X86FeatureSet *set)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(described); i++) {
        if (described[i].leaf == leaf) {
            return !x86_features_has(set, described[i].feature);
        }
    }
    return (leaf == EXT(0x1d) || leaf == EXT(0x1e)) &&
        !x86_features_has(set, "topoext");
}

static void copy_leaf(GArray *cpuid, const GArray *host, uint32_t leaf)
{
    for (guint i = 0; i < host->len; i++) {
        const X86CpuidEntry *e = &g_array_index(host, X86CpuidEntry, i);

        if (e->leaf == leaf) {
            g_array_append_vals(cpuid, e, 1);
        }
    }
}

/* ---- what both kinds have in common ----------------------------------- */

/* Vendors' letters stand in EBX, EDX, ECX. */
static void put_vendor(X86CpuidEntry *e, const char *vendor)
{
    static const unsigned order[] = { X86_EBX, X86_EDX, X86_ECX };

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        memcpy(&e->reg[order[i]], vendor + 4 * i, 4);
    }
}

static void get_vendor(const X86CpuidEntry *e, char vendor[13])
{
    memcpy(vendor, &e->reg[X86_EBX], 4);
    memcpy(vendor + 4, &e->reg[X86_EDX], 4);
    memcpy(vendor + 8, &e->reg[X86_ECX], 4);
    vendor[12] = '\0';
}

static uint32_t signature(unsigned family, unsigned model, unsigned stepping)
{
    unsigned base = MIN(family, 15);

    return (family - base) << 20 | (model >> 4) << 16 | base << 8 |
        (model & 15) << 4 | stepping;
}

/* Instead of the numbers in @old. */
static uint32_t new_signature(const X86CpuSpec *spec, uint32_t old)
{
    unsigned family = old >> 8 & 15;
    unsigned model = (old >> 4 & 15) | (old >> 12 & 0xf0);
    unsigned stepping = old & 15;

    if (family == 15) {
        family += old >> 20 & 255;
    }
    return signature(spec->family >= 0 ? spec->family : family,
                     spec->model_number >= 0 ? spec->model_number : model,
                     spec->stepping >= 0 ? spec->stepping : stepping);
}

static void put_model_id(GArray *cpuid, const char *text)
{
    char bytes[X86_MODEL_ID_BYTES] = "";

    memcpy(bytes, text, MIN(strlen(text), sizeof(bytes)));
    for (unsigned i = 0; i < 3; i++) {
        memcpy(x86_cpuid_put(cpuid, EXT(2) + i, -1)->reg, bytes + 16 * i, 16);
    }
}

/* Named bits are @set's; others stay. Words whose leaf is not there and that
 * are empty make none. */
static void put_features(GArray *cpuid, const X86FeatureSet *set)
{
    X86FeatureSet named;

    x86_features_all(&named);
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = x86_cpuid_word(i);
        X86CpuidEntry *e = x86_cpuid_find(cpuid, w->leaf, w->subleaf);

        if (!e && set->word[i]) {
            bool indexed = w->leaf == 7 || w->leaf == 0xd;

            e = x86_cpuid_put(cpuid, w->leaf, indexed ? (int)w->subleaf : -1);
        }
        if (e) {
            e->reg[w->reg] = (e->reg[w->reg] & ~named.word[i]) | set->word[i];
        }
    }
}

/* The vendor that the guest sees: what was asked for, or the host's. */
static void choose_vendor(const X86CpuSpec *spec, const GArray *host,
                          char vendor[X86_VENDOR_BYTES + 1])
{
    const X86CpuidEntry *e = x86_cpuid_find(host, 0, 0);

    if (spec->vendor) {
        memcpy(vendor, spec->vendor, X86_VENDOR_BYTES + 1);
    } else if (e) {
        get_vendor(e, vendor);
    } else {
        memcpy(vendor, spec->model->vendor ? spec->model->vendor :
               X86_VENDOR_INTEL, X86_VENDOR_BYTES + 1);
    }
}

/* AMD repeats the vendor, the signature and some features. */
static void put_identity(GArray *cpuid, const char *vendor, uint32_t sign)
{
    bool amd = !strcmp(vendor, X86_VENDOR_AMD);
    X86CpuidEntry *ext, *ext1, *one;

    put_vendor(x86_cpuid_put(cpuid, 0, -1), vendor);
    one = x86_cpuid_put(cpuid, 1, -1);
    one->reg[X86_EAX] = sign;
    ext = x86_cpuid_find(cpuid, EXT(0), 0);
    ext1 = x86_cpuid_find(cpuid, EXT(1), 0);
    if (ext && amd) {
        put_vendor(ext, vendor);
    }
    if (ext1 && amd) {
        ext1->reg[X86_EAX] = sign;
        ext1->reg[X86_EDX] = (ext1->reg[X86_EDX] & ~AMD_TWINS) |
            (one->reg[X86_EDX] & AMD_TWINS);
    }
}

/* Without five levels of page tables there are 48 bits of linear address. */
static void limit_width(GArray *cpuid, const X86FeatureSet *set)
{
    X86CpuidEntry *e = x86_cpuid_find(cpuid, EXT(8), 0);

    if (e && !x86_features_has(set, "la57") &&
        (e->reg[X86_EAX] >> 8 & 0xff) > 48) {
        e->reg[X86_EAX] = (e->reg[X86_EAX] & ~0xff00u) | 48 << 8;
    }
}

/* ---- the host's own model --------------------------------------------- */

static GArray *build_host(const X86CpuSpec *spec, const X86CpuPlan *plan,
                          const GArray *host)
{
    GArray *cpuid = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));
    const X86CpuidEntry *one = x86_cpuid_find(host, 1, 0);
    char vendor[X86_VENDOR_BYTES + 1];

    for (guint i = 0; i < host->len; i++) {
        const X86CpuidEntry *e = &g_array_index(host, X86CpuidEntry, i);

        if (e->leaf == 0xd || is_undone(e->leaf, &plan->features) ||
            (spec->hide_kvm && is_kvm_leaf(e->leaf))) {
            continue;
        }
        g_array_append_vals(cpuid, e, 1);
    }
    x86_cpuid_put_xsave(cpuid, &plan->features, host, true);
    put_features(cpuid, &plan->features);
    limit_width(cpuid, &plan->features);
    choose_vendor(spec, host, vendor);
    put_identity(cpuid, vendor,
                 new_signature(spec, one ? one->reg[X86_EAX] : 0));
    if (spec->model_id) {
        put_model_id(cpuid, spec->model_id);
    }
    return cpuid;
}

/* ---- a named model ---------------------------------------------------- */

/* The last leaf that @set or the model needs, of those from @base on. */
static uint32_t last_leaf(const X86FeatureSet *set, uint32_t base,
                          uint32_t at_least)
{
    uint32_t last = MAX(at_least, base);

    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        uint32_t leaf = x86_cpuid_word(i)->leaf;

        if (set->word[i] && leaf - base < 0x10000) {
            last = MAX(last, leaf);
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(described); i++) {
        uint32_t leaf = described[i].leaf;

        if (leaf - base < 0x10000 &&
            x86_features_has(set, described[i].feature)) {
            last = MAX(last, leaf);
        }
    }
    return last;
}

static void put_basic(GArray *cpuid, const X86CpuPlan *plan, uint32_t level)
{
    x86_cpuid_put(cpuid, 0, -1)->reg[X86_EAX] = level;
    x86_cpuid_put(cpuid, 1, -1)->reg[X86_EBX] = CLFLUSH_8_BYTES;
    if (level >= 6) {
        x86_cpuid_put(cpuid, 6, -1);
    }
    if (level >= 7) {
        x86_cpuid_put(cpuid, 7, 0);
    }
    if (level >= 0xb) {
        x86_cpuid_put(cpuid, 0xb, 0);
    }
}

/* How many subleaves leaf 7 has. */
static void count_subleaves(GArray *cpuid)
{
    X86CpuidEntry *first = x86_cpuid_find(cpuid, 7, 0);

    for (unsigned i = 1; first && i <= 2; i++) {
        const X86CpuidEntry *e = x86_cpuid_find(cpuid, 7, i);

        if (e && e->indexed) {
            first->reg[X86_EAX] = i;
            for (unsigned k = 1; k < i; k++) {
                x86_cpuid_put(cpuid, 7, k);
                first = x86_cpuid_find(cpuid, 7, 0); /* may have moved */
            }
        }
    }
}

/* Widths of addresses are the host's: its page tables have them. */
static void put_extended(GArray *cpuid, const GArray *host, uint32_t xlevel,
                         bool amd)
{
    const X86CpuidEntry *widths = x86_cpuid_find(host, EXT(8), 0);

    x86_cpuid_put(cpuid, EXT(0), -1)->reg[X86_EAX] = xlevel;
    if (xlevel >= EXT(1)) {
        x86_cpuid_put(cpuid, EXT(1), -1);
    }
    if (xlevel >= EXT(7)) {
        x86_cpuid_put(cpuid, EXT(7), -1);
    }
    if (xlevel >= EXT(8)) {
        X86CpuidEntry *e = x86_cpuid_put(cpuid, EXT(8), -1);

        e->reg[X86_EAX] = widths ? widths->reg[X86_EAX] : 48 << 8 | 36;
    }
    if (amd && xlevel >= EXT(0x1e)) {
        x86_cpuid_put(cpuid, EXT(0x1e), -1);
    }
}

static void put_hosts_own(GArray *cpuid, const X86CpuSpec *spec,
                          const X86CpuPlan *plan, const GArray *host)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(described); i++) {
        if (x86_features_has(&plan->features, described[i].feature)) {
            copy_leaf(cpuid, host, described[i].leaf);
        }
    }
    if (!spec->hide_kvm) {
        copy_leaf(cpuid, host, X86_CPUID_KVM);
        copy_leaf(cpuid, host, X86_CPUID_KVM + 1);
    }
    x86_cpuid_put_xsave(cpuid, &plan->features, host, false);
}

static GArray *build_named(const X86CpuSpec *spec, const X86CpuPlan *plan,
                           const GArray *host)
{
    GArray *cpuid = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));
    const X86CpuModel *model = spec->model;
    uint32_t level = last_leaf(&plan->features, 0, model->level);
    uint32_t xlevel = last_leaf(&plan->features, EXT(0), model->xlevel);
    bool topoext = x86_features_has(&plan->features, "topoext");
    char vendor[X86_VENDOR_BYTES + 1];
    bool amd;

    choose_vendor(spec, host, vendor);
    amd = !strcmp(vendor, X86_VENDOR_AMD);
    put_basic(cpuid, plan, level);
    put_extended(cpuid, host, xlevel, amd && topoext);
    put_hosts_own(cpuid, spec, plan, host);
    put_features(cpuid, &plan->features);
    count_subleaves(cpuid);
    limit_width(cpuid, &plan->features);
    if (level >= 4 && xlevel >= EXT(6)) {
        x86_cpuid_put_caches(cpuid, amd, topoext);
    }
    if (xlevel >= EXT(4)) {
        put_model_id(cpuid, spec->model_id ? spec->model_id :
                     model->model_id);
    }
    put_identity(cpuid, vendor,
                 new_signature(spec, signature(model->family, model->model,
                                               model->stepping)));
    return cpuid;
}

GArray *x86_cpuid_build(const X86CpuSpec *spec, const X86CpuPlan *plan,
                        const GArray *host)
{
    return spec->model->is_host ? build_host(spec, plan, host) :
        build_named(spec, plan, host);
}
