/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the trackers of raw ioctls share: slots, what the consumer has yet to
 * be told, and the VMM's own writes.
 */
#ifndef TESTS_DIRTY_LOG_RAW_H
#define TESTS_DIRTY_LOG_RAW_H

#include "dirty-log.h"

#define DL_SLOT_STRIDE 3      /* of the slots' numbers */

typedef struct RawSlot {
    uint32_t id;
    uint64_t first, npages;   /* in pages of guest memory */
    uint64_t *cache, *scratch;
    uint64_t *other_user;     /* DL_PRIVATE_COPY: its own copy of a GET */
} RawSlot;

typedef struct RawTracker {
    RawSlot *slots;
    unsigned n;
    uint64_t *told;           /* pages to be taken; atomic */
    uint64_t fetches;
    struct RawRings *rings;   /* of dirty-log-ring.c */
} RawTracker;

/** raw_enable() - a capability of the VM */
void raw_enable(DlTracker *t, uint32_t cap, uint64_t arg);

/** raw_map(), raw_unmap() - slots that are not logged */
void raw_map(DlTracker *t);
void raw_unmap(DlTracker *t);

/** raw_log() - logging of all slots on or off */
void raw_log(DlTracker *t, bool on);

/** raw_take(), raw_write() - as in DlTrackerOps */
void raw_take(DlTracker *t, uint64_t first, uint64_t n, uint64_t *words);
void raw_write(DlTracker *t, uint64_t page, uint64_t value);

#endif
