/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as it was at one moment, while it goes on being written.
 *
 * All pages are write-protected through userfaultfd. A thread of its own, the
 * saver, copies them aside one after another; a page that somebody wants to
 * write is copied first, and the writer waits for that copy only. Copies lie
 * in a pool of bounded size until they were taken out, written somewhere and
 * recycled.
 *
 *     ram_freeze_new()     ARMING  protects while the guest runs; pages that
 *     ram_freeze_arm()     ARMED   are written are released and noted
 *     ram_freeze_now()     FROZEN  noted pages are protected again: from here
 *                                  on copies are what memory is now
 *     (all pages copied)   COPIED  nothing is protected any more
 *     ram_freeze_free()
 *     cancel or failure    FAILED  everything is released at once
 *
 * The saver takes no lock and waits for nobody but for room in the pool, so
 * whoever holds whatever lock may write guest memory. When the pool is full, a
 * writer waits until a slot is recycled; but while RAMList.hurry says that
 * the VMM itself writes, or waits for its vCPUs, the saver goes beyond the
 * pool, by as much again as the pool. When that is full too, the freeze gives
 * up by itself: everything is released, and take tells why.
 */
#ifndef SYSTEM_RAM_FREEZE_H
#define SYSTEM_RAM_FREEZE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ramblock.h"
#include "util/histogram.h"

typedef struct RamFreeze RamFreeze;
typedef struct UffdKernel UffdKernel; /* util/userfaultfd.h */

typedef struct RamFreezeConfig {
    const GPtrArray *blocks;  /* of RAMBlock *; copied, the blocks stay */
    const RAMList *list;      /* whose "hurry" counts; NULL: nobody hurries */
    uint64_t pool_bytes;      /* rounded down to pages; at least four pages of
                                 each block's backing (huge ones are large) */
    bool detect_zero;         /* pages of zeros come without data, and take no
                                 room in the pool */
    /* A warning about a writer that has waited for longer than a second. In
     * the saver's thread, which must not wait; NULL: nobody wants to know. */
    void (*report)(void *opaque, const char *words);
    /* The freeze has given up by itself; take tells why. Whoever writes copies
     * somewhere may have to be woken. In the saver's thread, which must not
     * wait; NULL: nobody. */
    void (*failed)(void *opaque);
    void *opaque;             /* for both */
    const UffdKernel *kernel; /* NULL: the real one */
} RamFreezeConfig;

typedef enum RamFreezePhase {
    RAM_FREEZE_ARMING,
    RAM_FREEZE_ARMED,
    RAM_FREEZE_FROZEN,
    RAM_FREEZE_COPIED,
    RAM_FREEZE_FAILED,        /* or cancelled */
} RamFreezePhase;

typedef struct RamCopy {
    RAMBlock *block;
    unsigned index;           /* of the block in RamFreezeConfig.blocks */
    bool faulted;             /* somebody wrote it; false: the scan met it */
    uint64_t page;            /* index in the block */
    const uint8_t *data;      /* TM_PAGE_BYTES, aligned to them; NULL: zeros */
} RamCopy;

typedef struct RamFreezeStats {
    RamFreezePhase phase;
    uint64_t total_pages;
    uint64_t arm_ns;          /* protecting, while the guest runs */
    uint64_t freeze_ns;       /* ram_freeze_now(), in the pause */
    uint64_t noted_pages;     /* written between the two, protected again */
    uint64_t faulted_pages;   /* copied because somebody wrote them */
    uint64_t scanned_pages;   /* copied by the scan */
    uint64_t zero_pages;      /* of both: found to be zeros */
    uint64_t pool_pages;      /* size of the pool */
    uint64_t pool_high_pages; /* most in use at once, the overdraft too */
    uint64_t overdraft_high_pages; /* of these, beyond the pool */
    uint64_t full_waits;      /* faults that waited for room in the pool ... */
    uint64_t full_wait_ns;    /* ... and for how long, in all */
    HistogramSummary stalls;  /* ns a writer waited for the saver, each fault
                                 in whatever phase; never told too short */
    uint64_t oldest_fault_ns; /* how long the fault that has waited longest
                                 waits for room by now; 0: none does */
} RamFreezeStats;

