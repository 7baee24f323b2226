/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log's test on the real kernel: every mode, guests at CPL 0 and 3,
 * with raw ioctls and with the product's layers, on each kind of memory; and
 * the host's known mistakes, which have to be noticed. The work is counted in
 * iterations, so it takes as long as the machine needs.
 */
#include "dirty-log.h"

#define ITERATIONS 24
#define FULL_ITERATIONS 8     /* of 20,000 stores each */
#define TRIES 20              /* of a mistake */
#define STORM_US 50

static void run(const DlConfig *c, DlStats *s)
{
    dl_run(c, s);
    if (s->skip) {
        g_test_skip(s->skip);
        return;
    }
    g_test_message("seed %u: %u iterations, %u collections, %u stores, %u "
                   "dirty, %u clean, %u carried over, %u reported and not "
                   "written, %u times compared: %s", c->seed,
                   (unsigned)s->iterations, (unsigned)s->collections,
                   (unsigned)s->stores, (unsigned)s->dirty,
                   (unsigned)s->clean, (unsigned)s->carried,
                   (unsigned)s->old, (unsigned)s->parked,
                   s->failure ? s->failure : s->noticed ? s->noticed :
                   "right");
    if (c->mode == DL_DIRTY_RING) {
        g_test_message("%u passes, %u entries, %u full exits, %u repairs",
                       (unsigned)s->passes, (unsigned)s->entries,
                       (unsigned)s->full_exits, (unsigned)s->repairs);
    }
}

static void test_right(gconstpointer data)
{
    DlConfig c = *(const DlConfig *)data;
    DlStats s;

    c.seed = g_test_rand_int();
    run(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    g_assert_cmpstr(s.noticed, ==, NULL);
    g_assert_cmpuint(s.repairs, ==, 0);
    dl_stats_done(&s);
}

/* Where the kernel logs each store of code at CPL 0, it does not look in time
 * whether there is room. Lost entries have to be noticed, then. */
static void test_is_not_silent(gconstpointer data)
{
    DlConfig c = *(const DlConfig *)data;
    DlStats s;

    c.seed = g_test_rand_int();
    run(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    dl_stats_done(&s);
}

static bool is_noticed(const DlConfig *config)
{
    DlConfig c = *config;
    bool noticed = false;
    DlStats s;

    c.seed = g_test_rand_int();
    for (unsigned i = 0; i < TRIES && !noticed; i++, c.seed++) {
        run(&c, &s);
        noticed = s.failure || s.skip;
        dl_stats_done(&s);
    }
    return noticed;
}

/* A kernel that has the mistake's other half is needed, too. */
static void test_may_be_noticed(gconstpointer config)
{
    if (!is_noticed(config)) {
        g_test_skip("this kernel's resets lose nothing to signals");
    }
}

static void test_is_noticed(gconstpointer config)
{
    g_assert_true(is_noticed(config));
}

static DlConfig base(void)
{
    DlConfig c = dl_config_default();

    c.machine = &dl_machine_kvm;
    c.iterations = ITERATIONS;
    return c;
}

static void add_modes(const DlTrackerOps *tracker)
{
    DlConfig c = base();

    c.tracker = tracker;
    for (c.mode = 0; c.mode < DL_LOG_MODES; c.mode++) {
        for (c.cpl = 0; c.cpl <= 3; c.cpl += 3) {
            dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/%s/%s/cpl%u",
                        tracker->name, dl_mode_names[c.mode], c.cpl);
        }
    }
}

/* ... and be repaired by the engine, which goes on. */
static void test_is_repaired(gconstpointer data)
{
    DlConfig c = *(const DlConfig *)data;
    DlStats s;

    c.seed = g_test_rand_int();
    run(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    g_assert_cmpstr(s.noticed, ==, NULL);
    dl_stats_done(&s);
}

static void add_engine_rings(void)
{
    static const struct {
        const char *name;
        uint32_t entries;
        unsigned stores, storm_us;
    } kinds[] = {
        { "256", 256, DL_STORES, 0 }, { "4096", 4096, DL_STORES, 0 },
        { "65536", 65536, DL_STORES, 0 }, { "full", 256, 1000, 0 },
        { "storm", 256, DL_STORES, STORM_US },
    };
    DlConfig c = base();

    c.mode = DL_DIRTY_RING;
    c.tracker = &dl_tracker_engine;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        c.ring_entries = kinds[i].entries;
        c.stores = kinds[i].stores;
        c.iterations = c.stores > DL_STORES ? FULL_ITERATIONS : ITERATIONS;
        c.storm_us = kinds[i].storm_us;
        for (c.cpl = 0; c.cpl <= 3; c.cpl += 3) {
            dl_add_case(&c, sizeof(c), c.cpl ? test_right : test_is_repaired,
                        "/kvm-dirty-log/engine/dirty-ring/%s/cpl%u",
                        kinds[i].name, c.cpl);
        }
    }
}

static void add_rings(void)
{
    DlConfig c = base();

    c.mode = DL_DIRTY_RING;
    c.tracker = dl_raw_tracker(c.mode);
    for (c.ring_entries = 256; c.ring_entries <= 65536; c.ring_entries *= 4) {
        for (c.cpl = 0; c.cpl <= 3; c.cpl += 3) {
            dl_add_case(&c, sizeof(c), c.cpl ? test_right : test_is_not_silent,
                        "/kvm-dirty-log/raw/dirty-ring/%u/cpl%u",
                        c.ring_entries, c.cpl);
        }
    }
    c.ring_entries = 256;
    c.stores = 1000; /* more than the smallest holds */
    c.iterations = FULL_ITERATIONS;
    for (c.cpl = 0; c.cpl <= 3; c.cpl += 3) {
        dl_add_case(&c, sizeof(c), c.cpl ? test_right : test_is_not_silent,
                    "/kvm-dirty-log/raw/dirty-ring/full/cpl%u", c.cpl);
    }
    c.stores = DL_STORES;
    c.iterations = ITERATIONS;
    c.storm_us = STORM_US;
    for (c.cpl = 0; c.cpl <= 3; c.cpl += 3) {
        dl_add_case(&c, sizeof(c), c.cpl ? test_right : test_is_not_silent,
                    "/kvm-dirty-log/raw/dirty-ring/storm/cpl%u", c.cpl);
    }
}

static void add_ring_mutant(DlMutant mutant, GTestDataFunc test,
                            unsigned storm_us)
{
    DlConfig c = base();

    c.mode = DL_DIRTY_RING;
    c.tracker = dl_raw_tracker(c.mode);
    c.mutant = mutant;
    c.cpl = 3;
    c.storm_us = storm_us;
    dl_add_case(&c, sizeof(c), test, "/kvm-dirty-log/mutant/ring/%s",
                dl_mutant_names[mutant]);
}

static void add_memory(void)
{
    DlConfig c = base();

    c.cpl = 3;
    for (c.backing = 1; c.backing < DL_BACKINGS; c.backing++) {
        dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/backing/%s",
                    dl_backing_names[c.backing]);
    }
    c.backing = DL_ANONYMOUS;
    c.offset = 0x7000; /* an odd page, low */
    dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/offset/low");
    c.offset = (UINT64_C(1) << 36) - 0x5000; /* across 64 GiB */
    dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/offset/high");
    c.offset = UINT64_C(1) << 30;
    c.npages = 1;
    c.slots = 1;
    dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/pages/1");
    c.npages = 65;
    dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/pages/65");
    c.npages = 1000;
    c.slots = 16;
    c.vcpus = 4;
    dl_add_case(&c, sizeof(c), test_right, "/kvm-dirty-log/pages/1000");
}

