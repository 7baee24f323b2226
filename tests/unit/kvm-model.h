/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's half of dirty logging in user space: memory slots in one or
 * more address spaces, the log flag, GET and CLEAR with their rules and
 * errors, manual protection and initially-set; and the dirty rings of vCPUs
 * (kvm-model-ring.h). It stands behind KvmIoctlOps where /dev/kvm would; the
 * conform-*.c bodies hold both to the same rules.
 *
 * For every page of a slot it keeps three bits:
 *
 *     D  the kernel's dirty bit, while the slot is logged
 *     W  the page table lets a vCPU write without a fault
 *     T  some vCPU's TLB still thinks so
 *
 * A vCPU's store does what hardware does: through T if that is set, else
 * through W (which sets T), else it faults. The fault sets D and W in one
 * step, before the store. CLEAR, and GET without manual protection, take D
 * and W page by page, and flush T once before they return, when no store is
 * under way any more. So between the taking of a bit and the return of the
 * call a store can still go through T and is not logged: whoever reads the
 * page only after the return has it, whoever reads before has lost it.
 *
 * "W implies D" (I2) is what makes a log complete; it is checked after every
 * call. With rings an entry that is not reset stands where D stood. Real
 * threads may be vCPUs, each with its own number, beside one that calls
 * ioctls; tests without threads use the interleave hook, which is called in
 * the middle of ioctls and may write.
 *
 * Locks: slots_lock (one ioctl at a time), in it mmu_lock (D and W of one
 * word, a ring's next entry). vCPUs take no lock until they fault or log; the
 * table of slots is replaced as a whole, and freed when every vCPU has been
 * seen outside of a store.
 */
#ifndef TESTS_KVM_MODEL_H
#define TESTS_KVM_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"
#include "kvm-model-ring.h"

#define KVM_MODEL_SLOTS 512   /* memory slots of each address space */
#define KVM_MODEL_VCPUS 16
#define KVM_MODEL_GOOD_PAGES 64

typedef struct KvmModelSlot {
    uint32_t id;         /* address space << 16 | slot */
    uint32_t flags;
    uint64_t gpa, npages;
    uint8_t *host;
    uint64_t *dirty;     /* D; NULL while the slot is not logged */
    uint64_t *writable;  /* W */
    uint64_t *tlb;       /* T */
} KvmModelSlot;

/* Kernels that are wrong, for tests that must notice. */
typedef enum KvmModelBug {
    KVM_MODEL_RIGHT,
    KVM_MODEL_BUG_NO_PROTECT,    /* CLEAR leaves W */
    KVM_MODEL_BUG_NO_FLUSH,      /* CLEAR leaves T */
    KVM_MODEL_BUG_EXTRA_DIRTY,   /* a fault marks the page beside it as well */
    KVM_MODEL_BUG_FIRST_ONLY,    /* CLEAR protects one page of each word */
    KVM_MODEL_BUG_CLEAR_ALL,     /* CLEAR takes bits that were not named */
    KVM_MODEL_BUG_TAIL,          /* GET forgets the last, partial word */
    KVM_MODEL_BUG_RESET_NO_PROTECT, /* a reset of the rings leaves W */
    KVM_MODEL_BUG_RESET_NO_FLUSH,   /* ... leaves T */
    KVM_MODEL_BUG_RESET_FIRST_ONLY, /* ... protects one page of each mask */
    KVM_MODEL_BUG_RESET_SKIPS,      /* ... takes what is not harvested */
    KVM_MODEL_BUG_RESET_ONE_RING,   /* ... knows the first vCPU alone */
    KVM_MODEL_BUG_RING_NO_LIMIT,    /* vCPUs enter, however full it is */
    KVM_MODEL_BUG_RING_HARVESTED,   /* ... once the oldest is harvested */
} KvmModelBug;

/* One vCPU: odd while a store is under way. */
typedef struct KvmModelVcpu {
    uint64_t seq;        /* atomic */
    uint32_t as_id;      /* address space that its stores go to */
    uint64_t faults;     /* of its stores */
    uint64_t exits;      /* stores that left as MMIO */
    uint64_t full_exits; /* times that it left with its ring full */
    bool in_guest;       /* it may store without a look at its ring; atomic */
    unsigned unlooked;   /* stores logged since that look */
    bool is_made;        /* by KVM_CREATE_VCPU */
    int fd;              /* the caller's; -1: is another's by now */
    void *file;          /* what the file holds */
    size_t file_bytes;
    struct kvm_run *run; /* its first page */
    KvmModelRing ring;
} __attribute__((aligned(64))) KvmModelVcpu;

typedef struct KvmModel {
    KvmIo io;
    /* What kernel it is. */
    uint64_t offered;        /* KVM_DIRTY_LOG_* that may be enabled */
    uint32_t address_spaces; /* 1 unless the test says otherwise */
    bool offer_ring;         /* KVM_CAP_DIRTY_LOG_RING may be enabled */
    bool offer_ring_acq_rel; /* ..._RING_ACQ_REL */
    bool offer_ring_bitmap;  /* ..._RING_WITH_BITMAP */
    bool pml;                /* it logs in hardware buffers first */
    KvmModelBug bug;
    bool unchecked;          /* I2 is not checked (benchmarks) */
    /* Its state; slots_lock. */
    GMutex slots_lock, mmu_lock;
    uint64_t manual;         /* KVM_DIRTY_LOG_* that are enabled */
    uint32_t ring_bytes;     /* 0: no ring */
    bool ring_with_bitmap;
    GPtrArray *slots;        /* of KvmModelSlot *; replaced, atomic */
    uint64_t changing;       /* odd while slots change; atomic */
    int memory_fd;           /* where user memory is tried, ... */
    uintptr_t good_pages[KVM_MODEL_GOOD_PAGES]; /* ... and was good */
    KvmModelVcpu vcpus[KVM_MODEL_VCPUS];
    /* Counters. */
    unsigned gets, clears, sets;
    uint64_t cleared_bits;   /* D bits that CLEAR took */
    uint64_t got_bits;       /* ... that GET took */
    unsigned resets;
    uint64_t reset_entries;  /* that resets took */
    uint64_t overwritten;    /* entries, before they were free; mmu_lock */
    uint64_t dropped;        /* entries that a reset took and forgot */
    /* What tests put in. */
    unsigned long fail_request; /* this request fails before it does a thing */
    unsigned fail_after;        /* ... once so many have passed */
    int fail_errno;
    bool fail_copy_out;         /* GET's copy to user space faults, at last */
    unsigned calls;             /* ioctls so far, failed ones too */
    unsigned fail_call;         /* by number: the first that fails, ... */
    unsigned fail_calls;        /* ... and how many do from there on, ... */
    int fail_chosen;            /* ... with which errno, ... */
    bool fail_late;             /* ... a GET alone, at its copy */
    bool log_stores;     /* every store is logged, after it, W or not; with
                            rings, until told otherwise */
    unsigned log_batch;  /* ... with so many more before a vCPU looks whether
                            its ring is full */
    unsigned reset_cuts;      /* so many resets to come end early, ... */
    unsigned reset_cut_after; /* ... after so many entries, ... */
    bool reset_cut_drops;     /* ... and forget those not yet protected */
    uint32_t ring_lap;        /* rings begin with this lap, of 2^32 / size */
    /** What vCPU @vcpu does when KVM_RUN lets it; NULL: nothing, and EINTR.
     *  Returns: the exit's reason, or -errno. */
    int (*guest)(void *opaque, unsigned vcpu);
    void (*interleave)(void *opaque);
    /** CLEAR (or a GET that clears) took a page's D. */
    void (*on_taken)(void *opaque, const KvmModelSlot *slot, uint64_t page,
                     bool by_get);
    void *opaque;
} KvmModel;

/** kvm_model_new() - a VM without slots; @offered: KVM_DIRTY_LOG_* flags */
KvmModel *kvm_model_new(uint64_t offered);
void kvm_model_free(KvmModel *m);

/** kvm_model_slot() - by id with address space, or NULL; it lives until the
 *  next change of slots */
KvmModelSlot *kvm_model_slot(KvmModel *m, uint32_t id);

typedef enum KvmModelStore {
    KVM_MODEL_STORED,
    KVM_MODEL_FAULT,    /* kvm_model_fault() has to come first */
    KVM_MODEL_EXIT,     /* no slot, or a read-only one: leaves as MMIO */
    KVM_MODEL_FULL,     /* leaves before it stores: the ring is full */
} KvmModelStore;

/** kvm_model_store() - vCPU @vcpu tries to store @value at the page of @gpa;
 *  one thread per vCPU at a time */
KvmModelStore kvm_model_store(KvmModel *m, unsigned vcpu, uint64_t gpa,
                              uint64_t value);

/** kvm_model_fault() - the page of @gpa becomes dirty and writable */
void kvm_model_fault(KvmModel *m, unsigned vcpu, uint64_t gpa);

/** kvm_model_vcpu_enter() - what comes before guest mode: hardware buffers are
 *  emptied. Returns: 0, or KVM_EXIT_DIRTY_RING_FULL. */
int kvm_model_vcpu_enter(KvmModel *m, unsigned vcpu);

/**
 * kvm_model_vcpu_try() - enter, and store, with the faults that it takes
 * Returns: STORED, EXIT or FULL. A page whose fault filled the ring may have
 * an entry, and no store.
 */
KvmModelStore kvm_model_vcpu_try(KvmModel *m, unsigned vcpu, uint64_t gpa,
                                 uint64_t value);

/**
 * kvm_model_vcpu_write() - the same
 * Returns: false where the store exits, as MMIO or with the ring full.
 */
bool kvm_model_vcpu_write(KvmModel *m, unsigned vcpu, uint64_t gpa,
                          uint64_t value);

/** kvm_model_write() - the same by vCPU 0 */
bool kvm_model_write(KvmModel *m, uint64_t gpa, uint64_t value);

/** kvm_model_broken() - NULL, or which invariant does not hold */
const char *kvm_model_broken(KvmModel *m);

#endif
