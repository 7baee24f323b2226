/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads against an accelerator that only counts: no wake-up is lost,
 * nobody runs while paused, work runs where it should.
 */
#include <glib.h>
#include <signal.h>

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "tests/unit/fake-threads.h"
#include "tests/unit/fake-vm.h"

static Vm *running_vm(unsigned n)
{
    Vm *vm = fake_vm_new();

    g_assert_true(cpus_create(vm, n, NULL));
    vm_start(vm);
    g_assert_true(runstate_is_running(vm));
    return vm;
}

static void assert_nobody_runs(Vm *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        g_assert_cmpint(fake_cpu(vm, i)->in_guest, ==, 0);
        g_assert_true(((Vcpu *)g_ptr_array_index(vm->vcpus, i))->stopped);
    }
}

static void test_create_starts_stopped(void)
{
    Vm *vm = fake_vm_new();
    Vcpu *vcpu;

    g_assert_true(cpus_create(vm, 3, NULL));
    g_assert_cmpuint(vm->vcpus->len, ==, 3);
    assert_nobody_runs(vm);
    vcpu = g_ptr_array_index(vm->vcpus, 2);
    g_assert_cmpuint(vcpu->index, ==, 2);
    g_assert_cmpint(vcpu->thread_id, >, 0);
    g_assert_cmpuint(fake_steps(vm, 2), ==, 0);
    g_assert_null(vcpu_current());
    fake_vm_free(vm);
}

static void test_create_fails_whole(void)
{
    Vm *vm = fake_vm_new();
    g_autoptr(GError) error = NULL;

    fake_fail_vcpu = 0;
    g_assert_false(cpus_create(vm, 2, &error));
    g_assert_cmpstr(error->message, ==, "vCPU 0: no more vCPUs");
    g_assert_cmpuint(vm->vcpus->len, ==, 0);
    fake_fail_vcpu = -1;
    g_assert_true(cpus_create(vm, 1, NULL));
    fake_vm_free(vm);
}

static void test_pause_stops_and_resume_goes_on(void)
{
    Vm *vm = running_vm(2);
    uint64_t steps;

    fake_wait_steps(vm, 0, 10);
    fake_wait_steps(vm, 1, 10);
    g_assert_cmpint(cpus_pause_all(vm), >=, 0);
    assert_nobody_runs(vm);
    steps = fake_steps(vm, 1);
    big_unlock();
    g_usleep(2000);
    big_lock();
    g_assert_cmpuint(fake_steps(vm, 1), ==, steps);
    /* Again is harmless, and costs no time. */
    g_assert_cmpint(cpus_pause_all(vm), ==, 0);
    cpus_resume_all(vm);
    fake_wait_steps(vm, 0, 10);
    fake_wait_steps(vm, 1, 10);
    fake_vm_free(vm);
}

static void test_storm_loses_no_wakeup(void)
{
    Vm *vm = running_vm(3);
    gint64 begin_us = g_get_monotonic_time();
    gint64 longest_ns = 0;

    for (unsigned round = 0; round < 2000; round++) {
        gint64 ns = cpus_pause_all(vm);

        longest_ns = MAX(longest_ns, ns);
        assert_nobody_runs(vm);
        cpus_resume_all(vm);
        if (g_test_rand_int_range(0, 4) == 0) {
            big_unlock();
            g_usleep(g_test_rand_int_range(0, 50));
            big_lock();
        }
        if (round % 500 == 0) {
            fake_wait_steps(vm, round / 500 % 3, 1);
        }
    }
    g_test_message("2000 rounds in %" G_GINT64_FORMAT " us, longest stop %"
                   G_GINT64_FORMAT " us", g_get_monotonic_time() - begin_us,
                   longest_ns / 1000);
    g_assert_cmpint(longest_ns, >, 0);
    fake_vm_free(vm);
}

static void test_stop_time_counts_the_wait(void)
{
    Vm *vm = running_vm(1);
    gint64 before_us, waited_us, longest_ns;

    fake_wait_steps(vm, 0, 1);
    before_us = g_get_monotonic_time();
    longest_ns = cpus_pause_all(vm);
    waited_us = g_get_monotonic_time() - before_us;
    g_assert_cmpint(longest_ns, >, 0);
    g_assert_cmpint(longest_ns / 1000, <=, waited_us);
    g_assert_cmpint(((Vcpu *)vm->vcpus->pdata[0])->stop_ns, ==, longest_ns);
    fake_vm_free(vm);
}

/* ---- work ---- */

typedef struct Work {
    unsigned calls;
    Vcpu *target;     /* of a second call, from within the first */
} Work;

