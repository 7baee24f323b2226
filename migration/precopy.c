/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The precopy loop; see precopy.h. precopy_run() is the loop itself, all else
 * is what its verbs mean.
 */
#include "migration/precopy.h"

#include "migration/convergence.h"
#include "migration/cpu-throttle.h"
#include "migration/migration-internal.h"
#include "migration/ram.h"
#include "migration/return-path.h"
#include "migration/save-begin.h"
#include "migration/savevm.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "util/error.h"

/* A new bandwidth or a cancel is noticed after this time at the latest. */
#define WAIT_SLICE_NS (5 * NS_PER_MS)
/* A rate of dirtying from less than this would be noise. */
#define ROUND_MIN_NS (10 * NS_PER_MS)

struct Precopy {
    Migration *m;
    BandwidthMeter bytes;       /* on the channel */
    BandwidthMeter pages;
    ConvergenceHistory history;
    ConvergenceAnswer answer;   /* the last one */
    bool fresh;                 /* nothing was sent since the last sync */
    /* The round under way: what the totals were when it began. */
    int64_t round_ns;
    uint64_t round_bytes;
    uint64_t round_pages;
    /* Rounds that have not been judged yet, put together. */
    int64_t period_ns;
    uint64_t period_sent_bytes;
    uint64_t period_dirty_bytes;
};

Precopy *precopy_new(Migration *m)
{
    Precopy *p = g_new0(Precopy, 1);
    int64_t now_ns = clock_now_ns(m->clock);

    p->m = m;
    bandwidth_meter_init(&p->bytes, now_ns, 0);
    bandwidth_meter_init(&p->pages, now_ns, 0);
    return p;
}

void precopy_free(Precopy *p)
{
    g_free(p);
}

static uint64_t param(const Precopy *p, MigParam which)
{
    return migration_options_param(&p->m->options, which);
}

static bool has_cap(const Precopy *p, MigrationCapability cap)
{
    return migration_options_cap(&p->m->options, cap);
}

static ConvergenceInput input_now(const Precopy *p)
{
    return (ConvergenceInput){
        .remaining_bytes = savevm_pending(p->m->savevm, false),
        .bandwidth_bps = p->bytes.bps,
        .switchover_bps = param(p, MIG_PARAM_AVAIL_SWITCHOVER_BANDWIDTH),
        .downtime_limit_ms = param(p, MIG_PARAM_DOWNTIME_LIMIT),
        .can_throttle = cpu_throttle_is_wanted(p->m),
        .throttle_room = cpu_throttle_has_room(p->m),
        .trigger_percent = param(p, MIG_PARAM_THROTTLE_TRIGGER_THRESHOLD),
    };
}

static void decide(Precopy *p, const ConvergenceInput *in)
{
    convergence_decide(in, &p->history, &p->answer);
    migration_stat_set(&p->m->stats.expected_downtime_ms,
                       p->answer.expected_downtime_ms);
}

/* Measure the round that @sync has ended. */
static MigrationRound measure_round(const Precopy *p, const RamSync *sync,
                                    int64_t now_ns)
{
    const MigrationCounters *stats = &p->m->stats;
    MigrationRound round = {
        .number = stats->sync_count - 1,
        .sent_bytes = stats->transferred_bytes - p->round_bytes,
        .sent_pages = stats->taken_pages - p->round_pages,
        .dirty_pages = sync->dirty_pages,
        .new_pages = sync->new_pages,
        .duration_ns = now_ns - p->round_ns,
        .sync_ns = sync->time_ns,
        .throttle_percent = stats->throttle_percent,
    };

    round.bandwidth_bps =
        migration_stats_bps(round.sent_bytes, round.duration_ns);
    round.dirty_bps = migration_stats_bps(round.new_pages << TM_PAGE_BITS,
                                          round.duration_ns);
    return round;
}

/* Judge the rounds since the last judgement, if they lasted long enough. */
static void judge_round(Precopy *p, const MigrationRound *round)
{
    ConvergenceInput in = input_now(p);

    p->period_ns += round->duration_ns;
    p->period_sent_bytes += round->sent_bytes;
    p->period_dirty_bytes += round->new_pages << TM_PAGE_BITS;
    in.round_ended = p->period_ns >= CONVERGENCE_PERIOD_NS;
    in.round = round->number;
    in.round_sent_bytes = p->period_sent_bytes;
    in.round_dirty_bytes = p->period_dirty_bytes;
    if (in.bandwidth_bps == 0) {
        in.bandwidth_bps = round->bandwidth_bps;
    }
    decide(p, &in);
    if (p->answer.verdict == CONVERGENCE_THROTTLE) {
        cpu_throttle_raise(p->m, in.round_dirty_bytes, in.round_sent_bytes);
    } else {
        cpu_throttle_follow(p->m);
    }
    if (in.round_ended) {
        p->period_ns = 0;
        p->period_sent_bytes = 0;
        p->period_dirty_bytes = 0;
    }
}

