/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Background snapshots; see background-snapshot.h.
 *
 * Three threads: this one writes what was copied, the saver (ram-freeze.c)
 * copies, the vCPUs and devices write memory and wait for the saver. The saver
 * waits for nobody, so this thread may hold the big lock over the pause, in
 * which devices and vCPUs come to rest and go on.
 */
#include "migration/background-snapshot.h"

#include "migration/migration-internal.h"
#include "migration/ram-digest.h"
#include "migration/ram-frozen.h"
#include "migration/ram.h"
#include "migration/save-begin.h"
#include "migration/save-end.h"
#include "migration/savevm.h"
#include "system/big-lock.h"
#include "system/ram-freeze.h"
#include "trace/migration.h"
#include "util/error.h"

bool background_snapshot_is_wanted(const MigrationOptions *o)
{
    return migration_options_cap(o, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT);
}

bool background_snapshot_check(const Migration *m, GError **error)
{
    if (!ram_freeze_probe(m->vm->ram.blocks, NULL, error)) {
        g_prefix_error(error, "capability 'background-snapshot': ");
        return false;
    }
    return true;
}

static bool begin(Migration *m, GError **error)
{
    bool ok;

    big_lock();
    ok = save_begin(m, error);
    big_unlock();
    return ok && save_put_head(m, error) && save_enter_active(m, error);
}

static bool is_cancelled(Migration *m, GError **error)
{
    if (!migration_should_stop(m)) {
        return false;
    }
    tm_error_set(error, "migration was cancelled");
    return true;
}

/* Everybody who looks for the freeze looks under the big lock; who cancels
 * either finds it or is seen here. */
static void publish(Migration *m, RamFreeze *freeze)
{
    ram_frozen_begin(m->ram, freeze);
    big_lock();
    m->freeze = freeze;
    if (migration_should_stop(m)) {
        ram_freeze_cancel(freeze);
    }
    big_unlock();
}

/* ---- what the saver says --------------------------------------------- */

typedef struct Warning {
    Migration *m;
    char *words;
} Warning;

static gboolean warn_now(gpointer opaque)
{
    Warning *warning = opaque;

    if (warning->m->observer.warning) {
        warning->m->observer.warning(warning->m->observer_opaque,
                                     warning->words);
    }
    return G_SOURCE_REMOVE;
}

static void warning_free(gpointer opaque)
{
    g_free(((Warning *)opaque)->words);
    g_free(opaque);
}

/* By the main loop: the saver must not wait, not even for a full pipe behind
 * the standard error. */
static void warn_later(void *opaque, const char *words)
{
    Warning *warning = g_new0(Warning, 1);

    warning->m = opaque;
    warning->words = g_strdup(words);
    g_idle_add_full(G_PRIORITY_DEFAULT, warn_now, warning, warning_free);
}

/* The channel may be what holds this thread up. */
static void freeze_failed(void *opaque)
{
    channel_shutdown(((Migration *)opaque)->channel);
}

static bool arm(Migration *m, GError **error)
{
    RamFreezeConfig config = {
        .report = warn_later,
        .failed = freeze_failed,
        .opaque = m,
        .blocks = ram_save_blocks(m->ram),
        .list = &m->vm->ram,
        .pool_bytes =
            migration_options_param(&m->options,
                                    MIG_PARAM_X_SNAPSHOT_POOL_SIZE),
        .detect_zero =
            migration_options_param(&m->options,
                                    MIG_PARAM_ZERO_PAGE_DETECTION) !=
            ZERO_PAGE_DETECTION_NONE,
    };
    RamFreeze *freeze = ram_freeze_new(&config, error);

    if (freeze) {
        publish(m, freeze);
    }
    if (!freeze || !ram_freeze_arm(freeze, error)) {
        g_prefix_error(error, "cannot protect the guest's memory: ");
        return false;
    }
    return !is_cancelled(m, error);
}

/* ---- the pause ------------------------------------------------------- */

/* Returns: whether it was us who stopped it. */
static bool stop_machine(Migration *m)
{
    savevm_note_runstate(m->savevm);
    migration_stat_set(&m->stats.vcpu_stop_ns,
                       vm_stop_changing(m->vm, RUN_STATE_SAVE_VM));
    if (runstate_get(m->vm) != RUN_STATE_SAVE_VM) {
        savevm_note_runstate(m->savevm);
        return false;
    }
    savevm_note_sleep(m->savevm);
    return true;
}

static bool note_digest(Migration *m, GError **error)
{
    g_autoptr(RamDigest) digest = NULL;

    if (!m->options.props.pause_digest) {
        return true;
    }
    digest = ram_digest(m->vm, error);
    g_free(m->pause_digest);
    m->pause_digest = digest ? g_strdup(digest->digest) : NULL;
    return digest;
}

static bool freeze_all(Migration *m, GError **error)
{
    if (vm_stop_is_asked(m->vm)) {
        /* It would be started again, where nobody knows that it must not. */
        tm_error_set(error, "the guest has just stopped by itself");
        return false;
    }
    return savevm_collect_devices(m->savevm, error) &&
           ram_freeze_now(m->freeze, error) && note_digest(m, error);
}

/* All within one change of the run state: the lock is dropped while vCPUs are
 * waited for, and again while they tell their registers. A "stop" that came
 * then would be undone by our start, a "cont" or a reset would change what is
 * being saved; so they wait, and act on the guest that goes on. */
