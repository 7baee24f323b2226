/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The controls that the enlightened VMCS, version 1, has no field for. Kernels
 * of a time (5.0 to 5.5) drop them from a vCPU's MSRs when it is switched on,
 * and from then on refuse a KVM_SET_MSRS that has them: so they are taken out
 * before.
 */
#include "accel/kvm/kvm-evmcs.h"

#include <glib.h>

#include "target/i386/x86-bits.h"

typedef struct EvmcsRow {
    uint32_t index;       /* MSR */
    uint32_t true_index;  /* its twin that tells of default-1 controls; 0 */
    uint32_t controls;
} EvmcsRow;

#define BIT(n) (1u << (n))

static const EvmcsRow rows[] = {
    { X86_MSR_VMX_PIN, X86_MSR_VMX_TRUE_PIN,
      BIT(6) |    /* VMX-preemption timer */
      BIT(7) },   /* process posted interrupts */
    { X86_MSR_VMX_PRIMARY, X86_MSR_VMX_TRUE_PRIMARY,
      BIT(17) },  /* activate tertiary controls */
    { X86_MSR_VMX_SECONDARY, 0,
      BIT(0) |    /* virtualise APIC accesses */
      BIT(8) |    /* APIC-register virtualisation */
      BIT(9) |    /* virtual-interrupt delivery */
      BIT(10) |   /* PAUSE-loop exiting */
      BIT(13) |   /* enable VM functions */
      BIT(14) |   /* VMCS shadowing */
      BIT(17) |   /* page-modification log */
      BIT(25) },  /* use TSC scaling */
    { X86_MSR_VMX_EXIT, X86_MSR_VMX_TRUE_EXIT,
      BIT(12) |   /* load IA32_PERF_GLOBAL_CTRL */
      BIT(22) },  /* save VMX-preemption timer */
    { X86_MSR_VMX_ENTRY, X86_MSR_VMX_TRUE_ENTRY,
      BIT(13) },  /* load IA32_PERF_GLOBAL_CTRL */
};

#define EXIT_PERF_GLOBAL BIT(12)
#define ENTRY_PERF_GLOBAL BIT(13)
#define VMFUNC_EPTP_SWITCHING UINT64_C(1)

/* The later field for IA32_PERF_GLOBAL_CTRL brings one control each back. */
static uint32_t brought_back(const EvmcsRow *row)
{
    return row->index == X86_MSR_VMX_EXIT ? EXIT_PERF_GLOBAL :
        row->index == X86_MSR_VMX_ENTRY ? ENTRY_PERF_GLOBAL : 0;
}

uint64_t evmcs_filter_msr(uint32_t index, uint64_t value,
                          bool perf_global_ctrl)
{
    if (index == X86_MSR_VMX_VMFUNC) {
        return value & ~VMFUNC_EPTP_SWITCHING;
    }
    for (unsigned i = 0; index && i < G_N_ELEMENTS(rows); i++) {
        const EvmcsRow *row = &rows[i];
        uint32_t gone = row->controls;

        if (index == row->index || index == row->true_index) {
            gone &= perf_global_ctrl ? ~brought_back(row) : ~0u;
            return value & ~((uint64_t)gone << 32);
        }
    }
    return value;
}
