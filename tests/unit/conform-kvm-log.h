/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of capabilities, slots, GET and CLEAR, and of dirty rings, for the
 * kernel model and for the real kernel alike: calls with their results, bits
 * and entries after a guest's stores. Each body wants a fresh VM without slots
 * and vCPUs.
 */
#ifndef TESTS_CONFORM_KVM_LOG_H
#define TESTS_CONFORM_KVM_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

typedef struct ConformKernel {
    KvmIo *io;
    uint32_t max_slots;        /* of an address space; ids from max_slots - 2
                                  on may be the guest's own */
    /**
     * A guest stores 8 bytes at @gpa, which lies in the first 64 MiB.
     * Returns: false if the store left as an MMIO write of @value instead.
     */
    bool (*store)(struct ConformKernel *k, uint64_t gpa, uint64_t value);
    /* For the bodies of the ring: */
    uint32_t ring_entries;     /* the size that they enable */
    uint32_t ring_reserved;    /* entries of it above the limit */
    /** The file of vCPU 0 or 1, made when it is first asked for. */
    int (*vcpu)(struct ConformKernel *k, unsigned vcpu);
    /**
     * The same store by vCPU 0 or 1, by code of which KVM logs faults.
     * Returns: 0, KVM_EXIT_MMIO where it left as that, or
     * KVM_EXIT_DIRTY_RING_FULL, when it was not made and may be tried again.
     */
    int (*try_store)(struct ConformKernel *k, unsigned vcpu, uint64_t gpa,
                     uint64_t value);
    /** mmap(2) of such a file, from @page on. NULL with errno. */
    void *(*map)(struct ConformKernel *k, int vcpu_fd, int prot, int flags,
                 unsigned page, size_t length);
    void *opaque;
} ConformKernel;

typedef struct ConformBody {
    const char *name;
    void (*run)(ConformKernel *k);
    bool needs_ring;           /* a VM that offers a dirty ring */
    bool loses;                /* it shows how a kernel loses pages */
} ConformBody;

/* All bodies but those of the ring, and these; the last has no name. */
extern const ConformBody conform_bodies[];
extern const ConformBody conform_ring_bodies[];

#endif
