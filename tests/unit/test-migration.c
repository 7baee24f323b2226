/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outgoing job from start to end, and out of every state: a guest that
 * writes, a stream into memory, and a second machine that must hold the same
 * bytes.
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/background-snapshot.h"
#include "migration/blocker.h"
#include "system/big-lock.h"
#include "tests/unit/fake-job.h"
#include "tests/unit/fake-threads.h"
#include "util/error.h"

static void test_idle_guest_arrives(void)
{
    g_autoptr(Channel) buffer = sink_new();
    MigrationInfo *info;
    size_t n;
    Job job;

    job_set_up(&job);
    fake_guest_start(job.guest);
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    job_assert_events(&job, "setup 1 active 2 STOP device 3 completed");
    g_assert_cmpint(runstate_get(job.guest->vm), ==, RUN_STATE_POSTMIGRATE);
    job_assert_loads(&job);
    g_free(sink_data(&n));
    info = migration_query(job.m);
    g_assert_cmpint(info->ram->transferred, ==, n);
    g_assert_cmpint(info->ram->total, ==, 1070 * 4096);
    g_assert_cmpint(info->ram->remaining, ==, 0);
    g_assert_cmpint(info->ram->normal + info->ram->duplicate, ==, 1070);
    g_assert_cmpint(info->ram->duplicate, ==, 1070 / 4);
    g_assert_cmpint(info->ram->dirty_sync_count, ==, 3);
    g_assert_true(info->has_downtime);
    g_assert_false(info->has_expected_downtime);
    g_assert_cmpuint(info->tidemark->chunk_clears, >=, 2);
    g_assert_nonnull(info->tidemark->rounds);
    qapi_free_MigrationInfo(info);
    job_tear_down(&job);
}

/* Of pages that nobody writes the log says nothing, if it begins empty. */
static void test_idle_guest_arrives_whatever_the_log_says(void)
{
    g_autoptr(Channel) buffer = sink_new();
    Job job;

    job_set_up(&job);
    job.guest->clears_when_read = true;
    fake_guest_start(job.guest);
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    job_assert_loads(&job);
    job_tear_down(&job);
}

static void test_stopped_guest_stays_stopped(void)
{
    g_autoptr(Channel) buffer = sink_new();
    Job job;

    job_set_up(&job);
    fake_guest_start(job.guest);
    vm_stop(job.guest->vm, RUN_STATE_PAUSED);
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    job_assert_events(&job, "setup 1 active 2 device 3 completed");
    job_assert_loads(&job);
    job_tear_down(&job);
}

/* Three rounds and more of a guest that writes all the time. */
static void test_writing_guest_arrives(void)
{
    g_autoptr(Channel) buffer = sink_new();
    MigrationInfo *info;
    unsigned n = 0;
    uint64_t first;
    Job job;

    job_set_up(&job);
    job.m->options.props.clear_bitmap_shift = 6;
    job_start_writer(&job, 0);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 50000000);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
    job_start(&job, buffer);
    job_run_until(&job, has_synced, 5);
    info = migration_query(job.m);
    g_assert_cmpint(info->status, ==, MIGRATION_STATUS_ACTIVE);
    g_assert_true(info->has_expected_downtime);
    /* Whoever asks late gets the last ones only. */
    first = info->tidemark->rounds->value->round;
    for (MigrationRoundInfoList *r = info->tidemark->rounds; r; r = r->next) {
        g_assert_cmpuint(r->value->round, ==, first + n++);
        g_assert_cmpuint(r->value->dirty_pages, >, 0);
        g_assert_cmpuint(r->value->sent_bytes, >, 0);
    }
    g_assert_cmpuint(n, >=, 4);
    if (n < MIGRATION_ROUNDS_KEPT) {
        g_assert_cmpuint(first, ==, 1);
    }
    qapi_free_MigrationInfo(info);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(job.m->stats.downtime_bytes, >, 0);
    job_assert_loads(&job);
    job_tear_down(&job);
}

/* The oracle of the test above sees a log that is cleared too late. */
static void test_late_clear_is_noticed(void)
{
    uint64_t differences = 0;

    for (unsigned i = 0; i < 20 && differences == 0; i++) {
        g_autoptr(Channel) buffer = sink_new();
        uint8_t *data;
        size_t n;
        Job job;
        Vm *dst;

        job_set_up(&job);
        job.guest->clear_late = true;
        job_start_writer(&job, 0);
        job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 50000000);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
        job_start(&job, buffer);
        job_run_until(&job, has_synced, 3);
        job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
        job_run_until(&job, has_ended, 0);
        dst = fake_machine_new(job.guest->vm);
        data = sink_data(&n);
        g_assert_true(fake_load(dst, data, n, NULL));
        g_free(data);
        differences = fake_differences(job.guest->vm, dst);
        fake_machine_free(dst);
        job_tear_down(&job);
    }
    g_assert_cmpuint(differences, >, 0);
}

