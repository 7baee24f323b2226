/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of slots, GET and CLEAR as a list of calls with their results,
 * for the kernel model and for the real kernel alike.
 */
#ifndef TESTS_CONFORM_KVM_LOG_H
#define TESTS_CONFORM_KVM_LOG_H

#include "accel/kvm/kvm-ioctl.h"

/** conform_kvm_cap() - which arguments of the capability are taken
 *  @io: a VM without slots that offers manual protection, initially set */
void conform_kvm_cap(KvmIo *io);

/** conform_kvm_log() - errors of GET and CLEAR; bits after log start
 *  @io: a VM without slots; @max_slots: its number of slots */
void conform_kvm_log(KvmIo *io, uint32_t max_slots);

/** conform_kvm_slots() - what may change in a slot that exists, what keeps
 *  its bits */
void conform_kvm_slots(KvmIo *io);

#endif
