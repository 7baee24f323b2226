/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device's register moves a window while the software CPU is in its engine:
 * the guest goes on in the new map from the next block on, and a copy of its
 * memory, kept by sync, take and read, stays right. The guest, without a
 * pause, in one block of code:
 *
 *     write n to page 1 at A, to page 2 at B; move the window from A to B or
 *     back; write n to page 3 at A, to page 4 at B; n + 1
 *
 * The last two meet an engine that has the old window still.
 */
#include <string.h>

#include "accel/accel.h"
#include "accel/tcg/tcg-internal.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/vm.h"

#define RAM_BYTES (UINT64_C(1) << 20)
#define WINDOW_PAGES 8
#define WINDOW_A UINT64_C(0x1000000)
#define WINDOW_B UINT64_C(0x1800000)
#define CODE 0x1000
#define MIG DIRTY_CLIENT_MIGRATION

static const uint8_t code[] = {
    0xb9, 0x01, 0x00, 0x00, 0x00,             /* mov ecx, 1 */
    0x89, 0x0d, 0x00, 0x10, 0x00, 0x01,       /* mov [A + 0x1000], ecx */
    0x89, 0x0d, 0x00, 0x20, 0x80, 0x01,       /* mov [B + 0x2000], ecx */
    0xe6, 0x10,                               /* out 0x10, al */
    0x89, 0x0d, 0x00, 0x30, 0x00, 0x01,       /* mov [A + 0x3000], ecx */
    0x89, 0x0d, 0x00, 0x40, 0x80, 0x01,       /* mov [B + 0x4000], ecx */
    0x41,                                     /* inc ecx */
    0xeb, 0xe3,                               /* jmp to the first store */
};
/* Stores on both sides of the change, and then a fault. */
static const uint8_t code_fault[] = {
    0xb9, 0x01, 0x00, 0x00, 0x00,
    0x89, 0x0d, 0x00, 0x10, 0x00, 0x01,       /* mov [A + 0x1000], ecx */
    0xe6, 0x10,
    0x89, 0x0d, 0x00, 0x30, 0x00, 0x01,       /* mov [A + 0x3000], ecx */
    0x0f, 0x0b,                               /* ud2 */
};

typedef struct Machine {
    Vm *vm;
    KeyVal *options;
    RAMBlock *ram, *vram;
    unsigned window;
    uint64_t gpa;
    unsigned moves;      /* big lock */
    bool hides;          /* the register takes the window away */
    uint8_t copy[RAM_BYTES], copy_vram[WINDOW_PAGES * TM_PAGE_BYTES];
} Machine;

static void show(Machine *m, uint64_t gpa)
{
    g_autoptr(GError) error = NULL;

    m->gpa = gpa;
    m->window = memory_map_add_ram(m->vm->map, gpa, m->vram->length, m->vram,
                                   0, false, &error);
    g_assert_no_error(error);
}

static void copy_block(RAMBlock *b, uint8_t *copy)
{
    for (uint64_t page = 0; page < b->npages; page++) {
        if (dirty_bitmap_take(b, MIG, page)) {
            memcpy(copy + page * TM_PAGE_BYTES, b->host + page * TM_PAGE_BYTES,
                   TM_PAGE_BYTES);
        }
    }
}

static void sync_now(Machine *m)
{
    g_autoptr(GError) error = NULL;

    dirty_sync_round(m->vm->map, &error);
    g_assert_no_error(error);
}

static void copy_all(Machine *m)
{
    copy_block(m->ram, m->copy);
    copy_block(m->vram, m->copy_vram);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    Machine *m = opaque;
    g_autoptr(GError) error = NULL;

    memory_map_begin(m->vm->map);
    memory_map_del(m->vm->map, m->window);
    if (!m->hides) {
        show(m, m->gpa == WINDOW_A ? WINDOW_B : WINDOW_A);
    }
    memory_map_commit(m->vm->map, &error);
    g_assert_no_error(error);
    m->moves++;
    if (m->hides) {
        /* A migration takes and reads everything just now. */
        sync_now(m);
        copy_all(m);
    }
}

static const IoRegionOps port_ops = { port_read, port_write, 1 };

static RAMBlock *block_new(Machine *m, const char *name, uint64_t bytes)
{
    g_autoptr(GError) error = NULL;
    RAMBlock *b = ram_list_add_anon(&m->vm->ram, name, bytes, &error);

    g_assert_no_error(error);
    return b;
}

static void load_code(Machine *m, const uint8_t *bytes, size_t n)
{
    g_autoptr(GError) error = NULL;
    X86CpuState *s = ((Vcpu *)m->vm->vcpus->pdata[0])->state;

    memcpy(m->ram->host + CODE, bytes, n);
    x86_cpu_reset(s);
    s->segs[X86_SEG_CS] = (X86Segment) { 8, 0, UINT32_MAX, 0xc09b00 };
    s->segs[X86_SEG_DS] = (X86Segment) { 16, 0, UINT32_MAX, 0xc09300 };
    s->cr0 |= 1;
    s->rip = CODE;
    cpus_sync_set(m->vm, &error);
    g_assert_no_error(error);
}

