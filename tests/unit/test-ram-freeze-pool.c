/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who waits for whom: the pool and its overdraft, writers before the scan,
 * copies before releases.
 */
#include <glib.h>
#include <string.h>

#include "freeze-rig.h"
#include "system/memory-map.h"

#define PAGES 256
#define POOL 8

/* A pool of eight pages that is full: pages 0 to 7 are written. Nobody takes,
 * so nothing is scanned. */
static RamFreeze *full_pool(Rig *rig)
{
    RamFreeze *freeze;

    rig->config.pool_bytes = POOL * RIG_PAGE;
    rig->config.detect_zero = false;
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    for (uint64_t page = 0; page < POOL; page++) {
        rig_store(rig, page, 100 + page);
    }
    rig_wait(freeze, faulted_pages, POOL); /* and their copies are there */
    return freeze;
}

static uint64_t first_word(const RamCopy *copy)
{
    uint64_t word = 0;

    if (copy->data) {
        memcpy(&word, copy->data, sizeof(word));
    }
    return word;
}

/* ---- the pool ------------------------------------------------------------ */

static void test_full_pool_lets_a_writer_wait(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreezeStats stats;
    RamFreeze *freeze;
    RigStore *store;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig_store(rig, POOL, 7);
    freeze = full_pool(rig);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.full_waits, ==, 0);
    g_assert_cmpuint(stats.pool_high_pages, ==, POOL);
    store = rig_store_begin(rig, POOL, 200);
    rig_wait(freeze, full_waits, 1);
    rig_wait(freeze, oldest_fault_ns, 1);
    g_assert_false(rig_store_is_done(store));
    g_assert_cmpuint(rig_load(rig, POOL), ==, 7);

    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, 0, NULL), ==, 1);
    g_assert_true(copy.faulted);
    g_assert_cmpuint(copy.page, ==, 0);
    g_assert_false(rig_store_is_done(store)); /* taken, but not recycled */
    ram_freeze_recycle(freeze, &copy, 1);
    rig_store_end(store);
    g_assert_cmpuint(rig_load(rig, POOL), ==, 200);
    rig_wait(freeze, stalls.count, POOL + 1);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.full_waits, ==, 1);
    g_assert_cmpuint(stats.full_wait_ns, >, 0);
    g_assert_cmpuint(stats.pool_high_pages, ==, POOL);
    g_assert_cmpuint(stats.overdraft_high_pages, ==, 0);
    g_assert_cmpuint(stats.stalls.count, ==, POOL + 1);
    g_assert_cmpuint(stats.stalls.max, >=, stats.full_wait_ns);
    while (stats.oldest_fault_ns) {
        rig_wait_a_little();
        ram_freeze_stats(freeze, &stats);
    }
    ram_freeze_free(freeze);
    rig_free(rig);
}

static void test_full_pool_serves_who_hurries(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreezeStats stats;
    RamFreeze *freeze;
    RigStore *store;

    if (!rig) {
        return;
    }
    freeze = full_pool(rig);
    store = rig_store_begin(rig, POOL, 200);
    rig_wait(freeze, full_waits, 1);
    ram_list_hurry(&rig->list);
    rig_store_end(store); /* it waited already: "hurry" is looked at */
    rig_store(rig, POOL + 1, 1); /* a new one, at once */
    ram_list_unhurry(&rig->list);
    rig_wait(freeze, faulted_pages, POOL + 2);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.full_waits, ==, 1);
    g_assert_cmpuint(stats.overdraft_high_pages, ==, 2);
    g_assert_cmpuint(stats.pool_high_pages, ==, POOL + 2);
    store = rig_store_begin(rig, POOL + 2, 200);
    rig_wait(freeze, full_waits, 2); /* nobody hurries any more */
    g_assert_false(rig_store_is_done(store));
    ram_freeze_free(freeze);
    rig_store_end(store);
    rig_free(rig);
}

static MemoryMap *map_of(Rig *rig)
{
    MemoryMap *map = memory_map_new(&rig->list);

    memory_map_begin(map);
    memory_map_add_ram(map, 0, PAGES * RIG_PAGE, rig->blocks[0], 0, false,
                       NULL);
    g_assert_true(memory_map_commit(map, NULL));
    return map;
}

