/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What "-cpu" asks for: a model and changes to it. Taken apart and judged
 * without a host; what the host makes of it is cpu-plan.h's.
 */
#ifndef TARGET_I386_CPU_SPEC_H
#define TARGET_I386_CPU_SPEC_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "target/i386/cpu-model.h"

/* What a feature that the host lacks is to lead to. */
typedef enum X86CpuCheck {
    X86_CPU_CHECK_OFF,   /* the guest does without */
    X86_CPU_CHECK_WARN,  /* ... and the user is told */
    X86_CPU_CHECK_ENFORCE, /* there is no machine */
} X86CpuCheck;

typedef struct X86CpuSpec {
    const X86CpuModel *model;
    X86FeatureSet plus, minus;   /* no bit in both */
    X86CpuCheck check;
    bool hide_kvm;               /* kvm=off: no leaves of KVM's */
    bool hv_evmcs;               /* the enlightened VMCS for nested guests */
    bool has_apic_id;            /* apic-id=0, for a machine of one vCPU */
    char *first_property;        /* the first thing after the name, or NULL */
    /* Instead of the model's; NULL or -1: not given. */
    char *vendor, *model_id;
    int family, model_number, stepping;
} X86CpuSpec;

/**
 * x86_cpu_spec_parse() - take an argument of -cpu apart
 * @text: NAME[,+FEATURE][,-FEATURE][,FEATURE=on|off][,PROPERTY=VALUE]...
 * Errors:  no name; a model, feature or property that is not known; a value
 *          that is malformed or out of range; a feature both on and off.
 * Returns: to be freed with x86_cpu_spec_free(); NULL on error.
 */
X86CpuSpec *x86_cpu_spec_parse(const char *text, GError **error);

/** x86_cpu_spec_free() - accepts NULL */
void x86_cpu_spec_free(X86CpuSpec *spec);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(X86CpuSpec, x86_cpu_spec_free)

#endif
