/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chardevs into a file and into nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chardev/chardev-backend.h"
#include "util/error.h"
#include "util/path.h"

static bool file_read_options(KeyVal *options, const char **ret_path,
                              bool *ret_append, GError **error)
{
    *ret_path = keyval_get_str(options, "path");
    *ret_append = false;
    if (!keyval_get_bool(options, "append", ret_append, error) ||
        !keyval_check_unused(options, "chardev backend 'file'", error)) {
        return false;
    }
    if (!*ret_path || !**ret_path) {
        tm_error_set(error, "chardev backend 'file' needs a path");
        return false;
    }
    return true;
}

static bool file_check(KeyVal *options, GError **error)
{
    const char *path;
    bool append;

    return file_read_options(options, &path, &append, error) &&
           path_check_writable(path, error);
}

static bool file_open(Chardev *chr, KeyVal *options, GError **error)
{
    const char *path;
    bool append;
    int fd;

    if (!file_read_options(options, &path, &append, error)) {
        return false;
    }
    /* O_NONBLOCK: a FIFO or a terminal must not hold the guest up. */
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
              (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s' for writing", path);
        return false;
    }
    chardev_set_fds(chr, -1, fd);
    return true;
}

static bool null_check(KeyVal *options, GError **error)
{
    return keyval_check_unused(options, "chardev backend 'null'", error);
}

static bool null_open(Chardev *chr, KeyVal *options, GError **error)
{
    if (!null_check(options, error)) {
        return false;
    }
    chr->is_open = true;
    return true;
}

static char *name_as_filename(Chardev *chr)
{
    return g_strdup(chr->backend->name);
}

static void nothing_to_close(Chardev *chr)
{
    /* There is no data besides the descriptor, which the core closes. */
}

const ChardevBackend chardev_file = {
    .name = "file",
    .check = file_check,
    .open = file_open,
    .filename = name_as_filename,
    .close = nothing_to_close,
};

const ChardevBackend chardev_null = {
    .name = "null",
    .discards = true,
    .check = null_check,
    .open = null_open,
    .filename = name_as_filename,
    .close = nothing_to_close,
};