static void count_work(Vcpu *vcpu, void *opaque)
{
    Work *work = opaque;

    g_assert_true(vcpu_current() == vcpu);
    g_assert_true(big_lock_is_held());
    g_assert_cmpint(((FakeCpu *)vcpu->accel)->in_guest, ==, 0);
    work->calls++;
    if (work->target && work->target != vcpu) {
        vcpu_run_on(work->target, count_work, work);
    }
}

static gpointer storm_thread(gpointer opaque)
{
    Vm *vm = opaque;
    Work work = { 0 };

    for (unsigned i = 0; i < 500; i++) {
        big_lock();
        vcpu_run_on(vm->vcpus->pdata[i % vm->vcpus->len], count_work, &work);
        big_unlock();
        cpus_kick_all(vm);
    }
    g_assert_cmpuint(work.calls, ==, 500);
    return NULL;
}

static void test_work_runs_in_every_state(void)
{
    Vm *vm = running_vm(2);
    Vcpu *second = vm->vcpus->pdata[1];
    Work work = { 0 };

    vcpu_run_on(second, count_work, &work);
    g_assert_cmpuint(work.calls, ==, 1);
    cpus_pause_all(vm);
    vcpu_run_on(second, count_work, &work);
    g_assert_cmpuint(work.calls, ==, 2);
    assert_nobody_runs(vm);
    cpus_resume_all(vm);
    vcpu_set_halted(second, true);
    vcpu_run_on(second, count_work, &work);
    g_assert_cmpuint(work.calls, ==, 3);
    fake_vm_free(vm);
}

static void test_work_sends_work(void)
{
    Vm *vm = running_vm(2);
    Work work = { .target = vm->vcpus->pdata[1] };

    vcpu_run_on(vm->vcpus->pdata[0], count_work, &work);
    g_assert_cmpuint(work.calls, ==, 2);
    work.target = vm->vcpus->pdata[0];
    vcpu_run_on(vm->vcpus->pdata[0], count_work, &work);
    g_assert_cmpuint(work.calls, ==, 3);
    fake_vm_free(vm);
}

static void test_work_amid_pauses(void)
{
    Vm *vm = running_vm(2);
    GThread *threads[2];

    for (unsigned i = 0; i < 2; i++) {
        threads[i] = g_thread_new("storm", storm_thread, vm);
    }
    for (unsigned i = 0; i < 500; i++) {
        cpus_pause_all(vm);
        assert_nobody_runs(vm);
        cpus_resume_all(vm);
        big_unlock();
        g_thread_yield();
        big_lock();
    }
    big_unlock();
    g_thread_join(threads[0]);
    g_thread_join(threads[1]);
    big_lock();
    fake_wait_steps(vm, 0, 1);
    fake_vm_free(vm);
}

/* ---- halted, self-stopped, throttled ---- */

static void fake_exit_next(Vm *vm, unsigned index, VcpuExit why)
{
    __atomic_store_n(&fake_cpu(vm, index)->next_exit, why, __ATOMIC_SEQ_CST);
}

static void wait_for(bool *flag)
{
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

    while (!*flag) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        big_unlock();
        g_usleep(200);
        big_lock();
    }
}

