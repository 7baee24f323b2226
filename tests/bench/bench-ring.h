/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest whose dirty pages are known from the log or from the ring, for
 * bench-ring: 512 MiB in which it stores, and as much memory above as makes it
 * the size that is wanted, which nobody ever touches.
 */
#ifndef TESTS_BENCH_RING_H
#define TESTS_BENCH_RING_H

#include "../kvm/kvm-guest.h"
#include "bench-parts.h"
#include "migration/clear-bmap.h"
#include "migration/page-search.h"

#define RING_LOW_BYTES (UINT64_C(512) << 20)
#define RING_FIRST (UINT64_C(16) << 20)  /* where it stores */

/* What the host (first four) and the guest tell each other, in a page of the
 * guest's. */
typedef struct RingControl {
    uint64_t phase;              /* the host's number */
    uint64_t first, end, stride; /* one store every so many bytes */
    uint64_t seen;               /* the number that the guest is done with */
    uint64_t passes;             /* over all, in bench_ring_writer() */
} RingControl;

typedef enum RingWay { RING_NO_LOG, RING_LOG, RING_RING, RING_WAYS } RingWay;

typedef struct RingGuest {
    KvmGuest *g;
    RingControl *control;
    RingWay way;
    ClearBmap clear[2];          /* by block */
    PageSearch search;
} RingGuest;

/**
 * ring_guest_new() - a guest that waits to be told; takes the big lock, which
 * ring_guest_free() drops
 * @mem_bytes: of RAM, at least RING_LOW_BYTES; @cpl: of its code
 * @endless: it stores all the time, from @first to @end, and counts passes
 */
RingGuest *ring_guest_new(RingWay way, uint64_t mem_bytes, unsigned cpl,
                          bool endless, uint64_t first, uint64_t end);
void ring_guest_free(RingGuest *s);

/** ring_guest_store() - one store into each of @npages, evenly from RING_FIRST
 *  on; returns when it has made them. Context: big lock, dropped meanwhile. */
void ring_guest_store(RingGuest *s, uint64_t npages);

/** ring_guest_sync() - a round of a migration's begins */
void ring_guest_sync(RingGuest *s);
/** ring_guest_walk() - find, clear and take all that is dirty; how much */
uint64_t ring_guest_walk(RingGuest *s);

/** bench_ring_sync(), bench_ring_writer() - the tables */
void bench_ring_sync(Report *r, const BenchConfig *c);
void bench_ring_writer(Report *r, const BenchConfig *c);

#endif
