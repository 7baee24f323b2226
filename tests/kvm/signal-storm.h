/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A signal to every thread of the program, again and again: what ends system
 * calls early does so all the time.
 */
#ifndef TESTS_SIGNAL_STORM_H
#define TESTS_SIGNAL_STORM_H

#include <stdint.h>

/**
 * signal_storm_start() - from now on each thread has a timer of its own
 * @period_us: between two signals of a thread; 0: no storm
 * Threads that come later get theirs within milliseconds. System calls that
 * can be restarted are.
 */
void signal_storm_start(unsigned period_us);

/**
 * signal_storm_sleep() - sleep in the midst of one
 * g_usleep() goes on with the time that is left after each signal, which the
 * kernel rounds up by the timer's slack of 50 us: it may never end.
 */
void signal_storm_sleep(unsigned us);

/** signal_storm_stop() - the end of it; fine without a storm.
 *  Returns: signals that have been taken. */
uint64_t signal_storm_stop(void);

#endif
