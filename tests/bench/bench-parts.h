/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of bench-dirty-log, and how much of each is wanted; bench-ring has
 * its own in bench-ring.h.
 */
#ifndef TESTS_BENCH_PARTS_H
#define TESTS_BENCH_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bench-report.h"

typedef struct BenchConfig {
    int runs;            /* of everything, in turn */
    int mem_mib;         /* of guests whose sync and clear are measured */
    bool quick;          /* small guests: is everything there? */
    bool real;           /* on /dev/kvm where that can be chosen */
    const char *machine; /* for titles: "the model", "/dev/kvm" */
} BenchConfig;

/** bench_tell_machine() - system, CPUs, load, build */
void bench_tell_machine(Report *r, const BenchConfig *c);

/** bench_merge() - speed of bitmaps, beside that of reading memory */
void bench_merge(Report *r, const BenchConfig *c);

/** bench_clean() - sync of guests in which nothing is dirty; the model */
void bench_clean(Report *r, const BenchConfig *c);

/** bench_sync_and_clear() - a round, by dirty fraction, slots and chunks */
void bench_sync_and_clear(Report *r, const BenchConfig *c);

/** bench_windows() - a slot goes or comes while there are many; the model */
void bench_windows(Report *r, const BenchConfig *c);

/** bench_stall() - how long vCPUs stand still for it; /dev/kvm only */
void bench_stall(Report *r, const BenchConfig *c);

#endif
