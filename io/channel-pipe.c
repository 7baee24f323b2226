/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel on a pipe, a FIFO or a terminal, or on a pair of pipe ends.
 */
#include "io/channel-kinds.h"
#include "io/fd-channel.h"

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
