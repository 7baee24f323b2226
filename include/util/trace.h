/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events: what the program tells about itself while it works. An event
 * is a line "name key=value ..."; all are off until asked for by -trace.
 * The events are declared in trace/<room>.events.
 */
#ifndef UTIL_TRACE_H
#define UTIL_TRACE_H

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct TraceEvent {
    const char *name;
    bool on; /* relaxed atomic; set by trace_enable() */
} TraceEvent;

/* All events, one NULL-terminated table per room; generated. */
extern TraceEvent *const *const trace_rooms[];

/** trace_event_is_on() - Context: any thread, lock-free. */
static inline bool trace_event_is_on(const TraceEvent *event)
{
    return __atomic_load_n(&event->on, __ATOMIC_RELAXED);
}

/**
 * trace_enable() - switch on (or off) every event that matches a pattern
 * @pattern: a name with * and ?; "help" is not special here
 * Context: any thread.
 * Returns: the number of events that matched.
 */
unsigned trace_enable(const char *pattern, bool on);

/**
 * trace_set_output() - where the lines go
 * @path: a file that is created or truncated; NULL for standard error
 * Context: start-up, before other threads run.
 * Errors: the file cannot be opened.
 */
bool trace_set_output(const char *path, GError **error);

/**
 * trace_set_timestamps() - begin each line with seconds and microseconds
 * Context: start-up.
 */
void trace_set_timestamps(bool on);

/**
 * trace_emit() - write one line; called by the generated functions only
 * Context: any thread; one write(2) per line, so lines do not mix.
 */
void trace_emit(const TraceEvent *event, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

#endif
