/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A freeze from its beginning to its end, which may come at any time: nobody
 * is left waiting, nothing stays protected or registered.
 */
#include <glib.h>
#include <sched.h>
#include <string.h>

#include "freeze-rig.h"
#include "util/bitmap.h"

#define PAGES 1024
#define POOL 8
#define LONG_NS INT64_C(120000000000)

static uint64_t first_word(const RamCopy *copy)
{
    uint64_t word = 0;

    if (copy->data) {
        memcpy(&word, copy->data, sizeof(word));
    }
    return word;
}

/* Take all, and tell the first words; each page must come once. */
static void take_words(RamFreeze *freeze, Rig *rig, uint64_t *ret_words)
{
    g_autofree uint64_t *seen = bitmap_try_new(rig->total_pages, NULL);
    uint64_t n_seen = 0;
    RamCopy copies[16];

    while (!ram_freeze_is_done(freeze)) {
        int n = ram_freeze_take(freeze, copies, 16, false, 1000000, NULL);

        for (int i = 0; i < n; i++) {
            uint64_t page = copies[i].page +
                (copies[i].index ? rig->blocks[0]->npages : 0);

            g_assert_false(bitmap_test_bit(seen, page));
            bitmap_set_bit(seen, page);
            n_seen++;
            ret_words[page] = first_word(&copies[i]);
        }
        ram_freeze_recycle(freeze, copies, MAX(n, 0));
    }
    g_assert_cmpuint(n_seen, ==, rig->total_pages);
}

/* ---- the moment ---------------------------------------------------------- */

/* A page that is written while armed: some are side by side, some alone, some
 * at the edges of what is looked up in one go (4096 pages). */
static uint64_t noted_page(const Rig *rig, unsigned i)
{
    static const uint64_t edges[] = { 4094, 4095, 4096, 8191, 8192, 12287 };

    return i < 30 ? i * i : i < 36 ? edges[i - 30] : rig->total_pages - 1;
}

#define NOTED 37

/* Pages written while armed, pages written after the moment, pages that were
 * never touched before. */
static void check_moment(Rig *rig)
{
    g_autofree uint64_t *words = g_new0(uint64_t, rig->total_pages);
    g_autofree uint64_t *expected = g_new0(uint64_t, rig->total_pages);
    RamFreezeStats stats;
    RamFreeze *freeze;

    for (uint64_t page = 0; page < rig->total_pages; page += 1 + page / 40) {
        rig_store(rig, page, 1000 + page);
        expected[page] = 1000 + page;
    }
    freeze = rig_freeze(rig);
    for (unsigned i = 0; i < NOTED; i++) {
        rig_store(rig, noted_page(rig, i), 2000 + i);
        expected[noted_page(rig, i)] = 2000 + i;
    }
    g_assert_true(ram_freeze_now(freeze, NULL));
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.noted_pages, ==, NOTED);
    g_assert_cmpuint(stats.arm_ns, >, 0);
    g_assert_cmpuint(stats.freeze_ns, >, 0);
    for (uint64_t page = 0; page < rig->total_pages; page += 3) {
        rig_store(rig, page, 3000 + page);
    }
    for (unsigned i = 0; i < NOTED; i++) {
        rig_store(rig, noted_page(rig, i), 3000);
    }
    take_words(freeze, rig, words);
    for (uint64_t page = 0; page < rig->total_pages; page++) {
        g_assert_cmpuint(words[page], ==, expected[page]);
    }
    ram_freeze_free(freeze);
}

static void run_moment(RigKind kind, uint64_t hide)
{
    Rig *rig = rig_new(kind, RIG_BLOCKS, 3 * 4096 + 7);

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = 2 * rig->total_pages * RIG_PAGE;
    rig_set(hide, hide);
    check_moment(rig);
    rig_free(rig);
}

static void test_now_is_the_moment(gconstpointer opaque)
{
    run_moment(GPOINTER_TO_UINT(opaque), 0);
}

static void test_now_without_protected_holes(void)
{
    run_moment(RIG_ANONYMOUS, UFFD_WP_HOLES);
}

