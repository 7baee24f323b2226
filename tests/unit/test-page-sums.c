/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums of pages and their table: the hash against the library's own, the
 * table's bytes, every cut and every flipped bit of it, and what a reader is
 * told about pages that were lost, are old, or are another's.
 */
#include <glib.h>
#include <string.h>
#include <xxhash.h>

#include "migration/page-sums.h"
#include "migration/wire.h"
#include "util/bitmap.h"
#include "util/byteorder.h"

#define PAGE WIRE_PAGE_BYTES
#define LOTS 300

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

static PageSumBlock *add(PageSums *sums, const char *name, uint64_t npages)
{
    g_autoptr(GError) error = NULL;
    PageSumBlock *block = page_sums_add(sums, name, npages, &error);

    g_assert_no_error(error);
    return block;
}

static void fill(uint8_t *page, uint32_t seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (unsigned i = 0; i < PAGE; i += 4) {
        store_be32(page + i, g_rand_int(rand));
    }
}

/* ---- one page -------------------------------------------------------- */

static void test_sum_is_the_hash_of_bytes_and_place(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *a = add(sums, "pc.ram", 8), *b = add(sums, "vga", 8);
    uint8_t page[PAGE];

    for (uint32_t i = 0; i < 50; i++) {
        fill(page, i);
        g_assert_cmphex(page_sum(a, i % 8, page), ==,
                        XXH3_64bits_withSeed(page, PAGE,
                                             XXH3_64bits("pc.ram", 6) +
                                             i % 8 * 4096));
        g_assert_cmphex(page_sum(a, 1, page), !=, page_sum(a, 2, page));
        g_assert_cmphex(page_sum(a, 1, page), !=, page_sum(b, 1, page));
    }
    /* What the format says, once and for all. */
    memset(page, 0x5a, sizeof(page));
    g_assert_cmphex(page_sum(a, 3, page), ==, UINT64_C(0xe8eac78d0f66d10d));
}

static void test_note_last_wins(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = add(sums, "b", 70);
    uint8_t page[PAGE];

    g_assert_false(bitmap_test_bit(block->seen, 64));
    fill(page, 1);
    g_assert_cmphex(page_sums_note(block, 64, page), ==,
                    page_sum(block, 64, page));
    g_assert_cmphex(block->sums[64], ==, page_sum(block, 64, page));
    g_assert_true(bitmap_test_bit(block->filled, 64));
    fill(page, 2);
    page_sums_note(block, 64, page);
    g_assert_cmphex(block->sums[64], ==, page_sum(block, 64, page));
    g_assert_cmphex(page_sums_note(block, 64, NULL), ==, 0);
    g_assert_cmphex(block->sums[64], ==, 0);
    g_assert_false(bitmap_test_bit(block->filled, 64));
    g_assert_true(bitmap_test_bit(block->seen, 64));
    g_assert_cmpuint(bitmap_count(block->seen, 0, 70), ==, 1);
}

/* In any order, but of these pages and no others. */
static void test_count_knows_what_travelled(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *a = add(sums, "b", 9), *b = add(sums, "c", 9);
    uint64_t sum;

    page_sums_count(a, 3, 100, false);
    page_sums_count(a, 4, 0, true);
    sum = a->trail.sum - 100;
    g_assert_cmpuint(a->trail.records, ==, 2);
    /* What the format says. */
    g_assert_cmphex(sum, ==, UINT64_C(0x4b7beb9d1b6829f5));
    a->trail = (PageSumTrail){ 0, 0 };
    page_sums_count(a, 4, 0, true);
    page_sums_count(a, 3, 100, false);
    g_assert_cmphex(a->trail.sum, ==, sum + 100);
    a->trail = (PageSumTrail){ 0, 0 };
    page_sums_count(a, 5, 0, true);
    g_assert_cmphex(a->trail.sum, !=, sum);
    page_sums_count(b, 4, 0, true);
    g_assert_cmphex(b->trail.sum, !=, sum);
}

