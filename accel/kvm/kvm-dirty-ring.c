/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over all rings: harvest, reset, publish; see kvm-dirty-ring.h.
 */
#include "accel/kvm/kvm-dirty-ring.h"

#include <linux/kvm.h>

#include "trace/accel_kvm.h"
#include "util/bitmap.h"
#include "util/error.h"

/* Calls of the kernel for one reset, when it takes nothing. */
#define RESET_TRIES 8
/* Passes in which a ring that was half full is looked at for entries ahead:
 * what went wrong when it was full shows when what was in it is harvested. */
#define SUSPECT_PASSES 3

/* Hardware that logs by itself has 512 entries of its own to be written down,
 * which the kernel keeps room for. */
#define PML_MIN_ENTRIES 1024

/* 64 pages of a slot, and which of them one ring named. */
struct KvmRingWords {
    KvmSlot *slot;
    uint64_t index;   /* of the word in the slot's cache */
    uint64_t mask;
    KvmRing *ring;
};

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- harvest ------------------------------------------------------------- */

static KvmSlot *find_slot(KvmDirtyRing *d, uint32_t id)
    TSA_REQUIRES(d->slots->lock);
static KvmSlot *find_slot(KvmDirtyRing *d, uint32_t id)
{
    if (!d->last_slot || d->last_slot->id != id) {
        d->last_slot = kvm_slots_by_id_locked(d->slots, id);
    }
    return d->last_slot;
}

/* The entries of one ring may name a page many times, and its neighbours. */
static void gather(void *opaque, uint32_t id, uint64_t offset)
{
    KvmDirtyRing *d = opaque;
    KvmSlot *slot = find_slot(d, id);
    uint64_t index = offset / BITMAP_WORD_BITS;
    KvmRingWords words = { .slot = slot, .index = index };

    if (!slot || !slot->logging || offset >= slot->npages) {
        count(&d->stats.dropped, 1);
        return;
    }
    if (!slot->cache[index]) {
        g_array_append_val(d->words, words);
    }
    slot->cache[index] |= UINT64_C(1) << (offset % BITMAP_WORD_BITS);
}

/* What was gathered since @from is @ring's; the caches are zero again. */
static void settle(KvmDirtyRing *d, KvmRing *ring, guint from)
{
    for (guint i = from; i < d->words->len; i++) {
        KvmRingWords *w = &g_array_index(d->words, KvmRingWords, i);

        w->ring = ring;
        w->mask = w->slot->cache[w->index];
        w->slot->cache[w->index] = 0;
    }
}

static void watch(KvmDirtyRing *d, KvmRing *ring)
    TSA_REQUIRES(d->slots->lock);
static void watch(KvmDirtyRing *d, KvmRing *ring)
{
    if (ring->last >= ring->n / 2) {
        ring->suspect = SUSPECT_PASSES;
    }
    if (kvm_ring_is_whole(ring)) {
        ring->doubt = true;
        kvm_dirty_ring_lose_locked(d, KVM_RING_LOSS_WHOLE);
    } else if (ring->suspect && kvm_ring_is_ahead(ring)) {
        ring->doubt = true;
        kvm_dirty_ring_lose_locked(d, KVM_RING_LOSS_AHEAD);
    }
    if (ring->suspect && ring->last) {
        ring->suspect--;
    }
}

/* Returns: entries in the fullest ring. */
static uint32_t harvest_locked(KvmDirtyRing *d)
    TSA_REQUIRES(d->slots->lock);
static uint32_t harvest_locked(KvmDirtyRing *d)
{
    uint32_t fullest = 0;

    g_array_set_size(d->words, 0);
    d->last_slot = NULL;
    for (guint i = 0; i < d->rings->len; i++) {
        KvmRing *ring = g_ptr_array_index(d->rings, i);
        guint from = d->words->len;

        /* It would read what is not there. */
        if (!ring->astray) {
            kvm_ring_harvest(ring, gather, d);
            settle(d, ring, from);
            watch(d, ring);
            count(&d->stats.entries, ring->last);
            fullest = MAX(fullest, ring->last);
        }
    }
    d->last_slot = NULL;
    if (fullest > d->stats.fullest) {
        __atomic_store_n(&d->stats.fullest, fullest, __ATOMIC_RELAXED);
    }
    return fullest;
}

/* ---- reset --------------------------------------------------------------- */

/* What an astray ring holds, the kernel does not take. */
static uint32_t given_locked(const KvmDirtyRing *d)
{
    uint32_t given = 0;

    for (guint i = 0; i < d->rings->len; i++) {
        const KvmRing *ring = g_ptr_array_index(d->rings, i);

        given += ring->astray ? 0 : kvm_ring_given(ring);
    }
    return given;
}

/* In as many calls as the kernel likes. @ret_clean: it was one, and it took
 * what it was given. Returns: entries taken. */
