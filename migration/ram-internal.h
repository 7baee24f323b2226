/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" on the source, as its two engines see it: ram.c sends what
 * is dirty, ram-frozen.c sends copies of memory that was frozen.
 */
#ifndef MIGRATION_RAM_INTERNAL_H
#define MIGRATION_RAM_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/clear-bmap.h"
#include "migration/page-search.h"
#include "migration/page-send.h"
#include "migration/ram.h"
#include "system/ram-freeze.h"
#include "system/vm.h"

/* The most copies of pages that are under way at once. */
#define RAM_FROZEN_BATCH 64

/* How long one part may take. */
#define RAM_PART_NS (50 * NS_PER_MS)

struct RamSave {
    RamSaveConfig config;
    RAMList *list;
    uint64_t *gpas;            /* of its blocks; NULL: not told */
    GPtrArray *sent;           /* those whose pages travel; not owned */
    MemoryMap *map;
    PageSearch search;
    PageSender sender;
    ClearBmap *clear;          /* one per block of @sent, by its index */
    unsigned n_clear;
    uint64_t remaining_pages;
    uint64_t taken_pages;
    uint64_t charged_bytes;    /* of the stream, to the rate limit */
    bool down;
    /* Of the frozen engine. */
    RamFreeze *freeze;         /* not owned */
    RamCopy batch[RAM_FROZEN_BATCH]; /* taken, not put yet */
    unsigned n_batch;
};

/** ram_save_charge() - everything put since the last charge, headers of
 *  sections included, counts against the rate limit. */
void ram_save_charge(RamSave *rs, Stream *s);

/** ram_save_may_go_on() - Errors: the stream's, or cancelled. */
bool ram_save_may_go_on(const RamSave *rs, Stream *s, GError **error);

/** ram_save_account() - @npages were taken and put as @bytes. */
void ram_save_account(RamSave *rs, uint64_t npages, uint64_t bytes);

/** ram_save_set_remaining() - pages that are still to be sent. */
void ram_save_set_remaining(RamSave *rs, uint64_t npages);

/** ram_save_end_part() - what ends the body of a PART, if there are PARTs:
 *  with fixed places they would be empty. */
void ram_save_end_part(const RamSave *rs, Stream *s);

/** ram_save_put_setup() - the body of START; @opaque: the RamSave. */
bool ram_save_put_setup(void *opaque, Stream *s, GError **error);

#endif
