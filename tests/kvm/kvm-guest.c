/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-guest.h.
 */
#include "kvm-guest.h"

#include <string.h>
#include <unistd.h>

#include "accel/accel.h"
#include "system/big-lock.h"
#include "system/memory-map.h"
#include "target/i386/cpu-state.h"
#include "target/i386/x86-bits.h"

#define PML4 0x4000
#define PDPT 0x5000
#define PD 0x6000
#define CODE_STRIDE 0x400
#define PTE_PRESENT_WRITE_USER_DIRTY 0x67
#define PTE_LARGE 0x80
#define WAIT_SECONDS 60

bool kvm_guest_skip(void)
{
    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return true;
    }
    return false;
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    KvmGuest *g = opaque;

    return g->in_value++;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    KvmGuest *g = opaque;

    __atomic_store_n(&g->last_out, value, __ATOMIC_RELAXED);
    __atomic_fetch_add(&g->passes, 1, __ATOMIC_RELEASE);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    KvmGuest *g = opaque;

    g->mmio_sizes[size]++;
    return offset < 8 ? g->mmio >> (8 * offset) : 0;
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    KvmGuest *g = opaque;

    g->mmio_sizes[size]++;
    if (offset < 8) {
        memcpy((uint8_t *)&g->mmio + offset, &value, MIN(size, 8 - offset));
    }
}

static const IoRegionOps port_ops = { port_read, port_write, 4 };
static const IoRegionOps mmio_ops = { mmio_read, mmio_write, 8 };

static void map_memory(KvmGuest *g, uint64_t ram_bytes)
{
    g_autoptr(GError) error = NULL;
    MemoryMap *map = g->vm->map;

    g->ram = ram_list_add_anon(&g->vm->ram, "ram", ram_bytes, &error);
    g_assert_no_error(error);
    memory_map_begin(map);
    memory_map_add_ram(map, 0, ram_bytes, g->ram, 0, false, &error);
    g_assert_no_error(error);
    memory_map_add_io(map, IO_SPACE_PORT, GUEST_PORT, 4, &port_ops, g, "port",
                      &error);
    g_assert_no_error(error);
    memory_map_add_io(map, IO_SPACE_MEMORY, GUEST_MMIO, 0x1000, &mmio_ops, g,
                      "mmio", &error);
    g_assert_no_error(error);
    memory_map_commit(map, &error);
    g_assert_no_error(error);
}

static void put64(KvmGuest *g, uint64_t gpa, uint64_t value)
{
    memcpy(g->ram->host + gpa, &value, 8);
}

static void map_pages(KvmGuest *g)
{
    put64(g, PML4, PDPT | PTE_PRESENT_WRITE_USER_DIRTY);
    put64(g, PDPT, PD | PTE_PRESENT_WRITE_USER_DIRTY);
    for (uint64_t i = 0; i < 512; i++) {
        put64(g, PD + 8 * i,
              i << 21 | PTE_LARGE | PTE_PRESENT_WRITE_USER_DIRTY);
    }
}

static void print_report(const char *text)
{
    g_test_message("%s", text);
}

static KvmGuest *guest_new(const char *options, const X86CpuSpec *cpu,
                           unsigned n_vcpus, uint64_t ram_bytes)
{
    KvmGuest *g = g_new0(KvmGuest, 1);
    g_autoptr(GError) error = NULL;

    big_lock();
    g->vm = vm_new();
    g->vm->cpu = cpu;
    g->accel = g_new0(Accel, 1);
    g->accel->ops = &accel_kvm_ops;
    g->accel->name = "kvm";
    g->accel->report = print_report;
    g->accel->options = keyval_parse(options ? options : "", NULL, &error);
    g_assert_no_error(error);
    accel_kvm_ops.init(g->accel, g->vm, &error);
    g_assert_no_error(error);
    g->vm->accel = g->accel;
    map_memory(g, ram_bytes);
    map_pages(g);
    cpus_create(g->vm, n_vcpus, &error);
    g_assert_no_error(error);
    return g;
}

