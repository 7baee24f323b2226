/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Auto-converge; see cpu-throttle.h.
 */
#include "migration/cpu-throttle.h"

#include "migration/convergence.h"
#include "migration/migration-internal.h"
#include "system/cpus.h"
#include "trace/migration.h"

static void set_percent(Migration *m, unsigned percent)
{
    if (migration_stat_get(&m->stats.throttle_percent) == percent) {
        return;
    }
    migration_stat_set(&m->stats.throttle_percent, percent);
    trace_migration_throttle(percent);
    cpus_set_throttle(m->vm, percent);
}

static unsigned param(const Migration *m, MigParam which)
{
    return migration_options_param(&m->options, which);
}

bool cpu_throttle_is_wanted(const Migration *m)
{
    return migration_options_cap(&m->options,
                                 MIGRATION_CAPABILITY_AUTO_CONVERGE);
}

bool cpu_throttle_has_room(const Migration *m)
{
    return migration_stat_get(&m->stats.throttle_percent) <
           param(m, MIG_PARAM_MAX_CPU_THROTTLE);
}

void cpu_throttle_raise(Migration *m, uint64_t dirty_bytes,
                        uint64_t sent_bytes)
{
    uint64_t trigger = convergence_trigger_bytes(
        sent_bytes, param(m, MIG_PARAM_THROTTLE_TRIGGER_THRESHOLD));

    set_percent(m, convergence_next_throttle(
                       migration_stat_get(&m->stats.throttle_percent),
                       param(m, MIG_PARAM_CPU_THROTTLE_INITIAL),
                       param(m, MIG_PARAM_CPU_THROTTLE_INCREMENT),
                       param(m, MIG_PARAM_MAX_CPU_THROTTLE),
                       param(m, MIG_PARAM_CPU_THROTTLE_TAILSLOW),
                       dirty_bytes, trigger));
}

void cpu_throttle_end(Migration *m)
{
    set_percent(m, 0);
}

bool cpu_throttle_sync_due(const Migration *m, int64_t since_sync_ns)
{
    /* The first round sends everything once; there is nothing to learn yet. */
    return cpu_throttle_is_wanted(m) &&
           migration_stat_get(&m->stats.sync_count) > 1 &&
           since_sync_ns >= CPU_THROTTLE_SYNC_NS;
}
