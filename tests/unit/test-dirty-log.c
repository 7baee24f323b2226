/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log's test on the kernel model: every mode with raw ioctls and
 * with the product's layers, vCPUs as threads and step by step; every mistake
 * of the host and every wrong kernel is noticed.
 */
#include <limits.h>
#include <string.h>

#include "kvm-model.h"
#include "tests/kvm/dirty-log.h"

/* Of 2048 pages each. Mistakes show within 64. */
#define ITERATIONS 300
#define RING_ITERATIONS 120
#define SEEDS 40              /* that a mistake may take to show */
#define LOSSES 10             /* runs with a kernel that loses entries */

typedef struct Case {
    DlConfig config;
    const char *expect;       /* a word of the failure, or NULL */
} Case;

static void print_stats(const DlConfig *c, const DlStats *s)
{
    g_test_message("seed %u: %u iterations, %u collections, %u stores, %u "
                   "dirty, %u clean, %u carried over, %u old, %u times "
                   "compared: %s", c->seed, (unsigned)s->iterations,
                   (unsigned)s->collections, (unsigned)s->stores,
                   (unsigned)s->dirty, (unsigned)s->clean,
                   (unsigned)s->carried, (unsigned)s->old,
                   (unsigned)s->parked, s->failure ? s->failure :
                   s->noticed ? s->noticed : "right");
}

static void test_right(gconstpointer data)
{
    DlConfig c = ((const Case *)data)->config;
    DlStats s;

    c.seed = g_test_rand_int();
    dl_run(&c, &s);
    print_stats(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    g_assert_null(s.skip);
    g_assert_cmpuint(s.iterations, ==, c.iterations);
    g_assert_cmpuint(s.dirty, >, c.iterations);
    if (c.machine == &dl_machine_stepped) { /* threads may be out of luck */
        g_assert_cmpuint(s.carried, >, c.iterations);
    }
    dl_stats_done(&s);
}

/* Shapes at the edges of words; the last slot may end in a partial one. */
static void test_shapes(gconstpointer data)
{
    static const uint64_t shapes[] = { 1, 2, 63, 64, 65, 127, 128, 1000 };
    DlConfig c = ((const Case *)data)->config;
    DlStats s;

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        c.npages = shapes[i];
        c.slots = MIN(1 + i % 3, shapes[i]);
        c.seed = g_test_rand_int();
        dl_run(&c, &s);
        print_stats(&c, &s);
        g_assert_cmpstr(s.failure, ==, NULL);
        dl_stats_done(&s);
    }
}

/* Deterministic: the same seeds, the same order, the same end. */
static void test_is_noticed(gconstpointer data)
{
    const Case *k = data;
    DlConfig c = k->config;
    DlStats s;

    for (c.seed = 1; c.seed <= SEEDS; c.seed++) {
        dl_run(&c, &s);
        if (s.failure) {
            print_stats(&c, &s);
            g_assert_nonnull(strstr(s.failure, k->expect));
            dl_stats_done(&s);
            return;
        }
    }
    g_test_message("no seed up to %u showed it", SEEDS);
    g_test_fail();
}

static Case *new_case(const DlMachineOps *machine, const DlTrackerOps *tracker,
                      DlMode mode, unsigned iterations)
{
    Case *k = g_new0(Case, 1);

    k->config = dl_config_default();
    k->config.machine = machine;
    k->config.tracker = tracker;
    k->config.mode = mode;
    k->config.iterations = iterations;
    return k;
}

static void add(const char *path, Case *k, GTestDataFunc run)
{
    g_test_add_data_func_full(path, k, run, g_free);
}

static void add_modes(const DlMachineOps *machine, const DlTrackerOps *tracker)
{
    for (DlMode mode = 0; mode < DL_LOG_MODES; mode++) {
        g_autofree char *path =
            g_strdup_printf("/dirty-log/%s/%s/%s", machine->name,
                            tracker->name, dl_mode_names[mode]);
        g_autofree char *shapes = g_strdup_printf("%s/shapes", path);

        add(path, new_case(machine, tracker, mode, ITERATIONS), test_right);
        add(shapes, new_case(machine, tracker, mode, ITERATIONS / 15),
            test_shapes);
    }
}

/* ---- rings ---------------------------------------------------------------- */

static void init_late(KvmModel *m)
{
    m->pml = true;
}

static void init_every_store(KvmModel *m)
{
    m->log_stores = true;
}

/* As of an emulator that does 1024 instructions, 13 of them a store. */
static void init_batches(KvmModel *m)
{
    m->log_stores = true;
    m->log_batch = 78;
}

static void init_overflow(KvmModel *m)
{
    m->log_stores = true;
    m->log_batch = UINT_MAX;
}

static void init_cuts(KvmModel *m)
{
    m->reset_cuts = UINT_MAX;
    m->reset_cut_after = 50;
}

static void init_cuts_that_drop(KvmModel *m)
{
    init_cuts(m);
    m->reset_cut_drops = true;
}

