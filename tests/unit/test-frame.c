/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames: what is refused, and which lines a dirty page touches, against an
 * oracle that goes byte by byte.
 */
#include <string.h>

#include "ui/frame.h"
#include "util/bitmap.h"

#define MEMORY (1u << 20)
#define XR24 FRAME_FOURCC('X', 'R', '2', '4')
#define RG24 FRAME_FOURCC('R', 'G', '2', '4')
#define RG16 FRAME_FOURCC('R', 'G', '1', '6')

static const struct {
    FrameLayout frame;
    uint64_t memory;
    FrameFault want;
    const char *word;
} table[] = {
    { { 1, 1, 4, XR24, 0 }, 4, FRAME_OK },
    { { 1, 1, 4, XR24, 0 }, 3, FRAME_BEYOND_MEMORY, "0x3" },
    { { 640, 400, 2560, XR24, 0 }, 1024000, FRAME_OK },
    { { 640, 400, 2560, XR24, 4 }, 1024000, FRAME_BEYOND_MEMORY, "0x4" },
    /* no padding behind the last line is asked for */
    { { 640, 2, 4096, XR24, 0 }, 4096 + 2560, FRAME_OK },
    { { 640, 2, 4096, XR24, 0 }, 4096 + 2559, FRAME_BEYOND_MEMORY, "0x" },
    { { 0, 1, 4, XR24, 0 }, MEMORY, FRAME_BAD_SIZE, "0 x 1" },
    { { 1, 0, 4, XR24, 0 }, MEMORY, FRAME_BAD_SIZE, "1 x 0" },
    { { 4097, 1, 16388, XR24, 0 }, MEMORY, FRAME_BAD_SIZE, "4097" },
    { { 1, 4097, 4, XR24, 0 }, MEMORY, FRAME_BAD_SIZE, "4097" },
    { { 4096, 1, 16384, XR24, 0 }, MEMORY, FRAME_OK },
    { { 1, 4096, 4, XR24, 0 }, MEMORY, FRAME_OK },
    { { UINT32_MAX, UINT32_MAX, UINT32_MAX, XR24, UINT32_MAX }, UINT64_MAX,
      FRAME_BAD_SIZE, "4294967295" },
    { { 1, 1, 4, 0, 0 }, MEMORY, FRAME_BAD_FORMAT, "0x00000000" },
    { { 1, 1, 4, FRAME_FOURCC('N', 'V', '1', '2'), 0 }, MEMORY,
      FRAME_BAD_FORMAT, "0x3231564e" },
    { { 1, 1, 0, XR24, 0 }, MEMORY, FRAME_BAD_STRIDE, "0 bytes" },
    { { 2, 2, 4, XR24, 0 }, MEMORY, FRAME_BAD_STRIDE, "8 bytes" },
    { { 3, 2, 9, RG24, 0 }, MEMORY, FRAME_BAD_STRIDE, "multiple" },
    { { 3, 2, 12, RG24, 0 }, MEMORY, FRAME_OK },
    { { 3, 2, 6, RG16, 0 }, MEMORY, FRAME_BAD_STRIDE, "multiple" },
    { { 3, 2, 8, RG16, 0 }, MEMORY, FRAME_OK },
    { { 1, 1, FRAME_MAX_STRIDE, XR24, 0 }, MEMORY, FRAME_OK },
    { { 1, 1, FRAME_MAX_STRIDE + 4, XR24, 0 }, MEMORY, FRAME_BAD_STRIDE,
      "1048580" },
    { { 1, 2, 0xfffffffc, XR24, 0 }, MEMORY, FRAME_BAD_STRIDE, "more than" },
    { { 1, 1, 4, XR24, 2 }, MEMORY, FRAME_BAD_OFFSET, "0x2" },
    { { 1, 1, 4, XR24, MEMORY }, MEMORY, FRAME_BEYOND_MEMORY, "0x100000" },
    { { 1, 1, 4, XR24, MEMORY - 4 }, MEMORY, FRAME_OK },
    { { 1, 1, 4, XR24, UINT64_MAX - 3 }, MEMORY, FRAME_BEYOND_MEMORY, "0x" },
};

static void test_hostile_layouts_are_named(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GError) error = NULL;
        FrameFault fault = frame_check(&table[i].frame, table[i].memory,
                                       &error);

        g_test_message("%u: %s", i, error ? error->message : "taken");
        g_assert_cmpint(fault, ==, table[i].want);
        g_assert_cmpint(error != NULL, ==, table[i].want != FRAME_OK);
        if (error) {
            g_assert_nonnull(strstr(error->message, table[i].word));
        }
    }
}

/* Whatever is accepted lies in memory, in 64-bit arithmetic of its own. */
static void test_random_layouts_stay_inside(void)
{
    unsigned taken = 0;

    for (unsigned run = 0; run < 100000; run++) {
        const FrameFormat *format =
            &frame_formats()[g_test_rand_int_range(0, 14)];
        FrameLayout f = {
            .width = g_test_rand_int_range(0, 300),
            .height = g_test_rand_int_range(0, 300),
            .stride = g_test_rand_int_range(0, 325) * 4 + (run % 5 == 0),
            .format = format->fourcc,
            .offset = g_test_rand_int_range(0, 17500) * 4 + (run % 11 == 0),
        };

        if (run % 7 == 0) {
            ((uint32_t *)&f)[run % 3] = (uint32_t)g_test_rand_int();
        }
        if (frame_check(&f, 65536, NULL) == FRAME_OK) {
            unsigned __int128 end = (unsigned __int128)f.stride *
                (f.height - 1) + f.width * format->bits / 8 + f.offset;

            g_assert_cmpuint((uint64_t)(end >> 64), ==, 0);
            g_assert_cmpuint((uint64_t)end, <=, 65536);
            g_assert_cmpuint(f.width * format->bits / 8, <=, f.stride);
            taken++;
        }
    }
    g_assert_cmpuint(taken, >, 1000);
}

