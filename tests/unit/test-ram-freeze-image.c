/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frozen memory, byte for byte: threads write all the time, stand still
 * for one moment, in which the test copies memory, and write on; what the
 * freeze gives out is compared with that copy. Every kind of memory, with
 * pages that nobody has touched before the moment.
 */
#include <glib.h>
#include <string.h>

#include "freeze-rig.h"
#include "util/bitmap.h"

#define PAGES 2048             /* 8 MiB: huge pages where there are */
#define WRITERS 2
#define HELD 24                /* copies kept back now and then */

typedef struct Image {
    Rig *rig;
    uint64_t first[RIG_BLOCKS];
    uint8_t *bytes;            /* of all blocks, one after another */
    uint64_t *seen;
    uint64_t n_seen, n_faulted;
} Image;

static void image_init(Image *image, Rig *rig)
{
    *image = (Image) {
        .rig = rig, .first = { 0, rig->blocks[0]->npages },
        .bytes = g_malloc(rig->total_pages * RIG_PAGE),
        .seen = bitmap_try_new(rig->total_pages, NULL),
    };
    memset(image->bytes, 0xee, rig->total_pages * RIG_PAGE);
}

static void image_done(Image *image)
{
    g_free(image->bytes);
    g_free(image->seen);
}

static void image_add(Image *image, const RamCopy *copy)
{
    uint64_t page = image->first[copy->index] + copy->page;
    uint8_t *to = image->bytes + page * RIG_PAGE;

    g_assert_true(copy->block == image->rig->blocks[copy->index]);
    g_assert_cmpuint(copy->page, <, copy->block->npages);
    g_assert_false(bitmap_test_bit(image->seen, page)); /* once only */
    bitmap_set_bit(image->seen, page);
    image->n_seen++;
    image->n_faulted += copy->faulted;
    if (copy->data) {
        g_assert_cmpuint((uintptr_t)copy->data % RIG_PAGE, ==, 0);
        memcpy(to, copy->data, RIG_PAGE);
    } else {
        memset(to, 0, RIG_PAGE);
    }
}

/* Take everything, in pieces, with waits, and hold some of it for a while. */
static void image_take(Image *image, RamFreeze *freeze)
{
    g_autoptr(GError) error = NULL;
    RamCopy copies[64], held[HELD];
    unsigned n_held = 0;

    while (!ram_freeze_is_done(freeze)) {
        unsigned max = g_test_rand_int_range(1, G_N_ELEMENTS(copies) + 1);
        bool only_faulted = g_test_rand_int_range(0, 4) == 0;
        int n = ram_freeze_take(freeze, copies, max, only_faulted,
                                g_test_rand_int_range(0, 2000000), &error);

        g_assert_no_error(error);
        g_assert_cmpint(n, <=, max);
        for (int i = 0; i < n; i++) {
            g_assert_true(copies[i].faulted || !only_faulted);
            image_add(image, &copies[i]);
        }
        if (n > 0 && n <= HELD && !n_held) {
            memcpy(held, copies, n * sizeof(copies[0]));
            n_held = n;
            continue;
        }
        ram_freeze_recycle(freeze, copies, MAX(n, 0));
        if (g_test_rand_int_range(0, 8) == 0) {
            ram_freeze_recycle(freeze, held, n_held);
            n_held = 0;
            g_usleep(g_test_rand_int_range(0, 300));
        }
    }
}

/* Memory at this moment. Pages that nobody has touched are not read, which
 * would make them present. */
static uint8_t *copy_oracle(const Rig *rig, uint64_t touched)
{
    uint8_t *oracle = g_malloc0(rig->total_pages * RIG_PAGE);

    for (uint64_t page = 0; page < touched; page++) {
        memcpy(oracle + page * RIG_PAGE, rig_page(rig, page, NULL), RIG_PAGE);
    }
    return oracle;
}

