/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU: the stress guests run, stop anywhere, move to a second
 * engine and go on, and no page they write is missed.
 */
#include <string.h>

#include "accel/accel.h"
#include "accel/tcg/tcg-internal.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "system/vm.h"
#include "target/i386/cpu-spec.h"
#include "target/i386/cpu-state.h"
#include "tests/guest/guest-sectors.h"

#define RAM_BYTES (UINT64_C(8) << 20)
#define START (UINT64_C(1) << 20)
#define END (UINT64_C(3) << 20)
#define COUNTER 0x6000

enum { P_START = 0x1c0, P_END = 0x1c8, P_DELAY = 0x1d4,
       P_COLD_START = 0x1e8, P_COLD_END = 0x1ec };

typedef struct Machine {
    Vm *vm;
    RAMBlock *ram;
    unsigned a, b, other;   /* characters printed; big lock */
    uint64_t last_out;      /* and what was written elsewhere */
} Machine;

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size)
{
    Machine *m = opaque;

    m->a += value == 'A';
    m->b += value == 'B';
    m->other += value != 'A' && value != 'B';
}

static void any_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    Machine *m = opaque;

    m->last_out = value;
}

static const IoRegionOps serial_ops = {
    .read = port_read, .write = serial_write, .max_access = 1,
};
static const IoRegionOps any_ops = {
    .read = port_read, .write = any_write, .max_access = 4,
};

static void put32(uint8_t *sector, unsigned at, uint32_t value)
{
    memcpy(sector + at, &value, 4);
}

/* A guest's sector with a range that makes passes short. */
static void patch_small(uint8_t *sector)
{
    put32(sector, P_START, START);
    put32(sector, P_END, END);
    put32(sector, P_COLD_START, START + (1 << 20));
    put32(sector, P_COLD_END, END);
}

static Machine *machine_with_cpu(const X86CpuSpec *cpu)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) choices = g_ptr_array_new();
    g_autoptr(KeyVal) tcg = keyval_parse("tcg", "accel", &error);
    Machine *m = g_new0(Machine, 1);

    g_assert_no_error(error);
    m->vm = vm_new();
    m->vm->cpu = cpu;
    big_lock_attach_main_loop();
    g_ptr_array_add(choices, tcg);
    g_assert_true(accel_configure(m->vm, choices, NULL, &error));
    memory_map_begin(m->vm->map);
    m->ram = ram_list_add_anon(&m->vm->ram, "ram", RAM_BYTES, &error);
    g_assert_no_error(error);
    memory_map_add_ram(m->vm->map, 0, RAM_BYTES, m->ram, 0, false, &error);
    memory_map_add_io(m->vm->map, IO_SPACE_PORT, 0x3f8, 1, &serial_ops, m,
                      "serial", &error);
    memory_map_add_io(m->vm->map, IO_SPACE_PORT, 0x92, 1, &any_ops, m,
                      "port92", &error);
    memory_map_add_io(m->vm->map, IO_SPACE_MEMORY, 0xd0000000, 0x1000,
                      &any_ops, m, "device", &error);
    g_assert_true(memory_map_commit(m->vm->map, &error));
    g_assert_no_error(error);
    g_assert_true(cpus_create(m->vm, 1, &error));
    m->vm->accel->options = NULL; /* @tcg ends here */
    return m;
}

static Machine *machine_new(void)
{
    return machine_with_cpu(NULL);
}

static void machine_free(Machine *m)
{
    cpus_pause_all(m->vm);
    cpus_destroy(m->vm);
    accel_free(m->vm->accel);
    vm_free(m->vm);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
    g_free(m);
}

static Vcpu *machine_cpu(Machine *m)
{
    return g_ptr_array_index(m->vm->vcpus, 0);
}

static void machine_boot(Machine *m, const uint8_t sector[512])
{
    g_autoptr(GError) error = NULL;
    Vcpu *vcpu = machine_cpu(m);

    memcpy(m->ram->host + 0x7c00, sector, 512);
    x86_cpu_reset(vcpu->state);
    x86_cpu_set_boot_sector(vcpu->state, 0x80);
    cpus_sync_set(m->vm, &error);
    g_assert_no_error(error);
}

