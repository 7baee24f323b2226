/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outgoing job: start, connect, run in a thread, cancel, end. What the
 * thread does is precopy.c's and switchover.c's; what a query sees is
 * migration-query.c's.
 *
 * The end is one critical section of the big lock: logging off, run state,
 * status. After it the thread needs nothing any more, so that whoever holds
 * the lock may join it.
 */
#include "migration/migration.h"

#include "migration/background-snapshot.h"
#include "migration/blocker.h"
#include "migration/cpu-throttle.h"
#include "migration/incoming.h"
#include "migration/mapped-save.h"
#include "migration/migration-internal.h"
#include "migration/precopy.h"
#include "migration/proof-save.h"
#include "migration/ram.h"
#include "migration/return-path.h"
#include "migration/savevm.h"
#include "migration/switchover.h"
#include "migration/transport.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "util/error.h"
#include "util/thread.h"

Migration *migration_new(Vm *vm, const MigrationObserver *observer,
                         void *opaque)
{
    Migration *m = g_new0(Migration, 1);

    m->vm = vm;
    m->clock = clock_new_host();
    m->observer = *observer;
    m->observer_opaque = opaque;
    migration_options_init(&m->options);
    migration_state_init(&m->state, MIGRATION_ROLE_OUTGOING, observer, opaque);
    migration_stats_init(&m->stats);
    g_cond_init(&m->wake);
    m->incoming = incoming_new(m);
    return m;
}

void migration_free(Migration *m)
{
    GThread *thread;

    if (!m) {
        return;
    }
    migration_cancel(m);
    thread = g_steal_pointer(&m->thread);
    if (thread) {
        big_unlock(); /* it needs the lock to get to its end */
        g_thread_join(thread);
        big_lock();
    }
    incoming_free(m->incoming);
    g_clear_error(&m->error);
    channel_address_free(m->address);
    g_free(m->pause_digest);
    g_free(m->put_back);
    g_cond_clear(&m->wake);
    migration_stats_done(&m->stats);
    clock_free(m->clock);
    g_free(m);
}

void migration_set_channel_env(Migration *m, const ChannelEnv *env)
{
    m->channel_env = *env;
}

void migration_set_dirty_limit(Migration *m, DirtyLimit *limit)
{
    m->dirty_limit = limit;
}

bool migration_is_running(const Migration *m)
{
    return migration_status_is_running(migration_state_get(&m->state));
}

/* Without an error all is where it was to go: a cancel came too late, and to
 * say otherwise would undo nothing. */
static MigrationStatus end_status(const Migration *m, const GError *error)
{
    if (!error) {
        return MIGRATION_STATUS_COMPLETED;
    }
    return migration_state_get(&m->state) == MIGRATION_STATUS_CANCELLING ?
        MIGRATION_STATUS_CANCELLED : MIGRATION_STATUS_FAILED;
}

static void put_options_back(Migration *m)
{
    g_autofree MigrationOptions *old = g_steal_pointer(&m->put_back);

    if (old) {
        migration_options_put_back(&m->options, old);
    }
}

/* An own event, since nobody has to ask for it. */
static void tell_snapshot(Migration *m, MigrationStatus end)
{
    g_autoptr(SnapshotInfo) info = NULL;

    if (m->background && m->observer.snapshot_ended) {
        info = background_snapshot_query(m);
        m->observer.snapshot_ended(m->observer_opaque, end, m->error,
                                   m->stats.end_ns - m->stats.start_ns,
                                   m->stats.transferred_bytes, info);
    }
}

/*
 * The last act, under the big lock: @error is NULL if the guest was handed
 * over, or saved. Whoever cannot be sure that the destination does not run stays
 * stopped.
 */
