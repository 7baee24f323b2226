/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's half of capability mapped-ram: memory of every kind, fresh
 * and not, becomes what the file says; and every number of a header and every
 * bit of a bitmap that makes no sense is found before anything is done.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/mapped-layout.h"
#include "tests/unit/fake-mapped.h"
#include "tests/unit/fake-threads.h"
#include "util/bitmap.h"
#include "util/byteorder.h"
#include "util/userfaultfd.h"

static const RestoreConfig plain = { .mode = RESTORE_MODE_READ };
static const RestoreConfig map = { .mode = RESTORE_MODE_MAP };
static const RestoreConfig fault = { .mode = RESTORE_MODE_FAULT };
static const RestoreConfig automatic = { .mode = RESTORE_MODE_AUTO };
static const uint64_t two_blocks[] = {130, 5};

#define HEADER 111             /* of b0, see test-mapped-save.c */
#define BITMAP (HEADER + 28)
#define PAGES (1 << 20)

/* Pages of both blocks: data, zeros, and both at the edges of words. */
static void fill(FakeMapped *f)
{
    RAMBlock *block = fake_mapped_block(f, 0);

    for (unsigned page = 0; page < 130; page++) {
        if (page % 7 < 3 || page == 63 || page == 129) {
            fake_mapped_fill(block, page, 1000 + page);
        }
    }
    fake_mapped_fill(fake_mapped_block(f, 1), 0, 5);
}

static void set_up(FakeMapped *f)
{
    fake_mapped_init(f, 2, two_blocks);
    fill(f);
    fake_mapped_save(f);
}

/* ---- all kinds of memory ----------------------------------------------- */

typedef struct MemoryKind {
    const char *name;
    HostMemKind kind;
    bool share, prealloc;
    const char *no_map;      /* why it cannot be mapped */
    const char *no_fault;    /* why it cannot be filled by faults */
} MemoryKind;

static const MemoryKind memory_kinds[] = {
    { "anonymous", HOSTMEM_RAM, false, false, NULL },
    { "preallocated", HOSTMEM_RAM, false, true, "is preallocated",
      "is preallocated" },
    { "shared-anonymous", HOSTMEM_RAM, true, false, "is shared" },
    { "memfd", HOSTMEM_MEMFD, true, false, "is shared" },
    { "private-memfd", HOSTMEM_MEMFD, false, false, NULL },
    { "shared-file", HOSTMEM_FILE, true, false, "is shared",
      "is a shared file" },
    { "private-file", HOSTMEM_FILE, false, false, NULL },
};

/* Blocks as those of @f, of memory that has been written all over; a file
 * before it was mapped, too. */
static void used_memory(RAMList *list, HostMem *mems[2],
                        const MemoryKind *kind, const char *path)
{
    g_autoptr(GError) error = NULL;

    ram_list_init(list);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *name = g_strdup_printf("b%u", i);
        g_autofree char *file = g_strdup_printf("%s-%u", path, i);
        size_t n = two_blocks[i] << 12;
        g_autofree char *old = g_strnfill(n, 'o');
        HostMemConfig config = {
            .id = name, .kind = kind->kind, .size_bytes = n,
            .share = kind->share, .prealloc = kind->prealloc,
            .mem_path = file,
        };

        g_file_set_contents(file, old, n, &error);
        g_assert_no_error(error);
        mems[i] = hostmem_new(&config, &error);
        g_assert_no_error(error);
        ram_list_add(list, name, mems[i], &error);
        g_assert_no_error(error);
        if (kind->kind != HOSTMEM_FILE) {
            memset(mems[i]->host, 'o', n);
        } else {
            mems[i]->host[4096] = 'n';
        }
        unlink(file);
    }
}

static void check_restored(Restore *r, const MemoryKind *kind,
                           const RestoreConfig *config, HostMem *mems[2])
{
    bool lazy = config->mode == RESTORE_MODE_FAULT;
    bool mapped = config->mode != RESTORE_MODE_READ && !lazy && !kind->no_map;

    g_assert_cmpint(restore_is_lazy(r), ==, lazy);
    g_assert_cmpint(restore_needs_file(r), ==, mapped || lazy);
    g_assert_cmpint(mems[0]->shows_file, ==, mapped);
    g_assert_cmpint(mems[1]->shows_file, ==, mapped);
    g_assert_cmpuint(restore_normal_pages(r), ==, 59);
    g_assert_cmpuint(restore_zero_pages(r), ==, 135 - 59);
}

