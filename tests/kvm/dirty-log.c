/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See dirty-log.h: the body.
 */
#include "dirty-log.h"

#include <string.h>

#include "util/bitmap.h"

#define MAX_CHUNK 200         /* pages of one clear, at most */
#define EXACT_EVERY 8         /* iterations */

const char *const dl_mode_names[DL_MODES] = {
    "dirty-log", "clear-log", "clear-log-set", "dirty-ring",
};
const char *const dl_backing_names[DL_BACKINGS] = {
    "anonymous", "thp", "memfd", "hugetlb",
};
const char *const dl_mutant_names[DL_MUTANTS] = {
    "none", "clear-all-ones", "clear-after-read", "private-copy",
    "get-not-merged", "late-stop", "neighbour", "keep-cache", "preset",
    "before-reset", "skip-entry", "trust-reset", "ring-set",
};

typedef struct Body {
    const DlConfig *c;
    DlMachine m;
    DlTracker t;
    DlStats *s;
    uint64_t *copy;           /* of each page, what was read last */
    uint64_t *reported;       /* bits; since the last check */
    uint64_t *carry;          /* bits; must be reported by the next check */
    uint64_t words[MAX_CHUNK / 64 + 1];
    uint64_t number;          /* of the iteration */
    uint64_t base[DL_MAX_VCPUS];  /* sync points when it began */
    uint64_t busy_collections;    /* in it, that found a page */
    uint64_t base_passes;         /* of rings, when it began */
    bool parked;              /* all guests */
} Body;

DlConfig dl_config_default(void)
{
    return (DlConfig) {
        .machine = &dl_machine_model, .tracker = &dl_tracker_raw,
        .mode = DL_CLEAR_LOG_SET, .iterations = 32, .vcpus = 2, .slots = 3,
        .syncs = 3, .stores = DL_STORES, .npages = 2051,
        .offset = UINT64_C(1) << 30,
        .ring_entries = 1024, .period_us = 500,
    };
}

void dl_fail(char **failure, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!*failure) {
        *failure = g_strdup_vprintf(format, args);
    }
    va_end(args);
}

void dl_stats_done(DlStats *stats)
{
    g_clear_pointer(&stats->failure, g_free);
    g_clear_pointer(&stats->noticed, g_free);
}

static uint64_t page_now(Body *b, uint64_t page)
{
    return __atomic_load_n((uint64_t *)(b->m.memory + page * DL_PAGE),
                           __ATOMIC_RELAXED);
}

/* ---- collecting ----------------------------------------------------------- */

/* Read what is reported. The bits are in b->words. */
static bool read_pages(Body *b, uint64_t first, uint64_t n)
{
    bool any = false;

    b->c->tracker->take(&b->t, first, n, b->words);
    for (uint64_t i = 0; i < n; i++) {
        if (bitmap_test_bit(b->words, i)) {
            b->c->machine->moment(&b->m);
            b->copy[first + i] = page_now(b, first + i);
            bitmap_set_bit(b->reported, first + i);
            any = true;
        }
    }
    return any;
}

static uint64_t all_syncs(Body *b)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < b->c->vcpus; i++) {
        n += dl_gate_syncs(&b->m.gate, i);
    }
    return n;
}

/* Between a read and its late clear: some guest gets on to its next sync
 * point. Without it the mistake may do no harm for as long as one likes. */
static void let_store(Body *b)
{
    uint64_t before = all_syncs(b);

    dl_gate_allow(&b->m.gate, 1);
    while (!b->parked && all_syncs(b) == before) {
        b->c->machine->moment(&b->m);
    }
}

static bool collect_chunk(Body *b, uint64_t first, uint64_t n)
{
    bool late = b->c->mutant == DL_CLEAR_AFTER_READ;
    bool any;

    if (!late) {
        b->c->tracker->clear(&b->t, first, n);
    }
    any = read_pages(b, first, n);
    if (late) {
        let_store(b);
        b->c->tracker->clear(&b->t, first, n);
    }
    return any;
}

/* Guests that wait may do a little more, so that some always run beside the
 * host and yet most pages stay clean. */
