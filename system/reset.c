/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reset list. Devices (and the board, for the vCPUs' registers) put their
 * own structures back; the registers are pushed into the accelerator last.
 */
#include "system/reset.h"

#include "system/vm-run.h"
#include "system/vm.h"

void vm_reset_register(Vm *vm, VmResetFn *fn, void *opaque)
{
    VmResetEntry entry = { fn, opaque };

    g_array_append_val(vm->run->resets, entry);
}

bool vm_reset(Vm *vm, bool wakeup, GError **error)
{
    GArray *resets = vm->run->resets;

    for (guint i = 0; i < resets->len; i++) {
        VmResetEntry *entry = &g_array_index(resets, VmResetEntry, i);

        entry->fn(entry->opaque, wakeup);
    }
    for (guint i = 0; i < vm->vcpus->len; i++) {
        vcpu_set_halted(g_ptr_array_index(vm->vcpus, i), false);
    }
    if (!cpus_sync_set(vm, error)) {
        g_prefix_error(error, "cannot reset: ");
        return false;
    }
    return true;
}
