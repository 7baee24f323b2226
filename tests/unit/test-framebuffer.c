/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-fb as a guest sees it: registers, the window, what is refused; and
 * what its console shows of it.
 */
#include <string.h>

#include "migration/vmstate.h"
#include "system/dirty-bitmap.h"
#include "system/guest-access.h"
#include "tests/unit/board-fixture.h"

#define BASE 0x700
#define VRAM (1u << 20)
#define WINDOW UINT64_C(0x10000000)
#define XR24 FRAME_FOURCC('X', 'R', '2', '4')

/* Registers of 32 bits, in the order of docs/devel/display.md. */
enum {
    R_ID, R_VERSION, R_VRAM, R_STATUS, R_GPA_LOW, R_GPA_HIGH, R_WIDTH,
    R_HEIGHT, R_STRIDE, R_FORMAT, R_OFFSET, R_CONTROL, R_COMMIT,
    R_WINDOW_LOW, R_WINDOW_HIGH, R_LAST,
};

static GString *reports;

static void report(const char *text)
{
    g_string_append_printf(reports, "%s\n", text);
}

static BoardFixture *machine(const char *options)
{
    BoardFixture *f = board_fixture_new();

    g_string_truncate(reports, 0);
    f->config.report = report;
    board_fixture_device(f, options);
    board_fixture_build(f);
    return f;
}

static uint32_t get(BoardFixture *f, unsigned reg)
{
    return inl(f, BASE + 4 * reg);
}

static void set(BoardFixture *f, unsigned reg, uint32_t value)
{
    outl(f, BASE + 4 * reg, value);
}

/* Returns: the status. */
static uint32_t commit(BoardFixture *f)
{
    set(f, R_COMMIT, 1);
    return get(f, R_STATUS);
}

static uint32_t commit_all(BoardFixture *f, uint64_t gpa, uint32_t w,
                           uint32_t h, uint32_t stride, uint32_t format,
                           uint32_t offset, uint32_t control)
{
    uint32_t values[] = { gpa, gpa >> 32, w, h, stride, format, offset,
                          control };

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        set(f, R_GPA_LOW + i, values[i]);
    }
    return commit(f);
}

static uint32_t show(BoardFixture *f)
{
    return commit_all(f, WINDOW, 64, 16, 256, XR24, 0, 3);
}

static bool mapped_at(BoardFixture *f, uint64_t gpa)
{
    MemorySection s;

    return memory_map_find(f->vm->map, gpa, &s) &&
        !strcmp(s.block->name, "tidemark-fb.vram") && s.offset == 0 &&
        s.size == VRAM;
}

static uint32_t shown(BoardFixture *f, uint32_t x, uint32_t y)
{
    pixman_image_t *image = console_image(consoles_find(f->consoles, NULL));

    g_assert_cmpuint(x, <, pixman_image_get_width(image));
    g_assert_cmpuint(y, <, pixman_image_get_height(image));
    return pixman_image_get_data(image)[
        (size_t)pixman_image_get_stride(image) / 4 * y + x] & 0xffffff;
}

static void update(BoardFixture *f)
{
    g_autoptr(GError) error = NULL;

    console_update(consoles_find(f->consoles, NULL), &error);
    g_assert_no_error(error);
}

static void draw(BoardFixture *f, uint64_t at, uint32_t colour)
{
    g_assert_cmpuint(guest_write(f->vm->map, at, &colour, 4), ==, 4);
}

static void test_power_on_shows_nothing(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    g_assert_cmphex(get(f, R_ID), ==, FRAME_FOURCC('T', 'M', 'F', 'B'));
    g_assert_cmpuint(get(f, R_VERSION), ==, 1);
    g_assert_cmpuint(get(f, R_VRAM), ==, VRAM);
    for (unsigned reg = R_STATUS; reg <= R_LAST; reg++) {
        g_assert_cmphex(get(f, reg), ==, 0);
    }
    g_assert_false(mapped_at(f, WINDOW));
    update(f);
    g_assert_cmphex(shown(f, 639, 479), ==, 0);
    board_fixture_free(f);
}

