/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs on the real KVM: ports, memory-mapped registers, HLT, pausing without
 * a lost wake-up, what stops a guest, registers there and back.
 */
#include <cpuid.h>
#include <string.h>

#include "kvm-guest.h"
#include "system/big-lock.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"

static Vcpu *vcpu0(KvmGuest *g)
{
    return g_ptr_array_index(g->vm->vcpus, 0);
}

static void run(KvmGuest *g, const Code *c, unsigned cpl)
{
    kvm_guest_load(g, 0, c->bytes, c->n);
    kvm_guest_enter(g, 0, cpl);
    cpus_resume_all(g->vm);
}

static void get_state(KvmGuest *g)
{
    g_autoptr(GError) error = NULL;

    cpus_sync_get(g->vm, &error);
    g_assert_no_error(error);
}

/* IN gives numbers that count up; the guest writes them to memory. */
static void test_port_in_completes_before_pause(gconstpointer cpl)
{
    Code c = { .n = 0 };
    KvmGuest *g;
    unsigned loop, out;
    const X86CpuState *s;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    s = vcpu0(g)->state;
    code_mov(&c, X86_RDI, GUEST_DATA);
    code_mov(&c, X86_RCX, 0);
    loop = c.n;
    CODE(&c, 0xe5, GUEST_PORT);             /* in eax,port */
    CODE(&c, 0x39, 0xc8);                   /* cmp eax,ecx */
    CODE(&c, 0x74, 0x03);                   /* je over the next */
    CODE(&c, 0x83, 0x0f, 0x01);             /* or dword [rdi],1: wrong value */
    CODE(&c, 0xff, 0xc1);                   /* inc ecx */
    out = c.n;
    code_out(&c);
    code_jump_back(&c, 0xeb, loop);
    run(g, &c, GPOINTER_TO_UINT(cpl));
    for (unsigned i = 0; i < 200; i++) {
        kvm_guest_wait_passes(g, 1);
        cpus_pause_all(g->vm);
        get_state(g);
        /* A device that was accessed has had its effect on the guest. */
        if (s->rip == GUEST_CODE + loop) {
            g_assert_cmpuint(g->in_value, ==, s->regs[X86_RCX]);
        }
        if (s->rip == GUEST_CODE + out) {
            g_assert_cmpuint(g->passes, ==, s->regs[X86_RCX] - 1);
        }
        cpus_resume_all(g->vm);
    }
    cpus_pause_all(g->vm);
    g_assert_cmpuint(g->ram->host[GUEST_DATA], ==, 0);
    kvm_guest_free(g);
}

static void test_port_string_moves_all_units(void)
{
    static const char text[] = "tidemark";
    Code c = { .n = 0 };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    memcpy(g->ram->host + GUEST_DATA, text, 8);
    code_mov(&c, X86_RSI, GUEST_DATA);
    code_mov(&c, X86_RDX, GUEST_PORT);
    code_mov(&c, X86_RCX, 8);
    CODE(&c, 0xfc, 0xf3, 0x6e);             /* cld; rep outsb */
    code_mov(&c, X86_RDI, GUEST_DATA + 16);
    code_mov(&c, X86_RCX, 4);
    CODE(&c, 0xf3, 0x6d);                   /* rep insd */
    code_out(&c);
    CODE(&c, 0xeb, 0xfe);
    g->in_value = 0x11223344;
    run(g, &c, 0);
    kvm_guest_wait_passes(g, 9);
    cpus_pause_all(g->vm);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t value;

        memcpy(&value, g->ram->host + GUEST_DATA + 16 + 4 * i, 4);
        g_assert_cmphex(value, ==, 0x11223344 + i);
    }
    kvm_guest_free(g);
}

