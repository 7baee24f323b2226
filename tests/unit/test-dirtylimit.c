/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of the dirty rate with real vCPU threads and the host's clock: whose
 * limits they are, what is refused, the client of the log, the pace that the
 * accelerator is told, and that vCPUs are really held back and let go. What is
 * arithmetic is tested by test-dirty-limiter.c.
 *
 * The fake vCPUs count steps. A reader takes each step for a page and does the
 * accelerator's part: it brings the counters up to date at the pace it is
 * told.
 */
#include <glib.h>
#include <string.h>

#include "migration/dirtylimit.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "tests/unit/fake-guest.h"
#include "tests/unit/fake-threads.h"
#include "tests/unit/fake-vm.h"
#include "util/error.h"

#define CPUS 2
#define MIB_PAGES 256
#define PAGES 1000

typedef struct Rig {
    FakeGuest *guest;
    Vm *vm;
    Accel accel;
    DirtyLimit *l;
    GThread *reader;
    bool end;              /* atomic */
    uint64_t read[CPUS];   /* steps that the reader has seen */
    unsigned steps_per_page[CPUS];
} Rig;

/* What the accelerator was told. */
static struct {
    unsigned now_us;       /* atomic; 0: nobody wants any */
    unsigned calls;
} pace;

static void note_pace(Accel *accel, unsigned max_us)
{
    __atomic_store_n(&pace.now_us, max_us, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&pace.calls, 1, __ATOMIC_SEQ_CST);
}

static unsigned pace_us(void)
{
    return __atomic_load_n(&pace.now_us, __ATOMIC_SEQ_CST);
}

static Vcpu *vcpu_at(const Rig *rig, unsigned i)
{
    return g_ptr_array_index(rig->vm->vcpus, i);
}

static gint64 sleep_until_us(const Rig *rig, unsigned i)
{
    return __atomic_load_n(&vcpu_at(rig, i)->sleep_until_us,
                           __ATOMIC_SEQ_CST);
}

static void write_pages(const Rig *rig, unsigned i, uint64_t npages)
{
    __atomic_fetch_add(&vcpu_at(rig, i)->dirty_pages[DIRTY_CLIENT_LIMIT],
                       npages, __ATOMIC_RELAXED);
}

static gpointer reader_thread(gpointer opaque)
{
    Rig *rig = opaque;

    while (!__atomic_load_n(&rig->end, __ATOMIC_SEQ_CST)) {
        for (unsigned i = 0; i < CPUS; i++) {
            uint64_t pages = fake_steps(rig->vm, i) / rig->steps_per_page[i];

            write_pages(rig, i, pages - rig->read[i]);
            rig->read[i] = pages;
        }
        g_usleep(MAX(pace_us(), 200));
    }
    return NULL;
}

static void set_up(Rig *rig, unsigned n)
{
    static const uint64_t npages = PAGES;
    g_autoptr(GError) error = NULL;

    memset(rig, 0, sizeof(*rig));
    memset(&pace, 0, sizeof(pace));
    rig->guest = fake_guest_new(1, &npages);
    rig->vm = rig->guest->vm;
    rig->accel = (Accel) { .ops = &fake_accel_ops, .name = "fake",
                           .tells_writer = true,
                           .dirty_ring_entries = 4096,
                           .set_dirty_pace = note_pace };
    rig->vm->accel = &rig->accel;
    cpus_create(rig->vm, n, &error);
    g_assert_no_error(error);
    vm_start(rig->vm);
    rig->l = dirty_limit_new(rig->vm, clock_new_host());
}

static void start_reader(Rig *rig)
{
    for (unsigned i = 0; i < CPUS; i++) {
        if (!rig->steps_per_page[i]) {
            rig->steps_per_page[i] = 1;
        }
    }
    rig->reader = g_thread_new("reader", reader_thread, rig);
}

