/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slowing the vCPUs down: a tick on the main loop sends every running vCPU to
 * sleep for its share of the period. The vCPU sleeps in its own loop, on the
 * condition everybody else wakes it with, so a pause does not wait for the
 * sleep to end.
 */
#include "system/cpus.h"

#include "accel/accel-ops.h"
#include "system/big-lock.h"
#include "system/vm-run.h"
#include "system/vm.h"
#include "trace/run.h"

/* What a vCPU runs between two sleeps, at least: short against what a user
 * notices, long against the cost of an exit. */
#define RUN_SLICE_US 10000

static gint64 period_us(unsigned percent)
{
    return RUN_SLICE_US * 100 / (100 - percent);
}

static gboolean throttle_tick(gpointer opaque)
{
    Vm *vm = opaque;
    unsigned percent = cpus_throttle(vm);
    gint64 period = period_us(percent);
    gint64 until_us = g_get_monotonic_time() + period * percent / 100;

    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        if (!vcpu->stop && !vcpu->halted) {
            vcpu->sleep_until_us = until_us;
            vm->accel->ops->kick(vcpu);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void wake_all(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu->sleep_until_us = 0;
        g_cond_broadcast(&vcpu->wake);
    }
}

static void source_drop(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

/* On the main loop, under the big lock: the tick for the percentage of now. */
static gboolean throttle_change(gpointer opaque)
{
    Vm *vm = opaque;
    VmRun *run = vm->run;

    g_mutex_lock(&run->throttle_mutex);
    source_drop(&run->throttle_change);
    source_drop(&run->throttle_tick);
    if (run->throttle_percent) {
        run->throttle_tick =
            g_timeout_source_new(period_us(run->throttle_percent) / 1000);
        g_source_set_callback(run->throttle_tick, throttle_tick, vm, NULL);
        g_source_attach(run->throttle_tick, NULL);
    }
    g_mutex_unlock(&run->throttle_mutex);
    wake_all(vm);
    return G_SOURCE_REMOVE;
}

void cpus_set_throttle(Vm *vm, unsigned percent)
{
    VmRun *run = vm->run;

    percent = MIN(percent, 99);
    g_mutex_lock(&run->throttle_mutex);
    if (percent != run->throttle_percent) {
        trace_cpus_throttle(percent);
        run->throttle_percent = percent;
        if (!run->throttle_change) {
            run->throttle_change = g_idle_source_new();
            g_source_set_priority(run->throttle_change, G_PRIORITY_DEFAULT);
            g_source_set_callback(run->throttle_change, throttle_change, vm,
                                  NULL);
            g_source_attach(run->throttle_change, NULL);
        }
    }
    g_mutex_unlock(&run->throttle_mutex);
}

unsigned cpus_throttle(Vm *vm)
{
    VmRun *run = vm->run;
    unsigned percent;

    g_mutex_lock(&run->throttle_mutex);
    percent = run->throttle_percent;
    g_mutex_unlock(&run->throttle_mutex);
    return percent;
}

void cpus_throttle_done(VmRun *run)
{
    g_mutex_lock(&run->throttle_mutex);
    source_drop(&run->throttle_change);
    source_drop(&run->throttle_tick);
    g_mutex_unlock(&run->throttle_mutex);
}
