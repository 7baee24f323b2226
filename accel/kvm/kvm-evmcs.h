/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's enlightened VMCS, version 1, has no field for some of the things
 * that a VMX control can switch on. This says which.
 */
#ifndef ACCEL_KVM_KVM_EVMCS_H
#define ACCEL_KVM_KVM_EVMCS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * evmcs_filter_msr() - what of a VMX capability MSR the enlightened VMCS has
 * @index:  number of the MSR; one that is none of theirs passes unchanged
 * @value:  as a CPU without it would tell
 * @perf_global_ctrl: the hypervisor says in its leaf of nested features that
 *          it has a field for IA32_PERF_GLOBAL_CTRL after all
 * Controls are taken out of the half that says what may be 1 (the high one),
 * VM functions out of the low one. A pure function.
 * Returns: @value with the same bits or fewer.
 */
uint64_t evmcs_filter_msr(uint32_t index, uint64_t value,
                          bool perf_global_ctrl);

#endif
