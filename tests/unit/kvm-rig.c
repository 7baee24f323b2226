/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-rig.h.
 */
#include "kvm-rig.h"

#include <linux/kvm.h>
#include <sys/mman.h>

#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "system/memory-listener.h"

const char *const rig_mode_names[RIG_MODES] = {
    "legacy", "manual", "initially-set",
};

static KvmRig *rig_new(KvmLogMode log, const KvmDirtyOps *dirty)
{
    KvmRig *rig = g_new0(KvmRig, 1);
    g_autoptr(GError) error = NULL;

    big_lock();
    rig->model = kvm_model_new(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
                               KVM_DIRTY_LOG_INITIALLY_SET);
    rig->model->offer_ring = true;
    ram_list_init(&rig->ram);
    rig->map = memory_map_new(&rig->ram);
    kvm_slots_init(&rig->slots, &rig->model->io, dirty, log, KVM_MODEL_SLOTS,
                   true);
    g_assert_true(dirty->enable(&rig->slots, &error));
    memory_listener_register(rig->map, &rig->slots.listener, &error);
    g_assert_no_error(error);
    return rig;
}

KvmRig *kvm_rig_new(RigMode mode, const KvmDirtyOps *dirty)
{
    KvmLogMode log = {
        .manual = mode != RIG_LEGACY,
        .initially_set = mode == RIG_INITIALLY_SET,
    };

    return rig_new(log, dirty ? dirty : log.manual ?
                   &kvm_dirty_log_manual_ops : &kvm_dirty_log_ops);
}

static void add_ring(KvmRig *rig, unsigned i, uint32_t entries)
{
    int fd = kvm_vm(rig->slots.io, KVM_CREATE_VCPU, KVM_ARG(i));

    g_assert_cmpint(fd, >=, 0);
    rig->rings[i].entries =
        rig->slots.io->ops->mmap(rig->slots.io, fd, KVM_DIRTY_LOG_PAGE_OFFSET,
                                 entries * sizeof(struct kvm_dirty_gfn));
    g_assert_nonnull(rig->rings[i].entries);
    rig->rings[i].ring = kvm_dirty_ring_add(rig->slots.ring,
                                            rig->rings[i].entries,
                                            rig->rings[i].by_client);
}

KvmRig *kvm_rig_new_ring(uint32_t entries, unsigned vcpus)
{
    KvmLogMode log = {
        .ring_entries = entries, .ring_capability = KVM_CAP_DIRTY_LOG_RING,
    };
    KvmRig *rig = rig_new(log, &kvm_dirty_ring_ops);

    g_assert_cmpuint(vcpus, <=, RIG_RINGS);
    for (rig->n_rings = 0; rig->n_rings < vcpus; rig->n_rings++) {
        add_ring(rig, rig->n_rings, entries);
    }
    return rig;
}

void kvm_rig_free(KvmRig *rig)
{
    for (unsigned i = 0; i < rig->n_rings; i++) {
        kvm_dirty_ring_del(rig->slots.ring, rig->rings[i].ring);
        munmap(rig->rings[i].entries, rig->slots.mode.ring_entries *
               sizeof(struct kvm_dirty_gfn));
    }
    memory_listener_unregister(&rig->slots.listener);
    kvm_dirty_ring_free(rig->slots.ring);
    kvm_slots_done(&rig->slots);
    memory_map_free(rig->map);
    ram_list_done(&rig->ram);
    kvm_model_free(rig->model);
    big_unlock();
    g_free(rig);
}

unsigned kvm_rig_show(KvmRig *rig, RAMBlock *block, uint64_t gpa,
                      uint64_t skip)
{
    uint64_t offset = skip << TM_PAGE_BITS;
    g_autoptr(GError) error = NULL;
    unsigned id;

    memory_map_begin(rig->map);
    id = memory_map_add_ram(rig->map, gpa, block->length - offset, block,
                            offset, false, &error);
    g_assert_no_error(error);
    memory_map_commit(rig->map, &error);
    g_assert_no_error(error);
    return id;
}

void kvm_rig_hide(KvmRig *rig, unsigned id)
{
    g_autoptr(GError) error = NULL;

    memory_map_begin(rig->map);
    memory_map_del(rig->map, id);
    memory_map_commit(rig->map, &error);
    g_assert_no_error(error);
}

unsigned kvm_rig_add(KvmRig *rig, const char *name, uint64_t npages,
                     uint64_t gpa, uint64_t skip, bool readonly)
{
    uint64_t offset = skip << TM_PAGE_BITS;
    g_autoptr(GError) error = NULL;
    RAMBlock *block = ram_list_add_anon(&rig->ram, name,
                                        npages << TM_PAGE_BITS, &error);
    unsigned id;

    g_assert_no_error(error);
    memory_map_begin(rig->map);
    id = memory_map_add_ram(rig->map, gpa, block->length - offset, block,
                            offset, readonly, &error);
    g_assert_no_error(error);
    memory_map_commit(rig->map, &error);
    g_assert_no_error(error);
    return id;
}

void kvm_rig_start(KvmRig *rig, DirtyClient client, bool all_ones)
{
    g_autoptr(GError) error = NULL;

    dirty_log_start(rig->map, client, all_ones, &error);
    g_assert_no_error(error);
}

void kvm_rig_sync(KvmRig *rig)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(rig->map, &error);
    g_assert_no_error(error);
}

void kvm_rig_clear(KvmRig *rig, RAMBlock *block, uint64_t first, uint64_t n)
{
    g_autoptr(GError) error = NULL;

    memory_region_clear_dirty_bitmap(rig->map, block, first, n, &error);
    g_assert_no_error(error);
}
