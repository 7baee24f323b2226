/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by faults from a file with checksums: a page that is wrong is found
 * whoever brings it and whenever, also before the table is known, and nothing
 * of it reaches memory.
 */
#include <glib.h>
#include <string.h>

#include "tests/unit/fake-mapped.h"
#include "util/userfaultfd.h"

#define NPAGES 600
#define ZEROS 300               /* from this page on */
#define BAD 77
#define DATA_PLACE (1 << 20)    /* of block b0's pages, see test-restore.c */
#define WAIT_US (60 * G_USEC_PER_SEC)

typedef struct Rig {
    FakeMapped src, dst;
    Restore *r;
    PageSums *table;            /* what the table of the file says */
    GMutex lock;
    GCond told;
    bool ended;
    char *error;
} Rig;

static void ended(void *opaque, const GError *error)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->lock);
    rig->ended = true;
    rig->error = error ? g_strdup(error->message) : NULL;
    g_cond_broadcast(&rig->told);
    g_mutex_unlock(&rig->lock);
}

static uint64_t slowly(void *opaque)
{
    return 1; /* in effect nothing is fetched but the first pages */
}

static bool can_fault(void)
{
    g_autoptr(GError) error = NULL;
    uint64_t features;

    if (!uffd_probe(NULL, &features, &error)) {
        g_test_skip(error->message);
        return false;
    }
    return true;
}

static RAMBlock *block_of(const FakeMapped *f)
{
    return fake_mapped_block(f, 0);
}

/* To where pages may be touched. @rate: as in RestoreConfig. */
static void rig_start(Rig *rig, RestoreRateFn *rate)
{
    const RestoreConfig config = {
        .mode = RESTORE_MODE_FAULT, .ended = ended, .opaque = rig,
        .rate = rate, .read_ahead_bytes = 4096, .must_check = true,
    };
    g_autoptr(GError) error = NULL;

    *rig = (Rig) { .table = page_sums_new() };
    g_mutex_init(&rig->lock);
    g_cond_init(&rig->told);
    fake_mapped_init(&rig->src, 1, &(uint64_t){ NPAGES });
    fake_mapped_init(&rig->dst, 1, &(uint64_t){ NPAGES });
    for (uint64_t page = 0; page < ZEROS; page++) {
        fake_mapped_fill(block_of(&rig->src), page, page + 1);
    }
    fake_mapped_save(&rig->src);
    page_sums_add(rig->table, "b0", NPAGES, &error);
    g_assert_no_error(error);
    rig->r = restore_new(rig->src.file, &config);
    restore_set_sums(rig->r, rig->table);
    fake_mapped_take(&rig->src, &rig->dst.list, rig->r, &error);
    g_assert_no_error(error);
    restore_memory(rig->r, &error);
    g_assert_no_error(error);
}

/* As the loader does when it comes to it. */
static bool read_table(Rig *rig, GError **error)
{
    page_sums_note_range(page_sums_find(rig->table, "b0"),
                         block_of(&rig->src)->host, 0, NPAGES);
    return restore_hold_sums(rig->r, g_steal_pointer(&rig->table), error);
}

static void spoil(const Rig *rig, uint64_t page)
{
    fake_mapped_poke(&rig->src, DATA_PLACE + page * TM_PAGE_BYTES + 1234, "!",
                     1);
}

static uint64_t look(const Rig *rig, uint64_t page)
{
    return *(volatile uint64_t *)(block_of(&rig->dst)->host +
                                  page * TM_PAGE_BYTES);
}

/* @words: of the error; NULL: there is none. */
static void expect_end(Rig *rig, const char *words)
{
    gint64 until = g_get_monotonic_time() + WAIT_US;

    g_mutex_lock(&rig->lock);
    while (!rig->ended) {
        g_assert_true(g_cond_wait_until(&rig->told, &rig->lock, until));
    }
    g_mutex_unlock(&rig->lock);
    g_assert_cmpstr(rig->error, ==, words);
}

static void rig_done(Rig *rig)
{
    restore_free(rig->r);
    page_sums_free(rig->table);
    fake_mapped_done(&rig->dst);
    fake_mapped_done(&rig->src);
    g_cond_clear(&rig->told);
    g_mutex_clear(&rig->lock);
    g_free(rig->error);
}

#define WRONG(page) \
    "page at " page " of RAM block 'b0' is not what was sent last"

static void test_right_pages_come(void)
{
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, NULL);
    g_assert_cmpuint(look(&rig, 10), ==, 11); /* before there is a table */
    g_assert_cmpuint(look(&rig, ZEROS), ==, 0);
    read_table(&rig, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(look(&rig, 20), ==, 21);
    restore_fetch(rig.r);
    expect_end(&rig, NULL);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    rig_done(&rig);
}

static void test_fetcher_finds_a_wrong_page(void)
{
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, NULL);
    spoil(&rig, BAD);
    read_table(&rig, &error);
    g_assert_no_error(error);
    restore_fetch(rig.r);
    expect_end(&rig, WRONG("0x4d000"));
    rig_done(&rig);
}

static void test_toucher_is_not_given_a_wrong_page(void)
{
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, slowly);
    spoil(&rig, BAD);
    read_table(&rig, &error);
    g_assert_no_error(error);
    restore_fetch(rig.r);
    g_assert_cmpuint(look(&rig, BAD), ==, 0); /* it is let go, empty-handed */
    expect_end(&rig, WRONG("0x4d000"));
    rig_done(&rig);
}

static void test_early_pages_are_held_too(void)
{
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, NULL);
    spoil(&rig, BAD);
    g_assert_cmpuint(look(&rig, BAD), ==, BAD + 1);
    g_assert_false(read_table(&rig, &error));
    g_assert_cmpstr(error->message, ==, WRONG("0x4d000"));
    rig_done(&rig);
}

/* The bitmap says zeros, the table does not. */
static void test_missing_pages_are_found(void)
{
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, NULL);
    fake_mapped_fill(block_of(&rig.src), ZEROS + 1, 5);
    g_assert_false(read_table(&rig, &error));
    g_assert_cmpstr(error->message, ==, WRONG("0x12d000"));
    rig_done(&rig);
}

/* A file without a table: nothing to hold anything against. */
static void test_no_table(void)
{
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, NULL);
    g_assert_cmpuint(look(&rig, 10), ==, 11);
    restore_fetch(rig.r);
    expect_end(&rig, NULL);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    rig_done(&rig);
}

#define T(path, fn) g_test_add_func("/restore-sums/" path, fn)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    T("right-pages-come", test_right_pages_come);
    T("wrong/fetcher-finds-it", test_fetcher_finds_a_wrong_page);
    T("wrong/toucher-is-not-given-it", test_toucher_is_not_given_a_wrong_page);
    T("wrong/early-pages-too", test_early_pages_are_held_too);
    T("wrong/missing-pages", test_missing_pages_are_found);
    T("no-table", test_no_table);
    return g_test_run();
}