static uint32_t take_back_locked(KvmDirtyRing *d, uint32_t want,
                                 bool *ret_clean)
{
    uint32_t sum = 0;
    unsigned pieces = 0, failures = 0, in_vain = 0;

    while (sum < want && in_vain < RESET_TRIES) {
        int r = kvm_vm(d->slots->io, KVM_RESET_DIRTY_RINGS, NULL);

        count(&d->stats.resets, 1);
        if (r > 0) {
            sum += r;
            pieces++;
        } else {
            failures += r < 0;
            in_vain++;
        }
    }
    *ret_clean = sum == want && pieces <= 1 && !failures;
    return sum;
}

/* A kernel that heeds the limit may well have filled the ring again by now; of
 * one that does not nobody knows where it stopped. */
static void look_once_more(KvmDirtyRing *d, KvmRing *ring)
    TSA_REQUIRES(d->slots->lock);
static void look_once_more(KvmDirtyRing *d, KvmRing *ring)
{
    if (d->may_overrun && !ring->astray && kvm_ring_came_round(ring)) {
        ring->doubt = true;
        kvm_dirty_ring_lose_locked(d, KVM_RING_LOSS_WHOLE);
    }
}

static void note_taken(KvmRing *ring, uint32_t taken, uint32_t want)
{
    if (ring->astray) {
        return;
    }
    if (taken < want) {
        kvm_ring_find_taken(ring);
        ring->astray = kvm_ring_given(ring) != 0;
    } else {
        kvm_ring_all_taken(ring);
        ring->astray = taken > want;
    }
    ring->astray |= ring->doubt;
    ring->doubt = false;
}

/*
 * All that was harvested has to be taken back, and in one piece: a reset that
 * was cut short may have dropped what it was at work on.
 */
static void reset_locked(KvmDirtyRing *d) TSA_REQUIRES(d->slots->lock);
static void reset_locked(KvmDirtyRing *d)
{
    uint32_t want = given_locked(d), taken = 0;
    bool clean = true;

    if (want) {
        taken = take_back_locked(d, want, &clean);
    }
    for (guint i = 0; i < d->rings->len; i++) {
        KvmRing *ring = g_ptr_array_index(d->rings, i);

        look_once_more(d, ring);
        note_taken(ring, taken, want);
    }
    if (!clean) {
        kvm_dirty_ring_lose_locked(d, taken > want ? KVM_RING_LOSS_AHEAD :
                                   KVM_RING_LOSS_SHORT);
    }
}

/* ---- publish ------------------------------------------------------------- */

static void publish_locked(KvmDirtyRing *d) TSA_REQUIRES(d->slots->lock);
static void publish_locked(KvmDirtyRing *d)
{
    for (guint i = 0; i < d->words->len; i++) {
        const KvmRingWords *w = &g_array_index(d->words, KvmRingWords, i);
        uint64_t first = w->index * BITMAP_WORD_BITS;
        uint64_t npages = MIN(w->slot->npages - first, BITMAP_WORD_BITS);
        MemorySection s = {
            .gpa = w->slot->gpa + (first << TM_PAGE_BITS),
            .size = npages << TM_PAGE_BITS,
            .block = w->slot->block,
            .offset = w->slot->offset + (first << TM_PAGE_BITS),
            .readonly = w->slot->readonly,
        };

        dirty_sync_merge(d->slots->listener.map, &s, &w->mask,
                         w->ring->by_client);
    }
}

/* ---- the reaper's work --------------------------------------------------- */

static uint32_t ring_pass(KvmDirtyRing *d, bool asked)
{
    uint32_t fullest;
    bool was_lost;

    kvm_slots_lock(d->slots);
    was_lost = d->lost;
    fullest = harvest_locked(d);
    reset_locked(d);
    publish_locked(d);
    if (d->lost && (asked || !was_lost) &&
        kvm_dirty_ring_is_unknown_locked(d)) {
        kvm_dirty_ring_assume_locked(d);
    }
    if (fullest) {
        count(&d->stats.passes, 1);
        trace_kvm_ring_pass(d->rings->len, fullest, d->words->len);
    }
    was_lost = d->lost && !was_lost;
    kvm_slots_unlock(d->slots);
    if (was_lost && d->on_lost) {
        d->on_lost(d->opaque);
    }
    return fullest;
}

static uint32_t work(void *opaque, KvmReaperJob job)
{
    KvmDirtyRing *d = opaque;

    if (job == KVM_REAPER_REPAIR) {
        kvm_slots_lock(d->slots);
        kvm_dirty_ring_repair_locked(d);
        kvm_slots_unlock(d->slots);
        return 0;
    }
    return ring_pass(d, job == KVM_REAPER_PASS);
}

static bool is_busy(void *opaque)
{
    const KvmDirtyRing *d = opaque;

    return __atomic_load_n(&d->running, __ATOMIC_SEQ_CST) > 0 &&
        __atomic_load_n(&d->logged, __ATOMIC_SEQ_CST) > 0;
}

static const KvmReaperOps reaper_ops = { .work = work, .is_busy = is_busy };

