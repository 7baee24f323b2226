/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host's CPUID for tests: every feature that has a name, every component of
 * the XSAVE area that belongs to one, and one bit that has no name.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include "target/i386/cpu-plan.h"

/* In leaf 7's EBX: a monitoring feature that no guest can be given by name. */
#define FAKE_HOST_NAMELESS (1u << 12)
#define FAKE_HOST_WIDTHS 0x392e      /* 46 physical, 57 linear bits */
#define FAKE_HOST_XCR0 0x602e7       /* x87 SSE AVX AVX-512 PKRU AMX */
#define FAKE_HOST_XSS 0x9900         /* trace, CET, last branches */

/** fake_host_new() - of X86CpuidEntry; @vendor has 12 letters, @without names
 *  features that it lacks, separated by blanks. */
GArray *fake_host_new(const char *vendor, const char *without);

/** fake_host_reg() - a register of @cpuid; 0 if the leaf is not there */
uint32_t fake_host_reg(const GArray *cpuid, uint32_t leaf, uint32_t subleaf,
                       unsigned reg);

#endif
