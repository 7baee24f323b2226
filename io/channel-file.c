/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a regular file or block device, and opening one by path.
 *
 * The kernel's own file position serves writev and readv, so that whoever
 * passed the descriptor finds it moved; pwritev and preadv leave it alone.
 * Transfers block for as long as the disk takes; a shutdown is seen by the
 * next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-fd.h"
#include "io/channel-kinds.h"
#include "util/error.h"

/* Turns the result of a system call into a hook's; retries are asked for. */
static bool is_final(Channel *c, ssize_t *n, const char *verb, GError **error)
{
    if (*n < 0) {
        if (errno == EINTR) {
            return false;
        }
        *n = channel_set_errno(c, verb, errno, error);
    }
    return true;
}

static ssize_t file_writev(Channel *c, const struct iovec *iov, unsigned niov,
                           const int *fds, unsigned nfds, GError **error)
{
    ssize_t n;

    do {
        n = writev(((FdChannel *)c)->write_fd, iov, niov);
    } while (!is_final(c, &n, "write to", error));
    return n;
}

static ssize_t file_readv(Channel *c, const struct iovec *iov, unsigned niov,
                          GArray *fds, GError **error)
{
    ssize_t n;

    do {
        n = readv(((FdChannel *)c)->read_fd, iov, niov);
    } while (!is_final(c, &n, "read from", error));
    return n;
}

static ssize_t file_pwritev(Channel *c, const struct iovec *iov, unsigned niov,
                            uint64_t offset, GError **error)
{
    ssize_t n;

    do {
        n = pwritev(((FdChannel *)c)->write_fd, iov, niov, offset);
    } while (!is_final(c, &n, "write to", error));
    return n;
}

static ssize_t file_preadv(Channel *c, const struct iovec *iov, unsigned niov,
                           uint64_t offset, GError **error)
{
    ssize_t n;

    do {
        n = preadv(((FdChannel *)c)->read_fd, iov, niov, offset);
    } while (!is_final(c, &n, "read from", error));
    return n;
}

static const ChannelOps file_ops = {
    .writev = file_writev,
    .readv = file_readv,
    .pwritev = file_pwritev,
    .preadv = file_preadv,
    .shutdown = fd_channel_shutdown,
    .close = fd_channel_close,
};

Channel *channel_file_new(int fd, int64_t offset)
{
    FdChannel *f = g_new0(FdChannel, 1);

    if (offset >= 0) {
        lseek(fd, offset, SEEK_SET);
    }
    fd_channel_init(f, &file_ops, CHANNEL_CAP_SEEK, fd, fd,
                    g_strdup_printf("fd:%d", fd));
    return &f->base;
}

/* A descriptor for @path, or -errno. */
static int open_path(const char *path, int flags, FdSets *fdsets)
{
    int64_t set_id;
    int fd;

    if (fdsets_path_id(path, &set_id)) {
        return fdsets ? fdsets_open(fdsets, set_id, flags) : -ENOENT;
    }
    if ((flags & O_ACCMODE) != O_RDONLY) {
        flags |= O_CREAT;
    }
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0660);
    return fd < 0 ? -errno : fd;
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
    int fd = open_path(path, flags, fdsets);
    Channel *c;
    struct stat st;
    int ret;

    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for %s", path,
                           writes ? "writing" : "reading");
        return NULL;
    }
    ret = fstat(fd, &st) < 0 ? -errno : prepare_fd(fd, &st, offset, writes);
    if (ret < 0) {
        tm_error_set_errno(error, ret, "cannot go to offset %" G_GUINT64_FORMAT
                           " of '%s'", offset, path);
        close(fd);
        return NULL;
    }
    c = channel_fd_new(fd, error);
    if (c) {
        channel_set_name(c, name);
    } else {
        close(fd);
    }
    return c;
}