/* What devices write, they write in a hurry. */
static void test_full_pool_serves_guest_access(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreezeStats stats;
    RamFreeze *freeze;
    MemoryMap *map;

    if (!rig) {
        return;
    }
    map = map_of(rig);
    freeze = full_pool(rig);
    for (unsigned fill = 0; fill < 2; fill++) {
        rig_store_end(rig_guest_begin(map, (POOL + fill) * RIG_PAGE, fill));
        rig_wait(freeze, faulted_pages, POOL + 1 + fill);
        ram_freeze_stats(freeze, &stats);
        g_assert_cmpuint(stats.overdraft_high_pages, ==, fill + 1);
        g_assert_cmpuint(rig->list.hurry, ==, 0);
    }
    g_assert_cmphex(rig_load(rig, POOL), ==, 1);
    g_assert_cmphex(rig_load(rig, POOL + 1), ==, 0x1111111111111111);
    ram_freeze_free(freeze);
    memory_map_free(map);
    rig_free(rig);
}

static void count_failure(void *opaque)
{
    __atomic_add_fetch((unsigned *)opaque, 1, __ATOMIC_RELEASE);
}

static void test_overdraft_ends_and_all_is_released(void)
{
    unsigned failures = 0;
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    g_autoptr(GError) error = NULL;
    RamFreezeStats stats;
    RamFreeze *freeze;
    RigStore *store;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig->config.failed = count_failure;
    rig->config.opaque = &failures;
    freeze = full_pool(rig);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, 0, NULL), ==, 1);
    store = rig_store_begin(rig, PAGES - 1, 1);
    rig_wait(freeze, full_waits, 1);
    ram_list_hurry(&rig->list);
    for (uint64_t page = POOL; page < PAGES; page++) {
        rig_store(rig, page, 300 + page);
    }
    rig_store_end(store);
    ram_list_unhurry(&rig->list);
    rig_wait(freeze, phase, RAM_FREEZE_FAILED);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.overdraft_high_pages, ==, POOL);
    g_assert_cmpuint(stats.pool_high_pages, ==, 2 * POOL);
    g_assert_cmpuint(first_word(&copy), ==, 0); /* what was taken stays */
    ram_freeze_recycle(freeze, &copy, 1);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, false, 0, &error), ==,
                    -1);
    g_assert_nonnull(strstr(error->message, "the pool of 32 KiB"));
    g_assert_false(ram_freeze_is_done(freeze));
    ram_freeze_free(freeze);
    g_assert_cmpuint(failures, ==, 1); /* the owner was told */
    rig_free(rig);
}

static unsigned n_reports;

static void count_report(void *opaque, const char *words)
{
    g_test_message("%s", words);
    g_assert_nonnull(strstr(words, "page 0x8 of RAM block 'ram0' waits for"));
    __atomic_add_fetch(&n_reports, 1, __ATOMIC_RELAXED);
}

static void test_long_wait_is_reported_once(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreeze *freeze;
    RigStore *store;

    if (!rig) {
        return;
    }
    n_reports = 0;
    rig->config.report = count_report;
    freeze = full_pool(rig);
    store = rig_store_begin(rig, POOL, 200);
    rig_wait(freeze, oldest_fault_ns, 1000000000);
    while (!__atomic_load_n(&n_reports, __ATOMIC_RELAXED)) {
        rig_wait_a_little();
    }
    rig_wait(freeze, oldest_fault_ns, 1050000000); /* tens of looks later */
    g_assert_cmpuint(__atomic_load_n(&n_reports, __ATOMIC_RELAXED), ==, 1);
    ram_freeze_free(freeze);
    rig_store_end(store);
    rig_free(rig);
}