static void test_mmio_every_size(void)
{
    Code c = { .n = 0 };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    code_mov(&c, X86_RDI, GUEST_MMIO);
    code_mov(&c, X86_RAX, UINT64_C(0x8877665544332211));
    CODE(&c, 0x48, 0x89, 0x07);             /* mov [rdi],rax */
    CODE(&c, 0x8b, 0x4f, 0x04);             /* mov ecx,[rdi+4] */
    CODE(&c, 0x89, 0x4f, 0x00);             /* mov [rdi],ecx */
    CODE(&c, 0x66, 0xc7, 0x47, 0x02, 0xcd, 0xab); /* mov word [rdi+2],0xabcd */
    CODE(&c, 0xc6, 0x47, 0x07, 0x5a);       /* mov byte [rdi+7],0x5a */
    code_mov(&c, X86_RBX, GUEST_DATA);
    CODE(&c, 0x48, 0x8b, 0x07);             /* mov rax,[rdi] */
    CODE(&c, 0x48, 0x89, 0x03);             /* mov [rbx],rax */
    code_out(&c);
    CODE(&c, 0xeb, 0xfe);
    run(g, &c, 0);
    kvm_guest_wait_passes(g, 1);
    cpus_pause_all(g->vm);
    g_assert_cmphex(g->mmio, ==, UINT64_C(0x5a776655abcd6655));
    g_assert_cmpmem(g->ram->host + GUEST_DATA, 8, &g->mmio, 8);
    g_assert_cmpuint(g->mmio_sizes[1], ==, 1);
    g_assert_cmpuint(g->mmio_sizes[2], ==, 1);
    g_assert_cmpuint(g->mmio_sizes[4], ==, 2);
    g_assert_cmpuint(g->mmio_sizes[8], ==, 2);
    kvm_guest_free(g);
}

/* Two vCPUs, paused and resumed as fast as it goes: a kick that got lost
 * would hang the test. The guest gets on in between. */
static void test_pause_resume_loses_no_kick(gconstpointer cpl)
{
    Code c = { .n = 0 }, d = { .n = 0 };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 2);
    code_writer(&c, GUEST_DATA, GUEST_DATA + 16 * 4096);
    kvm_guest_load(g, 0, c.bytes, c.n);
    kvm_guest_enter(g, 0, GPOINTER_TO_UINT(cpl));
    CODE(&d, 0xeb, 0xfe);                   /* never exits by itself */
    kvm_guest_load(g, 1, d.bytes, d.n);
    kvm_guest_enter(g, 1, GPOINTER_TO_UINT(cpl));
    cpus_resume_all(g->vm);
    for (unsigned i = 0; i < 1000; i++) {
        if (i % 50 == 0) {
            kvm_guest_wait_passes(g, 1);
        } else if (i % 3 == 0) {
            big_unlock();
            g_usleep(i % 200);
            big_lock();
        }
        cpus_pause_all(g->vm);
        cpus_resume_all(g->vm);
    }
    kvm_guest_wait_passes(g, 10);
    kvm_guest_free(g);
}

/* Paused and resumed until it has come as far as HLT. */
static void pause_when_halted(KvmGuest *g)
{
    gint64 limit = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    for (;;) {
        cpus_pause_all(g->vm);
        get_state(g);
        if (vcpu0(g)->state->mp_state == X86_MP_HALTED) {
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        cpus_resume_all(g->vm);
        big_unlock();
        g_usleep(500);
        big_lock();
    }
}

/* HLT sleeps in the kernel; a pause must get it out. */
static void test_halted_vcpu_can_be_paused(void)
{
    Code c = { .n = 0 };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    code_out(&c);
    CODE(&c, 0xf4, 0xeb, 0xfd);             /* hlt; jmp back to it */
    run(g, &c, 0);
    kvm_guest_wait_passes(g, 1);
    pause_when_halted(g);
    for (unsigned i = 0; i < 20; i++) {
        cpus_resume_all(g->vm);
        g_usleep(500);
        cpus_pause_all(g->vm);
    }
    get_state(g);
    g_assert_cmpuint(vcpu0(g)->state->mp_state, ==, X86_MP_HALTED);
    g_assert_true(vcpu0(g)->state->halted);
    kvm_guest_free(g);
}

/* ---- what stops a guest --------------------------------------------- */

typedef struct Seen {
    bool reset, stop;
} Seen;

static void on_event(Vm *vm, VmEvent event, void *opaque)
{
    Seen *seen = opaque;

    seen->reset |= event == VM_EVENT_RESET;
    seen->stop |= event == VM_EVENT_STOP;
}

static void serve_until(const bool *flag)
{
    gint64 limit = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;

    while (!*flag) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        big_unlock();
        g_usleep(1000);
        big_lock();
        while (g_main_context_iteration(NULL, FALSE)) {
        }
    }
}

