/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The limiter's accounts, in a world with a wound clock: vCPUs that write so
 * many pages per second while they are not asleep, and an accelerator that
 * reads them as often as the limiter asks for. What is held against the limit
 * is what the writers have stored, not what the limiter has seen.
 */
#include <glib.h>
#include <string.h>

#include "migration/dirty-limiter.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "util/bitmap.h"

#define PAGES UINT64_C(51200)  /* 200 MiB */
#define MIB_PAGES 256
#define CPUS 3

typedef struct Writer {
    Vcpu vcpu;
    uint64_t pps;          /* stores to as many pages, one after the other */
    uint64_t first, n;     /* of so many pages, round and round */
    uint64_t at;           /* the next one */
    double left;           /* part of a store */
    uint64_t stores;
    uint64_t told;         /* of these, known to the accelerator's reader */
    int64_t slept_ns;
    int64_t longest_ns;    /* sleep that it saw */
} Writer;

typedef struct World {
    Vm *vm;
    RAMBlock *ram;
    DirtyLimiter *l;
    int64_t now_ns, read_ns, look_ns;
    int64_t late_ns;       /* that the limiter looks late, each time */
    Writer w[CPUS];
    uint64_t looks;
} World;

static void world_init(World *world, unsigned n)
{
    g_autoptr(GError) error = NULL;

    memset(world, 0, sizeof(*world));
    world->vm = vm_new();
    world->ram = ram_list_add_anon(&world->vm->ram, "ram",
                                   PAGES * TM_PAGE_BYTES, &error);
    g_assert_no_error(error);
    g_assert_true(dirty_client_start(&world->vm->ram, DIRTY_CLIENT_LIMIT,
                                     false, &error));
    for (unsigned i = 0; i < n; i++) {
        Writer *w = &world->w[i];

        w->vcpu.index = i;
        w->vcpu.vm = world->vm;
        w->vcpu.dirty_pages[DIRTY_CLIENT_LIMIT] = UINT64_MAX - 1000 * i;
        w->first = i * (PAGES / CPUS);
        w->n = n == 1 ? PAGES : PAGES / CPUS;
        g_ptr_array_add(world->vm->vcpus, &w->vcpu);
    }
    world->l = dirty_limiter_new(world->vm);
    world->now_ns = world->read_ns = world->look_ns = NS_PER_SEC;
}

static void world_done(World *world)
{
    dirty_limiter_free(world->l);
    dirty_client_stop(&world->vm->ram, DIRTY_CLIENT_LIMIT);
    g_ptr_array_set_size(world->vm->vcpus, 0);
    vm_free(world->vm);
}

/* Of the period, and the same limit (0: none) for all. */
static void begin(World *world, unsigned period_ms, uint64_t mib_per_s)
{
    dirty_limiter_begin(world->l, world->now_ns, period_ms * NS_PER_MS);
    for (unsigned i = 0; i < world->vm->vcpus->len; i++) {
        dirty_limiter_set(world->l, i, mib_per_s, world->now_ns);
    }
}

static int64_t asleep_until_ns(const Writer *w)
{
    return w->vcpu.sleep_until_us * 1000;
}

static void write_until(Writer *w, int64_t from_ns, int64_t to_ns)
{
    int64_t awake_ns = CLAMP(asleep_until_ns(w), from_ns, to_ns);
    double stores = (double)(to_ns - awake_ns) * w->pps / NS_PER_SEC + w->left;

    w->slept_ns += awake_ns - from_ns;
    w->longest_ns = MAX(w->longest_ns, asleep_until_ns(w) - from_ns);
    w->stores += (uint64_t)stores;
    w->left = stores - (uint64_t)stores;
}

