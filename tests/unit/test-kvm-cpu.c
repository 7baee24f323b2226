/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPU model on a kernel model: what the guest is given, what is told or
 * refused, and the enlightened VMCS, whose controls must be left out of the
 * capability MSRs or the kernel takes none of them.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "accel/kvm/kvm-cpu.h"
#include "accel/kvm/kvm-evmcs.h"
#include "accel/kvm/kvm-vcpu.h"
#include "accel/kvm/kvm-vmx.h"
#include "fake-host.h"
#include "kvm-model-vcpu.h"
#include "system/big-lock.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "util/error.h"

#define PIN_TRUE 0x48d
#define SECONDARY 0x48b
#define EXIT_TRUE 0x48f

/* A machine about to make its vCPUs. */
typedef struct Rig {
    KvmModelVcpu *kernel;
    X86CpuSpec *spec;
    Vm *vm;
    Accel accel;
    KvmState kvm;
    KvmVcpu kv;
    Vcpu vcpu;
} Rig;

static char *reported;

static void keep_report(const char *text)
{
    g_assert_null(reported);
    reported = g_strdup(text);
}

static Rig *rig_on(GArray *host, const char *cpu)
{
    Rig *r = g_new0(Rig, 1);
    g_autoptr(GError) error = NULL;

    big_lock();
    r->kernel = kvm_model_vcpu_new(host);
    r->vm = vm_new();
    if (cpu) {
        r->spec = x86_cpu_spec_parse(cpu, &error);
        g_assert_no_error(error);
    }
    r->vm->cpu = r->spec;
    r->accel = (Accel) { .name = "kvm", .opaque = &r->kvm,
                         .report = keep_report };
    r->vm->accel = &r->accel;
    r->kvm = (KvmState) { .vm = r->vm, .accel = &r->accel,
                          .io = r->kernel->io };
    r->kv = (KvmVcpu) { .kvm = &r->kvm, .vcpu = &r->vcpu,
                        .fd = KVM_MODEL_VCPU_FD };
    r->vcpu = (Vcpu) { .vm = r->vm, .accel = &r->kv,
                       .state = x86_cpu_state_new() };
    return r;
}

static Rig *rig_new(const char *cpu)
{
    return rig_on(fake_host_new(X86_VENDOR_INTEL, ""), cpu);
}

static void rig_free(Rig *r)
{
    kvm_cpu_done(&r->kvm);
    x86_cpu_state_free(r->vcpu.state);
    r->vm->accel = NULL;
    vm_free(r->vm);
    x86_cpu_spec_free(r->spec);
    kvm_model_vcpu_free(r->kernel);
    big_unlock();
    g_clear_pointer(&reported, g_free);
    g_free(r);
}

/* As kvm-caps.c would ask. */
static bool init(Rig *r, GError **error)
{
    KvmIo *io = &r->kvm.io;

    r->kvm.caps.msr_features =
        kvm_vm(io, KVM_CHECK_EXTENSION, KVM_ARG(KVM_CAP_GET_MSR_FEATURES));
    r->kvm.caps.hyperv_evmcs = kvm_vm(io, KVM_CHECK_EXTENSION,
        KVM_ARG(KVM_CAP_HYPERV_ENLIGHTENED_VMCS));
    r->kvm.caps.tsc_deadline = kvm_vm(io, KVM_CHECK_EXTENSION,
        KVM_ARG(KVM_CAP_TSC_DEADLINE_TIMER));
    return kvm_cpu_init(&r->kvm, error);
}

static void up(Rig *r)
{
    g_autoptr(GError) error = NULL;

    init(r, &error);
    g_assert_no_error(error);
    kvm_cpu_setup(&r->kv, &error);
    g_assert_no_error(error);
}

static bool guest_has(const Rig *r, const char *name)
{
    X86FeatureSet set;

    x86_cpuid_features(r->kernel->given, &set);
    return x86_features_has(&set, name);
}

/* ---- CPUID ------------------------------------------------------------ */

