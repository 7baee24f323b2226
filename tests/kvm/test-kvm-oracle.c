/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of the real kernel, and the marks of the VMM's own writes,
 * held against the page tables (dirty-oracle.h): every mode, guests at CPL 0
 * and 3, each kind of memory. Skips where the kernel has no PAGEMAP_SCAN.
 */
#include "dirty-oracle.h"

#define ROUNDS 24
#define TRIES 20              /* of a mistake */

/* Returns: false if it was skipped. */
static bool run(DoConfig *c, DoStats *s)
{
    do_run(c, s);
    if (s->skip) {
        g_test_skip(s->skip);
        return false;
    }
    do_print_stats(c, s);
    return true;
}

static void test_agree(gconstpointer data)
{
    DoConfig c = *(const DoConfig *)data;
    DoStats s;

    c.dl.seed = g_test_rand_int();
    if (!run(&c, &s)) {
        return;
    }
    g_assert_cmpstr(s.failure, ==, NULL);
    g_assert_cmpuint(s.rounds, >=, c.dl.iterations);
    g_assert_cmpuint(s.written, >, c.dl.iterations);
    g_assert_cmpuint(s.device, >, c.dl.iterations);
    do_stats_done(&s);
}

static void test_is_noticed(gconstpointer data)
{
    DoConfig c = *(const DoConfig *)data;
    bool noticed = false;
    DoStats s;

    c.dl.seed = g_test_rand_int();
    for (unsigned i = 0; i < TRIES && !noticed; i++, c.dl.seed++) {
        if (!run(&c, &s)) {
            return;
        }
        noticed = s.failure;
        do_stats_done(&s);
    }
    g_assert_true(noticed);
}

static DoConfig base(void)
{
    DoConfig c = { .dl = dl_config_default() };

    c.dl.machine = &dl_machine_kvm;
    c.dl.tracker = &dl_tracker_engine;
    c.dl.iterations = ROUNDS;
    c.dl.cpl = 3;
    return c;
}

static void add_modes(const DlTrackerOps *tracker)
{
    DoConfig c = base();

    c.dl.tracker = tracker;
    for (c.dl.mode = 0; c.dl.mode < DL_LOG_MODES; c.dl.mode++) {
        for (c.dl.cpl = 0; c.dl.cpl <= 3; c.dl.cpl += 3) {
            dl_add_case(&c, sizeof(c), test_agree, "/kvm-oracle/%s/%s/cpl%u",
                        tracker->name, dl_mode_names[c.dl.mode], c.dl.cpl);
        }
    }
}

/* At CPL 0 a kernel may log stores before it looks whether there is room. */
static void add_rings(void)
{
    DoConfig c = base();

    c.dl.mode = DL_DIRTY_RING;
    c.dl.tracker = dl_raw_tracker(c.dl.mode);
    for (c.dl.ring_entries = 256; c.dl.ring_entries <= 65536;
         c.dl.ring_entries *= 16) {
        dl_add_case(&c, sizeof(c), test_agree, "/kvm-oracle/raw/%s/%u",
                    dl_mode_names[c.dl.mode], c.dl.ring_entries);
    }
    c.dl.mutant = DL_SKIP_ENTRY;
    c.dl.ring_entries = 1024;
    dl_add_case(&c, sizeof(c), test_is_noticed, "/kvm-oracle/mutant/%s",
                dl_mutant_names[c.dl.mutant]);
}

static void add_memory(void)
{
    DoConfig c = base();

    for (c.dl.backing = DL_THP; c.dl.backing <= DL_MEMFD; c.dl.backing++) {
        dl_add_case(&c, sizeof(c), test_agree, "/kvm-oracle/backing/%s",
                    dl_backing_names[c.dl.backing]);
    }
}

static void add_mutant(DlMutant mutant, DlMode mode)
{
    DoConfig c = base();

    c.dl.tracker = &dl_tracker_raw;
    c.dl.mutant = mutant;
    c.dl.mode = mode;
    dl_add_case(&c, sizeof(c), test_is_noticed, "/kvm-oracle/mutant/%s",
                dl_mutant_names[mutant]);
}

int main(int argc, char **argv)
{
    DoConfig unmarked = base();

    g_test_init(&argc, &argv, NULL);
    add_modes(&dl_tracker_raw);
    add_modes(&dl_tracker_engine);
    add_rings();
    add_memory();
    add_mutant(DL_CLEAR_ALL_ONES, DL_CLEAR_LOG);
    add_mutant(DL_GET_NOT_MERGED, DL_DIRTY_LOG);
    unmarked.unmarked = true;
    dl_add_case(&unmarked, sizeof(unmarked), test_is_noticed,
                "/kvm-oracle/mutant/unmarked");
    return g_test_run();
}
