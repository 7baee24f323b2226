/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an outgoing migration has done so far. Written by the migration thread
 * while it works, read by queries at any time: each number is one word,
 * written and read with relaxed atomics (migration_stat_*), so a query may see
 * two numbers from two moments, never half of one. The list of rounds has a
 * lock of its own.
 *
 * A round lasts from one dirty sync to the next. Round 1 begins with the
 * first sync, in which every page is dirty.
 */
#ifndef MIGRATION_MIGRATION_STATS_H
#define MIGRATION_MIGRATION_STATS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The last rounds that are kept for query-migrate. */
#define MIGRATION_ROUNDS_KEPT 64

/* One round that has ended. */
typedef struct MigrationRound {
    uint64_t number;               /* 1 for the first */
    uint64_t sent_bytes;           /* on the channel, headers included */
    uint64_t sent_pages;           /* of these RAM; zero pages counted */
    uint64_t dirty_pages;          /* found dirty by the sync that ended it */
    uint64_t new_pages;            /* of these, dirtied during the round */
    uint64_t duration_ns;
    uint64_t sync_ns;              /* the sync that ended it */
    uint64_t bandwidth_bps;        /* bytes/s, over the whole round */
    uint64_t dirty_bps;            /* bytes/s newly dirtied */
    uint64_t expected_downtime_ms; /* had the switch-over come then */
    unsigned throttle_percent;     /* during it */
    const char *verdict;           /* static: of convergence.h */
    const char *reason;            /* static */
} MigrationRound;

typedef struct MigrationCounters {
    /* Times are of the job's clock, in ns; 0: not yet. */
    uint64_t start_ns;
    uint64_t setup_ns;             /* how long the set-up took */
    uint64_t down_ns;              /* when the vCPUs were asked to stop */
    uint64_t end_ns;
    uint64_t downtime_ns;          /* from down_ns to the hand-over */
    uint64_t vcpu_stop_ns;         /* the slowest vCPU's way out */
    uint64_t verify_ns;            /* hashing memory for x-verify */

    uint64_t total_bytes;          /* of RAM */
    uint64_t transferred_bytes;    /* on the channel, everything included */
    uint64_t precopy_bytes;        /* RAM records while the guest ran */
    uint64_t downtime_bytes;       /* RAM records while it did not */
    uint64_t zero_pages;           /* sent as a mark */
    uint64_t normal_pages;         /* sent whole */
    uint64_t taken_pages;          /* dirty bits taken */
    uint64_t remaining_pages;      /* dirty and not sent, as of the last look */
    uint64_t sync_count;
    uint64_t sync_ns;              /* in all syncs */
    uint64_t dirty_pages_per_s;    /* last round */
    uint64_t pages_per_s;          /* last window */
    uint64_t bandwidth_bps;        /* last window */
    uint64_t expected_downtime_ms;
    uint64_t throttle_percent;     /* 0: not throttled */

    uint64_t chunk_clears;         /* memory_region_clear_dirty_bitmap */
    uint64_t clear_calls;          /* the accelerators' own, since start_ns */
    uint64_t clear_pages;          /* bits that were set in them */
    uint64_t clear_span_pages;     /* sum of their lengths */
    uint64_t clear_ns;

    GMutex lock;                   /* guards what follows; innermost */
    MigrationRound rounds[MIGRATION_ROUNDS_KEPT]; /* a ring */
    uint64_t n_rounds;             /* ever; the last is (n - 1) % KEPT */
} MigrationCounters;

/** migration_stat_set(), _add(), _get() - one number; @p points to a field.
 *  Context: set and add by the migration thread only (add reads plainly),
 *  get by any thread. */
static inline void migration_stat_set(uint64_t *p, uint64_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void migration_stat_add(uint64_t *p, uint64_t n)
{
    __atomic_store_n(p, *p + n, __ATOMIC_RELAXED);
}

static inline uint64_t migration_stat_get(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/** migration_stats_init(), _done() - Context: nobody else uses it. */
void migration_stats_init(MigrationCounters *stats);
void migration_stats_done(MigrationCounters *stats);

/** migration_stats_reset() - all zero, a new migration starts at @now_ns.
 *  Context: no migration thread runs. */
void migration_stats_reset(MigrationCounters *stats, int64_t now_ns);

/** migration_stats_add_round() - a round has ended; trace it.
 *  Context: migration thread. */
void migration_stats_add_round(MigrationCounters *stats,
                               const MigrationRound *round);

/**
 * migration_stats_rounds() - copy the rounds kept, oldest first
 * Context: any thread. Returns: how many were copied.
 */
unsigned migration_stats_rounds(MigrationCounters *stats,
                                MigrationRound ret[MIGRATION_ROUNDS_KEPT]);

/** migration_stats_bps() - @bytes in @ns as bytes/s; 0 for no time. Pure. */
uint64_t migration_stats_bps(uint64_t bytes, uint64_t ns);

#endif
