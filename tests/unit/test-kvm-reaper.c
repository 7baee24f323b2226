/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reaper's rhythm, with rings that never hold anything.
 */
#include <glib.h>

#include "accel/kvm/kvm-dirty-reaper.h"

static unsigned passes; /* atomic */

static uint32_t find_nothing(void *opaque, KvmReaperJob job)
{
    __atomic_fetch_add(&passes, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static bool always_busy(void *opaque)
{
    return true;
}

static const KvmReaperOps ops = {
    .work = find_nothing,
    .is_busy = always_busy,
};

/* Returns: when it was seen. */
static gint64 wait_for_pass(void)
{
    gint64 deadline_us = g_get_monotonic_time() + 120 * G_USEC_PER_SEC;
    unsigned seen = __atomic_load_n(&passes, __ATOMIC_SEQ_CST);

    while (__atomic_load_n(&passes, __ATOMIC_SEQ_CST) == seen) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline_us);
        g_usleep(200);
    }
    return g_get_monotonic_time();
}

/* A pace that is set just after a pass, with the next one 100 ms away: that
 * comes at the new pace. A busy host may be late, but not time after time. */
static void test_new_pace_counts_at_once(void)
{
    bool prompt = false;
    KvmReaper r;

    g_assert_true(kvm_reaper_start(&r, &ops, NULL, 4096, NULL));
    for (unsigned i = 0; i < 30 && !prompt; i++) {
        gint64 from_us;

        kvm_reaper_set_pace(&r, 0);
        while (kvm_reaper_get_period(&r) < KVM_REAPER_MAX_US) {
            wait_for_pass();
        }
        from_us = wait_for_pass();
        kvm_reaper_set_pace(&r, 500);
        g_assert_cmpuint(kvm_reaper_get_period(&r), <=, 500);
        prompt = wait_for_pass() - from_us < KVM_REAPER_MAX_US / 2;
    }
    g_assert_true(prompt);
    kvm_reaper_stop(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-reaper/pace/at-once", test_new_pace_counts_at_once);
    return g_test_run();
}
