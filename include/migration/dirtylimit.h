/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The upper limit of how fast a vCPU may dirty memory, MiB per second. Whose
 * vCPUs write more are made to sleep until they have paid for it; one below
 * its limit is never touched. migration/dirty-limiter.h says how.
 *
 * One object per process, made by system/main.c. Limits have one owner at a
 * time: the user, from the first vCPU that he limits to the last that he lets
 * go; or a migration with capability dirty-limit, from its start to its end,
 * whether it comes to limiting or not. While limits are in force, whoever they
 * belong to, this object sets the pace at which the accelerator brings the
 * vCPUs' counters up to date (Accel.set_dirty_pace); at all other times nobody
 * does, and the accelerator reads its rings as they fill. So there is one
 * owner of that policy at any time.
 *
 * Limits stay in force over stop and cont, a reset, a migration without the
 * capability and its end: they are this process's. What arrives by an incoming
 * migration has no limits, and takes on those that were set here before.
 */
#ifndef MIGRATION_DIRTYLIMIT_H
#define MIGRATION_DIRTYLIMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi/qapi-types.h"
#include "util/clock.h"

/* The time in which a page counts once, where the user sets limits. */
#define DIRTY_LIMIT_PERIOD_MS 1000

typedef struct Vm Vm;
typedef struct DirtyLimit DirtyLimit;

/* What a query of the migration shows. */
typedef struct DirtyLimitStats {
    uint64_t sleep_us;     /* the longest sleep that a vCPU was sent into,
                              lately */
    uint64_t ring_full_us; /* at the average speed of the vCPUs, the time until
                              a dirty ring is full; 0: they write nothing */
} DirtyLimitStats;

/**
 * dirty_limit_new() - nobody is limited
 * @vm:    outlives it
 * @clock: the host's, or one that goes as fast; taken
 */
DirtyLimit *dirty_limit_new(Vm *vm, Clock *clock);

/** dirty_limit_free() - lifts all limits; NULL is fine. Context: main thread,
 *  big lock; the vCPUs are still there, no migration runs. */
void dirty_limit_free(DirtyLimit *l);

/**
 * dirty_limit_set() - the user limits one vCPU, or all
 * Returns at once; takes effect within milliseconds.
 * @cpu_index: NULL: all
 * @mib_per_s: 0 is dirty_limit_cancel()
 * Context: main thread, big lock (may be dropped meanwhile).
 * Errors:  the accelerator does not tell writers; no such vCPU; a migration
 *          with dirty-limit runs; the dirty log cannot be started. Then
 *          nothing has changed.
 */
bool dirty_limit_set(DirtyLimit *l, const int64_t *cpu_index,
                     uint64_t mib_per_s, GError **error);

/**
 * dirty_limit_cancel() - the user lifts one vCPU's limit, or all
 * Fine where nobody is limited, as on accelerators that cannot do it.
 * Context: as dirty_limit_set().
 * Errors:  no such vCPU; the limits are a migration's.
 */
bool dirty_limit_cancel(DirtyLimit *l, const int64_t *cpu_index,
                        GError **error);

/** dirty_limit_query() - the vCPUs that are limited, by index; free with the
 *  generated function. Context: big lock. */
DirtyLimitInfoList *dirty_limit_query(DirtyLimit *l);

/**
 * dirty_limit_claim() - a migration with capability dirty-limit starts
 * Limits nobody yet.
 * Context: big lock.
 * Errors:  the accelerator does not tell writers; the user's limits are in
 *          force.
 */
bool dirty_limit_claim(DirtyLimit *l, GError **error);

/**
 * dirty_limit_hold_back() - the migration limits all vCPUs
 * Called again it changes limit and period.
 * Context: big lock (may be dropped meanwhile); claimed.
 * Errors:  the dirty log cannot be started; nobody is limited then.
 */
bool dirty_limit_hold_back(DirtyLimit *l, uint64_t mib_per_s,
                           uint64_t period_ms, GError **error);

/** dirty_limit_lift() - no vCPU is held back any more, at once; what was
 *  counted goes on being so. Not in force: nothing. Context: big lock. */
void dirty_limit_lift(DirtyLimit *l);

/** dirty_limit_release() - the end of what dirty_limit_claim() began. Not
 *  claimed: nothing. Context: big lock (may be dropped meanwhile); lifted. */
void dirty_limit_release(DirtyLimit *l);

/** dirty_limit_is_in_force() - is any vCPU limited? Context: any thread. */
bool dirty_limit_is_in_force(const DirtyLimit *l);

/** dirty_limit_stats() - Context: big lock. Returns: false if no limits are in
 *  force. */
bool dirty_limit_stats(DirtyLimit *l, DirtyLimitStats *ret);

#endif