static void let_run(Body *b)
{
    if (g_rand_int(b->m.rand) % 4 == 0) {
        dl_gate_allow(&b->m.gate, 1);
    }
    b->c->machine->moment(&b->m);
}

static void collect(Body *b)
{
    bool any = false;
    uint64_t n;

    b->c->tracker->fetch(&b->t);
    for (uint64_t p = 0; p < b->c->npages; p += n) {
        let_run(b);
        n = 1 + g_rand_int(b->m.rand) % MAX_CHUNK;
        n = MIN(n, b->c->npages - p);
        any |= collect_chunk(b, p, n);
    }
    b->s->collections++;
    b->busy_collections += any;
}

/* ---- checking ------------------------------------------------------------- */

static void check_reported(Body *b, uint64_t page, uint64_t now,
                           uint64_t *old)
{
    uint64_t number = now >> 32;

    b->s->dirty++;
    if (number > b->number) {
        dl_fail(&b->s->failure, "page %u holds iteration %u in iteration %u",
                (unsigned)page, (unsigned)number, (unsigned)b->number);
    }
    *old += number + 1 < b->number;
}

/* Guests may run: a page may differ from its copy, but not for long. */
static void check_page(Body *b, uint64_t page, uint64_t *old)
{
    bool reported = bitmap_test_bit(b->reported, page);
    uint64_t now = page_now(b, page);

    if (reported) {
        check_reported(b, page, now, old);
    } else if (bitmap_test_bit(b->carry, page)) {
        dl_fail(&b->s->failure, "page %u was written before iteration %u and "
                "is not reported in it", (unsigned)page, (unsigned)b->number);
    }
    bitmap_clear_bit(b->carry, page);
    if (now != b->copy[page]) {
        bitmap_set_bit(b->carry, page);
        b->s->carried++;
    }
}

/* Each collection may report one fault of each vCPU whose store is late, and
 * so may each pass over the rings that somebody else made. */
static uint64_t most_old(Body *b)
{
    uint64_t passes = __atomic_load_n(&b->t.passes, __ATOMIC_RELAXED);
    uint64_t n = b->busy_collections + passes - b->base_passes;

    b->base_passes = passes;
    b->busy_collections = 0;
    return b->c->vcpus * (n + 1);
}

/* What a repair reports is everything. */
static bool was_repaired(Body *b)
{
    uint64_t repairs = __atomic_load_n(&b->t.repairs, __ATOMIC_RELAXED);
    bool was = repairs != b->s->repairs;

    b->s->repairs = repairs;
    return was;
}

static void check_iteration(Body *b)
{
    uint64_t least = MIN(b->c->npages / 4, 16), before = b->s->dirty;
    uint64_t most = most_old(b), old = 0, dirty;

    for (uint64_t p = 0; p < b->c->npages; p++) {
        check_page(b, p, &old);
    }
    dirty = b->s->dirty - before;
    b->s->clean += b->c->npages - dirty;
    b->s->old += old;
    if (dirty < least) {
        dl_fail(&b->s->failure, "%u pages were dirty in iteration %u, fewer "
                "than %u", (unsigned)dirty, (unsigned)b->number,
                (unsigned)least);
    }
    if (!was_repaired(b) && old > most) {
        dl_fail(&b->s->failure, "%u pages were reported in iteration %u that "
                "were not written, more than %u by %u vCPUs",
                (unsigned)old, (unsigned)b->number, (unsigned)most,
                b->c->vcpus);
    }
    bitmap_clear(b->reported, 0, b->c->npages);
}

/* Guests are parked: everything is known now, or lost. */
static void check_exactly(Body *b)
{
    uint64_t lost = 0, first = 0;

    if (dl_has_noticed(&b->m, &b->t, &b->s->noticed)) {
        return;
    }
    for (uint64_t p = 0; p < b->c->npages; p++) {
        if (page_now(b, p) != b->copy[p]) {
            first = lost++ ? first : p;
        }
    }
    b->s->parked++;
    if (lost) {
        dl_fail(&b->s->failure, "%u pages of %u are lost, the first is page "
                "%u, in iteration %u", (unsigned)lost,
                (unsigned)b->c->npages, (unsigned)first, (unsigned)b->number);
    }
}

