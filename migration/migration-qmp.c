/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The QMP commands of migration: arguments in, one call of the job, its answer
 * out. Run in the main thread under the big lock.
 */
#include "migration/dirtylimit.h"
#include "migration/dirtyrate.h"
#include "migration/migration-address.h"
#include "migration/migration.h"
#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "util/error.h"

static Migration *job_of(QmpSession *session)
{
    return ((App *)qmp_session_app(session))->migration;
}

MigrationInfo *qmp_query_migrate(QmpSession *session, GError **error)
{
    return migration_query(job_of(session));
}

bool qmp_migrate_set_capabilities(QmpSession *session,
                                  MigrationCapabilityStatusList *capabilities,
                                  GError **error)
{
    return migration_set_capabilities(job_of(session), capabilities, error);
}

MigrationCapabilityStatusList *
qmp_query_migrate_capabilities(QmpSession *session, GError **error)
{
    MigrationCapabilityStatusList *list = NULL, **tail = &list;

    for (unsigned i = 0; i < MIGRATION_CAPABILITY__MAX; i++) {
        MigrationCapabilityStatus *status =
            g_new0(MigrationCapabilityStatus, 1);

        status->capability = i;
        status->state = migration_get_capability(job_of(session), i);
        QAPI_LIST_APPEND(tail, status);
    }
    return list;
}

bool qmp_migrate_set_parameters(QmpSession *session, MigrateSetParameters *arg,
                                GError **error)
{
    return migration_set_parameters(job_of(session), arg, error);
}

MigrationParameters *qmp_query_migrate_parameters(QmpSession *session,
                                                  GError **error)
{
    return migration_get_parameters(job_of(session));
}

/* A list without channels is an argument too. */
static ChannelAddress *address_from_args(const char *uri, bool has_channels,
                                         const MigrationChannelList *channels,
                                         GError **error)
{
    if (has_channels && !channels) {
        tm_error_set(error, uri ? "need either 'uri' or 'channels' argument" :
                     "'channels' has no channel of type 'main'");
        return NULL;
    }
    return migration_address_from_args(uri, channels, error);
}

bool qmp_migrate(QmpSession *session, const char *uri, bool has_channels,
                 MigrationChannelList *channels, bool has_detach, bool detach,
                 bool has_resume, bool resume, GError **error)
{
    g_autoptr(ChannelAddress) address = NULL;

    if (has_resume && resume) {
        tm_error_set(error, "cannot resume: capability 'postcopy-ram' is not "
                     "supported");
        return false;
    }
    address = address_from_args(uri, has_channels, channels, error);
    return address && migration_start(job_of(session), address, error);
}

bool qmp_migrate_incoming(QmpSession *session, const char *uri,
                          bool has_channels, MigrationChannelList *channels,
                          bool has_exit_on_error, bool exit_on_error,
                          GError **error)
{
    g_autoptr(ChannelAddress) address =
        address_from_args(uri, has_channels, channels, error);

    return address &&
        migration_incoming_start(job_of(session), address,
                                 !has_exit_on_error || exit_on_error, error);
}

bool qmp_migrate_cancel(QmpSession *session, GError **error)
{
    migration_cancel(job_of(session));
    return true;
}

bool qmp_migrate_continue(QmpSession *session, MigrationStatus state,
                          GError **error)
{
    return migration_continue(job_of(session), state, error);
}

bool qmp_x_snapshot_save_file(QmpSession *session, const char *filename,
                              bool has_format, SnapshotFormat format,
                              bool has_checksums, bool checksums,
                              GError **error)
{
    bool mapped = !has_format || format == SNAPSHOT_FORMAT_MAPPED;

    return migration_save_file(job_of(session), filename, mapped,
                               !has_checksums || checksums, error);
}

/* ---- dirty rate ------------------------------------------------------ */

static DirtyRate *dirty_rate_of(QmpSession *session)
{
    return ((App *)qmp_session_app(session))->dirty_rate;
}

bool qmp_calc_dirty_rate(QmpSession *session, int64_t calc_time,
                         bool has_calc_time_unit, TimeUnit calc_time_unit,
                         bool has_sample_pages, int64_t sample_pages,
                         bool has_mode, DirtyRateMeasureMode mode,
                         GError **error)
{
    DirtyRateRequest request = {
        .mode = has_mode ? mode : DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING,
        .calc_time = calc_time,
        .unit = has_calc_time_unit ? calc_time_unit : TIME_UNIT_SECOND,
        .has_sample_pages = has_sample_pages,
        .sample_pages = sample_pages,
    };

    return dirty_rate_start(dirty_rate_of(session), &request, error);
}

DirtyRateInfo *qmp_query_dirty_rate(QmpSession *session,
                                    bool has_calc_time_unit,
                                    TimeUnit calc_time_unit, GError **error)
{
    return dirty_rate_query(dirty_rate_of(session), has_calc_time_unit ?
                            calc_time_unit : TIME_UNIT_SECOND);
}

/* ---- limits of the dirty rate ---------------------------------------- */

static DirtyLimit *dirty_limit_of(QmpSession *session)
{
    return ((App *)qmp_session_app(session))->dirty_limit;
}

bool qmp_set_vcpu_dirty_limit(QmpSession *session, bool has_cpu_index,
                              int64_t cpu_index, uint64_t dirty_rate,
                              GError **error)
{
    return dirty_limit_set(dirty_limit_of(session),
                           has_cpu_index ? &cpu_index : NULL, dirty_rate,
                           error);
}

bool qmp_cancel_vcpu_dirty_limit(QmpSession *session, bool has_cpu_index,
                                 int64_t cpu_index, GError **error)
{
    return dirty_limit_cancel(dirty_limit_of(session),
                              has_cpu_index ? &cpu_index : NULL, error);
}

DirtyLimitInfoList *qmp_query_vcpu_dirty_limit(QmpSession *session,
                                               GError **error)
{
    return dirty_limit_query(dirty_limit_of(session));
}