static void end_locked(Migration *m, const GError *error)
{
    MigrationStatus end;

    cpu_throttle_end(m);
    if (m->background) {
        /* The guest goes on as it does. */
    } else if (!error || m->handover_begun) {
        runstate_set(m->vm, RUN_STATE_POSTMIGRATE);
    } else {
        switchover_undo(m);
    }
    /* It changes every memory slot: the guest shall not stand still for it. */
    cpu_throttle_release(m);
    if (m->log_started) {
        migration_note_clears(m);
        dirty_log_stop(m->vm->map, DIRTY_CLIENT_MIGRATION);
        m->log_started = false;
    }
    /* Only now: the log's end drops the lock while vCPUs are waited for, and
     * it may be cancelled meanwhile. */
    end = end_status(m, error);
    if (end == MIGRATION_STATUS_FAILED) {
        m->error = g_error_copy(error);
    }
    migration_stat_set(&m->stats.end_ns, clock_now_ns(m->clock));
    put_options_back(m);
    migration_state_change(&m->state, migration_state_get(&m->state), end);
    tell_snapshot(m, end);
}

/* What only the thread used. */
static void free_work(Migration *m)
{
    g_clear_pointer(&m->mapped, mapped_save_free);
    g_clear_pointer(&m->out, stream_free);
    g_clear_pointer(&m->return_path, return_path_free);
    g_clear_pointer(&m->precopy, precopy_free);
    g_clear_pointer(&m->savevm, savevm_free);
    g_clear_pointer(&m->proof, proof_save_free);
    g_clear_pointer(&m->ram, ram_save_free);
}

static void end_thread(Migration *m, GError *error)
{
    Channel *channel;

    background_snapshot_release(m); /* first: writers wait */
    if (error && m->handover_begun) {
        g_prefix_error(&error, "the destination may run the guest, the "
                       "source stays stopped: ");
    }
    channel_shutdown(m->channel); /* wakes the return path's reader */
    free_work(m);
    channel_close(m->channel, NULL);
    big_lock();
    channel = g_steal_pointer(&m->channel);
    end_locked(m, error);
    big_unlock();
    channel_unref(channel);
    g_clear_error(&error);
}

static gpointer migration_thread(gpointer opaque)
{
    Migration *m = opaque;
    GError *error = NULL;

    m->out = stream_new_output(m->channel);
    if (m->background) {
        background_snapshot_run(m, &error);
    } else {
        m->precopy = precopy_new(m);
        if (precopy_setup(m->precopy, &error) &&
            precopy_run(m->precopy, &error)) {
            switchover_run(m, &error);
        }
    }
    end_thread(m, error);
    return NULL;
}

void migration_connected(Migration *m, Channel *channel, const GError *error)
{
    g_autoptr(GError) lack = NULL;

    if (!channel) {
        end_locked(m, error);
        return;
    }
    m->channel = channel;
    m->thread = thread_new("migration", migration_thread, m, &lack);
    if (!m->thread) {
        channel_close(channel, NULL);
        g_clear_pointer(&m->channel, channel_unref);
        end_locked(m, lack);
    }
}

static bool check_run_state(const Migration *m, GError **error)
{
    if (vm_condemned(m->vm)) {
        tm_error_set(error, "the guest's memory is lost: %s",
                     vm_condemned(m->vm));
        return false;
    }
    switch (runstate_get(m->vm)) {
    case RUN_STATE_INMIGRATE:
        tm_error_set(error, "the guest waits for an incoming migration");
        return false;
    case RUN_STATE_POSTMIGRATE:
        tm_error_set(error, "the guest was handed over by an earlier "
                     "migration; 'cont' takes it back");
        return false;
    default:
        return true;
    }
}

static bool check_start(const Migration *m, const ChannelAddress *address,
                        GError **error)
{
    g_auto(GStrv) blockers = migration_blockers(m->vm->vmstate);

    if (migration_is_running(m)) {
        tm_error_set(error, "a migration is in progress already");
        return false;
    }
    if (!check_run_state(m, error)) {
        return false;
    }
    if (blockers[0]) {
        g_autofree char *reasons = g_strjoinv("; ", blockers);

        tm_error_set(error, "migration is blocked: %s", reasons);
        return false;
    }
    if (!migration_options_check(&m->options, error)) {
        return false;
    }
    if (background_snapshot_is_wanted(&m->options) &&
        !background_snapshot_check(m, error)) {
        return false;
    }
    return !address || transport_check(address, &m->options, error);
}