static void park_and_check(Body *b)
{
    if (b->c->mutant == DL_LATE_STOP) {
        collect(b);
        b->c->machine->moment(&b->m);
    }
    b->c->machine->park(&b->m);
    b->parked = true;
    if (b->c->mutant != DL_LATE_STOP) {
        collect(b);
    }
    check_exactly(b);
}

/* ---- iterations ----------------------------------------------------------- */

static void begin_iteration(Body *b)
{
    b->number++;
    __atomic_store_n(b->m.iteration, b->number, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < b->c->vcpus; i++) {
        b->base[i] = dl_gate_syncs(&b->m.gate, i);
    }
    dl_gate_allow(&b->m.gate, b->c->syncs + 1);
}

/* Every guest has done enough since the iteration began, and so none is still
 * about to store the number of the one before. */
static bool have_worked(Body *b)
{
    for (unsigned i = 0; i < b->c->vcpus; i++) {
        if (dl_gate_syncs(&b->m.gate, i) < b->base[i] + b->c->syncs) {
            return false;
        }
    }
    return true;
}

/* Returns: false if it cannot be brought to its end. */
static bool iterate(Body *b)
{
    gint64 end = g_get_monotonic_time() + b->c->interval_ms * 1000;
    bool done;

    do {
        done = have_worked(b) && g_get_monotonic_time() >= end;
        b->c->machine->moment(&b->m);
        collect(b); /* once more after they have */
        if (dl_has_noticed(&b->m, &b->t, &b->s->noticed)) {
            return false;
        }
    } while (!done);
    /* A guest's bad end first: what is missing follows from it. */
    dl_take_failures(&b->m, &b->t, &b->s->failure);
    check_iteration(b);
    b->s->iterations++;
    return true;
}

static void begin(Body *b)
{
    b->c->machine->start(&b->m);
    b->parked = true;
    b->c->tracker->start(&b->t);
    for (uint64_t p = 0; p < b->c->npages; p++) {
        b->copy[p] = page_now(b, p);
    }
    collect(b); /* what the log begins with is nobody's write */
    bitmap_clear(b->reported, 0, b->c->npages);
    b->number = 1; /* guests have written 0: that is old in the first */
}

static void end(Body *b)
{
    if (!b->parked) {
        b->c->machine->park(&b->m);
    }
    dl_has_noticed(&b->m, &b->t, &b->s->noticed);
    for (unsigned i = 0; i < b->c->vcpus; i++) {
        b->s->stores += dl_gate_syncs(&b->m.gate, i) * b->c->stores;
    }
    b->s->passes = __atomic_load_n(&b->t.passes, __ATOMIC_RELAXED);
    b->s->entries = __atomic_load_n(&b->t.entries, __ATOMIC_RELAXED);
    b->s->repairs = __atomic_load_n(&b->t.repairs, __ATOMIC_RELAXED);
    b->s->full_exits = __atomic_load_n(&b->m.full_exits, __ATOMIC_RELAXED);
}

static void all_iterations(Body *b)
{
    begin(b);
    for (unsigned i = 0; i < b->c->iterations && !b->s->failure; i++) {
        begin_iteration(b); /* the number first, then they go on */
        if (b->parked) {
            b->parked = false;
            b->c->machine->resume(&b->m);
        }
        if (!iterate(b)) {
            break;
        }
        if (i % EXACT_EVERY == EXACT_EVERY - 1 ||
            i + 1 == b->c->iterations) {
            park_and_check(b);
        }
        dl_take_failures(&b->m, &b->t, &b->s->failure);
        if (b->s->noticed) {
            break;
        }
    }
    end(b);
}

void dl_run(const DlConfig *c, DlStats *ret)
{
    Body b = { .c = c, .s = ret };

    *ret = (DlStats) { 0 };
    ret->skip = dl_set_up(&b.m, &b.t, c);
    if (!ret->skip) {
        b.copy = g_new0(uint64_t, c->npages);
        b.reported = bitmap_try_new(c->npages, NULL);
        b.carry = bitmap_try_new(c->npages, NULL);
        all_iterations(&b);
        dl_tear_down(&b.m, &b.t);
        g_free(b.copy);
        g_free(b.reported);
        g_free(b.carry);
    }
}
