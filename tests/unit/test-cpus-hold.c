/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holding vCPUs out of guest mode: by the main thread, by vCPUs from an exit,
 * by all of them at once, beside pauses and work sent around.
 */
#include <glib.h>

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "tests/unit/fake-vm.h"

#define VCPUS 3

static unsigned holding;      /* threads between hold and release */
static unsigned held_rounds;  /* how often a vCPU held */

static void assert_out(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        g_assert_cmpint(__atomic_load_n(&fake_cpu(vm, i)->in_guest,
                                        __ATOMIC_SEQ_CST), ==, 0);
    }
}

static Vm *running_vm(unsigned n)
{
    Vm *vm = fake_vm_new();

    holding = held_rounds = 0;
    g_assert_true(cpus_create(vm, n, NULL));
    vm_start(vm);
    return vm;
}

static void test_main_thread_holds(void)
{
    Vm *vm = running_vm(VCPUS);

    for (unsigned round = 0; round < 300; round++) {
        cpus_hold_all(vm);
        assert_out(vm);
        cpus_hold_all(vm); /* nests */
        cpus_release_all(vm);
        g_usleep(g_test_rand_int_range(0, 20)); /* with the lock */
        assert_out(vm);
        cpus_release_all(vm);
        g_assert_true(runstate_is_running(vm));
    }
    for (unsigned i = 0; i < VCPUS; i++) {
        fake_wait_steps(vm, i, 5);
    }
    fake_vm_free(vm);
}

/* What a register of a device does that changes the map. */
static void hook_hold(Vcpu *vcpu)
{
    Vm *vm = vcpu->vm;

    cpus_hold_all(vm);
    g_assert_cmpuint(holding++, ==, 0);
    assert_out(vm);
    g_usleep(g_test_rand_int_range(0, 20));
    assert_out(vm);
    g_assert_cmpuint(--holding, ==, 0);
    held_rounds++;
    cpus_release_all(vm);
}

static void send_hook(Vm *vm, unsigned i, void (*hook)(Vcpu *vcpu))
{
    __atomic_store_n(&fake_cpu(vm, i)->hook, hook, __ATOMIC_SEQ_CST);
}

static void wait_rounds(Vm *vm, unsigned n)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    while (held_rounds < n) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        big_unlock();
        g_usleep(100);
        big_lock();
    }
}

static void test_vcpu_holds_from_an_exit(void)
{
    Vm *vm = running_vm(VCPUS);

    for (unsigned round = 0; round < 100; round++) {
        send_hook(vm, round % VCPUS, hook_hold);
        wait_rounds(vm, round + 1);
    }
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_all_vcpus_hold_at_once(void)
{
    Vm *vm = running_vm(VCPUS);

    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < VCPUS; i++) {
            send_hook(vm, i, hook_hold);
        }
        cpus_hold_all(vm);
        g_assert_cmpuint(holding, ==, 0);
        assert_out(vm);
        cpus_release_all(vm);
        wait_rounds(vm, (round + 1) * VCPUS);
    }
    fake_vm_free(vm);
}

/* A pause ends when the exit has, not when its hold begins. */
static void test_pause_waits_for_the_exit(void)
{
    Vm *vm = running_vm(VCPUS);

    for (unsigned round = 0; round < 100; round++) {
        send_hook(vm, round % VCPUS, hook_hold);
        cpus_pause_all(vm);
        g_assert_cmpuint(holding, ==, 0);
        assert_out(vm);
        cpus_resume_all(vm);
        wait_rounds(vm, round + 1);
    }
    fake_vm_free(vm);
}

static void hook_stay(Vcpu *vcpu)
{
    holding++;
    cpus_hold_all(vcpu->vm);
    holding--;
    held_rounds++;
    cpus_release_all(vcpu->vm);
}

static void count_work(Vcpu *vcpu, void *opaque)
{
    g_assert_true(vcpu_current() == vcpu);
    ++*(unsigned *)opaque;
}

