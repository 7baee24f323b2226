/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Working sets: what was written is read again, for the same file only, and
 * whatever else stands there is found out, and never written over if it is not
 * ours.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "migration/restore-set.h"
#include "tests/unit/fake-mapped.h"
#include "util/byteorder.h"

static const uint64_t block_pages[] = {130, 5};
static const WorkingRun some[] = { { 0, 7, 3 }, { 1, 4, 1 }, { 0, 0, 130 } };

typedef struct Rig {
    FakeMapped f;
    Restore *r;
    char *dir, *path;
} Rig;

/* @odd: a page that the file has, and those of other rigs may not. */
static void rig_init(Rig *rig, uint64_t odd)
{
    const RestoreConfig config = { .mode = RESTORE_MODE_FAULT };
    g_autoptr(GError) error = NULL;

    fake_mapped_init(&rig->f, 2, block_pages);
    fake_mapped_fill(fake_mapped_block(&rig->f, 0), 129, 1);
    fake_mapped_fill(fake_mapped_block(&rig->f, 0), odd, 1);
    fake_mapped_save(&rig->f);
    rig->r = restore_new(rig->f.file, &config);
    fake_mapped_take(&rig->f, &rig->f.list, rig->r, &error);
    g_assert_no_error(error);
    rig->dir = g_dir_make_tmp("test-restore-set-XXXXXX", NULL);
    rig->path = g_build_filename(rig->dir, "set", NULL);
}

static void rig_done(Rig *rig)
{
    g_unlink(rig->path);
    g_rmdir(rig->dir);
    g_free(rig->path);
    g_free(rig->dir);
    restore_free(rig->r);
    fake_mapped_done(&rig->f);
}

static void save_some(const Rig *rig)
{
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    g_autoptr(GError) error = NULL;

    g_array_append_vals(runs, some, G_N_ELEMENTS(some));
    working_set_save(rig->r, rig->path, runs, &error);
    g_assert_no_error(error);
}

/* @words: of the warning; NULL: none is expected. */
static void expect(const Rig *rig, unsigned n, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;
    g_autoptr(GArray) runs = working_set_load(rig->r, rig->path, &said, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(runs->len, ==, n);
    if (words) {
        g_assert_nonnull(said);
        g_assert_nonnull(strstr(said, words));
    } else {
        g_assert_cmpstr(said, ==, NULL);
    }
}

static void test_round_trip(void)
{
    g_autofree char *said = NULL;
    g_autoptr(GArray) runs = NULL;
    Rig rig;

    rig_init(&rig, 3);
    expect(&rig, 0, NULL); /* no file yet */
    save_some(&rig);
    runs = working_set_load(rig.r, rig.path, &said, NULL);
    g_assert_cmpuint(runs->len, ==, 3);
    for (unsigned i = 0; i < 3; i++) {
        const WorkingRun *run = &g_array_index(runs, WorkingRun, i);

        g_assert_cmpuint(run->index, ==, some[i].index);
        g_assert_cmpuint(run->first, ==, some[i].first);
        g_assert_cmpuint(run->n, ==, some[i].n);
    }
    save_some(&rig); /* over the old one */
    expect(&rig, 3, NULL);
    rig_done(&rig);
}

static void test_other_file_is_told(void)
{
    Rig rig, other;

    rig_init(&rig, 3);
    rig_init(&other, 4);
    save_some(&rig);
    g_assert_cmpint(g_rename(rig.path, other.path), ==, 0);
    expect(&other, 0, "it is of another file");
    save_some(&other); /* replaced */
    expect(&other, 3, NULL);
    rig_done(&other);
    rig_done(&rig);
}

static void put(const Rig *rig, const char *data, size_t n)
{
    g_autoptr(GError) error = NULL;

    g_file_set_contents(rig->path, data, n, &error);
    g_assert_no_error(error);
}

/* Each byte changed, and each length shorter. */
static void test_damage_is_found(void)
{
    g_autofree char *data = NULL;
    g_autofree char *longer = NULL;
    gsize n;
    Rig rig;

    rig_init(&rig, 3);
    save_some(&rig);
    g_assert_true(g_file_get_contents(rig.path, &data, &n, NULL));
    g_assert_cmpuint(n, ==, 24 + 3 * 16 + 8);
    for (gsize i = 8; i < n; i++) {
        data[i] ^= 1 << i % 8;
        put(&rig, data, n);
        expect(&rig, 0, "it is damaged");
        data[i] ^= 1 << i % 8;
    }
    for (gsize i = 8; i < n; i++) {
        put(&rig, data, i);
        expect(&rig, 0, i < 32 ? "it is cut" : "it is damaged");
    }
    put(&rig, data, 0);
    expect(&rig, 0, "it is cut");
    longer = g_malloc0(n + 16);
    memcpy(longer, data, n);
    put(&rig, longer, n + 16);
    expect(&rig, 0, "it is damaged");
    put(&rig, data, n);
    expect(&rig, 3, NULL);
    rig_done(&rig);
}

/* A record that is whole, but made by somebody who means no good. */
static void test_pages_are_checked(void)
{
    static const WorkingRun bad[] = {
        { 2, 0, 1 }, { 0, 130, 1 }, { 0, 129, 2 }, { 1, 0, 6 }, { 0, 5, 0 },
        { 0, UINT64_MAX, 1 }, { 0, UINT64_MAX - 1, 4 }, { UINT32_MAX, 0, 1 },
    };
    Rig rig;

    rig_init(&rig, 3);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));

        g_array_append_val(runs, some[0]);
        g_array_append_val(runs, bad[i]);
        g_assert_true(working_set_save(rig.r, rig.path, runs, NULL));
        expect(&rig, 0, "it has pages that the machine has not");
    }
    rig_done(&rig);
}

