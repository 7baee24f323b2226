/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Going on behind what makes no sense.
 *
 * First it is tried to read the thing at hand in another way: as if only its
 * word, or its first byte, were damaged. Then whatever comes first that can
 * be recognised is looked for: with checksums a record is proved by its page,
 * without them by those behind it.
 */
#include <inttypes.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "util/byteorder.h"

/* Records in a row that prove each other. */
#define CHAIN 3

/* ---- records ----------------------------------------------------------- */

static bool page_matches(Verify *v, const VerifyRecord *record)
{
    const uint8_t *data = verify_look(v, record->data, WIRE_PAGE_BYTES + 8);

    return data && page_sum(record->block, record->page, data) ==
                       load_be64(data + WIRE_PAGE_BYTES);
}

/* So many records from @at on make sense, or all up to the body's end. */
static bool chain_is_plausible(Verify *v, uint64_t at, unsigned n)
{
    PageSumBlock *last = v->last;
    VerifyRecord record;
    WireRamWord word;
    bool ok = true;

    while (ok && n-- > 0) {
        const uint8_t *data = verify_look(v, at, 8);

        ok = data && verify_record_is_plausible(v, at) &&
             wire_ram_word_parse(load_be64(data), &word, NULL);
        if (ok && word.type == WIRE_RAM_EOS) {
            break;
        }
        ok = ok && verify_record_shape(v, at, &word, &record);
        if (ok) {
            v->last = record.block;
            at = record.end;
        }
    }
    v->last = last;
    return ok;
}

static bool follows(Verify *v, const VerifyRecord *record)
{
    PageSumBlock *last = v->last;
    bool ok;

    v->last = record->block;
    ok = verify_record_is_plausible(v, record->end);
    v->last = last;
    return ok;
}

/* Does it read as @word, with a page that proves it or a record behind? */
static bool reads_as(Verify *v, const WireRamWord *word, VerifyRecord *ret)
{
    if (!verify_record_shape(v, v->at, word, ret) || !follows(v, ret)) {
        return false;
    }
    return word->type == WIRE_RAM_ZERO ? *verify_look(v, ret->data, 1) == 0
                                       : !v->sums || page_matches(v, ret);
}

/* The page, its offset being off by a bit. */
static bool reads_elsewhere(Verify *v, WireRamWord word, VerifyRecord *ret)
{
    uint64_t offset = word.offset;

    for (unsigned bit = 12; v->sums && bit < 64; bit++) {
        word.offset = offset ^ UINT64_C(1) << bit;
        if (reads_as(v, &word, ret)) {
            return true;
        }
    }
    return false;
}

static bool reads_somehow(Verify *v, uint64_t raw, VerifyRecord *ret)
{
    static const unsigned types[] = { WIRE_RAM_PAGE, WIRE_RAM_ZERO };

    for (unsigned i = 0; i < 4; i++) {
        WireRamWord word = {
            .offset = raw & ~WIRE_RAM_FLAGS_MASK,
            .type = types[i / 2],
            .same_block = i % 2 == 0,
        };

        if (reads_as(v, &word, ret) ||
            (word.type == WIRE_RAM_PAGE && reads_elsewhere(v, word, ret))) {
            return true;
        }
    }
    return false;
}

/* Cheap, for every byte: the words that a record can begin with. */
static bool may_be_word(const uint8_t *data)
{
    unsigned flags = (data[6] & 0x0f) << 8 | data[7];

    return data[0] == 0 && data[1] == 0 &&
           ((flags & ~WIRE_RAM_CONTINUE) == WIRE_RAM_PAGE ||
            (flags & ~WIRE_RAM_CONTINUE) == WIRE_RAM_ZERO ||
            flags == WIRE_RAM_EOS);
}

static bool record_is_proved(Verify *v, uint64_t at)
{
    const uint8_t *data = verify_look(v, at, 8);
    VerifyRecord record;
    WireRamWord word;

    if (!data || !may_be_word(data) ||
        !wire_ram_word_parse(load_be64(data), &word, NULL) ||
        !verify_record_is_plausible(v, at)) {
        return false;
    }
    if (v->sums && word.type == WIRE_RAM_PAGE) {
        return verify_record_shape(v, at, &word, &record) &&
               page_matches(v, &record);
    }
    return chain_is_plausible(v, at, CHAIN);
}

/* The page that a damaged record was of: what its offset says, or the next. */
static uint64_t likely_page(const Verify *v, uint64_t raw)
{
    uint64_t page = (raw & ~WIRE_RAM_FLAGS_MASK) / WIRE_PAGE_BYTES;

    if (!v->last) {
        return VERIFY_NO_PAGE;
    }
    return page < v->last->npages           ? page
           : v->next_page < v->last->npages ? v->next_page
                                            : VERIFY_NO_PAGE;
}

