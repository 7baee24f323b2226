/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two witnesses of dirty-oracle.h with the kernel model as KVM: every
 * mode, raw ioctls and the product's layers, guests as threads and step by
 * step; hosts and kernels that lose or invent pages are found out.
 */
#include <string.h>

#include "kvm-model.h"
#include "tests/kvm/dirty-oracle.h"

#define SEEDS 20              /* that a mistake may take to show */

typedef struct Case {
    DoConfig config;
    const char *expect;       /* a word of the failure, or NULL */
} Case;

static void test_agree(gconstpointer data)
{
    DoConfig c = ((const Case *)data)->config;
    uint64_t all;
    DoStats s;

    c.dl.seed = g_test_rand_int();
    do_run(&c, &s);
    if (s.skip) {
        g_test_skip(s.skip);
        return;
    }
    do_print_stats(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    all = s.rounds * c.dl.npages;
    g_assert_cmpuint(s.rounds, >=, c.dl.iterations);
    g_assert_cmpuint(s.written, >, c.dl.iterations);
    g_assert_cmpuint(s.written, <, all); /* some were clean */
    g_assert_cmpuint(s.device, >, c.dl.iterations);
    do_stats_done(&s);
}

static void test_is_noticed(gconstpointer data)
{
    const Case *k = data;
    DoConfig c = k->config;
    DoStats s;

    for (c.dl.seed = 1; c.dl.seed <= SEEDS; c.dl.seed++) {
        do_run(&c, &s);
        if (s.skip) {
            g_test_skip(s.skip);
            return;
        }
        if (s.failure) {
            do_print_stats(&c, &s);
            g_assert_nonnull(strstr(s.failure, k->expect));
            do_stats_done(&s);
            return;
        }
    }
    g_test_message("no seed up to %u showed it", SEEDS);
    g_test_fail();
}

static Case *new_case(const DlMachineOps *machine, const DlTrackerOps *tracker,
                      DlMode mode)
{
    Case *k = g_new0(Case, 1);

    k->config.dl = dl_config_default();
    k->config.dl.machine = machine;
    k->config.dl.tracker = tracker;
    k->config.dl.mode = mode;
    k->config.dl.iterations = machine == &dl_machine_stepped ? 80 : 24;
    return k;
}

static void add(Case *k, GTestDataFunc run, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void add(Case *k, GTestDataFunc run, const char *format, ...)
{
    g_autofree char *path = NULL;
    va_list args;

    va_start(args, format);
    path = g_strdup_vprintf(format, args);
    va_end(args);
    g_test_add_data_func_full(path, k, run, g_free);
}

static void add_modes(const DlMachineOps *machine, const DlTrackerOps *tracker)
{
    for (DlMode mode = 0; mode < DL_LOG_MODES; mode++) {
        add(new_case(machine, tracker, mode), test_agree,
            "/dirty-oracle/%s/%s/%s", machine->name, tracker->name,
            dl_mode_names[mode]);
    }
}

static void add_rings(const DlMachineOps *machine)
{
    static const uint32_t sizes[] = { 256, 1024 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Case *k = new_case(machine, &dl_tracker_ring, DL_DIRTY_RING);

        k->config.dl.ring_entries = sizes[i];
        add(k, test_agree, "/dirty-oracle/%s/raw/dirty-ring/%u",
            machine->name, sizes[i]);
    }
}

static void add_memory(void)
{
    for (DlBacking b = DL_THP; b <= DL_MEMFD; b++) {
        Case *k = new_case(&dl_machine_model, &dl_tracker_engine,
                           DL_CLEAR_LOG_SET);

        k->config.dl.backing = b;
        add(k, test_agree, "/dirty-oracle/backing/%s", dl_backing_names[b]);
    }
}

static void add_mutant(DlMutant mutant, DlMode mode, const char *expect)
{
    Case *k = new_case(&dl_machine_stepped, dl_raw_tracker(mode), mode);

    k->config.dl.mutant = mutant;
    k->expect = expect;
    add(k, test_is_noticed, "/dirty-oracle/mutant/%s",
        dl_mutant_names[mutant]);
}

static void add_unmarked(const DlTrackerOps *tracker)
{
    Case *k = new_case(&dl_machine_stepped, tracker, DL_CLEAR_LOG_SET);

    k->config.unmarked = true;
    k->expect = "report";
    add(k, test_is_noticed, "/dirty-oracle/mutant/unmarked/%s",
        tracker->name);
}

static void add_bug(KvmModelBug bug, const char *name, const char *expect)
{
    Case *k = new_case(&dl_machine_stepped, &dl_tracker_raw, DL_CLEAR_LOG);

    k->config.dl.model_bug = bug;
    k->expect = expect;
    add(k, test_is_noticed, "/dirty-oracle/kernel/%s", name);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_modes(&dl_machine_stepped, &dl_tracker_raw);
    add_modes(&dl_machine_stepped, &dl_tracker_engine);
    add_modes(&dl_machine_model, &dl_tracker_raw);
    add_modes(&dl_machine_model, &dl_tracker_engine);
    add_rings(&dl_machine_stepped);
    add_rings(&dl_machine_model);
    add_memory();
    add_mutant(DL_SKIP_ENTRY, DL_DIRTY_RING, "");
    add_mutant(DL_CLEAR_ALL_ONES, DL_CLEAR_LOG, "");
    add_mutant(DL_GET_NOT_MERGED, DL_DIRTY_LOG, "");
    add_mutant(DL_PRIVATE_COPY, DL_CLEAR_LOG_SET, "");
    add_unmarked(&dl_tracker_raw);
    add_unmarked(&dl_tracker_engine);
    add_bug(KVM_MODEL_BUG_NO_PROTECT, "does-not-protect", "report");
    add_bug(KVM_MODEL_BUG_EXTRA_DIRTY, "marks-too-much", "not written");
    add_bug(KVM_MODEL_BUG_TAIL, "forgets-the-tail", "report");
    return g_test_run();
}