static void add_mutant(DlMutant mutant, DlMode mode)
{
    DlConfig c = base();

    c.mutant = mutant;
    c.mode = mode;
    c.cpl = 3;
    dl_add_case(&c, sizeof(c), test_is_noticed, "/kvm-dirty-log/mutant/%s",
                dl_mutant_names[mutant]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_modes(&dl_tracker_raw);
    add_modes(&dl_tracker_engine);
    add_memory();
    add_mutant(DL_CLEAR_ALL_ONES, DL_CLEAR_LOG);
    add_mutant(DL_CLEAR_AFTER_READ, DL_CLEAR_LOG);
    add_mutant(DL_PRIVATE_COPY, DL_CLEAR_LOG_SET);
    add_mutant(DL_GET_NOT_MERGED, DL_DIRTY_LOG);
    add_mutant(DL_LATE_STOP, DL_CLEAR_LOG);
    add_mutant(DL_NEIGHBOUR, DL_CLEAR_LOG);
    add_mutant(DL_KEEP_CACHE, DL_CLEAR_LOG);
    add_mutant(DL_PRESET, DL_CLEAR_LOG);
    add_rings();
    add_engine_rings();
    add_ring_mutant(DL_BEFORE_RESET, test_is_noticed, 0);
    add_ring_mutant(DL_SKIP_ENTRY, test_is_noticed, 0);
    add_ring_mutant(DL_TRUST_RESET, test_may_be_noticed, STORM_US);
    add_ring_mutant(DL_RING_SET, test_is_noticed, 0);
    add_ring_mutant(DL_LATE_STOP, test_is_noticed, 0);
    return g_test_run();
}
