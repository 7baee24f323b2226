/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's half of capability mapped-ram: the layout byte by byte, pages
 * at their places, what is written over and what becomes zero, and how many
 * writes it takes. The oracle of the last word is an array of pages.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/mapped-layout.h"
#include "tests/unit/fake-mapped.h"

/* 130 pages: three words of bitmap, the last with two bits. */
static const uint64_t two_blocks[] = {130, 5};

#define MIB_PLACE(n) ((uint64_t)(n) << 20)
#define B0_PAGES MIB_PLACE(1)
#define B1_PLACE (B0_PAGES + (130 << 12))
#define B1_PAGES MIB_PLACE(2)
#define END_PLACE (B1_PAGES + (5 << 12))

/* As docs/devel/wire-format.md has it. */
static const uint8_t head0[] = {
    2, 'b', '0', 0, 0, 0, 0, 0, 0x08, 0x20, 0,
    0, 0, 0, 1,                            /* version */
    0, 0, 0, 0, 0, 0, 0x10, 0,             /* page size */
    0, 0, 0, 0, 0, 0, 0, 100 + 11 + 28,    /* bitmap: behind this */
    0, 0, 0, 0, 0, 0x10, 0, 0,             /* pages: at 1 MiB */
};
static const uint8_t bits0[24] = {
    [0] = 0x02, [8] = 0x01, [16] = 0x02,   /* pages 1, 64 and 129 */
};
static const uint8_t head1[] = {
    2, 'b', '1', 0, 0, 0, 0, 0, 0, 0x50, 0,
    0, 0, 0, 1,
    0, 0, 0, 0, 0, 0, 0x10, 0,
    0, 0, 0, 0, 0, 0x18, 0x20, 11 + 28,
    0, 0, 0, 0, 0, 0x20, 0, 0,
};
static const uint8_t bits1[8] = { 0x10 };
static const uint8_t behind[8] = { 0, 0, 0, 0, 0, 0, 0, 0x10 };

static void expect_bytes(const FakeMapped *f, uint64_t place,
                         const void *want, size_t n)
{
    g_autofree uint8_t *got = fake_mapped_bytes(f, place, n);

    g_assert_cmpmem(got, n, want, n);
}

static void expect_page(const FakeMapped *f, uint64_t place, uint64_t value)
{
    uint64_t want[512];

    for (unsigned i = 0; i < 512; i++) {
        want[i] = value;
    }
    expect_bytes(f, place, want, sizeof(want));
}

static void test_layout_is_golden(void)
{
    FakeMapped f;

    fake_mapped_init(&f, 2, two_blocks);
    fake_mapped_fill(fake_mapped_block(&f, 0), 1, 11);
    fake_mapped_fill(fake_mapped_block(&f, 0), 64, 64);
    fake_mapped_fill(fake_mapped_block(&f, 0), 129, 129);
    fake_mapped_fill(fake_mapped_block(&f, 1), 4, 14);
    fake_mapped_save(&f);

    expect_bytes(&f, 100, head0, sizeof(head0));
    expect_bytes(&f, 100 + sizeof(head0), bits0, sizeof(bits0));
    expect_page(&f, B0_PAGES, 0);
    expect_page(&f, B0_PAGES + (1 << 12), 11);
    expect_page(&f, B0_PAGES + (64 << 12), 64);
    expect_page(&f, B0_PAGES + (129 << 12), 129);
    expect_bytes(&f, B1_PLACE, head1, sizeof(head1));
    expect_bytes(&f, B1_PLACE + sizeof(head1), bits1, sizeof(bits1));
    expect_page(&f, B1_PAGES + (4 << 12), 14);
    expect_bytes(&f, END_PLACE, behind, sizeof(behind));
    fake_mapped_done(&f);
}

/* The bitmap is behind the header, pages begin at the next MiB behind it. */
static void test_places_straddle_the_edges(void)
{
    RAMBlock block = { .npages = 64 };
    const uint64_t mib = MIB_PLACE(1);

    for (uint64_t at = mib - 40; at < mib + 4; at++) {
        MappedPlaces p = mapped_places(at, &block);

        g_assert_cmpuint(p.bitmap, ==, at + 28);
        g_assert_cmpuint(p.pages, ==, at + 28 + 8 <= mib ? mib : 2 * mib);
    }
}

static uint64_t blocks_used(const FakeMapped *f)
{
    struct stat st;

    g_assert_cmpint(fstat(channel_file_fd(f->file), &st), ==, 0);
    return (uint64_t)st.st_blocks * 512;
}

