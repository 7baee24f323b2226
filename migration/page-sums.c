/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checksums of pages, in memory; see page-sums.h. Runs once per page that is
 * sent or loaded. How the table travels is page-sums-table.c's.
 */
#include "migration/page-sums.h"

#include <string.h>
#include <xxhash.h>
#ifdef HAVE_XXH_DISPATCH
/* The same functions, in the best variant that this CPU can run. */
#include <xxh_x86dispatch.h>
#endif

#include "migration/wire.h"
#include "util/bitmap.h"
#include "util/buffer-is-zero.h"
#include "util/byteorder.h"
#include "util/error.h"

static uint64_t seed_of(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

static void block_free(PageSumBlock *block)
{
    g_free(block->name);
    g_free(block->sums);
    g_free(block->filled);
    g_free(block->seen);
    g_free(block);
}

PageSums *page_sums_new(void)
{
    PageSums *sums = g_new0(PageSums, 1);

    sums->blocks = g_ptr_array_new_with_free_func((GDestroyNotify)block_free);
    return sums;
}

void page_sums_free(PageSums *sums)
{
    if (sums) {
        g_ptr_array_unref(sums->blocks);
        g_free(sums);
    }
}

PageSumBlock *page_sums_add(PageSums *sums, const char *name, uint64_t npages,
                            GError **error)
{
    PageSumBlock *block = g_new0(PageSumBlock, 1);

    block->name = g_strdup(name);
    block->seed = seed_of(name);
    block->npages = npages;
    /* Large ones come as untouched zero pages, as with bitmaps. */
    block->sums = npages <= SIZE_MAX / sizeof(uint64_t)
                      ? g_try_malloc0_n(MAX(npages, 1), sizeof(uint64_t))
                      : NULL;
    block->filled = bitmap_try_new(npages, NULL);
    block->seen = bitmap_try_new(npages, NULL);
    if (!block->sums || !block->filled || !block->seen) {
        tm_error_set(error, "no memory for the checksums of the %"
                     G_GUINT64_FORMAT " pages of RAM block '%s'", npages,
                     name);
        block_free(block);
        return NULL;
    }
    g_ptr_array_add(sums->blocks, block);
    return block;
}

void page_sums_rename(PageSumBlock *block, const char *name)
{
    g_free(block->name);
    block->name = g_strdup(name);
    block->seed = seed_of(name);
}

PageSumBlock *page_sums_find(const PageSums *sums, const char *name)
{
    for (unsigned i = 0; i < sums->blocks->len; i++) {
        PageSumBlock *block = g_ptr_array_index(sums->blocks, i);

        if (!strcmp(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

uint64_t page_sum(const PageSumBlock *block, uint64_t page, const void *data)
{
    return XXH3_64bits_withSeed(data, WIRE_PAGE_BYTES,
                                block->seed + page * WIRE_PAGE_BYTES);
}

void page_sums_count(PageSumBlock *block, uint64_t page, uint64_t sum,
                     bool zero)
{
    if (zero) {
        uint8_t place[8];

        store_be64(place, block->seed + page * WIRE_PAGE_BYTES);
        sum = XXH3_64bits(place, sizeof(place));
    }
    block->trail.records++;
    block->trail.sum += sum;
}

uint64_t page_sums_bitmap_word(const PageSumBlock *block, uint64_t i,
                               uint64_t word)
{
    uint8_t bits[8];

    if (!word) {
        return 0;
    }
    store_be64(bits, word);
    return XXH3_64bits_withSeed(bits, sizeof(bits), block->seed +
                                i * BITMAP_WORD_BITS * WIRE_PAGE_BYTES);
}

void page_sums_count_bitmap(PageSumBlock *block, const uint64_t *bitmap)
{
    PageSumTrail trail = { bitmap_count(bitmap, 0, block->npages), 0 };

    for (uint64_t i = 0; i < bitmap_words(block->npages); i++) {
        trail.sum += page_sums_bitmap_word(block, i, bitmap[i]);
    }
    block->trail = trail;
}

/* Most pages are noted once, or as they were before: look, then change. */
static void set_to(uint64_t *map, uint64_t bit, bool value)
{
    if (bitmap_test_bit_atomic(map, bit) == value) {
        return;
    }
    if (value) {
        bitmap_test_and_set_atomic(map, bit);
    } else {
        bitmap_test_and_clear_atomic(map, bit);
    }
}

uint64_t page_sums_note(PageSumBlock *block, uint64_t page, const void *data)
{
    bool filled = data && !buffer_is_zero(data, WIRE_PAGE_BYTES);
    uint64_t sum = data ? page_sum(block, page, data) : 0;

    if (filled || block->sums[page]) {
        block->sums[page] = filled ? sum : 0;
    }
    set_to(block->filled, page, filled);
    set_to(block->seen, page, true);
    return sum;
}

void page_sums_note_range(PageSumBlock *block, const uint8_t *host,
                          uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++) {
        const uint8_t *data = host + i * WIRE_PAGE_BYTES;

        page_sums_note(block, i,
                       buffer_is_zero(data, WIRE_PAGE_BYTES) ? NULL : data);
    }
}

bool page_sums_is(const PageSumBlock *block, uint64_t page, const void *data)
{
    bool filled = !buffer_is_zero(data, WIRE_PAGE_BYTES);

    return filled == bitmap_test_bit(block->filled, page) &&
        (!filled || block->sums[page] == page_sum(block, page, data));
}

uint64_t page_sums_check_range(const PageSumBlock *block, const uint8_t *host,
                               uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++) {
        if (!page_sums_is(block, i, host + i * WIRE_PAGE_BYTES)) {
            return i;
        }
    }
    return first + n;
}
