/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console's surface: every format of a frame against an oracle that takes
 * pixels apart by hand; and a surface that is drawn by dirty pages alone
 * against one that is drawn in full.
 */
#include <string.h>

#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "ui/console.h"

#define VRAM_GPA 0x10000

typedef struct Fixture {
    RAMList ram;
    MemoryMap *map;
    RAMBlock *vram;
    Consoles *consoles;
    Console *console;
    ConsoleListener listener;
    unsigned told;
    ConsoleRect last;
    unsigned updates, watches, unwatches;
    bool fail;
} Fixture;

static bool fake_update(void *opaque, GError **error)
{
    Fixture *f = opaque;

    f->updates++;
    if (f->fail) {
        g_set_error(error, g_quark_from_static_string("t"), 1, "no");
    }
    return !f->fail;
}

static bool fake_watch(void *opaque, bool on, GError **error)
{
    Fixture *f = opaque;

    f->watches += on;
    f->unwatches += !on;
    if (f->fail) {
        g_set_error(error, g_quark_from_static_string("t"), 1, "no");
    }
    return !f->fail;
}

static const ConsoleOps fake_ops = { fake_update, fake_watch };

static void on_drawn(ConsoleListener *listener, const ConsoleRect *rect)
{
    Fixture *f = (Fixture *)((char *)listener - offsetof(Fixture, listener));

    f->told++;
    f->last = *rect;
}

static void set_up(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;

    memset(f, 0, sizeof(*f));
    ram_list_init(&f->ram);
    f->vram = ram_list_add_anon(&f->ram, "vram", 1 << 20, &error);
    g_assert_no_error(error);
    f->map = memory_map_new(&f->ram);
    memory_map_begin(f->map);
    memory_map_add_ram(f->map, VRAM_GPA, f->vram->length, f->vram, 0, false,
                       &error);
    g_assert_true(memory_map_commit(f->map, &error));
    f->consoles = consoles_new();
    f->console = console_new(f->consoles, "fb0", &fake_ops, f, &error);
    g_assert_no_error(error);
    f->listener.drawn = on_drawn;
    console_listen(f->console, &f->listener);
}

static void tear_down(Fixture *f, const void *unused)
{
    consoles_free(f->consoles);
    memory_map_free(f->map);
    ram_list_done(&f->ram);
}

static uint32_t pixel(Fixture *f, uint32_t x, uint32_t y)
{
    pixman_image_t *image = console_image(f->console);
    const uint8_t *line = (uint8_t *)pixman_image_get_data(image) +
        (size_t)pixman_image_get_stride(image) * y;
    uint32_t v;

    memcpy(&v, line + 4 * x, 4);
    return v & 0xffffff;
}

static uint32_t wide(uint32_t v, unsigned bits)
{
    v &= (1u << bits) - 1;
    return bits == 8 ? v : v << (8 - bits) | v >> (2 * bits - 8);
}

/* What a pixel stored as @v (little-endian) shows, by the format's letters:
 * the first named component is the highest. */
static uint32_t oracle_pixel(const char *name, uint32_t v)
{
    bool deep = name[2] == '2';
    unsigned bits = deep ? 8 : 5, green = name[3] == '6' ? 6 : bits;
    uint32_t r, g, b;

    if (strchr("RB", name[0]) && strchr("XA", name[1])) {
        v >>= 8; /* R8G8B8X8 */
    }
    b = wide(v, bits);
    g = wide(v >> bits, green);
    r = wide(v >> (bits + green), bits);
    if (name[0] == 'B' || (strchr("XA", name[0]) && name[1] == 'B')) {
        uint32_t swap = r;

        r = b;
        b = swap;
    }
    return r << 16 | g << 8 | b;
}

static void test_every_format_shows_its_colours(Fixture *f,
                                                const void *unused)
{
    for (const FrameFormat *format = frame_formats(); format->fourcc;
         format++) {
        unsigned bytes = format->bits / 8;
        FrameLayout frame = { 37, 5, 37 * 4 + 8, format->fourcc, 12 };
        char name[5] = { 0 };
        bool is_new;

        memcpy(name, &format->fourcc, 4);
        g_test_message("%s", name);
        for (unsigned i = 0; i < 4096; i++) {
            f->vram->host[i] = g_test_rand_int();
        }
        g_assert_true(console_resize(f->console, 37, 5, &is_new, NULL));
        g_assert_true(console_draw(f->console, &frame, f->vram->host, 0, 5,
                                   NULL));
        for (unsigned y = 0; y < 5; y++) {
            for (unsigned x = 0; x < 37; x++) {
                uint32_t v = 0;

                memcpy(&v, f->vram->host + 12 + y * frame.stride + x * bytes,
                       bytes);
                g_assert_cmphex(pixel(f, x, y), ==, oracle_pixel(name, v));
            }
        }
    }
}

static void test_draw_touches_only_its_lines(Fixture *f, const void *unused)
{
    FrameLayout frame = { 16, 8, 64, frame_formats()[0].fourcc, 0 };
    bool is_new;

    g_assert_true(console_resize(f->console, 16, 8, &is_new, NULL));
    g_assert_true(is_new);
    g_assert_cmpuint(f->told, ==, 1);
    g_assert_cmpuint(f->last.height, ==, 8);
    memset(f->vram->host, 0x55, 64 * 8);
    g_assert_true(console_draw(f->console, &frame, f->vram->host, 3, 2,
                               NULL));
    g_assert_cmpuint(f->last.y, ==, 3);
    g_assert_cmpuint(f->last.height, ==, 2);
    g_assert_cmpuint(f->last.width, ==, 16);
    for (unsigned y = 0; y < 8; y++) {
        g_assert_cmphex(pixel(f, 7, y), ==, y == 3 || y == 4 ? 0x555555 : 0);
    }
    g_assert_true(console_resize(f->console, 16, 8, &is_new, NULL));
    g_assert_false(is_new);
    g_assert_cmphex(pixel(f, 0, 3), ==, 0x555555);
    console_clear(f->console);
    g_assert_cmphex(pixel(f, 0, 3), ==, 0);
    g_assert_cmpuint(f->told, ==, 3);
}

