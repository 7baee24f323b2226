/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See ring-reader.h.
 */
#include "ring-reader.h"

#include <sys/mman.h>

void ring_reader_init(RingReader *r, KvmIo *io, int vcpu_fd, uint32_t size)
{
    r->entries = io->ops->mmap(io, vcpu_fd, KVM_DIRTY_LOG_PAGE_OFFSET,
                               size * sizeof(struct kvm_dirty_gfn));
    g_assert_nonnull(r->entries);
    r->size = size;
    r->next = 0;
}

void ring_reader_done(RingReader *r)
{
    munmap(r->entries, r->size * sizeof(struct kvm_dirty_gfn));
    r->entries = NULL;
}

bool ring_reader_take(RingReader *r, struct kvm_dirty_gfn *ret)
{
    struct kvm_dirty_gfn *e = &r->entries[r->next % r->size];

    /* Pairs with the kernel's release of an entry that it has filled. */
    if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) !=
        KVM_DIRTY_GFN_F_DIRTY) {
        return false;
    }
    ret->flags = KVM_DIRTY_GFN_F_DIRTY;
    ret->slot = __atomic_load_n(&e->slot, __ATOMIC_RELAXED);
    ret->offset = __atomic_load_n(&e->offset, __ATOMIC_RELAXED);
    /* Pairs with the kernel's acquire when it resets. */
    __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
    r->next++;
    return true;
}

uint32_t ring_reader_skip(RingReader *r, uint32_t n)
{
    struct kvm_dirty_gfn e;
    uint32_t done = 0;

    while (done < n && ring_reader_take(r, &e)) {
        done++;
    }
    return done;
}
