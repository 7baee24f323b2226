/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restores that run out of mappings halfway (the C library's mmap() is ours
 * here): what cannot be mapped is read, nothing of the file stays in memory,
 * and pages of zeros are zeros, whatever the file has in their place.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/fake-mapped.h"

#define NPAGES 4096
#define SECOND 3000            /* where the second piece begins */
#define STALE 50
#define PAGES (1 << 20)        /* of b0 in the file, see test-mapped-save.c */

static int maps_left = -1; /* of files over memory; -1: as many as you like */

void *mmap(void *addr, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (fd >= 0 && (flags & MAP_FIXED) && maps_left >= 0 && !maps_left--) {
        maps_left = 0;
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, addr, n, prot, flags, fd, offset);
}

/* Two pieces, and in each a page of zeros that the file has other bytes for. */
static void save(FakeMapped *f)
{
    static const uint64_t npages[] = { NPAGES };
    g_autofree char *stale = g_strnfill(TM_PAGE_BYTES, 's');

    fake_mapped_init(f, 1, npages);
    for (uint64_t page = 0; page < 100; page++) {
        if (page != STALE) {
            fake_mapped_fill(fake_mapped_block(f, 0), page, page + 1);
            fake_mapped_fill(fake_mapped_block(f, 0), SECOND + page, page + 7);
        }
    }
    fake_mapped_save(f);
    fake_mapped_poke(f, PAGES + STALE * TM_PAGE_BYTES, stale, TM_PAGE_BYTES);
    fake_mapped_poke(f, PAGES + (SECOND + STALE) * TM_PAGE_BYTES, stale,
                     TM_PAGE_BYTES);
}

/* @works: how many mappings of the file. */
static void restores(RestoreMode mode, int works, bool whole)
{
    const RestoreConfig config = { .mode = mode };
    g_autoptr(GError) error = NULL;
    FakeMapped f, g;
    Restore *r;
    bool ok;

    save(&f);
    fake_mapped_init(&g, 1, &(uint64_t){ NPAGES });
    fake_mapped_fill(fake_mapped_block(&g, 0), STALE, 9);
    r = restore_new(f.file, &config);
    g_assert_true(fake_mapped_take(&f, &g.list, r, &error));
    maps_left = works;
    ok = restore_memory(r, &error);
    maps_left = -1;
    g_assert_cmpint(ok, ==, whole || mode == RESTORE_MODE_AUTO);
    if (ok) {
        fake_mapped_assert_same(&f.list, &g.list);
    } else {
        g_assert_nonnull(strstr(error->message, "Cannot allocate memory"));
    }
    g_assert_cmpint(restore_needs_file(r), ==, whole);
    g_assert_cmpint(fake_mapped_block(&g, 0)->mem->shows_file, ==, whole);
    restore_free(r);
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

static void test_auto_reads_what_cannot_be_mapped(void)
{
    restores(RESTORE_MODE_AUTO, 2, true);
    restores(RESTORE_MODE_AUTO, 1, false);
    restores(RESTORE_MODE_AUTO, 0, false);
}

static void test_map_fails_and_leaves_nothing(void)
{
    restores(RESTORE_MODE_MAP, 2, true);
    restores(RESTORE_MODE_MAP, 1, false);
    restores(RESTORE_MODE_MAP, 0, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/restore-map/auto-reads-what-cannot-be-mapped",
                    test_auto_reads_what_cannot_be_mapped);
    g_test_add_func("/restore-map/map-fails-and-leaves-nothing",
                    test_map_fails_and_leaves_nothing);
    return g_test_run();
}
