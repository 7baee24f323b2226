/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What system/ alone knows of a running machine: run state, requests to the
 * main loop, clock, interrupt lines, reset list. Behind vm->run. Everything
 * is protected by the big lock unless its comment says otherwise.
 */
#ifndef SYSTEM_VM_RUN_H
#define SYSTEM_VM_RUN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/cpus.h"
#include "system/irq.h"
#include "system/reset.h"
#include "system/runstate.h"

typedef struct Vm Vm;

typedef struct VmObserverEntry {
    VmObserver *fn;
    void *opaque;
} VmObserverEntry;

typedef struct VmResetEntry {
    VmResetFn *fn;
    void *opaque;
} VmResetEntry;

/* What threads asked the main loop to do; one flag each, since to ask twice
 * for the same before it was done is to ask once. Guarded by its own mutex,
 * which is innermost: nothing else is taken under it. */
typedef struct VmRequests {
    GMutex mutex;
    bool stop, reset, shutdown, powerdown, suspend;
    RunState stop_state;
    ShutdownCause reset_cause;
    ShutdownCause shutdown_cause;
    int exit_code;
    GSource *source;         /* ready while a request can be served */
} VmRequests;

/* The VM clock; own mutex, innermost. ns = base while it stands still,
 * base + (monotonic - since) while it goes. */
typedef struct VmClockState {
    GMutex mutex;
    int64_t base_ns;
    int64_t since_ns;        /* monotonic */
    bool going, manual;
} VmClockState;

typedef struct VmRun {
    int state;               /* RunState; atomic, written under the lock */
    bool was_suspended;
    bool to_stay;            /* see vm_note_stop() */
    gint64 first_start_ns;   /* of vm_start(), monotonic; 0: not yet */
    char *condemned;         /* why it can never run again, or NULL; atomic,
                                set once */
    bool changing;           /* somebody is between two run states ... */
    GCond changed;           /* ... and this tells when he is done */
    GArray *observers;       /* of VmObserverEntry */
    ShutdownCause cause;     /* of the event that is being told */
    bool no_reboot, no_shutdown;
    void (*powerdown)(void *opaque);
    void *powerdown_opaque;

    GArray *resets;          /* of VmResetEntry */
    VmRequests requests;
    bool ended;              /* leave the main loop ... */
    int exit_code;           /* ... with this status */

    GCond cpu_cond;          /* a vCPU stopped, was made, or did its work; a
                                hold began to wait or ended */
    GThread *holder;         /* of cpus_hold_all(), or NULL */
    unsigned hold_depth;
    GMutex throttle_mutex;   /* guards the three below; innermost */
    unsigned throttle_percent;
    GSource *throttle_tick;
    GSource *throttle_change;

    VmClockState clock;

    uint32_t irq_levels;     /* one bit per line */
    VmIrqSink *irq_sink;
    void *irq_opaque;
} VmRun;

G_STATIC_ASSERT(VM_GSI_MAX <= 32);

/** vcpu_poke() - make its thread look at its flags, wherever it is;
 *  vcpu_do_work() - what others sent to this thread's vCPU. Returns: whether
 *  there was any. Context: big lock. */
void vcpu_poke(Vcpu *vcpu);
bool vcpu_do_work(Vcpu *vcpu);

/** vm_run_new(), vm_run_free() - vm->run in state prelaunch, and its end */
VmRun *vm_run_new(Vm *vm);
void vm_run_free(VmRun *run);

/** vm_notify() - tell the observers; @cause: for vm_event_cause(). */
void vm_notify(Vm *vm, VmEvent event, ShutdownCause cause);

/** vm_clock_go() - let the clock run or stand still. */
void vm_clock_go(Vm *vm, bool go);

/** vm_requests_init(), _done() - the source in the default main context */
void vm_requests_init(Vm *vm, VmRequests *requests);
void vm_requests_done(VmRequests *requests);

/** vm_requests_take_guest() - the guest's own reset and suspend that nobody
 *  has served yet; they are gone from the queue then. Context: any thread. */
void vm_requests_take_guest(Vm *vm, bool *ret_reset, bool *ret_suspend,
                            ShutdownCause *ret_cause);

/** cpus_throttle_done() - remove the throttle's sources. */
void cpus_throttle_done(VmRun *run);

#endif
