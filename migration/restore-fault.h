/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by faults: the guest runs at once, and a page is brought when
 * somebody touches it. Two threads:
 *
 *   server    is told of touches of missing pages by userfaultfd; reads the
 *             window of the file around the page, brings the page, then the
 *             rest of the window
 *   fetcher   brings all other pages meanwhile, until nothing is missing
 *
 * Neither takes any lock that a toucher can hold: whoever touches guest memory
 * may hold any. (Who is told of the end may: nobody waits any more.) Both may
 * bring the same page; the kernel lets one of them do it, and what somebody
 * writes after that stays.
 *
 *   memory   |piece|   zeros   |  piece  |zeros|
 *
 * Pieces, as with a mapping, are what is watched; pages of zeros between them
 * are plain anonymous memory, and so is everything once all is there.
 */
#ifndef MIGRATION_RESTORE_FAULT_H
#define MIGRATION_RESTORE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/restore-internal.h"
#include "util/bitmap.h"
#include "util/histogram.h"
#include "util/userfaultfd.h"

/* How often the number of touched pages is noted, and at which numbers. */
#define RESTORE_STEPS 5
extern const uint64_t restore_steps[RESTORE_STEPS];

/* All atomic. */
typedef struct RestoreFaultStats {
    Histogram stalls;          /* ns */
    uint64_t touched;          /* missing pages that were touched */
    uint64_t fault_bytes;      /* brought, of pages that were touched ... */
    uint64_t ahead_bytes;      /* ... around them ... */
    uint64_t fetched_bytes;    /* ... in their turn, and ahead of that ... */
    uint64_t prefetched_bytes; /* ... as a working set says */
    int64_t step_ns[RESTORE_STEPS];     /* when; 0: not yet */
    uint64_t step_bytes[RESTORE_STEPS]; /* brought by then */
    int64_t end_ns;            /* all is there; 0: not yet */
} RestoreFaultStats;

/* Neighbouring pages of a block that are watched; in order of addresses. */
typedef struct FaultPiece {
    RestoreBlock *rb;
    uint64_t first, end;
} FaultPiece;

/* A page that came before the table of checksums. */
typedef struct FaultEarly {
    const RestoreBlock *rb;
    uint64_t page, sum;
    bool filled;
} FaultEarly;

struct RestoreFault {
    Restore *r;
    Channel *from;             /* the file, or itself past the page cache */
    Uffd uffd;
    int wake_fd;               /* eventfd: the server is to look at @quit */
    GArray *pieces;            /* of FaultPiece */
    uint64_t window_pages;
    uint8_t *window;           /* the server's; aligned */
    GThread *server, *fetcher;
    GArray *known;             /* of WorkingRun: the record's; NULL: none is
                                  wanted */
    GArray *missed;            /* ... what was missed; the server's until it
                                  is joined */
    bool started;              /* the server is, or was */
    bool quit;                 /* atomic: leave soon */
    bool released;             /* atomic: nothing is watched any more */
    GMutex lock;               /* guards the rest but @checks and @stats */
    GCond changed;             /* @quit or @go was set */
    bool go;                   /* the fetcher may begin: the guest goes on */
    bool lost;                 /* the guest is condemned */
    GError *error;             /* the first */
    GArray *early;             /* of FaultEarly; NULL: the table is there, or
                                  there is none */
    bool checks;               /* pages are held against the table; settled
                                  before @early is NULL */
    RestoreFaultStats stats;
};

/** restore_check_fault() - can this block's pages be brought when touched?
 *  Errors: why not, the block named. */
bool restore_check_fault(const RestoreBlock *rb, GError **error);

/**
 * restore_fault_start() - watch all blocks, and serve
 * Their memory is empty afterwards.
 * Context, Errors: as restore_memory(); what the host lacks, in words for its
 * administrator. Cost: O(pieces).
 */
bool restore_fault_start(Restore *r, GError **error);

/** restore_fault_fetch() - begin to bring what nobody touches. */
void restore_fault_fetch(RestoreFault *f);

/** restore_fault_free() - end both threads; a guest that still lacks memory is
 *  condemned first. NULL is fine.
 *  Context: no lock that Restore's callbacks take. */
void restore_fault_free(RestoreFault *f);

/** restore_fault_query() - adds to @info. Context: any thread. */
void restore_fault_query(RestoreFault *f, int64_t started_ns,
                         RestoreInfo *info);

/* ---- among the threads ---- */

/** fault_serve() - the server's thread; @opaque: the RestoreFault. */
gpointer fault_serve(gpointer opaque);

/** fault_fetch() - the fetcher's thread. */
gpointer fault_fetch(gpointer opaque);

/**
 * fault_bring() - put pages that were read into memory, and wake
 * Pages that are there already are left as they are.
 * @ret_pages: adds how many were brought
 * Returns: 0 or -errno; -ECANCELED: nothing is watched any more.
 */
int fault_bring(RestoreFault *f, RestoreBlock *rb, uint64_t first, uint64_t n,
                const uint8_t *data, uint64_t *ret_pages);

/**
 * fault_check() - hold pages that were read against their checksums, or note
 *                 them for when there are some
 * Errors: block and place of the first that is wrong.
 */
bool fault_check(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                 uint64_t n, const uint8_t *data, GError **error);

/** fault_hold_sums() - restore_hold_sums() for its threads. */
bool fault_hold_sums(RestoreFault *f, GError **error);

/** fault_read() - pages of the file to @buf. Errors: the file's. */
bool fault_read(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                uint64_t n, uint8_t *buf, GError **error);

/** fault_release() - watch nothing any more, and wake everybody. */
void fault_release(RestoreFault *f);

/**
 * fault_fail() - some bytes cannot be had: the guest is condemned, a stop is
 * asked for if it was let go, then whoever waits is released
 * The second to call it, or who was only told to quit, changes nothing.
 * @error: taken. Context: one of the two threads.
 */
void fault_fail(RestoreFault *f, GError *error);

/** fault_quit() - have both threads leave soon. Context: any thread. */
void fault_quit(RestoreFault *f);

/** fault_end() - all is there: nothing is watched any more, the server is
 *  gone, and what can be closed is. Context: the fetcher. */
void fault_end(RestoreFault *f);

/** fault_warn() - tell people. */
void fault_warn(RestoreFault *f, const char *words);

/** fault_now_ns() - 0 if nothing is timed. */
int64_t fault_now_ns(const RestoreFault *f);

static inline bool fault_should_quit(const RestoreFault *f)
{
    return __atomic_load_n(&f->quit, __ATOMIC_SEQ_CST);
}

static inline bool fault_is_there(const RestoreBlock *rb, uint64_t page)
{
    return bitmap_test_bit_atomic(rb->there, page);
}

#endif
