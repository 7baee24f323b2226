/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of features and models, and reading "-cpu".
 */
#include <glib.h>
#include <string.h>

#include "target/i386/cpu-spec.h"
#include "util/error.h"

/* ---- features --------------------------------------------------------- */

static void test_table_rows_are_sound(void)
{
    g_autoptr(GHashTable) bits = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                       g_free, NULL);

    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        g_autofree char *key = g_strdup_printf("%x.%x.%u.%u", f->leaf,
                                               f->subleaf, f->reg, f->bit);
        X86FeatureSet set;

        g_test_message("%s %s", f->name, key);
        g_assert_cmpuint(f->bit, <, 32);
        g_assert_null(strpbrk(f->name, "_,=+ "));
        g_assert_cmpint(f->name[0], !=, '-');
        g_assert_nonnull(x86_features_word(&set, f->leaf, f->subleaf, f->reg));
        g_assert_true(g_hash_table_add(bits, g_steal_pointer(&key)));
    }
    g_assert_cmpuint(g_hash_table_size(bits), >, 200);
}

static void test_words_are_all_in_use(void)
{
    X86FeatureSet all;

    x86_features_all(&all);
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = x86_cpuid_word(i);

        g_assert_cmphex(all.word[i], !=, 0);
        g_assert_true(x86_features_word(&all, w->leaf, w->subleaf, w->reg) ==
                      &all.word[i]);
    }
    g_assert_null(x86_features_word(&all, 1, 0, X86_EBX));
    g_assert_null(x86_features_word(&all, 1, 1, X86_EDX));
}

static void test_names_have_other_spellings(void)
{
    static const char *const pairs[][2] = {
        { "sse4_1", "sse4.1" }, { "sse4-2", "sse4.2" }, { "pni", "sse3" },
        { "lahf_lm", "lahf-lm" }, { "tsc_adjust", "tsc-adjust" },
        { "ds_cpl", "ds-cpl" }, { "ffxsr", "fxsr-opt" }, { "i64", "lm" },
        { "kvm_pv_eoi", "kvm-pv-eoi" }, { "pclmuldq", "pclmulqdq" },
        { "xd", "nx" }, { "cmp_legacy", "cmp-legacy" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pairs); i++) {
        X86FeatureSet a, b;

        g_assert_true(x86_features_find(pairs[i][0], &a));
        g_assert_true(x86_features_find(pairs[i][1], &b));
        g_assert_cmpmem(&a, sizeof(a), &b, sizeof(b));
        g_assert_false(x86_features_empty(&a));
    }
}

static void test_names_with_two_bits_set_both(void)
{
    X86FeatureSet set;
    g_auto(GStrv) names = NULL;

    g_assert_true(x86_features_find("kvmclock", &set));
    g_assert_cmphex(*x86_features_word(&set, X86_CPUID_KVM + 1, 0, X86_EAX),
                    ==, 1u << 0 | 1u << 3);
    names = x86_features_names(&set);
    g_assert_cmpuint(g_strv_length(names), ==, 1);
    *x86_features_word(&set, X86_CPUID_KVM + 1, 0, X86_EAX) = 1;
    g_assert_false(x86_features_has(&set, "kvmclock"));
}

static void test_unknown_name_leaves_the_set(void)
{
    X86FeatureSet set, before;

    x86_features_all(&before);
    set = before;
    g_assert_false(x86_features_find("nosuch", &set));
    g_assert_false(x86_features_find("", &set));
    g_assert_cmpmem(&set, sizeof(set), &before, sizeof(before));
}

