/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's CPUID from a wish and a host.
 */
#include <glib.h>
#include <string.h>

#include "fake-host.h"
#include "target/i386/cpu-plan.h"

#define EXT(n) (X86_CPUID_EXT + (n))

/* What comes with every named model, if what it needs is there. */
#define GIFTS "hypervisor x2apic kvmclock kvm-nopiodelay kvm-asyncpf "      \
    "kvm-steal-time kvm-pv-eoi kvmclock-stable-bit"

/* One wish on one host. */
typedef struct Case {
    X86CpuSpec *spec;
    GArray *host, *cpuid;
    X86CpuPlan plan;
    char *missing;
} Case;

static Case *case_on(GArray *host, const char *text)
{
    Case *c = g_new0(Case, 1);
    g_autoptr(GError) error = NULL;
    X86FeatureSet features;

    c->spec = x86_cpu_spec_parse(text, &error);
    g_assert_no_error(error);
    c->host = host;
    x86_cpuid_features(host, &features);
    x86_cpu_plan(c->spec, &features, &c->plan);
    c->missing = x86_features_text(&c->plan.missing);
    c->cpuid = x86_cpuid_build(c->spec, &c->plan, host);
    return c;
}

static Case *case_new(const char *text)
{
    return case_on(fake_host_new(X86_VENDOR_INTEL, ""), text);
}

static void case_free(Case *c)
{
    x86_cpu_spec_free(c->spec);
    g_array_unref(c->host);
    g_array_unref(c->cpuid);
    g_free(c->missing);
    g_free(c);
}

static bool has(const Case *c, const char *name)
{
    X86FeatureSet set;

    x86_cpuid_features(c->cpuid, &set);
    return x86_features_has(&set, name);
}

static uint32_t reg(const Case *c, uint32_t leaf, uint32_t subleaf,
                    unsigned which)
{
    return fake_host_reg(c->cpuid, leaf, subleaf, which);
}

/* Does every entry of @a stand in @b with the same registers? */
static void assert_within(const GArray *a, const GArray *b)
{
    for (guint i = 0; i < a->len; i++) {
        const X86CpuidEntry *e = &g_array_index(a, X86CpuidEntry, i);
        const X86CpuidEntry *other = x86_cpuid_find(b, e->leaf, e->subleaf);

        g_test_message("leaf %x.%x", e->leaf, e->subleaf);
        g_assert_nonnull(other);
        g_assert_cmpint(e->indexed, ==, other->indexed);
        for (unsigned r = 0; r < X86_CPUID_REGS; r++) {
            g_assert_cmphex(e->reg[r], ==, other->reg[r]);
        }
    }
}

/* ---- the host's own model --------------------------------------------- */

static void test_max_is_the_host(void)
{
    static const char *const names[] = { "max", "host", "max,check=off" };
    static const char *const vendors[] = { X86_VENDOR_INTEL, X86_VENDOR_AMD };

    for (unsigned v = 0; v < G_N_ELEMENTS(vendors); v++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
            GArray *host = fake_host_new(vendors[v], "hle fma");
            X86CpuidEntry *ext1 = x86_cpuid_find(host, EXT(1), 0);
            Case *c;

            if (v) { /* as AMD has them */
                ext1->reg[X86_EAX] = 0x000806f8;
                ext1->reg[X86_EDX] |= 0x0183f3ff;
            }
            c = case_on(host, names[i]);
            g_assert_cmpstr(c->missing, ==, "");
            g_assert_cmpuint(c->cpuid->len, ==, host->len);
            assert_within(c->cpuid, host);
            case_free(c);
        }
    }
}

