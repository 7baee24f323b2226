/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of the migration's commands that only note what they were given.
 */
#include "fake-machine.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

static FakeMachine *machine_of(QmpSession *session)
{
    return qmp_session_app(session);
}

MigrationInfo *qmp_query_migrate(QmpSession *session, GError **error)
{
    return g_new0(MigrationInfo, 1);
}

bool qmp_migrate_set_capabilities(QmpSession *session,
                                  MigrationCapabilityStatusList *capabilities,
                                  GError **error)
{
    for (; capabilities; capabilities = capabilities->next) {
        g_string_append_printf(machine_of(session)->log, "%s=%d;",
                               MigrationCapability_str(
                                   capabilities->value->capability),
                               capabilities->value->state);
    }
    return true;
}

MigrationCapabilityStatusList *
qmp_query_migrate_capabilities(QmpSession *session, GError **error)
{
    return NULL;
}

bool qmp_migrate_set_parameters(QmpSession *session,
                                MigrateSetParameters *arg, GError **error)
{
    g_string_append_printf(machine_of(session)->log, "channels=%d;",
                           arg->has_multifd_channels ?
                           arg->multifd_channels : -1);
    return true;
}

MigrationParameters *qmp_query_migrate_parameters(QmpSession *session,
                                                  GError **error)
{
    return g_new0(MigrationParameters, 1);
}

bool qmp_x_snapshot_save_file(QmpSession *session, const char *filename,
                              bool has_format, SnapshotFormat format,
                              bool has_checksums, bool checksums,
                              GError **error)
{
    g_string_append_printf(machine_of(session)->log, "snapshot=%s;",
                           filename);
    return true;
}

bool qmp_migrate(QmpSession *session, const char *uri, bool has_channels,
                 MigrationChannelList *channels, bool has_detach, bool detach,
                 bool has_resume, bool resume, GError **error)
{
    if (!uri == !has_channels) {
        tm_error_set(error, "need either 'uri' or 'channels' argument");
        return false;
    }
    if (channels) {
        SocketAddress *address = &channels->value->addr->u.socket;

        g_string_append_printf(machine_of(session)->log, "migrate to %s:%s;",
                               address->u.inet.host, address->u.inet.port);
    } else {
        g_string_append_printf(machine_of(session)->log, "migrate to %s;",
                               uri);
    }
    return true;
}

bool qmp_migrate_incoming(QmpSession *session, const char *uri,
                          bool has_channels, MigrationChannelList *channels,
                          bool has_exit_on_error, bool exit_on_error,
                          GError **error)
{
    return true;
}

bool qmp_migrate_cancel(QmpSession *session, GError **error)
{
    return true;
}

bool qmp_migrate_continue(QmpSession *session, MigrationStatus state,
                          GError **error)
{
    return true;
}

bool qmp_calc_dirty_rate(QmpSession *session, int64_t calc_time,
                         bool has_calc_time_unit, TimeUnit calc_time_unit,
                         bool has_sample_pages, int64_t sample_pages,
                         bool has_mode, DirtyRateMeasureMode mode,
                         GError **error)
{
    return true;
}

DirtyRateInfo *qmp_query_dirty_rate(QmpSession *session,
                                    bool has_calc_time_unit,
                                    TimeUnit calc_time_unit, GError **error)
{
    return g_new0(DirtyRateInfo, 1);
}

bool qmp_set_vcpu_dirty_limit(QmpSession *session, bool has_cpu_index,
                              int64_t cpu_index, uint64_t dirty_rate,
                              GError **error)
{
    return true;
}

bool qmp_cancel_vcpu_dirty_limit(QmpSession *session, bool has_cpu_index,
                                 int64_t cpu_index, GError **error)
{
    return true;
}

DirtyLimitInfoList *qmp_query_vcpu_dirty_limit(QmpSession *session,
                                               GError **error)
{
    return NULL;
}