static void test_triple_fault_asks_for_reset(void)
{
    Code c = { .n = 0 };
    Seen seen = { false };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    vm_observe(g->vm, on_event, &seen);
    CODE(&c, 0x0f, 0x0b);                   /* ud2 with no IDT to speak of */
    kvm_guest_load(g, 0, c.bytes, c.n);
    kvm_guest_enter(g, 0, 0);
    vcpu0(g)->state->segs[X86_SEG_IDT].limit = 0;
    g_assert_true(kvm_set_state(vcpu0(g), NULL));
    vm_start(g->vm);
    serve_until(&seen.reset);
    kvm_guest_free(g);
}

static char *reported;

static void keep_report(const char *text)
{
    g_free(reported);
    reported = g_strdup(text);
}

/* Code in a hole: KVM cannot emulate what it cannot read. */
static void test_internal_error_stops_inspectable(void)
{
    Code c = { .n = 0 };
    Seen seen = { false };
    KvmGuest *g;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    g->accel->report = keep_report;
    vm_observe(g->vm, on_event, &seen);
    code_mov(&c, X86_RAX, GUEST_RAM_BYTES + 0x1000);
    CODE(&c, 0xff, 0xe0);                   /* jmp rax */
    kvm_guest_load(g, 0, c.bytes, c.n);
    kvm_guest_enter(g, 0, 0);
    vm_start(g->vm);
    serve_until(&seen.stop);
    g_assert_cmpint(runstate_get(g->vm), ==, RUN_STATE_INTERNAL_ERROR);
    g_assert_nonnull(reported);
    g_assert_nonnull(strstr(reported, "internal error"));
    g_assert_nonnull(strstr(reported, "RIP=0000000004001000"));
    get_state(g);
    g_assert_cmphex(vcpu0(g)->state->rip, ==, GUEST_RAM_BYTES + 0x1000);
    g_clear_pointer(&reported, g_free);
    kvm_guest_free(g);
}

/* ---- registers ------------------------------------------------------- */

/* KVM keeps 64 bits of this MSR for a guest that takes its CPU for Intel's,
 * and the 32 bits that AMD's have in use for any other on AMD. */
static bool has_wide_sysenter(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_INTEL_ebx;
}

static void perturb(X86CpuState *s)
{
    for (unsigned i = 0; i < X86_GPR_COUNT; i++) {
        s->regs[i] = UINT64_C(0x1111111111111111) * i;
    }
    for (unsigned i = 0; i < 16; i++) {
        s->xmm[i] = (X86Vec128) { i + 1, ~(uint64_t)i };
        s->ymmh[i] = (X86Vec128) { i + 100, ~(uint64_t)i - 100 };
    }
    for (unsigned i = 0; i < 8; i++) {
        s->fpregs[i] = (X86FpReg) { UINT64_C(1) << 63 | i, 0x3fff };
    }
    s->ftag = 0xff;
    s->fsw = 0x3000;
    s->mxcsr = 0x1fa0;
    s->lstar = 0xffffffff81000000;
    s->star = UINT64_C(0x0023001000000000);
    s->kernel_gs_base = 0xffff888000000000;
    s->sysenter_eip = has_wide_sysenter() ? 0xffffffff82000000 : 0x82000000;
    s->dr[0] = 0x1000;
    s->dr[6] = 0xffff0ff1;
    s->segs[X86_SEG_FS].base = 0x7f0000001000;
    s->segs[X86_SEG_GDT].base = 0x9000;
    s->segs[X86_SEG_GDT].limit = 0x37;
    s->pat = UINT64_C(0x0007010600070106);
    s->tsc_aux = 1;
    s->xstate_bv = 7;
}