static void test_default_is_all_the_host_has(void)
{
    Rig *plain = rig_new(NULL), *max;

    up(plain);
    g_assert_null(reported);
    for (guint i = 0; i < plain->kernel->cpuid->len; i++) {
        const X86CpuidEntry *e = &g_array_index(plain->kernel->cpuid,
                                                X86CpuidEntry, i);

        g_assert_nonnull(x86_cpuid_find(plain->kernel->given, e->leaf,
                                        e->subleaf));
    }
    big_unlock();
    max = rig_new("max");
    up(max);
    g_assert_cmpuint(plain->kernel->given->len, ==, max->kernel->given->len);
    for (guint i = 0; i < max->kernel->given->len; i++) {
        const X86CpuidEntry *e = &g_array_index(max->kernel->given,
                                                X86CpuidEntry, i);
        const X86CpuidEntry *same = x86_cpuid_find(plain->kernel->given,
                                                   e->leaf, e->subleaf);

        g_assert_nonnull(same);
        g_assert_cmpmem(e->reg, sizeof(e->reg), same->reg, sizeof(e->reg));
    }
    rig_free(max);
    big_lock();
    rig_free(plain);
}

static void test_unlisted_bits_are_given(void)
{
    Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL,
                                  "hypervisor tsc-deadline"), "SandyBridge");

    up(r);
    g_assert_null(reported);
    g_assert_true(guest_has(r, "hypervisor"));
    g_assert_true(guest_has(r, "tsc-deadline"));
    rig_free(r);
}

static void test_missing_is_told_once_and_masked(void)
{
    Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL, "rtm hle avx2"),
                    "Haswell");

    up(r);
    g_assert_cmpstr(reported, ==, "-cpu Haswell: this host cannot give the "
                    "guest 'hle', 'avx2', 'rtm'; it goes without");
    g_assert_false(guest_has(r, "rtm"));
    g_assert_false(guest_has(r, "avx2"));
    g_assert_true(guest_has(r, "fma"));
    rig_free(r);
}

static void test_check_off_tells_nothing(void)
{
    Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL, "rtm"),
                    "Haswell,check=off");

    up(r);
    g_assert_null(reported);
    g_assert_false(guest_has(r, "rtm"));
    rig_free(r);
}

static void test_enforce_refuses_naming_all(void)
{
    Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL, "rtm hle"),
                    "Haswell,+avx512f,+avx512dq,enforce");
    Rig *fine;
    g_autoptr(GError) error = NULL;

    g_assert_false(init(r, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr(error->message, "-cpu Haswell,enforce"));
    g_assert_nonnull(strstr(error->message, "'hle'"));
    g_assert_nonnull(strstr(error->message, "'rtm'"));
    g_assert_null(strstr(error->message, "avx512"));
    g_assert_true(r->accel.options_refused);
    g_assert_null(reported);
    rig_free(r);
    fine = rig_on(fake_host_new(X86_VENDOR_INTEL, "rtm hle"),
                  "Haswell,-hle,-rtm,enforce");
    up(fine);
    rig_free(fine);
}

