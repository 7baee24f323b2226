/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who owns the guest when a migration fails: at every kind of byte of the
 * stream, and after each word of the destination, exactly one side may run.
 */
#include <glib.h>
#include <string.h>

#include "io/channel-kinds.h"
#include "system/big-lock.h"
#include "system/runstate.h"
#include "tests/unit/fake-job.h"
#include "util/error.h"

static size_t whole_length(void)
{
    g_autoptr(Channel) buffer = sink_new();
    size_t n;
    Job job;

    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    g_free(sink_data(&n));
    job_tear_down(&job);
    return n;
}

/* Where the end byte stands: in front of type, length and the JSON, which
 * holds no zero byte. */
static size_t end_byte(void)
{
    g_autoptr(Channel) buffer = sink_new();
    g_autofree uint8_t *data = NULL;
    const uint8_t *brace;
    size_t n, at;
    Job job;

    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    job_start(&job, buffer);
    job_run_until(&job, has_ended, 0);
    data = sink_data(&n);
    brace = memrchr(data, 0, n);
    brace = memchr(brace, '{', data + n - brace);
    at = brace - data - 6;
    g_assert_cmpuint(data[at], ==, 0);
    g_assert_cmpuint(data[at + 1], ==, 6);
    job_tear_down(&job);
    return at;
}

static void fail_at(uint64_t at, bool mine_again)
{
    g_autoptr(Channel) null = channel_null_new();
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) channel = NULL;
    MigrationInfo *info;
    Job job;

    faults.fail_write_at = at;
    channel = channel_fault_new(null, &faults);
    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    job_start(&job, channel);
    job_run_until(&job, has_ended, 0);
    g_test_message("at=%" G_GUINT64_FORMAT " %s: %s", at, job.events->str,
                   job.m->error ? job.m->error->message : "");
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_FAILED);
    info = migration_query(job.m);
    g_assert_nonnull(info->error_desc);
    g_assert_null(info->ram);
    g_assert_cmpint(strstr(info->error_desc, "may run") != NULL, ==,
                    !mine_again);
    qapi_free_MigrationInfo(info);
    if (mine_again) {
        job_assert_goes_on(&job);
    } else {
        g_assert_cmpint(runstate_get(job.guest->vm), ==,
                        RUN_STATE_POSTMIGRATE);
    }
    job_tear_down(&job);
}

/* Every kind of byte there is: exactly one of the two sides may run. */
static void test_failure_at_any_byte_leaves_one_owner(void)
{
    size_t whole = whole_length(), end = end_byte();

    for (uint64_t at = 0; at < 80; at += 3) {
        fail_at(at, true);
    }
    for (uint64_t at = 80; at < end; at += 300007) {
        fail_at(at, true);
    }
    for (uint64_t at = end - 300; at < end; at += 37) {
        fail_at(at, true);
    }
    fail_at(end - 1, true);
    fail_at(end, false);
    fail_at(end + 1, false);
    fail_at(whole - 1, false);
}

static void test_paused_source_is_paused_again(void)
{
    g_autoptr(Channel) null = channel_null_new();
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) channel = NULL;
    Job job;

    faults.fail_write_at = end_byte() - 1;
    channel = channel_fault_new(null, &faults);
    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    vm_stop(job.guest->vm, RUN_STATE_PAUSED);
    job_start(&job, channel);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_FAILED);
    g_assert_cmpint(runstate_get(job.guest->vm), ==, RUN_STATE_PAUSED);
    job_tear_down(&job);
}

static void check_return_path(int shut, uint64_t fail_write_at,
                              MigrationStatus end, RunState state)
{
    g_autoptr(Channel) null = channel_null_new();
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) channel = NULL;
    Job job;

    faults.fail_write_at = fail_write_at;
    channel = channel_fault_new(null, &faults);
    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    job_set_cap(&job, MIGRATION_CAPABILITY_RETURN_PATH);
    fake_shut = shut;
    job_start(&job, channel);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, end);
    g_assert_cmpint(runstate_get(job.guest->vm), ==, state);
    g_assert_cmpint(job.m->error != NULL, ==, end == MIGRATION_STATUS_FAILED);
    job_tear_down(&job);
}

