/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The models. Their names, numbers and features are what other machine
 * monitors give guests under the same names (version 1 of each), so that a
 * guest set up for one finds the same CPU here. Each row says what a model
 * has beyond another.
 *
 * Features of the hypervisor's own are no model's: see cpu-plan.c.
 */
#include "target/i386/cpu-model.h"

#include <string.h>

#include "target/i386/cpu-features.h"

#define EXT(n) (X86_CPUID_EXT + (n))
#define INTEL .vendor = X86_VENDOR_INTEL
#define AMD .vendor = X86_VENDOR_AMD

static const X86CpuModel models[] = {
    { .name = "host", .is_host = true },
    { .name = "max", .is_host = true },
    { .name = "base", INTEL, .model_id = "", .plus = "" },
    { .name = "qemu64", .like = "base", AMD,
      .family = 15, .model = 107, .stepping = 1,
      .level = 0xd, .xlevel = EXT(0xa),
      .model_id = "QEMU Virtual CPU version 2.5+",
      .plus = "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat "
        "pse36 clflush mmx fxsr sse sse2 sse3 cx16 lahf-lm svm syscall nx "
        "lm" },
    { .name = "kvm64", .like = "qemu64", INTEL,
      .family = 15, .model = 6, .stepping = 1,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Common KVM processor",
      .plus = "vme", .minus = "lahf-lm svm" },
    { .name = "Conroe", .like = "kvm64", INTEL,
      .family = 6, .model = 15, .stepping = 3,
      .level = 0xa, .xlevel = EXT(8),
      .model_id = "Intel Celeron_4x0 (Conroe/Merom Class Core 2)",
      .plus = "ssse3 lahf-lm", .minus = "cx16" },
    { .name = "Penryn", .like = "Conroe", INTEL,
      .family = 6, .model = 23, .stepping = 3,
      .level = 0xa, .xlevel = EXT(8),
      .model_id = "Intel Core 2 Duo P9xxx (Penryn Class Core 2)",
      .plus = "cx16 sse4.1" },
    { .name = "Nehalem", .like = "Penryn", INTEL,
      .family = 6, .model = 26, .stepping = 3,
      .level = 0xb, .xlevel = EXT(8),
      .model_id = "Intel Core i7 9xx (Nehalem Class Core i7)",
      .plus = "sse4.2 popcnt" },
    { .name = "Westmere", .like = "Nehalem", INTEL,
      .family = 6, .model = 44, .stepping = 1,
      .level = 0xb, .xlevel = EXT(8),
      .model_id = "Westmere E56xx/L56xx/X56xx (Nehalem-C)",
      .plus = "pclmulqdq aes arat" },
    { .name = "SandyBridge", .like = "Westmere", INTEL,
      .family = 6, .model = 42, .stepping = 1,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon E312xx (Sandy Bridge)",
      .plus = "x2apic tsc-deadline xsave avx xsaveopt rdtscp" },
    { .name = "IvyBridge", .like = "SandyBridge", INTEL,
      .family = 6, .model = 58, .stepping = 9,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon E3-12xx v2 (Ivy Bridge)",
      .plus = "f16c rdrand fsgsbase smep erms" },
    { .name = "Haswell", .like = "IvyBridge", INTEL,
      .family = 6, .model = 60, .stepping = 4,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Core Processor (Haswell)",
      .plus = "fma pcid movbe bmi1 hle avx2 bmi2 invpcid rtm abm" },
    { .name = "Haswell-noTSX", .like = "Haswell", INTEL,
      .family = 6, .model = 60, .stepping = 1,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Core Processor (Haswell, no TSX)",
      .minus = "hle rtm" },
    { .name = "Broadwell", .like = "Haswell", INTEL,
      .family = 6, .model = 61, .stepping = 2,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Core Processor (Broadwell)",
      .plus = "rdseed adx smap 3dnowprefetch" },
    { .name = "Broadwell-noTSX", .like = "Broadwell", INTEL,
      .family = 6, .model = 61, .stepping = 2,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Core Processor (Broadwell, no TSX)",
      .minus = "hle rtm" },
    { .name = "Skylake-Client", .like = "Broadwell", INTEL,
      .family = 6, .model = 94, .stepping = 3,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Core Processor (Skylake)",
      .plus = "xsavec xgetbv1" },
    { .name = "Skylake-Server", .like = "Skylake-Client", INTEL,
      .family = 6, .model = 85, .stepping = 4,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon Processor (Skylake)",
      .plus = "avx512f avx512dq clflushopt clwb avx512cd avx512bw avx512vl "
        "pku pdpe1gb" },
    { .name = "Cascadelake-Server", .like = "Skylake-Server", INTEL,
      .family = 6, .model = 85, .stepping = 6,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon Processor (Cascadelake)",
      .plus = "avx512vnni spec-ctrl ssbd" },
    { .name = "Icelake-Server", .like = "Cascadelake-Server", INTEL,
      .family = 6, .model = 134, .stepping = 0,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon Processor (Icelake)",
      .plus = "avx512vbmi umip avx512vbmi2 gfni vaes vpclmulqdq avx512bitalg "
        "avx512-vpopcntdq la57 wbnoinvd" },
    { .name = "Icelake-Server-noTSX", .like = "Icelake-Server", INTEL,
      .family = 6, .model = 134, .stepping = 0,
      .level = 0xd, .xlevel = EXT(8),
      .model_id = "Intel Xeon Processor (Icelake)",
      .minus = "hle rtm" },
    { .name = "EPYC", .like = "qemu64", AMD,
      .family = 23, .model = 1, .stepping = 2,
      .level = 0xd, .xlevel = EXT(0x1e),
      .model_id = "AMD EPYC Processor",
      .plus = "vme pclmulqdq monitor ssse3 fma sse4.1 sse4.2 movbe popcnt aes "
        "xsave avx f16c rdrand arat fsgsbase bmi1 avx2 smep bmi2 rdseed adx "
        "smap clflushopt sha-ni xsaveopt xsavec xgetbv1 cr8legacy abm sse4a "
        "misalignsse 3dnowprefetch osvw topoext mmxext fxsr-opt pdpe1gb "
        "rdtscp npt nrip-save" },
    { .name = "EPYC-Rome", .like = "EPYC", AMD,
      .family = 23, .model = 49, .stepping = 0,
      .level = 0xd, .xlevel = EXT(0x1e),
      .model_id = "AMD EPYC-Rome Processor",
      .plus = "clwb umip rdpid xsaves perfctr-core clzero xsaveerptr wbnoinvd "
        "ibpb amd-stibp" },
    { .name = "EPYC-Milan", .like = "EPYC-Rome", AMD,
      .family = 25, .model = 1, .stepping = 1,
      .level = 0xd, .xlevel = EXT(0x1e),
      .model_id = "AMD EPYC-Milan Processor",
      .plus = "pcid erms invpcid pku fsrm ibrs amd-ssbd svme-addr-chk" },
    { NULL },
};

