/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decisions of precopy, on numbers of recorded and of made-up runs.
 */
#include <glib.h>

#include "migration/convergence.h"

#define MIB (UINT64_C(1) << 20)

static ConvergenceInput quiet(void)
{
    return (ConvergenceInput){
        .remaining_bytes = 100 * MIB,
        .bandwidth_bps = 100 * MIB,
        .downtime_limit_ms = 300,
        .trigger_percent = 50,
        .throttle_room = true,
    };
}

static ConvergenceAnswer ask(const ConvergenceInput *in,
                             ConvergenceHistory *history)
{
    ConvergenceAnswer answer;

    convergence_decide(in, history, &answer);
    return answer;
}

static void test_decide_threshold_is_inclusive(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = quiet();
    ConvergenceAnswer answer = ask(&in, &history);

    g_assert_cmpint(answer.verdict, ==, CONVERGENCE_CONTINUE);
    g_assert_cmpuint(answer.threshold_bytes, ==, 30 * MIB);
    g_assert_cmpuint(answer.expected_downtime_ms, ==, 1000);

    in.remaining_bytes = 30 * MIB;
    g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_SWITCHOVER);
    in.remaining_bytes++;
    g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_CONTINUE);
}

static void test_decide_unknown_bandwidth_waits(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = quiet();
    ConvergenceAnswer answer;

    in.bandwidth_bps = 0;
    in.remaining_bytes = 1;
    answer = ask(&in, &history);
    g_assert_cmpint(answer.verdict, ==, CONVERGENCE_CONTINUE);
    g_assert_cmpstr(answer.reason, ==, "bandwidth_unknown");
    g_assert_cmpuint(answer.expected_downtime_ms, ==, UINT64_MAX);
    in.remaining_bytes = 0;
    answer = ask(&in, &history);
    g_assert_cmpint(answer.verdict, ==, CONVERGENCE_SWITCHOVER);
    g_assert_cmpstr(answer.reason, ==, "nothing_left");
    g_assert_cmpuint(answer.expected_downtime_ms, ==, 0);
}

static void test_decide_said_bandwidth_replaces_measured(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = quiet();

    in.switchover_bps = 1000 * MIB;
    g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_SWITCHOVER);
    in.switchover_bps = MIB;
    in.remaining_bytes = MIB;
    g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_CONTINUE);
}

/* 3 MB/s, 1 ms, 99 MiB: what holds a live test open. */
static void test_decide_tight_limit_holds_open(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = quiet();

    in.bandwidth_bps = 3000000;
    in.downtime_limit_ms = 1;
    for (in.remaining_bytes = 99 * MIB; in.remaining_bytes >= 4096;
         in.remaining_bytes -= 4096) {
        g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_CONTINUE);
    }
}

static void test_decide_largest_numbers_do_not_wrap(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = quiet();
    ConvergenceAnswer answer;

    in.bandwidth_bps = UINT64_MAX;
    in.downtime_limit_ms = 2000000;
    in.remaining_bytes = UINT64_MAX;
    answer = ask(&in, &history);
    g_assert_cmpuint(answer.threshold_bytes, ==, UINT64_MAX);
    g_assert_cmpint(answer.verdict, ==, CONVERGENCE_SWITCHOVER);
    in.bandwidth_bps = 1;
    g_assert_cmpuint(ask(&in, &history).expected_downtime_ms, ==, UINT64_MAX);
}

static ConvergenceInput busy(uint64_t round)
{
    ConvergenceInput in = quiet();

    in.round_ended = true;
    in.round = round;
    in.round_sent_bytes = 100 * MIB;
    in.round_dirty_bytes = 60 * MIB;
    in.can_throttle = true;
    return in;
}

static void test_decide_second_busy_round_throttles(void)
{
    ConvergenceHistory history = {0};
    ConvergenceVerdict want[] = {
        CONVERGENCE_CONTINUE, /* round 1 says nothing */
        CONVERGENCE_CONTINUE, CONVERGENCE_THROTTLE,
        CONVERGENCE_CONTINUE, CONVERGENCE_THROTTLE,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        ConvergenceInput in = busy(i + 1);

        g_assert_cmpint(ask(&in, &history).verdict, ==, want[i]);
    }
}

static void test_decide_calm_round_between_forgives(void)
{
    ConvergenceHistory history = {0};

    for (unsigned i = 2; i < 20; i++) {
        ConvergenceInput in = busy(i);

        in.round_dirty_bytes = i % 2 ? 60 * MIB : 50 * MIB;
        g_assert_cmpint(ask(&in, &history).verdict, ==, CONVERGENCE_CONTINUE);
    }
}

