/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two instruments of the sender, both pure arithmetic on a Clock:
 *
 * RateLimit - a bucket of credit that fills with the allowed rate and is
 * emptied by what was sent. It is paid out in portions of 10 ms, so that a
 * stream at 3 MB/s is a hundred small writes a second and not ten bursts. Time
 * in which the receiver did not take anything is not made up for beyond 20 ms,
 * which is what a loaded host oversleeps; so any second stays within 2 %.
 *
 *    credit   |   /|  /|  /|         sending begins at a portion's worth and
 *    portion -+--/-|-/-|-/-|-        ends when the credit is gone; a longer
 *         0  -+-/--|/--|/--|-        sleep than asked for is not lost
 *
 * BandwidthMeter - bytes per second over the last whole 100 ms, sleeps of the
 * rate limit included: what the next seconds will bring if nothing changes.
 */
#ifndef MIGRATION_RATE_LIMIT_H
#define MIGRATION_RATE_LIMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_LIMIT_PORTION_NS INT64_C(10000000)
#define RATE_LIMIT_SAVED_NS INT64_C(20000000)
#define BANDWIDTH_WINDOW_NS INT64_C(100000000)
/* Before the first whole window, a part of it as long as this will do. */
#define BANDWIDTH_FIRST_NS INT64_C(10000000)

typedef struct RateLimit {
    int64_t last_ns;     /* when it was filled last */
    double credit_bytes; /* negative: a debt */
    uint64_t bps;        /* 0: no limit */
} RateLimit;

/** rate_limit_init() - empty, at @now_ns. */
void rate_limit_init(RateLimit *limit, int64_t now_ns);

/**
 * rate_limit_fill() - time has passed; the rate from now on is @bps
 * The time before @now_ns counts with the old rate. A debt stays what it is,
 * so that a new rate acts at once.
 * @bps: bytes per second, 0 for no limit
 * Returns: ns until a portion may be sent; 0 if it may be now.
 */
int64_t rate_limit_fill(RateLimit *limit, int64_t now_ns, uint64_t bps);

/** rate_limit_spend() - @bytes were sent. */
void rate_limit_spend(RateLimit *limit, uint64_t bytes);

/** rate_limit_pages() - how many pages may still be sent, at most @max.
 *  Returns: 0 when the portion is used up. */
uint64_t rate_limit_pages(const RateLimit *limit, uint64_t max);

typedef struct BandwidthMeter {
    int64_t window_ns;     /* start of the window */
    uint64_t window_bytes; /* sent until then */
    uint64_t bps;
    bool whole;            /* bps comes from a whole window */
} BandwidthMeter;

/** bandwidth_meter_init() - nothing measured, at @now_ns. */
void bandwidth_meter_init(BandwidthMeter *meter, int64_t now_ns,
                          uint64_t total_bytes);

/**
 * bandwidth_meter_update() - @total_bytes were sent until @now_ns
 * Returns: bytes per second; 0 while nothing is known.
 */
uint64_t bandwidth_meter_update(BandwidthMeter *meter, int64_t now_ns,
                                uint64_t total_bytes);

#endif
