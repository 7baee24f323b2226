/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switch-over; see switchover.h. The downtime clock runs from the moment
 * the vCPUs are asked to stop until the last byte has left (with a return
 * path: until the destination has confirmed).
 *
 * Under the big lock: stop, last sync, device state into memory. Without it:
 * everything that goes through the channel. Between the two nothing changes
 * the machine: it is stopped, a reset waits for the end of the migration, and
 * a command that starts it is refused in "finish-migrate".
 */
#include "migration/switchover.h"

#include "migration/migration-internal.h"
#include "migration/precopy.h"
#include "migration/ram.h"
#include "migration/return-path.h"
#include "migration/save-end.h"
#include "migration/savevm.h"
#include "migration/transport.h"
#include "system/big-lock.h"
#include "trace/migration.h"
#include "util/error.h"

static bool is_live(RunState state)
{
    return state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED;
}

static void stop_machine(Migration *m)
{
    uint64_t stop_ns;

    if (!m->vm_stopped) {
        migration_stat_set(&m->stats.down_ns, clock_now_ns(m->clock));
        m->vm_old_state = runstate_get(m->vm);
        savevm_note_runstate(m->savevm);
        m->vm_stopped = true;
    }
    stop_ns = vm_stop(m->vm, RUN_STATE_FINISH_MIGRATE);
    savevm_note_sleep(m->savevm);
    if (stop_ns > m->stats.vcpu_stop_ns) {
        migration_stat_set(&m->stats.vcpu_stop_ns, stop_ns);
    }
}

/* Wait for migrate-continue (or a cancel). */
static MigrationStatus pause_before(Migration *m)
{
    if (!migration_state_change(&m->state, MIGRATION_STATUS_ACTIVE,
                                MIGRATION_STATUS_PRE_SWITCHOVER)) {
        return MIGRATION_STATUS_ACTIVE;
    }
    while (!m->go_on && migration_state_get(&m->state) ==
                            MIGRATION_STATUS_PRE_SWITCHOVER) {
        big_lock_wait(&m->wake);
    }
    return MIGRATION_STATUS_PRE_SWITCHOVER;
}

/* To status "device", the machine stopped. */
static bool enter_device(Migration *m, GError **error)
{
    MigrationStatus from = MIGRATION_STATUS_ACTIVE;

    stop_machine(m);
    if (migration_options_cap(&m->options,
                              MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER)) {
        from = pause_before(m);
    }
    if (!migration_state_change(&m->state, from, MIGRATION_STATUS_DEVICE)) {
        tm_error_set(error, "migration was cancelled");
        return false;
    }
    if (vm_stop_is_asked(m->vm)) {
        /* It would go on elsewhere, where nobody knows that it must not. */
        tm_error_set(error, "the guest has just stopped by itself");
        return false;
    }
    if (is_live(runstate_get(m->vm))) {
        tm_error_set(error, "the machine does not stay stopped: it is in "
                     "state '%s'", RunState_str(runstate_get(m->vm)));
        return false;
    }
    return true;
}

/* All that needs a machine that stands still and the big lock. */
static bool freeze_locked(Migration *m, GError **error)
{
    if (!enter_device(m, error) || !precopy_sync(m->precopy, error)) {
        return false;
    }
    ram_save_set_down(m->ram);
    return savevm_collect_devices(m->savevm, error);
}

/* Everything but the end byte; until here the destination cannot start. */
static bool send_rest(Migration *m, GError **error)
{
    bool ok = savevm_put_switchover_start(m->savevm, m->out, error) &&
              savevm_complete(m->savevm, m->out, error) &&
              savevm_put_devices(m->savevm, m->out, error);

    migration_stat_set(&m->stats.transferred_bytes, stream_bytes(m->out));
    return ok;
}

/* From here on a cancel comes too late. */
static bool begin_handover(Migration *m, GError **error)
{
    bool ok;

    big_lock();
    ok = migration_state_get(&m->state) == MIGRATION_STATUS_DEVICE;
    m->handover_begun = ok;
    big_unlock();
    if (!ok) {
        tm_error_set(error, "migration was cancelled");
    }
    return ok;
}

/*
 * The destination's word counts for more than how our last write ended: it
 * may have all it needs although its end closed early.
 */
static bool hear_destination(Migration *m, bool sent, GError **error)
{
    g_autoptr(GError) heard = NULL;

    if (return_path_wait_shut(m->return_path, &heard)) {
        g_clear_error(error);
        return true;
    }
    if (return_path_refused(m->return_path)) {
        m->handover_begun = false;
    }
    if (sent || !m->handover_begun) {
        g_clear_error(error);
        g_propagate_error(error, g_steal_pointer(&heard));
    }
    return false;
}

static bool put_end(Migration *m, GError **error)
{
    bool ok = save_put_end(m, error);

    if (m->return_path) {
        return hear_destination(m, ok, error);
    }
    /* What was still buffered below us fails here at the latest. */
    return ok && channel_close(m->channel, error);
}

static void stop_clock(Migration *m)
{
    migration_stat_set(&m->stats.downtime_ns,
                       clock_now_ns(m->clock) - m->stats.down_ns);
    trace_migration_handover(m->stats.transferred_bytes,
                             m->stats.downtime_ns);
}

bool switchover_run(Migration *m, GError **error)
{
    bool ok;

    big_lock();
    ok = freeze_locked(m, error);
    big_unlock();
    if (!ok || !send_rest(m, error) || !begin_handover(m, error)) {
        return false;
    }
    ok = put_end(m, error);
    stop_clock(m);
    if (!ok && m->handover_begun && transport_is_storage(m->address)) {
        /* A file runs nothing; what could not be written whole is no copy. */
        m->handover_begun = false;
    }
    return ok;
}

void switchover_undo(Migration *m)
{
    if (!m->vm_stopped) {
        return;
    }
    m->vm_stopped = false;
    if (runstate_get(m->vm) != RUN_STATE_FINISH_MIGRATE) {
        return; /* somebody has said meanwhile what it is to be */
    }
    if (vm_is_to_stay(m->vm)) {
        runstate_set(m->vm, RUN_STATE_PAUSED);
    } else if (is_live(m->vm_old_state)) {
        vm_start(m->vm);
    } else {
        runstate_set(m->vm, m->vm_old_state);
    }
}
