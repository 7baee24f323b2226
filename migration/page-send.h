/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 7: the one place where a page leaves. Puts the records of a run of pages
 * into a stream: a word with the page's offset and how it travels, the block's
 * name unless it is that of the record before, and the page.
 *
 *   word u64 [cstr block]  0 u8           a page of zeros
 *   word u64 [cstr block]  4096 bytes     any other page, by reference
 *
 * With capability mapped-ram there are no records: a page goes to its place in
 * the file, beside the stream.
 * With checksums (page-sums.h) a u64 follows the 4096 bytes. It has to be the
 * checksum of what is sent, and a page of a guest that runs may change between
 * a look at it and the write. So such a page is copied first, and the copy is
 * hashed and sent.
 */
#ifndef MIGRATION_PAGE_SEND_H
#define MIGRATION_PAGE_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/mapped-save.h"
#include "migration/page-search.h"
#include "migration/page-sums.h"
#include "migration/stream.h"

#define PAGE_SEND_STAGE 128

/* One per channel: the other side remembers the last block per channel. */
typedef struct PageSender {
    const RAMBlock *last;  /* of the last record, across sections; or NULL */
    MappedSave *mapped;    /* where pages have fixed places; or NULL */
    PageSums *sums;        /* of all blocks that are sent; NULL: none asked */
    PageSumBlock *last_sums; /* @last's */
    uint8_t *stage;        /* with @sums, PAGE_SEND_STAGE pages: copies ... */
    unsigned n_staged;     /* ... so many of which may not be written yet */
    bool detect_zero;
    uint64_t zero_pages;   /* sent so far */
    uint64_t normal_pages;
} PageSender;

/**
 * page_send_copy() - put one page: its record, or itself at its place
 * @data: 4096 bytes that stay as they are until the stream is flushed; NULL
 *        for a page of zeros
 * Context: the stream's thread. Errors: stick in the stream.
 */
void page_send_copy(PageSender *sender, Stream *s, const RAMBlock *block,
                    uint64_t page, const uint8_t *data);

/**
 * page_send_run() - put the records of @run
 * The pages' dirty bits have been taken; pages may change until the stream is
 * flushed, which marks them again.
 * Context: the stream's thread. Errors: stick in the stream.
 * Returns: bytes put.
 */
uint64_t page_send_run(PageSender *sender, Stream *s, const PageRun *run);

#endif
