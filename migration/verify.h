/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a saved stream sound? Reads one, plain or with fixed places for its
 * pages, without a machine, and reports everything that is wrong with it:
 * what kind of fault, at which byte, and of which block and offset. It goes on
 * behind a fault where that makes sense, so that one flipped bit does not hide
 * the next. What cannot be checked is reported too.
 *
 * docs/verify.md says what each kind of fault means.
 */
#ifndef MIGRATION_VERIFY_H
#define MIGRATION_VERIFY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/page-sums.h"
#include "migration/verify-input.h"

/* Faults that are kept; all are counted. */
#define VERIFY_FAULTS_MAX 1000

typedef enum VerifyKind {
    VERIFY_UNFINISHED,     /* its first bytes were never written */
    VERIFY_HEADER,
    VERIFY_CONFIGURATION,
    VERIFY_FRAMING,        /* no section where one should begin */
    VERIFY_SECTION,        /* missing, twice, or in the wrong place */
    VERIFY_FOOTER,
    VERIFY_BLOCK_LIST,
    VERIFY_RECORD,         /* of a page, that cannot be right */
    VERIFY_PAGE,           /* does not match its checksum */
    VERIFY_SWAPPED,        /* is another page of the stream */
    VERIFY_MISSING,        /* never came */
    VERIFY_STALE,          /* is not the one that was sent last */
    VERIFY_COUNT,          /* of records, more or fewer than sent */
    VERIFY_TABLE,          /* of checksums */
    VERIFY_PLACES,         /* where mapped-ram says that pages are */
    VERIFY_BITMAP,         /* of mapped-ram */
    VERIFY_DEVICE,
    VERIFY_DESCRIPTION,
    VERIFY_CUT,            /* the end comes too early */
    VERIFY_TRAILING,       /* bytes behind the end */
    VERIFY__MAX,
} VerifyKind;

typedef struct VerifyFault {
    VerifyKind kind;
    char *block;           /* NULL: none in particular */
    uint64_t offset;       /* in the block, bytes; UINT64_MAX: no page */
    uint64_t at;           /* byte of the file */
    char *words;
} VerifyFault;

typedef struct VerifyReport {
    GPtrArray *faults;     /* of VerifyFault *; the first of them */
    uint64_t n_faults;     /* all */
    uint64_t n_kind[VERIFY__MAX];
    GPtrArray *unchecked;  /* of char *: what nothing could be said of */
    /* What is in it. */
    char *machine;         /* NULL: not named */
    bool has_checksums;
    bool is_mapped;
    bool has_end;          /* its end byte was seen */
    bool is_snapshot;      /* of a machine that ran on */
    bool has_digest;
    PageSumsKind table;    /* if has_digest */
    PageSumsDigest digest;
    uint64_t bytes;        /* looked at, from the stream's first */
    uint64_t blocks;
    uint64_t pages;        /* of all blocks */
    uint64_t zero_pages;   /* of these, in the end */
    uint64_t records;
    uint64_t checked;      /* times that a page was held against a checksum */
    uint64_t devices;
} VerifyReport;

/** verify_kind_name() - "page", "missing" and so on. */
const char *verify_kind_name(VerifyKind kind);

/**
 * verify_run() - inspect the stream that begins at byte @offset
 * Context: one thread per input; nothing else is touched.
 * Errors:  what cannot be read; a stream that needs places looked at out of a
 *          pipe. Faults are no errors.
 * Cost:    reads everything once; memory as page-sums.h says, and the device
 *          sections.
 * Returns: a report; NULL with @error.
 */
VerifyReport *verify_run(VerifyInput *in, uint64_t offset, GError **error);

/** verify_report_is_sound() - it has no faults, and was seen up to its end. */
bool verify_report_is_sound(const VerifyReport *report);

/** verify_report_free() - NULL is fine. */
void verify_report_free(VerifyReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VerifyReport, verify_report_free)

/** verify_report_text(), verify_report_json() - for people, for programs
 *  @name: of what was inspected
 *  Returns: lines; one JSON object. Owned by the caller. */
char *verify_report_text(const VerifyReport *report, const char *name);
char *verify_report_json(const VerifyReport *report, const char *name);

#endif