/* All are of the machine, but there are more than it has: who looks for what
 * is missing in each would be at it for hours. */
static void test_pages_are_there_once(void)
{
    static const WorkingRun all[] = { { 0, 0, 130 }, { 1, 0, 5 }, { 0, 7, 1 } };
    Rig rig;

    rig_init(&rig, 3);
    for (unsigned n = 2; n <= 3; n++) {
        g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));

        g_array_append_vals(runs, all, n);
        g_assert_true(working_set_save(rig.r, rig.path, runs, NULL));
        expect(&rig, n == 2 ? 2 : 0,
               n == 2 ? NULL : "it has pages that the machine has not");
    }
    rig_done(&rig);
}

static void refuse(const Rig *rig, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;

    g_assert_null(working_set_load(rig->r, rig->path, &said, &error));
    g_assert_nonnull(strstr(error->message, words));
    g_assert_cmpstr(said, ==, NULL);
}

static void test_what_is_not_ours_is_refused(void)
{
    Rig rig;

    rig_init(&rig, 3);
    put(&rig, "my thesis", 9);
    refuse(&rig, "is no working set, and is not written over");
    put(&rig, "TM", 2);
    refuse(&rig, "is no working set, and is not written over");
    g_unlink(rig.path);
    g_assert_cmpint(g_mkdir(rig.path, 0700), ==, 0);
    refuse(&rig, "no regular file");
    g_rmdir(rig.path);
    put(&rig, "TMwrkset", 8);
    g_assert_cmpint(truncate(rig.path, (64 << 20) + 1), ==, 0);
    refuse(&rig, "too large");
    rig_done(&rig);
}

static void test_failed_write_is_told(void)
{
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    g_autoptr(GError) error = NULL;
    Rig rig;

    rig_init(&rig, 3);
    g_assert_false(working_set_save(rig.r, "/proc/no/such", runs, &error));
    g_assert_nonnull(strstr(error->message, "cannot write the working set "
                            "'/proc/no/such'"));
    rig_done(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/restore-set/" path, fn)
    T("round-trip", test_round_trip);
    T("load/other-file", test_other_file_is_told);
    T("load/damage", test_damage_is_found);
    T("load/pages-are-checked", test_pages_are_checked);
    T("load/pages-are-there-once", test_pages_are_there_once);
    T("load/not-ours", test_what_is_not_ours_is_refused);
    T("save/failure", test_failed_write_is_told);
#undef T
    return g_test_run();
}