/* 3 MB/s and 1 ms keep it open at the rate that was asked for; new values of
 * both act at once. */
static void test_bandwidth_is_kept_and_raised(void)
{
    static const uint64_t npages[] = {4000};
    g_autoptr(Channel) null = channel_null_new();
    uint64_t from_bytes, from_ns, bps;
    Job job;

    job_set_up_blocks(&job, 1, npages);
    fake_guest_fill(job.guest, 1000000);
    fake_guest_start(job.guest);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 3000000);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 1);
    job_start(&job, null);
    job_run_until(&job, has_sent, 300000);
    from_bytes = migration_stat_get(&job.m->stats.transferred_bytes);
    from_ns = clock_now_ns(job.m->clock);
    job_run_until(&job, has_sent, from_bytes + 2000000);
    bps = migration_stats_bps(
        migration_stat_get(&job.m->stats.transferred_bytes) - from_bytes,
        clock_now_ns(job.m->clock) - from_ns);
    g_test_message("bps=%" G_GUINT64_FORMAT, bps);
    /* A busy host may take our time away; test-rate-limit is exact. */
    g_assert_cmpuint(bps, >=, 3000000 * 0.5);
    g_assert_cmpuint(bps, <=, 3000000 * 1.05);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_ACTIVE);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 1000000000);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    from_ns = clock_now_ns(job.m->clock);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpint(clock_now_ns(job.m->clock) - from_ns, <, NS_PER_SEC);
    job_tear_down(&job);
}

static bool is_throttled(Job *job, uint64_t percent)
{
    return migration_stat_get(&job->m->stats.throttle_percent) >= percent;
}

/* Between two looks the guest has written to every page, as far as it ran. */
static void dirty_everything(void *opaque)
{
    FakeGuest *guest = opaque;
    RAMBlock *block = g_ptr_array_index(guest->vm->ram.blocks, 0);

    for (uint64_t page = 0; guest->running && page < block->npages; page++) {
        fake_guest_store(guest, block, page, 1);
    }
}

/*
 * A guest that dirties all that is sent: held back step by step, by syncs
 * every 5 s although a pass takes 40 s; let go at the end. The clock runs as
 * fast as the sender sleeps.
 */
static void test_auto_converge_throttles_and_lets_go(void)
{
    g_autoptr(Channel) null = channel_null_new();
    static const unsigned steps[] = {5, 30, 55, 80, 95};
    MigrationInfo *info;
    Job job;

    job_set_up(&job);
    clock_free(job.m->clock);
    job.m->clock = clock_new_test(NS_PER_SEC);
    job_set_cap(&job, MIGRATION_CAPABILITY_AUTO_CONVERGE);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 100000);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
    job_set_param(&job, MIG_PARAM_CPU_THROTTLE_INITIAL, steps[0]);
    job_set_param(&job, MIG_PARAM_CPU_THROTTLE_INCREMENT, 25);
    job_set_param(&job, MIG_PARAM_MAX_CPU_THROTTLE, 95);
    job.guest->on_sync = dirty_everything;
    job.guest->opaque = job.guest;
    fake_guest_start(job.guest);
    job_start(&job, null);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        job_run_until(&job, is_throttled, steps[i]);
    }
    job_run_until(&job, has_synced, 20);
    info = migration_query(job.m);
    g_assert_cmpint(info->cpu_throttle_percentage, ==, 95);
    for (MigrationRoundInfoList *r = info->tidemark->rounds; r; r = r->next) {
        if (r->value->round == 1) {
            /* Nothing is to be learnt from the first pass. */
            g_assert_cmpuint(r->value->duration, >, 30 * NS_PER_SEC);
            g_assert_cmpuint(r->value->throttle, ==, 0);
        } else {
            g_assert_cmpuint(r->value->duration, <, 6 * NS_PER_SEC);
        }
        if (!r->next) { /* and nothing is left to be done */
            g_assert_cmpstr(r->value->verdict, ==, "hopeless");
        }
    }
    qapi_free_MigrationInfo(info);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 2000000);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpuint(job.m->stats.throttle_percent, ==, 0);
    g_assert_cmpuint(cpus_throttle(job.guest->vm), ==, 0);
    job_tear_down(&job);
}