KvmGuest *kvm_guest_new(const char *options, unsigned n_vcpus)
{
    return guest_new(options, NULL, n_vcpus, GUEST_RAM_BYTES);
}

KvmGuest *kvm_guest_new_cpu(const char *options, const X86CpuSpec *cpu,
                            unsigned n_vcpus)
{
    return guest_new(options, cpu, n_vcpus, GUEST_RAM_BYTES);
}

KvmGuest *kvm_guest_new_ram(const char *options, uint64_t ram_bytes,
                            unsigned n_vcpus)
{
    g_assert_cmpuint(ram_bytes, <=, GUEST_MMIO);
    return guest_new(options, NULL, n_vcpus, ram_bytes);
}

void kvm_guest_free(KvmGuest *g)
{
    cpus_pause_all(g->vm);
    cpus_destroy(g->vm);
    g->accel->close(g->accel);
    keyval_free(g->accel->options);
    g_free(g->accel);
    vm_free(g->vm);
    big_unlock();
    g_free(g);
}

KvmVcpu *kvm_guest_vcpu(KvmGuest *g, unsigned index)
{
    return ((Vcpu *)g_ptr_array_index(g->vm->vcpus, index))->accel;
}

void kvm_guest_load(KvmGuest *g, unsigned index, const uint8_t *code,
                    size_t len)
{
    g_assert_cmpuint(len, <=, CODE_STRIDE);
    memcpy(g->ram->host + GUEST_CODE + index * CODE_STRIDE, code, len);
}

static void set_segments(X86CpuState *s, unsigned cpl)
{
    uint32_t common = X86_DESC_P | X86_DESC_S | X86_DESC_G |
        cpl << X86_DESC_DPL_SHIFT;

    for (unsigned i = X86_SEG_ES; i <= X86_SEG_GS; i++) {
        s->segs[i] = (X86Segment) {
            .selector = 0x10 | cpl, .limit = 0xffffffff,
            .flags = common | X86_TYPE_DATA_RWA | X86_DESC_DB,
        };
    }
    s->segs[X86_SEG_CS].selector = 0x08 | cpl;
    s->segs[X86_SEG_CS].flags = common | X86_TYPE_CODE_RXA | X86_DESC_L;
}

void kvm_guest_enter(KvmGuest *g, unsigned index, unsigned cpl)
{
    Vcpu *vcpu = g_ptr_array_index(g->vm->vcpus, index);
    X86CpuState *s = vcpu->state;
    g_autoptr(GError) error = NULL;

    x86_cpu_reset(s);
    set_segments(s, cpl);
    s->cr0 = 0x80000033;
    s->cr3 = PML4;
    s->cr4 = 0x620;
    s->efer = 0x500;
    s->mp_state = X86_MP_RUNNABLE;
    s->rip = GUEST_CODE + index * CODE_STRIDE;
    s->regs[X86_RSP] = 0x80000 - index * 0x1000;
    /* And the task that the reset leaves has its bitmap of ports in zeros. */
    s->rflags = X86_FLAGS_ONE | (cpl ? X86_FLAGS_IOPL : 0);
    accel_kvm_ops.set_state(vcpu, &error);
    g_assert_no_error(error);
}

void kvm_guest_wait_passes(KvmGuest *g, uint64_t n)
{
    uint64_t until = __atomic_load_n(&g->passes, __ATOMIC_ACQUIRE) + n;
    gint64 limit = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    big_unlock();
    while (__atomic_load_n(&g->passes, __ATOMIC_ACQUIRE) < until) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_usleep(200);
    }
    big_lock();
}

void code_bytes(Code *c, const void *bytes, unsigned n)
{
    g_assert_cmpuint(c->n + n, <=, sizeof(c->bytes));
    memcpy(c->bytes + c->n, bytes, n);
    c->n += n;
}

void code_mov(Code *c, unsigned reg, uint64_t value)
{
    uint8_t head[2] = { 0x48 | (reg >= 8), 0xb8 | (reg & 7) };

    code_bytes(c, head, 2);
    code_bytes(c, &value, 8);
}