static void tear_down(Rig *rig)
{
    g_autoptr(GPtrArray) cpus = g_ptr_array_new_with_free_func(g_free);

    __atomic_store_n(&rig->end, true, __ATOMIC_SEQ_CST);
    if (rig->reader) {
        g_thread_join(rig->reader);
    }
    dirty_limit_free(rig->l);
    g_assert_cmpuint(pace_us(), ==, 0);
    g_assert_false(dirty_client_is_on(&rig->vm->ram, DIRTY_CLIENT_LIMIT));
    for (guint i = 0; i < rig->vm->vcpus->len; i++) {
        g_ptr_array_add(cpus, vcpu_at(rig, i)->accel);
    }
    cpus_destroy(rig->vm);
    rig->vm->accel = NULL;
    fake_guest_free(rig->guest);
}

static void let_go(gint64 us)
{
    big_unlock();
    g_usleep(us);
    big_lock();
}

/* Big lock dropped meanwhile. */
#define WAIT_FOR(condition) \
    do { \
        gint64 deadline_us_ = g_get_monotonic_time() + \
                              120 * G_USEC_PER_SEC; \
        while (!(condition)) { \
            g_assert_cmpint(g_get_monotonic_time(), <, deadline_us_); \
            let_go(500); \
        } \
    } while (0)

static void set(Rig *rig, int64_t index, uint64_t mib_per_s)
{
    g_autoptr(GError) error = NULL;

    dirty_limit_set(rig->l, index < 0 ? NULL : &index, mib_per_s, &error);
    g_assert_no_error(error);
}

static void cancel(Rig *rig, int64_t index)
{
    g_autoptr(GError) error = NULL;

    dirty_limit_cancel(rig->l, index < 0 ? NULL : &index, &error);
    g_assert_no_error(error);
}

/* "0:50 1:20" */
static void expect_limits(Rig *rig, const char *want)
{
    g_autoptr(DirtyLimitInfoList) list = dirty_limit_query(rig->l);
    g_autoptr(GString) got = g_string_new(NULL);

    for (DirtyLimitInfoList *i = list; i; i = i->next) {
        g_string_append_printf(got, "%s%" G_GINT64_FORMAT ":%"
                               G_GUINT64_FORMAT, got->len ? " " : "",
                               i->value->cpu_index, i->value->limit_rate);
    }
    g_assert_cmpstr(got->str, ==, want);
    g_assert_cmpint(dirty_client_is_on(&rig->vm->ram, DIRTY_CLIENT_LIMIT), ==,
                    got->len > 0);
}

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    g_test_message("%s", (*error)->message);
    g_assert_nonnull(strstr((*error)->message, words));
    g_clear_error(error);
}

static void refuse_set(Rig *rig, int64_t index, const char *words)
{
    GError *error = NULL;

    g_assert_false(dirty_limit_set(rig->l, &index, 1, &error));
    expect_words(&error, words);
}

static void refuse_cancel(Rig *rig, int64_t index, const char *words)
{
    GError *error = NULL;

    g_assert_false(dirty_limit_cancel(rig->l, &index, &error));
    expect_words(&error, words);
}

/* ---- whose, and which ---------------------------------------------------- */

static void test_limits_are_listed(void)
{
    Rig rig;

    set_up(&rig, 2);
    expect_limits(&rig, "");
    cancel(&rig, -1);
    cancel(&rig, 1);
    set(&rig, 1, 20);
    expect_limits(&rig, "1:20");
    set(&rig, -1, 50);
    expect_limits(&rig, "0:50 1:50");
    set(&rig, 0, UINT64_MAX);
    expect_limits(&rig, "0:18446744073709551615 1:50");
    cancel(&rig, 1);
    expect_limits(&rig, "0:18446744073709551615");
    cancel(&rig, 1);
    set(&rig, 1, 0); /* is a cancel */
    expect_limits(&rig, "0:18446744073709551615");
    set(&rig, -1, 0);
    expect_limits(&rig, "");
    set(&rig, 0, 0); /* with nobody limited */
    expect_limits(&rig, "");
    set(&rig, -1, 7);
    expect_limits(&rig, "0:7 1:7");
    tear_down(&rig); /* with limits in force */
}

