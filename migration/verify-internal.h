/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An inspection under way, as the files verify-*.c see it.
 *
 * Everything is looked at by its place and parsed from there, so that a part
 * that makes no sense can be tried again in another way. The steps return
 * false when there is no going on: the end of the file, or nothing behind the
 * fault that could be recognised.
 */
#ifndef MIGRATION_VERIFY_INTERNAL_H
#define MIGRATION_VERIFY_INTERNAL_H

#include "migration/mapped-layout.h"
#include "migration/verify.h"
#include "migration/wire.h"

#define VERIFY_NO_PAGE UINT64_MAX

/* A page that does not match its checksum: perhaps it is another one. */
typedef struct VerifyBadPage {
    PageSumBlock *block;
    uint64_t page;
    uint64_t want;         /* the checksum that it should have */
    uint8_t *content;      /* of the first ones, else NULL */
    VerifyFault *fault;    /* NULL: not kept */
} VerifyBadPage;

/* As many of them keep their content. */
#define VERIFY_BAD_KEPT 64

/* Where a block's pages are, and which. */
typedef struct VerifyPlaces {
    PageSumBlock *block;   /* NULL: not one that could be listed */
    MappedPlaces places;
    uint64_t *bitmap;      /* as in the file; NULL: not read */
} VerifyPlaces;

typedef struct Verify {
    VerifyInput *in;
    VerifyReport *report;
    uint64_t start;        /* the stream's first byte */
    uint64_t at;           /* the next byte */
    uint64_t configuration_bytes; /* without its first one; 0: unknown */
    /* What the configuration says, or what looks so where it is damaged. */
    bool sums, mapped, gpas;
    bool guess;
    /* Footers follow sections: from the first one on it is known. */
    bool footers, footers_known;
    /* RAM. */
    PageSums *came;        /* all blocks of the list */
    GHashTable *told;      /* set of &block->sums[page] that have a fault */
    GHashTable *come;      /* set of PageSumBlock * with a record */
    PageSumBlock *last;    /* of the record before */
    uint64_t next_page;    /* behind that record's */
    uint32_t ram_id;
    bool started, listed, ended, stopped, tabled;
    bool foreign;          /* pages went through other channels */
    bool body_over;        /* the end of a body was met ... */
    bool at_item;          /* ... by going on at what lies behind it */
    bool to_tail;          /* ... the first device */
    GArray *bad;           /* of VerifyBadPage */
    GArray *places;        /* of VerifyPlaces; with mapped-ram */
    GError *error;         /* it cannot be inspected at all */
} Verify;

/* One record, as it reads. */
typedef struct VerifyRecord {
    WireRamWord word;
    PageSumBlock *block;   /* NULL: EOS and the like */
    uint64_t page;
    uint64_t data;         /* where a page's bytes begin */
    uint64_t end;          /* behind it */
} VerifyRecord;

/* ---- verify-report.c */

/** verify_fault() - report one
 *  @block, @page: which it is about; NULL, VERIFY_NO_PAGE: none
 *  Returns: the fault if it is kept, else NULL. */
VerifyFault *verify_fault(Verify *v, VerifyKind kind,
                          const PageSumBlock *block, uint64_t page,
                          uint64_t at, const char *fmt, ...)
    G_GNUC_PRINTF(6, 7);
/** verify_fault_page() - one about a page that has no fault yet, else none;
 *  Returns: as verify_fault(). */
VerifyFault *verify_fault_page(Verify *v, VerifyKind kind,
                               PageSumBlock *block, uint64_t page, uint64_t at,
                               const char *words);
