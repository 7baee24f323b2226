/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channel addresses and their text form; see include/io/address.h.
 */
#include "io/address.h"

#include <string.h>

#include "util/cutils.h"
#include "util/error.h"

#define OFFSET_OPTION ",offset="

static ChannelAddress *address_new(ChannelAddressKind kind)
{
    ChannelAddress *address = g_new0(ChannelAddress, 1);

    address->kind = kind;
    return address;
}

ChannelAddress *channel_address_new_unix(const char *path)
{
    ChannelAddress *address = address_new(CHANNEL_ADDRESS_UNIX);

    address->path = g_strdup(path);
    return address;
}

ChannelAddress *channel_address_new_tcp(const char *host, uint16_t port)
{
    ChannelAddress *address = address_new(CHANNEL_ADDRESS_TCP);

    address->host = g_strdup(host);
    address->port = port;
    return address;
}

void channel_address_free(ChannelAddress *address)
{
    if (address) {
        g_free(address->path);
        g_free(address->host);
        g_free(address->fd_name);
        g_strfreev(address->argv);
        g_free(address);
    }
}

ChannelAddress *channel_address_copy(const ChannelAddress *address)
{
    ChannelAddress *copy = g_memdup2(address, sizeof(*address));

    copy->path = g_strdup(address->path);
    copy->host = g_strdup(address->host);
    copy->fd_name = g_strdup(address->fd_name);
    copy->argv = g_strdupv(address->argv);
    return copy;
}

bool channel_address_is_socket(const ChannelAddress *address)
{
    return address->kind == CHANNEL_ADDRESS_UNIX ||
           address->kind == CHANNEL_ADDRESS_TCP;
}

static ChannelAddress *parse_unix(const char *rest, GError **error)
{
    if (!*rest) {
        tm_error_set(error, "unix: address has no path");
        return NULL;
    }
    return channel_address_new_unix(rest);
}

/* HOST:PORT, the host in brackets if it has colons of its own. */
static ChannelAddress *parse_tcp(const char *rest, GError **error)
{
    const char *colon = strrchr(rest, ':');
    g_autofree char *host = NULL;
    g_autoptr(GError) why = NULL;
    uint64_t port;

    if (rest[0] == '[') {
        const char *end = strchr(rest, ']');

        if (end && end[1] == ':') {
            host = g_strndup(rest + 1, end - rest - 1);
            colon = end + 1;
        }
    } else if (colon && !memchr(rest, ':', colon - rest)) {
        host = g_strndup(rest, colon - rest);
    }
    if (!host) {
        tm_error_set(error, "'tcp:%s' is not of the form tcp:HOST:PORT, with "
                     "an IPv6 address in brackets", rest);
        return NULL;
    }
    if (!parse_uint64(colon + 1, UINT16_MAX, &port, &why)) {
        tm_error_set(error, "invalid port in 'tcp:%s': %s", rest,
                     why->message);
        return NULL;
    }
    return channel_address_new_tcp(host, port);
}

static ChannelAddress *parse_fd(const char *rest, GError **error)
{
    ChannelAddress *address;

    if (!*rest) {
        tm_error_set(error, "fd: address has no name or number");
        return NULL;
    }
    address = address_new(CHANNEL_ADDRESS_FD);
    address->fd_name = g_strdup(rest);
    return address;
}

static ChannelAddress *parse_exec(const char *rest, GError **error)
{
    const char *argv[] = {"/bin/sh", "-c", rest, NULL};
    ChannelAddress *address;

    if (!*rest) {
        tm_error_set(error, "exec: address has no command");
        return NULL;
    }
    address = address_new(CHANNEL_ADDRESS_EXEC);
    address->argv = g_strdupv((char **)argv);
    return address;
}

static ChannelAddress *parse_file(const char *rest, GError **error)
{
    const char *option = g_strrstr(rest, OFFSET_OPTION);
    size_t path_len = option ? (size_t)(option - rest) : strlen(rest);
    ChannelAddress *address;
    uint64_t offset = 0;

    if (path_len == 0) {
        tm_error_set(error, "file: address has no path");
        return NULL;
    }
    if (option && !parse_size(option + strlen(OFFSET_OPTION), 'B', &offset,
                              error)) {
        g_prefix_error(error, "invalid offset in 'file:%s': ", rest);
        return NULL;
    }
    address = address_new(CHANNEL_ADDRESS_FILE);
    address->path = g_strndup(rest, path_len);
    address->offset = offset;
    return address;
}

ChannelAddress *channel_address_parse(const char *uri, GError **error)
{
    static const struct {
        const char *prefix;
        ChannelAddress *(*parse)(const char *rest, GError **error);
    } kinds[] = {
        {"unix:", parse_unix}, {"tcp:", parse_tcp},   {"fd:", parse_fd},
        {"exec:", parse_exec}, {"file:", parse_file},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (g_str_has_prefix(uri, kinds[i].prefix)) {
            return kinds[i].parse(uri + strlen(kinds[i].prefix), error);
        }
    }
    tm_error_set(error, "'%s' is not an address: it begins with none of "
                 "unix:, tcp:, fd:, exec:, file:", uri);
    return NULL;
}

char *channel_address_to_uri(const ChannelAddress *address)
{
    char **argv = address->argv;

    switch (address->kind) {
    case CHANNEL_ADDRESS_UNIX:
        return g_strdup_printf("unix:%s", address->path);
    case CHANNEL_ADDRESS_TCP:
        return g_strdup_printf(strchr(address->host, ':') ?
                               "tcp:[%s]:%u" : "tcp:%s:%u",
                               address->host, address->port);
    case CHANNEL_ADDRESS_FD:
        return g_strdup_printf("fd:%s", address->fd_name);
    case CHANNEL_ADDRESS_EXEC:
        if (g_strv_length(argv) == 3 && g_str_equal(argv[0], "/bin/sh") &&
            g_str_equal(argv[1], "-c")) {
            return g_strdup_printf("exec:%s", argv[2]);
        } else {
            g_autofree char *line = g_strjoinv(" ", argv);

            return g_strdup_printf("exec:%s", line);
        }
    case CHANNEL_ADDRESS_FILE:
        /* A path that itself ends like an offset needs one behind it. */
        if (address->offset || strstr(address->path, OFFSET_OPTION)) {
            return g_strdup_printf("file:%s" OFFSET_OPTION "%" G_GUINT64_FORMAT,
                                   address->path, address->offset);
        }
        return g_strdup_printf("file:%s", address->path);
    }
    g_assert_not_reached(); /* all kinds are above */
}
