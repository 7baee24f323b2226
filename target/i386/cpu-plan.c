/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which features a guest gets, and reading them out of a list of leaves.
 */
#include "target/i386/cpu-plan.h"

#include <string.h>

#include "target/i386/x86-bits.h"

/* What a guest of a named model gets beside it: it is on a hypervisor, and
 * all of these work without the guest's trust. */
#define GIFTS "hypervisor x2apic kvmclock kvm-nopiodelay kvm-asyncpf "      \
    "kvm-steal-time kvm-pv-eoi kvmclock-stable-bit"

/* What a named model has in silicon, but not here unless it is asked for:
 * nested guests, power states, waiting on a cache line. */
#define WITHHELD "svm monitor acpi"

X86CpuidEntry *x86_cpuid_find(const GArray *cpuid, uint32_t leaf,
                              uint32_t subleaf)
{
    for (guint i = 0; i < cpuid->len; i++) {
        X86CpuidEntry *e = &g_array_index(cpuid, X86CpuidEntry, i);

        if (e->leaf == leaf && (!e->indexed || e->subleaf == subleaf)) {
            return e;
        }
    }
    return NULL;
}

void x86_cpuid_features(const GArray *cpuid, X86FeatureSet *ret)
{
    X86FeatureSet named;

    x86_features_all(&named);
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = x86_cpuid_word(i);
        const X86CpuidEntry *e = x86_cpuid_find(cpuid, w->leaf, w->subleaf);

        if (e) {
            ret->word[i] = e->reg[w->reg] & named.word[i];
        }
    }
}

uint64_t x86_cpuid_xcr0(const GArray *cpuid)
{
    const X86CpuidEntry *e = x86_cpuid_find(cpuid, 0xd, 0);

    if (!e || !(e->reg[X86_EAX] & X86_XSTATE_X87)) {
        return X86_XSTATE_X87 | X86_XSTATE_SSE;
    }
    return e->reg[X86_EAX] | (uint64_t)e->reg[X86_EDX] << 32;
}

/* What the model promises here; what is withheld takes with it what needs it,
 * unless the user wants it after all. */
static void promises(const X86CpuSpec *spec, X86FeatureSet *ret)
{
    X86FeatureSet silicon, withheld;

    x86_cpu_model_features(spec->model, &silicon);
    x86_features_parse(WITHHELD, &withheld);
    x86_features_remove(&withheld, &spec->plus);
    *ret = silicon;
    x86_features_remove(ret, &withheld);
    x86_features_settle(ret, &silicon);
    x86_features_remove(ret, &spec->minus);
}

/* What the guest would have on a host that can do everything. */
static void wishes(const X86CpuSpec *spec, const X86FeatureSet *host,
                   X86FeatureSet *ret_all, X86FeatureSet *ret_promised)
{
    *ret_promised = (X86FeatureSet) { { 0 } };
    if (spec->model->is_host) {
        *ret_all = *host;
    } else {
        promises(spec, ret_promised);
        x86_features_parse(GIFTS, ret_all);
        x86_features_add(ret_all, ret_promised);
    }
    x86_features_add(ret_all, &spec->plus);
    x86_features_remove(ret_all, &spec->minus);
}

static void hide_kvm(X86FeatureSet *set)
{
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        if (x86_cpuid_word(i)->leaf == X86_CPUID_KVM + 1) {
            set->word[i] = 0;
        }
    }
}

void x86_cpu_plan(const X86CpuSpec *spec, const X86FeatureSet *host,
                  X86CpuPlan *ret)
{
    X86FeatureSet promised, dropped;

    wishes(spec, host, &ret->features, &promised);
    ret->missing = promised;
    x86_features_add(&ret->missing, &spec->plus);
    x86_features_remove(&ret->missing, host);
    x86_features_keep(&ret->features, host);
    if (spec->hide_kvm) {
        hide_kvm(&ret->features);
    }
    x86_features_settle(&ret->features, host);
    dropped = spec->plus;
    x86_features_remove(&dropped, &ret->features);
    x86_features_add(&ret->missing, &dropped);
}
