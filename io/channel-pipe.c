/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a pipe, a FIFO or a terminal, or on a pair of pipe ends.
 */
#include <poll.h>

#include "io/channel-kinds.h"
#include "io/fd-channel.h"

typedef struct PipeChannel {
    FdChannel fdc;
    bool begun;      /* there is, or was, somebody who writes */
} PipeChannel;

/* A FIFO that nobody has opened for writing yet reads as if it were at its
 * end. poll() knows the difference. */
static ssize_t pipe_readv(Channel *c, const struct iovec *iov, unsigned niov,
                          GArray *fds, GError **error)
{
    PipeChannel *p = (PipeChannel *)c;

    if (!p->begun && p->fdc.read_fd >= 0 &&
        !fd_channel_wait(&p->fdc, p->fdc.read_fd, POLLIN, error)) {
        return -1;
    }
    p->begun = true;
    return fd_channel_readv(c, iov, niov, fds, error);
}

static const ChannelOps pipe_ops = {
    .writev = fd_channel_writev,
    .readv = pipe_readv,
    .shutdown = fd_channel_shutdown,
    .close = fd_channel_close,
};

Channel *channel_pipe_new(int read_fd, int write_fd)
{
    PipeChannel *p = g_new0(PipeChannel, 1);
    int fd = write_fd >= 0 ? write_fd : read_fd;

    fd_channel_init(&p->fdc, &pipe_ops, 0, read_fd, write_fd,
                    g_strdup_printf("fd:%d", fd));
    fd_set_nonblocking(read_fd);
    fd_set_nonblocking(write_fd);
    return &p->fdc.base;
}
