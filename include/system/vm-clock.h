/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM clock: nanoseconds of running guest. It stands still while the
 * machine is stopped and travels in the stream's "timer" section. Under the
 * qtest accelerator it moves only by clock_step and clock_set.
 */
#ifndef SYSTEM_VM_CLOCK_H
#define SYSTEM_VM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Vm Vm;

/** vm_clock_ns() - Context: any thread. */
int64_t vm_clock_ns(Vm *vm);

/** vm_clock_set_ns() - incoming side, or qtest. Context: big lock, stopped or
 *  manual. */
void vm_clock_set_ns(Vm *vm, int64_t ns);

/** vm_clock_set_manual() - only vm_clock_set_ns() moves it. Context: start-up. */
void vm_clock_set_manual(Vm *vm, bool manual);
bool vm_clock_is_manual(const Vm *vm);

#endif
