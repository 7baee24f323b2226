/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why KVM_RUN returned, and what is done about it: one handler per reason.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <inttypes.h>

#include "accel/kvm/kvm-dirty-ring.h"
#include "system/big-lock.h"
#include "system/memory-map.h"
#include "system/runstate.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "trace/accel_kvm.h"
#include "util/linux-compat.h"

typedef KvmAction KvmExitFn(KvmVcpu *kv);

/* 1, 2, 4 or 8 bytes of guest data in memory order. */
static uint64_t load_data(const uint8_t *data, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

static void store_data(uint8_t *data, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        data[i] = value >> (8 * i);
    }
}

/* IN, OUT, and their string forms: @count accesses of the same port. */
static KvmAction exit_io(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    MemoryMap *map = kv->kvm->vm->map;
    unsigned size = run->io.size;

    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memory_map_io_write(map, IO_SPACE_PORT, run->io.port,
                                load_data(data, size), size);
        } else {
            store_data(data, memory_map_io_read(map, IO_SPACE_PORT,
                                                run->io.port, size), size);
        }
    }
    return KVM_GO_ON;
}

/* The largest access that fits: the kernel may hand out 3, 5, 6 or 7 bytes of
 * an access that straddles pages. */
static unsigned piece_size(unsigned left)
{
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static KvmAction exit_mmio(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    MemoryMap *map = kv->kvm->vm->map;
    unsigned len = MIN(run->mmio.len, sizeof(run->mmio.data));
    unsigned size;

    for (unsigned i = 0; i < len; i += size) {
        uint8_t *data = run->mmio.data + i;
        uint64_t addr = run->mmio.phys_addr + i;

        size = piece_size(len - i);
        if (run->mmio.is_write) {
            memory_map_io_write(map, IO_SPACE_MEMORY, addr,
                                load_data(data, size), size);
        } else {
            store_data(data, memory_map_io_read(map, IO_SPACE_MEMORY, addr,
                                                size), size);
        }
    }
    return KVM_GO_ON;
}

static KvmAction exit_hlt(KvmVcpu *kv)
{
    return KVM_GO_HALT;
}

static KvmAction exit_nothing(KvmVcpu *kv)
{
    return KVM_GO_ON;
}

/* A triple fault: the CPU has stopped, hardware around it pulls reset. */
static KvmAction exit_shutdown(KvmVcpu *kv)
{
    vm_reset_request(kv->kvm->vm, SHUTDOWN_CAUSE_GUEST_RESET);
    return KVM_GO_OUT;
}

static KvmAction exit_system_event(KvmVcpu *kv)
{
    switch (kv->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        vm_shutdown_request(kv->kvm->vm, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        return KVM_GO_OUT;
    case KVM_SYSTEM_EVENT_RESET:
        vm_reset_request(kv->kvm->vm, SHUTDOWN_CAUSE_GUEST_RESET);
        return KVM_GO_OUT;
    case KVM_SYSTEM_EVENT_CRASH:
        vm_stop_request(kv->kvm->vm, RUN_STATE_GUEST_PANICKED);
        return KVM_GO_OUT;
    default:
        kvm_exit_fail(kv, "unknown system event %u",
                      kv->run->system_event.type);
        return KVM_GO_OUT;
    }
}

static KvmAction exit_fail_entry(KvmVcpu *kv)
{
    kvm_exit_fail(kv, "the hardware refused to enter the guest, reason 0x%"
                  PRIx64,
                  (uint64_t)kv->run->fail_entry.hardware_entry_failure_reason);
    return KVM_GO_OUT;
}

static const char *internal_error_text(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "an instruction cannot be emulated";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "exceptions came together";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "an exit came while an event was delivered";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "an exit with an unknown reason";
    default:
        return "of unknown kind";
    }
}

static KvmAction exit_internal_error(KvmVcpu *kv)
{
    struct kvm_run *run = kv->run;
    GString *data = g_string_new(NULL);
    uint32_t ndata = MIN(run->internal.ndata,
                         G_N_ELEMENTS(run->internal.data));

    for (uint32_t i = 0; i < ndata; i++) {
        g_string_append_printf(data, "%s0x%" PRIx64, i ? ", " : ": ",
                               (uint64_t)run->internal.data[i]);
    }
    kvm_exit_fail(kv, "internal error %u of KVM (%s)%s",
                  run->internal.suberror,
                  internal_error_text(run->internal.suberror), data->str);
    g_string_free(data, TRUE);
    return KVM_GO_OUT;
}

static KvmAction exit_unknown(KvmVcpu *kv)
{
    kvm_exit_fail(kv, "unknown hardware exit 0x%" PRIx64,
                  (uint64_t)kv->run->hw.hardware_exit_reason);
    return KVM_GO_OUT;
}

static KvmAction exit_memory_fault(KvmVcpu *kv)
{
    kvm_exit_fail(kv, "the guest touched memory that the host cannot give");
    return KVM_GO_OUT;
}

static KvmAction exit_dirty_ring_full(KvmVcpu *kv)
{
    if (!kv->ring || !kvm_dirty_ring_full(kv->kvm->slots.ring, kv->ring)) {
        kvm_exit_fail(kv, "its dirty ring is full, and nothing helps");
        return KVM_GO_OUT;
    }
    trace_kvm_ring_full(kv->vcpu->index,
                        __atomic_load_n(&kv->ring->harvested,
                                        __ATOMIC_RELAXED));
    return KVM_GO_ON;
}

static KvmExitFn *const handlers[] = {
    [KVM_EXIT_UNKNOWN] = exit_unknown,
    [KVM_EXIT_IO] = exit_io,
    [KVM_EXIT_HLT] = exit_hlt,
    [KVM_EXIT_MMIO] = exit_mmio,
    [KVM_EXIT_IRQ_WINDOW_OPEN] = exit_nothing,
    [KVM_EXIT_SHUTDOWN] = exit_shutdown,
    [KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
    [KVM_EXIT_INTR] = exit_nothing,
    [KVM_EXIT_INTERNAL_ERROR] = exit_internal_error,
    [KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
    [KVM_EXIT_DIRTY_RING_FULL] = exit_dirty_ring_full,
    [KVM_EXIT_MEMORY_FAULT] = exit_memory_fault,
};

KvmAction kvm_exit_handle(KvmVcpu *kv)
{
    uint32_t reason = kv->run->exit_reason;

    if (reason < G_N_ELEMENTS(handlers) && handlers[reason]) {
        return handlers[reason](kv);
    }
    kvm_exit_fail(kv, "exit with reason %u, which nobody handles", reason);
    return KVM_GO_OUT;
}

static char *registers_text(KvmVcpu *kv)
{
    g_autoptr(GError) error = NULL;

    if (!kvm_get_state(kv->vcpu, &error)) {
        return g_strdup_printf("no registers: %s\n", error->message);
    }
    return x86_cpu_state_to_text(kv->vcpu);
}

void kvm_exit_fail(KvmVcpu *kv, const char *fmt, ...)
{
    Accel *accel = kv->kvm->accel;
    g_autofree char *why = NULL;
    g_autofree char *registers = NULL;
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, fmt);
    why = g_strdup_vprintf(fmt, args);
    va_end(args);
    trace_kvm_vcpu_failed(kv->vcpu->index, why);

    big_lock();
    kv->failed = true;
    registers = registers_text(kv);
    text = g_strdup_printf("vCPU %u cannot go on: %s\n%s", kv->vcpu->index,
                           why, registers);
    if (accel->report) {
        accel->report(g_strchomp(text));
    }
    big_unlock();
    vm_stop_request(kv->kvm->vm, RUN_STATE_INTERNAL_ERROR);
}
