/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty bitmaps: random programs against one bool per page and client, and
 * two writers with a taker, who must not lose a page.
 */
#include <glib.h>
#include <string.h>

#include "system/dirty-bitmap.h"
#include "util/bitmap.h"

#define PROGRAMS 4096
#define STEPS 24
#define MAX_PAGES 300

static const uint64_t page_counts[] = {
    1, 2, 63, 64, 65, 127, 128, 129, 192, 255, 256, 257, MAX_PAGES,
};

typedef struct Oracle {
    RAMList list;
    RAMBlock *block;
    bool on[DIRTY_CLIENT_MAX];
    bool dirty[DIRTY_CLIENT_MAX][MAX_PAGES];
} Oracle;

static void oracle_init(Oracle *o, uint64_t npages)
{
    memset(o, 0, sizeof(*o));
    ram_list_init(&o->list);
    o->block = ram_list_add_anon(&o->list, "ram", npages * TM_PAGE_BYTES,
                                 NULL);
    g_assert_nonnull(o->block);
}

static uint64_t random_below(uint64_t n)
{
    return n ? g_test_rand_int_range(0, n) : 0;
}

static void random_range(const Oracle *o, uint64_t *first, uint64_t *n)
{
    *first = random_below(o->block->npages + 1);
    *n = random_below(o->block->npages - *first + 1);
}

static void step_switch(Oracle *o, DirtyClient c)
{
    bool ones = g_test_rand_bit();

    if (o->on[c]) {
        g_assert_false(dirty_client_start(&o->list, c, ones, NULL));
        dirty_client_stop(&o->list, c);
        memset(o->dirty[c], false, sizeof(o->dirty[c]));
    } else {
        dirty_client_stop(&o->list, c);
        g_assert_true(dirty_client_start(&o->list, c, ones, NULL));
        memset(o->dirty[c], ones, sizeof(o->dirty[c]));
    }
    o->on[c] = !o->on[c];
}

static void step_mark(Oracle *o)
{
    uint64_t first, n;

    random_range(o, &first, &n);
    dirty_bitmap_mark(&o->list, o->block, first, n);
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        if (o->on[c]) {
            memset(&o->dirty[c][first], true, n);
        }
    }
}

static void step_or_words(Oracle *o)
{
    uint64_t first, n, set = 0;
    uint64_t got[DIRTY_CLIENT_MAX] = { 5, 6, 7 };
    uint64_t fresh[DIRTY_CLIENT_MAX] = { 5, 6, 7 };
    g_autofree uint64_t *words = NULL;

    random_range(o, &first, &n);
    words = g_new(uint64_t, bitmap_words(n)); /* a sanitizer sees one more */
    for (uint64_t w = 0; w < bitmap_words(n); w++) {
        words[w] = (uint64_t)g_test_rand_int() << 32 |
                   (uint32_t)g_test_rand_int();
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!bitmap_test_bit(words, i)) {
            continue;
        }
        set++;
        for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
            fresh[c] += o->on[c] && !o->dirty[c][first + i];
            o->dirty[c][first + i] |= o->on[c];
        }
    }
    g_assert_cmpuint(dirty_bitmap_or_words(&o->list, o->block, first, words,
                                           n, got), ==, set);
    g_assert_cmpmem(got, sizeof(got), fresh, sizeof(fresh));
}

static void step_take(Oracle *o, DirtyClient c)
{
    uint64_t page = random_below(o->block->npages);

    if (o->on[c]) {
        g_assert_cmpint(dirty_bitmap_take(o->block, c, page), ==,
                        o->dirty[c][page]);
        o->dirty[c][page] = false;
    }
}

static void step_take_range(Oracle *o, DirtyClient c)
{
    uint64_t first, n, set = 0;
    g_autofree uint64_t *words = NULL;
    uint64_t got;

    if (!o->on[c]) {
        return;
    }
    random_range(o, &first, &n);
    words = g_new(uint64_t, bitmap_words(n));
    for (uint64_t i = 0; i < bitmap_words(n); i++) {
        words[i] = 0xa5a5; /* to be overwritten */
    }
    got = dirty_bitmap_take_range(o->block, c, first, n, words);
    for (uint64_t i = 0; i < bitmap_words(n) * 64; i++) {
        bool want = i < n && o->dirty[c][first + i];

        g_assert_cmpint(bitmap_test_bit(words, i), ==, want);
        set += want;
    }
    memset(&o->dirty[c][first], false, n);
    g_assert_cmpuint(got, ==, set);
}

