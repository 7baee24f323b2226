/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels on file descriptors: what they share (io/channel-fd.h), pipes, and
 * finding out what an inherited descriptor is.
 */
#include "io/channel-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "util/compiler.h"
#include "util/error.h"
#include "util/sigpipe.h"

void fd_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    }
}

int fd_poll_cancel(int fd, short events, int cancel_fd, int timeout_ms)
{
    struct pollfd fds[2] = {
        {.fd = fd, .events = events},
        {.fd = cancel_fd, .events = POLLIN},
    };
    int n;

    do {
        n = poll(fds, 2, timeout_ms);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    if (fds[1].revents) {
        return -ECANCELED;
    }
    return n > 0;
}

void fd_channel_init(FdChannel *f, const ChannelOps *ops, unsigned caps,
                     int read_fd, int write_fd, char *name)
{
    sigpipe_ignore(); /* children get the default back, see channel-exec.c */
    channel_init(&f->base, ops, caps, name);
    f->read_fd = read_fd;
    f->write_fd = write_fd;
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

bool fd_channel_wait(FdChannel *f, int fd, short events, GError **error)
{
    int ret = fd_poll_cancel(fd, events, f->wake_fd, -1);

    /* Shut down counts for more than ready: a closed peer is ready too. */
    if (ret == -ECANCELED || channel_is_shut(&f->base)) {
        channel_set_shut(&f->base, error);
        return false;
    }
    if (ret < 0) {
        channel_set_errno(&f->base, "wait for", ret, error);
        return false;
    }
    return true;
}

void fd_channel_shutdown(Channel *c)
{
    FdChannel *f = (FdChannel *)c;

    if (f->wake_fd >= 0) {
        eventfd_write(f->wake_fd, 1);
    }
}

bool fd_channel_close_fds(FdChannel *f, GError **error)
{
    int read_fd, write_fd, err = 0;

    g_mutex_lock(&f->base.lock);
    read_fd = f->read_fd;
    write_fd = f->write_fd;
    f->read_fd = f->write_fd = -1;
    g_mutex_unlock(&f->base.lock);
    if (read_fd >= 0 && read_fd != write_fd) {
        close(read_fd);
    }
    if (write_fd >= 0 && close(write_fd) < 0 && errno != EINTR) {
        err = errno;
    }
    if (err) {
        channel_set_errno(&f->base, "close", err, error);
    }
    return !err;
}

bool fd_channel_close(Channel *c, GError **error)
{
    FdChannel *f = (FdChannel *)c;
    bool ok = fd_channel_close_fds(f, error);

    g_mutex_lock(&c->lock);
    if (f->wake_fd >= 0) {
        close(f->wake_fd);
        f->wake_fd = -1;
    }
    g_mutex_unlock(&c->lock);
    return ok;
}

ssize_t fd_channel_writev(Channel *c, const struct iovec *iov, unsigned niov,
                          const int *fds, unsigned nfds, GError **error)
{
    FdChannel *f = (FdChannel *)c;

    if (f->write_fd < 0) {
        return channel_set_errno(c, "write to", EBADF, error);
    }
    for (;;) {
        ssize_t n = writev(f->write_fd, iov, niov);

        if (n >= 0) {
            return n;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return channel_set_errno(c, "write to", errno, error);
        }
        if (!fd_channel_wait(f, f->write_fd, POLLOUT, error)) {
            return -1;
        }
    }
}

ssize_t fd_channel_readv(Channel *c, const struct iovec *iov, unsigned niov,
                         GArray *fds, GError **error)
{
    FdChannel *f = (FdChannel *)c;

    if (f->read_fd < 0) {
        return channel_set_errno(c, "read from", EBADF, error);
    }
    for (;;) {
        ssize_t n = readv(f->read_fd, iov, niov);

        if (n >= 0) {
            return n;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return channel_set_errno(c, "read from", errno, error);
        }
        if (!fd_channel_wait(f, f->read_fd, POLLIN, error)) {
            return -1;
        }
    }
}

static const ChannelOps pipe_ops = {
    .writev = fd_channel_writev,
    .readv = fd_channel_readv,
    .shutdown = fd_channel_shutdown,
    .close = fd_channel_close,
};

Channel *channel_pipe_new(int read_fd, int write_fd)
{
    FdChannel *f = g_new0(FdChannel, 1);
    int fd = write_fd >= 0 ? write_fd : read_fd;

    fd_channel_init(f, &pipe_ops, 0, read_fd, write_fd,
                    g_strdup_printf("fd:%d", fd));
    fd_set_nonblocking(read_fd);
    fd_set_nonblocking(write_fd);
    return &f->base;
}

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
