/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID as a guest on the real KVM finds it, at CPL 0 and at CPL 3: what -cpu
 * gives is there, what it takes is gone.
 */
#include <string.h>

#include "kvm-guest.h"
#include "system/big-lock.h"
#include "target/i386/cpu-plan.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"
#include "util/error.h"

#define ASKED (GUEST_DATA + 0x1000)    /* pairs of leaf and subleaf */
#define ANSWERS (GUEST_DATA + 0x2000)  /* four registers each */
#define MAX_ASKED 64

/* Bits that the kernel sets as the guest's registers or its own version have
 * it: not ours to compare. */
#define KERNEL_S "apic monitor ht xsaves"

/* One guest, and what its CPUID said. */
typedef struct Look {
    X86CpuSpec *spec;
    KvmGuest *g;
    GArray *seen;         /* of X86CpuidEntry */
} Look;

static void ask(Look *l, uint32_t leaf, uint32_t subleaf)
{
    X86CpuidEntry e = {
        .leaf = leaf, .subleaf = subleaf, .indexed = true,
    };

    g_assert_cmpuint(l->seen->len, <, MAX_ASKED);
    memcpy(l->g->ram->host + ASKED + 8 * l->seen->len, &leaf, 4);
    memcpy(l->g->ram->host + ASKED + 8 * l->seen->len + 4, &subleaf, 4);
    g_array_append_val(l->seen, e);
}

static void ask_all(Look *l)
{
    ask(l, 0, 0);
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        const X86CpuidWord *w = x86_cpuid_word(i);

        ask(l, w->leaf, w->subleaf);
    }
    for (unsigned i = 0; i < 20; i++) {
        ask(l, 0xd, i);
    }
    ask(l, X86_CPUID_KVM, 0);
    for (unsigned i = 2; i <= 4; i++) {
        ask(l, X86_CPUID_EXT + i, 0);
    }
    ask(l, X86_CPUID_EXT + 0x1e, 0);
}

static void run_asker(Look *l, unsigned cpl)
{
    Code c = { .n = 0 };
    unsigned loop;

    code_mov(&c, X86_RSI, ASKED);
    code_mov(&c, X86_RDI, ANSWERS);
    code_mov(&c, X86_R8, l->seen->len);
    loop = c.n;
    CODE(&c, 0x8b, 0x06);                   /* mov eax,[rsi] */
    CODE(&c, 0x8b, 0x4e, 0x04);             /* mov ecx,[rsi+4] */
    CODE(&c, 0x0f, 0xa2);                   /* cpuid */
    CODE(&c, 0x89, 0x07);                   /* mov [rdi],eax */
    CODE(&c, 0x89, 0x5f, 0x04);             /* mov [rdi+4],ebx */
    CODE(&c, 0x89, 0x4f, 0x08);             /* mov [rdi+8],ecx */
    CODE(&c, 0x89, 0x57, 0x0c);             /* mov [rdi+12],edx */
    CODE(&c, 0x48, 0x83, 0xc6, 0x08);       /* add rsi,8 */
    CODE(&c, 0x48, 0x83, 0xc7, 0x10);       /* add rdi,16 */
    CODE(&c, 0x49, 0xff, 0xc8);             /* dec r8 */
    code_jump_back(&c, 0x75, loop);         /* jnz */
    code_out(&c);
    CODE(&c, 0xeb, 0xfe);
    kvm_guest_load(l->g, 0, c.bytes, c.n);
    kvm_guest_enter(l->g, 0, cpl);
    cpus_resume_all(l->g->vm);
    kvm_guest_wait_passes(l->g, 1);
    cpus_pause_all(l->g->vm);
    for (guint i = 0; i < l->seen->len; i++) {
        memcpy(g_array_index(l->seen, X86CpuidEntry, i).reg,
               l->g->ram->host + ANSWERS + 16 * i, 16);
    }
}

static Look *look_new(const char *cpu, unsigned cpl, unsigned n_vcpus)
{
    Look *l = g_new0(Look, 1);
    g_autoptr(GError) error = NULL;

    if (cpu) {
        l->spec = x86_cpu_spec_parse(cpu, &error);
        g_assert_no_error(error);
    }
    l->g = kvm_guest_new_cpu(NULL, l->spec, n_vcpus);
    l->seen = g_array_new(FALSE, FALSE, sizeof(X86CpuidEntry));
    ask_all(l);
    run_asker(l, cpl);
    return l;
}

static void look_free(Look *l)
{
    kvm_guest_free(l->g);
    x86_cpu_spec_free(l->spec);
    g_array_unref(l->seen);
    g_free(l);
}

