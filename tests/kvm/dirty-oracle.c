/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See dirty-oracle.h: the body.
 *
 * A round scans the oracle once, then fetches, clears and takes as often as it
 * needs until every writer has passed a sync point, and once more:
 *
 *     scan   fetch clear take   fetch clear take   ...   |   scan   fetch ...
 *     O(r)   \------------------ E(r) -----------------/     O(r+1)
 *
 * A write un-protects its page for the oracle before it stores (o). Its bit
 * is set (e) before the store by a vCPU that faults, and after it where the
 * kernel stores for a vCPU or a device writes and marks. A bit that is set
 * stays until it is reported, so:
 *
 *   - What O(r) has happened between scans r-1 and r. Its bit was set after
 *     fetch r-2, as it is there or is made anew when the page is written after
 *     a scan, and before the last fetch of round r: it is in E(r-1) or E(r).
 *     Unless its writer stood still between o and e. A writer is in one write
 *     at a time, so these are no more than there are writers; and each passes
 *     a sync point in the next round, so they are in E(r+1).
 *   - What E(r) reports was written lately: o came before e, or soon after
 *     it, so it is in O(r) or O(r+1), or (o, a round's end, e) in O(r-1).
 *     Unless a vCPU faulted and its store is late. Such a report for nothing
 *     is a cost and no loss: they are counted, and no more than one for each
 *     vCPU and collection, or somebody marks what nobody writes.
 *   - With all writers parked, one round leaves nothing owed, and the next
 *     finds nothing at all, in either.
 *
 * A page that is taken before it is cleared, and so read too early, shows in
 * no set. That is for dirty-log.c.
 */
#include "dirty-oracle.h"

#include <string.h>

#include "util/bitmap.h"
#include "write-oracle.h"

#define MAX_CHUNK 200         /* pages of one clear, at most */
#define DEVICE_WRITES 16      /* between two sync points */
#define PARK_EVERY 8          /* rounds */

typedef struct Body {
    const DoConfig *c;
    DoStats *s;
    DlMachine m;
    DlTracker t;
    WriteOracle *oracle;
    GThread *device;          /* NULL: it writes when the host has a moment */
    DlGate gate;              /* of the device */
    GRand *rand;              /* of the device */
    uint64_t nwords;
    uint64_t *o, *o_before;   /* O(r), O(r-1) */
    uint64_t *e, *e_before;
    uint64_t *owed;           /* in O(r), and not in E(r-1) and E(r) */
    uint64_t *ahead;          /* in E(r), and not in O(r-1) and O(r) */
    uint64_t *all_o, *all_e;
    uint64_t words[MAX_CHUNK / 64 + 1];
    uint64_t base[DL_MAX_VCPUS], device_base;
    uint64_t round_collections;
    uint64_t base_passes;     /* of rings, when the round began */
    bool parked;              /* all writers */
} Body;

/* ---- the device ---------------------------------------------------------- */

static void device_write(Body *b)
{
    uint64_t page = g_rand_int(b->rand) % b->c->dl.npages;
    uint64_t value = ++b->s->device;
    uint8_t *at = b->m.memory + page * DL_PAGE + DL_DEVICE_AT;

    if (b->c->unmarked) {
        __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
    } else {
        b->c->dl.tracker->write(&b->t, page, value);
    }
}

static gpointer run_device(gpointer opaque)
{
    Body *b = opaque;

    do {
        for (unsigned i = 0; i < DEVICE_WRITES; i++) {
            device_write(b);
        }
    } while (dl_gate_sync(&b->gate, 0));
    return NULL;
}

/* Beside a machine in which a seed says all it is no thread either. */
static void start_device(Body *b)
{
    if (b->c->dl.machine != &dl_machine_stepped) {
        b->device = g_thread_new("device", run_device, b);
        dl_gate_park(&b->gate, 1);
    }
}

static void stop_device(Body *b)
{
    if (b->device) {
        dl_gate_quit(&b->gate);
        g_thread_join(b->device);
    }
}

/* ---- collecting ---------------------------------------------------------- */

/* Writers that wait may do a little more, so that some always run beside the
 * host and yet most pages stay clean. */
static void let_run(Body *b)
{
    if (g_rand_int(b->m.rand) % 4 == 0) {
        dl_gate_allow(&b->m.gate, 1);
        if (b->device) {
            dl_gate_allow(&b->gate, 1);
        } else if (!b->parked) {
            device_write(b);
        }
    }
    b->c->dl.machine->moment(&b->m);
}

static void collect(Body *b)
{
    const DlTrackerOps *tracker = b->c->dl.tracker;
    uint64_t npages = b->c->dl.npages, n;

    tracker->fetch(&b->t);
    for (uint64_t p = 0; p < npages; p += n) {
        let_run(b);
        n = 1 + g_rand_int(b->m.rand) % MAX_CHUNK;
        n = MIN(n, npages - p);
        tracker->clear(&b->t, p, n);
        tracker->take(&b->t, p, n, b->words);
        for (uint64_t i = 0; i < n; i++) {
            if (bitmap_test_bit(b->words, i)) {
                bitmap_set_bit(b->e, p + i);
            }
        }
    }
    b->s->collections++;
    b->round_collections++;
}

static bool have_worked(Body *b)
{
    for (unsigned i = 0; i < b->c->dl.vcpus; i++) {
        if (dl_gate_syncs(&b->m.gate, i) < b->base[i] + b->c->dl.syncs) {
            return false;
        }
    }
    return !b->device || dl_gate_syncs(&b->gate, 0) > b->device_base;
}

static void begin_round(Body *b)
{
    uint64_t *o = b->o_before, *e = b->e_before;

    b->o_before = b->o;
    b->e_before = b->e;
    b->o = o;
    b->e = e;
    b->round_collections = 0;
    memset(b->e, 0, b->nwords * 8);
    for (unsigned i = 0; i < b->c->dl.vcpus; i++) {
        b->base[i] = dl_gate_syncs(&b->m.gate, i);
    }
    b->device_base = dl_gate_syncs(&b->gate, 0);
    dl_gate_allow(&b->m.gate, b->c->dl.syncs + 1);
    dl_gate_allow(&b->gate, 2);
}

static void scan(Body *b)
{
    b->s->written += write_oracle_take(b->oracle, b->o);
}

/* ---- judging ------------------------------------------------------------- */

static uint64_t first_of(Body *b, const uint64_t *words)
{
    return bitmap_find_next_set(words, b->c->dl.npages, 0);
}

/* What the round before owed has been reported now. */
static void judge_owed(Body *b)
{
    uint64_t late = 0, writers = b->c->dl.vcpus + 1;

    for (uint64_t w = 0; w < b->nwords; w++) {
        b->owed[w] &= ~b->e[w];
    }
    if (bitmap_any(b->owed, 0, b->c->dl.npages)) {
        dl_fail(&b->s->failure, "page %u was written two rounds before round "
                "%u and nobody has reported it",
                (unsigned)first_of(b, b->owed), (unsigned)b->s->rounds);
    }
    for (uint64_t w = 0; w < b->nwords; w++) {
        b->owed[w] = b->o[w] & ~(b->e_before[w] | b->e[w]);
        late += __builtin_popcountll(b->owed[w]);
    }
    b->s->late += late;
    if (late > writers) {
        dl_fail(&b->s->failure, "%u pages were written before round %u and "
                "not reported, the first is page %u: more than %u writers "
                "can have in flight", (unsigned)late, (unsigned)b->s->rounds,
                (unsigned)first_of(b, b->owed), (unsigned)writers);
    }
}

static void judge_reported(Body *b)
{
    uint64_t nothing = 0;
    uint64_t passes = __atomic_load_n(&b->t.passes, __ATOMIC_RELAXED);
    uint64_t collections = b->round_collections + passes - b->base_passes;
    uint64_t most = b->c->dl.vcpus * (collections + 1);

    b->base_passes = passes;
    for (uint64_t w = 0; w < b->nwords; w++) {
        nothing += __builtin_popcountll(b->ahead[w] & ~b->o[w]);
        b->ahead[w] = b->e[w] & ~(b->o_before[w] | b->o[w]);
        b->s->reported += __builtin_popcountll(b->e[w]);
    }
    b->s->unwritten += nothing;
    if (nothing > most) {
        dl_fail(&b->s->failure, "%u pages were reported before round %u that "
                "were not written, by %u vCPUs in %u collections",
                (unsigned)nothing, (unsigned)b->s->rounds, b->c->dl.vcpus,
                (unsigned)collections);
    }
}

static void judge(Body *b)
{
    judge_owed(b);
    judge_reported(b);
    bitmap_or_into(b->all_o, b->o, b->c->dl.npages);
    bitmap_or_into(b->all_e, b->e, b->c->dl.npages);
    b->s->rounds++;
}

/* ---- rounds -------------------------------------------------------------- */

/* A ring that has run over ends it: writers may wait for ever. */
static bool has_noticed(Body *b)
{
    g_autofree char *why = NULL;

    if (!dl_has_noticed(&b->m, &b->t, &why)) {
        return false;
    }
    dl_fail(&b->s->failure, "%s", why);
    return true;
}

static void run_round(Body *b)
{
    bool done;

    begin_round(b);
    scan(b);
    do {
        done = have_worked(b);
        b->c->dl.machine->moment(&b->m);
        collect(b); /* once more after they have */
    } while (!done && !has_noticed(b));
    judge(b);
}

/* Nobody writes: a round for what was under way, and one for nothing. */
static void check_parked(Body *b)
{
    for (unsigned i = 0; i < 2; i++) {
        begin_round(b);
        scan(b);
        collect(b);
        judge(b);
        if (bitmap_any(b->owed, 0, b->c->dl.npages)) {
            dl_fail(&b->s->failure, "page %u is written, all writers wait, "
                    "and it is not reported in round %u",
                    (unsigned)first_of(b, b->owed), (unsigned)b->s->rounds);
        }
    }
    if (bitmap_any(b->o, 0, b->c->dl.npages) ||
        bitmap_any(b->e, 0, b->c->dl.npages)) {
        dl_fail(&b->s->failure, "all writers wait, and pages are written "
                "(first %u) or reported (first %u)",
                (unsigned)first_of(b, b->o), (unsigned)first_of(b, b->e));
    }
    b->s->parked++;
}

static void park(Body *b)
{
    b->c->dl.machine->park(&b->m);
    if (b->device) {
        dl_gate_park(&b->gate, 1);
    }
    b->parked = true;
    check_parked(b);
}

static void resume(Body *b)
{
    b->parked = false;
    if (b->device) {
        dl_gate_resume(&b->gate);
    }
    b->c->dl.machine->resume(&b->m);
}

/* What the log and the oracle begin with is nobody's write. */
static const char *begin(Body *b)
{
    const char *why = NULL;

    b->c->dl.machine->start(&b->m);
    b->c->dl.tracker->start(&b->t);
    b->parked = true;
    b->oracle = write_oracle_new(b->m.memory, b->c->dl.npages, &why);
    if (b->oracle) {
        start_device(b);
        collect(b);
        write_oracle_take(b->oracle, b->o);
        memset(b->o, 0, b->nwords * 8);
        memset(b->e, 0, b->nwords * 8);
    }
    return why;
}

static void all_rounds(Body *b)
{
    for (unsigned i = 0; i < b->c->dl.iterations && !b->s->failure; i++) {
        bool last = i + 1 == b->c->dl.iterations;

        if (i % PARK_EVERY == 0) {
            resume(b);
        }
        run_round(b);
        if (last || i % PARK_EVERY == PARK_EVERY - 1) {
            park(b);
        }
        dl_take_failures(&b->m, &b->t, &b->s->failure);
    }
    if (!b->parked) {
        park(b);
    }
    for (uint64_t w = 0; w < b->nwords; w++) {
        if (b->all_o[w] & ~b->all_e[w]) {
            dl_fail(&b->s->failure, "pages 0x%" G_GINT64_MODIFIER "x of word "
                    "%u were written and never reported",
                    b->all_o[w] & ~b->all_e[w], (unsigned)w);
        }
    }
}

/* ---- set-up -------------------------------------------------------------- */

static void make_bitmaps(Body *b, bool make)
{
    uint64_t **all[] = { &b->o, &b->o_before, &b->e, &b->e_before, &b->owed,
                         &b->ahead, &b->all_o, &b->all_e };

    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        g_clear_pointer(all[i], g_free);
        if (make) {
            *all[i] = bitmap_try_new(b->c->dl.npages, NULL);
        }
    }
}

