/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the machine and what runs its vCPUs: kvm, tcg (a software
 * CPU) or qtest (no guest code at all).
 */
#ifndef ACCEL_ACCEL_OPS_H
#define ACCEL_ACCEL_OPS_H

#include <glib.h>
#include <stdbool.h>

#include "system/cpus.h"
#include "util/keyval.h"

typedef struct Accel Accel;
typedef struct Vm Vm;
typedef struct X86FeatureSet X86FeatureSet; /* target/i386/cpu-features.h */

typedef enum VcpuExit {
    VCPU_EXIT_AGAIN,    /* kicked, or an exit that was dealt with: go on */
    VCPU_EXIT_HALTED,   /* wait until something happens (no in-kernel irqchip) */
    VCPU_EXIT_STOP,     /* the accelerator has asked for a stop of the VM */
} VcpuExit;

typedef struct AccelOps {
    /**
     * Open the accelerator for @vm: registers its memory listener, interrupt
     * sink and device state. Reads its options from @accel->options, and from
     * @vm->cpu what its vCPUs are to be.
     * Context: start-up, big lock; no vCPU, no memory yet.
     * Errors:  unavailable, or an option is wrong; @vm is unchanged.
     */
    bool (*init)(Accel *accel, Vm *vm, GError **error);
    /** Make the accelerator's part of a vCPU. Context: the vCPU's thread,
     *  big lock. */
    bool (*vcpu_new)(Vcpu *vcpu, GError **error);
    /** Run the guest until an exit; deals with I/O itself.
     *  Context: the vCPU's thread, no lock held. */
    VcpuExit (*vcpu_run)(Vcpu *vcpu);
    /** Make vcpu_run return soon, or at once if it is just about to be
     *  called. Context: any thread. */
    void (*kick)(Vcpu *vcpu);
    /** Registers to and from vcpu->state.
     *  Context: the vCPU is out of guest mode; any thread, big lock.
     *  Errors: which part of the state the kernel refused. */
    bool (*get_state)(Vcpu *vcpu, GError **error);
    bool (*set_state)(Vcpu *vcpu, GError **error);
} AccelOps;

/* What there is to tell of dirty rings; counters run from the VM's start. */
typedef struct AccelRingInfo {
    bool host_known;         /* what follows was found out */
    bool logs_every_store;   /* of emulated code: rings can overflow */
    unsigned period_us;      /* between two harvests, now */
    uint64_t entries;        /* harvested */
    uint64_t dropped;        /* of these, for memory that is not tracked */
    uint64_t resets;
    uint64_t fullest;        /* entries in one ring at once, at most */
    uint64_t full_exits;     /* vCPUs stopped because their ring was full */
    uint64_t full_ns;        /* ... for so long in all */
    uint64_t lost, repaired; /* times that tracking was */
} AccelRingInfo;

struct Accel {
    const AccelOps *ops;
    const char *name;      /* "kvm", "tcg", "qtest" */
    KeyVal *options;       /* of -accel NAME,...; may be NULL */
    bool options_refused;  /* set by an init that fails because of them: the
                              next accelerator is then not tried */
    void *opaque;          /* the room's own, after init */
    void (*close)(Accel *accel);   /* set by init; frees @opaque. Context:
                                      vCPU threads are gone. NULL: nothing */
    /**
     * Who asks wants Vcpu.dirty_pages brought up to date at least every
     * @max_us, without asking; 0: nobody does, the accelerator chooses. One
     * asker at a time. NULL: writers are not told. Context: any thread.
     */
    void (*set_dirty_pace)(Accel *accel, unsigned max_us);
    /** Counters of the dirty rings. NULL: there are none. Context: any
     *  thread. */
    void (*ring_info)(Accel *accel, AccelRingInfo *ret);
    /**
     * Set by the owner, may be NULL: dirty tracking was lost, and all memory
     * counts as dirty; @count: for the how manieth time; @repaired: tracking
     * goes on, else it is tried on and on, and @error, if not NULL, says why
     * it cannot be. Context: big lock, main loop.
     */
    void (*tracking_lost)(const char *why, uint64_t count, bool repaired,
                          const char *error);
    void (*report)(const char *text); /* words for the user, several lines
                                      perhaps; any thread; may be NULL */
    /* What a query may show; filled by init, constant afterwards. */
    const char *dirty_mode;        /* "dirty-log", "dirty-log-manual",
                                      "dirty-ring", "software", "none" */
    bool manual_dirty_log_protect;
    bool initially_all_set;
    bool tells_writer;             /* Vcpu.dirty_pages is counted */
    uint32_t dirty_ring_entries;   /* per vCPU; 0: there is no dirty ring */
    bool runs_guest;               /* false for qtest */
    const char *const *cpu_models; /* the models of -cpu that it can do, ended
                                      by NULL; NULL: all there are */
    const X86FeatureSet *cpu_features; /* what a vCPU can have; NULL: not
                                          known */
};

#endif