void code_jump_back(Code *c, uint8_t opcode, unsigned target)
{
    uint8_t jump[2] = { opcode, target - (c->n + 2) };

    g_assert_cmpuint(c->n + 2 - target, <=, 128);
    code_bytes(c, jump, 2);
}

void code_out(Code *c)
{
    CODE(c, 0xe6, GUEST_PORT);
}

void code_pass(Code *c, uint64_t first)
{
    unsigned loop;

    code_mov(c, X86_RDI, first);
    loop = c->n;
    CODE(c, 0x48, 0x89, 0x0f);                               /* mov [rdi],rcx */
    CODE(c, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00);       /* add rdi,4096 */
    CODE(c, 0x48, 0x39, 0xdf);                               /* cmp rdi,rbx */
    code_jump_back(c, 0x72, loop);                           /* jb */
}

void code_writer(Code *c, uint64_t first, uint64_t end)
{
    unsigned top;

    code_mov(c, X86_RCX, 1);
    code_mov(c, X86_RBX, end);
    top = c->n;
    code_pass(c, first);
    CODE(c, 0x89, 0xc8);                                     /* mov eax,ecx */
    code_out(c);
    CODE(c, 0x48, 0xff, 0xc1);                               /* inc rcx */
    code_jump_back(c, 0xeb, top);
}

void code_scatter(Code *c, uint64_t first, uint64_t npages, uint64_t seed)
{
    unsigned loop;

    code_mov(c, X86_RCX, 1);
    code_mov(c, X86_RDX, seed);
    code_mov(c, X86_R8, UINT64_C(0x5851f42d4c957f2d));
    code_mov(c, X86_R9, UINT64_C(0x14057b7ef767814f));
    code_mov(c, X86_R10, (npages - 1) << 12);
    code_mov(c, X86_R11, first);
    loop = c->n;
    CODE(c, 0x49, 0x0f, 0xaf, 0xd0);                         /* imul rdx,r8 */
    CODE(c, 0x4c, 0x01, 0xca);                               /* add rdx,r9 */
    CODE(c, 0x48, 0x89, 0xd7);                               /* mov rdi,rdx */
    CODE(c, 0x48, 0xc1, 0xef, 0x19);                         /* shr rdi,25 */
    CODE(c, 0x4c, 0x21, 0xd7);                               /* and rdi,r10 */
    CODE(c, 0x4c, 0x01, 0xdf);                               /* add rdi,r11 */
    CODE(c, 0x48, 0x89, 0x0f);                               /* mov [rdi],rcx */
    CODE(c, 0x48, 0xff, 0xc1);                               /* inc rcx */
    CODE(c, 0x84, 0xc9);                                     /* test cl,cl */
    code_jump_back(c, 0x75, loop);                           /* jnz */
    code_out(c);
    code_jump_back(c, 0xeb, loop);
}

#define LEGACY "manual-dirty-log-protect=off"
#define MANUAL "manual-dirty-log-protect=on,dirty-log-initially-set=off"
#define INITIALLY_SET "manual-dirty-log-protect=on,dirty-log-initially-set=on"

static const KvmGuestWay ways[] = {
    { "legacy", LEGACY, false, false, 0 },
    { "legacy", LEGACY, false, false, 3 },
    { "manual", MANUAL, true, false, 0 },
    { "manual", MANUAL, true, false, 3 },
    { "initially-set", INITIALLY_SET, true, true, 0 },
    { "initially-set", INITIALLY_SET, true, true, 3 },
    { "ring", "dirty-ring-size=4096", false, false, 0 },
    { "ring", "dirty-ring-size=4096", false, false, 3 },
    { "ring-small", "dirty-ring-size=256", false, false, 3 },
    { "ring-large", "dirty-ring-size=65536", false, false, 3 },
};

void kvm_guest_add_cases(const char *path, GTestDataFunc fn)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *whole = g_strdup_printf("%s/%s/cpl%u", path,
                                                 ways[i].mode, ways[i].cpl);

        g_test_add_data_func(whole, &ways[i], fn);
    }
}
