/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fetcher of a restore by faults; see restore-fault.h. First it brings the
 * working set, if there is a record of it, then everything in its order, within
 * a rate if there is one. While touches come it rests as long
 * as it works, so that they find the disk free half of the time.
 */
#include "migration/restore-fault.h"

#include "migration/rate-limit.h"
#include "migration/restore-set.h"
#include "util/bitmap.h"
#include "util/error.h"

#define PIECE_PAGES 256        /* 1 MiB at once */
#define REST_MAX_NS (10 * NS_PER_MS)
#define LOOK_NS (50 * NS_PER_MS) /* a new rate is seen after so long */

typedef struct Fetcher {
    RestoreFault *f;
    RateLimit limit;
    uint8_t *buffer;           /* of PIECE_PAGES; aligned */
} Fetcher;

/* ---- its turns ------------------------------------------------------- */

static void rest(RestoreFault *f, int64_t ns)
{
    int64_t until_us = g_get_monotonic_time() + ns / 1000 + 1;

    g_mutex_lock(&f->lock);
    while (!f->quit && g_cond_wait_until(&f->changed, &f->lock, until_us)) {
    }
    g_mutex_unlock(&f->lock);
}

static uint64_t rate(const RestoreFault *f)
{
    const RestoreConfig *config = &f->r->config;

    return config->rate && config->clock ? config->rate(config->opaque) : 0;
}

/* Returns: how many pages may be brought now; 0: none ever, it is to quit. */
static uint64_t await_turn(Fetcher *ft)
{
    while (!fault_should_quit(ft->f)) {
        int64_t ns = rate_limit_fill(&ft->limit, fault_now_ns(ft->f),
                                     rate(ft->f));

        if (!ns) {
            return rate_limit_pages(&ft->limit, PIECE_PAGES);
        }
        rest(ft->f, MIN(ns, LOOK_NS));
    }
    return 0;
}

/* ---- its work -------------------------------------------------------- */

/* The first run of pages in [from, end) that are in the file and not there. */
static uint64_t next_run(const RestoreBlock *rb, uint64_t from, uint64_t end,
                         uint64_t max, uint64_t *ret_n)
{
    uint64_t n = 0;

    do {
        from = bitmap_find_next_set(rb->bitmap, end, from);
    } while (from < end && fault_is_there(rb, from) && ++from);
    while (n < max && from + n < end && bitmap_test_bit(rb->bitmap, from + n) &&
           !fault_is_there(rb, from + n)) {
        n++;
    }
    *ret_n = n;
    return from;
}

static bool bring_run(Fetcher *ft, RestoreBlock *rb, uint64_t first, uint64_t n,
                      uint64_t *bytes, GError **error)
{
    RestoreFault *f = ft->f;
    uint64_t pages = 0;
    int err;

    if (!fault_read(f, rb, first, n, ft->buffer, error) ||
        !fault_check(f, rb, first, n, ft->buffer, error)) {
        return false;
    }
    err = fault_bring(f, rb, first, n, ft->buffer, &pages);
    __atomic_fetch_add(bytes, pages << TM_PAGE_BITS, __ATOMIC_RELAXED);
    if (err) {
        tm_error_set_errno(error, err, "cannot bring pages of RAM block '%s' "
                           "into memory", rb->block->name);
    }
    return !err;
}

/* Rests afterwards if somebody touched something meanwhile. */
static bool fetch_run(Fetcher *ft, RestoreBlock *rb, uint64_t first, uint64_t n,
                      GError **error)
{
    const uint64_t *touched = &ft->f->stats.touched;
    uint64_t before = __atomic_load_n(touched, __ATOMIC_RELAXED);
    int64_t begin_ns = fault_now_ns(ft->f);

    if (!bring_run(ft, rb, first, n, &ft->f->stats.fetched_bytes, error)) {
        return false;
    }
    rate_limit_spend(&ft->limit, n << TM_PAGE_BITS);
    if (before != __atomic_load_n(touched, __ATOMIC_RELAXED)) {
        rest(ft->f, MIN(fault_now_ns(ft->f) - begin_ns, REST_MAX_NS));
    }
    return true;
}

/* Returns: false if it is to quit, or with @error. */
static bool fetch_block(Fetcher *ft, RestoreBlock *rb, GError **error)
{
    uint64_t end = rb->block->npages;
    uint64_t n, first = next_run(rb, 0, end, 1, &n);

    while (first < end) {
        uint64_t max = await_turn(ft);

        if (!max) {
            return false;
        }
        first = next_run(rb, first, end, max, &n); /* some came meanwhile */
        if (n && !fetch_run(ft, rb, first, n, error)) {
            return false;
        }
        first = next_run(rb, first + n, end, 1, &n);
    }
    return true;
}

static bool fetch_all(Fetcher *ft, GError **error)
{
    const Restore *r = ft->f->r;

    for (unsigned i = 0; i < r->blocks->len; i++) {
        if (!fetch_block(ft, restore_block(r, i), error)) {
            return false;
        }
    }
    return true;
}

/* What is left of it. Somebody will want it, so it needs no turns. */
static bool fetch_known(Fetcher *ft, const WorkingRun *run, GError **error)
{
    RestoreBlock *rb = restore_block(ft->f->r, run->index);
    uint64_t end = run->first + run->n;
    uint64_t n, first = next_run(rb, run->first, end, PIECE_PAGES, &n);

    while (first < end) {
        if (fault_should_quit(ft->f) ||
            !bring_run(ft, rb, first, n, &ft->f->stats.prefetched_bytes,
                       error)) {
            return false;
        }
        first = next_run(rb, first + n, end, PIECE_PAGES, &n);
    }
    return true;
}

static bool fetch_set(Fetcher *ft, GError **error)
{
    const GArray *known = ft->f->known;

    for (unsigned i = 0; known && i < known->len; i++) {
        if (fault_should_quit(ft->f) ||
            !fetch_known(ft, &g_array_index(known, WorkingRun, i), error)) {
            return false;
        }
    }
    return true;
}

/* Returns: false if it is to quit before it begins. */
static bool await_go(RestoreFault *f)
{
    bool go;

    g_mutex_lock(&f->lock);
    while (!f->go && !f->quit) {
        g_cond_wait(&f->changed, &f->lock);
    }
    go = !f->quit;
    g_mutex_unlock(&f->lock);
    return go;
}

gpointer fault_fetch(gpointer opaque)
{
    RestoreFault *f = opaque;
    Fetcher ft = { .f = f };
    GError *error = NULL;

    if (!await_go(f)) {
        return NULL;
    }
    rate_limit_init(&ft.limit, fault_now_ns(f));
    ft.buffer = g_aligned_alloc(PIECE_PAGES, TM_PAGE_BYTES, TM_PAGE_BYTES);
    if (fetch_set(&ft, &error) && fetch_all(&ft, &error)) {
        fault_end(f);
    } else if (error) {
        fault_fail(f, error);
    }
    g_aligned_free(ft.buffer);
    return NULL;
}