static void test_halted_waits_for_an_event(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];

    fake_exit_next(vm, 0, VCPU_EXIT_HALTED);
    wait_for(&vcpu->halted);
    g_assert_false(vcpu->stopped);
    cpus_pause_all(vm);
    assert_nobody_runs(vm);
    cpus_resume_all(vm);
    g_assert_true(vcpu->halted);
    vcpu_set_halted(vcpu, false);
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_event_before_halt_is_not_lost(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    uint64_t steps;

    /* The vCPU cannot take the lock to fall asleep before the event. */
    fake_wait_steps(vm, 0, 1);
    steps = fake_steps(vm, 0);
    vcpu_set_halted(vcpu, false);
    fake_exit_next(vm, 0, VCPU_EXIT_HALTED);
    while (__atomic_load_n(&fake_cpu(vm, 0)->in_guest, __ATOMIC_SEQ_CST)) {
        g_usleep(100);
    }
    g_assert_cmpuint(fake_steps(vm, 0), >=, steps);
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_exit_stop_waits_for_resume(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];

    fake_wait_steps(vm, 0, 1);
    fake_exit_next(vm, 0, VCPU_EXIT_STOP);
    wait_for(&vcpu->stopped);
    g_assert_cmpint(cpus_pause_all(vm), ==, 0);
    cpus_resume_all(vm);
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

/* Run the main loop, on which the ticks are, for a while. */
static void spin_us(gint64 us)
{
    gint64 end = g_get_monotonic_time() + us;

    while (g_get_monotonic_time() < end) {
        if (!g_main_context_iteration(NULL, FALSE)) {
            big_unlock();
            g_usleep(500);
            big_lock();
        }
    }
}

/* Steps made in @us, with that throttle. */
static uint64_t steps_in(Vm *vm, unsigned percent, gint64 us)
{
    uint64_t from;

    cpus_set_throttle(vm, percent);
    g_assert_cmpuint(cpus_throttle(vm), ==, percent);
    spin_us(30000);
    from = fake_steps(vm, 0);
    spin_us(us);
    return fake_steps(vm, 0) - from;
}

static void test_throttle_slows_down(void)
{
    Vm *vm = running_vm(1);
    uint64_t full, slow, again;

    full = steps_in(vm, 0, 300000);
    slow = steps_in(vm, 80, 500000);
    again = steps_in(vm, 0, 300000);
    g_test_message("full %" G_GUINT64_FORMAT " slow %" G_GUINT64_FORMAT
                   " again %" G_GUINT64_FORMAT, full, slow, again);
    /* A share of 20 %, over 5/3 of the time; wide, for busy hosts. */
    g_assert_cmpuint(slow, <, (full + again) / 2 * 7 / 10);
    g_assert_cmpuint(slow, >, 0);
    fake_vm_free(vm);
}

/* Wait until the throttle has put the vCPU to sleep for a good while yet.
 * Returns: when it would wake up. */
static gint64 wait_for_sleep(const Vcpu *vcpu)
{
    gint64 deadline_us = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    gint64 until_us;

    while ((until_us = vcpu->throttled_until_us) <
           g_get_monotonic_time() + 500000) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
        spin_us(2000);
    }
    return until_us;
}

/*
 * Whether something ends a sleep shows by its being done before the sleep's
 * own end. A busy machine can be too slow for that, but not time after time.
 */
#define SLEEPS 30

static void test_pause_does_not_wait_for_the_sleep(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    bool before = false;

    cpus_set_throttle(vm, 99); /* sleeps of 990 ms */
    for (unsigned i = 0; i < SLEEPS && !before; i++) {
        gint64 until_us = wait_for_sleep(vcpu);

        cpus_pause_all(vm);
        before = g_get_monotonic_time() < until_us;
        cpus_resume_all(vm);
    }
    g_assert_true(before);
    fake_vm_free(vm);
}

static void test_throttle_off_ends_the_sleep(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    bool before = false;

    for (unsigned i = 0; i < SLEEPS && !before; i++) {
        gint64 until_us, deadline_us;
        uint64_t steps;

        cpus_set_throttle(vm, 99);
        until_us = wait_for_sleep(vcpu);
        deadline_us = until_us + 120 * G_USEC_PER_SEC;
        steps = fake_steps(vm, 0);
        cpus_set_throttle(vm, 0);
        while (fake_steps(vm, 0) < steps + 100) {
            g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
            spin_us(1000);
        }
        before = g_get_monotonic_time() < until_us;
    }
    g_assert_true(before);
    fake_vm_free(vm);
}

/* Out of the guest; nobody but the sleep keeps it there. */
static void wait_until_out(Vm *vm, unsigned index)
{
    gint64 deadline_us = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;

    while (__atomic_load_n(&fake_cpu(vm, index)->in_guest,
                           __ATOMIC_SEQ_CST)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
        spin_us(200);
    }
}

#define FAR_US (600 * G_USEC_PER_SEC)

static gpointer send_to_sleep(gpointer vcpu)
{
    vcpu_sleep_until(vcpu, g_get_monotonic_time() + FAR_US);
    return NULL;
}

/* One sleeps, by the order of a thread without the lock; the other runs. */
static void test_sleep_is_of_one_vcpu_and_ends_when_told(void)
{
    Vm *vm = running_vm(2);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    uint64_t steps;

    for (unsigned i = 0; i < 20; i++) {
        fake_wait_steps(vm, 0, 1);
        g_thread_join(g_thread_new("order", send_to_sleep, vcpu));
        wait_until_out(vm, 0);
        steps = fake_steps(vm, 0);
        fake_wait_steps(vm, 1, 100);
        g_assert_cmpuint(fake_steps(vm, 0), ==, steps);
        vcpu_end_sleep(vcpu);
        fake_wait_steps(vm, 0, 1);
    }
    fake_vm_free(vm);
}

