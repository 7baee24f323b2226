/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults put into a good stream, thousands of them, and each must be found by
 * the inspection and named: the kind that it is, the block and the offset
 * where it is a page's.
 *
 *   verify-inject STREAM SPANS SEED COUNT [DIR]
 *
 * SPANS says which byte of the stream is what. It comes from a reader that
 * shares nothing with the program (tests/qtest/stream_check.py):
 *
 *   KIND FIRST END                                 bytes [FIRST, END)
 *   @record FIRST END PAGE OFFSET BLOCK whole|zero same|named
 *   @page FIRST END OFFSET BLOCK                   with mapped-ram, instead
 *   @section FIRST END NAME                        header to footer
 *
 * PAGE is where the page's bytes begin. Prints what was tried, and what was
 * not found; exit status 1 if anything was not. With DIR every spoilt stream
 * is left there, as NUMBER-KIND.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migration/verify.h"
#include "util/byteorder.h"

#define PAGE 4096
#define KIND(k) (1u << VERIFY_##k)
#define ANY UINT32_MAX

typedef struct Record {
    size_t first, end, page;
    uint64_t offset;
    char *block;
    bool whole, same;
    bool last;               /* of its page */
    int before;              /* the record of the same page before; -1 */
} Record;

typedef struct Span {
    char *kind;              /* or the name of a section */
    size_t first, end;
} Span;

static uint8_t *good;
static size_t good_len;
static GArray *records, *sections;
static GHashTable *spans;    /* kind -> GArray of Span */
static bool has_sums, is_mapped;
static GRand *dice;
static unsigned n_failed;
static const char *tried_what;

/* The stream with a fault in it, and what must be said of it. */
typedef struct Case {
    const char *what;
    GByteArray *data;
    unsigned kinds;          /* one of these */
    const char *block;       /* NULL: any */
    uint64_t offsets[2];     /* one of these; UINT64_MAX: not asked for */
} Case;

static unsigned roll(unsigned n)
{
    return g_rand_int_range(dice, 0, n);
}

static Record *record_at(unsigned i)
{
    return &g_array_index(records, Record, i);
}

static size_t end_byte(void)
{
    GArray *types = g_hash_table_lookup(spans, "section-type");

    return g_array_index(types, Span, types->len - 1).first;
}

/* ---- changing bytes ---------------------------------------------------- */

static void flip(Case *c, size_t first, size_t end)
{
    size_t bit = (size_t)roll(8 * (end - first));

    c->data->data[first + bit / 8] ^= 1 << bit % 8;
}

static void cut_out(Case *c, size_t first, size_t end)
{
    g_byte_array_remove_range(c->data, first, end - first);
}

static void put_in(Case *c, size_t at, const void *bytes, size_t n)
{
    size_t len = c->data->len;

    g_byte_array_set_size(c->data, len + n);
    memmove(c->data->data + at + n, c->data->data + at, len - at);
    memcpy(c->data->data + at, bytes, n);
}

static void expect(Case *c, unsigned kinds, const Record *r)
{
    c->kinds = kinds;
    if (r) {
        c->block = r->block;
        c->offsets[0] = c->offsets[1] = r->offset;
    }
}

/* ---- choosing ---------------------------------------------------------- */

/* A record of which @fits is true; there are some. */
static Record *some_record(bool (*fits)(const Record *r))
{
    for (unsigned i = 0; i < 1000 * records->len; i++) {
        Record *r = record_at(roll(records->len));

        if (fits(r)) {
            return r;
        }
    }
    g_error("the stream has no record to make a %s of", tried_what);
}

static bool is_whole(const Record *r)
{
    return r->whole;
}

static bool is_same(const Record *r)
{
    return r->same;
}

static bool is_last(const Record *r)
{
    return r->last && r->same;
}

static bool is_zero(const Record *r)
{
    return !r->whole && r->same;
}

static bool is_old(const Record *r)
{
    return !r->last && r->same;
}

/* Sent before with other bytes. */
static bool is_new(const Record *r)
{
    const Record *before = r->before >= 0 ? record_at(r->before) : NULL;

    return before && (r->whole != before->whole ||
                      (r->whole &&
                       memcmp(good + r->page, good + before->page, PAGE)));
}

