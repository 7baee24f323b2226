/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's clock and a clock for tests; see include/util/clock.h.
 */
#include "util/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

int64_t clock_now_ns(Clock *clock)
{
    return clock->is_test
        ? __atomic_load_n(&clock->test_now_ns, __ATOMIC_ACQUIRE)
        : read_clock(CLOCK_MONOTONIC);
}

/* As early as can be: what the loader took before is CPU time by now. */
static int64_t estimated_start_ns;

__attribute__((constructor)) static void note_start(void)
{
    estimated_start_ns = read_clock(CLOCK_MONOTONIC) -
        read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* The kernel's word, in ticks since it was booted; false if it has none. */
static bool read_start_ticks(uint64_t *ret_ticks)
{
    g_autofree char *text = NULL;
    const char *at;
    char *end;

    if (!g_file_get_contents("/proc/self/stat", &text, NULL, NULL)) {
        return false;
    }
    /* Behind the name in brackets, the 20th word. */
    at = strrchr(text, ')');
    for (unsigned i = 0; at && i < 20; i++) {
        at = strchr(at + 1, ' ');
    }
    *ret_ticks = at ? g_ascii_strtoull(at + 1, &end, 10) : 0;
    return at && end > at + 1;
}

int64_t clock_process_start_ns(void)
{
    int64_t tick_ns = NS_PER_SEC / sysconf(_SC_CLK_TCK);
    int64_t asleep_ns, first_ns;
    uint64_t ticks;

    if (!read_start_ticks(&ticks)) {
        return estimated_start_ns;
    }
    asleep_ns = read_clock(CLOCK_BOOTTIME) - read_clock(CLOCK_MONOTONIC);
    first_ns = ticks * tick_ns - asleep_ns;
    return CLAMP(estimated_start_ns, first_ns, first_ns + tick_ns);
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
