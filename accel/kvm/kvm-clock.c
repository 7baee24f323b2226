/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's paravirtual clock. It stands still for the guest while the machine is
 * stopped: its value at the stop is given back to the kernel at the resume.
 */
#include "accel/kvm/kvm-chips.h"

static bool fetch(KvmClock *clock, GError **error)
{
    struct kvm_clock_data data = { 0 };

    if (!kvm_chip_ioctl(clock->kvm, KVM_GET_CLOCK, &data, "KVM_GET_CLOCK",
                        error)) {
        return false;
    }
    clock->clock = data.clock;
    clock->clock_is_reliable = data.flags & KVM_CLOCK_TSC_STABLE;
    return true;
}

static bool push(KvmClock *clock, GError **error)
{
    struct kvm_clock_data data = { .clock = clock->clock };

    return kvm_chip_ioctl(clock->kvm, KVM_SET_CLOCK, &data, "KVM_SET_CLOCK",
                          error);
}

/* Tell the guest's watchdog that it was stopped. A guest that does not use
 * the clock makes the kernel refuse, which is fine. */
static void tell_vcpus(KvmState *kvm)
{
    for (guint i = 0; kvm->caps.kvmclock_ctrl && i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = g_ptr_array_index(kvm->vcpus, i);

        kvm_vcpu(&kvm->io, kv->fd, KVM_KVMCLOCK_CTRL, NULL);
    }
}

void kvm_clock_init(KvmClock *clock, KvmState *kvm)
{
    clock->kvm = kvm;
}

bool kvm_clock_stop(KvmClock *clock, GError **error)
{
    if (!clock->kvm->caps.adjust_clock) {
        return true;
    }
    if (!clock->held && !fetch(clock, error)) {
        return false;
    }
    clock->held = true;
    return true;
}

bool kvm_clock_resume(KvmClock *clock, GError **error)
{
    if (!clock->held) {
        return true;
    }
    if (!push(clock, error)) {
        return false;
    }
    tell_vcpus(clock->kvm);
    clock->held = false;
    return true;
}

static bool clock_pre_save(void *opaque, GError **error)
{
    KvmClock *clock = opaque;

    return clock->held || !clock->kvm->caps.adjust_clock ||
        fetch(clock, error);
}

static bool clock_pre_load(void *opaque, GError **error)
{
    KvmClock *clock = opaque;

    clock->clock_is_reliable = false; /* its subsection may be missing */
    return true;
}

static bool clock_post_load(void *opaque, int version, GError **error)
{
    KvmClock *clock = opaque;

    if (!clock->kvm->caps.adjust_clock) {
        return true;
    }
    clock->held = true;
    return push(clock, error);
}

static const VmStateField reliable_fields[] = {
    VMSTATE_BOOL(KvmClock, clock_is_reliable),
    VMSTATE_END
};

static const VmStateDesc reliable_desc = {
    .name = "kvmclock/clock_is_reliable",
    .version = 1,
    .minimum_version = 1,
    .fields = reliable_fields,
};

static const VmStateDesc *const clock_subsections[] = {
    &reliable_desc, NULL
};

static const VmStateField clock_fields[] = {
    VMSTATE_U64(KvmClock, clock),
    VMSTATE_END
};

const VmStateDesc kvm_clock_desc = {
    .name = "kvmclock",
    .version = 1,
    .minimum_version = 1,
    .fields = clock_fields,
    .subsections = clock_subsections,
    .pre_save = clock_pre_save,
    .pre_load = clock_pre_load,
    .post_load = clock_post_load,
};