static void test_blocks_may_be_left_out(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
    g_autoptr(GPtrArray) second = g_ptr_array_new();
    RamFreezeStats stats;
    RamFreeze *freeze;
    RamCopy copy;

    if (!rig) {
        return;
    }
    g_ptr_array_add(second, rig->blocks[1]);
    rig->config.blocks = second;
    freeze = rig_freeze(rig);
    g_ptr_array_set_size(second, 0); /* it was copied */
    g_assert_true(ram_freeze_now(freeze, NULL));
    rig_store(rig, 0, 1); /* of the first block: nobody minds */
    rig_store(rig, PAGES + 2, 1);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, LONG_NS,
                                    NULL), ==, 1);
    g_assert_true(copy.block == rig->blocks[1]);
    g_assert_cmpuint(copy.index, ==, 0);
    g_assert_cmpuint(copy.page, ==, 2);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.total_pages, ==, rig->blocks[1]->npages);
    g_assert_cmpuint(stats.stalls.count, ==, 1);
    ram_freeze_free(freeze);
    rig_free(rig);
}

/* ---- the end ------------------------------------------------------------- */

typedef enum End {
    END_FREE,
    END_CANCEL,
    ENDS,
} End;

static void check_cancelled(RamFreeze *freeze)
{
    RamCopy copy;

    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_true(i == 0 ? !ram_freeze_arm(freeze, &error) :
                      i == 1 ? !ram_freeze_now(freeze, &error) :
                      ram_freeze_take(freeze, &copy, 1, false,
                                      LONG_NS, &error) < 0);
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error->message, "given up"));
    }
    g_assert_false(ram_freeze_is_done(freeze));
    rig_wait(freeze, phase, RAM_FREEZE_FAILED);
}

/* Whoever ends it is not told that it has failed by itself. */
static void not_to_be_told(void *opaque)
{
    g_assert_not_reached();
}

static void end_it(RamFreeze *freeze, End how)
{
    if (how == END_CANCEL) {
        ram_freeze_cancel(freeze);
        ram_freeze_cancel(freeze);
        check_cancelled(freeze);
    }
    ram_freeze_free(freeze);
}

static void test_end_while_arming(void)
{
    for (End how = 0; how < ENDS; how++) {
        for (unsigned i = 0; i < 10; i++) {
            Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
            RamFreeze *freeze;

            if (!rig) {
                return;
            }
            rig_fill(rig, PAGES);
            rig_start(rig, 2);
            freeze = ram_freeze_new(&rig->config, NULL);
            g_assert_nonnull(freeze);
            g_usleep(g_test_rand_int_range(0, 200));
            end_it(freeze, how);
            rig_check_released(rig);
            rig_free(rig);
        }
    }
}

static void test_end_while_armed(void)
{
    for (End how = 0; how < ENDS; how++) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);

        if (!rig) {
            return;
        }
        rig->config.failed = not_to_be_told;
        rig_start(rig, 2);
        end_it(rig_freeze(rig), how);
        rig_check_released(rig);
        rig_free(rig);
    }
}

/* Three wait for room, more are about to. */
static void test_end_while_writers_wait(void)
{
    for (End how = 0; how < ENDS; how++) {
        Rig *rig = rig_new(RIG_MEMFD_SHARED, RIG_BLOCKS, PAGES);
        RigStore *stores[3];
        RamFreeze *freeze;

        if (!rig) {
            return;
        }
        rig->config.pool_bytes = POOL * RIG_PAGE;
        rig->config.detect_zero = false;
        rig->config.failed = not_to_be_told;
        freeze = rig_freeze(rig);
        g_assert_true(ram_freeze_now(freeze, NULL));
        for (uint64_t page = 0; page < POOL; page++) {
            rig_store(rig, 100 + page, 1);
        }
        rig_start(rig, 2);
        for (unsigned i = 0; i < 3; i++) {
            stores[i] = rig_store_begin(rig, i ? PAGES + i : 0, 1);
        }
        rig_wait(freeze, full_waits, 4); /* two may want the same page */
        end_it(freeze, how);
        for (unsigned i = 0; i < 3; i++) {
            rig_store_end(stores[i]);
        }
        rig_check_released(rig);
        rig_free(rig);
    }
}

