/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host that has no thread left: in the place of GLib's g_thread_try_new().
 */
#ifndef TESTS_FAKE_THREADS_H
#define TESTS_FAKE_THREADS_H

/** Threads of this name cannot be made; NULL: all can. */
extern const char *fake_threads_lack;
/** ... but for the first so many of them. */
extern unsigned fake_threads_left;

#endif