/* Taking one out takes out, level by level, whatever stands on it. */
static void test_settle_takes_what_needs_it(void)
{
    static const struct {
        const char *gone, *with, *stay;
    } table[] = {
        { "xsave", "avx avx2 fma f16c avx512f avx512bw avx512-fp16 xsaveopt "
          "xsaves pku mpx vaes shstk arch-lbr amx-tile amx-int8",
          "sse4.2 aes popcnt" },
        { "avx", "avx2 fma avx512f avx512vl vpclmulqdq", "xsave pku" },
        { "avx2", "avx512f avx512-vpopcntdq", "avx fma" },
        { "avx512f", "avx512cd avx512vbmi2", "avx2" },
        { "svm", "npt nrip-save svme-addr-chk", "vmx" },
        { "sse2", "sse3 ssse3 sse4.1 sse4.2 aes", "sse mmx" },
        { "lm", "la57", "nx" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        X86FeatureSet all, set, gone, with, stay;

        x86_features_all(&all);
        set = all;
        x86_features_parse(table[i].gone, &gone);
        x86_features_parse(table[i].with, &with);
        x86_features_parse(table[i].stay, &stay);
        x86_features_remove(&set, &gone);
        x86_features_settle(&set, &all);
        x86_features_keep(&with, &set);
        g_assert_true(x86_features_empty(&with));
        x86_features_remove(&stay, &set);
        g_assert_true(x86_features_empty(&stay));
    }
}

/* A host with avx2 and no avx is odd, but it is the host. */
static void test_settle_leaves_what_the_host_breaks(void)
{
    X86FeatureSet host, set, avx;

    x86_features_all(&host);
    x86_features_parse("avx", &avx);
    x86_features_remove(&host, &avx);
    set = host;
    x86_features_settle(&set, &host);
    g_assert_cmpmem(&set, sizeof(set), &host, sizeof(host));
}

/* ---- models ----------------------------------------------------------- */

static void test_model_rows_are_sound(void)
{
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        X86FeatureSet set;

        g_assert_true(x86_cpu_model_find(m->name) == m);
        x86_cpu_model_features(m, &set); /* every name is known, or it ends */
        if (m->is_host) {
            g_assert_true(x86_features_empty(&set));
            continue;
        }
        g_assert_true(!m->like || x86_cpu_model_find(m->like) < m);
        g_assert_cmpuint(strlen(m->vendor), ==, X86_VENDOR_BYTES);
        g_assert_cmpuint(strlen(m->model_id), <, X86_MODEL_ID_BYTES);
        g_assert_cmpuint(m->stepping, <, 16);
    }
    g_assert_null(x86_cpu_model_find("nosuch"));
    g_assert_null(x86_cpu_model_find(""));
    g_assert_null(x86_cpu_model_find("haswell"));
}

/* The words of CPUID of which the oracle below tells. */
static const X86CpuidWord told[] = {
    { 1, 0, X86_EDX }, { 1, 0, X86_ECX }, { 6, 0, X86_EAX },
    { 7, 0, X86_EBX }, { 7, 0, X86_ECX }, { 7, 0, X86_EDX },
    { 0xd, 1, X86_EAX },
    { X86_CPUID_EXT + 1, 0, X86_EDX }, { X86_CPUID_EXT + 1, 0, X86_ECX },
    { X86_CPUID_EXT + 8, 0, X86_EBX }, { X86_CPUID_EXT + 0xa, 0, X86_EDX },
};

/* What QEMU 7.2 said of its models (qom-get feature-words and
 * filtered-features of a vCPU): the bits, not the names. Without VME, which
 * its software CPU leaves out, and the hypervisor's bit. */