/* The record of the page that was the last one with other bytes; or NULL. */
static const Record *older(const Record *r)
{
    for (int i = r->before; i >= 0; i = record_at(i)->before) {
        const Record *before = record_at(i);

        if (before->whole &&
            memcmp(good + r->page, good + before->page, PAGE)) {
            return before;
        }
    }
    return NULL;
}

static bool has_changed(const Record *r)
{
    return r->whole && r->same && r->last && older(r);
}

/* One of a random one of @n kinds that the stream has. */
static const Span *some_span(const char *const *kinds, unsigned n)
{
    GArray *list;

    do {
        list = g_hash_table_lookup(spans, kinds[roll(n)]);
    } while (!list);
    return &g_array_index(list, Span, roll(list->len));
}

/* ---- kinds of faults --------------------------------------------------- */

static void flip_page(Case *c)
{
    Record *r = some_record(is_whole);

    flip(c, r->page, r->end);
    for (unsigned i = roll(3); i > 0; i--) {
        flip(c, r->page, r->page + PAGE);
    }
    expect(c, KIND(PAGE), r);
}

static void swap_pages(Case *c)
{
    Record *a = some_record(is_whole), *b = some_record(is_whole);
    size_t n = roll(2) ? PAGE : a->end - a->page;

    while (a->offset == b->offset ||
           !memcmp(good + a->page, good + b->page, PAGE)) {
        b = some_record(is_whole);
    }
    memcpy(c->data->data + a->page, good + b->page, n);
    memcpy(c->data->data + b->page, good + a->page, n);
    expect(c, KIND(SWAPPED), roll(2) ? a : b);
}

static void copy_page(Case *c)
{
    Record *a = some_record(is_whole), *b = some_record(is_last);

    while (!b->whole || a->offset == b->offset) {
        b = some_record(is_last);
    }
    memcpy(c->data->data + a->page, good + b->page, a->end - a->page);
    expect(c, KIND(SWAPPED), a);
}

static void drop_record(Case *c)
{
    Record *r = some_record(is_last);

    cut_out(c, r->first, r->end);
    if (r->before < 0) {
        expect(c, KIND(MISSING), r);
    } else if (is_new(r)) {
        expect(c, KIND(STALE), r);
    } else {
        c->kinds = KIND(COUNT); /* it was the same before */
        c->block = r->block;
    }
}

/* It was sent again later: only their number tells. */
static void drop_old_record(Case *c)
{
    Record *r = some_record(is_old);

    cut_out(c, r->first, r->end);
    c->kinds = KIND(COUNT);
    c->block = r->block;
}

static void repeat_record(Case *c)
{
    Record *r = some_record(is_same);

    put_in(c, r->end, good + r->first, r->end - r->first);
    c->kinds = KIND(COUNT);
    c->block = r->block;
}

/* What the page was comes again behind what it is. */
static void repeat_old_record(Case *c)
{
    const Record *r = some_record(has_changed), *before = older(r);
    g_autofree uint8_t *bytes = g_memdup2(good + before->first,
                                          before->end - before->first);

    if (!before->same) {
        return repeat_record(c);
    }
    put_in(c, r->end, bytes, before->end - before->first);
    expect(c, KIND(STALE), r);
}

static void make_stale(Case *c)
{
    const Record *r = some_record(has_changed);

    memcpy(c->data->data + r->page, good + older(r)->page,
           PAGE + 8);
    expect(c, KIND(STALE), r);
}

/* A mark of zeros at another's place, which may be as good there. */
static void move_zero(Case *c)
{
    Record *r = some_record(is_zero), *other = record_at(roll(records->len));

    store_be64(c->data->data + r->first,
               (load_be64(good + r->first) & 0xfff) | other->offset);
    c->kinds = ANY;
    c->block = r->block;
}

/* ---- with fixed places ------------------------------------------------- */

static void empty_page(Case *c)
{
    Record *r = some_record(is_whole);

    memset(c->data->data + r->page, 0, PAGE);
    expect(c, KIND(MISSING), r);
}

/* The page as it was some time before, or in another file. */
static void replace_page(Case *c)
{
    Record *r = some_record(is_whole);

    for (unsigned i = 0; i < PAGE; i += 4) {
        store_be32(c->data->data + r->page + i, g_rand_int(dice));
    }
    expect(c, KIND(PAGE), r);
}

