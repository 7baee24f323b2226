/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A memory listener for tests. It writes down every call as one line, checks
 * that calls come in the order that the seam promises, keeps per section the
 * dirty bits that the test "the accelerator knows", and fails on request.
 */
#ifndef RECORDING_LISTENER_H
#define RECORDING_LISTENER_H

#include <glib.h>

#include "system/memory-listener.h"

typedef struct RecordingListener {
    MemoryListener listener;
    GString *log;        /* "add 0x1000+0x2000 ram@0x0\n" and so on */
    const char *tag;     /* begins each line; "" unless the test sets it */
    GArray *sections;    /* of RecordedSection: what is shown now */
    unsigned calls;      /* hooks called */
    const char *fail;    /* name of the hook that shall fail: "add", ... */
    unsigned fail_after; /* ... after so many successful calls of it */
} RecordingListener;

typedef struct RecordedSection {
    MemorySection section;
    bool logging;
    uint64_t *pending;   /* dirty for the accelerator, not yet fetched */
    uint64_t *told;      /* fetched, not yet cleared: what log_clear may drop */
} RecordedSection;

/** recording_listener_init() - not registered yet, named @name. */
void recording_listener_init(RecordingListener *r, const char *name);

/** recording_listener_done() - it must be unregistered. */
void recording_listener_done(RecordingListener *r);

/** recording_listener_take_log() - what was called since the last time.
 *  Returns: lines, to g_free(). */
char *recording_listener_take_log(RecordingListener *r);

/** recording_listener_dirty() - "the guest" writes the page at @gpa.
 *  Returns: whether a section shows it. */
bool recording_listener_dirty(RecordingListener *r, uint64_t gpa);

#endif
