/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU as it goes on the wire: its registers, and what is computed from
 * them when it is saved.
 */
#ifndef TARGET_I386_CPU_WIRE_H
#define TARGET_I386_CPU_WIRE_H

#include <stdint.h>

#include "migration/vmstate.h"
#include "system/cpus.h"
#include "target/i386/cpu-state.h"

#define CPU_WIRE_XSAVE_BYTES 4096
#define CPU_WIRE_MSRS 64

/* MSRs whose subsections have names of their own. */
typedef enum CpuWireMsr {
    CPU_MSR_ASYNC_PF,
    CPU_MSR_PV_EOI,
    CPU_MSR_STEAL_TIME,
    CPU_MSR_POLL_CONTROL,
    CPU_MSR_FEATURE_CONTROL,
    CPU_MSR_NAMED,
} CpuWireMsr;

typedef struct CpuWireEntry {
    uint32_t index;
    uint64_t value;
} CpuWireEntry;

typedef struct X86CpuWire {
    Vcpu *vcpu;
    X86CpuState env;      /* a copy; its pointers are never followed */
    uint32_t halted;
    uint32_t hflags, hflags2;
    int32_t a20_mask;
    uint32_t sysenter_cs;
    uint16_t fpu_format;
    int64_t tsc_khz;
    uint64_t named[CPU_MSR_NAMED];
    uint32_t n_msrs;      /* those without a name that have changed */
    CpuWireEntry msrs[CPU_WIRE_MSRS];
    uint8_t xsave[CPU_WIRE_XSAVE_BYTES];
} X86CpuWire;

extern const VmStateDesc x86_cpu_common_desc, x86_cpu_desc;

/** x86_cpu_to_wire() - before a save. Errors: more changed MSRs than fit;
 *  a guest of the guest's is under way. */
bool x86_cpu_to_wire(X86CpuWire *w, GError **error);

/** x86_cpu_wire_init() - what is loaded by subsections that may be missing,
 *  to its defaults; before a load. */
void x86_cpu_wire_init(X86CpuWire *w);

/** x86_cpu_from_wire() - check what was loaded and make it the vCPU's
 *  Errors: a value out of range; an MSR or XSAVE state that this host or this
 *  vCPU lacks.
 *  The vCPU's state is unchanged then. */
bool x86_cpu_from_wire(X86CpuWire *w, GError **error);

/** x86_cpu_hflags() - the summary of mode and privilege that software CPUs
 *  run by: which of them depend on which registers is said there. */
uint32_t x86_cpu_hflags(const X86CpuState *s);

/** x86_cpu_hflags2() - its second word: interrupts and NMIs. */
uint32_t x86_cpu_hflags2(const X86CpuState *s);

#endif
