/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast bits of an accelerator come into the clients' bitmaps, and how fast
 * bitmaps are counted, beside how fast memory is read on the same machine in
 * the same minute.
 */
#include <string.h>

#include "bench-parts.h"
#include "bench-rig.h"
#include "util/bitmap.h"

typedef struct Merge {
    RAMList ram;
    RAMBlock *block;
    uint64_t *src, *dst;   /* a bit per page of the block */
    uint64_t bytes;        /* of each */
    unsigned clients;      /* that are on */
    double filled;         /* fraction that is set in src */
} Merge;

static volatile uint64_t sink;

static void run_read(Merge *m)
{
    uint64_t any = 0;

    for (uint64_t i = 0; i < m->bytes / 8; i++) {
        any |= m->src[i];
    }
    sink = any;
}

static void run_copy(Merge *m)
{
    memcpy(m->dst, m->src, m->bytes);
}

static void run_count(Merge *m)
{
    sink = bitmap_count(m->src, 0, m->block->npages);
}

static void run_merge(Merge *m)
{
    sink = dirty_bitmap_or_words(&m->ram, m->block, 0, m->src,
                                 m->block->npages, NULL);
}

static const struct MergeCase {
    const char *name, *set;
    void (*run)(Merge *m);
    double fraction;
    unsigned clients;
} cases[] = {
    /* first, what the others are compared with */
    { "read (a loop over the words)", "none", run_read, 0, 1 },
    { "memcpy", "none", run_copy, 0, 1 },
    { "bitmap_count", "none", run_count, 0, 1 },
    { "merge, one client", "none", run_merge, 0, 1 },
    { "merge, three clients", "none", run_merge, 0, 3 },
    { "bitmap_count", "0.01 %", run_count, 0.0001, 1 },
    { "merge, one client", "0.01 %", run_merge, 0.0001, 1 },
    { "merge, three clients", "0.01 %", run_merge, 0.0001, 3 },
    { "bitmap_count", "1 %", run_count, 0.01, 1 },
    { "merge, one client", "1 %", run_merge, 0.01, 1 },
    { "merge, three clients", "1 %", run_merge, 0.01, 3 },
    { "bitmap_count", "all", run_count, 1, 1 },
    { "merge, one client", "all", run_merge, 1, 1 },
    { "merge, three clients", "all", run_merge, 1, 3 },
};

#define N_CASES G_N_ELEMENTS(cases)

static const DirtyClient clients[] = {
    DIRTY_CLIENT_MIGRATION, DIRTY_CLIENT_DISPLAY, DIRTY_CLIENT_RATE,
};

/* Empty bitmaps whose pages have been touched, of the first @n clients. */
static void set_clients(Merge *m, unsigned n)
{
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(clients); i++) {
        bool is_on = i < m->clients;

        if (i < n && !is_on) {
            dirty_client_start(&m->ram, clients[i], false, &error);
            g_assert_no_error(error);
        } else if (i >= n && is_on) {
            dirty_client_stop(&m->ram, clients[i]);
        }
        if (i < n) {
            dirty_bitmap_mark_client(m->block, clients[i], 0,
                                     m->block->npages);
            dirty_bitmap_take_range(m->block, clients[i], 0,
                                    m->block->npages, m->dst);
        }
    }
    m->clients = n;
}

static double gb_per_s(Merge *m, const struct MergeCase *c)
{
    uint64_t begin_ns;

    if (c->fraction != m->filled) {
        memset(m->src, 0, m->bytes);
        bench_dirty_words(m->src, m->block->npages, c->fraction);
        m->filled = c->fraction;
    }
    if (c->run == run_merge) {
        set_clients(m, c->clients);
    }
    c->run(m); /* warm: of a merge all bits are new the first time only */
    if (c->run == run_merge) {
        set_clients(m, c->clients);
    }
    begin_ns = bench_now_ns();
    c->run(m);
    return (double)m->bytes / (bench_now_ns() - begin_ns);
}

static void measure(Report *r, const BenchConfig *c, uint64_t guest_bytes)
{
    g_autofree Samples *speed = g_new0(Samples, N_CASES);
    g_autofree char *guest =
        g_strdup_printf("%" G_GUINT64_FORMAT " GiB", guest_bytes / GIB);
    g_autoptr(GError) error = NULL;
    Merge m = { .filled = -1 };

    ram_list_init(&m.ram);
    m.block = ram_list_add_anon(&m.ram, "pc.ram", guest_bytes, &error);
    g_assert_no_error(error);
    m.bytes = bitmap_bytes(m.block->npages);
    m.src = bitmap_try_new(m.block->npages, &error);
    m.dst = bitmap_try_new(m.block->npages, &error);
    g_assert_no_error(error);
    for (int run = 0; run < c->runs; run++) {
        for (unsigned i = 0; i < N_CASES; i++) {
            samples_add(&speed[i], gb_per_s(&m, &cases[i]));
        }
    }
    for (unsigned i = 0; i < N_CASES; i++) {
        report_text(r, guest);
        report_text(r, cases[i].name);
        report_text(r, cases[i].set);
        report_speeds(r, &speed[i]);
        report_number(r, samples_median(&speed[i]) /
                      samples_median(&speed[0]));
        report_number(r, samples_max(&speed[i]) / samples_max(&speed[0]));
    }
    for (unsigned i = 0; i < N_CASES; i++) {
        samples_done(&speed[i]);
    }
    set_clients(&m, 0);
    g_free(m.src);
    g_free(m.dst);
    ram_list_done(&m.ram);
}

void bench_merge(Report *r, const BenchConfig *c)
{
    static const char *const columns[] = {
        "guest", "what", "bits set", "GB/s", "of the read's median",
        "of its best", NULL,
    };

    report_table(r, "merge", "Bitmaps: bytes of the bitmap that is read, per "
                 "second", columns);
    measure(r, c, GIB);
    if (!c->quick) {
        measure(r, c, 64 * GIB);
        measure(r, c, 1024 * GIB);
    }
}
