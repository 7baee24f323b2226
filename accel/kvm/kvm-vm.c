/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a VM. The order matters to the kernel: its private pages before the
 * interrupt controller, that before the timer, all before the first vCPU.
 */
#include "accel/kvm/kvm-vm.h"

#include <linux/kvm.h>

#include "util/error.h"

/*
 * Pages that KVM on Intel needs for guests in real mode: one for an identity
 * page table, three for a task state segment. They lie just below the
 * firmware's hole at the end of the first 4 GiB, where no board puts RAM.
 */
#define IDENTITY_MAP_GPA UINT64_C(0xfffbc000)
#define TSS_GPA UINT64_C(0xfffbd000)

bool kvm_vm_open(KvmIo *io, KvmCaps *caps, GError **error)
{
    const char *what = "cannot open KVM";
    int r = io->ops->open(io, &what);

    if (r < 0) {
        tm_error_set_errno(error, r, "%s", what);
        return false;
    }
    if (!kvm_caps_probe(io, caps, error)) {
        io->ops->close(io);
        return false;
    }
    return true;
}

static bool step(int r, const char *what, GError **error)
{
    if (r < 0) {
        tm_error_set_errno(error, r, "%s", what);
    }
    return r >= 0;
}

bool kvm_vm_setup(KvmIo *io, const KvmCaps *caps, GError **error)
{
    uint64_t identity = IDENTITY_MAP_GPA;
    struct kvm_pit_config pit = { 0 };

    if (caps->set_identity_map &&
        !step(kvm_vm(io, KVM_SET_IDENTITY_MAP_ADDR, &identity),
              "cannot place the identity map (KVM_SET_IDENTITY_MAP_ADDR)",
              error)) {
        return false;
    }
    return step(kvm_vm(io, KVM_SET_TSS_ADDR, KVM_ARG(TSS_GPA)),
                "cannot place the task state segment (KVM_SET_TSS_ADDR)",
                error) &&
        step(kvm_vm(io, KVM_CREATE_IRQCHIP, NULL),
             "cannot make the interrupt controllers (KVM_CREATE_IRQCHIP)",
             error) &&
        step(kvm_vm(io, KVM_CREATE_PIT2, &pit),
             "cannot make the timer (KVM_CREATE_PIT2)", error);
}
