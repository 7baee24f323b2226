/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs with capability dirty-limit: when vCPUs begin to be limited, that they
 * are let go on every way out, and that the user's limits and the job's keep
 * out of each other's way. The vCPU is one that only has counters: what it is
 * made to do is seen by its sleeps.
 */
#include <glib.h>
#include <string.h>

#include "accel/accel-ops.h"
#include "io/channel-kinds.h"
#include "migration/dirtylimit.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "tests/unit/fake-job.h"
#include "util/error.h"

typedef struct Rig {
    Job job;
    Accel accel;
    Vcpu vcpu;
    DirtyLimit *l;
} Rig;

static void no_kick(Vcpu *vcpu)
{
}

static bool no_state(Vcpu *vcpu, GError **error)
{
    return true;
}

static const AccelOps accel_ops = {
    .kick = no_kick,
    .get_state = no_state,
    .set_state = no_state,
};

/* Between two looks the guest has written to every page, as far as it ran; the
 * limiter hears of more: too much for any limit here, and so little that a ring
 * would take microseconds to fill, at 100,000 looks a second. Big lock. */
static void dirty_everything(void *opaque)
{
    Rig *rig = opaque;
    FakeGuest *guest = rig->job.guest;
    RAMBlock *block = g_ptr_array_index(guest->vm->ram.blocks, 0);

    for (uint64_t page = 0; guest->running && page < block->npages; page++) {
        fake_guest_store(guest, block, page, 1);
    }
    if (guest->running) {
        __atomic_fetch_add(&rig->vcpu.dirty_pages[DIRTY_CLIENT_LIMIT], 5000,
                           __ATOMIC_RELAXED);
    }
}

/* By a clock that runs as fast as the sender sleeps, and a link that is too
 * slow for the guest. */
static void set_up(Rig *rig)
{
    Vm *vm;

    memset(rig, 0, sizeof(*rig));
    job_set_up_repeatable(&rig->job);
    vm = rig->job.guest->vm;
    rig->accel = (Accel){ .ops = &accel_ops, .name = "fake",
                          .tells_writer = true, .dirty_ring_entries = 4096 };
    rig->vcpu = (Vcpu){ .vm = vm, .stopped = true };
    vm->accel = &rig->accel;
    g_ptr_array_add(vm->vcpus, &rig->vcpu);
    rig->l = dirty_limit_new(vm, clock_new_host());
    migration_set_dirty_limit(rig->job.m, rig->l);
    job_set_cap(&rig->job, MIGRATION_CAPABILITY_DIRTY_LIMIT);
    job_set_param(&rig->job, MIG_PARAM_VCPU_DIRTY_LIMIT, 50);
    job_set_param(&rig->job, MIG_PARAM_MAX_BANDWIDTH, 100000);
    job_set_param(&rig->job, MIG_PARAM_DOWNTIME_LIMIT, 0);
    rig->job.guest->on_sync = dirty_everything;
    rig->job.guest->opaque = rig;
    fake_guest_start(rig->job.guest);
}

static void tear_down(Rig *rig)
{
    migration_set_dirty_limit(rig->job.m, NULL);
    dirty_limit_free(rig->l);
    g_ptr_array_set_size(rig->job.guest->vm->vcpus, 0);
    rig->job.guest->vm->accel = NULL;
    job_tear_down(&rig->job);
}

static Rig *of(Job *job)
{
    return (Rig *)((char *)job - offsetof(Rig, job));
}

static uint64_t limit_of(Rig *rig)
{
    g_autoptr(DirtyLimitInfoList) list = dirty_limit_query(rig->l);

    return list ? list->value->limit_rate : 0;
}

static gint64 sleep_until_us(const Rig *rig)
{
    return __atomic_load_n(&rig->vcpu.sleep_until_us, __ATOMIC_SEQ_CST);
}

static bool is_limited_to(Job *job, uint64_t mib_per_s)
{
    return limit_of(of(job)) == mib_per_s;
}