static void record_fault(Verify *v, uint64_t raw, const char *why,
                         uint64_t skipped)
{
    if (skipped) {
        verify_fault(v, VERIFY_RECORD, v->last, likely_page(v, raw), v->at,
                     "%s; %" PRIu64 " bytes make no sense", why, skipped);
    } else {
        verify_fault(v, VERIFY_RECORD, v->last, likely_page(v, raw), v->at,
                     "%s", why);
    }
}

/* ---- items ------------------------------------------------------------- */

static bool is_header(Verify *v, uint64_t at, const char *name, size_t len)
{
    const uint8_t *data = verify_look(v, at + 5, len);

    return data && !memcmp(data, name, len);
}

#define HEADER(name) name, sizeof(name) - 1

static bool start_is_at(Verify *v, uint64_t at)
{
    return !v->started &&
           is_header(v, at, HEADER("\3ram\0\0\0\0\0\0\0\4"));
}

G_STATIC_ASSERT(PAGE_SUMS_VERSION == 2); /* as is told from its header */

static bool full_is_at(Verify *v, uint64_t at)
{
    return is_header(v, at, HEADER("\16page-checksums\0\0\0\0\0\0\0\2")) ||
           is_header(v, at, HEADER("\5timer\0\0\0\0\0\0\0\2"));
}

/* Something that is as good as proved. */
static bool item_is_proved(Verify *v, uint64_t at)
{
    const uint8_t *data = verify_look(v, at, 5);

    if (!data) {
        return false;
    }
    switch (data[0]) {
    case WIRE_SECTION_START:
        return start_is_at(v, at);
    case WIRE_SECTION_FULL:
        return full_is_at(v, at);
    case WIRE_SECTION_PART:
    case WIRE_SECTION_END:
        return verify_item_is_plausible(v, at) &&
               chain_is_plausible(v, at + 5, CHAIN);
    case WIRE_SECTION_COMMAND:
        return verify_item_is_plausible(v, at) &&
               verify_item_is_plausible(v, at + 5);
    default:
        return false;
    }
}

/* Cheap, for every byte: of an item, whose id is a small number. */
static bool may_be_item(const uint8_t *data)
{
    return (data[0] >= WIRE_SECTION_START && data[0] <= WIRE_SECTION_FULL &&
            !data[1] && !data[2]) ||
           (data[0] == WIRE_SECTION_COMMAND && !data[1]);
}

static bool anything_is_proved(Verify *v, uint64_t at)
{
    return record_is_proved(v, at) || item_is_proved(v, at);
}

/* Where a record or an item begins behind @from; 0: nowhere. Nothing that can
 * be proved has less than 8 bytes. */
static uint64_t search(Verify *v, uint64_t from)
{
    size_t n, i;

    for (uint64_t at = from;; at += i) {
        const uint8_t *data = verify_input_look(v->in, at, 4096, &n);

        if (n < 8) {
            return 0;
        }
        for (i = 0; i + 8 <= n; i++) {
            if (!may_be_word(data + i) && !may_be_item(data + i)) {
                continue;
            }
            if (anything_is_proved(v, at + i)) {
                return at + i;
            }
            data = verify_input_look(v->in, at, 4096, &n);
        }
    }
}

/* ---- repairs ----------------------------------------------------------- */

bool verify_repair_record(Verify *v, const char *why)
{
    const uint8_t *data = verify_look(v, v->at, 8);
    uint64_t raw = data ? load_be64(data) : 0, at;
    VerifyRecord record;

    if (v->listed && reads_somehow(v, raw, &record)) {
        verify_fault(v, VERIFY_RECORD, record.block, record.page, v->at, "%s",
                     why);
        return verify_take_record(v, &record);
    }
    at = search(v, v->at + 1);
    record_fault(v, raw, why, at ? at - v->at : 0);
    if (!at) {
        return false;
    }
    v->at = at;
    v->body_over = v->at_item = !record_is_proved(v, at);
    return true;
}

/* A body that is known, whatever stands before it. */
static bool take_body(Verify *v, uint64_t at)
{
    v->at = at;
    v->ended |= v->stopped;
    return verify_ram_body(v, false);
}

/* Sections whose first byte is damaged are read as if it were not. */
static bool take_named(Verify *v, bool *ret_ok)
{
    bool start = start_is_at(v, v->at);

    if (!start && !full_is_at(v, v->at)) {
        return false;
    }
    *ret_ok = verify_named(v, start ? WIRE_SECTION_START : WIRE_SECTION_FULL);
    return true;
}

bool verify_repair_item(Verify *v, const char *why)
{
    uint64_t from = v->at, at;
    bool ok;

    v->guess |= !v->started;
    if (why) {
        verify_fault(v, VERIFY_FRAMING, NULL, VERIFY_NO_PAGE, v->at, "%s",
                     why);
    }
    if (take_named(v, &ok)) {
        return ok;
    }
    at = search(v, from + 1);
    if (!at) {
        return false;
    }
    v->at = at;
    return item_is_proved(v, at) || take_body(v, at);
}
