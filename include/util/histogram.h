/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often which duration: a histogram with logarithmic buckets, 16 to each
 * doubling. Values below 32 have a bucket each; above, a bucket is at most
 * 1/16 (6.25 %) of its lower end wide. 8 KiB, whatever was added.
 *
 * A quantile is told as the upper end of its bucket, or the largest value if
 * that is smaller: never less than the truth, and at most 6.25 % more.
 */
#ifndef UTIL_HISTOGRAM_H
#define UTIL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 4
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

/* All zero: empty. Atomic, all of it. */
typedef struct Histogram {
    uint64_t count;
    uint64_t total;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
} Histogram;

/* In the unit of the values added; all zero if there were none. */
typedef struct HistogramSummary {
    uint64_t count;
    uint64_t total;
    uint64_t max;
    uint64_t p50;
    uint64_t p99;
    uint64_t p999;
} HistogramSummary;

/** histogram_add() - one value more. Context: any thread, lock-free. */
void histogram_add(Histogram *h, uint64_t value);

/**
 * histogram_quantile() - the value that this share of all do not exceed
 * @per_mille: 0 to 1000
 * Context: any thread, lock-free; beside adders it is a moment's.
 * Returns: 0 if the histogram is empty.
 */
uint64_t histogram_quantile(const Histogram *h, unsigned per_mille);

/** histogram_summary() - the usual figures. Context: as the quantile. */
void histogram_summary(const Histogram *h, HistogramSummary *ret_summary);

#endif
