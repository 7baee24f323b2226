/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that harvests; see kvm-dirty-reaper.h.
 */
#include "accel/kvm/kvm-dirty-reaper.h"

#include "trace/accel_kvm.h"
#include "util/prompt-thread.h"

/* Without an entry for so long, a guest is idle. */
#define IDLE_US G_USEC_PER_SEC

unsigned kvm_reaper_period(unsigned period_us, uint64_t passed_us,
                           uint32_t fill, uint32_t entries, unsigned most_us)
{
    uint64_t goal = MAX(entries / KVM_REAPER_FILL_SHARE, 1u);
    /* A pass that came early and found nothing says little. */
    uint64_t next = passed_us < period_us ? period_us : 2ull * period_us;

    if (fill) {
        next = MIN(2ull * period_us, passed_us * goal / fill);
    }
    return CLAMP(next, (uint64_t)KVM_REAPER_MIN_US,
                 (uint64_t)MAX(most_us, KVM_REAPER_MIN_US));
}

/* ---- the thread ---------------------------------------------------------- */

static bool is_asked(const KvmReaper *r, KvmReaperJob job)
{
    return r->asked[job] != r->served[job];
}

static bool is_wanted(const KvmReaper *r)
{
    return r->stop || is_asked(r, KVM_REAPER_PASS) ||
        is_asked(r, KVM_REAPER_REPAIR);
}

static unsigned sleep_us(const KvmReaper *r)
{
    return r->pace_us ? MIN(r->pace_us, r->period_us) : r->period_us;
}

/*
 * Until somebody asks, or the period is over. Who pokes looks at "asleep" after
 * it has made entries possible, and we look for entries after we have set it:
 * one of the two sees the other.
 */
static void wait_locked(KvmReaper *r)
{
    gint64 begin_us = g_get_monotonic_time();
    bool woken = false;

    __atomic_store_n(&r->asleep, true, __ATOMIC_SEQ_CST);
    while (!is_wanted(r) && !r->poked && !r->ops->is_busy(r->opaque)) {
        g_cond_wait(&r->wake, &r->lock);
        begin_us = r->busy_us = g_get_monotonic_time();
        woken = true;
    }
    __atomic_store_n(&r->asleep, false, __ATOMIC_SEQ_CST);
    r->poked = false;
    /* A new pace wakes us, and counts from the beginning of this wait. */
    while (!is_wanted(r) &&
           g_cond_wait_until(&r->wake, &r->lock, begin_us +
                             (woken ? KVM_REAPER_MIN_US : sleep_us(r)))) {
    }
}

static KvmReaperJob next_job(const KvmReaper *r)
{
    return is_asked(r, KVM_REAPER_REPAIR) ? KVM_REAPER_REPAIR :
        is_asked(r, KVM_REAPER_PASS) ? KVM_REAPER_PASS : KVM_REAPER_PERIOD;
}

/* An idle guest is to cost nothing, even where rings can overflow: if it wakes
 * up and fills one in less than the period, that is noticed, and costs a round
 * of all pages. */
static unsigned most_us(const KvmReaper *r, gint64 now_us)
{
    return now_us - r->busy_us < IDLE_US ? r->most_us : KVM_REAPER_MAX_US;
}

static void work_locked(KvmReaper *r)
{
    KvmReaperJob job = next_job(r);
    uint64_t ticket = r->asked[job];
    unsigned delay_us = r->delay_us;
    gint64 now_us;
    uint32_t fill;

    g_mutex_unlock(&r->lock);
    if (delay_us) {
        g_usleep(delay_us);
    }
    now_us = g_get_monotonic_time();
    fill = r->ops->work(r->opaque, job);
    g_mutex_lock(&r->lock);
    r->served[job] = ticket;
    if (fill) {
        r->busy_us = now_us;
    }
    r->period_us = kvm_reaper_period(r->period_us, now_us - r->last_us, fill,
                                     r->entries, most_us(r, now_us));
    r->last_us = now_us;
    trace_kvm_reaper(job, fill, r->period_us);
    g_cond_broadcast(&r->done);
}

static gpointer reaper_thread(gpointer opaque)
{
    KvmReaper *r = opaque;

    g_mutex_lock(&r->lock);
    while (!r->stop) {
        wait_locked(r);
        if (!r->stop) {
            work_locked(r);
        }
    }
    g_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the door ------------------------------------------------------------ */

static void reaper_done(KvmReaper *r)
{
    g_cond_clear(&r->done);
    g_cond_clear(&r->wake);
    g_mutex_clear(&r->lock);
}

bool kvm_reaper_start(KvmReaper *r, const KvmReaperOps *ops, void *opaque,
                      uint32_t entries, GError **error)
{
    *r = (KvmReaper) {
        .ops = ops, .opaque = opaque, .entries = entries,
        .period_us = KVM_REAPER_MIN_US, .most_us = KVM_REAPER_MAX_US,
    };
    g_mutex_init(&r->lock);
    g_cond_init(&r->wake);
    g_cond_init(&r->done);
    /* A ring that is not read in time stops its vCPU, or overflows where the
     * kernel does not look; and a signal would break a reset off. */
    r->thread = prompt_thread_new("dirty-reaper", reaper_thread, r, error);
    if (!r->thread) {
        reaper_done(r);
    }
    return r->thread;
}

void kvm_reaper_stop(KvmReaper *r)
{
    if (!r->thread) {
        return;
    }
    g_mutex_lock(&r->lock);
    r->stop = true;
    g_cond_signal(&r->wake);
    g_mutex_unlock(&r->lock);
    g_thread_join(r->thread);
    r->thread = NULL;
    reaper_done(r);
}

void kvm_reaper_ask(KvmReaper *r, KvmReaperJob job)
{
    uint64_t ticket;

    g_mutex_lock(&r->lock);
    ticket = ++r->asked[job];
    g_cond_signal(&r->wake);
    while (r->served[job] < ticket) {
        g_cond_wait(&r->done, &r->lock);
    }
    g_mutex_unlock(&r->lock);
}

void kvm_reaper_poke(KvmReaper *r)
{
    if (__atomic_load_n(&r->asleep, __ATOMIC_SEQ_CST)) {
        g_mutex_lock(&r->lock);
        r->poked = true;
        g_cond_signal(&r->wake);
        g_mutex_unlock(&r->lock);
    }
}

void kvm_reaper_set_pace(KvmReaper *r, unsigned max_us)
{
    g_mutex_lock(&r->lock);
    r->pace_us = max_us;
    r->poked = true;
    g_cond_signal(&r->wake);
    g_mutex_unlock(&r->lock);
}

void kvm_reaper_set_most(KvmReaper *r, unsigned us)
{
    g_mutex_lock(&r->lock);
    r->most_us = us;
    r->period_us = MIN(r->period_us, MAX(us, KVM_REAPER_MIN_US));
    g_mutex_unlock(&r->lock);
}

void kvm_reaper_set_delay(KvmReaper *r, unsigned us)
{
    g_mutex_lock(&r->lock);
    r->delay_us = us;
    g_mutex_unlock(&r->lock);
}

unsigned kvm_reaper_get_period(KvmReaper *r)
{
    unsigned us;

    g_mutex_lock(&r->lock);
    us = sleep_us(r);
    g_mutex_unlock(&r->lock);
    return us;
}
