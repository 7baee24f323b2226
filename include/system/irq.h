/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines between devices and whatever plays the interrupt controller
 * (the kernel's on KVM; nobody on the software CPU, where lines are only
 * remembered).
 */
#ifndef SYSTEM_IRQ_H
#define SYSTEM_IRQ_H

#include <stdbool.h>

typedef struct Vm Vm;

#define VM_GSI_MAX 24

typedef void VmIrqSink(void *opaque, unsigned gsi, bool level);

/** vm_irq_set_sink() - who delivers; the present levels are replayed.
 *  Context: start-up, big lock. */
void vm_irq_set_sink(Vm *vm, VmIrqSink *sink, void *opaque);

/** vm_irq_set() - raise or lower a line; a change is passed to the sink.
 *  Context: big lock. */
void vm_irq_set(Vm *vm, unsigned gsi, bool level);

/** vm_irq_level() - Context: big lock. */
bool vm_irq_level(const Vm *vm, unsigned gsi);

/** vm_irq_resync() - pass all levels to the sink again, after the controller's
 *  state was loaded or reset. Context: big lock. */
void vm_irq_resync(Vm *vm);

#endif
