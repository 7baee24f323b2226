/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 8: the one place where a page arrives. Gets what follows a page's word
 * and puts the page into memory. Nothing is believed: the block must be in
 * this machine and on the stream's list, the page must lie in it, and with
 * checksums be what was sent.
 */
#ifndef MIGRATION_PAGE_LOAD_H
#define MIGRATION_PAGE_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/page-sums.h"
#include "migration/stream.h"
#include "migration/wire.h"
#include "system/ramblock.h"

/* One per channel. */
typedef struct PageLoader {
    RAMList *list;
    bool ignore_shared;    /* pages of shared blocks must not come */
    RAMBlock *last;        /* of the last record, across sections; or NULL */
    PageSums *sums;        /* of all blocks that may come; NULL: pages have no
                              checksums */
    PageSumBlock *last_sums; /* @last's */
    uint64_t zero_pages;   /* loaded so far */
    uint64_t normal_pages;
    uint8_t buf[4096];
} PageLoader;

/** page_loader_init() - nothing loaded yet. */
void page_loader_init(PageLoader *loader, RAMList *list);

/**
 * page_load_run() - load the run of one record: a ZERO or PAGE record holds
 * one page, and its word was got already
 * Context: the loading thread; guest does not run, qtest may read.
 * Errors: "same block" before any block, an unknown block, one that is shared
 * with the source and so should not have been sent, a page beyond the block,
 * a zero record of another value, a page that does not match its checksum,
 * the end of the stream. Memory of other pages is untouched; a page that does
 * not match is not stored.
 */
bool page_load_run(PageLoader *loader, Stream *s, const WireRamWord *word,
                   GError **error);

#endif
