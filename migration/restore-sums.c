/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that come by faults, held against the file's table of checksums.
 *
 * The table is behind everything else in the stream, and devices that are
 * loaded before it may touch memory. Of what came that early the checksum is
 * kept until there is something to hold it against; no vCPU runs before that.
 */
#include "migration/restore-fault.h"

#include <inttypes.h>

#include "util/bitmap.h"
#include "util/buffer-is-zero.h"
#include "util/error.h"

static bool fail_page(const RestoreBlock *rb, uint64_t page, GError **error)
{
    tm_error_set(error, "page at 0x%" PRIx64 " of RAM block '%s' is not what "
                 "was sent last", page << TM_PAGE_BITS, rb->block->name);
    return false;
}

/* Returns: true if there is no table yet; it is held against it later. */
static bool note_early(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                       uint64_t n, const uint8_t *data)
{
    bool early;

    g_mutex_lock(&f->lock);
    early = f->early != NULL;
    for (uint64_t i = 0; early && i < n; i++) {
        FaultEarly one = {
            .rb = rb, .page = first + i,
            .sum = page_sum(rb->sums, first + i, data + i * TM_PAGE_BYTES),
            .filled = !buffer_is_zero(data + i * TM_PAGE_BYTES, TM_PAGE_BYTES),
        };

        g_array_append_val(f->early, one);
    }
    g_mutex_unlock(&f->lock);
    return early;
}

bool fault_check(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                 uint64_t n, const uint8_t *data, GError **error)
{
    if (!rb->sums || note_early(f, rb, first, n, data) || !f->checks) {
        return true;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!page_sums_is(rb->sums, first + i, data + i * TM_PAGE_BYTES)) {
            return fail_page(rb, first + i, error);
        }
    }
    return true;
}

/* Of a page that is not in the file nothing will come. */
static bool check_absent(const RestoreBlock *rb, GError **error)
{
    uint64_t npages = rb->block->npages;

    for (uint64_t i = 0; rb->sums && i < bitmap_words(npages); i++) {
        uint64_t missing = rb->sums->filled[i] & ~rb->bitmap[i];

        if (missing) {
            return fail_page(rb, i * BITMAP_WORD_BITS +
                             __builtin_ctzll(missing), error);
        }
    }
    return true;
}

static bool check_early(const FaultEarly *one, GError **error)
{
    bool filled = bitmap_test_bit(one->rb->sums->filled, one->page);

    if (filled != one->filled ||
        (filled && one->rb->sums->sums[one->page] != one->sum)) {
        return fail_page(one->rb, one->page, error);
    }
    return true;
}

bool fault_hold_sums(RestoreFault *f, GError **error)
{
    const Restore *r = f->r;
    bool ok = true;

    for (unsigned i = 0; ok && i < r->blocks->len; i++) {
        ok = check_absent(restore_block(r, i), error);
    }
    g_mutex_lock(&f->lock);
    for (unsigned i = 0; ok && i < f->early->len; i++) {
        ok = check_early(&g_array_index(f->early, FaultEarly, i), error);
    }
    f->checks = true;
    g_clear_pointer(&f->early, g_array_unref);
    g_mutex_unlock(&f->lock);
    return ok;
}
