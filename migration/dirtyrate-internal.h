/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of a dirty-rate measurement: the job and its thread are
 * dirtyrate.c's, each mode has a file.
 */
#ifndef MIGRATION_DIRTYRATE_INTERNAL_H
#define MIGRATION_DIRTYRATE_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/dirtyrate.h"
#include "system/vm.h"

/* What a mode has found out. */
typedef struct DirtyRateResult {
    uint64_t pages;       /* written in @period_ns; each counted once */
    int64_t period_ns;    /* > 0 */
    uint64_t *vcpu_pages; /* of these, each vCPU's; owned; NULL: not known */
    guint n_vcpus;
} DirtyRateResult;

struct DirtyRate {
    Vm *vm;
    Clock *clock;               /* owned */
    bool has_seed;
    uint32_t seed;
    bool stop;                  /* atomic; the thread is to leave soon */

    /* Fixed while the thread runs. */
    DirtyRateMeasureMode mode;
    uint64_t sample_pages;      /* per GiB; 0 where nothing is sampled */
    int64_t wait_ns;            /* what was asked for */

    /* Big lock. */
    GThread *thread;            /* joined by whoever needs it gone */
    DirtyRateStatus status;
    int64_t start_s;            /* by the host's wall clock */
    int64_t period_ns;          /* as asked, later as measured */
    int64_t mib_per_s;
    GArray *vcpu_mib_per_s;     /* of int64_t, by index; empty: not known */
    char *error;                /* why there is no result */
};

/** dirty_rate_go_on() - asked by whatever takes long. Context: any thread.
 *  Errors: it is to stop. */
bool dirty_rate_go_on(const DirtyRate *r, GError **error);

/**
 * dirty_rate_wait() - until @end_ns of the measurement's clock
 * Context: its thread, no lock.
 * Errors:  it is to stop.
 */
bool dirty_rate_wait(const DirtyRate *r, int64_t end_ns, GError **error);

/** dirty_rate_mib_per_s() - rounded down; no product overflows, and what does
 *  not fit is INT64_MAX. @period_ns: > 0. */
int64_t dirty_rate_mib_per_s(uint64_t pages, int64_t period_ns);

/**
 * dirty_rate_log_begin() - the first step of dirty-bitmap and of dirty-ring:
 * log, from now on
 * Context: main thread, big lock. Errors: the log's; nothing has changed.
 */
bool dirty_rate_log_begin(DirtyRate *r, GError **error);

/**
 * dirty_rate_log_measure() - the rest; the log is off when it returns
 * Context: the measurement's thread, no lock.
 * Errors:  a sync or clear failed; it was to stop.
 */
bool dirty_rate_log_measure(DirtyRate *r, DirtyRateResult *ret,
                            GError **error);

/** dirty_rate_log_sync() - with the big lock, which is not held yet.
 *  dirty_rate_log_forget() - from here on every written page counts anew, but
 *  for what was written since the last sync and is not known yet.
 *  Context: the measurement's thread. Errors: the log's; it is to stop. */
bool dirty_rate_log_sync(DirtyRate *r, GError **error);
bool dirty_rate_log_forget(DirtyRate *r, GError **error);

/** dirty_rate_ring_measure() - as dirty_rate_log_measure(), for dirty-ring:
 *  fills @vcpu_pages too. The accelerator tells writers. */
bool dirty_rate_ring_measure(DirtyRate *r, DirtyRateResult *ret,
                             GError **error);

/** dirty_rate_sample_measure() - all of page-sampling. Context: the
 *  measurement's thread, no lock. Errors: no memory; it was to stop. */
bool dirty_rate_sample_measure(DirtyRate *r, DirtyRateResult *ret,
                               GError **error);

#endif
