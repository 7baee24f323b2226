/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One ring by itself, against a few lines that do what the kernel does with
 * it: harvested in order, never further than it was pushed, and brought back
 * to the kernel's indices after any overflow.
 */
#include <glib.h>
#include <string.h>

#include "accel/kvm/kvm-options.h"
#include "accel/kvm/kvm-ring.h"

#define ENTRIES 16u
#define LIMIT 12u   /* the kernel's soft limit */

/* The kernel's half, and what user space makes of it. */
typedef struct Kernel {
    struct kvm_dirty_gfn entries[ENTRIES];
    uint32_t dirty, reset;
    KvmRing ring;
    GArray *seen;       /* of uint64_t: offsets that were harvested */
    uint64_t pushed;    /* the next offset */
} Kernel;

static void kernel_init(Kernel *k, uint32_t start)
{
    memset(k, 0, sizeof(*k));
    k->dirty = k->reset = start;
    k->seen = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    kvm_ring_init(&k->ring, k->entries, ENTRIES);
    k->ring.next = k->ring.reset = start;
}

static void kernel_done(Kernel *k)
{
    g_array_free(k->seen, TRUE);
}

static bool is_full(const Kernel *k)
{
    return k->dirty - k->reset >= LIMIT;
}

static void push(Kernel *k)
{
    struct kvm_dirty_gfn *e = &k->entries[k->dirty++ % ENTRIES];

    e->slot = 0x10002;
    e->offset = k->pushed++;
    e->flags = KVM_DIRTY_GFN_F_DIRTY;
}

static uint32_t kernel_reset(void *opaque)
{
    Kernel *k = opaque;
    uint32_t count = 0;

    while (k->entries[k->reset % ENTRIES].flags & KVM_DIRTY_GFN_F_RESET) {
        k->entries[k->reset++ % ENTRIES].flags = 0;
        count++;
    }
    return count;
}

static void see(void *opaque, uint32_t slot, uint64_t offset)
{
    Kernel *k = opaque;

    g_assert_cmphex(slot, ==, 0x10002);
    g_array_append_val(k->seen, offset);
}

/* ---- harvest ------------------------------------------------------------- */

/* Over the wrap of both the ring and the 32 bits of its indices. */
static void test_harvest_in_order(void)
{
    Kernel k;

    kernel_init(&k, UINT32_MAX - 20);
    for (unsigned round = 0; round < 40; round++) {
        unsigned n = round % LIMIT;

        for (unsigned i = 0; i < n; i++) {
            push(&k);
        }
        g_assert_cmpuint(kvm_ring_harvest(&k.ring, see, &k), ==, n);
        g_assert_cmpuint(kvm_ring_harvest(&k.ring, see, &k), ==, 0);
        g_assert_cmpuint(kvm_ring_given(&k.ring), ==, n);
        g_assert_cmpuint(kernel_reset(&k), ==, n);
        kvm_ring_all_taken(&k.ring);
        g_assert_cmpuint(k.ring.next, ==, k.dirty);
    }
    g_assert_cmpuint(k.seen->len, ==, k.pushed);
    for (guint i = 0; i < k.seen->len; i++) {
        g_assert_cmpuint(g_array_index(k.seen, uint64_t, i), ==, i);
    }
    g_assert_cmpuint(k.ring.harvested, ==, k.pushed);
    kernel_done(&k);
}

/* What was given and not taken keeps its place. */
static void test_taken_in_part(void)
{
    Kernel k;

    kernel_init(&k, 5);
    for (unsigned i = 0; i < 8; i++) {
        push(&k);
    }
    kvm_ring_harvest(&k.ring, see, &k);
    for (unsigned i = 0; i < 3; i++) {
        k.entries[k.reset++ % ENTRIES].flags = 0;
    }
    kvm_ring_find_taken(&k.ring);
    g_assert_cmpuint(kvm_ring_given(&k.ring), ==, 5);
    g_assert_cmpuint(k.ring.reset, ==, k.reset);
    kernel_done(&k);
}

static void test_whole_ring_shows(void)
{
    Kernel k;

    kernel_init(&k, 7);
    for (unsigned i = 0; i < ENTRIES - 1; i++) {
        push(&k);
    }
    kvm_ring_harvest(&k.ring, see, &k);
    g_assert_false(kvm_ring_is_whole(&k.ring));
    push(&k);
    kvm_ring_harvest(&k.ring, see, &k);
    g_assert_true(kvm_ring_is_whole(&k.ring));
    push(&k); /* over what is given: not to be read as another one */
    g_assert_cmpuint(kvm_ring_harvest(&k.ring, see, &k), ==, 0);
    kernel_done(&k);
}