/**
 * ram_freeze_probe() - can these blocks be frozen on this host?
 * @blocks: of RAMBlock *;  @kernel: NULL: the real one
 * Changes nothing. To be asked when somebody wants the feature, long before
 * it is used.
 * Context: any thread.  Cost: a few system calls.
 * Errors:  no userfaultfd, no right to it, a feature is missing, a block lies
 *          in a file: with words for the administrator.
 */
bool ram_freeze_probe(const GPtrArray *blocks, const UffdKernel *kernel,
                      GError **error);

/**
 * ram_freeze_new() - begin to protect all pages, while the guest runs
 * Goes on by itself, see ram_freeze_arm(). The dirty log and the like are not
 * touched. The list of blocks, and memory itself (no discards), stay as they
 * are until ram_freeze_free().
 * Context: any thread, any lock.
 * Errors:  those of ram_freeze_probe(); a pool that is too small; no memory;
 *          the kernel's. Nothing is left behind.
 * Returns: to be ended with ram_freeze_free(); NULL with @error set.
 */
RamFreeze *ram_freeze_new(const RamFreezeConfig *config, GError **error);

/**
 * ram_freeze_arm() - wait until all pages are protected
 * Context: any thread; without the big lock, for it takes its time.
 * Cost:    O(RAM): 8 to 15 ms per GiB in small pages, 0.3 ms in huge ones.
 * Errors:  the kernel's, or cancelled. All is released then.
 */
bool ram_freeze_arm(RamFreeze *freeze, GError **error);

/**
 * ram_freeze_now() - the moment: copies show memory as it is in this call
 * Once only, after ram_freeze_arm().
 * Context: big lock, vCPUs stopped; nobody writes guest memory meanwhile.
 * Cost:    O(pages written since ram_freeze_new() began).
 * Errors:  the kernel's, or cancelled. All is released then.
 */
bool ram_freeze_now(RamFreeze *freeze, GError **error);

/**
 * ram_freeze_take() - copies that are ready, those of written pages first
 * @ret: overwritten up to the number returned;  @max: at least 1
 * @only_faulted: leave what the scan copied where it is (whose half of the
 *          pool fills up, and the scan waits)
 * @timeout_ns: how long to wait for the first one; 0: not at all
 * Each page of each block comes exactly once. Copies keep their memory until
 * they are recycled.
 * Context: one thread at a time, after ram_freeze_now(); no lock that a writer
 *          needs, if it waits.
 * Errors:  cancelled; the pool was full beyond its overdraft; the kernel's.
 *          Then no more copies come; those that were taken stay good.
 * Returns: how many; 0: none in that time, or none will come (see
 *          ram_freeze_is_done()); -1 with @error set.
 */
int ram_freeze_take(RamFreeze *freeze, RamCopy *ret, unsigned max,
                    bool only_faulted, int64_t timeout_ns, GError **error);

/**
 * ram_freeze_is_done() - has every page been taken?
 * Context: the thread that takes.
 */
bool ram_freeze_is_done(const RamFreeze *freeze);

/**
 * ram_freeze_recycle() - these copies are not needed any more
 * @copies: as ram_freeze_take() gave them, in any order; those without data
 *          may be among them or not
 * Context: any thread, before ram_freeze_free().
 */
void ram_freeze_recycle(RamFreeze *freeze, const RamCopy *copies, unsigned n);

/**
 * ram_freeze_cancel() - release everything now, whatever is under way
 * Arm, now and take fail, those that wait at once. Returns before all is
 * released, but from here on no writer waits for room.
 * Context: any thread, any lock, any phase, more than once.
 */
void ram_freeze_cancel(RamFreeze *freeze);

/**
 * ram_freeze_end() - release everything, and wait until it is
 * The numbers are final then: whoever waited has been let go and is in them.
 * Context: one thread, any lock, any phase; others may cancel and look at the
 *          numbers meanwhile. What is left is ram_freeze_free().
 */
void ram_freeze_end(RamFreeze *freeze);

/**
 * ram_freeze_free() - release everything and end; NULL is fine
 * Un-protects (which wakes), unregisters, closes, in this order.
 * Context: any thread, any lock, any phase; nobody uses @freeze or a copy any
 *          more.
 */
void ram_freeze_free(RamFreeze *freeze);

/**
 * ram_freeze_stats() - the numbers of the moment, each true for itself
 * Context: any thread, lock-free.
 */
void ram_freeze_stats(const RamFreeze *freeze, RamFreezeStats *ret_stats);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(RamFreeze, ram_freeze_free)

#endif
