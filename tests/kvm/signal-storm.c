/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See signal-storm.h. A thread that is under way to the next signal with one
 * not yet taken gets no second: timers do not queue.
 */
#include "signal-storm.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define STORM_SIGNAL SIGUSR2
#define LOOK_EVERY_US 5000    /* for new threads */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

typedef struct Storm {
    unsigned period_us;
    GThread *thread;          /* that gives every other one its timer */
    GHashTable *timers;       /* thread id -> timer_t * */
    int stop;                 /* atomic */
    struct sigaction before;
} Storm;

static Storm *storm;
static uint64_t taken;        /* atomic */

static void on_signal(int signal_number)
{
    __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
}

static void delete_timer(gpointer timer)
{
    timer_delete(*(timer_t *)timer);
    g_free(timer);
}

/* Fails where the thread has gone meanwhile. */
static void add_timer(Storm *s, int tid)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = STORM_SIGNAL,
        .sigev_notify_thread_id = tid,
    };
    struct itimerspec times = {
        .it_interval.tv_nsec = s->period_us * 1000L,
        .it_value.tv_nsec = s->period_us * 1000L,
    };
    timer_t *timer = g_new(timer_t, 1);

    if (timer_create(CLOCK_MONOTONIC, &event, timer)) {
        g_free(timer);
        return;
    }
    timer_settime(*timer, 0, &times, NULL);
    g_hash_table_insert(s->timers, GINT_TO_POINTER(tid), timer);
}

static void look_for_threads(Storm *s)
{
    GDir *dir = g_dir_open("/proc/self/task", 0, NULL);
    int own = syscall(SYS_gettid);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        int tid = atoi(name);

        if (tid != own &&
            !g_hash_table_contains(s->timers, GINT_TO_POINTER(tid))) {
            add_timer(s, tid);
        }
    }
    g_clear_pointer(&dir, g_dir_close);
}

static gpointer storm_thread(gpointer opaque)
{
    Storm *s = opaque;

    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
        look_for_threads(s);
        g_usleep(LOOK_EVERY_US);
    }
    return NULL;
}

void signal_storm_start(unsigned period_us)
{
    struct sigaction action = {
        .sa_handler = on_signal, .sa_flags = SA_RESTART,
    };

    if (!period_us) {
        return;
    }
    g_assert_null(storm);
    storm = g_new0(Storm, 1);
    storm->period_us = period_us;
    storm->timers = g_hash_table_new_full(NULL, NULL, NULL, delete_timer);
    __atomic_store_n(&taken, 0, __ATOMIC_RELAXED);
    sigaction(STORM_SIGNAL, &action, &storm->before);
    look_for_threads(storm);
    add_timer(storm, syscall(SYS_gettid));
    storm->thread = g_thread_new("storm", storm_thread, storm);
}

void signal_storm_sleep(unsigned us)
{
    Clock *clock = clock_new_host();

    clock_sleep_ns(clock, us * INT64_C(1000));
    clock_free(clock);
}

/* The last signals of the timers are ignored, not handed to who was there
 * before. */
uint64_t signal_storm_stop(void)
{
    if (!storm) {
        return 0;
    }
    __atomic_store_n(&storm->stop, 1, __ATOMIC_RELEASE);
    g_thread_join(storm->thread);
    g_hash_table_destroy(storm->timers);
    signal(STORM_SIGNAL, SIG_IGN);
    sigaction(STORM_SIGNAL, &storm->before, NULL);
    g_clear_pointer(&storm, g_free);
    return __atomic_load_n(&taken, __ATOMIC_RELAXED);
}
