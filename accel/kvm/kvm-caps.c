/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities, probed once. Some are asked of the VM, because their answer
 * may differ from the system's; every kernel since 3.x takes both.
 */
#include "accel/kvm/kvm-caps.h"

#include <linux/kvm.h>

#include "util/error.h"

static int ask(KvmIo *io, int cap)
{
    int r = kvm_vm(io, KVM_CHECK_EXTENSION, KVM_ARG(cap));

    return r < 0 ? 0 : r;
}

/* Kernels that do not tell have had at least these. */
#define DEFAULT_SLOTS 32
#define DEFAULT_VCPUS 4

static void probe_numbers(KvmIo *io, KvmCaps *caps)
{
    int slots = ask(io, KVM_CAP_NR_MEMSLOTS);
    int soft = ask(io, KVM_CAP_NR_VCPUS);
    int hard = ask(io, KVM_CAP_MAX_VCPUS);
    int mmap_bytes = kvm_sys(io, KVM_GET_VCPU_MMAP_SIZE, NULL);

    caps->max_slots = slots > 0 ? slots : DEFAULT_SLOTS;
    caps->max_vcpus = hard > 0 ? hard : soft > 0 ? soft : DEFAULT_VCPUS;
    caps->vcpu_mmap_bytes = mmap_bytes > 0 ? mmap_bytes : 0;
    caps->manual_protect = ask(io, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) &
        (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
}

/* Both mean the same on x86; the newer one says that the order between kernel
 * and user space, which it asks for, is kept. */
static void probe_ring(KvmIo *io, KvmCaps *caps)
{
    static const uint32_t capabilities[] = {
        KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        int bytes = ask(io, capabilities[i]);

        if (bytes > 0) {
            caps->ring_bytes = bytes;
            caps->ring_capability = capabilities[i];
            return;
        }
    }
}

static bool check_needed(const KvmCaps *caps, GError **error)
{
    const char *missing =
        !caps->irqchip ? "an interrupt controller (KVM_CAP_IRQCHIP)" :
        !caps->pit2 ? "a timer (KVM_CAP_PIT2)" :
        !caps->immediate_exit ? "KVM_CAP_IMMEDIATE_EXIT" :
        !caps->vcpu_events ? "KVM_CAP_VCPU_EVENTS" :
        !caps->mp_state ? "KVM_CAP_MP_STATE" :
        !caps->vcpu_mmap_bytes ? "KVM_GET_VCPU_MMAP_SIZE" : NULL;

    if (missing) {
        g_set_error(error, TM_ERROR, TM_ERROR_KVM_MISSING_CAP,
                    "this kernel's KVM lacks %s", missing);
        return false;
    }
    return true;
}

bool kvm_caps_probe(KvmIo *io, KvmCaps *caps, GError **error)
{
    *caps = (KvmCaps) {
        .readonly_mem = ask(io, KVM_CAP_READONLY_MEM),
        .irqchip = ask(io, KVM_CAP_IRQCHIP),
        .pit2 = ask(io, KVM_CAP_PIT2) && ask(io, KVM_CAP_PIT_STATE2),
        .immediate_exit = ask(io, KVM_CAP_IMMEDIATE_EXIT),
        .xsave = ask(io, KVM_CAP_XSAVE),
        .xcrs = ask(io, KVM_CAP_XCRS),
        .debugregs = ask(io, KVM_CAP_DEBUGREGS),
        .vcpu_events = ask(io, KVM_CAP_VCPU_EVENTS),
        .mp_state = ask(io, KVM_CAP_MP_STATE),
        .get_tsc_khz = ask(io, KVM_CAP_GET_TSC_KHZ),
        .tsc_control = ask(io, KVM_CAP_TSC_CONTROL),
        .tsc_deadline = ask(io, KVM_CAP_TSC_DEADLINE_TIMER),
        .adjust_clock = ask(io, KVM_CAP_ADJUST_CLOCK),
        .kvmclock_ctrl = ask(io, KVM_CAP_KVMCLOCK_CTRL),
        .msr_features = ask(io, KVM_CAP_GET_MSR_FEATURES),
        .nested_bytes = ask(io, KVM_CAP_NESTED_STATE),
        .hyperv_evmcs = ask(io, KVM_CAP_HYPERV_ENLIGHTENED_VMCS),
        .mce_banks = ask(io, KVM_CAP_MCE),
        .set_identity_map = ask(io, KVM_CAP_SET_IDENTITY_MAP_ADDR),
    };
    probe_numbers(io, caps);
    probe_ring(io, caps);
    return check_needed(caps, error);
}
