/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run states: the table over all pairs; start, stop, suspend, wake-up, reset
 * and shutdown with the events they tell; requests from vCPU threads.
 */
#include <glib.h>
#include <string.h>

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "tests/unit/fake-vm.h"

/* What observers were told, one letter each; with the cause after R and X. */
static char told[64];
static ShutdownCause told_cause;

static void observe(Vm *vm, VmEvent event, void *opaque)
{
    static const char letters[] = {
        [VM_EVENT_STOP] = 'S', [VM_EVENT_RESUME] = 'R',
        [VM_EVENT_SUSPEND] = 'Z', [VM_EVENT_WAKEUP] = 'W',
        [VM_EVENT_RESET] = '!', [VM_EVENT_POWERDOWN] = 'P',
        [VM_EVENT_SHUTDOWN] = 'X',
    };
    size_t n = strlen(told);

    g_assert_true(big_lock_is_held());
    g_assert_cmpuint(n + 1, <, sizeof(told));
    told[n] = letters[event];
    told_cause = vm_event_cause(vm);
}

static void assert_told(const char *expected)
{
    g_assert_cmpstr(told, ==, expected);
    memset(told, 0, sizeof(told));
}

static unsigned resets, wakeup_resets;

static void count_reset(void *opaque, bool wakeup)
{
    resets++;
    wakeup_resets += wakeup;
}

static Vm *new_vm(unsigned cpus)
{
    Vm *vm = fake_vm_new();

    memset(told, 0, sizeof(told));
    resets = wakeup_resets = 0;
    g_assert_true(cpus_create(vm, cpus, NULL));
    vm_observe(vm, observe, NULL);
    vm_reset_register(vm, count_reset, NULL);
    return vm;
}

/* ---- the table ---- */

/* Written out once more, by hand: rows from, columns to, in QAPI's order:
 * debug inmigrate internal-error io-error paused postmigrate prelaunch
 * finish-migrate restore-vm running save-vm shutdown suspended watchdog
 * guest-panicked colo */
static const char *const legal[RUN_STATE__MAX] = {
    [RUN_STATE_DEBUG]          = "x.x...xx.x..x...",
    [RUN_STATE_INMIGRATE]      = ".xxxxxxx.x.xxxxx",
    [RUN_STATE_INTERNAL_ERROR] = "..x.x.xx........",
    [RUN_STATE_IO_ERROR]       = "..xx..xx.x..x...",
    [RUN_STATE_PAUSED]         = "..x.xxxx.x..x..x",
    [RUN_STATE_POSTMIGRATE]    = "..x..xxx.x..x...",
    [RUN_STATE_PRELAUNCH]      = ".xx...xx.x..x...",
    [RUN_STATE_FINISH_MIGRATE] = "..xxxxxx.x.xxxxx",
    [RUN_STATE_RESTORE_VM]     = "..x...x.xx..x...",
    [RUN_STATE_RUNNING]        = "x.xxx..xxxxxxxxx",
    [RUN_STATE_SAVE_VM]        = "..x......xx.x...",
    [RUN_STATE_SHUTDOWN]       = "..x.x.xx...x...x",
    [RUN_STATE_SUSPENDED]      = "x.xxx.xxxxxxxxxx",
    [RUN_STATE_WATCHDOG]       = "..x...xx.x..xx.x",
    [RUN_STATE_GUEST_PANICKED] = "..x...xx.x..x.x.",
    [RUN_STATE_COLO]           = "..x...x..x.x...x",
};

static void test_change_all_pairs(void)
{
    Vm *vm = new_vm(0);

    for (int from = 0; from < RUN_STATE__MAX; from++) {
        g_assert_cmpuint(strlen(legal[from]), ==, RUN_STATE__MAX);
        for (int to = 0; to < RUN_STATE__MAX; to++) {
            bool may = legal[from][to] == 'x';

            g_assert_cmpint(runstate_can_change(from, to), ==, may);
            vm->run->state = from;
            g_assert_cmpint(runstate_set(vm, to), ==, may);
            g_assert_cmpint(runstate_get(vm), ==, may ? to : from);
        }
    }
    g_assert_false(runstate_can_change(RUN_STATE_RUNNING, RUN_STATE__MAX));
    g_assert_false(runstate_can_change(RUN_STATE__MAX, RUN_STATE_RUNNING));
    fake_vm_free(vm);
}

