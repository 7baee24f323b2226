/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the channels on file descriptors have in common; private to io/.
 *
 * The descriptors never block in a read or write; what waits is poll(), on
 * the descriptor and on wake_fd, which channel_shutdown() makes readable for
 * good. So a shutdown reaches a waiting thread at once, whatever it waits for.
 */
#ifndef IO_FD_CHANNEL_H
#define IO_FD_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "io/channel.h"

typedef struct FdChannel {
    Channel base;
    int read_fd;  /* -1: none, or closed; may equal write_fd */
    int write_fd;
    int wake_fd;  /* eventfd, readable from shutdown on; never read */
} FdChannel;

/**
 * channel_init() - set up the first member of a channel
 * @name: taken over
 * The new channel has one reference.
 */
void channel_init(Channel *c, const ChannelOps *ops, unsigned caps,
                  char *name);

/** channel_set_errno() - "cannot VERB channel 'NAME': words"; returns -1 */
ssize_t channel_set_errno(Channel *c, const char *verb, int err,
                          GError **error);

/** channel_set_shut() - "channel 'NAME' was shut down"; returns -1 */
ssize_t channel_set_shut(Channel *c, GError **error);

/** fd_channel_init() - channel_init() and the descriptors, which are owned */
void fd_channel_init(FdChannel *f, const ChannelOps *ops, unsigned caps,
                     int read_fd, int write_fd, char *name);

/**
 * fd_channel_wait() - until @fd is ready for @events (as in poll) or shut down
 * Returns: true when ready; false with @error set when shut down.
 */
bool fd_channel_wait(FdChannel *f, int fd, short events, GError **error);

/** fd_channel_writev() - the hook for what write(2) and poll(2) work on */
ssize_t fd_channel_writev(Channel *c, const struct iovec *iov, unsigned niov,
                          const int *fds, unsigned nfds, GError **error);

/** fd_channel_readv() - the hook for what read(2) and poll(2) work on */
ssize_t fd_channel_readv(Channel *c, const struct iovec *iov, unsigned niov,
                         GArray *fds, GError **error);

/** fd_channel_shutdown() - the hook: wake everybody */
void fd_channel_shutdown(Channel *c);

/**
 * fd_channel_close_fds() - close read_fd and write_fd, not wake_fd
 * Errors: what close(2) says of late write errors.
 */
bool fd_channel_close_fds(FdChannel *f, GError **error);

/** fd_channel_close() - the hook: close all three */
bool fd_channel_close(Channel *c, GError **error);

/** fd_set_nonblocking() - set O_NONBLOCK; errors are left to later calls */
void fd_set_nonblocking(int fd);

/**
 * fd_poll_cancel() - poll one descriptor and a second that means stop
 * @fd:         -1: wait for the second only
 * @cancel_fd:  means stop as soon as it is readable; -1 for none
 * @timeout_ms: -1 for none
 * Returns: 1 ready, 0 timeout, -ECANCELED stopped, other negative errno.
 */
int fd_poll_cancel(int fd, short events, int cancel_fd, int timeout_ms);

#endif
