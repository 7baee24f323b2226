/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of the real kernel, in its three modes: a copy of memory made
 * while two vCPUs write all the time, by nothing but sync, clear, take and
 * read. When they have stopped and the last round is done, the copy is the
 * memory, byte for byte.
 */
#include "kvm-copy.h"
#include "kvm-guest.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

#define SCATTER_PAGES UINT64_C(8192)
#define ROUNDS 6

/* ---- a copy of running memory ------------------------------------------ */

static void start_writers(KvmGuest *g, unsigned cpl)
{
    for (unsigned i = 0; i < g->vm->vcpus->len; i++) {
        Code c = { .n = 0 };

        code_scatter(&c, GUEST_DATA, SCATTER_PAGES, 12345 + 678 * i);
        kvm_guest_load(g, i, c.bytes, c.n);
        kvm_guest_enter(g, i, cpl);
    }
    cpus_resume_all(g->vm);
    kvm_guest_wait_passes(g, 20);
}

static void copy_while_running(KvmGuest *g)
{
    KvmCopy *c = kvm_copy_new(g->vm);

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t n = kvm_copy_round(c);

        g_assert_cmpuint(n, >, 0); /* the guest does write */
        kvm_guest_wait_passes(g, 2);
    }
    cpus_pause_all(g->vm);
    kvm_copy_check(c);
    kvm_copy_free(c);
}

static void test_copy(gconstpointer data)
{
    const KvmGuestWay *way = data;
    DirtyClearStats stats;
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(way->options, 2);
    g_assert_cmpint(g->accel->manual_dirty_log_protect, ==, way->manual);
    g_assert_cmpint(g->accel->initially_all_set, ==, way->initially_set);
    start_writers(g, way->cpl);
    copy_while_running(g);
    /* The log is off now; once more, with a new one. */
    cpus_resume_all(g->vm);
    kvm_guest_wait_passes(g, 2);
    copy_while_running(g);
    dirty_clear_stats(g->vm->map, &stats);
    g_assert_cmpint(stats.calls > 0, ==, way->manual);
    kvm_guest_free(g);
}

/* What a client hears of that comes on while another is at work. */
static void test_second_client_hears_of_writes(gconstpointer data)
{
    const KvmGuestWay *way = data;
    g_autoptr(GError) error = NULL;
    DirtySnapshot *shot;
    KvmGuest *g;
    KvmCopy *c;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(way->options, 1);
    start_writers(g, way->cpl);
    c = kvm_copy_new(g->vm);
    kvm_copy_round(c);
    dirty_log_start(g->vm->map, DIRTY_CLIENT_DISPLAY, false, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < 3; i++) {
        kvm_guest_wait_passes(g, 2);
        shot = memory_region_snapshot_and_clear_dirty(
            g->vm->map, g->ram, DIRTY_CLIENT_DISPLAY,
            GUEST_DATA / TM_PAGE_BYTES + 3, SCATTER_PAGES / 2, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(shot->dirty_pages, >, 0);
        dirty_snapshot_free(shot);
        kvm_copy_round(c);
    }
    cpus_pause_all(g->vm);
    kvm_copy_check(c);
    kvm_copy_free(c);
    kvm_guest_free(g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    kvm_guest_add_cases("/kvm-log/copy", test_copy);
    kvm_guest_add_cases("/kvm-log/two-clients",
                        test_second_client_hears_of_writes);
    return g_test_run();
}
