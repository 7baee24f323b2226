/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance list on the real kernel, with vCPUs that store: at CPL 0,
 * and at CPL 3 for the rings.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "raw-guest.h"
#include "tests/unit/conform-kvm-log.h"

#define MAPPED (UINT64_C(64) << 20)


/* vCPUs are made when they are wanted: some calls must come before the
 * first. */
typedef struct RealKernel {
    ConformKernel k;
    unsigned cpl;
    RawGuest *g;
    RawVcpu *vcpus[2];
} RealKernel;

typedef struct RingCase {
    const ConformBody *body;
    uint32_t entries;
} RingCase;

static RawVcpu *real_vcpu_at(RealKernel *r, unsigned vcpu)
{
    const struct kvm_regs none = { 0 };

    if (!r->g) {
        r->g = raw_guest_new(r->k.io, r->k.max_slots - 1);
        raw_guest_map(r->g, 0, MAPPED);
    }
    if (!r->vcpus[vcpu]) {
        r->vcpus[vcpu] = raw_vcpu_new(r->g, vcpu, r->cpl, raw_store_code,
                                      raw_store_code_bytes, &none);
    }
    return r->vcpus[vcpu];
}

static bool real_store(ConformKernel *k, uint64_t gpa, uint64_t value)
{
    return raw_vcpu_store(real_vcpu_at(k->opaque, 0), gpa, value);
}

static int real_vcpu(ConformKernel *k, unsigned vcpu)
{
    return real_vcpu_at(k->opaque, vcpu)->fd;
}

static int real_try_store(ConformKernel *k, unsigned vcpu, uint64_t gpa,
                          uint64_t value)
{
    int reason = raw_vcpu_try(real_vcpu_at(k->opaque, vcpu), gpa, value);

    return reason == KVM_EXIT_IO ? 0 : reason;
}

static void *real_map(ConformKernel *k, int vcpu_fd, int prot, int flags,
                      unsigned page, size_t length)
{
    void *p = mmap(NULL, length, prot, flags, vcpu_fd,
                   (off_t)page * getpagesize());

    return p == MAP_FAILED ? NULL : p;
}

static void free_guest(RealKernel *r)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(r->vcpus); i++) {
        if (r->vcpus[i]) {
            raw_vcpu_free(r->vcpus[i]);
        }
    }
    if (r->g) {
        raw_guest_free(r->g);
    }
}

static bool open_kernel(KvmIo *io, KvmCaps *caps)
{
    g_autoptr(GError) error = NULL;

    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return false;
    }
    *io = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1, .vm_fd = -1 };
    kvm_vm_open(io, caps, &error);
    g_assert_no_error(error);
    return true;
}

static bool has_ring(KvmIo *io)
{
    return kvm_vm(io, KVM_CHECK_EXTENSION,
                  KVM_ARG(KVM_CAP_DIRTY_LOG_RING)) > 0;
}

static void run_body(const ConformBody *body, KvmIo *io, const KvmCaps *caps,
                     const RingCase *ring, uint32_t reserved)
{
    RealKernel r = {
        .k = { .io = io, .max_slots = caps->max_slots, .store = real_store,
               .vcpu = real_vcpu, .try_store = real_try_store,
               .map = real_map, .ring_reserved = reserved,
               .ring_entries = ring ? ring->entries : 0 },
        .cpl = ring ? 3 : 0, /* at CPL 0 some KVM store for the guest */
    };

    r.k.opaque = &r;
    if (caps->manual_protect != 3) {
        g_test_skip("KVM without initially-set dirty logs");
    } else if (body->needs_ring && !has_ring(io)) {
        g_test_skip("KVM without dirty rings");
    } else {
        body->run(&r.k);
        free_guest(&r);
    }
}

static void test_kernel(gconstpointer body)
{
    KvmCaps caps;
    KvmIo io;

    if (open_kernel(&io, &caps)) {
        run_body(body, &io, &caps, NULL, 0);
        io.ops->close(&io);
    }
}

/* Entries above the limit: those of a hardware buffer too, if the smallest
 * ring is refused for them. */
static uint32_t ring_reserve(void)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_DIRTY_LOG_RING,
        .args = { 256 * sizeof(struct kvm_dirty_gfn) },
    };
    bool accepted;
    KvmCaps caps;
    KvmIo io;

    g_assert_true(open_kernel(&io, &caps));
    accepted = kvm_vm(&io, KVM_ENABLE_CAP, &cap) == 0;
    io.ops->close(&io);
    return accepted ? 64 : 64 + 512;
}

static void test_ring(gconstpointer data)
{
    const RingCase *c = data;
    KvmCaps caps;
    KvmIo io;

    if (!open_kernel(&io, &caps)) {
        return;
    }
    if (has_ring(&io) && c->entries <= ring_reserve()) {
        g_test_skip("KVM reserves more than this ring has");
    } else {
        run_body(c->body, &io, &caps, c, ring_reserve());
    }
    io.ops->close(&io);
}

static void add_ring_tests(void)
{
    static const uint32_t entries[] = { 256, 1024 };

    for (const ConformBody *b = conform_ring_bodies; b->name; b++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
            g_autofree char *path =
                g_strdup_printf("/kvm-conform/kernel/ring/%s/%u", b->name,
                                entries[i]);
            RingCase *c = g_new(RingCase, 1);

            *c = (RingCase) { b, entries[i] };
            g_test_add_data_func_full(path, c, test_ring, g_free);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const ConformBody *b = conform_bodies; b->name; b++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/kernel/%s",
                                                b->name);

        g_test_add_data_func(path, b, test_kernel);
    }
    add_ring_tests();
    return g_test_run();
}
