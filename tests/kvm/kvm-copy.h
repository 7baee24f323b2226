/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy of all RAM blocks of a running machine, made and kept up to date by
 * nothing but the law: sync, then for each range clear, take, read.
 */
#ifndef TESTS_KVM_COPY_H
#define TESTS_KVM_COPY_H

#include <stdint.h>

#include "system/vm.h"

typedef struct KvmCopy {
    Vm *vm;
    GPtrArray *bytes;  /* of uint8_t *, by block */
    uint64_t taken;    /* pages copied */
} KvmCopy;

/** kvm_copy_new() - switches the migration client on, everything dirty */
KvmCopy *kvm_copy_new(Vm *vm);
/** kvm_copy_free() - and off */
void kvm_copy_free(KvmCopy *c);

/** kvm_copy_round() - Context: big lock, dropped while pages are copied.
 *  Returns: pages copied. */
uint64_t kvm_copy_round(KvmCopy *c);

/** kvm_copy_check_block() - the block's bytes are the copy's, else the test
 *  fails, naming the first page that differs. Context: nobody writes it. */
void kvm_copy_check_block(KvmCopy *c, const RAMBlock *block);

/** kvm_copy_check() - with the vCPUs paused: a last round, then all
 *  blocks are compared. */
void kvm_copy_check(KvmCopy *c);

#endif