/** verify_unchecked() - note what cannot be checked. */
void verify_unchecked(Verify *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/** verify_report_new() - nothing found yet. */
VerifyReport *verify_report_new(void);

/* ---- verify.c */

/** verify_look() - the @n bytes at @at. Returns: NULL if there are fewer. */
const uint8_t *verify_look(Verify *v, uint64_t at, size_t n);
/** verify_cut() - the file ends within @what. Returns: false. */
bool verify_cut(Verify *v, const PageSumBlock *block, uint64_t page,
                const char *what);
/** verify_ran_out() - did the parser of @s, a verify_small_stream(), meet the
 *  end of the file? */
bool verify_ran_out(const Stream *s);
/** verify_small_stream() - what stands at @at, up to 4 KiB of it, for
 *  parsers. Returns: good until the next look; to be freed. */
Stream *verify_small_stream(Verify *v, uint64_t at);

/* ---- verify-head.c */

/** verify_head() - file header and configuration. Returns: false if it is no
 *  stream, or one that was never finished. */
bool verify_head(Verify *v);

/* ---- verify-items.c */

/** verify_items() - sections and commands, up to the first device or the end
 *  Returns: false when there is no going on. */
bool verify_items(Verify *v);
/** verify_named() - the item at v->at, as a START or FULL section. */
bool verify_named(Verify *v, WireSection type);
/** verify_footer() - what follows a section's body. Returns: as above. */
bool verify_footer(Verify *v, uint32_t id);
/** verify_item_is_plausible() - does an item begin at @at, or the end? */
bool verify_item_is_plausible(Verify *v, uint64_t at);

/* ---- verify-ram.c */

/** verify_ram_body() - records, up to the end of a body of section "ram", and
 *  its footer. @setup: it is START's. Returns: as above. */
bool verify_ram_body(Verify *v, bool setup);
/** verify_record_is_plausible() - does a record begin at @at? */
bool verify_record_is_plausible(Verify *v, uint64_t at);
/** verify_take_record() - the record is right, as far as can be seen: count
 *  it, note its page, go on behind it
 *  Returns: false, with nothing done, if its page is not what it should be and
 *  what is behind makes no sense either. */
bool verify_take_record(Verify *v, const VerifyRecord *record);
/** verify_record_shape() - how what is at @at reads as a record of @word
 *  Returns: false if it does not. */
bool verify_record_shape(Verify *v, uint64_t at, const WireRamWord *word,
                         VerifyRecord *ret);

/* ---- verify-mapped.c */

/** verify_mapped_header() - what follows a block's entry in the list of a
 *  mapped file, at v->at; go on behind the block's pages
 *  @length: of the block; one that cannot be becomes @other, if that can
 *  Returns: false if there is no going on. */
bool verify_mapped_header(Verify *v, const char *name, uint64_t *length,
                          uint64_t other);
/** verify_mapped_looks_so() - is there such a header at v->at? */
bool verify_mapped_looks_so(Verify *v);
/** verify_mapped_pages() - all blocks are listed: bitmaps and pages
 *  Context: v->came has the blocks, as many and in the order as headers. */
void verify_mapped_pages(Verify *v);
/** verify_mapped_differ() - a page is not as the table of checksums says. */
void verify_mapped_differ(Verify *v, const PageSumsDiffer *differ);
/** verify_mapped_count() - a bitmap has other bits than were sent, though no
 *  page differs: report those. */
void verify_mapped_count(Verify *v, PageSumBlock *block,
                         const PageSumTrail *sent);

/* ---- verify-repair.c */

/** verify_repair_record() - the record at v->at cannot be right: report it,
 *  and go on behind it or at the next one that makes sense
 *  @why: words. Returns: as above. */
bool verify_repair_record(Verify *v, const char *why);
/** verify_repair_item() - the same for an item. */
bool verify_repair_item(Verify *v, const char *why);

/* ---- verify-pages.c */

/** verify_page() - a page has come; one that does not match its checksum is
 *  reported. Returns: as verify_take_record(). */
bool verify_page(Verify *v, const VerifyRecord *record);
/** verify_bad_page() - report a page whose checksum should be @want
 *  @at: where its bytes are. */
void verify_bad_page(Verify *v, PageSumBlock *block, uint64_t page,
                     uint64_t at, uint64_t want);
/** verify_seen_page() - without checksums it is enough to know that it has
 *  come. */
void verify_seen_page(PageSumBlock *block, uint64_t page, bool filled);
/** verify_table() - the body of section "page-checksums" of that @id, and its
 *  footer. Returns: as verify_items(). */
bool verify_table(Verify *v, uint32_t id);
/** verify_pages_end() - what can be said when everything has come. */
void verify_pages_end(Verify *v);

/* ---- verify-description.c */

/* One device section, as the description has it. */
typedef struct VerifyDevice {
    char *name;
    uint32_t instance;
    uint32_t version;
    bool has_version;          /* old-style sections have none */
    uint64_t fields_bytes;
    GPtrArray *subsections;    /* of VerifyDevice * without instance */
} VerifyDevice;

/** verify_devices_parse() - the devices of a description of @n bytes
 *  @ret_configuration: how many bytes it says that the configuration has; 0 if
 *  it says nothing
 *  Errors: no such text.
 *  Returns: of VerifyDevice *, to be unref'd; NULL on error. */
GPtrArray *verify_devices_parse(const char *text, size_t n,
                                uint64_t *ret_configuration, GError **error);
/** verify_device_bytes() - of a device's body: fields and subsections. */
uint64_t verify_device_bytes(const VerifyDevice *device);

/* ---- verify-tail.c */

/** verify_tail() - devices, end, description; from v->at to the file's end
 *  @found: false: where they begin is not known. */
void verify_tail(Verify *v, bool found);

#endif
