/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util/prompt-thread.h.
 */
#include "util/prompt-thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "util/thread.h"

#define TIMER_SLACK_NS 1000UL

typedef struct Start {
    GThreadFunc fn;
    void *opaque;
} Start;

static gpointer begin(gpointer opaque)
{
    Start start = *(Start *)opaque;
    struct sched_param param = { .sched_priority = 1 };

    g_free(opaque);
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    pthread_setschedparam(pthread_self(), SCHED_RR, &param);
    return start.fn(start.opaque);
}

GThread *prompt_thread_new(const char *name, GThreadFunc fn, void *opaque,
                           GError **error)
{
    Start *start = g_new(Start, 1);
    sigset_t all, old;
    GThread *thread;

    *start = (Start) { .fn = fn, .opaque = opaque };
    /* Inherited, so that there is no moment in which one could arrive. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    thread = thread_new(name, begin, start, error);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!thread) {
        g_free(start);
    }
    return thread;
}