static bool is_asleep(Job *job, uint64_t n)
{
    return sleep_until_us(of(job)) > g_get_monotonic_time();
}

static void start(Rig *rig, Channel *channel)
{
    job_start(&rig->job, channel);
    job_run_until(&rig->job, is_limited_to, 50);
    job_run_until(&rig->job, is_asleep, 0);
}

static void set_user_limit(Rig *rig, bool works)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(dirty_limit_set(rig->l, NULL, 7, &error), ==, works);
    if (!works) {
        g_assert_nonnull(strstr(error->message, "a migration with capability "
                                "'dirty-limit' runs"));
    }
}

/* The guest goes on as it likes, and the user has his limits back. */
static void assert_let_go(Rig *rig)
{
    g_assert_cmpint(sleep_until_us(rig), ==, 0);
    g_assert_cmpuint(limit_of(rig), ==, 0);
    g_assert_false(dirty_client_is_on(&rig->job.guest->vm->ram,
                                      DIRTY_CLIENT_LIMIT));
    set_user_limit(rig, true);
    g_assert_cmpuint(limit_of(rig), ==, 7);
    g_assert_true(dirty_limit_cancel(rig->l, NULL, NULL));
}

static MigrationInfo *query(Rig *rig)
{
    return migration_query(rig->job.m);
}

static bool has_statistics(Rig *rig)
{
    g_autoptr(MigrationInfo) info = query(rig);

    g_assert_cmpint(info->has_dirty_limit_ring_full_time, ==,
                    info->has_dirty_limit_throttle_time_per_round);
    return info->has_dirty_limit_throttle_time_per_round;
}

/* ---- when ---------------------------------------------------------------- */

/* Not before the second round that does not help, by the rounds; then with
 * what the parameters say, and once that changes nothing: hopeless. */
static void test_limit_comes_when_rounds_do_not_help(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(MigrationInfo) info = NULL;
    const MigrationRoundInfo *last = NULL;
    unsigned throttles = 0;
    Rig rig;

    set_up(&rig);
    rig.job.hold_at = 1;
    job_start(&rig.job, null);
    g_assert_false(has_statistics(&rig));
    job_run_to_sync(&rig.job, 3);
    g_assert_cmpuint(limit_of(&rig), ==, 0);
    job_run_to_sync(&rig.job, 4);
    g_assert_cmpuint(limit_of(&rig), ==, 50);
    job_run_to_sync(&rig.job, 15);
    info = query(&rig);
    g_assert_true(info->has_dirty_limit_throttle_time_per_round);
    g_assert_false(info->has_cpu_throttle_percentage);
    for (MigrationRoundInfoList *r = info->tidemark->rounds; r; r = r->next) {
        last = r->value;
        if (g_str_equal(last->verdict, "throttle")) {
            g_assert_cmpuint(last->round, ==, 3);
            throttles++;
        }
        /* The first pass takes 40 s, the others are cut short. */
        g_assert_cmpuint(last->duration / NS_PER_SEC, <, last->round == 1 ?
                         60 : 6);
    }
    g_assert_cmpuint(throttles, ==, 1);
    g_assert_cmpstr(last->verdict, ==, "hopeless");
    g_assert_cmpstr(last->reason, ==, "dirtied_faster_than_sent_throttled");
    migration_cancel(rig.job.m);
    job_go_on(&rig.job);
    job_run_until(&rig.job, has_ended, 0);
    assert_let_go(&rig);
    tear_down(&rig);
}

static void test_limit_is_not_for_a_guest_that_helps(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Rig rig;

    set_up(&rig);
    rig.job.guest->on_sync = NULL;
    job_set_param(&rig.job, MIG_PARAM_DOWNTIME_LIMIT, 1);
    job_start(&rig.job, null);
    while (!has_ended(&rig.job, 0)) {
        g_assert_cmpuint(limit_of(&rig), ==, 0);
        g_assert_false(has_statistics(&rig));
        big_unlock();
        g_usleep(200);
        big_lock();
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_COMPLETED);
    assert_let_go(&rig);
    tear_down(&rig);
}

