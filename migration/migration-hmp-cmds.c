/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HMP commands of migration: they call the QMP ones and print what those
 * return. Run in the main thread under the big lock.
 */
#include "migration/migration-hmp-cmds.h"

#include "migration/migration-text.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "util/error.h"

#define WAIT_POLL_MS 20

void hmp_info_migrate(Hmp *hmp, JsonObject *args)
{
    QmpSession *session = hmp_session(hmp);
    const App *app = qmp_session_app(session);
    g_autoptr(MigrationInfo) info = qmp_query_migrate(session, NULL);
    g_autofree char *globals = migration_globals_text(app->migration);
    g_autofree char *text = migration_info_text(info);

    hmp_printf(hmp, "%s%s", globals, text);
}

void hmp_info_migrate_capabilities(Hmp *hmp, JsonObject *args)
{
    g_autoptr(MigrationCapabilityStatusList) list =
        qmp_query_migrate_capabilities(hmp_session(hmp), NULL);

    for (MigrationCapabilityStatusList *l = list; l; l = l->next) {
        hmp_printf(hmp, "%s: %s\n",
                   MigrationCapability_str(l->value->capability),
                   l->value->state ? "on" : "off");
    }
}

void hmp_info_migrate_parameters(Hmp *hmp, JsonObject *args)
{
    g_autoptr(MigrationParameters) params =
        qmp_query_migrate_parameters(hmp_session(hmp), NULL);
    g_autofree char *text = migration_params_text(params);

    hmp_printf(hmp, "%s", text);
}

/* ---- migrate --------------------------------------------------------- */

static bool has_ended(const MigrationInfo *info)
{
    return !info->has_status || info->status == MIGRATION_STATUS_NONE ||
        info->status == MIGRATION_STATUS_COMPLETED ||
        info->status == MIGRATION_STATUS_FAILED ||
        info->status == MIGRATION_STATUS_CANCELLED;
}

/* A terminal that waits: prompt again once the migration has ended. */
static gboolean poll_end(gpointer opaque)
{
    Hmp *hmp = opaque;
    g_autoptr(MigrationInfo) info = qmp_query_migrate(hmp_session(hmp), NULL);

    if (!has_ended(info)) {
        return G_SOURCE_CONTINUE;
    }
    if (info->error_desc) {
        hmp_printf(hmp, "Error: %s\n", info->error_desc);
    }
    hmp_resume(hmp);
    return G_SOURCE_REMOVE;
}

void hmp_migrate(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    const char *uri = json_object_get_string_member(args, "uri");
    bool detach = json_object_get_boolean_member_with_default(args, "detach",
                                                              FALSE);

    qmp_migrate(hmp_session(hmp), uri, false, NULL, false, false, false, false,
                &error);
    if (hmp_report(hmp, error) || detach) {
        return;
    }
    if (hmp_suspend(hmp)) {
        g_timeout_add(WAIT_POLL_MS, poll_end, hmp);
    } else {
        hmp_printf(hmp, "this monitor cannot wait; the migration goes on\n");
    }
}

/* ---- snapshot_save --------------------------------------------------- */

/* A terminal that watches a snapshot. */
typedef struct SnapshotWatch {
    Hmp *hmp;
    unsigned polls;
} SnapshotWatch;

static void print_progress(Hmp *hmp, const MigrationInfo *info)
{
    const MigrationStats *ram = info->ram;
    uint64_t stall_ns = info->snapshot ? info->snapshot->stalls->max_ns : 0;

    if (ram && ram->total) {
        hmp_printf(hmp, "%3d %%, %" G_GINT64_FORMAT " MiB written, longest "
                   "write stall %" G_GUINT64_FORMAT " us\n",
                   (int)((ram->total - ram->remaining) * 100 / ram->total),
                   ram->transferred >> 20, stall_ns / 1000);
    }
}

static void print_result(Hmp *hmp, const MigrationInfo *info)
{
    if (info->error_desc) {
        hmp_printf(hmp, "Error: %s\n", info->error_desc);
    } else if (info->status != MIGRATION_STATUS_COMPLETED) {
        hmp_printf(hmp, "snapshot %s\n", MigrationStatus_str(info->status));
    } else {
        print_progress(hmp, info);
        hmp_printf(hmp, "snapshot completed in %" G_GINT64_FORMAT " ms, the "
                   "guest paused for %" G_GUINT64_FORMAT " us\n",
                   info->total_time,
                   info->snapshot ? info->snapshot->pause_ns / 1000 : 0);
    }
}

static gboolean poll_snapshot(gpointer opaque)
{
    SnapshotWatch *watch = opaque;
    Hmp *hmp = watch->hmp;
    g_autoptr(MigrationInfo) info = qmp_query_migrate(hmp_session(hmp), NULL);

    if (!has_ended(info)) {
        if (++watch->polls % (1000 / WAIT_POLL_MS) == 0) {
            print_progress(hmp, info);
        }
        return G_SOURCE_CONTINUE;
    }
    print_result(hmp, info);
    hmp_resume(hmp);
    return G_SOURCE_REMOVE;
}

static void watch_snapshot(Hmp *hmp)
{
    SnapshotWatch *watch;

    if (!hmp_suspend(hmp)) {
        hmp_printf(hmp, "this monitor cannot wait; the snapshot goes on\n");
        return;
    }
    watch = g_new0(SnapshotWatch, 1);
    watch->hmp = hmp;
    g_timeout_add_full(G_PRIORITY_DEFAULT, WAIT_POLL_MS, poll_snapshot, watch,
                       g_free);
}

