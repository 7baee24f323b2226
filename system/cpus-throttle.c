/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slowing the vCPUs down, in two ways that know nothing of each other: the
 * throttle, a tick on the main loop that sends every running vCPU to sleep for
 * its share of the period; and a sleep of one vCPU, which somebody orders for
 * reasons of his own. The vCPU sleeps in its own loop, on the condition
 * everybody else wakes it with, so a pause does not wait for the sleep to end.
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
            vcpu->throttled_until_us = until_us;
            vm->accel->ops->kick(vcpu);
        }
    }
    return G_SOURCE_CONTINUE;
}

static void wake_all(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        vcpu->throttled_until_us = 0;
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

/*
 * Without the big lock. Store, then kick: either the vCPU's next look at its
 * flags sees the new end, or that look is over and the kick ends the run that
 * follows it. One that sleeps already looks again when it wakes up, and is
 * spared the kick. Whether it sleeps is asked after the store: it may have
 * looked for the last time just before.
 */
void vcpu_sleep_until(Vcpu *vcpu, gint64 until_us)
{
    gint64 before_us = __atomic_exchange_n(&vcpu->sleep_until_us, until_us,
                                           __ATOMIC_SEQ_CST);
    gint64 now_us = g_get_monotonic_time();

    if (until_us > now_us && before_us <= now_us) {
        trace_vcpu_sleep(vcpu->index, until_us - now_us);
        vcpu->vm->accel->ops->kick(vcpu);
    }
}

void vcpu_end_sleep(Vcpu *vcpu)
{
    __atomic_store_n(&vcpu->sleep_until_us, 0, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&vcpu->wake);
}
