/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process around the machine: words for the user, signals that end it,
 * going to the background, the pid file.
 */
#ifndef SYSTEM_MAIN_PROCESS_H
#define SYSTEM_MAIN_PROCESS_H

#include <glib.h>
#include <stdbool.h>

typedef struct Vm Vm;

/** process_set_name() - of the program, from argv[0], for messages.
 *  process_set_timestamps() - begin each with the time */
void process_set_name(const char *argv0);
const char *process_name(void);
void process_set_timestamps(bool on);

/** process_report() - a line (or several) on standard error
 *  Context: any thread; one write per call. */
void process_report(const char *text);

/** process_hold_signals() - from now on SIGTERM, SIGINT and SIGHUP are kept
 *  back in every thread, and SIGPIPE is ignored. Context: first of all. */
void process_hold_signals(void);

/**
 * process_catch_signals() - where the signals that are held can be seen
 * Context: start-up, before there are other threads.
 * Errors:  no descriptor.
 * Returns: a descriptor that is readable as soon as one of them has come, for
 *          whoever waits during start-up; -1 with @error set.
 */
int process_catch_signals(GError **error);

/** process_is_ended() - has one of them come (and been kept back)? */
bool process_is_ended(void);

/** process_watch_signals() - one of them asks @vm to shut down.
 *  Context: main thread, after process_catch_signals(). */
void process_watch_signals(Vm *vm);

/**
 * process_daemonize() - go to the background
 * The caller goes on in a child. The parent waits: it ends with status 0 once
 * the child calls process_ready(), or with the child's own status (1 for a
 * signal) if that ends before.
 * Context: start-up, before there are other threads.
 * Errors:  no process or pipe to be had.
 */
bool process_daemonize(GError **error);

/** process_ready() - let the parent go and leave terminal and directory.
 *  Not in the background: nothing. */
void process_ready(void);

/**
 * process_write_pid() - write our number to a file and hold its lock; it is
 * removed by process_done()
 * Errors:  another process holds it, or it cannot be written.
 */
bool process_write_pid(const char *path, GError **error);

/** process_done() - remove the pid file */
void process_done(void);

#endif
