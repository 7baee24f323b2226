/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance list on the real kernel, with a vCPU at CPL 0 that stores.
 */
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "raw-guest.h"
#include "tests/unit/conform-kvm-log.h"

#define MAPPED (UINT64_C(64) << 20)

/* The vCPU is made when it is wanted: some calls must come before the first.*/
typedef struct RealKernel {
    ConformKernel k;
    RawGuest *g;
    RawVcpu *v;
} RealKernel;

static bool real_store(ConformKernel *k, uint64_t gpa, uint64_t value)
{
    RealKernel *r = k->opaque;
    const struct kvm_regs none = { 0 };

    if (!r->v) {
        r->g = raw_guest_new(k->io, k->max_slots - 1);
        raw_guest_map(r->g, 0, MAPPED);
        r->v = raw_vcpu_new(r->g, 0, 0, raw_store_code, raw_store_code_bytes,
                            &none);
    }
    return raw_vcpu_store(r->v, gpa, value);
}

static void run_body(const ConformBody *body, KvmIo *io, const KvmCaps *caps)
{
    RealKernel r = {
        .k = { .io = io, .max_slots = caps->max_slots, .store = real_store },
    };

    r.k.opaque = &r;
    if (caps->manual_protect != 3) {
        g_test_skip("KVM without initially-set dirty logs");
        return;
    }
    if (body->needs_ring &&
        kvm_vm(io, KVM_CHECK_EXTENSION, KVM_ARG(KVM_CAP_DIRTY_LOG_RING)) <= 0) {
        g_test_skip("KVM without dirty rings");
        return;
    }
    body->run(&r.k);
    if (r.v) {
        raw_vcpu_free(r.v);
        raw_guest_free(r.g);
    }
}

static void test_kernel(gconstpointer body)
{
    KvmIo io = { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1, .vm_fd = -1 };
    g_autoptr(GError) error = NULL;
    KvmCaps caps;

    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return;
    }
    kvm_vm_open(&io, &caps, &error);
    g_assert_no_error(error);
    run_body(body, &io, &caps);
    io.ops->close(&io);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const ConformBody *b = conform_bodies; b->name; b++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/kernel/%s",
                                                b->name);

        g_test_add_data_func(path, b, test_kernel);
    }
    return g_test_run();
}
