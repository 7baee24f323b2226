/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measurements of the dirty rate: with a wound clock and a guest that writes
 * exactly so many pages between the two syncs, the rate is exactly that. What
 * is refused, at its limits; what fails half-way; what ends early; and that a
 * migration beside it loses nothing.
 */
#include <glib.h>
#include <string.h>

#include "accel/accel-ops.h"
#include "migration/dirtyrate-internal.h"
#include "migration/dirtyrate-sample.h"
#include "migration/dirtyrate.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "tests/unit/fake-job.h"
#include "tests/unit/fake-threads.h"
#include "util/bitmap.h"
#include "util/error.h"

#define PAGES 1000

typedef struct Rig {
    FakeGuest *guest;
    RAMBlock *ram;
    Clock *clock;         /* the measurement's */
    DirtyRate *rate;
    /* What happens in the last sync, before the log is read. */
    unsigned syncs, last_sync;
    uint64_t npages;      /* written by the guest, from page 7 on */
    uint64_t own_pages;   /* written by the VMM, from page 600 on */
    int64_t late_ns;      /* the clock goes on meanwhile */
    bool stops_vm;
} Rig;

/* Big lock, the measurement's thread. */
static void on_sync(void *opaque)
{
    Rig *rig = opaque;
    uint8_t byte = 1;

    if (++rig->syncs != rig->last_sync) {
        return;
    }
    for (uint64_t i = 0; i < rig->npages; i++) {
        fake_guest_store(rig->guest, rig->ram, (7 + i) % PAGES, i);
        fake_guest_store(rig->guest, rig->ram, (7 + i) % PAGES, i + 1);
    }
    for (uint64_t i = 0; i < rig->own_pages; i++) {
        guest_write(rig->guest->vm->map, (600 + i) << TM_PAGE_BITS, &byte, 1);
    }
    if (rig->late_ns) {
        clock_wind(rig->clock, rig->late_ns);
    }
    if (rig->stops_vm) {
        vm_stop(rig->guest->vm, RUN_STATE_PAUSED);
    }
}

static void set_up_clock(Rig *rig, uint64_t npages, Clock *clock)
{
    memset(rig, 0, sizeof(*rig));
    rig->guest = fake_guest_new(1, &npages);
    rig->ram = g_ptr_array_index(rig->guest->vm->ram.blocks, 0);
    rig->last_sync = 2;
    rig->guest->on_sync = on_sync;
    rig->guest->opaque = rig;
    rig->clock = clock;
    rig->rate = dirty_rate_new(rig->guest->vm, clock);
    dirty_rate_set_seed(rig->rate, 42);
}

static void set_up(Rig *rig)
{
    set_up_clock(rig, PAGES, clock_new_test(NS_PER_SEC));
}

static void tear_down(Rig *rig)
{
    dirty_rate_free(rig->rate);
    g_assert_false(dirty_client_is_on(&rig->guest->vm->ram,
                                      DIRTY_CLIENT_RATE));
    fake_guest_free(rig->guest);
}

static const DirtyRateRequest log_50ms = {
    .mode = DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP,
    .calc_time = 50,
    .unit = TIME_UNIT_MILLISECOND,
};

static void start(Rig *rig, const DirtyRateRequest *request)
{
    g_autoptr(GError) error = NULL;

    rig->syncs = 0;
    dirty_rate_start(rig->rate, request, &error);
    g_assert_no_error(error);
}

static DirtyRateInfo *query(DirtyRate *rate)
{
    return dirty_rate_query(rate, TIME_UNIT_MILLISECOND);
}

static DirtyRateInfo *wait_end(DirtyRate *rate)
{
    gint64 limit = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    DirtyRateInfo *info = query(rate);

    while (info->status == DIRTY_RATE_STATUS_MEASURING) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        qapi_free_DirtyRateInfo(info);
        big_unlock();
        g_usleep(200);
        big_lock();
        info = query(rate);
    }
    return info;
}

static DirtyRateInfo *measure(Rig *rig, const DirtyRateRequest *request)
{
    start(rig, request);
    return wait_end(rig->rate);
}

static void assert_measured(const DirtyRateInfo *info, int64_t mib_per_s)
{
    g_assert_cmpstr(info->error_desc, ==, NULL);
    g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_MEASURED);
    g_assert_true(info->has_dirty_rate);
    g_assert_cmpint(info->dirty_rate, ==, mib_per_s);
}

/* ---- numbers ------------------------------------------------------------- */

