/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: what vCPU threads, signal handlers' sources and monitors ask the
 * main loop to do with the machine as a whole. Each is a flag; a source of
 * the default main context is ready while one is set that may be served now.
 */
#include "system/big-lock.h"
#include "system/runstate.h"
#include "system/vm-run.h"
#include "system/vm.h"
#include "trace/run.h"

typedef struct RequestSource {
    GSource source;
    Vm *vm;
} RequestSource;

/* A reset changes guest memory: not while it is on its way elsewhere, nor
 * while it comes in. The request waits. */
static bool may_reset(const Vm *vm)
{
    RunState state = runstate_get(vm);

    return state != RUN_STATE_FINISH_MIGRATE && state != RUN_STATE_INMIGRATE;
}

/* "finish-migrate" is all that keeps a "cont" or a reset away from a guest
 * that is on its way elsewhere. Why else it stands can wait. */
static bool may_stop(const Vm *vm)
{
    return runstate_get(vm) != RUN_STATE_FINISH_MIGRATE;
}

static bool requests_ready(Vm *vm)
{
    VmRequests *r = &vm->run->requests;
    bool ready;

    g_mutex_lock(&r->mutex);
    ready = r->shutdown || r->powerdown || r->suspend ||
            (r->stop && may_stop(vm)) ||
            (r->reset && (may_reset(vm) || vm->run->no_reboot));
    g_mutex_unlock(&r->mutex);
    return ready;
}

static void serve_shutdown(Vm *vm, ShutdownCause cause, int code)
{
    VmRun *run = vm->run;

    vm_notify(vm, VM_EVENT_SHUTDOWN, cause);
    if (run->no_shutdown && shutdown_cause_is_guest(cause)) {
        vm_stop_request(vm, RUN_STATE_SHUTDOWN);
        return;
    }
    run->ended = true;
    run->exit_code = code;
}

/* A guest's reset, suspend and stop are taken only when no other change is
 * under way: until then a migration that stops the guest may find them. */
static bool take_flag(Vm *vm, bool *flag)
{
    bool was;

    g_mutex_lock(&vm->run->requests.mutex);
    was = *flag;
    *flag = false;
    g_mutex_unlock(&vm->run->requests.mutex);
    return was;
}

static void serve_suspend(Vm *vm)
{
    vm_change_begin(vm);
    if (take_flag(vm, &vm->run->requests.suspend) &&
        runstate_is_running(vm)) {
        cpus_pause_all(vm);
        runstate_set(vm, RUN_STATE_SUSPENDED);
        vm_notify(vm, VM_EVENT_SUSPEND, SHUTDOWN_CAUSE_NONE);
    }
    vm_change_end(vm);
}

static void reset_now(Vm *vm, ShutdownCause cause)
{
    g_autoptr(GError) error = NULL;

    cpus_pause_all(vm);
    vm->run->was_suspended = false;
    if (!vm_reset(vm, false, &error)) {
        trace_vm_reset_fail(error->message);
        runstate_set(vm, RUN_STATE_INTERNAL_ERROR);
    } else if (!runstate_is_running(vm)) {
        runstate_set(vm, RUN_STATE_PRELAUNCH);
    }
    vm_notify(vm, VM_EVENT_RESET, cause);
    if (runstate_is_running(vm)) {
        cpus_resume_all(vm);
    }
}

static void serve_reset(Vm *vm, ShutdownCause cause)
{
    vm_change_begin(vm);
    if (may_reset(vm) && take_flag(vm, &vm->run->requests.reset)) {
        reset_now(vm, cause);
    }
    vm_change_end(vm);
}

static void serve_stop(Vm *vm)
{
    VmRequests *r = &vm->run->requests;
    RunState state;

    vm_change_begin(vm);
    g_mutex_lock(&r->mutex);
    state = r->stop_state;
    g_mutex_unlock(&r->mutex);
    if (may_stop(vm) && take_flag(vm, &r->stop)) {
        vm_stop_changing(vm, state);
    }
    vm_change_end(vm);
}

/* A vCPU that stopped itself for a request that came to nothing goes on. */
static void resume_leftovers(Vm *vm)
{
    vm_change_begin(vm);
    if (runstate_is_running(vm)) {
        cpus_resume_all(vm);
    }
    vm_change_end(vm);
}

static void serve_powerdown(Vm *vm)
{
    vm_notify(vm, VM_EVENT_POWERDOWN, SHUTDOWN_CAUSE_NONE);
    if (vm->run->powerdown) {
        vm->run->powerdown(vm->run->powerdown_opaque);
    }
}

/* What may be served now, as a copy of the flags; all but suspend, reset and
 * stop leave the queue. */
static void requests_take(Vm *vm, VmRequests *ret)
{
    VmRequests *r = &vm->run->requests;

    g_mutex_lock(&r->mutex);
    ret->shutdown = r->shutdown;
    ret->shutdown_cause = r->shutdown_cause;
    ret->exit_code = r->exit_code;
    ret->powerdown = r->powerdown;
    ret->suspend = r->suspend;
    ret->reset = r->reset;
    ret->reset_cause = r->reset_cause;
    r->shutdown = r->powerdown = false;
    if (r->reset && vm->run->no_reboot) {
        r->reset = ret->reset = false;
        if (!ret->shutdown) {
            ret->shutdown = true;
            ret->shutdown_cause = r->reset_cause;
            ret->exit_code = 0;
        }
    }
    g_mutex_unlock(&r->mutex);
}