static void test_zero_pages_take_no_room(void)
{
    for (unsigned detect = 0; detect < 2; detect++) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
        RamFreezeStats stats;
        RamFreeze *freeze;
        RamCopy copies[7];
        uint64_t taken = 0;

        if (!rig) {
            return;
        }
        rig->config.pool_bytes = POOL * RIG_PAGE;
        rig->config.detect_zero = detect;
        freeze = rig_freeze(rig);
        g_assert_true(ram_freeze_now(freeze, NULL));
        while (!ram_freeze_is_done(freeze)) {
            int n = ram_freeze_take(freeze, copies, 7, false, 1000000, NULL);

            for (int i = 0; i < n; i++) {
                g_assert_true(detect == !copies[i].data);
            }
            taken += n;
            if (!detect) {
                ram_freeze_recycle(freeze, copies, n);
            }
        }
        g_assert_cmpuint(taken, ==, rig->total_pages);
        ram_freeze_stats(freeze, &stats);
        g_assert_cmpuint(stats.zero_pages, ==, detect ? taken : 0);
        g_assert_cmpuint(stats.pool_high_pages, <=, detect ? 0 : POOL / 2);
        ram_freeze_free(freeze);
        rig_free(rig);
    }
}

/* Marks of zeros are bounded too: then a page of zeros takes a slot. */
static void test_zero_pages_beyond_the_marks_are_copied(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreezeStats stats;
    RamFreeze *freeze;
    RamCopy copies[PAGES];
    unsigned marked = 0;
    RigStore *store;

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = POOL * RIG_PAGE;
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    for (uint64_t i = 0; i < 2 * POOL; i++) {
        rig_store(rig, 2 * i, 1);
    }
    store = rig_store_begin(rig, PAGES - 1, 1);
    rig_wait(freeze, full_waits, 1);
    rig_wait(freeze, faulted_pages, 2 * POOL);
    g_assert_cmpint(ram_freeze_take(freeze, copies, PAGES, true, 0, NULL), ==,
                    2 * POOL);
    for (unsigned i = 0; i < 2 * POOL; i++) {
        g_assert_cmpuint(copies[i].page, ==, 2 * i);
        g_assert_cmpuint(first_word(&copies[i]), ==, 0);
        marked += !copies[i].data;
    }
    g_assert_cmpuint(marked, ==, POOL);
    rig_store_end(store); /* there are marks again */
    rig_wait(freeze, faulted_pages, 2 * POOL + 1);
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.zero_pages, >=, 2 * POOL + 1);
    ram_freeze_free(freeze);
    rig_free(rig);
}

/* ---- who comes first ----------------------------------------------------- */

static void test_written_pages_are_taken_first(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    RamFreeze *freeze;
    RamCopy copies[8];

    if (!rig) {
        return;
    }
    rig->config.detect_zero = false;
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    g_assert_cmpint(ram_freeze_take(freeze, copies, 8, true, 0, NULL), ==, 0);
    rig_wait(freeze, scanned_pages, 32); /* the scan has begun */
    rig_store(rig, PAGES - 1, 1);
    rig_store(rig, PAGES - 3, 1);
    rig_wait(freeze, faulted_pages, 2);
    g_assert_cmpint(ram_freeze_take(freeze, copies, 8, true, 0, NULL), ==, 2);
    g_assert_cmpuint(copies[0].page, ==, PAGES - 1);
    g_assert_cmpuint(copies[1].page, ==, PAGES - 3);
    ram_freeze_recycle(freeze, copies, 2);
    rig_store(rig, PAGES - 2, 1);
    rig_wait(freeze, faulted_pages, 3);
    g_assert_cmpint(ram_freeze_take(freeze, copies, 8, false, 0, NULL), ==, 8);
    g_assert_cmpuint(copies[0].page, ==, PAGES - 2);
    g_assert_true(copies[0].faulted);
    for (unsigned i = 1; i < 8; i++) {
        g_assert_cmpuint(copies[i].page, ==, i - 1);
        g_assert_false(copies[i].faulted);
    }
    ram_freeze_free(freeze);
    rig_free(rig);
}

typedef struct Late {
    Rig *rig;
    uint64_t page;
    uint64_t value;
    RigStore *store;           /* begun in the first call of the hook */
    uint64_t next;             /* address of the second */
} Late;

/* The first pages of a walk are done: now a write comes. */
static void hook_write_comes(uint64_t start, uint64_t bytes, void *opaque)
{
    Late *late = opaque;

    if (!late->store) {
        late->store = rig_store_begin(late->rig, late->page, late->value);
        rig_wait_for_fault();
    } else if (!late->next) {
        late->next = start;
    }
}

