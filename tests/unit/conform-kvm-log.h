/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of capabilities, slots, GET and CLEAR, for the kernel model and
 * for the real kernel alike: calls with their results, and bits after a
 * guest's stores. Each body wants a fresh VM without slots.
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
    void *opaque;
} ConformKernel;

typedef struct ConformBody {
    const char *name;
    void (*run)(ConformKernel *k);
    bool needs_ring;           /* a VM that offers a dirty ring */
} ConformBody;

/* All bodies; the last has no name. */
extern const ConformBody conform_bodies[];

#endif
