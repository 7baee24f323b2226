/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets as plain descriptors, for those who watch them in the main loop
 * (chardevs) and for the socket channel. Nothing here blocks but
 * socket_connect(), and no call raises SIGPIPE.
 */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "io/address.h"

/* Descriptors that one message can bring or take; more are not passed. */
#define SOCKET_MAX_FDS 64

/**
 * socket_send() - send what the socket takes now
 * @fds: @nfds (at most SOCKET_MAX_FDS) descriptors that go with it
 * Errors:  -EAGAIN it takes nothing now; other -errno.
 * Returns: bytes sent, or a negative errno.
 */
ssize_t socket_send(int fd, const struct iovec *iov, unsigned niov,
                    const int *fds, unsigned nfds);

/**
 * socket_recv() - receive what is there now
 * @fds: received descriptors (close-on-exec) are appended as int; NULL to
 *       have them closed
 * Errors:  -EAGAIN there is nothing now; other -errno.
 * Returns: bytes received, 0 at the end of the stream, or a negative errno.
 */
ssize_t socket_recv(int fd, const struct iovec *iov, unsigned niov,
                    GArray *fds);

/**
 * socket_connect() - connect to a UNIX or TCP address
 * @cancel_fd: give up as soon as this is readable; -1 for none
 * All addresses that a host name has are tried in turn.
 * Context: any thread, blocks.
 * Errors:  not a socket address, unknown name, refused, cancelled; the address
 *          is named.
 * Returns: a non-blocking descriptor, the caller's; -1 on error.
 */
int socket_connect(const ChannelAddress *address, int cancel_fd,
                   GError **error);

/**
 * socket_is_unix() - is this a UNIX socket (which can pass descriptors)
 */
bool socket_is_unix(int fd);

/**
 * socket_set_nodelay() - send small messages at once (TCP_NODELAY)
 * Does nothing for other than TCP sockets.
 */
void socket_set_nodelay(int fd, bool on);

#endif
