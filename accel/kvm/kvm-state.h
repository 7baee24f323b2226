/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator as a whole: what kvm-all.c puts together and the other
 * files of the room share. One per machine, behind accel->opaque.
 */
#ifndef ACCEL_KVM_KVM_STATE_H
#define ACCEL_KVM_KVM_STATE_H

#include <glib.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/accel-ops.h"
#include "accel/kvm/kvm-caps.h"
#include "accel/kvm/kvm-ioctl.h"
#include "accel/kvm/kvm-options.h"
#include "accel/kvm/kvm-ring-selftest.h"
#include "accel/kvm/kvm-ring.h"
#include "accel/kvm/kvm-slots.h"
#include "target/i386/cpu-features.h"

typedef struct Vm Vm;
typedef struct KvmIrqchip KvmIrqchip; /* kvm-irqchip.h */

/* How it stands with dirty tracking that was lost. */
typedef enum KvmRepairTold {
    KVM_REPAIR_DONE,
    KVM_REPAIR_DUE,
    KVM_REPAIR_BROKEN,   /* and cannot be made */
} KvmRepairTold;

typedef struct KvmState {
    Vm *vm;
    Accel *accel;
    KvmIo io;
    KvmCaps caps;
    KvmLogMode mode;
    KvmSlots slots;
    KvmRingSelftest ring_host; /* how this host fills dirty rings */
    GMutex repair_lock;        /* repair_source */
    guint repair_source;       /* of the main loop; 0: no repair is due */
    unsigned repair_ms;        /* until the next attempt; big lock */
    bool repair_at_once;       /* repair_source waits for nothing */
    KvmRepairTold repair_told; /* how it stood last; big lock */
    gint64 told_us;            /* when that was told, monotonic; big lock */
    GArray *cpuid;            /* of X86CpuidEntry: the guest's, but for what
                                 differs from vCPU to vCPU */
    X86FeatureSet host_features; /* that a vCPU can have */
    GArray *vmx_msrs;         /* of struct kvm_msr_entry: capabilities of
                                 nested VMX; NULL: the guest has none */
    bool evmcs;               /* the enlightened VMCS was asked for */
    uint32_t pkru_offset;     /* in the XSAVE area; 0: none */
    GArray *msrs;             /* of uint32_t: MSRs that can be read and set */
    GPtrArray *vcpus;         /* of KvmVcpu *, in order of creation */
    KvmIrqchip *irqchip;      /* NULL until the first vCPU */
} KvmState;

typedef struct KvmVcpu {
    KvmState *kvm;
    Vcpu *vcpu;            /* gone before this is */
    X86CpuState *state;    /* = vcpu->state; owned */
    int fd;
    struct kvm_run *run;   /* shared with the kernel */
    size_t run_bytes;
    KvmRing *ring;         /* NULL: the VM has none */
    struct kvm_dirty_gfn *ring_map;
    pthread_t thread;
    bool failed;           /* cannot run until its state is set anew;
                              its thread, or big lock while it is stopped */
} KvmVcpu;

/** kvm_state() - of a machine whose accelerator is KVM. */
KvmState *kvm_state(Vcpu *vcpu);

/** kvm_vcpu_ioctl() - an ioctl on the vCPU, its error in words
 *  @what: "KVM_GET_REGS"
 *  Errors: "what of vCPU n failed: ..." Returns: false on error. */
bool kvm_vcpu_ioctl(KvmVcpu *kv, unsigned long request, void *arg,
                    const char *what, GError **error);

/** kvm_chip_ioctl() - an ioctl on the VM, its error in words.
 *  Errors: "what failed: ..." */
bool kvm_chip_ioctl(KvmState *kvm, unsigned long request, void *arg,
                    const char *what, GError **error);

#endif