static bool tells_a_sleep(Job *job, uint64_t n)
{
    g_autoptr(MigrationInfo) info = query(of(job));

    return info->dirty_limit_throttle_time_per_round > 0;
}

static bool tells_a_full_ring(Job *job, uint64_t n)
{
    g_autoptr(MigrationInfo) info = query(of(job));

    return info->dirty_limit_ring_full_time > 0;
}

static void test_limit_follows_the_parameters(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autofree char *text = NULL;
    Rig rig;

    set_up(&rig);
    job_set_param(&rig.job, MIG_PARAM_X_VCPU_DIRTY_LIMIT_PERIOD, 1);
    start(&rig, null);
    job_run_until(&rig.job, tells_a_sleep, 0);
    job_set_param(&rig.job, MIG_PARAM_X_VCPU_DIRTY_LIMIT_PERIOD, 100);
    job_run_until(&rig.job, tells_a_full_ring, 0);
    job_set_param(&rig.job, MIG_PARAM_VCPU_DIRTY_LIMIT, 1000);
    job_run_until(&rig.job, is_limited_to, 1000);
    set_user_limit(&rig, false);
    migration_cancel(rig.job.m);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_false(has_statistics(&rig));
    assert_let_go(&rig);
    tear_down(&rig);
}

/* ---- ways out ------------------------------------------------------------ */

static void test_way_out_completed(void)
{
    g_autoptr(Channel) sink = sink_new();
    Rig rig;

    set_up(&rig);
    start(&rig, sink);
    job_set_param(&rig.job, MIG_PARAM_DOWNTIME_LIMIT, 2000000);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_false(has_statistics(&rig));
    assert_let_go(&rig);
    job_assert_loads(&rig.job);
    tear_down(&rig);
}

static void test_way_out_cancelled(void)
{
    Rig rig;

    set_up(&rig);
    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(Channel) null = channel_null_new();

        start(&rig, null);
        migration_cancel(rig.job.m);
        job_run_until(&rig.job, has_ended, 0);
        g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_CANCELLED);
        assert_let_go(&rig);
    }
    tear_down(&rig);
}

static void test_way_out_failed(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Rig rig;

    set_up(&rig);
    start(&rig, null);
    channel_shutdown(rig.job.m->channel);
    rig.job.guest->fail_sync_in = 1;
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_FAILED);
    assert_let_go(&rig);
    tear_down(&rig);
}

/* Before the first verdict, or before there is a channel. */
static void test_way_out_before_it_limits(void)
{
    g_autoptr(ChannelAddress) bad = channel_address_parse("tcp:127.0.0.1:0",
                                                          NULL);
    g_autoptr(ChannelAddress) no = channel_address_parse("file:/no/such/dir/f",
                                                         NULL);
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(GError) error = NULL;
    Rig rig;

    set_up(&rig);
    job_start(&rig.job, null);
    set_user_limit(&rig, false);
    migration_cancel(rig.job.m);
    job_run_until(&rig.job, has_ended, 0);
    assert_let_go(&rig);

    g_assert_true(migration_start(rig.job.m, bad, &error));
    set_user_limit(&rig, false);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_FAILED);
    assert_let_go(&rig);

    g_assert_false(migration_start(rig.job.m, no, &error));
    assert_let_go(&rig);
    tear_down(&rig);
}

static void test_way_out_end_of_the_program(void)
{
    g_autoptr(Channel) null = channel_null_new();
    MigrationObserver nobody = { 0 };
    Rig rig;

    set_up(&rig);
    start(&rig, null);
    migration_free(rig.job.m);
    assert_let_go(&rig);
    rig.job.m = migration_new(rig.job.guest->vm, &nobody, NULL);
    tear_down(&rig);
}

