/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a virtual to a guest-physical address, by the page tables of a vCPU:
 * for the monitors' eyes. Nothing is checked but presence, and no accessed
 * bit is set.
 */
#ifndef TARGET_I386_PAGE_WALK_H
#define TARGET_I386_PAGE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "target/i386/cpu-state.h"

typedef struct MemoryMap MemoryMap;

/**
 * x86_translate() - walk the page tables
 * @state: CR0, CR3, CR4 and EFER say which kind of tables; without paging an
 *         address is its own
 * Context: any thread; the tables may change under it. Cost: 2 to 5 reads.
 * Returns: false if the address is not mapped or a table lies in no RAM.
 */
bool x86_translate(const X86CpuState *state, MemoryMap *map, uint64_t gva,
                   uint64_t *ret_gpa);

#endif