static void test_registers_take_effect_at_commit(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    set(f, R_GPA_LOW, WINDOW);
    set(f, R_CONTROL, 2);
    g_assert_false(mapped_at(f, WINDOW));
    g_assert_cmpuint(commit(f), ==, 0);
    g_assert_true(mapped_at(f, WINDOW));
    g_assert_cmphex(get(f, R_WINDOW_LOW), ==, WINDOW);
    draw(f, WINDOW + 4 * 64 * 4, 0x11223344);
    g_assert_cmpuint(show(f), ==, 0);
    g_assert_cmpuint(get(f, R_COMMIT), ==, 2);
    update(f);
    g_assert_cmphex(shown(f, 0, 4), ==, 0x223344);
    set(f, R_CONTROL, 0);
    update(f);
    g_assert_cmphex(shown(f, 0, 4), ==, 0x223344);
    g_assert_cmpuint(commit(f), ==, 0);
    g_assert_false(mapped_at(f, WINDOW));
    g_assert_cmphex(get(f, R_WINDOW_LOW), ==, 0);
    update(f);
    g_assert_cmphex(shown(f, 639, 479), ==, 0);
    g_assert_cmphex(shown(f, 0, 4), ==, 0);
    board_fixture_free(f);
}

static void test_window_moves_with_its_bytes(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");
    uint32_t v = 0;

    g_assert_cmpuint(show(f), ==, 0);
    draw(f, WINDOW + 8, 0xaabbcc);
    for (unsigned i = 1; i < 20; i++) {
        /* overlapping moves, too, and above 4 GiB */
        uint64_t to = i % 3 ? WINDOW + 4096 * i : 0x8000000000 + i * VRAM;

        g_assert_cmpuint(commit_all(f, to, 64, 16, 256, XR24, 0, 3), ==, 0);
        g_assert_true(mapped_at(f, to));
        g_assert_cmpuint(guest_read(f->vm->map, to + 8, &v, 4), ==, 4);
        g_assert_cmphex(v, ==, 0xaabbcc);
        g_assert_cmphex(get(f, R_WINDOW_HIGH), ==, to >> 32);
    }
    g_assert_false(mapped_at(f, WINDOW));
    update(f);
    g_assert_cmphex(shown(f, 2, 0), ==, 0xaabbcc);
    board_fixture_free(f);
}

static const struct {
    uint64_t gpa;
    uint32_t w, h, stride, format, offset, control, want;
} hostile[] = {
    { WINDOW, 64, 16, 256, XR24, 0, 4, 16 },
    { WINDOW, 64, 16, 256, XR24, 0, UINT32_MAX, 16 },
    { WINDOW + 1, 64, 16, 256, XR24, 0, 3, 17 },
    { WINDOW + 0x800, 64, 16, 256, XR24, 0, 2, 17 },
    { UINT64_MAX, 64, 16, 256, XR24, 0, 3, 17 },
    { UINT64_MAX - 4095, 64, 16, 256, XR24, 0, 3, 17 },
    { UINT64_C(1) << 40, 64, 16, 256, XR24, 0, 3, 17 },
    { (UINT64_C(1) << 40) - VRAM + 4096, 64, 16, 256, XR24, 0, 3, 17 },
    { 0xfec00000, 64, 16, 256, XR24, 0, 3, 17 },
    { 0xfec00000 - VRAM + 4096, 64, 16, 256, XR24, 0, 3, 17 },
    { 0xfffff000, 64, 16, 256, XR24, 0, 3, 17 },
    { 0, 64, 16, 256, XR24, 0, 3, 18 },
    { 4096, 64, 16, 256, XR24, 0, 3, 18 },
    { (1 << 20) - 4096, 64, 16, 256, XR24, 0, 3, 18 },
    { WINDOW, 0, 16, 256, XR24, 0, 3, 1 },
    { WINDOW, 64, 0, 256, XR24, 0, 1, 1 },
    { WINDOW, 0x10000, 0x10000, 0x40000, XR24, 0, 3, 1 },
    { WINDOW, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 3,
      1 },
    { WINDOW, 64, 16, 256, 0x12345678, 0, 3, 2 },
    { WINDOW, 64, 16, 0, XR24, 0, 3, 3 },
    { WINDOW, 64, 16, 252, XR24, 0, 3, 3 },
    { WINDOW, 64, 16, 258, XR24, 0, 3, 3 },
    { WINDOW, 64, 16, 0xfffffffc, XR24, 0, 3, 3 },
    { WINDOW, 64, 16, 256, XR24, 2, 3, 4 },
    { WINDOW, 64, 16, 256, XR24, VRAM, 3, 5 },
    { WINDOW, 64, 16, 256, XR24, VRAM - 16 * 256 + 4, 3, 5 },
    { WINDOW, 64, 16, 256, XR24, UINT32_MAX - 3, 3, 5 },
};

