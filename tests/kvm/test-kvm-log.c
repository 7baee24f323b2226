/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of the real kernel, in its three modes: a copy of memory made
 * while two vCPUs write all the time, by nothing but sync, clear, take and
 * read. When they have stopped and the last round is done, the copy is the
 * memory, byte for byte.
 */
#include <string.h>

#include "kvm-guest.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define PAGE TM_PAGE_BYTES
#define SCATTER_PAGES UINT64_C(8192)
#define ROUNDS 6
#define CHUNK 500 /* pages; neither a power of two nor a multiple of 64 */

/* ---- a copy of running memory ------------------------------------------ */

typedef struct Mode {
    const char *name, *options;
    bool manual, initially_set;
} Mode;

static const Mode modes[] = {
    { "legacy", "manual-dirty-log-protect=off", false, false },
    { "manual", "manual-dirty-log-protect=on,dirty-log-initially-set=off",
      true, false },
    { "initially-set", "manual-dirty-log-protect=on,"
      "dirty-log-initially-set=on", true, true },
};

typedef struct Copy {
    KvmGuest *g;
    uint8_t *bytes;
    uint64_t taken;
} Copy;

static void copy_range(Copy *c, uint64_t first, uint64_t n)
{
    RAMBlock *b = c->g->ram;
    g_autoptr(GError) error = NULL;

    memory_region_clear_dirty_bitmap(c->g->vm->map, b, first, n, &error);
    g_assert_no_error(error);
    for (uint64_t page = first; page < first + n; page++) {
        if (dirty_bitmap_take(b, MIG, page)) {
            memcpy(c->bytes + page * PAGE, b->host + page * PAGE, PAGE);
            c->taken++;
        }
    }
}

/* Returns: pages copied. */
static uint64_t copy_round(Copy *c)
{
    g_autoptr(GError) error = NULL;
    uint64_t taken = c->taken;

    dirty_sync_round(c->g->vm->map, &error);
    g_assert_no_error(error);
    big_unlock(); /* so that the guest's port gets served meanwhile */
    for (uint64_t p = 0; p < c->g->ram->npages; p += CHUNK) {
        copy_range(c, p, MIN(CHUNK, c->g->ram->npages - p));
    }
    big_lock();
    return c->taken - taken;
}

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

static void check_copy(Copy *c)
{
    for (uint64_t page = 0; page < c->g->ram->npages; page++) {
        if (memcmp(c->bytes + page * PAGE, c->g->ram->host + page * PAGE,
                   PAGE)) {
            g_test_message("page %u differs", (unsigned)page);
            g_test_fail();
            return;
        }
    }
}

static void copy_while_running(Copy *c)
{
    KvmGuest *g = c->g;
    g_autoptr(GError) error = NULL;

    c->bytes = g_malloc0(g->ram->length);
    c->taken = 0;
    dirty_log_start(g->vm->map, MIG, true, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t n = copy_round(c);

        g_assert_cmpuint(n, >, 0); /* the guest does write */
        kvm_guest_wait_passes(g, 2);
    }
    cpus_pause_all(g->vm);
    copy_round(c);
    check_copy(c);
    dirty_log_stop(g->vm->map, MIG);
    g_free(c->bytes);
}

static void run_copy(const Mode *mode, unsigned cpl)
{
    DirtyClearStats stats;
    Copy c = { NULL };

    if (kvm_guest_skip()) {
        return;
    }
    c.g = kvm_guest_new(mode->options, 2);
    g_assert_cmpint(c.g->accel->manual_dirty_log_protect, ==, mode->manual);
    g_assert_cmpint(c.g->accel->initially_all_set, ==, mode->initially_set);
    start_writers(c.g, cpl);
    copy_while_running(&c);
    /* The log is off now; once more, with a new one. */
    cpus_resume_all(c.g->vm);
    kvm_guest_wait_passes(c.g, 2);
    copy_while_running(&c);
    dirty_clear_stats(c.g->vm->map, &stats);
    g_assert_cmpint(stats.calls > 0, ==, mode->manual);
    kvm_guest_free(c.g);
}

static void test_copy_cpl0(gconstpointer mode)
{
    run_copy(mode, 0);
}

static void test_copy_cpl3(gconstpointer mode)
{
    run_copy(mode, 3);
}

/* What a client hears of that comes on while another is at work. */
static void test_second_client_hears_of_writes(gconstpointer mode)
{
    g_autoptr(GError) error = NULL;
    Copy c = { NULL };
    DirtySnapshot *shot;

    if (kvm_guest_skip()) {
        return;
    }
    c.g = kvm_guest_new(((const Mode *)mode)->options, 1);
    start_writers(c.g, 3);
    c.bytes = g_malloc0(c.g->ram->length);
    dirty_log_start(c.g->vm->map, MIG, true, &error);
    g_assert_no_error(error);
    copy_round(&c);
    dirty_log_start(c.g->vm->map, DIRTY_CLIENT_DISPLAY, false, &error);
    g_assert_no_error(error);
    for (unsigned i = 0; i < 3; i++) {
        kvm_guest_wait_passes(c.g, 2);
        shot = memory_region_snapshot_and_clear_dirty(
            c.g->vm->map, c.g->ram, DIRTY_CLIENT_DISPLAY,
            GUEST_DATA / PAGE + 3, SCATTER_PAGES / 2, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(shot->dirty_pages, >, 0);
        dirty_snapshot_free(shot);
        copy_round(&c);
    }
    cpus_pause_all(c.g->vm);
    copy_round(&c);
    check_copy(&c);
    g_free(c.bytes);
    kvm_guest_free(c.g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *path0 = g_strdup_printf("/kvm-log/copy/%s/cpl0",
                                                 modes[i].name);
        g_autofree char *path3 = g_strdup_printf("/kvm-log/copy/%s/cpl3",
                                                 modes[i].name);
        g_autofree char *two = g_strdup_printf("/kvm-log/two-clients/%s",
                                               modes[i].name);

        g_test_add_data_func(path0, &modes[i], test_copy_cpl0);
        g_test_add_data_func(path3, &modes[i], test_copy_cpl3);
        g_test_add_data_func(two, &modes[i],
                             test_second_client_hears_of_writes);
    }
    return g_test_run();
}
