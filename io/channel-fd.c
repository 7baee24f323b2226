/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels on descriptors of any kind: inherited ones, which are asked what
 * they are, and those that opening a path gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "io/fd-channel.h"
#include "util/error.h"

Channel *channel_fd_new(int fd, GError **error)
{
    struct stat st;
    int mode;

    if (fd < 0 || fstat(fd, &st) < 0) {
        tm_error_set(error, "file descriptor %d is not open", fd);
        return NULL;
    }
    if (S_ISSOCK(st.st_mode)) {
        return channel_socket_new(fd);
    }
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) {
        return channel_file_new(fd, -1);
    }
    mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    return channel_pipe_new(mode == O_WRONLY ? -1 : fd,
                            mode == O_RDONLY ? -1 : fd);
}

/* A descriptor for @path, or -errno. */
static int open_path(const char *path, int flags, FdSets *fdsets,
                     bool *ret_created)
{
    int64_t set_id;
    int fd;

    *ret_created = false;
    if (fdsets_path_id(path, &set_id)) {
        return fdsets ? fdsets_open(fdsets, set_id, flags) : -ENOENT;
    }
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    flags |= O_CLOEXEC | O_NONBLOCK;
    fd = open(path, flags);
    if (fd < 0 && errno == ENOENT && (flags & O_ACCMODE) != O_RDONLY) {
        fd = open(path, flags | O_CREAT, 0660);
        *ret_created = fd >= 0; /* if somebody else was faster, so be it */
    }
    return fd < 0 ? -errno : fd;
}

/*
 * Writers keep others out, readers keep writers out, until the channel is
 * closed or unlocked. Only among those who ask for it, which we all do; a file
 * system that has no such locks lets everybody in. 0 or -errno.
 */
static int lock_fd(int fd, const struct stat *st, bool writes)
{
    if (S_ISREG(st->st_mode) &&
        flock(fd, (writes ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0 &&
        errno == EWOULDBLOCK) {
        return -EWOULDBLOCK;
    }
    return 0;
}

/* Makes @fd ready at @offset; 0 or -errno. */
static int prepare_fd(int fd, const struct stat *st, uint64_t offset,
                      bool writes)
{
    if (offset > INT64_MAX) {
        return -EFBIG;
    }
    if (writes && S_ISREG(st->st_mode) && ftruncate(fd, offset) < 0) {
        return -errno;
    }
    /* What cannot seek (a FIFO, a terminal) can only begin at 0. */
    if (lseek(fd, offset, SEEK_SET) < 0 && (errno != ESPIPE || offset)) {
        return -errno;
    }
    return 0;
}

Channel *channel_file_open(const char *path, uint64_t offset, int flags,
                           FdSets *fdsets, GError **error)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    g_autofree char *name = g_strdup_printf("file:%s", path);
    bool created;
    int fd = open_path(path, flags, fdsets, &created);
    Channel *c;
    struct stat st;
    int ret;

    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for %s", path,
                           writes ? "writing" : "reading");
        return NULL;
    }
    ret = fstat(fd, &st) < 0 ? -errno : lock_fd(fd, &st, writes);
    if (ret == -EWOULDBLOCK) {
        tm_error_set(error, writes ? "cannot open '%s' for writing: it is in "
                     "use, by a guest that was restored from it or by a "
                     "migration" : "cannot open '%s' for reading: it is being "
                     "written", path);
        close(fd);
        return NULL;
    }
    ret = ret ? ret : prepare_fd(fd, &st, offset, writes);
    if (ret < 0) {
        tm_error_set_errno(error, ret, "cannot go to offset %" G_GUINT64_FORMAT
                           " of '%s'", offset, path);
        close(fd);
        return NULL;
    }
    c = channel_fd_new(fd, error);
    if (!c) {
        close(fd);
        return NULL;
    }
    channel_set_name(c, name);
    if (channel_file_fd(c) >= 0) {
        channel_file_set_path(c, path, created);
    }
    return c;
}

/* @path may lead to another file by now. */
static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
        x.st_ino == y.st_ino;
}

Channel *channel_file_open_direct(Channel *c, bool writes, FdSets *fdsets,
                                  GError **error)
{
    const char *path = channel_file_path(c);
    int flags = (writes ? O_WRONLY : O_RDONLY) | O_DIRECT;
    bool created = false;
    Channel *direct;
    int fd;

    if (!path) {
        tm_error_set(error, "channel '%s' was not opened by a name",
                     channel_name(c));
        return NULL;
    }
    fd = open_path(path, flags, fdsets, &created);
    if (fd >= 0 && !is_same_file(fd, channel_file_fd(c))) {
        close(fd);
        fd = -ESTALE;
    }
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for direct I/O%s",
                           path, fd == -EINVAL ? ", which its file system does "
                           "not have" : "");
        return NULL;
    }
    direct = channel_file_new(fd, -1);
    g_free(direct->name);
    direct->name = g_strdup_printf("%s (direct)", channel_name(c));
    return direct;
}
