/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs straight on KVM's interface, without the product between: a slot of
 * their own for code, page tables and a control page, and code that stores.
 * Guests run in long mode at CPL 0 or 3 with the mapped ranges one to one.
 */
#ifndef TESTS_RAW_GUEST_H
#define TESTS_RAW_GUEST_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

#define RAW_GPA UINT64_C(0xd0000000)  /* the guests' own slot, not logged */
#define RAW_BYTES (UINT64_C(1) << 20)
#define RAW_PORT 0x10

typedef struct RawGuest {
    KvmIo *io;
    uint32_t slot;
    uint8_t *host;       /* RAW_BYTES; the control page is the first one */
    uint64_t next_table; /* offset of the first page not yet used */
} RawGuest;

typedef struct RawVcpu {
    RawGuest *g;
    int fd;
    struct kvm_run *run;
    size_t run_bytes;
} RawVcpu;

/** raw_guest_new() - @slot: id of the slot that it makes */
RawGuest *raw_guest_new(KvmIo *io, uint32_t slot);
void raw_guest_free(RawGuest *g);

/** raw_guest_map() - let virtual addresses be these physical ones; before the
 *  first vCPU runs */
void raw_guest_map(RawGuest *g, uint64_t gpa, uint64_t bytes);

/** raw_vcpu_new() - in long mode at the start of @code; @regs but for rip */
RawVcpu *raw_vcpu_new(RawGuest *g, unsigned id, unsigned cpl,
                      const uint8_t *code, size_t len,
                      const struct kvm_regs *regs);
void raw_vcpu_free(RawVcpu *v);

/** raw_vcpu_run() - until the next exit. Returns: its reason, -errno. */
int raw_vcpu_run(RawVcpu *v);

/**
 * raw_vcpu_try() - @v, which runs raw_store_code, stores 8 bytes
 * Returns: how it left: KVM_EXIT_IO after the store, KVM_EXIT_MMIO where the
 * store did; with other reasons there was none, and it may be tried again.
 */
int raw_vcpu_try(RawVcpu *v, uint64_t gpa, uint64_t value);

/**
 * raw_vcpu_store() - the same; other exits fail the test
 * Returns: false if the store left as MMIO.
 */
bool raw_vcpu_store(RawVcpu *v, uint64_t gpa, uint64_t value);

extern const uint8_t raw_store_code[];
extern const size_t raw_store_code_bytes;

#endif
