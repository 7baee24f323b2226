/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run state: what the machine as a whole is doing, which changes are
 * legal, and who is told. Observers run under the big lock in the thread that
 * made the change, in the order in which they were added: the monitor's (STOP,
 * RESUME, ... events), the clock's, devices'.
 */
#ifndef SYSTEM_RUNSTATE_H
#define SYSTEM_RUNSTATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi/qapi-types.h" /* RunState, ShutdownCause */

typedef struct Vm Vm;

typedef enum VmEvent {
    VM_EVENT_STOP,       /* vCPUs have stopped */
    VM_EVENT_RESUME,     /* vCPUs are about to run */
    VM_EVENT_SUSPEND,    /* entered S3 */
    VM_EVENT_WAKEUP,
    VM_EVENT_RESET,
    VM_EVENT_POWERDOWN,  /* the power button was pressed */
    VM_EVENT_SHUTDOWN,   /* the process will end (or stop, -no-shutdown) */
} VmEvent;

typedef void VmObserver(Vm *vm, VmEvent event, void *opaque);

/** vm_observe() - @fn must not start or stop the machine itself.
 *  Context: big lock, start-up. */
void vm_observe(Vm *vm, VmObserver *fn, void *opaque);

/** vm_event_cause() - why; of the RESET or SHUTDOWN that is being told to an
 *  observer. Context: in an observer. */
ShutdownCause vm_event_cause(const Vm *vm);

/** shutdown_cause_is_guest() - did the guest itself want it? */
bool shutdown_cause_is_guest(ShutdownCause cause);

/** runstate_get() - Context: any thread (atomic). */
RunState runstate_get(const Vm *vm);

/** runstate_is_running() - are the vCPUs meant to run? Context: any thread. */
bool runstate_is_running(const Vm *vm);

/**
 * runstate_set() - change it, without starting or stopping anything
 * An illegal change is a bug of ours and is refused with a trace event
 * (runstate_refuse), never an abort. To stay as it is is legal.
 * Context: big lock. Returns: false if illegal (nothing changed).
 */
bool runstate_set(Vm *vm, RunState state);

/** runstate_can_change() - the table, for tests and for runstate_set(). */
bool runstate_can_change(RunState from, RunState to);

/**
 * vm_start() - run the vCPUs: state becomes running (or suspended again, if
 * the machine was suspended when it was stopped); RESUME is told before the
 * first of them runs
 * Context: big lock (dropped while another change is under way), not a vCPU
 * thread. Running or suspended already, the state forbids it, or the guest is
 * condemned: nothing.
 */
void vm_start(Vm *vm);

/** vm_first_start_ns() - when that was done for the first time, by the host's
 *  monotonic clock; 0: never. Context: big lock. */
int64_t vm_first_start_ns(const Vm *vm);

/**
 * vm_condemn() - some of the guest's memory is lost: it never runs again
 * From here on vCPUs that are in guest mode leave it, none enters it, devices
 * hear nothing from them, guest memory cannot be read, and nothing starts the
 * machine. Whoever waits for bytes that cannot be had may be given others
 * afterwards: they do no harm. The run state does not change by this;
 * vm_stop_request() does that.
 * @reason: for people; the first one stays
 * Context: any thread, any lock; vCPUs may be stuck in an access to memory.
 */
void vm_condemn(Vm *vm, const char *reason);

/** vm_condemned() - Returns: why, or NULL. Context: any thread. */
const char *vm_condemned(const Vm *vm);

/**
 * vm_stop() - stop every vCPU and enter @state (paused, ...); returns when
 * all are out of guest mode and STOP was told
 * A suspended machine remembers that it was. A reset or suspend that the guest
 * asked for and nobody has served yet is served now, before STOP is told.
 * Not running: only the state changes, if that is legal; STOP is not told.
 * Context: big lock (dropped while it waits); not from a vCPU thread, which
 * uses vm_stop_request().
 * Returns: how long the slowest vCPU took to leave guest mode, in ns.
 */
gint64 vm_stop(Vm *vm, RunState state);

/**
 * vm_change_begin(), vm_change_end() - one change of the run state at a time
 * vm_start(), vm_stop(), a reset, a wake-up are one each. Who stops the machine
 * only to let it go on begins one and ends it after that, however often the
 * big lock is dropped in between: whoever else wants to start, stop or reset
 * it waits, and finds it as it was.
 * Context: big lock (dropped while another change is under way), not a vCPU
 * thread. Not recursive.
 */
void vm_change_begin(Vm *vm);
void vm_change_end(Vm *vm);

/** vm_start_changing(), vm_stop_changing() - vm_start() and vm_stop() within a
 *  change that has begun. Context: as there. */
void vm_start_changing(Vm *vm);
gint64 vm_stop_changing(Vm *vm, RunState state);

/**
 * vm_stop_request() and the others below - ask the main loop to do it
 * A vCPU thread that asks (but for powerdown) runs no further instruction
 * until it was done. A reset waits while a migration finishes or comes in, a
 * stop while one finishes.
 * Context: any thread, e.g. a device hook in a vCPU thread. Returns at once.
 */
void vm_stop_request(Vm *vm, RunState state);
void vm_reset_request(Vm *vm, ShutdownCause cause);
void vm_shutdown_request(Vm *vm, ShutdownCause cause);
void vm_shutdown_request_with_code(Vm *vm, ShutdownCause cause, int code);
void vm_powerdown_request(Vm *vm);
void vm_suspend_request(Vm *vm);

/**
 * vm_stop_is_asked() - has the guest stopped by itself, and nobody has served
 * it yet: an error, a panic, a shutdown, or a reset that is to be its end?
 * With all vCPUs stopped the answer is final.
 * Context: any thread.
 */
bool vm_stop_is_asked(Vm *vm);

/**
 * vm_note_stop() - a stop was asked for while the machine stands for a
 *                  migration, which may let it go on
 * vm_is_to_stay() - was it, since vm_stop() was called last?
 * Context: big lock.
 */
void vm_note_stop(Vm *vm);
bool vm_is_to_stay(const Vm *vm);

/** vm_wakeup() - leave S3: reset with RAM kept, then run.
 *  Context: big lock. Errors: the machine is not suspended. */
bool vm_wakeup(Vm *vm, GError **error);

/** vm_was_suspended() - stopped out of S3? Goes into the stream's
 *  globalstate. vm_set_was_suspended() is the incoming side's. */
bool vm_was_suspended(const Vm *vm);
void vm_set_was_suspended(Vm *vm, bool suspended);

/** vm_on_powerdown() - what the board does when the button is pressed.
 *  Context: start-up, big lock. */
void vm_on_powerdown(Vm *vm, void (*fn)(void *opaque), void *opaque);

/** vm_set_end_actions() - -no-reboot: a reset ends the process instead;
 *  -no-shutdown: a guest that powers off is stopped (state shutdown) and the
 *  process stays. Context: start-up. */
void vm_set_end_actions(Vm *vm, bool no_reboot, bool no_shutdown);

/**
 * vm_main_loop() - run the default main context until a shutdown was asked
 * for; handles the requests above
 * Context: main thread, big lock held.
 * Returns: the process's exit status.
 */
int vm_main_loop(Vm *vm);

#endif
