/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps against an array of bools: every function at every offset around
 * the word edges, random programs, and threads for the atomic ones.
 */
#include <glib.h>
#include <string.h>

#include "util/bitmap.h"
#include "util/error.h"

#include "refuse-huge.h"

#define NBITS 600
#define NWORDS 10
#define PROGRAMS 4096

static const uint64_t sizes[] = {0, 1, 63, 64, 65, 130, 255, 256, 257};

static void fill_random(uint64_t *map)
{
    for (unsigned i = 0; i < NWORDS; i++) {
        map[i] = (uint64_t)g_test_rand_int() << 32 | (uint32_t)g_test_rand_int();
        /* Empty and full words are where the short cuts are. */
        switch (g_test_rand_int_range(0, 4)) {
        case 0:
            map[i] = 0;
            break;
        case 1:
            map[i] = UINT64_MAX;
            break;
        }
    }
}

static void to_bools(bool *b, const uint64_t *map)
{
    for (unsigned i = 0; i < NWORDS * 64; i++) {
        b[i] = map[i / 64] & (UINT64_C(1) << (i % 64));
    }
}

static void assert_same(const uint64_t *map, const bool *b)
{
    for (unsigned i = 0; i < NWORDS * 64; i++) {
        g_assert_cmpuint(i << 1 | bitmap_test_bit(map, i), ==, i << 1 | b[i]);
    }
}

static uint64_t count_bools(const bool *b, uint64_t first, uint64_t n)
{
    uint64_t count = 0;

    for (uint64_t i = first; i < first + n; i++) {
        count += b[i];
    }
    return count;
}

static void check_ranges(uint64_t first, uint64_t n)
{
    uint64_t map[NWORDS], was[NWORDS];
    bool b[NWORDS * 64];

    fill_random(map);
    memcpy(was, map, sizeof(was));
    to_bools(b, map);
    g_assert_cmpuint(bitmap_count(map, first, n), ==, count_bools(b, first, n));
    g_assert_cmpint(bitmap_any(map, first, n), ==,
                    count_bools(b, first, n) != 0);

    memset(b + first, true, n);
    bitmap_set(map, first, n);
    assert_same(map, b);
    memset(b + first, false, n);
    bitmap_clear(map, first, n);
    assert_same(map, b);
    g_assert_false(bitmap_any(map, first, n));

    memcpy(map, was, sizeof(was));
    to_bools(b, map);
    g_assert_cmpuint(bitmap_set_atomic(map, first, n), ==,
                     n - count_bools(b, first, n));
    memset(b + first, true, n);
    assert_same(map, b);

    memcpy(map, was, sizeof(was));
    to_bools(b, map);
    g_assert_cmpuint(bitmap_clear_atomic(map, first, n), ==,
                     count_bools(b, first, n));
    memset(b + first, false, n);
    assert_same(map, b);
}

static void test_ranges_every_offset_touch_only_range(void)
{
    for (uint64_t first = 0; first <= 130; first++) {
        for (unsigned s = 0; s < G_N_ELEMENTS(sizes); s++) {
            check_ranges(first, sizes[s]);
        }
    }
}

/* A copy of exactly as many words as needed: a sanitizer sees one too many. */
static uint64_t *exact_words(const uint64_t *map, uint64_t nbits)
{
    return g_memdup2(map, bitmap_bytes(nbits));
}

static void check_copies(uint64_t offset, uint64_t n)
{
    uint64_t src[NWORDS], dst[NWORDS], at[NWORDS];
    bool s[NWORDS * 64], d[NWORDS * 64], a[NWORDS * 64];
    g_autofree uint64_t *exact = NULL;

    fill_random(src);
    fill_random(dst);
    memcpy(at, dst, sizeof(at));
    to_bools(s, src);
    to_bools(d, dst);
    to_bools(a, at);

    exact = exact_words(src, offset + n);
    bitmap_copy_src_offset(dst, exact, offset, n);
    memcpy(d, s + offset, n);
    assert_same(dst, d);

    bitmap_copy_dst_offset(at, offset, src, n);
    memcpy(a + offset, s, n);
    assert_same(at, a);

    if (offset == 0) {
        fill_random(dst);
        to_bools(d, dst);
        bitmap_copy(dst, src, n);
        memcpy(d, s, n);
        assert_same(dst, d);
    }
}

