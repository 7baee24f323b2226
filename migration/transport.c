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

uint64_t transport_place(const ChannelAddress *address)
{
    return address ? address->offset : 0;
}

/* What of @options can only be done with a file; or NULL. */
static const char *needs_file(const MigrationOptions *options, bool incoming)
{
    if (migration_options_cap(options, MIGRATION_CAPABILITY_MAPPED_RAM)) {
        return "capability 'mapped-ram'";
    }
    if (migration_options_param(options, MIG_PARAM_DIRECT_IO)) {
        return "parameter 'direct-io'";
    }
    return incoming && migration_options_param(options,
                                               MIG_PARAM_X_RESTORE_MODE) !=
        RESTORE_MODE_AUTO ? "parameter 'x-restore-mode'" : NULL;
}

static bool check_file(const ChannelAddress *address,
                       const MigrationOptions *options, bool incoming,
                       GError **error)
{
    const char *who = needs_file(options, incoming);
    g_autofree char *uri = NULL;

    if (!who || transport_is_storage(address)) {
        return true;
    }
    uri = channel_address_to_uri(address);
    tm_error_set(error, "%s needs a file, 'file:NAME'; '%s' is none", who, uri);
    return false;
}

/* What is for restores by faults only must not be taken without a word. */
static bool check_fault_params(const MigrationOptions *options, GError **error)
{
    static const struct {
        MigParam param;
        const char *name;
    } rows[] = {
        { MIG_PARAM_X_WORKING_SET, "x-working-set" },
        { MIG_PARAM_X_RESTORE_READ_AHEAD, "x-restore-read-ahead" },
        { MIG_PARAM_X_RESTORE_BANDWIDTH, "x-restore-bandwidth" },
    };

    if (migration_options_param(options, MIG_PARAM_X_RESTORE_MODE) ==
        RESTORE_MODE_FAULT) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!migration_options_is_initial(options, rows[i].param)) {
            tm_error_set(error, "parameter '%s' needs 'x-restore-mode' to be "
                         "'fault'", rows[i].name);
            return false;
        }
    }
    return true;
}

bool transport_check_incoming(const ChannelAddress *address,
                              const MigrationOptions *options, GError **error)
{
    return check_fault_params(options, error) &&
           check_file(address, options, true, error);
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
    if (migration_options_param(options, MIG_PARAM_DIRECT_IO) &&
        !migration_options_cap(options, MIGRATION_CAPABILITY_MAPPED_RAM)) {
        tm_error_set(error, "parameter 'direct-io' needs capability "
                     "'mapped-ram'");
        return false;
    }
    return check_file(address, options, false, error);
}

bool transport_check_channel(const Channel *channel,
                             const MigrationOptions *options, bool incoming,
                             GError **error)
{
    const char *who = needs_file(options, incoming);

    if (!who || channel_has_cap(channel, CHANNEL_CAP_SEEK)) {
        return true;
    }
    tm_error_set(error, "%s needs a regular file or a block device; '%s' is "
                 "none", who, channel_name(channel));
    return false;
}

static void connected(Channel *channel, const GError *error, void *opaque)
{
    Migration *m = opaque;
    g_autoptr(GError) unfit = NULL;

    m->connecting = NULL;
    if (channel && !transport_check_channel(channel, &m->options, false,
                                            &unfit)) {
        channel_unref(channel);
        migration_connected(m, NULL, unfit);
    } else {
        migration_connected(m, channel, error);
    }
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
