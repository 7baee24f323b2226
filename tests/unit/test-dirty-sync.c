/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sync rounds against scripted accelerators: what they report arrives at every
 * client that is on, once, wherever the sections lie; and in random programs
 * of guest writes, our own writes, syncs, clears, takes and remapping nobody
 * ever sees a page as clean that was written.
 */
#include <glib.h>
#include <string.h>

#include "recording-listener.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"

#define PROGRAMS 4096
#define STEPS 32
#define PAGES 150 /* of the block; not a multiple of 64 */

typedef struct World {
    RAMList list;
    RAMBlock *ram;
    MemoryMap *map;
    RecordingListener kvm;
    unsigned windows[3];
} World;

/* Window i shows all of the block from page i on, at i * 1 GiB. */
static uint64_t window_gpa(unsigned i, uint64_t page)
{
    return ((uint64_t)i << 30) + (page - i) * TM_PAGE_BYTES;
}

static void show_window(World *w, unsigned i)
{
    memory_map_begin(w->map);
    w->windows[i] = memory_map_add_ram(w->map, (uint64_t)i << 30,
                                       (PAGES - i) * TM_PAGE_BYTES, w->ram,
                                       i * TM_PAGE_BYTES, false, NULL);
    g_assert_true(memory_map_commit(w->map, NULL));
}

static void hide_window(World *w, unsigned i)
{
    memory_map_begin(w->map);
    memory_map_del(w->map, w->windows[i]);
    g_assert_true(memory_map_commit(w->map, NULL));
    w->windows[i] = 0;
}

static void world_init(World *w)
{
    memset(w, 0, sizeof(*w));
    ram_list_init(&w->list);
    w->ram = ram_list_add_anon(&w->list, "ram", PAGES * TM_PAGE_BYTES, NULL);
    w->map = memory_map_new(&w->list);
    recording_listener_init(&w->kvm, "kvm");
    g_assert_true(memory_listener_register(w->map, &w->kvm.listener, NULL));
    show_window(w, 0);
}

static void world_done(World *w)
{
    memory_listener_unregister(&w->kvm.listener);
    recording_listener_done(&w->kvm);
    memory_map_free(w->map);
    ram_list_done(&w->list);
}

static void test_round_reaches_every_client_and_counts(void)
{
    DirtySyncStats stats;
    World w;

    world_init(&w);
    show_window(&w, 1);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, false, NULL);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    recording_listener_dirty(&w.kvm, window_gpa(0, 0));
    recording_listener_dirty(&w.kvm, window_gpa(0, 149));
    recording_listener_dirty(&w.kvm, window_gpa(1, 149)); /* the same page */
    recording_listener_dirty(&w.kvm, window_gpa(1, 64));
    g_assert_true(dirty_sync_round(w.map, NULL));
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        bool on = c == DIRTY_CLIENT_MIGRATION || c == DIRTY_CLIENT_RATE;

        g_assert_cmpuint(dirty_bitmap_count(w.ram, c), ==, on ? 3 : 0);
        g_assert_cmpint(dirty_bitmap_test(w.ram, c, 0), ==, on);
        g_assert_cmpint(dirty_bitmap_test(w.ram, c, 64), ==, on);
        g_assert_cmpint(dirty_bitmap_test(w.ram, c, 149), ==, on);
    }
    dirty_sync_stats(w.map, &stats);
    g_assert_cmpuint(stats.rounds, ==, 1);
    g_assert_cmpuint(stats.fetched_pages, ==, 4);
    g_assert_cmpuint(stats.new_pages, ==, 3);
    g_assert_cmpuint(stats.last_new_pages, ==, 3);
    g_assert_cmpuint(stats.time_ns, ==, stats.last_time_ns);
    g_assert_cmpuint(stats.time_ns, >, 0);

    recording_listener_dirty(&w.kvm, window_gpa(1, 65));
    g_assert_true(dirty_sync_round(w.map, NULL));
    dirty_sync_stats(w.map, &stats);
    g_assert_cmpuint(stats.rounds, ==, 2);
    g_assert_cmpuint(stats.fetched_pages, ==, 4 + 5);
    g_assert_cmpuint(stats.new_pages, ==, 4);
    g_assert_cmpuint(stats.last_new_pages, ==, 1);

    /* A migration begins with counters of its own. */
    dirty_log_stop(w.map, DIRTY_CLIENT_MIGRATION);
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL);
    dirty_sync_stats(w.map, &stats);
    g_assert_cmpuint(stats.rounds, ==, 0);
    g_assert_cmpuint(stats.fetched_pages, ==, 0);
    world_done(&w);
}

/* An accelerator that hears of writes at any time reports between rounds, and
 * knows whose they were. */
