/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three loads that are known to lose pages to who reads dirty rings by the
 * book, through the product: a writer of all pages in order on one vCPU, with
 * a signal to every thread each 50 us.
 *
 *     ringloss   rings from 1024 entries up, nobody who syncs or somebody who
 *                does so every 0.5 to 50 ms; code at CPL 0 overflows them
 *                where the kernel emulates it
 *     resetsig2  what a large ring holds is reset while signals come; every
 *                pass of the guest has to be reported in full
 *     batch      far more memory than the ring has entries, at CPL 0: a vCPU
 *                runs past the limit again and again, and is not to hang
 *
 * A copy is made of nothing but what is reported, each page read after that.
 * In the end it is the memory.
 */
#include "kvm-copy.h"
#include "kvm-guest.h"
#include "signal-storm.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"

#define STORM_US 50
#define MIB (UINT64_C(1) << 20)
#define WAIT_SECONDS 120 /* a pass takes a second at most; hosts may be busy */

typedef struct Load {
    unsigned mib, entries;     /* entries 0: the dirty log */
    unsigned sync_us;          /* 0: nobody syncs before the end */
    unsigned passes;
    unsigned cpl;
} Load;

static KvmGuest *start(const Load *load)
{
    g_autofree char *options = load->entries ?
        g_strdup_printf("dirty-ring-size=%u", load->entries) : NULL;
    KvmGuest *g = kvm_guest_new_ram(options, load->mib * MIB, 1);
    Code c = { .n = 0 };

    code_writer(&c, GUEST_DATA, load->mib * MIB);
    kvm_guest_load(g, 0, c.bytes, c.n);
    kvm_guest_enter(g, 0, load->cpl);
    signal_storm_start(STORM_US);
    return g;
}

/* Main loops do this: tracking that was lost is repaired by them. */
static void turn_main_loop(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

/* Until @n more passes of the guest have ended, with a round of @c every
 * @sync_us (0: none). */
static void run_passes(KvmGuest *g, KvmCopy *c, uint64_t n, unsigned sync_us)
{
    uint64_t until = __atomic_load_n(&g->passes, __ATOMIC_ACQUIRE) + n;
    gint64 limit = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (__atomic_load_n(&g->passes, __ATOMIC_ACQUIRE) < until) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        big_unlock();
        signal_storm_sleep(sync_us ? sync_us : 500);
        big_lock();
        turn_main_loop();
        if (sync_us) {
            kvm_copy_round(c);
        }
    }
}

static AccelRingInfo ring_info(KvmGuest *g)
{
    AccelRingInfo info = { 0 };

    if (g->accel->ring_info) {
        g->accel->ring_info(g->accel, &info);
    }
    return info;
}

static void finish(KvmGuest *g, KvmCopy *c, const Load *load)
{
    AccelRingInfo info = ring_info(g);
    uint64_t signals = signal_storm_stop();

    g_test_message("%u signals, %u entries, %u resets, fullest %u, %u full "
                   "exits, lost %u times, repaired %u times; this kernel logs "
                   "every store: %d", (unsigned)signals,
                   (unsigned)info.entries, (unsigned)info.resets,
                   (unsigned)info.fullest, (unsigned)info.full_exits,
                   (unsigned)info.lost, (unsigned)info.repaired,
                   info.logs_every_store);
    g_assert_cmpuint(signals, >, 0);
    if (load->entries) {
        g_assert_cmpuint(info.entries, >, 0);
    }
    if (load->cpl || !info.logs_every_store) {
        g_assert_cmpuint(info.lost, ==, 0); /* there is no need to */
    }
    kvm_copy_free(c);
    kvm_guest_free(g);
}

static void test_copy_is_memory(gconstpointer data)
{
    const Load *load = data;
    KvmGuest *g;
    KvmCopy *c;

    if (kvm_guest_skip()) {
        return;
    }
    g = start(load);
    c = kvm_copy_new(g->vm);
    kvm_copy_round(c);
    cpus_resume_all(g->vm);
    run_passes(g, c, load->passes, load->sync_us);
    cpus_pause_all(g->vm);
    kvm_copy_check(c);
    turn_main_loop();
    finish(g, c, load);
}

/* Two ends of a pass have one whole pass between them. */
static void test_every_pass_is_reported(gconstpointer data)
{
    const Load *load = data;
    uint64_t written = (load->mib * MIB - GUEST_DATA) / TM_PAGE_BYTES;
    KvmGuest *g;
    KvmCopy *c;

    if (kvm_guest_skip()) {
        return;
    }
    g = start(load);
    c = kvm_copy_new(g->vm);
    kvm_copy_round(c);
    for (unsigned pass = 0; pass < load->passes; pass++) {
        uint64_t taken = c->taken;

        cpus_resume_all(g->vm);
        run_passes(g, c, 2, 0);
        cpus_pause_all(g->vm);
        kvm_copy_check(c);
        g_assert_cmpuint(c->taken - taken, >=, written);
        turn_main_loop();
    }
    finish(g, c, load);
}

static void add(const char *path, Load load, GTestDataFunc test)
{
    g_autofree char *whole =
        g_strdup_printf("/kvm-probes/%s/%um/%u/%uus/cpl%u", path, load.mib,
                        load.entries, load.sync_us, load.cpl);

    g_test_add_data_func_full(whole, g_memdup2(&load, sizeof(load)), test,
                              g_free);
}

static void add_ringloss(void)
{
    static const Load loads[] = {
        { 32, 1024, 0, 3, 0 }, { 32, 4096, 0, 3, 0 }, { 32, 65536, 0, 3, 0 },
        { 32, 1024, 0, 3, 3 }, { 32, 4096, 0, 3, 3 }, { 32, 65536, 0, 3, 3 },
        { 128, 16384, 0, 2, 0 },
        { 128, 16384, 500, 2, 0 }, { 128, 16384, 50000, 2, 0 },
        { 32, 4096, 500, 3, 3 }, { 32, 4096, 10000, 3, 3 },
        { 32, 4096, 50000, 3, 3 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(loads); i++) {
        add("ringloss", loads[i], test_copy_is_memory);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_ringloss();
    add("resetsig2", (Load) { 32, 65536, 0, 5, 0 },
        test_every_pass_is_reported);
    add("resetsig2", (Load) { 32, 65536, 0, 5, 3 },
        test_every_pass_is_reported);
    add("batch", (Load) { 128, 256, 0, 3, 0 }, test_copy_is_memory);
    add("batch", (Load) { 128, 16384, 0, 3, 0 }, test_copy_is_memory);
    add("batch", (Load) { 128, 0, 0, 3, 0 }, test_copy_is_memory);
    return g_test_run();
}