/* Its bits, and a hash of each of its words that says where that is. */
static void test_count_of_a_bitmap(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *b = add(sums, "b", 130);
    uint64_t bitmap[3] = { UINT64_C(1) << 63 | 1, 0, 2 };
    uint64_t seed = XXH3_64bits("b", 1);
    static const uint8_t first[8] = { 0x80, 0, 0, 0, 0, 0, 0, 1 };
    static const uint8_t last[8] = { 0, 0, 0, 0, 0, 0, 0, 2 };

    page_sums_count(b, 7, 0, true); /* it begins afresh */
    page_sums_count_bitmap(b, bitmap);
    g_assert_cmpuint(b->trail.records, ==, 3);
    g_assert_cmphex(b->trail.sum, ==,
                    XXH3_64bits_withSeed(first, 8, seed) +
                    XXH3_64bits_withSeed(last, 8, seed + 128 * 4096));
    for (unsigned i = 0; i < 130; i++) {
        uint64_t sum = b->trail.sum;

        bitmap[i / 64] ^= UINT64_C(1) << i % 64;
        page_sums_count_bitmap(b, bitmap);
        g_assert_cmphex(b->trail.sum, !=, sum);
    }
}

/* However zeros travelled, the list says the same of them. */
static void test_note_zeros_sent_whole_count_as_zero(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = add(sums, "b", 2);
    uint8_t page[PAGE] = { 1 };

    page_sums_note(block, 1, page);
    page[0] = 0;
    g_assert_cmphex(page_sums_note(block, 1, page), ==,
                    page_sum(block, 1, page));
    g_assert_cmphex(block->sums[1], ==, 0);
    g_assert_false(bitmap_test_bit(block->filled, 1));
    g_assert_true(bitmap_test_bit(block->seen, 1));
}

static void test_memory_check_names_the_first_page(void)
{
    enum { N = 130 };
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = add(sums, "b", N);
    g_autofree uint8_t *memory = g_malloc0(N * PAGE);

    for (unsigned i = 0; i < N; i += 3) {
        fill(memory + i * PAGE, i);
    }
    page_sums_note_range(block, memory, 0, N);
    g_assert_cmpuint(bitmap_count(block->seen, 0, N), ==, N);
    g_assert_cmpuint(page_sums_check_range(block, memory, 0, N), ==, N);
    for (unsigned i = 0; i < N; i++) {
        uint8_t *at = memory + i * PAGE + i * 31 % PAGE;

        *at ^= 0x10;
        g_assert_cmpuint(page_sums_check_range(block, memory, 0, N), ==, i);
        *at ^= 0x10;
    }
    memory[60 * PAGE] ^= 1;
    memory[70 * PAGE] ^= 1;
    g_assert_cmpuint(page_sums_check_range(block, memory, 61, 9), ==, 70);
    g_assert_cmpuint(page_sums_check_range(block, memory, 61, 10), ==, 70);
    g_assert_cmpuint(page_sums_check_range(block, memory, 50, 10), ==, 60);
    g_assert_cmpuint(page_sums_check_range(block, memory, 71, 59), ==, N);
    page_sums_note_range(block, memory, 60, 10);
    g_assert_cmpuint(page_sums_check_range(block, memory, 0, N), ==, 70);
    page_sums_note_range(block, memory, 70, 1);
    /* A page that became zero differs too. */
    memset(memory + 126 * PAGE, 0, PAGE);
    g_assert_cmpuint(page_sums_check_range(block, memory, 0, N), ==, 126);
}

/* ---- the table ------------------------------------------------------- */

/* A list with every kind of page in it. */
static PageSums *sample(uint64_t npages, bool two)
{
    PageSums *sums = page_sums_new();
    PageSumBlock *block = add(sums, "one", npages);
    uint8_t page[PAGE];

    for (uint64_t i = 0; i < npages; i++) {
        fill(page, i);
        page_sums_note(block, i, i % 5 == 2 ? NULL : page);
    }
    block->trail = (PageSumTrail){ npages + 3, 77 };
    if (two) {
        fill(page, 77);
        page_sums_note(add(sums, "two", 1), 0, page);
    }
    return sums;
}