static bool pause_changing(Migration *m, GError **error)
{
    int64_t start_ns = clock_now_ns(m->clock);
    bool stopped = stop_machine(m);
    bool ok = freeze_all(m, error);

    /* Writes guest memory: from here on the saver copies. */
    if (stopped && runstate_get(m->vm) == RUN_STATE_SAVE_VM) {
        vm_start_changing(m->vm);
    }
    if (stopped) {
        migration_stat_set(&m->stats.downtime_ns,
                           clock_now_ns(m->clock) - start_ns);
    }
    trace_background_snapshot_pause(m->stats.downtime_ns,
                                    m->stats.vcpu_stop_ns);
    return ok;
}

static bool pause_guest(Migration *m, GError **error)
{
    bool ok;

    big_lock();
    vm_change_begin(m->vm);
    ok = pause_changing(m, error);
    vm_change_end(m->vm);
    big_unlock();
    return ok;
}

/* ---- saving ---------------------------------------------------------- */

static void note_progress(Migration *m, BandwidthMeter *bytes,
                          BandwidthMeter *pages)
{
    MigrationCounters *stats = &m->stats;
    int64_t now_ns = clock_now_ns(m->clock);

    migration_stat_set(&stats->transferred_bytes, stream_bytes(m->out));
    migration_stat_set(&stats->bandwidth_bps,
                       bandwidth_meter_update(bytes, now_ns,
                                              stats->transferred_bytes));
    migration_stat_set(&stats->pages_per_s,
                       bandwidth_meter_update(pages, now_ns,
                                              stats->taken_pages));
}

static bool save_pages(Migration *m, GError **error)
{
    BandwidthMeter bytes, pages;
    int64_t now_ns = clock_now_ns(m->clock);

    bandwidth_meter_init(&bytes, now_ns, m->stats.transferred_bytes);
    bandwidth_meter_init(&pages, now_ns, 0);
    while (!ram_frozen_is_over(m->ram)) {
        int n;

        if (is_cancelled(m, error)) {
            return false;
        }
        n = ram_frozen_wait(m->ram,
                            migration_options_param(&m->options,
                                                    MIG_PARAM_MAX_BANDWIDTH),
                            error);
        if (n < 0 || (n > 0 &&
                      savevm_iterate(m->savevm, m->out, error) < 0)) {
            return false;
        }
        stream_flush(m->out); /* an error sticks; the next part reports it */
        note_progress(m, &bytes, &pages);
    }
    return true;
}

/*
 * What the target has still buffered fails here at the latest. A file that is
 * sealed can be restored, and a cancel comes too late for it; another target
 * is cancelled until it is closed, for the close of one that was shut down
 * says nothing.
 */
static bool save_rest(Migration *m, GError **error)
{
    bool sealed = save_is_sealed(m);

    return savevm_put_devices(m->savevm, m->out, error) &&
           !is_cancelled(m, error) && save_put_end(m, error) &&
           channel_close(m->channel, error) &&
           (sealed || !is_cancelled(m, error));
}

/* If the freeze has failed, that is why the channel was shut down. */
static void prefer_cause(Migration *m, GError **error)
{
    g_autoptr(GError) cause = NULL;
    RamCopy copy;

    if (m->freeze && !migration_should_stop(m) &&
        ram_freeze_take(m->freeze, &copy, 1, true, 0, &cause) < 0) {
        g_clear_error(error);
        g_propagate_error(error, g_steal_pointer(&cause));
    }
}

bool background_snapshot_run(Migration *m, GError **error)
{
    bool ok = begin(m, error) && arm(m, error) && pause_guest(m, error) &&
              save_pages(m, error) && save_rest(m, error);

    if (!ok) {
        prefer_cause(m, error);
    }
    return ok;
}

/* ---- the end, and what it tells -------------------------------------- */

void background_snapshot_release(Migration *m)
{
    RamFreeze *freeze = m->freeze; /* changed by this thread only */

    if (!freeze) {
        return;
    }
    /* Before the numbers are kept: who waits until now belongs to them. */
    ram_freeze_end(freeze);
    big_lock();
    m->freeze = NULL;
    ram_freeze_stats(freeze, &m->freeze_stats);
    m->freeze_known = true;
    big_unlock();
    ram_freeze_free(freeze);
}

static WriteStalls *query_stalls(const HistogramSummary *summary)
{
    WriteStalls *stalls = g_new0(WriteStalls, 1);

    stalls->count = summary->count;
    stalls->total_ns = summary->total;
    stalls->max_ns = summary->max;
    stalls->p50_ns = summary->p50;
    stalls->p99_ns = summary->p99;
    stalls->p999_ns = summary->p999;
    return stalls;
}

SnapshotInfo *background_snapshot_query(const Migration *m)
{
    RamFreezeStats now = m->freeze_stats;
    SnapshotInfo *info;

    if (m->freeze) {
        ram_freeze_stats(m->freeze, &now);
    } else if (!m->freeze_known) {
        return NULL;
    }
    info = g_new0(SnapshotInfo, 1);
    info->pause_ns = migration_stat_get(&m->stats.downtime_ns);
    info->arm_ns = now.arm_ns;
    info->freeze_ns = now.freeze_ns;
    info->rearmed_pages = now.noted_pages;
    info->stalls = query_stalls(&now.stalls);
    info->oldest_wait_ns = now.oldest_fault_ns;
    info->faulted_pages = now.faulted_pages;
    info->scanned_pages = now.scanned_pages;
    info->zero_pages = now.zero_pages;
    info->pool_bytes = now.pool_pages << TM_PAGE_BITS;
    info->pool_peak_bytes = now.pool_high_pages << TM_PAGE_BITS;
    info->pool_overdraft_bytes = now.overdraft_high_pages << TM_PAGE_BITS;
    info->pool_waits = now.full_waits;
    info->pool_wait_ns = now.full_wait_ns;
    info->pause_digest = g_strdup(m->pause_digest);
    return info;
}
