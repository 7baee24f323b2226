/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a regular file or block device.
 *
 * The kernel's own file position serves writev and readv, so that whoever
 * passed the descriptor finds it moved; pwritev and preadv leave it alone.
 * Transfers block for as long as the disk takes; a shutdown is seen by the
 * next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-file.h"
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

/* Of a file that has not got its name yet. */
static void forget_part(FileChannel *f)
{
    struct stat ours, theirs;

    if (f->final && fstat(f->fdc.write_fd, &ours) == 0 &&
        stat(f->path, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino) {
        unlink(f->path);
    }
    g_clear_pointer(&f->final, g_free);
}

static bool file_close(Channel *c, GError **error)
{
    FileChannel *f = (FileChannel *)c;

    forget_part(f);
    channel_file_unlock(c);
    g_clear_pointer(&f->path, g_free);
    return fd_channel_close(c, error);
}

static const ChannelOps file_ops = {
    .writev = file_writev,
    .readv = file_readv,
    .pwritev = file_pwritev,
    .preadv = file_preadv,
    .shutdown = fd_channel_shutdown,
    .close = file_close,
};

Channel *channel_file_new(int fd, int64_t offset)
{
    FileChannel *f = g_new0(FileChannel, 1);

    if (offset >= 0) {
        lseek(fd, offset, SEEK_SET);
    }
    fd_channel_init(&f->fdc, &file_ops, CHANNEL_CAP_SEEK, fd, fd,
                    g_strdup_printf("fd:%d", fd));
    return &f->fdc.base;
}

FileChannel *channel_file_of(const Channel *c)
{
    return c->ops == &file_ops ? (FileChannel *)c : NULL;
}

const char *channel_file_path(const Channel *c)
{
    const FileChannel *f = channel_file_of(c);

    return f ? f->path : NULL;
}

int channel_file_fd(const Channel *c)
{
    const FileChannel *f = channel_file_of(c);

    return f ? f->fdc.write_fd : -1;
}

void channel_file_unlock(Channel *c)
{
    FileChannel *f = channel_file_of(c);

    if (f && f->locked) {
        flock(f->fdc.write_fd, LOCK_UN);
        f->locked = false;
    }
}

bool channel_file_size(Channel *c, uint64_t *ret_bytes, GError **error)
{
    int fd = channel_file_fd(c);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 ||
        (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, ret_bytes) < 0)) {
        channel_set_errno(c, "find the size of", fd < 0 ? ESPIPE : errno,
                          error);
        return false;
    }
    if (!S_ISBLK(st.st_mode)) {
        *ret_bytes = st.st_size;
    }
    return true;
}

bool channel_file_punch(Channel *c, uint64_t offset, uint64_t n)
{
    int fd = channel_file_fd(c);
    int r;

    if (fd < 0) {
        return false;
    }
    do {
        r = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                      n);
    } while (r < 0 && errno == EINTR);
    return r == 0;
}
