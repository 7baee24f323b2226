/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util/warn-limit.h.
 */
#include "util/warn-limit.h"

bool warn_limit_pass(WarnLimit *limit, int64_t now_ns,
                     uint64_t *ret_held_back)
{
    if (limit->any && now_ns - limit->last_ns < limit->interval_ns) {
        limit->held_back++;
        return false;
    }
    *ret_held_back = limit->held_back;
    limit->held_back = 0;
    limit->last_ns = now_ns;
    limit->any = true;
    return true;
}

char *warn_limit_text(WarnLimit *limit, int64_t now_ns, const char *words)
{
    uint64_t held_back;

    if (!warn_limit_pass(limit, now_ns, &held_back)) {
        return NULL;
    }
    return held_back == 0 ? g_strdup(words) :
        g_strdup_printf("%s (and %" G_GUINT64_FORMAT " more since the last "
                        "one told)", words, held_back);
}