/* ---- start and stop ---- */

static void test_start_stop_tell_once(void)
{
    Vm *vm = new_vm(2);

    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PRELAUNCH);
    vm_stop(vm, RUN_STATE_PAUSED); /* not running: nothing to stop */
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PRELAUNCH);
    assert_told("");
    vm_start(vm);
    vm_start(vm);
    assert_told("R");
    fake_wait_steps(vm, 1, 5);
    g_assert_cmpint(vm_stop(vm, RUN_STATE_PAUSED), >, 0);
    g_assert_cmpint(vm_stop(vm, RUN_STATE_PAUSED), ==, 0);
    assert_told("S");
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PAUSED);
    /* Stopped already: the state alone goes on. */
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_FINISH_MIGRATE);
    assert_told("");
    vm_start(vm);
    assert_told("R");
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_start_refused_after_internal_error(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    vm_stop(vm, RUN_STATE_INTERNAL_ERROR);
    vm_start(vm);
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_INTERNAL_ERROR);
    assert_told("RS");
    fake_vm_free(vm);
}

static bool is_out(Vm *vm, unsigned index)
{
    return ((Vcpu *)g_ptr_array_index(vm->vcpus, index))->stopped;
}

static gpointer condemn(gpointer opaque)
{
    vm_condemn(opaque, "first reason"); /* without the lock */
    return NULL;
}

/* Out at once, whoever asks them in; the run state is changed by who asks. */
static void test_condemned_never_runs_again(void)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    Vm *vm = new_vm(2);
    uint64_t steps;

    vm_start(vm);
    fake_wait_steps(vm, 0, 5);
    fake_wait_steps(vm, 1, 5);
    g_assert_cmpstr(vm_condemned(vm), ==, NULL);
    g_thread_join(g_thread_new("condemn", condemn, vm));
    vm_condemn(vm, "second reason");
    g_assert_cmpstr(vm_condemned(vm), ==, "first reason");
    while (!is_out(vm, 0) || !is_out(vm, 1)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        big_unlock();
        g_usleep(100);
        big_lock();
    }
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_RUNNING);
    vm_stop_request(vm, RUN_STATE_IO_ERROR);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_IO_ERROR);
    assert_told("RS");
    steps = fake_steps(vm, 0) + fake_steps(vm, 1);
    vm_start(vm);
    cpus_resume_all(vm);
    big_unlock();
    g_usleep(20000);
    big_lock();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_IO_ERROR);
    g_assert_cmpuint(fake_steps(vm, 0) + fake_steps(vm, 1), ==, steps);
    assert_told("");
    fake_vm_free(vm);
}

/* A vCPU that is stuck in an access to memory is out once it is let go. */
static void test_condemned_while_stuck(void)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    Vm *vm = new_vm(1);

    vm_start(vm);
    fake_wait_steps(vm, 0, 5);
    __atomic_store_n(&fake_cpu(vm, 0)->in_store, 1, __ATOMIC_SEQ_CST);
    vm_condemn(vm, "a reason");
    ram_list_hurry(&vm->ram); /* this is how the fake is let go */
    while (!is_out(vm, 0)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        big_unlock();
        g_usleep(100);
        big_lock();
    }
    ram_list_unhurry(&vm->ram);
    fake_vm_free(vm);
}

static void test_stop_waits_its_turn(void)
{
    Vm *vm = new_vm(1);

    /* Another thread's stop waits until a change under way has ended. */
    vm_start(vm);
    vm_change_begin(vm);
    vm_stop_request(vm, RUN_STATE_PAUSED);
    g_assert_true(runstate_is_running(vm));
    vm_change_end(vm);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PAUSED);
    fake_vm_free(vm);
}

typedef void Order(Vm *vm);

typedef struct Orderer {
    Vm *vm;
    Order *order;
    bool begun;              /* under the big lock */
} Orderer;

static void order_stop(Vm *vm)
{
    vm_stop(vm, RUN_STATE_PAUSED);
}

static gpointer order_thread(gpointer opaque)
{
    Orderer *o = opaque;

    big_lock();
    o->begun = true;
    o->order(o->vm);
    big_unlock();
    return NULL;
}

