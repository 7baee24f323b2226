/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User space's half of one vCPU's dirty ring, as plain as it can be.
 */
#ifndef TESTS_RING_READER_H
#define TESTS_RING_READER_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "accel/kvm/kvm-ioctl.h"

typedef struct RingReader {
    struct kvm_dirty_gfn *entries;
    uint32_t size;       /* entries */
    uint32_t next;       /* to harvest; runs free */
} RingReader;

/** ring_reader_init() - map the ring of @size entries; fails the test */
void ring_reader_init(RingReader *r, KvmIo *io, int vcpu_fd, uint32_t size);
void ring_reader_done(RingReader *r);

/** ring_reader_take() - harvest one entry: copy it and mark it for the reset
 *  Returns: false where none is dirty. */
bool ring_reader_take(RingReader *r, struct kvm_dirty_gfn *ret);

/** ring_reader_skip() - harvest up to @n. Returns: how many there were. */
uint32_t ring_reader_skip(RingReader *r, uint32_t n);

#endif