static void test_decide_between_rounds_leaves_history(void)
{
    ConvergenceHistory history = {0};
    ConvergenceInput in = busy(2);

    ask(&in, &history);
    g_assert_cmpuint(history.high_rounds, ==, 1);
    in.round_ended = false;
    ask(&in, &history);
    g_assert_cmpuint(history.high_rounds, ==, 1);
}

/*
 * A guest that rewrites all it can: 8 bytes of header a page make what was
 * dirtied a little less than what was sent.
 */
static void test_decide_no_gain_is_hopeless(void)
{
    ConvergenceHistory history = {0};
    ConvergenceVerdict want[] = {
        CONVERGENCE_CONTINUE, CONVERGENCE_CONTINUE, CONVERGENCE_CONTINUE,
        CONVERGENCE_HOPELESS, CONVERGENCE_HOPELESS,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(want); i++) {
        ConvergenceInput in = busy(i + 1);

        in.can_throttle = false;
        in.round_sent_bytes = 1000 * 4104;
        in.round_dirty_bytes = 1000 * 4096;
        g_assert_cmpint(ask(&in, &history).verdict, ==, want[i]);
    }
}

static void test_decide_full_throttle_can_be_hopeless(void)
{
    ConvergenceHistory history = {0};
    ConvergenceAnswer answer = {0};

    for (unsigned i = 2; i < 5; i++) {
        ConvergenceInput in = busy(i);

        in.throttle_room = false;
        in.round_dirty_bytes = in.round_sent_bytes;
        answer = ask(&in, &history);
    }
    g_assert_cmpint(answer.verdict, ==, CONVERGENCE_HOPELESS);
    g_assert_cmpstr(answer.reason, ==, "dirtied_faster_than_sent_throttled");
}

static void test_throttle_steps_stay_in_range(void)
{
    unsigned percent = 0;

    percent = convergence_next_throttle(percent, 5, 25, 95, false, 1, 0);
    g_assert_cmpuint(percent, ==, 5);
    percent = convergence_next_throttle(percent, 5, 25, 95, false, 1, 0);
    g_assert_cmpuint(percent, ==, 30);
    percent = convergence_next_throttle(90, 5, 25, 95, false, 1, 0);
    g_assert_cmpuint(percent, ==, 95);
    g_assert_cmpuint(convergence_next_throttle(0, 50, 10, 20, false, 1, 0),
                     ==, 20);
    g_assert_cmpuint(convergence_next_throttle(99, 1, 99, 99, true,
                                               UINT64_MAX, UINT64_MAX - 1),
                     ==, 99);
}

static void test_throttle_tailslow_takes_small_steps(void)
{
    /* Running 80 % dirties 110 where 100 is allowed: 73 % would do. */
    g_assert_cmpuint(convergence_next_throttle(20, 20, 10, 99, true, 110, 100),
                     ==, 28);
    g_assert_cmpuint(convergence_next_throttle(20, 20, 10, 99, true, 400, 100),
                     ==, 30);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/convergence/decide/threshold-is-inclusive",
                    test_decide_threshold_is_inclusive);
    g_test_add_func("/convergence/decide/unknown-bandwidth-waits",
                    test_decide_unknown_bandwidth_waits);
    g_test_add_func("/convergence/decide/said-bandwidth-counts",
                    test_decide_said_bandwidth_replaces_measured);
    g_test_add_func("/convergence/decide/tight-limit-holds-open",
                    test_decide_tight_limit_holds_open);
    g_test_add_func("/convergence/decide/largest-numbers",
                    test_decide_largest_numbers_do_not_wrap);
    g_test_add_func("/convergence/decide/second-busy-round-throttles",
                    test_decide_second_busy_round_throttles);
    g_test_add_func("/convergence/decide/calm-round-forgives",
                    test_decide_calm_round_between_forgives);
    g_test_add_func("/convergence/decide/between-rounds",
                    test_decide_between_rounds_leaves_history);
    g_test_add_func("/convergence/decide/no-gain-is-hopeless",
                    test_decide_no_gain_is_hopeless);
    g_test_add_func("/convergence/decide/full-throttle-hopeless",
                    test_decide_full_throttle_can_be_hopeless);
    g_test_add_func("/convergence/throttle/in-range",
                    test_throttle_steps_stay_in_range);
    g_test_add_func("/convergence/throttle/tailslow",
                    test_throttle_tailslow_takes_small_steps);
    return g_test_run();
}
