/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The listener seam: who is called, when, in which order, and what happens
 * when a hook fails; clearing through windows; the display's snapshot.
 */
#include <glib.h>
#include <string.h>

#include "recording-listener.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "system/memory-map.h"

#define BLOCK_PAGES 200

typedef struct World {
    RAMList list;
    RAMBlock *ram;
    RAMBlock *rom;
    MemoryMap *map;
    RecordingListener a;
    RecordingListener b;
} World;

static void world_init(World *w)
{
    memset(w, 0, sizeof(*w));
    ram_list_init(&w->list);
    w->ram = ram_list_add_anon(&w->list, "ram", BLOCK_PAGES * TM_PAGE_BYTES,
                               NULL);
    w->rom = ram_list_add_anon(&w->list, "rom", 4 * TM_PAGE_BYTES, NULL);
    w->map = memory_map_new(&w->list);
    recording_listener_init(&w->a, "first");
    recording_listener_init(&w->b, "second");
}

static void world_done(World *w)
{
    memory_listener_unregister(&w->a.listener);
    memory_listener_unregister(&w->b.listener);
    recording_listener_done(&w->a);
    recording_listener_done(&w->b);
    memory_map_free(w->map);
    ram_list_done(&w->list);
}

static unsigned show(World *w, uint64_t gpa, uint64_t npages, uint64_t page)
{
    unsigned id = memory_map_add_ram(w->map, gpa, npages * TM_PAGE_BYTES,
                                     w->ram, page * TM_PAGE_BYTES, false,
                                     NULL);

    g_assert_cmpuint(id, >, 0);
    return id;
}

/* Window at 0 of 4 pages, and ROM of 4 pages at 0x10000. */
static unsigned show_two(World *w)
{
    unsigned id;

    memory_map_begin(w->map);
    id = show(w, 0, 4, 0);
    memory_map_add_ram(w->map, 0x10000, 0x4000, w->rom, 0, true, NULL);
    g_assert_true(memory_map_commit(w->map, NULL));
    return id;
}

static void hide(World *w, unsigned id)
{
    memory_map_begin(w->map);
    memory_map_del(w->map, id);
    g_assert_true(memory_map_commit(w->map, NULL));
}

static void expect_log(RecordingListener *r, const char *lines)
{
    g_autofree char *log = recording_listener_take_log(r);

    g_assert_cmpstr(log, ==, lines);
}

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("got: %s", (*error)->message);
        g_test_fail();
    }
    g_clear_error(error);
}

#define RAM_LINE " 0x0+0x4000 ram@0x0\n"
#define ROM_LINE " 0x10000+0x4000 rom@0x0 ro\n"

static void test_register_replays_and_unregister_takes_back(void)
{
    World w;

    world_init(&w);
    show_two(&w);
    g_assert_true(memory_listener_register(w.map, &w.a.listener, NULL));
    g_assert_true(w.a.listener.map == w.map);
    expect_log(&w.a, "add" RAM_LINE "add" ROM_LINE);
    memory_listener_unregister(&w.a.listener);
    expect_log(&w.a, "del" ROM_LINE "del" RAM_LINE);
    g_assert_null(w.a.listener.map);
    memory_listener_unregister(&w.a.listener);
    expect_log(&w.a, "");

    g_assert_true(dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL));
    g_assert_true(memory_listener_register(w.map, &w.a.listener, NULL));
    expect_log(&w.a, "add" RAM_LINE "start" RAM_LINE
               "add" ROM_LINE "start" ROM_LINE);
    memory_listener_unregister(&w.a.listener);
    expect_log(&w.a, "sync" ROM_LINE "del" ROM_LINE
               "sync" RAM_LINE "del" RAM_LINE);
    world_done(&w);
}

