/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel under a benchmark: the model of tests/unit, or /dev/kvm with a
 * vCPU that stores when it is told to. Calls go through it, and what they take
 * is added up: a figure can be told apart into the VMM's part and the
 * kernel's.
 */
#ifndef TESTS_BENCH_KERNEL_H
#define TESTS_BENCH_KERNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "../kvm/raw-guest.h"
#include "../unit/kvm-model.h"
#include "accel/kvm/kvm-ioctl.h"

typedef struct BenchKernel {
    KvmIo io;            /* for the product; passes on to ... */
    KvmIo *below;
    KvmModel *model;     /* NULL: /dev/kvm */
    KvmIo kvm;
    RawGuest *guest;
    RawVcpu *vcpu;
    uint32_t max_slots;
    uint64_t calls, ns;  /* of the product's on the VM */
} BenchKernel;

/**
 * bench_kernel_new() - a VM without slots
 * @real: /dev/kvm, with the guest's own slot beside, else the model
 * @bytes: guest-physical addresses below may get RAM
 */
BenchKernel *bench_kernel_new(bool real, uint64_t bytes);
/** bench_kernel_free() - Context: its slots are gone. */
void bench_kernel_free(BenchKernel *k);

/** bench_kernel_why_not() - NULL if there is /dev/kvm */
const char *bench_kernel_why_not(void);

/**
 * bench_kernel_dirty() - pages in [0, @bytes) become dirty in the kernel
 * @fraction: of all. In the model chance chooses which (the same ones in
 *            every process); on /dev/kvm a guest at CPL 3 stores into every
 *            so-manieth.
 */
void bench_kernel_dirty(BenchKernel *k, uint64_t bytes, double fraction);

/** bench_dirty_words() - the same in any bitmap of @npages, by chance */
void bench_dirty_words(uint64_t *words, uint64_t npages, double fraction);

/** bench_kernel_us() - time spent in calls since the last question */
double bench_kernel_us(BenchKernel *k);

#endif