/* After each of them everything is as it was: picture, window, registers of
 * what is in effect; and the guest can go on. */
static void test_hostile_values_change_nothing(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(hostile); i++) {
        unsigned k = i % G_N_ELEMENTS(hostile);
        bool picture = i < G_N_ELEMENTS(hostile);

        /* first against a machine that shows something, then against none */
        g_assert_cmpuint(picture ? show(f) :
                         commit_all(f, 0, 0, 0, 0, 0, 0, 0), ==, 0);
        if (picture) {
            draw(f, WINDOW, 0x010101 * i);
        }
        g_test_message("%u", k);
        g_assert_cmpuint(commit_all(f, hostile[k].gpa, hostile[k].w,
                                    hostile[k].h, hostile[k].stride,
                                    hostile[k].format, hostile[k].offset,
                                    hostile[k].control),
                         ==, hostile[k].want);
        g_assert_cmpint(mapped_at(f, WINDOW), ==, picture);
        g_assert_cmphex(get(f, R_WINDOW_LOW), ==, picture ? WINDOW : 0);
        g_assert_cmphex(get(f, R_WIDTH), ==, hostile[k].w);
        update(f);
        g_assert_cmphex(shown(f, 0, 0), ==, picture ? 0x010101 * i : 0);
    }
    board_fixture_free(f);
}

/* What is just within the limits is taken. */
static void test_edges_are_taken(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    g_assert_cmpuint(commit_all(f, 1 << 20, 64, 16, 256, XR24, 0, 3), ==, 0);
    g_assert_true(mapped_at(f, 1 << 20));
    g_assert_cmpuint(commit_all(f, (UINT64_C(1) << 40) - VRAM, 64, 16, 256,
                                XR24, VRAM - 16 * 256, 3), ==, 0);
    g_assert_true(mapped_at(f, (UINT64_C(1) << 40) - VRAM));
    g_assert_cmpuint(commit_all(f, 0xfec00000 - VRAM, 512, 512, 2048, XR24, 0,
                                3), ==, 0);
    g_assert_cmpuint(commit_all(f, UINT64_C(0x100000000), 1, 1, 4, XR24,
                                VRAM - 4, 3), ==, 0);
    /* without a window its address is not looked at, nor the frame's
     * geometry without a picture */
    g_assert_cmpuint(commit_all(f, 1, 1, 1, 4, XR24, 0, 1), ==, 0);
    g_assert_cmpuint(commit_all(f, WINDOW, 0, 0, 0, 0, 3, 2), ==, 0);
    g_assert_true(mapped_at(f, WINDOW));
    board_fixture_free(f);
}

static void test_window_over_a_device_is_refused(void)
{
    static const IoRegionOps ops = { .max_access = 4 };
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    memory_map_begin(f->vm->map);
    g_assert_cmpuint(memory_map_add_io(f->vm->map, IO_SPACE_MEMORY,
                                       WINDOW + 0x8000, 4096, &ops, NULL,
                                       "thing", NULL), !=, 0);
    memory_map_commit(f->vm->map, NULL);
    g_assert_cmpuint(show(f), ==, 18);
    g_assert_cmpuint(commit_all(f, WINDOW + 0x9000, 64, 16, 256, XR24, 0, 3),
                     ==, 0);
    g_assert_cmpuint(commit_all(f, WINDOW + 0x8000 - VRAM, 64, 16, 256, XR24,
                                0, 3), ==, 0);
    g_assert_cmpuint(show(f), ==, 18);
    g_assert_true(mapped_at(f, WINDOW + 0x8000 - VRAM));
    board_fixture_free(f);
}