/* Both listeners write into one log: the order between them. */
static void test_order_is_registration_then_reverse(void)
{
    GString *own[2];
    unsigned id;
    World w;

    world_init(&w);
    show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    memory_map_begin(w.map);
    id = show(&w, 0x20000, 1, 0);
    memory_map_commit(w.map, NULL);
    g_assert_true(memory_listener_register(w.map, &w.b.listener, NULL));
    own[0] = w.a.log;
    own[1] = w.b.log;
    w.a.log = w.b.log = g_string_new(NULL);
    w.a.tag = "A ";
    w.b.tag = "B ";
    hide(&w, id);
    memory_map_begin(w.map);
    show(&w, 0x30000, 1, 0);
    memory_map_commit(w.map, NULL);
    g_assert_cmpstr(w.a.log->str, ==,
                    "B del 0x20000+0x1000 ram@0x0\n"
                    "A del 0x20000+0x1000 ram@0x0\n"
                    "A add 0x30000+0x1000 ram@0x0\n"
                    "B add 0x30000+0x1000 ram@0x0\n");
    g_string_free(w.a.log, TRUE);
    w.a.log = own[0];
    w.b.log = own[1];
    world_done(&w);
}

static void test_logging_follows_the_first_and_the_last_client(void)
{
    World w;

    world_init(&w);
    show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    expect_log(&w.a, "add" RAM_LINE "add" ROM_LINE);
    dirty_log_start(w.map, DIRTY_CLIENT_DISPLAY, false, NULL);
    expect_log(&w.a, "start" RAM_LINE "start" ROM_LINE);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL);
    dirty_log_stop(w.map, DIRTY_CLIENT_DISPLAY);
    dirty_log_stop(w.map, DIRTY_CLIENT_DISPLAY);
    expect_log(&w.a, "");
    dirty_log_stop(w.map, DIRTY_CLIENT_MIGRATION);
    expect_log(&w.a, "stop" ROM_LINE "stop" RAM_LINE);
    world_done(&w);
}

static void test_section_that_appears_while_logging_is_logged(void)
{
    World w;

    world_init(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    show_two(&w);
    expect_log(&w.a, "add" RAM_LINE "start" RAM_LINE
               "add" ROM_LINE "start" ROM_LINE);
    world_done(&w);
}

/* Whatever the accelerator's new log begins with. */
static void test_section_that_appears_counts_as_dirty_for_every_client(void)
{
    World w;

    world_init(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    dirty_log_start_block(w.map, DIRTY_CLIENT_DISPLAY, w.rom, NULL);
    memory_map_begin(w.map);
    show(&w, 0x4000, 70, 3);
    g_assert_true(memory_map_commit(w.map, NULL));
    g_assert_cmpuint(dirty_bitmap_next(w.ram, DIRTY_CLIENT_RATE, 0), ==, 3);
    g_assert_cmpuint(dirty_bitmap_next_clean(w.ram, DIRTY_CLIENT_RATE, 3,
                                             w.ram->npages), ==, 73);
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_RATE), ==, 70);
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_DISPLAY), ==, 0);
    g_assert_cmpuint(dirty_bitmap_count(w.rom, DIRTY_CLIENT_DISPLAY), ==, 0);
    world_done(&w);
}

static void test_one_blocks_client_logs_that_block_only(void)
{
    World w;

    world_init(&w);
    show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    g_free(recording_listener_take_log(&w.a));
    dirty_log_start_block(w.map, DIRTY_CLIENT_DISPLAY, w.rom, NULL);
    expect_log(&w.a, "start" ROM_LINE);
    g_assert_false(dirty_log_start_block(w.map, DIRTY_CLIENT_DISPLAY, w.rom,
                                         NULL));
    g_assert_true(dirty_sync_round(w.map, NULL));
    expect_log(&w.a, "sync" ROM_LINE);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL);
    expect_log(&w.a, "start" RAM_LINE);
    dirty_log_stop_block(w.map, DIRTY_CLIENT_DISPLAY, w.ram); /* is not on */
    expect_log(&w.a, "");
    dirty_log_stop_block(w.map, DIRTY_CLIENT_DISPLAY, w.rom);
    expect_log(&w.a, "");
    g_assert_false(dirty_client_is_on(&w.list, DIRTY_CLIENT_DISPLAY));
    dirty_log_stop(w.map, DIRTY_CLIENT_MIGRATION);
    expect_log(&w.a, "stop" ROM_LINE "stop" RAM_LINE);
    world_done(&w);
}

/* The display comes while others are on for its block, and not for the rest:
 * it hears of what was seen there before. */
static void test_one_blocks_client_joins_with_a_sync(void)
{
    World w;

    world_init(&w);
    show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    recording_listener_dirty(&w.a, 0x11000);
    g_free(recording_listener_take_log(&w.a));
    dirty_log_start_block(w.map, DIRTY_CLIENT_DISPLAY, w.rom, NULL);
    expect_log(&w.a, "sync" ROM_LINE);
    g_assert_true(dirty_bitmap_test(w.rom, DIRTY_CLIENT_DISPLAY, 1));
    world_done(&w);
}