/* Somebody stops the machine for a moment, drops the lock in between, and
 * lets it go on: what others ordered meanwhile is done after that. */
static void check_order_meets_a_pause(Order *order, RunState end,
                                      const char *events)
{
    Orderer o = { .vm = new_vm(1), .order = order };
    GThread *thread;

    vm_start(o.vm);
    vm_change_begin(o.vm);
    vm_stop_changing(o.vm, RUN_STATE_SAVE_VM);
    thread = g_thread_new("order", order_thread, &o);
    while (!o.begun) {
        big_unlock();
        g_usleep(100);
        big_lock();
    }
    g_assert_cmpint(runstate_get(o.vm), ==, RUN_STATE_SAVE_VM);
    assert_told("RS");
    vm_start_changing(o.vm);
    g_assert_true(runstate_is_running(o.vm));
    vm_change_end(o.vm);
    big_unlock();
    g_thread_join(thread);
    big_lock();
    g_assert_cmpint(runstate_get(o.vm), ==, end);
    assert_told(events);
    fake_vm_free(o.vm);
}

static void test_orders_wait_for_a_pause(void)
{
    check_order_meets_a_pause(order_stop, RUN_STATE_PAUSED, "RS");
    check_order_meets_a_pause(vm_start, RUN_STATE_RUNNING, "R");
}

static gpointer start_stop_thread(gpointer opaque)
{
    Vm *vm = opaque;

    for (unsigned i = 0; i < 300; i++) {
        big_lock();
        vm_stop(vm, i & 1 ? RUN_STATE_PAUSED : RUN_STATE_FINISH_MIGRATE);
        vm_start(vm);
        big_unlock();
    }
    return NULL;
}

static unsigned stops_seen, starts_seen;

static void count_balance(Vm *vm, VmEvent event, void *opaque)
{
    stops_seen += event == VM_EVENT_STOP;
    starts_seen += event == VM_EVENT_RESUME;
    /* Never two of the same in a row. */
    g_assert_cmpuint(starts_seen - stops_seen, <=, 1);
}

static void test_start_stop_from_two_threads(void)
{
    Vm *vm = fake_vm_new();
    GThread *threads[2];

    stops_seen = starts_seen = 0;
    g_assert_true(cpus_create(vm, 2, NULL));
    vm_observe(vm, count_balance, NULL);
    vm_start(vm);
    big_unlock();
    threads[0] = g_thread_new("a", start_stop_thread, vm);
    threads[1] = g_thread_new("b", start_stop_thread, vm);
    g_thread_join(threads[0]);
    g_thread_join(threads[1]);
    big_lock();
    g_assert_true(runstate_is_running(vm));
    fake_wait_steps(vm, 0, 1);
    fake_wait_steps(vm, 1, 1);
    fake_vm_free(vm);
}

/* ---- suspend ---- */

static void test_suspend_survives_stop(void)
{
    Vm *vm = new_vm(1);
    g_autoptr(GError) error = NULL;
    uint64_t steps;

    vm_start(vm);
    vm_suspend_request(vm);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_SUSPENDED);
    g_assert_false(runstate_is_running(vm));
    assert_told("RZ");
    vm_stop(vm, RUN_STATE_PAUSED);
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PAUSED);
    g_assert_true(vm_was_suspended(vm));
    g_assert_false(vm_wakeup(vm, &error));
    g_assert_nonnull(error);
    steps = fake_steps(vm, 0);
    vm_start(vm);
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_SUSPENDED);
    g_assert_false(vm_was_suspended(vm));
    assert_told("SR");
    g_assert_cmpuint(fake_steps(vm, 0), ==, steps);
    g_assert_true(vm_wakeup(vm, NULL));
    assert_told("W");
    g_assert_cmpuint(wakeup_resets, ==, 1);
    g_assert_cmpint(fake_cpu(vm, 0)->sets, ==, 1);
    g_assert_true(runstate_is_running(vm));
    fake_wait_steps(vm, 0, 5);
    fake_vm_free(vm);
}

static void test_arrives_suspended(void)
{
    Vm *vm = new_vm(1);

    runstate_set(vm, RUN_STATE_INMIGRATE);
    vm_set_was_suspended(vm, true);
    vm_start(vm);
    assert_told("R");
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_SUSPENDED);
    fake_vm_free(vm);
}

/* ---- reset ---- */