/* Each vCPU is told how many there will be, the first too. */
/* A kernel that does not take away what it is told to: once, by name. */
static void test_what_stays_all_the_same_is_told(void)
{
    static const struct {
        const char *cpu, *told;
    } table[] = {
        { "IvyBridge,+rdseed", "-cpu IvyBridge: this host's KVM gives the "
          "guest 'avx2', 'rtm' all the same" },
        { "max,-rtm", "-cpu max: this host's KVM gives the guest 'rtm' all "
          "the same" },
        { "max,-avx", NULL }, /* avx2 went with it, and nobody named it */
        { "max", NULL },
        { NULL, NULL },
        { "Haswell", NULL },
        { "IvyBridge,check=off", NULL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_new(table[i].cpu);
        X86CpuidEntry *e;

        up(r); /* as it is given */
        g_assert_null(reported);
        r->kernel->forced = g_array_copy(r->kernel->given);
        e = x86_cpuid_find(r->kernel->forced, 7, 0);
        g_assert_nonnull(e);
        e->reg[X86_EBX] |= 1 << 5 | 1 << 11; /* avx2, rtm */
        e = x86_cpuid_find(r->kernel->forced, 1, 0);
        e->reg[X86_EDX] |= 1 << 9 | 1 << 28; /* apic, ht */
        for (r->vcpu.index = 0; r->vcpu.index < 3; r->vcpu.index++) {
            g_assert_true(kvm_cpu_setup(&r->kv, NULL));
        }
        g_assert_cmpstr(reported, ==, table[i].told);
        rig_free(r);
    }
}

static void test_every_vcpu_knows_how_many(void)
{
    static const char *const models[] = { "max", "Haswell", "EPYC" };
    static const char *const vendors[] = { X86_VENDOR_INTEL,
                                           X86_VENDOR_AMD };

    for (unsigned n = 0; n < 6; n++) {
        Rig *r = rig_on(fake_host_new(vendors[n / 3], "cmp-legacy"),
                        models[n % 3]);
        GArray *given;

        r->vm->n_vcpus = 5;
        r->vcpu.index = n % 2 ? 3 : 0;
        up(r);
        given = r->kernel->given;
        g_assert_cmpuint(fake_host_reg(given, 1, 0, X86_EBX) >> 16 & 0xff, ==,
                         8);
        g_assert_cmpuint(fake_host_reg(given, 1, 0, X86_EBX) >> 24, ==,
                         r->vcpu.index);
        g_assert_true(guest_has(r, "ht"));
        g_assert_cmpint(guest_has(r, "cmp-legacy"), ==, n / 3);
        g_assert_cmpuint(fake_host_reg(given, 0xb, 1, X86_EBX), ==, 5);
        g_assert_cmpuint(fake_host_reg(given, 0xb, 1, X86_EAX), ==, 3);
        g_assert_cmpuint(fake_host_reg(given, 0xb, 0, X86_EDX), ==,
                         r->vcpu.index);
        rig_free(r);
    }
}

static void test_kernel_errors_are_told(void)
{
    static const struct {
        unsigned long request;
        const char *cpu, *words;
    } table[] = {
        { KVM_GET_SUPPORTED_CPUID, "max", "KVM_GET_SUPPORTED_CPUID" },
        { KVM_GET_MSR_FEATURE_INDEX_LIST, "max",
          "KVM_GET_MSR_FEATURE_INDEX_LIST" },
        { KVM_GET_MSRS, "max", "KVM_GET_MSRS" },
        { KVM_SET_CPUID2, "max", "KVM_SET_CPUID2" },
        { KVM_GET_CPUID2, "max", "KVM_GET_CPUID2" },
        { KVM_SET_MSRS, "max", "KVM_SET_MSRS" },
        { KVM_ENABLE_CAP, "max,hv-evmcs", "KVM_CAP_HYPERV_ENLIGHTENED_VMCS" },
        { KVM_GET_SUPPORTED_HV_CPUID, "max,hv-evmcs",
          "KVM_GET_SUPPORTED_HV_CPUID" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_new(table[i].cpu);
        g_autoptr(GError) error = NULL;

        r->kernel->fail_request = table[i].request;
        r->kernel->fail_errno = EFAULT;
        g_assert_false(init(r, &error) && kvm_cpu_setup(&r->kv, &error));
        g_assert_nonnull(strstr(error->message, table[i].words));
        g_assert_nonnull(strstr(error->message, "Bad address"));
        rig_free(r);
    }
}

/* ---- capability MSRs -------------------------------------------------- */

static void test_vmx_msrs_are_the_host_s(void)
{
    Rig *r = rig_new("max");

    up(r);
    g_assert_cmpuint(r->kernel->msr_sets, ==, 1);
    g_assert_cmpuint(r->kvm.vmx_msrs->len, ==, 12);
    for (uint32_t i = 0x480; i <= 0x491; i++) {
        g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, i), ==,
                        kvm_model_vmx_full(i));
        g_assert_true(kvm_vmx_is_capability(i));
    }
    g_assert_false(kvm_vmx_is_capability(0x47f));
    g_assert_false(kvm_vmx_is_capability(0x492));
    rig_free(r);
}

static void test_vmx_msr_that_is_not_there_is_left_out(void)
{
    Rig *r = rig_new("max");

    r->kernel->lacks_msr = 0x491;
    up(r);
    g_assert_cmpuint(r->kvm.vmx_msrs->len, ==, 11);
    rig_free(r);
}

