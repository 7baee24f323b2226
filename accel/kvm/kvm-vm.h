/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM itself: what has to be set up before its first slot and vCPU.
 */
#ifndef ACCEL_KVM_KVM_VM_H
#define ACCEL_KVM_KVM_VM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-caps.h"
#include "accel/kvm/kvm-ioctl.h"

/**
 * kvm_vm_open() - open /dev/kvm, make a VM and ask what it can do
 * @io: with io->ops set
 * Context: start-up.
 * Errors:  KVM cannot be had, or lacks what we need; nothing is open then.
 */
bool kvm_vm_open(KvmIo *io, KvmCaps *caps, GError **error);

/**
 * kvm_vm_setup() - the kernel's own pages and the in-kernel chips: interrupt
 * controllers and timer
 * Context: start-up, before the first vCPU.
 * Errors:  the step that the kernel refused.
 */
bool kvm_vm_setup(KvmIo *io, const KvmCaps *caps, GError **error);

#endif