static void test_copy_every_offset_matches_oracle(void)
{
    for (uint64_t offset = 0; offset <= 130; offset++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            check_copies(offset, sizes[i]);
        }
    }
}

static void check_or(uint64_t offset, uint64_t n)
{
    uint64_t src[NWORDS], dst[NWORDS], plain[NWORDS];
    bool s[NWORDS * 64], d[NWORDS * 64], p[NWORDS * 64];
    uint64_t added = 0, plain_added = 0;

    fill_random(src);
    fill_random(dst);
    memcpy(plain, dst, sizeof(plain));
    to_bools(s, src);
    to_bools(d, dst);
    to_bools(p, plain);
    for (uint64_t i = 0; i < n; i++) {
        added += s[i] && !d[offset + i];
        d[offset + i] |= s[i];
        plain_added += s[i] && !p[i];
        p[i] |= s[i];
    }
    g_assert_cmpuint(bitmap_or_into_atomic(dst, offset, src, n), ==, added);
    assert_same(dst, d);
    g_assert_cmpuint(bitmap_or_into(plain, src, n), ==, plain_added);
    assert_same(plain, p);
}

static void test_or_every_offset_counts_new_bits(void)
{
    for (uint64_t offset = 0; offset <= 130; offset++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            check_or(offset, sizes[i]);
        }
    }
}

#define LONG_BITS 2500

/*
 * One bit in a long empty bitmap, where eight words are looked at in one: at
 * every place, seen through ranges that begin and end anywhere. @map is as
 * long as the range, so that a sanitizer sees a word too many.
 */
static void check_lone_bit(uint64_t bit, uint64_t first, uint64_t n)
{
    g_autofree uint64_t *map = g_malloc0(bitmap_bytes(first + n));
    g_autofree uint64_t *dst = g_malloc0(bitmap_bytes(first + n));
    bool inside = bit >= first && bit < first + n;

    if (bit < first + n) {
        bitmap_set_bit(map, bit);
    }
    g_assert_cmpuint(bitmap_count(map, first, n), ==, inside);
    g_assert_cmpint(bitmap_any(map, first, n), ==, inside);
    g_assert_cmpuint(bitmap_find_next_set(map, first + n, first), ==,
                     inside ? bit : first + n);
    /* As bit - first of a source that begins here. */
    bitmap_copy_src_offset(dst, map, first, n);
    memset(map, 0, bitmap_bytes(first + n));
    g_assert_cmpuint(bitmap_or_into_atomic(map, first, dst, n), ==, inside);
    g_assert_cmpuint(bitmap_count(map, 0, first + n), ==, inside);
    g_assert_cmpint(inside && !bitmap_test_bit(map, bit), ==, false);
}

static void test_lone_bit_is_found_everywhere(void)
{
    for (uint64_t bit = 0; bit < LONG_BITS; bit++) {
        for (unsigned i = 0; i < 40; i++) {
            uint64_t first = g_test_rand_int_range(0, LONG_BITS);

            /* Half of the ranges begin with a word. */
            first = i % 2 ? first : first / 64 * 64;
            check_lone_bit(bit, first,
                           g_test_rand_int_range(1, LONG_BITS - first + 1));
        }
    }
}

