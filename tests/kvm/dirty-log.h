/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is every write of a running guest logged? Guests store the number of the
 * iteration (and a count, so that no two stores are alike) into random pages,
 * while the host collects all the time: fetch, clear, take, read. One body
 * for several kernels and several ways to collect:
 *
 *     machine    where guests run: /dev/kvm; the model with vCPUs that are
 *                threads; the model with vCPUs that run step by step in the
 *                middle of calls, the same way for the same seed
 *     tracker    how dirty pages are learnt: raw ioctls with bookkeeping of
 *                its own, by the log or by rings; the product's memory map,
 *                slots and bitmaps
 *
 * What is checked, per iteration, with the guests running:
 *
 *   - a page that differs from what was read of it last is remembered, and
 *     has to be reported in the next iteration (carry-over);
 *   - the number in a page is never above the iteration;
 *   - a page that is reported was written in this iteration or the one
 *     before. One that was not is counted, and there may be no more than one
 *     for each vCPU and collection: a fault marks, then its store is late, by
 *     a whole iteration if its ring was full then;
 *   - at least so many pages were dirty, and some were clean.
 *
 * And whenever the guests are parked: after one more collection what was read
 * is what is there, page for page.
 */
#ifndef TESTS_DIRTY_LOG_H
#define TESTS_DIRTY_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"
#include "system/hostmem.h"

#define DL_PAGE UINT64_C(4096)
#define DL_MAX_VCPUS 8
#define DL_STORES 64          /* of a vCPU between two sync points, if not
                                 chosen */
#define DL_DEVICE_AT 64       /* bytes into a page: what devices write */

typedef enum DlMode {
    DL_DIRTY_LOG,             /* GET only */
    DL_CLEAR_LOG,             /* GET and CLEAR */
    DL_CLEAR_LOG_SET,         /* the same, every bit set at the start */
    DL_DIRTY_RING,            /* no log at all */
    DL_MODES,
    DL_LOG_MODES = DL_DIRTY_RING,
} DlMode;

extern const char *const dl_mode_names[DL_MODES];

typedef enum DlBacking {
    DL_ANONYMOUS, DL_THP, DL_MEMFD, DL_HUGETLB, DL_BACKINGS,
} DlBacking;

extern const char *const dl_backing_names[DL_BACKINGS];

/* What a host can do wrong; each has to be caught. */
typedef enum DlMutant {
    DL_RIGHT,
    DL_CLEAR_ALL_ONES,        /* CLEAR names every page, known or not */
    DL_CLEAR_AFTER_READ,
    DL_PRIVATE_COPY,          /* a second user clears by its own copy */
    DL_GET_NOT_MERGED,        /* what every other GET showed is dropped */
    DL_LATE_STOP,             /* the last collection comes before the stop */
    DL_NEIGHBOUR,             /* edges are not masked, cache bits stay */
    DL_KEEP_CACHE,            /* cache bits stay after their clear */
    DL_PRESET,                /* a cache of ones where the kernel has none */
    DL_BEFORE_RESET,          /* rings: told before the reset */
    DL_SKIP_ENTRY,            /* ... some entry is given back unread */
    DL_TRUST_RESET,           /* ... signals may end a reset, and nobody looks
                                 at what it returns */
    DL_RING_SET,              /* ... with logs that would begin all set */
    DL_MUTANTS,
    DL_RING_MUTANTS = DL_BEFORE_RESET,  /* from here on */
} DlMutant;

extern const char *const dl_mutant_names[DL_MUTANTS];

typedef struct DlMachine DlMachine;
typedef struct DlTracker DlTracker;

typedef struct DlMachineOps {
    const char *name;
    /** Open the VM. Returns: NULL, or why it cannot be had here. */
    const char *(*open)(DlMachine *m);
    /** Make the guests; they touch every page, then are parked. */
    void (*start)(DlMachine *m);
    /** A moment in which the guests may run. */
    void (*moment)(DlMachine *m);
    /** All guests to a sync point, and on from there. */
    void (*park)(DlMachine *m);
    void (*resume)(DlMachine *m);
    void (*close)(DlMachine *m);
} DlMachineOps;

typedef struct DlTrackerOps {
    const char *name;
    void (*map)(DlTracker *t);        /* slots, not yet logged */
    void (*start)(DlTracker *t);
    void (*fetch)(DlTracker *t);
    void (*clear)(DlTracker *t, uint64_t first, uint64_t n);
    /** Move the bits of a range to @words. */
    void (*take)(DlTracker *t, uint64_t first, uint64_t n, uint64_t *words);
    /** Write into @page as a device would, and mark it. Any thread. */
    void (*write)(DlTracker *t, uint64_t page, uint64_t value);
    void (*stop)(DlTracker *t);
    void (*unmap)(DlTracker *t);
} DlTrackerOps;

extern const DlMachineOps dl_machine_kvm, dl_machine_model, dl_machine_stepped;
extern const DlTrackerOps dl_tracker_raw, dl_tracker_ring, dl_tracker_engine;

/** dl_raw_tracker() - that of raw ioctls, for the log or for rings */
const DlTrackerOps *dl_raw_tracker(DlMode mode);

struct KvmModel;

typedef struct DlConfig {
    const DlMachineOps *machine;
    const DlTrackerOps *tracker;
    DlMode mode;
    DlBacking backing;
    DlMutant mutant;
    unsigned model_bug;       /* KvmModelBug */
    void (*model_init)(struct KvmModel *model);  /* or NULL */
    uint32_t seed;
    unsigned iterations, interval_ms, vcpus, cpl, slots;
    unsigned syncs;           /* of each vCPU in an iteration, at least */
    unsigned stores;          /* between two of them */
    uint64_t npages, offset;  /* of guest memory; gpa of its first page */
    uint32_t ring_entries;
    unsigned period_us;       /* of who collects rings beside the guests */
    unsigned storm_us;        /* signals to every thread; 0: none */
} DlConfig;

