/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util/thread.h.
 */
#include "util/thread.h"

#include "util/error.h"

GThread *thread_new(const char *name, GThreadFunc fn, void *opaque,
                    GError **error)
{
    g_autoptr(GError) cause = NULL;
    GThread *thread = g_thread_try_new(name, fn, opaque, &cause);

    if (!thread) {
        tm_error_set(error, "cannot make thread '%s': %s", name,
                     cause->message);
    }
    return thread;
}