const X86CpuModel *x86_cpu_models(void)
{
    return models;
}

const X86CpuModel *x86_cpu_model_find(const char *name)
{
    for (const X86CpuModel *m = models; m->name; m++) {
        if (!strcmp(m->name, name)) {
            return m;
        }
    }
    return NULL;
}

void x86_cpu_model_features(const X86CpuModel *model, X86FeatureSet *ret)
{
    X86FeatureSet change;

    memset(ret, 0, sizeof(*ret));
    if (model->like) {
        x86_cpu_model_features(x86_cpu_model_find(model->like), ret);
    }
    if (model->plus) {
        x86_features_parse(model->plus, &change);
        x86_features_add(ret, &change);
    }
    if (model->minus) {
        x86_features_parse(model->minus, &change);
        x86_features_remove(ret, &change);
    }
}

#define HELP_COLUMNS 76

/* Names as many to a line as fit. */
static void add_names(GString *out, GStrv names)
{
    size_t column = 0;

    for (; *names; names++) {
        size_t len = strlen(*names) + 1;

        if (column + len > HELP_COLUMNS) {
            g_string_append_c(out, '\n');
            column = 0;
        }
        g_string_append_printf(out, "%s%s", column ? " " : "  ", *names);
        column += column ? len : len + 1;
    }
    g_string_append_c(out, '\n');
}

char *x86_cpu_help(void)
{
    GString *out = g_string_new("CPU models:\n");
    g_auto(GStrv) names = NULL;
    X86FeatureSet all;

    for (const X86CpuModel *m = models; m->name; m++) {
        const char *words = m->is_host ? "all that the host can do" :
            *m->model_id ? m->model_id : "no features at all";

        g_string_append_printf(out, "  %-22s %s\n", m->name, words);
    }
    g_string_append(out, "Features:\n");
    x86_features_all(&all);
    names = x86_features_names(&all);
    add_names(out, names);
    return g_string_free(out, FALSE);
}
