/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cuts a stream of bytes into JSON values, wherever the pieces it arrives in
 * begin and end. It looks at no more of JSON than that takes: quotes and
 * brackets. What it hands out may still be wrong; what cannot be the start of
 * any value it hands out as an error, and then looks for the next value.
 */
#ifndef MONITOR_QMP_SPLITTER_H
#define MONITOR_QMP_SPLITTER_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct QmpSplitter {
    GString *text;         /* of the value being read */
    GByteArray *closers;   /* what will close its open brackets */
    char quote;            /* open string's quote; 0: outside of strings */
    bool escaped;          /* the byte before was a backslash */
    bool in_word;          /* a bare value: a number or a keyword */
    bool skipping;         /* after an error, until a fresh start */
    size_t max_bytes;      /* JSON_TEXT_MAX_BYTES; less in tests */
} QmpSplitter;

/** qmp_splitter_init() - ready for the first byte. Context: any thread. */
void qmp_splitter_init(QmpSplitter *splitter);

/** qmp_splitter_done() - free what it holds. Context: any thread. */
void qmp_splitter_done(QmpSplitter *splitter);

/** qmp_splitter_reset() - forget a value begun. Context: any thread. */
void qmp_splitter_reset(QmpSplitter *splitter);

/**
 * qmp_splitter_feed() - look at bytes up to the end of one value
 * @bytes: what came;  @length: how many
 * @ret_text: set to a complete value's text, the caller's; NULL if it takes
 *            more bytes, or on an error
 * Context: any thread.   Cost: O(length).
 * Errors:  GenericError "JSON parse error, ..." for bytes that no value can
 *          hold, for one that is too long or too deep.
 * Returns: how many bytes were used. The caller feeds the rest again.
 */
size_t qmp_splitter_feed(QmpSplitter *splitter, const char *bytes,
                         size_t length, char **ret_text, GError **error);

#endif
