/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor for people (HMP): a line in, text out.
 *
 * Commands are rows that scripts/hxtool.py makes of hmp-commands.hx and
 * hmp-commands-info.hx. A handler gets its arguments checked and parsed; it
 * does its work by calling qmp_* functions and prints what they return, so
 * that people can see nothing that programs cannot.
 */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi/qmp-command.h"

/* One command being run, and the monitor it was typed at. */
typedef struct Hmp Hmp;

/*
 * @args holds what the row's args_type names: a string for s and S, an
 * integer for i, l and o, a boolean for b, true for a flag that was given.
 * What was optional and not given is not there; use the getters of json-glib
 * that take a default. For '/' there are "count", "format" and "size".
 */
typedef void HmpHandler(Hmp *hmp, JsonObject *args);

typedef struct HmpCommand {
    const char *name;          /* "cont|c": either word */
    const char *args_type;     /* "detach:-d,uri:s"; see hmp-commands.hx */
    const char *params;        /* for help: "[-d] uri" */
    const char *help;          /* one line or more */
    HmpHandler *run;
} HmpCommand;

/**
 * hmp_printf() - print text; "\n" becomes CR LF
 * Context: main thread.
 */
void hmp_printf(Hmp *hmp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/**
 * hmp_report() - print "Error: ..." if there is an error
 * @error: not freed; may be NULL
 * Context: main thread.
 * Returns: whether there was one.
 */
bool hmp_report(Hmp *hmp, const GError *error);

/**
 * hmp_session() - what to call qmp_* functions with
 * Context: main thread.
 */
QmpSession *hmp_session(Hmp *hmp);

/**
 * hmp_cpu_index() - the vCPU that commands are about
 * Context: main thread.
 * Returns: 0 or what was chosen by "cpu" or by cpu-index.
 */
int64_t hmp_cpu_index(Hmp *hmp);

/**
 * hmp_suspend() - no prompt and no further line until hmp_resume()
 * For a command that goes on after its handler has returned.
 * Context: main thread, inside a handler.
 * Returns: false where that cannot be (human-monitor-command): the command
 *          then has to end with its handler. @hmp is good until hmp_resume()
 *          if it returned true.
 */
bool hmp_suspend(Hmp *hmp);

/**
 * hmp_resume() - the command has ended after all: prompt again
 * Context: main thread; once per successful hmp_suspend().
 */
void hmp_resume(Hmp *hmp);

#endif
