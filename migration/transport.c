/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the address of a migration to its channel; see transport.h.
 */
#include "migration/transport.h"

#include "io/connect.h"
#include "migration/migration-internal.h"
#include "util/error.h"

bool transport_is_storage(const ChannelAddress *address)
{
    return address && address->kind == CHANNEL_ADDRESS_FILE;
}

bool transport_check(const ChannelAddress *address,
                     const MigrationOptions *options, GError **error)
{
    bool one_way = address->kind == CHANNEL_ADDRESS_FILE ||
                   address->kind == CHANNEL_ADDRESS_EXEC;

    if (one_way && migration_options_cap(options,
                                         MIGRATION_CAPABILITY_RETURN_PATH)) {
        tm_error_set(error, "capability 'return-path' needs a channel that "
                     "can be read; '%s:' cannot",
                     address->kind == CHANNEL_ADDRESS_FILE ? "file" : "exec");
        return false;
    }
    return true;
}

static void connected(Channel *channel, const GError *error, void *opaque)
{
    Migration *m = opaque;

    m->connecting = NULL;
    migration_connected(m, channel, error);
}

bool transport_connect(Migration *m, const ChannelAddress *address,
                       GError **error)
{
    m->connecting = connect_start(address, CHANNEL_OUT, &m->channel_env,
                                  connected, m, error);
    return m->connecting != NULL;
}

bool transport_cancel(Migration *m)
{
    if (!m->connecting) {
        return false;
    }
    connect_cancel(g_steal_pointer(&m->connecting));
    return true;
}