/* The accelerator's pass: pages that were stored to since the last one. */
static void read_writer(World *world, Writer *w)
{
    MemorySection s = { .block = world->ram, .size = PAGES << TM_PAGE_BITS };
    uint64_t words[(PAGES + 63) / 64] = { 0 };
    uint64_t fresh = w->stores - w->told;
    uint64_t n = MIN(fresh, w->n);
    uint64_t head = MIN(n, w->n - w->at);

    if (n) {
        bitmap_set(words, w->first + w->at, head);
        bitmap_set(words, w->first, n - head);
        dirty_sync_merge(world->vm->map, &s, words, w->vcpu.dirty_pages);
    }
    w->at = (w->at + fresh) % w->n;
    w->told = w->stores;
}

static void go_to(World *world, int64_t to_ns)
{
    for (unsigned i = 0; i < world->vm->vcpus->len; i++) {
        write_until(&world->w[i], world->now_ns, to_ns);
    }
    world->now_ns = to_ns;
}

static void look(World *world)
{
    int64_t next_ns = dirty_limiter_look(world->l, world->now_ns);

    g_assert_cmpint(next_ns, >, world->now_ns);
    g_assert_cmpint(next_ns, <=, world->now_ns + DIRTY_LIMITER_MAX_NS);
    world->look_ns = next_ns + world->late_ns;
    world->looks++;
    /* A new pace counts from now on. */
    world->read_ns = MIN(world->read_ns,
                         world->now_ns + dirty_limiter_pace_ns(world->l));
}

static void run(World *world, int64_t ns)
{
    int64_t end_ns = world->now_ns + ns;

    while (world->now_ns < end_ns) {
        go_to(world, MIN(end_ns, MIN(world->read_ns, world->look_ns)));
        if (world->now_ns == world->read_ns) {
            for (unsigned i = 0; i < world->vm->vcpus->len; i++) {
                read_writer(world, &world->w[i]);
            }
            world->read_ns += dirty_limiter_pace_ns(world->l);
        }
        if (world->now_ns == world->look_ns) {
            look(world);
        }
    }
}

/* MiB per second that @w stores in the next @seconds. */
static double speed(World *world, const Writer *w, unsigned seconds)
{
    uint64_t from = w->stores;

    run(world, seconds * NS_PER_SEC);
    return (double)(w->stores - from) / MIB_PAGES / seconds;
}

static void assert_near(double got, double want, double percent)
{
    if (got < want * (1 - percent / 100) || got > want * (1 + percent / 100)) {
        g_error("%.3f MiB/s instead of %.3f", got, want);
    }
}

/* ---- steady writers ------------------------------------------------------ */

/* Ten per cent are asked for; in a world without noise it is two. */
static void test_steady_writer_meets_the_limit(void)
{
    static const unsigned periods_ms[] = { 1, 10, 100, 1000 };
    static const unsigned limits[] = { 1, 2, 7, 20, 90 };
    static const double factors[] = { 1.03, 1.5, 2, 6, 30, 100 };

    for (unsigned p = 0; p < G_N_ELEMENTS(periods_ms); p++) {
        for (unsigned r = 0; r < G_N_ELEMENTS(limits); r++) {
            for (unsigned f = 0; f < G_N_ELEMENTS(factors); f++) {
                World world;
                double got;

                world_init(&world, 1);
                world.w[0].pps = limits[r] * MIB_PAGES * factors[f];
                begin(&world, periods_ms[p], limits[r]);
                /* Credit for a second lasts 33 s at a speed of 1.03. */
                run(&world, (factors[f] < 1.1 ? 50 : 5) * NS_PER_SEC);
                got = speed(&world, &world.w[0], 10);
                g_test_message("%u ms %u MiB/s x %g: %.3f, longest sleep "
                               "%.1f ms, %.0f looks/s", periods_ms[p],
                               limits[r], factors[f], got,
                               world.w[0].longest_ns / 1e6,
                               world.looks * 1e9 / world.now_ns);
                assert_near(got, limits[r], 2);
                world_done(&world);
            }
        }
    }
}

