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

#include <string.h>

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

static inline uint64_t load_word(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/*
 * How many of the @n words at @words are zero, in steps of eight: most bitmaps
 * are empty for most of their length, and this goes as fast as memory does.
 */
static inline uint64_t zero_words(const uint64_t *words, uint64_t n)
{
    uint64_t i = 0;

    while (n - i >= 8 &&
           !(load_word(&words[i]) | load_word(&words[i + 1]) |
             load_word(&words[i + 2]) | load_word(&words[i + 3]) |
             load_word(&words[i + 4]) | load_word(&words[i + 5]) |
             load_word(&words[i + 6]) | load_word(&words[i + 7]))) {
        i += 8;
    }
    return i;
}

/*
 * Set bits of a word, by adding neighbours in ever wider fields. The compiler
 * may not use the instruction for that, since the oldest x86-64 lacks it, and
 * calls a slower function instead.
 */
static inline unsigned popcount(uint64_t w)
{
    w -= w >> 1 & UINT64_C(0x5555555555555555);
    w = (w & UINT64_C(0x3333333333333333)) +
        (w >> 2 & UINT64_C(0x3333333333333333));
    w = (w + (w >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return w * UINT64_C(0x0101010101010101) >> 56;
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

/* The whole words of (first, n), if it begins with one, become @byte's;
 * Returns: their bits, 0 if it begins inside of a word. */
static inline uint64_t fill_words(uint64_t *map, uint64_t first, uint64_t n,
                                  int byte)
{
    if (first % BITMAP_WORD_BITS) {
        return 0;
    }
    memset(&map[first / BITMAP_WORD_BITS], byte, n / BITMAP_WORD_BITS * 8);
    return n / BITMAP_WORD_BITS * BITMAP_WORD_BITS;
}

void bitmap_set(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        taken = fill_words(map, first, n, 0xff);
        if (!taken) {
            map[first / BITMAP_WORD_BITS] |= range_mask(first, n, &taken);
        }
    }
}

void bitmap_clear(uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        taken = fill_words(map, first, n, 0);
        if (!taken) {
            map[first / BITMAP_WORD_BITS] &= ~range_mask(first, n, &taken);
        }
    }
}

/* First bit from @from on that differs from @flip's bits (0 or all ones). */
static inline uint64_t find_next(const uint64_t *map, uint64_t nbits,
                                 uint64_t from, uint64_t flip)
{
    uint64_t nwords = bitmap_words(nbits);
    uint64_t index = from / BITMAP_WORD_BITS;
    uint64_t word;

    if (from >= nbits) {
        return nbits;
    }
    word = (load_word(&map[index]) ^ flip) &
           UINT64_MAX << (from % BITMAP_WORD_BITS);
    while (!word) {
        index++;
        if (!flip) {
            index += zero_words(&map[index], nwords - index);
        }
        if (index >= nwords) {
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

static uint64_t count_words(const uint64_t *words, uint64_t n)
{
    uint64_t count = 0;

    for (uint64_t i = zero_words(words, n); i < n;
         i += zero_words(&words[i], n - i)) {
        uint64_t end = MIN(i + 8, n);

        for (; i < end; i++) {
            count += popcount(load_word(&words[i]));
        }
    }
    return count;
}

uint64_t bitmap_count(const uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken, count = 0;

    for (; n; first += taken, n -= taken) {
        const uint64_t *word = &map[first / BITMAP_WORD_BITS];

        if (first % BITMAP_WORD_BITS == 0 && n >= BITMAP_WORD_BITS) {
            taken = n / BITMAP_WORD_BITS * BITMAP_WORD_BITS;
            count += count_words(word, n / BITMAP_WORD_BITS);
        } else {
            uint64_t mask = range_mask(first, n, &taken);

            count += popcount(load_word(word) & mask);
        }
    }
    return count;
}

/* The whole words of (first, n), if it begins with one, as far as they are
 * zero. Returns: their bits; 0: look at the word where it begins. */
static inline uint64_t zero_bits(const uint64_t *map, uint64_t first,
                                 uint64_t n)
{
    return first % BITMAP_WORD_BITS ? 0 :
        zero_words(&map[first / BITMAP_WORD_BITS], n / BITMAP_WORD_BITS) *
        BITMAP_WORD_BITS;
}

bool bitmap_any(const uint64_t *map, uint64_t first, uint64_t n)
{
    uint64_t taken;

    for (; n; first += taken, n -= taken) {
        taken = zero_bits(map, first, n);
        if (!taken) {
            uint64_t mask = range_mask(first, n, &taken);

            if (load_word(&map[first / BITMAP_WORD_BITS]) & mask) {
                return true;
            }
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

        added += popcount(bits & ~*word);
        *word |= bits;
    }
    return added;
}

/* Returns how many bits of @bits were not set in @word. */
static inline uint64_t or_word_atomic(uint64_t *word, uint64_t bits)
{
    return popcount(bits & ~__atomic_fetch_or(word, bits, __ATOMIC_RELEASE));
}

static uint64_t or_words_atomic(uint64_t *dst, const uint64_t *src, uint64_t n)
{
    uint64_t added = 0;

    for (uint64_t i = zero_words(src, n); i < n;
         i += zero_words(&src[i], n - i)) {
        uint64_t end = MIN(i + 8, n);

        for (; i < end; i++) {
            if (src[i]) {
                added += or_word_atomic(&dst[i], src[i]);
            }
        }
    }
    return added;
}

/*
 * How far @src is zero from bit @at on, in words that lie within @n bits.
 *
 *     src     |-----at====|===========|===========|==---------|
 *     looked at     |---------------------------->|
 */
static inline uint64_t zero_bits_within(const uint64_t *src, uint64_t at,
                                        uint64_t n)
{
    unsigned into = at % BITMAP_WORD_BITS;
    uint64_t zero = zero_words(&src[at / BITMAP_WORD_BITS],
                               (into + n) / BITMAP_WORD_BITS);

    return zero ? zero * BITMAP_WORD_BITS - into : 0;
}

uint64_t bitmap_or_into_atomic(uint64_t *dst, uint64_t dst_first,
                               const uint64_t *src, uint64_t n)
{
    uint64_t taken, at = 0, added = 0;

    if (dst_first % BITMAP_WORD_BITS == 0) {
        added = or_words_atomic(&dst[dst_first / BITMAP_WORD_BITS], src,
                                n / BITMAP_WORD_BITS);
        at = n / BITMAP_WORD_BITS * BITMAP_WORD_BITS;
        n -= at;
    }
    for (; n; at += taken, n -= taken) {
        uint64_t bits;

        range_mask(dst_first + at, n, &taken);
        bits = bitmap_load_bits(src, at, taken);
        if (bits) {
            added += or_word_atomic(&dst[(dst_first + at) / BITMAP_WORD_BITS],
                                    bits << ((dst_first + at) %
                                             BITMAP_WORD_BITS));
        } else {
            taken = MAX(taken, zero_bits_within(src, at, n));
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

        count += popcount(
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
        count += popcount(bits);
    }
    return count;
}
