/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run state: the table of legal changes, the observers, and the changes
 * that involve the vCPUs (start, stop, wake-up).
 *
 * Only one change is under way at a time, because a stop drops the big lock
 * while it waits for the vCPUs: a "cont" that arrives in that window waits
 * until the stop is whole and then finds the state it left.
 */
#include "system/runstate.h"

#include "system/big-lock.h"
#include "system/vm-run.h"
#include "system/vm.h"
#include "trace/run.h"
#include "util/error.h"

#define S(name) (1u << RUN_STATE_##name)

/* Where a machine that does not run may always go: it may be started over
 * (prelaunch), sent elsewhere, or found broken. */
#define S_COMMON (S(PRELAUNCH) | S(FINISH_MIGRATE) | S(INTERNAL_ERROR))
/* Where an incoming machine ends up: any state its source can have had. */
#define S_ARRIVAL (S(PAUSED) | S(RUNNING) | S(SUSPENDED) | S(SHUTDOWN) | \
                   S(IO_ERROR) | S(WATCHDOG) | S(GUEST_PANICKED) | \
                   S(POSTMIGRATE) | S(COLO))
/* Why a live machine stops. */
#define S_STOPS (S(PAUSED) | S(DEBUG) | S(IO_ERROR) | S(SHUTDOWN) | \
                 S(WATCHDOG) | S(GUEST_PANICKED) | S(SAVE_VM) | \
                 S(RESTORE_VM) | S(COLO))

/* From a state to the set of its successors. */
static const uint32_t successors[] = {
    [RUN_STATE_DEBUG] = S_COMMON | S(RUNNING) | S(SUSPENDED),
    [RUN_STATE_INMIGRATE] = S_COMMON | S_ARRIVAL,
    [RUN_STATE_INTERNAL_ERROR] =
        S(PAUSED) | S(PRELAUNCH) | S(FINISH_MIGRATE),
    [RUN_STATE_IO_ERROR] = S_COMMON | S(RUNNING) | S(SUSPENDED),
    [RUN_STATE_PAUSED] =
        S_COMMON | S(RUNNING) | S(SUSPENDED) | S(POSTMIGRATE) | S(COLO),
    [RUN_STATE_POSTMIGRATE] = S_COMMON | S(RUNNING) | S(SUSPENDED),
    [RUN_STATE_PRELAUNCH] =
        S_COMMON | S(RUNNING) | S(SUSPENDED) | S(INMIGRATE),
    [RUN_STATE_FINISH_MIGRATE] = S_COMMON | S_ARRIVAL,
    [RUN_STATE_RESTORE_VM] =
        S(RUNNING) | S(SUSPENDED) | S(PRELAUNCH) | S(INTERNAL_ERROR),
    [RUN_STATE_RUNNING] = S_STOPS | S(SUSPENDED) | S(FINISH_MIGRATE) |
        S(INTERNAL_ERROR),
    [RUN_STATE_SAVE_VM] = S(RUNNING) | S(SUSPENDED) | S(INTERNAL_ERROR),
    [RUN_STATE_SHUTDOWN] = S_COMMON | S(PAUSED) | S(COLO),
    [RUN_STATE_SUSPENDED] = S_COMMON | S_STOPS | S(RUNNING),
    [RUN_STATE_WATCHDOG] = S_COMMON | S(RUNNING) | S(SUSPENDED) | S(COLO),
    [RUN_STATE_GUEST_PANICKED] = S_COMMON | S(RUNNING) | S(SUSPENDED),
    [RUN_STATE_COLO] = S(RUNNING) | S(PRELAUNCH) | S(INTERNAL_ERROR) |
        S(SHUTDOWN),
};

G_STATIC_ASSERT(G_N_ELEMENTS(successors) == RUN_STATE__MAX);

bool runstate_can_change(RunState from, RunState to)
{
    if (from < 0 || from >= RUN_STATE__MAX || to < 0 || to >= RUN_STATE__MAX) {
        return false;
    }
    return from == to || (successors[from] >> to & 1);
}

RunState runstate_get(const Vm *vm)
{
    return __atomic_load_n(&vm->run->state, __ATOMIC_RELAXED);
}

bool runstate_is_running(const Vm *vm)
{
    return runstate_get(vm) == RUN_STATE_RUNNING;
}

/* Running, or asleep in S3: the states a stop stops. */
static bool runstate_is_live(const Vm *vm)
{
    RunState state = runstate_get(vm);

    return state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED;
}

bool runstate_set(Vm *vm, RunState state)
{
    RunState from = runstate_get(vm);

    if (!runstate_can_change(from, state)) {
        trace_runstate_refuse(from, state);
        return false;
    }
    trace_runstate_set(from, state);
    __atomic_store_n(&vm->run->state, state, __ATOMIC_RELAXED);
    /* A reset may have waited for the end of a migration. */
    g_main_context_wakeup(NULL);
    return true;
}

void vm_change_begin(Vm *vm)
{
    g_assert(!vcpu_current()); /* it would wait for itself */
    while (vm->run->changing) {
        big_lock_wait(&vm->run->changed);
    }
    vm->run->changing = true;
}

void vm_change_end(Vm *vm)
{
    vm->run->changing = false;
    g_cond_broadcast(&vm->run->changed);
}