/* Nothing of it: the guest's CPUID has no VMX, or the kernel does not tell. */
static void test_without_vmx_nothing_of_it(void)
{
    static const struct {
        const char *lacks, *cpu;
        bool has_vmx, tells;
    } table[] = {
        { "vmx", "max", false, true },
        { "vmx", NULL, false, true },
        { "", "max,-vmx", true, true },
        { "", "Haswell", true, true },
        { "", "max", true, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL, table[i].lacks),
                        table[i].cpu);

        r->kernel->has_vmx = table[i].has_vmx;
        r->kernel->has_msr_features = table[i].tells;
        r->kernel->has_evmcs = false;
        up(r);
        g_assert_cmpuint(r->kernel->msr_sets, ==, 0);
        rig_free(r);
    }
}

static void test_refused_msr_is_named(void)
{
    Rig *r = rig_new("max");
    g_autoptr(GError) error = NULL;

    g_assert_true(init(r, &error));
    r->kernel->vmx[SECONDARY - 0x480] &= ~(UINT64_C(1) << 63);
    g_assert_false(kvm_cpu_setup(&r->kv, &error));
    g_assert_cmpstr(error->message, ==, "KVM_SET_MSRS of vCPU 0: MSR 0x48b, "
                    "value 0xffffffff00000016, was refused");
    rig_free(r);
}

/* ---- the enlightened VMCS --------------------------------------------- */

/* The kernel that the letter of 2020 is about. Full values make KVM_SET_MSRS
 * stop at the first control that was dropped; filtered ones do not. */
static void test_evmcs_full_values_stop_short(void)
{
    Rig *r = rig_new("max,hv-evmcs");
    g_autoptr(GError) error = NULL;

    up(r);
    g_assert_true(r->kernel->evmcs_on);
    g_assert_cmpuint(r->kernel->msr_sets, ==, 1);
    g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, PIN_TRUE), ==,
                    UINT64_C(0xffffff3f00000016));
    /* The same block once more, without the filter. */
    r->kvm.evmcs = false;
    g_assert_false(kvm_vmx_set(&r->kv, false, &error));
    g_assert_cmpstr(error->message, ==, "KVM_SET_MSRS of vCPU 0: MSR 0x48d, "
                    "value 0xffffffff00000016, was refused");
    rig_free(r);
}

static void test_evmcs_on_newer_kernels(void)
{
    for (unsigned perf = 0; perf < 2; perf++) {
        Rig *r = rig_new("max,hv-evmcs");
        const GArray *given;

        r->kernel->drops_when_enabled = false;
        r->kernel->perf_global_ctrl = perf;
        up(r);
        given = r->kernel->given;
        g_assert_cmphex(fake_host_reg(given, 0x4000000a, 0, X86_EBX), ==,
                        perf);
        for (uint32_t i = 0x480; i <= 0x491; i++) {
            g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, i), ==,
                            evmcs_filter_msr(i, kvm_model_vmx_full(i), perf));
        }
        g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, EXIT_TRUE) >> 44 & 1,
                        ==, perf);
        rig_free(r);
    }
}

/* An older kernel that has the later field: nothing too much is left out. */
static void test_evmcs_perf_global_ctrl_comes_back(void)
{
    Rig *r = rig_new("max,hv-evmcs");

    r->kernel->perf_global_ctrl = true;
    up(r);
    g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, EXIT_TRUE) >> 32, ==,
                    0xffbfffff);
    g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, 0x490) >> 32, ==,
                    0xffffffff);
    rig_free(r);
}