static GByteArray *put_table(const PageSums *sums)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    const uint8_t *data;
    size_t n;

    page_sums_put(sums, s);
    stream_flush(s);
    data = stream_memory(s, &n);
    return g_byte_array_append(g_byte_array_new(), data, n);
}

static bool load(PageSums *came, const void *data, size_t n,
                 GError **error)
{
    g_autoptr(Stream) s = stream_new_memory_input(data, n);
    bool ok = page_sums_load(came, s, PAGE_SUMS_SENT, error);

    g_assert_true(!ok || stream_bytes(s) == n);
    return ok;
}

static void test_table_golden(void)
{
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = add(sums, "pc.ram", 3);
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GByteArray) table = NULL;
    uint8_t page[PAGE];
    const uint8_t *at;
    XXH128_hash_t hash;
    size_t n;

    memset(page, 0x5a, sizeof(page));
    page_sums_note(block, 0, NULL);
    page_sums_note(block, 1, page);
    page_sums_note(block, 2, page);
    block->trail = (PageSumTrail){ 9, 10 };
    table = put_table(sums);
    at = table->data;
    g_assert_cmpmem(at, 4, "\0\0\0\1", 4);
    g_assert_cmpmem(at + 4, 7, "\6pc.ram", 7);
    g_assert_cmpmem(at + 11, 8, "\0\0\0\0\0\0\0\3", 8);
    g_assert_cmpmem(at + 19, 8, "\0\0\0\0\0\0\0\1", 8);
    g_assert_cmpmem(at + 27, 8, "\0\0\0\0\0\0\0\6", 8);
    g_assert_cmphex(load_be64(at + 35), ==, page_sum(block, 1, page));
    g_assert_cmphex(load_be64(at + 43), ==, page_sum(block, 2, page));
    hash = XXH3_128bits_withSeed(at + 19, 32, XXH3_64bits("pc.ram", 6));
    g_assert_cmphex(load_be64(at + 51), ==, hash.high64);
    g_assert_cmphex(load_be64(at + 59), ==, hash.low64);
    g_assert_cmpuint(load_be64(at + 67), ==, 9);
    g_assert_cmpuint(load_be64(at + 75), ==, 10);
    g_assert_cmpuint(table->len, ==, 83 + 16);

    page_sums_put_kind(s, PAGE_SUMS_HELD);
    stream_flush(s);
    at = stream_memory(s, &n);
    g_assert_cmpmem(at, n, "HELD", 4);
}

static void test_table_round_trip(void)
{
    static const uint64_t sizes[] = { 0, 1, 63, 64, 65, 511, 512, 513, 1300 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (int two = 0; two < 2; two++) {
            g_autoptr(PageSums) sums = sample(sizes[i], two);
            g_autoptr(GByteArray) table = put_table(sums);
            g_autoptr(GError) error = NULL;

            g_assert_true(load(sums, table->data, table->len, &error));
            g_assert_no_error(error);
        }
    }
}

