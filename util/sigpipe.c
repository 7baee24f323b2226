/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ignoring SIGPIPE; see include/util/sigpipe.h.
 */
#include "util/sigpipe.h"

#include <signal.h>
#include <stddef.h>

void sigpipe_ignore(void)
{
    struct sigaction old;

    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL) {
        signal(SIGPIPE, SIG_IGN);
    }
}