/* The kernel loses entries: that is seen, or it was of no consequence. */
static void test_is_not_silent(gconstpointer data)
{
    DlConfig c = ((const Case *)data)->config;
    unsigned noticed = 0;
    DlStats s;

    for (unsigned i = 0; i < LOSSES; i++) {
        c.seed = g_test_rand_int();
        dl_run(&c, &s);
        print_stats(&c, &s);
        g_assert_cmpstr(s.failure, ==, NULL);
        noticed += s.noticed != NULL;
        dl_stats_done(&s);
    }
    g_test_message("noticed in %u runs of %u", noticed, LOSSES);
    if (c.machine == &dl_machine_stepped) { /* threads may be quick enough */
        g_assert_cmpuint(noticed, >, 0);
    }
}

/* ... and can be mended. */
static void test_is_repaired(gconstpointer data)
{
    DlConfig c = ((const Case *)data)->config;
    DlStats s;

    c.seed = g_test_rand_int();
    dl_run(&c, &s);
    print_stats(&c, &s);
    g_assert_cmpstr(s.failure, ==, NULL);
    g_assert_cmpstr(s.noticed, ==, NULL);
    g_assert_cmpuint(s.repairs, >, 0);
    dl_stats_done(&s);
}

static Case *new_ring(const DlMachineOps *machine, uint32_t entries,
                      void (*init)(KvmModel *), unsigned iterations)
{
    Case *k = new_case(machine, &dl_tracker_ring, DL_DIRTY_RING, iterations);

    k->config.ring_entries = entries;
    k->config.model_init = init;
    return k;
}

static void add_ring_sizes(const DlMachineOps *machine)
{
    static const uint32_t sizes[] = { 256, 1024, 65536 };
    g_autofree char *shapes =
        g_strdup_printf("/dirty-log/%s/raw/dirty-ring/shapes", machine->name);
    g_autofree char *late =
        g_strdup_printf("/dirty-log/%s/raw/dirty-ring/late", machine->name);
    g_autofree char *stores =
        g_strdup_printf("/dirty-log/%s/raw/dirty-ring/every-store",
                        machine->name);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *path =
            g_strdup_printf("/dirty-log/%s/raw/dirty-ring/%u", machine->name,
                            sizes[i]);

        add(path, new_ring(machine, sizes[i], NULL, RING_ITERATIONS), test_right);
    }
    add(shapes, new_ring(machine, 256, NULL, 20), test_shapes);
    add(late, new_ring(machine, 1024, init_late, RING_ITERATIONS), test_right);
    add(stores, new_ring(machine, 65536, init_every_store, RING_ITERATIONS),
        test_right);
}

/* The engine's reaper is a thread, so no seed says what it does. */
static Case *new_engine_ring(uint32_t entries, void (*init)(KvmModel *),
                             unsigned iterations)
{
    Case *k = new_ring(&dl_machine_model, entries, init, iterations);

    k->config.tracker = &dl_tracker_engine;
    return k;
}

#define PATH "/dirty-log/model/engine/dirty-ring"

static void add_engine_rings(void)
{
    Case *overflow = new_engine_ring(256, init_overflow, 20);
    Case *late = new_case(&dl_machine_model, &dl_tracker_engine,
                          DL_DIRTY_RING, 64);

    overflow->config.stores = 600;
    late->config.mutant = DL_LATE_STOP;
    late->expect = "lost";
    add(PATH "/256", new_engine_ring(256, NULL, RING_ITERATIONS), test_right);
    add(PATH "/65536", new_engine_ring(65536, NULL, RING_ITERATIONS),
        test_right);
    add(PATH "/late", new_engine_ring(1024, init_late, RING_ITERATIONS),
        test_right);
    add(PATH "/overflow", overflow, test_is_repaired);
    add(PATH "/cut-and-dropped",
        new_engine_ring(256, init_cuts_that_drop, 20), test_is_repaired);
    add(PATH "/late-stop", late, test_is_noticed);
}

static void add_ring_losses(const DlMachineOps *machine)
{
    static const struct {
        const char *name;
        void (*init)(KvmModel *m);
        GTestDataFunc test;
    } losses[] = {
        { "batches", init_batches, test_is_not_silent },
        { "overflow", init_overflow, test_is_not_silent },
        { "cut", init_cuts, test_is_repaired },
        { "cut-and-dropped", init_cuts_that_drop, test_is_repaired },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(losses); i++) {
        g_autofree char *path =
            g_strdup_printf("/dirty-log/loss/%s/%s", machine->name,
                            losses[i].name);
        Case *k = new_ring(machine, 256, losses[i].init, 50);

        k->config.stores = 600;
        add(path, k, losses[i].test);
    }
}

/* ---- mistakes ------------------------------------------------------------- */