static void step_give_back(Oracle *o, DirtyClient c)
{
    uint64_t first, n;

    if (o->on[c]) {
        random_range(o, &first, &n);
        dirty_bitmap_mark_client(o->block, c, first, n);
        memset(&o->dirty[c][first], true, n);
    }
}

static void check_searches(Oracle *o, DirtyClient c)
{
    uint64_t npages = o->block->npages;
    uint64_t from = random_below(npages + 1);
    uint64_t end = from + random_below(npages - from + 1);
    uint64_t set = from, clean = from;

    while (set < npages && !o->dirty[c][set]) {
        set++;
    }
    while (clean < end && o->dirty[c][clean]) {
        clean++;
    }
    g_assert_cmpuint(dirty_bitmap_next(o->block, c, from), ==, set);
    g_assert_cmpuint(dirty_bitmap_next_clean(o->block, c, from, end), ==,
                     clean);
}

static void check_all(Oracle *o)
{
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        g_autoptr(GError) error = NULL;
        uint64_t count = 0;

        g_assert_cmpint(dirty_client_is_on(&o->list, c), ==, o->on[c]);
        for (uint64_t i = 0; i < o->block->npages; i++) {
            g_assert_cmpint(dirty_bitmap_test(o->block, c, i), ==,
                            o->dirty[c][i]);
            count += o->dirty[c][i];
        }
        g_assert_cmpuint(dirty_bitmap_count(o->block, c), ==, count);
        check_searches(o, c);
        if (o->on[c]) {
            dirty_balance_check(o->block, c, &error);
            g_assert_no_error(error);
        }
    }
}

static void step(Oracle *o)
{
    DirtyClient c = g_test_rand_int_range(0, DIRTY_CLIENT_MAX);

    switch (g_test_rand_int_range(0, 8)) {
    case 0:
        step_switch(o, c);
        break;
    case 1:
    case 2:
        step_mark(o);
        break;
    case 3:
    case 4:
        step_or_words(o);
        break;
    case 5:
        step_take(o, c);
        break;
    case 6:
        step_take_range(o, c);
        break;
    default:
        step_give_back(o, c);
    }
}

static void test_random_programs_match_oracle(void)
{
    for (int p = 0; p < PROGRAMS; p++) {
        Oracle o;

        oracle_init(&o, page_counts[p % G_N_ELEMENTS(page_counts)]);
        step_switch(&o, p % DIRTY_CLIENT_MAX);
        for (int s = 0; s < STEPS; s++) {
            step(&o);
            if (s % 8 == 7) {
                check_all(&o);
            }
        }
        check_all(&o);
        ram_list_done(&o.list);
    }
}

/* Every alignment of the first page with every length around the words. */
static void test_or_words_every_offset(void)
{
    static const uint64_t lengths[] = { 0, 1, 63, 64, 65, 127, 128, 130 };
    uint64_t words[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };

    for (uint64_t first = 0; first <= 130; first++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
            Oracle o;

            oracle_init(&o, 260);
            step_switch(&o, DIRTY_CLIENT_RATE);
            memset(o.dirty, false, sizeof(o.dirty));
            dirty_client_stop(&o.list, DIRTY_CLIENT_RATE);
            dirty_client_start(&o.list, DIRTY_CLIENT_RATE, false, NULL);
            dirty_bitmap_or_words(&o.list, o.block, first, words, lengths[i],
                                  NULL);
            memset(&o.dirty[DIRTY_CLIENT_RATE][first], true, lengths[i]);
            check_all(&o);
            ram_list_done(&o.list);
        }
    }
}