static void test_rate_is_exact_and_does_not_overflow(void)
{
    static const struct {
        uint64_t pages;
        int64_t period_ns, want;
    } cases[] = {
        { 0, NS_PER_SEC, 0 },
        { 255, NS_PER_SEC, 0 },
        { 256, NS_PER_SEC, 1 },
        { 511, NS_PER_SEC, 1 },
        { 512, NS_PER_SEC, 2 },
        { 64, 50 * NS_PER_MS, 5 },
        { 64, 50 * NS_PER_MS + 1, 4 },
        { 256, 2 * NS_PER_SEC, 0 },
        /* 16 TiB in a second: 2^44 x 10^9 is beyond 64 bits. */
        { UINT64_C(1) << 32, NS_PER_SEC, INT64_C(1) << 24 },
        { UINT64_C(1) << 32, 60 * NS_PER_SEC, (INT64_C(1) << 24) / 60 },
        { UINT64_C(1) << 52, NS_PER_SEC, INT64_C(1) << 44 },
        { UINT64_MAX, NS_PER_SEC, INT64_C(0xffffffffffffff) },
        { UINT64_MAX, 1, INT64_MAX },
        { 1, INT64_MAX, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        g_assert_cmpint(dirty_rate_mib_per_s(cases[i].pages,
                                             cases[i].period_ns), ==,
                        cases[i].want);
    }
}

static void test_query_before_anything_is_unstarted(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    Rig rig;

    set_up(&rig);
    info = dirty_rate_query(rig.rate, TIME_UNIT_SECOND);
    g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_UNSTARTED);
    g_assert_cmpint(info->mode, ==, DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING);
    g_assert_cmpint(info->calc_time_unit, ==, TIME_UNIT_SECOND);
    g_assert_cmpint(info->start_time, ==, 0);
    g_assert_cmpint(info->calc_time, ==, 0);
    g_assert_cmpuint(info->sample_pages, ==, 0);
    g_assert_false(info->has_dirty_rate);
    g_assert_cmpstr(info->error_desc, ==, NULL);
    tear_down(&rig);
}

static void test_query_gives_time_in_the_unit_asked_for(void)
{
    g_autoptr(DirtyRateInfo) sec = NULL;
    g_autoptr(DirtyRateInfo) ms = NULL;
    int64_t now_s = g_get_real_time() / G_USEC_PER_SEC;
    Rig rig;

    set_up(&rig);
    rig.late_ns = 950 * NS_PER_MS;
    qapi_free_DirtyRateInfo(measure(&rig, &(DirtyRateRequest){
        .mode = DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP,
        .calc_time = 1, .unit = TIME_UNIT_SECOND }));
    ms = query(rig.rate);
    g_assert_cmpint(ms->calc_time, ==, 1950);
    g_assert_cmpint(ms->calc_time_unit, ==, TIME_UNIT_MILLISECOND);
    sec = dirty_rate_query(rig.rate, TIME_UNIT_SECOND);
    g_assert_cmpint(sec->calc_time, ==, 1);
    g_assert_cmpint(sec->calc_time_unit, ==, TIME_UNIT_SECOND);
    g_assert_cmpint(sec->start_time, >=, now_s);
    g_assert_cmpint(sec->start_time, <=, now_s + 120);
    tear_down(&rig);
}

/* ---- dirty-bitmap -------------------------------------------------------- */

/* What was dirty before, here all of it, and the second store count not. */
static void test_log_counts_each_page_written_once(void)
{
    static const uint64_t npages[] = { 0, 1, 63, 64, 65, 127, 128, 255, 256,
                                       257, PAGES };
    Rig rig;

    set_up(&rig);
    for (unsigned i = 0; i < G_N_ELEMENTS(npages); i++) {
        g_autoptr(DirtyRateInfo) info = NULL;

        rig.npages = npages[i];
        info = measure(&rig, &log_50ms);
        assert_measured(info, npages[i] * 20 / 256);
        g_assert_cmpint(info->mode, ==, DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP);
        g_assert_cmpint(info->calc_time, ==, 50);
        g_assert_cmpuint(info->sample_pages, ==, 0);
        g_assert_cmpuint(rig.syncs, ==, 2);
    }
    tear_down(&rig);
}

static void test_log_divides_by_the_time_that_really_passed(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    Rig rig;

    set_up(&rig);
    rig.npages = 640;
    rig.late_ns = 200 * NS_PER_MS; /* 250 ms in all, not 50 */
    info = measure(&rig, &log_50ms);
    assert_measured(info, 10);
    g_assert_cmpint(info->calc_time, ==, 250);
    tear_down(&rig);
}

static void test_log_counts_what_we_write_ourselves(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    Rig rig;

    set_up(&rig);
    rig.npages = 28;
    rig.own_pages = 100;
    info = measure(&rig, &log_50ms);
    assert_measured(info, 10);
    tear_down(&rig);
}

/* A log that every read clears, and that has no clear of its own. */
static void test_log_that_is_cleared_by_reading_counts_too(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    MemoryListenerOps ops;
    Rig rig;

    set_up(&rig);
    ops = *rig.guest->listener.ops;
    ops.log_clear = NULL;
    rig.guest->listener.ops = &ops;
    rig.guest->clears_when_read = true;
    rig.npages = 128;
    info = measure(&rig, &log_50ms);
    assert_measured(info, 10);
    tear_down(&rig);
}

static void test_log_goes_on_when_the_machine_stops(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    Rig rig;

    set_up(&rig);
    fake_guest_start(rig.guest);
    rig.npages = 64;
    rig.stops_vm = true;
    info = measure(&rig, &log_50ms);
    assert_measured(info, 5);
    g_assert_cmpint(runstate_get(rig.guest->vm), ==, RUN_STATE_PAUSED);
    tear_down(&rig);
}

