/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slots, fetch and clear on the kernel model: options, shapes of slots, every
 * range of a clear, every step that may fail.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "kvm-rig.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "util/bitmap.h"

#define PAGE TM_PAGE_BYTES
#define MIG DIRTY_CLIENT_MIGRATION

static RAMBlock *block_of(KvmRig *rig, const char *name)
{
    return ram_list_find(&rig->ram, name);
}

static KvmSlot *slot_at(KvmRig *rig, guint i)
{
    return g_ptr_array_index(rig->slots.table, i);
}

static KvmModelSlot *kernel_slot(KvmRig *rig, guint i)
{
    return kvm_model_slot(rig->model, slot_at(rig, i)->id);
}

/* ---- options ---------------------------------------------------------- */

static void test_options_parse(void)
{
    static const struct {
        const char *text;
        const char *refused; /* a word of the error, or NULL */
        KvmAuto manual, initial;
    } cases[] = {
        { "kvm", NULL, KVM_AUTO, KVM_AUTO },
        { "kvm,manual-dirty-log-protect=on", NULL, KVM_ON, KVM_AUTO },
        { "kvm,manual-dirty-log-protect=off", NULL, KVM_OFF, KVM_AUTO },
        { "kvm,dirty-log-initially-set=off,manual-dirty-log-protect=auto",
          NULL, KVM_AUTO, KVM_OFF },
        { "kvm,dirty-ring-size=0", NULL, KVM_AUTO, KVM_AUTO },
        { "kvm,dirty-ring-size=4096", NULL, KVM_AUTO, KVM_AUTO },
        { "kvm,dirty-ring-size=many", "dirty-ring-size" },
        { "kvm,manual-dirty-log-protect=maybe", "maybe" },
        { "kvm,kernel-irqchip=off", "kernel-irqchip" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(KeyVal) kv = keyval_parse(cases[i].text, "accel", NULL);
        g_autoptr(GError) error = NULL;
        KvmOptions options = { .manual_protect = KVM_AUTO };

        g_test_message("%s", cases[i].text);
        g_assert_cmpint(kvm_options_parse(kv, &options, &error), ==,
                        !cases[i].refused);
        if (cases[i].refused) {
            g_assert_nonnull(strstr(error->message, cases[i].refused));
        } else {
            g_assert_cmpint(options.manual_protect, ==, cases[i].manual);
            g_assert_cmpint(options.initially_set, ==, cases[i].initial);
        }
    }
}

static void test_options_choose(void)
{
    static const struct {
        KvmAuto manual, initial;
        uint64_t offered;
        int want; /* -1: refused; else manual + 2 * initially_set */
    } cases[] = {
        { KVM_AUTO, KVM_AUTO, 3, 3 }, { KVM_AUTO, KVM_AUTO, 1, 1 },
        { KVM_AUTO, KVM_AUTO, 0, 0 }, { KVM_ON, KVM_AUTO, 3, 3 },
        { KVM_ON, KVM_OFF, 3, 1 }, { KVM_OFF, KVM_AUTO, 3, 0 },
        { KVM_OFF, KVM_OFF, 3, 0 }, { KVM_ON, KVM_AUTO, 0, -1 },
        { KVM_ON, KVM_ON, 1, -1 }, { KVM_ON, KVM_ON, 3, 3 },
        { KVM_OFF, KVM_ON, 3, -1 }, { KVM_AUTO, KVM_ON, 3, 3 },
        { KVM_AUTO, KVM_ON, 2, -1 }, { KVM_AUTO, KVM_AUTO, 2, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        KvmOptions options = { .manual_protect = cases[i].manual,
                               .initially_set = cases[i].initial };
        g_autoptr(GError) error = NULL;
        KvmLogMode mode = { false, false };
        bool ok = kvm_log_mode_choose(&options, cases[i].offered, &mode,
                                      &error);

        g_test_message("case %u", i);
        g_assert_cmpint(ok ? mode.manual + 2 * mode.initially_set : -1, ==,
                        cases[i].want);
        g_assert_cmpint(error != NULL, ==, !ok);
    }
}

/* ---- slots ------------------------------------------------------------ */

static void test_add_splits_at_limit(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);

    rig->slots.max_pages = 100;
    kvm_rig_add(rig, "a", 250, 0x100000, 0, false);
    g_assert_cmpuint(rig->slots.table->len, ==, 3);
    g_assert_cmpuint(slot_at(rig, 0)->npages, ==, 100);
    g_assert_cmphex(slot_at(rig, 1)->gpa, ==, 0x100000 + 100 * PAGE);
    g_assert_cmphex(slot_at(rig, 2)->offset, ==, 200 * PAGE);
    g_assert_cmpuint(slot_at(rig, 2)->npages, ==, 50);
    kvm_rig_free(rig);
}

static void test_add_leaves_apic_page_out(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    const uint64_t begin = KVM_APIC_PAGE_GPA - 3 * PAGE;

    kvm_rig_add(rig, "a", 10, begin, 0, false);
    g_assert_cmpuint(rig->slots.table->len, ==, 2);
    g_assert_cmpuint(slot_at(rig, 0)->npages, ==, 3);
    g_assert_cmphex(slot_at(rig, 1)->gpa, ==, KVM_APIC_PAGE_GPA + PAGE);
    g_assert_cmphex(slot_at(rig, 1)->offset, ==, 4 * PAGE);
    g_assert_cmpuint(slot_at(rig, 1)->npages, ==, 6);
    kvm_rig_start(rig, MIG, false);
    g_assert_false(kvm_model_write(rig->model, KVM_APIC_PAGE_GPA, 1));
    g_assert_true(kvm_model_write(rig->model, KVM_APIC_PAGE_GPA + PAGE, 1));
    kvm_rig_sync(rig);
    kvm_rig_clear(rig, block_of(rig, "a"), 0, 10);
    g_assert_true(dirty_bitmap_test(block_of(rig, "a"), MIG, 4));
    g_assert_cmpuint(dirty_bitmap_count(block_of(rig, "a"), MIG), ==, 1);
    kvm_rig_free(rig);
}

static void test_add_readonly(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);

    kvm_rig_add(rig, "rom", 4, 0, 0, true);
    g_assert_cmphex(kernel_slot(rig, 0)->flags, ==, KVM_MEM_READONLY);
    g_assert_false(kvm_model_write(rig->model, 0, 1));
    rig->slots.readonly_mem = false;
    kvm_rig_add(rig, "rom2", 4, 0x100000, 0, true);
    g_assert_cmpuint(rig->slots.table->len, ==, 1);
    kvm_rig_start(rig, MIG, false);
    kvm_rig_sync(rig);
    kvm_rig_free(rig);
}