static void test_balance_counts_and_catches(void)
{
    g_autoptr(GError) error = NULL;
    uint64_t word = 0xf0;
    DirtyBalance b;
    Oracle o;

    oracle_init(&o, 100);
    dirty_client_start(&o.list, DIRTY_CLIENT_MIGRATION, true, NULL);
    dirty_bitmap_take(o.block, DIRTY_CLIENT_MIGRATION, 4);
    dirty_bitmap_take(o.block, DIRTY_CLIENT_MIGRATION, 4);
    dirty_bitmap_or_words(&o.list, o.block, 0, &word, 8, NULL);
    dirty_bitmap_mark(&o.list, o.block, 50, 7);
    dirty_balance_get(o.block, DIRTY_CLIENT_MIGRATION, &b);
#ifdef TM_DEBUG_CHECKS
    g_assert_cmpuint(b.initial, ==, 100);
    g_assert_cmpuint(b.fetched, ==, 4);
    g_assert_cmpuint(b.marked, ==, 7);
    g_assert_cmpuint(b.fresh, ==, 1);
    g_assert_cmpuint(b.already, ==, 10);
    g_assert_cmpuint(b.taken, ==, 1);
    g_assert_true(dirty_balance_check(o.block, DIRTY_CLIENT_MIGRATION, NULL));

    /* A bit that vanishes behind the functions' back is found out. */
    bitmap_clear(o.block->dirty[DIRTY_CLIENT_MIGRATION], 70, 1);
    g_assert_false(dirty_balance_check(o.block, DIRTY_CLIENT_MIGRATION,
                                       &error));
    g_assert_nonnull(strstr(error->message, "'ram'"));
    g_assert_nonnull(strstr(error->message, "'migration'"));
#else
    g_assert_cmpuint(b.taken, ==, 0);
#endif
    ram_list_done(&o.list);
}

static void test_start_twice_is_refused_by_name(void)
{
    g_autoptr(GError) error = NULL;
    Oracle o;

    oracle_init(&o, 3);
    g_assert_true(dirty_client_start(&o.list, DIRTY_CLIENT_DISPLAY, false,
                                     &error));
    g_assert_no_error(error);
    g_assert_false(dirty_client_start(&o.list, DIRTY_CLIENT_DISPLAY, true,
                                      &error));
    g_assert_nonnull(strstr(error->message, "'display'"));
    g_assert_cmpuint(dirty_bitmap_count(o.block, DIRTY_CLIENT_DISPLAY), ==,
                     0);
    ram_list_done(&o.list);
}

static void test_never_started_client_is_clean(void)
{
    Oracle o;

    oracle_init(&o, 3);
    dirty_bitmap_mark(&o.list, o.block, 0, 3);
    g_assert_cmpuint(dirty_bitmap_count(o.block, DIRTY_CLIENT_RATE), ==, 0);
    g_assert_cmpuint(dirty_bitmap_next(o.block, DIRTY_CLIENT_RATE, 0), ==, 3);
    g_assert_cmpuint(dirty_bitmap_next_clean(o.block, DIRTY_CLIENT_RATE, 1,
                                             3), ==, 1);
    g_assert_false(dirty_bitmap_test(o.block, DIRTY_CLIENT_RATE, 0));
    ram_list_done(&o.list);
}

/* A marker that asked before the stop and comes after it. */
static void test_late_mark_is_forgotten(void)
{
    Oracle o;

    oracle_init(&o, 100);
    dirty_client_start(&o.list, DIRTY_CLIENT_RATE, false, NULL);
    dirty_client_stop(&o.list, DIRTY_CLIENT_RATE);
    dirty_bitmap_mark_client(o.block, DIRTY_CLIENT_RATE, 7, 80);
    dirty_client_start(&o.list, DIRTY_CLIENT_RATE, false, NULL);
    g_assert_cmpuint(dirty_bitmap_count(o.block, DIRTY_CLIENT_RATE), ==, 0);
    g_assert_true(dirty_balance_check(o.block, DIRTY_CLIENT_RATE, NULL));
    ram_list_done(&o.list);
}

/*
 * Two writers and a taker. Page p holds a number that its writers raise and
 * then mark; the taker copies what it takes. Whatever is not dirty at the end
 * must have been copied in its last state.
 */
#define RACE_PAGES 130
#define RACE_WRITES 40000

typedef struct Race {
    RAMList list;
    RAMBlock *block;
    uint64_t copy[RACE_PAGES];
    int writers; /* still at work; atomic */
} Race;

static uint64_t *page_number(Race *r, uint64_t page)
{
    return (uint64_t *)(r->block->host + page * TM_PAGE_BYTES);
}