static const struct {
    const char *name;
    uint32_t words[G_N_ELEMENTS(told)];
} oracle[] = {
    { "qemu64",
      { 0x78bfbfd, 0x2001, 0, 0, 0, 0, 0, 0x2193fbfd, 0x5, 0, 0 } },
    { "kvm64",
      { 0x78bfbfd, 0x2001, 0, 0, 0, 0, 0, 0x20100800, 0, 0, 0 } },
    { "Conroe",
      { 0x78bfbfd, 0x201, 0, 0, 0, 0, 0, 0x20100800, 0x1, 0, 0 } },
    { "Penryn",
      { 0x78bfbfd, 0x82201, 0, 0, 0, 0, 0, 0x20100800, 0x1, 0, 0 } },
    { "Nehalem",
      { 0x78bfbfd, 0x982201, 0, 0, 0, 0, 0, 0x20100800, 0x1, 0, 0 } },
    { "Westmere",
      { 0x78bfbfd, 0x2982203, 0x4, 0, 0, 0, 0, 0x20100800, 0x1, 0, 0 }
        },
    { "SandyBridge",
      { 0x78bfbfd, 0x17b82203, 0x4, 0, 0, 0, 0x1, 0x28100800, 0x1, 0, 0
        } },
    { "IvyBridge",
      { 0x78bfbfd, 0x77b82203, 0x4, 0x281, 0, 0, 0x1, 0x28100800, 0x1,
        0, 0 } },
    { "Haswell",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0xfb9, 0, 0, 0x1, 0x28100800, 0x21,
        0, 0 } },
    { "Haswell-noTSX",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0x7a9, 0, 0, 0x1, 0x28100800, 0x21,
        0, 0 } },
    { "Broadwell",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0x1c0fb9, 0, 0, 0x1, 0x28100800,
        0x121, 0, 0 } },
    { "Broadwell-noTSX",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0x1c07a9, 0, 0, 0x1, 0x28100800,
        0x121, 0, 0 } },
    { "Skylake-Client",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0x1c0fb9, 0, 0, 0x7, 0x28100800,
        0x121, 0, 0 } },
    { "Skylake-Server",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0xd19f0fb9, 0x8, 0, 0x7, 0x2c100800,
        0x121, 0, 0 } },
    { "Cascadelake-Server",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0xd19f0fb9, 0x808, 0x84000000, 0x7,
        0x2c100800, 0x121, 0, 0 } },
    { "Icelake-Server",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0xd19f0fb9, 0x15f4e, 0x84000000,
        0x7, 0x2c100800, 0x121, 0x200, 0 } },
    { "Icelake-Server-noTSX",
      { 0x78bfbfd, 0x77fa3203, 0x4, 0xd19f07a9, 0x15f4e, 0x84000000,
        0x7, 0x2c100800, 0x121, 0x200, 0 } },
    { "EPYC",
      { 0x78bfbfd, 0x76d8320b, 0x4, 0x209c01a9, 0, 0, 0x7, 0x2fd3fbfd,
        0x4003f5, 0, 0x9 } },
    { "EPYC-Rome",
      { 0x78bfbfd, 0x76d8320b, 0x4, 0x219c01a9, 0x400004, 0, 0xf,
        0x2fd3fbfd, 0xc003f5, 0x9205, 0x9 } },
    { "EPYC-Milan",
      { 0x78bfbfd, 0x76da320b, 0x4, 0x219c07a9, 0x40000c, 0x10, 0xf,
        0x2fd3fbfd, 0xc003f5, 0x100d205, 0x10000009 } },
};

#define VME (1u << 1)
#define TWINS 0x0183f3ffu  /* bits of leaf 1 that AMD repeats */

static void test_models_are_as_elsewhere(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(oracle); i++) {
        const X86CpuModel *m = x86_cpu_model_find(oracle[i].name);
        X86FeatureSet set;
        uint32_t edx;

        g_assert_nonnull(m);
        x86_cpu_model_features(m, &set);
        g_assert_cmpint(!!(set.word[0] & VME), ==,
                        !!strcmp(m->name, "qemu64"));
        set.word[0] &= ~VME;
        edx = set.word[0];
        for (unsigned w = 0; w < G_N_ELEMENTS(told); w++) {
            uint32_t want = oracle[i].words[w];
            uint32_t *have = x86_features_word(&set, told[w].leaf,
                                               told[w].subleaf, told[w].reg);

            if (told[w].leaf == X86_CPUID_EXT + 1 && told[w].reg == X86_EDX &&
                !strcmp(m->vendor, X86_VENDOR_AMD)) {
                g_assert_cmphex(want & TWINS, ==, edx & TWINS);
                want &= ~TWINS;
            }
            g_assert_cmphex(*have, ==, want);
            *have = 0;
        }
        g_assert_true(x86_features_empty(&set));
    }
}