static void test_ahead_shows(void)
{
    for (unsigned gap = 0; gap < ENTRIES - 1; gap++) {
        Kernel k;

        kernel_init(&k, 3);
        g_assert_false(kvm_ring_is_ahead(&k.ring));
        k.dirty += gap;
        push(&k);
        g_assert_cmpint(kvm_ring_is_ahead(&k.ring), ==, gap > 0);
        kernel_done(&k);
    }
}

/* ---- repair -------------------------------------------------------------- */

static void reset_for_repair(void *opaque)
{
    kernel_reset(opaque);
}

/* The vCPU runs as far as it is let, then overshoots by up to @beyond. Returns:
 * false if it could not run at all. */
static bool vcpu_runs(Kernel *k, unsigned want, unsigned beyond)
{
    if (is_full(k)) {
        return false;
    }
    for (unsigned i = 0; i < want && !is_full(k); i++) {
        push(k);
    }
    for (unsigned i = 0; is_full(k) && i < beyond; i++) {
        push(k);
    }
    return true;
}

/* Until it is in order; the vCPU may run a little in between. */
static unsigned repair(Kernel *k, bool stuck)
{
    unsigned turns = 0;

    k->ring.stuck = stuck;
    while (!kvm_ring_repair(&k->ring, reset_for_repair, k)) {
        g_assert_cmpuint(++turns, <, 100);
        g_assert_cmpuint(k->dirty - k->reset, <, 1u << 31);
        k->ring.stuck = !vcpu_runs(k, 1, 0);
    }
    return turns;
}

static void check_in_order(Kernel *k)
{
    g_assert_cmpuint(k->dirty, ==, k->reset);
    g_assert_cmpuint(k->ring.next % ENTRIES, ==, k->dirty % ENTRIES);
    g_assert_cmpuint(kvm_ring_given(&k->ring), ==, 0);
    for (unsigned i = 0; i < ENTRIES; i++) {
        g_assert_cmpuint(k->entries[i].flags, ==, 0);
    }
}

/* @beyond entries too many, with some harvested or not before. */
static void test_repair_overflow(void)
{
    for (unsigned start = 0; start < ENTRIES; start++) {
        for (unsigned beyond = 0; beyond < 5 * ENTRIES; beyond++) {
            for (unsigned before = 0; before < LIMIT; before += 5) {
                Kernel k;

                kernel_init(&k, start);
                vcpu_runs(&k, before, 0);
                kvm_ring_harvest(&k.ring, see, &k);
                vcpu_runs(&k, LIMIT, beyond);
                repair(&k, true);
                check_in_order(&k);
                kernel_done(&k);
            }
        }
    }
}

/* All was taken, and the overflow shows only by a vCPU that is stuck. */
static void test_repair_hidden_overflow(void)
{
    for (unsigned beyond = 0; beyond < 7 * ENTRIES; beyond++) {
        Kernel k;

        kernel_init(&k, beyond);
        vcpu_runs(&k, LIMIT, beyond);
        kvm_ring_harvest(&k.ring, see, &k);
        kernel_reset(&k);
        kvm_ring_all_taken(&k.ring);
        k.ring.astray = true;
        repair(&k, is_full(&k));
        check_in_order(&k);
        kernel_done(&k);
    }
}

/* An entry that the kernel took back in the moment it was overwritten: there
 * is a hole, and the ring is in order after it was seen. */
static void test_repair_hole(void)
{
    for (unsigned hole = 0; hole < LIMIT; hole++) {
        Kernel k;

        kernel_init(&k, 9);
        for (unsigned i = 0; i < LIMIT; i++) {
            push(&k);
        }
        k.entries[(9 + hole) % ENTRIES].flags = 0;
        kvm_ring_harvest(&k.ring, see, &k);
        kernel_reset(&k);
        kvm_ring_all_taken(&k.ring);
        g_assert_cmpint(kvm_ring_is_ahead(&k.ring), ==, hole < LIMIT - 1);
        if (hole < LIMIT - 1) {
            g_assert_cmpuint(repair(&k, false), ==, 0);
            check_in_order(&k);
        }
        kernel_done(&k);
    }
}