static void test_writer_below_is_never_touched(void)
{
    static const unsigned periods_ms[] = { 1, 10, 100, 1000 };
    static const double factors[] = { 0, 0.01, 0.5, 0.9, 0.98 };

    for (unsigned p = 0; p < G_N_ELEMENTS(periods_ms); p++) {
        for (unsigned f = 0; f < G_N_ELEMENTS(factors); f++) {
            World world;

            world_init(&world, 1);
            world.w[0].pps = 50 * MIB_PAGES * factors[f];
            begin(&world, periods_ms[p], 50);
            run(&world, 20 * NS_PER_SEC);
            g_assert_cmpint(world.w[0].vcpu.sleep_until_us, ==, 0);
            g_assert_cmpint(dirty_limiter_sleep_ns(world.l), ==, 0);
            world_done(&world);
        }
    }
}

/* The same pages over and over count once a period, however fast. */
static void test_hot_pages_count_once_a_period(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 1000000;
    world.w[0].n = 19 * MIB_PAGES;
    begin(&world, 1000, 20);
    run(&world, 20 * NS_PER_SEC);
    g_assert_cmpint(world.w[0].vcpu.sleep_until_us, ==, 0);
    g_assert_cmpuint(dirty_limiter_rate(world.l, 0), ==, 19 * MIB_PAGES);

    /* In a tenth of the time it is ten times as much. */
    dirty_limiter_set_period(world.l, 100 * NS_PER_MS);
    run(&world, 5 * NS_PER_SEC);
    assert_near(speed(&world, &world.w[0], 10), 20, 2);
    assert_near((double)dirty_limiter_rate(world.l, 0) / MIB_PAGES, 20, 10);

    /* In all of it again, 15 a second are few again; a quarter of a period's
     * credit is saved in each, until it is enough. */
    dirty_limiter_set_period(world.l, NS_PER_SEC);
    world.w[0].n = 15 * MIB_PAGES;
    world.w[0].at = 0;
    run(&world, 5 * NS_PER_SEC);
    world.w[0].slept_ns = 0;
    run(&world, 10 * NS_PER_SEC);
    g_assert_cmpint(world.w[0].slept_ns, ==, 0);
    world_done(&world);
}

/* Something marks all pages, as when tracking was lost, while nobody writes:
 * who writes later is seen again all the same. */
static void test_marked_pages_count_again(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 0;
    begin(&world, 100, 20);
    run(&world, NS_PER_SEC);
    dirty_bitmap_mark(&world.vm->ram, world.ram, 0, PAGES);
    run(&world, 3 * NS_PER_SEC);
    world.w[0].pps = 100 * MIB_PAGES;
    run(&world, 5 * NS_PER_SEC);
    assert_near(speed(&world, &world.w[0], 10), 20, 2);
    world_done(&world);
}

static void test_each_has_its_own_limit(void)
{
    World world;
    double got[CPUS];

    world_init(&world, CPUS);
    world.w[0].pps = 60 * MIB_PAGES; /* limited */
    world.w[1].pps = 9 * MIB_PAGES;  /* below its limit */
    world.w[2].pps = 60 * MIB_PAGES; /* without */
    begin(&world, 1000, 0);
    g_assert_cmpuint(dirty_limiter_limited(world.l), ==, 0);
    dirty_limiter_set(world.l, 0, 20, world.now_ns);
    dirty_limiter_set(world.l, 1, 10, world.now_ns);
    g_assert_cmpuint(dirty_limiter_limited(world.l), ==, 2);
    g_assert_cmpuint(dirty_limiter_limit(world.l, 0), ==, 20);
    g_assert_cmpuint(dirty_limiter_limit(world.l, 2), ==, 0);
    run(&world, 5 * NS_PER_SEC);
    for (unsigned i = 0; i < CPUS; i++) {
        got[i] = speed(&world, &world.w[i], 10);
    }
    assert_near(got[0], 20, 2);
    assert_near(got[1], 9, 0.1);
    assert_near(got[2], 60, 0.1);
    g_assert_cmpint(world.w[1].vcpu.sleep_until_us, ==, 0);
    g_assert_cmpint(world.w[2].vcpu.sleep_until_us, ==, 0);
    assert_near((double)dirty_limiter_rate(world.l, 0) / MIB_PAGES, 20, 5);
    assert_near((double)dirty_limiter_rate(world.l, 1) / MIB_PAGES, 9, 2);
    assert_near((double)dirty_limiter_rate(world.l, 2) / MIB_PAGES, 60, 2);
    world_done(&world);
}