static KvmState *kvm_of(const Look *l)
{
    return l->g->accel->opaque;
}

static void features_of(const Look *l, X86FeatureSet *ret)
{
    X86FeatureSet kernel_s;

    x86_cpuid_features(l->seen, ret);
    x86_features_parse(KERNEL_S, &kernel_s);
    x86_features_remove(ret, &kernel_s);
}

static bool sees(const Look *l, const char *name)
{
    X86FeatureSet set;

    x86_cpuid_features(l->seen, &set);
    return x86_features_has(&set, name);
}

/* Kernels that run CPL 3 on the bare CPU cannot hide its CPUID there. */
static bool skip_bare_cpl3(unsigned cpl)
{
    static int bare = -1;
    Look *l;
    uint32_t id;

    if (cpl == 0) {
        return false;
    }
    if (bare < 0) {
        l = look_new("max,model-id=tide", cpl, 1);
        id = x86_cpuid_find(l->seen, X86_CPUID_EXT + 2, 0)->reg[X86_EAX];
        bare = memcmp(&id, "tide", 4) != 0;
        look_free(l);
    }
    if (bare) {
        g_test_skip("this KVM lets CPL 3 see the host's CPUID");
    }
    return bare;
}

/* What was made for the guest is what it finds, bit by bit. */
static void assert_as_planned(const Look *l, const char *cpu)
{
    X86FeatureSet planned, seen, kernel_s, other;
    g_auto(GStrv) names = NULL;

    x86_cpuid_features(kvm_of(l)->cpuid, &planned);
    x86_features_parse(KERNEL_S, &kernel_s);
    x86_features_remove(&planned, &kernel_s);
    features_of(l, &seen);
    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        other.word[i] = planned.word[i] ^ seen.word[i];
    }
    names = x86_features_names(&other);
    g_test_message("%s: not as planned: %s", cpu,
                   *names ? *names : "nothing");
    g_assert_cmpmem(&seen, sizeof(seen), &planned, sizeof(planned));
}

static void test_models_are_as_planned(gconstpointer data)
{
    unsigned cpl = GPOINTER_TO_UINT(data);

    if (kvm_guest_skip() || skip_bare_cpl3(cpl)) {
        return;
    }
    for (const X86CpuModel *m = x86_cpu_models(); m->name; m++) {
        g_autofree char *cpu = g_strdup_printf("%s,check=off", m->name);
        Look *l;

        if (!strcmp(m->name, "base")) {
            continue; /* such a CPU cannot be in long mode */
        }
        l = look_new(cpu, cpl, 1);
        assert_as_planned(l, cpu);
        look_free(l);
    }
}

/* Each of some that the host has, taken away. */
static void test_minus_is_gone(gconstpointer data)
{
    static const char *const names[] = { "sse4.2", "popcnt", "aes", "rdrand",
        "avx", "xsave", "x2apic", "hypervisor", "pcid", "smep", "smap",
        "fsgsbase", "kvm-pv-eoi", "kvmclock", "lahf-lm", "svm", "vmx", "pku",
        "tsc-deadline", "rdtscp", "invtsc", "cx16" };
    unsigned cpl = GPOINTER_TO_UINT(data), tried = 0;
    X86FeatureSet host, shown;
    Look *all;

    if (kvm_guest_skip() || skip_bare_cpl3(cpl)) {
        return;
    }
    all = look_new(NULL, cpl, 1);
    features_of(all, &host);
    assert_as_planned(all, "(none)");
    x86_cpuid_features(all->seen, &shown);
    look_free(all); /* one machine at a time has the big lock */
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *cpu = g_strdup_printf("max,-%s", names[i]);
        X86FeatureSet seen, one, want = host;
        Look *l;

        if (!x86_features_has(&shown, names[i])) {
            continue;
        }
        x86_features_parse(names[i], &one);
        x86_features_remove(&want, &one);
        x86_features_settle(&want, &host);
        l = look_new(cpu, cpl, 1);
        features_of(l, &seen);
        g_test_message("%s", cpu);
        g_assert_false(sees(l, names[i]));
        g_assert_cmpmem(&seen, sizeof(seen), &want, sizeof(want));
        look_free(l);
        tried++;
    }
    g_test_message("%u features taken away", tried);
    g_assert_cmpuint(tried, >, 3);
}

static bool sees_kvm(const Look *l)
{
    return x86_cpuid_find(l->seen, X86_CPUID_KVM, 0)->reg[X86_EBX] ==
        0x4b4d564b; /* "KVMK" */
}

