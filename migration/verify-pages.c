/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages under inspection, and the table of their checksums.
 */
#include <inttypes.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "util/bitmap.h"
#include "util/byteorder.h"

/* Differences of one block that are looked at one by one. */
#define DIFFERS_MAX 4096

/* ---- one page ---------------------------------------------------------- */

void verify_bad_page(Verify *v, PageSumBlock *block, uint64_t page,
                     uint64_t at, uint64_t want)
{
    const uint8_t *data = verify_look(v, at, WIRE_PAGE_BYTES);
    VerifyBadPage bad = { .block = block, .page = page, .want = want };

    if (data && v->bad->len < VERIFY_BAD_KEPT) {
        bad.content = g_memdup2(data, WIRE_PAGE_BYTES);
    }
    bad.fault = verify_fault_page(v, VERIFY_PAGE, block, page, at,
                                  "it does not match its checksum");
    g_array_append_val(v->bad, bad);
}

static bool next_is_plausible(Verify *v, const VerifyRecord *record)
{
    PageSumBlock *last = v->last;
    bool ok;

    v->last = record->block;
    ok = verify_record_is_plausible(v, record->end);
    v->last = last;
    return ok;
}

static bool checked_page(Verify *v, const VerifyRecord *record)
{
    const uint8_t *data = verify_look(v, record->data, WIRE_PAGE_BYTES + 8);
    uint64_t want = load_be64(data + WIRE_PAGE_BYTES);

    if (page_sum(record->block, record->page, data) != want) {
        if (!next_is_plausible(v, record)) {
            return false;
        }
        verify_bad_page(v, record->block, record->page, record->data, want);
        data = verify_look(v, record->data, WIRE_PAGE_BYTES);
    }
    v->report->checked++;
    page_sums_note(record->block, record->page, data);
    page_sums_count(record->block, record->page, want, false);
    return true;
}

void verify_seen_page(PageSumBlock *block, uint64_t page, bool filled)
{
    bitmap_set_bit(block->seen, page);
    if (filled) {
        bitmap_set_bit(block->filled, page);
    } else {
        bitmap_clear_bit(block->filled, page);
    }
}

bool verify_page(Verify *v, const VerifyRecord *record)
{
    if (record->word.type == WIRE_RAM_ZERO) {
        uint8_t fill = *verify_look(v, record->data, 1);

        if (fill) {
            if (!next_is_plausible(v, record)) {
                return false;
            }
            verify_fault_page(v, VERIFY_PAGE, record->block, record->page,
                              record->data, "a page of zeros is filled with "
                              "something else");
        }
        page_sums_note(record->block, record->page, NULL);
        page_sums_count(record->block, record->page, 0, true);
        return true;
    }
    if (v->sums) {
        return checked_page(v, record);
    }
    verify_seen_page(record->block, record->page, true);
    return true;
}

/* ---- the table --------------------------------------------------------- */

/* What the table says of one block, until it is known to be whole. */
typedef struct TableRead {
    Verify *v;
    GArray *differs;       /* of PageSumsDiffer, the first of them */
    uint64_t n_differ;
    uint64_t at;           /* of the table */
} TableRead;

static void on_differ(void *opaque, const PageSumsDiffer *differ)
{
    TableRead *t = opaque;

    t->n_differ++;
    if (t->differs->len < DIFFERS_MAX) {
        g_array_append_val(t->differs, *differ);
    }
}

static void tell_damaged(TableRead *t, const PageSumBlock *block)
{
    const PageSumsDiffer *first =
        t->n_differ ? &g_array_index(t->differs, PageSumsDiffer, 0) : NULL;

    verify_fault(t->v, VERIFY_TABLE, block,
                 first ? first->page : VERIFY_NO_PAGE, t->at,
                 "the table of its checksums does not match its own digest; "
                 "it differs from %" PRIu64 " pages", t->n_differ);
}

static void tell_differ(TableRead *t, const PageSumsDiffer *differ)
{
    Verify *v = t->v;
    PageSumBlock *block = (PageSumBlock *)differ->block;

    if (v->mapped) {
        verify_mapped_differ(v, differ);
        return;
    }
    if (!bitmap_test_bit(block->seen, differ->page)) {
        verify_fault_page(v, VERIFY_MISSING, block, differ->page, t->at,
                          "it never came");
        return;
    }
    verify_fault_page(v, VERIFY_STALE, block, differ->page, t->at,
                      v->report->table == PAGE_SUMS_HELD
                          ? "it is not what the source had in memory"
                      : differ->filled
                          ? "it is not the one that was sent last"
                          : "it is not the one that was sent last, which was "
                            "all zero");
}