static void test_pause_waits_for_continue(void)
{
    g_autoptr(Channel) buffer = sink_new();
    g_autoptr(GError) error = NULL;
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_cap(&job, MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    job_start(&job, buffer);
    g_assert_false(migration_continue(job.m, MIGRATION_STATUS_PRE_SWITCHOVER,
                                      &error));
    g_clear_error(&error);
    job_run_until(&job, is_in, MIGRATION_STATUS_PRE_SWITCHOVER);
    g_assert_cmpint(runstate_get(job.guest->vm), ==,
                    RUN_STATE_FINISH_MIGRATE);
    g_assert_false(migration_continue(job.m, MIGRATION_STATUS_ACTIVE, &error));
    g_assert_nonnull(strstr(error->message, "'pre-switchover'"));
    g_clear_error(&error);
    migration_continue(job.m, MIGRATION_STATUS_PRE_SWITCHOVER, &error);
    g_assert_no_error(error);
    job_run_until(&job, has_ended, 0);
    g_assert_nonnull(strstr(job.events->str,
                            " STOP pre-switchover device "));
    job_assert_loads(&job);
    job_tear_down(&job);
}

static void test_ack_is_waited_for(void)
{
    g_autoptr(Channel) buffer = sink_new();
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_cap(&job, MIGRATION_CAPABILITY_RETURN_PATH);
    job_set_cap(&job, MIGRATION_CAPABILITY_SWITCHOVER_ACK);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    fake_acked = false;
    job_start(&job, buffer);
    /* All of RAM and more: it would have been over long ago. */
    job_run_until(&job, has_sent, 1070 * 4096 * 3 / 4 + 100);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_ACTIVE);
    __atomic_store_n(&fake_acked, true, __ATOMIC_RELAXED);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    job_assert_loads(&job);
    job_tear_down(&job);
}

static void test_ack_that_cannot_come_fails(void)
{
    g_autoptr(Channel) buffer = sink_new();
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_cap(&job, MIGRATION_CAPABILITY_RETURN_PATH);
    job_set_cap(&job, MIGRATION_CAPABILITY_SWITCHOVER_ACK);
    fake_acked = false;
    fake_shut = SHUT_LOST;
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_FAILED);
    fake_acked = true;
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

/* ---- cancel ------------------------------------------------------------- */

static Channel *stalling_channel(Channel *inner, uint64_t at)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;

    faults.stall_write_at = at;
    return channel_fault_new(inner, &faults);
}

static void check_cancel(Job *job, MigrationStatus in, const char *events)
{
    job_run_until(job, is_in, in);
    migration_cancel(job->m);
    g_assert_cmpint(job_status(job), ==, MIGRATION_STATUS_CANCELLING);
    migration_cancel(job->m); /* a second one changes nothing */
    job_run_until(job, has_ended, 0);
    g_assert_cmpint(job_status(job), ==, MIGRATION_STATUS_CANCELLED);
    if (!g_pattern_match_simple(events, job->events->str)) {
        g_error("'%s' is not '%s'", job->events->str, events);
    }
    g_assert_null(job->m->error);
    migration_cancel(job->m);
    g_assert_cmpint(job_status(job), ==, MIGRATION_STATUS_CANCELLED);
    job_assert_goes_on(job);
}

/* Who is cancelled when the head of the file at @path is on the disk. */
static struct {
    const char *path;
    Migration *m;            /* NULL: nobody, or done */
} seal_watch;

static bool is_sealed(void)
{
    int fd = open(seal_watch.path, O_RDONLY | O_CLOEXEC);
    uint8_t head[4] = { 0 };
    bool yes = fd >= 0 && read(fd, head, sizeof(head)) > 0 && head[0];

    if (fd >= 0) {
        close(fd);
    }
    return yes;
}

/* In the place of the C library's. */
int fsync(int fd)
{
    int ret = syscall(SYS_fsync, fd);

    if (seal_watch.m && is_sealed()) {
        big_lock();
        migration_cancel(seal_watch.m);
        g_assert_cmpint(migration_state_get(&seal_watch.m->state), ==,
                        MIGRATION_STATUS_CANCELLING);
        seal_watch.m = NULL;
        big_unlock();
    }
    return ret;
}