static uint32_t machine_counter(Machine *m)
{
    return *(volatile uint32_t *)(m->ram->host + COUNTER);
}

/* Let the guest run until it has finished @n more passes. */
static void machine_run_passes(Machine *m, unsigned n)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    uint32_t from = machine_counter(m);

    cpus_resume_all(m->vm);
    big_unlock();
    while (machine_counter(m) - from < n) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(100);
    }
    big_lock();
    cpus_pause_all(m->vm);
}

/* Let it run until it halts. */
static void machine_run_to_halt(Machine *m)
{
    gint64 deadline = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    cpus_resume_all(m->vm);
    while (!machine_cpu(m)->halted && !machine_cpu(m)->stop) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        big_unlock();
        g_usleep(100);
        big_lock();
    }
    cpus_pause_all(m->vm);
}

/* First bytes are equal, but for one step down where the pass stands. */
static void check_pass_shape(Machine *m, uint64_t start, uint64_t end)
{
    unsigned steps = 0;

    for (uint64_t at = start; at + 4096 < end; at += 4096) {
        uint8_t here = m->ram->host[at], next = m->ram->host[at + 4096];

        if (here != next) {
            g_assert_cmpuint((uint8_t)(here - 1), ==, next);
            steps++;
        }
    }
    g_assert_cmpuint(steps, <=, 1);
}

static void boot_guest(Machine *m, const uint8_t *template)
{
    uint8_t sector[512];

    memcpy(sector, template, sizeof(sector));
    patch_small(sector);
    machine_boot(m, sector);
}

static void test_run_writer_prints_and_counts(gconstpointer data)
{
    Machine *m = machine_new();

    boot_guest(m, data);
    machine_run_passes(m, 5);
    g_assert_cmpuint(m->a, ==, 1);
    g_assert_cmpuint(m->b, >=, 4);
    g_assert_cmpuint(m->b, <=, machine_counter(m));
    g_assert_cmpuint(m->other, ==, 0);
    g_assert_cmpuint(m->last_out, ==, 2); /* line A20 */
    if (data != guest_hotcold) {
        check_pass_shape(m, START, END);
    }
    machine_free(m);
}

static void test_run_idle_halts_for_good(void)
{
    Machine *m = machine_new();
    uint64_t rip;

    boot_guest(m, guest_idle);
    machine_run_to_halt(m);
    g_assert_cmpuint(m->a, ==, 1);
    g_assert_cmpuint(m->b, ==, 1);
    g_assert_true(machine_cpu(m)->halted);
    g_assert_true(cpus_sync_get(m->vm, NULL));
    g_assert_true(machine_cpu(m)->state->halted);
    rip = machine_cpu(m)->state->rip;
    for (unsigned i = 0; i < 20; i++) { /* kicks do not wake it */
        cpus_resume_all(m->vm);
        cpus_kick_all(m->vm);
        big_unlock();
        g_usleep(200);
        big_lock();
        cpus_pause_all(m->vm);
    }
    g_assert_true(cpus_sync_get(m->vm, NULL));
    g_assert_cmphex(machine_cpu(m)->state->rip, ==, rip);
    machine_free(m);
}

/* Stopping must not cut an instruction short or do one twice. */
static void run_and_kick(Machine *m)
{
    cpus_resume_all(m->vm);
    big_unlock();
    g_usleep(g_test_rand_int_range(0, 400));
    big_lock();
    cpus_pause_all(m->vm);
    check_pass_shape(m, START, END);
}

/*
 * A pass is counted, then told: a kick in between leaves one untold, so that
 * an equal number can only be waited for. Were one lost, it never came.
 */
static void test_kick_anywhere_loses_nothing(gconstpointer data)
{
    Machine *m = machine_new();

    boot_guest(m, data);
    machine_run_passes(m, 1);
    for (unsigned i = 0; i < 300; i++) {
        run_and_kick(m);
        g_assert_cmpuint(machine_counter(m) - m->b, <=, 1);
    }
    for (unsigned i = 0; i < 1000 && m->b != machine_counter(m); i++) {
        run_and_kick(m);
    }
    g_assert_cmpuint(m->b, ==, machine_counter(m));
    g_assert_cmpuint(m->other, ==, 0);
    machine_free(m);
}

