/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator without a guest: vCPUs have registers that are saved, loaded
 * and reset, and execute nothing. Memory is written by the qtest protocol,
 * which marks what it writes, so there is no log to fetch. The VM clock moves
 * only when it is told to.
 */
#include "accel/accel.h"

#include "system/vm.h"
#include "target/i386/cpu-spec.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

typedef struct QtestCpu {
    X86CpuState *state;
    GMutex mutex;
    GCond cond;
    bool kicked;       /* protected by the mutex */
} QtestCpu;

static void qtest_cpu_free(void *opaque)
{
    QtestCpu *cpu = opaque;

    x86_cpu_state_free(cpu->state);
    g_mutex_clear(&cpu->mutex);
    g_cond_clear(&cpu->cond);
    g_free(cpu);
}

static void qtest_close(Accel *accel)
{
    g_ptr_array_unref(accel->opaque);
}

static bool qtest_init(Accel *accel, Vm *vm, GError **error)
{
    if (accel->options) {
        keyval_get_str(accel->options, "accel");
        if (!keyval_check_unused(accel->options, "-accel qtest", error)) {
            accel->options_refused = true;
            return false;
        }
    }
    if (vm->cpu && vm->cpu->hv_evmcs) {
        tm_error_set(error, "-cpu: 'hv-evmcs' needs KVM");
        accel->options_refused = true;
        return false;
    }
    accel->opaque = g_ptr_array_new_with_free_func(qtest_cpu_free);
    accel->close = qtest_close;
    accel->dirty_mode = "none";
    accel->runs_guest = false;
    vm_clock_set_manual(vm, true);
    return true;
}

static bool qtest_vcpu_new(Vcpu *vcpu, GError **error)
{
    QtestCpu *cpu = g_new0(QtestCpu, 1);

    g_mutex_init(&cpu->mutex);
    g_cond_init(&cpu->cond);
    cpu->state = x86_cpu_state_new();
    if (vcpu->index > 0) {
        cpu->state->apic_base &= ~X86_APIC_BASE_BSP;
        x86_cpu_reset(cpu->state);
    }
    vcpu->state = cpu->state;
    vcpu->accel = cpu;
    g_ptr_array_add(vcpu->vm->accel->opaque, cpu);
    return true;
}

/* Waits for the next kick, or takes the one that came before. */
static VcpuExit qtest_vcpu_run(Vcpu *vcpu)
{
    QtestCpu *cpu = vcpu->accel;

    g_mutex_lock(&cpu->mutex);
    while (!cpu->kicked) {
        g_cond_wait(&cpu->cond, &cpu->mutex);
    }
    cpu->kicked = false;
    g_mutex_unlock(&cpu->mutex);
    return VCPU_EXIT_AGAIN;
}

static void qtest_kick(Vcpu *vcpu)
{
    QtestCpu *cpu = vcpu->accel;

    g_mutex_lock(&cpu->mutex);
    cpu->kicked = true;
    g_cond_signal(&cpu->cond);
    g_mutex_unlock(&cpu->mutex);
}

/* vcpu->state is all there is; nothing to fetch or push. */
static bool qtest_sync_state(Vcpu *vcpu, GError **error)
{
    return true;
}

const AccelOps accel_qtest_ops = {
    .init = qtest_init,
    .vcpu_new = qtest_vcpu_new,
    .vcpu_run = qtest_vcpu_run,
    .kick = qtest_kick,
    .get_state = qtest_sync_state,
    .set_state = qtest_sync_state,
};
