/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Outgoing jobs for tests; see fake-job.h.
 */
#include "tests/unit/fake-job.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/incoming.h"
#include "migration/return-path.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "util/error.h"

/* ---- fakes ------------------------------------------------------------- */

MigrationIncoming *incoming_new(Migration *m)
{
    return NULL;
}

void incoming_free(MigrationIncoming *in)
{
}

void incoming_query(MigrationIncoming *in, MigrationInfo *info)
{
}

bool incoming_is_loading(const MigrationIncoming *in)
{
    return false;
}

/* What the destination says at the end. */
FakeShut fake_shut;
bool fake_acked;

ReturnPath *return_path_start(Channel *channel, GError **error)
{
    return (ReturnPath *)channel;
}

bool return_path_wait_shut(ReturnPath *rp, GError **error)
{
    if (fake_shut != SHUT_OK) {
        tm_error_set(error, fake_shut == SHUT_LOST ? "closed without a word"
                                                   : "destination failed");
    }
    return fake_shut == SHUT_OK;
}

bool return_path_refused(const ReturnPath *rp)
{
    return fake_shut == SHUT_REFUSED;
}

bool return_path_acked(const ReturnPath *rp)
{
    return __atomic_load_n(&fake_acked, __ATOMIC_RELAXED);
}

bool return_path_failed(const ReturnPath *rp, GError **error)
{
    if (fake_shut == SHUT_LOST) {
        tm_error_set(error, "closed without a word");
    }
    return fake_shut == SHUT_LOST;
}

void return_path_free(ReturnPath *rp)
{
}

/* ---- where the stream goes ------------------------------------------------ */

/* A file in memory, which outlives its channel. */
static int sink_fd = -1;

Channel *sink_new(void)
{
    g_autoptr(GError) error = NULL;
    Channel *channel;

    if (sink_fd >= 0) {
        close(sink_fd);
    }
    sink_fd = memfd_create("sink", MFD_CLOEXEC);
    g_assert_cmpint(sink_fd, >=, 0);
    channel = channel_fd_new(dup(sink_fd), &error);
    g_assert_no_error(error);
    return channel;
}

uint8_t *sink_data(size_t *ret_n)
{
    size_t n = lseek(sink_fd, 0, SEEK_END);
    uint8_t *data = g_malloc(n);

    g_assert_cmpint(pread(sink_fd, data, n, 0), ==, n);
    *ret_n = n;
    return data;
}

/* ---- one job ------------------------------------------------------------ */

static void note(Job *job, const char *word)
{
    g_string_append_printf(job->events, "%s%s", job->events->len ? " " : "",
                           word);
    g_main_context_wakeup(NULL);
}

static void on_status(void *opaque, MigrationStatus status)
{
    Job *job = opaque;

    note(job, MigrationStatus_str(status));
}

/* Big lock, which goes while we wait. */
static void on_pass(void *opaque, uint64_t pass)
{
    Job *job = opaque;
    g_autofree char *word = g_strdup_printf("%" G_GUINT64_FORMAT, pass);

    note(job, word);
    while (job->hold_at && pass >= job->hold_at) {
        big_lock_wait(&job->go_on);
    }
}

static void on_vm_event(Vm *vm, VmEvent event, void *opaque)
{
    if (event == VM_EVENT_STOP) {
        note(opaque, "STOP");
    } else if (event == VM_EVENT_RESUME) {
        note(opaque, "RESUME");
    }
}

static const MigrationObserver observer = {
    .status = on_status,
    .pass = on_pass,
};

void job_set_up_blocks(Job *job, unsigned n, const uint64_t *npages)
{
    memset(job, 0, sizeof(*job));
    g_cond_init(&job->go_on);
    job->events = g_string_new(NULL);
    job->guest = fake_guest_new(n, npages);
    fake_guest_fill(job->guest, 4);
    job->m = migration_new(job->guest->vm, &observer, job);
    vm_observe(job->guest->vm, on_vm_event, job);
    fake_shut = SHUT_OK;
    fake_acked = true;
}

void job_set_up(Job *job)
{
    static const uint64_t npages[] = {1000, 70};

    job_set_up_blocks(job, 2, npages);
}

void job_tear_down(Job *job)
{
    g_assert_false(dirty_client_is_on(&job->guest->vm->ram,
                                      DIRTY_CLIENT_MIGRATION));
    migration_free(job->m);
    fake_guest_free(job->guest);
    g_string_free(job->events, true);
    g_cond_clear(&job->go_on);
}