static void assert_same_segment(const X86Segment *a, const X86Segment *b)
{
    g_assert_cmphex(a->selector, ==, b->selector);
    g_assert_cmphex(a->base, ==, b->base);
    g_assert_cmphex(a->limit, ==, b->limit);
    g_assert_cmphex(a->flags, ==, b->flags);
}

static void assert_same_state(const X86CpuState *a, const X86CpuState *b)
{
    g_assert_cmpmem(a->regs, sizeof(a->regs), b->regs, sizeof(b->regs));
    g_assert_cmphex(a->rip, ==, b->rip);
    g_assert_cmphex(a->rflags, ==, b->rflags);
    g_assert_cmphex(a->cr0, ==, b->cr0);
    g_assert_cmphex(a->cr2, ==, b->cr2);
    g_assert_cmphex(a->cr3, ==, b->cr3);
    g_assert_cmphex(a->cr4, ==, b->cr4);
    g_assert_cmphex(a->efer, ==, b->efer);
    g_assert_cmpmem(a->dr, sizeof(a->dr), b->dr, sizeof(b->dr));
    for (unsigned i = 0; i < X86_SEG_COUNT; i++) {
        /* What real mode left in FS and GS under a null selector is lost. */
        if ((i != X86_SEG_FS && i != X86_SEG_GS) || b->segs[i].selector) {
            assert_same_segment(&a->segs[i], &b->segs[i]);
        }
    }
    g_assert_cmphex(a->fcw, ==, b->fcw);
    g_assert_cmphex(a->fsw, ==, b->fsw);
    g_assert_cmphex(a->ftag, ==, b->ftag);
    g_assert_cmphex(a->mxcsr, ==, b->mxcsr);
    g_assert_cmpmem(a->fpregs, sizeof(a->fpregs), b->fpregs,
                    sizeof(b->fpregs));
    g_assert_cmpmem(a->xmm, sizeof(a->xmm), b->xmm, sizeof(b->xmm));
    g_assert_cmpmem(a->ymmh, sizeof(a->ymmh), b->ymmh, sizeof(b->ymmh));
    g_assert_cmphex(a->pat, ==, b->pat);
    g_assert_cmphex(a->kernel_gs_base, ==, b->kernel_gs_base);
    g_assert_cmphex(a->lstar, ==, b->lstar);
}

/* What travels: as the "cpu" section carries it, no more. */
static void copy_state(X86CpuState *to, const X86CpuState *from)
{
    uint8_t *xsave = to->xsave;
    X86Msr *msrs = to->msrs;

    *to = *from;
    to->xsave = xsave;
    to->msrs = msrs;
}

static void put_marks(X86CpuState *s)
{
    for (unsigned i = 0; i < 8; i++) {
        s->fpregs[i].mantissa = UINT64_C(0x8000000000000000) + i;
        s->fpregs[i].exponent = 0x3fff + i;
    }
    for (unsigned i = 0; i < 16; i++) {
        s->xmm[i] = (X86Vec128) { 100 + i, 200 + i };
    }
    s->fsw = 3 << 11;
    s->ftag = 0x5a;
    s->fcw = 0x27f;
    s->mxcsr = 0x1fa0;
    s->dr[0] = 0x1234;
    s->cr2 = 0x9876;
    s->segs[X86_SEG_TR] = (X86Segment) { 0x28, 0x5000, 0x67, 0x8b00 };
}

/* Stop it, carry RAM and registers to another machine, go on there. */
static void test_move_guest_goes_on(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Machine *from = machine_new();
    X86CpuState *carried = x86_cpu_state_new();
    g_autofree uint8_t *ram = g_malloc(RAM_BYTES);
    Machine *to;
    uint32_t counter;

    boot_guest(from, data);
    for (unsigned i = 0; i < 3; i++) {
        machine_run_passes(from, 1);
    }
    g_assert_true(cpus_sync_get(from->vm, &error));
    copy_state(carried, machine_cpu(from)->state);
    put_marks(carried);
    memcpy(ram, from->ram->host, RAM_BYTES);
    counter = machine_counter(from);
    machine_free(from);

    to = machine_new();
    memcpy(to->ram->host, ram, RAM_BYTES);
    copy_state(machine_cpu(to)->state, carried);
    cpus_sync_set(to->vm, &error);
    g_assert_no_error(error);
    g_assert_true(cpus_sync_get(to->vm, &error));
    assert_same_state(machine_cpu(to)->state, carried);
    machine_run_passes(to, 3);
    g_assert_cmpuint(machine_counter(to), >=, counter + 3);
    g_assert_cmpuint(to->a, ==, 0); /* it was not booted again */
    g_assert_cmpuint(to->b, >=, 2);
    if (data != guest_hotcold) {
        check_pass_shape(to, START, END);
    }
    machine_free(to);
    x86_cpu_state_free(carried);
}