/* No result, the words of the error, the log off, and the next one works. */
static void expect_failure(Rig *rig, const char *words)
{
    g_autoptr(DirtyRateInfo) info = wait_end(rig->rate);
    g_autoptr(DirtyRateInfo) next = NULL;

    g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_UNSTARTED);
    g_assert_false(info->has_dirty_rate);
    g_assert_nonnull(strstr(info->error_desc, words));
    g_assert_false(dirty_client_is_on(&rig->guest->vm->ram,
                                      DIRTY_CLIENT_RATE));
    rig->npages = 128;
    next = measure(rig, &log_50ms);
    assert_measured(next, 10);
}

static void test_log_failures_are_told_and_end_it(void)
{
    Rig rig;

    set_up(&rig);
    rig.guest->fail_sync_in = 1;
    start(&rig, &log_50ms);
    expect_failure(&rig, "the log cannot be read");
    rig.guest->fail_clear_in = 1;
    start(&rig, &log_50ms);
    expect_failure(&rig, "the log cannot be cleared");
    rig.guest->fail_sync_in = 2;
    start(&rig, &log_50ms);
    expect_failure(&rig, "the log cannot be read");
    tear_down(&rig);
}

/* As if the program were to quit: far from the end of the period. */
static void end_while_it_waits(DirtyRateMeasureMode mode)
{
    DirtyRateRequest request = { .mode = mode, .calc_time = 60,
                                 .unit = TIME_UNIT_SECOND };
    gint64 begin_us = g_get_monotonic_time();
    g_autoptr(DirtyRateInfo) info = NULL;
    Rig rig;

    set_up_clock(&rig, PAGES, clock_new_host());
    start(&rig, &request);
    info = query(rig.rate);
    g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_MEASURING);
    g_assert_false(info->has_dirty_rate);
    g_assert_cmpint(info->calc_time, ==, 60000);
    big_unlock();
    g_usleep(20000); /* into the wait, probably; right anywhere */
    big_lock();
    tear_down(&rig);
    g_assert_cmpint(g_get_monotonic_time() - begin_us, <,
                    30 * G_USEC_PER_SEC);
}

static void test_end_of_the_program_ends_it(void)
{
    end_while_it_waits(DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP);
    end_while_it_waits(DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING);
}

/* ---- beside a migration -------------------------------------------------- */

/* The migration's bits before and after: all kept, the new ones added. */
static void test_log_keeps_the_bits_of_a_migration(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    MemoryMap *map;
    Rig rig;

    set_up(&rig);
    map = rig.guest->vm->map;
    g_assert_true(dirty_log_start(map, DIRTY_CLIENT_MIGRATION, true, NULL));
    g_assert_true(dirty_sync_round(map, NULL));
    /* It has sent pages 0 to 799, then the guest wrote the first hundred. */
    memory_region_clear_dirty_bitmap(map, rig.ram, 0, 800, NULL);
    for (uint64_t page = 0; page < 800; page++) {
        dirty_bitmap_take(rig.ram, DIRTY_CLIENT_MIGRATION, page);
    }
    for (uint64_t page = 0; page < 100; page++) {
        fake_guest_store(rig.guest, rig.ram, page, 1);
    }
    rig.last_sync = 3; /* beside another client it begins with one more */
    rig.npages = 128;  /* pages 7 to 134 */
    info = measure(&rig, &log_50ms);
    assert_measured(info, 10);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_test_message("page %" G_GUINT64_FORMAT, page);
        g_assert_cmpint(dirty_bitmap_test(rig.ram, DIRTY_CLIENT_MIGRATION,
                                          page), ==,
                        page < 135 || page >= 800);
    }
    g_assert_true(dirty_client_is_on(&rig.guest->vm->ram,
                                     DIRTY_CLIENT_MIGRATION));
    dirty_log_stop(map, DIRTY_CLIENT_MIGRATION);
    tear_down(&rig);
}

/* One after the other without a pause, while a guest that writes is moved. */
static void test_log_beside_a_migration_loses_no_page(void)
{
    g_autoptr(Channel) sink = sink_new();
    unsigned measured = 0;
    DirtyRate *rate;
    Job job;

    job_set_up(&job);
    rate = dirty_rate_new(job.guest->vm, clock_new_host());
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 4 << 20);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 1);
    job_start_writer(&job, 20);
    job_start(&job, sink);
    while (!has_ended(&job, 0)) {
        g_autoptr(GError) error = NULL;
        g_autoptr(DirtyRateInfo) info = NULL;

        dirty_rate_start(rate, &log_50ms, &error);
        g_assert_no_error(error);
        info = wait_end(rate);
        g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_MEASURED);
        if (++measured == 20) {
            job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 0);
            job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 10000);
        }
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(measured, >=, 20);
    job_assert_loads(&job);
    dirty_rate_free(rate);
    job_tear_down(&job);
}

/* ---- dirty-ring ---------------------------------------------------------- */

/* An accelerator that tells writers, and vCPUs that never run. Each sync, from
 * the first on, hands over what the vCPUs wrote before it. */
typedef struct RingRig {
    Rig rig;
    Accel accel;
    Vcpu vcpus[3];
    struct {
        unsigned sync;     /* in which it becomes known, from 1 */
        unsigned vcpu;
        uint64_t first, npages;
    } writes[8];
} RingRig;

