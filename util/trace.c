/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace output; see include/util/trace.h. Each line is formatted in a buffer
 * of its own and written with one write(2), so that threads need no lock and
 * lines do not mix. Lines longer than the buffer are cut.
 */
#include "util/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "util/path.h"

#define TRACE_LINE_BYTES 1024

static int trace_fd = STDERR_FILENO;
static bool trace_timestamps;

unsigned trace_enable(const char *pattern, bool on)
{
    g_autoptr(GPatternSpec) spec = g_pattern_spec_new(pattern);
    unsigned n = 0;

    for (TraceEvent *const *const *room = trace_rooms; *room; room++) {
        for (TraceEvent *const *event = *room; *event; event++) {
            if (g_pattern_spec_match_string(spec, (*event)->name)) {
                __atomic_store_n(&(*event)->on, on, __ATOMIC_RELAXED);
                n++;
            }
        }
    }
    return n;
}

bool trace_set_output(const char *path, GError **error)
{
    int fd = STDERR_FILENO;

    if (path) {
        fd = path_open_log(path, error);
        if (fd < 0) {
            return false;
        }
    }
    if (trace_fd != STDERR_FILENO) {
        close(trace_fd);
    }
    trace_fd = fd;
    return true;
}

void trace_set_timestamps(bool on)
{
    trace_timestamps = on;
}

void trace_emit(const TraceEvent *event, const char *fmt, ...)
{
    char line[TRACE_LINE_BYTES];
    size_t len = 0;
    va_list ap;

    if (trace_timestamps) {
        gint64 us = g_get_real_time();

        len = g_snprintf(line, sizeof(line), "%" G_GINT64_FORMAT ".%06d ",
                         us / G_USEC_PER_SEC, (int)(us % G_USEC_PER_SEC));
    }
    len += g_snprintf(line + len, sizeof(line) - len, "%s ", event->name);
    va_start(ap, fmt);
    len += g_vsnprintf(line + len, sizeof(line) - len, fmt, ap);
    va_end(ap);
    len = MIN(len, sizeof(line) - 1);
    line[len] = '\n';
    /* A line that cannot be written has nobody to be reported to. */
    if (write(trace_fd, line, len + 1) < 0) {
        return;
    }
}