static void test_registers_come_back(void)
{
    KvmGuest *g;
    X86CpuState *s;
    X86CpuState want;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    kvm_guest_enter(g, 0, 3);
    s = vcpu0(g)->state;
    perturb(s);
    want = *s;
    g_assert_true(kvm_set_state(vcpu0(g), NULL));
    memset(s->regs, 0, sizeof(s->regs));
    memset(s->segs, 0, sizeof(s->segs));
    memset(s->xmm, 0, sizeof(s->xmm));
    memset(s->ymmh, 0, sizeof(s->ymmh));
    memset(s->fpregs, 0, sizeof(s->fpregs));
    s->lstar = s->star = s->pat = s->cr3 = s->mxcsr = 0;
    get_state(g);
    g_assert_cmpmem(s->regs, sizeof(s->regs), want.regs, sizeof(want.regs));
    g_assert_cmpmem(s->segs, sizeof(s->segs), want.segs, sizeof(want.segs));
    g_assert_cmpmem(s->xmm, sizeof(s->xmm), want.xmm, sizeof(want.xmm));
    g_assert_cmpmem(s->ymmh, sizeof(s->ymmh), want.ymmh, sizeof(want.ymmh));
    for (unsigned i = 0; i < 8; i++) {
        g_assert_cmphex(s->fpregs[i].mantissa, ==, want.fpregs[i].mantissa);
        g_assert_cmphex(s->fpregs[i].exponent, ==, want.fpregs[i].exponent);
    }
    g_assert_cmphex(s->rip, ==, want.rip);
    g_assert_cmphex(s->rflags, ==, want.rflags);
    g_assert_cmphex(s->cr3, ==, want.cr3);
    g_assert_cmphex(s->efer, ==, want.efer);
    g_assert_cmphex(s->mxcsr, ==, want.mxcsr);
    g_assert_cmphex(s->fsw, ==, want.fsw);
    g_assert_cmphex(s->ftag, ==, want.ftag);
    g_assert_cmphex(s->lstar, ==, want.lstar);
    g_assert_cmphex(s->star, ==, want.star);
    g_assert_cmphex(s->kernel_gs_base, ==, want.kernel_gs_base);
    g_assert_cmphex(s->sysenter_eip, ==, want.sysenter_eip);
    g_assert_cmphex(s->pat, ==, want.pat);
    g_assert_cmphex(s->dr[0], ==, want.dr[0]);
    g_assert_cmphex(s->dr[6], ==, want.dr[6]);
    g_assert_cmpuint(s->tsc_khz, ==, want.tsc_khz);
    kvm_guest_free(g);
}

/* Fills two vectors of 256 bits from GUEST_DATA + 32, if CPUID and XCR0 say
 * that it has such, and puts them to GUEST_DATA + 96 when it is let. */
static void load_vector_user(KvmGuest *g)
{
    Code c = { .n = 0 };
    unsigned wait;

    code_mov(&c, X86_RDI, GUEST_DATA);
    code_mov(&c, X86_RAX, 1);
    CODE(&c, 0x0f, 0xa2);                               /* cpuid */
    CODE(&c, 0x81, 0xe1, 0x00, 0x00, 0x00, 0x18);       /* and ecx,AVX|OSXSAVE */
    CODE(&c, 0x81, 0xf9, 0x00, 0x00, 0x00, 0x18);       /* cmp ecx,the same */
    CODE(&c, 0x75, 0x1d);                               /* jne wait */
    CODE(&c, 0x31, 0xc9, 0x0f, 0x01, 0xd0);             /* xgetbv of 0 */
    CODE(&c, 0x83, 0xe0, 0x06, 0x83, 0xf8, 0x06);       /* SSE and AVX? */
    CODE(&c, 0x75, 0x10);                               /* jne wait */
    CODE(&c, 0xc7, 0x07, 0x01, 0x00, 0x00, 0x00);       /* mov dword [rdi],1 */
    CODE(&c, 0xc5, 0xfe, 0x6f, 0x6f, 0x20);             /* vmovdqu ymm5 */
    CODE(&c, 0xc5, 0x7e, 0x6f, 0x67, 0x40);             /* vmovdqu ymm12 */
    code_out(&c);
    wait = c.n;
    CODE(&c, 0x83, 0x7f, 0x04, 0x00);                   /* is [rdi+4] 0? */
    code_jump_back(&c, 0x74, wait);                     /* je wait */
    CODE(&c, 0xc5, 0xfe, 0x7f, 0x6f, 0x60);             /* vmovdqu to memory */
    CODE(&c, 0xc5, 0x7e, 0x7f, 0xa7, 0x80, 0x00, 0x00, 0x00);
    code_out(&c);
    CODE(&c, 0xeb, 0xfe);
    kvm_guest_load(g, 0, c.bytes, c.n);
}

