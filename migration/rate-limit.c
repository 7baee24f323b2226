/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sender's rate limit and bandwidth meter; see rate-limit.h.
 */
#include "migration/rate-limit.h"

#include "system/ramblock.h"
#include "util/clock.h"

static double bytes_in(uint64_t bps, int64_t ns)
{
    return (double)bps * ns / NS_PER_SEC;
}

void rate_limit_init(RateLimit *limit, int64_t now_ns)
{
    *limit = (RateLimit){.last_ns = now_ns};
}

int64_t rate_limit_fill(RateLimit *limit, int64_t now_ns, uint64_t bps)
{
    int64_t elapsed_ns = MAX(now_ns - limit->last_ns, 0);
    double portion, missing;

    limit->credit_bytes += bytes_in(limit->bps, elapsed_ns);
    limit->last_ns = now_ns;
    if (bps != limit->bps) {
        /* Credit of another rate is not owed; see the header for debts. */
        limit->credit_bytes = MIN(limit->credit_bytes, 0);
        limit->bps = bps;
    }
    if (bps == 0) {
        limit->credit_bytes = 0;
        return 0;
    }
    limit->credit_bytes =
        MIN(limit->credit_bytes, bytes_in(bps, RATE_LIMIT_SAVED_NS));
    portion = MAX(bytes_in(bps, RATE_LIMIT_PORTION_NS), 1);
    missing = portion - limit->credit_bytes;
    return missing <= 0 ? 0 : (int64_t)(missing * NS_PER_SEC / bps) + 1;
}

void rate_limit_spend(RateLimit *limit, uint64_t bytes)
{
    if (limit->bps) {
        limit->credit_bytes -= bytes;
    }
}

uint64_t rate_limit_pages(const RateLimit *limit, uint64_t max)
{
    if (limit->bps == 0) {
        return max;
    }
    if (limit->credit_bytes <= 0) {
        return 0;
    }
    return MIN((uint64_t)(limit->credit_bytes / TM_PAGE_BYTES) + 1, max);
}

void bandwidth_meter_init(BandwidthMeter *meter, int64_t now_ns,
                          uint64_t total_bytes)
{
    *meter = (BandwidthMeter){
        .window_ns = now_ns,
        .window_bytes = total_bytes,
    };
}

uint64_t bandwidth_meter_update(BandwidthMeter *meter, int64_t now_ns,
                                uint64_t total_bytes)
{
    int64_t elapsed_ns = now_ns - meter->window_ns;
    double bps;

    if (elapsed_ns < (meter->whole ? BANDWIDTH_WINDOW_NS
                                   : BANDWIDTH_FIRST_NS)) {
        return meter->bps;
    }
    bps = (double)(total_bytes - meter->window_bytes) * NS_PER_SEC /
          elapsed_ns;
    meter->bps = (uint64_t)bps;
    if (elapsed_ns >= BANDWIDTH_WINDOW_NS) {
        meter->window_ns = now_ns;
        meter->window_bytes = total_bytes;
        meter->whole = true;
    }
    return meter->bps;
}
