/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits of x86 registers as Intel's and AMD's manuals number them, and MSR
 * numbers; only what is used.
 */
#ifndef TARGET_I386_X86_BITS_H
#define TARGET_I386_X86_BITS_H

#include <stdint.h>

/* High word of a segment descriptor, as in X86Segment.flags. */
#define X86_DESC_TYPE_SHIFT 8
#define X86_DESC_S (1u << 12)
#define X86_DESC_DPL_SHIFT 13
#define X86_DESC_P (1u << 15)
#define X86_DESC_AVL (1u << 20)
#define X86_DESC_L (1u << 21)
#define X86_DESC_DB (1u << 22)
#define X86_DESC_G (1u << 23)
#define X86_TYPE_DATA_RWA (3u << X86_DESC_TYPE_SHIFT)
#define X86_TYPE_CODE_RXA (0xbu << X86_DESC_TYPE_SHIFT)
#define X86_TYPE_LDT (2u << X86_DESC_TYPE_SHIFT)
#define X86_TYPE_TSS_BUSY (0xbu << X86_DESC_TYPE_SHIFT)

#define X86_FLAGS_ONE UINT64_C(2)  /* always set */
#define X86_FLAGS_TF (UINT64_C(1) << 8)
#define X86_FLAGS_IOPL (UINT64_C(3) << 12)
#define X86_FLAGS_VM (UINT64_C(1) << 17)

#define X86_CR0_PE (UINT64_C(1) << 0)
#define X86_CR0_MP (UINT64_C(1) << 1)
#define X86_CR0_EM (UINT64_C(1) << 2)
#define X86_CR0_TS (UINT64_C(1) << 3)
#define X86_CR0_ET (UINT64_C(1) << 4)
#define X86_CR0_NW (UINT64_C(1) << 29)
#define X86_CR0_CD (UINT64_C(1) << 30)
#define X86_CR4_OSFXSR (UINT64_C(1) << 9)
#define X86_CR4_OSXSAVE (UINT64_C(1) << 18)

#define X86_EFER_LMA (UINT64_C(1) << 10)
#define X86_EFER_SVME (UINT64_C(1) << 12)

#define X86_APIC_BASE_BSP (UINT64_C(1) << 8)
#define X86_APIC_BASE_ENABLE (UINT64_C(1) << 11)
#define X86_APIC_BASE_ADDRESS UINT64_C(0xfee00000)

#define X86_PAT_RESET UINT64_C(0x0007040600070406)

/* Multiprocessing states, numbered as KVM does. */
#define X86_MP_RUNNABLE 0
#define X86_MP_UNINITIALIZED 1
#define X86_MP_HALTED 3

/* Components of the XSAVE area. */
#define X86_XSTATE_X87 (UINT64_C(1) << 0)
#define X86_XSTATE_SSE (UINT64_C(1) << 1)
#define X86_XSTATE_AVX (UINT64_C(1) << 2)
#define X86_XSTATE_PKRU (UINT64_C(1) << 9)

/* Components whose registers have names in X86CpuState. */
#define X86_XSTATE_NAMED (X86_XSTATE_X87 | X86_XSTATE_SSE | X86_XSTATE_AVX | \
                          X86_XSTATE_PKRU)

#define X86_MSR_TSC 0x10
#define X86_MSR_APIC_BASE 0x1b
#define X86_MSR_FEATURE_CONTROL 0x3a
#define X86_MSR_TSC_ADJUST 0x3b
#define X86_MSR_SPEC_CTRL 0x48
#define X86_MSR_SMBASE 0x9e
#define X86_MSR_SYSENTER_CS 0x174
#define X86_MSR_SYSENTER_ESP 0x175
#define X86_MSR_SYSENTER_EIP 0x176
#define X86_MSR_MCG_STATUS 0x17a
#define X86_MSR_MCG_CTL 0x17b
#define X86_MSR_MISC_ENABLE 0x1a0
#define X86_MSR_MTRR_BASE0 0x200
#define X86_MSR_MTRR_MASK0 0x201
#define X86_MSR_PAT 0x277
#define X86_MSR_MTRR_DEFTYPE 0x2ff
#define X86_MSR_MC0_CTL 0x400
#define X86_MSR_VMX_BASIC 0x480
#define X86_MSR_VMX_PIN 0x481
#define X86_MSR_VMX_PRIMARY 0x482
#define X86_MSR_VMX_EXIT 0x483
#define X86_MSR_VMX_ENTRY 0x484
#define X86_MSR_VMX_MISC 0x485
#define X86_MSR_VMX_CR0_FIXED0 0x486
#define X86_MSR_VMX_CR4_FIXED0 0x488
#define X86_MSR_VMX_VMCS_ENUM 0x48a
#define X86_MSR_VMX_SECONDARY 0x48b
#define X86_MSR_VMX_EPT_VPID 0x48c
#define X86_MSR_VMX_TRUE_PIN 0x48d
#define X86_MSR_VMX_TRUE_PRIMARY 0x48e
#define X86_MSR_VMX_TRUE_EXIT 0x48f
#define X86_MSR_VMX_TRUE_ENTRY 0x490
#define X86_MSR_VMX_VMFUNC 0x491
#define X86_MSR_TSC_DEADLINE 0x6e0
#define X86_MSR_XSS 0xda0
#define X86_MSR_STAR 0xc0000081
#define X86_MSR_LSTAR 0xc0000082
#define X86_MSR_CSTAR 0xc0000083
#define X86_MSR_FMASK 0xc0000084
#define X86_MSR_KERNEL_GS_BASE 0xc0000102
#define X86_MSR_TSC_AUX 0xc0000103
#define X86_MSR_VM_HSAVE 0xc0010117
#define X86_MSR_KVM_WALL_CLOCK 0x4b564d00
#define X86_MSR_KVM_SYSTEM_TIME 0x4b564d01
#define X86_MSR_KVM_ASYNC_PF 0x4b564d02
#define X86_MSR_KVM_STEAL_TIME 0x4b564d03
#define X86_MSR_KVM_PV_EOI 0x4b564d04
#define X86_MSR_KVM_POLL_CONTROL 0x4b564d05

#endif