static void test_models_have_their_numbers(void)
{
    static const struct {
        const char *name;
        unsigned family, model, stepping;
        uint32_t level, xlevel;
    } table[] = {
        { "qemu64", 15, 107, 1, 13, 0x8000000a },
        { "kvm64", 15, 6, 1, 13, 0x80000008 },
        { "Nehalem", 6, 26, 3, 11, 0x80000008 },
        { "Westmere", 6, 44, 1, 11, 0x80000008 },
        { "SandyBridge", 6, 42, 1, 13, 0x80000008 },
        { "IvyBridge", 6, 58, 9, 13, 0x80000008 },
        { "Haswell", 6, 60, 4, 13, 0x80000008 },
        { "Haswell-noTSX", 6, 60, 1, 13, 0x80000008 },
        { "Broadwell", 6, 61, 2, 13, 0x80000008 },
        { "Skylake-Client", 6, 94, 3, 13, 0x80000008 },
        { "Skylake-Server", 6, 85, 4, 13, 0x80000008 },
        { "Cascadelake-Server", 6, 85, 6, 13, 0x80000008 },
        { "Icelake-Server", 6, 134, 0, 13, 0x80000008 },
        { "EPYC", 23, 1, 2, 13, 0x8000001e },
        { "EPYC-Rome", 23, 49, 0, 13, 0x8000001e },
        { "EPYC-Milan", 25, 1, 1, 13, 0x8000001e },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        const X86CpuModel *m = x86_cpu_model_find(table[i].name);

        g_assert_nonnull(m);
        g_assert_cmpuint(m->family, ==, table[i].family);
        g_assert_cmpuint(m->model, ==, table[i].model);
        g_assert_cmpuint(m->stepping, ==, table[i].stepping);
        g_assert_cmphex(m->level, ==, table[i].level);
        g_assert_cmphex(m->xlevel, ==, table[i].xlevel);
    }
}

static void test_help_names_everything(void)
{
    g_autofree char *text = x86_cpu_help();
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        g_assert_cmpuint(strlen(*line), <, 80);
    }
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        g_assert_nonnull(strstr(text, m->name));
    }
    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        g_assert_nonnull(strstr(text, f->name));
    }
}

/* ---- -cpu ------------------------------------------------------------- */