static void test_refusals_name_the_reason(void)
{
    Rig rig;

    set_up(&rig, 2);
    refuse_set(&rig, 2, "there is no vCPU 2, their number is 2");
    refuse_set(&rig, -1, "there is no vCPU -1");
    refuse_set(&rig, INT64_MIN, "there is no vCPU -9223372036854775808");
    refuse_set(&rig, INT64_C(1) << 32, "there is no vCPU 4294967296");
    refuse_cancel(&rig, 2, "there is no vCPU 2");
    rig.accel.tells_writer = false;
    refuse_set(&rig, 0, "a limit of the dirty rate needs -accel "
               "kvm,dirty-ring-size=N");
    cancel(&rig, 0); /* there is none */
    rig.accel.tells_writer = true;
    set(&rig, 0, 20);
    refuse_set(&rig, 2, "there is no vCPU 2");
    refuse_cancel(&rig, 2, "there is no vCPU 2");
    expect_limits(&rig, "0:20");
    tear_down(&rig);
}

static bool refuse_log(MemoryListener *l, const MemorySection *s,
                       GError **error)
{
    tm_error_set(error, "this accelerator has no log");
    return false;
}

static void test_log_that_cannot_start_is_told(void)
{
    const MemoryListenerOps *good;
    MemoryListenerOps ops;
    GError *error = NULL;
    Rig rig;

    set_up(&rig, 1);
    good = rig.guest->listener.ops;
    ops = *good;
    ops.log_start = refuse_log;
    rig.guest->listener.ops = &ops;
    refuse_set(&rig, 0, "this accelerator has no log");
    expect_limits(&rig, "");
    g_assert_true(dirty_limit_claim(rig.l, &error));
    g_assert_false(dirty_limit_hold_back(rig.l, 1, 1000, &error));
    expect_words(&error, "this accelerator has no log");
    expect_limits(&rig, "");
    rig.guest->listener.ops = good;
    g_assert_true(dirty_limit_hold_back(rig.l, 1, 1000, &error));
    expect_limits(&rig, "0:1");
    tear_down(&rig);
}

static void test_migration_and_user_exclude_each_other(void)
{
    DirtyLimitStats stats;
    GError *error = NULL;
    Rig rig;

    set_up(&rig, 2);
    set(&rig, 1, 20);
    g_assert_false(dirty_limit_claim(rig.l, &error));
    expect_words(&error, "vCPUs are limited already; cancel-vcpu-dirty-limit");
    dirty_limit_release(rig.l); /* not claimed: not its business */
    expect_limits(&rig, "1:20");
    cancel(&rig, -1);
    rig.accel.tells_writer = false;
    g_assert_false(dirty_limit_claim(rig.l, &error));
    expect_words(&error, "capability 'dirty-limit' needs -accel kvm,dirty-");
    rig.accel.tells_writer = true;

    g_assert_true(dirty_limit_claim(rig.l, &error));
    refuse_set(&rig, 0, "a migration with capability 'dirty-limit' runs");
    cancel(&rig, 0); /* nobody is limited yet */
    g_assert_false(dirty_limit_stats(rig.l, &stats));
    g_assert_false(dirty_limit_is_in_force(rig.l));
    g_assert_true(dirty_limit_hold_back(rig.l, 50, 100, &error));
    expect_limits(&rig, "0:50 1:50");
    refuse_set(&rig, 0, "a migration with capability 'dirty-limit' runs");
    refuse_cancel(&rig, 0, "a migration with capability 'dirty-limit' runs");
    g_assert_true(dirty_limit_stats(rig.l, &stats));
    g_assert_true(dirty_limit_is_in_force(rig.l));
    g_assert_true(dirty_limit_hold_back(rig.l, 30, 1000, &error));
    expect_limits(&rig, "0:30 1:30");
    dirty_limit_lift(rig.l);
    dirty_limit_lift(rig.l);
    g_assert_false(dirty_limit_stats(rig.l, &stats));
    g_assert_false(dirty_limit_is_in_force(rig.l));
    refuse_set(&rig, 0, "a migration with capability 'dirty-limit' runs");
    dirty_limit_release(rig.l);
    expect_limits(&rig, "");
    set(&rig, 0, 20);
    expect_limits(&rig, "0:20");
    tear_down(&rig);
}

