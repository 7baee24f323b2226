/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps: arrays of uint64_t words, one bit per page, nothing else.
 *
 * Bit b is bit b % 64 of word b / 64, the layout in which KVM hands out its
 * dirty logs on little-endian hosts. A bitmap carries no length of its own;
 * ranges are (first, n) and must lie inside it. No function touches a bit
 * outside the range it is given, nor reads a word that holds none of it.
 *
 * Functions whose name ends in _atomic may run beside one another on the same
 * words; so may those that only look (find, count, any), whose answer is then
 * a moment's; the others need the words to themselves. Memory order of the atomic
 * ones, said here once: setting a bit is a *release* (what the setter wrote
 * before is visible to whoever finds the bit), finding and taking it is an
 * *acquire and release* (what the taker reads afterwards is not older than
 * the bit). So "write the page, set the bit" pairs with "take the bit, read
 * the page", and a write that the reader misses leaves its bit set.
 */
#ifndef UTIL_BITMAP_H
#define UTIL_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define BITMAP_WORD_BITS 64

/**
 * bitmap_words() - how many words hold @nbits bits
 * Returns: @nbits / 64, rounded up; does not overflow.
 */
static inline uint64_t bitmap_words(uint64_t nbits)
{
    return nbits / BITMAP_WORD_BITS + (nbits % BITMAP_WORD_BITS != 0);
}

/**
 * bitmap_bytes() - size of a bitmap in bytes, always a multiple of 8
 */
static inline uint64_t bitmap_bytes(uint64_t nbits)
{
    return bitmap_words(nbits) * sizeof(uint64_t);
}

/**
 * bitmap_try_new() - a bitmap of @nbits zeroes
 * @nbits: number of bits; 0 gives one word, so that NULL always means failure
 * Large bitmaps come from the kernel as untouched zero pages and cost memory
 * only where they are written (calloc() of the C library does that).
 * Errors:  no memory, or a size that cannot be expressed.
 * Returns: the words, to be freed with g_free(); NULL on error.
 */
uint64_t *bitmap_try_new(uint64_t nbits, GError **error);

/**
 * bitmap_test_bit() - is bit @bit set
 * Context: plain read; beside writers use bitmap_test_bit_atomic().
 */
static inline bool bitmap_test_bit(const uint64_t *map, uint64_t bit)
{
    return map[bit / BITMAP_WORD_BITS] >> (bit % BITMAP_WORD_BITS) & 1;
}

/**
 * bitmap_set_bit() - set bit @bit
 */
static inline void bitmap_set_bit(uint64_t *map, uint64_t bit)
{
    map[bit / BITMAP_WORD_BITS] |= UINT64_C(1) << (bit % BITMAP_WORD_BITS);
}

/**
 * bitmap_clear_bit() - clear bit @bit
 */
static inline void bitmap_clear_bit(uint64_t *map, uint64_t bit)
{
    map[bit / BITMAP_WORD_BITS] &= ~(UINT64_C(1) << (bit % BITMAP_WORD_BITS));
}

/**
 * bitmap_set() - set @n bits from @first on
 */
