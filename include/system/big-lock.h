/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The big lock: guards the board's devices, the memory map's changes, the run
 * state and the monitor's commands. The main thread holds it except while it
 * waits in poll (the main loop's poll function drops it); vCPU threads take
 * it to handle I/O exits; the migration thread takes it for syncs and the
 * switch-over. It is taken outside every other lock. Nobody holds it across
 * channel I/O or across KVM_RUN.
 */
#ifndef SYSTEM_BIG_LOCK_H
#define SYSTEM_BIG_LOCK_H

#include <glib.h>
#include <stdbool.h>

/** big_lock(), big_unlock() - not recursive. Context: any thread. */
void big_lock(void);
void big_unlock(void);

/** big_lock_is_held() - by the calling thread. */
bool big_lock_is_held(void);

/** big_lock_wait() - wait on @cond with the lock dropped meanwhile.
 *  Context: lock held. */
void big_lock_wait(GCond *cond);

/** big_lock_wait_until() - as above with g_get_monotonic_time() deadline.
 *  Returns: false if the deadline passed. */
bool big_lock_wait_until(GCond *cond, gint64 deadline_us);

/**
 * big_lock_attach_main_loop() - make the default main context drop the lock
 * while it polls
 * Context: main thread, which holds the lock from then on.
 */
void big_lock_attach_main_loop(void);

#endif
