/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The big lock. Two mutexes make one fair lock: whoever wants it passes the
 * "door" first and lets go of the door once inside. A thread that waits
 * inside the door is therefore the next owner, and one that drops the lock
 * and wants it back at once (the main loop around poll, a vCPU that exits
 * often) queues behind it instead of overtaking it for ever.
 *
 * The door is taken outside the lock, never while it is held. A wait on a
 * condition comes back by the lock's own mutex alone.
 */
#include "system/big-lock.h"

#include "util/compiler.h"

static GMutex door;
static GMutex lock;
static __thread bool held;

/* The lock is this file's own: no caller could name it in an attribute. */
TSA_NO_ANALYSIS void big_lock(void)
{
    g_assert(!held); /* not recursive: our own bug */
    g_mutex_lock(&door);
    g_mutex_lock(&lock);
    g_mutex_unlock(&door);
    held = true;
}

TSA_NO_ANALYSIS void big_unlock(void)
{
    g_assert(held);
    held = false;
    g_mutex_unlock(&lock);
}

bool big_lock_is_held(void)
{
    return held;
}

void big_lock_wait(GCond *cond)
{
    g_assert(held);
    held = false;
    g_cond_wait(cond, &lock);
    held = true;
}

bool big_lock_wait_until(GCond *cond, gint64 deadline_us)
{
    bool signalled;

    g_assert(held);
    held = false;
    signalled = g_cond_wait_until(cond, &lock, deadline_us);
    held = true;
    return signalled;
}

/* The main loop's poll: everybody else may go on while we wait. */
static gint poll_unlocked(GPollFD *fds, guint n, gint timeout_ms)
{
    gint ready;

    big_unlock();
    ready = g_poll(fds, n, timeout_ms);
    big_lock();
    return ready;
}

void big_lock_attach_main_loop(void)
{
    if (!held) {
        big_lock();
    }
    g_main_context_set_poll_func(NULL, poll_unlocked);
}