static void test_return_path_has_the_last_word(void)
{
    /* Two commands more stand in front of everything: 5 and 9 bytes. */
    uint64_t end = end_byte() + 14;

    check_return_path(SHUT_OK, UINT64_MAX, MIGRATION_STATUS_COMPLETED,
                      RUN_STATE_POSTMIGRATE);
    check_return_path(SHUT_REFUSED, UINT64_MAX, MIGRATION_STATUS_FAILED,
                      RUN_STATE_RUNNING);
    check_return_path(SHUT_LOST, UINT64_MAX, MIGRATION_STATUS_FAILED,
                      RUN_STATE_POSTMIGRATE);
    /* It closed before it had read the description, and runs. */
    check_return_path(SHUT_OK, end + 10, MIGRATION_STATUS_COMPLETED,
                      RUN_STATE_POSTMIGRATE);
    check_return_path(SHUT_REFUSED, end + 10, MIGRATION_STATUS_FAILED,
                      RUN_STATE_RUNNING);
    check_return_path(SHUT_LOST, end + 10, MIGRATION_STATUS_FAILED,
                      RUN_STATE_POSTMIGRATE);
    /* The end byte was not sent: whatever it says, it cannot run. */
    check_return_path(SHUT_LOST, end - 1, MIGRATION_STATUS_FAILED,
                      RUN_STATE_RUNNING);
}

/*
 * The guest falls asleep with the last instruction before it is stopped: the
 * main loop, which we do not run, has not seen it yet. The destination must
 * be told, for nothing would ever wake what sleeps and is thought to run.
 */
static void test_sleep_at_the_stop_travels(void)
{
    g_autoptr(Channel) buffer = sink_new();
    g_autofree uint8_t *data = NULL;
    const uint8_t *state;
    size_t n;
    Job job;

    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    vm_suspend_request(job.guest->vm);
    job_start(&job, buffer);
    while (!has_ended(&job, 0)) {
        big_unlock();
        g_usleep(1000);
        big_lock();
    }
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    g_assert_true(vm_was_suspended(job.guest->vm));
    data = sink_data(&n);
    state = memmem(data, n, "globalstate", 11);
    g_assert_nonnull(state);
    state += 11 + 4 + 4 + 4; /* instance, version, size */
    g_assert_cmpstr((const char *)state, ==, "running");
    g_assert_cmpuint(state[32], ==, 1); /* whether it is known */
    g_assert_cmpuint(state[33], ==, 1);
    job_tear_down(&job);
}

/* A guest that has just broken down, or shut down, is not handed over. */
static void test_stopped_guest_stays(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up_repeatable(&job);
    fake_guest_start(job.guest);
    vm_stop_request(job.guest->vm, RUN_STATE_INTERNAL_ERROR);
    job_start(&job, null);
    while (!has_ended(&job, 0)) {
        big_unlock();
        g_usleep(1000);
        big_lock();
    }
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_FAILED);
    g_assert_nonnull(strstr(job.m->error->message, "stopped by itself"));
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpint(runstate_get(job.guest->vm), ==,
                    RUN_STATE_INTERNAL_ERROR);
    job_tear_down(&job);
}

static void check_log_failure(int sync, int clear, const char *word)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job.guest->fail_sync_in = sync;
    job.guest->fail_clear_in = clear;
    fake_guest_start(job.guest);
    job_start(&job, null);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_FAILED);
    g_assert_nonnull(strstr(job.m->error->message, word));
    job_assert_goes_on(&job);
    job_tear_down(&job);
}

static void test_log_failure_leaves_source(void)
{
    /* Two blocks, so that every second one is a new round. */
    check_log_failure(1, 0, "cannot be read");
    check_log_failure(3, 0, "cannot be read");
    check_log_failure(5, 0, "cannot be read");
    check_log_failure(0, 1, "cannot be cleared");
    check_log_failure(0, 2, "cannot be cleared");
}

/* Changing all slots back costs time, which is not the guest's: when the log
 * ends after a failure at the last sync, it runs again. */
