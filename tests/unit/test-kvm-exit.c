/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop on canned exits: a KVM_RUN that says what the test wrote down,
 * without a kernel behind it.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "accel/kvm/kvm-vcpu.h"
#include "system/big-lock.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "util/linux-compat.h"

#define RUN_BYTES 4096
#define DATA_OFFSET 2048

typedef struct Canned {
    int result;                     /* of KVM_RUN */
    void (*fill)(struct kvm_run *run);
} Canned;

typedef struct Rig {
    Vm *vm;
    Accel accel;
    KvmState kvm;
    KvmVcpu kv;
    Vcpu vcpu;
    const Canned *script;
    unsigned at, immediate;         /* runs made; of these with the flag set */
    char log[512];                  /* accesses of devices, as text */
    char *report;
} Rig;

static Rig *rig;

/* ---- a kernel that reads from a script -------------------------------- */

static int fake_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg)
{
    const Canned *canned = &rig->script[rig->at];

    if (request != KVM_RUN) {
        return 0;
    }
    rig->at++;
    rig->immediate += rig->kv.run->immediate_exit;
    if (canned->fill) {
        canned->fill(rig->kv.run);
    }
    return canned->result;
}

static int fake_any(KvmIo *io, unsigned long request, void *arg)
{
    return 0;
}

static const KvmIoctlOps fake_ops = {
    .sys = fake_any, .vm = fake_any, .vcpu = fake_vcpu,
};

/* ---- devices that write down what they see ---------------------------- */

static void note(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

static void note(const char *fmt, ...)
{
    size_t len = strlen(rig->log);
    va_list args;

    va_start(args, fmt);
    g_vsnprintf(rig->log + len, sizeof(rig->log) - len, fmt, args);
    va_end(args);
}

static uint64_t dev_read(void *opaque, uint64_t offset, unsigned size)
{
    note("r%u@%u ", size, (unsigned)offset);
    return UINT64_C(0x0807060504030201) >> (8 * (offset % 8));
}

static void dev_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    note("w%u@%u=%llx ", size, (unsigned)offset, (unsigned long long)value);
}

static const IoRegionOps dev_ops = { dev_read, dev_write, 8 };

static void on_report(const char *text)
{
    g_free(rig->report);
    rig->report = g_strdup(text);
}

static Rig *rig_new(const Canned *script)
{
    Rig *r = g_new0(Rig, 1);
    g_autoptr(GError) error = NULL;

    big_lock();
    r->vm = vm_new();
    memory_map_begin(r->vm->map);
    memory_map_add_io(r->vm->map, IO_SPACE_PORT, 0x60, 8, &dev_ops, r, "port",
                      &error);
    memory_map_add_io(r->vm->map, IO_SPACE_MEMORY, 0x10000, 0x1000, &dev_ops,
                      r, "mmio", &error);
    memory_map_commit(r->vm->map, &error);
    g_assert_no_error(error);
    r->accel = (Accel) { .name = "kvm", .opaque = &r->kvm,
                         .report = on_report };
    r->vm->accel = &r->accel;
    r->kvm.vm = r->vm;
    r->kvm.accel = &r->accel;
    r->kvm.io.ops = &fake_ops;
    r->kvm.msrs = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    r->kv = (KvmVcpu) { .kvm = &r->kvm, .vcpu = &r->vcpu, .fd = -1 };
    r->kv.run = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r->vcpu = (Vcpu) { .vm = r->vm, .accel = &r->kv,
                       .state = x86_cpu_state_new() };
    r->script = script;
    rig = r;
    big_unlock();
    return r;
}

static void rig_free(Rig *r)
{
    big_lock();
    x86_cpu_state_free(r->vcpu.state);
    munmap(r->kv.run, RUN_BYTES);
    g_array_free(r->kvm.msrs, TRUE);
    vm_free(r->vm);
    big_unlock();
    g_free(r->report);
    g_free(r);
}

/* ---- exits ------------------------------------------------------------- */

static const Canned kicked = { -EINTR, NULL };

static void io_exit(struct kvm_run *run, bool out, unsigned size,
                    unsigned count)
{
    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    run->io.size = size;
    run->io.port = 0x60;
    run->io.count = count;
    run->io.data_offset = DATA_OFFSET;
}

static void fill_outs(struct kvm_run *run)
{
    io_exit(run, true, 2, 3);
    memcpy((uint8_t *)run + DATA_OFFSET, "\x11\x22\x33\x44\x55\x66", 6);
}

static void fill_ins(struct kvm_run *run)
{
    io_exit(run, false, 1, 2);
}

static void test_port_string_is_one_access_each(void)
{
    const Canned script[] = { { 0, fill_outs }, { 0, fill_ins }, kicked };
    Rig *r = rig_new(script);

    g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_AGAIN);
    g_assert_cmpuint(r->at, ==, 3); /* an access is completed by a run */
    g_assert_cmpstr(r->log, ==,
                    "w2@0=2211 w2@0=4433 w2@0=6655 r1@0 r1@0 ");
    g_assert_cmpmem((uint8_t *)r->kv.run + DATA_OFFSET, 3, "\1\1\x33", 3);
    rig_free(r);
}

static unsigned mmio_len;
static bool mmio_write;

