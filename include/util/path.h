/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a path before it is used, so that a command line can be refused
 * while nothing is made yet. The answer may be out of date at once: whoever
 * opens the file still looks for errors.
 */
#ifndef UTIL_PATH_H
#define UTIL_PATH_H

#include <glib.h>
#include <stdbool.h>

/**
 * path_check_writable() - could this file be made, or be written to?
 * @path: relative to the working directory, if not absolute
 * Context: any thread; touches nothing.
 * Errors:  it is there and is a directory or not to be written to; it is not
 *          there and its directory is missing or not to be written to. The
 *          words name @path.
 * Returns: whether it could.
 */
bool path_check_writable(const char *path, GError **error);

/**
 * path_check_readable() - is this a file that can be read?
 * @path: as for path_check_writable()
 * Context: any thread; touches nothing.
 * Errors:  it is missing, a directory, or not to be read; names @path.
 * Returns: whether it is.
 */
bool path_check_readable(const char *path, GError **error);

/**
 * path_absolute() - the same file, from whatever directory it is looked at
 * "." and ".." stay: behind a symbolic link, only the kernel knows where they
 * lead.
 * Context: any thread.
 * Returns: freed by the caller.
 */
char *path_absolute(const char *path);

/**
 * path_open_log() - make or empty a file that lines are added to
 * @path: also a FIFO or a terminal; writing to it may block, opening does not
 * Context: any thread.
 * Errors:  it cannot be opened, or is a FIFO without a reader; names @path.
 * Returns: a descriptor that children do not inherit; -1 on error.
 */
int path_open_log(const char *path, GError **error);

#endif
