/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters of an outgoing migration; see migration-stats.h.
 */
#include "migration/migration-stats.h"

#include <stddef.h>
#include <string.h>

#include "trace/migration.h"
#include "util/clock.h"

void migration_stats_init(MigrationCounters *stats)
{
    memset(stats, 0, sizeof(*stats));
    g_mutex_init(&stats->lock);
}

void migration_stats_done(MigrationCounters *stats)
{
    g_mutex_clear(&stats->lock);
}

void migration_stats_reset(MigrationCounters *stats, int64_t now_ns)
{
    uint64_t *numbers = (uint64_t *)stats;

    /* Word by word: a query may be looking. */
    for (size_t i = 0; i < offsetof(MigrationCounters, lock) / sizeof(*numbers);
         i++) {
        migration_stat_set(&numbers[i], 0);
    }
    migration_stat_set(&stats->start_ns, now_ns);
    g_mutex_lock(&stats->lock);
    stats->n_rounds = 0;
    g_mutex_unlock(&stats->lock);
}

void migration_stats_add_round(MigrationCounters *stats,
                               const MigrationRound *round)
{
    g_mutex_lock(&stats->lock);
    stats->rounds[stats->n_rounds++ % MIGRATION_ROUNDS_KEPT] = *round;
    g_mutex_unlock(&stats->lock);
    trace_migration_round(round->number, round->sent_bytes, round->dirty_pages,
                          round->new_pages, round->dirty_bps,
                          round->bandwidth_bps, round->throttle_percent,
                          round->sync_ns, round->duration_ns,
                          round->expected_downtime_ms, round->verdict,
                          round->reason);
}

unsigned migration_stats_rounds(MigrationCounters *stats,
                                MigrationRound ret[MIGRATION_ROUNDS_KEPT])
{
    unsigned n;

    g_mutex_lock(&stats->lock);
    n = MIN(stats->n_rounds, MIGRATION_ROUNDS_KEPT);
    for (unsigned i = 0; i < n; i++) {
        ret[i] = stats->rounds[(stats->n_rounds - n + i) %
                               MIGRATION_ROUNDS_KEPT];
    }
    g_mutex_unlock(&stats->lock);
    return n;
}

uint64_t migration_stats_bps(uint64_t bytes, uint64_t ns)
{
    return ns ? (uint64_t)((double)bytes * NS_PER_SEC / ns) : 0;
}
