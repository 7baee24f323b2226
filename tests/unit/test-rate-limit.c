/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rate limit on a wound clock: how many bytes leave in how much time, and
 * how evenly.
 */
#include <glib.h>
#include <math.h>

#include "migration/rate-limit.h"
#include "system/ramblock.h"
#include "util/clock.h"

#define PAGE_WIRE_BYTES (TM_PAGE_BYTES + 8)

typedef struct Sender {
    RateLimit limit;
    int64_t now_ns;
    int64_t oversleep_ns;   /* the host's clock wakes us late */
    uint64_t total_bytes;
    uint64_t largest_burst; /* bytes sent without a pause */
} Sender;

/* What precopy does: wait for a portion, send while there is credit. */
static void send_until(Sender *s, int64_t end_ns, uint64_t bps,
                       int64_t page_ns)
{
    while (s->now_ns < end_ns) {
        int64_t wait_ns = rate_limit_fill(&s->limit, s->now_ns, bps);
        uint64_t burst = 0;

        if (wait_ns > 0) {
            s->now_ns += MIN(wait_ns, 5 * NS_PER_MS) + s->oversleep_ns;
            continue;
        }
        while (s->now_ns < end_ns && rate_limit_pages(&s->limit, 1) > 0) {
            rate_limit_spend(&s->limit, PAGE_WIRE_BYTES);
            burst += PAGE_WIRE_BYTES;
            s->now_ns += page_ns;
            if (bps == 0) {
                break;
            }
        }
        s->total_bytes += burst;
        s->largest_burst = MAX(s->largest_burst, burst);
    }
}

static void check_rate(uint64_t bps, int64_t seconds, int64_t oversleep_ns)
{
    Sender s = {.oversleep_ns = oversleep_ns};
    double want = (double)bps * seconds;

    rate_limit_init(&s.limit, 0);
    send_until(&s, seconds * NS_PER_SEC, bps, 1000);
    g_test_message("bps=%" G_GUINT64_FORMAT " sent=%" G_GUINT64_FORMAT, bps,
                   s.total_bytes);
    g_assert_cmpfloat(fabs(s.total_bytes - want), <=,
                      want * 0.05 + 2 * PAGE_WIRE_BYTES);
    /* Never more than what 100 ms may bring, a page on top. */
    g_assert_cmpuint(s.largest_burst, <=, bps / 10 + PAGE_WIRE_BYTES);
}

static void test_rate_is_kept_within_five_percent(void)
{
    check_rate(100000, 20, 0);
    check_rate(3000000, 5, 0);
    check_rate(100000000, 2, 0);
    check_rate(1000000000, 2, 0);
    /* A loaded host: 8 ms late every time. */
    check_rate(3000000, 5, 8 * NS_PER_MS);
    check_rate(100000000, 2, 8 * NS_PER_MS);
}

static void test_new_rate_acts_at_once(void)
{
    Sender s = {0};

    rate_limit_init(&s.limit, 0);
    send_until(&s, NS_PER_SEC, 1000, 1000);
    g_assert_cmpuint(s.total_bytes, <=, 2 * PAGE_WIRE_BYTES);
    /* Four seconds of debt at the old rate are nothing at the new one. */
    s.total_bytes = 0;
    send_until(&s, NS_PER_SEC + 100 * NS_PER_MS, 100000000, 1000);
    g_assert_cmpuint(s.total_bytes, >=, 8000000);
    /* And back: what was saved at the fast rate is not spent. */
    s.total_bytes = 0;
    send_until(&s, 2 * NS_PER_SEC, 1000, 1000);
    g_assert_cmpuint(s.total_bytes, <=, 2 * PAGE_WIRE_BYTES);
}

static void test_no_limit_never_waits(void)
{
    RateLimit limit;

    rate_limit_init(&limit, 0);
    g_assert_cmpint(rate_limit_fill(&limit, 1, 0), ==, 0);
    rate_limit_spend(&limit, UINT64_MAX);
    g_assert_cmpuint(rate_limit_pages(&limit, 64), ==, 64);
    g_assert_cmpint(rate_limit_fill(&limit, 2, 0), ==, 0);
    /* Nothing is owed for it afterwards either. */
    g_assert_cmpint(rate_limit_fill(&limit, 3, 1000000), <=,
                    RATE_LIMIT_PORTION_NS + 1);
}

static void test_stalled_receiver_is_not_made_up_for(void)
{
    RateLimit limit;

    rate_limit_init(&limit, 0);
    rate_limit_fill(&limit, 0, 1000000);
    rate_limit_fill(&limit, 100 * NS_PER_SEC, 1000000);
    g_assert_cmpfloat(limit.credit_bytes, <=, 20000);
}

static void test_meter_first_and_whole_windows(void)
{
    BandwidthMeter meter;
    int64_t ms = NS_PER_MS;

    bandwidth_meter_init(&meter, 0, 500);
    g_assert_cmpuint(bandwidth_meter_update(&meter, 9 * ms, 10500), ==, 0);
    g_assert_cmpuint(bandwidth_meter_update(&meter, 10 * ms, 10500), ==,
                     1000000);
    g_assert_cmpuint(bandwidth_meter_update(&meter, 100 * ms, 200500), ==,
                     2000000);
    /* Within the second window the first one's figure stands. */
    g_assert_cmpuint(bandwidth_meter_update(&meter, 150 * ms, 900500), ==,
                     2000000);
    g_assert_cmpuint(bandwidth_meter_update(&meter, 200 * ms, 200500), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rate-limit/rate/within-five-percent",
                    test_rate_is_kept_within_five_percent);
    g_test_add_func("/rate-limit/new-rate/acts-at-once",
                    test_new_rate_acts_at_once);
    g_test_add_func("/rate-limit/no-limit/never-waits",
                    test_no_limit_never_waits);
    g_test_add_func("/rate-limit/stall/is-not-made-up-for",
                    test_stalled_receiver_is_not_made_up_for);
    g_test_add_func("/rate-limit/meter/windows",
                    test_meter_first_and_whole_windows);
    return g_test_run();
}