static void test_end_when_all_is_copied(void)
{
    for (End how = 0; how < ENDS; how++) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
        g_autofree uint64_t *words = NULL;
        RamFreeze *freeze;

        if (!rig) {
            return;
        }
        words = g_new0(uint64_t, rig->total_pages);
        freeze = rig_freeze(rig);
        g_assert_true(ram_freeze_now(freeze, NULL));
        take_words(freeze, rig, words);
        if (how == END_CANCEL) {
            ram_freeze_cancel(freeze);
        }
        g_assert_true(ram_freeze_is_done(freeze));
        ram_freeze_free(freeze);
        rig_check_released(rig);
        rig_free(rig);
    }
}

static gpointer store_soon(gpointer opaque)
{
    g_usleep(5000);
    rig_store(opaque, PAGES - 1, 1);
    return NULL;
}

/* The scan copies what it has room for; then the taker sleeps until a page is
 * written. */
static void test_taker_wakes_for_a_page(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreeze *freeze;
    GThread *thread;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = POOL * RIG_PAGE;
    rig->config.detect_zero = false;
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    thread = g_thread_new("store", store_soon, rig);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, LONG_NS,
                                    NULL), ==, 1);
    g_assert_cmpuint(copy.page, ==, PAGES - 1);
    g_thread_join(thread);
    ram_freeze_free(freeze);
    rig_free(rig);
}

static gpointer cancel_soon(gpointer opaque)
{
    g_usleep(5000);
    ram_freeze_cancel(opaque);
    return NULL;
}

/* A taker waits for a page that nobody writes; and then not any more. */
static void test_cancel_ends_a_waiting_taker(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    g_autoptr(GError) error = NULL;
    RamFreeze *freeze;
    GThread *thread;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = POOL * RIG_PAGE;
    rig->config.detect_zero = false;
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    thread = g_thread_new("cancel", cancel_soon, freeze);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, LONG_NS,
                                    &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "given up"));
    g_thread_join(thread);
    ram_freeze_free(freeze);
    rig_free(rig);
}

typedef struct Order {
    Rig *rig;
    uint64_t *unprotected;     /* bit per page of the one block */
    uint64_t unregistered;     /* pages */
} Order;

static uint64_t page_of(const Order *order, uint64_t start)
{
    return (start - (uintptr_t)order->rig->blocks[0]->host) / RIG_PAGE;
}

static void hook_unprotected(uint64_t start, uint64_t bytes, void *opaque)
{
    Order *order = opaque;

    bitmap_set(order->unprotected, page_of(order, start), bytes / RIG_PAGE);
}

static void hook_unregistered(uint64_t start, uint64_t bytes, void *opaque)
{
    Order *order = opaque;

    g_assert_cmpuint(bitmap_count(order->unprotected, page_of(order, start),
                                  bytes / RIG_PAGE), ==, bytes / RIG_PAGE);
    order->unregistered += bytes / RIG_PAGE;
}

/* Unregistering wakes nobody: what is unregistered was un-protected before. */
static void test_end_releases_before_it_unregisters(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, 4 * PAGES + 7);
    g_autofree uint64_t *unprotected = bitmap_try_new(4 * PAGES + 7, NULL);
    Order order = { .rig = rig, .unprotected = unprotected };
    RamFreeze *freeze;

    if (!rig) {
        return;
    }
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    rig_set(on_unprotect, hook_unprotected);
    rig_set(on_unregister, hook_unregistered);
    rig_set(opaque, &order);
    ram_freeze_free(freeze);
    g_assert_cmpuint(order.unregistered, ==, rig->total_pages);
    rig_free(rig);
}

/* ---- rests --------------------------------------------------------------- */

#define WALK_BYTES (UINT64_C(2) << 20) /* of a step, at least */
#define WALK_PAGES (65 * WALK_BYTES / RIG_PAGE)

typedef enum Walk {
    WALK_PROTECT,
    WALK_UNPROTECT,
    WALK_UNREGISTER,
    WALKS,
} Walk;

