/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What "query-migrate" tells: the job's counters in the schema's members and
 * units. Reads numbers that the migration thread is writing.
 */
#include "migration/migration.h"

#include "accel/accel-ops.h"
#include "migration/background-snapshot.h"
#include "migration/blocker.h"
#include "migration/dirtylimit.h"
#include "migration/incoming.h"
#include "migration/migration-internal.h"
#include "util/clock.h"

#define GET(field) migration_stat_get(&m->stats.field)

void migration_note_clears(Migration *m)
{
    const DirtyClearStats *before = &m->clears_before;
    DirtyClearStats now;

    dirty_clear_stats(m->vm->map, &now);
    migration_stat_set(&m->stats.clear_calls, now.calls - before->calls);
    migration_stat_set(&m->stats.clear_pages, now.pages - before->pages);
    migration_stat_set(&m->stats.clear_span_pages,
                       now.span_pages - before->span_pages);
    migration_stat_set(&m->stats.clear_ns, now.time_ns - before->time_ns);
}

/* Megabits per second: of the last window, or of the whole run. */
static double query_mbps(Migration *m, bool completed, uint64_t total_ns)
{
    uint64_t bps = completed
                       ? migration_stats_bps(GET(transferred_bytes), total_ns)
                       : GET(bandwidth_bps);

    return bps * 8 / 1e6;
}

static MigrationStats *query_ram(Migration *m, bool completed,
                                 uint64_t total_ns)
{
    MigrationStats *ram = g_new0(MigrationStats, 1);

    ram->transferred = GET(transferred_bytes);
    ram->remaining = completed ? 0 : GET(remaining_pages) << TM_PAGE_BITS;
    ram->total = GET(total_bytes);
    ram->duplicate = GET(zero_pages);
    ram->normal = GET(normal_pages);
    ram->normal_bytes = GET(normal_pages) << TM_PAGE_BITS;
    ram->dirty_pages_rate = GET(dirty_pages_per_s);
    ram->mbps = query_mbps(m, completed, total_ns);
    ram->dirty_sync_count = GET(sync_count);
    ram->page_size = TM_PAGE_BYTES;
    ram->pages_per_second = GET(pages_per_s);
    ram->precopy_bytes = GET(precopy_bytes);
    ram->downtime_bytes = GET(downtime_bytes);
    return ram;
}

static MigrationRoundInfo *query_round(const MigrationRound *round)
{
    MigrationRoundInfo *info = g_new0(MigrationRoundInfo, 1);

    info->round = round->number;
    info->dirty_pages = round->dirty_pages;
    info->new_pages = round->new_pages;
    info->sent_bytes = round->sent_bytes;
    info->duration = round->duration_ns;
    info->bandwidth = round->bandwidth_bps;
    info->dirty_rate = round->dirty_bps;
    info->expected_downtime = round->expected_downtime_ms;
    info->throttle = round->throttle_percent;
    info->verdict = g_strdup(round->verdict);
    info->reason = g_strdup(round->reason);
    return info;
}

static MigrationRoundInfoList *query_rounds(Migration *m)
{
    g_autofree MigrationRound *rounds =
        g_new(MigrationRound, MIGRATION_ROUNDS_KEPT);
    unsigned n = migration_stats_rounds(&m->stats, rounds);
    MigrationRoundInfoList *list = NULL;

    while (n-- > 0) {
        MigrationRoundInfoList *node = g_new0(MigrationRoundInfoList, 1);

        node->value = query_round(&rounds[n]);
        node->next = list;
        list = node;
    }
    return list;
}

static MigrationTidemarkStats *query_tidemark(Migration *m)
{
    MigrationTidemarkStats *costs = g_new0(MigrationTidemarkStats, 1);
    const Accel *accel = m->vm->accel;

    if (m->log_started) {
        migration_note_clears(m);
    }
    costs->dirty_tracking = g_strdup(
        accel && accel->dirty_mode ? accel->dirty_mode : "none");
    costs->chunk_clears = GET(chunk_clears);
    costs->clear_calls = GET(clear_calls);
    costs->cleared_pages = GET(clear_pages);
    costs->clear_span_pages = GET(clear_span_pages);
    costs->sync_time_ns = GET(sync_ns);
    costs->clear_time_ns = GET(clear_ns);
    costs->longest_vcpu_stop_ns = GET(vcpu_stop_ns);
    costs->rounds = query_rounds(m);
    return costs;
}

