/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chips that the kernel emulates: local APICs, I/O APIC, the two 8259s,
 * the 8254 and the paravirtual clock. Their state travels in sections of the
 * layouts that other implementations of these chips use (wire-format,
 * "devices"), fetched from the kernel before a save and given to it after a
 * load.
 */
#ifndef ACCEL_KVM_KVM_IRQCHIP_H
#define ACCEL_KVM_KVM_IRQCHIP_H

#include <glib.h>
#include <stdbool.h>

#include "accel/kvm/kvm-state.h"

/**
 * kvm_irqchip_add_vcpu() - register a vCPU's "apic"; with the first vCPU also
 * the machine's chips, so that a machine without vCPUs has none of them
 * Context: start-up, big lock.
 * Errors:  the kernel does not tell their state after power-on.
 */
bool kvm_irqchip_add_vcpu(KvmVcpu *kv, GError **error);

/** kvm_irqchip_free() - NULL is fine. Context: vCPUs are gone. */
void kvm_irqchip_free(KvmIrqchip *chips);

#endif