static void test_report_between_rounds_counts(void)
{
    uint64_t by_client[DIRTY_CLIENT_MAX] = { 0 };
    uint64_t words[3] = { 7, 0, 1 };
    MemorySection s;
    DirtySyncStats stats;
    World w;

    world_init(&w);
    show_window(&w, 1);
    s = (MemorySection) { .gpa = window_gpa(0, 0), .block = w.ram,
                          .size = 150 << TM_PAGE_BITS };
    dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, false, NULL);
    dirty_sync_merge(w.map, &s, words, by_client);
    dirty_log_start(w.map, DIRTY_CLIENT_LIMIT, false, NULL);
    dirty_sync_merge(w.map, &s, words, by_client);
    g_assert_cmpuint(by_client[DIRTY_CLIENT_MIGRATION], ==, 4);
    g_assert_cmpuint(by_client[DIRTY_CLIENT_LIMIT], ==, 4);
    g_assert_cmpuint(by_client[DIRTY_CLIENT_RATE], ==, 0);
    g_assert_true(dirty_sync_round(w.map, NULL));
    dirty_sync_stats(w.map, &stats);
    g_assert_cmpuint(stats.last_new_pages, ==, 4);
    g_assert_true(dirty_sync_round(w.map, NULL));
    dirty_sync_stats(w.map, &stats);
    g_assert_cmpuint(stats.last_new_pages, ==, 0);
    g_assert_cmpuint(stats.new_pages, ==, 4);
    world_done(&w);
}

static void test_round_error_is_told_and_nothing_is_lost(void)
{
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    show_window(&w, 1);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    recording_listener_dirty(&w.kvm, window_gpa(0, 3));
    recording_listener_dirty(&w.kvm, window_gpa(1, 5));
    w.kvm.fail = "sync";
    w.kvm.fail_after = 1;
    g_assert_false(dirty_sync_round(w.map, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "kvm: cannot fetch the dirty "
                            "pages of RAM block 'ram' at 0x40000000"));
    g_assert_true(dirty_bitmap_test(w.ram, DIRTY_CLIENT_RATE, 3));
    g_assert_false(dirty_bitmap_test(w.ram, DIRTY_CLIENT_RATE, 5));
    w.kvm.fail = NULL;
    g_assert_true(dirty_sync_round(w.map, NULL));
    g_assert_true(dirty_bitmap_test(w.ram, DIRTY_CLIENT_RATE, 5));
    world_done(&w);
}

/* log_start is called when marks arrive already, not before. */
static bool start_sees_client_on(MemoryListener *l, const MemorySection *s,
                                 GError **error)
{
    RAMList *list = memory_map_ram(l->map);

    g_assert_true(dirty_client_is_on(list, DIRTY_CLIENT_MIGRATION));
    g_assert_cmpuint(dirty_bitmap_count(s->block, DIRTY_CLIENT_MIGRATION),
                     ==, s->block->npages);
    return true;
}

static void test_start_has_bitmaps_before_logging(void)
{
    static const MemoryListenerOps ops = {
        .log_start = start_sees_client_on,
    };
    MemoryListener l = { .ops = &ops, .name = "l" };
    World w;

    world_init(&w);
    memory_listener_register(w.map, &l, NULL);
    g_assert_true(dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true, NULL));
    g_assert_false(dirty_log_start(w.map, DIRTY_CLIENT_MIGRATION, true,
                                   NULL));
    memory_listener_unregister(&l);
    world_done(&w);
}

/* A page that was seen before the second client came, written after. */
static void test_start_second_client_knows_what_was_seen(void)
{
    World w;

    world_init(&w);
    dirty_log_start(w.map, DIRTY_CLIENT_RATE, false, NULL);
    recording_listener_dirty(&w.kvm, window_gpa(0, 5));
    g_assert_true(dirty_sync_round(w.map, NULL));
    g_assert_true(dirty_log_start(w.map, DIRTY_CLIENT_DISPLAY, false, NULL));
    recording_listener_dirty(&w.kvm, window_gpa(0, 5));
    g_assert_true(memory_region_clear_dirty_bitmap(w.map, w.ram, 5, 1, NULL));
    g_assert_true(dirty_bitmap_take(w.ram, DIRTY_CLIENT_RATE, 5));
    g_assert_true(dirty_sync_round(w.map, NULL));
    g_assert_true(dirty_bitmap_test(w.ram, DIRTY_CLIENT_DISPLAY, 5));
    world_done(&w);
}

static void test_clear_account_adds_up(void)
{
    const DirtyClearStats add = { 1, 20, 300, 4000 };
    DirtyClearStats sum;
    World w;

    world_init(&w);
    dirty_clear_account(w.map, &add);
    dirty_clear_account(w.map, &add);
    dirty_clear_stats(w.map, &sum);
    g_assert_cmpuint(sum.calls, ==, 2);
    g_assert_cmpuint(sum.pages, ==, 40);
    g_assert_cmpuint(sum.span_pages, ==, 600);
    g_assert_cmpuint(sum.time_ns, ==, 8000);
    world_done(&w);
}

/*
 * Random programs. The oracle: per client and page, "written since taken".
 * Whenever that is so, some layer must know: the client's bitmap, or the
 * accelerator that will be asked. After a sync the bitmap must.
 */
typedef struct Oracle {
    bool on[DIRTY_CLIENT_MAX];
    bool written[DIRTY_CLIENT_MAX][PAGES];
} Oracle;

