/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of ram-freeze.h share.
 *
 *     ram-freeze.c        the front: begin, wait, take, recycle, end
 *     ram-freeze-saver.c  the saver's thread: faults first, then the scan
 *     ram-freeze-arm.c    what the host can do; protecting and releasing
 *     ram-freeze-pool.c   room for copies, and the ways to and from the taker
 *
 * Everything belongs to the saver's thread once it runs, but for what is said
 * to be atomic or the taker's. Nobody takes a lock on the way of a page: two
 * stacks that are pushed to one by one and emptied in one go lead from the
 * saver to the taker (FreezeQueue) and back (FreezePool.recycled), and two
 * eventfds wake whoever sleeps at the end of one.
 */
#ifndef SYSTEM_RAM_FREEZE_INT_H
#define SYSTEM_RAM_FREEZE_INT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/ram-freeze.h"
#include "util/clock.h"
#include "util/userfaultfd.h"
#include "util/warn-limit.h"

/* A copy on its way, or a run of pages of zeros. */
typedef struct FreezeNode {
    struct FreezeNode *next;
    RamCopy copy;              /* of the first page */
    uint64_t n;                /* pages; 1 if there is data */
} FreezeNode;

/* Nodes to be given out and given back. */
typedef struct FreezeShelf {
    FreezeNode *nodes;
    uint64_t total;
    uint64_t fresh;            /* nodes from here on were never given out */
    FreezeNode *free;          /* those that were given back */
    uint64_t n_free;
} FreezeShelf;

typedef struct FreezePool {
    uint64_t pages;            /* its size; the overdraft is as large again */
    uint8_t *memory;           /* twice @pages; page i belongs to node i */
    FreezeShelf copies;        /* two nodes for each page of the pool */
    FreezeShelf zeros;         /* nodes without data */
    FreezeNode *recycled;      /* atomic stack; from whoever recycles */
    bool wanted;               /* atomic: the saver sleeps until some come */
    int wake_fd;               /* eventfd, wakes the saver */
} FreezePool;

/* First in, first out; the taker's. */
typedef struct FreezeLine {
    FreezeNode *head;
    FreezeNode *tail;
} FreezeLine;

typedef struct FreezeQueue {
    FreezeNode *pushed[2];     /* atomic stacks; by RamCopy.faulted */
    FreezeLine lines[2];       /* the taker's: what it took off them */
    bool wanted;               /* atomic: the taker sleeps until some come */
    int wake_fd;               /* eventfd, wakes the taker */
} FreezeQueue;

typedef struct FreezeBlock {
    RAMBlock *block;
    unsigned index;
    uint64_t unit;             /* pages that are released together */
    uint64_t *taken;           /* bit per page: copied, or found to be zeros */
    uint64_t *noted;           /* bit per page: written while armed ... */
    uint64_t *noted_areas;     /* ... and per FREEZE_AREA_PAGES: any in there */
    bool populate;             /* holes cannot be protected here */
    bool registered;
} FreezeBlock;

#define FREEZE_AREA_PAGES 4096

/* The saver goes before other threads, and its scan and its walks over all
 * memory can wait: it works this long and rests that long. Without rests it
 * kept the writers it had just released, and the thread that resumes the
 * guest, off their CPU for up to 35 ms in the scan, for as long as they took
 * in the walks. */
#define FREEZE_SLICE_NS (100 * NS_PER_US)
#define FREEZE_REST_NS (50 * NS_PER_US)

/* A fault that waits for room. */
typedef struct FreezeWaiter {
    FreezeBlock *b;
    uint64_t page;             /* first of its unit */
    int64_t since_ns;          /* of the fault */
    int64_t queued_ns;
} FreezeWaiter;

struct RamFreeze {
    RamFreezeConfig config;    /* without the blocks */
    FreezeBlock *blocks;
    unsigned n_blocks;
    Uffd uffd;
    Clock *clock;
    FreezePool pool;
    FreezeQueue queue;
    GThread *thread;

    /* from others to the saver; atomic, followed by a wake-up */
    bool freeze_asked, scan_asked, cancelled, ended;
    /* phase: atomic, written by the saver under the lock; @changed follows */
    GMutex lock;
    GCond changed;
    int phase;
    GError *error;             /* why FAILED; set before the phase, then fixed */