static void flip_bitmap(Case *c)
{
    static const char *const kind = "bitmap";
    const Span *span = some_span(&kind, 1);
    size_t bit = roll(8 * (span->end - span->first));

    c->data->data[span->first + bit / 8] ^= 1 << bit % 8;
    c->kinds = KIND(BITMAP);
    c->block = record_at(0)->block;
    c->offsets[0] = c->offsets[1] = (uint64_t)bit * PAGE;
}

static void spoil_bitmap(Case *c)
{
    static const char *const kind = "bitmap";
    const Span *span = some_span(&kind, 1);
    size_t at = span->first + roll(span->end - span->first - 8);

    for (unsigned i = 0; i < 8; i++) {
        c->data->data[at + i] = ~c->data->data[at + i];
    }
    c->kinds = KIND(BITMAP) | KIND(MISSING) | KIND(PAGE);
    c->block = record_at(0)->block;
}

static void flip_places(Case *c)
{
    static const char *const kind = "block-header";
    const Span *span = some_span(&kind, 1);

    flip(c, span->first, span->end);
    c->kinds = KIND(PLACES);
}

/* The word of a record: the page may be named by either offset. */
static void flip_word(Case *c)
{
    Record *r = some_record(is_same);

    flip(c, r->first, r->first + 8);
    expect(c, ANY & ~KIND(COUNT), r);
    c->offsets[1] = load_be64(c->data->data + r->first) & ~UINT64_C(0xfff);
}

static void spoil_word(Case *c)
{
    Record *r = some_record(is_same);

    for (unsigned i = 0; i < 8; i++) {
        c->data->data[r->first + i] = g_rand_int(dice);
    }
    if (!memcmp(c->data->data + r->first, good + r->first, 8)) {
        c->data->data[r->first]++;
    }
    c->kinds = ANY & ~KIND(COUNT);
    c->block = r->block;
}

static void fill_zero(Case *c)
{
    Record *r = record_at(roll(records->len));

    while (r->whole) {
        r = record_at(roll(records->len));
    }
    c->data->data[r->page] = 1 + roll(255);
    expect(c, KIND(PAGE), r);
}

static void cut_file(Case *c)
{
    size_t n = roll(good_len);

    g_byte_array_set_size(c->data, n);
    c->kinds = KIND(CUT);
    for (unsigned i = 0; i < records->len; i++) {
        Record *r = record_at(i);

        if (r->same && n > r->first && n < r->end) {
            expect(c, KIND(CUT), r);
        }
    }
}

/* With fixed places all that is between pages and table says that RAM has
 * ended; a file without some of it may be that of a background snapshot, and
 * as good. (Where behind the last page that is there @n bytes are lost makes no
 * difference.) */
static bool has_lost_ram_end(const Case *c, size_t n)
{
    static const char *const pages = "pages", *const table = "table-kind";
    size_t first = some_span(&pages, 1)->end;
    size_t read = record_at(records->len - 1)->end;

    if (memcmp(c->data->data, good, read)) {
        return false;
    }
    for (size_t at = first; at + n <= some_span(&table, 1)->first; at++) {
        if (!memcmp(c->data->data + at, good + at + n, good_len - at - n)) {
            return true;
        }
    }
    return false;
}

static void lose_bytes(Case *c)
{
    size_t n = 1 + roll(200), at = record_at(1)->first +
        roll(end_byte() - record_at(1)->first - 300);

    cut_out(c, at, at + n);
    if (is_mapped && has_lost_ram_end(c, n)) {
        cut_out(c, 0, 1); /* so that it is a fault */
    }
    c->kinds = ANY;
}

static void gain_bytes(Case *c)
{
    uint8_t bytes[200];
    size_t at = record_at(1)->first + roll(end_byte() - record_at(1)->first);

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = g_rand_int(dice);
    }
    put_in(c, at, bytes, 1 + roll(sizeof(bytes)));
    c->kinds = ANY;
}

static void flip_table(Case *c)
{
    static const char *const kinds[] = {
        "table-bitmap", "table-checksum", "table-checksum", "table-checksum",
        "table-block-digest", "table-pages", "table-block-count",
        "table-block", "table-kind", "table-digest",
    };
    const Span *span = some_span(kinds, G_N_ELEMENTS(kinds));

    flip(c, span->first, span->end);
    c->kinds = KIND(TABLE);
}