/* In the middle of real mode, with segments that are not zero. */
static void test_move_real_mode_keeps_segments(void)
{
    g_autoptr(GError) error = NULL;
    /* mov bx,[si]; inc word es:[di]; hlt */
    static const uint8_t code[] = { 0x8b, 0x1c, 0x26, 0xff, 0x05, 0xf4 };
    Machine *m = machine_new();
    X86CpuState *s = machine_cpu(m)->state;

    x86_cpu_reset(s);
    x86_cpu_set_boot_sector(s, 0x80);
    s->segs[X86_SEG_CS].selector = 0x1230;
    s->segs[X86_SEG_CS].base = 0x12300;
    s->segs[X86_SEG_DS].selector = 0x2000;
    s->segs[X86_SEG_DS].base = 0x20000;
    s->segs[X86_SEG_ES].selector = 0x3000;
    s->segs[X86_SEG_ES].base = 0x30000;
    s->segs[X86_SEG_FS].selector = 0x4321;
    s->segs[X86_SEG_FS].base = 0x43210;
    s->segs[X86_SEG_GS].selector = 0x5555;
    s->segs[X86_SEG_GS].base = 0x55550;
    s->rip = 0x45;
    s->regs[X86_RSI] = 0x10;
    s->regs[X86_RDI] = 0x20;
    memcpy(m->ram->host + 0x12345, code, sizeof(code));
    m->ram->host[0x20010] = 0x77;
    cpus_sync_set(m->vm, &error);
    g_assert_no_error(error);
    machine_run_to_halt(m);
    g_assert_true(cpus_sync_get(m->vm, NULL));
    g_assert_cmphex(s->regs[X86_RBX], ==, 0x77);
    g_assert_cmphex(m->ram->host[0x30020], ==, 1);
    g_assert_cmphex(s->rip, ==, 0x45 + sizeof(code));
    g_assert_cmphex(s->segs[X86_SEG_CS].base, ==, 0x12300);
    g_assert_cmphex(s->segs[X86_SEG_FS].selector, ==, 0x4321);
    g_assert_cmphex(s->segs[X86_SEG_FS].base, ==, 0x43210);
    g_assert_cmphex(s->segs[X86_SEG_GS].base, ==, 0x55550);
    g_assert_cmphex(s->cr0 & 1, ==, 0);
    machine_free(m);
}

/* Take what is dirty and copy it, as a migration does. */
static uint64_t copy_dirty(Machine *m, uint8_t *copy)
{
    g_autoptr(GError) error = NULL;
    uint64_t n = 0;

    g_assert_true(dirty_sync_round(m->vm->map, &error));
    big_unlock();
    for (uint64_t page = 0; page < m->ram->npages; page++) {
        if (dirty_bitmap_take(m->ram, DIRTY_CLIENT_MIGRATION, page)) {
            memcpy(copy + page * 4096, m->ram->host + page * 4096, 4096);
            n++;
        }
    }
    big_lock();
    return n;
}

/* The guest writes while its pages are taken and copied; in the end the copy
 * must be its memory, page tables included. */