typedef struct DlStats {
    uint64_t iterations, collections, dirty, clean, carried, old, stores;
    uint64_t parked;          /* times that all was compared */
    uint64_t passes, entries, full_exits, repairs;  /* of rings */
    char *failure;            /* NULL: nothing was lost */
    char *noticed;            /* it had to end, as the kernel lost entries and
                                 that was seen; NULL: it did not */
    const char *skip;         /* why it cannot be run here */
} DlStats;

/* Where guests wait; see dirty-log-gate.c. */
typedef struct DlGate {
    GMutex lock;
    GCond cond;
    bool stop, quit;          /* wanted */
    uint64_t stops;           /* so far */
    unsigned waiting;         /* guests at a sync point for this stop */
    uint64_t allowed;         /* sync points until guests wait for more */
    uint64_t syncs[DL_MAX_VCPUS];  /* atomic; passed by each */
    void (*turn)(void *opaque);    /* now and then, by who parks them; NULL:
                                      nothing. Context: no lock of the gate */
    void *opaque;
} DlGate;

/* What a tracker does around a vCPU's run; set while guests are parked. Each
 * may be NULL. Context: the vCPU's thread. */
typedef struct DlRunHooks {
    void (*enter)(void *opaque, unsigned vcpu);
    /** @full: it left with its ring full. Returns: whether it may be tried
     *  again then; the run ends otherwise. */
    bool (*leave)(void *opaque, unsigned vcpu, bool full);
    void *opaque;
} DlRunHooks;

struct DlMachine {
    const DlConfig *config;
    DlRunHooks hooks;
    KvmIo *io;
    uint32_t max_slots;       /* that the tracker may use */
    uint64_t manual_offered;  /* KVM_DIRTY_LOG_* */
    uint8_t *memory;
    uint64_t *iteration;      /* that guests read; atomic */
    DlGate gate;
    GRand *rand;
    GThread *threads[DL_MAX_VCPUS];
    int vcpu_fds[DL_MAX_VCPUS];  /* once the guests are made */
    uint64_t full_exits;      /* atomic */
    char *failure;            /* of a guest; gate.lock */
    void *opaque;             /* the implementation's */
};

struct DlTracker {
    const DlConfig *config;
    DlMachine *m;
    HostMem mem;
    unsigned slots_used;
    char *failure;            /* an invariant that did not hold */
    char *noticed;            /* see DlStats; gate.lock */
    uint64_t passes, entries, repairs;  /* of rings; atomic */
    void *opaque;
};

/** dl_run() - the body. Free with dl_stats_done(). */
void dl_run(const DlConfig *config, DlStats *ret);
void dl_stats_done(DlStats *stats);

/** dl_set_up() - the machine is open, its memory mapped, the tracker has its
 *  slots; nothing is logged yet. Returns: NULL, or why it cannot be had. */
const char *dl_set_up(DlMachine *m, DlTracker *t, const DlConfig *config);
/** dl_tear_down() - all of it; the log is on, the guests are parked */
void dl_tear_down(DlMachine *m, DlTracker *t);

/** dl_take_failures() - what a guest or the tracker has met goes to @failure */
void dl_take_failures(DlMachine *m, const DlTracker *t, char **failure);

/** dl_has_noticed() - the run cannot go on; @ret is given a copy of why */
bool dl_has_noticed(DlMachine *m, const DlTracker *t, char **ret);

/** dl_vcpu_enter(), dl_vcpu_leave() - around a vCPU's run. Returns: whether
 *  one that left with its ring @full may be tried again. */
void dl_vcpu_enter(DlMachine *m, unsigned vcpu);
bool dl_vcpu_leave(DlMachine *m, unsigned vcpu, bool full);

/** dl_notice() - the kernel lost entries, and the run cannot go on; the first
 *  time counts. Context: any thread. */
void dl_notice(DlTracker *t, const char *why);

/** dl_add_case() - a test case with a copy of its own of the @size bytes at
 *  @config; @format makes its path */
void dl_add_case(const void *config, size_t size, GTestDataFunc run,
                 const char *format, ...) G_GNUC_PRINTF(4, 5);

/** dl_config_default() - small and quick, all choices made */
DlConfig dl_config_default(void);

/** dl_gate_init(), dl_gate_done() - nobody waits */
void dl_gate_init(DlGate *g);
void dl_gate_done(DlGate *g);
/** dl_gate_sync() - guest @vcpu is at a sync point; waits as long as it must.
 *  Returns: false if it shall end. */
bool dl_gate_sync(DlGate *g, unsigned vcpu);
/** dl_gate_allow() - @n sync points more for everybody than have been */
void dl_gate_allow(DlGate *g, uint64_t n);
/** dl_gate_park() - until @n guests wait; dl_gate_resume() - they go on */
void dl_gate_park(DlGate *g, unsigned n);
void dl_gate_resume(DlGate *g);
/** dl_gate_quit() - all guests to their end */
void dl_gate_quit(DlGate *g);
/** dl_gate_syncs() - sync points that a vCPU has passed */
uint64_t dl_gate_syncs(DlGate *g, unsigned vcpu);

/** dl_fail() - remember the first thing that went wrong */
void dl_fail(char **failure, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
