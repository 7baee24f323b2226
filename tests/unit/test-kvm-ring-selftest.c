/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the self-test makes of kernels of each kind; one that does not get
 * through leaves the question open, and nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-ring-selftest.h"

#define ENTRIES 256u
#define PAGE 4096
#define RING_AT (KVM_DIRTY_LOG_PAGE_OFFSET * PAGE)
#define FILE_BYTES (RING_AT + ENTRIES * sizeof(struct kvm_dirty_gfn))

/* What kernel it is. */
typedef struct Kernel {
    uint32_t entries;          /* that the stores make */
    uint32_t exit_reason;      /* in the end */
    unsigned interrupted;      /* runs that a signal ends before */
    unsigned long fails;       /* this request fails; 0: none */
    /* What has come of it. */
    int file;                  /* the vCPU's; the caller has a copy */
    unsigned runs, opened, closed;
} Kernel;

static Kernel kernel; /* the seam makes a KvmIo of its own */

static int fake_open(KvmIo *io, const char **ret_what)
{
    kernel.opened++;
    return 0;
}

static void fake_close(KvmIo *io)
{
    kernel.closed++;
}

static int fake_sys(KvmIo *io, unsigned long request, void *arg)
{
    return request == KVM_GET_VCPU_MMAP_SIZE ? PAGE : -EINVAL;
}

static int fake_vm(KvmIo *io, unsigned long request, void *arg)
{
    if (request == kernel.fails) {
        return -EINVAL;
    }
    return request == KVM_CREATE_VCPU ? dup(kernel.file) : 0;
}

static void *fake_mmap(KvmIo *io, int fd, unsigned page, size_t length)
{
    void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                   (off_t)page * PAGE);

    return p == MAP_FAILED ? NULL : p;
}

/* The code's own page was written, too, before the first store. */
static void run(void)
{
    struct kvm_dirty_gfn *ring = fake_mmap(NULL, kernel.file,
                                           KVM_DIRTY_LOG_PAGE_OFFSET,
                                           FILE_BYTES - RING_AT);
    struct kvm_run *state = fake_mmap(NULL, kernel.file, 0, PAGE);

    for (uint32_t i = 0; i <= kernel.entries; i++) {
        ring[i] = (struct kvm_dirty_gfn) {
            .flags = KVM_DIRTY_GFN_F_DIRTY, .offset = i > 0,
        };
    }
    state->exit_reason = kernel.exit_reason;
    munmap(state, PAGE);
    munmap(ring, FILE_BYTES - RING_AT);
}

static int fake_vcpu(KvmIo *io, int fd, unsigned long request, void *arg)
{
    if (request == kernel.fails) {
        return -EINVAL;
    }
    if (request == KVM_RUN) {
        if (kernel.runs++ < kernel.interrupted) {
            return -EINTR;
        }
        run();
    }
    return 0;
}

static const KvmIoctlOps fake_ops = {
    .open = fake_open, .close = fake_close, .sys = fake_sys, .vm = fake_vm,
    .vcpu = fake_vcpu, .mmap = fake_mmap,
};

static KvmRingSelftest ask(Kernel k)
{
    KvmRingSelftest ret;

    kernel = k;
    kernel.file = memfd_create("kvm-ring-selftest", MFD_CLOEXEC);
    g_assert_cmpint(kernel.file, >=, 0);
    g_assert_cmpint(ftruncate(kernel.file, FILE_BYTES), ==, 0);
    kvm_ring_selftest(&fake_ops, ENTRIES, KVM_CAP_DIRTY_LOG_RING, &ret);
    g_assert_cmpuint(kernel.opened, ==, 1);
    g_assert_cmpuint(kernel.closed, ==, 1);
    close(kernel.file);
    return ret;
}

static void test_kinds_of_hosts(void)
{
    static const struct {
        Kernel kernel;
        bool known, per_store;
    } cases[] = {
        { { .entries = 1, .exit_reason = KVM_EXIT_HLT }, true, false },
        { { .entries = 2, .exit_reason = KVM_EXIT_HLT, .interrupted = 3 },
          true, false },
        { { .entries = 0, .exit_reason = KVM_EXIT_HLT }, true, false },
        { { .entries = 255, .exit_reason = KVM_EXIT_HLT }, true, true },
        { { .entries = 191, .exit_reason = KVM_EXIT_DIRTY_RING_FULL },
          true, true },
        { { .entries = 200, .exit_reason = KVM_EXIT_SHUTDOWN }, false, false },
        { { .entries = 200, .exit_reason = KVM_EXIT_INTERNAL_ERROR },
          false, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        KvmRingSelftest ret = ask(cases[i].kernel);

        g_test_message("case %u", i);
        g_assert_cmpint(ret.known, ==, cases[i].known);
        g_assert_cmpint(ret.per_store, ==, cases[i].per_store);
        g_assert_cmpuint(ret.entries, ==, cases[i].kernel.entries);
    }
}

static void test_failures_leave_it_open(void)
{
    static const unsigned long requests[] = {
        KVM_ENABLE_CAP, KVM_SET_USER_MEMORY_REGION, KVM_CREATE_VCPU,
        KVM_GET_SREGS, KVM_SET_SREGS, KVM_SET_REGS, KVM_RUN,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        KvmRingSelftest ret = ask((Kernel) {
            .entries = 255, .exit_reason = KVM_EXIT_HLT,
            .fails = requests[i],
        });

        g_test_message("request %u", i);
        g_assert_false(ret.known);
        g_assert_false(ret.per_store);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-ring-selftest/hosts", test_kinds_of_hosts);
    g_test_add_func("/kvm-ring-selftest/failures",
                    test_failures_leave_it_open);
    return g_test_run();
}
