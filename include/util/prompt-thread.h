/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that others wait for, or lose by: they work for microseconds and
 * must not be late.
 */
#ifndef UTIL_PROMPT_THREAD_H
#define UTIL_PROMPT_THREAD_H

#include <glib.h>

/**
 * prompt_thread_new() - a thread that is given the CPU before others
 * No signal is ever given to it: all are blocked from its first instruction.
 * Real-time priority (the lowest) where the process may ask for it, else it
 * is a thread like others; its waits end when they are due, within 1 us.
 * Context: any thread.  Errors: those of thread_new().
 * Returns: to be joined with g_thread_join(); NULL on error.
 */
GThread *prompt_thread_new(const char *name, GThreadFunc fn, void *opaque,
                           GError **error);

#endif