static void flip_count(Case *c)
{
    static const char *const kinds[] = { "table-records", "table-trail" };
    const Span *span = some_span(kinds, G_N_ELEMENTS(kinds));

    flip(c, span->first, span->end);
    c->kinds = KIND(COUNT);
    c->block = record_at(0)->block;
}

static void flip_list(Case *c)
{
    static const char *const kinds[] = {
        "block-name", "block-name-length", "block-length",
    };
    const Span *span = some_span(kinds, G_N_ELEMENTS(kinds));

    flip(c, span->first, span->end);
    c->kinds = ANY;
}

/* Everything around pages and values. */
static void flip_framing(Case *c)
{
    static const char *const kinds[] = {
        "magic", "file-version", "configuration-type", "machine-name-length",
        "configuration-subsection-type", "configuration-subsection-length",
        "configuration-subsection", "configuration-subsection-version",
        "capability-count", "capability-length", "capability", "section-type",
        "section-id", "section-name-length", "section-name",
        "section-instance", "section-version", "footer", "footer-id",
        "command", "command-length", "record-block-length", "record-block",
        "subsection-type", "subsection-name-length", "subsection-name",
        "subsection-version",
    };
    const Span *span = some_span(kinds, G_N_ELEMENTS(kinds));

    flip(c, span->first, span->end);
    c->kinds = ANY;
}

static void lose_section(Case *c)
{
    const Span *s = &g_array_index(sections, Span, roll(sections->len));

    cut_out(c, s->first, s->end);
    c->kinds = ANY;
}

static void repeat_section(Case *c)
{
    const Span *s = &g_array_index(sections, Span, roll(sections->len));

    put_in(c, s->end, good + s->first, s->end - s->first);
    c->kinds = ANY;
}

static void change_length(Case *c)
{
    /* A device that is longer or shorter than described. */
    const Span *s = &g_array_index(sections, Span, roll(sections->len));
    size_t at = s->end - 5 - 1;

    if (strchr(s->kind, '@')) {
        return lose_section(c);
    }
    if (roll(2)) {
        put_in(c, at, "", 1);
    } else {
        cut_out(c, at, at + 1);
    }
    c->kinds = ANY;
}

static void break_description(Case *c)
{
    size_t at = end_byte() + 1;

    switch (roll(3)) {
    case 0:
        flip(c, at, at + 5);
        break;
    case 1:
        cut_out(c, at, good_len);
        put_in(c, at, "\6\0\0\0\5{\"a\":", 10);
        break;
    default:
        cut_out(c, at + 5 + roll(100), at + 6 + 100 + roll(100));
        break;
    }
    c->kinds = KIND(DESCRIPTION) | KIND(CUT) | KIND(TRAILING) | KIND(FRAMING);
}

static void add_at_end(Case *c)
{
    uint8_t bytes[100];
    unsigned n = 1 + roll(sizeof(bytes));

    for (unsigned i = 0; i < n; i++) {
        bytes[i] = g_rand_int(dice);
    }
    g_byte_array_append(c->data, bytes, n);
    c->kinds = KIND(TRAILING);
}

static void never_finished(Case *c)
{
    memset(c->data->data, 0, 8);
    c->kinds = KIND(UNFINISHED);
}

/* Whatever may happen, and it may be nothing: it is only to come to an end. */
static void spoil_anything(Case *c)
{
    for (unsigned i = 1 + roll(40); i > 0; i--) {
        size_t at = roll(c->data->len - 300), n = 1 + roll(200);

        switch (roll(4)) {
        case 0:
            cut_out(c, at, at + n);
            break;
        case 1:
            put_in(c, at, good + roll(good_len - n), n);
            break;
        default:
            c->data->data[at] = g_rand_int(dice);
            break;
        }
    }
    c->kinds = 0;
}

typedef struct Fault {
    const char *what;
    void (*inject)(Case *c);
    unsigned weight;
    bool plain;              /* it can be found without checksums */
    enum { BOTH, RECORDS, MAPPED } where;
} Fault;