/* ---- the engine and its rings -------------------------------------------- */

KvmDirtyRing *kvm_dirty_ring_new(KvmSlots *slots, uint32_t entries,
                                 uint32_t capability, GError **error)
{
    struct kvm_enable_cap cap = {
        .cap = capability,
        .args = { entries * sizeof(struct kvm_dirty_gfn) },
    };
    int r = kvm_vm(slots->io, KVM_ENABLE_CAP, &cap);
    KvmDirtyRing *d;

    if (r < 0) {
        tm_error_set_errno(error, r, "cannot enable dirty rings of %u "
                           "entries%s (KVM_ENABLE_CAP)", entries,
                           entries < PML_MIN_ENTRIES ? "; CPUs with "
                           "page-modification logging need 1024" : "");
        return NULL;
    }
    d = g_new0(KvmDirtyRing, 1);
    d->slots = slots;
    d->entries = entries;
    d->rings = g_ptr_array_new();
    d->words = g_array_new(FALSE, FALSE, sizeof(KvmRingWords));
    slots->ring = d;
    if (!kvm_reaper_start(&d->reaper, &reaper_ops, d, entries, error)) {
        kvm_dirty_ring_free(d);
        return NULL;
    }
    return d;
}

void kvm_dirty_ring_free(KvmDirtyRing *d)
{
    if (!d) {
        return;
    }
    kvm_reaper_stop(&d->reaper);
    d->slots->ring = NULL;
    g_ptr_array_set_free_func(d->rings, g_free);
    g_ptr_array_free(d->rings, TRUE);
    g_array_free(d->words, TRUE);
    g_free(d->broken);
    g_free(d);
}

KvmRing *kvm_dirty_ring_add(KvmDirtyRing *d, struct kvm_dirty_gfn *entries,
                            uint64_t by_client[DIRTY_CLIENT_MAX])
{
    KvmRing *ring = g_new(KvmRing, 1);

    kvm_ring_init(ring, entries, d->entries);
    ring->by_client = by_client;
    kvm_slots_lock(d->slots);
    g_ptr_array_add(d->rings, ring);
    kvm_slots_unlock(d->slots);
    return ring;
}

void kvm_dirty_ring_del(KvmDirtyRing *d, KvmRing *ring)
{
    kvm_reaper_ask(&d->reaper, KVM_REAPER_PASS);
    kvm_slots_lock(d->slots);
    g_ptr_array_remove(d->rings, ring);
    kvm_slots_unlock(d->slots);
    g_free(ring);
}

void kvm_dirty_ring_orphan(KvmDirtyRing *d, KvmRing *ring)
{
    kvm_slots_lock(d->slots);
    ring->by_client = NULL;
    kvm_slots_unlock(d->slots);
}

void kvm_dirty_ring_enter(KvmDirtyRing *d, KvmRing *ring)
{
    ring->taken_before = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
    __atomic_fetch_add(&d->running, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&d->logged, __ATOMIC_SEQ_CST)) {
        kvm_reaper_poke(&d->reaper);
    }
}

void kvm_dirty_ring_leave(KvmDirtyRing *d)
{
    __atomic_fetch_sub(&d->running, 1, __ATOMIC_SEQ_CST);
}

void kvm_dirty_ring_stats(const KvmDirtyRing *d, KvmRingStats *ret)
{
    const uint64_t *from = (const uint64_t *)&d->stats;
    uint64_t *to = (uint64_t *)ret;

    for (size_t i = 0; i < sizeof(*ret) / sizeof(*to); i++) {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

/* ---- the seam ------------------------------------------------------------ */

static bool enable(KvmSlots *slots, GError **error)
{
    return slots->ring ||
        kvm_dirty_ring_new(slots, slots->mode.ring_entries,
                           slots->mode.ring_capability, error);
}

static bool flush(KvmSlots *slots, GError **error)
{
    KvmDirtyRing *d = slots->ring;
    bool ok;

    kvm_reaper_ask(&d->reaper, KVM_REAPER_PASS);
    kvm_slots_lock(slots);
    ok = !d->broken;
    if (!ok) {
        tm_error_set(error, "%s", d->broken);
    }
    kvm_slots_unlock(slots);
    return ok;
}

static void start(KvmSlots *slots, KvmSlot *slot)
{
    KvmDirtyRing *d = slots->ring;

    __atomic_fetch_add(&d->logged, 1, __ATOMIC_SEQ_CST);
    kvm_reaper_poke(&d->reaper);
}

static void stop(KvmSlots *slots, KvmSlot *slot)
{
    __atomic_fetch_sub(&slots->ring->logged, 1, __ATOMIC_SEQ_CST);
    g_clear_pointer(&slot->cache, g_free);
    slot->told = false;
}

const KvmDirtyOps kvm_dirty_ring_ops = {
    .name = "dirty-ring",
    .enable = enable,
    .flush = flush,
    .start = start,
    .stop = stop,
};