static void tell_writes(void *opaque)
{
    RingRig *ring = opaque;
    MemorySection s = { .block = ring->rig.ram,
                        .size = PAGES << TM_PAGE_BITS };

    ring->rig.syncs++;
    for (unsigned i = 0; i < G_N_ELEMENTS(ring->writes); i++) {
        uint64_t words[(PAGES + 63) / 64] = { 0 };

        if (ring->writes[i].sync == ring->rig.syncs) {
            bitmap_set(words, ring->writes[i].first, ring->writes[i].npages);
            dirty_sync_merge(ring->rig.guest->vm->map, &s, words,
                             ring->vcpus[ring->writes[i].vcpu].dirty_pages);
        }
    }
}

static void set_up_ring(RingRig *ring, unsigned n_vcpus)
{
    Vm *vm;

    memset(ring, 0, sizeof(*ring));
    set_up(&ring->rig);
    ring->rig.guest->clears_when_read = true;
    ring->rig.guest->on_sync = tell_writes;
    ring->rig.guest->opaque = ring;
    vm = ring->rig.guest->vm;
    ring->accel.tells_writer = true;
    vm->accel = &ring->accel;
    for (unsigned i = 0; i < n_vcpus; i++) {
        ring->vcpus[i].index = i;
        ring->vcpus[i].dirty_pages[DIRTY_CLIENT_RATE] = UINT64_MAX - 40;
        g_ptr_array_add(vm->vcpus, &ring->vcpus[i]);
    }
}

static void tear_down_ring(RingRig *ring)
{
    Vm *vm = ring->rig.guest->vm;

    g_ptr_array_set_size(vm->vcpus, 0);
    vm->accel = NULL;
    tear_down(&ring->rig);
}

static const DirtyRateRequest ring_50ms = {
    .mode = DIRTY_RATE_MEASURE_MODE_DIRTY_RING,
    .calc_time = 50,
    .unit = TIME_UNIT_MILLISECOND,
};

static void assert_vcpus(const DirtyRateInfo *info, unsigned n,
                         const int64_t *mib_per_s)
{
    const DirtyRateVcpuList *l = info->vcpu_dirty_rate;

    g_assert_true(info->has_vcpu_dirty_rate);
    for (unsigned i = 0; i < n; i++, l = l->next) {
        g_assert_nonnull(l);
        g_assert_cmpint(l->value->id, ==, i);
        g_assert_cmpint(l->value->dirty_rate, ==, mib_per_s[i]);
    }
    g_assert_null(l);
}

/* 64 pages in 50 ms are 5 MiB/s. A page that was written before counts if it
 * is written in the period again. */
static void test_ring_counts_each_vcpu(void)
{
    static const int64_t want[] = { 10, 5, 0 };
    g_autoptr(DirtyRateInfo) info = NULL;
    RingRig ring;

    set_up_ring(&ring, 3);
    ring.writes[0].sync = 1; /* before: pages 0 to 299, of all three */
    ring.writes[0].npages = 300;
    ring.writes[1].sync = 1;
    ring.writes[1].vcpu = 2;
    ring.writes[1].first = 500;
    ring.writes[1].npages = 200;
    ring.writes[2].sync = 2; /* twice the same page is one page ... */
    ring.writes[2].first = 100;
    ring.writes[2].npages = 128;
    ring.writes[3] = ring.writes[2];
    ring.writes[4].sync = 2; /* ... and if two wrote it, it is the first's */
    ring.writes[4].vcpu = 1;
    ring.writes[4].first = 200;
    ring.writes[4].npages = 92;
    ring.writes[5].sync = 2;
    ring.writes[5].vcpu = 2;
    ring.writes[5].first = 100;
    ring.writes[5].npages = 192;
    info = measure(&ring.rig, &ring_50ms);
    assert_measured(info, 15);
    assert_vcpus(info, 3, want);
    g_assert_cmpint(info->mode, ==, DIRTY_RATE_MEASURE_MODE_DIRTY_RING);
    g_assert_cmpint(info->calc_time, ==, 50);
    g_assert_cmpuint(info->sample_pages, ==, 0);
    g_assert_cmpuint(ring.rig.syncs, ==, 2);
    tear_down_ring(&ring);
}

/* The list is there when it means something, and only then. */
static void test_ring_list_belongs_to_its_measurement(void)
{
    static const int64_t none[] = { 0 };
    g_autoptr(DirtyRateInfo) ring_info = NULL;
    g_autoptr(DirtyRateInfo) log_info = NULL;
    g_autoptr(DirtyRateInfo) empty = NULL;
    RingRig ring;

    set_up_ring(&ring, 1);
    ring_info = measure(&ring.rig, &ring_50ms);
    assert_vcpus(ring_info, 1, none);
    log_info = measure(&ring.rig, &log_50ms);
    g_assert_false(log_info->has_vcpu_dirty_rate);
    g_ptr_array_set_size(ring.rig.guest->vm->vcpus, 0);
    empty = measure(&ring.rig, &ring_50ms);
    assert_measured(empty, 0);
    assert_vcpus(empty, 0, none);
    tear_down_ring(&ring);
}