/* Zero pages take no room, and one that becomes zero gives its room back. */
static void test_file_is_as_large_as_what_is_not_zero(void)
{
    static const uint64_t npages[] = {4096};
    RAMBlock *block;
    uint64_t full, less;
    FakeMapped f;

    fake_mapped_init(&f, 1, npages);
    block = fake_mapped_block(&f, 0);
    for (unsigned page = 1000; page < 2000; page++) {
        fake_mapped_fill(block, page, page);
    }
    fake_mapped_begin(&f);
    for (unsigned page = 0; page < 4096; page++) {
        fake_mapped_put(&f, block, page);
    }
    stream_flush(f.out);
    full = blocks_used(&f);
    g_assert_cmpuint(full, >=, 1000 << 12);
    g_assert_cmpuint(full, <, 1010 << 12);
    for (unsigned page = 1100; page < 1900; page++) {
        fake_mapped_fill(block, page, 0);
        fake_mapped_put(&f, block, page);
    }
    fake_mapped_end(&f);
    less = blocks_used(&f);
    if (!channel_file_punch(f.file, B0_PAGES, 4096)) {
        g_test_skip("this file system has no holes");
    } else {
        g_assert_cmpuint(less, <, 210 << 12);
    }
    fake_mapped_done(&f);
}

/* ---- how many writes -------------------------------------------------- */

static unsigned writes;
static size_t longest_write;
static int direct_fd = -1;    /* wants everything aligned */
static unsigned direct_writes;

/* The C library's own, in front of which this stands. */
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    size_t sum = 0;

    for (int i = 0; i < n; i++) {
        sum += iov[i].iov_len;
        if (fd == direct_fd) {
            g_assert_cmpuint((uintptr_t)iov[i].iov_base % 4096, ==, 0);
            g_assert_cmpuint(iov[i].iov_len % 4096, ==, 0);
        }
    }
    if (fd == direct_fd) {
        g_assert_cmpuint(offset % 4096, ==, 0);
        direct_writes++;
    }
    writes++;
    longest_write = MAX(longest_write, sum);
    return syscall(SYS_pwritev, fd, iov, n, (unsigned long)offset, 0UL);
}

static void test_neighbours_are_one_write(void)
{
    static const uint64_t npages[] = {600};
    g_autofree uint8_t *copies = g_malloc(4 << 12);
    RAMBlock *block;
    FakeMapped f;

    fake_mapped_init(&f, 1, npages);
    block = fake_mapped_block(&f, 0);
    fake_mapped_begin(&f);
    stream_flush(f.out);
    writes = longest_write = 0;
    for (unsigned page = 0; page < 600; page++) {
        fake_mapped_fill(block, page, 1 + page);
        fake_mapped_put(&f, block, page);
    }
    stream_flush(f.out);
    g_assert_cmpuint(writes, ==, 3); /* of 1 MiB at the most */
    g_assert_cmpuint(longest_write, ==, 1 << 20);

    /* Copies from elsewhere, against the order of memory, and a gap. */
    writes = 0;
    memset(copies, 7, 4 << 12);
    mapped_save_put_page(f.save, block, 10, copies + (3 << 12));
    mapped_save_put_page(f.save, block, 11, copies + (1 << 12));
    mapped_save_put_page(f.save, block, 13, copies);
    stream_flush(f.out);
    g_assert_cmpuint(writes, ==, 2);
    fake_mapped_end(&f);
    expect_page(&f, B0_PAGES + (11 << 12), UINT64_C(0x0707070707070707));
    expect_page(&f, B0_PAGES + (12 << 12), 13);
    fake_mapped_done(&f);
}

