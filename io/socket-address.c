/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a ChannelAddress and the addresses of the socket calls, both ways.
 */
#include "io/socket-address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "util/error.h"

struct addrinfo *socket_resolve(const ChannelAddress *address, bool passive,
                                GError **error)
{
    g_autofree char *port = g_strdup_printf("%u", address->port);
    const char *host = *address->host ? address->host : NULL;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0),
    };
    struct addrinfo *list = NULL;
    int ret = getaddrinfo(host, port, &hints, &list);

    if (ret != 0) {
        tm_error_set(error, "cannot find host '%s': %s", address->host,
                     gai_strerror(ret));
        return NULL;
    }
    return list;
}

bool socket_fill_unix(struct sockaddr_un *un, const char *path,
                      GError **error)
{
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof(un->sun_path)) {
        tm_error_set(error, "UNIX socket path '%s' is %s", path,
                     len ? "too long" : "empty");
        return false;
    }
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len);
    return true;
}

static ChannelAddress *from_inet(const struct sockaddr_storage *addr)
{
    char host[INET6_ADDRSTRLEN] = "";

    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        return channel_address_new_tcp(host, ntohs(in->sin_port));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        return channel_address_new_tcp(host, ntohs(in6->sin6_port));
    }
}

ChannelAddress *channel_address_of_socket(int fd, bool peer)
{
    struct sockaddr_storage addr = {};
    struct sockaddr_un *un = (struct sockaddr_un *)&addr;
    socklen_t len = sizeof(addr) - 1; /* the path stays terminated */
    int ret = peer ? getpeername(fd, (struct sockaddr *)&addr, &len) :
                     getsockname(fd, (struct sockaddr *)&addr, &len);

    if (ret < 0) {
        return NULL;
    }
    switch (addr.ss_family) {
    case AF_UNIX:
        return channel_address_new_unix(un->sun_path);
    case AF_INET:
    case AF_INET6:
        return from_inet(&addr);
    default:
        return NULL;
    }
}