/* Whole words are filled otherwise than parts of words. */
static void test_long_ranges_touch_only_range(void)
{
    for (unsigned i = 0; i < 4096; i++) {
        uint64_t first = g_test_rand_int_range(0, LONG_BITS);
        uint64_t n = g_test_rand_int_range(0, LONG_BITS - first + 1);
        g_autofree uint64_t *map = g_malloc0(bitmap_bytes(LONG_BITS));

        first = i % 2 ? first : first / 64 * 64;
        bitmap_set(map, first, n);
        g_assert_cmpuint(bitmap_count(map, 0, LONG_BITS), ==, n);
        g_assert_cmpuint(bitmap_count(map, first, n), ==, n);
        bitmap_set(map, 0, LONG_BITS);
        bitmap_clear(map, first, n);
        g_assert_cmpuint(bitmap_count(map, 0, LONG_BITS), ==, LONG_BITS - n);
        g_assert_cmpuint(bitmap_count(map, first, n), ==, 0);
    }
}

static void check_take(uint64_t n)
{
    uint64_t map[NWORDS], dst[NWORDS];
    bool m[NWORDS * 64], d[NWORDS * 64];

    fill_random(map);
    fill_random(dst);
    to_bools(m, map);
    to_bools(d, dst);
    g_assert_cmpuint(bitmap_take_atomic(dst, map, n), ==,
                     count_bools(m, 0, n));
    memcpy(d, m, n);
    memset(m, false, n);
    assert_same(map, m);
    assert_same(dst, d);
}

static void test_take_every_size_moves_bits(void)
{
    for (uint64_t n = 0; n <= 257; n++) {
        check_take(n);
    }
}

static void check_find(uint64_t nbits)
{
    uint64_t map[NWORDS];
    bool b[NWORDS * 64];

    fill_random(map);
    to_bools(b, map);
    for (uint64_t from = 0; from <= nbits + 1; from++) {
        uint64_t set = MIN(from, nbits), zero = set, end, n;

        while (set < nbits && !b[set]) {
            set++;
        }
        while (zero < nbits && b[zero]) {
            zero++;
        }
        for (end = set; end < nbits && b[end]; end++) {
        }
        g_assert_cmpuint(bitmap_find_next_set(map, nbits, from), ==, set);
        g_assert_cmpuint(bitmap_find_next_zero(map, nbits, from), ==, zero);
        g_assert_cmpuint(bitmap_find_next_run(map, nbits, from, &n), ==, set);
        g_assert_cmpuint(n, ==, end - set);
    }
}

static void test_find_every_start_matches_oracle(void)
{
    for (unsigned round = 0; round < 32; round++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            check_find(sizes[i]);
        }
    }
}

static void random_step(uint64_t *map, bool *b)
{
    uint64_t first = g_test_rand_int_range(0, NBITS);
    uint64_t n = g_test_rand_int_range(0, NBITS - first + 1);

    switch (g_test_rand_int_range(0, 7)) {
    case 0:
        bitmap_set(map, first, n);
        memset(b + first, true, n);
        break;
    case 1:
        bitmap_clear(map, first, n);
        memset(b + first, false, n);
        break;
    case 2:
        bitmap_set_bit(map, first);
        b[first] = true;
        break;
    case 3:
        bitmap_clear_bit(map, first);
        b[first] = false;
        break;
    case 4:
        g_assert_cmpint(bitmap_test_and_set_atomic(map, first), ==, b[first]);
        b[first] = true;
        break;
    case 5:
        g_assert_cmpint(bitmap_test_and_clear_atomic(map, first), ==, b[first]);
        b[first] = false;
        break;
    case 6:
        g_assert_cmpint(bitmap_test_bit_atomic(map, first), ==, b[first]);
        g_assert_cmpuint(bitmap_count(map, first, n), ==,
                         count_bools(b, first, n));
        break;
    }
}

static void test_program_random_matches_oracle(void)
{
    for (unsigned p = 0; p < PROGRAMS; p++) {
        uint64_t map[NWORDS] = {0};
        bool b[NWORDS * 64] = {false};

        for (unsigned step = 0; step < 16; step++) {
            random_step(map, b);
        }
        assert_same(map, b);
        g_assert_cmpint(bitmap_is_empty(map, NBITS), ==,
                        count_bools(b, 0, NBITS) == 0);
    }
}

/* Two setters and a taker: every bit newly set is taken exactly once. */
#define RACE_BITS (64 * 32)
#define RACE_STEPS 200000

