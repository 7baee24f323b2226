/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A write to a pipe without a reader raises SIGPIPE, which ends the process
 * unless told otherwise, and write(2) takes no flag against that. We want the
 * error (EPIPE) and not the signal.
 */
#ifndef UTIL_SIGPIPE_H
#define UTIL_SIGPIPE_H

/**
 * sigpipe_ignore() - ignore SIGPIPE, if it still has its default effect
 * Whoever opens pipes calls this. A handler that somebody has set stays.
 * Children inherit it: give them the default back.
 * Context: any thread, any number of times.
 */
void sigpipe_ignore(void);

#endif