static void test_log_live_copy_is_exact(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *copy = g_malloc0(RAM_BYTES);
    Machine *m = machine_new();
    uint8_t sector[512];
    uint64_t taken = 0;

    memcpy(sector, data, sizeof(sector));
    patch_small(sector);
    put32(sector, P_END, START + 64 * 4096); /* few pages, written often */
    machine_boot(m, sector);
    machine_run_passes(m, 1);
    cpus_resume_all(m->vm);
    g_assert_true(dirty_log_start(m->vm->map, DIRTY_CLIENT_MIGRATION, true,
                                  &error));
    for (unsigned i = 0; i < 3000; i++) {
        taken += copy_dirty(m, copy);
        if (i % 64 == 0) {
            cpus_pause_all(m->vm);
            copy_dirty(m, copy);
            g_assert_cmpmem(copy, RAM_BYTES, m->ram->host, RAM_BYTES);
            cpus_resume_all(m->vm);
        }
    }
    cpus_pause_all(m->vm);
    copy_dirty(m, copy);
    g_assert_cmpmem(copy, RAM_BYTES, m->ram->host, RAM_BYTES);
    g_assert_cmpuint(taken, >, m->ram->npages + 1000);
    /* Nothing is written while it stands: nothing but the tables is dirty. */
    g_assert_cmpuint(copy_dirty(m, copy), <=, 8);
    dirty_log_stop(m->vm->map, DIRTY_CLIENT_MIGRATION);
    g_assert_false(((TcgCpu *)machine_cpu(m)->accel)->tracking);
    machine_run_passes(m, 2);
    machine_free(m);
}

/* The engine sets accessed and dirty bits in tables that the guest itself
 * wrote long before: one entry after the other, as it reaches new memory. */
static void test_log_sees_page_tables(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *copy = g_malloc0(RAM_BYTES);
    Machine *m = machine_new();
    uint8_t sector[512];

    memcpy(sector, guest_writer64u, sizeof(sector));
    patch_small(sector);
    put32(sector, P_END, RAM_BYTES);
    put32(sector, P_DELAY, 2000);
    machine_boot(m, sector);
    g_assert_true(dirty_log_start(m->vm->map, DIRTY_CLIENT_MIGRATION, true,
                                  &error));
    cpus_resume_all(m->vm);
    while (machine_counter(m) == 0) {
        copy_dirty(m, copy);
    }
    cpus_pause_all(m->vm);
    copy_dirty(m, copy);
    g_assert_cmpmem(copy, RAM_BYTES, m->ram->host, RAM_BYTES);
    g_assert_cmphex(copy[0x12018] & 0x60, ==, 0x60); /* 6 MiB: A and D */
    dirty_log_stop(m->vm->map, DIRTY_CLIENT_MIGRATION);
    machine_free(m);
}

/* Logging that begins under a running guest misses nothing either. */
static void test_log_start_catches_running_guest(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree uint8_t *copy = g_malloc0(RAM_BYTES);
    Machine *m = machine_new();

    boot_guest(m, guest_writer32);
    machine_run_passes(m, 1);
    for (unsigned i = 0; i < 20; i++) {
        cpus_resume_all(m->vm);
        g_assert_true(dirty_log_start(m->vm->map, DIRTY_CLIENT_MIGRATION,
                                      true, &error));
        copy_dirty(m, copy);
        copy_dirty(m, copy);
        cpus_pause_all(m->vm);
        copy_dirty(m, copy);
        g_assert_cmpmem(copy, RAM_BYTES, m->ram->host, RAM_BYTES);
        dirty_log_stop(m->vm->map, DIRTY_CLIENT_MIGRATION);
    }
    machine_free(m);
}

static void test_fault_stops_as_internal_error(void)
{
    static const uint8_t code[512] = { 0x0f, 0x0b }; /* ud2 */
    Machine *m = machine_new();

    machine_boot(m, code);
    vm_start(m->vm);
    while (runstate_get(m->vm) != RUN_STATE_INTERNAL_ERROR) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_true(cpus_sync_get(m->vm, NULL));
    g_assert_cmphex(machine_cpu(m)->state->rip, ==, 0x7c00);
    machine_free(m);
}

