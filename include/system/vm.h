/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as the rooms below the monitor see it: memory, vCPUs, run
 * state, accelerator. One per process, made by system/main.c and passed to
 * everybody as an argument.
 */
#ifndef SYSTEM_VM_H
#define SYSTEM_VM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/cpus.h"
#include "system/irq.h"
#include "system/memory-map.h"
#include "system/ramblock.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "system/vm-clock.h"

typedef struct Accel Accel;                 /* accel/accel-ops.h */
typedef struct X86CpuSpec X86CpuSpec;       /* target/i386/cpu-spec.h */
typedef struct VmStateRegistry VmStateRegistry; /* migration/vmstate.h */

struct Vm {
    char *machine_name;      /* versioned, e.g. "pc-q35-10.0" */
    char *name;              /* -name, or NULL */
    uint8_t uuid[16];
    bool has_uuid;           /* -uuid was given */
    uint64_t ram_bytes;
    RAMList ram;
    MemoryMap *map;
    Accel *accel;            /* NULL until accel_configure() */
    const X86CpuSpec *cpu;   /* -cpu, the options'; NULL: not given, the vCPUs
                                are all that the accelerator can give */
    GPtrArray *vcpus;        /* of Vcpu *, by index */
    unsigned n_vcpus;        /* how many there will be, once the first of them
                                is being made */
    VmStateRegistry *vmstate;
    struct Board *board;     /* hw/board.h; NULL until board_create() */
    struct VmRun *run;       /* private to system/: run state, requests, clock,
                                interrupt lines, reset list */
    bool autostart;          /* no -S */
    bool incoming;           /* -incoming: wait for a stream */
};

/** vm_new() - an empty machine in run state "prelaunch" (no RAM, no vCPU). */
Vm *vm_new(void);

/** vm_free() - Context: vCPUs are gone, nobody uses it. */
void vm_free(Vm *vm);

#endif