/* ---- what is refused ----------------------------------------------------- */

static void expect_start_refused(Rig *rig, const char *words)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(migration_start_channel(rig->job.m, null, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
    g_assert_cmpint(job_status(&rig->job), ==, MIGRATION_STATUS_NONE);
}

static void test_user_limits_keep_it_from_starting(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Rig rig;

    set_up(&rig);
    set_user_limit(&rig, true);
    expect_start_refused(&rig, "vCPUs are limited already");
    g_assert_cmpuint(limit_of(&rig), ==, 7);
    rig.accel.tells_writer = false;
    expect_start_refused(&rig, "needs -accel kvm,dirty-ring-size=N");
    rig.accel.tells_writer = true;

    /* Without the capability they stay what they are, and stay his. */
    rig.job.m->options.caps = 0;
    job_set_param(&rig.job, MIG_PARAM_DOWNTIME_LIMIT, 2000000);
    job_start(&rig.job, null);
    set_user_limit(&rig, true);
    job_run_until(&rig.job, has_ended, 0);
    g_assert_cmpint(job_status(&rig.job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(limit_of(&rig), ==, 7);
    g_assert_true(dirty_limit_cancel(rig.l, NULL, NULL));
    tear_down(&rig);
}

static bool set_cap(Rig *rig, MigrationCapability cap, GError **error)
{
    MigrationCapabilityStatus status = { cap, true };
    MigrationCapabilityStatusList list = { .value = &status };

    return migration_set_capabilities(rig->job.m, &list, error);
}

static void test_capability_needs_a_ring(void)
{
    const MigrationCapability limit = MIGRATION_CAPABILITY_DIRTY_LIMIT;
    g_autoptr(GError) error = NULL;
    Rig rig;

    set_up(&rig);
    rig.job.m->options.caps = 0;
    rig.accel.tells_writer = false;
    g_assert_false(set_cap(&rig, limit, &error));
    g_assert_nonnull(strstr(error->message, "capability 'dirty-limit' needs "
                            "-accel kvm,dirty-ring-size=N"));
    g_clear_error(&error);
    g_assert_false(migration_get_capability(rig.job.m, limit));
    g_assert_true(set_cap(&rig, MIGRATION_CAPABILITY_EVENTS, &error));
    g_assert_false(migration_set_global(rig.job.m, "x-dirty-limit", "on",
                                        &error));
    g_assert_nonnull(strstr(error->message, "'migration.x-dirty-limit'"));
    g_assert_nonnull(strstr(error->message, "kvm,dirty-ring-size=N"));
    g_clear_error(&error);
    g_assert_false(migration_get_capability(rig.job.m, limit));
    rig.accel.tells_writer = true;
    g_assert_true(migration_set_global(rig.job.m, "x-dirty-limit", "on",
                                       &error));
    g_assert_true(migration_get_capability(rig.job.m, limit));
    rig.job.m->options.caps = 0;
    g_assert_true(set_cap(&rig, limit, &error));
    g_assert_true(migration_get_capability(rig.job.m, limit));
    tear_down(&rig);
}

#define T(path, fn) g_test_add_func("/migration-limit/" path, fn)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    T("when/rounds-do-not-help", test_limit_comes_when_rounds_do_not_help);
    T("when/guest-helps", test_limit_is_not_for_a_guest_that_helps);
    T("when/parameters", test_limit_follows_the_parameters);
    T("way-out/completed", test_way_out_completed);
    T("way-out/cancelled", test_way_out_cancelled);
    T("way-out/failed", test_way_out_failed);
    T("way-out/before-it-limits", test_way_out_before_it_limits);
    T("way-out/end-of-program", test_way_out_end_of_the_program);
    T("refuse/user-limits", test_user_limits_keep_it_from_starting);
    T("refuse/no-ring", test_capability_needs_a_ring);
    return g_test_run();
}