static void query_times(Migration *m, MigrationInfo *info, bool completed,
                        uint64_t total_ns)
{
    uint64_t expected_ms = GET(expected_downtime_ms);

    info->has_total_time = true;
    info->total_time = total_ns / NS_PER_MS;
    info->has_setup_time = true;
    info->setup_time = GET(setup_ns) / NS_PER_MS;
    if (completed) {
        info->has_downtime = true;
        info->downtime = GET(downtime_ns) / NS_PER_MS;
    } else {
        info->has_expected_downtime = true;
        /* Nothing was measured yet: what is aimed at. */
        info->expected_downtime =
            expected_ms && expected_ms < INT64_MAX
                ? expected_ms
                : migration_options_param(&m->options,
                                          MIG_PARAM_DOWNTIME_LIMIT);
    }
}

/* While vCPUs are limited by this job, and not by the user beside it. */
static void query_limit(Migration *m, MigrationInfo *info)
{
    DirtyLimitStats stats;

    if (migration_options_cap(&m->options, MIGRATION_CAPABILITY_DIRTY_LIMIT) &&
        m->dirty_limit && dirty_limit_stats(m->dirty_limit, &stats)) {
        info->has_dirty_limit_throttle_time_per_round = true;
        info->dirty_limit_throttle_time_per_round = stats.sleep_us;
        info->has_dirty_limit_ring_full_time = true;
        info->dirty_limit_ring_full_time = stats.ring_full_us;
    }
}

/* The members that mean something while pages move and after success. */
static void query_numbers(Migration *m, MigrationInfo *info, bool completed)
{
    uint64_t end_ns = completed ? GET(end_ns) : clock_now_ns(m->clock);
    uint64_t total_ns = end_ns - GET(start_ns);

    query_times(m, info, completed, total_ns);
    info->ram = query_ram(m, completed, total_ns);
    info->tidemark = query_tidemark(m);
    if (GET(throttle_percent)) {
        info->has_cpu_throttle_percentage = true;
        info->cpu_throttle_percentage = GET(throttle_percent);
    }
    if (GET(verify_ns)) {
        info->has_verify_time_ns = true;
        info->verify_time_ns = GET(verify_ns);
    }
    if (!completed) {
        query_limit(m, info);
    }
}

static void query_outgoing(Migration *m, MigrationInfo *info)
{
    MigrationStatus status = migration_state_get(&m->state);

    if (status == MIGRATION_STATUS_NONE) {
        return;
    }
    info->has_status = true;
    info->status = status;
    if (m->background) { /* what the guest felt it has felt, however it ended */
        info->snapshot = background_snapshot_query(m);
    }
    switch (status) {
    case MIGRATION_STATUS_ACTIVE:
    case MIGRATION_STATUS_PRE_SWITCHOVER:
    case MIGRATION_STATUS_DEVICE:
    case MIGRATION_STATUS_CANCELLING:
        query_numbers(m, info, false);
        break;
    case MIGRATION_STATUS_COMPLETED:
        query_numbers(m, info, true);
        break;
    case MIGRATION_STATUS_FAILED:
        g_free(info->error_desc);
        info->error_desc = g_strdup(m->error->message);
        break;
    default:
        break;
    }
}

static void query_blockers(Migration *m, MigrationInfo *info)
{
    g_auto(GStrv) blockers = migration_blockers(m->vm->vmstate);
    unsigned n = g_strv_length(blockers);

    info->has_blocked_reasons = n > 0;
    while (n-- > 0) {
        strList *node = g_new0(strList, 1);

        node->value = g_strdup(blockers[n]);
        node->next = info->blocked_reasons;
        info->blocked_reasons = node;
    }
}

MigrationInfo *migration_query(Migration *m)
{
    MigrationInfo *info = g_new0(MigrationInfo, 1);

    incoming_query(m->incoming, info);
    query_outgoing(m, info);
    query_blockers(m, info);
    return info;
}
