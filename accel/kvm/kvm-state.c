/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every other file about vCPUs and chips stands on: from a vCPU to the
 * accelerator, and ioctls whose errors are words.
 */
#include "accel/kvm/kvm-state.h"

#include "system/vm.h"
#include "util/error.h"

KvmState *kvm_state(Vcpu *vcpu)
{
    return vcpu->vm->accel->opaque;
}

bool kvm_vcpu_ioctl(KvmVcpu *kv, unsigned long request, void *arg,
                    const char *what, GError **error)
{
    int r = kvm_vcpu(&kv->kvm->io, kv->fd, request, arg);

    if (r < 0) {
        tm_error_set_errno(error, r, "%s of vCPU %u failed", what,
                           kv->vcpu->index);
    }
    return r >= 0;
}

bool kvm_chip_ioctl(KvmState *kvm, unsigned long request, void *arg,
                    const char *what, GError **error)
{
    int r = kvm_vm(&kvm->io, request, arg);

    if (r < 0) {
        tm_error_set_errno(error, r, "%s failed", what);
    }
    return r >= 0;
}
