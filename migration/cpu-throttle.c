/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Auto-converge and dirty-limit; see cpu-throttle.h.
 */
#include "migration/cpu-throttle.h"

#include "migration/convergence.h"
#include "migration/dirtylimit.h"
#include "migration/migration-internal.h"
#include "system/cpus.h"
#include "trace/migration.h"
#include "util/error.h"

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

static bool has_cap(const Migration *m, MigrationCapability cap)
{
    return migration_options_cap(&m->options, cap);
}

/* ---- by a limit of the dirty rate ---------------------------------------- */

static bool limits(const Migration *m)
{
    return has_cap(m, MIGRATION_CAPABILITY_DIRTY_LIMIT);
}

bool cpu_throttle_claim(Migration *m, GError **error)
{
    if (!limits(m)) {
        return true;
    }
    if (!m->dirty_limit) {
        tm_error_set(error, "vCPUs cannot be limited here");
        return false;
    }
    return dirty_limit_claim(m->dirty_limit, error);
}

void cpu_throttle_release(Migration *m)
{
    if (limits(m) && m->dirty_limit) {
        dirty_limit_release(m->dirty_limit);
    }
}

/* If the counting cannot begin, the guest is not held back, and the next
 * verdict tries again; the migration itself has no need of it. */
static void limit_vcpus(Migration *m)
{
    uint64_t mib_per_s =
        migration_options_param(&m->options, MIG_PARAM_VCPU_DIRTY_LIMIT);
    g_autoptr(GError) error = NULL;

    if (!dirty_limit_hold_back(m->dirty_limit, mib_per_s,
                               param(m, MIG_PARAM_X_VCPU_DIRTY_LIMIT_PERIOD),
                               &error)) {
        trace_migration_limit_fail(mib_per_s, error->message);
    }
}

static bool is_limited(const Migration *m)
{
    return m->dirty_limit && dirty_limit_is_in_force(m->dirty_limit);
}

/* ---- by either ----------------------------------------------------------- */

bool cpu_throttle_is_wanted(const Migration *m)
{
    return limits(m) || has_cap(m, MIGRATION_CAPABILITY_AUTO_CONVERGE);
}

bool cpu_throttle_has_room(const Migration *m)
{
    return limits(m) ? !is_limited(m) :
           migration_stat_get(&m->stats.throttle_percent) <
           param(m, MIG_PARAM_MAX_CPU_THROTTLE);
}

void cpu_throttle_follow(Migration *m)
{
    if (limits(m) && is_limited(m)) {
        limit_vcpus(m);
    }
}

static void raise_percent(Migration *m, uint64_t dirty_bytes,
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

void cpu_throttle_raise(Migration *m, uint64_t dirty_bytes,
                        uint64_t sent_bytes)
{
    if (limits(m)) {
        limit_vcpus(m);
    } else {
        raise_percent(m, dirty_bytes, sent_bytes);
    }
}

void cpu_throttle_end(Migration *m)
{
    set_percent(m, 0);
    if (limits(m) && m->dirty_limit) {
        dirty_limit_lift(m->dirty_limit);
    }
}

bool cpu_throttle_sync_due(const Migration *m, int64_t since_sync_ns)
{
    /* The first round sends everything once; there is nothing to learn yet. */
    return cpu_throttle_is_wanted(m) &&
           migration_stat_get(&m->stats.sync_count) > 1 &&
           since_sync_ns >= CPU_THROTTLE_SYNC_NS;
}
