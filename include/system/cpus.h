/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads: start, pause, kick, run a function on a vCPU. One thread per
 * vCPU; the loop is here, what runs the guest is the accelerator's
 * (accel/accel-ops.h).
 *
 * No wake-up is lost: whoever wants a vCPU out of guest mode sets a flag under
 * the big lock and then calls the accelerator's kick; the thread tests the
 * flags under the big lock before it enters guest mode, and a kick between
 * that test and the entry makes the entry return at once (immediate_exit).
 */
#ifndef SYSTEM_CPUS_H
#define SYSTEM_CPUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ramblock.h"

typedef struct Vm Vm;
typedef struct X86CpuState X86CpuState; /* target/i386/cpu-state.h */

typedef struct Vcpu {
    Vm *vm;
    unsigned index;
    GThread *thread;
    int thread_id;           /* of the host, for query-cpus-fast */
    void *accel;             /* the accelerator's part */
    X86CpuState *state;      /* valid while stopped and synchronised */
    /* Pages that this vCPU's stores made newly dirty for a client, while it
     * is on: counted by accelerators that know whose stores they were
     * (Accel.tells_writer). Atomic; run free. */
    uint64_t dirty_pages[DIRTY_CLIENT_MAX];
    bool created;            /* the rest: protected by the big lock */
    bool stop;               /* asked to pause */
    bool stopped;            /* is out of guest mode and waits */
    bool holds;              /* waits in, or owns, cpus_hold_all() */
    bool halted;             /* HLT without an interrupt controller's help */
    bool exit;               /* asked to end */
    gint64 kicked_ns;        /* when it was asked to pause; monotonic clock */
    gint64 stop_ns;          /* how long it took to stop, last time */
    GCond wake;              /* of the thread */
    GQueue work;             /* of closures, see vcpu_run_on() */
    bool woken;              /* since it last entered guest mode */
    gint64 throttled_until_us; /* monotonic clock */
    gint64 sleep_until_us;   /* by vcpu_sleep_until(); atomic */
} Vcpu;

/** cpus_create() - make @n vCPUs and their threads, stopped.
 *  Context: start-up, big lock (dropped while it waits for the threads).
 *  Errors: the accelerator's vcpu_new failed; all are gone again. */
bool cpus_create(Vm *vm, unsigned n, GError **error);

/** cpus_destroy() - end and join all threads. Context: big lock. */
void cpus_destroy(Vm *vm);

/** cpus_pause_all() - returns when all are out of guest mode.
 *  Context: big lock (dropped while it waits), not a vCPU thread.
 *  Returns: the longest wait of a vCPU in ns. */
gint64 cpus_pause_all(Vm *vm);

/** cpus_resume_all() - Context: big lock. */
void cpus_resume_all(Vm *vm);

/**
 * cpus_hold_all() - returns when no vCPU is in guest mode, but for the one
 * whose thread calls, which is at work for its guest and not in it either
 * The run state does not change and no observer hears of it: this is for a
 * change of the machine that the guest is not to see half done. One thread at
 * a time holds; it may hold again (each takes a release of its own) and keeps
 * the big lock from the return to the release.
 * Context: big lock, dropped while it waits: whatever the caller knew before
 *          must be looked at again. Any thread, a vCPU's in an exit too.
 */
void cpus_hold_all(Vm *vm);

/** cpus_release_all() - the vCPUs go on, as far as nobody has paused them.
 *  Context: big lock, the thread that holds. */
void cpus_release_all(Vm *vm);

/** cpus_kick_all() - make all leave guest mode once. Context: any thread. */
void cpus_kick_all(Vm *vm);

/** vcpu_run_on() - run @fn in the vCPU's thread, outside guest mode, with the
 *  big lock; returns when it has run. Context: big lock (dropped meanwhile). */
void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque),
                 void *opaque);

/** vcpu_current() - the vCPU of the calling thread, or NULL. */
Vcpu *vcpu_current(void);

/** vcpu_set_halted() - by whoever has an event for a halted CPU (false), by
 *  resets and by the incoming side. HLT itself is told by VCPU_EXIT_HALTED,
 *  which counts only if nobody called this with false since the vCPU entered
 *  guest mode. Context: big lock. */
void vcpu_set_halted(Vcpu *vcpu, bool halted);

/** cpus_sync_get() - fetch every vCPU's registers into vcpu->state
 *  cpus_sync_set() - push vcpu->state into the accelerator
 *  Context: big lock, all stopped. Errors: the accelerator's, with the
 *  vCPU's number. */
bool cpus_sync_get(Vm *vm, GError **error);
bool cpus_sync_set(Vm *vm, GError **error);

/**
 * cpus_set_throttle() - make every vCPU sleep this share of the time
 * @percent: 0 (off) to 99
 * Takes effect from the main loop; ends of sleeps are not waited for by
 * cpus_pause_all().
 * Context: any thread.
 */
void cpus_set_throttle(Vm *vm, unsigned percent);

/** cpus_throttle() - the percentage asked for last. Context: any thread. */
unsigned cpus_throttle(Vm *vm);

/**
 * vcpu_sleep_until() - this vCPU is out of guest mode until then
 * One sleep at a time: a new end replaces the old one. The throttle has its
 * own: the later end counts. Nobody waits for the end of a sleep, neither a
 * pause nor the end of the thread; it goes on over both, by the clock.
 * @until_us: monotonic clock; one that has passed lets the vCPU run, but does
 *           not wake it before the end that it knew when it fell asleep
 * Context: any thread, any lock.
 */
void vcpu_sleep_until(Vcpu *vcpu, gint64 until_us);

/** vcpu_end_sleep() - at once. Context: big lock. */
void vcpu_end_sleep(Vcpu *vcpu);

/** vcpu_stop_self() - the calling vCPU is not to run another instruction
 *  until cpus_resume_all(); not a vCPU thread: nothing. The requests of
 *  runstate.h do it. Context: any thread, with or without the big lock. */
void vcpu_stop_self(void);

#endif