static void on_block_end(void *opaque, const PageSumBlock *block, bool damaged,
                         const PageSumTrail *sent)
{
    TableRead *t = opaque;
    const uint64_t *kinds = t->v->report->n_kind;

    if (damaged) {
        tell_damaged(t, block);
    } else {
        for (unsigned i = 0; i < t->differs->len; i++) {
            tell_differ(t, &g_array_index(t->differs, PageSumsDiffer, i));
        }
    }
    /* Else it is known already why. */
    if (t->v->mapped) {
        verify_mapped_count(t->v, (PageSumBlock *)block, sent);
    } else if (memcmp(sent, &block->trail, sizeof(*sent)) && !t->n_differ &&
               !kinds[VERIFY_RECORD] && !kinds[VERIFY_FRAMING] &&
               !kinds[VERIFY_PAGE]) {
        verify_fault(t->v, VERIFY_COUNT, block, VERIFY_NO_PAGE, t->at,
                     "other records of its pages came than were sent, %" PRIu64
                     " instead of %" PRIu64, block->trail.records,
                     sent->records);
    }
    g_array_set_size(t->differs, 0);
    t->n_differ = 0;
}

static void table_fault(Verify *v, const char *words)
{
    verify_fault(v, VERIFY_TABLE, NULL, VERIFY_NO_PAGE, v->at, "%s", words);
}

/* Those that a table is of: with x-ignore-shared it leaves out blocks of which
 * no page was sent. Which they are the list does not say. */
static PageSums tabled_blocks(const Verify *v)
{
    PageSums tabled = { g_ptr_array_new() };

    for (unsigned i = 0; i < v->came->blocks->len; i++) {
        PageSumBlock *block = g_ptr_array_index(v->came->blocks, i);

        if (!v->gpas || g_hash_table_contains(v->come, block)) {
            g_ptr_array_add(tabled.blocks, block);
        }
    }
    return tabled;
}

static bool get_table(Verify *v, Stream *s, const PageSumsReader *reader,
                      bool *ret_damaged, GError **error)
{
    PageSums tabled = tabled_blocks(v);
    bool ok = page_sums_get(&tabled, s, reader, &v->report->digest,
                            ret_damaged, error);

    g_ptr_array_unref(tabled.blocks);
    return ok;
}

bool verify_table(Verify *v, uint32_t id)
{
    g_autoptr(Stream) s = verify_input_stream(v->in, v->at);
    g_autoptr(GArray) differs = g_array_new(FALSE, FALSE,
                                            sizeof(PageSumsDiffer));
    TableRead t = { .v = v, .differs = differs, .at = v->at };
    const PageSumsReader reader = { on_differ, on_block_end, &t };
    g_autoptr(GError) error = NULL;
    bool damaged;

    v->tabled = true;
    v->report->table = PAGE_SUMS_SENT;
    if (!page_sums_get_kind(s, &v->report->table, &error) &&
        !stream_error(s)) {
        table_fault(v, error->message);
        g_clear_error(&error);
    }
    if (!get_table(v, s, &reader, &damaged, &error)) {
        if (stream_error(s) && !verify_look(v, v->at + stream_bytes(s), 1)) {
            v->at += stream_bytes(s);
            return verify_cut(v, NULL, VERIFY_NO_PAGE,
                              "the table of checksums");
        }
        table_fault(v, error->message);
        return verify_repair_item(v, NULL);
    }
    v->report->has_digest = true;
    if (damaged && !v->report->n_kind[VERIFY_TABLE]) {
        table_fault(v, "the table of checksums does not match its digest");
    }
    v->at += stream_bytes(s);
    return verify_footer(v, id);
}

/* ---- in the end -------------------------------------------------------- */

/* Runs of pages that no record brought. */
static void tell_missing(Verify *v, PageSumBlock *block)
{
    uint64_t first = 0, end;

    while ((first = bitmap_find_next_zero(block->seen, block->npages, first)) <
           block->npages) {
        g_autofree char *words = NULL;

        end = bitmap_find_next_set(block->seen, block->npages, first);
        if (!g_hash_table_contains(v->told, &block->sums[first])) {
            words = end - first == 1
                ? g_strdup("it never came")
                : g_strdup_printf("it never came, nor did the %" PRIu64
                                  " pages behind it", end - first - 1);
            verify_fault_page(v, VERIFY_MISSING, block, first, v->at, words);
        }
        first = end;
    }
}

