/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast does the guest dirty its memory? A measurement looks at it over
 * some time and counts each page once, however often it was written:
 *
 *   page-sampling  hashes of some pages before and after. Costs no dirty log;
 *                  an estimate, and blind to a write that changes nothing.
 *   dirty-bitmap   the dirty log, as one more client beside migration and
 *                  display. Exact for what the log sees, our own writes to
 *                  guest memory included; costs the guest a fault per page.
 *   dirty-ring     the same, counted by the vCPU whose store it was, where the
 *                  accelerator knows that.
 *
 * One object per process, made by system/main.c. One measurement at a time, in
 * a thread of its own; it goes on whatever the machine does meanwhile (stop,
 * reset, migrate), because memory that is not written is an answer too.
 */
#ifndef MIGRATION_DIRTYRATE_H
#define MIGRATION_DIRTYRATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi/qapi-types.h"
#include "util/clock.h"

#define DIRTY_RATE_MIN_MS 50
#define DIRTY_RATE_MAX_MS 60000
/* Sampled pages per GiB of a RAM block. */
#define DIRTY_RATE_MIN_SAMPLES 128
#define DIRTY_RATE_MAX_SAMPLES 16384
#define DIRTY_RATE_DEFAULT_SAMPLES 512

typedef struct Vm Vm;
typedef struct DirtyRate DirtyRate;

/* What to measure; as calc-dirty-rate has it. */
typedef struct DirtyRateRequest {
    DirtyRateMeasureMode mode;
    int64_t calc_time;           /* in @unit */
    TimeUnit unit;
    bool has_sample_pages;
    int64_t sample_pages;        /* per GiB; page-sampling only */
} DirtyRateRequest;

/**
 * dirty_rate_new() - nothing measured yet
 * @vm:    outlives it
 * @clock: by which to wait and to measure; taken
 */
DirtyRate *dirty_rate_new(Vm *vm, Clock *clock);

/** dirty_rate_free() - ends a measurement that runs, in milliseconds; NULL is
 *  fine. Context: main thread, big lock (dropped meanwhile); the vCPUs are
 *  still there. */
void dirty_rate_free(DirtyRate *r);

/** dirty_rate_set_seed() - sample the same pages each time, for tests.
 *  Context: no measurement runs. */
void dirty_rate_set_seed(DirtyRate *r, uint32_t seed);

/**
 * dirty_rate_start() - begin a measurement
 * Returns at once; dirty_rate_query() tells when there is a result.
 * Context: main thread, big lock.
 * Errors:  one runs already; a number out of range, or @sample_pages where
 *          nothing is sampled; the accelerator does not tell writers, as mode
 *          dirty-ring needs it; the machine has no RAM, or waits for it; the
 *          dirty log cannot be started. Then nothing has changed, the last
 *          result included.
 */
bool dirty_rate_start(DirtyRate *r, const DirtyRateRequest *request,
                      GError **error);

/**
 * dirty_rate_query() - the measurement that runs, or the last one
 * @unit: for its calc-time
 * Context: big lock.
 * Returns: free with the generated function.
 */
DirtyRateInfo *dirty_rate_query(const DirtyRate *r, TimeUnit unit);

#endif