static void test_kvm_can_be_hidden(gconstpointer data)
{
    unsigned cpl = GPOINTER_TO_UINT(data);
    Look *shown, *hidden;

    if (kvm_guest_skip() || skip_bare_cpl3(cpl)) {
        return;
    }
    shown = look_new("max", cpl, 1);
    g_assert_true(sees_kvm(shown));
    g_assert_true(sees(shown, "hypervisor"));
    look_free(shown);
    hidden = look_new("max,kvm=off", cpl, 1);
    g_assert_false(sees_kvm(hidden));
    g_assert_true(sees(hidden, "hypervisor"));
    look_free(hidden);
}

static void test_identity_is_what_was_asked_for(gconstpointer data)
{
    unsigned cpl = GPOINTER_TO_UINT(data);
    char id[49] = "", vendor[13] = "";
    const X86CpuidEntry *e;
    Look *l;

    if (kvm_guest_skip() || skip_bare_cpl3(cpl)) {
        return;
    }
    l = look_new("Haswell,check=off,vendor=GenuineIntel,stepping=3", cpl, 1);
    for (unsigned i = 0; i < 3; i++) {
        e = x86_cpuid_find(l->seen, X86_CPUID_EXT + 2 + i, 0);
        memcpy(id + 16 * i, e->reg, 16);
    }
    e = x86_cpuid_find(l->seen, 0, 0);
    memcpy(vendor, &e->reg[X86_EBX], 4);
    memcpy(vendor + 4, &e->reg[X86_EDX], 4);
    memcpy(vendor + 8, &e->reg[X86_ECX], 4);
    g_assert_cmpstr(vendor, ==, X86_VENDOR_INTEL);
    g_assert_cmpstr(id, ==, "Intel Core Processor (Haswell)");
    g_assert_cmphex(x86_cpuid_find(l->seen, 1, 0)->reg[X86_EAX], ==, 0x306c3);
    look_free(l);
}

/* The first of three vCPUs knows of the others. */
static void test_first_of_three_knows_it(void)
{
    const X86CpuidEntry *one;
    Look *l;

    if (kvm_guest_skip()) {
        return;
    }
    l = look_new(NULL, 0, 3);
    one = x86_cpuid_find(l->seen, 1, 0);
    g_assert_cmpuint(one->reg[X86_EBX] >> 16 & 0xff, ==, 4);
    g_assert_true(sees(l, "ht"));
    look_free(l);
}

/* Registers that were taken away cannot be set either: the error says so. */
static void test_state_beyond_the_model_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    X86CpuState *s;
    Vcpu *vcpu;
    Look *l;

    if (kvm_guest_skip()) {
        return;
    }
    l = look_new("max,-avx", 0, 1);
    vcpu = g_ptr_array_index(l->g->vm->vcpus, 0);
    s = vcpu->state;
    g_assert_cmphex(s->xcr0_can & X86_XSTATE_AVX, ==, 0);
    if (!sees(l, "xsave")) {
        g_test_skip("this host has no XSAVE");
        look_free(l);
        return;
    }
    g_assert_true(kvm_get_state(vcpu, &error));
    g_assert_false(s->nested);
    s->xcr0 = 7;
    g_assert_false(kvm_set_state(vcpu, &error));
    g_assert_nonnull(strstr(error->message, "KVM_SET_XCRS"));
    s->xcr0 = 3;
    g_clear_error(&error);
    g_assert_true(kvm_set_state(vcpu, &error));
    look_free(l);
}

int main(int argc, char **argv)
{
    static const unsigned levels[] = { 0, 3 };
    static const struct {
        const char *name;
        GTestDataFunc fn;
    } tests[] = {
        { "models/are-as-planned", test_models_are_as_planned },
        { "minus/is-gone", test_minus_is_gone },
        { "kvm/can-be-hidden", test_kvm_can_be_hidden },
        { "identity/is-what-was-asked-for",
          test_identity_is_what_was_asked_for },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(tests); i++) {
        unsigned cpl = levels[i % 2];
        g_autofree char *path = g_strdup_printf("/kvm-cpuid/%s/cpl%u",
                                                tests[i / 2].name, cpl);

        g_test_add_data_func(path, GUINT_TO_POINTER(cpl), tests[i / 2].fn);
    }
    g_test_add_func("/kvm-cpuid/topology/first-of-three-knows-it",
                    test_first_of_three_knows_it);
    g_test_add_func("/kvm-cpuid/state/beyond-the-model-is-refused",
                    test_state_beyond_the_model_is_refused);
    return g_test_run();
}