static void oracle_write(Oracle *o, uint64_t page)
{
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        o->written[c][page] |= o->on[c];
    }
}

static void check_none_lost(World *w, const Oracle *o)
{
    g_assert_true(dirty_sync_round(w->map, NULL));
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        g_autoptr(GError) error = NULL;

        for (uint64_t p = 0; p < PAGES && o->on[c]; p++) {
            if (o->written[c][p]) {
                g_assert_true(dirty_bitmap_test(w->ram, c, p));
            }
        }
        if (o->on[c]) {
            dirty_balance_check(w->ram, c, &error);
            g_assert_no_error(error);
        }
    }
}

static void step_guest_write(World *w, Oracle *o)
{
    unsigned i = g_test_rand_int_range(0, 3);
    uint64_t page = g_test_rand_int_range(i, PAGES);

    if (recording_listener_dirty(&w->kvm, window_gpa(i, page))) {
        oracle_write(o, page);
    }
}

static void step_own_write(World *w, Oracle *o)
{
    unsigned i = g_test_rand_int_range(0, 3);
    uint64_t page = g_test_rand_int_range(i, PAGES);

    if (guest_memset(w->map, window_gpa(i, page), 1, 1)) {
        oracle_write(o, page);
    }
}

static void step_switch(World *w, Oracle *o, int c)
{
    bool ones = g_test_rand_bit();

    if (o->on[c]) {
        dirty_log_stop(w->map, c);
    } else {
        g_assert_true(dirty_log_start(w->map, c, ones, NULL));
    }
    o->on[c] = !o->on[c];
    memset(o->written[c], ones && o->on[c], sizeof(o->written[c]));
}

/* The law: clear, then take, then (here) forget. */
static void step_clear_and_take(World *w, Oracle *o, int c)
{
    uint64_t first = g_test_rand_int_range(0, PAGES);
    uint64_t n = g_test_rand_int_range(1, PAGES - first + 1);

    g_assert_true(memory_region_clear_dirty_bitmap(w->map, w->ram, first, n,
                                                   NULL));
    for (uint64_t p = first; o->on[c] && p < first + n; p++) {
        bool taken = dirty_bitmap_take(w->ram, c, p);

        if (taken) {
            o->written[c][p] = false;
            /* What the accelerator has not told yet comes again: fine. */
        }
    }
}

static void step_snapshot(World *w, Oracle *o, int c)
{
    uint64_t first = g_test_rand_int_range(0, PAGES);
    uint64_t n = g_test_rand_int_range(1, PAGES - first + 1);
    g_autoptr(DirtySnapshot) snap = NULL;

    if (!o->on[c]) {
        return;
    }
    snap = memory_region_snapshot_and_clear_dirty(w->map, w->ram, c, first, n,
                                                  NULL);
    for (uint64_t p = first; p < first + n; p++) {
        /* It has synced: no write that it may miss. */
        g_assert_true(!o->written[c][p] || dirty_snapshot_test(snap, p));
        o->written[c][p] = false;
    }
}

static void step_remap(World *w)
{
    unsigned i = g_test_rand_int_range(0, 3);

    if (w->windows[i]) {
        hide_window(w, i);
    } else {
        show_window(w, i);
    }
}

static void step(World *w, Oracle *o)
{
    int c = g_test_rand_int_range(0, DIRTY_CLIENT_MAX);

    switch (g_test_rand_int_range(0, 10)) {
    case 0:
        step_switch(w, o, c);
        break;
    case 1:
        step_remap(w);
        break;
    case 2:
        step_snapshot(w, o, c);
        break;
    case 3:
    case 4:
        step_clear_and_take(w, o, c);
        break;
    case 5:
        check_none_lost(w, o);
        break;
    case 6:
        step_own_write(w, o);
        break;
    default:
        step_guest_write(w, o);
    }
}

static void test_random_programs_lose_nothing(void)
{
    for (int i = 0; i < PROGRAMS; i++) {
        Oracle o = { 0 };
        World w;

        world_init(&w);
        step_switch(&w, &o, i % DIRTY_CLIENT_MAX);
        for (int s = 0; s < STEPS; s++) {
            step(&w, &o);
        }
        check_none_lost(&w, &o);
        world_done(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-sync/round/reaches-every-client-and-counts",
                    test_round_reaches_every_client_and_counts);
    g_test_add_func("/dirty-sync/round/report-between-counts",
                    test_report_between_rounds_counts);
    g_test_add_func("/dirty-sync/round/error-loses-nothing",
                    test_round_error_is_told_and_nothing_is_lost);
    g_test_add_func("/dirty-sync/start/bitmaps-before-logging",
                    test_start_has_bitmaps_before_logging);
    g_test_add_func("/dirty-sync/start/second-client",
                    test_start_second_client_knows_what_was_seen);
    g_test_add_func("/dirty-sync/clear/account-adds-up",
                    test_clear_account_adds_up);
    g_test_add_func("/dirty-sync/random/loses-nothing",
                    test_random_programs_lose_nothing);
    return g_test_run();
}