/* What can be restored is called completed. */
static void test_cancel_after_the_seal(void)
{
    g_autofree char *path = g_strdup_printf("/tmp/test-seal-%d", getpid());
    ChannelAddress address = { .kind = CHANNEL_ADDRESS_FILE, .path = path };
    g_autoptr(GError) error = NULL;
    Job job;

    job_set_up(&job);
    job_set_cap(&job, MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT);
    if (!background_snapshot_check(job.m, &error)) {
        g_test_skip(error->message);
    } else {
        fake_guest_start(job.guest);
        seal_watch.path = path;
        seal_watch.m = job.m;
        g_assert_true(migration_start(job.m, &address, &error));
        job_run_until(&job, has_ended, 0);
        g_assert_null(seal_watch.m);
        g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
        g_assert_null(job.m->error);
    }
    unlink(path);
    job_tear_down(&job);
}

static void test_cancel_in_setup(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(Channel) stall = stalling_channel(null, 0);
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_start(&job, stall);
    job_run_until(&job, has_synced, 1);
    check_cancel(&job, MIGRATION_STATUS_SETUP, "setup 1 cancelling cancelled");
    job_tear_down(&job);
}

static void test_cancel_in_active_stalled(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(Channel) stall = stalling_channel(null, 100000);
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_start(&job, stall);
    check_cancel(&job, MIGRATION_STATUS_ACTIVE,
                 "setup 1 active cancelling cancelled");
    job_tear_down(&job);
}

static void test_cancel_in_active_limited(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 100);
    job_start(&job, null);
    check_cancel(&job, MIGRATION_STATUS_ACTIVE,
                 "setup 1 active cancelling cancelled");
    job_tear_down(&job);
}

static void test_cancel_in_pre_switchover(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_cap(&job, MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    job_start(&job, null);
    check_cancel(&job, MIGRATION_STATUS_PRE_SWITCHOVER,
                 "setup 1 active * STOP pre-switchover cancelling RESUME "
                 "cancelled");
    job_tear_down(&job);
}

/* Who said "stop" meanwhile does not find it running. */
static void test_stop_in_pre_switchover_lasts(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_cap(&job, MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    job_start(&job, null);
    job_run_until(&job, is_in, MIGRATION_STATUS_PRE_SWITCHOVER);
    vm_stop(job.guest->vm, RUN_STATE_PAUSED);
    migration_cancel(job.m);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(runstate_get(job.guest->vm), ==, RUN_STATE_PAUSED);
    job_tear_down(&job);
}

/* Everything fits into the downtime limit, so all of RAM but a first portion
 * is sent in "device". */
static void test_cancel_in_device(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(Channel) stall = stalling_channel(null, 2000000);
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 10000000);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 30000);
    job_start(&job, stall);
    check_cancel(&job, MIGRATION_STATUS_DEVICE,
                 "setup 1 active 2 STOP device 3 cancelling RESUME cancelled");
    job_tear_down(&job);
}

static void test_free_while_running_cancels(void)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(Channel) stall = stalling_channel(null, 100000);
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 10);
    job_start(&job, stall);
    job_run_until(&job, is_in, MIGRATION_STATUS_ACTIVE);
    migration_free(job.m);
    job.m = NULL;
    g_assert_cmpint(runstate_get(job.guest->vm), ==, RUN_STATE_RUNNING);
    job_tear_down(&job);
}

/* ---- refusals ----------------------------------------------------------- */

static void refuse_start(Job *job, const char *word)
{
    g_autoptr(Channel) null = channel_null_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(migration_start_channel(job->m, null, &error));
    if (!strstr(error->message, word)) {
        g_error("'%s' does not say '%s'", error->message, word);
    }
}

static void test_start_is_refused_with_reason(void)
{
    g_autoptr(Channel) null = channel_null_new();
    MigrationInfo *info;
    unsigned id;
    Job job;

    job_set_up(&job);
    info = migration_query(job.m);
    g_assert_false(info->has_status);
    qapi_free_MigrationInfo(info);
    id = migration_blocker_add(job.guest->vm->vmstate, "a disk");
    refuse_start(&job, "a disk");
    info = migration_query(job.m);
    g_assert_cmpstr(info->blocked_reasons->value, ==, "a disk");
    qapi_free_MigrationInfo(info);
    migration_blocker_del(job.guest->vm->vmstate, id);
    fake_guest_start(job.guest);
    job_set_param(&job, MIG_PARAM_MAX_BANDWIDTH, 1000);
    job_start(&job, null);
    refuse_start(&job, "in progress");
    migration_cancel(job.m);
    job_run_until(&job, has_ended, 0);
    job_assert_goes_on(&job);
    refuse_start(&job, "'cont'");
    job_tear_down(&job);
}

