/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proof of a page: a checksum for every page of a list of blocks, kept by
 * whoever sends pages, by whoever gets them, and by whoever only looks whether
 * a file is sound. A page's checksum is the XXH3-64 of its 4096 bytes, seeded
 * with its place (the XXH3-64 of the block's name, plus the page's offset), so
 * that the right bytes at the wrong place are wrong.
 *
 * What is true between calls: a page that was noted has its bit in @seen, and
 * in @filled too if it was not all zero; then @sums holds its checksum. Noted
 * last wins. Which bytes are all zero is looked at here, so that two lists of
 * equal memory are equal whatever way it travelled.
 *
 * Memory: 8 bytes and 2 bits per page, of which those of pages that are zero
 * are never touched. docs/devel/wire-format.md has the layout of the table.
 */
#ifndef MIGRATION_PAGE_SUMS_H
#define MIGRATION_PAGE_SUMS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/stream.h"

#define PAGE_SUMS_SECTION "page-checksums"
/* What had 1 (other layouts, among themselves too) was never released. */
#define PAGE_SUMS_VERSION 2

/* The records that travelled, in whatever order. */
typedef struct PageSumTrail {
    uint64_t records;
    uint64_t sum;         /* of what each of them brought, modulo 2^64 */
} PageSumTrail;

typedef struct PageSumBlock {
    char *name;
    uint64_t seed;        /* of the page at offset 0 */
    uint64_t npages;
    uint64_t *sums;       /* one per page; 0 of one that is zero */
    uint64_t *filled;     /* bit per page: not all zero. Atomic */
    uint64_t *seen;       /* bit per page: noted. Atomic */
    PageSumTrail trail;   /* of its channel */
    bool unread;          /* nobody has looked at its pages: what a table says
                             of them is taken over */
} PageSumBlock;

typedef struct PageSums {
    GPtrArray *blocks;    /* of PageSumBlock *, in the order of the list */
} PageSums;

/* XXH3-128, most significant byte first. */
typedef struct PageSumsDigest {
    uint8_t bytes[16];
} PageSumsDigest;

/* What the checksums of a table are of. */
typedef enum PageSumsKind {
    PAGE_SUMS_SENT = 0x53454E54,  /* "SENT": what was sent last */
    PAGE_SUMS_HELD = 0x48454C44,  /* "HELD": memory, with the vCPUs stopped */
} PageSumsKind;

/** page_sums_new(), page_sums_free() - an empty list; NULL may be freed. */
PageSums *page_sums_new(void);
void page_sums_free(PageSums *sums);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PageSums, page_sums_free)

/**
 * page_sums_add() - a block of @npages pages, none of them noted
 * @name: at most 255 bytes; copied
 * Context: nobody else uses the list.
 * Errors:  no memory.
 * Returns: the block, owned by @sums; or NULL with @error.
 */
PageSumBlock *page_sums_add(PageSums *sums, const char *name, uint64_t npages,
                            GError **error);

/** page_sums_rename() - it is called so. Context: nothing was noted of it. */
void page_sums_rename(PageSumBlock *block, const char *name);

/** page_sums_find() - by name. Returns: the block or NULL. */
PageSumBlock *page_sums_find(const PageSums *sums, const char *name);

/** page_sum() - the checksum of the @page-th page of @block with the 4096
 *  bytes at @data. Context: any thread. Cost: 0.3 us with AVX2, else 0.9. */
uint64_t page_sum(const PageSumBlock *block, uint64_t page, const void *data);

/**
 * page_sums_note() - this is what the page holds
 * @data: its 4096 bytes; NULL: it is all zero
 * Context: any thread, one per page at a time.
 * Returns: page_sum(); 0 if @data is NULL.
 */
uint64_t page_sums_note(PageSumBlock *block, uint64_t page, const void *data);

/* How much memory is hashed between two looks whether to stop. */
#define PAGE_SUMS_CHUNK_PAGES 16384