static void add_ring_mutant(DlMutant mutant, void (*init)(KvmModel *))
{
    Case *k = new_ring(&dl_machine_stepped, 1024, init, 64);
    g_autofree char *path =
        g_strdup_printf("/dirty-log/mutant/ring/%s%s",
                        dl_mutant_names[mutant],
                        init == init_late ? "/late" : "");

    k->config.mutant = mutant;
    k->expect = "";
    add(path, k, test_is_noticed);
}

static void add_mutant(DlMutant mutant, const DlTrackerOps *tracker,
                       DlMode mode, const char *expect)
{
    Case *k = new_case(&dl_machine_stepped, tracker, mode, 64);
    g_autofree char *path =
        g_strdup_printf("/dirty-log/mutant/%s/%s", tracker->name,
                        dl_mutant_names[mutant]);

    k->config.mutant = mutant;
    k->expect = expect;
    add(path, k, test_is_noticed);
}

static void add_bug(KvmModelBug bug, const char *name, DlMode mode,
                    const char *expect)
{
    Case *k = new_case(&dl_machine_stepped, dl_raw_tracker(mode), mode, 64);
    g_autofree char *path =
        g_strdup_printf("/dirty-log/kernel/%s%s",
                        mode == DL_DIRTY_RING ? "ring/" : "", name);

    k->config.model_bug = bug;
    k->expect = expect;
    add(path, k, test_is_noticed);
}

static void add_mistakes(void)
{
    const DlTrackerOps *raw = &dl_tracker_raw;

    add_mutant(DL_CLEAR_ALL_ONES, raw, DL_CLEAR_LOG, "");
    add_mutant(DL_CLEAR_AFTER_READ, raw, DL_CLEAR_LOG, "");
    add_mutant(DL_CLEAR_AFTER_READ, &dl_tracker_engine, DL_CLEAR_LOG_SET, "");
    add_mutant(DL_PRIVATE_COPY, raw, DL_CLEAR_LOG_SET, "");
    add_mutant(DL_GET_NOT_MERGED, raw, DL_DIRTY_LOG, "");
    add_mutant(DL_LATE_STOP, raw, DL_CLEAR_LOG, "lost");
    add_mutant(DL_LATE_STOP, &dl_tracker_engine, DL_DIRTY_LOG, "lost");
    add_mutant(DL_NEIGHBOUR, raw, DL_CLEAR_LOG, "I3");
    add_mutant(DL_KEEP_CACHE, raw, DL_CLEAR_LOG, "I3");
    add_mutant(DL_PRESET, raw, DL_CLEAR_LOG, "I3");
    add_bug(KVM_MODEL_BUG_NO_PROTECT, "does-not-protect", DL_CLEAR_LOG, "");
    add_bug(KVM_MODEL_BUG_NO_FLUSH, "does-not-flush", DL_CLEAR_LOG, "");
    add_bug(KVM_MODEL_BUG_EXTRA_DIRTY, "marks-too-much", DL_DIRTY_LOG,
            "were not written");
    add_bug(KVM_MODEL_BUG_FIRST_ONLY, "protects-one-of-a-word", DL_DIRTY_LOG,
            "");
    add_bug(KVM_MODEL_BUG_CLEAR_ALL, "clears-too-much", DL_CLEAR_LOG_SET, "");
    add_bug(KVM_MODEL_BUG_TAIL, "forgets-the-tail", DL_CLEAR_LOG, "");
}

static void add_ring_mistakes(void)
{
    add_ring_mutant(DL_BEFORE_RESET, NULL);
    add_ring_mutant(DL_SKIP_ENTRY, NULL);
    add_ring_mutant(DL_TRUST_RESET, init_cuts_that_drop);
    add_ring_mutant(DL_RING_SET, NULL);
    add_ring_mutant(DL_LATE_STOP, NULL);
    add_ring_mutant(DL_LATE_STOP, init_late);
    add_bug(KVM_MODEL_BUG_RESET_NO_PROTECT, "does-not-protect", DL_DIRTY_RING,
            "");
    add_bug(KVM_MODEL_BUG_RESET_NO_FLUSH, "does-not-flush", DL_DIRTY_RING, "");
    add_bug(KVM_MODEL_BUG_RESET_FIRST_ONLY, "protects-one-of-a-mask",
            DL_DIRTY_RING, "");
    add_bug(KVM_MODEL_BUG_EXTRA_DIRTY, "marks-too-much", DL_DIRTY_RING, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_modes(&dl_machine_stepped, &dl_tracker_raw);
    add_modes(&dl_machine_stepped, &dl_tracker_engine);
    add_modes(&dl_machine_model, &dl_tracker_raw);
    add_modes(&dl_machine_model, &dl_tracker_engine);
    add_mistakes();
    add_ring_sizes(&dl_machine_stepped);
    add_ring_sizes(&dl_machine_model);
    add_engine_rings();
    add_ring_losses(&dl_machine_stepped);
    add_ring_losses(&dl_machine_model);
    add_ring_mistakes();
    return g_test_run();
}