static void test_add_failing_half_way_adds_nothing(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    g_autoptr(GError) error = NULL;
    MemorySection s = { .gpa = 0, .size = 250 * PAGE };

    kvm_rig_add(rig, "a", 300, 0x1000000, 0, false);
    s.block = block_of(rig, "a");
    rig->slots.max_pages = 100;
    rig->model->fail_request = KVM_SET_USER_MEMORY_REGION;
    rig->model->fail_after = 2;
    rig->model->fail_errno = ENOMEM;
    g_assert_false(kvm_slots_add(&rig->slots, &s, &error));
    g_assert_nonnull(strstr(error->message, "memory"));
    /* Removal failed as well: the next add tries that again. */
    g_assert_cmpuint(rig->slots.table->len, ==, 1);
    rig->model->fail_errno = 0;
    g_clear_error(&error);
    g_assert_cmpuint(rig->model->slots->len, ==, 3);
    s.gpa = 0x4000000;
    g_assert_true(kvm_slots_add(&rig->slots, &s, &error));
    g_assert_cmpuint(rig->model->slots->len, ==, 4);
    g_assert_cmpuint(rig->slots.table->len, ==, 4);
    kvm_slots_del(&rig->slots, &s);
    g_assert_cmpuint(rig->slots.table->len, ==, 1);
    kvm_rig_free(rig);
}

static void test_add_reuses_ids_and_says_when_none_is_left(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    g_autoptr(GError) error = NULL;
    MemorySection s = { .gpa = 0x4000000, .size = 3 * PAGE };
    unsigned id = kvm_rig_add(rig, "a", 3, 0, 0, false);
    RAMBlock *a = block_of(rig, "a");

    rig->slots.max_slots = 2;
    for (unsigned i = 0; i < 100; i++) {
        kvm_rig_hide(rig, id);
        id = kvm_rig_show(rig, a, 0, 0);
    }
    g_assert_cmpuint(slot_at(rig, 0)->id, <, 2);
    rig->slots.max_pages = 1;
    s.block = a;
    g_assert_false(kvm_slots_add(&rig->slots, &s, &error));
    g_assert_nonnull(strstr(error->message, "no memory slot is left"));
    g_assert_cmpuint(rig->slots.table->len, ==, 1);
    kvm_rig_free(rig);
}