/* A page of zeros costs one bit in 4096, wherever the others are. */
static void test_table_of_few_pages_is_small(void)
{
    static const uint64_t filled[] = { 0, 4095, 4096, 4160, 99999 };
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *block = add(sums, "b", 100000);
    g_autoptr(GByteArray) table = NULL;
    g_autoptr(GError) error = NULL;
    uint8_t page[PAGE];

    for (uint64_t i = 0; i < block->npages; i++) {
        page_sums_note(block, i, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(filled); i++) {
        fill(page, i);
        page_sums_note(block, filled[i], page);
    }
    table = put_table(sums);
    /* Name, pages, bitmaps, checksums, digest, trail; count, digest. */
    g_assert_cmpuint(table->len, ==,
                     2 + 8 + 25 * 8 + 5 * 8 + 5 * 8 + 16 + 16 + 4 + 16);
    g_assert_true(load(sums, table->data, table->len, &error));
    g_assert_no_error(error);
    bitmap_clear_bit(block->filled, 4160);
    g_assert_false(load(sums, table->data, table->len, &error));
    expect_words(&error, "page at 0x1040000 of RAM block 'b' is not what");
}

static void test_table_every_cut_is_refused(void)
{
    g_autoptr(PageSums) sums = sample(70, true);
    g_autoptr(GByteArray) table = put_table(sums);

    for (size_t n = 0; n < table->len; n++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(load(sums, table->data, n, &error));
        expect_words(&error, "the stream ends at byte");
    }
}

static void test_table_every_flipped_bit_is_refused(void)
{
    g_autoptr(PageSums) sums = sample(70, true);
    g_autoptr(GByteArray) table = put_table(sums);

    for (size_t bit = 0; bit < 8 * table->len; bit++) {
        g_autoptr(GError) error = NULL;

        table->data[bit / 8] ^= 1 << bit % 8;
        g_assert_false(load(sums, table->data, table->len, &error));
        g_assert_nonnull(error);
        table->data[bit / 8] ^= 1 << bit % 8;
    }
}

static void test_table_kind_is_one_of_two(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint8_t bytes[4] = "SENT";
        g_autoptr(Stream) s = stream_new_memory_input(bytes, 4);
        g_autoptr(GError) error = NULL;
        PageSumsKind kind;

        bytes[bit / 8] ^= 1 << bit % 8;
        g_assert_false(page_sums_get_kind(s, &kind, &error));
        expect_words(&error, "unknown kind");
    }
}

/* Blocks that do not fit, with lengths nobody could keep. */
static void test_table_of_other_blocks_is_refused(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *words;
    } bad[] = {
        { "\0\0\0\2", 4, "2 RAM blocks instead of 1" },
        { "\0\0\0\1\3two\0\0\0\0\0\0\0\1", 16, "'two', which was not sent" },
        { "\0\0\0\1\3one\xff\0\0\0\0\0\0\1", 16, "'one' instead of 1" },
        { "\0\0\0\1\3on\1\0\0\0\0\0\0\0\1", 16, "not plain" },
    };
    g_autoptr(PageSums) sums = sample(1, false);
    g_autoptr(PageSums) twice = sample(1, true);
    g_autoptr(GByteArray) table = put_table(sums);
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(load(sums, bad[i].bytes, bad[i].n, &error));
        expect_words(&error, bad[i].words);
    }
    g_byte_array_append(again, (const uint8_t *)"\0\0\0\2", 4);
    for (unsigned i = 0; i < 2; i++) {
        g_byte_array_append(again, table->data + 4, table->len - 4 - 16);
    }
    g_assert_false(load(twice, again->data, again->len, &error));
    expect_words(&error, "'one' twice");
}

/* ---- what the loader is told ----------------------------------------- */

static void expect_load(PageSums *came, const GByteArray *table,
                        const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(load(came, table->data, table->len, &error));
    expect_words(&error, words);
}