typedef struct Progress {
    Rig *rig;
    uint64_t stores[WALKS];    /* at the end of the step before */
    unsigned steps[WALKS];
    unsigned moved[WALKS];     /* steps before which others have stored */
} Progress;

/* A step that takes its time. */
static void note_step(Progress *p, Walk walk)
{
    gint64 end_us = g_get_monotonic_time() + 150;
    uint64_t stores = __atomic_load_n(&p->rig->stores, __ATOMIC_RELAXED);

    p->moved[walk] += p->steps[walk] && stores != p->stores[walk];
    p->steps[walk]++;
    while (g_get_monotonic_time() < end_us) {
    }
    p->stores[walk] = __atomic_load_n(&p->rig->stores, __ATOMIC_RELAXED);
}

static void hook_step_protect(uint64_t start, uint64_t bytes, void *opaque)
{
    note_step(opaque, WALK_PROTECT);
}

static void hook_step_unprotect(uint64_t start, uint64_t bytes, void *opaque)
{
    if (bytes >= WALK_BYTES) { /* else it is for a fault */
        note_step(opaque, WALK_UNPROTECT);
    }
}

static void hook_step_unregister(uint64_t start, uint64_t bytes, void *opaque)
{
    note_step(opaque, WALK_UNREGISTER);
}

/* All walks over memory; returns: whether others got to work in each. */
static bool walks_rest(Rig *rig)
{
    Progress p = { .rig = rig };
    RamFreeze *freeze;
    bool all = true;

    rig_set(on_protect, hook_step_protect);
    rig_set(on_unprotect, hook_step_unprotect);
    rig_set(on_unregister, hook_step_unregister);
    rig_set(opaque, &p);
    freeze = rig_freeze(rig);
    rig_set(on_protect, NULL);
    g_assert_true(ram_freeze_now(freeze, NULL));
    ram_freeze_free(freeze);
    for (Walk walk = 0; walk < WALKS; walk++) {
        g_assert_cmpuint(p.steps[walk], >, 1);
        all &= p.moved[walk] >= p.steps[walk] / 2;
    }
    return all;
}

/* The saver goes before a writer that has no other CPU, and yet does not keep
 * it from work until it is through. */
static void test_walks_leave_time_to_others(void)
{
    Rig *rig = rig_new(RIG_MEMFD_SHARED, 1, WALK_PAGES);
    cpu_set_t all, one;
    unsigned tries = 0;

    if (!rig) {
        return;
    }
    g_assert_cmpint(sched_getaffinity(0, sizeof(all), &all), ==, 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    g_assert_cmpint(sched_setaffinity(0, sizeof(one), &one), ==, 0);
    rig->reach = 16;
    rig->config.pool_bytes = 64 * RIG_PAGE;
    rig_start(rig, 1);
    while (!walks_rest(rig)) { /* others may have been quicker: a busy host */
        g_assert_cmpuint(++tries, <, 100);
    }
    rig_free(rig);
    g_assert_cmpint(sched_setaffinity(0, sizeof(all), &all), ==, 0);
}

static void add_moments(void)
{
    for (unsigned k = 0; k < RIG_HUGETLB; k++) {
        g_autofree char *path = g_strdup_printf(
            "/ram-freeze/now/is-the-moment/%s", rig_kind_name(k));

        g_test_add_data_func(path, GUINT_TO_POINTER(k),
                             test_now_is_the_moment);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/ram-freeze/" path, fn)
    add_moments();
    T("now/is-the-moment/without-protected-holes",
      test_now_without_protected_holes);
    T("new/blocks-may-be-left-out", test_blocks_may_be_left_out);
    T("take/wakes-for-a-page", test_taker_wakes_for_a_page);
    T("walks/leave-time-to-others", test_walks_leave_time_to_others);
    T("end/while-arming", test_end_while_arming);
    T("end/while-armed", test_end_while_armed);
    T("end/while-writers-wait", test_end_while_writers_wait);
    T("end/when-all-is-copied", test_end_when_all_is_copied);
    T("end/cancel-ends-a-waiting-taker", test_cancel_ends_a_waiting_taker);
    T("end/releases-before-it-unregisters",
      test_end_releases_before_it_unregisters);
    return g_test_run();
}