static void end_round(Precopy *p, const RamSync *sync, int64_t now_ns)
{
    MigrationRound round = measure_round(p, sync, now_ns);

    judge_round(p, &round);
    round.expected_downtime_ms = p->answer.expected_downtime_ms;
    round.verdict = convergence_verdict_str(p->answer.verdict);
    round.reason = p->answer.reason;
    migration_stats_add_round(&p->m->stats, &round);
    if (round.duration_ns >= ROUND_MIN_NS) {
        migration_stat_set(&p->m->stats.dirty_pages_per_s,
                           round.dirty_bps >> TM_PAGE_BITS);
    }
}

bool precopy_sync(Precopy *p, GError **error)
{
    MigrationCounters *stats = &p->m->stats;
    int64_t now_ns = clock_now_ns(p->m->clock);
    RamSync sync;

    if (!ram_save_sync(p->m->ram, &sync, error)) {
        return false;
    }
    if (stats->sync_count > 1) {
        end_round(p, &sync, now_ns);
    }
    p->round_ns = now_ns;
    p->round_bytes = stats->transferred_bytes;
    p->round_pages = stats->taken_pages;
    p->fresh = true;
    if (p->m->observer.pass) {
        p->m->observer.pass(p->m->observer_opaque, stats->sync_count);
    }
    return true;
}

static bool locked_sync(Precopy *p, GError **error)
{
    bool ok;

    big_lock();
    ok = precopy_sync(p, error);
    big_unlock();
    return ok;
}

static bool begin_locked(Precopy *p, GError **error)
{
    Migration *m = p->m;

    if (!save_begin(m, error) ||
        !dirty_log_start(m->vm->map, DIRTY_CLIENT_MIGRATION, true, error)) {
        return false;
    }
    m->log_started = true;
    return precopy_sync(p, error);
}

bool precopy_setup(Precopy *p, GError **error)
{
    bool ok;

    big_lock();
    ok = begin_locked(p, error);
    big_unlock();
    return ok && save_put_head(p->m, error) && save_enter_active(p->m, error);
}

static bool send_part(Precopy *p, GError **error)
{
    Migration *m = p->m;
    MigrationCounters *stats = &m->stats;
    int64_t now_ns;
    ConvergenceInput in;

    p->fresh = false;
    if (savevm_iterate(m->savevm, m->out, error) < 0) {
        return false;
    }
    stream_flush(m->out); /* an error sticks; the next part reports it */
    now_ns = clock_now_ns(m->clock);
    migration_stat_set(&stats->transferred_bytes, stream_bytes(m->out));
    migration_stat_set(&stats->bandwidth_bps,
                       bandwidth_meter_update(&p->bytes, now_ns,
                                              stats->transferred_bytes));
    migration_stat_set(&stats->pages_per_s,
                       bandwidth_meter_update(&p->pages, now_ns,
                                              stats->taken_pages));
    in = input_now(p);
    decide(p, &in);
    return true;
}

/* Until the rate limit lets a portion through. */
static void wait_for_credit(Precopy *p)
{
    int64_t wait_ns;

    while (!migration_should_stop(p->m) &&
           (wait_ns = rate_limit_fill(&p->m->limit, clock_now_ns(p->m->clock),
                                      param(p, MIG_PARAM_MAX_BANDWIDTH))) > 0) {
        clock_sleep_ns(p->m->clock, MIN(wait_ns, WAIT_SLICE_NS));
    }
}

/* With switchover-ack, the destination has a say. */
static bool peer_is_ready(const Precopy *p)
{
    return !has_cap(p, MIGRATION_CAPABILITY_SWITCHOVER_ACK) ||
           return_path_acked(p->m->return_path);
}

/* Nothing holds us up but the destination's word: do not spin, and do not
 * wait for a word that cannot come any more. */
static bool bear_with_peer(Precopy *p, GError **error)
{
    if (return_path_failed(p->m->return_path, error)) {
        return false;
    }
    clock_sleep_ns(p->m->clock, WAIT_SLICE_NS);
    return true;
}

bool precopy_run(Precopy *p, GError **error)
{
    for (;;) {
        int64_t round_age_ns = clock_now_ns(p->m->clock) - p->round_ns;
        bool enough = p->answer.verdict == CONVERGENCE_SWITCHOVER;

        if (enough && !peer_is_ready(p)) {
            if (!bear_with_peer(p, error)) {
                return false;
            }
            enough = false;
        }
        if (enough && p->fresh) {
            return true;
        }
        if (enough || cpu_throttle_sync_due(p->m, round_age_ns)) {
            if (!locked_sync(p, error)) {
                return false;
            }
            continue;
        }
        wait_for_credit(p);
        if (!send_part(p, error)) {
            return false;
        }
    }
}