static void draw_by_snapshot(Fixture *f, const FrameLayout *frame)
{
    g_autoptr(DirtySnapshot) snap = NULL;
    g_autoptr(GError) error = NULL;
    uint64_t first, npages;
    uint32_t y = 0, n = 0;

    frame_pages(frame, &first, &npages);
    snap = memory_region_snapshot_and_clear_dirty(
        f->map, f->vram, DIRTY_CLIENT_DISPLAY, first, npages, &error);
    g_assert_no_error(error);
    while (frame_next_dirty(frame, snap, y + n, &y, &n)) {
        g_assert_true(console_draw(f->console, frame, f->vram->host, y, n,
                                   &error));
    }
}

static void compare_full(Fixture *f, const FrameLayout *frame)
{
    pixman_image_t *now = console_copy_image(f->console, NULL);

    g_assert_nonnull(now);
    g_assert_true(console_draw(f->console, frame, f->vram->host, 0,
                               frame->height, NULL));
    for (unsigned y = 0; y < frame->height; y++) {
        size_t stride = pixman_image_get_stride(now);

        g_assert_cmpmem((uint8_t *)pixman_image_get_data(now) + y * stride,
                        frame->width * 4,
                        (uint8_t *)pixman_image_get_data(
                            console_image(f->console)) + y * stride,
                        frame->width * 4);
    }
    pixman_image_unref(now);
}

/* Random frames, random writes through the one door for writes: what is drawn
 * by dirty pages is always what a full drawing shows. */
static void test_dirty_lines_equal_a_full_redraw(Fixture *f,
                                                 const void *unused)
{
    g_assert_true(dirty_log_start(f->map, DIRTY_CLIENT_DISPLAY, false, NULL));
    for (unsigned run = 0; run < 60; run++) {
        const FrameFormat *format =
            &frame_formats()[g_test_rand_int_range(0, 14)];
        FrameLayout frame = {
            .width = g_test_rand_int_range(1, 700),
            .height = g_test_rand_int_range(1, 200),
            .format = format->fourcc,
            .offset = g_test_rand_int_range(0, 5000) * 4,
        };
        bool is_new;

        frame.stride = (frame.width * format->bits / 8 + 3) / 4 * 4 +
            4 * g_test_rand_int_range(0, 40);
        g_assert_cmpint(frame_check(&frame, f->vram->length, NULL), ==,
                        FRAME_OK);
        g_assert_true(console_resize(f->console, frame.width, frame.height,
                                     &is_new, NULL));
        g_assert_true(console_draw(f->console, &frame, f->vram->host, 0,
                                   frame.height, NULL));
        for (unsigned step = 0; step < 30; step++) {
            uint64_t at = g_test_rand_int_range(0, 1 << 20);
            uint64_t n = g_test_rand_int_range(1, 3000);

            guest_memset(f->map, VRAM_GPA + at, g_test_rand_int(),
                         MIN(n, (1 << 20) - at));
            if (step % 3 == 0) {
                draw_by_snapshot(f, &frame);
            }
        }
        draw_by_snapshot(f, &frame);
        compare_full(f, &frame);
    }
    dirty_log_stop(f->map, DIRTY_CLIENT_DISPLAY);
}

static void test_watchers_are_counted(Fixture *f, const void *unused)
{
    g_assert_true(console_watch(f->console, NULL));
    g_assert_true(console_watch(f->console, NULL));
    g_assert_cmpuint(f->watches, ==, 1);
    console_unwatch(f->console);
    g_assert_cmpuint(f->unwatches, ==, 0);
    console_unwatch(f->console);
    g_assert_cmpuint(f->unwatches, ==, 1);
    f->fail = true;
    g_assert_false(console_watch(f->console, NULL));
    f->fail = false;
    g_assert_true(console_watch(f->console, NULL));
    g_assert_cmpuint(f->watches, ==, 3);
    console_unwatch(f->console);
    g_assert_true(console_update(f->console, NULL));
    f->fail = true;
    g_assert_false(console_update(f->console, NULL));
    g_assert_cmpuint(f->updates, ==, 2);
}

static void test_consoles_are_found_by_id(Fixture *f, const void *unused)
{
    Console *second = console_new(f->consoles, NULL, &fake_ops, f, NULL);

    g_assert_true(consoles_find(f->consoles, NULL) == f->console);
    g_assert_true(consoles_find(f->consoles, "fb0") == f->console);
    g_assert_null(consoles_find(f->consoles, "fb1"));
    g_assert_nonnull(second);
    console_unlisten(f->console, &f->listener);
    console_clear(f->console);
    g_assert_cmpuint(f->told, ==, 0);
    consoles_free(NULL);
}

#define ADD(path, fn) \
    g_test_add("/console/" path, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("draw/every-format-shows-its-colours",
        test_every_format_shows_its_colours);
    ADD("draw/touches-only-its-lines", test_draw_touches_only_its_lines);
    ADD("draw/dirty-lines-equal-a-full-redraw",
        test_dirty_lines_equal_a_full_redraw);
    ADD("watch/watchers-are-counted", test_watchers_are_counted);
    ADD("find/by-id", test_consoles_are_found_by_id);
    return g_test_run();
}
