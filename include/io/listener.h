/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for connections on a UNIX or TCP address.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include <glib.h>

#include "io/address.h"

typedef struct Listener Listener;

/**
 * ListenerAcceptFn - somebody has connected
 * @fd: the connection, the callee's own; channel_socket_new() makes a channel
 *      of it, whose first bytes channel_peek_full() shows without taking them
 * Context: the main context. May call listener_stop() or listener_free().
 */
typedef void ListenerAcceptFn(Listener *listener, int fd, void *opaque);

/**
 * listener_new() - bind and listen
 * @address: unix: a path, where a socket that nobody listens on any more is
 *           removed first; tcp: all addresses that the host name has, all
 *           with the same port, which is chosen here if it is 0
 * Errors:  not a socket address; name unknown; address in use or not allowed.
 * Returns: a listener that takes nobody yet; NULL on error.
 */
Listener *listener_new(const ChannelAddress *address, GError **error);

/**
 * listener_new_fd() - a descriptor on which somebody has called listen()
 * @fd: owned by the listener from a successful call on
 * Errors:  @fd is not a listening socket.
 */
Listener *listener_new_fd(int fd, GError **error);

/** listener_address_count() - on how many addresses it listens, at least 1 */
unsigned listener_address_count(const Listener *listener);

/**
 * listener_address() - one of the addresses, with the real port
 * @index: 0..listener_address_count() - 1
 */
const ChannelAddress *listener_address(const Listener *listener,
                                       unsigned index);

/**
 * listener_start() - call @accept for every connection from now on
 * Connections made before wait in the kernel and are taken first.
 * Context: main thread.
 */
void listener_start(Listener *listener, ListenerAcceptFn *accept,
                    void *opaque);

/**
 * listener_stop() - take nobody until listener_start(); they wait
 * Context: main thread. Idempotent.
 */
void listener_stop(Listener *listener);

/**
 * listener_accept() - wait for one connection here and now
 * @cancel_fd: gives up with an error when this is readable; -1 for none
 * Context: while stopped; blocks.
 * Errors:  cancelled; the listening itself failed.
 * Returns: the connection's descriptor, the caller's; -1 on error.
 */
int listener_accept(Listener *listener, int cancel_fd, GError **error);

/**
 * listener_free() - stop listening; a UNIX socket's path is removed
 * Context: main thread. Accepts NULL.
 */
void listener_free(Listener *listener);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)

#endif
