/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is in a file, and its name, on the medium.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-file.h"
#include "io/channel-kinds.h"
#include "util/error.h"

/* A shutdown is seen after so much at the latest. */
#define STEP_BYTES (INT64_C(8) << 20)

static bool fail_sync(FileChannel *f, int err, GError **error)
{
    channel_set_errno(&f->fdc.base, "sync", err, error);
    return false;
}

/* Does the file have no such call? All else is an error of the medium. */
static bool has_no_steps(int err)
{
    return err == ESPIPE || err == EINVAL || err == ENOSYS || err == EOPNOTSUPP;
}

/*
 * fsync() takes as long as the medium does and nothing ends it, so most of the
 * work is done before it, in steps, the next one begun before a step is waited
 * for. An error that a step has told fsync() does not tell again: the kernel
 * counts it as heard.
 */
static bool write_back(FileChannel *f, GError **error)
{
    const unsigned wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
        SYNC_FILE_RANGE_WAIT_AFTER;
    int fd = f->fdc.write_fd;
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return true;
    }
    for (int64_t at = 0; at < st.st_size; at += STEP_BYTES) {
        if (channel_is_shut(&f->fdc.base)) {
            channel_set_shut(&f->fdc.base, error);
            return false;
        }
        if (sync_file_range(fd, at + STEP_BYTES, STEP_BYTES,
                            SYNC_FILE_RANGE_WRITE) < 0 ||
            sync_file_range(fd, at, STEP_BYTES, wait) < 0) {
            return has_no_steps(errno) || fail_sync(f, errno, error);
        }
    }
    return true;
}

static int sync_fd(int fd)
{
    int r;

    do {
        r = fsync(fd);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* The directory that a file is in, whatever links lead to it; or NULL. */
static char *directory_of(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *target = g_file_read_link(link, NULL);
    struct stat st;

    if (!target || *target != '/' || fstat(fd, &st) < 0 || !st.st_nlink ||
        !S_ISREG(st.st_mode)) {
        return NULL;
    }
    return g_path_get_dirname(target);
}

/*
 * A name is in its directory, which is synced by itself. Where we may not read
 * that, or it cannot be synced, all of its file system is.
 */
static bool sync_name(FileChannel *f, GError **error)
{
    g_autofree char *name = directory_of(f->fdc.write_fd);
    int fd, ret;

    if (!name) {
        return true;
    }
    fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ret = fd < 0 ? -errno : sync_fd(fd);
    if (fd >= 0) {
        close(fd);
    }
    if (ret == -EACCES || ret == -EPERM || ret == -EINVAL) {
        ret = syncfs(f->fdc.write_fd) < 0 ? -errno : 0;
    }
    if (ret < 0) {
        tm_error_set_errno(error, ret, "cannot sync directory '%s'", name);
        return false;
    }
    f->name_synced = true;
    return true;
}

bool channel_file_name(Channel *c, GError **error)
{
    FileChannel *f = channel_file_of(c);

    if (!f || !f->final) {
        return true;
    }
    if (rename(f->path, f->final) < 0) {
        tm_error_set_errno(error, errno, "all is saved, but '%s', where it is, "
                           "cannot be renamed to '%s'", f->path, f->final);
        g_clear_pointer(&f->final, g_free); /* it is not removed */
        return false;
    }
    g_free(f->path);
    f->path = g_steal_pointer(&f->final);
    if (!sync_name(f, error)) {
        g_prefix_error(error, "'%s' is the new one, but may be the old one "
                       "after a loss of power: ", f->path);
        return false;
    }
    return true;
}

bool channel_file_sync(Channel *c, GError **error)
{
    FileChannel *f = channel_file_of(c);
    int ret;

    if (!f) {
        return true;
    }
    if (!write_back(f, error)) {
        return false;
    }
    ret = sync_fd(f->fdc.write_fd);
    if (ret < 0) {
        return fail_sync(f, -ret, error);
    }
    return f->name_synced || sync_name(f, error);
}
