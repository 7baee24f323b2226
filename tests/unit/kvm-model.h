/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's half of dirty logging in user space: memory slots, the log
 * flag, GET and CLEAR with their rules and errors, manual protection and
 * initially-set. It stands behind KvmIoctlOps where /dev/kvm would.
 *
 * For every page of a logged slot it keeps the two bits that matter: D, the
 * kernel's dirty bit, and W, whether a vCPU can write without a fault. The
 * invariant "W implies D" (I2) is what makes a log complete; it is checked
 * after every step of the model.
 *
 * A guest's write is kvm_model_write(). Races are made by the interleave
 * hook, which is called in the middle of ioctls and may write.
 */
#ifndef TESTS_KVM_MODEL_H
#define TESTS_KVM_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

#define KVM_MODEL_SLOTS 512  /* memory slots it offers */

typedef struct KvmModelSlot {
    uint32_t id, flags;
    uint64_t gpa, npages;
    uint8_t *host;
    uint64_t *dirty;     /* D; NULL while the slot is not logged */
    uint64_t *writable;  /* W */
} KvmModelSlot;

typedef struct KvmModel {
    KvmIo io;
    uint64_t offered;        /* KVM_DIRTY_LOG_* that may be enabled */
    uint64_t manual;         /* ... that are */
    GPtrArray *slots;        /* of KvmModelSlot *; any order */
    /* Counters. */
    unsigned gets, clears, sets;
    uint64_t cleared_bits;   /* D bits that CLEAR took */
    /* What tests put in. */
    unsigned long fail_request; /* this request fails ... */
    unsigned fail_after;        /* ... once so many have passed */
    int fail_errno;
    void (*interleave)(void *opaque);
    /** CLEAR (or a GET that clears) took a page's D. */
    void (*on_taken)(void *opaque, const KvmModelSlot *slot, uint64_t page,
                     bool by_get);
    void *opaque;
} KvmModel;

/** kvm_model_new() - a VM without slots; @offered: KVM_DIRTY_LOG_* flags */
KvmModel *kvm_model_new(uint64_t offered);
void kvm_model_free(KvmModel *m);

/** kvm_model_slot() - by id, or NULL */
KvmModelSlot *kvm_model_slot(KvmModel *m, uint32_t id);

/**
 * kvm_model_write() - a vCPU stores @value at the page of @gpa
 * Returns: false where no slot is, or a read-only one: the store exits.
 */
bool kvm_model_write(KvmModel *m, uint64_t gpa, uint64_t value);

/** kvm_model_broken() - NULL, or which invariant does not hold */
const char *kvm_model_broken(const KvmModel *m);

#endif
