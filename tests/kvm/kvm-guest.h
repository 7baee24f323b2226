/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small machine on the real KVM for tests: 64 MiB of RAM, one or more vCPUs
 * that begin in long mode with 1 GiB mapped one to one, at CPL 0 or at CPL 3
 * (with I/O allowed), and a port that counts what the guest writes to it.
 */
#ifndef TESTS_KVM_GUEST_H
#define TESTS_KVM_GUEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-vcpu.h"
#include "system/vm.h"

#define GUEST_RAM_BYTES (UINT64_C(64) << 20)
#define GUEST_CODE 0x1000
#define GUEST_DATA UINT64_C(0x100000)  /* from here on RAM is the test's */
#define GUEST_PORT 0x10
#define GUEST_MMIO UINT64_C(0x3f000000)

typedef struct KvmGuest {
    Vm *vm;
    Accel *accel;
    RAMBlock *ram;
    uint64_t passes;         /* OUTs to GUEST_PORT; atomic */
    uint32_t last_out;       /* atomic */
    uint32_t in_value;       /* what IN gives; counts up */
    uint64_t mmio;           /* the one register at GUEST_MMIO */
    unsigned mmio_sizes[9];  /* accesses by size */
} KvmGuest;

/** kvm_guest_skip() - says why and returns true where there is no KVM */
bool kvm_guest_skip(void);

/* One of the ways to run a guest that a test is to be tried with. */
typedef struct KvmGuestWay {
    const char *mode;        /* of the dirty log: "legacy", ... */
    const char *options;     /* of -accel, for that */
    bool manual, initially_set;
    unsigned cpl;            /* of the guest's code: 0 or 3 */
} KvmGuestWay;

/** kvm_guest_add_cases() - a case @path/MODE/cplN for every mode of the log
 *  and both privilege levels; @fn is given a KvmGuestWay */
void kvm_guest_add_cases(const char *path, GTestDataFunc fn);

/** kvm_guest_new() - @options as in -accel kvm,OPTIONS (or NULL); takes the
 *  big lock, which kvm_guest_free() drops. Fails the test on errors. */
KvmGuest *kvm_guest_new(const char *options, unsigned n_vcpus);
/** kvm_guest_new_cpu() - the same; @cpu: as of -cpu, or NULL; is the caller's
 *  and outlives the guest */
KvmGuest *kvm_guest_new_cpu(const char *options, const X86CpuSpec *cpu,
                            unsigned n_vcpus);
/** kvm_guest_new_ram() - the same with other RAM, below GUEST_MMIO */
KvmGuest *kvm_guest_new_ram(const char *options, uint64_t ram_bytes,
                            unsigned n_vcpus);
void kvm_guest_free(KvmGuest *g);

/** kvm_guest_load() - put code where vCPU @index begins */
void kvm_guest_load(KvmGuest *g, unsigned index, const uint8_t *code,
                    size_t len);

/** kvm_guest_enter() - vCPU @index to the start of its code in long mode */
void kvm_guest_enter(KvmGuest *g, unsigned index, unsigned cpl);

/** kvm_guest_wait_passes() - drop the lock until @n more OUTs have come */
void kvm_guest_wait_passes(KvmGuest *g, uint64_t n);

KvmVcpu *kvm_guest_vcpu(KvmGuest *g, unsigned index);

/* A guest program under construction. */
typedef struct Code {
    uint8_t bytes[256];
    unsigned n;
} Code;

void code_bytes(Code *c, const void *bytes, unsigned n);
#define CODE(c, ...)                                                       \
    code_bytes(c, (const uint8_t[]) { __VA_ARGS__ },                       \
               sizeof((const uint8_t[]) { __VA_ARGS__ }))
/** code_mov() - mov REG, value; @reg: X86_RAX.. */
void code_mov(Code *c, unsigned reg, uint64_t value);
/** code_jump_back() - a two-byte jump (0xeb, or a condition) to @target */
void code_jump_back(Code *c, uint8_t opcode, unsigned target);
/** code_out() - OUT GUEST_PORT, AL */
void code_out(Code *c);

/** code_pass() - rcx into every page from @first up to rbx; changes rdi */
void code_pass(Code *c, uint64_t first);

/** code_writer() - for ever: a number that grows into every page of
 *  [first, end), then OUT */
void code_writer(Code *c, uint64_t first, uint64_t end);
/** code_scatter() - for ever: a number that grows into pages at random out of
 *  @npages (a power of two) from @first on; OUT every 256 stores */
void code_scatter(Code *c, uint64_t first, uint64_t npages, uint64_t seed);

#endif
