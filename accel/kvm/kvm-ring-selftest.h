/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does this host's KVM log every store, or the first one to a page?
 *
 * Where guest code runs natively a page is protected, and only the store that
 * finds it so is logged. A KVM that emulates guest code of the highest
 * privilege marks the page at every store it emulates, does many instructions
 * without a look at the ring's limit, and can overflow a ring in one go.
 */
#ifndef ACCEL_KVM_KVM_RING_SELFTEST_H
#define ACCEL_KVM_KVM_RING_SELFTEST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

typedef struct KvmRingSelftest {
    bool known;          /* false: it could not be found out */
    bool per_store;      /* every store of emulated code makes an entry */
    uint32_t entries;    /* that the stores made */
    uint32_t store_ns;   /* what one of them took */
} KvmRingSelftest;

/**
 * kvm_ring_selftest() - run a few instructions in a VM of its own
 * @entries: of its ring;  @capability: that enables it
 * Context: start-up. Cost: some milliseconds.
 * Errors:  none; !ret->known.
 */
void kvm_ring_selftest(const KvmIoctlOps *ops, uint32_t entries,
                       uint32_t capability, KvmRingSelftest *ret);

#endif