typedef struct Race {
    uint64_t map[RACE_BITS / 64];
    uint64_t added; /* atomic */
    int running;    /* atomic: setters still at work */
} Race;

static gpointer race_setter(gpointer opaque)
{
    Race *race = opaque;
    uint64_t added = 0, x = (uintptr_t)&added | 1;
    uint64_t words[2];

    for (unsigned i = 0; i < RACE_STEPS; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        switch (x >> 60 & 3) {
        case 0:
            added += bitmap_set_atomic(race->map, x >> 33 & 1023, x >> 20 & 127);
            break;
        case 1:
            words[0] = x;
            words[1] = x >> 7;
            added += bitmap_or_into_atomic(race->map, x >> 33 & 1023, words,
                                           100);
            break;
        default:
            added += !bitmap_test_and_set_atomic(race->map,
                                                 (x >> 33) % RACE_BITS);
            break;
        }
    }
    __atomic_fetch_add(&race->added, added, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&race->running, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void test_race_setters_and_taker_balance(void)
{
    Race race = {.running = 2};
    GThread *a = g_thread_new("setter", race_setter, &race);
    GThread *b = g_thread_new("setter", race_setter, &race);
    uint64_t took[RACE_BITS / 64], taken = 0, bit = 0;

    while (__atomic_load_n(&race.running, __ATOMIC_ACQUIRE)) {
        taken += bitmap_take_atomic(took, race.map, RACE_BITS - 13);
        taken += bitmap_test_and_clear_atomic(race.map, bit++ % RACE_BITS);
        taken += bitmap_clear_atomic(race.map, bit % 100, 1000);
    }
    g_thread_join(a);
    g_thread_join(b);
    taken += bitmap_take_atomic(took, race.map, RACE_BITS);
    g_assert_cmpuint(taken, ==, race.added);
    g_assert_cmpuint(taken, >, 0);
}

static void test_new_impossible_size_reports(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint64_t *map = bitmap_try_new(0, &error);

    g_assert_no_error(error);
    g_assert_nonnull(map);
    g_assert_null(bitmap_try_new(UINT64_MAX, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr(error->message, "18446744073709551615 bits"));
}

static void test_new_is_all_zero(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree uint64_t *map = bitmap_try_new(sizes[i], NULL);

        g_assert_nonnull(map);
        g_assert_true(bitmap_is_empty(map, sizes[i]));
    }
    g_assert_cmpuint(bitmap_words(0), ==, 0);
    g_assert_cmpuint(bitmap_words(64), ==, 1);
    g_assert_cmpuint(bitmap_words(65), ==, 2);
    g_assert_cmpuint(bitmap_words(UINT64_MAX), ==, UINT64_C(1) << 58);
    g_assert_cmpuint(bitmap_bytes(65), ==, 16);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bitmap/ranges/touch-only-range",
                    test_ranges_every_offset_touch_only_range);
    g_test_add_func("/bitmap/ranges/long", test_long_ranges_touch_only_range);
    g_test_add_func("/bitmap/lone-bit/is-found",
                    test_lone_bit_is_found_everywhere);
    g_test_add_func("/bitmap/copy/every-offset",
                    test_copy_every_offset_matches_oracle);
    g_test_add_func("/bitmap/or/counts-new-bits",
                    test_or_every_offset_counts_new_bits);
    g_test_add_func("/bitmap/take/moves-bits", test_take_every_size_moves_bits);
    g_test_add_func("/bitmap/find/every-start",
                    test_find_every_start_matches_oracle);
    g_test_add_func("/bitmap/program/matches-oracle",
                    test_program_random_matches_oracle);
    g_test_add_func("/bitmap/race/balances",
                    test_race_setters_and_taker_balance);
    g_test_add_func("/bitmap/new/impossible-size",
                    test_new_impossible_size_reports);
    g_test_add_func("/bitmap/new/all-zero", test_new_is_all_zero);
    return g_test_run();
}
