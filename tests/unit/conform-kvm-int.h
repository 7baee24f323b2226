/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the bodies of the conformance list share: short names for the calls.
 */
#ifndef TESTS_CONFORM_KVM_INT_H
#define TESTS_CONFORM_KVM_INT_H

#include <errno.h>
#include <glib.h>
#include <linux/kvm.h>
#include <string.h>

#include "conform-kvm-log.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define NPAGES 1000
#define WORDS 16
#define LOG KVM_MEM_LOG_DIRTY_PAGES
#define READONLY KVM_MEM_READONLY
#define GPA UINT64_C(0x1000000)   /* where slots of the bodies begin */

/** memory_new() - 2 * NPAGES pages of zeros; memory_free() takes them back */
uint8_t *memory_new(void);
void memory_free(uint8_t *p);

/** enable() - KVM_ENABLE_CAP; manual() - of capability 168 */
int enable(ConformKernel *k, uint32_t cap, uint64_t arg, uint32_t flags);
int manual(ConformKernel *k, uint64_t arg);

/** slot() - KVM_SET_USER_MEMORY_REGION */
int slot(ConformKernel *k, uint32_t id, uint64_t gpa, uint64_t bytes,
         uint32_t flags, uint8_t *host);

/** get(), clear() - the two ioctls */
int get(ConformKernel *k, uint32_t id, void *words);
int clear(ConformKernel *k, uint32_t id, uint64_t first, uint32_t n,
          void *words);
/** clear_ones() - CLEAR with every bit set */
int clear_ones(ConformKernel *k, uint32_t id, uint64_t first, uint32_t n);

/** count() - dirty pages of the slot by GET, or its error */
int count(ConformKernel *k, uint32_t id);

/** store() - the guest stores at page @page from GPA on and must be able to */
void store(ConformKernel *k, uint64_t page, uint64_t value);

/** check_pages() - GET shows these pages and no others; -1 ends the list */
void check_pages(ConformKernel *k, uint32_t id, const int *pages);
#define CHECK_PAGES(k, id, ...)                                            \
    check_pages(k, id, (const int[]) { __VA_ARGS__ __VA_OPT__(,) -1 })

#define OK(call) g_assert_cmpint(call, ==, 0)
#define FAILS(call, err) g_assert_cmpint(call, ==, -(err))

/* The bodies, by file. */
void conform_cap_arguments(ConformKernel *k);
void conform_cap_ring(ConformKernel *k);
void conform_slot_arguments(ConformKernel *k);
void conform_slot_changes(ConformKernel *k);
void conform_slot_overlaps(ConformKernel *k);
void conform_slot_address_spaces(ConformKernel *k);
void conform_log_start(ConformKernel *k);
void conform_log_arguments(ConformKernel *k);
void conform_log_faults(ConformKernel *k);
void conform_bits_legacy(ConformKernel *k);
void conform_bits_manual(ConformKernel *k);
void conform_bits_initially_set(ConformKernel *k);
void conform_bits_clear_rearms(ConformKernel *k);
void conform_bits_readonly(ConformKernel *k);
void conform_bits_move(ConformKernel *k);
void conform_bits_slot_again(ConformKernel *k);
void conform_bits_log_again(ConformKernel *k);
void conform_bits_two_slots(ConformKernel *k);
void conform_bits_own_writes(ConformKernel *k);
void conform_bits_lost_copy(ConformKernel *k);

#endif