/* To status "setup". @address: taken. */
static void begin(Migration *m, ChannelAddress *address)
{
    if (m->thread) {
        g_thread_join(g_steal_pointer(&m->thread)); /* it has ended */
    }
    g_clear_error(&m->error);
    channel_address_free(m->address);
    m->address = address;
    m->go_on = false;
    m->vm_stopped = false;
    m->handover_begun = false;
    m->background = background_snapshot_is_wanted(&m->options);
    m->freeze_known = false;
    g_clear_pointer(&m->pause_digest, g_free);
    __atomic_store_n(&m->cancel, false, __ATOMIC_RELAXED);
    migration_stats_reset(&m->stats, clock_now_ns(m->clock));
    dirty_clear_stats(m->vm->map, &m->clears_before);
    migration_state_change(&m->state, migration_state_get(&m->state),
                           MIGRATION_STATUS_SETUP);
}

bool migration_start(Migration *m, const ChannelAddress *address,
                     GError **error)
{
    /* The main loop tells of the end of it, so not before we return. */
    if (!check_start(m, address, error) || !cpu_throttle_claim(m, error)) {
        return false;
    }
    if (!transport_connect(m, address, error)) {
        cpu_throttle_release(m);
        return false;
    }
    begin(m, channel_address_copy(address));
    return true;
}

/* It is restored by its name in an address, where this would be an option. */
static bool check_file_name(const char *filename, GError **error)
{
    g_autofree char *uri = g_strconcat("file:", filename, NULL);
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, error);

    if (!address) {
        return false;
    }
    if (!g_str_equal(address->path, filename)) {
        tm_error_set(error, "a file to restore from cannot be called '%s', as "
                     "'file:%s' has an option", filename, filename);
        return false;
    }
    return true;
}

bool migration_save_file(Migration *m, const char *filename, bool mapped,
                         bool checksums, GError **error)
{
    ChannelAddress address = {
        .kind = CHANNEL_ADDRESS_FILE,
        .path = (char *)filename,
        .replace = true,
    };
    MigrationOptions *old;

    if (migration_is_running(m)) {
        tm_error_set(error, "a migration is in progress already");
        return false;
    }
    if (!check_file_name(filename, error)) {
        return false;
    }
    old = g_memdup2(&m->options, sizeof(m->options));
    if (!migration_options_for_snapshot(&m->options, mapped, checksums,
                                        error) ||
        !migration_start(m, &address, error)) {
        m->options = *old;
        g_free(old);
        return false;
    }
    m->put_back = old;
    return true;
}

bool migration_start_channel(Migration *m, Channel *channel, GError **error)
{
    if (!check_start(m, NULL, error) || !cpu_throttle_claim(m, error)) {
        return false;
    }
    begin(m, NULL);
    migration_connected(m, channel_ref(channel), NULL);
    return true;
}

void migration_cancel(Migration *m)
{
    MigrationStatus status = migration_state_get(&m->state);

    if (!migration_status_is_running(status) ||
        status == MIGRATION_STATUS_CANCELLING) {
        return;
    }
    if (m->handover_begun) {
        if (m->channel) { /* else it is at its end already */
            channel_shutdown(m->channel);
        }
        return;
    }
    migration_state_change(&m->state, status, MIGRATION_STATUS_CANCELLING);
    __atomic_store_n(&m->cancel, true, __ATOMIC_RELAXED);
    g_cond_broadcast(&m->wake);
    if (m->freeze) {
        ram_freeze_cancel(m->freeze);
    }
    if (transport_cancel(m)) {
        g_autoptr(GError) error = NULL;

        tm_error_set(&error, "migration was cancelled");
        end_locked(m, error);
    } else if (m->channel) {
        channel_shutdown(m->channel);
    }
}

bool migration_continue(Migration *m, MigrationStatus state, GError **error)
{
    MigrationStatus now = migration_state_get(&m->state);

    if (state != MIGRATION_STATUS_PRE_SWITCHOVER || now != state) {
        tm_error_set(error, "migration is in state '%s', not waiting in '%s'",
                     MigrationStatus_str(now), MigrationStatus_str(state));
        return false;
    }
    m->go_on = true;
    g_cond_broadcast(&m->wake);
    return true;
}