void hmp_snapshot_save(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_x_snapshot_save_file(hmp_session(hmp),
                             json_object_get_string_member(args, "filename"),
                             false, SNAPSHOT_FORMAT_MAPPED, false, true,
                             &error);
    if (!hmp_report(hmp, error) &&
        json_object_get_boolean_member_with_default(args, "wait", FALSE)) {
        watch_snapshot(hmp);
    }
}

void hmp_migrate_cancel(Hmp *hmp, JsonObject *args)
{
    qmp_migrate_cancel(hmp_session(hmp), NULL);
}

void hmp_migrate_continue(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    const char *name = json_object_get_string_member(args, "state");
    MigrationStatus state;

    if (MigrationStatus_parse(name, &state)) {
        qmp_migrate_continue(hmp_session(hmp), state, &error);
    } else {
        tm_error_set(&error, "invalid parameter value: %s", name);
    }
    hmp_report(hmp, error);
}

void hmp_migrate_incoming(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_migrate_incoming(hmp_session(hmp),
                         json_object_get_string_member(args, "uri"), false,
                         NULL, false, false, &error);
    hmp_report(hmp, error);
}

/* ---- settings -------------------------------------------------------- */

void hmp_migrate_set_capability(Hmp *hmp, JsonObject *args)
{
    MigrationCapabilityStatus status = {
        .state = json_object_get_boolean_member(args, "state"),
    };
    MigrationCapabilityStatusList list = { .value = &status };
    const char *name = json_object_get_string_member(args, "capability");
    g_autoptr(GError) error = NULL;

    if (MigrationCapability_parse(name, &status.capability)) {
        qmp_migrate_set_capabilities(hmp_session(hmp), &list, &error);
    } else {
        tm_error_set(&error, "invalid parameter value: %s", name);
    }
    hmp_report(hmp, error);
}

void hmp_migrate_set_parameter(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigrateSetParameters) params = migration_param_from_text(
        json_object_get_string_member(args, "parameter"),
        json_object_get_string_member(args, "value"), 'M', &error);

    if (params) {
        qmp_migrate_set_parameters(hmp_session(hmp), params, &error);
    }
    hmp_report(hmp, error);
}

/* ---- dirty rate ------------------------------------------------------ */

static bool flag(JsonObject *args, const char *name)
{
    return json_object_get_boolean_member_with_default(args, name, FALSE);
}

static bool mode_from_flags(JsonObject *args, DirtyRateMeasureMode *ret,
                            GError **error)
{
    bool ring = flag(args, "dirty_ring"), bitmap = flag(args, "dirty_bitmap");

    if (ring && bitmap) {
        tm_error_set(error, "-r and -b exclude each other");
        return false;
    }
    *ret = ring   ? DIRTY_RATE_MEASURE_MODE_DIRTY_RING
         : bitmap ? DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP
                  : DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
    return true;
}

void hmp_calc_dirty_rate(Hmp *hmp, JsonObject *args)
{
    static const char samples[] = "sample_pages_per_GB";
    int64_t seconds = json_object_get_int_member(args, "second");
    bool has_samples = json_object_has_member(args, samples);
    g_autoptr(GError) error = NULL;
    DirtyRateMeasureMode mode;

    if (mode_from_flags(args, &mode, &error)) {
        qmp_calc_dirty_rate(hmp_session(hmp), seconds, true, TIME_UNIT_SECOND,
                            has_samples, has_samples ?
                            json_object_get_int_member(args, samples) : 0,
                            true, mode, &error);
    }
    if (!hmp_report(hmp, error)) {
        hmp_printf(hmp, "measuring for %" G_GINT64_FORMAT " s; "
                   "'info dirty_rate' will show the result\n", seconds);
    }
}

void hmp_info_dirty_rate(Hmp *hmp, JsonObject *args)
{
    g_autoptr(DirtyRateInfo) info =
        qmp_query_dirty_rate(hmp_session(hmp), true, TIME_UNIT_SECOND, NULL);
    g_autofree char *text = dirty_rate_info_text(info);

    hmp_printf(hmp, "%s", text);
}

/* ---- limits of the dirty rate ---------------------------------------- */

/* The optional last argument of both commands. */
static bool cpu_index(JsonObject *args, int64_t *ret)
{
    bool given = json_object_has_member(args, "cpu_index");

    *ret = given ? json_object_get_int_member(args, "cpu_index") : 0;
    return given;
}

void hmp_set_vcpu_dirty_limit(Hmp *hmp, JsonObject *args)
{
    int64_t rate = json_object_get_int_member(args, "dirty_rate");
    g_autoptr(GError) error = NULL;
    int64_t index;
    bool given = cpu_index(args, &index);

    if (rate < 0) {
        tm_error_set(&error, "'dirty_rate' is MiB per second, not %"
                     G_GINT64_FORMAT, rate);
    } else {
        qmp_set_vcpu_dirty_limit(hmp_session(hmp), given, index, rate, &error);
    }
    if (!hmp_report(hmp, error)) {
        hmp_printf(hmp, "'info vcpu_dirty_limit' shows the limits\n");
    }
}

void hmp_cancel_vcpu_dirty_limit(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    int64_t index;
    bool given = cpu_index(args, &index);

    qmp_cancel_vcpu_dirty_limit(hmp_session(hmp), given, index, &error);
    if (!hmp_report(hmp, error)) {
        hmp_printf(hmp, "'info vcpu_dirty_limit' shows the limits\n");
    }
}

void hmp_info_vcpu_dirty_limit(Hmp *hmp, JsonObject *args)
{
    g_autoptr(DirtyLimitInfoList) list =
        qmp_query_vcpu_dirty_limit(hmp_session(hmp), NULL);
    g_autofree char *text = dirty_limit_info_text(list);

    hmp_printf(hmp, "%s", text);
}
