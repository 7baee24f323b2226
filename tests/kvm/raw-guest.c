/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See raw-guest.h.
 */
#include "raw-guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define TABLE_SIZE UINT64_C(0x200000)  /* bytes that an entry of a PD maps */
#define CODE_AT 0x1000
#define CODE_STRIDE 0x200
#define TSS_AT 0x7000
#define TSS_BYTES 104                  /* and then the ports' bitmap */
#define TSS_PORTS_AT 102               /* where the bitmap begins; 16 bits */
#define PML4_AT 0x8000
#define PTE_BITS UINT64_C(0x67)        /* present, write, user, A, D */
#define PTE_LARGE UINT64_C(0x80)
#define PTE_ADDRESS UINT64_C(0x000ffffffffff000)
#define TSS_GPA UINT64_C(0xfffbd000)
#define CPUID_ENTRIES 256

/* mov [rdi],rsi; out RAW_PORT,al; and once more */
const uint8_t raw_store_code[] = {
    0x48, 0x89, 0x37, 0xe6, RAW_PORT, 0xeb, 0xf9,
};
const size_t raw_store_code_bytes = sizeof(raw_store_code);

static void set_slot(RawGuest *g, uint64_t bytes)
{
    struct kvm_userspace_memory_region r = {
        .slot = g->slot, .guest_phys_addr = RAW_GPA, .memory_size = bytes,
        .userspace_addr = (uintptr_t)g->host,
    };

    g_assert_cmpint(kvm_vm(g->io, KVM_SET_USER_MEMORY_REGION, &r), ==, 0);
}

/* Code at CPL 3 may use ports below 64 as the task's bitmap says. IOPL 3 does
 * on hardware, and has to on QEMU's, which does not look at the bitmap of a
 * task that is busy; a KVM that runs such code straight on the CPU (kvm_pvm)
 * takes no notice of IOPL. */
static void allow_ports(RawGuest *g)
{
    uint16_t ports_at = TSS_BYTES;

    memcpy(g->host + TSS_AT + TSS_PORTS_AT, &ports_at, sizeof(ports_at));
    memset(g->host + TSS_AT + TSS_BYTES, 0, 8);
    g->host[TSS_AT + TSS_BYTES + 8] = 0xff; /* CPUs read one byte more */
}

RawGuest *raw_guest_new(KvmIo *io, uint32_t slot)
{
    RawGuest *g = g_new0(RawGuest, 1);

    g->io = io;
    g->slot = slot;
    g->host = mmap(NULL, RAW_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(g->host != MAP_FAILED);
    g->next_table = PML4_AT + PAGE;
    /* Intel without unrestricted guests wants it, others do not mind. */
    kvm_vm(io, KVM_SET_TSS_ADDR, KVM_ARG(TSS_GPA));
    set_slot(g, RAW_BYTES);
    allow_ports(g);
    raw_guest_map(g, RAW_GPA, RAW_BYTES);
    return g;
}

void raw_guest_free(RawGuest *g)
{
    set_slot(g, 0);
    munmap(g->host, RAW_BYTES);
    g_free(g);
}

/* The table below entry @index of the one at @table, made if absent. */
static uint64_t table_below(RawGuest *g, uint64_t table, unsigned index)
{
    uint64_t *entry = (uint64_t *)(g->host + table) + index;

    if (!*entry) {
        g_assert_cmpuint(g->next_table, <, RAW_BYTES);
        *entry = (RAW_GPA + g->next_table) | PTE_BITS;
        g->next_table += PAGE;
    }
    return (*entry & PTE_ADDRESS) - RAW_GPA;
}

void raw_guest_map(RawGuest *g, uint64_t gpa, uint64_t bytes)
{
    for (uint64_t at = gpa & ~(TABLE_SIZE - 1); at < gpa + bytes;
         at += TABLE_SIZE) {
        uint64_t pdpt = table_below(g, PML4_AT, at >> 39 & 511);
        uint64_t pd = table_below(g, pdpt, at >> 30 & 511);

        ((uint64_t *)(g->host + pd))[at >> 21 & 511] =
            at | PTE_LARGE | PTE_BITS;
    }
}

static void set_cpuid(RawVcpu *v)
{
    g_autofree struct kvm_cpuid2 *cpuid =
        g_malloc0(sizeof(*cpuid) +
                  CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2));

    cpuid->nent = CPUID_ENTRIES;
    g_assert_cmpint(kvm_sys(v->g->io, KVM_GET_SUPPORTED_CPUID, cpuid), ==, 0);
    g_assert_cmpint(kvm_vcpu(v->g->io, v->fd, KVM_SET_CPUID2, cpuid), ==, 0);
}

