/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models by name: what a vCPU tells about itself and what it can do. A
 * model is a promise to guests that does not change; what a host cannot keep
 * of it is found when a machine is made (cpu-plan.h).
 */
#ifndef TARGET_I386_CPU_MODEL_H
#define TARGET_I386_CPU_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/i386/cpu-features.h"

#define X86_VENDOR_INTEL "GenuineIntel"
#define X86_VENDOR_AMD "AuthenticAMD"
#define X86_VENDOR_BYTES 12
#define X86_MODEL_ID_BYTES 48

typedef struct X86CpuModel {
    const char *name;
    const char *like;      /* the model it is a variant of, or NULL */
    const char *plus;      /* features beyond that one's */
    const char *minus;     /* ... and those it has not; NULL: none */
    const char *vendor;
    const char *model_id;  /* for people; at most 48 bytes */
    uint16_t family, model, stepping;
    uint32_t level;        /* the last basic leaf, at least */
    uint32_t xlevel;       /* the last extended leaf, at least */
    bool is_host;          /* all that the host has; no other field counts */
} X86CpuModel;

/** x86_cpu_models() - the table; ended by a NULL name. A model comes after
 *  the one it is like. */
const X86CpuModel *x86_cpu_models(void);

/** x86_cpu_model_find() - by name, or NULL */
const X86CpuModel *x86_cpu_model_find(const char *name);

/** x86_cpu_model_features() - all that the model promises; empty for one that
 *  is the host. */
void x86_cpu_model_features(const X86CpuModel *model, X86FeatureSet *ret);

/** x86_cpu_help() - what "-cpu help" prints; free with g_free() */
char *x86_cpu_help(void);

#endif