static void check_all_came(Verify *v)
{
    for (unsigned i = 0; i < v->came->blocks->len; i++) {
        PageSumBlock *block = g_ptr_array_index(v->came->blocks, i);

        v->report->zero_pages +=
            bitmap_count(block->seen, 0, block->npages) -
            bitmap_count(block->filled, 0, block->npages);
        if (v->foreign) {
            continue;
        }
        if (v->gpas && !g_hash_table_contains(v->come, block)) {
            verify_unchecked(v, "block '%s', of which no page was sent "
                             "because it is shared memory", block->name);
            continue;
        }
        tell_missing(v, block);
    }
}

/* Is it another of the pages that do not match, or has its checksum? */
static const VerifyBadPage *find_swapped(const Verify *v,
                                         const VerifyBadPage *bad)
{
    for (unsigned i = 0; i < v->bad->len; i++) {
        const VerifyBadPage *other = &g_array_index(v->bad, VerifyBadPage, i);

        if (other != bad && bad->content) {
            uint64_t sum = page_sum(other->block, other->page, bad->content);

            if (sum == bad->want || sum == other->want) {
                return other;
            }
        }
    }
    return NULL;
}

static void tell_swapped(Verify *v, VerifyBadPage *bad,
                         const PageSumBlock *block, uint64_t page)
{
    if (!bad->fault || bad->fault->kind == VERIFY_SWAPPED) {
        return;
    }
    v->report->n_kind[bad->fault->kind]--;
    v->report->n_kind[VERIFY_SWAPPED]++;
    bad->fault->kind = VERIFY_SWAPPED;
    g_free(bad->fault->words);
    bad->fault->words = g_strdup_printf("it is the page at 0x%" PRIx64
                                        " of block '%s'",
                                        page * WIRE_PAGE_BYTES, block->name);
}

/* One that came with the checksum of a page that is in its own place too. */
static void find_copies(Verify *v, GHashTable *wants)
{
    for (unsigned i = 0; i < v->came->blocks->len; i++) {
        const PageSumBlock *block = g_ptr_array_index(v->came->blocks, i);

        for (uint64_t p = 0; p < block->npages; p++) {
            VerifyBadPage *bad = block->sums[p]
                ? g_hash_table_lookup(wants, &block->sums[p]) : NULL;

            if (bad && (bad->block != block || bad->page != p)) {
                tell_swapped(v, bad, block, p);
            }
        }
    }
}

/* As many pages are looked for in all places: 0.3 us for each of those. */
#define COPIES_MAX 8

/* Without checksums of their own: is it what should be in another place? */
static void find_mapped_copy(Verify *v, VerifyBadPage *bad)
{
    for (unsigned i = 0; i < v->came->blocks->len; i++) {
        const PageSumBlock *block = g_ptr_array_index(v->came->blocks, i);

        for (uint64_t p = 0; p < block->npages; p++) {
            if (block->sums[p] &&
                block->sums[p] == page_sum(block, p, bad->content) &&
                (bad->block != block || bad->page != p)) {
                tell_swapped(v, bad, block, p);
                return;
            }
        }
    }
}

static void find_mapped_copies(Verify *v)
{
    unsigned n = MIN(v->bad->len, COPIES_MAX);

    for (unsigned i = 0; i < n; i++) {
        VerifyBadPage *bad = &g_array_index(v->bad, VerifyBadPage, i);

        if (bad->content) {
            find_mapped_copy(v, bad);
        }
    }
}

static void check_swapped(Verify *v)
{
    g_autoptr(GHashTable) wants = g_hash_table_new(g_int64_hash,
                                                   g_int64_equal);

    for (unsigned i = 0; i < v->bad->len; i++) {
        VerifyBadPage *bad = &g_array_index(v->bad, VerifyBadPage, i);
        const VerifyBadPage *other = find_swapped(v, bad);

        if (other) {
            tell_swapped(v, bad, other->block, other->page);
        } else {
            g_hash_table_insert(wants, &bad->want, bad);
        }
    }
    if (v->mapped) {
        find_mapped_copies(v);
    } else if (g_hash_table_size(wants)) {
        find_copies(v, wants);
    }
}

static void section_fault(Verify *v, const char *words)
{
    verify_fault(v, VERIFY_SECTION, NULL, VERIFY_NO_PAGE, v->at, "%s", words);
}

void verify_pages_end(Verify *v)
{
    bool cut = v->report->n_kind[VERIFY_CUT];

    if (!v->started) {
        section_fault(v, "section 'ram' is missing");
    }
    if (v->sums && !v->tabled && !cut) {
        section_fault(v, "section 'page-checksums' is missing");
    }
    if (v->stopped && !v->ended && !cut) {
        section_fault(v, "the end of section 'ram' is missing");
    }
    check_all_came(v);
    check_swapped(v);
}
