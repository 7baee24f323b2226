/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID's feature bits: their names, sets of them, and which need which.
 *
 * A set has one 32-bit word for every register of CPUID that holds features.
 * Bits without a name in the table belong to no set.
 */
#ifndef TARGET_I386_CPU_FEATURES_H
#define TARGET_I386_CPU_FEATURES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Registers in the order in which CPUID's description lists them. */
enum { X86_EAX, X86_EBX, X86_ECX, X86_EDX, X86_CPUID_REGS };

#define X86_CPUID_KVM 0x40000000u   /* leaves of a hypervisor */
#define X86_CPUID_EXT 0x80000000u   /* AMD's and shared ones */

/* A named bit. */
typedef struct X86Feature {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg;   /* X86_EAX.. */
    uint8_t bit;
} X86Feature;

/* A register of CPUID that holds features. */
typedef struct X86CpuidWord {
    uint32_t leaf, subleaf;
    uint8_t reg;
} X86CpuidWord;

#define X86_CPUID_WORDS 19

typedef struct X86FeatureSet {
    uint32_t word[X86_CPUID_WORDS];  /* in the order of x86_cpuid_word() */
} X86FeatureSet;

/** x86_feature_table() - every named bit; ended by a NULL name. A name may
 *  stand for several bits, each with a row of its own. */
const X86Feature *x86_feature_table(void);

/** x86_cpuid_word() - the register behind word @index, below
 *  X86_CPUID_WORDS. */
const X86CpuidWord *x86_cpuid_word(unsigned index);

/** x86_features_word() - the word of a register. Returns: NULL if it holds no
 *  named features. */
uint32_t *x86_features_word(X86FeatureSet *set, uint32_t leaf,
                            uint32_t subleaf, unsigned reg);

/** x86_features_all() - a set of every bit that has a name. */
void x86_features_all(X86FeatureSet *ret);

/**
 * x86_features_find() - the bits of a name
 * @name: '_' counts as '-'; other programs' spellings are understood
 * Returns: false if there is none, and then @ret is untouched.
 */
bool x86_features_find(const char *name, X86FeatureSet *ret);

/** x86_features_parse() - the bits of names that are separated by blanks, as
 *  tables of this program have them. Every name must be known. */
void x86_features_parse(const char *names, X86FeatureSet *ret);

/** x86_features_has() - are all bits of @name in @set? @name must be known. */
bool x86_features_has(const X86FeatureSet *set, const char *name);

/** x86_features_add(), _remove(), _keep() - @set or @other; @set without
 *  @other; what is in both. */
void x86_features_add(X86FeatureSet *set, const X86FeatureSet *other);
void x86_features_remove(X86FeatureSet *set, const X86FeatureSet *other);
void x86_features_keep(X86FeatureSet *set, const X86FeatureSet *other);

/** x86_features_empty() - is there no bit in @set? */
bool x86_features_empty(const X86FeatureSet *set);

/** x86_features_names() - each name once, in the table's order
 *  Returns: of char *, NULL-terminated; to be freed with g_strfreev(). */
GStrv x86_features_names(const X86FeatureSet *set);

/** x86_features_text() - the names for a message: "'avx2', 'rtm'"
 *  Returns: to be freed with g_free(); empty if @set is. */
char *x86_features_text(const X86FeatureSet *set);

/**
 * x86_features_settle() - take out what needs something that is not there
 * @host: a rule that the host itself breaks does not count
 * Without xsave there is no avx, without avx no avx2, and so on.
 */
void x86_features_settle(X86FeatureSet *set, const X86FeatureSet *host);

#endif