/* Without a bit: it is gone, and with it only what needs it. */
static void test_minus_takes_that_bit(void)
{
    X86FeatureSet all, rest;

    x86_features_all(&all);
    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        g_autofree char *text = g_strdup_printf("max,-%s", f->name);
        Case *c = case_new(text);
        X86FeatureSet want = all, one;

        x86_features_parse(f->name, &one);
        x86_features_remove(&want, &one);
        x86_features_settle(&want, &all);
        x86_cpuid_features(c->cpuid, &rest);
        g_test_message("%s", text);
        g_assert_cmpmem(&rest, sizeof(rest), &want, sizeof(want));
        g_assert_cmphex(reg(c, f->leaf, f->subleaf, f->reg) >> f->bit & 1, ==,
                        0);
        g_assert_cmphex(reg(c, 7, 0, X86_EBX) & FAKE_HOST_NAMELESS, ==,
                        FAKE_HOST_NAMELESS);
        g_assert_cmpstr(c->missing, ==, "");
        case_free(c);
    }
}

/* A model of nothing plus a bit: that bit and no other; or, if it needs
 * another, none, and the user is told. */
static void test_plus_gives_that_bit(void)
{
    unsigned alone = 0, with_others = 0;
    X86FeatureSet all;

    x86_features_all(&all);
    for (const X86Feature *f = x86_feature_table(); f->name; f++) {
        g_autofree char *text = g_strdup_printf("base,check,+%s", f->name);
        g_autofree char *quoted = g_strdup_printf("'%s'", f->name);
        Case *c = case_new(text);
        X86FeatureSet want, have, gifts;

        x86_features_parse(f->name, &want);
        x86_features_settle(&want, &all);
        x86_cpuid_features(c->cpuid, &have);
        if (x86_features_empty(&want)) {
            g_assert_cmpstr(c->missing, ==, quoted);
            with_others++;
        } else {
            g_assert_cmpstr(c->missing, ==, "");
            g_assert_cmphex(reg(c, f->leaf, f->subleaf, f->reg) >> f->bit & 1,
                            ==, 1);
            alone++;
        }
        g_test_message("%s", text);
        x86_features_parse(GIFTS, &gifts);
        x86_features_remove(&want, &gifts);
        x86_features_remove(&have, &gifts);
        g_assert_cmpmem(&have, sizeof(have), &want, sizeof(want));
        case_free(c);
    }
    g_assert_cmpuint(alone, >, 100);
    g_assert_cmpuint(with_others, >, 50);
}

static void test_minus_hypervisor_keeps_leaves_kvm_off_hides_them(void)
{
    Case *shy = case_new("max,-hypervisor");
    Case *hidden = case_new("max,kvm=off");
    Case *named = case_new("Haswell,kvm=off");
    Case *asked = case_new("Haswell,kvm=off,+kvm-pv-eoi");

    g_assert_false(has(shy, "hypervisor"));
    g_assert_cmphex(reg(shy, X86_CPUID_KVM, 0, X86_EAX), ==,
                    X86_CPUID_KVM + 1);
    g_assert_true(has(shy, "kvmclock"));
    g_assert_true(has(hidden, "hypervisor"));
    g_assert_true(has(named, "hypervisor"));
    g_assert_null(x86_cpuid_find(hidden->cpuid, X86_CPUID_KVM, 0));
    g_assert_null(x86_cpuid_find(hidden->cpuid, X86_CPUID_KVM + 1, 0));
    g_assert_null(x86_cpuid_find(named->cpuid, X86_CPUID_KVM, 0));
    g_assert_null(x86_cpuid_find(named->cpuid, X86_CPUID_KVM + 1, 0));
    g_assert_cmpstr(asked->missing, ==, "'kvm-pv-eoi'");
    case_free(shy);
    case_free(hidden);
    case_free(named);
    case_free(asked);
}

/* ---- leaf 0xd --------------------------------------------------------- */

