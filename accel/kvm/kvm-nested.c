/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a vCPU is in the middle of running a guest of its own. That state
 * is the kernel's and is not carried; who saves the vCPU refuses while there
 * is some (cpu-wire.c), because the guest would go on with half a machine. A
 * vCPU that is set anew (a reset, a load) leaves it first: the registers given
 * would otherwise be taken for those of the inner guest.
 */
#include "accel/kvm/kvm-vcpu.h"

#include "system/cpus.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"

#define VMX_IS_OFF UINT64_MAX  /* in the place of VMXON's operand */

static bool is_under_way(const struct kvm_nested_state *n,
                         const X86CpuState *s)
{
    if (n->format == KVM_STATE_NESTED_FORMAT_VMX) {
        return n->hdr.vmx.vmxon_pa != VMX_IS_OFF;
    }
    /* Between CLGI and VMRUN no interrupt may come; nothing else tells. */
    return n->flags & KVM_STATE_NESTED_GUEST_MODE ||
        (s->efer & X86_EFER_SVME && !(n->flags & KVM_STATE_NESTED_GIF_SET));
}

static struct kvm_nested_state *read_state(KvmVcpu *kv, GError **error)
{
    size_t bytes = MAX(kv->kvm->caps.nested_bytes,
                       sizeof(struct kvm_nested_state));
    g_autofree struct kvm_nested_state *n = g_malloc0(bytes);

    n->size = bytes;
    if (!kvm_vcpu_ioctl(kv, KVM_GET_NESTED_STATE, n, "KVM_GET_NESTED_STATE",
                        error)) {
        return NULL;
    }
    return g_steal_pointer(&n);
}

bool kvm_nested_get(KvmVcpu *kv, GError **error)
{
    g_autofree struct kvm_nested_state *n = NULL;
    X86CpuState *s = kv->vcpu->state;

    s->nested = false;
    if (!kv->kvm->caps.nested_bytes) {
        return true;
    }
    n = read_state(kv, error);
    if (!n) {
        return false;
    }
    s->nested = is_under_way(n, s);
    return true;
}

bool kvm_nested_leave(KvmVcpu *kv, GError **error)
{
    g_autofree struct kvm_nested_state *n = NULL;
    struct kvm_nested_state none = { .size = sizeof(none) };

    if (!kv->kvm->caps.nested_bytes) {
        return true;
    }
    n = read_state(kv, error);
    if (!n) {
        return false;
    }
    none.format = n->format;
    if (n->format == KVM_STATE_NESTED_FORMAT_VMX) {
        none.hdr.vmx.vmxon_pa = VMX_IS_OFF;
        none.hdr.vmx.vmcs12_pa = VMX_IS_OFF;
        if (n->hdr.vmx.vmxon_pa == VMX_IS_OFF) {
            return true;
        }
    } else {
        none.flags = KVM_STATE_NESTED_GIF_SET;
        if (!(n->flags & KVM_STATE_NESTED_GUEST_MODE) &&
            n->flags & KVM_STATE_NESTED_GIF_SET) {
            return true;
        }
    }
    return kvm_vcpu_ioctl(kv, KVM_SET_NESTED_STATE, &none,
                          "KVM_SET_NESTED_STATE", error);
}
