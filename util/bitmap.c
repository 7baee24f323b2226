/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of 64-bit words; see include/util/bitmap.h.
 *
 * Every loop over a range walks its words with range_mask(), which cuts a
 * range into at most one partial word, whole words, and one partial word:
 *
 *        word 0            word 1            word 2
 *   |--------XXXXXXXX|XXXXXXXXXXXXXXXX|XXX-------------|
 *            ^first                        ^first + n
 *
 * They run once per sync round or chunk over up to a few hundred thousand
 * words (1 TiB of RAM is 32 MiB of bitmap).
 */
#include "util/bitmap.h"

#include "util/error.h"

/* Mask of the part of (first, n) that lies in first's word; n is not 0. */
static inline uint64_t range_mask(uint64_t first, uint64_t n,
                                  uint64_t *ret_taken)
{
    unsigned shift = first % BITMAP_WORD_BITS;
    uint64_t room = BITMAP_WORD_BITS - shift;

    if (n >= room) {
        *ret_taken = room;
        return UINT64_MAX << shift;
    }
    *ret_taken = n;
    return ((UINT64_C(1) << n) - 1) << shift;
}

uint64_t *bitmap_try_new(uint64_t nbits, GError **error)
{
    uint64_t bytes = bitmap_bytes(MAX(nbits, 1));
    uint64_t *map = g_try_malloc0(bytes);

    if (!map) {
        tm_error_set(error, "cannot allocate %" G_GUINT64_FORMAT
                     " bytes for a bitmap of %" G_GUINT64_FORMAT " bits",
                     bytes, nbits);
    }
    return map;
}

void bitmap_set(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);

        map[first / BITMAP_WORD_BITS] |= mask;
    }
}

void bitmap_clear(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);

        map[first / BITMAP_WORD_BITS] &= ~mask;
    }
}

static inline uint64_t load_word(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* First bit from @from on that differs from @flip's bits (0 or all ones). */
static inline uint64_t find_next(const uint64_t *map, uint64_t nbits,
                                 uint64_t from, uint64_t flip)
{
    uint64_t index = from / BITMAP_WORD_BITS;
    uint64_t word;

    if (from >= nbits) {
        return nbits;
    }
    word = (load_word(&map[index]) ^ flip) &
           UINT64_MAX << (from % BITMAP_WORD_BITS);
    while (!word) {
        if (++index >= bitmap_words(nbits)) {
            return nbits;
        }
        word = load_word(&map[index]) ^ flip;
    }
    return MIN(index * BITMAP_WORD_BITS + __builtin_ctzll(word), nbits);
}

uint64_t bitmap_find_next_set(const uint64_t *map, uint64_t nbits,
                              uint64_t from)
{
    return find_next(map, nbits, from, 0);
}

uint64_t bitmap_find_next_zero(const uint64_t *map, uint64_t nbits,
                               uint64_t from)
{
    return find_next(map, nbits, from, UINT64_MAX);
}

uint64_t bitmap_find_next_run(const uint64_t *map, uint64_t nbits,
                              uint64_t from, uint64_t *ret_n)
{
    uint64_t first = bitmap_find_next_set(map, nbits, from);

    *ret_n = bitmap_find_next_zero(map, nbits, first) - first;
    return first;
}

uint64_t bitmap_count(const uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken, count = 0;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);
        uint64_t word = __atomic_load_n(&map[first / BITMAP_WORD_BITS],
                                        __ATOMIC_RELAXED);

        count += __builtin_popcountll(word & mask);
    }
    return count;
}

bool bitmap_any(const uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);

        if (__atomic_load_n(&map[first / BITMAP_WORD_BITS],
                            __ATOMIC_RELAXED) & mask) {
            return true;
        }
    }
    return false;
}

uint64_t bitmap_load_bits(const uint64_t *map, uint64_t first, unsigned n)
{
    const uint64_t *word = &map[first / BITMAP_WORD_BITS];
    unsigned shift = first % BITMAP_WORD_BITS;
    uint64_t bits = word[0] >> shift;

    /* The next word only if bits of it are wanted: it may not exist. */
    if (shift + n > BITMAP_WORD_BITS) {
        bits |= word[1] << (BITMAP_WORD_BITS - shift);
    }
    return n < BITMAP_WORD_BITS ? bits & ((UINT64_C(1) << n) - 1) : bits;
}

