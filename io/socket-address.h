/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a ChannelAddress to what the socket calls take; private to io/.
 */
#ifndef IO_SOCKET_ADDRESS_H
#define IO_SOCKET_ADDRESS_H

#include <glib.h>
#include <netdb.h>
#include <stdbool.h>
#include <sys/un.h>

#include "io/address.h"

/**
 * socket_resolve() - all addresses of a tcp: address
 * @passive: an empty host means any of ours (to listen on), else this host
 * Context: any thread; may ask a name server and take its time.
 * Errors:  the name is unknown.
 * Returns: a list for freeaddrinfo(); NULL on error.
 */
struct addrinfo *socket_resolve(const ChannelAddress *address, bool passive,
                                GError **error);

/**
 * socket_fill_unix() - the socket address of a path
 * Errors:  the path is empty or longer than a socket address holds.
 */
bool socket_fill_unix(struct sockaddr_un *un, const char *path,
                      GError **error);

#endif