void bitmap_set(uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_clear() - clear @n bits from @first on
 */
void bitmap_clear(uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_find_next_set() - first set bit at or after @from
 * @nbits: length of the bitmap; bits from there on are not looked at
 * Returns: its index, or @nbits when there is none (also for @from >= @nbits).
 */
uint64_t bitmap_find_next_set(const uint64_t *map, uint64_t nbits,
                              uint64_t from);

/**
 * bitmap_find_next_zero() - first clear bit at or after @from
 * Returns: its index, or @nbits when there is none (also for @from >= @nbits).
 */
uint64_t bitmap_find_next_zero(const uint64_t *map, uint64_t nbits,
                               uint64_t from);

/**
 * bitmap_find_next_run() - first run of set bits at or after @from
 * @ret_n: its length in bits, never reaching beyond @nbits; 0 if none
 * A run that begins before @from counts from @from on.
 * Returns: the run's first bit, or @nbits when there is none.
 */
uint64_t bitmap_find_next_run(const uint64_t *map, uint64_t nbits,
                              uint64_t from, uint64_t *ret_n);

/**
 * bitmap_count() - number of set bits among the @n from @first on
 * Context: beside atomic writers the sum is a moment's estimate.
 */
uint64_t bitmap_count(const uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_any() - is any of the @n bits from @first on set
 */
bool bitmap_any(const uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_is_empty() - is none of the first @nbits bits set
 */
static inline bool bitmap_is_empty(const uint64_t *map, uint64_t nbits)
{
    return !bitmap_any(map, 0, nbits);
}

/**
 * bitmap_load_bits() - up to 64 bits from any offset, as one number
 * @n: 1..64
 * Returns: bit @first of @map in bit 0; bits from @n on are zero.
 */
uint64_t bitmap_load_bits(const uint64_t *map, uint64_t first, unsigned n);

/**
 * bitmap_copy() - @n bits from @src to @dst, both from bit 0 on
 * The words must not overlap. Bits of @dst from @n on stay as they are.
 */
void bitmap_copy(uint64_t *dst, const uint64_t *src, uint64_t n);

/**
 * bitmap_copy_src_offset() - @n bits of @src from @src_first to bit 0 of @dst
 * The words must not overlap. Bits of @dst from @n on stay as they are.
 */
void bitmap_copy_src_offset(uint64_t *dst, const uint64_t *src,
                            uint64_t src_first, uint64_t n);

/**
 * bitmap_copy_dst_offset() - @n bits of @src from bit 0 to @dst_first of @dst
 * The words must not overlap. Bits of @dst outside the range stay.
 */
void bitmap_copy_dst_offset(uint64_t *dst, uint64_t dst_first,
                            const uint64_t *src, uint64_t n);

/**
 * bitmap_or_into() - add the first @n bits of @src to @dst
 * Returns: how many bits of @dst became set that were not.
 */
uint64_t bitmap_or_into(uint64_t *dst, const uint64_t *src, uint64_t n);

/**
 * bitmap_or_into_atomic() - add @n bits of @src to @dst from @dst_first on
 * @src: read plainly, from bit 0 on; nobody may be writing it
 * One atomic OR per word of @dst in which @src has anything to add.
 * Context: any thread, beside other atomic users of @dst.
 * Returns: how many bits of @dst became set that were not.
 */
uint64_t bitmap_or_into_atomic(uint64_t *dst, uint64_t dst_first,
                               const uint64_t *src, uint64_t n);

/**
 * bitmap_set_atomic() - set @n bits from @first on
 * Context: any thread.
 * Returns: how many of them were clear before.
 */
uint64_t bitmap_set_atomic(uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_clear_atomic() - clear @n bits from @first on
 * Context: any thread.
 * Returns: how many of them were set before.
 */
uint64_t bitmap_clear_atomic(uint64_t *map, uint64_t first, uint64_t n);

/**
 * bitmap_take_atomic() - move @n bits from @map to @dst, both from bit 0 on
 * @dst: overwritten in bits 0..@n-1; the caller's own
 * Each word is exchanged at once (whole words) or cleared by one atomic AND
 * (the last, partial one): a bit set meanwhile is either in @dst or still in
 * @map, never in neither.
 * Context: any thread.
 * Returns: the number of set bits that moved.
 */
uint64_t bitmap_take_atomic(uint64_t *dst, uint64_t *map, uint64_t n);

/**
 * bitmap_test_bit_atomic() - is bit @bit set, beside atomic writers
 * Context: any thread; an acquire load.
 */
static inline bool bitmap_test_bit_atomic(const uint64_t *map, uint64_t bit)
{
    uint64_t word = __atomic_load_n(&map[bit / BITMAP_WORD_BITS],
                                    __ATOMIC_ACQUIRE);

    return word >> (bit % BITMAP_WORD_BITS) & 1;
}

/**
 * bitmap_test_and_set_atomic() - set bit @bit
 * Context: any thread. Always one atomic OR, even when the bit stands: reading
 * first and leaving it could let an earlier write of the caller pass the read
 * (store, then load: x86 reorders just that), and a taker in between would
 * read the old page and leave no bit behind.
 * Returns: whether it was set before.
 */
static inline bool bitmap_test_and_set_atomic(uint64_t *map, uint64_t bit)
{
    uint64_t mask = UINT64_C(1) << (bit % BITMAP_WORD_BITS);

    return __atomic_fetch_or(&map[bit / BITMAP_WORD_BITS], mask,
                             __ATOMIC_RELEASE) & mask;
}

/**
 * bitmap_test_and_clear_atomic() - take bit @bit
 * Context: any thread. A word without the bit is only read: a bit that comes
 * in the same instant stays set and is taken the next time.
 * Returns: whether it was set, that is, whether this caller took it.
 */
static inline bool bitmap_test_and_clear_atomic(uint64_t *map, uint64_t bit)
{
    uint64_t mask = UINT64_C(1) << (bit % BITMAP_WORD_BITS);
    uint64_t *word = &map[bit / BITMAP_WORD_BITS];

    if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & mask)) {
        return false;
    }
    return __atomic_fetch_and(word, ~mask, __ATOMIC_ACQ_REL) & mask;
}

#endif