/* ---- held back, and let go ----------------------------------------------- */

#define FAR_US (G_USEC_PER_SEC / 2)

/* Has run up as much debt as there can be. */
static void sleep_deeply(Rig *rig, unsigned i)
{
    write_pages(rig, i, 100000);
    WAIT_FOR(sleep_until_us(rig, i) > g_get_monotonic_time() + FAR_US);
    WAIT_FOR(!__atomic_load_n(&fake_cpu(rig->vm, i)->in_guest,
                              __ATOMIC_SEQ_CST));
}

/* Whatever ends a sleep does so before the sleep's own end. A busy machine can
 * be too slow for that, but not time after time. */
static void test_end_of_a_limit_ends_the_sleep(void)
{
    enum { CANCEL_ONE, CANCEL_ALL, RAISE, LIFT, WAYS };
    GError *error = NULL;
    Rig rig;

    set_up(&rig, 2);
    for (unsigned way = 0; way < WAYS; way++) {
        bool before = false;

        for (unsigned i = 0; i < 30 && !before; i++) {
            gint64 until_us;
            uint64_t steps;

            if (way == LIFT) {
                g_assert_true(dirty_limit_claim(rig.l, &error));
                g_assert_true(dirty_limit_hold_back(rig.l, 1, 1000, &error));
            } else {
                set(&rig, -1, 1);
            }
            sleep_deeply(&rig, 1);
            until_us = sleep_until_us(&rig, 1);
            steps = fake_steps(rig.vm, 1);
            if (way == LIFT) {
                dirty_limit_lift(rig.l);
                dirty_limit_release(rig.l);
            } else if (way == RAISE) {
                set(&rig, 1, 1000000);
            } else {
                cancel(&rig, way == CANCEL_ONE ? 1 : -1);
            }
            WAIT_FOR(fake_steps(rig.vm, 1) > steps);
            before = g_get_monotonic_time() < until_us;
            cancel(&rig, -1);
        }
        g_test_message("way %u", way);
        g_assert_true(before);
    }
    tear_down(&rig);
}

static void test_limits_outlive_a_stop(void)
{
    Rig rig;

    set_up(&rig, 2);
    set(&rig, 0, 1);
    sleep_deeply(&rig, 0);
    vm_stop(rig.vm, RUN_STATE_PAUSED);
    expect_limits(&rig, "0:1");
    vm_start(rig.vm);
    expect_limits(&rig, "0:1");
    fake_wait_steps(rig.vm, 1, 100);
    sleep_deeply(&rig, 0);
    tear_down(&rig);
}

static void test_end_of_the_program_does_not_wait(void)
{
    bool before = false;

    for (unsigned i = 0; i < 30 && !before; i++) {
        gint64 until_us;
        Rig rig;

        set_up(&rig, 2);
        set(&rig, -1, 1);
        sleep_deeply(&rig, 0);
        until_us = sleep_until_us(&rig, 0);
        tear_down(&rig);
        before = g_get_monotonic_time() < until_us;
    }
    g_assert_true(before);
}

static void test_pace_is_told_while_in_force_only(void)
{
    unsigned calls;
    Rig rig;

    set_up(&rig, 2);
    let_go(1000);
    g_assert_cmpuint(pace.calls, ==, 0);
    set(&rig, 0, 20);
    WAIT_FOR(pace_us() != 0);
    g_assert_cmpuint(pace_us(), <=, 10000);
    cancel(&rig, 0);
    g_assert_cmpuint(pace_us(), ==, 0);
    calls = __atomic_load_n(&pace.calls, __ATOMIC_SEQ_CST);
    let_go(30000);
    g_assert_cmpuint(__atomic_load_n(&pace.calls, __ATOMIC_SEQ_CST), ==,
                     calls);
    /* Without the hook the counters come as they come. */
    rig.accel.set_dirty_pace = NULL;
    set(&rig, 0, 20);
    sleep_deeply(&rig, 0);
    cancel(&rig, 0);
    tear_down(&rig);
}