static void test_load_names_the_page(void)
{
    g_autoptr(PageSums) sums = sample(70, true);
    PageSumBlock *one = g_ptr_array_index(sums->blocks, 0);
    PageSumBlock *two = g_ptr_array_index(sums->blocks, 1);
    g_autoptr(GByteArray) table = put_table(sums);
    uint8_t page[PAGE];

    fill(page, 1000);
    page_sums_note(one, 65, page);
    expect_load(sums, table, "page at 0x41000 of RAM block 'one' is not what "
                "was sent last (one of 1 such pages)");
    page_sums_note(one, 64, NULL);
    expect_load(sums, table, "page at 0x40000 of RAM block 'one' is not what "
                "was sent last (one of 2 such pages)");
    page_sums_note(one, 2, page);
    expect_load(sums, table, "page at 0x2000 of RAM block 'one' is not what "
                "was sent last, which was all zero (one of 3");
    /* A page of zeros that never came would not be missed by its bytes. */
    page_sums_note(one, 2, NULL);
    bitmap_clear_bit(one->seen, 2);
    expect_load(sums, table, "page at 0x2000 of RAM block 'one' never came "
                "(one of 3");
    for (unsigned i = 0; i < 70; i++) {
        fill(page, i);
        page_sums_note(one, i, i % 5 == 2 ? NULL : page);
    }
    one->trail.records++;
    expect_load(sums, table, "of RAM block 'one' other records came than were "
                "sent, 74 instead of 73");
    one->trail.records--;
    one->trail.sum++;
    expect_load(sums, table, "of RAM block 'one' other records came");
    one->trail.sum--;
    bitmap_clear_bit(two->seen, 0);
    expect_load(sums, table, "page at 0x0 of RAM block 'two' never came");
}

/* Of pages that nobody has looked at the table is noted, for later. */
static void test_load_takes_over_what_is_unread(void)
{
    g_autoptr(PageSums) sent = sample(70, true);
    g_autoptr(PageSums) sums = page_sums_new();
    PageSumBlock *one = add(sums, "one", 70), *two = add(sums, "two", 1);
    g_autoptr(GByteArray) table = put_table(sent);
    g_autoptr(GError) error = NULL;
    static const uint8_t zero[PAGE];
    uint8_t page[PAGE];

    one->unread = two->unread = true;
    one->trail = ((PageSumBlock *)g_ptr_array_index(sent->blocks, 0))->trail;
    load(sums, table->data, table->len, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < 70; i++) {
        bool is_zero = i % 5 == 2;

        fill(page, i);
        g_assert_cmpint(page_sums_is(one, i, page), ==, !is_zero);
        g_assert_cmpint(page_sums_is(one, i, zero), ==, is_zero);
        page[i * 50] ^= 1;
        g_assert_false(page_sums_is(one, i, page));
    }
    /* Which pages there are is known all the same. */
    two->trail.sum++;
    expect_load(sums, table, "of RAM block 'two' other records came");
}

/* Whatever is wrong with the table, the pages are not accused. */
static void test_load_tells_a_damaged_table_from_pages(void)
{
    g_autoptr(PageSums) sums = sample(70, true);
    g_autoptr(GByteArray) table = put_table(sums);

    table->data[4 + 4 + 8 + 24 + 100] ^= 4;     /* a checksum of 'one' */
    expect_load(sums, table, "damaged at RAM block 'one'");
    table->data[4 + 4 + 8 + 24 + 100] ^= 4;
    table->data[table->len - 1] ^= 4;           /* the digest of it all */
    expect_load(sums, table, "the table of checksums is damaged");
}

/* Two lists, a few random differences: exactly those are told. */
typedef struct Told {
    GHashTable *pages;
    unsigned blocks;
} Told;

static void tell_differ(void *opaque, const PageSumsDiffer *differ)
{
    Told *told = opaque;

    g_assert_true(g_hash_table_add(told->pages,
                                   GSIZE_TO_POINTER(differ->page)));
}

static void tell_block(void *opaque, const PageSumBlock *block, bool damaged,
                       const PageSumTrail *sent)
{
    g_assert_false(damaged);
    ((Told *)opaque)->blocks++;
}

