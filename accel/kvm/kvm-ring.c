/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Harvesting one ring, in order; see kvm-ring.h.
 */
#include "accel/kvm/kvm-ring.h"

static struct kvm_dirty_gfn *entry(const KvmRing *r, uint32_t index)
{
    return &r->entries[index & (r->n - 1)];
}

static uint32_t flags(const KvmRing *r, uint32_t index)
{
    return __atomic_load_n(&entry(r, index)->flags, __ATOMIC_ACQUIRE);
}

static bool is_dirty(const KvmRing *r, uint32_t index)
{
    return flags(r, index) == KVM_DIRTY_GFN_F_DIRTY;
}

void kvm_ring_init(KvmRing *r, struct kvm_dirty_gfn *entries, uint32_t n)
{
    *r = (KvmRing) { .entries = entries, .n = n };
}

uint32_t kvm_ring_harvest(KvmRing *r, KvmRingFn *fn, void *opaque)
{
    uint32_t begin = r->next;

    while (r->next - r->reset < r->n && is_dirty(r, r->next)) {
        struct kvm_dirty_gfn *e = entry(r, r->next);

        fn(opaque, __atomic_load_n(&e->slot, __ATOMIC_RELAXED),
           __atomic_load_n(&e->offset, __ATOMIC_RELAXED));
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        r->next++;
    }
    r->last = r->next - begin;
    if (r->last) {
        __atomic_fetch_add(&r->harvested, r->last, __ATOMIC_RELEASE);
        __atomic_store_n(&r->repairs, 0, __ATOMIC_RELAXED);
    }
    return r->last;
}

uint32_t kvm_ring_given(const KvmRing *r)
{
    return r->next - r->reset;
}

bool kvm_ring_is_whole(const KvmRing *r)
{
    return kvm_ring_given(r) == r->n;
}

/* A full exit from before says nothing any more. */
static void taken_up_to(KvmRing *r, uint32_t index)
{
    if (r->reset != index) {
        __atomic_fetch_add(&r->taken, index - r->reset, __ATOMIC_RELEASE);
        __atomic_store_n(&r->stuck, false, __ATOMIC_RELEASE);
        r->reset = index;
    }
}

void kvm_ring_all_taken(KvmRing *r)
{
    taken_up_to(r, r->next);
}

void kvm_ring_find_taken(KvmRing *r)
{
    uint32_t index = r->reset;

    while (index != r->next && flags(r, index) == 0) {
        index++;
    }
    taken_up_to(r, index);
}

bool kvm_ring_came_round(const KvmRing *r)
{
    return r->last && is_dirty(r, r->next - r->last - 1);
}

/* The flag ahead is read first. If it is set, what was pushed before it can
 * be seen by now. */
bool kvm_ring_is_ahead(const KvmRing *r)
{
    uint32_t given = kvm_ring_given(r);

    for (uint32_t i = given < r->n ? r->n - 1 - given : 0; i-- > 0; ) {
        if (is_dirty(r, r->next + 1 + i)) {
            return !is_dirty(r, r->next);
        }
    }
    return false;
}

bool kvm_ring_has_entries(const KvmRing *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (flags(r, i)) {
            return true;
        }
    }
    return false;
}