static void test_partial_writes_are_refused(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    set(f, R_WIDTH, 0x11223344);
    outb(f, BASE + 4 * R_WIDTH, 0);
    g_assert_cmpuint(get(f, R_STATUS), ==, 20);
    outw(f, BASE + 4 * R_WIDTH + 2, 0);
    outl(f, BASE + 4 * R_WIDTH + 2, 0);
    g_assert_cmphex(get(f, R_WIDTH), ==, 0x11223344);
    g_assert_cmphex(inb(f, BASE + 4 * R_WIDTH + 1), ==, 0x33);
    g_assert_cmphex(inw(f, BASE + 4 * R_WIDTH + 2), ==, 0x1122);
    g_assert_cmphex(inl(f, BASE + 4 * R_WIDTH + 2), ==, 0x1122);
    set(f, R_ID, 5);
    set(f, R_STATUS, 5);
    set(f, R_LAST, 5);
    g_assert_cmphex(get(f, R_ID), ==, FRAME_FOURCC('T', 'M', 'F', 'B'));
    g_assert_cmpuint(get(f, R_STATUS), ==, 20);
    g_assert_cmphex(get(f, R_LAST), ==, 0);
    board_fixture_free(f);
}

/* A million mistakes are one or two lines, and the guest goes on. */
static void test_warnings_are_limited(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    for (unsigned i = 0; i < 100000; i++) {
        set(f, R_CONTROL, 0xf0);
        g_assert_cmpuint(commit(f), ==, 16);
    }
    g_test_message("%s", reports->str);
    g_assert_nonnull(strstr(reports->str, "tidemark-fb"));
    g_assert_nonnull(strstr(reports->str, "0xf0"));
    /* one every five seconds, as long as this may have taken */
    g_assert_cmpuint(reports->len, <, 4000);
    g_assert_cmpuint(show(f), ==, 0);
    board_fixture_free(f);
}

static void test_reset_is_power_on(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    g_assert_cmpuint(show(f), ==, 0);
    draw(f, WINDOW, 0x123456);
    update(f);
    g_assert_cmphex(shown(f, 0, 0), ==, 0x123456);
    g_assert_true(vm_reset(f->vm, false, NULL));
    for (unsigned reg = R_STATUS; reg <= R_LAST; reg++) {
        g_assert_cmphex(get(f, reg), ==, 0);
    }
    g_assert_false(mapped_at(f, WINDOW));
    update(f);
    g_assert_cmphex(shown(f, 639, 479), ==, 0);
    board_fixture_free(f);
}

static bool client_is_on(BoardFixture *f)
{
    return dirty_client_is_on(&f->vm->ram, DIRTY_CLIENT_DISPLAY);
}

static void compare_with_full(BoardFixture *f)
{
    Console *console = consoles_find(f->consoles, NULL);
    pixman_image_t *now = console_copy_image(console, NULL);
    size_t n = (size_t)pixman_image_get_stride(now) *
        pixman_image_get_height(now);

    /* Nobody watching: all of it is read. */
    console_unwatch(console);
    update(f);
    g_assert_cmpmem(pixman_image_get_data(now), n,
                    pixman_image_get_data(console_image(console)), n);
    g_assert_true(console_watch(console, NULL));
    pixman_image_unref(now);
}

/* Watched, the surface follows writes by dirty pages alone, through changes of
 * everything; it always equals a full reading. */
static void test_watched_surface_follows(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");
    Console *console = consoles_find(f->consoles, NULL);
    uint64_t gpa = WINDOW;

    g_assert_false(client_is_on(f));
    g_assert_true(console_watch(console, NULL));
    g_assert_true(client_is_on(f));
    g_assert_cmpuint(show(f), ==, 0);
    for (unsigned run = 0; run < 400; run++) {
        unsigned what = g_test_rand_int_range(0, 12);

        if (what == 0) {
            gpa = WINDOW + 4096 * (uint64_t)g_test_rand_int_range(0, 600);
        }
        if (what <= 1) {
            uint32_t w = g_test_rand_int_range(1, 200);

            g_assert_cmpuint(commit_all(f, gpa, w, g_test_rand_int_range(1, 99),
                                        w * 4 + 4 * (run % 300), XR24,
                                        4 * g_test_rand_int_range(0, 9999), 3),
                             ==, 0);
        } else if (what == 2) {
            commit_all(f, gpa, 0, 7, 9, XR24, 2, 1); /* refused */
        } else {
            g_assert_cmpuint(guest_memset(f->vm->map, gpa +
                                          g_test_rand_int_range(0, 150000),
                                          run, 500), ==, 500);
        }
        if (run % 3 == 0) {
            update(f);
        }
        if (run % 50 == 49) {
            update(f);
            compare_with_full(f);
        }
    }
    console_unwatch(console);
    g_assert_false(client_is_on(f));
    board_fixture_free(f);
}

