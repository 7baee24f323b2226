/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util/histogram.h. A value of 2^k * (16 + s) + rest, s < 16, rest < 2^k,
 * falls into bucket 16 * k + 16 + s; so do, with k = 0, the values 16 to 31,
 * and those below 16 fall into the buckets of their own number.
 *
 *     value   0 .. 15 | 16 .. 31 | 32,33 .. 62,63 | 64..67 .. 124..127 | ...
 *     bucket  0 .. 15 | 16 .. 31 | 32    ..    47 | 48     ..       63 | ...
 */
#include "util/histogram.h"

#include <glib.h>
#include <stdbool.h>

#define SUBS (UINT64_C(1) << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUBS) {
        return value;
    }
    shift = 63 - __builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return shift * SUBS + (value >> shift);
}

static uint64_t last_of(unsigned bucket)
{
    unsigned shift;

    if (bucket < SUBS) {
        return bucket;
    }
    shift = bucket / SUBS - 1;
    return ((bucket % SUBS + SUBS + 1) << shift) - 1;
}

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void histogram_add(Histogram *h, uint64_t value)
{
    uint64_t max = load(&h->max);

    while (value > max &&
           !__atomic_compare_exchange_n(&h->max, &max, value, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    __atomic_fetch_add(&h->buckets[bucket_of(value)], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&h->count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&h->total, value, __ATOMIC_RELAXED);
}

uint64_t histogram_quantile(const Histogram *h, unsigned per_mille)
{
    uint64_t all = 0, below = 0;
    unsigned b;

    /* Counted anew, so that the sum is of the buckets that are looked at. */
    for (b = 0; b < HISTOGRAM_BUCKETS; b++) {
        all += load(&h->buckets[b]);
    }
    for (b = 0; b < HISTOGRAM_BUCKETS; b++) {
        below += load(&h->buckets[b]);
        if (below && (double)below * 1000 >= (double)all * per_mille) {
            return MIN(last_of(b), load(&h->max));
        }
    }
    return 0;
}

void histogram_summary(const Histogram *h, HistogramSummary *ret_summary)
{
    *ret_summary = (HistogramSummary) {
        .count = load(&h->count),
        .total = load(&h->total),
        .max = load(&h->max),
        .p50 = histogram_quantile(h, 500),
        .p99 = histogram_quantile(h, 990),
        .p999 = histogram_quantile(h, 999),
    };
}