/* Many short sleeps, and no more looks than they need. */
static void test_sleeps_are_short(void)
{
    static const struct {
        double factor;
        int64_t most_ms;
    } cases[] = { { 1.5, 25 }, { 6, 25 }, { 30, 25 }, { 400, 250 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World world;
        uint64_t looks;

        world_init(&world, 1);
        world.w[0].pps = 20 * MIB_PAGES * cases[i].factor;
        begin(&world, 1000, 20);
        run(&world, 5 * NS_PER_SEC);
        world.w[0].longest_ns = 0;
        looks = world.looks;
        run(&world, 10 * NS_PER_SEC);
        looks = (world.looks - looks) / 10;
        g_test_message("x %g: %.1f ms, %" G_GUINT64_FORMAT " looks/s",
                       cases[i].factor, world.w[0].longest_ns / 1e6, looks);
        g_assert_cmpint(world.w[0].longest_ns, <,
                        cases[i].most_ms * NS_PER_MS);
        g_assert_cmpint(world.w[0].longest_ns, >, 0);
        g_assert_cmpuint(looks, <=, 1000);
        /* What a query sees is no more than that, and no less by much. */
        g_assert_cmpint(dirty_limiter_sleep_ns(world.l), >=, NS_PER_MS);
        g_assert_cmpint(dirty_limiter_sleep_ns(world.l), <=,
                        world.w[0].longest_ns + NS_PER_MS);
        world_done(&world);
    }
}

/* However short the periods: whoever asks sees the sleep that goes on, and for
 * two periods the one that was. */
static void test_sleep_is_told_while_it_lasts(void)
{
    World world;

    world_init(&world, 1);
    begin(&world, 1, 10);
    world.w[0].vcpu.dirty_pages[DIRTY_CLIENT_LIMIT] += 3 * MIB_PAGES;
    run(&world, 11 * NS_PER_MS);
    for (unsigned i = 0; i < 23; i++) {  /* 300 ms less 50 that were saved */
        g_assert_cmpint(dirty_limiter_sleep_ns(world.l), >=, 239 * NS_PER_MS);
        run(&world, 10 * NS_PER_MS);
    }
    run(&world, 30 * NS_PER_MS);
    g_assert_cmpint(dirty_limiter_sleep_ns(world.l), ==, 0);
    world_done(&world);
}

/* ---- bursts, late looks, changes ------------------------------------------ */

/* After ten idle seconds no more than one period's pages are saved up. */
static void test_burst_is_bounded(void)
{
    static const unsigned periods_ms[] = { 1, 100, 1000 };

    for (unsigned p = 0; p < G_N_ELEMENTS(periods_ms); p++) {
        double saved_s = MAX(periods_ms[p], 50) / 1000.0;
        World world;
        double got;

        world_init(&world, 1);
        begin(&world, periods_ms[p], 20);
        run(&world, 10 * NS_PER_SEC);
        world.w[0].pps = 500 * MIB_PAGES;
        got = speed(&world, &world.w[0], 1);
        /* And 10 ms, twice, until it is noticed. */
        g_test_message("%u ms: %.1f MiB", periods_ms[p], got);
        g_assert_cmpfloat(got, <=, 20 * (1 + saved_s) + 500 * 0.021);
        g_assert_cmpfloat(got, >=, 20 * (1 + saved_s) - 1);
        got = speed(&world, &world.w[0], 1);
        g_assert_cmpfloat(got, <=, 20 * 1.02);
        world_done(&world);
    }
}

/* A host that keeps the limiter waiting for 30 ms at every look. */
static void test_late_looks_change_the_rhythm_only(void)
{
    World world;

    world_init(&world, 2);
    world.late_ns = 30 * NS_PER_MS;
    world.w[0].pps = 120 * MIB_PAGES;
    world.w[1].pps = 19 * MIB_PAGES;
    begin(&world, 1, 20);
    run(&world, 5 * NS_PER_SEC);
    assert_near(speed(&world, &world.w[0], 10), 20, 2);
    g_assert_cmpint(world.w[1].vcpu.sleep_until_us, ==, 0);
    world_done(&world);
}

static void test_debt_is_bounded(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 1000 * MIB_PAGES;
    begin(&world, 1000, 1);
    go_to(&world, world.now_ns + 10 * NS_PER_SEC); /* nobody looks */
    world.read_ns = world.look_ns = world.now_ns + 1;
    run(&world, 1);
    g_assert_cmpint(asleep_until_ns(&world.w[0]), <=,
                    world.now_ns + DIRTY_LIMITER_DEBT_NS + NS_PER_US);
    g_assert_cmpint(asleep_until_ns(&world.w[0]), >=,
                    world.now_ns + DIRTY_LIMITER_DEBT_NS - NS_PER_SEC);
    world_done(&world);
}

static int64_t asleep_for_ns(World *world)
{
    dirty_limiter_look(world->l, world->now_ns);
    return asleep_until_ns(&world->w[0]) - world->now_ns;
}

static void change(World *world, uint64_t mib_per_s)
{
    dirty_limiter_set(world->l, 0, mib_per_s, world->now_ns);
    world->w[0].vcpu.sleep_until_us = 0; /* as vcpu_end_sleep() */
}

/* A debt of pages is paid at the new price, and so is what was saved. */
static void test_new_limit_keeps_debt_and_credit(void)
{
    uint64_t *pages;
    World world;

    world_init(&world, 1);
    pages = &world.w[0].vcpu.dirty_pages[DIRTY_CLIENT_LIMIT];
    begin(&world, 1000, 10);
    *pages += 20 * MIB_PAGES;
    assert_near(asleep_for_ns(&world) / 1e9, 1, 0.1); /* one had it saved */
    change(&world, 20);
    assert_near(asleep_for_ns(&world) / 1e9, 0.5, 0.1);
    change(&world, 5);
    assert_near(asleep_for_ns(&world) / 1e9, 2, 0.1);
    change(&world, 1); /* as much as anybody may owe */
    assert_near(asleep_for_ns(&world) / 1e9, 5, 0.1);

    change(&world, 0);
    change(&world, 1); /* a second at 1 MiB/s is 10 ms at 100 */
    change(&world, 100);
    *pages += 2 * MIB_PAGES;
    assert_near(asleep_for_ns(&world) / 1e9, 0.01, 0.1);
    world_done(&world);
}

static void test_new_limit_acts_at_once(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 100 * MIB_PAGES;
    begin(&world, 100, 10);
    run(&world, 5 * NS_PER_SEC);
    assert_near(speed(&world, &world.w[0], 5), 10, 2);
    change(&world, 50);
    assert_near(speed(&world, &world.w[0], 5), 50, 2);
    change(&world, 5);
    assert_near(speed(&world, &world.w[0], 10), 5, 2);
    world_done(&world);
}

static void test_lifted_limit_is_gone(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 100 * MIB_PAGES;
    begin(&world, 1000, 10);
    run(&world, 5 * NS_PER_SEC);
    change(&world, 0);
    g_assert_cmpuint(dirty_limiter_limited(world.l), ==, 0);
    assert_near(speed(&world, &world.w[0], 5), 100, 0.1);
    g_assert_cmpint(world.w[0].vcpu.sleep_until_us, ==, 0);
    /* Its rate is known all the same: the period counts everybody. */
    assert_near((double)dirty_limiter_rate(world.l, 0) / MIB_PAGES, 100, 2);
    /* Set again, it does not owe what it wrote in between. */
    dirty_limiter_set(world.l, 0, 90, world.now_ns);
    run(&world, 500 * NS_PER_MS);
    g_assert_cmpint(world.w[0].vcpu.sleep_until_us, ==, 0);
    world_done(&world);
}

/* ---- edges --------------------------------------------------------------- */

static void test_no_vcpu_is_fine(void)
{
    World world;

    world_init(&world, 0);
    begin(&world, 1000, 1);
    run(&world, 3 * NS_PER_SEC);
    g_assert_cmpuint(dirty_limiter_limited(world.l), ==, 0);
    g_assert_cmpint(dirty_limiter_sleep_ns(world.l), ==, 0);
    g_assert_cmpint(dirty_limiter_pace_ns(world.l), ==, DIRTY_LIMITER_MAX_NS);
    world_done(&world);
}

static void test_largest_limit_limits_nobody(void)
{
    World world;

    world_init(&world, 1);
    world.w[0].pps = 4000000;
    begin(&world, 1000, UINT64_MAX);
    run(&world, 3 * NS_PER_SEC);
    dirty_limiter_set(world.l, 0, 1, world.now_ns);
    dirty_limiter_set(world.l, 0, UINT64_MAX, world.now_ns);
    run(&world, 3 * NS_PER_SEC);
    g_assert_cmpint(world.w[0].vcpu.sleep_until_us, ==, 0);
    world_done(&world);
}

/* While all sleep, nobody need read their rings often. */
static void test_pace_follows_those_awake(void)
{
    World world;
    bool fine = false, coarse = false;

    world_init(&world, 2);
    world.w[0].pps = 600 * MIB_PAGES;
    begin(&world, 1000, 20);
    run(&world, 5 * NS_PER_SEC);
    for (unsigned i = 0; i < 1000; i++) {
        bool asleep;

        run(&world, world.look_ns - world.now_ns);
        asleep = asleep_until_ns(&world.w[0]) > world.now_ns + NS_PER_US;
        if (asleep) {
            g_assert_cmpint(dirty_limiter_pace_ns(world.l), ==,
                            DIRTY_LIMITER_MAX_NS);
        }
        coarse |= asleep;
        fine |= dirty_limiter_pace_ns(world.l) < NS_PER_MS;
    }
    g_assert_true(fine);
    g_assert_true(coarse);
    world_done(&world);
}

#define T(path, fn) g_test_add_func("/dirty-limiter/" path, fn)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    T("steady/meets-the-limit", test_steady_writer_meets_the_limit);
    T("steady/below-untouched", test_writer_below_is_never_touched);
    T("steady/hot-pages-count-once", test_hot_pages_count_once_a_period);
    T("steady/marked-pages-count-again", test_marked_pages_count_again);
    T("steady/each-its-own", test_each_has_its_own_limit);
    T("steady/short-sleeps", test_sleeps_are_short);
    T("steady/told-while-it-lasts", test_sleep_is_told_while_it_lasts);
    T("burst/bounded", test_burst_is_bounded);
    T("late/rhythm-only", test_late_looks_change_the_rhythm_only);
    T("late/debt-is-bounded", test_debt_is_bounded);
    T("set/keeps-debt-and-credit", test_new_limit_keeps_debt_and_credit);
    T("set/acts-at-once", test_new_limit_acts_at_once);
    T("set/lifted", test_lifted_limit_is_gone);
    T("edge/no-vcpu", test_no_vcpu_is_fine);
    T("edge/largest-limit", test_largest_limit_limits_nobody);
    T("edge/pace", test_pace_follows_those_awake);
    return g_test_run();
}