static const char *why_not(const MemoryKind *kind, const RestoreConfig *config)
{
    return config->mode == RESTORE_MODE_MAP ? kind->no_map :
        config->mode == RESTORE_MODE_FAULT ? kind->no_fault : NULL;
}

static void restore_kind(const MemoryKind *kind, const RestoreConfig *config)
{
    g_autofree char *path = g_strdup_printf("/tmp/test-restore-%d", getpid());
    const char *why = why_not(kind, config);
    g_autoptr(GError) error = NULL;
    HostMem *mems[2];
    FakeMapped f;
    RAMList list;
    Restore *r;

    set_up(&f);
    used_memory(&list, mems, kind, path);
    r = restore_new(f.file, config);
    fake_mapped_take(&f, &list, r, &error);
    g_assert_no_error(error);
    g_assert_cmpint(restore_memory(r, &error), ==, !why);
    if (!why) {
        fake_mapped_assert_same(&f.list, &list);
        check_restored(r, kind, config, mems);
    } else {
        g_assert_nonnull(strstr(error->message, why));
        g_assert_nonnull(strstr(error->message, "parameter 'x-restore-mode': "
                                "RAM block 'b0' cannot be "));
    }
    restore_free(r);
    ram_list_done(&list);
    hostmem_free(mems[0]);
    hostmem_free(mems[1]);
    fake_mapped_done(&f);
}

static bool can_fault(void)
{
    uint64_t features;

    return uffd_probe(NULL, &features, NULL) &&
        features & UFFD_MISSING_SHARED;
}

static void test_memory_becomes_what_the_file_says(gconstpointer opaque)
{
    restore_kind(opaque, &plain);
    restore_kind(opaque, &map);
    restore_kind(opaque, &automatic);
    if (can_fault()) {
        restore_kind(opaque, &fault);
    }
}

static void test_only_once(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Restore) r = NULL;
    FakeMapped f, g;

    set_up(&f);
    fake_mapped_init(&g, 2, two_blocks);
    r = restore_new(f.file, &plain);
    fake_mapped_take(&f, &g.list, r, &error);
    g_assert_no_error(error);
    g_assert_true(restore_memory(r, &error));
    fake_mapped_fill(fake_mapped_block(&g, 0), 3, 77); /* the guest's */
    g_assert_false(restore_memory(r, &error));
    g_assert_nonnull(strstr(error->message, "already"));
    g_assert_cmpuint(fake_mapped_block(&g, 0)->host[3 << 12], ==, 77);
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* ---- by mapping --------------------------------------------------------- */

/* @f's file into @g's memory. */
static Restore *restore_by(const FakeMapped *f, FakeMapped *g,
                           const RestoreConfig *config)
{
    Restore *r = restore_new(f->file, config);
    g_autoptr(GError) error = NULL;

    fake_mapped_take(f, &g->list, r, &error);
    g_assert_no_error(error);
    restore_memory(r, &error);
    g_assert_no_error(error);
    fake_mapped_assert_same(&f->list, &g->list);
    return r;
}