/* ---- log start, fetch -------------------------------------------------- */

static void test_fetch_first_is_skipped_only_if_initially_set(void)
{
    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        KvmRig *rig = kvm_rig_new(mode, NULL);
        RAMBlock *a;
        unsigned checks;

        kvm_rig_add(rig, "a", 1000, 0, 0, false);
        a = block_of(rig, "a");
        kvm_rig_start(rig, MIG, false);
#ifdef TM_DEBUG_CHECKS
        checks = mode == RIG_LEGACY ? 0 : 1; /* fetches look twice */
#else
        checks = 0;
#endif
        kvm_rig_sync(rig);
        g_assert_cmpuint(rig->model->gets, ==,
                         checks + (mode != RIG_INITIALLY_SET));
        g_assert_cmpuint(dirty_bitmap_count(a, MIG), ==,
                         mode == RIG_INITIALLY_SET ? 1000 : 0);
        kvm_rig_sync(rig);
        g_assert_cmpuint(rig->model->gets, ==,
                         2 * checks + 1 + (mode != RIG_INITIALLY_SET));
        kvm_rig_free(rig);
    }
}

static void test_fetch_shapes(void)
{
    static const uint64_t shapes[] = { 1, 63, 64, 65, 128, 1000 };

    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        KvmRig *rig = kvm_rig_new(mode, NULL);

        for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
            g_autofree char *name = g_strdup_printf("s%u", i);

            /* Seven pages into the block, at an odd page. */
            kvm_rig_add(rig, name, shapes[i] + 7, (i + 1) * 0x1003000, 7,
                        false);
        }
        kvm_rig_start(rig, MIG, false);
        kvm_rig_sync(rig);
        for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
            RAMBlock *b = g_ptr_array_index(rig->ram.blocks, i);
            uint64_t last = b->npages - 1;

            kvm_rig_clear(rig, b, 0, b->npages);
            while (dirty_bitmap_next(b, MIG, 0) < b->npages) {
                dirty_bitmap_take(b, MIG, dirty_bitmap_next(b, MIG, 0));
            }
            g_assert_true(kvm_model_write(rig->model, (i + 1) * 0x1003000, 1));
            kvm_rig_sync(rig);
            g_assert_cmpuint(dirty_bitmap_count(b, MIG), ==, 1);
            g_assert_true(dirty_bitmap_test(b, MIG, 7));
            if (last > 7) { /* the last page was clean, now it is not */
                kvm_model_write(rig->model, (i + 1) * 0x1003000 +
                                (shapes[i] - 1) * PAGE, 1);
                kvm_rig_sync(rig);
                g_assert_true(dirty_bitmap_test(b, MIG, last));
            }
        }
        kvm_rig_free(rig);
    }
}

/* @taken: the kernel has taken the bits when it finds that it cannot hand them
 * over, in the mode in which GET takes any. */
static void fetch_failing(bool taken)
{
    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        KvmRig *rig = kvm_rig_new(mode, NULL);
        g_autoptr(GError) error = NULL;
        RAMBlock *a;

        kvm_rig_add(rig, "a", 100, 0, 0, false);
        a = block_of(rig, "a");
        kvm_rig_start(rig, MIG, false);
        kvm_rig_sync(rig);
        kvm_rig_clear(rig, a, 0, 100);
        dirty_log_stop(rig->map, DIRTY_CLIENT_RATE); /* was off: nothing */
        kvm_model_write(rig->model, 5 * PAGE, 1);
        rig->model->fail_request = KVM_GET_DIRTY_LOG;
        rig->model->fail_errno = taken ? 0 : EFAULT;
        rig->model->fail_copy_out = taken;
        g_assert_false(dirty_sync_round(rig->map, &error));
        g_assert_nonnull(strstr(error->message, "dirty log of slot"));
        rig->model->fail_errno = 0;
        rig->model->fail_copy_out = false;
        kvm_rig_sync(rig);
        g_assert_true(dirty_bitmap_test(a, MIG, 5));
        kvm_rig_free(rig);
    }
}

static void test_fetch_failing_loses_nothing(void)
{
    fetch_failing(false);
}

static void test_fetch_failing_with_bits_taken_loses_nothing(void)
{
    fetch_failing(true);
}

