/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at a path before it is used.
 */
#include "util/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

static bool refuse(const char *path, int err, GError **error)
{
    tm_error_set_errno(error, err, "cannot open '%s'", path);
    return false;
}

/* Of a file that is there. */
static bool check_mode(const char *path, const struct stat *st, int mode,
                       GError **error)
{
    if (S_ISDIR(st->st_mode)) {
        return refuse(path, EISDIR, error);
    }
    return access(path, mode) == 0 || refuse(path, errno, error);
}

bool path_check_writable(const char *path, GError **error)
{
    g_autofree char *dir = NULL;
    struct stat st;

    if (stat(path, &st) == 0) {
        return check_mode(path, &st, W_OK, error);
    }
    if (errno != ENOENT || !*path) {
        return refuse(path, errno, error);
    }
    dir = g_path_get_dirname(path);
    return access(dir, W_OK | X_OK) == 0 || refuse(path, errno, error);
}

bool path_check_readable(const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        return refuse(path, errno, error);
    }
    return check_mode(path, &st, R_OK, error);
}

char *path_absolute(const char *path)
{
    g_autofree char *dir = NULL;

    if (g_path_is_absolute(path)) {
        return g_strdup(path);
    }
    dir = g_get_current_dir();
    return g_build_filename(dir, path, NULL);
}

int path_open_log(const char *path, GError **error)
{
    /* A FIFO that nobody reads is an error, not something to wait for. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC |
                  O_NONBLOCK, 0644);

    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open log file '%s'", path);
        return -1;
    }
    fcntl(fd, F_SETFL, O_APPEND); /* but what is written shall arrive */
    return fd;
}