/* The same file twice; neither sees what the other writes, nor does it. */
static void test_writes_to_a_mapping_stay_there(void)
{
    g_autoptr(Restore) a = NULL;
    g_autoptr(Restore) b = NULL;
    FakeMapped f, g, h;

    set_up(&f);
    fake_mapped_init(&g, 2, two_blocks);
    fake_mapped_init(&h, 2, two_blocks);
    a = restore_by(&f, &g, &map);
    for (unsigned page = 0; page < 130; page++) {
        fake_mapped_fill(fake_mapped_block(&g, 0), page, 77);
    }
    b = restore_by(&f, &h, &map);
    for (unsigned page = 0; page < 130; page += 2) {
        fake_mapped_fill(fake_mapped_block(&h, 0), page, 88);
    }
    for (unsigned page = 0; page < 130; page++) {
        g_assert_cmpuint(*(fake_mapped_block(&g, 0)->host + (page << 12)), ==,
                         77);
    }
    fake_mapped_done(&h);
    fake_mapped_done(&g);
    fake_mapped_init(&g, 2, two_blocks);
    restore_free(restore_by(&f, &g, &plain));
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* Pages of zeros at places where the file holds something, as other writers
 * leave it: alone, in a row, at both ends of a piece. */
static void test_stale_pages_read_as_zeros(void)
{
    g_autofree char *stale = g_strnfill(4096, 's');
    FakeMapped f, g;

    fake_mapped_init(&f, 2, two_blocks);
    for (unsigned page = 3; page < 120; page += 9) {
        fake_mapped_fill(fake_mapped_block(&f, 0), page, page);
    }
    fake_mapped_save(&f);
    for (unsigned page = 0; page < 130; page++) {
        if (page % 9 != 3 && page % 5) {
            fake_mapped_poke(&f, PAGES + (page << 12), stale, 4096);
        }
    }
    fake_mapped_init(&g, 2, two_blocks);
    restore_free(restore_by(&f, &g, &map));
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* How many mappings lie in the memory of @block, and of what. */
static unsigned count_mappings(const RAMBlock *block, unsigned *ret_of_files)
{
    uint64_t first = (uintptr_t)block->host, end = first + block->length;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    unsigned n = 0;

    g_file_get_contents("/proc/self/maps", &text, NULL, NULL);
    lines = g_strsplit(text, "\n", -1);
    *ret_of_files = 0;
    for (unsigned i = 0; lines[i]; i++) {
        unsigned long from, to, inode;

        if (sscanf(lines[i], "%lx-%lx %*s %*x %*s %lu", &from, &to,
                   &inode) == 3 && from < end && to > first) {
            n++;
            *ret_of_files += inode != 0;
        }
    }
    return n;
}

/* Gaps of 2 MiB stay anonymous, smaller ones are mapped with the rest. */
static void test_gaps_are_mapped_if_small(void)
{
    static const uint64_t npages[] = {8192};
    static const uint64_t at[] = {0, 511, 1023, 1024, 1537, 8191};
    unsigned files, all;
    FakeMapped f, g;

    fake_mapped_init(&f, 1, npages);
    for (unsigned i = 0; i < G_N_ELEMENTS(at); i++) {
        fake_mapped_fill(fake_mapped_block(&f, 0), at[i], 1 + i);
    }
    fake_mapped_save(&f);
    fake_mapped_init(&g, 1, npages);
    restore_free(restore_by(&f, &g, &map));
    all = count_mappings(fake_mapped_block(&g, 0), &files);
    /* 0-1024, 1537, 8191: 511 and 1023 are 511 pages apart, 1024 and 1537
     * are 512. */
    g_assert_cmpuint(files, ==, 3);
    g_assert_cmpuint(all, >=, 4);
    g_assert_cmpuint(all, <=, 6); /* the last may be one with what follows */
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

static void test_direct_io_excludes_a_mapping(void)
{
    const RestoreConfig both = { .mode = RESTORE_MODE_MAP, .direct_io = true };
    g_autoptr(Restore) r = NULL;
    g_autoptr(GError) error = NULL;
    FakeMapped f;

    set_up(&f);
    r = restore_new(f.file, &both);
    fake_mapped_take(&f, &f.list, r, &error);
    g_assert_no_error(error);
    g_assert_false(restore_memory(r, &error));
    g_assert_nonnull(strstr(error->message, "'direct-io'"));
    fake_mapped_done(&f);
}

/* ---- by reading ---------------------------------------------------------- */

/* More than one piece for each thread, and runs longer than a piece. */
/* However few threads the host has left, the caller's own is one. */
static void test_few_threads(void)
{
    for (unsigned left = 0; left < 2; left++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Restore) r = NULL;
        FakeMapped f, g;

        set_up(&f);
        fake_mapped_init(&g, 2, two_blocks);
        r = restore_new(f.file, &plain);
        fake_mapped_take(&f, &g.list, r, &error);
        fake_threads_lack = "restore";
        fake_threads_left = left;
        restore_memory(r, &error);
        fake_threads_lack = NULL;
        g_assert_no_error(error);
        fake_mapped_assert_same(&f.list, &g.list);
        fake_mapped_done(&g);
        fake_mapped_done(&f);
    }
}

static void test_large_blocks_are_read_whole(void)
{
    static const uint64_t npages[] = {5000, 1, 2000};
    g_autoptr(GError) error = NULL;
    g_autoptr(Restore) r = NULL;
    FakeMapped f, g;

    fake_mapped_init(&f, 3, npages);
    fake_mapped_init(&g, 3, npages);
    for (unsigned page = 0; page < 5000; page++) {
        fake_mapped_fill(fake_mapped_block(&f, 0), page,
                         page > 700 && page < 900 ? 0 : page + 1);
    }
    for (unsigned page = 1; page < 2000; page += 2) {
        fake_mapped_fill(fake_mapped_block(&f, 2), page, ~page);
    }
    fake_mapped_save(&f);
    r = restore_new(f.file, &plain);
    fake_mapped_take(&f, &g.list, r, &error);
    g_assert_no_error(error);
    restore_memory(r, &error);
    g_assert_no_error(error);
    fake_mapped_assert_same(&f.list, &g.list);
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* ---- what is wrong ------------------------------------------------------ */

static void refuse(const FakeMapped *f, const char *words)
{
    g_autoptr(Restore) r = restore_new(f->file, &plain);
    g_autoptr(GError) error = NULL;
    FakeMapped g;

    fake_mapped_init(&g, 2, two_blocks);
    g_assert_false(fake_mapped_take(f, &g.list, r, &error));
    if (!strstr(error->message, words)) {
        g_error("'%s' is not in '%s'", words, error->message);
    }
    fake_mapped_done(&g);
}

static void refuse_u64(const FakeMapped *f, unsigned at, uint64_t value,
                       const char *words)
{
    g_autofree uint8_t *old = fake_mapped_bytes(f, HEADER + at, 8);
    uint8_t bad[8];

    store_be64(bad, value);
    fake_mapped_poke(f, HEADER + at, bad, 8);
    refuse(f, words);
    fake_mapped_poke(f, HEADER + at, old, 8);
}

static void test_header_is_checked(void)
{
    FakeMapped f;

    set_up(&f);
    fake_mapped_poke(&f, HEADER, "\0\0\0\2", 4);
    refuse(&f, "header of RAM block 'b0' has version 2, only 1 is known");
    fake_mapped_poke(&f, HEADER, "\0\0\0\1", 4);
    refuse_u64(&f, 4, 8192, "'b0' has pages of 8192 bytes in the file and of "
               "4096 here");
    refuse_u64(&f, 12, BITMAP - 1, "is not between its header");
    refuse_u64(&f, 12, 0, "is not between its header");
    refuse_u64(&f, 12, PAGES - 23, "and its pages at 0x100000");
    refuse_u64(&f, 12, UINT64_MAX, "the bitmap of RAM block 'b0'");
    refuse_u64(&f, 12, UINT64_MAX - 22, "the bitmap of RAM block 'b0'");
    refuse_u64(&f, 20, PAGES + 1, "which is not page aligned");
    refuse_u64(&f, 20, PAGES + 2048, "which is not page aligned");
    refuse_u64(&f, 20, 0, "the bitmap of RAM block 'b0'");
    refuse_u64(&f, 20, (2 << 20) + (6 << 12), "are not all in the file");
    refuse_u64(&f, 20, UINT64_MAX - 4095, "are not all in the file");
    refuse_u64(&f, 20, UINT64_C(1) << 63, "are not all in the file");
    fake_mapped_done(&f);
}

static void test_bitmap_is_checked(void)
{
    FakeMapped f;

    set_up(&f);
    fake_mapped_poke(&f, BITMAP + 16, "\6", 1);
    refuse(&f, "the bitmap of RAM block 'b0' has bits beyond its 0x82 pages");
    fake_mapped_poke(&f, BITMAP + 16, "\2\0\0\0\0\0\0\x80", 8);
    refuse(&f, "has bits beyond its 0x82 pages");
    fake_mapped_done(&f);
}

/* A block that is a multiple of 64 pages has no such bits. */
static void test_whole_words_of_bitmap_are_fine(void)
{
    static const uint64_t npages[] = {64, 128};
    g_autoptr(GError) error = NULL;
    g_autoptr(Restore) r = NULL;
    FakeMapped f;

    fake_mapped_init(&f, 2, npages);
    fake_mapped_fill(fake_mapped_block(&f, 0), 63, 1);
    fake_mapped_fill(fake_mapped_block(&f, 1), 127, 1);
    fake_mapped_save(&f);
    r = restore_new(f.file, &plain);
    fake_mapped_take(&f, &f.list, r, &error);
    g_assert_no_error(error);
    fake_mapped_done(&f);
}

static void test_block_twice_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Restore) r = NULL;
    FakeMapped f;

    set_up(&f);
    r = restore_new(f.file, &plain);
    fake_mapped_take(&f, &f.list, r, &error);
    g_assert_no_error(error);
    g_assert_false(fake_mapped_take(&f, &f.list, r, &error));
    g_assert_cmpstr(error->message, ==,
                    "RAM block 'b0' is on the list twice");
    fake_mapped_done(&f);
}

/* The file ends in the pages of the last block, and then behind them. */
static void test_short_file_is_refused(void)
{
    FakeMapped f;
    g_autoptr(Restore) r = NULL;
    g_autoptr(GError) error = NULL;

    set_up(&f);
    g_assert_cmpint(ftruncate(channel_file_fd(f.file),
                              (2 << 20) + (5 << 12) - 1), ==, 0);
    refuse(&f, "pages of RAM block 'b1', 0x5000 bytes at 0x200000, are not "
           "all in the file");
    g_assert_cmpint(ftruncate(channel_file_fd(f.file), BITMAP + 4), ==, 0);
    refuse(&f, "are not all in the file");
    fake_mapped_done(&f);
}

/* A file that is cut after it was looked at. */
static void test_read_failure_names_the_block(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Restore) r = NULL;
    FakeMapped f, g;

    set_up(&f);
    fake_mapped_init(&g, 2, two_blocks);
    r = restore_new(f.file, &plain);
    fake_mapped_take(&f, &g.list, r, &error);
    g_assert_no_error(error);
    g_assert_cmpint(ftruncate(channel_file_fd(f.file), PAGES + (100 << 12)),
                    ==, 0);
    g_assert_false(restore_memory(r, &error));
    g_assert_nonnull(strstr(error->message, "cannot read pages of RAM block "
                            "'b"));
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* Whatever stands in headers and bitmaps, it is loaded or refused. */
static void test_random_damage_is_harmless(void)
{
    unsigned loaded = 0;
    FakeMapped f, g;

    set_up(&f);
    fake_mapped_init(&g, 2, two_blocks);
    for (unsigned i = 0; i < 2000; i++) {
        g_autoptr(Restore) r = restore_new(f.file, &plain);
        g_autoptr(GError) error = NULL;
        uint64_t at = g_test_rand_bit() ? HEADER : PAGES + (130 << 12) + 11;
        g_autofree uint8_t *old = NULL;
        uint8_t bad;

        at += g_test_rand_int_range(0, 28 + 24);
        old = fake_mapped_bytes(&f, at, 1);
        bad = *old ^ 1 << g_test_rand_int_range(0, 8);
        fake_mapped_poke(&f, at, &bad, 1);
        if (fake_mapped_take(&f, &g.list, r, &error)) {
            restore_memory(r, &error);
            g_assert_no_error(error);
            loaded++;
        }
        fake_mapped_poke(&f, at, old, 1);
    }
    g_assert_cmpuint(loaded, >, 100);  /* bits of pages are good either way */
    g_assert_cmpuint(loaded, <, 1500);
    fake_mapped_done(&g);
    fake_mapped_done(&f);
}

/* ---- checksums ---------------------------------------------------------- */

/* Of the memory of @list, as a sender would have noted it. */
static PageSums *sums_of(const RAMList *list)
{
    PageSums *sums = page_sums_new();

    for (unsigned i = 0; i < list->blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(list->blocks, i);

        page_sums_note_range(page_sums_add(sums, block->name, block->npages,
                                           NULL),
                             block->host, 0, block->npages);
    }
    return sums;
}

static PageSums *empty_sums(const RAMList *list)
{
    PageSums *sums = page_sums_new();

    for (unsigned i = 0; i < list->blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(list->blocks, i);

        page_sums_add(sums, block->name, block->npages, NULL);
    }
    return sums;
}

/* Fresh anonymous memory, which can be mapped. */
static void fresh_memory(RAMList *list)
{
    ram_list_init(list);
    ram_list_add_anon(list, "b0", 130 << 12, NULL);
    ram_list_add_anon(list, "b1", 5 << 12, NULL);
}

/* What was read is noted, zeros too; what was only mapped is unread. */
static void test_checksums_are_noted(void)
{
    for (int mapped = 0; mapped < 2; mapped++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Restore) r = NULL;
        g_autoptr(PageSums) want = NULL;
        g_autoptr(PageSums) got = NULL;
        FakeMapped f;
        RAMList list;

        set_up(&f);
        fresh_memory(&list);
        want = sums_of(&f.list);
        got = empty_sums(&list);
        r = restore_new(f.file, mapped ? &map : &plain);
        restore_set_sums(r, got);
        fake_mapped_take(&f, &list, r, &error);
        restore_memory(r, &error);
        g_assert_no_error(error);
        for (unsigned i = 0; i < 2; i++) {
            PageSumBlock *a = g_ptr_array_index(want->blocks, i);
            PageSumBlock *b = g_ptr_array_index(got->blocks, i);

            g_assert_cmpint(b->unread, ==, mapped);
            page_sums_count_bitmap(a, mapped_save_bitmap(f.save, a->name));
            g_assert_cmpmem(&a->trail, sizeof(a->trail), &b->trail,
                            sizeof(b->trail));
            g_assert_cmpuint(b->trail.records, ==, i ? 1 : 58);
            if (!mapped) {
                g_assert_cmpmem(a->sums, a->npages * 8, b->sums,
                                a->npages * 8);
                g_assert_cmpmem(a->filled, bitmap_bytes(a->npages), b->filled,
                                bitmap_bytes(a->npages));
                g_assert_cmpmem(a->seen, bitmap_bytes(a->npages), b->seen,
                                bitmap_bytes(a->npages));
            }
        }
        ram_list_done(&list);
        fake_mapped_done(&f);
    }
}

