/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages by nothing but GET and CLEAR, with the simplest bookkeeping
 * that can be right: per slot a cache (what GET showed and no CLEAR took yet)
 * and what the consumer has yet to be told. Knows how to be wrong as well;
 * before each fetch, and some clears, it holds the cache against the kernel
 * (I3), since some mistakes lose nothing before a second client makes them
 * fatal.
 */
#include <linux/kvm.h>
#include <string.h>

#include "dirty-log-raw.h"
#include "util/bitmap.h"

static bool is_manual(const DlTracker *t)
{
    return t->config->mode != DL_DIRTY_LOG;
}

void raw_enable(DlTracker *t, uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

    g_assert_cmpint(kvm_vm(t->m->io, KVM_ENABLE_CAP, &c), ==, 0);
}

static void set_slot(DlTracker *t, const RawSlot *s, uint64_t npages,
                     bool logging)
{
    struct kvm_userspace_memory_region r = {
        .slot = s->id, .flags = logging ? KVM_MEM_LOG_DIRTY_PAGES : 0,
        .guest_phys_addr = t->config->offset + s->first * DL_PAGE,
        .memory_size = npages * DL_PAGE,
        .userspace_addr = (uintptr_t)t->mem.host + s->first * DL_PAGE,
    };

    g_assert_cmpint(kvm_vm(t->m->io, KVM_SET_USER_MEMORY_REGION, &r), ==, 0);
}

/* Slots of unequal sizes, none of them a round number but by accident. */
void raw_map(DlTracker *t)
{
    RawTracker *r = g_new0(RawTracker, 1);
    uint64_t npages = t->config->npages;

    t->opaque = r;
    r->n = MIN(t->config->slots, npages);
    r->slots = g_new0(RawSlot, r->n);
    r->told = bitmap_try_new(npages, NULL);
    t->slots_used = r->n;
    for (unsigned i = 0; i < r->n; i++) {
        RawSlot *s = &r->slots[i];

        s->id = i * DL_SLOT_STRIDE;
        s->first = npages * i / r->n;
        s->npages = npages * (i + 1) / r->n - s->first;
        s->cache = bitmap_try_new(s->npages, NULL);
        s->scratch = bitmap_try_new(s->npages, NULL);
        s->other_user = bitmap_try_new(s->npages, NULL);
        set_slot(t, s, s->npages, false);
    }
}

void raw_log(DlTracker *t, bool on)
{
    RawTracker *r = t->opaque;

    for (unsigned i = 0; i < r->n; i++) {
        set_slot(t, &r->slots[i], r->slots[i].npages, on);
    }
}

static void log_map(DlTracker *t)
{
    if (is_manual(t)) {
        raw_enable(t, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
                   t->config->mode == DL_CLEAR_LOG_SET ? 3 : 1);
    }
    raw_map(t);
}

static void log_start(DlTracker *t)
{
    RawTracker *r = t->opaque;

    raw_log(t, true);
    for (unsigned i = 0; i < r->n && t->config->mutant == DL_PRESET; i++) {
        bitmap_set(r->slots[i].cache, 0, r->slots[i].npages);
    }
}

static void raw_get(DlTracker *t, RawSlot *s, uint64_t *words)
{
    struct kvm_dirty_log log = { .slot = s->id, .dirty_bitmap = words };

    g_assert_cmpint(kvm_vm(t->m->io, KVM_GET_DIRTY_LOG, &log), ==, 0);
}

static void raw_clear_words(DlTracker *t, RawSlot *s, uint64_t first,
                            uint64_t n, uint64_t *words)
{
    struct kvm_clear_dirty_log log = {
        .slot = s->id, .first_page = first, .num_pages = n,
        .dirty_bitmap = words,
    };

    g_assert_cmpint(kvm_vm(t->m->io, KVM_CLEAR_DIRTY_LOG, &log), ==, 0);
}

/* Bits of the kernel only grow until they are cleared by this cache. */
static void check_cache(DlTracker *t, RawSlot *s)
{
    raw_get(t, s, s->scratch);
    for (uint64_t w = 0; w < bitmap_words(s->npages); w++) {
        if (s->cache[w] & ~s->scratch[w]) {
            dl_fail(&t->failure, "I3: slot %u has bits 0x%" G_GINT64_MODIFIER
                    "x of word %u in its cache that the kernel has not",
                    s->id, s->cache[w] & ~s->scratch[w], (unsigned)w);
        }
    }
}

