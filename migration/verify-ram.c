/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bodies of section "ram" under inspection: the list of blocks, and records.
 */
#include <inttypes.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "util/bitmap.h"
#include "util/byteorder.h"

/* More memory than any machine has: a length that is damaged. */
#define BLOCK_BYTES_MAX (UINT64_C(1) << 46)

/* ---- how a record reads ------------------------------------------------ */

/* The block that a record names; NULL: none, or not one of the list. */
static PageSumBlock *named_block(Verify *v, uint64_t at, uint64_t *ret_end)
{
    g_autoptr(Stream) s = verify_small_stream(v, at);
    char name[256];

    if (!stream_get_cstr(s, name)) {
        return NULL;
    }
    *ret_end = at + stream_bytes(s);
    return page_sums_find(v->came, name);
}

bool verify_record_shape(Verify *v, uint64_t at, const WireRamWord *word,
                         VerifyRecord *ret)
{
    VerifyRecord record = { .word = *word, .data = at + 8 };

    record.block = word->same_block ? v->last
                                    : named_block(v, at + 8, &record.data);
    if (!record.block || word->offset / WIRE_PAGE_BYTES >=
                             record.block->npages) {
        return false;
    }
    record.page = word->offset / WIRE_PAGE_BYTES;
    record.end = record.data + (word->type == WIRE_RAM_ZERO
                                    ? 1
                                    : WIRE_PAGE_BYTES + (v->sums ? 8 : 0));
    *ret = record;
    return true;
}

static bool is_all_there(Verify *v, const VerifyRecord *record)
{
    return verify_look(v, record->end - 1, 1);
}

static bool word_at(Verify *v, uint64_t at, WireRamWord *ret)
{
    const uint8_t *data = verify_look(v, at, 8);

    return data && wire_ram_word_parse(load_be64(data), ret, NULL);
}

static bool end_is_plausible(Verify *v, uint64_t at)
{
    const uint8_t *data = verify_look(v, at, 5);

    if (data && data[0] == WIRE_SECTION_FOOTER &&
        load_be32(data + 1) == v->ram_id) {
        return true;
    }
    return !v->footers && verify_item_is_plausible(v, at);
}

bool verify_record_is_plausible(Verify *v, uint64_t at)
{
    VerifyRecord record;
    WireRamWord word;
    const uint8_t *data;

    if (!word_at(v, at, &word)) {
        return false;
    }
    switch (word.type) {
    case WIRE_RAM_EOS:
        return end_is_plausible(v, at + 8);
    case WIRE_RAM_PAGE:
        return verify_record_shape(v, at, &word, &record) &&
               is_all_there(v, &record);
    case WIRE_RAM_ZERO:
        if (!verify_record_shape(v, at, &word, &record)) {
            return false;
        }
        data = verify_look(v, record.data, 1);
        return data && *data == 0;
    default:
        return false;
    }
}

/* ---- the list of blocks ------------------------------------------------ */

typedef struct ListEntry {
    char name[256];
    uint64_t length;
    unsigned places;       /* behind those in v->places; 0: it has none */
} ListEntry;

static void list_fault(Verify *v, uint64_t at, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

static void list_fault(Verify *v, uint64_t at, const char *fmt, ...)
{
    g_autofree char *words = NULL;
    va_list ap;

    va_start(ap, fmt);
    words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    verify_fault(v, VERIFY_BLOCK_LIST, NULL, VERIFY_NO_PAGE, at, "%s", words);
}

/* @left: of the sum that the list begins with. Returns: false if there is no
 * going on. */
static bool list_entry(Verify *v, GArray *entries, uint64_t left)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at);
    g_autoptr(GError) error = NULL;
    ListEntry entry;

    stream_get_cstr(s, entry.name);
    entry.length = stream_get_be64(s);
    if (v->gpas) {
        stream_get_be64(s);
    }
    if (!stream_check(s, &error)) {
        if (verify_ran_out(s)) {
            return verify_cut(v, NULL, VERIFY_NO_PAGE, "the list of blocks");
        }
        list_fault(v, v->at, "%s", error->message);
        return false;
    }
    v->at += stream_bytes(s);
    v->mapped |= v->guess && verify_mapped_looks_so(v);
    if (v->mapped && !verify_mapped_header(v, entry.name, &entry.length,
                                           left)) {
        return false;
    }
    entry.places = v->mapped ? v->places->len : 0;
    g_array_append_val(entries, entry);
    return true;
}

