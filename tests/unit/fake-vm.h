/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine for tests of the run half: run state, requests, clock and vCPU
 * threads, but no memory; and an accelerator whose "guest" counts.
 */
#ifndef TESTS_FAKE_VM_H
#define TESTS_FAKE_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel-ops.h"
#include "system/vm.h"

/* Behind vcpu->accel; all fields atomic. */
typedef struct FakeCpu {
    int kicked;          /* leave the guest, or do not enter it */
    int in_guest;
    uint64_t steps;      /* the guest's progress */
    int next_exit;       /* VcpuExit the next run ends with by itself, or -1 */
    int sets, gets;      /* calls of set_state and get_state */
    int bad_entries;     /* entered with the big lock held */
    void (*hook)(Vcpu *vcpu); /* the next exit for a device runs it */
    int in_store;        /* of its own: comes out only while somebody hurries
                            (ram_list_hurry()) */
    int hurried;         /* how often it came out so, or was synchronised
                            while somebody did */
} FakeCpu;

extern const AccelOps fake_accel_ops;

/* The vcpu_new of this vCPU fails; -1: none does. */
extern int fake_fail_vcpu;

/* What set_state says. */
extern bool fake_refuse_state;

/** fake_vm_new() - with the fake accelerator and no vCPU; takes the lock */
Vm *fake_vm_new(void);
/** fake_vm_free() - with its vCPUs; drops the lock */
void fake_vm_free(Vm *vm);

FakeCpu *fake_cpu(Vm *vm, unsigned index);
uint64_t fake_steps(Vm *vm, unsigned index);

/** fake_wait_steps() - until the vCPU has made @n more steps; the lock is
 *  dropped meanwhile. Fails the test after ten seconds. */
void fake_wait_steps(Vm *vm, unsigned index, uint64_t n);

/** fake_serve() - let the main loop serve what was requested */
void fake_serve(void);

#endif