/* Memory that is neither RAM nor a device's reads as ones. */
static void test_mmio_reaches_the_map(void)
{
    /* Flat 32-bit code: mov eax,[0xc8000000]; mov [0xd0000010],eax;
     * mov ebx,[0x100000]; hlt */
    static const uint8_t code[] = {
        0xa1, 0x00, 0x00, 0x00, 0xc8, 0xa3, 0x10, 0x00, 0x00, 0xd0,
        0x8b, 0x1d, 0x00, 0x00, 0x10, 0x00, 0xf4,
    };
    g_autoptr(GError) error = NULL;
    Machine *m = machine_new();
    X86CpuState *s = machine_cpu(m)->state;

    x86_cpu_reset(s);
    s->cr0 |= 1;
    s->rip = 0x1000;
    s->segs[X86_SEG_CS] = (X86Segment) { 8, 0, UINT32_MAX, 0xc09b00 };
    s->segs[X86_SEG_DS] = (X86Segment) { 16, 0, UINT32_MAX, 0xc09300 };
    memcpy(m->ram->host + 0x1000, code, sizeof(code));
    memset(m->ram->host + 0x100000, 0x42, 4);
    cpus_sync_set(m->vm, &error);
    g_assert_no_error(error);
    machine_run_to_halt(m);
    g_assert_true(cpus_sync_get(m->vm, NULL));
    g_assert_cmphex(s->regs[X86_RAX], ==, 0xffffffff);
    g_assert_cmphex(m->last_out, ==, 0xffffffff);
    g_assert_cmphex(s->regs[X86_RBX], ==, 0x42424242);
    machine_free(m);
}

static void test_load_refuses_what_it_cannot_do(void)
{
    g_autoptr(GError) error = NULL;
    Machine *m = machine_new();
    X86CpuState *s = machine_cpu(m)->state;
    uint32_t *directory = (uint32_t *)(m->ram->host + 0x2000);

    x86_cpu_reset(s);
    s->rflags |= 1 << 17;
    g_assert_false(cpus_sync_set(m->vm, &error));
    g_assert_nonnull(strstr(error->message, "virtual-8086"));
    g_clear_error(&error);

    x86_cpu_reset(s);
    s->segs[X86_SEG_CS] = (X86Segment) { 8, 0, UINT32_MAX, 0xc09b00 };
    s->cr0 |= UINT64_C(0x80000001);
    s->cr4 = 0x10;
    s->cr3 = 0x2000;
    s->rip = 0x1000;
    directory[0] = 0x000083;
    g_assert_true(cpus_sync_set(m->vm, &error));
    directory[1] = 0x000083; /* 4 MiB again, at another address */
    g_assert_false(cpus_sync_set(m->vm, &error));
    g_assert_nonnull(strstr(error->message, "one-to-one"));
    machine_free(m);
}

static void randomise(X86CpuState *s)
{
    static const size_t places[] = {
        offsetof(X86CpuState, cr0), offsetof(X86CpuState, cr3),
        offsetof(X86CpuState, cr4), offsetof(X86CpuState, efer),
        offsetof(X86CpuState, rip), offsetof(X86CpuState, rflags),
        offsetof(X86CpuState, regs[X86_RSP]), offsetof(X86CpuState, dr[7]),
        offsetof(X86CpuState, star), offsetof(X86CpuState, pat),
    };

    for (unsigned n = g_test_rand_int_range(1, 5); n > 0; n--) {
        size_t at = places[g_test_rand_int_range(0, G_N_ELEMENTS(places))];
        X86Segment *seg = &s->segs[g_test_rand_int_range(0, X86_SEG_COUNT)];
        uint64_t bit = UINT64_C(1) << g_test_rand_int_range(0, 64);
        uint64_t value;

        memcpy(&value, (char *)s + at, 8);
        value = g_test_rand_bit() ? value ^ bit
                                  : (uint64_t)g_test_rand_int() << 32 |
                                        (uint32_t)g_test_rand_int();
        memcpy((char *)s + at, &value, 8);
        if (g_test_rand_bit()) {
            seg->flags ^= 1u << g_test_rand_int_range(8, 24);
        }
        if (g_test_rand_bit()) {
            seg->selector = g_test_rand_int();
            seg->base = g_test_rand_int();
            seg->limit = g_test_rand_int();
        }
        s->fsw = g_test_rand_int();
    }
}