/* --- nobody runs while the map or its logging changes -------------------- */

typedef struct Holder {
    int held, held_ever;
    MemoryListener listener;
    unsigned changes;
} Holder;

static Holder holder;

static void hold(void *opaque)
{
    holder.held++;
    holder.held_ever++;
}

static void release(void *opaque)
{
    holder.held--;
}

static bool is_held(MemoryListener *l, const MemorySection *s, GError **error)
{
    g_assert_cmpint(holder.held, >, 0);
    holder.changes++;
    return true;
}

static void is_held_too(MemoryListener *l, const MemorySection *s)
{
    is_held(l, s, NULL);
}

static bool is_not_held(MemoryListener *l, const MemorySection *s,
                        GError **error)
{
    g_assert_cmpint(holder.held, ==, 0);
    holder.changes++;
    return true;
}

static void test_changes_are_made_while_vcpus_are_held(void)
{
    static const MemoryListenerOps ops = {
        .region_add = is_held, .region_del = is_held_too,
        .log_start = is_held, .log_stop = is_held_too,
        .log_clear = is_not_held,
    };
    unsigned id;
    World w;

    holder = (Holder) { .listener = { .ops = &ops, .name = "holder" } };
    world_init(&w);
    memory_map_set_hold(w.map, hold, release, NULL);
    memory_listener_register(w.map, &holder.listener, NULL);
    id = show_two(&w);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL);
    g_assert_true(dirty_sync_round(w.map, NULL));
    memory_region_clear_dirty_bitmap(w.map, w.ram, 0, 4, NULL);
    hide(&w, id);
    dirty_log_stop(w.map, DIRTY_CLIENT_MIGRATION);
    g_assert_cmpuint(holder.changes, ==, 7); /* the clear is one of them */
    memory_listener_unregister(&holder.listener);
    g_assert_cmpuint(holder.changes, ==, 8);
    g_assert_cmpint(holder.held, ==, 0);
    g_assert_cmpint(holder.held_ever, >=, 6);
    world_done(&w);
}

static void test_removal_while_logging_loses_no_bit(void)
{
    unsigned id;
    World w;

    world_init(&w);
    id = show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, false, NULL);
    recording_listener_dirty(&w.a, 0x2000);
    hide(&w, id);
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_MIGRATION), ==,
                     1);
    g_assert_true(dirty_bitmap_test(w.ram, DIRTY_CLIENT_MIGRATION, 2));
    world_done(&w);
}

static void test_removal_that_cannot_sync_marks_all(void)
{
    unsigned id;
    World w;

    world_init(&w);
    id = show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, false, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    w.a.fail = "sync";
    hide(&w, id);
    w.a.fail = NULL;
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_MIGRATION), ==,
                     4);
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_RATE), ==, 4);
    g_assert_cmpuint(dirty_bitmap_next_clean(w.ram, DIRTY_CLIENT_RATE, 0,
                                             w.ram->npages), ==, 4);
    g_assert_cmpuint(dirty_bitmap_count(w.rom, DIRTY_CLIENT_RATE), ==, 0);
    world_done(&w);
}