void bitmap_copy(uint64_t *dst, const uint64_t *src, uint64_t n)
{
    bitmap_copy_src_offset(dst, src, 0, n);
}

void bitmap_copy_src_offset(uint64_t *dst, const uint64_t *src,
                            uint64_t src_first, uint64_t n)
{
    uint64_t taken;

    for (uint64_t at = 0; n; at += taken, n -= taken) {
        uint64_t mask = range_mask(at, n, &taken);
        uint64_t bits = bitmap_load_bits(src, src_first + at, taken);
        uint64_t *word = &dst[at / BITMAP_WORD_BITS];

        *word = (*word & ~mask) | bits;
    }
}

void bitmap_copy_dst_offset(uint64_t *dst, uint64_t dst_first,
                            const uint64_t *src, uint64_t n)
{
    uint64_t taken;

    for (uint64_t at = 0; n; at += taken, n -= taken) {
        uint64_t mask = range_mask(dst_first + at, n, &taken);
        uint64_t bits = bitmap_load_bits(src, at, taken);
        uint64_t *word = &dst[(dst_first + at) / BITMAP_WORD_BITS];

        *word = (*word & ~mask) |
                bits << ((dst_first + at) % BITMAP_WORD_BITS);
    }
}

uint64_t bitmap_or_into(uint64_t *dst, const uint64_t *src, uint64_t n)
{
    uint64_t taken, added = 0;

    for (uint64_t at = 0; n; at += taken, n -= taken) {
        uint64_t mask = range_mask(at, n, &taken);
        uint64_t bits = src[at / BITMAP_WORD_BITS] & mask;
        uint64_t *word = &dst[at / BITMAP_WORD_BITS];

        added += __builtin_popcountll(bits & ~*word);
        *word |= bits;
    }
    return added;
}

/* Returns how many bits of @bits were not set in @word. */
static inline uint64_t or_word_atomic(uint64_t *word, uint64_t bits)
{
    return __builtin_popcountll(
        bits & ~__atomic_fetch_or(word, bits, __ATOMIC_RELEASE));
}

uint64_t bitmap_or_into_atomic(uint64_t *dst, uint64_t dst_first,
                               const uint64_t *src, uint64_t n)
{
    uint64_t taken, added = 0;

    for (uint64_t at = 0; n; at += taken, n -= taken) {
        uint64_t bits;

        range_mask(dst_first + at, n, &taken);
        bits = bitmap_load_bits(src, at, taken);
        if (bits) {
            added += or_word_atomic(&dst[(dst_first + at) / BITMAP_WORD_BITS],
                                    bits << ((dst_first + at) %
                                             BITMAP_WORD_BITS));
        }
    }
    return added;
}

uint64_t bitmap_set_atomic(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken, added = 0;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);

        added += or_word_atomic(&map[first / BITMAP_WORD_BITS], mask);
    }
    return added;
}

/* Clears @mask in @word, at once, and returns the bits that were set. */
static inline uint64_t take_word_atomic(uint64_t *word, uint64_t mask)
{
    /* An empty word is only read; a bit that comes now stays for later. */
    if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask)) {
        return 0;
    }
    if (mask == UINT64_MAX) {
        return __atomic_exchange_n(word, 0, __ATOMIC_ACQ_REL);
    }
    return __atomic_fetch_and(word, ~mask, __ATOMIC_ACQ_REL) & mask;
}

uint64_t bitmap_clear_atomic(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken, count = 0;

    for (; n; first += taken, n -= taken) {
        uint64_t mask = range_mask(first, n, &taken);

        count += __builtin_popcountll(
            take_word_atomic(&map[first / BITMAP_WORD_BITS], mask));
    }
    return count;
}

uint64_t bitmap_take_atomic(uint64_t *dst, uint64_t *map, uint64_t n)
{
    uint64_t taken, count = 0;

    for (uint64_t at = 0; n; at += taken, n -= taken) {
        uint64_t mask = range_mask(at, n, &taken);
        uint64_t bits = take_word_atomic(&map[at / BITMAP_WORD_BITS], mask);
        uint64_t *word = &dst[at / BITMAP_WORD_BITS];

        *word = (*word & ~mask) | bits;
        count += __builtin_popcountll(bits);
    }
    return count;
}