/* The log knows nothing of what was written before it began. */
static void test_watch_begins_with_all(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");
    Console *console = consoles_find(f->consoles, NULL);

    g_assert_cmpuint(show(f), ==, 0);
    update(f);
    draw(f, WINDOW + 256 * 9, 0x123456);
    g_assert_true(console_watch(console, NULL));
    update(f);
    g_assert_cmphex(shown(f, 0, 9), ==, 0x123456);
    console_unwatch(console);
    board_fixture_free(f);
}

static bool sync_fails;

static bool fail_sync(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    if (sync_fails) {
        g_set_error(error, g_quark_from_static_string("t"), 1, "no log");
    }
    return !sync_fails;
}

static const MemoryListenerOps failing_ops = { .log_sync = fail_sync };

static void test_failed_update_is_made_up_for(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");
    Console *console = consoles_find(f->consoles, NULL);
    MemoryListener listener = { .ops = &failing_ops, .name = "failing" };
    g_autoptr(GError) error = NULL;

    g_assert_true(memory_listener_register(f->vm->map, &listener, NULL));
    g_assert_cmpuint(show(f), ==, 0);
    g_assert_true(console_watch(console, NULL));
    update(f);
    draw(f, WINDOW + 256 * 9, 0x123456);
    sync_fails = true;
    g_assert_false(console_update(console, &error));
    g_assert_nonnull(strstr(error->message, "no log"));
    g_assert_cmphex(shown(f, 0, 9), ==, 0);
    sync_fails = false;
    update(f);
    g_assert_cmphex(shown(f, 0, 9), ==, 0x123456);
    console_unwatch(console);
    memory_listener_unregister(&listener);
    board_fixture_free(f);
}

/* ---- travelling ---- */

static void put_be32(GByteArray *out, uint32_t v)
{
    uint8_t be[4] = { v >> 24, v >> 16, v >> 8, v };

    g_byte_array_append(out, be, 4);
}

static GByteArray *body(const uint32_t regs[8], uint32_t status,
                        uint32_t commits)
{
    GByteArray *out = g_byte_array_new();

    for (unsigned i = 0; i < 16; i++) {
        put_be32(out, regs[i % 8]);
    }
    put_be32(out, status);
    put_be32(out, commits);
    return out;
}

static void test_state_travels(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");
    g_autoptr(GBytes) saved = NULL;
    const uint32_t regs[8] = { WINDOW, 0, 64, 16, 256, XR24, 0, 3 };
    g_autoptr(GByteArray) golden = body(regs, 0, 1);
    gsize n;
    const void *bytes;

    g_assert_cmpuint(show(f), ==, 0);
    draw(f, WINDOW, 0x777777);
    saved = board_fixture_save(f, "tidemark-fb", 0);
    bytes = g_bytes_get_data(saved, &n);
    g_assert_cmpmem(bytes, n, golden->data, golden->len);
    vm_reset(f->vm, false, NULL);
    g_assert_false(mapped_at(f, WINDOW));
    g_assert_true(board_fixture_load(f, "tidemark-fb", 0, bytes, n, NULL));
    g_assert_true(mapped_at(f, WINDOW));
    g_assert_cmpuint(get(f, R_COMMIT), ==, 1);
    update(f);
    g_assert_cmphex(shown(f, 0, 0), ==, 0x777777);
    board_fixture_free(f);
}

static void test_hostile_state_is_refused(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=1M");

    g_assert_cmpuint(show(f), ==, 0);
    draw(f, WINDOW, 0x777777);
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
        const uint32_t regs[8] = {
            hostile[i].gpa, hostile[i].gpa >> 32, hostile[i].w, hostile[i].h,
            hostile[i].stride, hostile[i].format, hostile[i].offset,
            hostile[i].control,
        };
        g_autoptr(GByteArray) bytes = body(regs, 7, 7);
        g_autoptr(GError) error = NULL;

        g_assert_false(board_fixture_load(f, "tidemark-fb", 0, bytes->data,
                                          bytes->len, &error));
        g_assert_nonnull(strstr(error->message, "tidemark-fb"));
        g_assert_true(mapped_at(f, WINDOW));
        update(f);
        g_assert_cmphex(shown(f, 0, 0), ==, 0x777777);
        g_clear_error(&error);
        /* cut off in the middle */
        g_assert_false(board_fixture_load(f, "tidemark-fb", 0, bytes->data,
                                          40, &error));
        update(f);
    }
    board_fixture_free(f);
}

