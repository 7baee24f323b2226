/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode page-sampling; see dirtyrate-sample.h for how pages are chosen.
 */
#include "migration/dirtyrate-sample.h"

#include <inttypes.h>
#include <xxhash.h>

#include "migration/dirtyrate-internal.h"
#include "util/error.h"

#define GIB_PAGES (UINT64_C(1) << (30 - TM_PAGE_BITS))

struct DirtySampler {
    const RAMList *list;
    uint64_t per_gib;
    uint32_t seed;
    const bool *stop;     /* atomic */
    uint64_t *hashes;     /* of all blocks, in their order */
};

uint64_t dirty_sample_count(uint64_t npages, uint64_t per_gib)
{
    unsigned __int128 n =
        ((unsigned __int128)npages * per_gib + GIB_PAGES - 1) / GIB_PAGES;

    return MIN(npages, MAX((uint64_t)MIN(n, UINT64_MAX), DIRTY_SAMPLE_FLOOR));
}

static const RAMBlock *block_at(const DirtySampler *s, guint i)
{
    return g_ptr_array_index(s->list->blocks, i);
}

DirtySampler *dirty_sampler_new(const RAMList *list, uint64_t per_gib,
                                uint32_t seed, const bool *stop,
                                GError **error)
{
    DirtySampler *s = g_new0(DirtySampler, 1);
    uint64_t n = 0;

    s->list = list;
    s->per_gib = per_gib;
    s->seed = seed;
    s->stop = stop;
    for (guint i = 0; i < list->blocks->len; i++) {
        n += dirty_sample_count(block_at(s, i)->npages, per_gib);
    }
    s->hashes = g_try_new0(uint64_t, MAX(n, 1));
    if (!s->hashes) {
        tm_error_set(error, "no memory for the hashes of %" PRIu64 " pages",
                     n);
        g_clear_pointer(&s, dirty_sampler_free);
    }
    return s;
}

void dirty_sampler_free(DirtySampler *s)
{
    if (s) {
        g_free(s->hashes);
        g_free(s);
    }
}

/*
 * Hash the samples of @block into @hashes.
 * Returns: how many differ from what was there; or -1 if stopped.
 */
static int64_t hash_block(const DirtySampler *s, const RAMBlock *block,
                          uint64_t n, uint64_t *hashes)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(s->seed);
    uint64_t first = 0, changed = 0;

    for (uint64_t i = 0; i < n; i++) {
        /* What does not divide evenly goes to the first stretches. */
        uint64_t npages = block->npages / n + (i < block->npages % n);
        uint64_t page = first + g_rand_int(rand) % npages;
        uint64_t hash = XXH3_64bits(block->host + (page << TM_PAGE_BITS),
                                    TM_PAGE_BYTES);

        if (__atomic_load_n(s->stop, __ATOMIC_RELAXED)) {
            return -1;
        }
        changed += hash != hashes[i];
        hashes[i] = hash;
        first += npages;
    }
    return changed;
}

/* @ret_pages: the estimate of all blocks. */
static bool hash_all(DirtySampler *s, uint64_t *ret_pages)
{
    uint64_t *hashes = s->hashes;

    *ret_pages = 0;
    for (guint i = 0; i < s->list->blocks->len; i++) {
        const RAMBlock *block = block_at(s, i);
        uint64_t n = dirty_sample_count(block->npages, s->per_gib);
        int64_t changed = hash_block(s, block, n, hashes);

        if (changed < 0) {
            return false;
        }
        *ret_pages += (unsigned __int128)changed * block->npages / n;
        hashes += n;
    }
    return true;
}

bool dirty_sampler_look(DirtySampler *s)
{
    uint64_t unused;

    return hash_all(s, &unused);
}

bool dirty_sampler_estimate(DirtySampler *s, uint64_t *ret_pages)
{
    return hash_all(s, ret_pages);
}

/* Both looks go over the samples in the same order and take about the same
 * time, so from one to the other it is as long for each of them. */
bool dirty_rate_sample_measure(DirtyRate *r, DirtyRateResult *ret,
                               GError **error)
{
    g_autoptr(DirtySampler) s =
        dirty_sampler_new(&r->vm->ram, r->sample_pages,
                          r->has_seed ? r->seed : g_random_int(), &r->stop,
                          error);
    int64_t begin_ns = clock_now_ns(r->clock);

    if (!s) {
        return false;
    }
    dirty_sampler_look(s);
    if (!dirty_rate_wait(r, begin_ns + r->wait_ns, error)) {
        return false;
    }
    ret->period_ns = clock_now_ns(r->clock) - begin_ns;
    dirty_sampler_estimate(s, &ret->pages);
    return dirty_rate_go_on(r, error); /* or was it cut short? */
}
