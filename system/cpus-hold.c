/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keep vCPUs out of guest mode for the length of a change: a memory slot that
 * goes away and comes back in pieces would be a hole for a vCPU that runs
 * meanwhile, and what it writes between the last fetch of the dirty log and
 * the removal would be in no log.
 *
 * A pause (cpus_pause_all) cannot serve: it belongs to the run state, and a
 * vCPU cannot wait for itself, while the one that wrote to a device's register
 * is just the one that wants the change. So this is a second reason to stay
 * out, which vcpu_wait() asks for beside the pause.
 *
 * Who waits for the hold and is a vCPU itself (two of them wrote to registers
 * at once) counts as out: its thread is here, not in the guest. It does work
 * that others send it meanwhile, as vcpu_run_on() does.
 */
#include "system/cpus.h"

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "system/vm.h"

static bool all_out(const Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        if (vcpu->created && !vcpu->stopped && !vcpu->holds) {
            return false;
        }
    }
    return true;
}

static void wait_or_work(Vm *vm)
{
    Vcpu *self = vcpu_current();

    if (!self || !vcpu_do_work(self)) {
        big_lock_wait(&vm->run->cpu_cond);
    }
}

static void poke_all(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        if (vcpu->created && !vcpu->stopped && !vcpu->holds) {
            vcpu_poke(vcpu);
        }
    }
}

void cpus_hold_all(Vm *vm)
{
    VmRun *run = vm->run;
    Vcpu *self = vcpu_current();

    if (run->holder == g_thread_self()) {
        run->hold_depth++;
        return;
    }
    if (self) {
        self->holds = true;
        g_cond_broadcast(&run->cpu_cond); /* whoever waits for us need not */
    }
    ram_list_hurry(&vm->ram); /* a vCPU may be in a store that waits */
    while (run->holder) {
        wait_or_work(vm);
    }
    run->holder = g_thread_self();
    run->hold_depth = 1;
    poke_all(vm);
    while (!all_out(vm)) {
        wait_or_work(vm);
    }
    ram_list_unhurry(&vm->ram);
}

void cpus_release_all(Vm *vm)
{
    VmRun *run = vm->run;
    Vcpu *self = vcpu_current();

    g_assert(run->holder == g_thread_self()); /* a release without its hold */
    if (--run->hold_depth > 0) {
        return;
    }
    run->holder = NULL;
    if (self) {
        self->holds = false;
    }
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        g_cond_broadcast(&vcpu->wake);
    }
    g_cond_broadcast(&run->cpu_cond);
}