static uint64_t current_rate(Rig *rig)
{
    g_autoptr(DirtyLimitInfoList) list = dirty_limit_query(rig->l);

    g_assert_cmpint(list->value->cpu_index, ==, 0);
    return list->value->current_rate;
}

/* Two rings of 4096 entries, at the speed of the one that writes; the other
 * writes less than 4 MiB a second. */
static void expect_ring_full_time(Rig *rig)
{
    DirtyLimitStats stats;
    uint64_t rate;

    do { /* all of it of the same period */
        rate = current_rate(rig);
        g_assert_true(dirty_limit_stats(rig->l, &stats));
    } while (rate != current_rate(rig));
    g_test_message("%" G_GUINT64_FORMAT " MiB/s: full after %" G_GUINT64_FORMAT
                   " us", rate, stats.ring_full_us);
    g_assert_cmpuint(stats.ring_full_us, <=,
                     UINT64_C(8192000000) / (rate * MIB_PAGES));
    g_assert_cmpuint(stats.ring_full_us, >=,
                     UINT64_C(8192000000) / ((rate + 5) * MIB_PAGES));
}

/* The whole of it: one vCPU runs as fast as it can, and its limit is met; the
 * other's steps count little, and it is never touched. On a busy host a second
 * is not always one; then the next is looked at. */
static void test_steady_vcpu_meets_the_limit(void)
{
    const uint64_t limit = 40; /* 10,000 steps a second, of a million */
    DirtyLimitStats stats;
    double got = 0;
    Rig rig;

    set_up(&rig, 2);
    rig.steps_per_page[1] = 10000;
    start_reader(&rig);
    set(&rig, -1, limit);
    WAIT_FOR(dirty_limit_stats(rig.l, &stats) && stats.sleep_us > 0);
    let_go(2 * G_USEC_PER_SEC);
    for (unsigned i = 0; i < 60; i++) {
        gint64 begin_us = g_get_monotonic_time();
        uint64_t steps = fake_steps(rig.vm, 0);

        let_go(G_USEC_PER_SEC);
        got = (double)(fake_steps(rig.vm, 0) - steps) * G_USEC_PER_SEC /
              (g_get_monotonic_time() - begin_us) / MIB_PAGES;
        g_test_message("%.2f MiB/s, told %" G_GUINT64_FORMAT, got,
                       current_rate(&rig));
        if (got > limit * 0.9 && got < limit * 1.1) {
            break;
        }
    }
    g_assert_cmpfloat(got, >, limit * 0.9);
    g_assert_cmpfloat(got, <, limit * 1.1);
    g_assert_cmpint(sleep_until_us(&rig, 1), ==, 0);
    expect_ring_full_time(&rig);
    cancel(&rig, -1);
    fake_wait_steps(rig.vm, 0, 100000);
    tear_down(&rig);
}

#define T(path, fn) g_test_add_func("/dirtylimit/" path, fn)

static void test_no_thread_left(void)
{
    int64_t index = 0;
    Rig rig;

    set_up(&rig, 2);
    fake_threads_lack = "dirty-limit";
    refuse_set(&rig, index, "cannot make thread 'dirty-limit'");
    fake_threads_lack = NULL;
    expect_limits(&rig, "");
    g_assert_true(dirty_limit_set(rig.l, &index, 1, NULL));
    expect_limits(&rig, "0:1");
    tear_down(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    T("limits/listed", test_limits_are_listed);
    T("limits/refusals", test_refusals_name_the_reason);
    T("limits/no-log", test_log_that_cannot_start_is_told);
    T("limits/one-owner", test_migration_and_user_exclude_each_other);
    T("sleep/end-of-limit", test_end_of_a_limit_ends_the_sleep);
    T("sleep/outlives-stop", test_limits_outlive_a_stop);
    T("sleep/end-of-program", test_end_of_the_program_does_not_wait);
    T("pace/in-force-only", test_pace_is_told_while_in_force_only);
    T("steady/meets-the-limit", test_steady_vcpu_meets_the_limit);
    T("set/no-thread-left", test_no_thread_left);
    return g_test_run();
}
