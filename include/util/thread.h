/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads that are made while the program runs, because somebody asked for
 * something: a host that has none left makes that fail, and nothing else.
 */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <glib.h>

/**
 * thread_new() - a thread, or the reason why there is none
 * @name: for lists of threads, and in the error
 * Context: any thread.
 * Errors:  the host has no thread left (a limit of processes or of memory).
 * Returns: to be joined or unreferenced; NULL on error, @fn did not run.
 */
GThread *thread_new(const char *name, GThreadFunc fn, void *opaque,
                    GError **error);

#endif