void vm_observe(Vm *vm, VmObserver *fn, void *opaque)
{
    VmObserverEntry entry = { fn, opaque };

    g_array_append_val(vm->run->observers, entry);
}

void vm_notify(Vm *vm, VmEvent event, ShutdownCause cause)
{
    GArray *observers = vm->run->observers;

    trace_vm_event(event, cause);
    vm->run->cause = cause;
    for (guint i = 0; i < observers->len; i++) {
        VmObserverEntry *o = &g_array_index(observers, VmObserverEntry, i);

        o->fn(vm, event, o->opaque);
    }
}

ShutdownCause vm_event_cause(const Vm *vm)
{
    return vm->run->cause;
}

void vm_start_changing(Vm *vm)
{
    VmRun *run = vm->run;
    RunState state =
        run->was_suspended ? RUN_STATE_SUSPENDED : RUN_STATE_RUNNING;

    if (!runstate_is_live(vm) && !vm_condemned(vm) &&
        runstate_set(vm, state)) {
        run->was_suspended = false;
        vm_clock_go(vm, true);
        vm_notify(vm, VM_EVENT_RESUME, SHUTDOWN_CAUSE_NONE);
        if (!run->first_start_ns) {
            run->first_start_ns = g_get_monotonic_time() * 1000;
        }
        if (state == RUN_STATE_RUNNING) {
            cpus_resume_all(vm);
        }
    }
}

void vm_start(Vm *vm)
{
    vm_change_begin(vm);
    vm_start_changing(vm);
    vm_change_end(vm);
}

void vm_condemn(Vm *vm, const char *reason)
{
    char *copy = g_strdup(reason), *none = NULL;

    if (!__atomic_compare_exchange_n(&vm->run->condemned, &none, copy, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        g_free(copy);
    }
    trace_vm_condemn(reason);
    ram_list_lose(&vm->ram);
    /* After the flag: who is kicked finds it before it enters again. */
    cpus_kick_all(vm);
}

const char *vm_condemned(const Vm *vm)
{
    return __atomic_load_n(&vm->run->condemned, __ATOMIC_SEQ_CST);
}

int64_t vm_first_start_ns(const Vm *vm)
{
    return vm->run->first_start_ns;
}

/* What the guest asked for before it was stopped must not get lost: nobody
 * would know of it where it goes on. */
static void serve_guest_stopped(Vm *vm)
{
    g_autoptr(GError) error = NULL;
    ShutdownCause cause;
    bool reset, suspend;

    vm_requests_take_guest(vm, &reset, &suspend, &cause);
    if (reset) {
        vm->run->was_suspended = false;
        if (!vm_reset(vm, false, &error)) {
            trace_vm_reset_fail(error->message);
            runstate_set(vm, RUN_STATE_INTERNAL_ERROR);
        }
        vm_notify(vm, VM_EVENT_RESET, cause);
    } else if (suspend) {
        vm->run->was_suspended = true;
        vm_notify(vm, VM_EVENT_SUSPEND, SHUTDOWN_CAUSE_NONE);
    }
}

static gint64 stop_live(Vm *vm, RunState state)
{
    bool suspended = runstate_get(vm) == RUN_STATE_SUSPENDED;
    gint64 longest_ns;

    if (!runstate_set(vm, state)) {
        return 0;
    }
    vm->run->was_suspended = suspended;
    longest_ns = cpus_pause_all(vm);
    serve_guest_stopped(vm);
    vm_clock_go(vm, false);
    vm_notify(vm, VM_EVENT_STOP, SHUTDOWN_CAUSE_NONE);
    return longest_ns;
}

gint64 vm_stop_changing(Vm *vm, RunState state)
{
    vm->run->to_stay = false;
    if (runstate_is_live(vm)) {
        return stop_live(vm, state);
    }
    if (runstate_can_change(runstate_get(vm), state)) {
        runstate_set(vm, state);
    }
    return 0;
}

gint64 vm_stop(Vm *vm, RunState state)
{
    gint64 longest_ns;

    vm_change_begin(vm);
    longest_ns = vm_stop_changing(vm, state);
    vm_change_end(vm);
    return longest_ns;
}

static bool wakeup_suspended(Vm *vm, GError **error)
{
    if (runstate_get(vm) != RUN_STATE_SUSPENDED) {
        tm_error_set(error, "cannot wake up: the guest is not suspended");
        return false;
    }
    if (!vm_reset(vm, true, error)) {
        runstate_set(vm, RUN_STATE_INTERNAL_ERROR);
        return false;
    }
    runstate_set(vm, RUN_STATE_RUNNING);
    vm_notify(vm, VM_EVENT_WAKEUP, SHUTDOWN_CAUSE_NONE);
    cpus_resume_all(vm);
    return true;
}

bool vm_wakeup(Vm *vm, GError **error)
{
    bool ok;

    vm_change_begin(vm);
    ok = wakeup_suspended(vm, error);
    vm_change_end(vm);
    return ok;
}

void vm_note_stop(Vm *vm)
{
    vm->run->to_stay = true;
}

bool vm_is_to_stay(const Vm *vm)
{
    return vm->run->to_stay;
}

bool vm_was_suspended(const Vm *vm)
{
    return vm->run->was_suspended;
}

void vm_set_was_suspended(Vm *vm, bool suspended)
{
    vm->run->was_suspended = suspended;
}