static void test_xsave_follows_the_features(void)
{
    static const struct {
        const char *text;
        uint64_t xcr0, xss;
        uint32_t bytes;
    } table[] = {
        { "max", FAKE_HOST_XCR0, FAKE_HOST_XSS, 11008 },
        { "max,-pku", 0x600e7, 0x9900, 11008 },
        { "max,-amx-tile", 0x2e7, 0x9900, 2696 },
        { "max,-amx-tile,-pku", 0xe7, 0x9900, 2688 },
        { "max,-avx512f,-amx-tile,-pku", 0x7, 0x9900, 832 },
        { "max,-avx2,-amx-tile,-pku", 0x7, 0x9900, 832 },
        { "max,-avx,-amx-tile,-pku", 0x3, 0x9900, 576 },
        { "max,-intel-pt,-arch-lbr", FAKE_HOST_XCR0, 0x1800, 11008 },
        { "max,-xsaves", FAKE_HOST_XCR0, 0, 11008 },
        { "SandyBridge", 0x7, 0, 832 },
        { "Skylake-Server", 0x2e7, 0, 2696 },
        { "Skylake-Server,-avx512f", 0x207, 0, 2696 },
        { "Skylake-Server,-avx512f,-pku", 0x7, 0, 832 },
        { "EPYC-Milan", 0x207, 0, 2696 },
        { "EPYC-Milan,+shstk", 0x207, 0x1800, 2696 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Case *c = case_new(table[i].text);
        uint64_t parts = table[i].xcr0 | table[i].xss;

        g_test_message("%s", table[i].text);
        g_assert_cmphex(x86_cpuid_xcr0(c->cpuid), ==, table[i].xcr0);
        g_assert_cmphex(reg(c, 0xd, 1, X86_ECX), ==, table[i].xss);
        g_assert_cmpuint(reg(c, 0xd, 0, X86_ECX), ==, table[i].bytes);
        g_assert_cmpuint(reg(c, 0xd, 0, X86_EBX), ==, table[i].bytes);
        for (unsigned n = 2; n < 63; n++) {
            g_assert_cmpint(x86_cpuid_find(c->cpuid, 0xd, n) != NULL, ==,
                            parts >> n & 1);
        }
        case_free(c);
    }
}

static void test_no_xsave_no_leaf(void)
{
    static const char *const texts[] = { "max,-xsave", "Nehalem",
        "Skylake-Server,-xsave", "base" };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        Case *c = case_new(texts[i]);

        for (unsigned n = 0; n < 63; n++) {
            g_assert_null(x86_cpuid_find(c->cpuid, 0xd, n));
        }
        g_assert_cmphex(x86_cpuid_xcr0(c->cpuid), ==, 3);
        g_assert_false(has(c, "avx"));
        g_assert_false(has(c, "pku"));
        g_assert_false(has(c, "avx512f"));
        case_free(c);
    }
}

/* ---- what the host lacks ---------------------------------------------- */

