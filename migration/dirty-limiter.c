/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accounts of what vCPUs write; see dirty-limiter.h.
 */
#include "migration/dirty-limiter.h"

#include "migration/dirty-writers.h"
#include "system/dirty-bitmap.h"
#include "trace/migration.h"
#include "util/bitmap.h"

#define MIB_PAGES (UINT64_C(1) << (20 - TM_PAGE_BITS))

/* Of one take, when the bitmap is emptied. */
#define PIECE_PAGES UINT64_C(32768)

typedef struct Account {
    Vcpu *vcpu;
    uint64_t mib_per_s;    /* 0: not limited */
    uint64_t seen_pages;   /* of its counter, at the last look */
    int64_t look_ns;       /* when that was */
    int64_t paid_ns;       /* for all that was seen */
    int64_t asleep_ns;     /* sent to sleep until then */
    int64_t sleep_ns;      /* and for so long */
    /* How fast it writes: awake for so long, written for so much. */
    int64_t ran_ns;
    int64_t cost_ns;
    int64_t slice_ns;      /* until the next look, while awake */

    uint64_t period_pages; /* of its counter, when the period began */
    uint64_t rate_pps;     /* of the last period */
} Account;

struct DirtyLimiter {
    Vm *vm;
    Account *accounts;
    unsigned n;
    int64_t period_ns;
    int64_t forgot_ns;      /* when pages were last made to count again */
    int64_t period_from_ns;
    int64_t longest_ns;      /* sleep in this period */
    int64_t last_longest_ns; /* and of the last one */
    int64_t pace_ns;
};

DirtyLimiter *dirty_limiter_new(Vm *vm)
{
    DirtyLimiter *l = g_new0(DirtyLimiter, 1);

    l->vm = vm;
    l->n = vm->vcpus->len;
    l->accounts = g_new0(Account, l->n);
    l->pace_ns = DIRTY_LIMITER_MAX_NS;
    for (unsigned i = 0; i < l->n; i++) {
        l->accounts[i].vcpu = g_ptr_array_index(vm->vcpus, i);
    }
    return l;
}

void dirty_limiter_free(DirtyLimiter *l)
{
    if (l) {
        g_free(l->accounts);
        g_free(l);
    }
}

static uint64_t counter_of(const Account *a)
{
    return dirty_writer_pages(a->vcpu, DIRTY_CLIENT_LIMIT);
}

static int64_t most_credit_ns(const DirtyLimiter *l)
{
    return MAX(l->period_ns, DIRTY_LIMITER_CREDIT_NS);
}

static void account_open(const DirtyLimiter *l, Account *a, int64_t now_ns)
{
    a->seen_pages = counter_of(a);
    a->look_ns = now_ns;
    a->paid_ns = now_ns - most_credit_ns(l);
    a->asleep_ns = now_ns;
    a->ran_ns = 0;
    a->cost_ns = 0;
    a->slice_ns = DIRTY_LIMITER_MAX_NS;
}

void dirty_limiter_begin(DirtyLimiter *l, int64_t now_ns, int64_t period_ns)
{
    l->period_ns = period_ns;
    l->period_from_ns = now_ns;
    l->longest_ns = 0;
    l->last_longest_ns = 0;
    for (unsigned i = 0; i < l->n; i++) {
        Account *a = &l->accounts[i];

        account_open(l, a, now_ns);
        a->period_pages = a->seen_pages;
        a->rate_pps = 0;
    }
}

void dirty_limiter_set_period(DirtyLimiter *l, int64_t period_ns)
{
    l->period_ns = period_ns;
}

void dirty_limiter_set(DirtyLimiter *l, unsigned index, uint64_t mib_per_s,
                       int64_t now_ns)
{
    Account *a = &l->accounts[index];

    if (!a->mib_per_s) {
        account_open(l, a, now_ns);
    } else if (mib_per_s) {
        /* What is owed, or saved, in pages: the same at the new price. */
        __int128 ns = (__int128)(a->paid_ns - now_ns) * a->mib_per_s /
                      mib_per_s;

        a->paid_ns = now_ns + (int64_t)CLAMP(ns, -most_credit_ns(l),
                                             DIRTY_LIMITER_DEBT_NS);
    }
    a->mib_per_s = mib_per_s;
    a->asleep_ns = now_ns;
}

/* ---- one account --------------------------------------------------------- */

/* Sums of it do not overflow. */
#define PRICE_MAX_NS (3600 * NS_PER_SEC)

static int64_t price_ns(uint64_t npages, uint64_t mib_per_s)
{
    unsigned __int128 ns = (unsigned __int128)npages * NS_PER_SEC /
                           ((unsigned __int128)mib_per_s * MIB_PAGES);

    return MIN(ns, PRICE_MAX_NS);
}

/* From the speed since it was measured last, when it will have written for
 * AIM, beyond its credit. One that wrote nothing is let out of sight step by
 * step only: its pages may be on their way. */
static void choose_slice(Account *a, int64_t now_ns)
{
    int64_t credit_ns = MAX(now_ns - a->paid_ns, 0);
    __int128 slice_ns = 2 * (__int128)a->slice_ns;

    if (a->ran_ns < DIRTY_LIMITER_MIN_NS) {
        return; /* just woken up: nothing to be learnt yet */
    }
    if (a->cost_ns > 0) {
        slice_ns = (__int128)a->ran_ns * (DIRTY_LIMITER_AIM_NS + credit_ns) /
                   a->cost_ns;
    }
    a->slice_ns = CLAMP(slice_ns, DIRTY_LIMITER_MIN_NS, DIRTY_LIMITER_MAX_NS);
    a->ran_ns = 0;
    a->cost_ns = 0;
}