/* With what the guest can have by our own knowledge switched on; a KVM that
 * runs it straight on the CPU may let it have more. */
static void enter_vector_user(KvmGuest *g)
{
    X86CpuState *s = vcpu0(g)->state;

    kvm_guest_enter(g, 0, 3);
    if (s->xcr0_can & X86_XSTATE_AVX) {
        s->cr4 |= X86_CR4_OSXSAVE;
        s->xcr0 = X86_XSTATE_X87 | X86_XSTATE_SSE | X86_XSTATE_AVX;
    }
    g_assert_true(kvm_set_state(vcpu0(g), NULL));
}

/* Lost and given back: what the guest finds is what was read. */
static void save_and_restore(KvmGuest *g)
{
    X86CpuState *s = vcpu0(g)->state;
    X86Vec128 ymmh[16];

    get_state(g);
    memcpy(ymmh, s->ymmh, sizeof(ymmh));
    memset(s->ymmh, 0, sizeof(s->ymmh));
    g_assert_true(kvm_set_state(vcpu0(g), NULL));
    memcpy(s->ymmh, ymmh, sizeof(ymmh));
    g_assert_true(kvm_set_state(vcpu0(g), NULL));
}

static void test_vectors_of_a_guest_are_kept(void)
{
    KvmGuest *g;
    uint8_t *data;

    if (kvm_guest_skip()) {
        return;
    }
    g = kvm_guest_new(NULL, 1);
    data = g->ram->host + GUEST_DATA;
    for (unsigned i = 0; i < 64; i++) {
        data[32 + i] = 3 * i + 1;
    }
    load_vector_user(g);
    enter_vector_user(g);
    cpus_resume_all(g->vm);
    kvm_guest_wait_passes(g, 1);
    cpus_pause_all(g->vm);
    if (data[0]) {
        save_and_restore(g);
        data[4] = 1;
        cpus_resume_all(g->vm);
        kvm_guest_wait_passes(g, 1);
        cpus_pause_all(g->vm);
        g_assert_cmpmem(data + 96, 64, data + 32, 64);
    } else {
        g_assert_cmphex(vcpu0(g)->state->xcr0_can & X86_XSTATE_AVX, ==, 0);
        g_test_skip("this guest has no AVX");
    }
    kvm_guest_free(g);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/kvm-vcpu/port/in-completes-before-pause/cpl0",
                         GUINT_TO_POINTER(0),
                         test_port_in_completes_before_pause);
    g_test_add_data_func("/kvm-vcpu/port/in-completes-before-pause/cpl3",
                         GUINT_TO_POINTER(3),
                         test_port_in_completes_before_pause);
    g_test_add_func("/kvm-vcpu/port/string-moves-all-units",
                    test_port_string_moves_all_units);
    g_test_add_func("/kvm-vcpu/mmio/every-size", test_mmio_every_size);
    g_test_add_data_func("/kvm-vcpu/pause-resume/loses-no-kick/cpl0",
                         GUINT_TO_POINTER(0),
                         test_pause_resume_loses_no_kick);
    g_test_add_data_func("/kvm-vcpu/pause-resume/loses-no-kick/cpl3",
                         GUINT_TO_POINTER(3),
                         test_pause_resume_loses_no_kick);
    g_test_add_func("/kvm-vcpu/halted/can-be-paused",
                    test_halted_vcpu_can_be_paused);
    g_test_add_func("/kvm-vcpu/triple-fault/asks-for-reset",
                    test_triple_fault_asks_for_reset);
    g_test_add_func("/kvm-vcpu/internal-error/stops-inspectable",
                    test_internal_error_stops_inspectable);
    g_test_add_func("/kvm-vcpu/registers/come-back",
                    test_registers_come_back);
    g_test_add_func("/kvm-vcpu/registers/vectors-of-a-guest-are-kept",
                    test_vectors_of_a_guest_are_kept);
    return g_test_run();
}
