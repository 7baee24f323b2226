/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does it converge? Numbers in, a verdict with its reason out; no clock, no
 * guest, no channel, so that recorded runs can be tried again.
 *
 *   remaining <= bandwidth x downtime-limit        -> SWITCHOVER
 *   a round has ended, too much was dirtied in it,
 *   for the second time, and throttling may help   -> THROTTLE
 *   three rounds in which as much was dirtied as
 *   was sent, and nothing is left to throttle      -> HOPELESS
 *   otherwise                                      -> CONTINUE
 *
 * HOPELESS changes nothing by itself: it is what the user is told.
 */
#ifndef MIGRATION_CONVERGENCE_H
#define MIGRATION_CONVERGENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Rounds of too much dirtying until the guest is held back (further). */
#define CONVERGENCE_HIGH_ROUNDS 2
/* Rounds without any gain until that is called hopeless. */
#define CONVERGENCE_LOST_ROUNDS 3
/* Dirtied of sent, in percent, that counts as no gain. */
#define CONVERGENCE_LOST_PERCENT 95
/* Rounds are put together until they have lasted this long: from less nobody
   can tell how fast a guest dirties its memory. */
#define CONVERGENCE_PERIOD_NS INT64_C(1000000000)

typedef enum ConvergenceVerdict {
    CONVERGENCE_CONTINUE,
    CONVERGENCE_SWITCHOVER,
    CONVERGENCE_THROTTLE,
    CONVERGENCE_HOPELESS,
    CONVERGENCE__MAX,
} ConvergenceVerdict;

typedef struct ConvergenceInput {
    uint64_t remaining_bytes;        /* pages still dirty, at full size */
    uint64_t bandwidth_bps;          /* measured; 0: not known yet */
    uint64_t switchover_bps;         /* said by the user; 0: as measured */
    uint64_t downtime_limit_ms;
    /* The round that has just ended; looked at only if @round_ended. */
    bool round_ended;
    uint64_t round;                  /* its number, from 1 */
    uint64_t round_sent_bytes;       /* on the channel */
    uint64_t round_dirty_bytes;      /* newly dirtied meanwhile */
    /* Holding the guest back, by whatever means. */
    bool can_throttle;
    bool throttle_room;              /* further than it is held back now */
    unsigned trigger_percent;        /* dirtied of sent that is too much */
} ConvergenceInput;

/* What has to be remembered from round to round; zero to begin with. */
typedef struct ConvergenceHistory {
    unsigned high_rounds; /* in succession, above the trigger */
    unsigned lost_rounds; /* in succession, without gain */
} ConvergenceHistory;

typedef struct ConvergenceAnswer {
    ConvergenceVerdict verdict;
    const char *reason;              /* static, one word for traces */
    uint64_t threshold_bytes;        /* what fits into the downtime limit */
    uint64_t expected_downtime_ms;   /* UINT64_MAX: bandwidth not known */
} ConvergenceAnswer;

/**
 * convergence_decide() - what to do now
 * @history: updated if a round has ended
 * Pure otherwise. Context: any thread.
 */
void convergence_decide(const ConvergenceInput *in,
                        ConvergenceHistory *history, ConvergenceAnswer *ret);

/** convergence_verdict_str() - "continue" and so on; static. */
const char *convergence_verdict_str(ConvergenceVerdict verdict);

/**
 * convergence_next_throttle() - how far to hold the guest back now
 * @now_percent: 0 if it is not held back yet
 * @tailslow: take no larger a step than brings dirtying down to the trigger,
 *            assuming that dirtying goes with the time the vCPUs run
 * Returns: percent, never above @max_percent.
 */
unsigned convergence_next_throttle(unsigned now_percent,
                                   unsigned initial_percent,
                                   unsigned increment_percent,
                                   unsigned max_percent, bool tailslow,
                                   uint64_t dirty_bytes,
                                   uint64_t trigger_bytes);

/** convergence_trigger_bytes() - @percent of @sent_bytes, without overflow. */
uint64_t convergence_trigger_bytes(uint64_t sent_bytes, unsigned percent);

#endif