static void note_state(void *opaque)
{
    Job *job = opaque;

    g_string_append(job->events, RunState_str(runstate_get(job->guest->vm)));
    g_string_append(job->events, " ");
}

static void test_guest_resumes_before_the_log_ends(void)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job.guest->fail_sync_in = 5;
    job.guest->on_log_stop = note_state;
    job.guest->opaque = &job;
    fake_guest_start(job.guest);
    g_string_truncate(job.events, 0);
    job_start(&job, null);
    job_run_until(&job, has_ended, 0);
    g_assert_nonnull(strstr(job.events->str, "STOP")); /* it was stopped */
    g_assert_nonnull(strstr(job.events->str, "running running "));
    job_tear_down(&job);
}

/* A vCPU stores until the moment in which it has left guest mode; into a page
 * that has been sent, as all have with no downtime allowed. */
static void store_at_stop(Vm *vm, VmEvent event, void *opaque)
{
    Job *job = opaque;

    if (event == VM_EVENT_STOP) {
        fake_guest_store(job->guest, g_ptr_array_index(vm->ram.blocks, 1), 3,
                         UINT64_C(0x1a57));
    }
}

static void test_last_store_before_the_stop_travels(void)
{
    g_autoptr(Channel) sink = sink_new();
    Job job;

    job_set_up(&job);
    job_set_param(&job, MIG_PARAM_DOWNTIME_LIMIT, 0);
    vm_observe(job.guest->vm, store_at_stop, &job);
    fake_guest_start(job.guest);
    job_start(&job, sink);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, MIGRATION_STATUS_COMPLETED);
    job_assert_loads(&job);
    job_tear_down(&job);
}

/* The log's end waits for vCPUs, and the monitor has the big lock meanwhile:
 * a cancel that comes then finds a migration without a channel. */
static void cancel_now(void *opaque)
{
    migration_cancel(((Job *)opaque)->m);
}

static void check_cancel_at_the_end(int fail_sync_in, MigrationStatus end)
{
    g_autoptr(Channel) null = channel_null_new();
    Job job;

    job_set_up(&job);
    job.guest->fail_sync_in = fail_sync_in;
    job.guest->on_log_stop = cancel_now;
    job.guest->opaque = &job;
    fake_guest_start(job.guest);
    job_start(&job, null);
    job_run_until(&job, has_ended, 0);
    g_assert_cmpint(job_status(&job), ==, end);
    g_assert_cmpint(job.m->error != NULL, ==, end == MIGRATION_STATUS_FAILED);
    if (end == MIGRATION_STATUS_COMPLETED) {
        g_assert_cmpint(runstate_get(job.guest->vm), ==,
                        RUN_STATE_POSTMIGRATE);
    } else {
        job_assert_goes_on(&job);
    }
    job_tear_down(&job);
}

static void test_cancel_as_a_failure_ends(void)
{
    check_cancel_at_the_end(5, MIGRATION_STATUS_CANCELLED);
}

static void test_cancel_as_a_success_ends(void)
{
    check_cancel_at_the_end(0, MIGRATION_STATUS_COMPLETED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/handover/failure/one-owner",
                    test_failure_at_any_byte_leaves_one_owner);
    g_test_add_func("/handover/failure/paused-again",
                    test_paused_source_is_paused_again);
    g_test_add_func("/handover/failure/return-path",
                    test_return_path_has_the_last_word);
    g_test_add_func("/handover/sleep-at-the-stop-travels",
                    test_sleep_at_the_stop_travels);
    g_test_add_func("/handover/stopped-guest-stays",
                    test_stopped_guest_stays);
    g_test_add_func("/handover/failure/log", test_log_failure_leaves_source);
    g_test_add_func("/handover/failure/guest-resumes-before-the-log-ends",
                    test_guest_resumes_before_the_log_ends);
    g_test_add_func("/handover/cancel/as-a-failure-ends",
                    test_cancel_as_a_failure_ends);
    g_test_add_func("/handover/cancel/as-a-success-ends",
                    test_cancel_as_a_success_ends);
    g_test_add_func("/handover/last-store-before-the-stop-travels",
                    test_last_store_before_the_stop_travels);
    return g_test_run();
}
