/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's clock and a clock for tests; see include/util/clock.h.
 */
#include "util/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <time.h>

struct Clock {
    bool is_test;
    int64_t test_now_ns; /* atomic; only for a test clock */
};

Clock *clock_new_host(void)
{
    return g_new0(Clock, 1);
}

Clock *clock_new_test(int64_t start_ns)
{
    Clock *clock = g_new0(Clock, 1);

    clock->is_test = true;
    clock->test_now_ns = start_ns;
    return clock;
}

void clock_free(Clock *clock)
{
    g_free(clock);
}

int64_t clock_now_ns(Clock *clock)
{
    struct timespec now;

    if (clock->is_test) {
        return __atomic_load_n(&clock->test_now_ns, __ATOMIC_ACQUIRE);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

void clock_sleep_ns(Clock *clock, int64_t ns)
{
    struct timespec until;
    int64_t until_ns;

    if (ns <= 0) {
        return;
    }
    if (clock->is_test) {
        clock_wind(clock, ns);
        return;
    }
    until_ns = clock_now_ns(clock) + ns;
    until.tv_sec = until_ns / NS_PER_SEC;
    until.tv_nsec = until_ns % NS_PER_SEC;
    /* An absolute end, so that signals do not lengthen the sleep. */
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) ==
           EINTR) {
    }
}

void clock_wind(Clock *clock, int64_t ns)
{
    g_assert(clock->is_test); /* a caller's mistake, not an input */
    __atomic_fetch_add(&clock->test_now_ns, ns, __ATOMIC_RELEASE);
}