/* An entry begins with the length of a name, what follows with a zero. */
static bool list_entries(Verify *v, GArray *entries, uint64_t total)
{
    const uint8_t *data;

    v->at += 8;
    while ((data = verify_look(v, v->at, 1)) && *data) {
        if (!list_entry(v, entries, total)) {
            return false;
        }
        total -= g_array_index(entries, ListEntry, entries->len - 1).length;
    }
    return data || verify_cut(v, NULL, VERIFY_NO_PAGE, "the list of blocks");
}

static void add_block(Verify *v, const ListEntry *entry, uint64_t at)
{
    g_autoptr(GError) error = NULL;
    PageSumBlock *block;

    if (page_sums_find(v->came, entry->name)) {
        list_fault(v, at, "block '%s' is listed twice", entry->name);
    } else if (entry->length == 0 || entry->length % WIRE_PAGE_BYTES ||
               entry->length > BLOCK_BYTES_MAX) {
        list_fault(v, at, "block '%s' has 0x%" PRIx64 " bytes", entry->name,
                   entry->length);
    } else if (!(block = page_sums_add(v->came, entry->name,
                                       entry->length / WIRE_PAGE_BYTES,
                                       &error))) {
        list_fault(v, at, "%s", error->message);
    } else {
        if (entry->places) {
            g_array_index(v->places, VerifyPlaces, entry->places - 1).block =
                block;
        }
        v->report->blocks++;
        v->report->pages += entry->length / WIRE_PAGE_BYTES;
    }
}

/*
 * Two numbers that should be the same and differ, perhaps by one flipped bit.
 * Lengths of memory are round, so the rounder one is the length.
 */
static uint64_t rounder(uint64_t a, uint64_t b)
{
    return __builtin_popcountll(a) <= __builtin_popcountll(b) ? a : b;
}

static bool list(Verify *v, uint64_t total)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(ListEntry));
    uint64_t sum = 0, at = v->at;
    bool ok = list_entries(v, entries, total);

    v->listed = true;
    if (ok && !entries->len) {
        list_fault(v, at, "it has no blocks");
    }
    for (unsigned i = 0; i < entries->len; i++) {
        sum += g_array_index(entries, ListEntry, i).length;
    }
    if (sum != total && ok && entries->len) {
        list_fault(v, at, "lengths of RAM blocks add up to 0x%" PRIx64
                   " bytes instead of 0x%" PRIx64, sum, total);
        if (entries->len == 1 && !v->mapped) {
            ListEntry *only = &g_array_index(entries, ListEntry, 0);

            only->length = rounder(only->length, total);
        }
    }
    for (unsigned i = 0; i < entries->len; i++) {
        add_block(v, &g_array_index(entries, ListEntry, i), at);
    }
    if (v->mapped) {
        verify_mapped_pages(v);
    }
    return ok;
}

/* ---- records ----------------------------------------------------------- */

/* Is the capability with checksums on? It can be seen by the first page. */
static void guess_sums(Verify *v, const WireRamWord *word)
{
    PageSumBlock *last = v->last;
    VerifyRecord record;

    if (!v->guess || v->sums || word->type != WIRE_RAM_PAGE ||
        !verify_record_shape(v, v->at, word, &record)) {
        return;
    }
    v->last = record.block;
    v->sums = !verify_record_is_plausible(v, record.end) &&
              verify_record_is_plausible(v, record.end + 8);
    v->last = last;
}