/* A GET that faults half-way has put bits into the cache that nobody was told
 * of; a clear, of another thread, must not take them. */
static void test_fetch_failing_half_way_clears_nothing(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    g_autoptr(GError) error = NULL;
    RAMBlock *a;

    kvm_rig_add(rig, "a", 200, 0, 0, false);
    a = block_of(rig, "a");
    kvm_rig_start(rig, MIG, false);
    kvm_rig_sync(rig);
    kvm_model_write(rig->model, 5 * PAGE, 1);
    rig->model->fail_copy_out = true;
    g_assert_false(dirty_sync_round(rig->map, &error));
    rig->model->fail_copy_out = false;
    kvm_rig_clear(rig, a, 0, 200);
    kvm_rig_sync(rig);
    g_assert_true(dirty_bitmap_test(a, MIG, 5));
    kvm_rig_clear(rig, a, 0, 200); /* from here on as ever */
    g_assert_cmpuint(rig->model->cleared_bits, ==, 1);
    kvm_rig_free(rig);
}

static void test_log_start_failing_is_undone(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    g_autoptr(GError) error = NULL;

    rig->slots.max_pages = 100;
    kvm_rig_add(rig, "a", 250, 0, 0, false);
    rig->model->fail_request = KVM_SET_USER_MEMORY_REGION;
    rig->model->fail_after = 1;
    rig->model->fail_errno = ENOMEM;
    g_assert_false(dirty_log_start(rig->map, MIG, true, &error));
    g_assert_false(dirty_client_is_on(&rig->ram, MIG));
    rig->model->fail_errno = 0;
    for (guint i = 0; i < rig->slots.table->len; i++) {
        g_assert_false(slot_at(rig, i)->logging);
        g_assert_null(slot_at(rig, i)->cache);
    }
    kvm_rig_start(rig, MIG, true);
    kvm_rig_sync(rig);
    kvm_rig_free(rig);
}

static void test_log_stop_frees_the_cache(void)
{
    KvmRig *rig = kvm_rig_new(RIG_INITIALLY_SET, NULL);

    kvm_rig_add(rig, "a", 250, 0, 0, false);
    for (unsigned i = 0; i < 3; i++) {
        kvm_rig_start(rig, MIG, true);
        kvm_rig_sync(rig);
        g_assert_nonnull(slot_at(rig, 0)->cache);
        dirty_log_stop(rig->map, MIG);
        g_assert_null(slot_at(rig, 0)->cache);
        g_assert_null(kernel_slot(rig, 0)->dirty);
    }
    kvm_rig_free(rig);
}

/* ---- removal ----------------------------------------------------------- */

static void test_del_merges_first(void)
{
    for (RigMode mode = 0; mode < RIG_MODES; mode++) {
        KvmRig *rig = kvm_rig_new(mode, NULL);
        MemorySection s = { .gpa = 0, .size = 100 * PAGE };

        kvm_rig_add(rig, "a", 100, 0, 0, false);
        s.block = block_of(rig, "a");
        kvm_rig_start(rig, MIG, false);
        kvm_rig_sync(rig);
        kvm_rig_clear(rig, s.block, 0, 100);
        while (dirty_bitmap_next(s.block, MIG, 0) < 100) {
            dirty_bitmap_take(s.block, MIG,
                              dirty_bitmap_next(s.block, MIG, 0));
        }
        kvm_model_write(rig->model, 70 * PAGE, 1);
        kvm_slots_del(&rig->slots, &s);
        g_assert_true(dirty_bitmap_test(s.block, MIG, 70));
        g_assert_cmpuint(dirty_bitmap_count(s.block, MIG), ==, 1);
        g_assert_true(kvm_slots_add(&rig->slots, &s, NULL));
        g_assert_true(kvm_slots_log_start(&rig->slots, &s, NULL));
        kvm_model_write(rig->model, 71 * PAGE, 1);
        kvm_rig_sync(rig);
        g_assert_true(dirty_bitmap_test(s.block, MIG, 71));
        kvm_rig_free(rig);
    }
}