static void test_missing_is_named_and_masked(void)
{
    static const struct {
        const char *without, *text, *missing;
    } table[] = {
        { "", "Haswell", "" },
        { "rtm hle", "Haswell", "'hle', 'rtm'" },
        { "rtm hle", "Haswell-noTSX", "" },
        { "rtm hle", "Haswell,-rtm,-hle", "" },
        { "rtm hle", "Haswell,-rtm", "'hle'" },
        { "rtm hle", "max", "" },
        { "rtm hle", "max,+rtm", "'rtm'" },
        { "rtm hle", "host,rtm=on,+hle", "'hle', 'rtm'" },
        { "sse4.2", "Haswell", "'sse4.2'" },
        { "kvm-pv-eoi x2apic", "Nehalem", "" }, /* a gift, no promise */
        { "x2apic", "SandyBridge", "'x2apic'" },
        { "kvm-pv-eoi", "Nehalem,+kvm-pv-eoi", "'kvm-pv-eoi'" },
        { "monitor svm", "EPYC", "" },          /* withheld anyway */
        { "svm", "EPYC,+svm", "'svm'" },
        { "", "Nehalem,+avx", "'avx'" },        /* there is no xsave */
        { "", "Nehalem,+avx,+xsave", "" },
        { "", "max,-xsave", "" },
        { "", "max,-xsave,+avx2", "'avx2'" },
        { "", "Haswell,-avx", "" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Case *c = case_on(fake_host_new(X86_VENDOR_INTEL, table[i].without),
                          table[i].text);
        X86FeatureSet without, have;

        g_test_message("%s without %s", table[i].text, table[i].without);
        g_assert_cmpstr(c->missing, ==, table[i].missing);
        x86_features_parse(table[i].without, &without);
        x86_cpuid_features(c->cpuid, &have);
        x86_features_keep(&have, &without);
        g_assert_true(x86_features_empty(&have));
        case_free(c);
    }
}

static void test_withheld_comes_when_asked_for(void)
{
    Case *plain = case_new("EPYC-Milan");
    Case *asked = case_new("EPYC-Milan,+svm,+monitor");

    g_assert_false(has(plain, "svm"));
    g_assert_false(has(plain, "npt"));
    g_assert_false(has(plain, "monitor"));
    g_assert_null(x86_cpuid_find(plain->cpuid, EXT(0xa), 0));
    g_assert_true(has(asked, "svm"));
    g_assert_true(has(asked, "npt"));
    g_assert_true(has(asked, "nrip-save"));
    g_assert_true(has(asked, "monitor"));
    g_assert_false(has(asked, "avic"));
    g_assert_cmpuint(reg(asked, EXT(0xa), 0, X86_EBX), ==, 16);
    case_free(plain);
    case_free(asked);
}

/* ---- named models ----------------------------------------------------- */

static void test_named_has_only_its_own(void)
{
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        Case *c = case_new(m->name);
        X86FeatureSet have, gifts, promised;

        if (!m->is_host) {
            x86_cpu_model_features(m, &promised);
            x86_features_parse(GIFTS, &gifts);
            x86_cpuid_features(c->cpuid, &have);
            x86_features_remove(&have, &gifts);
            x86_features_remove(&have, &promised);
            g_assert_true(x86_features_empty(&have));
            g_assert_cmphex(reg(c, 7, 0, X86_EBX) & FAKE_HOST_NAMELESS, ==,
                            0);
            g_assert_cmpuint(reg(c, 0, 0, X86_EAX), >=, m->level);
            g_assert_cmpuint(reg(c, EXT(0), 0, X86_EAX), >=, m->xlevel);
        }
        case_free(c);
    }
}

static void test_named_does_not_depend_on_the_host(void)
{
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        g_autofree char *text = g_strdup_printf("%s,vendor=AuthenticAMD",
                                                m->name);
        Case *one = case_new(text);
        Case *two = case_on(fake_host_new(X86_VENDOR_AMD,
            "amx-tile gfni intel-pt sha512 vmx bus-lock-detect"), text);

        if (!m->is_host && !strstr(m->name, "Icelake")) {
            assert_within(one->cpuid, two->cpuid);
            assert_within(two->cpuid, one->cpuid);
        }
        case_free(one);
        case_free(two);
    }
}

static void test_levels_reach_the_last_feature(void)
{
    Case *plain = case_new("Nehalem");
    Case *more = case_new("Nehalem,+xsave,+xsaveopt,+auto-ibrs");
    Case *leaf7 = case_new("Conroe,+bhi-ctrl");

    g_assert_cmphex(reg(plain, 0, 0, X86_EAX), ==, 0xb);
    g_assert_cmphex(reg(plain, EXT(0), 0, X86_EAX), ==, EXT(8));
    g_assert_cmphex(reg(more, 0, 0, X86_EAX), ==, 0xd);
    g_assert_cmphex(reg(more, EXT(0), 0, X86_EAX), ==, EXT(0x21));
    g_assert_cmphex(reg(leaf7, 7, 0, X86_EAX), ==, 2);
    g_assert_nonnull(x86_cpuid_find(leaf7->cpuid, 7, 1));
    g_assert_cmphex(reg(leaf7, 7, 2, X86_EDX), ==, 1u << 4);
    case_free(plain);
    case_free(more);
    case_free(leaf7);
}

static void assert_text(const Case *c, uint32_t leaf, const unsigned *order,
                        unsigned n, const char *want)
{
    char got[17] = "";

    for (unsigned i = 0; i < n; i++) {
        uint32_t value = reg(c, leaf, 0, order[i]);

        memcpy(got + 4 * i, &value, 4);
    }
    g_assert_cmpstr(got, ==, want);
}

