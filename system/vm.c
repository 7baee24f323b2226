/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's parts, put together empty and taken apart again.
 */
#include "system/vm.h"

#include "migration/vmstate.h"

#include "system/vm-run.h"

/* The memory map is below vCPUs; it knows them by these two. */
static void hold_vcpus(void *opaque)
{
    cpus_hold_all(opaque);
}

static void release_vcpus(void *opaque)
{
    cpus_release_all(opaque);
}

Vm *vm_new(void)
{
    Vm *vm = g_new0(Vm, 1);

    ram_list_init(&vm->ram);
    vm->map = memory_map_new(&vm->ram);
    vm->vcpus = g_ptr_array_new();
    vm->vmstate = vmstate_registry_new();
    vm->run = vm_run_new(vm);
    memory_map_set_hold(vm->map, hold_vcpus, release_vcpus, vm);
    return vm;
}

void vm_free(Vm *vm)
{
    if (!vm) {
        return;
    }
    g_assert(vm->vcpus->len == 0); /* cpus_destroy() comes first */
    vm_run_free(vm->run);
    vmstate_registry_free(vm->vmstate);
    g_ptr_array_unref(vm->vcpus);
    memory_map_free(vm->map);
    ram_list_done(&vm->ram);
    g_free(vm->machine_name);
    g_free(vm->name);
    g_free(vm);
}
