/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reset list: what is put back to its power-on state, in order of
 * registration, by system_reset, by a guest's reset and by a wake-up.
 */
#ifndef SYSTEM_RESET_H
#define SYSTEM_RESET_H

#include <glib.h>
#include <stdbool.h>

typedef struct Vm Vm;

/** A device's reset. @wakeup: out of S3, memory is kept and so is what its
 *  specification says. Context: big lock, vCPUs stopped. */
typedef void VmResetFn(void *opaque, bool wakeup);

/** vm_reset_register() - Context: start-up, big lock. */
void vm_reset_register(Vm *vm, VmResetFn *fn, void *opaque);

/**
 * vm_reset() - call them all, then push the vCPUs' registers (vcpu->state)
 * into the accelerator
 * The registers themselves are put back by an entry of the list, the board's.
 * Context: big lock, vCPUs stopped.
 * Errors:  the accelerator refused the registers; the machine must not run.
 */
bool vm_reset(Vm *vm, bool wakeup, GError **error);

#endif