static void test_failed_add_is_told_and_tried_again(void)
{
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    memory_listener_register(w.map, &w.b.listener, NULL);
    w.a.fail = "add";
    w.a.fail_after = 1;
    memory_map_begin(w.map);
    show(&w, 0, 4, 0);
    show(&w, 0x10000, 4, 4);
    show(&w, 0x20000, 4, 8);
    g_assert_false(memory_map_commit(w.map, &error));
    expect_words(&error, "first: cannot show RAM block 'ram' at 0x10000, "
                 "size 0x4000: add failed on request");
    g_assert_cmpuint(w.a.sections->len, ==, 1);
    g_assert_cmpuint(w.b.sections->len, ==, 3);

    /* Still refused, then accepted; the others hear nothing of it. */
    g_free(recording_listener_take_log(&w.b));
    memory_map_begin(w.map);
    g_assert_false(memory_map_commit(w.map, NULL));
    w.a.fail = NULL;
    memory_map_begin(w.map);
    g_assert_true(memory_map_commit(w.map, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(w.a.sections->len, ==, 3);
    expect_log(&w.b, "");
    world_done(&w);
}

static void test_failed_register_leaves_nothing(void)
{
    static const char *const hooks[] = { "add", "start" };

    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        World w;

        world_init(&w);
        show_two(&w);
        dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
        w.a.fail = hooks[i];
        w.a.fail_after = 1;
        g_assert_false(memory_listener_register(w.map, &w.a.listener,
                                                &error));
        expect_words(&error, "rom");
        g_assert_null(w.a.listener.map);
        g_assert_cmpuint(w.a.sections->len, ==, 0);
        w.a.fail = NULL;
        g_assert_true(memory_listener_register(w.map, &w.a.listener, NULL));
        world_done(&w);
    }
}

static void test_failed_log_start_is_undone(void)
{
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    show_two(&w);
    memory_listener_register(w.map, &w.a.listener, NULL);
    memory_listener_register(w.map, &w.b.listener, NULL);
    g_free(recording_listener_take_log(&w.a));
    g_free(recording_listener_take_log(&w.b));
    w.b.fail = "start";
    w.b.fail_after = 1;
    g_assert_false(dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true,
                                   &error));
    expect_words(&error, "second: cannot log writes to RAM block 'rom'");
    expect_log(&w.b, "start" RAM_LINE "start" ROM_LINE "stop" RAM_LINE);
    expect_log(&w.a, "start" RAM_LINE "start" ROM_LINE
               "stop" ROM_LINE "stop" RAM_LINE);
    g_assert_false(dirty_client_is_on(&w.list, DIRTY_CLIENT_MIGRATION));
    w.b.fail = NULL;
    g_assert_true(dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL));
    world_done(&w);
}

/* A listener that has no hooks at all. */
static void test_hooks_that_are_null_are_skipped(void)
{
    static const MemoryListenerOps none;
    MemoryListener l = { .ops = &none, .name = "none" };
    unsigned id;
    World w;

    world_init(&w);
    id = show_two(&w);
    g_assert_true(memory_listener_register(w.map, &l, NULL));
    g_assert_true(dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL));
    g_assert_true(dirty_sync_round(w.map, NULL));
    g_assert_true(memory_region_clear_dirty_bitmap(w.map, w.ram, 0, 4, NULL));
    hide(&w, id);
    dirty_log_stop(w.map, DIRTY_CLIENT_RATE);
    memory_listener_unregister(&l);
    world_done(&w);
}

/*
 * Clearing: random windows, two of which may show the same pages, and random
 * ranges; what a bit of memory is told to forget is what a scan finds.
 */
static void check_cleared(World *w, uint64_t first, uint64_t n)
{
    for (guint i = 0; i < w->a.sections->len; i++) {
        RecordedSection *rs = &g_array_index(w->a.sections, RecordedSection,
                                             i);
        uint64_t page = rs->section.offset >> TM_PAGE_BITS;

        for (uint64_t p = 0; p < rs->section.size >> TM_PAGE_BITS; p++) {
            bool asked = rs->section.block == w->ram && page + p >= first &&
                         page + p < first + n;
            uint64_t bit = UINT64_C(1) << (p % 64);

            g_assert_cmpint(!(rs->pending[p / 64] & bit), ==, asked);
        }
    }
}

static void test_clear_reaches_every_window_and_no_more(void)
{
    for (int i = 0; i < 1024; i++) {
        uint64_t gpa = 0;
        uint64_t first = g_test_rand_int_range(0, BLOCK_PAGES + 1);
        uint64_t n = g_test_rand_int_range(0, BLOCK_PAGES - first + 1);
        World w;

        world_init(&w);
        memory_map_begin(w.map);
        for (int k = 0; k < 4; k++) {
            uint64_t page = g_test_rand_int_range(0, BLOCK_PAGES);

            show(&w, gpa, g_test_rand_int_range(1, BLOCK_PAGES - page + 1),
                 page);
            gpa += 0x1000000;
        }
        memory_map_add_ram(w.map, gpa, 0x4000, w.rom, 0, false, NULL);
        memory_map_commit(w.map, NULL);
        memory_listener_register(w.map, &w.a.listener, NULL);
        dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
        for (guint k = 0; k < w.a.sections->len; k++) {
            MemorySection *s = &g_array_index(w.a.sections, RecordedSection,
                                              k).section;

            for (uint64_t at = 0; at < s->size; at += TM_PAGE_BYTES) {
                recording_listener_dirty(&w.a, s->gpa + at);
            }
        }
        dirty_sync_round(w.map, NULL);
        g_assert_true(memory_region_clear_dirty_bitmap(w.map, w.ram, first, n,
                                                       NULL));
        check_cleared(&w, first, n);
        world_done(&w);
    }
}

