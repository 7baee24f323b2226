/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See file-lock.h.
 */
#include "util/file-lock.h"

#include <errno.h>
#include <glib.h>
#include <sys/file.h>

#define TRIES 5
#define WAIT_US 2000

bool file_lock(int fd, bool alone)
{
    for (unsigned tries = TRIES;
         flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 &&
         errno == EWOULDBLOCK;) {
        if (!--tries) {
            return false;
        }
        g_usleep(WAIT_US);
    }
    return true;
}