static void compare(const Image *image, const uint8_t *oracle)
{
    uint64_t wrong = 0, moved_on = 0;

    for (uint64_t page = 0; page < image->rig->total_pages; page++) {
        const uint8_t *then = oracle + page * RIG_PAGE;

        if (memcmp(image->bytes + page * RIG_PAGE, then, RIG_PAGE)) {
            wrong++;
            g_test_message("page %" G_GUINT64_FORMAT " differs", page);
        }
        moved_on += memcmp(rig_page(image->rig, page, NULL), then,
                           RIG_PAGE) != 0;
    }
    g_assert_cmpuint(wrong, ==, 0);
    g_assert_cmpuint(image->n_seen, ==, image->rig->total_pages);
    g_assert_cmpuint(moved_on, >, 0); /* else it was no test */
}

static uint64_t stores_of(const Rig *rig)
{
    return __atomic_load_n(&rig->stores, __ATOMIC_RELAXED);
}

static void wait_for_stores(const Rig *rig, uint64_t since, uint64_t n)
{
    while (stores_of(rig) - since < n) {
        rig_wait_a_little();
    }
}

static void check_stats(const RamFreeze *freeze, const Image *image)
{
    RamFreezeStats stats;

    ram_freeze_stats(freeze, &stats);
    g_assert_cmpint(stats.phase, ==, RAM_FREEZE_COPIED);
    g_assert_cmpuint(stats.total_pages, ==, image->n_seen);
    g_assert_cmpuint(stats.faulted_pages, ==, image->n_faulted);
    g_assert_cmpuint(stats.faulted_pages + stats.scanned_pages, ==,
                     image->n_seen);
    g_assert_cmpuint(stats.pool_high_pages, <=, stats.pool_pages);
    g_assert_cmpuint(stats.overdraft_high_pages, ==, 0);
    g_assert_cmpuint(stats.oldest_fault_ns, ==, 0);
}

/* One snapshot: @touched pages are written before the moment, all after. */
static void one_round(Rig *rig, uint64_t touched)
{
    uint64_t paused_at;
    RamFreeze *freeze;
    uint8_t *oracle;
    Image image;

    image_init(&image, rig);
    wait_for_stores(rig, stores_of(rig), g_test_rand_int_range(1, 1000));
    freeze = rig_freeze(rig);
    wait_for_stores(rig, stores_of(rig), g_test_rand_int_range(1, 50));
    rig_pause(rig);
    oracle = copy_oracle(rig, touched);
    g_assert_true(ram_freeze_now(freeze, NULL));
    __atomic_store_n(&rig->reach, rig->total_pages, __ATOMIC_RELAXED);
    paused_at = stores_of(rig);
    rig_resume(rig);
    wait_for_stores(rig, paused_at, 1);
    image_take(&image, freeze);
    check_stats(freeze, &image);
    rig_pause(rig);
    compare(&image, oracle);
    ram_freeze_free(freeze);
    rig_resume(rig);
    g_free(oracle);
    image_done(&image);
}

static void run_rounds(RigKind kind, uint64_t hide)
{
    unsigned rounds = g_test_slow() ? 100 : 3;

    for (unsigned i = 0; i < rounds; i++) {
        Rig *rig = rig_new(kind, RIG_BLOCKS, PAGES);
        uint64_t touched = PAGES / 2;

        if (!rig) {
            return;
        }
        rig_set(hide, hide);
        rig->config.detect_zero = i % 3 != 2;
        rig_fill(rig, touched);
        rig->reach = touched;
        rig_start(rig, WRITERS);
        one_round(rig, touched);
        one_round(rig, rig->total_pages); /* nothing is left behind */
        rig_free(rig);
    }
}

static void test_image_is_the_moment(gconstpointer opaque)
{
    run_rounds(GPOINTER_TO_UINT(opaque), 0);
}

/* A kernel before 6.4, which protects no page that was never touched. */
static void test_image_without_protected_holes(void)
{
    run_rounds(RIG_ANONYMOUS, UFFD_WP_HOLES);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned k = 0; k < RIG_KINDS; k++) {
        g_autofree char *path = g_strdup_printf(
            "/ram-freeze-image/is-the-moment/%s", rig_kind_name(k));

        g_test_add_data_func(path, GUINT_TO_POINTER(k),
                             test_image_is_the_moment);
    }
    g_test_add_func("/ram-freeze-image/is-the-moment/without-protected-holes",
                    test_image_without_protected_holes);
    return g_test_run();
}
