/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A limit on warnings that somebody else causes: a guest that does the same
 * wrong thing a million times a second shall not fill the host's disk. The
 * first passes at once, then one per interval, which tells how many were not
 * told.
 */
#ifndef UTIL_WARN_LIMIT_H
#define UTIL_WARN_LIMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero but the interval: nothing has passed yet. */
typedef struct WarnLimit {
    int64_t interval_ns;
    int64_t last_ns;         /* when the last one passed */
    uint64_t held_back;      /* since then */
    bool any;                /* one has passed */
} WarnLimit;

/**
 * warn_limit_pass() - may a warning be told now?
 * @now_ns: of a clock that never goes back
 * @ret_held_back: how many were held back since the last that passed;
 *          set only if this one passes
 * Context: as the limit's owner says; no lock of its own.
 */
bool warn_limit_pass(WarnLimit *limit, int64_t now_ns,
                     uint64_t *ret_held_back);

/**
 * warn_limit_text() - the words of a warning that may pass, or NULL
 * @words: of the warning; "(and N more)" is added if some were held back
 * Returns: to be freed with g_free(); NULL: hold it back.
 */
char *warn_limit_text(WarnLimit *limit, int64_t now_ns, const char *words);

#endif
