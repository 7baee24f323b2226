/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor over dirty pages against arrays of bools.
 */
#include <glib.h>
#include <string.h>

#include "migration/page-search.h"
#include "system/dirty-bitmap.h"

#define MAX_BLOCKS 3
#define MAX_PAGES 200

typedef struct Machine {
    RAMList list;
    unsigned n;
    bool dirty[MAX_BLOCKS][MAX_PAGES];
} Machine;

static void set_up(Machine *mc, unsigned n, const uint64_t *npages)
{
    g_autoptr(GError) error = NULL;

    memset(mc, 0, sizeof(*mc));
    mc->n = n;
    ram_list_init(&mc->list);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("b%u", i);

        ram_list_add_anon(&mc->list, name, npages[i] * TM_PAGE_BYTES, &error);
        g_assert_no_error(error);
    }
    dirty_client_start(&mc->list, DIRTY_CLIENT_MIGRATION, false, &error);
    g_assert_no_error(error);
}

static void tear_down(Machine *mc)
{
    dirty_client_stop(&mc->list, DIRTY_CLIENT_MIGRATION);
    ram_list_done(&mc->list);
}

static RAMBlock *block(Machine *mc, unsigned i)
{
    return g_ptr_array_index(mc->list.blocks, i);
}

static void mark(Machine *mc, unsigned i, uint64_t page)
{
    dirty_bitmap_mark(&mc->list, block(mc, i), page, 1);
    mc->dirty[i][page] = true;
}

static void take(Machine *mc, const PageRun *run)
{
    for (uint64_t i = 0; i < run->npages; i++) {
        g_assert_true(dirty_bitmap_take(run->block, DIRTY_CLIENT_MIGRATION,
                                        run->first + i));
        g_assert_true(mc->dirty[run->index][run->first + i]);
        mc->dirty[run->index][run->first + i] = false;
    }
}

static void assert_run(const PageRun *run, unsigned index, uint64_t first,
                       uint64_t npages)
{
    g_assert_cmpuint(run->index, ==, index);
    g_assert_cmpuint(run->first, ==, first);
    g_assert_cmpuint(run->npages, ==, npages);
}

static void test_next_runs_go_upwards_and_round(void)
{
    static const uint64_t npages[] = {100, 1, 65};
    PageSearch search;
    PageRun run;
    Machine mc;

    set_up(&mc, 3, npages);
    page_search_init(&search, mc.list.blocks, DIRTY_CLIENT_MIGRATION);
    g_assert_false(page_search_next(&search, 64, &run));
    for (uint64_t page = 10; page < 90; page++) {
        mark(&mc, 0, page);
    }
    mark(&mc, 1, 0);
    mark(&mc, 2, 64);
    g_assert_true(page_search_next(&search, 64, &run));
    assert_run(&run, 0, 10, 64);
    take(&mc, &run);
    /* Behind the cursor: found only on the next way round. */
    mark(&mc, 0, 3);
    g_assert_true(page_search_next(&search, 64, &run));
    assert_run(&run, 0, 74, 16);
    take(&mc, &run);
    g_assert_true(page_search_next(&search, 64, &run));
    assert_run(&run, 1, 0, 1);
    take(&mc, &run);
    g_assert_true(page_search_next(&search, 64, &run));
    assert_run(&run, 2, 64, 1);
    take(&mc, &run);
    g_assert_true(page_search_next(&search, 64, &run));
    assert_run(&run, 0, 3, 1);
    take(&mc, &run);
    g_assert_false(page_search_next(&search, 64, &run));
    tear_down(&mc);
}

static void test_next_without_blocks_finds_nothing(void)
{
    PageSearch search;
    PageRun run;
    Machine mc;

    set_up(&mc, 0, NULL);
    page_search_init(&search, mc.list.blocks, DIRTY_CLIENT_MIGRATION);
    g_assert_false(page_search_next(&search, 64, &run));
    tear_down(&mc);
}

/* The first round of a migration: everything is dirty. If each piece cost a
 * look at all of the run, 1 TiB would take hours. */
static void test_next_takes_a_long_run_in_pieces(void)
{
    uint64_t npages = UINT64_C(1) << 28, next = 0;
    g_autoptr(GError) error = NULL;
    PageSearch search;
    RAMList list;
    PageRun run;

    ram_list_init(&list);
    ram_list_add_anon(&list, "large", npages * TM_PAGE_BYTES, &error);
    g_assert_no_error(error);
    dirty_client_start(&list, DIRTY_CLIENT_MIGRATION, true, &error);
    g_assert_no_error(error);
    page_search_init(&search, list.blocks, DIRTY_CLIENT_MIGRATION);
    while (next < npages) {
        g_assert_true(page_search_next(&search, 64, &run));
        assert_run(&run, 0, next, 64);
        next += 64;
    }
    dirty_client_stop(&list, DIRTY_CLIENT_MIGRATION);
    ram_list_done(&list);
}

static uint64_t random_marks(Machine *mc, unsigned at_most)
{
    unsigned n = g_test_rand_int_range(0, at_most + 1);

    while (n-- > 0) {
        unsigned i = g_test_rand_int_range(0, mc->n);

        mark(mc, i, g_test_rand_int_range(0, block(mc, i)->npages));
    }
    return n;
}

/* The run is made of dirty pages, and ends at a clean one or at a limit. */
static void check_run(Machine *mc, const PageRun *run, uint64_t max)
{
    const bool *dirty = mc->dirty[run->index];
    uint64_t end = run->first + run->npages;

    g_assert_cmpuint(run->npages, >, 0);
    g_assert_cmpuint(run->npages, <=, max);
    g_assert_cmpuint(end, <=, run->block->npages);
    g_assert_true(run->block == block(mc, run->index));
    for (uint64_t i = run->first; i < end; i++) {
        g_assert_true(dirty[i]);
    }
    if (run->npages < max && end < run->block->npages) {
        g_assert_false(dirty[end]);
    }
}

static void check_random_maps(void)
{
    uint64_t npages[MAX_BLOCKS];
    PageSearch search;
    PageRun run;
    Machine mc;

    for (unsigned i = 0; i < MAX_BLOCKS; i++) {
        npages[i] = g_test_rand_int_range(1, MAX_PAGES);
    }
    set_up(&mc, g_test_rand_int_range(1, MAX_BLOCKS + 1), npages);
    page_search_init(&search, mc.list.blocks, DIRTY_CLIENT_MIGRATION);
    random_marks(&mc, 300);
    for (unsigned step = 0; step < 50; step++) {
        uint64_t max = g_test_rand_int_range(1, 70);

        if (page_search_next(&search, max, &run)) {
            check_run(&mc, &run, max);
            take(&mc, &run);
        }
        random_marks(&mc, 2);
    }
    while (page_search_next(&search, 64, &run)) {
        take(&mc, &run);
    }
    for (unsigned i = 0; i < mc.n; i++) {
        g_assert_null(memchr(mc.dirty[i], true, MAX_PAGES));
    }
    tear_down(&mc);
}

static void test_random_maps_find_every_page(void)
{
    for (unsigned i = 0; i < 512; i++) {
        check_random_maps();
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page-search/next/upwards-and-round",
                    test_next_runs_go_upwards_and_round);
    g_test_add_func("/page-search/next/no-blocks",
                    test_next_without_blocks_finds_nothing);
    g_test_add_func("/page-search/next/long-run-in-pieces",
                    test_next_takes_a_long_run_in_pieces);
    g_test_add_func("/page-search/random/finds-every-page",
                    test_random_maps_find_every_page);
    return g_test_run();
}