static void test_reset_running_goes_on(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    vm_reset_request(vm, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    fake_serve();
    assert_told("R!");
    g_assert_cmpint(told_cause, ==, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    g_assert_cmpuint(resets, ==, 1);
    g_assert_cmpuint(wakeup_resets, ==, 0);
    fake_wait_steps(vm, 0, 5);
    vm_stop(vm, RUN_STATE_PAUSED);
    vm_reset_request(vm, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_PRELAUNCH);
    fake_vm_free(vm);
}

static void test_reset_waits_for_migration(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    vm_reset_request(vm, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    fake_serve();
    g_assert_cmpuint(resets, ==, 0);
    runstate_set(vm, RUN_STATE_POSTMIGRATE);
    fake_serve();
    g_assert_cmpuint(resets, ==, 1);
    fake_vm_free(vm);
}

static void test_stop_serves_the_guests_requests(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    vm_reset_request(vm, SHUTDOWN_CAUSE_GUEST_RESET);
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    assert_told("R!S");
    g_assert_cmpuint(resets, ==, 1);
    fake_serve();
    g_assert_cmpuint(resets, ==, 1);
    vm_start(vm);
    vm_suspend_request(vm);
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    assert_told("RZS");
    g_assert_true(vm_was_suspended(vm));
    fake_vm_free(vm);
}

/* Only "finish-migrate" keeps a "cont" away from a guest that may go on
 * elsewhere: what stops it anew waits, and is not forgotten. */
static void test_stop_waits_for_migration(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    g_assert_false(vm_stop_is_asked(vm));
    vm_stop_request(vm, RUN_STATE_INTERNAL_ERROR);
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_FINISH_MIGRATE);
    g_assert_true(vm_stop_is_asked(vm));
    vm_start(vm);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_INTERNAL_ERROR);
    g_assert_false(vm_stop_is_asked(vm));
    fake_vm_free(vm);
}

static void test_shutdown_waits_for_migration(void)
{
    Vm *vm = new_vm(1);

    vm->run->no_shutdown = true;
    vm_start(vm);
    vm_shutdown_request(vm, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    vm_stop(vm, RUN_STATE_FINISH_MIGRATE);
    g_assert_true(vm_stop_is_asked(vm));
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_FINISH_MIGRATE);
    g_assert_true(vm_stop_is_asked(vm));
    vm_start(vm);
    fake_serve();
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_SHUTDOWN);
    fake_vm_free(vm);
}

static gpointer serve_thread(gpointer opaque)
{
    big_lock();
    fake_serve();
    big_unlock();
    return NULL;
}

/* The main loop finds the request, but before it can act the migration's
 * stop begins: whoever comes first serves it, and nobody in between. */
static void test_request_survives_a_stop_in_between(void)
{
    for (unsigned suspend = 0; suspend < 2; suspend++) {
        Vm *vm = new_vm(1);
        GThread *thread;

        vm_start(vm);
        if (suspend) {
            vm_suspend_request(vm);
        } else {
            vm_reset_request(vm, SHUTDOWN_CAUSE_GUEST_RESET);
        }
        vm_change_begin(vm);
        thread = g_thread_new("serve", serve_thread, vm);
        big_unlock();
        g_usleep(20000); /* if it is late, the test is easy, not wrong */
        big_lock();
        /* What a stop does once it has its turn. */
        runstate_set(vm, RUN_STATE_FINISH_MIGRATE);
        vm_change_end(vm);
        big_unlock();
        g_thread_join(thread);
        big_lock();
        assert_told("R");
        g_assert_cmpuint(resets, ==, 0);
        /* A reset waits; a suspend is dropped only by who runs no guest. */
        g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_FINISH_MIGRATE);
        if (!suspend) {
            runstate_set(vm, RUN_STATE_POSTMIGRATE);
            fake_serve();
            g_assert_cmpuint(resets, ==, 1);
        }
        fake_vm_free(vm);
    }
}

static void test_reset_refused_by_the_accelerator(void)
{
    Vm *vm = new_vm(1);

    vm_start(vm);
    fake_refuse_state = true;
    vm_reset_request(vm, SHUTDOWN_CAUSE_GUEST_RESET);
    fake_serve();
    fake_refuse_state = false;
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_INTERNAL_ERROR);
    fake_vm_free(vm);
}

