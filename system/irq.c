/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines: the levels as one word, and the sink that delivers them.
 */
#include "system/irq.h"

#include "system/vm-run.h"
#include "system/vm.h"

void vm_irq_set_sink(Vm *vm, VmIrqSink *sink, void *opaque)
{
    vm->run->irq_sink = sink;
    vm->run->irq_opaque = opaque;
    vm_irq_resync(vm);
}

void vm_irq_set(Vm *vm, unsigned gsi, bool level)
{
    VmRun *run = vm->run;
    uint32_t bit = (uint32_t)1 << gsi;

    g_assert(gsi < VM_GSI_MAX); /* lines are wired by our own boards */
    if (!!(run->irq_levels & bit) == level) {
        return;
    }
    run->irq_levels ^= bit;
    if (run->irq_sink) {
        run->irq_sink(run->irq_opaque, gsi, level);
    }
}

bool vm_irq_level(const Vm *vm, unsigned gsi)
{
    return gsi < VM_GSI_MAX && (vm->run->irq_levels >> gsi & 1);
}

void vm_irq_resync(Vm *vm)
{
    VmRun *run = vm->run;

    if (!run->irq_sink) {
        return;
    }
    for (unsigned gsi = 0; gsi < VM_GSI_MAX; gsi++) {
        run->irq_sink(run->irq_opaque, gsi, vm_irq_level(vm, gsi));
    }
}