static void test_evmcs_leaves(void)
{
    Rig *r = rig_new("max,hv-evmcs"), *hidden;
    const GArray *given;
    char vendor[13] = "";
    uint32_t word;

    up(r);
    given = r->kernel->given;
    for (unsigned i = 0; i < 3; i++) {
        word = fake_host_reg(given, 0x40000000, 0, X86_EBX + i);
        memcpy(vendor + 4 * i, &word, 4);
    }
    g_assert_cmpstr(vendor, ==, "Microsoft Hv");
    g_assert_cmphex(fake_host_reg(given, 0x40000000, 0, X86_EAX), ==,
                    0x4000000a);
    g_assert_cmphex(fake_host_reg(given, 0x40000001, 0, X86_EAX), ==,
                    0x31237648);
    g_assert_cmphex(fake_host_reg(given, 0x40000003, 0, X86_EAX), ==, 0x70);
    g_assert_cmphex(fake_host_reg(given, 0x40000004, 0, X86_EAX), ==, 0x4000);
    g_assert_cmphex(fake_host_reg(given, 0x4000000a, 0, X86_EAX), ==, 0x101);
    g_assert_cmphex(fake_host_reg(given, 0x40000100, 0, X86_EAX), ==,
                    0x40000101);
    g_assert_cmphex(fake_host_reg(given, 0x40000100, 0, X86_EBX), ==,
                    fake_host_reg(r->kernel->cpuid, 0x40000000, 0, X86_EBX));
    g_assert_cmphex(fake_host_reg(given, 0x40000101, 0, X86_EAX), ==,
                    fake_host_reg(r->kernel->cpuid, 0x40000001, 0, X86_EAX));
    rig_free(r);
    hidden = rig_new("max,hv-evmcs,kvm=off");
    up(hidden);
    g_assert_null(x86_cpuid_find(hidden->kernel->given, 0x40000100, 0));
    g_assert_nonnull(x86_cpuid_find(hidden->kernel->given, 0x40000001, 0));
    rig_free(hidden);
}

/* Not asked for: nothing of Hyper-V's is there. */
static void test_evmcs_off_has_no_leaves(void)
{
    Rig *r = rig_new("max,hv-evmcs=off");

    up(r);
    g_assert_false(r->kernel->evmcs_on);
    g_assert_null(x86_cpuid_find(r->kernel->given, 0x4000000a, 0));
    g_assert_null(x86_cpuid_find(r->kernel->given, 0x40000100, 0));
    rig_free(r);
}

static void test_evmcs_what_it_needs_is_named(void)
{
    static const struct {
        const char *cpu, *words;
        bool has_evmcs, has_vmx;
        uint16_t versions;
        uint32_t hides;
        int code;
    } table[] = {
        { "max,hv-evmcs", "KVM_CAP_HYPERV_ENLIGHTENED_VMCS", false, true,
          0x101, 0, TM_ERROR_KVM_MISSING_CAP },
        { "host,hv-evmcs", "KVM_CAP_HYPERV_ENLIGHTENED_VMCS", false, false,
          0x101, 0, TM_ERROR_KVM_MISSING_CAP },
        { "max,-vmx,hv-evmcs", "'vmx'", true, true, 0x101, 0,
          TM_ERROR_GENERIC },
        { "Haswell,hv-evmcs", "'vmx'", true, true, 0x101, 0,
          TM_ERROR_GENERIC },
        { "max,hv-evmcs", "'vmx'", true, false, 0x101, 0, TM_ERROR_GENERIC },
        { "max,hv-evmcs", "versions 2 to 3", true, true, 0x302, 0,
          TM_ERROR_GENERIC },
        { "max,hv-evmcs", "versions 0 to 0", true, true, 0, 0,
          TM_ERROR_GENERIC },
        { "max,hv-evmcs", "nested features", true, true, 0x101, 0x4000000a,
          TM_ERROR_KVM_MISSING_CAP },
        { "max,hv-evmcs", "assist page", true, true, 0x101, 0x40000003,
          TM_ERROR_KVM_MISSING_CAP },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_on(fake_host_new(X86_VENDOR_INTEL,
                                      table[i].has_vmx ? "" : "vmx"),
                        table[i].cpu);
        g_autoptr(GError) error = NULL;

        r->kernel->has_evmcs = table[i].has_evmcs;
        r->kernel->has_vmx = table[i].has_vmx;
        r->kernel->evmcs_versions = table[i].versions;
        r->kernel->hides_hv_leaf = table[i].hides;
        g_assert_false(init(r, &error) && kvm_cpu_setup(&r->kv, &error));
        g_test_message("%s", error->message);
        g_assert_error(error, TM_ERROR, table[i].code);
        g_assert_nonnull(strstr(error->message, "'hv-evmcs'"));
        g_assert_nonnull(strstr(error->message, table[i].words));
        rig_free(r);
    }
}