static void test_spec_bad_text_is_refused_by_name(void)
{
    static const struct {
        const char *text, *words; /* parts of the message, by '|' */
    } table[] = {
        { "", "no CPU model" },
        { ",", "no CPU model" },
        { ",+avx", "no CPU model" },
        { "nosuch", "'nosuch'|-cpu help" },
        { "NOSUCH,+avx", "'NOSUCH'" },
        { "haswell", "'haswell'" },
        { " host", "' host'" },
        { "+avx", "'+avx'" },
        { "model=3", "'model=3'" },
        { "host,,+avx", "without a name" },
        { "host,+avx,,-avx2", NULL },
        { "host,=on", "without a name" },
        { "host,+", "'+' names no feature" },
        { "host,-", "'-' names no feature" },
        { "host,+nosuch", "'nosuch'" },
        { "host,-nosuch", "'nosuch'" },
        { "host,nosuch", "'nosuch'" },
        { "host,nosuch=on", "'nosuch'" },
        { "host,nosuch=x", "'nosuch'" },
        { "host,++avx", "'+avx'" },
        { "host,+-avx", "'-avx'" },
        { "host,+AVX", "'AVX'" },
        { "host,+osxsave", "'osxsave'" },
        { "host,+avx=off", "'+avx'|'off'" },
        { "host,-avx=1", "'-avx'|'1'" },
        { "host,avx=", "'avx'" },
        { "host,avx=maybe", "'avx'|maybe" },
        { "host,+avx,-avx", "'avx'|both" },
        { "host,-avx,+avx", "'avx'|both" },
        { "host,+avx,avx=off", "'avx'|both" },
        { "host,avx=off,+avx", "'avx'|both" },
        { "host,sse4_1=on,sse4.1=off", "both" },
        { "host,vendor=AMD", "'vendor'|'AMD'" },
        { "host,vendor=0123456789abc", "'vendor'" },
        { "host,vendor=01234567890\x01", "'vendor'" },
        { "host,vendor", "'vendor'|'on'" },
        { "host,model-id=012345678901234567890123456789012345678901234567",
          "'model-id'" },
        { "host,model-id=a\tb", "'model-id'" },
        { "host,family=271", "'family'|271" },
        { "host,family=-1", "'family'" },
        { "host,family=x", "'family'" },
        { "host,family=", "'family'" },
        { "host,model=256", "'model'" },
        { "host,stepping=16", "'stepping'" },
        { "host,stepping=99999999999999999999", "'stepping'" },
        { "host,check=x", "'check'" },
        { "host,enforce=x", "'enforce'" },
        { "host,+check", "'check'" },
        { "host,kvm=x", "'kvm'" },
        { "host,hv-evmcs=x", "'hv-evmcs'" },
        { "host,+hv-evmcs", "'hv-evmcs'" },
        { "host,hv-relaxed", "'hv-relaxed'" },
        { "host,apic-id=1", "apic-id=1" },
        { "host,apic-id=x", "'apic-id'" },
        { "host,apic-id=4294967296", "'apic-id'" },
        { "host,help", "'help'" },
        { "help", "'help'" }, /* opts-help.c sees it first */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(X86CpuSpec) spec = x86_cpu_spec_parse(table[i].text, &error);
        g_auto(GStrv) words = NULL;

        g_test_message("'%s': %s", table[i].text,
                       error ? error->message : "(taken)");
        if (!table[i].words) {
            g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
            continue;
        }
        g_assert_null(spec);
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        words = g_strsplit(table[i].words, "|", -1);
        for (char **word = words; *word; word++) {
            g_assert_nonnull(strstr(error->message, *word));
        }
    }
}

static X86CpuSpec *good(const char *text)
{
    g_autoptr(GError) error = NULL;
    X86CpuSpec *spec = x86_cpu_spec_parse(text, &error);

    g_assert_no_error(error);
    g_assert_nonnull(spec);
    return spec;
}

static void test_spec_name_alone(void)
{
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        g_autofree char *comma = g_strconcat(m->name, ",", NULL);
        g_autoptr(X86CpuSpec) spec = good(m->name);
        g_autoptr(X86CpuSpec) same = good(comma);

        g_assert_true(spec->model == m);
        g_assert_true(same->model == m);
        g_assert_true(x86_features_empty(&spec->plus));
        g_assert_true(x86_features_empty(&spec->minus));
        g_assert_cmpint(spec->check, ==, X86_CPU_CHECK_WARN);
        g_assert_null(spec->first_property);
        g_assert_null(spec->vendor);
        g_assert_cmpint(spec->family, ==, -1);
        g_assert_false(spec->hide_kvm);
        g_assert_false(spec->hv_evmcs);
        g_assert_false(spec->has_apic_id);
    }
}