static void test_clear_error_is_told_and_the_rest_done(void)
{
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    show(&w, 0, 4, 0);
    show(&w, 0x10000, 4, 0);
    memory_map_commit(w.map, NULL);
    memory_listener_register(w.map, &w.a.listener, NULL);
    memory_listener_register(w.map, &w.b.listener, NULL);
    g_free(recording_listener_take_log(&w.a));
    g_free(recording_listener_take_log(&w.b));
    w.a.fail = "clear";
    g_assert_false(memory_region_clear_dirty_bitmap(w.map, w.ram, 1, 2,
                                                    &error));
    expect_words(&error, "first: cannot clear the dirty pages of RAM block "
                 "'ram' at 0x1000, size 0x2000: clear failed");
    expect_log(&w.a, "clear 0x1000+0x2000 ram@0x1000\n"
               "clear 0x11000+0x2000 ram@0x1000\n");
    expect_log(&w.b, "clear 0x1000+0x2000 ram@0x1000\n"
               "clear 0x11000+0x2000 ram@0x1000\n");
    world_done(&w);
}

/* No log_clear runs beside region_add and region_del: alive is plain. */
typedef struct AliveListener {
    MemoryListener listener;
    bool alive;
    uint64_t clears; /* of the clearing thread */
} AliveListener;

static bool alive_add(MemoryListener *l, const MemorySection *s,
                      GError **error)
{
    ((AliveListener *)l)->alive = true;
    return true;
}

static void alive_del(MemoryListener *l, const MemorySection *s)
{
    ((AliveListener *)l)->alive = false;
}

static bool alive_clear(MemoryListener *l, const MemorySection *s,
                        GError **error)
{
    g_assert_true(((AliveListener *)l)->alive);
    ((AliveListener *)l)->clears++;
    return true;
}

typedef struct ClearRace {
    World w;
    bool stop; /* atomic */
} ClearRace;

static gpointer clear_thread(gpointer data)
{
    ClearRace *r = data;

    while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
        g_assert_true(memory_region_clear_dirty_bitmap(r->w.map, r->w.ram, 0,
                                                       4, NULL));
    }
    return NULL;
}

static void test_clear_never_meets_a_section_that_goes(void)
{
    static const MemoryListenerOps ops = {
        .region_add = alive_add, .region_del = alive_del,
        .log_clear = alive_clear,
    };
    AliveListener l = { .listener = { .ops = &ops, .name = "alive" } };
    ClearRace r = { .stop = false };
    GThread *thread;

    world_init(&r.w);
    memory_listener_register(r.w.map, &l.listener, NULL);
    thread = g_thread_new("clear", clear_thread, &r);
    for (int i = 0; i < 2000; i++) {
        unsigned id;

        memory_map_begin(r.w.map);
        id = show(&r.w, 0, 4, 0);
        memory_map_commit(r.w.map, NULL);
        hide(&r.w, id);
        if (i % 16 == 0) {
            memory_listener_unregister(&l.listener);
            memory_listener_register(r.w.map, &l.listener, NULL);
        }
    }
    __atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
    g_thread_join(thread);
    memory_listener_unregister(&l.listener);
    world_done(&r.w);
}

