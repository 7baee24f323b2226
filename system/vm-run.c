/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Life and death of the run half's private part, and its small settings.
 */
#include "system/vm-run.h"

#include "system/vm.h"

VmRun *vm_run_new(Vm *vm)
{
    VmRun *run = g_new0(VmRun, 1);

    run->state = RUN_STATE_PRELAUNCH;
    g_cond_init(&run->changed);
    g_cond_init(&run->cpu_cond);
    g_mutex_init(&run->throttle_mutex);
    g_mutex_init(&run->clock.mutex);
    run->observers = g_array_new(FALSE, FALSE, sizeof(VmObserverEntry));
    run->resets = g_array_new(FALSE, FALSE, sizeof(VmResetEntry));
    vm_requests_init(vm, &run->requests);
    return run;
}

void vm_run_free(VmRun *run)
{
    vm_requests_done(&run->requests);
    cpus_throttle_done(run);
    g_free(run->condemned);
    g_array_unref(run->resets);
    g_array_unref(run->observers);
    g_mutex_clear(&run->clock.mutex);
    g_mutex_clear(&run->throttle_mutex);
    g_cond_clear(&run->cpu_cond);
    g_cond_clear(&run->changed);
    g_free(run);
}

void vm_set_end_actions(Vm *vm, bool no_reboot, bool no_shutdown)
{
    vm->run->no_reboot = no_reboot;
    vm->run->no_shutdown = no_shutdown;
}

void vm_on_powerdown(Vm *vm, void (*fn)(void *opaque), void *opaque)
{
    vm->run->powerdown = fn;
    vm->run->powerdown_opaque = opaque;
}
