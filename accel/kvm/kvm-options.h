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
} KvmOptions;

/* How dirty pages are logged; chosen once per VM. */
typedef struct KvmLogMode {
    bool manual;         /* GET leaves the bits, CLEAR takes them */
    bool initially_set;  /* a log begins with all bits set; implies manual */
} KvmLogMode;

/**
 * kvm_options_parse() - read and check the properties
 * @kv:  may be NULL: all defaults
 * Errors:  an unknown property, a value that is none of off, on, auto; a ring.
 */
bool kvm_options_parse(KeyVal *kv, KvmOptions *ret, GError **error);

/**
 * kvm_log_mode_choose() - what the options give on a kernel
 * @offered: KVM_DIRTY_LOG_* flags that the kernel lets enable; 0 for none
 * Errors:  something was asked for that the kernel lacks, or the options
 *          contradict one another.
 */
bool kvm_log_mode_choose(const KvmOptions *options, uint64_t offered,
                         KvmLogMode *ret, GError **error);

#endif
