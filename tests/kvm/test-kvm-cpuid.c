/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID as a guest on the real KVM finds it, at CPL 0 and at CPL 3: what -cpu
 * gives is there, what it takes is gone.
 */
#include <string.h>
#include <unistd.h>

#include "accel/kvm/kvm-cpu.h"
#include "accel/kvm/kvm-vm.h"
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

/* Without what is not ours to compare. */
static void features_of(const GArray *cpuid, X86FeatureSet *ret)
{
    X86FeatureSet kernel_s;

    x86_cpuid_features(cpuid, ret);
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
static bool is_bare_at_cpl3(void)
{
    static int bare = -1;
    Look *l;
    uint32_t id;

    if (bare < 0) {
        l = look_new("max,model-id=tide", 3, 1);
        id = x86_cpuid_find(l->seen, X86_CPUID_EXT + 2, 0)->reg[X86_EAX];
        bare = memcmp(&id, "tide", 4) != 0;
        look_free(l);
    }
    return bare;
}

static bool skip_bare_cpl3(unsigned cpl)
{
    if (cpl == 0 || !is_bare_at_cpl3()) {
        return false;
    }
    g_test_skip("this KVM lets CPL 3 see the host's CPUID");
    return true;
}

/* ---- what this KVM does not let be set ----------------------------------- */

/* Features of a vCPU after KVM_SET_CPUID2 of all that the kernel lists, or of
 * none of it. By hand, without what is tested here. */
static void set_by_hand(KvmIo *io, int fd, bool none, X86FeatureSet *ret)
{
    g_autofree struct kvm_cpuid2 *list =
        g_malloc0(sizeof(*list) + 256 * sizeof(list->entries[0]));
    g_autoptr(GArray) in_force = NULL;

    list->nent = 256;
    g_assert_cmpint(kvm_sys(io, KVM_GET_SUPPORTED_CPUID, list), ==, 0);
    for (uint32_t i = 0; none && i < list->nent; i++) {
        struct kvm_cpuid_entry2 *e = &list->entries[i];
        uint32_t *reg[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

        for (unsigned k = 0; k < X86_CPUID_REGS; k++) {
            if (x86_features_word(ret, e->function, e->index, k)) {
                *reg[k] = 0;
            }
        }
    }
    g_assert_cmpint(kvm_vcpu(io, fd, KVM_SET_CPUID2, list), ==, 0);
    in_force = kvm_cpuid_fetch(io, fd, KVM_GET_CPUID2, "KVM_GET_CPUID2", NULL);
    g_assert_nonnull(in_force);
    x86_cpuid_features(in_force, ret);
}

/* Those that the kernel has in force unasked, or not although they are on its
 * list; what belongs to KERNEL_S apart. On hardware there are none. */
static void find_fixed(X86FeatureSet *ret)
{
    KvmIo io = { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1, .vm_fd = -1 };
    X86FeatureSet listed, kept, kernel_s;
    g_autoptr(GArray) list = NULL;
    KvmCaps caps;
    int fd;

    g_assert_true(kvm_vm_open(&io, &caps, NULL));
    fd = kvm_vm(&io, KVM_CREATE_VCPU, KVM_ARG(0));
    g_assert_cmpint(fd, >=, 0);
    list = kvm_cpuid_fetch(&io, -1, KVM_GET_SUPPORTED_CPUID,
                           "KVM_GET_SUPPORTED_CPUID", NULL);
    x86_cpuid_features(list, &listed);
    set_by_hand(&io, fd, false, &kept);
    x86_features_remove(&listed, &kept);
    set_by_hand(&io, fd, true, ret);
    x86_features_add(ret, &listed);
    x86_features_parse(KERNEL_S, &kernel_s);
    x86_features_remove(ret, &kernel_s);
    close(fd);
    io.ops->close(&io);
}

static const X86FeatureSet *fixed(void)
{
    static X86FeatureSet set;
    static bool known;

    if (!known) {
        find_fixed(&set);
        known = true;
    }
    return &set;
}

/* A kernel may only do so for the sake of CPL 3. */
static void test_fixed_only_by_a_bare_cpl3(void)
{
    g_autofree char *names = NULL;

    if (kvm_guest_skip()) {
        return;
    }
    names = x86_features_text(fixed());
    g_test_message("not for us to set: %s", names);
    g_assert_true(x86_features_empty(fixed()) || is_bare_at_cpl3());
}

/* ---- -cpu ---------------------------------------------------------------- */

static void assert_same(const X86FeatureSet *a, const X86FeatureSet *b,
                        const char *cpu)
{
    g_autofree char *names = NULL;
    X86FeatureSet other;

    for (unsigned i = 0; i < X86_CPUID_WORDS; i++) {
        other.word[i] = a->word[i] ^ b->word[i];
    }
    names = x86_features_text(&other);
    if (*names) {
        g_test_message("%s: not the same: %s", cpu, names);
    }
    g_assert_cmpstr(names, ==, "");
}

/* What the kernel says is in force is what the guest finds, bit by bit, and so
 * is what was made for it, but for what this kernel does not let be set. */
static void assert_as_planned(const Look *l, const char *cpu)
{
    const KvmVcpu *kv = kvm_guest_vcpu(l->g, 0);
    X86FeatureSet planned, seen, in_force;
    g_autoptr(GArray) now = kvm_cpuid_fetch(&kvm_of(l)->io, kv->fd,
        KVM_GET_CPUID2, "KVM_GET_CPUID2", NULL);

    g_assert_nonnull(now);
    features_of(now, &in_force);
    features_of(l->seen, &seen);
    assert_same(&seen, &in_force, cpu);
    features_of(kvm_of(l)->cpuid, &planned);
    x86_features_remove(&planned, fixed());
    x86_features_remove(&seen, fixed());
    assert_same(&seen, &planned, cpu);
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

static bool is_fixed(const X86FeatureSet *one)
{
    X86FeatureSet both = *one;

    x86_features_keep(&both, fixed());
    return !x86_features_empty(&both);
}

/* Each of some that the host has and can take away, taken away. */
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
    features_of(all->seen, &host);
    x86_features_remove(&host, fixed());
    assert_as_planned(all, "(none)");
    x86_cpuid_features(all->seen, &shown);
    look_free(all); /* one machine at a time has the big lock */
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *cpu = g_strdup_printf("max,-%s", names[i]);
        X86FeatureSet seen, one, want = host;
        Look *l;

        x86_features_parse(names[i], &one);
        if (!x86_features_has(&shown, names[i]) || is_fixed(&one)) {
            continue;
        }
        x86_features_remove(&want, &one);
        x86_features_settle(&want, &host);
        l = look_new(cpu, cpl, 1);
        features_of(l->seen, &seen);
        x86_features_remove(&seen, fixed());
        g_assert_false(sees(l, names[i]));
        assert_same(&seen, &want, cpu);
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

/* Where AVX cannot be taken away its registers are the guest's after all. */
static void assert_can_be_set(Vcpu *vcpu)
{
    X86CpuState *s = vcpu->state;

    g_assert_true(s->xcr0_can & X86_XSTATE_AVX);
    s->xcr0 = 7;
    g_assert_true(kvm_set_state(vcpu, NULL));
    s->xcr0 = 0;
    g_assert_true(kvm_get_state(vcpu, NULL));
    g_assert_cmphex(s->xcr0, ==, 7);
}

/* Registers that were taken away cannot be set either: the error says so. */
static void assert_cannot_be_set(Vcpu *vcpu)
{
    X86CpuState *s = vcpu->state;
    g_autoptr(GError) error = NULL;

    g_assert_cmphex(s->xcr0_can & X86_XSTATE_AVX, ==, 0);
    s->xcr0 = 7;
    g_assert_false(kvm_set_state(vcpu, &error));
    g_assert_nonnull(strstr(error->message, "KVM_SET_XCRS"));
    s->xcr0 = 3;
    g_clear_error(&error);
    g_assert_true(kvm_set_state(vcpu, &error));
}

static void test_state_goes_by_what_is_in_force(void)
{
    g_autoptr(GError) error = NULL;
    Vcpu *vcpu;
    Look *l;

    if (kvm_guest_skip()) {
        return;
    }
    l = look_new("max,-avx", 0, 1);
    vcpu = g_ptr_array_index(l->g->vm->vcpus, 0);
    if (sees(l, "xsave")) {
        g_assert_true(kvm_get_state(vcpu, &error));
        g_assert_false(vcpu->state->nested);
        if (x86_features_has(fixed(), "avx")) {
            g_assert_true(sees(l, "avx"));
            assert_can_be_set(vcpu);
        } else {
            assert_cannot_be_set(vcpu);
        }
    } else {
        g_assert_cmphex(vcpu->state->xcr0_can & X86_XSTATE_AVX, ==, 0);
        g_test_skip("this host has no XSAVE");
    }
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
    g_test_add_func("/kvm-cpuid/state/goes-by-what-is-in-force",
                    test_state_goes_by_what_is_in_force);
    g_test_add_func("/kvm-cpuid/fixed/only-by-a-bare-cpl3",
                    test_fixed_only_by_a_bare_cpl3);
    return g_test_run();
}