/* Registers that no CPU could have had: refused, or run into a fault. */
static void test_load_random_registers_do_no_harm(void)
{
    static const uint8_t *const guests[] = {
        guest_writer32, guest_writer64u, guest_idle,
    };
    X86CpuState *good = x86_cpu_state_new();
    unsigned loaded = 0;

    for (unsigned g = 0; g < G_N_ELEMENTS(guests); g++) {
        Machine *m = machine_new();

        boot_guest(m, guests[g]);
        if (g < 2) {
            machine_run_passes(m, 1);
        }
        g_assert_true(cpus_sync_get(m->vm, NULL));
        copy_state(good, machine_cpu(m)->state);
        for (unsigned i = 0; i < 150; i++) {
            copy_state(machine_cpu(m)->state, good);
            randomise(machine_cpu(m)->state);
            if (cpus_sync_set(m->vm, NULL)) {
                loaded++;
                cpus_resume_all(m->vm);
                big_unlock();
                g_usleep(50);
                big_lock();
                cpus_pause_all(m->vm);
                g_assert_true(cpus_sync_get(m->vm, NULL));
            }
        }
        machine_free(m);
    }
    g_assert_cmpuint(loaded, >, 50);
    x86_cpu_state_free(good);
}

/* Signature to 0x600, the first 16 letters of the model's id to 0x604. */
static const uint8_t tell_cpuid[512] = {
    0x66, 0xb8, 0x01, 0x00, 0x00, 0x00,  /* mov eax,1 */
    0x0f, 0xa2,                          /* cpuid */
    0x66, 0xa3, 0x00, 0x06,              /* mov [0x600],eax */
    0x66, 0xb8, 0x02, 0x00, 0x00, 0x80,  /* mov eax,0x80000002 */
    0x0f, 0xa2,
    0x66, 0xa3, 0x04, 0x06,              /* mov [0x604],eax */
    0x66, 0x89, 0x1e, 0x08, 0x06,        /* mov [0x608],ebx */
    0x66, 0x89, 0x0e, 0x0c, 0x06,        /* mov [0x60c],ecx */
    0x66, 0x89, 0x16, 0x10, 0x06,        /* mov [0x610],edx */
    0xf4,                                /* hlt */
};

static uint32_t signature(const X86CpuModel *model)
{
    unsigned base = MIN(model->family, 15);

    return (model->family - base) << 20 | (model->model >> 4) << 16 |
        base << 8 | (model->model & 15) << 4 | model->stepping;
}

/* The guest finds the CPU that was asked for. */
static void test_cpu_is_the_model_asked_for(void)
{
    static const char *const names[] = { "kvm64", "Nehalem", "Haswell",
        "Skylake-Server", "EPYC" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(X86CpuSpec) spec = x86_cpu_spec_parse(names[i], NULL);
        Machine *m = machine_with_cpu(spec);
        uint32_t seen;
        char id[17];

        machine_boot(m, tell_cpuid);
        machine_run_to_halt(m);
        memcpy(&seen, m->ram->host + 0x600, 4);
        g_strlcpy(id, (const char *)m->ram->host + 0x604, sizeof(id));
        g_test_message("%s: %x '%s'", names[i], seen, id);
        g_assert_cmphex(seen, ==, signature(spec->model));
        g_assert_true(g_str_has_prefix(spec->model->model_id, id));
        g_assert_cmpuint(strlen(id), >, 8);
        machine_free(m);
    }
}

/* Without -cpu and with "max" it is the same one. */
static void test_cpu_max_is_the_default(void)
{
    g_autoptr(X86CpuSpec) max = x86_cpu_spec_parse("max", NULL);
    uint32_t seen[2];

    for (unsigned i = 0; i < 2; i++) {
        Machine *m = machine_with_cpu(i ? max : NULL);

        machine_boot(m, tell_cpuid);
        machine_run_to_halt(m);
        memcpy(&seen[i], m->ram->host + 0x600, 4);
        machine_free(m);
    }
    g_assert_cmphex(seen[0], ==, seen[1]);
    g_assert_cmphex(seen[0], !=, 0);
}