static void test_spec_features_in_every_form(void)
{
    static const char *const on[] = { "+", "", "", "" };
    static const char *const on_end[] = { "", "", "=on", "=true" };
    static const char *const off[] = { "-", "", "" };
    static const char *const off_end[] = { "", "=off", "=no" };

    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        X86FeatureSet want;

        x86_features_parse(f->name, &want);
        for (unsigned i = 0; i < G_N_ELEMENTS(on); i++) {
            g_autofree char *text = g_strdup_printf(
                "base,%s%s%s", on[i], f->name, on_end[i]);
            g_autoptr(X86CpuSpec) spec = good(text);

            g_assert_cmpmem(&spec->plus, sizeof(want), &want, sizeof(want));
            g_assert_true(x86_features_empty(&spec->minus));
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(off); i++) {
            g_autofree char *text = g_strdup_printf(
                "base,%s%s%s", off[i], f->name, off_end[i]);
            g_autoptr(X86CpuSpec) spec = good(text);

            g_assert_cmpmem(&spec->minus, sizeof(want), &want, sizeof(want));
            g_assert_true(x86_features_empty(&spec->plus));
        }
    }
}

static void test_spec_properties(void)
{
    g_autoptr(X86CpuSpec) spec = good("Haswell,vendor=AuthenticAMD,family=270,"
        "model=255,stepping=15,model-id=one,, two,enforce,kvm=off,hv-evmcs,"
        "apic-id=0,-avx2,+vmx,-avx2");
    g_autoptr(X86CpuSpec) off = good("Haswell,check=off,kvm=on,hv-evmcs=off");
    g_autoptr(X86CpuSpec) both = good("Haswell,enforce,check=off");

    g_assert_cmpstr(spec->vendor, ==, "AuthenticAMD");
    g_assert_cmpstr(spec->model_id, ==, "one, two");
    g_assert_cmpint(spec->family, ==, 270);
    g_assert_cmpint(spec->model_number, ==, 255);
    g_assert_cmpint(spec->stepping, ==, 15);
    g_assert_cmpint(spec->check, ==, X86_CPU_CHECK_ENFORCE);
    g_assert_true(spec->hide_kvm);
    g_assert_true(spec->hv_evmcs);
    g_assert_true(spec->has_apic_id);
    g_assert_true(x86_features_has(&spec->minus, "avx2"));
    g_assert_true(x86_features_has(&spec->plus, "vmx"));
    g_assert_cmpstr(spec->first_property, ==, "vendor");
    g_assert_cmpint(off->check, ==, X86_CPU_CHECK_OFF);
    g_assert_false(off->hide_kvm);
    g_assert_false(off->hv_evmcs);
    g_assert_cmpint(both->check, ==, X86_CPU_CHECK_ENFORCE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-model/features/rows-are-sound",
                    test_table_rows_are_sound);
    g_test_add_func("/cpu-model/features/words-are-all-in-use",
                    test_words_are_all_in_use);
    g_test_add_func("/cpu-model/features/other-spellings",
                    test_names_have_other_spellings);
    g_test_add_func("/cpu-model/features/two-bits-of-one-name",
                    test_names_with_two_bits_set_both);
    g_test_add_func("/cpu-model/features/unknown-name-changes-nothing",
                    test_unknown_name_leaves_the_set);
    g_test_add_func("/cpu-model/settle/takes-what-needs-it",
                    test_settle_takes_what_needs_it);
    g_test_add_func("/cpu-model/settle/leaves-what-the-host-breaks",
                    test_settle_leaves_what_the_host_breaks);
    g_test_add_func("/cpu-model/models/rows-are-sound",
                    test_model_rows_are_sound);
    g_test_add_func("/cpu-model/models/bits-are-as-elsewhere",
                    test_models_are_as_elsewhere);
    g_test_add_func("/cpu-model/models/numbers-are-as-elsewhere",
                    test_models_have_their_numbers);
    g_test_add_func("/cpu-model/help/names-everything",
                    test_help_names_everything);
    g_test_add_func("/cpu-model/spec/bad-text-is-refused-by-name",
                    test_spec_bad_text_is_refused_by_name);
    g_test_add_func("/cpu-model/spec/name-alone", test_spec_name_alone);
    g_test_add_func("/cpu-model/spec/features-in-every-form",
                    test_spec_features_in_every_form);
    g_test_add_func("/cpu-model/spec/properties", test_spec_properties);
    return g_test_run();
}
