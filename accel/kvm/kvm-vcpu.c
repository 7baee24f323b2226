/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU file, run loop and kick.
 *
 * How a kick cannot be missed. The kicker has set a flag of the vCPU under
 * the big lock; then:
 *
 *     kicker                          vCPU thread
 *                                     tests the flags under the big lock
 *     immediate_exit = 1     (a)
 *     signal                 (b)      KVM_RUN
 *                                     immediate_exit = 0     (c)
 *                                     tests the flags under the big lock
 *
 * (a) before KVM_RUN looks at immediate_exit: it returns at once. (a) after
 * that look: the signal finds the thread inside KVM_RUN, or about to enter
 * guest mode with a signal pending, which makes it leave. (a) before (c), so
 * that (c) wipes it out: the flag was set before (a) and is seen by the test
 * after (c). The handler sets immediate_exit once more for the case that the
 * signal arrives late, between (c) and the next KVM_RUN; that costs one empty
 * turn of the loop.
 *
 * An exit for port or memory I/O leaves the instruction half done; the next
 * KVM_RUN completes it before anything else, even when immediate_exit is set.
 * So the loop goes on after such exits and leaves only from a KVM_RUN that
 * said EINTR: whoever looks at the registers then finds whole instructions.
 */
#include "accel/kvm/kvm-vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-cpu.h"
#include "accel/kvm/kvm-dirty-ring.h"
#include "accel/kvm/kvm-irqchip.h"
#include "accel/kvm/kvm-ring-vm.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "trace/accel_kvm.h"
#include "util/error.h"
#include "util/linux-compat.h"

#define KICK_SIGNAL SIGUSR1
#define XSAVE_BYTES sizeof(struct kvm_xsave)

/* The calling thread's vCPU, for the handler. */
static __thread KvmVcpu *own_vcpu;

static void set_immediate_exit(KvmVcpu *kv, uint8_t on)
{
    __atomic_store_n(&kv->run->immediate_exit, on, __ATOMIC_SEQ_CST);
}

static void on_kick(int number)
{
    KvmVcpu *kv = own_vcpu;

    if (kv) {
        set_immediate_exit(kv, 1);
    }
}

bool kvm_vcpu_signal_init(GError **error)
{
    struct sigaction action = { .sa_handler = on_kick };

    sigfillset(&action.sa_mask);
    if (sigaction(KICK_SIGNAL, &action, NULL) < 0) {
        tm_error_set_errno(error, errno, "cannot catch the kick signal");
        return false;
    }
    return true;
}

/* A vCPU thread takes no other signal: not the process's, which belong to the
 * main thread. Those of its own faults must stay deliverable. */