/* The list has another name for the block that the first record names. */
static void rename_block(Verify *v, const WireRamWord *word)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at + 8);
    char name[256];

    if (word->same_block || !stream_get_cstr(s, name) ||
        page_sums_find(v->came, name)) {
        return;
    }
    for (unsigned i = 0; i < v->came->blocks->len; i++) {
        PageSumBlock *block = g_ptr_array_index(v->came->blocks, i);

        if (strlen(block->name) == strlen(name) &&
            !g_hash_table_contains(v->come, block) &&
            word->offset / WIRE_PAGE_BYTES < block->npages) {
            g_autofree char *listed = g_strdup(block->name);

            page_sums_rename(block, name);
            verify_fault(v, VERIFY_BLOCK_LIST, block, VERIFY_NO_PAGE, v->at,
                         "it is listed as '%s'", listed);
            return;
        }
    }
}

static const char *shape_fault(Verify *v, const WireRamWord *word)
{
    uint64_t end;

    if (word->same_block && !v->last) {
        return "it continues a block, but none was named";
    }
    return word->same_block || named_block(v, v->at + 8, &end)
               ? "its page is beyond the block"
               : "the block it names is not on the list";
}

bool verify_take_record(Verify *v, const VerifyRecord *record)
{
    if (!verify_page(v, record)) {
        return false;
    }
    g_hash_table_add(v->come, record->block);
    v->report->records++;
    v->last = record->block;
    v->next_page = record->page + 1;
    v->at = record->end;
    return true;
}

/* The end of the file is within the name that a record begins with. */
static bool name_is_cut(Verify *v, const WireRamWord *word)
{
    g_autoptr(Stream) s = NULL;
    char name[256];

    if (word->same_block) {
        return false;
    }
    s = verify_small_stream(v, v->at + 8);
    return !stream_get_cstr(s, name) && verify_ran_out(s);
}

/* ZERO and PAGE. */
static bool take_page(Verify *v, const WireRamWord *word)
{
    VerifyRecord record;

    guess_sums(v, word);
    if (!verify_record_shape(v, v->at, word, &record)) {
        rename_block(v, word);
    }
    if (name_is_cut(v, word)) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "a record of a page");
    }
    if (!verify_record_shape(v, v->at, word, &record)) {
        return verify_repair_record(v, shape_fault(v, word));
    }
    if (!is_all_there(v, &record)) {
        return verify_cut(v, record.block, record.page, "a record of a page");
    }
    if (!verify_take_record(v, &record)) {
        return verify_repair_record(v, "its page does not match its checksum, "
                                    "and no record follows it");
    }
    return true;
}

/* What a stream may have in it whose pages go other ways. */
static bool take_foreign(Verify *v, const WireRamWord *word)
{
    if (word->type != WIRE_RAM_MULTIFD_FLUSH) {
        return verify_repair_record(v, "its kind is not that of a record of a "
                                    "saved stream");
    }
    if (!v->foreign) {
        verify_unchecked(v, "pages that went through other channels "
                         "(multifd)");
    }
    v->foreign = true;
    v->at += 8;
    return true;
}

static bool take_record(Verify *v, const WireRamWord *word, bool setup)
{
    switch (word->type) {
    case WIRE_RAM_MEM_SIZE:
        if (!setup || v->listed) {
            return verify_repair_record(v, "a list of blocks where none "
                                        "should be");
        }
        return list(v, word->offset);
    case WIRE_RAM_ZERO:
    case WIRE_RAM_PAGE:
        return take_page(v, word);
    default:
        return take_foreign(v, word);
    }
}

bool verify_ram_body(Verify *v, bool setup)
{
    v->body_over = v->at_item = false;
    while (!v->body_over) {
        const uint8_t *data = verify_look(v, v->at, 8);
        g_autoptr(GError) error = NULL;
        WireRamWord word;

        if (!data) {
            return verify_cut(v, v->last, v->last ? v->next_page
                                                  : VERIFY_NO_PAGE,
                              "the records of section 'ram'");
        }
        if (!wire_ram_word_parse(load_be64(data), &word, &error)) {
            if (!verify_repair_record(v, error->message)) {
                return false;
            }
        } else if (word.type == WIRE_RAM_EOS) {
            v->at += 8;
            v->body_over = true;
        } else if (!take_record(v, &word, setup)) {
            return false;
        }
    }
    if (setup && !v->listed) {
        list_fault(v, v->at, "there is none");
    }
    return v->at_item || verify_footer(v, v->ram_id);
}