static gpointer race_writer(gpointer data)
{
    Race *r = data;
    GRand *rand = g_rand_new_with_seed(GPOINTER_TO_UINT(&r));

    for (int i = 0; i < RACE_WRITES; i++) {
        uint64_t page = g_rand_int_range(rand, 0, RACE_PAGES);

        __atomic_fetch_add(page_number(r, page), 1, __ATOMIC_RELAXED);
        if (i % 2) {
            dirty_bitmap_mark(&r->list, r->block, page, 1);
        } else {
            uint64_t word = 1;

            dirty_bitmap_or_words(&r->list, r->block, page, &word, 1, NULL);
        }
    }
    g_rand_free(rand);
    __atomic_fetch_sub(&r->writers, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void race_take_round(Race *r)
{
    uint64_t page = 0;

    while ((page = dirty_bitmap_next(r->block, DIRTY_CLIENT_MIGRATION, page))
           < RACE_PAGES) {
        if (dirty_bitmap_take(r->block, DIRTY_CLIENT_MIGRATION, page)) {
            r->copy[page] = __atomic_load_n(page_number(r, page),
                                            __ATOMIC_RELAXED);
        }
        page++;
    }
}

static void race_take_range(Race *r)
{
    uint64_t words[3];

    dirty_bitmap_take_range(r->block, DIRTY_CLIENT_MIGRATION, 3, 121, words);
    for (uint64_t i = 0; i < 121; i++) {
        if (bitmap_test_bit(words, i)) {
            r->copy[i + 3] = __atomic_load_n(page_number(r, i + 3),
                                             __ATOMIC_RELAXED);
        }
    }
}

static void race_check_balance(Race *r)
{
    g_autoptr(GError) error = NULL;

    dirty_balance_check(r->block, DIRTY_CLIENT_MIGRATION, &error);
    g_assert_no_error(error);
}

static void test_two_writers_and_a_taker_lose_nothing(void)
{
    Race r = { .writers = 2 };
    GThread *writers[2];

    ram_list_init(&r.list);
    r.block = ram_list_add_anon(&r.list, "ram", RACE_PAGES * TM_PAGE_BYTES,
                                NULL);
    dirty_client_start(&r.list, DIRTY_CLIENT_MIGRATION, true, NULL);
    for (int i = 0; i < 2; i++) {
        writers[i] = g_thread_new("writer", race_writer, &r);
    }
    for (int i = 0; __atomic_load_n(&r.writers, __ATOMIC_ACQUIRE); i++) {
        race_check_balance(&r);
        if (i % 2) {
            race_take_round(&r);
        } else {
            race_take_range(&r);
        }
    }
    for (int i = 0; i < 2; i++) {
        g_thread_join(writers[i]);
    }
    race_take_round(&r);
    race_check_balance(&r);
    for (uint64_t p = 0; p < RACE_PAGES; p++) {
        g_assert_cmpuint(r.copy[p], ==, *page_number(&r, p));
    }
    ram_list_done(&r.list);
}

static void test_start_and_stop_beside_writers_is_safe(void)
{
    Race r = { .writers = 2 };
    GThread *writers[2];

    ram_list_init(&r.list);
    r.block = ram_list_add_anon(&r.list, "ram", RACE_PAGES * TM_PAGE_BYTES,
                                NULL);
    for (int i = 0; i < 2; i++) {
        writers[i] = g_thread_new("writer", race_writer, &r);
    }
    while (__atomic_load_n(&r.writers, __ATOMIC_ACQUIRE)) {
        dirty_client_start(&r.list, DIRTY_CLIENT_MIGRATION, false, NULL);
        race_take_round(&r);
        race_check_balance(&r);
        dirty_client_stop(&r.list, DIRTY_CLIENT_MIGRATION);
    }
    for (int i = 0; i < 2; i++) {
        g_thread_join(writers[i]);
    }
    dirty_client_start(&r.list, DIRTY_CLIENT_MIGRATION, false, NULL);
    g_assert_cmpuint(dirty_bitmap_count(r.block, DIRTY_CLIENT_MIGRATION), ==,
                     0);
    ram_list_done(&r.list);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-bitmap/random/matches-oracle",
                    test_random_programs_match_oracle);
    g_test_add_func("/dirty-bitmap/or-words/every-offset",
                    test_or_words_every_offset);
    g_test_add_func("/dirty-bitmap/balance/counts-and-catches",
                    test_balance_counts_and_catches);
    g_test_add_func("/dirty-bitmap/start/twice-is-refused-by-name",
                    test_start_twice_is_refused_by_name);
    g_test_add_func("/dirty-bitmap/start/never-started-is-clean",
                    test_never_started_client_is_clean);
    g_test_add_func("/dirty-bitmap/stop/late-mark-is-forgotten",
                    test_late_mark_is_forgotten);
    g_test_add_func("/dirty-bitmap/threads/lose-nothing",
                    test_two_writers_and_a_taker_lose_nothing);
    g_test_add_func("/dirty-bitmap/threads/start-and-stop-is-safe",
                    test_start_and_stop_beside_writers_is_safe);
    return g_test_run();
}