/* Credit is bounded as of the last look: what is seen now was written since,
 * and the time since pays for it. */
static void settle(const DirtyLimiter *l, Account *a, int64_t now_ns)
{
    uint64_t pages = counter_of(a);
    int64_t cost_ns = price_ns(pages - a->seen_pages, a->mib_per_s);
    int64_t paid_ns = MAX(a->paid_ns, a->look_ns - most_credit_ns(l));

    a->paid_ns = MIN(paid_ns + cost_ns, now_ns + DIRTY_LIMITER_DEBT_NS);
    a->cost_ns += cost_ns;
    a->ran_ns += MAX(now_ns - MAX(a->look_ns, a->asleep_ns), 0);
    a->seen_pages = pages;
    a->look_ns = now_ns;
    choose_slice(a, now_ns);
}

static void send_to_sleep(DirtyLimiter *l, Account *a, int64_t now_ns)
{
    int64_t sleep_ns = a->paid_ns - now_ns;

    if (sleep_ns < DIRTY_LIMITER_SLEEP_NS || a->paid_ns <= a->asleep_ns) {
        return;
    }
    a->asleep_ns = a->paid_ns;
    a->sleep_ns = sleep_ns;
    l->longest_ns = MAX(l->longest_ns, sleep_ns);
    vcpu_sleep_until(a->vcpu, a->asleep_ns / NS_PER_US + 1);
}

/* ---- periods ------------------------------------------------------------- */

/* Empty pieces are skipped by reading, which leaves them in every cache. */
static void forget_block(RAMBlock *block)
{
    uint64_t words[PIECE_PAGES / BITMAP_WORD_BITS];
    uint64_t page = dirty_bitmap_next(block, DIRTY_CLIENT_LIMIT, 0);

    while (page < block->npages) {
        uint64_t first = page - page % BITMAP_WORD_BITS;
        uint64_t n = MIN(PIECE_PAGES, block->npages - first);

        dirty_bitmap_take_range(block, DIRTY_CLIENT_LIMIT, first, n, words);
        page = dirty_bitmap_next(block, DIRTY_CLIENT_LIMIT, first + n);
    }
}

static void forget_all(const DirtyLimiter *l)
{
    for (guint i = 0; i < l->vm->ram.blocks->len; i++) {
        forget_block(g_ptr_array_index(l->vm->ram.blocks, i));
    }
}

static uint64_t rate_pps(uint64_t npages, int64_t ns)
{
    return (unsigned __int128)npages * NS_PER_SEC / ns;
}

static void end_period(DirtyLimiter *l, int64_t now_ns)
{
    int64_t ns = now_ns - l->period_from_ns;
    int64_t going_on_ns = 0;
    uint64_t all = 0;

    for (unsigned i = 0; i < l->n; i++) {
        Account *a = &l->accounts[i];
        uint64_t pages = counter_of(a);
        uint64_t grown = pages - a->period_pages;

        a->period_pages = pages;
        a->rate_pps = rate_pps(grown, ns);
        all += grown;
        if (a->asleep_ns > now_ns) {
            going_on_ns = MAX(going_on_ns, a->sleep_ns);
        }
    }
    /* Where something marks all pages (tracking was lost) none counts until
     * they are forgotten, and nothing seems to be written. */
    if (all || now_ns - l->forgot_ns >= NS_PER_SEC) {
        forget_all(l);
        l->forgot_ns = now_ns;
    }
    trace_dirty_limit_period(all, ns, l->longest_ns);
    l->period_from_ns = now_ns;
    l->last_longest_ns = l->longest_ns;
    l->longest_ns = going_on_ns;
}

/* ---- looks --------------------------------------------------------------- */

int64_t dirty_limiter_look(DirtyLimiter *l, int64_t now_ns)
{
    int64_t next_ns = now_ns + DIRTY_LIMITER_MAX_NS;

    l->pace_ns = DIRTY_LIMITER_MAX_NS;
    for (unsigned i = 0; i < l->n; i++) {
        Account *a = &l->accounts[i];

        if (!a->mib_per_s) {
            continue;
        }
        settle(l, a, now_ns);
        send_to_sleep(l, a, now_ns);
        if (a->asleep_ns > now_ns) {
            next_ns = MIN(next_ns, a->asleep_ns);
        } else {
            next_ns = MIN(next_ns, now_ns + a->slice_ns);
            l->pace_ns = MIN(l->pace_ns, a->slice_ns);
        }
    }
    if (now_ns - l->period_from_ns >= l->period_ns) {
        end_period(l, now_ns);
    }
    return MIN(next_ns, l->period_from_ns + l->period_ns);
}

int64_t dirty_limiter_pace_ns(const DirtyLimiter *l)
{
    return l->pace_ns;
}

unsigned dirty_limiter_limited(const DirtyLimiter *l)
{
    unsigned n = 0;

    for (unsigned i = 0; i < l->n; i++) {
        n += l->accounts[i].mib_per_s > 0;
    }
    return n;
}

uint64_t dirty_limiter_limit(const DirtyLimiter *l, unsigned index)
{
    return l->accounts[index].mib_per_s;
}

uint64_t dirty_limiter_rate(const DirtyLimiter *l, unsigned index)
{
    return l->accounts[index].rate_pps;
}

int64_t dirty_limiter_sleep_ns(const DirtyLimiter *l)
{
    return MAX(l->longest_ns, l->last_longest_ns);
}