static void test_get_random_differences(void)
{
    enum { N = 600 };
    g_autoptr(PageSums) sums = sample(N, false);
    g_autoptr(GByteArray) table = put_table(sums);

    for (unsigned lot = 0; lot < LOTS; lot++) {
        g_autoptr(PageSums) came = sample(N, false);
        PageSumBlock *block = g_ptr_array_index(came->blocks, 0);
        g_autoptr(GHashTable) want = g_hash_table_new(NULL, NULL);
        g_autoptr(Stream) s = stream_new_memory_input(table->data, table->len);
        Told told = { g_hash_table_new(NULL, NULL), 0 };
        const PageSumsReader reader = { tell_differ, tell_block, &told };
        g_autoptr(GError) error = NULL;
        PageSumsDigest digest;
        bool damaged;

        for (int i = g_test_rand_int_range(0, 8); i > 0; i--) {
            uint64_t page = g_test_rand_int_range(0, N);

            if (g_hash_table_add(want, GSIZE_TO_POINTER(page))) {
                bitmap_clear_bit(block->seen, page);
            }
        }
        g_assert_true(page_sums_get(came, s, &reader, &digest, &damaged,
                                    &error));
        g_assert_no_error(error);
        g_assert_false(damaged);
        g_assert_cmpmem(&digest, 16, table->data + table->len - 16, 16);
        g_assert_cmpuint(told.blocks, ==, 1);
        g_assert_cmpuint(g_hash_table_size(told.pages), ==,
                         g_hash_table_size(want));
        for (uint64_t i = 0; i < N; i++) {
            g_assert_cmpint(g_hash_table_contains(told.pages,
                                                  GSIZE_TO_POINTER(i)), ==,
                            g_hash_table_contains(want, GSIZE_TO_POINTER(i)));
        }
        g_hash_table_unref(told.pages);
    }
}

static void test_get_random_bytes(void)
{
    g_autoptr(PageSums) sums = sample(3, false);
    g_autoptr(GByteArray) table = put_table(sums);

    for (unsigned lot = 0; lot < 4096; lot++) {
        g_autofree uint8_t *bad = g_memdup2(table->data, table->len);
        g_autoptr(GError) error = NULL;
        int n = g_test_rand_int_range(1, 5);

        while (n-- > 0) {
            bad[g_test_rand_int_range(0, table->len)] = g_test_rand_int();
        }
        g_assert_cmpint(load(sums, bad, table->len, &error), ==,
                        !memcmp(bad, table->data, table->len));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/page-sums/sum/is-the-hash-of-bytes-and-place",
                    test_sum_is_the_hash_of_bytes_and_place);
    g_test_add_func("/page-sums/note/last-wins", test_note_last_wins);
    g_test_add_func("/page-sums/count/knows-what-travelled",
                    test_count_knows_what_travelled);
    g_test_add_func("/page-sums/count/of-a-bitmap", test_count_of_a_bitmap);
    g_test_add_func("/page-sums/note/zeros-sent-whole-count-as-zero",
                    test_note_zeros_sent_whole_count_as_zero);
    g_test_add_func("/page-sums/memory/check-names-the-first-page",
                    test_memory_check_names_the_first_page);
    g_test_add_func("/page-sums/table/golden", test_table_golden);
    g_test_add_func("/page-sums/table/round-trip", test_table_round_trip);
    g_test_add_func("/page-sums/table/of-few-pages-is-small",
                    test_table_of_few_pages_is_small);
    g_test_add_func("/page-sums/table/every-cut-is-refused",
                    test_table_every_cut_is_refused);
    g_test_add_func("/page-sums/table/every-flipped-bit-is-refused",
                    test_table_every_flipped_bit_is_refused);
    g_test_add_func("/page-sums/table/kind-is-one-of-two",
                    test_table_kind_is_one_of_two);
    g_test_add_func("/page-sums/table/of-other-blocks-is-refused",
                    test_table_of_other_blocks_is_refused);
    g_test_add_func("/page-sums/load/names-the-page",
                    test_load_names_the_page);
    g_test_add_func("/page-sums/load/takes-over-what-is-unread",
                    test_load_takes_over_what_is_unread);
    g_test_add_func("/page-sums/load/tells-a-damaged-table-from-pages",
                    test_load_tells_a_damaged_table_from_pages);
    g_test_add_func("/page-sums/get/random-differences",
                    test_get_random_differences);
    g_test_add_func("/page-sums/get/random-bytes", test_get_random_bytes);
    return g_test_run();
}