/* Is vCPU 0 seen out of the guest before that? */
static bool is_out_before(Vm *vm, gint64 until_us)
{
    while (__atomic_load_n(&fake_cpu(vm, 0)->in_guest, __ATOMIC_SEQ_CST)) {
        if (g_get_monotonic_time() >= until_us) {
            return false;
        }
        spin_us(200);
    }
    return true;
}

static void test_sleep_ends_by_itself(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    gint64 sleep_us = 5000;
    uint64_t steps;

    for (unsigned i = 0; i < 20;) {
        gint64 until_us = g_get_monotonic_time() + sleep_us;

        vcpu_sleep_until(vcpu, until_us);
        if (!is_out_before(vm, until_us)) {
            sleep_us = MIN(sleep_us * 2, 10 * G_USEC_PER_SEC); /* we slept */
            continue;
        }
        i++;
        steps = fake_steps(vm, 0);
        fake_wait_steps(vm, 0, 1);
        g_assert_cmpint(g_get_monotonic_time(), >=, until_us);
        g_assert_cmpuint(fake_steps(vm, 0), >, steps);
    }
    /* An end in the past sends nobody to sleep. */
    vcpu_sleep_until(vcpu, g_get_monotonic_time() - 1);
    fake_wait_steps(vm, 0, 1);
    fake_vm_free(vm);
}

/* Ends that are replaced: by a later one before the first has come, and by
 * one that has passed. */
static void test_sleep_can_be_replaced(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    gint64 soon_us = g_get_monotonic_time() + 20000;
    uint64_t steps;

    vcpu_sleep_until(vcpu, soon_us);
    vcpu_sleep_until(vcpu, g_get_monotonic_time() + FAR_US);
    wait_until_out(vm, 0);
    steps = fake_steps(vm, 0);
    while (g_get_monotonic_time() < soon_us + 10000) {
        spin_us(1000);
    }
    g_assert_cmpuint(fake_steps(vm, 0), ==, steps);
    vcpu_end_sleep(vcpu);
    fake_wait_steps(vm, 0, 1);
    fake_vm_free(vm);
}

static void test_sleep_and_throttle_end_with_the_later(void)
{
    Vm *vm = running_vm(1);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    uint64_t steps;

    vcpu_sleep_until(vcpu, g_get_monotonic_time() + FAR_US);
    cpus_set_throttle(vm, 99);
    wait_for_sleep(vcpu);
    cpus_set_throttle(vm, 0);
    wait_until_out(vm, 0);
    steps = fake_steps(vm, 0);
    while (vcpu->throttled_until_us) {
        spin_us(1000);
    }
    spin_us(10000); /* awake by mistake, it would be seen, most times */
    g_assert_cmpuint(fake_steps(vm, 0), ==, steps);

    vcpu->throttled_until_us = g_get_monotonic_time() + FAR_US;
    vcpu_end_sleep(vcpu);
    spin_us(10000);
    g_assert_cmpuint(fake_steps(vm, 0), ==, steps);
    vcpu->throttled_until_us = 0;
    vcpu_end_sleep(vcpu);
    fake_wait_steps(vm, 0, 1);
    fake_vm_free(vm);
}

static void test_sleep_holds_up_neither_pause_nor_end(void)
{
    Vm *vm = running_vm(2);
    Vcpu *vcpu = vm->vcpus->pdata[0];
    gint64 begin_us = g_get_monotonic_time();
    uint64_t steps;

    vcpu_sleep_until(vcpu, begin_us + FAR_US);
    wait_until_out(vm, 0);
    cpus_pause_all(vm);
    g_assert_true(vcpu->stopped);
    cpus_resume_all(vm); /* and sleeps on */
    steps = fake_steps(vm, 0);
    fake_wait_steps(vm, 1, 100);
    g_assert_cmpuint(fake_steps(vm, 0), ==, steps);
    cpus_hold_all(vm);
    cpus_release_all(vm);
    fake_vm_free(vm);
    g_assert_cmpint(g_get_monotonic_time(), <, begin_us + FAR_US);
}

/* ---- the lock itself ---- */

typedef struct Waiter {
    int wants, has;    /* atomic */
} Waiter;

static gpointer wait_for_lock(gpointer opaque)
{
    Waiter *w = opaque;

    __atomic_store_n(&w->wants, 1, __ATOMIC_SEQ_CST);
    big_lock();
    __atomic_store_n(&w->has, 1, __ATOMIC_SEQ_CST);
    big_unlock();
    return NULL;
}

