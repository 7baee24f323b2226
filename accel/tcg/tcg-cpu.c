/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models of the software CPU. The Unicorn library has a list of its own
 * and takes a model whole or not at all; which of the model's features it can
 * really execute it neither tells nor lets anyone change. So a model is all
 * that can be asked for, and everything beside it is refused.
 */
#include "accel/tcg/tcg-internal.h"

#include <string.h>

#include "util/error.h"

static const struct {
    const char *name;
    int model;
} models[] = {
    { "max", TCG_MODEL_DEFAULT },
    { "qemu64", UC_CPU_X86_QEMU64 },
    { "kvm64", UC_CPU_X86_KVM64 },
    { "Conroe", UC_CPU_X86_CONROE },
    { "Penryn", UC_CPU_X86_PENRYN },
    { "Nehalem", UC_CPU_X86_NEHALEM },
    { "Westmere", UC_CPU_X86_WESTMERE },
    { "SandyBridge", UC_CPU_X86_SANDYBRIDGE },
    { "IvyBridge", UC_CPU_X86_IVYBRIDGE },
    { "Haswell", UC_CPU_X86_HASWELL },
    { "Broadwell", UC_CPU_X86_BROADWELL },
    { "Skylake-Client", UC_CPU_X86_SKYLAKE_CLIENT },
    { "Skylake-Server", UC_CPU_X86_SKYLAKE_SERVER },
    { "Cascadelake-Server", UC_CPU_X86_CASCADELAKE_SERVER },
    { "Icelake-Server", UC_CPU_X86_ICELAKE_SERVER },
    { "EPYC", UC_CPU_X86_EPYC },
    { "EPYC-Rome", UC_CPU_X86_EPYC_ROME },
};

const char *const *tcg_cpu_models(void)
{
    static const char *names[G_N_ELEMENTS(models) + 1];

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        names[i] = models[i].name;
    }
    return names;
}

bool tcg_cpu_choose(const X86CpuSpec *spec, int *ret, GError **error)
{
    const char *name = spec ? spec->model->name : "max";

    if (spec && spec->first_property) {
        tm_error_set(error, "-cpu: the software CPU's models cannot be "
                     "changed: '%s' is not supported", spec->first_property);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        if (!strcmp(models[i].name, name)) {
            *ret = models[i].model;
            return true;
        }
    }
    tm_error_set(error, "-cpu: the software CPU has no model '%s'", name);
    return false;
}