static void requests_serve(Vm *vm)
{
    VmRequests r = { .shutdown = false };

    requests_take(vm, &r);
    if (r.suspend) {
        serve_suspend(vm);
    }
    if (r.shutdown) {
        serve_shutdown(vm, r.shutdown_cause, r.exit_code);
    }
    if (r.reset) {
        serve_reset(vm, r.reset_cause);
    }
    if (r.powerdown) {
        serve_powerdown(vm);
    }
    serve_stop(vm);
    resume_leftovers(vm);
}

void vm_requests_take_guest(Vm *vm, bool *ret_reset, bool *ret_suspend,
                            ShutdownCause *ret_cause)
{
    VmRequests *r = &vm->run->requests;

    g_mutex_lock(&r->mutex);
    *ret_reset = r->reset && !vm->run->no_reboot;
    *ret_suspend = r->suspend;
    *ret_cause = r->reset_cause;
    if (*ret_reset) {
        r->reset = false;
    }
    r->suspend = false;
    g_mutex_unlock(&r->mutex);
}

static gboolean source_prepare(GSource *source, gint *timeout_ms)
{
    *timeout_ms = -1;
    return requests_ready(((RequestSource *)source)->vm);
}

static gboolean source_check(GSource *source)
{
    return requests_ready(((RequestSource *)source)->vm);
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback,
                                gpointer opaque)
{
    requests_serve(((RequestSource *)source)->vm);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = {
    .prepare = source_prepare,
    .check = source_check,
    .dispatch = source_dispatch,
};

void vm_requests_init(Vm *vm, VmRequests *requests)
{
    g_mutex_init(&requests->mutex);
    requests->source = g_source_new(&source_funcs, sizeof(RequestSource));
    ((RequestSource *)requests->source)->vm = vm;
    g_source_set_name(requests->source, "vm-requests");
    g_source_attach(requests->source, NULL);
}

void vm_requests_done(VmRequests *requests)
{
    g_source_destroy(requests->source);
    g_clear_pointer(&requests->source, g_source_unref);
    g_mutex_clear(&requests->mutex);
}

void vm_stop_request(Vm *vm, RunState state)
{
    VmRequests *r = &vm->run->requests;

    vcpu_stop_self(); /* first: whoever serves it must find it stopping */
    g_mutex_lock(&r->mutex);
    r->stop = true;
    r->stop_state = state;
    g_mutex_unlock(&r->mutex);
    g_main_context_wakeup(NULL);
}

bool vm_stop_is_asked(Vm *vm)
{
    VmRequests *r = &vm->run->requests;
    bool asked;

    g_mutex_lock(&r->mutex);
    asked = r->stop || (r->reset && vm->run->no_reboot) ||
            (r->shutdown && shutdown_cause_is_guest(r->shutdown_cause));
    g_mutex_unlock(&r->mutex);
    return asked;
}

void vm_reset_request(Vm *vm, ShutdownCause cause)
{
    VmRequests *r = &vm->run->requests;

    vcpu_stop_self(); /* first: whoever serves it must find it stopping */
    g_mutex_lock(&r->mutex);
    r->reset = true;
    r->reset_cause = cause;
    g_mutex_unlock(&r->mutex);
    g_main_context_wakeup(NULL);
}

void vm_shutdown_request_with_code(Vm *vm, ShutdownCause cause, int code)
{
    VmRequests *r = &vm->run->requests;

    vcpu_stop_self(); /* first: whoever serves it must find it stopping */
    g_mutex_lock(&r->mutex);
    /* The host's word to end stands against a guest's to pause. */
    if (!r->shutdown || !shutdown_cause_is_guest(cause)) {
        r->shutdown = true;
        r->shutdown_cause = cause;
        r->exit_code = code;
    }
    g_mutex_unlock(&r->mutex);
    g_main_context_wakeup(NULL);
}

void vm_shutdown_request(Vm *vm, ShutdownCause cause)
{
    vm_shutdown_request_with_code(vm, cause, 0);
}

void vm_powerdown_request(Vm *vm)
{
    VmRequests *r = &vm->run->requests;

    g_mutex_lock(&r->mutex);
    r->powerdown = true;
    g_mutex_unlock(&r->mutex);
    g_main_context_wakeup(NULL);
}

void vm_suspend_request(Vm *vm)
{
    VmRequests *r = &vm->run->requests;

    vcpu_stop_self(); /* first: whoever serves it must find it stopping */
    g_mutex_lock(&r->mutex);
    r->suspend = true;
    g_mutex_unlock(&r->mutex);
    g_main_context_wakeup(NULL);
}

bool shutdown_cause_is_guest(ShutdownCause cause)
{
    switch (cause) {
    case SHUTDOWN_CAUSE_GUEST_SHUTDOWN:
    case SHUTDOWN_CAUSE_GUEST_RESET:
    case SHUTDOWN_CAUSE_GUEST_PANIC:
        return true;
    default:
        return false;
    }
}

int vm_main_loop(Vm *vm)
{
    while (!vm->run->ended) {
        g_main_context_iteration(NULL, TRUE);
    }
    return vm->run->exit_code;
}
