/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a guest's CPUID that are lists of their own.
 */
#ifndef TARGET_I386_CPUID_BUILD_H
#define TARGET_I386_CPUID_BUILD_H

#include "target/i386/cpu-plan.h"

/** x86_cpuid_put() - the entry of a leaf without subleaves, or of subleaf
 *  @subleaf if that is not -1; made with zeros if there is none. */
X86CpuidEntry *x86_cpuid_put(GArray *cpuid, uint32_t leaf, int subleaf);

/** x86_cpuid_put_caches() - leaves that describe caches: the same for every
 *  host. @amd: in AMD's leaves; @topoext: also in the newer ones of them. */
void x86_cpuid_put_caches(GArray *cpuid, bool amd, bool topoext);

/** x86_cpuid_put_xsave() - leaf 0xd: what of the host's state components
 *  belongs to features that @set has; @keep_unknown: and those that belong
 *  to no feature known here. Nothing if @set has no xsave. */
void x86_cpuid_put_xsave(GArray *cpuid, const X86FeatureSet *set,
                         const GArray *host, bool keep_unknown);

#endif