static void test_del_that_cannot_ask_marks_all(void)
{
    KvmRig *rig = kvm_rig_new(RIG_MANUAL, NULL);
    MemorySection s = { .gpa = 0, .size = 100 * PAGE };

    kvm_rig_add(rig, "a", 100, 0, 0, false);
    s.block = block_of(rig, "a");
    kvm_rig_start(rig, MIG, false);
    rig->model->fail_request = KVM_GET_DIRTY_LOG;
    rig->model->fail_errno = EIO;
    kvm_slots_del(&rig->slots, &s);
    g_assert_cmpuint(dirty_bitmap_count(s.block, MIG), ==, 100);
    rig->model->fail_errno = 0;
    g_assert_true(kvm_slots_add(&rig->slots, &s, NULL));
    kvm_rig_free(rig);
}

/* ---- clear ------------------------------------------------------------- */

static void scatter(KvmRig *rig, uint64_t gpa, uint64_t npages)
{
    for (uint64_t p = 0; p < npages; p++) {
        if (g_test_rand_bit()) {
            kvm_model_write(rig->model, gpa + p * PAGE, p);
        }
    }
}

/*
 * What a clear of [first, first + n) must leave in the kernel: bits outside
 * as they were, bits inside gone if the cache had them, and those that came
 * after the fetch still there.
 */
static void check_clear(KvmRig *rig, RAMBlock *b, uint64_t first, uint64_t n)
{
    KvmModelSlot *k = kernel_slot(rig, 0);
    KvmSlot *slot = slot_at(rig, 0);
    g_autofree uint64_t *cache = g_memdup2(slot->cache,
                                           bitmap_bytes(slot->npages));
    g_autofree uint64_t *kernel = NULL;
    unsigned clears = rig->model->clears;

    scatter(rig, slot->gpa, slot->npages); /* not fetched: must survive */
    kernel = g_memdup2(k->dirty, bitmap_bytes(slot->npages));
    kvm_rig_clear(rig, b, first, n);
    g_assert_cmpuint(rig->model->clears - clears, ==,
                     n && bitmap_any(cache, first, n));
    for (uint64_t p = 0; p < slot->npages; p++) {
        bool inside = p >= first && p - first < n;
        bool known = bitmap_test_bit(cache, p);

        g_assert_cmpint(bitmap_test_bit(k->dirty, p), ==,
                        bitmap_test_bit(kernel, p) && !(inside && known));
        g_assert_cmpint(bitmap_test_bit(slot->cache, p), ==,
                        known && !inside);
    }
}

static void test_clear_every_range(void)
{
    static const uint64_t shapes[] = { 1, 63, 64, 65, 200, 256, 333 };

    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        KvmRig *rig = kvm_rig_new(i % 2 ? RIG_MANUAL : RIG_INITIALLY_SET,
                                  NULL);
        RAMBlock *b;

        kvm_rig_add(rig, "a", shapes[i], 0x5000, 0, false);
        b = block_of(rig, "a");
        kvm_rig_start(rig, MIG, false);
        for (uint64_t first = 0; first <= 200 && first < shapes[i]; first++) {
            for (uint64_t n = 0; n <= 200 && first + n <= shapes[i]; n++) {
                if (n % 16 == 0) {
                    kvm_rig_sync(rig);
                }
                check_clear(rig, b, first, n);
            }
        }
        kvm_rig_free(rig);
    }
}

static void test_clear_before_merge_does_nothing(void)
{
    KvmRig *rig = kvm_rig_new(RIG_INITIALLY_SET, NULL);

    kvm_rig_add(rig, "a", 128, 0, 0, false);
    kvm_rig_start(rig, MIG, false);
    kvm_rig_clear(rig, block_of(rig, "a"), 0, 128);
    g_assert_cmpuint(rig->model->clears, ==, 0);
    kvm_rig_sync(rig);
    kvm_rig_clear(rig, block_of(rig, "a"), 0, 128);
    g_assert_cmpuint(rig->model->clears, ==, 1);
    kvm_rig_free(rig);
}

static void test_clear_loops_over_all_slots(void)
{
    KvmRig *rig = kvm_rig_new(RIG_INITIALLY_SET, NULL);
    DirtyClearStats stats;

    rig->slots.max_pages = 100;
    kvm_rig_add(rig, "a", 350, 0x3000, 0, false);
    kvm_rig_start(rig, MIG, true);
    kvm_rig_sync(rig);
    kvm_rig_clear(rig, block_of(rig, "a"), 90, 220);
    g_assert_cmpuint(rig->model->clears, ==, 4);
    g_assert_cmpuint(rig->model->cleared_bits, ==, 220);
    dirty_clear_stats(rig->map, &stats);
    g_assert_cmpuint(stats.calls, ==, 4);
    g_assert_cmpuint(stats.pages, ==, 220);
    g_assert_cmpuint(stats.span_pages, ==, 36 + 100 + 100 + 50);
    kvm_rig_free(rig);
}