static void block_signals(void)
{
    static const int open[] = {
        KICK_SIGNAL, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT,
    };
    sigset_t set;

    sigfillset(&set);
    for (unsigned i = 0; i < G_N_ELEMENTS(open); i++) {
        sigdelset(&set, open[i]);
    }
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static bool open_vcpu(KvmVcpu *kv, GError **error)
{
    KvmState *kvm = kv->kvm;

    kv->fd = kvm_vm(&kvm->io, KVM_CREATE_VCPU, KVM_ARG(kv->vcpu->index));
    if (kv->fd < 0) {
        tm_error_set_errno(error, kv->fd, "cannot make vCPU %u "
                           "(KVM_CREATE_VCPU)", kv->vcpu->index);
        return false;
    }
    kv->run = kvm->io.ops->mmap(&kvm->io, kv->fd, 0,
                                kvm->caps.vcpu_mmap_bytes);
    if (!kv->run) {
        tm_error_set_errno(error, errno, "cannot map the shared page of "
                           "vCPU %u", kv->vcpu->index);
        return false;
    }
    kv->run_bytes = kvm->caps.vcpu_mmap_bytes;
    return true;
}

/* Vcpu, with its counters, is gone after its thread. */
static void thread_ends(gpointer kv)
{
    kvm_ring_vcpu_ends(kv);
}

static GPrivate at_thread_end = G_PRIVATE_INIT(thread_ends);

/* Registers as the kernel made them are those after power-on. */
static bool first_state(KvmVcpu *kv, GError **error)
{
    X86CpuState *state = kv->vcpu->state;

    if (kv->kvm->caps.xsave && !state->xsave) {
        state->xsave = g_malloc0(XSAVE_BYTES);
        state->xsave_size = XSAVE_BYTES;
    }
    if (!kvm_msrs_init(kv, error) || !kvm_get_state(kv->vcpu, error)) {
        return false;
    }
    for (uint32_t i = 0; i < state->n_msrs; i++) {
        state->msrs[i].reset = state->msrs[i].value;
    }
    return true;
}

static bool make_vcpu(KvmVcpu *kv, GError **error)
{
    return open_vcpu(kv, error) && kvm_cpu_setup(kv, error) &&
        kvm_mce_setup(kv, error) && first_state(kv, error) &&
        kvm_irqchip_add_vcpu(kv, error) && kvm_ring_vcpu_map(kv, error);
}

bool kvm_vcpu_new(Vcpu *vcpu, GError **error)
{
    KvmState *kvm = kvm_state(vcpu);
    KvmVcpu *kv = g_new0(KvmVcpu, 1);

    kv->kvm = kvm;
    kv->vcpu = vcpu;
    kv->fd = -1;
    kv->thread = pthread_self();
    if (vcpu->index >= kvm->caps.max_vcpus) {
        tm_error_set(error, "KVM can do %u vCPUs at most",
                     kvm->caps.max_vcpus);
        kvm_vcpu_free(kv);
        return false;
    }
    kv->state = x86_cpu_state_new();
    vcpu->state = kv->state;
    vcpu->accel = kv;
    if (!make_vcpu(kv, error)) {
        vcpu->accel = NULL;
        vcpu->state = NULL;
        kvm_vcpu_free(kv);
        return false;
    }
    own_vcpu = kv;
    g_private_set(&at_thread_end, kv);
    block_signals();
    g_ptr_array_add(kvm->vcpus, kv);
    trace_kvm_vcpu_new(vcpu->index, kv->fd);
    return true;
}

void kvm_vcpu_free(KvmVcpu *kv)
{
    if (!kv) {
        return;
    }
    kvm_ring_vcpu_unmap(kv);
    if (kv->run) {
        munmap(kv->run, kv->run_bytes);
    }
    if (kv->fd >= 0) {
        close(kv->fd);
    }
    x86_cpu_state_free(kv->state);
    g_free(kv);
}

void kvm_vcpu_kick(Vcpu *vcpu)
{
    KvmVcpu *kv = vcpu->accel;

    if (kv) {
        set_immediate_exit(kv, 1);
        pthread_kill(kv->thread, KICK_SIGNAL);
    }
}

static int enter_guest(KvmVcpu *kv)
{
    KvmDirtyRing *rings = kv->kvm->slots.ring;
    int r;

    if (!kv->ring) {
        return kvm_vcpu(&kv->kvm->io, kv->fd, KVM_RUN, NULL);
    }
    kvm_dirty_ring_enter(rings, kv->ring);
    r = kvm_vcpu(&kv->kvm->io, kv->fd, KVM_RUN, NULL);
    kvm_dirty_ring_leave(rings);
    return r;
}

/* Newer kernels fail with an exit reason beside the error. */
static bool is_told_fault(const KvmVcpu *kv, int r)
{
    return (r == -EFAULT || r == -EHWPOISON) &&
        kv->run->exit_reason == KVM_EXIT_MEMORY_FAULT;
}

VcpuExit kvm_vcpu_run(Vcpu *vcpu)
{
    KvmVcpu *kv = vcpu->accel;

    while (!kv->failed) {
        int r = enter_guest(kv);

        if (r == -EINTR || r == -EAGAIN) {
            set_immediate_exit(kv, 0);
            return VCPU_EXIT_AGAIN;
        }
        if (r < 0 && !is_told_fault(kv, r)) {
            kvm_exit_fail(kv, "KVM_RUN failed: %s", g_strerror(-r));
            break;
        }
        if (ram_list_is_lost(&vcpu->vm->ram)) {
            return VCPU_EXIT_AGAIN; /* whatever it says, it has misread */
        }
        trace_kvm_run_exit(vcpu->index, kv->run->exit_reason);
        switch (kvm_exit_handle(kv)) {
        case KVM_GO_ON:
            break;
        case KVM_GO_HALT:
            return VCPU_EXIT_HALTED;
        case KVM_GO_OUT:
            return VCPU_EXIT_STOP;
        }
    }
    return VCPU_EXIT_STOP;
}
