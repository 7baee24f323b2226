/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of one RAM block that a number of windows show, with the product's
 * memory map, slots and dirty log over a benchmark's kernel; and the
 * migration's way through it, without reading and sending.
 */
#ifndef TESTS_BENCH_RIG_H
#define TESTS_BENCH_RIG_H

#include "accel/kvm/kvm-slots.h"
#include "bench-kernel.h"
#include "migration/clear-bmap.h"
#include "migration/page-search.h"
#include "system/memory-map.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define GIB (UINT64_C(1) << 30)

typedef struct BenchRig {
    BenchKernel *kernel;
    RAMList ram;
    MemoryMap *map;
    KvmSlots slots;
    RAMBlock *block;
    uint64_t bytes;       /* of the block */
    uint64_t end;         /* of the last window; guest-physical */
    unsigned *windows;    /* their ids */
    unsigned n_windows;
    ClearBmap clear;
    PageSearch search;
} BenchRig;

/**
 * bench_rig_new() - takes the big lock, which bench_rig_free() drops
 * @real:  on /dev/kvm, else on the model
 * @mode:  of the dirty log
 * @bytes: of RAM, about: windows are of one size, and of whole words
 * @n:     windows, a page between each and the next
 */
BenchRig *bench_rig_new(bool real, KvmLogMode mode, uint64_t bytes,
                        unsigned n);
void bench_rig_free(BenchRig *rig);

/** bench_rig_show(), bench_rig_hide() - window @i, in a change of its own */
void bench_rig_show(BenchRig *rig, unsigned i);
void bench_rig_hide(BenchRig *rig, unsigned i);

/** bench_rig_sync() - a round of the migration's: fetch, merge, arm */
void bench_rig_sync(BenchRig *rig);

/**
 * bench_rig_walk() - find, clear and take, until nothing is dirty
 * Returns: pages taken.
 */
uint64_t bench_rig_walk(BenchRig *rig);

/**
 * bench_rig_start() - migration begins, and its first round is behind it
 * @shift: log2 of the pages of a chunk
 */
void bench_rig_start(BenchRig *rig, unsigned shift);
void bench_rig_stop(BenchRig *rig);

#endif
