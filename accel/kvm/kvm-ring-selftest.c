/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VM of two pages and one vCPU: the first holds the code, in real mode, the
 * second takes its stores. It halts at the end, which leaves the kernel as
 * there is no interrupt controller.
 */
#include "accel/kvm/kvm-ring-selftest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/accel_kvm.h"

#define PAGE_BYTES 4096
#define GUEST_BYTES (2 * PAGE_BYTES)
#define STORES 300
/* More entries than this for one page are not the first store's. */
#define FEW_ENTRIES 8
#define TSS_GPA 0xfffbd000

/* mov cx,STORES; mov [0x1000],cl; loop; hlt */
static const uint8_t code[] = {
    0xb9, STORES & 0xff, STORES >> 8, 0x88, 0x0e, 0x00, 0x10, 0xe2, 0xfa,
    0xf4,
};

typedef struct Scratch {
    KvmIo io;
    uint8_t *memory;
    int vcpu_fd;
    struct kvm_run *run;
    size_t run_bytes;
    struct kvm_dirty_gfn *ring;
    uint32_t entries;
} Scratch;

static void *map_anonymous(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static bool make_vm(Scratch *s, uint32_t capability)
{
    struct kvm_enable_cap cap = {
        .cap = capability, .args = { s->entries * sizeof(*s->ring) },
    };
    struct kvm_userspace_memory_region region = {
        .flags = KVM_MEM_LOG_DIRTY_PAGES, .memory_size = GUEST_BYTES,
    };
    const char *what;

    s->memory = map_anonymous(GUEST_BYTES);
    if (!s->memory || s->io.ops->open(&s->io, &what) < 0) {
        return false;
    }
    memcpy(s->memory, code, sizeof(code));
    region.userspace_addr = (uintptr_t)s->memory;
    kvm_vm(&s->io, KVM_SET_TSS_ADDR, KVM_ARG(TSS_GPA));
    return kvm_vm(&s->io, KVM_ENABLE_CAP, &cap) == 0 &&
        kvm_vm(&s->io, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static bool make_vcpu(Scratch *s)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rflags = 2 };
    int run_bytes = kvm_sys(&s->io, KVM_GET_VCPU_MMAP_SIZE, NULL);

    s->vcpu_fd = kvm_vm(&s->io, KVM_CREATE_VCPU, NULL);
    if (s->vcpu_fd < 0 || run_bytes <= 0) {
        return false;
    }
    s->run_bytes = run_bytes;
    s->run = s->io.ops->mmap(&s->io, s->vcpu_fd, 0, s->run_bytes);
    s->ring = s->io.ops->mmap(&s->io, s->vcpu_fd, KVM_DIRTY_LOG_PAGE_OFFSET,
                              s->entries * sizeof(*s->ring));
    if (!s->run || !s->ring ||
        kvm_vcpu(&s->io, s->vcpu_fd, KVM_GET_SREGS, &sregs) < 0) {
        return false;
    }
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    return kvm_vcpu(&s->io, s->vcpu_fd, KVM_SET_SREGS, &sregs) == 0 &&
        kvm_vcpu(&s->io, s->vcpu_fd, KVM_SET_REGS, &regs) == 0;
}

/* A small ring may be full before the end, if every store is an entry and the
 * kernel heeds the limit: that says enough. */
static bool run_to_end(Scratch *s)
{
    int r;

    do {
        r = kvm_vcpu(&s->io, s->vcpu_fd, KVM_RUN, NULL);
    } while (r == -EINTR || r == -EAGAIN);
    return r == 0 && (s->run->exit_reason == KVM_EXIT_HLT ||
                      s->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL);
}

/* Entries of the page that was stored to, until one that was not pushed. */
static uint32_t count_entries(const Scratch *s)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < s->entries; i++) {
        if (__atomic_load_n(&s->ring[i].flags, __ATOMIC_ACQUIRE) !=
            KVM_DIRTY_GFN_F_DIRTY) {
            break;
        }
        found += s->ring[i].offset == 1;
    }
    return found;
}

static void unmake(Scratch *s)
{
    if (s->ring) {
        munmap(s->ring, s->entries * sizeof(*s->ring));
    }
    if (s->run) {
        munmap(s->run, s->run_bytes);
    }
    if (s->vcpu_fd >= 0) {
        close(s->vcpu_fd);
    }
    s->io.ops->close(&s->io);
    if (s->memory) {
        munmap(s->memory, GUEST_BYTES);
    }
}

void kvm_ring_selftest(const KvmIoctlOps *ops, uint32_t entries,
                       uint32_t capability, KvmRingSelftest *ret)
{
    Scratch s = {
        .io = { .ops = ops, .sys_fd = -1, .vm_fd = -1 }, .vcpu_fd = -1,
        .entries = entries,
    };
    gint64 begin_us, ns;

    *ret = (KvmRingSelftest) { 0 };
    if (make_vm(&s, capability) && make_vcpu(&s)) {
        begin_us = g_get_monotonic_time();
        ret->known = run_to_end(&s);
        ns = (g_get_monotonic_time() - begin_us) * 1000;
        ret->entries = count_entries(&s);
        ret->store_ns = ns /
            (ret->entries > FEW_ENTRIES ? ret->entries : STORES);
        ret->per_store = ret->known && ret->entries > FEW_ENTRIES;
    }
    unmake(&s);
    trace_kvm_ring_selftest(ret->known, ret->per_store, ret->entries,
                            ret->store_ns);
}
