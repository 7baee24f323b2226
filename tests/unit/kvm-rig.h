/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A memory map with KVM's listener on it and the kernel model behind that.
 */
#ifndef TESTS_KVM_RIG_H
#define TESTS_KVM_RIG_H

#include "accel/kvm/kvm-dirty-ring.h"
#include "kvm-model.h"
#include "system/memory-map.h"

typedef enum RigMode {
    RIG_LEGACY,         /* GET clears */
    RIG_MANUAL,
    RIG_INITIALLY_SET,
    RIG_MODES,
} RigMode;

#define RIG_RINGS 2

extern const char *const rig_mode_names[RIG_MODES];

typedef struct KvmRig {
    KvmModel *model;
    RAMList ram;
    MemoryMap *map;
    KvmSlots slots;
    unsigned n_rings;        /* vCPUs of kvm_rig_new_ring() */
    struct {
        struct kvm_dirty_gfn *entries;
        KvmRing *ring;
        uint64_t by_client[DIRTY_CLIENT_MAX];
    } rings[RIG_RINGS];
} KvmRig;

/** kvm_rig_new() - without memory; @dirty NULL: what the mode uses */
KvmRig *kvm_rig_new(RigMode mode, const KvmDirtyOps *dirty);

/** kvm_rig_new_ring() - with dirty rings of @entries, for @vcpus vCPUs */
KvmRig *kvm_rig_new_ring(uint32_t entries, unsigned vcpus);
void kvm_rig_free(KvmRig *rig);

/** kvm_rig_add() - a block of @npages, of which all from page @skip on are
 *  shown at @gpa. Returns: the window's id. */
unsigned kvm_rig_add(KvmRig *rig, const char *name, uint64_t npages,
                     uint64_t gpa, uint64_t skip, bool readonly);

/** kvm_rig_show() - show a block again; kvm_rig_hide() - take a window away */
unsigned kvm_rig_show(KvmRig *rig, RAMBlock *block, uint64_t gpa,
                      uint64_t skip);
void kvm_rig_hide(KvmRig *rig, unsigned id);

/** kvm_rig_start(), kvm_rig_sync(), kvm_rig_clear() - of dirty-sync.h and
 *  memory-listener.h; errors fail the test */
void kvm_rig_start(KvmRig *rig, DirtyClient client, bool all_ones);
void kvm_rig_sync(KvmRig *rig);
void kvm_rig_clear(KvmRig *rig, RAMBlock *block, uint64_t first, uint64_t n);

#endif