void job_set_param(Job *job, MigParam param, uint64_t value)
{
    __atomic_store_n(&job->m->options.params[param], value, __ATOMIC_RELAXED);
}

void job_set_cap(Job *job, MigrationCapability cap)
{
    job->m->options.caps |= UINT64_C(1) << cap;
}

void job_start(Job *job, Channel *channel)
{
    g_autoptr(GError) error = NULL;

    g_string_truncate(job->events, 0);
    migration_start_channel(job->m, channel, &error);
    g_assert_no_error(error);
}

MigrationStatus job_status(Job *job)
{
    return migration_state_get(&job->m->state);
}

static gboolean time_is_up(gpointer opaque)
{
    const GString *events = ((Job *)opaque)->events;

    g_error("nothing happened for 30 seconds: %s",
            events->str + events->len - MIN(events->len, 200));
    return FALSE;
}

/* Let the main loop run (and so the big lock go) until @done. */
void job_run_until(Job *job, bool (*done)(Job *job, uint64_t n), uint64_t n)
{
    guint source = g_timeout_add_seconds(30, time_is_up, job);

    while (!done(job, n)) {
        big_unlock();
        g_usleep(200);
        big_lock();
        g_main_context_iteration(NULL, FALSE);
    }
    g_source_remove(source);
}

void job_run_to_sync(Job *job, uint64_t n)
{
    job->hold_at = n;
    g_cond_signal(&job->go_on);
    job_run_until(job, has_synced, n);
}

void job_go_on(Job *job)
{
    job->hold_at = 0;
    g_cond_signal(&job->go_on);
}

bool has_ended(Job *job, uint64_t n)
{
    return !migration_is_running(job->m);
}

bool is_in(Job *job, uint64_t n)
{
    return job_status(job) == n;
}

bool has_synced(Job *job, uint64_t n)
{
    return migration_stat_get(&job->m->stats.sync_count) >= n;
}

bool has_sent(Job *job, uint64_t n)
{
    return migration_stat_get(&job->m->stats.transferred_bytes) >= n;
}

static bool has_stored(Job *job, uint64_t n)
{
    return fake_guest_stores(job->guest) >= n;
}

void job_assert_events(Job *job, const char *want)
{
    g_assert_cmpstr(job->events->str, ==, want);
}

void job_assert_loads(Job *job)
{
    Vm *dst = fake_machine_new(job->guest->vm);
    g_autoptr(GError) error = NULL;
    size_t n;
    g_autofree uint8_t *data = sink_data(&n);

    fake_load(dst, data, n, &error);
    g_assert_no_error(error);
    fake_assert_same(job->guest->vm, dst);
    fake_machine_free(dst);
}

/* The guest is ours again: it runs, and a new migration takes all of it. */
void job_assert_goes_on(Job *job)
{
    g_autoptr(Channel) buffer = sink_new();
    uint64_t stores = fake_guest_stores(job->guest);

    g_assert_cmpint(runstate_get(job->guest->vm), ==, RUN_STATE_RUNNING);
    if (job->guest->thread) {
        job_run_until(job, has_stored, stores + 10);
    }
    job_set_param(job, MIG_PARAM_MAX_BANDWIDTH, 0);
    job_set_param(job, MIG_PARAM_DOWNTIME_LIMIT, 10000);
    job->m->options.caps = 0;
    job_start(job, buffer);
    job_run_until(job, has_ended, 0);
    g_assert_cmpint(job_status(job), ==, MIGRATION_STATUS_COMPLETED);
    job_assert_loads(job);
}

/* However little the host lets it run: one page a round. Big lock. */
static void touch_a_page(void *opaque)
{
    FakeGuest *guest = opaque;

    if (guest->running) {
        fake_guest_store(guest, g_ptr_array_index(guest->vm->ram.blocks, 0),
                         guest->first, 1);
    }
}

void job_start_writer(Job *job, unsigned pause_us)
{
    job->guest->on_sync = touch_a_page;
    job->guest->opaque = job->guest;
    job->guest->first = 100;
    job->guest->npages = 800;
    job->guest->pause_us = pause_us;
    fake_guest_start(job->guest);
}

/* With a clock that only sleeping moves, every run sends the same bytes. */
void job_set_up_repeatable(Job *job)
{
    job_set_up(job);
    clock_free(job->m->clock);
    job->m->clock = clock_new_test(NS_PER_SEC);
}