static void fetch_slot(DlTracker *t, RawSlot *s, bool drop)
{
    RawTracker *r = t->opaque;

    if (is_manual(t)) {
        check_cache(t, s);
        if (t->config->mutant == DL_PRIVATE_COPY) {
            raw_clear_words(t, s, 0, s->npages, s->other_user);
        }
    }
    raw_get(t, s, s->cache);
    bitmap_copy(s->other_user, s->cache, s->npages);
    if (!drop) {
        bitmap_or_into_atomic(r->told, s->first, s->cache, s->npages);
    }
}

static void log_fetch(DlTracker *t)
{
    RawTracker *r = t->opaque;
    bool drop = t->config->mutant == DL_GET_NOT_MERGED && ++r->fetches % 2;

    for (unsigned i = 0; i < r->n; i++) {
        fetch_slot(t, &r->slots[i], drop);
    }
}

/* Pages [first, first + n) of the slot. */
static void clear_slot(DlTracker *t, RawSlot *s, uint64_t first, uint64_t n)
{
    DlMutant mutant = t->config->mutant;
    uint64_t begin = first / 64 * 64;
    uint64_t end = MIN(bitmap_words(first + n) * 64, s->npages);

    if (g_rand_int(t->m->rand) % 8 == 0) {
        check_cache(t, s);
    }
    memset(s->scratch, 0, bitmap_bytes(s->npages));
    for (uint64_t p = begin; p < end; p++) {
        bool inside = p >= first && p < first + n;

        if ((inside || mutant == DL_NEIGHBOUR) &&
            (mutant == DL_CLEAR_ALL_ONES || bitmap_test_bit(s->cache, p))) {
            bitmap_set_bit(s->scratch, p - begin);
        }
    }
    raw_clear_words(t, s, begin, end - begin, s->scratch);
    if (mutant != DL_KEEP_CACHE) {
        bitmap_clear(s->cache, first, n);
    }
}

static void log_clear(DlTracker *t, uint64_t first, uint64_t n)
{
    RawTracker *r = t->opaque;

    for (unsigned i = 0; is_manual(t) && i < r->n; i++) {
        RawSlot *s = &r->slots[i];
        uint64_t begin = MAX(first, s->first);
        uint64_t end = MIN(first + n, s->first + s->npages);

        if (begin < end) {
            clear_slot(t, s, begin - s->first, end - begin);
        }
    }
}

void raw_take(DlTracker *t, uint64_t first, uint64_t n, uint64_t *words)
{
    RawTracker *r = t->opaque;

    memset(words, 0, bitmap_bytes(n));
    for (uint64_t i = 0; i < n; i++) {
        if (bitmap_test_and_clear_atomic(r->told, first + i)) {
            bitmap_set_bit(words, i);
        }
    }
}

void raw_write(DlTracker *t, uint64_t page, uint64_t value)
{
    RawTracker *r = t->opaque;
    uint8_t *at = t->m->memory + page * DL_PAGE + DL_DEVICE_AT;

    __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
    bitmap_test_and_set_atomic(r->told, page);
}

static void log_stop(DlTracker *t)
{
    raw_log(t, false);
}

void raw_unmap(DlTracker *t)
{
    RawTracker *r = t->opaque;

    for (unsigned i = 0; i < r->n; i++) {
        set_slot(t, &r->slots[i], 0, false);
        g_free(r->slots[i].cache);
        g_free(r->slots[i].scratch);
        g_free(r->slots[i].other_user);
    }
    g_free(r->slots);
    g_free(r->told);
    g_free(r);
}

const DlTrackerOps *dl_raw_tracker(DlMode mode)
{
    return mode == DL_DIRTY_RING ? &dl_tracker_ring : &dl_tracker_raw;
}

const DlTrackerOps dl_tracker_raw = {
    .name = "raw",
    .map = log_map,
    .start = log_start,
    .fetch = log_fetch,
    .clear = log_clear,
    .take = raw_take,
    .write = raw_write,
    .stop = log_stop,
    .unmap = raw_unmap,
};
