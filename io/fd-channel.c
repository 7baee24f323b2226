/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What channels on file descriptors share; see io/fd-channel.h.
 */
#include "io/fd-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/compiler.h"
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