static void fill_mmio(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = 0x10000;
    run->mmio.len = mmio_len;
    run->mmio.is_write = mmio_write;
    memcpy(run->mmio.data, "\1\2\3\4\5\6\7\x8", 8);
}

static void test_mmio_odd_lengths_are_split(void)
{
    static const struct {
        unsigned len;
        const char *reads, *writes;
    } cases[] = {
        { 1, "r1@0 ", "w1@0=1 " },
        { 3, "r2@0 r1@2 ", "w2@0=201 w1@2=3 " },
        { 5, "r4@0 r1@4 ", "w4@0=4030201 w1@4=5 " },
        { 6, "r4@0 r2@4 ", "w4@0=4030201 w2@4=605 " },
        { 7, "r4@0 r2@4 r1@6 ", "w4@0=4030201 w2@4=605 w1@6=7 " },
        { 8, "r8@0 ", "w8@0=807060504030201 " },
        { 200, "r8@0 ", "w8@0=807060504030201 " }, /* no kernel does */
    };
    const Canned script[] = { { 0, fill_mmio }, kicked };

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        Rig *r = rig_new(script);

        mmio_len = cases[i / 2].len;
        mmio_write = i % 2;
        kvm_vcpu_run(&r->vcpu);
        g_assert_cmpstr(r->log, ==, mmio_write ? cases[i / 2].writes :
                        cases[i / 2].reads);
        g_assert_cmpmem(r->kv.run->mmio.data, 8, "\1\2\3\4\5\6\7\x8", 8);
        rig_free(r);
    }
}

static void fill_hlt(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_HLT;
}

static void fill_nothing(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
}

static void test_loop_ends_where_it_should(void)
{
    const Canned halt[] = { { 0, fill_nothing }, { 0, fill_hlt } };
    const Canned again[] = { { -EAGAIN, NULL }, kicked };
    Rig *r = rig_new(halt);

    g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_HALTED);
    g_assert_cmpuint(r->at, ==, 2);
    rig_free(r);
    r = rig_new(again);
    r->kv.run->immediate_exit = 1; /* as a kick leaves it */
    g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_AGAIN);
    g_assert_cmpuint(r->immediate, ==, 1);
    g_assert_cmpuint(r->kv.run->immediate_exit, ==, 0);
    rig_free(r);
}

/* ---- the end of a guest ------------------------------------------------ */

static void fill_shutdown(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_SHUTDOWN;
}

static void fill_event(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_SYSTEM_EVENT;
    run->system_event.type = 77;
}

static void fill_entry(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
}

static void fill_internal(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->internal.ndata = 1000; /* more than there is room for */
    memset(run->internal.data, 0xab, sizeof(run->internal.data));
}

static void fill_unknown(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_UNKNOWN;
    run->hw.hardware_exit_reason = 0x1234;
}

static void fill_unheard(struct kvm_run *run)
{
    run->exit_reason = 4711;
}

static void fill_memory_fault(struct kvm_run *run)
{
    run->exit_reason = KVM_EXIT_MEMORY_FAULT;
}

static void test_failures_are_reported_once(void)
{
    static const struct {
        Canned canned;
        const char *words;
    } cases[] = {
        { { 0, fill_event }, "unknown system event 77" },
        { { 0, fill_entry }, "refused to enter the guest, reason 0x80000021" },
        { { 0, fill_internal }, "an instruction cannot be emulated): 0xabab" },
        { { 0, fill_unknown }, "unknown hardware exit 0x1234" },
        { { 0, fill_unheard }, "exit with reason 4711" },
        { { -EFAULT, fill_memory_fault }, "memory that the host cannot give" },
        { { -EIO, NULL }, "KVM_RUN failed: Input/output error" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *r = rig_new(&cases[i].canned);

        g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_STOP);
        g_assert_nonnull(r->report);
        g_assert_nonnull(strstr(r->report, "vCPU 0 cannot go on: "));
        g_assert_nonnull(strstr(r->report, cases[i].words));
        /* EIP or RIP: the canned calls fill no registers. */
        g_assert_nonnull(strstr(r->report, "IP="));
        g_clear_pointer(&r->report, g_free);
        /* It stays out of the guest until it gets other registers. */
        g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_STOP);
        g_assert_cmpuint(r->at, ==, 1);
        g_assert_null(r->report);
        g_assert_true(kvm_set_state(&r->vcpu, NULL));
        g_assert_false(r->kv.failed);
        rig_free(r);
    }
}

static void test_triple_fault_is_not_a_failure(void)
{
    const Canned script[] = { { 0, fill_shutdown } };
    Rig *r = rig_new(script);

    g_assert_cmpint(kvm_vcpu_run(&r->vcpu), ==, VCPU_EXIT_STOP);
    g_assert_null(r->report);
    g_assert_false(r->kv.failed);
    rig_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-exit/port/string-is-one-access-each",
                    test_port_string_is_one_access_each);
    g_test_add_func("/kvm-exit/mmio/odd-lengths-are-split",
                    test_mmio_odd_lengths_are_split);
    g_test_add_func("/kvm-exit/loop/ends-where-it-should",
                    test_loop_ends_where_it_should);
    g_test_add_func("/kvm-exit/failures/are-reported-once",
                    test_failures_are_reported_once);
    g_test_add_func("/kvm-exit/triple-fault/is-not-a-failure",
                    test_triple_fault_is_not_a_failure);
    return g_test_run();
}