/* ---- making one ---- */

static void refused(const char *options, const char *word)
{
    BoardFixture *f = board_fixture_new();
    g_autoptr(GError) error = NULL;

    board_fixture_device(f, options);
    g_assert_false(board_create(f->vm, &f->config, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, word));
    g_assert_nonnull(strstr(error->message, "-device tidemark-fb"));
    board_fixture_free(f);
}

static void test_options_are_judged(void)
{
    BoardFixture *f = machine("tidemark-fb,vram-size=64K");

    g_assert_cmpuint(get(f, R_VRAM), ==, 65536);
    board_fixture_free(f);
    f = machine("tidemark-fb,vram-size=256M,iobase=0xffc0");
    g_assert_cmphex(inl(f, 0xffc8), ==, 256u << 20);
    board_fixture_free(f);
    f = machine("tidemark-fb");
    g_assert_cmphex(get(f, R_VRAM), ==, 16u << 20);
    board_fixture_free(f);
    refused("tidemark-fb,vram-size=0", "vram-size");
    refused("tidemark-fb,vram-size=60K", "vram-size");
    refused("tidemark-fb,vram-size=65537", "vram-size");
    refused("tidemark-fb,vram-size=257M", "vram-size");
    refused("tidemark-fb,vram-size=16E", "vram-size");
    refused("tidemark-fb,vram-size=-1", "vram-size");
    refused("tidemark-fb,iobase=0xffc1", "iobase");
    refused("tidemark-fb,iobase=0xffffffff", "iobase");
    refused("tidemark-fb,iobase=0x600", "acpi-pm");
    refused("tidemark-fb,vgamem_mb=16", "vgamem_mb");
}

static void test_several_have_consoles_of_their_own(void)
{
    BoardFixture *f = board_fixture_new();
    g_autoptr(GError) error = NULL;

    board_fixture_device(f, "tidemark-fb,id=a,vram-size=64K");
    board_fixture_device(f, "tidemark-fb,id=b,iobase=0x780,vram-size=64K");
    board_fixture_device(f, "tidemark-fb,iobase=0x800,vram-size=64K");
    board_fixture_device(f, "tidemark-fb,iobase=0x880,vram-size=64K");
    board_fixture_build(f);
    g_assert_nonnull(consoles_find(f->consoles, "a"));
    g_assert_true(consoles_find(f->consoles, "a") !=
                  consoles_find(f->consoles, "b"));
    g_assert_nonnull(ram_list_find(&f->vm->ram, "tidemark-fb3.vram"));
    board_fixture_free(f);
    f = board_fixture_new();
    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *text = g_strdup_printf("tidemark-fb,iobase=%u",
                                                0x1000 + 64 * i);

        board_fixture_device(f, text);
    }
    g_assert_false(board_create(f->vm, &f->config, &error));
    g_assert_nonnull(strstr(error->message, "4 already"));
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    reports = g_string_new(NULL);
    g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add_func("/framebuffer/" path, fn)
    ADD("reset/power-on-shows-nothing", test_power_on_shows_nothing);
    ADD("reset/is-power-on", test_reset_is_power_on);
    ADD("commit/registers-take-effect", test_registers_take_effect_at_commit);
    ADD("commit/window-moves-with-its-bytes",
        test_window_moves_with_its_bytes);
    ADD("commit/hostile-values-change-nothing",
        test_hostile_values_change_nothing);
    ADD("commit/edges-are-taken", test_edges_are_taken);
    ADD("commit/window-over-a-device-is-refused",
        test_window_over_a_device_is_refused);
    ADD("write/partial-ones-are-refused", test_partial_writes_are_refused);
    ADD("warn/warnings-are-limited", test_warnings_are_limited);
    ADD("update/watched-surface-follows", test_watched_surface_follows);
    ADD("update/watch-begins-with-all", test_watch_begins_with_all);
    ADD("update/failed-one-is-made-up-for",
        test_failed_update_is_made_up_for);
    ADD("load/state-travels", test_state_travels);
    ADD("load/hostile-state-is-refused", test_hostile_state_is_refused);
    ADD("create/options-are-judged", test_options_are_judged);
    ADD("create/several-have-consoles", test_several_have_consoles_of_their_own);
    return g_test_run();
}