/* ---- requests from a vCPU ---- */

typedef struct Ask {
    void (*fn)(Vm *vm);
    uint64_t steps;
} Ask;

static void ask_in_vcpu(Vcpu *vcpu, void *opaque)
{
    Ask *ask = opaque;

    ask->fn(vcpu->vm);
    ask->steps = ((FakeCpu *)vcpu->accel)->steps;
}

static void ask_suspend(Vm *vm)
{
    vm_suspend_request(vm);
}

static void ask_stop(Vm *vm)
{
    vm_stop_request(vm, RUN_STATE_INTERNAL_ERROR);
}

static void ask_reset(Vm *vm)
{
    vm_reset_request(vm, SHUTDOWN_CAUSE_GUEST_RESET);
}

static void test_request_stops_the_asking_vcpu(void)
{
    static const struct {
        void (*fn)(Vm *vm);
        const char *told;
        RunState state;
    } table[] = {
        { ask_suspend, "RZ", RUN_STATE_SUSPENDED },
        { ask_stop, "RS", RUN_STATE_INTERNAL_ERROR },
        { ask_reset, "R!", RUN_STATE_RUNNING },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Vm *vm = new_vm(2);
        Ask ask = { .fn = table[i].fn };

        vm_start(vm);
        vcpu_run_on(vm->vcpus->pdata[0], ask_in_vcpu, &ask);
        big_unlock();
        g_usleep(2000);
        big_lock();
        g_assert_cmpuint(fake_steps(vm, 0), ==, ask.steps);
        fake_serve();
        assert_told(table[i].told);
        g_assert_cmpint(runstate_get(vm), ==, table[i].state);
        if (table[i].state == RUN_STATE_RUNNING) {
            fake_wait_steps(vm, 0, 5);
        }
        fake_vm_free(vm);
    }
}

/* ---- the end ---- */

static gpointer shut_down(gpointer opaque)
{
    g_usleep(1000);
    vm_shutdown_request_with_code(opaque, SHUTDOWN_CAUSE_GUEST_SHUTDOWN, 7);
    return NULL;
}

