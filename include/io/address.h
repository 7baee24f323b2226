/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a channel leads to, and its text form (the migration URI):
 *
 *   unix:PATH              a UNIX stream socket
 *   tcp:HOST:PORT          HOST may be empty, a name, or an IPv6 address in
 *                          brackets; port 0 lets a listener choose
 *   fd:NAME                a descriptor passed by getfd, or its number
 *   exec:COMMAND           given to /bin/sh -c
 *   file:PATH[,offset=N]   N as a size, with unit
 */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum ChannelAddressKind {
    CHANNEL_ADDRESS_UNIX,
    CHANNEL_ADDRESS_TCP,
    CHANNEL_ADDRESS_FD,
    CHANNEL_ADDRESS_EXEC,
    CHANNEL_ADDRESS_FILE,
} ChannelAddressKind;

/* The fields that a kind does not use are NULL or 0. */
typedef struct ChannelAddress {
    ChannelAddressKind kind;
    char *path;       /* unix, file */
    char *host;       /* tcp; "" means any (listen) or this host (connect) */
    uint16_t port;    /* tcp */
    char *fd_name;    /* fd: a name, or a decimal number */
    char **argv;      /* exec, NULL-terminated */
    uint64_t offset;  /* file, bytes */
    bool replace;     /* file: an old one is there until the new one is whole;
                         for writing, with offset 0; not in the text form */
} ChannelAddress;

/**
 * channel_address_parse() - read the text form
 * Errors:  unknown kind (named), a part missing or malformed (quoted).
 * Returns: to be freed with channel_address_free(); NULL on error.
 */
ChannelAddress *channel_address_parse(const char *uri, GError **error);

/** channel_address_new_unix() - a UNIX socket's address */
ChannelAddress *channel_address_new_unix(const char *path);

/** channel_address_new_tcp() - @host as in ChannelAddress, no brackets */
ChannelAddress *channel_address_new_tcp(const char *host, uint16_t port);

/** channel_address_copy() - a copy of its own */
ChannelAddress *channel_address_copy(const ChannelAddress *address);

/** channel_address_free() - accepts NULL */
void channel_address_free(ChannelAddress *address);

/** channel_address_is_socket() - is it unix or tcp, something to listen on */
bool channel_address_is_socket(const ChannelAddress *address);

/**
 * channel_address_to_uri() - the text form
 * A command that is not "/bin/sh -c TEXT" is shown with its words joined by
 * blanks, which is for eyes only; all others parse back to the same address.
 * Returns: to be freed with g_free().
 */
char *channel_address_to_uri(const ChannelAddress *address);

/**
 * channel_address_of_socket() - where a socket is, or leads to
 * @peer: the other end's address instead of our own
 * Returns: NULL if it is not a UNIX or TCP socket or (peer) not connected.
 */
ChannelAddress *channel_address_of_socket(int fd, bool peer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ChannelAddress, channel_address_free)

#endif
