/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chunked clearing against a recorder that stands in for the accelerators.
 */
#include <glib.h>
#include <string.h>

#include "migration/clear-bmap.h"
#include "util/error.h"

typedef struct Clear {
    uint64_t first, npages;
} Clear;

static GArray *clears;
static bool refuse;

bool memory_region_clear_dirty_bitmap(MemoryMap *map, RAMBlock *block,
                                      uint64_t first, uint64_t npages,
                                      GError **error)
{
    Clear clear = {first, npages};

    if (refuse) {
        tm_error_set(error, "refused");
        return false;
    }
    g_array_append_val(clears, clear);
    return true;
}

static Clear *nth(unsigned i)
{
    g_assert_cmpuint(i, <, clears->len);
    return &g_array_index(clears, Clear, i);
}

static void set_up(ClearBmap *cb, uint64_t npages, unsigned shift)
{
    g_autoptr(GError) error = NULL;

    clears = g_array_new(false, false, sizeof(Clear));
    clear_bmap_init(cb, npages, shift, &error);
    g_assert_no_error(error);
}

static void tear_down(ClearBmap *cb)
{
    clear_bmap_done(cb);
    g_array_unref(clears);
}

static uint64_t before_read(ClearBmap *cb, uint64_t first, uint64_t npages)
{
    RAMBlock block = {.name = (char *)"pc.ram", .npages = cb->npages};
    g_autoptr(GError) error = NULL;
    uint64_t n = 0;

    clear_bmap_before_read(cb, NULL, &block, first, npages, &n, &error);
    g_assert_no_error(error);
    return n;
}

static void test_shift_floor_and_cap(void)
{
    static const struct { unsigned asked; uint64_t npages; unsigned want; } t[] = {
        {0, 1000, 6}, {5, 1000, 6}, {6, 1000, 6}, {7, 1000, 7},
        {18, 1000, 10}, {63, 1000, 10}, {63, 1024, 10}, {63, 1025, 11},
        {63, 1, 6}, {18, 64, 6}, {18, UINT64_C(1) << 30, 18},
        {63, UINT64_MAX, 63},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++) {
        g_assert_cmpuint(clear_bmap_shift(t[i].asked, t[i].npages), ==,
                         t[i].want);
    }
}

static void test_before_read_clears_chunk_once(void)
{
    ClearBmap cb;

    set_up(&cb, 1000, 6);
    g_assert_cmpuint(before_read(&cb, 5, 1), ==, 0); /* nothing is armed */
    clear_bmap_arm(&cb);
    g_assert_cmpuint(before_read(&cb, 5, 1), ==, 1);
    g_assert_cmpuint(before_read(&cb, 5, 59), ==, 0);
    g_assert_cmpuint(before_read(&cb, 63, 2), ==, 1);
    g_assert_cmpuint(nth(0)->first, ==, 0);
    g_assert_cmpuint(nth(0)->npages, ==, 64);
    g_assert_cmpuint(nth(1)->first, ==, 64);
    clear_bmap_arm(&cb);
    g_assert_cmpuint(before_read(&cb, 0, 1), ==, 1);
    tear_down(&cb);
}

static void test_last_chunk_ends_with_block(void)
{
    ClearBmap cb;

    set_up(&cb, 1000, 6);
    clear_bmap_arm(&cb);
    g_assert_cmpuint(before_read(&cb, 999, 1), ==, 1);
    g_assert_cmpuint(nth(0)->first, ==, 960);
    g_assert_cmpuint(nth(0)->npages, ==, 40);
    tear_down(&cb);
}

static void test_largest_shift_is_whole_block(void)
{
    ClearBmap cb;

    set_up(&cb, 1000, 63);
    clear_bmap_arm(&cb);
    g_assert_cmpuint(before_read(&cb, 999, 1), ==, 1);
    g_assert_cmpuint(before_read(&cb, 0, 1000), ==, 0);
    g_assert_cmpuint(nth(0)->first, ==, 0);
    g_assert_cmpuint(nth(0)->npages, ==, 1000);
    tear_down(&cb);
}

static void test_refused_clear_stays_armed(void)
{
    RAMBlock block = {.name = (char *)"pc.ram", .npages = 1000};
    g_autoptr(GError) error = NULL;
    ClearBmap cb;
    uint64_t n = 0;

    set_up(&cb, 1000, 6);
    clear_bmap_arm(&cb);
    refuse = true;
    g_assert_false(clear_bmap_before_read(&cb, NULL, &block, 0, 1, &n,
                                          &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_cmpuint(n, ==, 0);
    refuse = false;
    g_assert_cmpuint(before_read(&cb, 0, 1), ==, 1);
    tear_down(&cb);
}

/* Every page is inside a clear since the last arm, no page in two. */
static void check_random_program(void)
{
    uint64_t npages = g_test_rand_int_range(1, 700);
    g_autofree uint8_t *cleared = g_malloc0(npages);
    ClearBmap cb;
    unsigned seen = 0;

    set_up(&cb, npages, g_test_rand_int_range(0, 64));
    for (unsigned step = 0; step < 40; step++) {
        uint64_t first = g_test_rand_int_range(0, npages);
        uint64_t n = g_test_rand_int_range(1, npages - first + 1);

        if (step == 0 || g_test_rand_int_range(0, 8) == 0) {
            clear_bmap_arm(&cb);
            memset(cleared, 0, npages);
        }
        before_read(&cb, first, n);
        for (; seen < clears->len; seen++) {
            for (uint64_t i = 0; i < nth(seen)->npages; i++) {
                g_assert_cmpuint(cleared[nth(seen)->first + i]++, ==, 0);
            }
        }
        for (uint64_t i = first; i < first + n; i++) {
            g_assert_cmpuint(cleared[i], ==, 1);
        }
    }
    tear_down(&cb);
}

static void test_random_reads_are_covered_once(void)
{
    for (unsigned i = 0; i < 4096; i++) {
        check_random_program();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clear-bmap/shift/floor-and-cap",
                    test_shift_floor_and_cap);
    g_test_add_func("/clear-bmap/before-read/clears-chunk-once",
                    test_before_read_clears_chunk_once);
    g_test_add_func("/clear-bmap/before-read/ends-with-block",
                    test_last_chunk_ends_with_block);
    g_test_add_func("/clear-bmap/before-read/whole-block",
                    test_largest_shift_is_whole_block);
    g_test_add_func("/clear-bmap/before-read/refused-stays-armed",
                    test_refused_clear_stays_armed);
    g_test_add_func("/clear-bmap/random/covered-once",
                    test_random_reads_are_covered_once);
    return g_test_run();
}
