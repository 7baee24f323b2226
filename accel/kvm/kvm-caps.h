/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this kernel's KVM can do, asked once when the VM is made.
 */
#ifndef ACCEL_KVM_KVM_CAPS_H
#define ACCEL_KVM_KVM_CAPS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

typedef struct KvmCaps {
    uint32_t max_slots;        /* memory slots of an address space */
    uint32_t max_vcpus;
    uint32_t vcpu_mmap_bytes;  /* of a vCPU's shared page */
    uint64_t manual_protect;   /* KVM_DIRTY_LOG_* flags that may be enabled */
    uint32_t ring_bytes;       /* of the largest dirty ring; 0: none */
    uint32_t ring_capability;  /* KVM_CAP_DIRTY_LOG_RING or ..._ACQ_REL */
    bool readonly_mem;
    bool irqchip;
    bool pit2;
    bool immediate_exit;
    bool xsave, xcrs;
    bool debugregs, vcpu_events, mp_state;
    bool get_tsc_khz, tsc_control, tsc_deadline;
    bool adjust_clock, kvmclock_ctrl;
    bool msr_features;         /* feature MSRs can be asked for */
    uint32_t nested_bytes;     /* room that nested state needs; 0: none */
    bool hyperv_evmcs;         /* the enlightened VMCS for nested guests */
    uint32_t mce_banks;
    bool set_identity_map;
} KvmCaps;

/**
 * kvm_caps_probe() - fill @caps from an open VM
 * Context: start-up.
 * Errors:  something this program cannot do without is missing; it is named.
 */
bool kvm_caps_probe(KvmIo *io, KvmCaps *caps, GError **error);

#endif