/* All fits into the pool, so that the scan has no other reason to stop. */
static void test_scan_lets_writers_in(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    Late late = { .rig = rig, .page = PAGES - 1, .value = 5 };
    RamFreeze *freeze;
    unsigned taken = 0;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = 4 * PAGES * RIG_PAGE;
    freeze = rig_freeze(rig);
    rig_set(on_unprotect, hook_write_comes);
    rig_set(opaque, &late);
    g_assert_true(ram_freeze_now(freeze, NULL));
    while (!ram_freeze_is_done(freeze)) {
        if (ram_freeze_take(freeze, &copy, 1, false, 1000000, NULL) == 1) {
            g_assert_true(copy.faulted == (copy.page == PAGES - 1));
            taken++;
        }
    }
    g_assert_cmpuint(taken, ==, PAGES);
    g_assert_cmphex(late.next, ==, (uintptr_t)rig_page(rig, PAGES - 1, NULL));
    rig_store_end(late.store);
    ram_freeze_free(freeze);
    rig_free(rig);
}

/* While all is being protected too: between two steps. */
static void test_arming_lets_writers_in(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
    Late late = { .rig = rig, .page = 3, .value = 5 };
    g_autofree char *order = NULL;
    RamFreezeStats stats;
    RamFreeze *freeze;

    if (!rig) {
        return;
    }
    rig_set(on_protect, hook_write_comes);
    rig_set(opaque, &late);
    freeze = rig_freeze(rig);
    rig_store_end(late.store);
    rig_wait(freeze, stalls.count, 1);
    order = rig_order();
    g_assert_cmpstr(order, ==, "rrpup");
    ram_freeze_stats(freeze, &stats);
    g_assert_cmpuint(stats.noted_pages, ==, 1);
    g_assert_cmpuint(stats.stalls.count, ==, 1);
    ram_freeze_free(freeze);
    rig_free(rig);
}

/* A page has been released: whoever waited for it stores now. */
static void hook_store_passes(uint64_t start, uint64_t bytes, void *opaque)
{
    Late *late = opaque;

    while (rig_load(late->rig, late->page) != late->value) {
        rig_wait_a_little();
    }
}

static void test_copy_comes_before_the_release(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    Late late = { .rig = rig, .page = 9, .value = 5 };
    RamFreeze *freeze;
    RamCopy copy;

    if (!rig) {
        return;
    }
    rig_store(rig, 9, 4);
    freeze = rig_freeze(rig);
    g_assert_true(ram_freeze_now(freeze, NULL));
    rig_set(on_unprotect, hook_store_passes);
    rig_set(opaque, &late);
    rig_store_end(rig_store_begin(rig, 9, 5));
    rig_wait(freeze, faulted_pages, 1);
    rig_set(on_unprotect, NULL);
    g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, true, 0, NULL), ==, 1);
    g_assert_cmpuint(copy.page, ==, 9);
    g_assert_cmpuint(first_word(&copy), ==, 4);
    ram_freeze_free(freeze);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/ram-freeze-pool/" path, fn)
    T("full/lets-a-writer-wait", test_full_pool_lets_a_writer_wait);
    T("full/serves-who-hurries", test_full_pool_serves_who_hurries);
    T("full/serves-guest-access", test_full_pool_serves_guest_access);
    T("full/overdraft-ends-and-all-is-released",
      test_overdraft_ends_and_all_is_released);
    T("full/long-wait-is-reported-once", test_long_wait_is_reported_once);
    T("zero/takes-no-room", test_zero_pages_take_no_room);
    T("zero/beyond-the-marks-is-copied",
      test_zero_pages_beyond_the_marks_are_copied);
    T("order/written-pages-are-taken-first",
      test_written_pages_are_taken_first);
    T("order/scan-lets-writers-in", test_scan_lets_writers_in);
    T("order/arming-lets-writers-in", test_arming_lets_writers_in);
    T("order/copy-comes-before-the-release",
      test_copy_comes_before_the_release);
    return g_test_run();
}
