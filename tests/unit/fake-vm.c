/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine without memory; see fake-vm.h.
 */
#include "tests/unit/fake-vm.h"

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "util/error.h"

int fake_fail_vcpu = -1;
bool fake_refuse_state;

static bool fake_init(Accel *accel, Vm *vm, GError **error)
{
    return true;
}

static bool fake_vcpu_new(Vcpu *vcpu, GError **error)
{
    FakeCpu *cpu;

    if ((int)vcpu->index == fake_fail_vcpu) {
        tm_error_set(error, "no more vCPUs");
        return false;
    }
    cpu = g_new0(FakeCpu, 1);
    cpu->next_exit = -1;
    vcpu->accel = cpu;
    return true;
}

/* An exit that a device serves: out of the guest, under the big lock. */
static void fake_exit_to_hook(Vcpu *vcpu, FakeCpu *cpu)
{
    void (*hook)(Vcpu *) = __atomic_exchange_n(&cpu->hook, NULL,
                                               __ATOMIC_SEQ_CST);

    if (hook) {
        __atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
        big_lock();
        hook(vcpu);
        big_unlock();
        __atomic_store_n(&cpu->in_guest, 1, __ATOMIC_SEQ_CST);
    }
}

static bool is_hurried(Vcpu *vcpu)
{
    return __atomic_load_n(&vcpu->vm->ram.hurry, __ATOMIC_SEQ_CST) > 0;
}

static void note_hurry(Vcpu *vcpu)
{
    if (is_hurried(vcpu)) {
        __atomic_add_fetch(&((FakeCpu *)vcpu->accel)->hurried, 1,
                           __ATOMIC_SEQ_CST);
    }
}

/* A store that a kick does not end. */
static void fake_store(Vcpu *vcpu)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    while (!is_hurried(vcpu)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(50);
    }
    note_hurry(vcpu);
}

static VcpuExit fake_vcpu_run(Vcpu *vcpu)
{
    FakeCpu *cpu = vcpu->accel;
    int next = -1;

    if (big_lock_is_held()) {
        __atomic_add_fetch(&cpu->bad_entries, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&cpu->in_guest, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_exchange_n(&cpu->kicked, 0, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&cpu->steps, 1, __ATOMIC_RELAXED);
        fake_exit_to_hook(vcpu, cpu);
        next = __atomic_exchange_n(&cpu->next_exit, -1, __ATOMIC_SEQ_CST);
        if (next >= 0) {
            break;
        }
        g_thread_yield();
    }
    if (__atomic_load_n(&cpu->in_store, __ATOMIC_SEQ_CST)) {
        fake_store(vcpu);
    }
    __atomic_store_n(&cpu->in_guest, 0, __ATOMIC_SEQ_CST);
    return next >= 0 ? (VcpuExit)next : VCPU_EXIT_AGAIN;
}

static void fake_kick(Vcpu *vcpu)
{
    FakeCpu *cpu = vcpu->accel;

    __atomic_store_n(&cpu->kicked, 1, __ATOMIC_SEQ_CST);
}

static bool fake_get_state(Vcpu *vcpu, GError **error)
{
    __atomic_add_fetch(&((FakeCpu *)vcpu->accel)->gets, 1, __ATOMIC_RELAXED);
    note_hurry(vcpu);
    return true;
}

static bool fake_set_state(Vcpu *vcpu, GError **error)
{
    __atomic_add_fetch(&((FakeCpu *)vcpu->accel)->sets, 1, __ATOMIC_RELAXED);
    note_hurry(vcpu);
    if (fake_refuse_state) {
        tm_error_set(error, "registers refused");
    }
    return !fake_refuse_state;
}

const AccelOps fake_accel_ops = {
    .init = fake_init,
    .vcpu_new = fake_vcpu_new,
    .vcpu_run = fake_vcpu_run,
    .kick = fake_kick,
    .get_state = fake_get_state,
    .set_state = fake_set_state,
};

Vm *fake_vm_new(void)
{
    Vm *vm = g_new0(Vm, 1);

    vm->vcpus = g_ptr_array_new();
    vm->accel = g_new0(Accel, 1);
    vm->accel->ops = &fake_accel_ops;
    vm->accel->name = "fake";
    vm->run = vm_run_new(vm);
    big_lock_attach_main_loop();
    return vm;
}

void fake_vm_free(Vm *vm)
{
    g_autoptr(GPtrArray) cpus = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        g_assert_cmpint(fake_cpu(vm, i)->bad_entries, ==, 0);
        g_ptr_array_add(cpus, vcpu->accel);
    }
    cpus_destroy(vm);
    vm_run_free(vm->run);
    g_ptr_array_unref(vm->vcpus);
    g_free(vm->accel);
    g_free(vm);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
}

FakeCpu *fake_cpu(Vm *vm, unsigned index)
{
    Vcpu *vcpu = g_ptr_array_index(vm->vcpus, index);

    return vcpu->accel;
}

uint64_t fake_steps(Vm *vm, unsigned index)
{
    return __atomic_load_n(&fake_cpu(vm, index)->steps, __ATOMIC_RELAXED);
}

void fake_wait_steps(Vm *vm, unsigned index, uint64_t n)
{
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
    uint64_t from = fake_steps(vm, index);

    big_unlock();
    while (fake_steps(vm, index) < from + n) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(200);
    }
    big_lock();
}

void fake_serve(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}