static void test_identity(void)
{
    static const unsigned letters[] = { X86_EBX, X86_EDX, X86_ECX };
    static const unsigned all[] = { X86_EAX, X86_EBX, X86_ECX, X86_EDX };
    static const struct {
        const char *host, *text, *vendor;
        uint32_t signature;
    } table[] = {
        { X86_VENDOR_INTEL, "Haswell", X86_VENDOR_INTEL, 0x306c4 },
        { X86_VENDOR_AMD, "Haswell", X86_VENDOR_AMD, 0x306c4 },
        { X86_VENDOR_INTEL, "EPYC", X86_VENDOR_INTEL, 0x800f12 },
        { X86_VENDOR_AMD, "EPYC-Milan", X86_VENDOR_AMD, 0xa00f11 },
        { X86_VENDOR_AMD, "EPYC,vendor=GenuineIntel", X86_VENDOR_INTEL,
          0x800f12 },
        { X86_VENDOR_INTEL, "qemu64", X86_VENDOR_INTEL, 0x60fb1 },
        { X86_VENDOR_INTEL, "max", X86_VENDOR_INTEL, 0x806f8 },
        { X86_VENDOR_INTEL, "max,family=6,model=60,stepping=4",
          X86_VENDOR_INTEL, 0x306c4 },
        { X86_VENDOR_INTEL, "Haswell,family=270,model=255,stepping=15",
          X86_VENDOR_INTEL, 0xfff0fff },
        { X86_VENDOR_INTEL, "max,vendor=TestVendorAB", "TestVendorAB",
          0x806f8 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Case *c = case_on(fake_host_new(table[i].host, ""), table[i].text);
        bool amd = !strcmp(table[i].vendor, X86_VENDOR_AMD);

        g_test_message("%s", table[i].text);
        assert_text(c, 0, letters, 3, table[i].vendor);
        g_assert_cmphex(reg(c, 1, 0, X86_EAX), ==, table[i].signature);
        if (amd) {
            assert_text(c, EXT(0), letters, 3, table[i].vendor);
            g_assert_cmphex(reg(c, EXT(1), 0, X86_EAX), ==,
                            table[i].signature);
            g_assert_cmphex(reg(c, EXT(1), 0, X86_EDX) & 0x0183f3ff, ==,
                            reg(c, 1, 0, X86_EDX) & 0x0183f3ff);
        } else {
            g_assert_cmphex(reg(c, EXT(1), 0, X86_EDX) & 0x3ff, ==, 0);
        }
        case_free(c);
    }
    {
        Case *c = case_new("Haswell");
        Case *named = case_new("max,model-id=A tide mark");

        assert_text(c, EXT(2), all, 4, "Intel Core Proce");
        assert_text(c, EXT(3), all, 4, "ssor (Haswell)");
        assert_text(c, EXT(4), all, 4, "");
        assert_text(named, EXT(2), all, 4, "A tide mark");
        case_free(c);
        case_free(named);
    }
}

static void test_caches_are_told_in_the_vendor_s_way(void)
{
    Case *intel = case_new("Haswell");
    Case *amd = case_on(fake_host_new(X86_VENDOR_AMD, ""), "EPYC");
    Case *old = case_on(fake_host_new(X86_VENDOR_AMD, ""), "qemu64");

    g_assert_cmphex(reg(intel, 2, 0, X86_EAX), ==, 0x00feff01);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t bytes = (uint64_t)((reg(intel, 4, i, X86_EBX) >> 22) + 1) *
            ((reg(intel, 4, i, X86_EBX) & 0xfff) + 1) *
            (reg(intel, 4, i, X86_ECX) + 1);
        static const uint64_t want[] = { 32 << 10, 32 << 10, 1 << 20,
                                         16 << 20 };

        g_assert_cmpuint(bytes, ==, want[i]);
        g_assert_cmphex(reg(amd, EXT(0x1d), i, X86_ECX), ==,
                        reg(intel, 4, i, X86_ECX));
    }
    g_assert_cmphex(reg(intel, 4, 4, X86_EAX), ==, 0);
    g_assert_nonnull(x86_cpuid_find(intel->cpuid, 4, 4));
    g_assert_null(x86_cpuid_find(intel->cpuid, EXT(0x1d), 0));
    g_assert_cmphex(reg(intel, EXT(6), 0, X86_ECX), ==, 0x04008040);
    g_assert_null(x86_cpuid_find(amd->cpuid, 4, 0));
    g_assert_cmphex(reg(amd, EXT(5), 0, X86_ECX), ==, 0x20080140);
    g_assert_cmphex(reg(amd, EXT(5), 0, X86_EDX), ==, 0x20080140);
    g_assert_cmphex(reg(amd, EXT(6), 0, X86_ECX), ==, 0x04008140);
    g_assert_cmphex(reg(amd, EXT(6), 0, X86_EDX), ==, 0x00808140);
    g_assert_null(x86_cpuid_find(old->cpuid, EXT(0x1d), 0));
    case_free(intel);
    case_free(amd);
    case_free(old);
}

