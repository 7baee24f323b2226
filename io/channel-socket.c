/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a connected stream socket. A shutdown wakes whoever waits
 * and ends the connection for the peer as well.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "io/fd-channel.h"
#include "io/channel-kinds.h"
#include "io/socket.h"
#include "util/error.h"

static ssize_t channel_socket_writev(Channel *c, const struct iovec *iov,
                                     unsigned niov, const int *fds,
                                     unsigned nfds, GError **error)
{
    FdChannel *f = (FdChannel *)c;

    if (nfds > SOCKET_MAX_FDS) {
        tm_error_set(error, "cannot pass %u file descriptors at once, at most "
                     "%d", nfds, SOCKET_MAX_FDS);
        return -1;
    }
    for (;;) {
        ssize_t n = socket_send(f->write_fd, iov, niov, fds, nfds);

        if (n >= 0) {
            return n;
        }
        if (channel_is_shut(c)) {
            return channel_set_shut(c, error);
        }
        if (n != -EAGAIN) {
            return channel_set_errno(c, "write to", n, error);
        }
        if (!fd_channel_wait(f, f->write_fd, POLLOUT, error)) {
            return -1;
        }
    }
}

static ssize_t channel_socket_readv(Channel *c, const struct iovec *iov,
                                    unsigned niov, GArray *fds, GError **error)
{
    FdChannel *f = (FdChannel *)c;

    for (;;) {
        ssize_t n = socket_recv(f->read_fd, iov, niov, fds);

        /* Our own shutdown looks like the peer's end: it is not one. */
        if (n <= 0 && channel_is_shut(c)) {
            return channel_set_shut(c, error);
        }
        if (n >= 0) {
            return n;
        }
        if (n != -EAGAIN) {
            return channel_set_errno(c, "read from", n, error);
        }
        if (!fd_channel_wait(f, f->read_fd, POLLIN, error)) {
            return -1;
        }
    }
}

static void channel_socket_shutdown(Channel *c)
{
    FdChannel *f = (FdChannel *)c;

    if (f->read_fd >= 0) {
        shutdown(f->read_fd, SHUT_RDWR);
    }
    fd_channel_shutdown(c);
}

static const ChannelOps channel_socket_ops = {
    .writev = channel_socket_writev,
    .readv = channel_socket_readv,
    .shutdown = channel_socket_shutdown,
    .close = fd_channel_close,
};

/* The peer's address; an accepted UNIX connection has only our own. */
static char *socket_name(int fd)
{
    g_autoptr(ChannelAddress) address = channel_address_of_socket(fd, true);

    if (!address || (address->path && !*address->path)) {
        channel_address_free(address);
        address = channel_address_of_socket(fd, false);
    }
    if (!address || (address->path && !*address->path)) {
        return g_strdup_printf("fd:%d", fd);
    }
    return channel_address_to_uri(address);
}

Channel *channel_socket_new(int fd)
{
    FdChannel *f = g_new0(FdChannel, 1);

    socket_set_nodelay(fd, true);
    fd_channel_init(f, &channel_socket_ops,
                    socket_is_unix(fd) ? CHANNEL_CAP_FDS : 0, fd, fd,
                    socket_name(fd));
    return &f->base;
}