static const Fault faults[] = {
    { "flipped-bits-of-a-page", flip_page, 20, false, BOTH },
    { "swapped-pages", swap_pages, 8, false, BOTH },
    { "page-copied-over-another", copy_page, 8, false, BOTH },
    { "dropped-record", drop_record, 10, false, RECORDS },
    { "dropped-older-record", drop_old_record, 5, false, RECORDS },
    { "repeated-record", repeat_record, 5, false, RECORDS },
    { "repeated-older-record", repeat_old_record, 8, false, RECORDS },
    { "stale-page", make_stale, 8, false, RECORDS },
    { "flipped-word", flip_word, 10, false, RECORDS },
    { "spoilt-word", spoil_word, 5, false, RECORDS },
    { "filled-zero-page", fill_zero, 3, true, RECORDS },
    { "moved-zero-page", move_zero, 3, false, RECORDS },
    { "cut-file", cut_file, 10, true, BOTH },
    { "lost-bytes", lose_bytes, 10, false, BOTH },
    { "gained-bytes", gain_bytes, 10, false, BOTH },
    { "flipped-table", flip_table, 10, false, BOTH },
    { "flipped-count", flip_count, 2, false, BOTH },
    { "flipped-list", flip_list, 5, false, BOTH },
    { "flipped-framing", flip_framing, 20, true, BOTH },
    { "lost-section", lose_section, 5, false, BOTH },
    { "repeated-section", repeat_section, 5, false, BOTH },
    { "changed-length", change_length, 5, true, BOTH },
    { "broken-description", break_description, 5, true, BOTH },
    { "trailing-bytes", add_at_end, 3, true, BOTH },
    { "never-finished", never_finished, 1, true, BOTH },
    { "emptied-page", empty_page, 8, false, MAPPED },
    { "replaced-page", replace_page, 8, false, MAPPED },
    { "flipped-bitmap", flip_bitmap, 8, false, MAPPED },
    { "spoilt-bitmap", spoil_bitmap, 4, false, MAPPED },
    { "flipped-places", flip_places, 8, true, MAPPED },
    { "anything", spoil_anything, 5, true, BOTH },
};

/* ---- checking ---------------------------------------------------------- */

static bool names_it(const Case *c, const VerifyFault *f)
{
    return c->kinds >> f->kind & 1 &&
           (!c->block || !g_strcmp0(c->block, f->block)) &&
           (c->offsets[0] == UINT64_MAX || f->offset == c->offsets[0] ||
            f->offset == c->offsets[1]);
}

static void check(const Case *c, unsigned number)
{
    g_autoptr(VerifyInput) in = verify_input_new_memory(c->data->data,
                                                        c->data->len);
    g_autoptr(GError) error = NULL;
    g_autoptr(VerifyReport) report = verify_run(in, 0, &error);
    g_autofree char *text = NULL;

    g_assert_no_error(error);
    if (!c->kinds) {
        return;
    }
    for (unsigned i = 0; i < report->faults->len; i++) {
        if (names_it(c, g_ptr_array_index(report->faults, i))) {
            return;
        }
    }
    text = verify_report_text(report, "it");
    printf("# case %u, %s: not found as kinds 0x%x, block %s, offset 0x%lx:\n",
           number, c->what, c->kinds, c->block ? c->block : "any",
           (unsigned long)c->offsets[0]);
    printf("# %.400s\n", text);
    n_failed++;
}

static void leave(const Case *c, unsigned number, const char *dir)
{
    g_autofree char *name = g_strdup_printf("%04u-%s", number, c->what);
    g_autofree char *path = g_build_filename(dir, name, NULL);

    if (!g_file_set_contents(path, (char *)c->data->data, c->data->len,
                             NULL)) {
        printf("# cannot write %s\n", path);
        n_failed++;
    }
}

static unsigned weight(const Fault *fault)
{
    return (has_sums || fault->plain) &&
                   fault->where != (is_mapped ? RECORDS : MAPPED)
               ? fault->weight : 0;
}

/* Each of them once, then as their weights are. */
static const Fault *some_fault(unsigned n)
{
    unsigned sum = 0, i, at;

    if (n < G_N_ELEMENTS(faults) && weight(&faults[n])) {
        return &faults[n];
    }
    for (i = 0; i < G_N_ELEMENTS(faults); i++) {
        sum += weight(&faults[i]);
    }
    at = roll(sum);
    for (i = 0; at >= weight(&faults[i]); i++) {
        at -= weight(&faults[i]);
    }
    return &faults[i];
}