void do_run(const DoConfig *c, DoStats *ret)
{
    Body b = { .c = c, .s = ret, .nwords = bitmap_words(c->dl.npages) };

    *ret = (DoStats) { 0 };
    ret->skip = dl_set_up(&b.m, &b.t, &c->dl);
    if (ret->skip) {
        return;
    }
    make_bitmaps(&b, true);
    dl_gate_init(&b.gate);
    b.rand = g_rand_new_with_seed(c->dl.seed ^ 1);
    ret->skip = begin(&b);
    if (!ret->skip) {
        all_rounds(&b);
        stop_device(&b);
        write_oracle_free(b.oracle);
    }
    dl_tear_down(&b.m, &b.t);
    g_rand_free(b.rand);
    dl_gate_done(&b.gate);
    make_bitmaps(&b, false);
}

void do_stats_done(DoStats *stats)
{
    g_clear_pointer(&stats->failure, g_free);
}

void do_print_stats(const DoConfig *c, const DoStats *s)
{
    g_test_message("seed %u: %u rounds, %u collections, %u pages written, "
                   "%u reported, %u late, %u not written, %u writes of the "
                   "device, %u times parked: %s", c->dl.seed,
                   (unsigned)s->rounds, (unsigned)s->collections,
                   (unsigned)s->written, (unsigned)s->reported,
                   (unsigned)s->late, (unsigned)s->unwritten,
                   (unsigned)s->device, (unsigned)s->parked,
                   s->failure ? s->failure : "they agree");
}
