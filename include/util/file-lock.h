/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may have a file open: a saved machine that is being written, or that a
 * guest is mapped to, and disks (flock). Only among those who ask.
 */
#ifndef UTIL_FILE_LOCK_H
#define UTIL_FILE_LOCK_H

#include <stdbool.h>

/**
 * file_lock() - lock an open file until its description is closed
 * @alone: keep everybody else out, not only those who want to be alone
 * Some take a lock for a moment only, to see whether they could: it is tried
 * for 10 ms.
 * Context: any thread.
 * Returns: false if somebody else has it. A file system that has no such locks
 *          lets everybody in.
 */
bool file_lock(int fd, bool alone);

#endif