static DirtySnapshot *snapshot_new(uint64_t first, uint64_t npages)
{
    DirtySnapshot *snap = g_malloc0(sizeof(*snap) + bitmap_bytes(npages));

    snap->first = first;
    snap->npages = npages;
    return snap;
}

/* Line @y by asking every byte of every pixel for its page. */
static bool oracle_dirty(const FrameLayout *f, const DirtySnapshot *snap,
                         uint32_t y)
{
    unsigned bytes = f->width * frame_format_find(f->format)->bits / 8;

    for (unsigned b = 0; b < bytes; b++) {
        uint64_t at = f->offset + (uint64_t)y * f->stride + b;

        if (bitmap_test_bit(snap->words, (at >> 12) - snap->first)) {
            return true;
        }
    }
    return false;
}

static void compare_lines(const FrameLayout *f, const DirtySnapshot *snap)
{
    g_autofree bool *seen = g_new0(bool, f->height);
    uint32_t from = 0, first, nlines;

    while (frame_next_dirty(f, snap, from, &first, &nlines)) {
        g_assert_cmpuint(first, >=, from);
        g_assert_cmpuint(nlines, >, 0);
        g_assert_cmpuint(first + nlines, <=, f->height);
        memset(seen + first, true, nlines);
        from = first + nlines;
        /* runs are as long as they can be: the next line is clean */
        g_assert_false(from < f->height && oracle_dirty(f, snap, from));
    }
    for (uint32_t y = 0; y < f->height; y++) {
        g_assert_cmpint(seen[y], ==, oracle_dirty(f, snap, y));
    }
}

static void compare_frame(FrameLayout *f)
{
    g_autofree DirtySnapshot *snap = NULL;
    uint64_t first, npages;

    g_assert_cmpint(frame_check(f, MEMORY, NULL), ==, FRAME_OK);
    frame_pages(f, &first, &npages);
    snap = snapshot_new(first, npages);
    compare_lines(f, snap);
    for (unsigned i = 0; i < npages; i++) {
        if (g_test_rand_int_range(0, 4) == 0) {
            bitmap_set(snap->words, i, 1);
        }
    }
    compare_lines(f, snap);
    memset(snap->words, 0xff, bitmap_bytes(npages));
    compare_lines(f, snap);
}

/* Every stride of a line of 100 pixels up to a page more, and every offset in
 * the first page: all ways in which lines and pages can lie. */
static void test_every_stride_and_offset(void)
{
    for (uint32_t stride = 400; stride <= 4096 + 400; stride += 4) {
        FrameLayout f = { 100, 20, stride, XR24,
                          g_test_rand_int_range(0, 2048) * 4 };

        compare_frame(&f);
    }
    for (uint64_t offset = 0; offset < 4096; offset += 4) {
        FrameLayout f = { 341, 20, 1024 + 4 * (offset % 5), RG24, offset };

        compare_frame(&f);
    }
}

static void test_narrow_and_wide_lines(void)
{
    FrameLayout list[] = {
        { 1, 4096, 4, XR24, 4092 }, { 4096, 16, 16384, XR24, 0 },
        { 4096, 16, 16388, XR24, 2044 }, { 1, 40, 8192, RG16, 4092 },
        { 3, 300, 12, RG24, 4088 }, { 1, 1, 4, XR24, MEMORY - 4 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(list); i++) {
        compare_frame(&list[i]);
    }
}

static void test_padding_is_not_shown(void)
{
    FrameLayout f = { 1, 3, 16384, XR24, 0 };
    g_autofree DirtySnapshot *snap = snapshot_new(0, 9);
    uint32_t first = 77, nlines = 77;

    bitmap_set(snap->words, 1, 3);
    bitmap_set(snap->words, 5, 3);
    g_assert_false(frame_next_dirty(&f, snap, 0, &first, &nlines));
    g_assert_cmpuint(first, ==, 77);
    bitmap_set(snap->words, 8, 1);
    g_assert_true(frame_next_dirty(&f, snap, 0, &first, &nlines));
    g_assert_cmpuint(first, ==, 2);
    g_assert_cmpuint(nlines, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame/check/hostile-layouts-are-named",
                    test_hostile_layouts_are_named);
    g_test_add_func("/frame/check/random-layouts-stay-inside",
                    test_random_layouts_stay_inside);
    g_test_add_func("/frame/dirty/every-stride-and-offset",
                    test_every_stride_and_offset);
    g_test_add_func("/frame/dirty/narrow-and-wide-lines",
                    test_narrow_and_wide_lines);
    g_test_add_func("/frame/dirty/padding-is-not-shown",
                    test_padding_is_not_shown);
    return g_test_run();
}
