/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reaper: the one thread that harvests the dirty rings and has the kernel
 * take them back. All signals are blocked in it, for the whole of its life: a
 * kernel of 6.17 or later ends KVM_RESET_DIRTY_RINGS at a signal, and what it
 * had taken and not yet protected is never reported again.
 *
 * Everybody else who wants the rings read (a sync, a vCPU that left with a
 * full ring, a slot that is about to go) asks for a pass and waits for it. So
 * nobody may wait for the reaper with a lock that a pass takes (the slots
 * lock), and a pass takes no other.
 *
 * Between two passes it sleeps for a period that follows how full the rings
 * get: it is to find the fullest at an eighth. Whoever wants to know more often
 * says so (kvm_reaper_set_pace()); the harvest has one owner at a time, which
 * is the fill level, or who sets a pace: the limit of a vCPU's rate. While
 * nothing is logged, or no vCPU is in guest mode, it sleeps until it is woken.
 */
#ifndef ACCEL_KVM_KVM_DIRTY_REAPER_H
#define ACCEL_KVM_KVM_DIRTY_REAPER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define KVM_REAPER_MIN_US 100
#define KVM_REAPER_MAX_US 100000
/* The fullest ring at the end of a period, as a share: 1/8. */
#define KVM_REAPER_FILL_SHARE 8

typedef enum KvmReaperJob {
    KVM_REAPER_PERIOD,   /* the period is over */
    KVM_REAPER_PASS,     /* somebody waits for a pass */
    KVM_REAPER_REPAIR,   /* somebody waits for a repair; vCPUs are out */
} KvmReaperJob;

typedef struct KvmReaperOps {
    /** Do @job. Context: the reaper's thread, no lock.
     *  Returns: entries in the fullest ring that was found. */
    uint32_t (*work)(void *opaque, KvmReaperJob job);
    /** May entries come by themselves? Else it sleeps until it is woken.
     *  Context: as above. */
    bool (*is_busy)(void *opaque);
} KvmReaperOps;

typedef struct KvmReaper {
    const KvmReaperOps *ops;
    void *opaque;
    uint32_t entries;     /* of a ring */
    GThread *thread;
    GMutex lock;          /* all below */
    GCond wake;           /* of the thread */
    GCond done;           /* of those who wait */
    uint64_t asked[3];    /* tickets, by KvmReaperJob; 0: none yet */
    uint64_t served[3];
    gint64 last_us;       /* when the last pass began; monotonic clock */
    gint64 busy_us;       /* when entries were found last, or could come */
    unsigned period_us;   /* now */
    unsigned most_us;     /* that the period may grow to, beside a guest that
                             is not idle */
    unsigned pace_us;     /* asked for; 0: follow the fill level */
    unsigned delay_us;    /* before every pass: to provoke what it prevents */
    bool poked;           /* do not go to sleep for good */
    bool asleep;          /* until woken; atomic */
    bool stop;
} KvmReaper;

/**
 * kvm_reaper_period() - the next period
 * @period_us: that was meant;  @passed_us: that has passed since the last pass
 * @fill: entries that the fullest ring got in it;  @entries: of a ring
 * @most_us: not longer
 * Pure. Grows at most twofold, shrinks at once.
 */
unsigned kvm_reaper_period(unsigned period_us, uint64_t passed_us,
                           uint32_t fill, uint32_t entries, unsigned most_us);

/** kvm_reaper_start() - @entries: of a ring. Context: start-up.
 *  Errors: those of thread_new(); it is stopped then. */
bool kvm_reaper_start(KvmReaper *r, const KvmReaperOps *ops, void *opaque,
                      uint32_t entries, GError **error);

/** kvm_reaper_stop() - end the thread; not started: nothing. Context: nobody
 *  waits for it, nor will. */
void kvm_reaper_stop(KvmReaper *r);

/**
 * kvm_reaper_ask() - returns after a pass (or a repair) that has begun after
 * the call
 * Context: any thread but the reaper's, any lock but the slots lock. Cost: a
 * change of threads and back.
 */
void kvm_reaper_ask(KvmReaper *r, KvmReaperJob job);

/** kvm_reaper_poke() - entries may come from now on: it sleeps no longer.
 *  Context: any thread. Cost: one load if it does not. */
void kvm_reaper_poke(KvmReaper *r);

/** kvm_reaper_set_pace() - a pass at least every @max_us; 0: as it likes.
 *  kvm_reaper_set_most() - not more than @us between passes, unless no entry
 *  was found for a second: an idle guest costs nothing.
 *  kvm_reaper_set_delay() - be late by @us, for tests.
 *  kvm_reaper_get_period() - in us. Context: any thread. */
void kvm_reaper_set_pace(KvmReaper *r, unsigned max_us);
void kvm_reaper_set_most(KvmReaper *r, unsigned us);
void kvm_reaper_set_delay(KvmReaper *r, unsigned us);
unsigned kvm_reaper_get_period(KvmReaper *r);

#endif