static void test_main_loop_ends_with_status(void)
{
    Vm *vm = new_vm(1);
    GThread *thread;

    vm_start(vm);
    thread = g_thread_new("shut", shut_down, vm);
    g_assert_cmpint(vm_main_loop(vm), ==, 7);
    assert_told("RX");
    g_assert_cmpint(told_cause, ==, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    g_thread_join(thread);
    fake_vm_free(vm);
}

static void test_no_shutdown_stays(void)
{
    Vm *vm = new_vm(1);

    vm_set_end_actions(vm, false, true);
    vm_start(vm);
    vm_shutdown_request(vm, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    fake_serve();
    g_assert_false(vm->run->ended);
    assert_told("RXS");
    g_assert_cmpint(runstate_get(vm), ==, RUN_STATE_SHUTDOWN);
    vm_shutdown_request(vm, SHUTDOWN_CAUSE_HOST_SIGNAL);
    g_assert_cmpint(vm_main_loop(vm), ==, 0);
    fake_vm_free(vm);
}

static void test_no_reboot_ends(void)
{
    Vm *vm = new_vm(1);

    vm_set_end_actions(vm, true, false);
    vm_start(vm);
    vm_reset_request(vm, SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_cmpint(vm_main_loop(vm), ==, 0);
    assert_told("RX");
    g_assert_cmpint(told_cause, ==, SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_cmpuint(resets, ==, 0);
    fake_vm_free(vm);
}

static void press(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_powerdown_reaches_the_board(void)
{
    Vm *vm = new_vm(1);
    unsigned pressed = 0;

    vm_on_powerdown(vm, press, &pressed);
    vm_start(vm);
    vm_powerdown_request(vm);
    fake_serve();
    g_assert_cmpuint(pressed, ==, 1);
    assert_told("RP");
    g_assert_true(runstate_is_running(vm));
    fake_vm_free(vm);
}

/* ---- clock and lines ---- */

static void test_clock_stands_while_stopped(void)
{
    Vm *vm = new_vm(0);
    int64_t t;

    g_assert_cmpint(vm_clock_ns(vm), ==, 0);
    vm_start(vm);
    g_usleep(2000);
    t = vm_clock_ns(vm);
    g_assert_cmpint(t, >=, 2000000);
    vm_stop(vm, RUN_STATE_PAUSED);
    t = vm_clock_ns(vm);
    g_usleep(2000);
    g_assert_cmpint(vm_clock_ns(vm), ==, t);
    vm_clock_set_ns(vm, 1000);
    g_assert_cmpint(vm_clock_ns(vm), ==, 1000);
    vm_start(vm);
    g_assert_cmpint(vm_clock_ns(vm), <, t);
    fake_vm_free(vm);
}

static void test_clock_manual_moves_by_hand(void)
{
    Vm *vm = new_vm(0);

    vm_clock_set_manual(vm, true);
    g_assert_true(vm_clock_is_manual(vm));
    vm_start(vm);
    g_usleep(2000);
    g_assert_cmpint(vm_clock_ns(vm), ==, 0);
    vm_clock_set_ns(vm, 5000);
    g_assert_cmpint(vm_clock_ns(vm), ==, 5000);
    fake_vm_free(vm);
}

static uint32_t delivered, deliveries;

static void deliver(void *opaque, unsigned gsi, bool level)
{
    delivered = (delivered & ~(1u << gsi)) | (uint32_t)level << gsi;
    deliveries++;
}

static void test_irq_changes_reach_the_sink(void)
{
    Vm *vm = new_vm(0);

    delivered = deliveries = 0;
    vm_irq_set(vm, 4, true);
    g_assert_true(vm_irq_level(vm, 4));
    vm_irq_set_sink(vm, deliver, NULL);
    g_assert_cmphex(delivered, ==, 1u << 4);
    g_assert_cmpuint(deliveries, ==, VM_GSI_MAX);
    vm_irq_set(vm, 4, true); /* no change, no delivery */
    g_assert_cmpuint(deliveries, ==, VM_GSI_MAX);
    vm_irq_set(vm, 23, true);
    vm_irq_set(vm, 4, false);
    g_assert_cmphex(delivered, ==, 1u << 23);
    g_assert_cmpuint(deliveries, ==, VM_GSI_MAX + 2);
    delivered = 0;
    vm_irq_resync(vm);
    g_assert_cmphex(delivered, ==, 1u << 23);
    g_assert_false(vm_irq_level(vm, VM_GSI_MAX));
    fake_vm_free(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/runstate/" path, fn)
    T("change/all-pairs", test_change_all_pairs);
    T("start-stop/tell-once", test_start_stop_tell_once);
    T("start/refused-after-internal-error",
      test_start_refused_after_internal_error);
    T("condemn/never-runs-again", test_condemned_never_runs_again);
    T("condemn/while-stuck", test_condemned_while_stuck);
    T("stop/waits-its-turn", test_stop_waits_its_turn);
    T("start-stop/orders-wait-for-a-pause", test_orders_wait_for_a_pause);
    T("start-stop/from-two-threads", test_start_stop_from_two_threads);
    T("suspend/survives-stop", test_suspend_survives_stop);
    T("suspend/arrives-suspended", test_arrives_suspended);
    T("reset/running-goes-on", test_reset_running_goes_on);
    T("reset/waits-for-migration", test_reset_waits_for_migration);
    T("stop/serves-the-guests-requests", test_stop_serves_the_guests_requests);
    T("stop/waits-for-migration", test_stop_waits_for_migration);
    T("shutdown/waits-for-migration", test_shutdown_waits_for_migration);
    T("request/survives-a-stop-in-between",
      test_request_survives_a_stop_in_between);
    T("reset/refused-by-accelerator", test_reset_refused_by_the_accelerator);
    T("request/stops-the-asking-vcpu", test_request_stops_the_asking_vcpu);
    T("shutdown/main-loop-ends-with-status", test_main_loop_ends_with_status);
    T("shutdown/no-shutdown-stays", test_no_shutdown_stays);
    T("shutdown/no-reboot-ends", test_no_reboot_ends);
    T("powerdown/reaches-the-board", test_powerdown_reaches_the_board);
    T("clock/stands-while-stopped", test_clock_stands_while_stopped);
    T("clock/manual-moves-by-hand", test_clock_manual_moves_by_hand);
    T("irq/changes-reach-the-sink", test_irq_changes_reach_the_sink);
    return g_test_run();
}