static void test_ring_failures_are_told_and_end_it(void)
{
    RingRig ring;

    set_up_ring(&ring, 2);
    for (int i = 1; i <= 2; i++) {
        g_autoptr(DirtyRateInfo) info = NULL;

        ring.rig.guest->fail_sync_in = i;
        info = measure(&ring.rig, &ring_50ms);
        g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_UNSTARTED);
        g_assert_false(info->has_vcpu_dirty_rate);
        g_assert_nonnull(strstr(info->error_desc, "the log cannot be read"));
        g_assert_false(dirty_client_is_on(&ring.rig.guest->vm->ram,
                                          DIRTY_CLIENT_RATE));
    }
    tear_down_ring(&ring);
}

/* ---- page-sampling ------------------------------------------------------- */

static void test_sample_count_has_a_floor_and_a_ceiling(void)
{
    static const struct {
        uint64_t npages, per_gib, want;
    } cases[] = {
        { 1, 512, 1 },
        { 127, 128, 127 },
        { 128, 16384, 128 },
        { 129, 128, 128 },
        { 1 << 18, 128, 128 },
        { 1 << 18, 512, 512 },
        { (1 << 18) + 1, 512, 513 },
        { 1 << 18, 16384, 16384 },
        { 1 << 13, 512, 128 },     /* 32 MiB: the floor */
        { 1 << 13, 16384, 512 },
        { UINT64_C(1) << 28, 16384, UINT64_C(1) << 24 }, /* 1 TiB */
        { UINT64_C(1) << 51, 16384, UINT64_C(1) << 47 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        g_assert_cmpuint(dirty_sample_count(cases[i].npages,
                                            cases[i].per_gib), ==,
                         cases[i].want);
    }
}

typedef struct Samples {
    RAMList list;
    bool stop;
    DirtySampler *s;
} Samples;

static RAMBlock *samples_init(Samples *samples, const uint64_t *npages,
                              unsigned n, uint64_t per_gib, uint32_t seed)
{
    static const char *const names[] = { "a", "b", "c" };

    memset(samples, 0, sizeof(*samples));
    ram_list_init(&samples->list);
    for (unsigned i = 0; i < n; i++) {
        g_assert_nonnull(ram_list_add_anon(&samples->list, names[i],
                                           npages[i] * TM_PAGE_BYTES, NULL));
    }
    samples->s = dirty_sampler_new(&samples->list, per_gib, seed,
                                   &samples->stop, NULL);
    g_assert_nonnull(samples->s);
    return g_ptr_array_index(samples->list.blocks, 0);
}

static void samples_done(Samples *samples)
{
    dirty_sampler_free(samples->s);
    ram_list_done(&samples->list);
}

/* In the last byte of the page. */
static void change(RAMBlock *block, uint64_t page)
{
    block->host[((page + 1) << TM_PAGE_BITS) - 1]++;
}

static void test_sample_of_small_blocks_is_exact(void)
{
    static const uint64_t npages[] = { 1, 128, 100 };
    uint64_t pages;
    Samples samples;

    samples_init(&samples, npages, 3, 512, 1);
    for (unsigned i = 0; i < 3; i++) {
        RAMBlock *block = g_ptr_array_index(samples.list.blocks, i);

        for (uint64_t n = 0; n <= npages[i]; n++) {
            g_assert_true(dirty_sampler_look(samples.s));
            for (uint64_t page = 0; page < n; page++) {
                change(block, page);
            }
            g_assert_true(dirty_sampler_estimate(samples.s, &pages));
            g_assert_cmpuint(pages, ==, n);
        }
    }
    samples_done(&samples);
}

static void test_sample_estimates_from_part_of_the_pages(void)
{
    static const uint64_t npages[] = { 6001 };
    uint64_t pages, again, other;
    Samples samples;
    RAMBlock *ram = samples_init(&samples, npages, 1, 16384, 7);

    g_assert_cmpuint(dirty_sample_count(6001, 16384), ==, 376);
    g_assert_true(dirty_sampler_look(samples.s));
    g_assert_true(dirty_sampler_estimate(samples.s, &pages));
    g_assert_cmpuint(pages, ==, 0);
    for (uint64_t page = 0; page < 6001; page++) {
        change(ram, page);
    }
    g_assert_true(dirty_sampler_estimate(samples.s, &pages));
    g_assert_cmpuint(pages, ==, 6001);
    /* The first half: but for one stretch of 16 pages it is known. */
    for (uint64_t page = 0; page < 3000; page++) {
        change(ram, page);
    }
    g_assert_true(dirty_sampler_estimate(samples.s, &pages));
    g_assert_cmpuint(pages, >=, 3000 - 17);
    g_assert_cmpuint(pages, <=, 3000 + 17);
    /* Every fifth one, 1201: within four standard deviations. */
    g_assert_true(dirty_sampler_look(samples.s));
    for (uint64_t page = 0; page < 6001; page += 5) {
        change(ram, page);
    }
    g_assert_true(dirty_sampler_estimate(samples.s, &pages));
    g_assert_cmpuint(pages, >=, 1201 - 500);
    g_assert_cmpuint(pages, <=, 1201 + 500);
    samples_done(&samples);
    /* The seed is all that it depends on. */
    for (uint32_t seed = 7; seed < 9; seed++) {
        ram = samples_init(&samples, npages, 1, 16384, seed);
        dirty_sampler_look(samples.s);
        for (uint64_t page = 0; page < 6001; page += 5) {
            change(ram, page);
        }
        dirty_sampler_estimate(samples.s, seed == 7 ? &again : &other);
        samples_done(&samples);
    }
    g_assert_cmpuint(again, ==, pages);
    g_assert_cmpuint(other, !=, pages);
}

/* No page is out of reach, at the edges of stretches and of the block. */
static void test_sample_draws_every_page_some_time(void)
{
    static const uint64_t npages[] = { 300 }; /* stretches of 2 and 3 */
    static const uint64_t edges[] = { 0, 1, 2, 3, 131, 132, 133, 298, 299 };

    for (unsigned i = 0; i < G_N_ELEMENTS(edges); i++) {
        unsigned seen = 0;

        for (uint32_t seed = 0; seed < 64; seed++) {
            uint64_t pages;
            Samples samples;
            RAMBlock *ram = samples_init(&samples, npages, 1, 128, seed);

            g_assert_true(dirty_sampler_look(samples.s));
            change(ram, edges[i]);
            g_assert_true(dirty_sampler_estimate(samples.s, &pages));
            g_assert_cmpuint(pages, <=, 2); /* 300/128 */
            seen += pages > 0;
            samples_done(&samples);
        }
        g_test_message("page %u", (unsigned)edges[i]);
        g_assert_cmpuint(seen, >=, 8);
        g_assert_cmpuint(seen, <=, 56);
    }
}

/* Each block speaks for itself: a large one with many samples does not
 * outvote a small one. */
static void test_sample_extrapolates_block_by_block(void)
{
    static const uint64_t npages[] = { 200, 4000 };
    uint64_t pages;
    Samples samples;
    RAMBlock *small = samples_init(&samples, npages, 2, 128, 3);

    g_assert_true(dirty_sampler_look(samples.s));
    for (uint64_t page = 0; page < 200; page++) {
        change(small, page);
    }
    g_assert_true(dirty_sampler_estimate(samples.s, &pages));
    g_assert_cmpuint(pages, ==, 200);
    samples_done(&samples);
}

static void test_sample_ends_when_told(void)
{
    static const uint64_t npages[] = { 200 };
    uint64_t pages;
    Samples samples;

    samples_init(&samples, npages, 1, 128, 3);
    samples.stop = true;
    g_assert_false(dirty_sampler_look(samples.s));
    g_assert_false(dirty_sampler_estimate(samples.s, &pages));
    samples_done(&samples);
}

typedef struct Writer {
    Rig *rig;
    bool stop; /* atomic */
} Writer;

/* Every page, again and again, each time with another value. */
static gpointer write_all(gpointer opaque)
{
    Writer *w = opaque;

    for (uint64_t value = 1; !__atomic_load_n(&w->stop, __ATOMIC_RELAXED);
         value++) {
        for (uint64_t page = 0; page < w->rig->ram->npages; page++) {
            fake_guest_store(w->rig->guest, w->rig->ram, page, value * 513);
        }
    }
    return NULL;
}

/* Every page changes, so whichever are looked at, the estimate is all of them.
 * A host that lets the writer rest for the whole time is given more of it. No
 * dirty log is touched. */
static void test_sample_measures_a_writing_guest(void)
{
    DirtyRateRequest request = log_50ms;
    int64_t most = 0, least = 0, rate = -1;
    GThread *thread;
    Writer w;
    Rig rig;

    request.mode = DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
    set_up_clock(&rig, 8192, clock_new_host());
    w = (Writer){ .rig = &rig };
    thread = g_thread_new("writer", write_all, &w);
    for (; rate < least || rate == -1; request.calc_time *= 2) {
        g_autoptr(DirtyRateInfo) info = NULL;

        g_assert_cmpint(request.calc_time, <, 10000);
        info = measure(&rig, &request);
        g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_MEASURED);
        g_assert_cmpint(info->mode, ==,
                        DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING);
        g_assert_cmpuint(info->sample_pages, ==, DIRTY_RATE_DEFAULT_SAMPLES);
        g_assert_cmpint(info->calc_time, >=, request.calc_time);
        most = 32000 / info->calc_time;
        least = 32000 / (info->calc_time + 1);
        rate = info->dirty_rate;
        g_assert_cmpint(rate, <=, most);
    }
    __atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
    g_thread_join(thread);
    g_assert_cmpuint(rig.syncs, ==, 0);
    tear_down(&rig);
}