/* How often this thread got the lock while another one waited for it. */
static unsigned turns_of_the_greedy(void)
{
    Waiter w = { 0 };
    GThread *thread = g_thread_new("waiter", wait_for_lock, &w);
    unsigned turns = 0;

    while (!__atomic_load_n(&w.wants, __ATOMIC_SEQ_CST)) {
        g_thread_yield();
    }
    g_usleep(1000);
    while (!__atomic_load_n(&w.has, __ATOMIC_SEQ_CST)) {
        big_unlock();
        big_lock();
        turns++;
    }
    big_unlock();
    g_thread_join(thread);
    big_lock();
    return turns;
}

static void test_lock_goes_to_who_waits(void)
{
    unsigned greedy = 0;

    big_lock();
    for (unsigned i = 0; i < 100; i++) {
        greedy += turns_of_the_greedy() > 3;
    }
    big_unlock();
    /* Some waiters may have been late at the door; an unfair lock lets nearly
     * all of them wait for hundreds of turns. */
    g_assert_cmpuint(greedy, <, 20);
}

static int signals_open;

static void look_at_signals(Vcpu *vcpu, void *opaque)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    signals_open = !sigismember(&mask, SIGTERM) + !sigismember(&mask, SIGINT) +
                   !sigismember(&mask, SIGHUP) + !sigismember(&mask, SIGUSR1);
    g_assert_false(sigismember(&mask, SIGSEGV));
}

static void test_signals_stay_with_the_main_thread(void)
{
    Vm *vm = running_vm(1);
    sigset_t mask;

    vcpu_run_on(vm->vcpus->pdata[0], look_at_signals, NULL);
    g_assert_cmpint(signals_open, ==, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    g_assert_false(sigismember(&mask, SIGTERM));
    fake_vm_free(vm);
}

static void test_sync_names_the_vcpu(void)
{
    Vm *vm = running_vm(2);
    g_autoptr(GError) error = NULL;

    cpus_pause_all(vm);
    g_assert_true(cpus_sync_get(vm, NULL));
    g_assert_cmpint(fake_cpu(vm, 1)->gets, ==, 1);
    fake_refuse_state = true;
    g_assert_false(cpus_sync_set(vm, &error));
    g_assert_cmpstr(error->message, ==, "vCPU 0: registers refused");
    fake_refuse_state = false;
    fake_vm_free(vm);
}

static void test_no_thread_left(void)
{
    g_autoptr(GError) error = NULL;
    Vm *vm = fake_vm_new();

    fake_threads_lack = "CPU 1";
    g_assert_false(cpus_create(vm, 3, &error));
    fake_threads_lack = NULL;
    g_assert_cmpstr(error->message, ==, "vCPU 1: cannot make thread 'CPU 1': "
                    "Resource temporarily unavailable");
    g_assert_cmpuint(vm->vcpus->len, ==, 0);
    fake_vm_free(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/cpus/" path, fn)
    T("lock/goes-to-who-waits", test_lock_goes_to_who_waits);
    T("create/starts-stopped", test_create_starts_stopped);
    T("create/fails-whole", test_create_fails_whole);
    T("pause/stops-and-resume-goes-on", test_pause_stops_and_resume_goes_on);
    T("pause/storm-loses-no-wakeup", test_storm_loses_no_wakeup);
    T("pause/stop-time-counts-the-wait", test_stop_time_counts_the_wait);
    T("work/runs-in-every-state", test_work_runs_in_every_state);
    T("work/sends-work", test_work_sends_work);
    T("work/amid-pauses", test_work_amid_pauses);
    T("halted/waits-for-an-event", test_halted_waits_for_an_event);
    T("halted/event-before-is-not-lost", test_event_before_halt_is_not_lost);
    T("exit-stop/waits-for-resume", test_exit_stop_waits_for_resume);
    T("throttle/slows-down", test_throttle_slows_down);
    T("throttle/pause-does-not-wait", test_pause_does_not_wait_for_the_sleep);
    T("throttle/off-ends-the-sleep", test_throttle_off_ends_the_sleep);
    T("sleep/of-one-vcpu", test_sleep_is_of_one_vcpu_and_ends_when_told);
    T("sleep/ends-by-itself", test_sleep_ends_by_itself);
    T("sleep/can-be-replaced", test_sleep_can_be_replaced);
    T("sleep/later-end-counts", test_sleep_and_throttle_end_with_the_later);
    T("sleep/holds-nobody-up", test_sleep_holds_up_neither_pause_nor_end);
    T("signals/stay-with-main", test_signals_stay_with_the_main_thread);
    T("sync/names-the-vcpu", test_sync_names_the_vcpu);
    T("create/no-thread-left", test_no_thread_left);
    return g_test_run();
}
