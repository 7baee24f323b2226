/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The limit of how fast vCPUs may dirty memory: accounts in, sleeps out. No
 * thread, no lock and no clock in here; dirtylimit.c looks after those.
 *
 * A vCPU's account is one point in time, until which it has paid for all that
 * it has written. A page costs as long as the limit takes for a page; time
 * that passes pays:
 *
 *     wrote little                     wrote much
 *
 *     ----+-----------+------->        ----+-----------+------->
 *       paid         now                  now         paid
 *         '- credit --'                    '-- sleep ---'
 *
 * Whose account lies in the future sleeps until then. Credit is bounded by one
 * period, so that in any time t at most limit x (t + period) is written, plus
 * what is written between two looks. It cannot be bounded tighter: pages count
 * once per period, so a vCPU that writes the same few pages all the time,
 * below its limit, is seen to write all of them at the period's beginning.
 *
 * Smooth: a vCPU is looked at again when it has written for AIM of its limit,
 * by its speed of the last look; one that writes six times too fast runs for
 * 1.7 ms and sleeps for 8.3 ms. Looks are never closer than MIN and never
 * further apart than MAX, so that only those far above the limit (40 times)
 * sleep longer than AIM.
 *
 * What counts is Vcpu.dirty_pages of DIRTY_CLIENT_LIMIT, whose bitmap is
 * emptied here at the end of each period.
 */
#ifndef MIGRATION_DIRTY_LIMITER_H
#define MIGRATION_DIRTY_LIMITER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/vm.h"
#include "util/clock.h"

/* Of its limit, what a vCPU writes between two looks. */
#define DIRTY_LIMITER_AIM_NS (10 * NS_PER_MS)
/* Between two looks: no reader of rings does it more often at a bearable
 * price; and what one who was idle may write before he is noticed. */
#define DIRTY_LIMITER_MIN_NS (250 * NS_PER_US)
#define DIRTY_LIMITER_MAX_NS (10 * NS_PER_MS)
/* A sleep is not worth its kick below this; the debt stays. */
#define DIRTY_LIMITER_SLEEP_NS NS_PER_MS
/* Credit that is granted however short the period is: looks and the reading
 * of rings come late on a loaded host. */
#define DIRTY_LIMITER_CREDIT_NS (50 * NS_PER_MS)
/* Nobody stands still for longer at a time, whatever he wrote while the host
 * kept us from looking; the rest of the debt is forgiven. */
#define DIRTY_LIMITER_DEBT_NS (5 * NS_PER_SEC)

typedef struct DirtyLimiter DirtyLimiter;

/** dirty_limiter_new() - for the vCPUs that @vm has, none of them limited.
 *  dirty_limiter_free() - NULL is fine; ends no sleep. */
DirtyLimiter *dirty_limiter_new(Vm *vm);
void dirty_limiter_free(DirtyLimiter *l);

/** dirty_limiter_begin() - the client is on: what was counted until @now_ns is
 *  nobody's debt, and a period of @period_ns begins. */
void dirty_limiter_begin(DirtyLimiter *l, int64_t now_ns, int64_t period_ns);

/** dirty_limiter_set_period() - also of the period that is under way */
void dirty_limiter_set_period(DirtyLimiter *l, int64_t period_ns);

/**
 * dirty_limiter_set() - limit one vCPU, change its limit, or (0) lift it
 * A debt stays what it is in pages, a credit too; one that was not limited
 * begins with all the credit there can be. The vCPU counts as awake: whoever
 * changes or lifts a limit ends its sleep himself.
 * @mib_per_s: any number; what is beyond all memory's speed limits nobody
 */
void dirty_limiter_set(DirtyLimiter *l, unsigned index, uint64_t mib_per_s,
                       int64_t now_ns);

/**
 * dirty_limiter_look() - settle the accounts, send to sleep, end the period
 * Context: any thread, one at a time with all the others here.
 * Cost:    O(vCPUs); at a period's end O(npages/64) if anything was written.
 * Returns: when to look next, later than @now_ns.
 */
int64_t dirty_limiter_look(DirtyLimiter *l, int64_t now_ns);

/** dirty_limiter_pace_ns() - how old the vCPUs' counters may be, until the
 *  next look. */
int64_t dirty_limiter_pace_ns(const DirtyLimiter *l);

/** dirty_limiter_limited() - how many vCPUs have a limit. */
unsigned dirty_limiter_limited(const DirtyLimiter *l);

/** dirty_limiter_limit() - MiB per second; 0: none
 *  dirty_limiter_rate() - pages per second of the last whole period, whether
 *  limited or not; 0 before. */
uint64_t dirty_limiter_limit(const DirtyLimiter *l, unsigned index);
uint64_t dirty_limiter_rate(const DirtyLimiter *l, unsigned index);

/** dirty_limiter_sleep_ns() - the longest sleep of a vCPU of which a part lies
 *  in this period or the last one: the whole of it, from when it was ordered.
 */
int64_t dirty_limiter_sleep_ns(const DirtyLimiter *l);

#endif
