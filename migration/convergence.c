/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decisions of the precopy loop as pure functions; see convergence.h.
 */
#include "migration/convergence.h"

#include <glib.h>

#define MS_PER_SEC 1000

const char *convergence_verdict_str(ConvergenceVerdict verdict)
{
    static const char *const names[CONVERGENCE__MAX] = {
        [CONVERGENCE_CONTINUE] = "continue",
        [CONVERGENCE_SWITCHOVER] = "switchover",
        [CONVERGENCE_THROTTLE] = "throttle",
        [CONVERGENCE_HOPELESS] = "hopeless",
    };

    return names[verdict];
}

/* a x b / c where the product may exceed 64 bits; saturates. */
static uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 q = (unsigned __int128)a * b / c;

    return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
}

uint64_t convergence_trigger_bytes(uint64_t sent_bytes, unsigned percent)
{
    return mul_div(sent_bytes, percent, 100);
}

static void note_round(const ConvergenceInput *in, ConvergenceHistory *history)
{
    bool first = in->round <= 1;
    uint64_t trigger =
        convergence_trigger_bytes(in->round_sent_bytes, in->trigger_percent);

    /*
     * The first round sends all of memory, whatever the guest does; it says
     * nothing about who is faster.
     */
    if (!first && in->round_dirty_bytes > trigger) {
        history->high_rounds++;
    } else {
        history->high_rounds = 0;
    }
    /*
     * Only pages that were sent can be counted as dirtied again, and a page
     * on the channel has a header; so "all of it" is a little less than what
     * was sent.
     */
    if (!first && in->round_dirty_bytes > 0 &&
        in->round_dirty_bytes >=
            convergence_trigger_bytes(in->round_sent_bytes,
                                      CONVERGENCE_LOST_PERCENT)) {
        history->lost_rounds++;
    } else {
        history->lost_rounds = 0;
    }
}

static void judge_round(const ConvergenceInput *in,
                        ConvergenceHistory *history, ConvergenceAnswer *ret)
{
    bool room = in->can_throttle && in->throttle_room;

    if (room && history->high_rounds >= CONVERGENCE_HIGH_ROUNDS) {
        history->high_rounds = 0;
        ret->verdict = CONVERGENCE_THROTTLE;
        ret->reason = "dirtied_too_much";
    } else if (!room && history->lost_rounds >= CONVERGENCE_LOST_ROUNDS) {
        ret->verdict = CONVERGENCE_HOPELESS;
        ret->reason = in->can_throttle ? "dirtied_faster_than_sent_throttled"
                                       : "dirtied_faster_than_sent";
    }
}

void convergence_decide(const ConvergenceInput *in,
                        ConvergenceHistory *history, ConvergenceAnswer *ret)
{
    uint64_t bps = in->switchover_bps ? in->switchover_bps : in->bandwidth_bps;

    ret->threshold_bytes = mul_div(bps, in->downtime_limit_ms, MS_PER_SEC);
    ret->expected_downtime_ms =
        in->remaining_bytes == 0 ? 0
        : bps == 0 ? UINT64_MAX
                   : mul_div(in->remaining_bytes, MS_PER_SEC, bps);
    ret->verdict = CONVERGENCE_CONTINUE;
    ret->reason = bps ? "est_downtime" : "bandwidth_unknown";
    if (in->round_ended) {
        note_round(in, history);
    }
    if (in->remaining_bytes <= ret->threshold_bytes) {
        ret->verdict = CONVERGENCE_SWITCHOVER;
        ret->reason = in->remaining_bytes ? "est_downtime" : "nothing_left";
    } else if (in->round_ended) {
        judge_round(in, history, ret);
    }
}

unsigned convergence_next_throttle(unsigned now_percent,
                                   unsigned initial_percent,
                                   unsigned increment_percent,
                                   unsigned max_percent, bool tailslow,
                                   uint64_t dirty_bytes,
                                   uint64_t trigger_bytes)
{
    unsigned step = increment_percent;

    if (now_percent == 0) {
        return MIN(initial_percent, max_percent);
    }
    if (tailslow && dirty_bytes > trigger_bytes) {
        unsigned runs = 100 - now_percent;
        unsigned wanted = mul_div(runs, trigger_bytes, dirty_bytes);

        step = MIN(step, runs - wanted);
    }
    return MIN(now_percent + step, max_percent);
}
