/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door of the KVM room: puts the parts together, in the order that the
 * kernel wants, and fills AccelOps.
 *
 *     options, /dev/kvm, capabilities   kvm-options.c kvm-ioctl.c kvm-caps.c
 *     dirty log mode, or dirty rings    before the first slot; kvm-dirty-log.c
 *                                       or kvm-dirty-ring.c kvm-ring-vm.c
 *     private pages, chips              before the first vCPU; kvm-vm.c
 *     CPU model                         kvm-cpu.c
 *     slots, by the memory listener     kvm-slots.c
 *     vCPUs, each from its thread       kvm-vcpu.c kvm-exit.c kvm-regs.c
 */
#include "accel/accel.h"

#include "accel/kvm/kvm-cpu.h"
#include "accel/kvm/kvm-irqchip.h"
#include "accel/kvm/kvm-ring-vm.h"
#include "accel/kvm/kvm-slots.h"
#include "accel/kvm/kvm-state.h"
#include "accel/kvm/kvm-vcpu.h"
#include "accel/kvm/kvm-vm.h"
#include "system/irq.h"
#include "system/memory-listener.h"
#include "system/vm.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

static void irq_sink(void *opaque, unsigned gsi, bool level)
{
    KvmState *kvm = opaque;
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    /* Fails only for a line that the chips do not have. */
    kvm_vm(&kvm->io, KVM_IRQ_LINE, &line);
}

/* Context: vCPU threads are gone. */
static void kvm_free(KvmState *kvm)
{
    kvm_irqchip_free(kvm->irqchip);
    for (guint i = 0; i < kvm->vcpus->len; i++) {
        kvm_vcpu_free(g_ptr_array_index(kvm->vcpus, i));
    }
    g_ptr_array_free(kvm->vcpus, TRUE);
    if (kvm->slots.listener.map) {
        memory_listener_unregister(&kvm->slots.listener);
    }
    kvm_ring_vm_done(kvm);
    kvm_slots_done(&kvm->slots);
    kvm->io.ops->close(&kvm->io);
    if (kvm->msrs) {
        g_array_free(kvm->msrs, TRUE);
    }
    kvm_cpu_done(kvm);
    g_free(kvm);
}

static void kvm_close(Accel *accel)
{
    kvm_free(accel->opaque);
    accel->opaque = NULL;
}

/* What was asked for and the kernel lacks is a wrong option, too. */
static bool open_vm(KvmState *kvm, const KvmOptions *options, GError **error)
{
    if (!kvm_vm_open(&kvm->io, &kvm->caps, error)) {
        return false;
    }
    if (!kvm_ring_choose(options, kvm->caps.ring_bytes, &kvm->mode, error) ||
        (!kvm->mode.ring_entries &&
         !kvm_log_mode_choose(options, kvm->caps.manual_protect, &kvm->mode,
                              error))) {
        kvm->accel->options_refused = true;
        return false;
    }
    kvm->mode.ring_capability = kvm->caps.ring_capability;
    return true;
}

static bool set_up(KvmState *kvm, GError **error)
{
    const KvmDirtyOps *dirty =
        kvm->mode.ring_entries ? &kvm_dirty_ring_ops :
        kvm->mode.manual ? &kvm_dirty_log_manual_ops : &kvm_dirty_log_ops;

    kvm_slots_init(&kvm->slots, &kvm->io, dirty, kvm->mode,
                   kvm->caps.max_slots, kvm->caps.readonly_mem);
    if (!dirty->enable(&kvm->slots, error)) {
        /* as in open_vm(): it was asked for */
        kvm->accel->options_refused = kvm->mode.ring_entries != 0;
        return false;
    }
    if (!kvm_vm_setup(&kvm->io, &kvm->caps, error) ||
        !kvm_cpu_init(kvm, error) || !kvm_vcpu_signal_init(error)) {
        return false;
    }
    return memory_listener_register(kvm->vm->map, &kvm->slots.listener, error);
}

static bool kvm_init(Accel *accel, Vm *vm, GError **error)
{
    KvmOptions options;
    KvmState *kvm;

    if (!kvm_options_parse(accel->options, &options, error)) {
        accel->options_refused = true;
        return false;
    }
    kvm = g_new0(KvmState, 1);
    kvm->vm = vm;
    kvm->accel = accel;
    kvm->io = (KvmIo) {
        .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1, .vm_fd = -1,
    };
    kvm->vcpus = g_ptr_array_new();
    g_mutex_init(&kvm->repair_lock);
    if (!open_vm(kvm, &options, error) || !set_up(kvm, error)) {
        kvm_free(kvm);
        return false;
    }
    kvm_ring_vm_init(kvm, &options);
    accel->opaque = kvm;
    accel->close = kvm_close;
    accel->dirty_mode = kvm->slots.dirty->name;
    accel->manual_dirty_log_protect = kvm->mode.manual;
    accel->initially_all_set = kvm->mode.initially_set;
    accel->runs_guest = true;
    accel->cpu_features = &kvm->host_features;
    vm_irq_set_sink(vm, irq_sink, kvm);
    return true;
}

const AccelOps accel_kvm_ops = {
    .init = kvm_init,
    .vcpu_new = kvm_vcpu_new,
    .vcpu_run = kvm_vcpu_run,
    .kick = kvm_vcpu_kick,
    .get_state = kvm_get_state,
    .set_state = kvm_set_state,
};
