/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory to be frozen: RAM blocks of every kind, threads that write them all
 * the time, and a kernel that does what it is told to forget or to fail.
 */
#ifndef TESTS_FREEZE_RIG_H
#define TESTS_FREEZE_RIG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/memory-map.h"
#include "system/ram-freeze.h"
#include "util/userfaultfd.h"

typedef enum RigKind {
    RIG_ANONYMOUS,
    RIG_SHARED_ANONYMOUS,
    RIG_MEMFD_SHARED,
    RIG_MEMFD_PRIVATE,
    RIG_TMPFS,
    RIG_HUGETLB,
    RIG_KINDS,
} RigKind;

#define RIG_BLOCKS 2
#define RIG_PAGE UINT64_C(4096)

typedef struct Rig {
    RAMList list;
    RAMBlock *blocks[RIG_BLOCKS];
    unsigned n_blocks;
    HostMem *mem[RIG_BLOCKS];
    uint64_t total_pages;
    unsigned n_fds;            /* open in this process before */
    RamFreezeConfig config;    /* all blocks; may be changed */

    /* writers */
    GPtrArray *threads;
    GMutex lock;
    GCond changed;
    bool pause, end;           /* atomic */
    unsigned paused;
    uint64_t reach;            /* pages from 0 on that are written; atomic */
    uint64_t stores;           /* atomic */
} Rig;

/** rig_kind_name() - for paths of tests */
const char *rig_kind_name(RigKind kind);

/**
 * rig_new() - @n blocks of a kind, the first of @npages, the second of 33
 * pages (or two huge ones)
 * Returns: to be freed with rig_free(); NULL if the host cannot, and the test
 *          is skipped with the reason.
 */
Rig *rig_new(RigKind kind, unsigned n, uint64_t npages);

/** rig_free() - ends the writers. Nothing is frozen any more, and no
 *  descriptor is left open. */
void rig_free(Rig *rig);

/** rig_page() - of all blocks, one after another; @ret_block may be NULL */
uint8_t *rig_page(const Rig *rig, uint64_t page, unsigned *ret_block);

/** rig_fill() - random bytes into @n pages from 0 on, every third is zero. */
void rig_fill(Rig *rig, uint64_t n);

/** rig_start() - @n threads that write random pages below rig->reach */
void rig_start(Rig *rig, unsigned n);
/** rig_pause() - returns when none writes. rig_resume() - they go on. */
void rig_pause(Rig *rig);
void rig_resume(Rig *rig);

/** A thread that makes one store. rig_store_is_done(): at this moment. */
typedef struct RigStore RigStore;
RigStore *rig_store_begin(Rig *rig, uint64_t page, uint64_t value);
/** rig_guest_begin() - as the VMM stores; @fill: by guest_memset() */
RigStore *rig_guest_begin(MemoryMap *map, uint64_t gpa, bool fill);
bool rig_store_is_done(RigStore *store);
/** rig_store_end() - waits until it is done, which must be within 120 s. */
void rig_store_end(RigStore *store);

/** rig_store() - by the calling thread; rig_load() - what is there now */
void rig_store(Rig *rig, uint64_t page, uint64_t value);
uint64_t rig_load(const Rig *rig, uint64_t page);

/** rig_freeze() - new and arm, by @rig->config; must succeed */
RamFreeze *rig_freeze(Rig *rig);

/** rig_check_released() - all of it can be written, and be frozen anew */
void rig_check_released(Rig *rig);

/** rig_wait() - until a number of ram_freeze_stats() is @least or more */
#define rig_wait(freeze, field, least)                                       \
    do {                                                                     \
        RamFreezeStats stats_;                                               \
                                                                             \
        ram_freeze_stats(freeze, &stats_);                                   \
        if (stats_.field >= (least)) {                                       \
            break;                                                           \
        }                                                                    \
        rig_wait_a_little();                                                 \
    } while (1)
/** rig_wait_a_little() - for conditions; fails the test after 120 s in all */
void rig_wait_a_little(void);

/* What the kernel is to do wrong, and what it was asked for; reset by
 * rig_new(). To be changed by rig_set() while anything is frozen. */
typedef struct RigFaults {
    uint64_t hide;             /* features it does not know */
    int fail_protect_at;       /* the n-th call from now; 0: none; -1: all */
    int fail_unprotect_at;
    int fail_register_at;
    unsigned release;          /* UFFD_RELEASE() that it says; 0: the true */
    /* Called in the saver's thread after it has done so. */
    void (*on_protect)(uint64_t start, uint64_t bytes, void *opaque);
    void (*on_unprotect)(uint64_t start, uint64_t bytes, void *opaque);
    void (*on_unregister)(uint64_t start, uint64_t bytes, void *opaque);
    void *opaque;
    char order[32];            /* p, u, r, R (unregister), the first of them */
    int fd;                    /* of the last call */
} RigFaults;

extern RigFaults rig_faults;
extern GMutex rig_faults_lock;

#define rig_set(field, value)                                                \
    do {                                                                     \
        g_mutex_lock(&rig_faults_lock);                                      \
        rig_faults.field = (value);                                          \
        g_mutex_unlock(&rig_faults_lock);                                    \
    } while (0)

/** rig_order() - what it was asked for; to be freed */
char *rig_order(void);
/** rig_wait_for_fault() - until somebody waits whose fault is not read yet;
 *  for the hooks */
void rig_wait_for_fault(void);
/** rig_kernel() - the real one, but for rig_faults */
const UffdKernel *rig_kernel(void);

/** rig_can_freeze() - false: skipped, with the reason. */
bool rig_can_freeze(const Rig *rig);

#endif