static void test_sample_of_an_idle_guest_is_nothing(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    DirtyRateRequest request = {
        .mode = DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING, .calc_time = 60,
        .unit = TIME_UNIT_SECOND, .has_sample_pages = true,
        .sample_pages = 16384 };
    Rig rig;

    set_up(&rig);
    info = measure(&rig, &request);
    assert_measured(info, 0);
    g_assert_cmpint(info->calc_time, ==, 60000);
    g_assert_cmpuint(info->sample_pages, ==, 16384);
    tear_down(&rig);
}

/* ---- what is refused ----------------------------------------------------- */

static void expect_refusal(Rig *rig, const DirtyRateRequest *request,
                           const char *words)
{
    g_autoptr(DirtyRateInfo) before = query(rig->rate);
    g_autoptr(DirtyRateInfo) after = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(dirty_rate_start(rig->rate, request, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
    after = query(rig->rate);
    g_assert_cmpint(after->status, ==, before->status);
    g_assert_cmpint(after->mode, ==, before->mode);
    g_assert_cmpint(after->calc_time, ==, before->calc_time);
    g_assert_cmpint(after->dirty_rate, ==, before->dirty_rate);
    g_assert_cmpuint(after->sample_pages, ==, before->sample_pages);
}

#define SAMPLE DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING
#define LOG DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP
#define RING DIRTY_RATE_MEASURE_MODE_DIRTY_RING
#define S TIME_UNIT_SECOND
#define MS TIME_UNIT_MILLISECOND

static void test_start_refuses_bad_numbers_at_their_limits(void)
{
    static const struct {
        DirtyRateRequest request;
        const char *words; /* NULL: fine */
    } cases[] = {
        { { LOG, 49, MS, false, 0 }, "'calc-time' must be 50 to 60000 ms" },
        { { LOG, 50, MS, false, 0 }, NULL },
        { { LOG, 60000, MS, false, 0 }, NULL },
        { { LOG, 60001, MS, false, 0 }, "not 60001" },
        { { LOG, -1, MS, false, 0 }, "not -1" },
        { { LOG, INT64_MIN, MS, false, 0 }, "'calc-time'" },
        { { LOG, 0, S, false, 0 }, "'calc-time' must be 1 to 60 s, not 0" },
        { { LOG, 1, S, false, 0 }, NULL },
        { { LOG, 60, S, false, 0 }, NULL },
        { { LOG, 61, S, false, 0 }, "not 61" },
        { { LOG, -60, S, false, 0 }, "not -60" },
        { { LOG, INT64_MAX, S, false, 0 }, "'calc-time'" },
        { { LOG, INT64_MIN, S, false, 0 }, "'calc-time'" },
        /* as seconds in ms this wraps to 1.6 s in 64 bits */
        { { LOG, INT64_C(18446744073709553), S, false, 0 }, "'calc-time'" },
        { { SAMPLE, 50, MS, true, 127 }, "'sample-pages' must be 128 to" },
        { { SAMPLE, 50, MS, true, 128 }, NULL },
        { { SAMPLE, 50, MS, true, 16384 }, NULL },
        { { SAMPLE, 50, MS, true, 16385 }, "16384 per GiB, not 16385" },
        { { SAMPLE, 50, MS, true, -1 }, "'sample-pages'" },
        { { SAMPLE, 50, MS, true, 0 }, "'sample-pages'" },
        { { LOG, 50, MS, true, 512 }, "not for 'dirty-bitmap'" },
        { { RING, 50, MS, true, 512 }, "-accel kvm,dirty-ring-size=N" },
        { { RING, 49, MS, false, 0 }, "'calc-time' must be" },
        { { RING, 50, MS, false, 0 }, "mode 'dirty-ring' needs -accel kvm,"
          "dirty-ring-size=N: nothing else tells which vCPU has written" },
    };
    Rig rig;

    set_up(&rig);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        if (cases[i].words) {
            expect_refusal(&rig, &cases[i].request, cases[i].words);
        } else {
            g_autoptr(DirtyRateInfo) info = measure(&rig, &cases[i].request);

            assert_measured(info, 0);
        }
    }
    tear_down(&rig);
}

static void test_start_refuses_a_second_one(void)
{
    DirtyRateRequest request = { .calc_time = 60, .unit = TIME_UNIT_SECOND };
    Rig rig;

    set_up_clock(&rig, PAGES, clock_new_host());
    for (int i = 0; i < 2; i++) {
        request.mode = i ? LOG : SAMPLE;
        start(&rig, &request);
        expect_refusal(&rig, &request, "is being measured already");
        expect_refusal(&rig, &log_50ms, "is being measured already");
        dirty_rate_free(rig.rate);
        rig.rate = dirty_rate_new(rig.guest->vm, clock_new_host());
    }
    tear_down(&rig);
}

static void test_start_refuses_a_machine_without_memory(void)
{
    DirtyRateRequest sample = { .mode = DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING,
                                .calc_time = 1, .unit = TIME_UNIT_SECOND };
    Rig rig = { .guest = fake_guest_new(0, NULL) };

    rig.rate = dirty_rate_new(rig.guest->vm, clock_new_test(0));
    expect_refusal(&rig, &log_50ms, "the machine has no RAM");
    expect_refusal(&rig, &sample, "the machine has no RAM");
    tear_down(&rig);

    set_up(&rig);
    g_assert_true(runstate_set(rig.guest->vm, RUN_STATE_INMIGRATE));
    expect_refusal(&rig, &log_50ms, "waits for an incoming migration");
    expect_refusal(&rig, &sample, "waits for an incoming migration");
    tear_down(&rig);
}

static bool refuse_log(MemoryListener *l, const MemorySection *s,
                       GError **error)
{
    tm_error_set(error, "this accelerator has no log");
    return false;
}

static void test_start_refuses_where_there_is_no_log(void)
{
    g_autoptr(DirtyRateInfo) info = NULL;
    const MemoryListenerOps *good;
    MemoryListenerOps ops;
    Rig rig;

    set_up(&rig);
    rig.npages = 64;
    qapi_free_DirtyRateInfo(measure(&rig, &log_50ms));
    good = rig.guest->listener.ops;
    ops = *good;
    ops.log_start = refuse_log;
    rig.guest->listener.ops = &ops;
    expect_refusal(&rig, &log_50ms, "this accelerator has no log");
    g_assert_false(dirty_client_is_on(&rig.guest->vm->ram,
                                      DIRTY_CLIENT_RATE));
    info = query(rig.rate);
    assert_measured(info, 5); /* the last result still stands */
    rig.guest->listener.ops = good;
    tear_down(&rig);
}

static void test_start_without_a_thread(void)
{
    DirtyRateRequest request = { .mode = SAMPLE, .calc_time = 50,
                                 .unit = TIME_UNIT_MILLISECOND };
    Rig rig;

    set_up(&rig);
    for (int i = 0; i < 2; i++) {
        g_autoptr(DirtyRateInfo) info = NULL;

        request.mode = i ? LOG : SAMPLE;
        fake_threads_lack = "dirty-rate";
        expect_refusal(&rig, &request, "cannot make thread 'dirty-rate'");
        fake_threads_lack = NULL;
        g_assert_false(dirty_client_is_on(&rig.guest->vm->ram,
                                          DIRTY_CLIENT_RATE));
        start(&rig, &request);
        info = wait_end(rig.rate);
        g_assert_cmpint(info->status, ==, DIRTY_RATE_STATUS_MEASURED);
    }
    tear_down(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirtyrate/rate/exact",
                    test_rate_is_exact_and_does_not_overflow);
    g_test_add_func("/dirtyrate/query/unstarted",
                    test_query_before_anything_is_unstarted);
    g_test_add_func("/dirtyrate/query/units",
                    test_query_gives_time_in_the_unit_asked_for);
    g_test_add_func("/dirtyrate/log/counts-pages-once",
                    test_log_counts_each_page_written_once);
    g_test_add_func("/dirtyrate/log/real-period",
                    test_log_divides_by_the_time_that_really_passed);
    g_test_add_func("/dirtyrate/log/own-writes",
                    test_log_counts_what_we_write_ourselves);
    g_test_add_func("/dirtyrate/log/cleared-by-reading",
                    test_log_that_is_cleared_by_reading_counts_too);
    g_test_add_func("/dirtyrate/log/machine-stops",
                    test_log_goes_on_when_the_machine_stops);
    g_test_add_func("/dirtyrate/log/failures",
                    test_log_failures_are_told_and_end_it);
    g_test_add_func("/dirtyrate/free/while-it-waits",
                    test_end_of_the_program_ends_it);
    g_test_add_func("/dirtyrate/migration/keeps-its-bits",
                    test_log_keeps_the_bits_of_a_migration);
    g_test_add_func("/dirtyrate/migration/loses-no-page",
                    test_log_beside_a_migration_loses_no_page);
    g_test_add_func("/dirtyrate/ring/each-vcpu", test_ring_counts_each_vcpu);
    g_test_add_func("/dirtyrate/ring/list",
                    test_ring_list_belongs_to_its_measurement);
    g_test_add_func("/dirtyrate/ring/failures",
                    test_ring_failures_are_told_and_end_it);
    g_test_add_func("/dirtyrate/sample/count",
                    test_sample_count_has_a_floor_and_a_ceiling);
    g_test_add_func("/dirtyrate/sample/small-blocks-exact",
                    test_sample_of_small_blocks_is_exact);
    g_test_add_func("/dirtyrate/sample/estimates",
                    test_sample_estimates_from_part_of_the_pages);
    g_test_add_func("/dirtyrate/sample/every-page",
                    test_sample_draws_every_page_some_time);
    g_test_add_func("/dirtyrate/sample/block-by-block",
                    test_sample_extrapolates_block_by_block);
    g_test_add_func("/dirtyrate/sample/ends-when-told",
                    test_sample_ends_when_told);
    g_test_add_func("/dirtyrate/sample/writing-guest",
                    test_sample_measures_a_writing_guest);
    g_test_add_func("/dirtyrate/sample/idle-guest",
                    test_sample_of_an_idle_guest_is_nothing);
    g_test_add_func("/dirtyrate/start/limits",
                    test_start_refuses_bad_numbers_at_their_limits);
    g_test_add_func("/dirtyrate/start/twice",
                    test_start_refuses_a_second_one);
    g_test_add_func("/dirtyrate/start/no-memory",
                    test_start_refuses_a_machine_without_memory);
    g_test_add_func("/dirtyrate/start/no-log",
                    test_start_refuses_where_there_is_no_log);
    g_test_add_func("/dirtyrate/start/no-thread-left",
                    test_start_without_a_thread);
    return g_test_run();
}
