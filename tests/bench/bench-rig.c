/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-rig.h.
 */
#include "bench-rig.h"

#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "util/bitmap.h"

#define RUN_PAGES 64 /* the sender's, see ram.c */

void bench_rig_show(BenchRig *rig, unsigned i)
{
    uint64_t bytes = rig->bytes / rig->n_windows;
    uint64_t gpa = i * (bytes + TM_PAGE_BYTES);
    g_autoptr(GError) error = NULL;

    memory_map_begin(rig->map);
    rig->windows[i] = memory_map_add_ram(rig->map, gpa, bytes, rig->block,
                                         i * bytes, false, &error);
    g_assert_no_error(error);
    memory_map_commit(rig->map, &error);
    g_assert_no_error(error);
}

void bench_rig_hide(BenchRig *rig, unsigned i)
{
    g_autoptr(GError) error = NULL;

    memory_map_begin(rig->map);
    memory_map_del(rig->map, rig->windows[i]);
    memory_map_commit(rig->map, &error);
    g_assert_no_error(error);
}

static void init_slots(BenchRig *rig, KvmLogMode mode)
{
    const KvmDirtyOps *dirty = mode.manual ? &kvm_dirty_log_manual_ops :
        &kvm_dirty_log_ops;
    g_autoptr(GError) error = NULL;

    kvm_slots_init(&rig->slots, &rig->kernel->io, dirty, mode,
                   rig->kernel->max_slots, true);
    dirty->enable(&rig->slots, &error);
    g_assert_no_error(error);
    memory_listener_register(rig->map, &rig->slots.listener, &error);
    g_assert_no_error(error);
}

BenchRig *bench_rig_new(bool real, KvmLogMode mode, uint64_t bytes,
                        unsigned n)
{
    BenchRig *rig = g_new0(BenchRig, 1);
    uint64_t unit = n * BITMAP_WORD_BITS * TM_PAGE_BYTES;
    g_autoptr(GError) error = NULL;

    big_lock();
    rig->bytes = MAX(bytes / unit, 1) * unit;
    rig->end = rig->bytes + (n - 1) * TM_PAGE_BYTES;
    rig->kernel = bench_kernel_new(real, rig->end);
    ram_list_init(&rig->ram);
    rig->map = memory_map_new(&rig->ram);
    init_slots(rig, mode);
    rig->block = ram_list_add_anon(&rig->ram, "pc.ram", rig->bytes, &error);
    g_assert_no_error(error);
    rig->windows = g_new0(unsigned, n);
    rig->n_windows = n;
    for (unsigned i = 0; i < n; i++) {
        bench_rig_show(rig, i);
    }
    return rig;
}

void bench_rig_free(BenchRig *rig)
{
    for (unsigned i = 0; i < rig->n_windows; i++) {
        bench_rig_hide(rig, i);
    }
    memory_listener_unregister(&rig->slots.listener);
    kvm_slots_done(&rig->slots);
    memory_map_free(rig->map);
    ram_list_done(&rig->ram);
    bench_kernel_free(rig->kernel);
    big_unlock();
    g_free(rig->windows);
    g_free(rig);
}

void bench_rig_sync(BenchRig *rig)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(rig->map, &error);
    g_assert_no_error(error);
    clear_bmap_arm(&rig->clear);
}

uint64_t bench_rig_walk(BenchRig *rig)
{
    uint64_t clears = 0, taken = 0;
    g_autoptr(GError) error = NULL;
    PageRun run;

    while (page_search_next(&rig->search, RUN_PAGES, &run)) {
        clear_bmap_before_read(&rig->clear, rig->map, run.block, run.first,
                               run.npages, &clears, &error);
        g_assert_no_error(error);
        for (uint64_t i = 0; i < run.npages; i++) {
            taken += dirty_bitmap_take(run.block, MIG, run.first + i);
        }
    }
    return taken;
}

void bench_rig_start(BenchRig *rig, unsigned shift)
{
    g_autoptr(GError) error = NULL;

    clear_bmap_init(&rig->clear, rig->block->npages, shift, &error);
    g_assert_no_error(error);
    page_search_init(&rig->search, rig->ram.blocks, MIG);
    dirty_log_start(rig->map, MIG, true, &error);
    g_assert_no_error(error);
    bench_rig_sync(rig);
    bench_rig_walk(rig);
}

void bench_rig_stop(BenchRig *rig)
{
    dirty_log_stop(rig->map, MIG);
    clear_bmap_done(&rig->clear);
}
