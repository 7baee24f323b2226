/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files with fixed places for pages, under inspection. Headers are in the list
 * of blocks, and the list goes on behind each block's pages: where a header
 * cannot be right, the places at which writers put things are tried.
 */
#include <inttypes.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "util/bitmap.h"
#include "util/buffer-is-zero.h"
#include "util/byteorder.h"
#include "util/error.h"

/* ---- headers ----------------------------------------------------------- */

static void places_fault(Verify *v, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void places_fault(Verify *v, const char *fmt, ...)
{
    g_autofree char *words = NULL;
    va_list ap;

    va_start(ap, fmt);
    words = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    verify_fault(v, VERIFY_PLACES, NULL, VERIFY_NO_PAGE, v->at, "%s", words);
}

bool verify_mapped_looks_so(Verify *v)
{
    const uint8_t *data = verify_look(v, v->at, 12);

    return data && load_be32(data) == MAPPED_VERSION &&
           load_be64(data + 4) == WIRE_PAGE_BYTES;
}

/* Does the list go on at @at: with a name, or its end? */
static bool list_goes_on(Verify *v, uint64_t at)
{
    g_autoptr(Stream) s = verify_small_stream(v, at);
    uint8_t first;
    char name[256];

    if (stream_peek(s, &first, 1, 0) && first == 0) {
        return stream_get_be64(s) == wire_ram_word(0, WIRE_RAM_EOS) &&
               !stream_error(s);
    }
    return stream_get_cstr(s, name);
}

static RAMBlock shape_of(const char *name, uint64_t length)
{
    return (RAMBlock){ .name = (char *)name, .length = length,
                       .npages = length / WIRE_PAGE_BYTES };
}

static bool is_length(uint64_t length)
{
    return length && length % WIRE_PAGE_BYTES == 0 &&
           length <= UINT64_C(1) << 46;
}

/* What the header says. */
static bool said_places(Verify *v, const char *name, uint64_t length,
                        MappedPlaces *ret, GError **error)
{
    g_autoptr(Stream) s = verify_small_stream(v, v->at);
    RAMBlock block = shape_of(name, length);

    /* How long the file is does not count here: it may be cut. */
    return mapped_parse_header(s, &block, v->at, UINT64_MAX, ret, error);
}

/* Where a writer would have put them. */
static MappedPlaces usual_places(Verify *v, const char *name, uint64_t length)
{
    RAMBlock block = shape_of(name, length);

    return mapped_places(v->at, &block);
}

/* The header is right, if the list goes on behind the pages. */
static bool take_said(Verify *v, const char *name, uint64_t length,
                      MappedPlaces *ret, GError **error)
{
    MappedPlaces usual = usual_places(v, name, length), said;

    if (!said_places(v, name, length, &said, error)) {
        return false;
    }
    if (!list_goes_on(v, said.pages + length)) {
        tm_error_set(error, "the list does not go on behind the pages of "
                     "block '%s'", name);
        return false;
    }
    if (usual.pages == said.pages && usual.bitmap != said.bitmap) {
        places_fault(v, "the bitmap of block '%s' is said to be at 0x%" PRIx64
                     " instead of 0x%" PRIx64, name, said.bitmap,
                     usual.bitmap);
        said = usual;
    }
    *ret = said;
    return true;
}

/* Writers put things at the same places, and there the list goes on. */
static bool take_usual(Verify *v, const char *name, uint64_t *length,
                       uint64_t other, MappedPlaces *ret)
{
    uint64_t lengths[] = { *length, other };

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        MappedPlaces usual = { 0, 0 };

        if (is_length(lengths[i])) {
            usual = usual_places(v, name, lengths[i]);
        }
        if (usual.pages && list_goes_on(v, usual.pages + lengths[i])) {
            *ret = usual;
            *length = lengths[i];
            return true;
        }
    }
    return false;
}

/* Is all that is wrong that the file ends before the block does? Then nothing
 * says whether what is there of it is right; and how large it is said to be is
 * not to be believed, for it decides how much memory that takes. */