/* Pages, and nothing else, go there, whatever memory they are in. */
static void test_direct_writes_are_aligned(void)
{
    static const uint64_t npages[] = {400};
    g_autofree uint8_t *copies = g_malloc(8 << 12);
    uint8_t *odd = copies + (16 - (uintptr_t)copies % 4096 % 16) + 8;
    RAMBlock *block;
    FakeMapped f;

    fake_mapped_init(&f, 1, npages);
    direct_fd = dup(channel_file_fd(f.file));
    direct_writes = 0;
    f.direct = channel_file_new(direct_fd, -1);
    block = fake_mapped_block(&f, 0);
    fake_mapped_begin(&f);
    for (unsigned page = 0; page < 300; page++) {
        fake_mapped_fill(block, page, 1 + page);
        fake_mapped_put(&f, block, page);
    }
    memset(odd, 7, 4 << 12);
    mapped_save_put_page(f.save, block, 350, odd + (1 << 12));
    mapped_save_put_page(f.save, block, 351, odd);
    mapped_save_put_page(f.save, block, 353, odd + (3 << 12));
    fake_mapped_end(&f);
    g_assert_cmpuint(direct_writes, ==, 4);
    expect_page(&f, B0_PAGES + (299 << 12), 300);
    expect_page(&f, B0_PAGES + (351 << 12), UINT64_C(0x0707070707070707));
    expect_page(&f, B0_PAGES + (352 << 12), 0);
    expect_page(&f, B0_PAGES + (353 << 12), UINT64_C(0x0707070707070707));
    direct_fd = -1;
    fake_mapped_done(&f);
}

/* ---- against an oracle ------------------------------------------------ */

/* Any order of pages, zeros and flushes: the last content counts. */
static void one_program(void)
{
    RAMBlock *block;
    FakeMapped f;

    fake_mapped_init(&f, 2, two_blocks);
    fake_mapped_begin(&f);
    for (unsigned step = 0; step < 60; step++) {
        unsigned i = g_test_rand_bit();
        uint64_t first = g_test_rand_int_range(0, two_blocks[i]);
        uint64_t end = first + g_test_rand_int_range(1, 6);

        block = fake_mapped_block(&f, i);
        for (uint64_t page = first; page < MIN(end, two_blocks[i]); page++) {
            uint64_t value = g_test_rand_bit() ? g_test_rand_int() : 0;

            fake_mapped_fill(block, page, value);
            fake_mapped_put(&f, block, page);
        }
        if (g_test_rand_int_range(0, 4) == 0) {
            stream_flush(f.out);
        }
    }
    fake_mapped_end(&f);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t pages = i ? B1_PAGES : B0_PAGES;
        uint64_t bits = i ? B1_PLACE + sizeof(head1) : 100 + sizeof(head0);
        g_autofree uint8_t *map = fake_mapped_bytes(&f, bits, 24);

        block = fake_mapped_block(&f, i);
        for (uint64_t page = 0; page < block->npages; page++) {
            uint64_t *words = (uint64_t *)(block->host + (page << 12));
            bool set = map[page / 8] >> (page % 8) & 1;

            g_assert_cmpint(set, ==, words[0] != 0);
            if (set) {
                expect_page(&f, pages + (page << 12), words[0]);
            }
        }
    }
    fake_mapped_done(&f);
}

static void test_random_programs_keep_the_last_content(void)
{
    for (unsigned i = 0; i < 300; i++) {
        one_program();
    }
}

/* ---- errors ----------------------------------------------------------- */

static void test_write_failure_sticks_in_the_stream(void)
{
    static const uint64_t npages[] = {300};
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    Channel *inner;
    RAMBlock *block;
    FakeMapped f;

    fake_mapped_init(&f, 1, npages);
    inner = f.file;
    faults.fail_write_at = 200 << 12;
    f.file = channel_fault_new(inner, &faults);
    block = fake_mapped_block(&f, 0);
    fake_mapped_begin(&f);
    for (unsigned page = 0; page < 300; page++) {
        fake_mapped_fill(block, page, 1);
        fake_mapped_put(&f, block, page);
    }
    mapped_save_finish(f.save);
    g_assert_nonnull(stream_error(f.out));
    g_assert_nonnull(strstr(stream_error(f.out)->message,
                            "cannot write to channel"));
    channel_unref(inner);
    fake_mapped_done(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mapped-save/layout/is-golden", test_layout_is_golden);
    g_test_add_func("/mapped-save/layout/straddles-the-edges",
                    test_places_straddle_the_edges);
    g_test_add_func("/mapped-save/size/is-what-is-not-zero",
                    test_file_is_as_large_as_what_is_not_zero);
    g_test_add_func("/mapped-save/runs/neighbours-are-one-write",
                    test_neighbours_are_one_write);
    g_test_add_func("/mapped-save/direct/is-aligned",
                    test_direct_writes_are_aligned);
    g_test_add_func("/mapped-save/random/keeps-the-last-content",
                    test_random_programs_keep_the_last_content);
    g_test_add_func("/mapped-save/failure/sticks-in-the-stream",
                    test_write_failure_sticks_in_the_stream);
    return g_test_run();
}