    bool releasing;            /* faults are released and nothing else */
    uint64_t walk_bytes;       /* of one step over all memory */
    int64_t empty_ns;          /* no fault was there, last; monotonic */
    int64_t woken_ns;          /* the saver's last sleep ended */
    GArray *waiters;           /* of FreezeWaiter, the oldest first */
    unsigned scan_block;       /* pages before these are taken */
    uint64_t scan_page;
    int64_t slice_end_ns;      /* the scan works until then ... */
    int64_t rest_end_ns;       /* ... and rests until then */
    WarnLimit warn;

    /* for everybody to read; atomic */
    RamFreezeStats stats;      /* phase, stalls, oldest_fault_ns: not here */
    Histogram stalls;
    int64_t oldest_ns;         /* the oldest waiter's fault; 0: none waits */
};

/* ---- the pool ---- */

/* freeze_pool_init() - false: no memory. _done() accepts a half-made one. */
bool freeze_pool_init(FreezePool *pool, uint64_t pages, GError **error);
void freeze_pool_done(FreezePool *pool);

/* freeze_pool_room() - copies that may be made until @limit are in use. The
 * saver's; what is recycled counts. */
uint64_t freeze_pool_room(FreezePool *pool, uint64_t limit);

/* freeze_pool_in_use() - copies given out; the saver's. */
uint64_t freeze_pool_in_use(const FreezePool *pool);

/* freeze_pool_zeros() - nodes without data that may be taken; the saver's. */
uint64_t freeze_pool_zeros(FreezePool *pool);

/* freeze_pool_get() - a node with room for data, or without; there is room. */
FreezeNode *freeze_pool_get(FreezePool *pool, bool data);

/* freeze_pool_put() - a chain of nodes that are not needed; any thread. Wakes
 * the saver if it waits for room. */
void freeze_pool_put(FreezePool *pool, FreezeNode *first, FreezeNode *last);

/* freeze_pool_node() - the node whose data this is. */
FreezeNode *freeze_pool_node(FreezePool *pool, const uint8_t *data);

/* freeze_queue_push() - a chain of finished nodes, the newest first. Wakes the
 * taker if it sleeps. */
void freeze_queue_push(FreezeQueue *queue, bool faulted, FreezeNode *newest,
                       FreezeNode *oldest);

/* freeze_queue_pop() - up to @max copies into @ret; the taker's. Nodes that
 * are used up go back to @pool. */
unsigned freeze_queue_pop(FreezeQueue *queue, FreezePool *pool, bool faulted,
                          RamCopy *ret, unsigned max);

/* freeze_queue_is_empty() - the taker's. */
bool freeze_queue_is_empty(const FreezeQueue *queue);

/* ---- protecting ---- */

/* freeze_check_blocks() - what the kernel must and may know for these blocks;
 * false: one is of a kind that cannot be protected. */
bool freeze_check_blocks(const GPtrArray *blocks, uint64_t *ret_wanted,
                         GError **error);

/* freeze_open() - a descriptor for these blocks; @wanted: as was returned for
 * them. Errors: those of uffd_open(); a kernel that cannot keep one of the
 * blocks protected. @ret_uffd is closed then. */
bool freeze_open(Uffd *ret_uffd, const UffdKernel *kernel,
                 const GPtrArray *blocks, uint64_t wanted, GError **error);

/* freeze_register() - register all blocks with the open descriptor. On failure
 * freeze_release_all() undoes it. */
bool freeze_register(RamFreeze *f, GError **error);

/* The saver's: protect everything (serving faults meanwhile), protect again
 * what was noted, release one unit or more pages, release everything and
 * unregister and close. The first three report by freeze_fail(). */
void freeze_protect_all(RamFreeze *f);
void freeze_protect_noted(RamFreeze *f);
void freeze_release_pages(RamFreeze *f, FreezeBlock *b, uint64_t first,
                          uint64_t n);
void freeze_release_all(RamFreeze *f);

/* freeze_note() - this unit was written before the moment. */
void freeze_note(RamFreeze *f, FreezeBlock *b, uint64_t first);

/* ---- the saver ---- */

gpointer freeze_saver(gpointer opaque);

/* freeze_serve_faults() - all that are there by now. */
void freeze_serve_faults(RamFreeze *f);

/* freeze_fail() - the first reason counts; takes @error. The saver's. */
void freeze_fail(RamFreeze *f, GError *error);

/* freeze_is_over() - the saver is to stop: failed, cancelled or ended. */
bool freeze_is_over(const RamFreeze *f);

static inline void freeze_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline void freeze_raise(uint64_t *high, uint64_t n)
{
    if (n > __atomic_load_n(high, __ATOMIC_RELAXED)) {
        __atomic_store_n(high, n, __ATOMIC_RELAXED); /* one writer only */
    }
}

#endif
