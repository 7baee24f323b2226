/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine and the migration job tell their observers, as QMP events.
 */
#include "system/main-build.h"

#include "accel/accel-ops.h"
#include "qapi/qapi-events.h"
#include "system/main-process.h"
#include "system/runstate.h"
#include "util/clock.h"

static void vm_told(Vm *vm, VmEvent event, void *opaque)
{
    ShutdownCause cause = vm_event_cause(vm);
    bool guest = shutdown_cause_is_guest(cause);

    switch (event) {
    case VM_EVENT_STOP:
        qapi_event_send_stop();
        break;
    case VM_EVENT_RESUME:
        qapi_event_send_resume();
        break;
    case VM_EVENT_SUSPEND:
        qapi_event_send_suspend();
        break;
    case VM_EVENT_WAKEUP:
        qapi_event_send_wakeup();
        break;
    case VM_EVENT_RESET:
        qapi_event_send_reset(guest, cause);
        break;
    case VM_EVENT_POWERDOWN:
        qapi_event_send_powerdown();
        break;
    case VM_EVENT_SHUTDOWN:
        qapi_event_send_shutdown(guest, cause);
        break;
    }
}

/* Once a loss; how often that is, the machine does not choose. */
static void tracking_lost(const char *why, uint64_t count, bool repaired,
                          const char *failure)
{
    qapi_event_send_dirty_tracking_lost(why, count, repaired, failure);
}

void machine_watch_accel(Accel *accel)
{
    accel->tracking_lost = tracking_lost;
}

void machine_watch_events(App *app)
{
    vm_observe(app->vm, vm_told, NULL);
}

static bool events_wanted(const App *app)
{
    return app->migration &&
        migration_get_capability(app->migration, MIGRATION_CAPABILITY_EVENTS);
}

static void migration_status(void *opaque, MigrationStatus status)
{
    if (events_wanted(opaque)) {
        qapi_event_send_migration(status);
    }
}

static void migration_pass(void *opaque, uint64_t pass)
{
    if (events_wanted(opaque)) {
        qapi_event_send_migration_pass(pass);
    }
}

static void migration_snapshot_ended(void *opaque, MigrationStatus end,
                                     const GError *error, uint64_t total_ns,
                                     uint64_t bytes, SnapshotInfo *info)
{
    qapi_event_send_snapshot_ended(end, error ? error->message : NULL,
                                   total_ns / NS_PER_MS, bytes, info);
}

static void migration_restore_ended(void *opaque, const GError *error,
                                    RestoreInfo *info)
{
    qapi_event_send_restore_ended(error ? error->message : NULL, info);
}

static void migration_warning(void *opaque, const char *words)
{
    process_report(words);
}

static void migration_fatal(void *opaque, const GError *error)
{
    App *app = opaque;
    g_autofree char *line = g_strdup_printf("incoming migration failed: %s",
                                            error->message);

    process_report(line);
    vm_shutdown_request_with_code(app->vm, SHUTDOWN_CAUSE_HOST_ERROR, 1);
}

const MigrationObserver machine_migration_observer = {
    .status = migration_status,
    .pass = migration_pass,
    .warning = migration_warning,
    .snapshot_ended = migration_snapshot_ended,
    .restore_ended = migration_restore_ended,
    .incoming_fatal = migration_fatal,
};