static bool is_cut(Verify *v, const char *name, uint64_t length,
                   uint64_t other)
{
    const PageSumBlock named = { .name = (char *)name };
    uint64_t size = verify_input_size(v->in), page = VERIFY_NO_PAGE;
    g_autofree char *what = NULL;
    MappedPlaces said;

    if (!is_length(length) || length > other ||
        !said_places(v, name, length, &said, NULL) ||
        said.pages + length < size) {
        return false;
    }
    if (size >= said.pages && size < said.pages + length) {
        page = (size - said.pages) / WIRE_PAGE_BYTES;
    }
    what = g_strdup_printf("its pages, which are said to be 0x%" PRIx64
                           " bytes at 0x%" PRIx64, length, said.pages);
    v->at = size;
    verify_cut(v, &named, page, what);
    return true;
}

static bool find_places(Verify *v, const char *name, uint64_t *length,
                        uint64_t other, MappedPlaces *ret)
{
    g_autoptr(GError) error = NULL;
    bool found;

    if (is_length(*length) && take_said(v, name, *length, ret, &error)) {
        return true;
    }
    found = take_usual(v, name, length, other, ret);
    if (!found && is_cut(v, name, *length, other)) {
        return false;
    }
    places_fault(v, "%s", error ? error->message
                                : "the length of a block cannot be right");
    return found;
}

static bool can_look(Verify *v)
{
    if (!verify_input_can_seek(v->in) && !v->error) {
        tm_error_set(&v->error, "pages have fixed places (mapped-ram), which "
                     "cannot be looked at out of a pipe");
    }
    return !v->error;
}

bool verify_mapped_header(Verify *v, const char *name, uint64_t *length,
                          uint64_t other)
{
    VerifyPlaces one = { NULL };

    if (!can_look(v)) {
        return false;
    }
    if (!verify_look(v, v->at, MAPPED_HEADER_BYTES)) {
        return verify_cut(v, NULL, VERIFY_NO_PAGE, "the list of blocks");
    }
    if (!find_places(v, name, length, other, &one.places)) {
        return false;
    }
    g_array_append_val(v->places, one);
    v->at = one.places.pages + *length;
    return true;
}

/* ---- bitmaps and pages ------------------------------------------------- */

static void read_bitmap(Verify *v, VerifyPlaces *one)
{
    uint64_t n = bitmap_words(one->block->npages);
    unsigned used = one->block->npages % BITMAP_WORD_BITS;

    one->bitmap = bitmap_try_new(one->block->npages, NULL);
    for (uint64_t i = 0; one->bitmap && i < n; i++) {
        const uint8_t *data = verify_look(v, one->places.bitmap + i * 8, 8);

        one->bitmap[i] = data ? load_le64(data) : 0;
    }
    if (one->bitmap && used && one->bitmap[n - 1] >> used) {
        verify_fault(v, VERIFY_BITMAP, one->block, VERIFY_NO_PAGE,
                     one->places.bitmap + (n - 1) * 8, "it has bits beyond "
                     "the block's pages");
        one->bitmap[n - 1] &= (UINT64_C(1) << used) - 1;
    }
}

static uint64_t place_of(const VerifyPlaces *one, uint64_t page)
{
    return one->places.pages + page * WIRE_PAGE_BYTES;
}

static bool read_page(Verify *v, const VerifyPlaces *one, uint64_t page)
{
    const uint8_t *data = NULL;

    if (bitmap_test_bit(one->bitmap, page)) {
        data = verify_look(v, place_of(one, page), WIRE_PAGE_BYTES);
        if (!data) {
            v->at = place_of(one, page);
            return verify_cut(v, one->block, page, "the pages of a block");
        }
    }
    if (v->sums) {
        v->report->checked += data != NULL;
        page_sums_note(one->block, page, data);
    } else {
        verify_seen_page(one->block, page, data);
    }
    return true;
}

void verify_mapped_pages(Verify *v)
{
    uint64_t at = v->at;

    for (unsigned i = 0; i < v->places->len; i++) {
        VerifyPlaces *one = &g_array_index(v->places, VerifyPlaces, i);

        if (!one->block) {
            continue;
        }
        g_hash_table_add(v->come, one->block);
        read_bitmap(v, one);
        if (!one->bitmap) {
            continue;
        }
        page_sums_count_bitmap(one->block, one->bitmap);
        for (uint64_t p = 0; p < one->block->npages && read_page(v, one, p);
             p++) {
            continue;
        }
    }
    v->at = at;
}

