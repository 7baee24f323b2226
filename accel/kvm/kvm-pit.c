/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8254, between the kernel's structure and the section "i8254". The
 * kernel counts from an instant of the host's monotonic clock, the section
 * from one of the VM clock; the difference is taken when the machine stops
 * and added again when it goes on, so that no ticks are lost or invented.
 */
#include "accel/kvm/kvm-chips.h"

#include "system/vm-clock.h"
#include "system/vm.h"

static int64_t host_minus_vm_ns(const KvmPit *pit)
{
    return g_get_monotonic_time() * 1000 - vm_clock_ns(pit->kvm->vm);
}

#define FOR_EACH_FIELD(X)                                                  \
    X(count) X(latched_count) X(count_latched) X(status_latched)           \
    X(status) X(read_state) X(write_state) X(write_latch) X(rw_mode)       \
    X(mode) X(bcd) X(gate)

static void from_kernel(KvmPit *pit, const struct kvm_pit_state2 *state)
{
    int64_t delta = host_minus_vm_ns(pit);

    pit->irq_disabled = state->flags & KVM_PIT_FLAGS_HPET_LEGACY;
    for (unsigned i = 0; i < G_N_ELEMENTS(pit->channels); i++) {
        const struct kvm_pit_channel_state *from = &state->channels[i];
        KvmPitChannel *to = &pit->channels[i];

#define GET(field) to->field = from->field;
        FOR_EACH_FIELD(GET)
#undef GET
        to->count_load_time = from->count_load_time - delta;
        to->next_transition = -1; /* the kernel keeps the timer */
    }
    pit->next_transition = -1;
}

static void to_kernel(const KvmPit *pit, struct kvm_pit_state2 *state)
{
    int64_t delta = host_minus_vm_ns(pit);

    *state = (struct kvm_pit_state2) {
        .flags = pit->irq_disabled ? KVM_PIT_FLAGS_HPET_LEGACY : 0,
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(pit->channels); i++) {
        const KvmPitChannel *from = &pit->channels[i];
        struct kvm_pit_channel_state *to = &state->channels[i];

#define SET(field) to->field = from->field;
        FOR_EACH_FIELD(SET)
#undef SET
        to->count_load_time = from->count_load_time + delta;
    }
}

static bool fetch(KvmPit *pit, GError **error)
{
    struct kvm_pit_state2 state;

    if (!kvm_chip_ioctl(pit->kvm, KVM_GET_PIT2, &state, "KVM_GET_PIT2",
                        error)) {
        return false;
    }
    from_kernel(pit, &state);
    return true;
}

static bool push(KvmPit *pit, GError **error)
{
    struct kvm_pit_state2 state;

    to_kernel(pit, &state);
    return kvm_chip_ioctl(pit->kvm, KVM_SET_PIT2, &state, "KVM_SET_PIT2",
                          error);
}

bool kvm_pit_init(KvmPit *pit, KvmState *kvm, GError **error)
{
    pit->kvm = kvm;
    return kvm_chip_ioctl(kvm, KVM_GET_PIT2, &pit->reset, "KVM_GET_PIT2",
                          error);
}

bool kvm_pit_reset(KvmPit *pit, GError **error)
{
    pit->held = false;
    return kvm_chip_ioctl(pit->kvm, KVM_SET_PIT2, &pit->reset, "KVM_SET_PIT2",
                          error);
}

bool kvm_pit_stop(KvmPit *pit, GError **error)
{
    if (!pit->held && !fetch(pit, error)) {
        return false;
    }
    pit->held = true;
    return true;
}

bool kvm_pit_resume(KvmPit *pit, GError **error)
{
    if (pit->held && !push(pit, error)) {
        return false;
    }
    pit->held = false;
    return true;
}

static bool pit_pre_save(void *opaque, GError **error)
{
    KvmPit *pit = opaque;

    return pit->held || fetch(pit, error);
}

static bool pit_post_load(void *opaque, int version, GError **error)
{
    KvmPit *pit = opaque;

    pit->held = true;
    return push(pit, error);
}

static const VmStateField channel_fields[] = {
    VMSTATE_I32(KvmPitChannel, count),
    VMSTATE_U16(KvmPitChannel, latched_count),
    VMSTATE_U8(KvmPitChannel, count_latched),
    VMSTATE_U8(KvmPitChannel, status_latched),
    VMSTATE_U8(KvmPitChannel, status),
    VMSTATE_U8(KvmPitChannel, read_state),
    VMSTATE_U8(KvmPitChannel, write_state),
    VMSTATE_U8(KvmPitChannel, write_latch),
    VMSTATE_U8(KvmPitChannel, rw_mode),
    VMSTATE_U8(KvmPitChannel, mode),
    VMSTATE_U8(KvmPitChannel, bcd),
    VMSTATE_U8(KvmPitChannel, gate),
    VMSTATE_I64(KvmPitChannel, count_load_time),
    VMSTATE_I64(KvmPitChannel, next_transition),
    VMSTATE_END
};

static const VmStateDesc channel_desc = {
    .name = "pit channel",
    .version = 2,
    .minimum_version = 2,
    .fields = channel_fields,
};

static const VmStateField pit_fields[] = {
    VMSTATE_U32(KvmPit, irq_disabled),
    VMSTATE_STRUCT_ARRAY(KvmPit, channels, 3, channel_desc),
    VMSTATE_I64(KvmPit, next_transition),
    VMSTATE_END
};

const VmStateDesc kvm_pit_desc = {
    .name = "i8254",
    .version = 3,
    .minimum_version = 3,
    .fields = pit_fields,
    .pre_save = pit_pre_save,
    .post_load = pit_post_load,
};