static void test_cpu_others_are_refused_by_name(void)
{
    static const struct {
        const char *text, *word;
    } table[] = {
        { "host", "'host'" }, { "base", "'base'" },
        { "EPYC-Milan", "'EPYC-Milan'" },
        { "Haswell-noTSX", "'Haswell-noTSX'" },
        { "qemu64,+avx", "'+avx'" }, { "max,-sse3", "'-sse3'" },
        { "max,check", "'check'" }, { "max,enforce", "'enforce'" },
        { "qemu64,kvm=off", "'kvm'" }, { "qemu64,hv-evmcs", "'hv-evmcs'" },
        { "qemu64,family=6", "'family'" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(X86CpuSpec) spec = x86_cpu_spec_parse(table[i].text, NULL);
        g_autoptr(GPtrArray) choices = g_ptr_array_new();
        g_autoptr(KeyVal) tcg = keyval_parse("tcg", "accel", NULL);
        g_autoptr(GError) error = NULL;
        Vm *vm = vm_new();

        g_assert_nonnull(spec);
        big_lock();
        vm->cpu = spec;
        g_ptr_array_add(choices, tcg);
        g_assert_false(accel_configure(vm, choices, NULL, &error));
        g_assert_nonnull(strstr(error->message, "-cpu"));
        g_assert_nonnull(strstr(error->message, table[i].word));
        vm_free(vm);
        big_unlock();
    }
}

static void test_create_second_cpu_is_refused(void)
{
    g_autoptr(GError) error = NULL;
    Machine *m = machine_new();

    cpus_destroy(m->vm);
    g_assert_false(cpus_create(m->vm, 2, &error));
    g_assert_nonnull(strstr(error->message, "-smp 1"));
    machine_free(m);
}

static void test_init_refuses_unknown_option(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) choices = g_ptr_array_new();
    g_autoptr(KeyVal) tcg = keyval_parse("tcg,thread=multi", "accel", NULL);
    Vm *vm = vm_new();

    big_lock();
    g_ptr_array_add(choices, tcg);
    g_assert_false(accel_configure(vm, choices, NULL, &error));
    g_assert_nonnull(strstr(error->message, "thread"));
    vm_free(vm);
    big_unlock();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/tcg/run/writer32", guest_writer32,
                         test_run_writer_prints_and_counts);
    g_test_add_data_func("/tcg/run/writer64u", guest_writer64u,
                         test_run_writer_prints_and_counts);
    g_test_add_data_func("/tcg/run/hotcold", guest_hotcold,
                         test_run_writer_prints_and_counts);
    g_test_add_func("/tcg/run/idle-halts", test_run_idle_halts_for_good);
    g_test_add_data_func("/tcg/kick/writer32", guest_writer32,
                         test_kick_anywhere_loses_nothing);
    g_test_add_data_func("/tcg/kick/writer64u", guest_writer64u,
                         test_kick_anywhere_loses_nothing);
    g_test_add_data_func("/tcg/move/writer32", guest_writer32,
                         test_move_guest_goes_on);
    g_test_add_data_func("/tcg/move/writer64u", guest_writer64u,
                         test_move_guest_goes_on);
    g_test_add_data_func("/tcg/move/hotcold", guest_hotcold,
                         test_move_guest_goes_on);
    g_test_add_func("/tcg/move/real-mode",
                    test_move_real_mode_keeps_segments);
    g_test_add_data_func("/tcg/log/writer32-copy-is-exact", guest_writer32,
                         test_log_live_copy_is_exact);
    g_test_add_data_func("/tcg/log/writer64u-copy-is-exact", guest_writer64u,
                         test_log_live_copy_is_exact);
    g_test_add_func("/tcg/log/page-tables", test_log_sees_page_tables);
    g_test_add_func("/tcg/log/start-under-running-guest",
                    test_log_start_catches_running_guest);
    g_test_add_func("/tcg/fault/internal-error",
                    test_fault_stops_as_internal_error);
    g_test_add_func("/tcg/mmio/reaches-the-map", test_mmio_reaches_the_map);
    g_test_add_func("/tcg/load/refuses", test_load_refuses_what_it_cannot_do);
    g_test_add_func("/tcg/load/random",
                    test_load_random_registers_do_no_harm);
    g_test_add_func("/tcg/cpu/is-the-model-asked-for",
                    test_cpu_is_the_model_asked_for);
    g_test_add_func("/tcg/cpu/max-is-the-default",
                    test_cpu_max_is_the_default);
    g_test_add_func("/tcg/cpu/others-are-refused-by-name",
                    test_cpu_others_are_refused_by_name);
    g_test_add_func("/tcg/create/one-cpu", test_create_second_cpu_is_refused);
    g_test_add_func("/tcg/init/unknown-option",
                    test_init_refuses_unknown_option);
    return g_test_run();
}