static void run(unsigned count, const char *dir)
{
    unsigned tried[G_N_ELEMENTS(faults)] = { 0 };

    for (unsigned n = 0; n < count; n++) {
        const Fault *fault = some_fault(n);
        Case c = { .what = fault->what,
                   .offsets = { UINT64_MAX, UINT64_MAX } };

        do {
            g_clear_pointer(&c.data, g_byte_array_unref);
            c.data = g_byte_array_sized_new(good_len + 4200);
            g_byte_array_append(c.data, good, good_len);
            tried_what = fault->what;
            fault->inject(&c);
        } while (c.data->len == good_len &&
                 !memcmp(c.data->data, good, good_len));
        check(&c, n);
        if (dir) {
            leave(&c, n, dir);
        }
        tried[fault - faults]++;
        g_byte_array_unref(c.data);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(faults); i++) {
        if (weight(&faults[i])) {
            printf("%s %u\n", faults[i].what, tried[i]);
        }
    }
}

/* ---- what is where ----------------------------------------------------- */

static void add_record(char **words)
{
    Record r = {
        .first = strtoull(words[1], NULL, 0),
        .end = strtoull(words[2], NULL, 0),
        .page = strtoull(words[3], NULL, 0),
        .offset = strtoull(words[4], NULL, 0),
        .block = g_strdup(words[5]),
        .whole = !strcmp(words[6], "whole"),
        .same = !strcmp(words[7], "same"),
        .last = true,
        .before = -1,
    };

    for (int i = records->len - 1; i >= 0; i--) {
        Record *other = record_at(i);

        if (other->offset == r.offset && !strcmp(other->block, r.block)) {
            other->last = false;
            r.before = i;
            break;
        }
    }
    g_array_append_val(records, r);
}

static void add_page(char **words)
{
    Record r = {
        .first = strtoull(words[1], NULL, 0),
        .end = strtoull(words[2], NULL, 0),
        .offset = strtoull(words[3], NULL, 0),
        .block = g_strdup(words[4]),
        .whole = true,
        .last = true,
        .same = true,
        .before = -1,
    };

    r.page = r.first;
    g_array_append_val(records, r);
}

static void add_span(GArray *to, const char *kind, char **words)
{
    Span span = { g_strdup(kind), strtoull(words[1], NULL, 0),
                  strtoull(words[2], NULL, 0) };

    if (span.end > span.first) {
        g_array_append_val(to, span);
    }
}

static GArray *spans_of(const char *kind)
{
    GArray *list = g_hash_table_lookup(spans, kind);

    if (!list) {
        list = g_array_new(FALSE, FALSE, sizeof(Span));
        g_hash_table_insert(spans, g_strdup(kind), list);
    }
    return list;
}

static void read_spans(const char *path)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", -1);

        if (g_strv_length(words) < 3) {
            continue;
        }
        if (!strcmp(words[0], "@record")) {
            add_record(words);
        } else if (!strcmp(words[0], "@page")) {
            add_page(words);
        } else if (!strcmp(words[0], "@section")) {
            add_span(sections, words[3], words);
        } else {
            add_span(spans_of(words[0]), words[0], words);
        }
    }
}

static bool good_is_sound(void)
{
    g_autoptr(VerifyInput) in = verify_input_new_memory(good, good_len);
    g_autoptr(VerifyReport) report = verify_run(in, 0, NULL);
    g_autofree char *text = verify_report_text(report, "the stream");

    if (report->n_faults) {
        printf("# %s\n", text);
    }
    has_sums = report->has_checksums;
    is_mapped = report->is_mapped;
    return report->n_faults == 0;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6 ||
        !g_file_get_contents(argv[1], (char **)&good, &good_len, NULL)) {
        fprintf(stderr, "usage: verify-inject STREAM SPANS SEED COUNT "
                "[DIR]\n");
        return 2;
    }
    records = g_array_new(FALSE, FALSE, sizeof(Record));
    spans = g_hash_table_new(g_str_hash, g_str_equal);
    sections = g_array_new(FALSE, FALSE, sizeof(Span));
    dice = g_rand_new_with_seed(strtoul(argv[3], NULL, 0));
    read_spans(argv[2]);
    if (!good_is_sound()) {
        return 1;
    }
    run(strtoul(argv[4], NULL, 0), argc > 5 ? argv[5] : NULL);
    printf("failed %u\n", n_failed);
    return n_failed > 0;
}