static void test_clear_failing_keeps_the_cache(void)
{
    KvmRig *rig = kvm_rig_new(RIG_INITIALLY_SET, NULL);
    g_autoptr(GError) error = NULL;
    RAMBlock *a;

    kvm_rig_add(rig, "a", 200, 0, 0, false);
    a = block_of(rig, "a");
    kvm_rig_start(rig, MIG, true);
    kvm_rig_sync(rig);
    rig->model->fail_request = KVM_CLEAR_DIRTY_LOG;
    rig->model->fail_errno = EINVAL;
    g_assert_false(memory_region_clear_dirty_bitmap(rig->map, a, 10, 100,
                                                    &error));
    g_assert_nonnull(strstr(error->message, "cannot clear the dirty log of "
                            "slot 0, pages 0+128: Invalid argument"));
    g_assert_cmpuint(bitmap_count(slot_at(rig, 0)->cache, 0, 200), ==, 200);
    rig->model->fail_errno = 0;
    kvm_rig_clear(rig, a, 10, 100);
    g_assert_cmpuint(rig->model->cleared_bits, ==, 100);
    kvm_rig_free(rig);
}

static void test_clear_in_legacy_mode_is_nothing(void)
{
    KvmRig *rig = kvm_rig_new(RIG_LEGACY, NULL);

    kvm_rig_add(rig, "a", 128, 0, 0, false);
    kvm_rig_start(rig, MIG, true);
    kvm_model_write(rig->model, 0, 1);
    kvm_rig_sync(rig);
    kvm_rig_clear(rig, block_of(rig, "a"), 0, 128);
    g_assert_cmpuint(rig->model->clears, ==, 0);
    kvm_rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-options/parse", test_options_parse);
    g_test_add_func("/kvm-options/choose", test_options_choose);
    g_test_add_func("/kvm-slots/add/splits-at-limit",
                    test_add_splits_at_limit);
    g_test_add_func("/kvm-slots/add/leaves-apic-page-out",
                    test_add_leaves_apic_page_out);
    g_test_add_func("/kvm-slots/add/readonly", test_add_readonly);
    g_test_add_func("/kvm-slots/add/failing-half-way-adds-nothing",
                    test_add_failing_half_way_adds_nothing);
    g_test_add_func("/kvm-slots/add/reuses-ids",
                    test_add_reuses_ids_and_says_when_none_is_left);
    g_test_add_func("/kvm-slots/fetch/first-is-skipped-only-if-initially-set",
                    test_fetch_first_is_skipped_only_if_initially_set);
    g_test_add_func("/kvm-slots/fetch/shapes", test_fetch_shapes);
    g_test_add_func("/kvm-slots/fetch/failing-loses-nothing",
                    test_fetch_failing_loses_nothing);
    g_test_add_func("/kvm-slots/fetch/failing-with-bits-taken-loses-nothing",
                    test_fetch_failing_with_bits_taken_loses_nothing);
    g_test_add_func("/kvm-slots/fetch/failing-half-way-clears-nothing",
                    test_fetch_failing_half_way_clears_nothing);
    g_test_add_func("/kvm-slots/log-start/failing-is-undone",
                    test_log_start_failing_is_undone);
    g_test_add_func("/kvm-slots/log-stop/frees-the-cache",
                    test_log_stop_frees_the_cache);
    g_test_add_func("/kvm-slots/del/merges-first", test_del_merges_first);
    g_test_add_func("/kvm-slots/del/that-cannot-ask-marks-all",
                    test_del_that_cannot_ask_marks_all);
    g_test_add_func("/kvm-slots/clear/every-range", test_clear_every_range);
    g_test_add_func("/kvm-slots/clear/before-merge-does-nothing",
                    test_clear_before_merge_does_nothing);
    g_test_add_func("/kvm-slots/clear/loops-over-all-slots",
                    test_clear_loops_over_all_slots);
    g_test_add_func("/kvm-slots/clear/failing-keeps-the-cache",
                    test_clear_failing_keeps_the_cache);
    g_test_add_func("/kvm-slots/clear/in-legacy-mode-is-nothing",
                    test_clear_in_legacy_mode_is_nothing);
    return g_test_run();
}
