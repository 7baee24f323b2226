/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The properties of "-accel kvm,...", and what they make of the dirty log on
 * this kernel.
 */
#ifndef ACCEL_KVM_KVM_OPTIONS_H
#define ACCEL_KVM_KVM_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/keyval.h"

typedef enum KvmAuto {
    KVM_AUTO,  /* if the kernel has it */
    KVM_ON,    /* or it is an error */
    KVM_OFF,
} KvmAuto;

typedef struct KvmOptions {
    KvmAuto manual_protect;  /* manual-dirty-log-protect= */
    KvmAuto initially_set;   /* dirty-log-initially-set= */
    uint32_t ring_entries;   /* dirty-ring-size=; 0: the dirty log */
    unsigned ring_delay_us;  /* x-dirty-ring-delay=: the reaper is late */
} KvmOptions;

/* How dirty pages are logged; chosen once per VM. */
typedef struct KvmLogMode {
    bool manual;         /* GET leaves the bits, CLEAR takes them */
    bool initially_set;  /* a log begins with all bits set; implies manual */
    uint32_t ring_entries;    /* of each vCPU's dirty ring instead of a log;
                                 0: a log */
    uint32_t ring_capability; /* what switches the rings on */
} KvmLogMode;

/**
 * kvm_options_parse() - read and check the properties
 * @kv:  may be NULL: all defaults
 * Errors:  an unknown property; a value that is none of off, on, auto, or no
 *          number.
 */
bool kvm_options_parse(KeyVal *kv, KvmOptions *ret, GError **error);

/* Entries of the smallest dirty ring: a page of them. */
#define KVM_RING_MIN_ENTRIES 256

/**
 * kvm_ring_choose() - dirty rings instead of the log, if they were asked for
 * @max_bytes: of the largest ring that the kernel offers; 0: none
 * @ret: ring_entries and no manual protection, which would let a kernel with
 *       rings track nothing; 0 entries: the log it is, see
 *       kvm_log_mode_choose()
 * Errors:  the kernel has none, or not of that size; options contradict.
 */
bool kvm_ring_choose(const KvmOptions *options, uint32_t max_bytes,
                     KvmLogMode *ret, GError **error);

/**
 * kvm_log_mode_choose() - what the options give on a kernel
 * @offered: KVM_DIRTY_LOG_* flags that the kernel lets enable; 0 for none
 * Errors:  something was asked for that the kernel lacks, or the options
 *          contradict one another.
 */
bool kvm_log_mode_choose(const KvmOptions *options, uint64_t offered,
                         KvmLogMode *ret, GError **error);

#endif
