/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 4: KVM_CLEAR_DIRTY_LOG (api.rst 4.117) out of the slot's cache.
 *
 * The kernel wants the first page to be a multiple of 64, and the number of
 * pages too unless it reaches the slot's end. So whole words of the cache are
 * sent, and in the first and the last the bits outside the range are masked:
 *
 *     pages   0        64       128      192      256   slot's end
 *     asked        [---------------------------)
 *     sent    [=====================================)
 *     bits    000011111111111111111111111111111000000     & cache
 *
 * A bit is sent only if the cache has it. Sending ones for everything would
 * clear a write that happened since the last fetch: the page is then clean in
 * the kernel, nobody was told, and the write never travels. A neighbour's bit
 * outside the range stays, in the kernel and in the cache alike; clearing one
 * of the two would break I3 for whoever clears next.
 *
 * The call returns after the pages are write-protected and every CPU knows:
 * a page may be read from then on, not before.
 */
#include "accel/kvm/kvm-dirty.h"

#include <linux/kvm.h>

#include "accel/kvm/kvm-slots.h"
#include "trace/accel_kvm.h"
#include "util/bitmap.h"
#include "util/error.h"

#define ALIGN_PAGES BITMAP_WORD_BITS

/* Send @npages bits at @words as they are. */
static bool clear_words(KvmSlots *slots, KvmSlot *slot, uint64_t first,
                        uint64_t npages, uint64_t *words,
                        DirtyClearStats *stats, GError **error)
{
    struct kvm_clear_dirty_log log = {
        .slot = slot->id, .num_pages = npages, .first_page = first,
        .dirty_bitmap = words,
    };
    uint64_t dirty = bitmap_count(words, 0, npages);
    int64_t begin_ns = clock_now_ns(slots->clock);
    int r = kvm_vm(slots->io, KVM_CLEAR_DIRTY_LOG, &log);
    uint64_t ns = clock_now_ns(slots->clock) - begin_ns;

    if (r < 0) {
        tm_error_set_errno(error, r, "cannot clear the dirty log of slot %u, "
                           "pages %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT,
                           slot->id, first, npages);
        return false;
    }
    trace_kvm_clear_dirty_log(slot->id, first, npages, dirty, ns);
    stats->calls++;
    stats->pages += dirty;
    stats->span_pages += npages;
    stats->time_ns += ns;
    return true;
}

bool kvm_clear_log_range(KvmSlots *slots, KvmSlot *slot, uint64_t first,
                         uint64_t npages, DirtyClearStats *stats,
                         GError **error)
{
    uint64_t begin = first / ALIGN_PAGES * ALIGN_PAGES;
    uint64_t end = MIN(bitmap_words(first + npages) * ALIGN_PAGES,
                       slot->npages);
    uint64_t *head = &slot->cache[begin / ALIGN_PAGES];
    uint64_t *tail = &slot->cache[(end - 1) / ALIGN_PAGES];
    uint64_t head_word = *head, tail_word = *tail;
    unsigned tail_bits = (first + npages - 1) % ALIGN_PAGES + 1;
    bool ok;

    if (!bitmap_any(slot->cache, first, npages)) {
        return true;
    }
    /*
     * Mask the edges in the cache itself for the length of the call: nobody
     * looks at it under our lock, and nothing has to be copied.
     */
    *head &= ~UINT64_C(0) << (first - begin);
    *tail &= ~UINT64_C(0) >> (ALIGN_PAGES - tail_bits);
    ok = clear_words(slots, slot, begin, end - begin, head, stats, error);
    *tail = tail_word;
    *head = head_word;
    if (ok) {
        bitmap_clear(slot->cache, first, npages);
    }
    return ok;
}