/** page_sums_count() - a record of the page has travelled
 *  @sum: the checksum that came with it; @zero: none did, it is all zero
 *  Context: the channel's thread. */
void page_sums_count(PageSumBlock *block, uint64_t page, uint64_t sum,
                     bool zero);

/** page_sums_count_bitmap() - pages do not travel as records: what counts is
 *  the bitmap of those that are in the file. Cost: 3 ns for 64 pages. */
void page_sums_count_bitmap(PageSumBlock *block, const uint64_t *bitmap);

/** page_sums_bitmap_word() - what its @i-th word, @word, adds to the sum. */
uint64_t page_sums_bitmap_word(const PageSumBlock *block, uint64_t i,
                               uint64_t word);

/** page_sums_is() - is that the page that was noted?
 *  @data: its 4096 bytes, wherever they are
 *  Context: any thread, while nobody notes it. Cost: hashes it. */
bool page_sums_is(const PageSumBlock *block, uint64_t page, const void *data);

/** page_sums_note_range() - note the @n pages from @first on, of the block's
 *  memory at @host. Cost: reads them. */
void page_sums_note_range(PageSumBlock *block, const uint8_t *host,
                          uint64_t first, uint64_t n);

/**
 * page_sums_check_range() - do they hold what was noted?
 * Returns: the first page that differs; @first + @n if there is none.
 */
uint64_t page_sums_check_range(const PageSumBlock *block, const uint8_t *host,
                               uint64_t first, uint64_t n);

/* ---- the table, as it travels ---------------------------------------- */

/** page_sums_put_kind() - begin the table's section. */
void page_sums_put_kind(Stream *s, PageSumsKind kind);

/** page_sums_put() - the table itself, after its kind
 *  Errors: stick in the stream. */
void page_sums_put(const PageSums *sums, Stream *s);

/** page_sums_get_kind() - Errors: neither kind, the end of the stream. */
bool page_sums_get_kind(Stream *s, PageSumsKind *ret_kind, GError **error);

/* One page of which table and list do not say the same. */
typedef struct PageSumsDiffer {
    const PageSumBlock *block;
    uint64_t page;
    bool filled;          /* the table: not all zero */
    uint64_t want;        /* then its checksum */
} PageSumsDiffer;

typedef struct PageSumsReader {
    void (*differs)(void *opaque, const PageSumsDiffer *differ);
    /** A block's entry has been read. @damaged: it does not match its own
     *  digest, so that what differs() said of it may be the entry's fault.
     *  @sent: the records that were sent of the block. */
    void (*block_end)(void *opaque, const PageSumBlock *block, bool damaged,
                      const PageSumTrail *sent);
    void *opaque;
} PageSumsReader;

/**
 * page_sums_get() - read a table, after its kind, beside the list @came
 * Every page that was not noted differs. Nothing of the table is kept: what
 * is reserved for it is a bit per page of the largest block. But of a block
 * that is unread all is noted, and nothing differs.
 * @ret_digest: of the whole table; @ret_damaged: it does not match what the
 *              blocks say (their names and digests)
 * Context: nobody notes pages.
 * Errors:  other blocks or lengths than in @came, one twice, the end of the
 *          stream; what the hooks were told until then stands.
 */
bool page_sums_get(PageSums *came, Stream *s,
                   const PageSumsReader *reader, PageSumsDigest *ret_digest,
                   bool *ret_damaged, GError **error);

/** page_sums_load() - as a loader wants it: everything must be as noted
 *  Of a block that is unread the table is noted; page_sums_is() says then of a
 *  page that is read later whether it is the right one.
 *  @kind: what the table is of, for words
 *  Errors: as page_sums_get(); a table that is damaged; the first page that
 *  differs, with block and offset, and how many do; a block of which other
 *  records came than were sent. */
bool page_sums_load(PageSums *came, Stream *s, PageSumsKind kind,
                    GError **error);

#endif