static void test_evmcs_named_model_with_vmx(void)
{
    Rig *r = rig_new("Skylake-Server,+vmx,hv-evmcs,enforce");

    up(r);
    g_assert_true(guest_has(r, "vmx"));
    g_assert_cmphex(kvm_model_vcpu_rdmsr(r->kernel, SECONDARY) >> 32, ==,
                    ~0x2026701u);
    rig_free(r);
}

/* ---- registers that a vCPU has not ------------------------------------ */

static X86CpuState *with_xsave(Rig *r)
{
    X86CpuState *s = r->vcpu.state;

    s->xsave = g_malloc0(sizeof(struct kvm_xsave));
    s->xsave_size = sizeof(struct kvm_xsave);
    return s;
}

static void test_xcr0_is_the_guest_s(void)
{
    static const struct {
        const char *cpu;
        uint64_t can;
        uint32_t pkru;
    } table[] = {
        { "max", FAKE_HOST_XCR0, 2688 },
        { "max,-pku", FAKE_HOST_XCR0 & ~0x200, 0 },
        { "Skylake-Server", 0x2e7, 2688 },
        { "SandyBridge", 7, 0 },
        { "Nehalem", 3, 0 },
        { "max,-xsave", 3, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_new(table[i].cpu);

        up(r);
        g_assert_cmphex(r->vcpu.state->xcr0_can, ==, table[i].can);
        g_assert_cmpuint(r->kvm.pkru_offset, ==, table[i].pkru);
        rig_free(r);
    }
}

/* A kernel shows bits of its own CPU's that the guest cannot reach, and does
 * not take them back. */
static void test_xsave_bits_out_of_reach_are_dropped(void)
{
    Rig *r = rig_new("SandyBridge");
    X86CpuState *s = with_xsave(r);
    g_autoptr(GError) error = NULL;

    up(r);
    r->kernel->xcr0_given = 7;
    r->kernel->xsave_bv = 0x2e7;
    g_assert_true(kvm_fpu_get(&r->kv, &error));
    g_assert_cmphex(s->xstate_bv, ==, 7);
    s->xstate_bv = 0x207; /* as loaded from a source that has that bit */
    g_assert_true(kvm_fpu_set(&r->kv, &error));
    g_assert_cmphex(r->kernel->xsave_bv, ==, 7);
    rig_free(r);
}

/* A kernel that runs CPL 3 on the bare CPU puts what that has into CPUID,
 * whatever it is given: those registers are the guest's, too. */
static void test_xsave_bits_that_are_forced_are_kept(void)
{
    Rig *r = rig_new("Nehalem");
    X86CpuState *s = with_xsave(r);
    g_autoptr(GError) error = NULL;

    r->kernel->forced = fake_host_new(X86_VENDOR_INTEL, "");
    up(r);
    g_assert_null(x86_cpuid_find(r->kernel->given, 0xd, 0));
    g_assert_cmphex(s->xcr0_can, ==, FAKE_HOST_XCR0);
    g_assert_cmpuint(r->kvm.pkru_offset, ==, 2688);
    r->kernel->xcr0_given = FAKE_HOST_XCR0;
    r->kernel->xsave_bv = 0x207;
    g_assert_true(kvm_fpu_get(&r->kv, &error));
    g_assert_cmphex(s->xstate_bv, ==, 0x207);
    r->kernel->xsave_bv = 0;
    g_assert_true(kvm_fpu_set(&r->kv, &error));
    g_assert_cmphex(r->kernel->xsave_bv, ==, 0x207);
    rig_free(r);
}

static void test_msr_without_a_home_is_named(void)
{
    static const struct {
        size_t offset;
        const char *name;
    } table[] = {
        { offsetof(X86CpuState, spec_ctrl), "MSR 0x48 " },
        { offsetof(X86CpuState, tsc_aux), "MSR 0xc0000103 " },
        { offsetof(X86CpuState, xss), "MSR 0xda0 " },
        { offsetof(X86CpuState, vm_hsave), "MSR 0xc0010117 " },
        { offsetof(X86CpuState, system_time_msr), "MSR 0x4b564d01 " },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_new("max");
        uint64_t *value = (uint64_t *)((uint8_t *)r->vcpu.state +
                                       table[i].offset);
        g_autoptr(GError) error = NULL;

        r->kvm.msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
        g_assert_true(kvm_msrs_set(&r->kv, &error));
        g_assert_no_error(error);
        *value = 5;
        g_assert_false(kvm_msrs_set(&r->kv, &error));
        g_assert_nonnull(strstr(error->message, table[i].name));
        g_assert_nonnull(strstr(error->message, "0x5"));
        g_array_free(r->kvm.msrs, TRUE);
        rig_free(r);
    }
}

/* ---- a guest of the guest's ------------------------------------------- */

static void test_nested_is_seen_and_left(void)
{
    static const struct {
        uint16_t format, flags;
        uint64_t vmxon;
        bool svme, nested;
    } table[] = {
        { KVM_STATE_NESTED_FORMAT_VMX, 0, UINT64_MAX, false, false },
        { KVM_STATE_NESTED_FORMAT_VMX, 0, 0x1000, false, true },
        { KVM_STATE_NESTED_FORMAT_VMX, KVM_STATE_NESTED_GUEST_MODE, 0x1000,
          false, true },
        { KVM_STATE_NESTED_FORMAT_SVM, KVM_STATE_NESTED_GIF_SET, 0, false,
          false },
        { KVM_STATE_NESTED_FORMAT_SVM, KVM_STATE_NESTED_GIF_SET, 0, true,
          false },
        { KVM_STATE_NESTED_FORMAT_SVM, 0, 0, true, true },
        { KVM_STATE_NESTED_FORMAT_SVM, KVM_STATE_NESTED_GUEST_MODE |
          KVM_STATE_NESTED_GIF_SET, 0, true, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        Rig *r = rig_new("max");
        g_autoptr(GError) error = NULL;

        r->kernel->nested_format = table[i].format;
        r->kernel->nested_flags = table[i].flags;
        r->kernel->vmxon_pa = table[i].vmxon;
        r->vcpu.state->efer = table[i].svme ? 1 << 12 : 0;
        r->kvm.caps.nested_bytes = sizeof(struct kvm_nested_state);
        g_assert_true(kvm_nested_get(&r->kv, &error));
        g_assert_cmpint(r->vcpu.state->nested, ==, table[i].nested);
        g_assert_true(kvm_nested_leave(&r->kv, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(r->kernel->nested_sets, ==, table[i].nested);
        g_assert_true(kvm_nested_get(&r->kv, &error));
        g_assert_false(r->vcpu.state->nested);
        rig_free(r);
    }
}

static void test_nested_of_a_kernel_that_does_not_tell(void)
{
    Rig *r = rig_new("max");
    g_autoptr(GError) error = NULL;

    r->kernel->fail_request = KVM_GET_NESTED_STATE;
    r->kernel->fail_errno = ENOTTY;
    r->vcpu.state->nested = true;
    g_assert_true(kvm_nested_get(&r->kv, &error));
    g_assert_false(r->vcpu.state->nested);
    g_assert_true(kvm_nested_leave(&r->kv, &error));
    r->kvm.caps.nested_bytes = 4096;
    g_assert_false(kvm_nested_get(&r->kv, &error));
    g_assert_nonnull(strstr(error->message, "KVM_GET_NESTED_STATE"));
    g_clear_error(&error);
    g_assert_false(kvm_nested_leave(&r->kv, &error));
    rig_free(r);
}

/* ---- the filter ------------------------------------------------------- */

/* The rows of the table: MSR, the bit of the control in its high half. */
static const struct {
    uint32_t msr, twin;
    unsigned bits[9], n;
} controls[] = {
    { 0x481, 0x48d, { 6, 7 }, 2 },
    { 0x482, 0x48e, { 17 }, 1 },
    { 0x483, 0x48f, { 12, 22 }, 2 },
    { 0x484, 0x490, { 13 }, 1 },
    { 0x48b, 0x48b, { 0, 8, 9, 10, 13, 14, 17, 25 }, 8 },
};

static uint64_t oracle(uint32_t index, bool perf)
{
    uint64_t gone = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(controls); i++) {
        if (controls[i].msr != index && controls[i].twin != index) {
            continue;
        }
        for (unsigned k = 0; k < controls[i].n; k++) {
            unsigned bit = controls[i].bits[k];

            if (perf && ((controls[i].msr == 0x483 && bit == 12) ||
                         (controls[i].msr == 0x484 && bit == 13))) {
                continue;
            }
            gone |= UINT64_C(1) << (32 + bit);
        }
    }
    return index == 0x491 ? 1 : gone;
}

/* Every bit of every MSR of the range and beside it, alone and all at once. */
static void test_filter_every_bit_of_every_msr(void)
{
    unsigned gone = 0;

    for (unsigned perf = 0; perf < 2; perf++) {
        for (uint32_t index = 0x47e; index < 0x495; index++) {
            for (unsigned bit = 0; bit < 64; bit++) {
                uint64_t one = UINT64_C(1) << bit;
                uint64_t want = one & ~oracle(index, perf);

                g_assert_cmphex(evmcs_filter_msr(index, one, perf), ==, want);
                gone += !want;
            }
            g_assert_cmphex(evmcs_filter_msr(index, UINT64_MAX, perf), ==,
                            ~oracle(index, perf));
            g_assert_cmphex(evmcs_filter_msr(index, 0, perf), ==, 0);
        }
    }
    /* 14 controls, 6 of them with a twin, one function; then 4 fewer. */
    g_assert_cmpuint(gone, ==, (14 + 6 + 1) * 2 - 4);
    g_assert_cmphex(evmcs_filter_msr(0, UINT64_MAX, false), ==, UINT64_MAX);
    g_assert_cmphex(evmcs_filter_msr(UINT32_MAX, UINT64_MAX, false), ==,
                    UINT64_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/kvm-cpu/" path, fn)
    T("cpuid/default-is-all-the-host-has", test_default_is_all_the_host_has);
    T("cpuid/unlisted-bits-are-given", test_unlisted_bits_are_given);
    T("cpuid/missing-is-told-once", test_missing_is_told_once_and_masked);
    T("cpuid/check-off-tells-nothing", test_check_off_tells_nothing);
    T("cpuid/enforce-names-all", test_enforce_refuses_naming_all);
    T("cpuid/what-stays-is-told", test_what_stays_all_the_same_is_told);
    T("cpuid/every-vcpu-knows-how-many", test_every_vcpu_knows_how_many);
    T("kernel/errors-are-told", test_kernel_errors_are_told);
    T("vmx/msrs-are-the-host-s", test_vmx_msrs_are_the_host_s);
    T("vmx/msr-that-is-not-there", test_vmx_msr_that_is_not_there_is_left_out);
    T("vmx/without-it-nothing-of-it", test_without_vmx_nothing_of_it);
    T("vmx/refused-msr-is-named", test_refused_msr_is_named);
    T("evmcs/full-values-stop-short", test_evmcs_full_values_stop_short);
    T("evmcs/newer-kernels", test_evmcs_on_newer_kernels);
    T("evmcs/perf-global-ctrl-comes-back",
      test_evmcs_perf_global_ctrl_comes_back);
    T("evmcs/leaves", test_evmcs_leaves);
    T("evmcs/off-has-no-leaves", test_evmcs_off_has_no_leaves);
    T("evmcs/what-it-needs-is-named", test_evmcs_what_it_needs_is_named);
    T("evmcs/named-model-with-vmx", test_evmcs_named_model_with_vmx);
    T("xcr0/is-the-guest-s", test_xcr0_is_the_guest_s);
    T("xsave/bits-out-of-reach-are-dropped",
      test_xsave_bits_out_of_reach_are_dropped);
    T("xsave/bits-that-are-forced-are-kept",
      test_xsave_bits_that_are_forced_are_kept);
    T("msrs/without-a-home-is-named", test_msr_without_a_home_is_named);
    T("nested/is-seen-and-left", test_nested_is_seen_and_left);
    T("nested/kernel-that-does-not-tell",
      test_nested_of_a_kernel_that_does_not_tell);
    T("filter/every-bit-of-every-msr", test_filter_every_bit_of_every_msr);
#undef T
    return g_test_run();
}