static void set_sregs(RawVcpu *v, unsigned cpl)
{
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 8 | cpl, .present = 1, .type = 11,
        .dpl = cpl, .l = 1, .s = 1, .g = 1,
    };
    struct kvm_segment data = code;
    struct kvm_segment task = {
        .base = RAW_GPA + TSS_AT, .limit = TSS_BYTES + 8, .selector = 24,
        .present = 1, .type = 11,
    };
    struct kvm_sregs s;

    data.selector = 16 | cpl;
    data.type = 3;
    data.l = 0;
    data.db = 1;
    g_assert_cmpint(kvm_vcpu(v->g->io, v->fd, KVM_GET_SREGS, &s), ==, 0);
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.tr = task;
    s.cr0 = 0x80000033;
    s.cr3 = RAW_GPA + PML4_AT;
    s.cr4 = 0x20;
    s.efer = 0x500;
    g_assert_cmpint(kvm_vcpu(v->g->io, v->fd, KVM_SET_SREGS, &s), ==, 0);
}

RawVcpu *raw_vcpu_new(RawGuest *g, unsigned id, unsigned cpl,
                      const uint8_t *code, size_t len,
                      const struct kvm_regs *regs)
{
    RawVcpu *v = g_new0(RawVcpu, 1);
    struct kvm_regs r = *regs;

    g_assert_cmpuint(len, <=, CODE_STRIDE);
    g_assert_cmpuint(CODE_AT + (id + 1) * CODE_STRIDE, <=, TSS_AT);
    memcpy(g->host + CODE_AT + id * CODE_STRIDE, code, len);
    v->g = g;
    v->fd = kvm_vm(g->io, KVM_CREATE_VCPU, KVM_ARG(id));
    g_assert_cmpint(v->fd, >=, 0);
    v->run_bytes = kvm_sys(g->io, KVM_GET_VCPU_MMAP_SIZE, NULL);
    v->run = g->io->ops->mmap(g->io, v->fd, 0, v->run_bytes);
    g_assert_nonnull(v->run);
    set_cpuid(v);
    set_sregs(v, cpl);
    r.rip = RAW_GPA + CODE_AT + id * CODE_STRIDE;
    r.rflags = 2 | (cpl ? 0x3000 : 0); /* I/O at every level */
    g_assert_cmpint(kvm_vcpu(g->io, v->fd, KVM_SET_REGS, &r), ==, 0);
    return v;
}

void raw_vcpu_free(RawVcpu *v)
{
    munmap(v->run, v->run_bytes);
    close(v->fd);
    g_free(v);
}

int raw_vcpu_run(RawVcpu *v)
{
    int r;

    do {
        r = kvm_vcpu(v->g->io, v->fd, KVM_RUN, NULL);
    } while (r == -EINTR || r == -EAGAIN);
    return r < 0 ? r : (int)v->run->exit_reason;
}

int raw_vcpu_try(RawVcpu *v, uint64_t gpa, uint64_t value)
{
    struct kvm_regs r;
    int reason;

    g_assert_cmpint(kvm_vcpu(v->g->io, v->fd, KVM_GET_REGS, &r), ==, 0);
    r.rdi = gpa;
    r.rsi = value;
    g_assert_cmpint(kvm_vcpu(v->g->io, v->fd, KVM_SET_REGS, &r), ==, 0);
    reason = raw_vcpu_run(v);
    if (reason == KVM_EXIT_MMIO) {
        g_assert_cmphex(v->run->mmio.phys_addr, ==, gpa);
        g_assert_cmpuint(v->run->mmio.is_write, ==, 1);
        g_assert_cmpmem(v->run->mmio.data, v->run->mmio.len, &value, 8);
        g_assert_cmpint(raw_vcpu_run(v), ==, KVM_EXIT_IO);
    }
    return reason;
}

bool raw_vcpu_store(RawVcpu *v, uint64_t gpa, uint64_t value)
{
    int reason = raw_vcpu_try(v, gpa, value);

    if (reason != KVM_EXIT_MMIO) {
        g_assert_cmpint(reason, ==, KVM_EXIT_IO);
    }
    return reason == KVM_EXIT_IO;
}