static void test_snapshot_takes_one_clients_bits(void)
{
    g_autoptr(DirtySnapshot) snap = NULL;
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    show(&w, 0, 150, 10);
    memory_map_commit(w.map, NULL);
    memory_listener_register(w.map, &w.a.listener, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_DISPLAY, false, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, false, NULL);
    recording_listener_dirty(&w.a, 5 * TM_PAGE_BYTES);   /* page 15: before */
    recording_listener_dirty(&w.a, 80 * TM_PAGE_BYTES);  /* page 90 */
    recording_listener_dirty(&w.a, 149 * TM_PAGE_BYTES); /* page 159: after */
    guest_memset(w.map, 81 * TM_PAGE_BYTES, 1, 1);       /* page 91 */
    g_free(recording_listener_take_log(&w.a));
    snap = memory_region_snapshot_and_clear_dirty(w.map, w.ram,
                                                  DIRTY_CLIENT_DISPLAY, 20,
                                                  139, &error);
    g_assert_no_error(error);
    expect_log(&w.a, "sync 0x0+0x96000 ram@0xa000\n"
               "clear 0xa000+0x8b000 ram@0x14000\n");
    g_assert_cmpuint(snap->dirty_pages, ==, 2);
    for (uint64_t p = 20; p < 159; p++) {
        g_assert_cmpint(dirty_snapshot_test(snap, p), ==, p == 90 || p == 91);
    }
    /* Outside of the range, and for the other client, all is still there. */
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_DISPLAY), ==, 2);
    g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_MIGRATION), ==,
                     4);
    world_done(&w);
}

static void test_snapshot_that_fails_keeps_the_bits(void)
{
    static const char *const hooks[] = { "sync", "clear" };

    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        World w;

        world_init(&w);
        show_two(&w);
        memory_listener_register(w.map, &w.a.listener, NULL);
        dirty_log_start(w.map, DIRTY_CLIENT_DISPLAY, true, NULL);
        w.a.fail = hooks[i];
        g_assert_null(memory_region_snapshot_and_clear_dirty(
            w.map, w.ram, DIRTY_CLIENT_DISPLAY, 0, 4, &error));
        expect_words(&error, "failed on request");
        g_assert_cmpuint(dirty_bitmap_count(w.ram, DIRTY_CLIENT_DISPLAY), ==,
                         BLOCK_PAGES);
        w.a.fail = NULL;
        world_done(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory-listener/register/replays-and-takes-back",
                    test_register_replays_and_unregister_takes_back);
    g_test_add_func("/memory-listener/order/registration-then-reverse",
                    test_order_is_registration_then_reverse);
    g_test_add_func("/memory-listener/log/follows-first-and-last-client",
                    test_logging_follows_the_first_and_the_last_client);
    g_test_add_func("/memory-listener/log/section-that-appears-is-logged",
                    test_section_that_appears_while_logging_is_logged);
    g_test_add_func("/memory-listener/log/section-that-appears-is-dirty",
                    test_section_that_appears_counts_as_dirty_for_every_client);
    g_test_add_func("/memory-listener/log/one-blocks-client",
                    test_one_blocks_client_logs_that_block_only);
    g_test_add_func("/memory-listener/log/one-blocks-client-joins",
                    test_one_blocks_client_joins_with_a_sync);
    g_test_add_func("/memory-listener/hold/changes",
                    test_changes_are_made_while_vcpus_are_held);
    g_test_add_func("/memory-listener/del/loses-no-bit",
                    test_removal_while_logging_loses_no_bit);
    g_test_add_func("/memory-listener/del/without-sync-marks-all",
                    test_removal_that_cannot_sync_marks_all);
    g_test_add_func("/memory-listener/add/failure-is-told-and-tried-again",
                    test_failed_add_is_told_and_tried_again);
    g_test_add_func("/memory-listener/register/failure-leaves-nothing",
                    test_failed_register_leaves_nothing);
    g_test_add_func("/memory-listener/log/failed-start-is-undone",
                    test_failed_log_start_is_undone);
    g_test_add_func("/memory-listener/hooks/null-are-skipped",
                    test_hooks_that_are_null_are_skipped);
    g_test_add_func("/memory-listener/clear/every-window-and-no-more",
                    test_clear_reaches_every_window_and_no_more);
    g_test_add_func("/memory-listener/clear/error-is-told-and-rest-done",
                    test_clear_error_is_told_and_the_rest_done);
    g_test_add_func("/memory-listener/clear/never-meets-a-section-that-goes",
                    test_clear_never_meets_a_section_that_goes);
    g_test_add_func("/memory-listener/snapshot/takes-one-clients-bits",
                    test_snapshot_takes_one_clients_bits);
    g_test_add_func("/memory-listener/snapshot/failure-keeps-bits",
                    test_snapshot_that_fails_keeps_the_bits);
    return g_test_run();
}