static void test_widths_are_the_host_s(void)
{
    static const struct {
        const char *text;
        uint32_t eax;
    } table[] = {
        { "max", FAKE_HOST_WIDTHS }, { "Icelake-Server", FAKE_HOST_WIDTHS },
        { "max,-la57", 0x302e }, { "Icelake-Server,-la57", 0x302e },
        { "Haswell", 0x302e },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Case *c = case_new(table[i].text);

        g_assert_cmphex(reg(c, EXT(8), 0, X86_EAX), ==, table[i].eax);
        case_free(c);
    }
}

static void test_leaves_of_a_feature_go_with_it(void)
{
    Case *max = case_new("max"), *less, *named;

    g_assert_nonnull(x86_cpuid_find(max->cpuid, 0x14, 1));
    less = case_new("max,-intel-pt,-amx-tile,-svm");
    g_assert_null(x86_cpuid_find(less->cpuid, 0x14, 0));
    g_assert_null(x86_cpuid_find(less->cpuid, 0x14, 1));
    g_assert_null(x86_cpuid_find(less->cpuid, 0x1d, 0));
    g_assert_null(x86_cpuid_find(less->cpuid, EXT(0xa), 0));
    named = case_new("Haswell,+intel-pt");
    g_assert_cmphex(reg(named, 0, 0, X86_EAX), ==, 0x14);
    g_assert_cmphex(reg(named, 0x14, 1, X86_EAX), ==, 0x2490002);
    case_free(max);
    case_free(less);
    case_free(named);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpuid/max/is-the-host", test_max_is_the_host);
    g_test_add_func("/cpuid/minus/takes-that-bit", test_minus_takes_that_bit);
    g_test_add_func("/cpuid/plus/gives-that-bit", test_plus_gives_that_bit);
    g_test_add_func("/cpuid/hypervisor/kvm-off-hides-leaves",
                    test_minus_hypervisor_keeps_leaves_kvm_off_hides_them);
    g_test_add_func("/cpuid/xsave/follows-the-features",
                    test_xsave_follows_the_features);
    g_test_add_func("/cpuid/xsave/without-it-no-leaf", test_no_xsave_no_leaf);
    g_test_add_func("/cpuid/missing/is-named-and-masked",
                    test_missing_is_named_and_masked);
    g_test_add_func("/cpuid/withheld/comes-when-asked-for",
                    test_withheld_comes_when_asked_for);
    g_test_add_func("/cpuid/named/has-only-its-own",
                    test_named_has_only_its_own);
    g_test_add_func("/cpuid/named/does-not-depend-on-the-host",
                    test_named_does_not_depend_on_the_host);
    g_test_add_func("/cpuid/named/levels-reach-the-last-feature",
                    test_levels_reach_the_last_feature);
    g_test_add_func("/cpuid/identity", test_identity);
    g_test_add_func("/cpuid/caches/in-the-vendor-s-way",
                    test_caches_are_told_in_the_vendor_s_way);
    g_test_add_func("/cpuid/widths/are-the-host-s",
                    test_widths_are_the_host_s);
    g_test_add_func("/cpuid/leaves/go-with-their-feature",
                    test_leaves_of_a_feature_go_with_it);
    return g_test_run();
}