static Machine *machine_new(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) choices = g_ptr_array_new();
    Machine *m = g_new0(Machine, 1);

    m->options = keyval_parse("tcg", "accel", &error);
    m->vm = vm_new();
    big_lock_attach_main_loop();
    g_ptr_array_add(choices, m->options);
    accel_configure(m->vm, choices, NULL, &error);
    g_assert_no_error(error);
    m->ram = block_new(m, "ram", RAM_BYTES);
    m->vram = block_new(m, "vram", WINDOW_PAGES * TM_PAGE_BYTES);
    memory_map_begin(m->vm->map);
    memory_map_add_ram(m->vm->map, 0, RAM_BYTES, m->ram, 0, false, &error);
    memory_map_add_io(m->vm->map, IO_SPACE_PORT, 0x10, 1, &port_ops, m, "port",
                      &error);
    show(m, WINDOW_A);
    memory_map_commit(m->vm->map, &error);
    g_assert_no_error(error);
    cpus_create(m->vm, 1, &error);
    g_assert_no_error(error);
    return m;
}

static void machine_free(Machine *m)
{
    cpus_pause_all(m->vm);
    cpus_destroy(m->vm);
    accel_free(m->vm->accel);
    vm_free(m->vm);
    keyval_free(m->options);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
    g_free(m);
}

static void copy_round(Machine *m)
{
    sync_now(m);
    big_unlock();
    copy_all(m);
    big_lock();
}

static void check_copy(Machine *m)
{
    copy_round(m);
    g_assert_cmpmem(m->copy, RAM_BYTES, m->ram->host, RAM_BYTES);
    g_assert_cmpmem(m->copy_vram, m->vram->length, m->vram->host,
                    m->vram->length);
}

static uint32_t page_value(Machine *m, unsigned page)
{
    uint32_t value;

    memcpy(&value, m->vram->host + page * TM_PAGE_BYTES, sizeof(value));
    return value;
}

static void wait_moves(Machine *m, unsigned n)
{
    gint64 limit = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;

    for (unsigned from = m->moves; m->moves - from < n; ) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        big_unlock();
        g_usleep(200);
        big_lock();
    }
}

static void test_guest_goes_on_in_the_new_map(void)
{
    Machine *m = machine_new();

    load_code(m, code, sizeof(code));
    cpus_resume_all(m->vm);
    wait_moves(m, 50);
    cpus_pause_all(m->vm);
    /* The window is at A for odd numbers and at B for even ones. */
    g_assert_cmpuint(page_value(m, 1), >=, 49);
    g_assert_cmpuint(page_value(m, 1) % 2, ==, 1);
    g_assert_cmpuint(page_value(m, 2), >=, 49);
    g_assert_cmpuint(page_value(m, 2) % 2, ==, 0);
    machine_free(m);
}

static void test_copy_stays_right(void)
{
    Machine *m = machine_new();

    load_code(m, code, sizeof(code));
    cpus_resume_all(m->vm);
    for (unsigned leg = 0; leg < 10; leg++) {
        g_autoptr(GError) error = NULL;

        dirty_log_start(m->vm->map, MIG, true, &error);
        g_assert_no_error(error);
        for (unsigned i = 0; i < 20; i++) {
            copy_round(m);
            wait_moves(m, 1);
        }
        cpus_pause_all(m->vm);
        check_copy(m);
        dirty_log_stop(m->vm->map, MIG);
        g_assert_false(((TcgCpu *)((Vcpu *)m->vm->vcpus->pdata[0])->accel)
                       ->tracking);
        cpus_resume_all(m->vm);
    }
    machine_free(m);
}

/*
 * A window goes and does not come back. The store before is in the engine and
 * not noted yet; the one after still finds the window there; then the block
 * ends in a fault and nobody runs the guest again. Both pages are dirty.
 */
static void test_window_that_goes_loses_no_page(void)
{
    Machine *m = machine_new();
    g_autoptr(GError) error = NULL;

    m->hides = true;
    load_code(m, code_fault, sizeof(code_fault));
    dirty_log_start(m->vm->map, MIG, true, &error);
    g_assert_no_error(error);
    copy_round(m);
    vm_start(m->vm);
    while (runstate_get(m->vm) != RUN_STATE_INTERNAL_ERROR) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_cmpuint(m->moves, ==, 1);
    g_assert_cmpuint(page_value(m, 1), ==, 1);
    check_copy(m);
    dirty_log_stop(m->vm->map, MIG);
    machine_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tcg-window/move/guest-goes-on",
                    test_guest_goes_on_in_the_new_map);
    g_test_add_func("/tcg-window/move/copy-stays-right", test_copy_stays_right);
    g_test_add_func("/tcg-window/gone/loses-no-page",
                    test_window_that_goes_loses_no_page);
    return g_test_run();
}