/* Work reaches a vCPU that waits for a hold, and one that is held. */
static void test_work_reaches_everybody(void)
{
    Vm *vm = running_vm(VCPUS);
    unsigned calls = 0;

    cpus_hold_all(vm);
    for (unsigned i = 0; i < VCPUS; i++) {
        vcpu_run_on(g_ptr_array_index(vm->vcpus, i), count_work, &calls);
    }
    g_assert_cmpuint(calls, ==, VCPUS);
    assert_out(vm);
    cpus_release_all(vm);
    for (unsigned round = 0; round < 50; round++) {
        send_hook(vm, 1, hook_stay);
        cpus_hold_all(vm); /* dropped the lock: the hook may wait by now */
        vcpu_run_on(g_ptr_array_index(vm->vcpus, 1), count_work, &calls);
        assert_out(vm);
        cpus_release_all(vm);
        wait_rounds(vm, round + 1);
    }
    g_assert_cmpuint(calls, ==, VCPUS + 50);
    fake_vm_free(vm);
}

static void test_sleepers_are_held_at_once(void)
{
    Vm *vm = running_vm(2);

    __atomic_store_n(&fake_cpu(vm, 1)->next_exit, VCPU_EXIT_HALTED,
                     __ATOMIC_SEQ_CST);
    fake_wait_steps(vm, 0, 5);
    cpus_hold_all(vm);
    assert_out(vm);
    cpus_release_all(vm);
    cpus_pause_all(vm);
    cpus_hold_all(vm);
    assert_out(vm);
    cpus_release_all(vm);
    assert_out(vm); /* the pause stands */
    cpus_resume_all(vm);
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_without_vcpus_nothing_waits(void)
{
    Vm *vm = fake_vm_new();

    cpus_hold_all(vm);
    cpus_release_all(vm);
    fake_vm_free(vm);
}

#define T(path, fn) g_test_add_func("/cpus-hold/" path, fn)

/* ---- vCPUs that come out only if they are hurried ---- */

static void do_nothing(Vcpu *vcpu, void *opaque)
{
}

/* Each wait for a vCPU ends one that is in a store to frozen memory. */
static void test_waits_hurry(void)
{
    Vm *vm = running_vm(1);
    FakeCpu *cpu = fake_cpu(vm, 0);

    fake_wait_steps(vm, 0, 1);
    __atomic_store_n(&cpu->in_store, 1, __ATOMIC_SEQ_CST);
    for (int round = 1; round <= 3; round++) {
        fake_wait_steps(vm, 0, 1);
        if (round == 1) {
            cpus_pause_all(vm);
            cpus_resume_all(vm);
        } else if (round == 2) {
            cpus_hold_all(vm);
            cpus_release_all(vm);
        } else {
            vcpu_run_on(vm->vcpus->pdata[0], do_nothing, NULL);
        }
        g_assert_cmpint(cpu->hurried, ==, round);
        g_assert_cmpuint(vm->ram.hurry, ==, 0);
    }
    __atomic_store_n(&cpu->in_store, 0, __ATOMIC_SEQ_CST);
    cpus_pause_all(vm);
    cpu->hurried = 0;
    g_assert_true(cpus_sync_get(vm, NULL));
    g_assert_true(cpus_sync_set(vm, NULL));
    g_assert_cmpint(cpu->hurried, ==, 2);
    cpus_resume_all(vm);
    fake_wait_steps(vm, 0, 1);
    __atomic_store_n(&cpu->in_store, 1, __ATOMIC_SEQ_CST);
    fake_vm_free(vm); /* ends it, in its store */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    T("hold/main-thread", test_main_thread_holds);
    T("hold/vcpu-from-an-exit", test_vcpu_holds_from_an_exit);
    T("hold/all-at-once", test_all_vcpus_hold_at_once);
    T("hold/pause-waits-for-the-exit", test_pause_waits_for_the_exit);
    T("hold/work-reaches-everybody", test_work_reaches_everybody);
    T("hold/sleepers", test_sleepers_are_held_at_once);
    T("hurry/every-wait", test_waits_hurry);
    T("hold/no-vcpus", test_without_vcpus_nothing_waits);
    return g_test_run();
}
