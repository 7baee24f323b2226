/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-threads.h.
 */
#include "fake-threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

const char *fake_threads_lack;
unsigned fake_threads_left;

typedef GThread *TryNew(const char *name, GThreadFunc fn, gpointer opaque,
                        GError **error);

GThread *g_thread_try_new(const char *name, GThreadFunc fn, gpointer opaque,
                          GError **error)
{
    TryNew *real = (TryNew *)dlsym(RTLD_NEXT, "g_thread_try_new");

    if (fake_threads_lack && !strcmp(name, fake_threads_lack) &&
        (!fake_threads_left || !fake_threads_left--)) {
        g_set_error_literal(error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN,
                            g_strerror(EAGAIN));
        return NULL;
    }
    return real(name, fn, opaque, error);
}
