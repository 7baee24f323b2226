/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a round costs: the sync, and the migration's walk over what it found.
 */
#include "bench-parts.h"
#include "bench-rig.h"

static const KvmLogMode legacy = { false, false };
static const KvmLogMode initially_set = { true, true };

/* ---- a clean guest ------------------------------------------------------ */

static void measure_clean(Report *r, const BenchConfig *c, uint64_t bytes)
{
    BenchRig *rig = bench_rig_new(false, initially_set, bytes, 1);
    Samples sync = { 0 }, kernel = { 0 }, walk = { 0 };

    bench_rig_start(rig, CLEAR_BMAP_SHIFT_DEFAULT);
    for (int run = 0; run <= c->runs; run++) {
        uint64_t begin_ns = bench_now_ns(), synced_ns;
        double kernel_us;

        bench_kernel_us(rig->kernel);
        bench_rig_sync(rig);
        synced_ns = bench_now_ns();
        kernel_us = bench_kernel_us(rig->kernel);
        bench_rig_walk(rig);
        if (run > 0) { /* the first one warms up */
            samples_add(&sync, (synced_ns - begin_ns) / 1e6);
            samples_add(&kernel, kernel_us / 1e3);
            samples_add(&walk, (bench_now_ns() - synced_ns) / 1e6);
        }
    }
    report_number(r, bytes / GIB);
    report_times(r, &sync);
    report_times(r, &kernel);
    report_times(r, &walk);
    samples_done(&sync);
    samples_done(&kernel);
    samples_done(&walk);
    bench_rig_stop(rig);
    bench_rig_free(rig);
}

void bench_clean(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "guest (GiB)", "sync (ms)", "of that GET (ms)", "walk (ms)", NULL,
    };

    report_table(r, "clean", "A guest in which nothing is dirty, in one slot, "
                 "on the model", columns);
    measure_clean(r, c, GIB);
    measure_clean(r, c, 64 * GIB);
    if (!c->quick) {
        measure_clean(r, c, 1024 * GIB);
    }
}

/* ---- dirty guests ------------------------------------------------------- */

static const double fractions[] = { 0, 0.0001, 0.01, 0.5, 1 };

#define N_FRACTIONS G_N_ELEMENTS(fractions)

/* us per GiB of guest */
typedef struct Cost {
    Samples sync, get, walk, clear;
} Cost;

static void measure_round(BenchRig *rig, double fraction, Cost *cost)
{
    double gib = (double)rig->bytes / GIB;
    uint64_t begin_ns;

    bench_kernel_dirty(rig->kernel, rig->end, fraction);
    bench_kernel_us(rig->kernel);
    begin_ns = bench_now_ns();
    bench_rig_sync(rig);
    samples_add(&cost->sync, (bench_now_ns() - begin_ns) / 1e3 / gib);
    samples_add(&cost->get, bench_kernel_us(rig->kernel) / gib);
    begin_ns = bench_now_ns();
    bench_rig_walk(rig);
    samples_add(&cost->walk, (bench_now_ns() - begin_ns) / 1e3 / gib);
    samples_add(&cost->clear, bench_kernel_us(rig->kernel) / gib);
}

static void cost_done(Cost *cost)
{
    samples_done(&cost->sync);
    samples_done(&cost->get);
    samples_done(&cost->walk);
    samples_done(&cost->clear);
}

static void measure_shape(Report *r, const BenchConfig *c, KvmLogMode mode,
                          unsigned n_windows, unsigned shift)
{
    g_autofree Cost *costs = g_new0(Cost, N_FRACTIONS);
    BenchRig *rig = bench_rig_new(c->real, mode,
                                  (uint64_t)c->mem_mib << 20, n_windows);

    bench_rig_start(rig, shift);
    bench_kernel_dirty(rig->kernel, rig->end, 1); /* so that it is mapped */
    bench_rig_sync(rig);
    bench_rig_walk(rig);
    for (int run = 0; run < c->runs; run++) {
        for (unsigned f = 0; f < N_FRACTIONS; f++) {
            measure_round(rig, fractions[f], &costs[f]);
        }
    }
    for (unsigned f = 0; f < N_FRACTIONS; f++) {
        report_text(r, mode.manual ? "manual" : "legacy");
        report_number(r, n_windows);
        report_number(r, rig->clear.shift);
        report_number(r, 100 * fractions[f]);
        report_times(r, &costs[f].sync);
        report_times(r, &costs[f].get);
        report_times(r, &costs[f].walk);
        report_times(r, &costs[f].clear);
        cost_done(&costs[f]);
    }
    bench_rig_stop(rig);
    bench_rig_free(rig);
}

void bench_sync_and_clear(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "mode", "slots", "chunk shift", "dirty (%)", "sync (us/GiB)",
        "of that GET", "walk (us/GiB)", "of that CLEAR", NULL,
    };
    static const unsigned slots[] = { 1, 8, 64, 509 };
    static const unsigned shifts[] = { 6, 9, 14 };
    g_autofree char *title = g_strdup_printf(
        "A round of a guest of %d MiB on %s", c->mem_mib, c->machine);

    report_table(r, c->real ? "round-kvm" : "round-model", title, columns);
    for (unsigned i = 0; i < G_N_ELEMENTS(slots); i++) {
        measure_shape(r, c, initially_set, slots[i],
                      CLEAR_BMAP_SHIFT_DEFAULT);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(shifts); i++) {
        measure_shape(r, c, initially_set, 1, shifts[i]);
    }
    measure_shape(r, c, legacy, 1, CLEAR_BMAP_SHIFT_DEFAULT);
}

/* ---- windows that come and go ------------------------------------------- */

static void measure_windows(Report *r, const BenchConfig *c, unsigned n)
{
    uint64_t bytes = c->quick ? GIB / 8 : GIB;
    BenchRig *rig = bench_rig_new(false, initially_set, bytes, n);
    Samples change = { 0 }, sync = { 0 };

    bench_rig_start(rig, CLEAR_BMAP_SHIFT_DEFAULT);
    for (int run = 0; run < c->runs; run++) {
        uint64_t begin_ns = bench_now_ns();

        for (unsigned i = 0; i < n; i++) {
            bench_rig_hide(rig, i);
            bench_rig_show(rig, i);
        }
        samples_add(&change, (bench_now_ns() - begin_ns) / 2e3 / n);
        bench_rig_sync(rig);
        bench_rig_walk(rig);
        begin_ns = bench_now_ns();
        bench_rig_sync(rig);
        samples_add(&sync, (bench_now_ns() - begin_ns) / 1e3 / n);
    }
    report_number(r, n);
    report_times(r, &change);
    report_times(r, &sync);
    samples_done(&change);
    samples_done(&sync);
    bench_rig_stop(rig);
    bench_rig_free(rig);
}

void bench_windows(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "slots", "one goes or comes (us)", "sync, clean (us per slot)", NULL,
    };
    static const unsigned slots[] = { 1, 8, 64, 509 };

    report_table(r, "windows", "1 GiB in many slots, logged, on the model",
                 columns);
    for (unsigned i = 0; i < G_N_ELEMENTS(slots); i++) {
        measure_windows(r, c, slots[i]);
    }
}