/* ---- against the table ------------------------------------------------- */

static const VerifyPlaces *places_of(const Verify *v,
                                     const PageSumBlock *block)
{
    for (unsigned i = 0; i < v->places->len; i++) {
        const VerifyPlaces *one = &g_array_index(v->places, VerifyPlaces, i);

        if (one->block == block && one->bitmap) {
            return one;
        }
    }
    return NULL;
}

/* What stands at the place of a page that should be filled. */
static void tell_filled(Verify *v, const VerifyPlaces *one,
                        const PageSumsDiffer *differ)
{
    uint64_t at = place_of(one, differ->page);
    const uint8_t *data = verify_look(v, at, WIRE_PAGE_BYTES);
    bool bit = bitmap_test_bit(one->bitmap, differ->page);

    if (!data || buffer_is_zero(data, WIRE_PAGE_BYTES)) {
        verify_fault_page(v, VERIFY_MISSING, one->block, differ->page, at,
                          "there is nothing at its place");
    } else if (!bit && page_sum(one->block, differ->page, data) ==
                           differ->want) {
        verify_fault_page(v, VERIFY_BITMAP, one->block, differ->page,
                          one->places.bitmap + differ->page / 8,
                          "its bit is not set, though it is there");
    } else {
        verify_bad_page(v, one->block, differ->page, at, differ->want);
    }
}

void verify_mapped_differ(Verify *v, const PageSumsDiffer *differ)
{
    const VerifyPlaces *one = places_of(v, differ->block);

    if (!one || v->report->n_kind[VERIFY_CUT]) {
        return;
    }
    if (differ->filled) {
        tell_filled(v, one, differ);
    } else {
        verify_fault_page(v, VERIFY_PAGE, one->block, differ->page,
                          place_of(one, differ->page), "it is all zero and "
                          "has something at its place");
    }
}

/* The one bit with which the bitmap would be what was sent. */
static uint64_t find_bit(const VerifyPlaces *one, const PageSumTrail *sent)
{
    const PageSumBlock *block = one->block;

    for (uint64_t p = 0; p < block->npages; p++) {
        uint64_t i = p / BITMAP_WORD_BITS, word = one->bitmap[i];
        uint64_t other = word ^ UINT64_C(1) << p % BITMAP_WORD_BITS;

        if (block->trail.sum - page_sums_bitmap_word(block, i, word) +
                page_sums_bitmap_word(block, i, other) == sent->sum) {
            return p;
        }
    }
    return VERIFY_NO_PAGE;
}

static void tell_bitmap(Verify *v, const VerifyPlaces *one,
                        const PageSumTrail *sent)
{
    uint64_t page = find_bit(one, sent);

    if (page != VERIFY_NO_PAGE) {
        verify_fault_page(v, VERIFY_BITMAP, one->block, page,
                          one->places.bitmap + page / 8, "its bit is not as "
                          "it was written");
    } else {
        verify_fault(v, VERIFY_BITMAP, one->block, VERIFY_NO_PAGE,
                     one->places.bitmap, "it is not as it was written: it has "
                     "%" PRIu64 " bits set instead of %" PRIu64,
                     one->block->trail.records, sent->records);
    }
}

void verify_mapped_count(Verify *v, PageSumBlock *block,
                         const PageSumTrail *sent)
{
    const VerifyPlaces *one = places_of(v, block);
    bool records = block->trail.records == sent->records;
    bool sum = block->trail.sum == sent->sum;

    if (!one || v->report->n_kind[VERIFY_CUT] || (records && sum)) {
        return;
    }
    if (records || sum) {
        /* No bitmap is like that: it is the table that is damaged. */
        verify_fault(v, VERIFY_COUNT, block, VERIFY_NO_PAGE, v->at,
                     "the table counts other pages of it than the bitmap "
                     "has, and so many can it not be");
    } else {
        tell_bitmap(v, one, sent);
    }
}
