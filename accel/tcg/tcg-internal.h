/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU's parts, and what they share.
 *
 *   tcg-accel.c   the door: init, the memory listener, the vCPU's making
 *   tcg-run.c     entering the engine, leaving it, port and memory I/O
 *   tcg-dirty.c   which pages the guest has written
 *   tcg-cpu.c     CPU models
 *   tcg-engine.c  making an engine: memory, hooks, where its registers lie
 *   tcg-load.c    registers into a new engine
 *   tcg-save.c    registers out of it
 *
 * One vCPU, one engine. set_state always makes a new engine: its caches of
 * translated code then cannot know of memory as it was before a load or reset.
 */
#ifndef ACCEL_TCG_TCG_INTERNAL_H
#define ACCEL_TCG_TCG_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <unicorn/unicorn.h>

#include "accel/accel-ops.h"
#include "system/memory-listener.h"
#include "target/i386/cpu-spec.h"
#include "target/i386/cpu-state.h"

/* A window of guest memory. All of it is protected by the big lock; the bits
 * are atomic, and @dirty changes only while the vCPU is out of the engine. */
typedef struct TcgRegion {
    MemorySection section;
    uint64_t *dirty;     /* a bit per page of the section; NULL: not logged */
    uint64_t *fetched;   /* room for one fetch of them */
} TcgRegion;

/* Where the library keeps a segment register in a saved context, in bytes. */
typedef struct TcgLayout {
    size_t es;           /* the first of ES CS SS DS FS GS LDT TR */
    bool known;
} TcgLayout;

#define TCG_SEGMENT_STRIDE 24
#define TCG_MODEL_DEFAULT (-1)

typedef struct TcgCpu TcgCpu;

/* A stretch of guest-physical space that is not RAM. */
typedef struct TcgHole {
    TcgCpu *cpu;
    uint64_t gpa;
} TcgHole;

typedef struct TcgAccel {
    MemoryListener listener;
    Vm *vm;
    GPtrArray *regions;  /* of TcgRegion *, by address, owned */
    unsigned logging;    /* how many regions are being logged */
    TcgCpu *cpu;         /* the only one, or NULL; owned */
    int model;           /* UC_CPU_X86_*, or TCG_MODEL_DEFAULT */
} TcgAccel;

struct TcgCpu {
    TcgAccel *tcg;
    Vcpu *vcpu;
    X86CpuState *state;
    uc_engine *uc;         /* NULL until set_state */
    TcgLayout layout;
    uc_hook write_hook;    /* valid while @tracking */
    bool tracking;         /* the engine tells of writes; its thread's own */
    int kicked;            /* atomic: leave the engine at the next block */
    bool left;             /* we made the engine stop */
    bool in_engine;        /* a run has begun; big lock: false while the vCPU
                              is stopped, true in the hooks of a run */
    bool remap;            /* the map changed during the run; big lock */
    GArray *stale;         /* of MemorySection: windows that went away then,
                              which the engine still has; big lock */
    /* The store that is under way: marked when it is over. Its thread's. */
    uint64_t store_gpa;
    uint32_t store_bytes;  /* 0: none */
    uint64_t cr3;          /* page tables whose accessed and dirty bits the
                              engine sets; 0: none. Atomic */
    GPtrArray *holes;      /* of TcgHole *, owned */
};

/** tcg_region_find() - the region that holds @gpa, or NULL.
 *  Context: the vCPU's thread in the engine, or big lock. */
TcgRegion *tcg_region_find(TcgAccel *tcg, uint64_t gpa);

/** tcg_remap_now() - a new engine that sees memory as it is mapped now.
 *  Context: the vCPU is out of the engine. Errors: the library's; there is no
 *  engine then. */
bool tcg_remap_now(TcgCpu *cpu, GError **error);

/* tcg-cpu.c */

/** tcg_cpu_models() - the models of -cpu that the library has, and "max", its
 *  own default; ended by NULL */
const char *const *tcg_cpu_models(void);
/** tcg_cpu_choose() - the library's number of a model
 *  @spec: NULL for the default
 *  Errors: it has no such model, or is to change one. */
bool tcg_cpu_choose(const X86CpuSpec *spec, int *ret, GError **error);

/* tcg-engine.c */

/** tcg_engine_open() - a new engine with the guest's RAM, in the library's
 *  own first state; cpu->uc. Errors: the library's. */
bool tcg_engine_open(TcgCpu *cpu, GError **error);
/** tcg_engine_finish() - hooks and I/O memory, once registers are loaded. */
bool tcg_engine_finish(TcgCpu *cpu, GError **error);
/** tcg_engine_close() - none open: nothing. */
void tcg_engine_close(TcgCpu *cpu);
/** tcg_check() - turn the library's status into an error naming @what. */
bool tcg_check(uc_err status, const char *what, GError **error);
/** tcg_segment_read() - one of ES CS SS DS FS GS LDT TR, by the numbers
 *  X86_SEG_*, out of a saved context. */
void tcg_segment_read(const TcgCpu *cpu, const uc_context *context,
                      unsigned index, X86Segment *ret);

/* tcg-load.c, tcg-save.c */
bool tcg_load_state(TcgCpu *cpu, const X86CpuState *state, GError **error);
bool tcg_save_state(TcgCpu *cpu, X86CpuState *state, GError **error);

/* Registers that both move the same way. */
typedef struct TcgReg {
    int reg;         /* UC_X86_REG_* */
    size_t offset;   /* of a uint64_t in X86CpuState */
} TcgReg;
extern const TcgReg tcg_plain_regs[];  /* ended by reg 0 */
typedef struct TcgMsr {
    uint32_t index;
    size_t offset;
} TcgMsr;
extern const TcgMsr tcg_msrs[];        /* ended by index 0 */

/* tcg-run.c */
VcpuExit tcg_vcpu_run(Vcpu *vcpu);
void tcg_kick(Vcpu *vcpu);
/** tcg_hooks_add() - ports, blocks, faults; unclaimed and device memory. */
bool tcg_hooks_add(TcgCpu *cpu, GError **error);

/* tcg-dirty.c */

/** tcg_track() - make the engine tell of writes, or stop it, as the regions
 *  want. Context: the vCPU's thread, or stopped; out of the engine. */
bool tcg_track(TcgCpu *cpu, GError **error);
/** tcg_store_done() - the store noted last is in memory: mark it.
 *  Context: the vCPU's thread, or stopped and the big lock. */
void tcg_store_done(TcgCpu *cpu);
/** tcg_watch_tables() - note that the guest's page tables have changed place
 *  and mark the old ones. Context: the vCPU's thread. */
void tcg_watch_tables(TcgCpu *cpu);
/** tcg_tables_are_flat() - does every mapping lead where it is?
 *  Context: the vCPU is out of the engine. */
bool tcg_tables_are_flat(TcgCpu *cpu, const X86CpuState *state);
/** tcg_log_start() and the others - hooks of the memory listener. */
bool tcg_log_start(MemoryListener *l, const MemorySection *s, GError **error);
void tcg_log_stop(MemoryListener *l, const MemorySection *s);
bool tcg_log_sync(MemoryListener *l, const MemorySection *s, GError **error);

#endif