/* Who wants all pages checked has them read, or is told why not. */
static void test_checksums_that_must_be_held(void)
{
    static const RestoreMode modes[] = { RESTORE_MODE_AUTO, RESTORE_MODE_READ,
                                         RESTORE_MODE_MAP };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        RestoreConfig config = { .mode = modes[i], .must_check = true };
        bool works = modes[i] != RESTORE_MODE_MAP;
        g_autoptr(GError) error = NULL;
        g_autoptr(Restore) r = NULL;
        g_autoptr(PageSums) sums = NULL;
        FakeMapped f;
        RAMList list;

        set_up(&f);
        fresh_memory(&list);
        sums = empty_sums(&list);
        r = restore_new(f.file, &config);
        restore_set_sums(r, sums);
        fake_mapped_take(&f, &list, r, &error);
        g_assert_no_error(error);
        g_assert_cmpint(restore_memory(r, &error), ==, works);
        g_assert_false(restore_needs_file(r));
        if (works) {
            fake_mapped_assert_same(&f.list, &list);
        } else {
            g_assert_nonnull(strstr(error->message, "does not hold pages "
                                    "against their checksums"));
        }
        ram_list_done(&list);
        fake_mapped_done(&f);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(memory_kinds); i++) {
        g_autofree char *path = g_strdup_printf("/restore/memory/%s",
                                                memory_kinds[i].name);

        g_test_add_data_func(path, &memory_kinds[i],
                             test_memory_becomes_what_the_file_says);
    }
    g_test_add_func("/restore/memory/only-once", test_only_once);
    g_test_add_func("/restore/map/writes-stay-there",
                    test_writes_to_a_mapping_stay_there);
    g_test_add_func("/restore/map/stale-pages-are-zeros",
                    test_stale_pages_read_as_zeros);
    g_test_add_func("/restore/map/small-gaps-too",
                    test_gaps_are_mapped_if_small);
    g_test_add_func("/restore/map/not-with-direct-io",
                    test_direct_io_excludes_a_mapping);
    g_test_add_func("/restore/read/large-blocks",
                    test_large_blocks_are_read_whole);
    g_test_add_func("/restore/checksums/are-noted", test_checksums_are_noted);
    g_test_add_func("/restore/checksums/that-must-be-held",
                    test_checksums_that_must_be_held);
    g_test_add_func("/restore/refused/header", test_header_is_checked);
    g_test_add_func("/restore/refused/bits-beyond", test_bitmap_is_checked);
    g_test_add_func("/restore/bitmap/whole-words",
                    test_whole_words_of_bitmap_are_fine);
    g_test_add_func("/restore/refused/block-twice",
                    test_block_twice_is_refused);
    g_test_add_func("/restore/refused/short-file", test_short_file_is_refused);
    g_test_add_func("/restore/read/few-threads", test_few_threads);
    g_test_add_func("/restore/refused/read-failure",
                    test_read_failure_names_the_block);
    g_test_add_func("/restore/refused/random-damage",
                    test_random_damage_is_harmless);
    return g_test_run();
}
