/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of feature bits. The tables are small and looked through when a
 * machine is made, not while it runs.
 */
#include "target/i386/cpu-features.h"

#include <string.h>

static const X86CpuidWord words[X86_CPUID_WORDS] = {
    { 1, 0, X86_EDX },
    { 1, 0, X86_ECX },
    { 6, 0, X86_EAX },
    { 7, 0, X86_EBX },
    { 7, 0, X86_ECX },
    { 7, 0, X86_EDX },
    { 7, 1, X86_EAX },
    { 7, 1, X86_EDX },
    { 7, 2, X86_EDX },
    { 0xd, 1, X86_EAX },
    { X86_CPUID_KVM + 1, 0, X86_EAX },
    { X86_CPUID_KVM + 1, 0, X86_EDX },
    { X86_CPUID_EXT + 1, 0, X86_ECX },
    { X86_CPUID_EXT + 1, 0, X86_EDX },
    { X86_CPUID_EXT + 7, 0, X86_EBX },
    { X86_CPUID_EXT + 7, 0, X86_EDX },
    { X86_CPUID_EXT + 8, 0, X86_EBX },
    { X86_CPUID_EXT + 0xa, 0, X86_EDX },
    { X86_CPUID_EXT + 0x21, 0, X86_EAX },
};

/* Other spellings; those that differ in '_' and '-' only need no row. */
static const struct {
    const char *alias, *name;
} aliases[] = {
    { "pni", "sse3" },
    { "pclmuldq", "pclmulqdq" },
    { "sse4-1", "sse4.1" },
    { "sse4-2", "sse4.2" },
    { "xd", "nx" },
    { "ffxsr", "fxsr-opt" },
    { "i64", "lm" },
    { "lzcnt", "abm" },
    { "cet-ss", "shstk" },
    { "cet-ibt", "ibt" },
};

/*
 * Which bits make no sense without which. An operating system may take one
 * for granted when it sees the other, and registers of the one are saved by
 * the other's means.
 */
static const struct {
    const char *needed;
    const char *by;        /* names, separated by blanks */
} needs[] = {
    { "fxsr", "sse fxsr-opt" },
    { "sse", "sse2 sse4a misalignsse" },
    { "sse2", "sse3 aes pclmulqdq sha-ni gfni" },
    { "sse3", "ssse3" },
    { "ssse3", "sse4.1" },
    { "sse4.1", "sse4.2" },
    { "mmx", "mmxext 3dnow" },
    { "3dnow", "3dnowext" },
    { "xsave", "xsaveopt xsavec xgetbv1 xsaves xfd avx mpx pku amx-tile lwp" },
    { "xsaves", "shstk ibt arch-lbr" },
    { "avx", "avx2 fma f16c fma4 xop vaes vpclmulqdq avx-vnni" },
    { "avx2", "avx512f avx-ifma avx-vnni-int8 avx-vnni-int16 avx-ne-convert "
      "sha512 sm3 sm4" },
    { "avx512f", "avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw "
      "avx512vl avx512vbmi avx512vbmi2 avx512vnni avx512bitalg "
      "avx512-vpopcntdq avx512-4vnniw avx512-4fmaps avx512-vp2intersect "
      "avx512-bf16" },
    { "avx512bw", "avx512-fp16" },
    { "amx-tile", "amx-bf16 amx-int8 amx-fp16 amx-complex" },
    { "pcid", "invpcid" },
    { "lm", "la57 lam pks pcid fred lkgs" },
    { "pae", "lm nx" },
    { "cx8", "cx16" },
    { "tsc", "rdtscp tsc-adjust tsc-deadline invtsc" },
    { "apic", "x2apic tsc-deadline extapic" },
    { "sgx", "sgxlc" },
    { "svm", "npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid "
      "decodeassists pause-filter pfthreshold avic v-vmsave-vmload vgif vnmi "
      "svme-addr-chk" },
};

const X86CpuidWord *x86_cpuid_word(unsigned index)
{
    return &words[index];
}

uint32_t *x86_features_word(X86FeatureSet *set, uint32_t leaf,
                            uint32_t subleaf, unsigned reg)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = &words[i];

        if (w->leaf == leaf && w->subleaf == subleaf && w->reg == reg) {
            return &set->word[i];
        }
    }
    return NULL;
}

static uint32_t *word_of(X86FeatureSet *set, const X86Feature *f)
{
    return x86_features_word(set, f->leaf, f->subleaf, f->reg);
}

void x86_features_all(X86FeatureSet *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        *word_of(ret, f) |= 1u << f->bit;
    }
}

bool x86_features_find(const char *name, X86FeatureSet *ret)
{
    g_autofree char *plain = g_strdelimit(g_strdup(name), "_", '-');
    const char *wanted = plain;
    X86FeatureSet set = { { 0 } };
    bool found = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (!strcmp(aliases[i].alias, plain)) {
            wanted = aliases[i].name;
        }
    }
    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        if (!strcmp(f->name, wanted)) {
            *word_of(&set, f) |= 1u << f->bit;
            found = true;
        }
    }
    if (found) {
        *ret = set;
    }
    return found;
}

void x86_features_parse(const char *names, X86FeatureSet *ret)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);

    memset(ret, 0, sizeof(*ret));
    for (char **name = list; *name; name++) {
        X86FeatureSet one;
        bool known = !**name || x86_features_find(*name, &one);

        g_assert(known); /* our own tables; a test reads them all */
        if (**name) {
            x86_features_add(ret, &one);
        }
    }
}

bool x86_features_has(const X86FeatureSet *set, const char *name)
{
    X86FeatureSet wanted;

    x86_features_parse(name, &wanted);
    x86_features_remove(&wanted, set);
    return x86_features_empty(&wanted);
}

void x86_features_add(X86FeatureSet *set, const X86FeatureSet *other)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        set->word[i] |= other->word[i];
    }
}

void x86_features_remove(X86FeatureSet *set, const X86FeatureSet *other)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        set->word[i] &= ~other->word[i];
    }
}

void x86_features_keep(X86FeatureSet *set, const X86FeatureSet *other)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        set->word[i] &= other->word[i];
    }
}

bool x86_features_empty(const X86FeatureSet *set)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        if (set->word[i]) {
            return false;
        }
    }
    return true;
}

GStrv x86_features_names(const X86FeatureSet *set)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    X86FeatureSet copy = *set;

    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        if (*word_of(&copy, f) >> f->bit & 1 &&
            !g_ptr_array_find_with_equal_func(names, f->name, g_str_equal,
                                              NULL)) {
            g_ptr_array_add(names, g_strdup(f->name));
        }
    }
    g_ptr_array_add(names, NULL);
    return (GStrv)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

char *x86_features_text(const X86FeatureSet *set)
{
    g_auto(GStrv) names = x86_features_names(set);
    GString *text = g_string_new(NULL);

    for (char **name = names; *name; name++) {
        g_string_append_printf(text, "%s'%s'", text->len ? ", " : "", *name);
    }
    return g_string_free(text, FALSE);
}

void x86_features_settle(X86FeatureSet *set, const X86FeatureSet *host)
{
    X86FeatureSet before;

    do {
        before = *set;
        for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
            X86FeatureSet by;

            if (x86_features_has(host, needs[i].needed) &&
                !x86_features_has(set, needs[i].needed)) {
                x86_features_parse(needs[i].by, &by);
                x86_features_remove(set, &by);
            }
        }
    } while (memcmp(&before, set, sizeof(before)));
}