/* A vCPU that overflows again and again while it is let run. */
static void test_repair_under_fire(void)
{
    for (unsigned life = 0; life < 3000; life++) {
        Kernel k;

        kernel_init(&k, g_test_rand_int_range(0, 1000));
        for (unsigned turn = 0; turn < 20; turn++) {
            bool ran = vcpu_runs(&k, g_test_rand_int_range(0, 2 * ENTRIES),
                                 g_test_rand_int_range(0, 3 * ENTRIES));

            k.ring.stuck = !ran;
            if (kvm_ring_repair(&k.ring, reset_for_repair, &k)) {
                g_assert_cmpuint(k.dirty, ==, k.reset);
            }
            g_assert_cmpuint(k.dirty - k.reset, <, 1u << 31);
        }
        vcpu_runs(&k, 1, 0);
        repair(&k, is_full(&k));
        check_in_order(&k);
        kernel_done(&k);
    }
}

static void test_repair_of_a_good_ring_changes_nothing(void)
{
    Kernel k;

    kernel_init(&k, 2);
    vcpu_runs(&k, 4, 0);
    g_assert_true(kvm_ring_repair(&k.ring, reset_for_repair, &k));
    check_in_order(&k);
    g_assert_true(kvm_ring_repair(&k.ring, reset_for_repair, &k));
    check_in_order(&k);
    kernel_done(&k);
}

/* ---- options ------------------------------------------------------------- */

static void test_size_is_checked(void)
{
    static const struct {
        uint32_t entries, max_bytes;
        KvmAuto manual, initial;
        const char *refused;
    } cases[] = {
        { 0, 0, KVM_ON, KVM_ON, NULL }, { 256, 1 << 20, 0, 0, NULL },
        { 65536, 1 << 20, 0, 0, NULL }, { 4096, 1 << 16, 0, 0, NULL },
        { 1024, 1 << 20, KVM_OFF, KVM_OFF, NULL },
        { 128, 1 << 20, 0, 0, "from 256 to 65536 on this host" },
        { 131072, 1 << 20, 0, 0, "not 131072" },
        { 8192, 1 << 16, 0, 0, "from 256 to 4096" },
        { 4095, 1 << 20, 0, 0, "a power of two" }, { 1, 1 << 20, 0, 0, "256" },
        { 4096, 0, 0, 0, "KVM_CAP_DIRTY_LOG_RING" },
        { 4096, 1 << 20, KVM_ON, 0, "manual-dirty-log-protect=on" },
        { 4096, 1 << 20, 0, KVM_ON, "dirty-log-initially-set=on" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        KvmOptions options = {
            .ring_entries = cases[i].entries,
            .manual_protect = cases[i].manual,
            .initially_set = cases[i].initial,
        };
        g_autoptr(GError) error = NULL;
        KvmLogMode mode;
        bool ok = kvm_ring_choose(&options, cases[i].max_bytes, &mode, &error);

        g_test_message("case %u", i);
        g_assert_cmpint(ok, ==, !cases[i].refused);
        if (ok) {
            g_assert_cmpuint(mode.ring_entries, ==, cases[i].entries);
            g_assert_false(mode.manual || mode.initially_set);
        } else {
            g_assert_nonnull(strstr(error->message, cases[i].refused));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-ring/harvest/in-order", test_harvest_in_order);
    g_test_add_func("/kvm-ring/harvest/taken-in-part", test_taken_in_part);
    g_test_add_func("/kvm-ring/harvest/whole-shows", test_whole_ring_shows);
    g_test_add_func("/kvm-ring/harvest/ahead-shows", test_ahead_shows);
    g_test_add_func("/kvm-ring/repair/overflow", test_repair_overflow);
    g_test_add_func("/kvm-ring/repair/hidden-overflow",
                    test_repair_hidden_overflow);
    g_test_add_func("/kvm-ring/repair/hole", test_repair_hole);
    g_test_add_func("/kvm-ring/repair/under-fire", test_repair_under_fire);
    g_test_add_func("/kvm-ring/repair/good-stays",
                    test_repair_of_a_good_ring_changes_nothing);
    g_test_add_func("/kvm-ring/options/size", test_size_is_checked);
    return g_test_run();
}
