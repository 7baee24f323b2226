/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what is asked for (cpu-spec.h) and what a host can do to the CPUID of
 * a guest. Pure functions: the accelerator brings the host's leaves and puts
 * the guest's in force.
 */
#ifndef TARGET_I386_CPU_PLAN_H
#define TARGET_I386_CPU_PLAN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/i386/cpu-spec.h"

/* An answer of CPUID. */
typedef struct X86CpuidEntry {
    uint32_t leaf, subleaf;
    bool indexed;                  /* the answer depends on the subleaf */
    uint32_t reg[X86_CPUID_REGS];
} X86CpuidEntry;

/* What becomes of a wish. */
typedef struct X86CpuPlan {
    X86FeatureSet features;  /* of the guest */
    X86FeatureSet missing;   /* asked for, and not to be had */
} X86CpuPlan;

/** x86_cpuid_find() - the entry of a leaf in @cpuid, of X86CpuidEntry
 *  Returns: good until the array changes; NULL if there is none. */
X86CpuidEntry *x86_cpuid_find(const GArray *cpuid, uint32_t leaf,
                              uint32_t subleaf);

/** x86_cpuid_features() - the named bits that are set in @cpuid */
void x86_cpuid_features(const GArray *cpuid, X86FeatureSet *ret);

/** x86_cpuid_xcr0() - components of XCR0 that a CPU with this CPUID has; x87
 *  and SSE if it has no XSAVE. */
uint64_t x86_cpuid_xcr0(const GArray *cpuid);

/**
 * x86_cpu_plan() - what of @spec a host with @host's features can give
 * Missing is what was asked for by name or promised by the model. What the
 * user switched off takes with it what needs it, which counts as missing only
 * if it was asked for by name.
 */
void x86_cpu_plan(const X86CpuSpec *spec, const X86FeatureSet *host,
                  X86CpuPlan *ret);

/**
 * x86_cpuid_build() - the guest's leaves
 * @host: the host's, as it lists them; nothing is given that is not there
 * A model of the host's keeps leaves that this program knows nothing of; the
 * others get what their row says, and of the host's only what has to be: width
 * of addresses, layout of the XSAVE area, the hypervisor's own leaves.
 * Vendor is the host's unless it was asked for: instructions that only one
 * vendor's CPUs have in a mode are chosen by it.
 * APIC ids and the number of vCPUs are left for the accelerator to put in.
 * Returns: of X86CpuidEntry; free with g_array_unref().
 */
GArray *x86_cpuid_build(const X86CpuSpec *spec, const X86CpuPlan *plan,
                        const GArray *host);

#endif
