/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is measured with the guests of bench-ring.h.
 *
 * A sync of the log fetches the whole bitmap; what it has found is cleared,
 * and so protected, in the round's walk. With the ring the reaper has done most
 * of the work before, while the guest stored: so its processor time until the
 * sync is told beside, and counts for the round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accel/accel-ops.h"
#include "bench-ring.h"
#include "system/big-lock.h"

#define GIB (UINT64_C(1) << 30)
/* Rounds of each kind in one VM, after one that is not counted: more of them
 * where they are short. */
#define ROUNDS(npages) ((npages) <= 1000 ? 9u : 3u)
#define WRITER_PAGES UINT64_C(2048)
#define WRITER_MS 1000
#define QUICK_MS 200
#define PERIOD_MS 100

static const unsigned mem_gib[] = { 1, 4, 16, 64 };
static const uint64_t dirty_pages[] = { 0, 100, 1000, 10000, 60000 };

#define N_MEM G_N_ELEMENTS(mem_gib)
#define N_DIRTY G_N_ELEMENTS(dirty_pages)

typedef struct Costs {
    Samples before, sync, round;   /* us */
} Costs;

/* Processor time of the thread that is called so, in us; 0: there is none. */
static double thread_us(const char *name)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *id;

    while (dir && (id = g_dir_read_name(dir))) {
        g_autofree char *comm_path =
            g_build_filename("/proc/self/task", id, "comm", NULL);
        g_autofree char *stat_path =
            g_build_filename("/proc/self/task", id, "schedstat", NULL);
        g_autofree char *comm = NULL, *stat = NULL;

        if (g_file_get_contents(comm_path, &comm, NULL, NULL) &&
            !strcmp(g_strchomp(comm), name) &&
            g_file_get_contents(stat_path, &stat, NULL, NULL)) {
            return g_ascii_strtoull(stat, NULL, 10) / 1e3;
        }
    }
    return 0;
}

static void measure_round(RingGuest *s, uint64_t npages, Costs *costs)
{
    double before_us = thread_us("dirty-reaper");
    uint64_t begin_ns, sync_ns;

    ring_guest_store(s, npages);
    before_us = thread_us("dirty-reaper") - before_us;
    begin_ns = bench_now_ns();
    ring_guest_sync(s);
    sync_ns = bench_now_ns() - begin_ns;
    ring_guest_walk(s);
    if (costs) {
        samples_add(&costs->before, before_us);
        samples_add(&costs->sync, sync_ns / 1e3);
        samples_add(&costs->round,
                    before_us + (bench_now_ns() - begin_ns) / 1e3);
    }
}

static void measure_guest(RingWay way, unsigned gib, unsigned n_dirty,
                          Costs costs[N_DIRTY][RING_WAYS])
{
    RingGuest *s = ring_guest_new(way, gib * GIB, 3, false, 0, 0);

    for (unsigned d = 0; d < n_dirty; d++) {
        measure_round(s, dirty_pages[d], NULL);
        for (unsigned i = 0; i < ROUNDS(dirty_pages[d]); i++) {
            measure_round(s, dirty_pages[d], &costs[d][way]);
        }
    }
    ring_guest_free(s);
}

static void report_ratio(Report *r, const Samples *a, const Samples *b)
{
    double below = samples_median(b);

    report_number(r, below ? samples_median(a) / below : 0);
}

static void costs_done(Costs *c)
{
    samples_done(&c->before);
    samples_done(&c->sync);
    samples_done(&c->round);
}

static void tell_costs(Report *r, unsigned gib, uint64_t npages,
                       Costs costs[RING_WAYS])
{
    Costs *log = &costs[RING_LOG], *ring = &costs[RING_RING];

    report_number(r, gib);
    report_number(r, npages);
    report_times(r, &log->sync);
    report_times(r, &ring->sync);
    report_ratio(r, &ring->sync, &log->sync);
    report_times(r, &log->round);
    report_times(r, &ring->round);
    report_times(r, &ring->before);
    report_ratio(r, &ring->round, &log->round);
    costs_done(log);
    costs_done(ring);
}

