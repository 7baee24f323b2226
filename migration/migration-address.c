/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the members of a MigrationChannel to an address; see
 * migration/migration-address.h. What the schema can say and a channel cannot
 * do is refused, not dropped.
 */
#include "migration/migration-address.h"

#include <gio/gio.h>

#include "util/cutils.h"
#include "util/error.h"

/* ipv4 and ipv6 choose among the addresses of a name; here a numeric host
 * has chosen already. */
static bool check_family(const InetSocketAddress *inet, GError **error)
{
    g_autoptr(GInetAddress) numeric = NULL;
    bool v4 = inet->has_ipv4 ? inet->ipv4 : !(inet->has_ipv6 && inet->ipv6);
    bool v6 = inet->has_ipv6 ? inet->ipv6 : !(inet->has_ipv4 && inet->ipv4);
    GSocketFamily family;

    if (v4 && v6) {
        return true;
    }
    numeric = g_inet_address_new_from_string(inet->host);
    if (!numeric) {
        tm_error_set(error, "'ipv4' and 'ipv6' need a numeric 'host', not "
                     "'%s'", inet->host);
        return false;
    }
    family = g_inet_address_get_family(numeric);
    if (family == G_SOCKET_FAMILY_IPV4 ? !v4 : !v6) {
        tm_error_set(error, "host '%s' is excluded by 'ipv4' and 'ipv6'",
                     inet->host);
        return false;
    }
    return true;
}

static bool from_inet(ChannelAddress *address, const InetSocketAddress *inet,
                      GError **error)
{
    uint64_t port;

    if (inet->has_to || (inet->has_keep_alive && inet->keep_alive)) {
        tm_error_set(error, "'%s' is not supported",
                     inet->has_to ? "to" : "keep-alive");
        return false;
    }
    if (!check_family(inet, error)) {
        return false;
    }
    if (!parse_uint64(inet->port, UINT16_MAX, &port, error)) {
        g_prefix_error(error, "'port': ");
        return false;
    }
    address->kind = CHANNEL_ADDRESS_TCP;
    address->host = g_strdup(inet->host);
    address->port = port;
    return true;
}

static bool from_socket(ChannelAddress *address, const SocketAddress *sa,
                        GError **error)
{
    switch (sa->type) {
    case SOCKET_ADDRESS_TYPE_UNIX:
        address->kind = CHANNEL_ADDRESS_UNIX;
        address->path = g_strdup(sa->u.q_unix.path);
        return true;
    case SOCKET_ADDRESS_TYPE_FD:
        address->kind = CHANNEL_ADDRESS_FD;
        address->fd_name = g_strdup(sa->u.fd.str);
        return true;
    default:
        return from_inet(address, &sa->u.inet, error);
    }
}

static bool from_exec(ChannelAddress *address,
                      const MigrationExecCommand *exec, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    if (!exec->args) {
        tm_error_set(error, "'args' is empty");
        return false;
    }
    for (const strList *arg = exec->args; arg; arg = arg->next) {
        g_ptr_array_add(argv, g_strdup(arg->value));
    }
    g_ptr_array_add(argv, NULL);
    address->kind = CHANNEL_ADDRESS_EXEC;
    address->argv = (char **)g_ptr_array_steal(argv, NULL);
    return true;
}

static bool from_members(ChannelAddress *address, const MigrationAddress *addr,
                         GError **error)
{
    switch (addr->transport) {
    case MIGRATION_ADDRESS_TYPE_SOCKET:
        return from_socket(address, &addr->u.socket, error);
    case MIGRATION_ADDRESS_TYPE_EXEC:
        return from_exec(address, &addr->u.exec, error);
    default:
        address->kind = CHANNEL_ADDRESS_FILE;
        address->path = g_strdup(addr->u.file.filename);
        address->offset = addr->u.file.offset;
        return true;
    }
}

ChannelAddress *
migration_address_from_args(const char *uri,
                            const MigrationChannelList *channels,
                            GError **error)
{
    g_autoptr(ChannelAddress) address = NULL;

    if (!uri == !channels) {
        tm_error_set(error, "need either 'uri' or 'channels' argument");
        return NULL;
    }
    if (uri) {
        return channel_address_parse(uri, error);
    }
    if (channels->value->channel_type != MIGRATION_CHANNEL_TYPE_MAIN) {
        tm_error_set(error, "channel type '%s' is not supported",
                     MigrationChannelType_str(channels->value->channel_type));
        return NULL;
    }
    if (channels->next) {
        tm_error_set(error, "there can be only one channel, of type 'main'");
        return NULL;
    }
    address = g_new0(ChannelAddress, 1);
    return from_members(address, channels->value->addr, error)
        ? g_steal_pointer(&address) : NULL;
}
