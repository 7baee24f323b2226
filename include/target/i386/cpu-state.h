/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One x86 vCPU's registers, in the accelerator-neutral form that travels in
 * the section "cpu" (layout: stream-format, cpu v12) and that "info
 * registers" prints.
 */
#ifndef TARGET_I386_CPU_STATE_H
#define TARGET_I386_CPU_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Vm Vm;
typedef struct Vcpu Vcpu;

enum { X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI,
       X86_RDI, X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14,
       X86_R15, X86_GPR_COUNT };

enum { X86_SEG_ES, X86_SEG_CS, X86_SEG_SS, X86_SEG_DS, X86_SEG_FS,
       X86_SEG_GS, X86_SEG_LDT, X86_SEG_TR, X86_SEG_GDT, X86_SEG_IDT,
       X86_SEG_COUNT };

typedef struct X86Segment {
    uint32_t selector;
    uint64_t base;
    uint32_t limit;
    uint32_t flags;   /* high descriptor word & 0x00f0ff00 */
} X86Segment;

typedef struct X86FpReg {
    uint64_t mantissa;
    uint16_t exponent;  /* sign and exponent */
} X86FpReg;

typedef struct X86Vec128 {
    uint64_t lo, hi;
} X86Vec128;

typedef struct X86Msr {
    uint32_t index;
    uint64_t value;
    uint64_t reset;   /* value after power-on, as the accelerator told it */
} X86Msr;

typedef struct X86Mtrr {
    uint64_t base, mask;
} X86Mtrr;

typedef struct X86CpuState {
    /* basic */
    uint64_t regs[X86_GPR_COUNT];
    uint64_t rip;
    uint64_t rflags;
    X86Segment segs[X86_SEG_COUNT];
    uint64_t cr0, cr2, cr3, cr4, cr8;
    uint64_t dr[8];
    uint64_t efer, apic_base;
    /* x87, SSE, AVX */
    uint16_t fcw, fsw;
    uint16_t ftag;      /* bit set: register in use (abridged tag word) */
    uint16_t fop;
    uint64_t fip, fdp;
    X86FpReg fpregs[8];
    uint32_t mxcsr;
    X86Vec128 xmm[16];
    X86Vec128 ymmh[16];
    uint64_t xcr0, xstate_bv;
    /* MSRs with a place of their own in the section */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t pat, tsc, tsc_aux, tsc_adjust, tsc_deadline;
    uint64_t system_time_msr, wall_clock_msr;
    uint64_t mtrr_fixed[11], mtrr_deftype;
    X86Mtrr mtrr_var[8];
    uint64_t mcg_cap, mcg_status, mcg_ctl, mce_banks[40];
    uint32_t smbase;
    uint64_t misc_enable, spec_ctrl, xss, vm_hsave;
    uint32_t pkru;
    /* events in flight */
    int32_t interrupt_injected;  /* -1: none */
    int32_t exception_nr;        /* -1: none */
    uint8_t soft_interrupt, nmi_injected, nmi_pending, nmi_masked;
    uint8_t has_error_code;
    uint32_t error_code;
    uint32_t sipi_vector;
    uint8_t interrupt_shadow;
    uint32_t mp_state;           /* KVM's numbers; 0 = runnable */
    uint32_t tsc_khz;
    bool halted;                 /* without an in-kernel irqchip */
    uint32_t interrupt_request;
    uint64_t xcr0_can;           /* components of XCR0 that this vCPU has, from
                                    its CPUID; 0: not known */
    bool nested;                 /* a guest of the guest's is under way, whose
                                    state is not here */
    /* Whole XSAVE area of hosts that have more than AVX; 0 bytes otherwise. */
    uint32_t xsave_size;
    uint8_t *xsave;
    /* MSRs the accelerator lists beyond those above. */
    uint32_t n_msrs;
    X86Msr *msrs;
    struct X86CpuWire *wire; /* cpu-vmstate.c's own; freed with the state */
} X86CpuState;

/** x86_cpu_state_new() - the state after power-on: real mode at 0xfffffff0;
 *  of a bootstrap processor, without an XSAVE area and further MSRs. */
X86CpuState *x86_cpu_state_new(void);

/** x86_cpu_state_free() - with all that belongs to it; NULL is fine. */
void x86_cpu_state_free(X86CpuState *state);

/** x86_cpu_reset() - to power-on values; keeps what depends on the host
 *  (tsc_khz, which MSRs are listed, size and components of the XSAVE area) and
 *  whether it is the bootstrap processor (apic_base). */
void x86_cpu_reset(X86CpuState *state);

/** x86_cpu_set_boot_sector() - on top of a reset: real mode, CS:IP 0:7c00,
 *  all segments 0, DL = @drive, interrupts off. */
void x86_cpu_set_boot_sector(X86CpuState *state, uint8_t drive);

/** x86_cpu_state_to_text() - what "info registers" prints of one vCPU. */
char *x86_cpu_state_to_text(const Vcpu *vcpu);

/**
 * x86_cpu_register_vmstate() - sections cpu_common and cpu of a vCPU
 * They carry vcpu->state, which must have been fetched (cpus_sync_get()) before
 * a save and is to be pushed (cpus_sync_set()) after a load.
 * Context: start-up, big lock; vcpu->state exists.
 */
void x86_cpu_register_vmstate(Vm *vm, Vcpu *vcpu);

#endif