static void test_refused_connection_fails_later(void)
{
    g_autoptr(ChannelAddress) address =
        channel_address_parse("unix:/nonexistent/socket", NULL);
    g_autoptr(GError) error = NULL;
    Job job;

    job_set_up(&job);
    fake_guest_start(job.guest);
    migration_start(job.m, address, &error);
    g_assert_no_error(error);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_SETUP);
    job_run_until(&job, has_ended, 0);
    job_assert_events(&job, "RESUME setup failed");
    g_assert_nonnull(strstr(job.m->error->message, "/nonexistent/socket"));
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

static void test_cancel_while_connecting(void)
{
    g_autoptr(ChannelAddress) address =
        channel_address_parse("unix:/nonexistent/socket", NULL);
    g_autoptr(GError) error = NULL;
    Job job;

    job_set_up(&job);
    fake_guest_start(job.guest);
    migration_start(job.m, address, &error);
    g_assert_no_error(error);
    migration_cancel(job.m);
    job_assert_events(&job, "RESUME setup cancelling cancelled");
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

static void test_file_cannot_return(void)
{
    g_autoptr(ChannelAddress) address =
        channel_address_parse("file:/nonexistent/file", NULL);
    g_autoptr(GError) error = NULL;
    Job job;

    job_set_up(&job);
    fake_guest_start(job.guest);
    job_set_cap(&job, MIGRATION_CAPABILITY_RETURN_PATH);
    g_assert_false(migration_start(job.m, address, &error));
    g_assert_nonnull(strstr(error->message, "'return-path'"));
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_NONE);
    g_clear_error(&error);
    job.m->options.caps = 0;
    g_assert_false(migration_start(job.m, address, &error));
    g_assert_nonnull(strstr(error->message, "/nonexistent/file"));
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_NONE);
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

/* The guest runs on, and the next one succeeds. */
static void test_no_thread_left(void)
{
    g_autoptr(Channel) buffer = sink_new();
    g_autoptr(MigrationInfo) info = NULL;
    Job job;

    job_set_up(&job);
    job_start_writer(&job, 0);
    fake_threads_lack = "migration";
    job_start(&job, buffer);
    fake_threads_lack = NULL;
    job_assert_events(&job, "setup failed");
    info = migration_query(job.m);
    g_assert_cmpstr(info->error_desc, ==, "cannot make thread 'migration': "
                    "Resource temporarily unavailable");
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/migration/idle/arrives", test_idle_guest_arrives);
    g_test_add_func("/migration/idle/arrives-with-an-empty-log",
                    test_idle_guest_arrives_whatever_the_log_says);
    g_test_add_func("/migration/stopped/stays-stopped",
                    test_stopped_guest_stays_stopped);
    g_test_add_func("/migration/writing/arrives", test_writing_guest_arrives);
    g_test_add_func("/migration/writing/late-clear-is-noticed",
                    test_late_clear_is_noticed);
    g_test_add_func("/migration/bandwidth/kept-and-raised",
                    test_bandwidth_is_kept_and_raised);
    g_test_add_func("/migration/auto-converge/throttles",
                    test_auto_converge_throttles_and_lets_go);
    g_test_add_func("/migration/pause/waits-for-continue",
                    test_pause_waits_for_continue);
    g_test_add_func("/migration/ack/is-waited-for", test_ack_is_waited_for);
    g_test_add_func("/migration/ack/cannot-come",
                    test_ack_that_cannot_come_fails);
    g_test_add_func("/migration/cancel/setup", test_cancel_in_setup);
    g_test_add_func("/migration/cancel/active-stalled",
                    test_cancel_in_active_stalled);
    g_test_add_func("/migration/cancel/active-limited",
                    test_cancel_in_active_limited);
    g_test_add_func("/migration/cancel/pre-switchover",
                    test_cancel_in_pre_switchover);
    g_test_add_func("/migration/cancel/stop-lasts",
                    test_stop_in_pre_switchover_lasts);
    g_test_add_func("/migration/cancel/device", test_cancel_in_device);
    g_test_add_func("/migration/cancel/free",
                    test_free_while_running_cancels);
    g_test_add_func("/migration/cancel/connecting",
                    test_cancel_while_connecting);
    g_test_add_func("/migration/failure/refused-connection",
                    test_refused_connection_fails_later);
    g_test_add_func("/migration/start/refused",
                    test_start_is_refused_with_reason);
    g_test_add_func("/migration/start/file-cannot-return",
                    test_file_cannot_return);
    g_test_add_func("/migration/cancel/after-the-seal",
                    test_cancel_after_the_seal);
    g_test_add_func("/migration/start/no-thread-left", test_no_thread_left);
    return g_test_run();
}
