/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A clock as an argument: whoever measures or limits is handed a Clock, so
 * that a test can hand it one that stands still until it is wound.
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <glib.h>
#include <stdint.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

typedef struct Clock Clock;

/**
 * clock_new_host() - a clock that shows the host's monotonic time
 * It starts at an arbitrary point, never goes back and does not count the time
 * the host sleeps (CLOCK_MONOTONIC).
 * Returns: to be freed with clock_free().
 */
Clock *clock_new_host(void);

/**
 * clock_new_test() - a clock that stands at @start_ns until it is wound
 */
Clock *clock_new_test(int64_t start_ns);

/** clock_free() - accepts NULL */
void clock_free(Clock *clock);

/**
 * clock_now_ns() - the time, in nanoseconds
 * Context: any thread, lock-free.
 */
int64_t clock_now_ns(Clock *clock);

/**
 * clock_process_start_ns() - when this process was started, by the host's clock
 * Counted from exec or fork on, loading included. Exact to the time that the
 * process did not get to run in its first moments, and to 10 ms at worst.
 * Context: any thread.
 */
int64_t clock_process_start_ns(void);

/**
 * clock_sleep_ns() - let @ns nanoseconds pass
 * The host's clock blocks the thread at least that long; a test clock winds
 * itself forward and returns at once. Nothing happens for @ns <= 0.
 * Context: any thread; holds no lock.
 */
void clock_sleep_ns(Clock *clock, int64_t ns);

/**
 * clock_wind() - move a test clock forward by @ns
 * Context: any thread; only for clocks of clock_new_test().
 */
void clock_wind(Clock *clock, int64_t ns);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Clock, clock_free)

#endif