void bench_ring_sync(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "guest (GiB)", "dirty pages", "sync: log (us)", "sync: ring",
        "ring to log", "round: log (us)", "round: ring", "of that reaper",
        "rounds, ring to log", NULL,
    };
    static Costs costs[N_MEM][N_DIRTY][RING_WAYS];
    unsigned n_mem = c->quick ? 1 : N_MEM, n_dirty = c->quick ? 2 : N_DIRTY;

    for (int run = 0; run < c->runs; run++) {
        for (unsigned m = 0; m < n_mem; m++) {
            measure_guest(RING_LOG, mem_gib[m], n_dirty, costs[m]);
            measure_guest(RING_RING, mem_gib[m], n_dirty, costs[m]);
        }
    }
    report_table(r, "sync", "A sync and a whole round, guest at CPL 3, ring of "
                 "4096 entries", columns);
    for (unsigned m = 0; m < n_mem; m++) {
        for (unsigned d = 0; d < n_dirty; d++) {
            tell_costs(r, mem_gib[m], dirty_pages[d], costs[m][d]);
        }
    }
}

/* ---- what a heavy writer gets done --------------------------------------- */

typedef struct Work {
    Samples speed;                 /* million stores a second */
    Samples full;                  /* exits with a full ring, a second */
    Samples lost;                  /* how often tracking was lost */
} Work;

/* What the main loop would do meanwhile: repair, if that is due. */
static void pass_time(gint64 until_us)
{
    while (g_get_monotonic_time() < until_us) {
        big_unlock();
        g_usleep(MIN(2000, MAX(until_us - g_get_monotonic_time(), 1)));
        big_lock();
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
}

static AccelRingInfo ring_info(RingGuest *s)
{
    AccelRingInfo info = { 0 };

    if (s->g->accel->ring_info) {
        s->g->accel->ring_info(s->g->accel, &info);
    }
    return info;
}

static void measure_work(RingWay way, unsigned cpl, unsigned ms, Work *work)
{
    RingGuest *s = ring_guest_new(way, RING_LOW_BYTES, cpl, true, RING_FIRST,
                                  RING_FIRST + WRITER_PAGES * TM_PAGE_BYTES);
    AccelRingInfo before, after;
    gint64 begin_us;
    uint64_t passes;
    double seconds;

    pass_time(g_get_monotonic_time() + PERIOD_MS * 1000);
    before = ring_info(s);
    passes = __atomic_load_n(&s->control->passes, __ATOMIC_ACQUIRE);
    begin_us = g_get_monotonic_time();
    for (unsigned t = PERIOD_MS; t <= ms; t += PERIOD_MS) {
        pass_time(begin_us + t * 1000);
        if (way != RING_NO_LOG) {
            ring_guest_sync(s);
            ring_guest_walk(s);
        }
    }
    passes = __atomic_load_n(&s->control->passes, __ATOMIC_ACQUIRE) - passes;
    seconds = (g_get_monotonic_time() - begin_us) / 1e6;
    after = ring_info(s);
    samples_add(&work->speed, passes * WRITER_PAGES / 1e6 / seconds);
    samples_add(&work->full, (after.full_exits - before.full_exits) / seconds);
    samples_add(&work->lost, after.lost - before.lost);
    ring_guest_free(s);
}

void bench_ring_writer(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "CPL", "log", "million stores/s", "of no log's", "full exits/s",
        "times lost", NULL,
    };
    static const char *const names[RING_WAYS] = { "none", "log", "ring" };
    static const unsigned levels[] = { 3, 0 };
    static Work work[G_N_ELEMENTS(levels)][RING_WAYS];

    for (int run = 0; run < c->runs; run++) {
        for (unsigned l = 0; l < G_N_ELEMENTS(levels); l++) {
            for (unsigned w = 0; w < RING_WAYS; w++) {
                measure_work(w, levels[l], c->quick ? QUICK_MS : WRITER_MS,
                             &work[l][w]);
            }
        }
    }
    report_table(r, "writer", "One store into each of 2048 pages, all the "
                 "time; a sync every 100 ms", columns);
    for (unsigned l = 0; l < G_N_ELEMENTS(levels); l++) {
        for (unsigned w = 0; w < RING_WAYS; w++) {
            report_number(r, levels[l]);
            report_text(r, names[w]);
            report_speeds(r, &work[l][w].speed);
            report_ratio(r, &work[l][w].speed, &work[l][0].speed);
            report_times(r, &work[l][w].full);
            report_times(r, &work[l][w].lost);
        }
    }
    for (unsigned l = 0; l < G_N_ELEMENTS(levels); l++) {
        for (unsigned w = 0; w < RING_WAYS; w++) {
            samples_done(&work[l][w].speed);
            samples_done(&work[l][w].full);
            samples_done(&work[l][w].lost);
        }
    }
}
