/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI: sleeping and waking, power off, the button, the timer; also port 0x92
 * and isa-debug-exit, the other ways to end a guest.
 */
#include <string.h>

#include "system/vm.h"
#include "tests/unit/board-fixture.h"

enum { PM_STATUS = 0x600, PM_ENABLE = 0x602, PM_CONTROL = 0x604,
       PM_TIMER = 0x608 };

static unsigned seen[VM_EVENT_SHUTDOWN + 1];

static void count(Vm *vm, VmEvent event, void *opaque)
{
    seen[event]++;
}

static BoardFixture *running(const char *device)
{
    BoardFixture *f = board_fixture_new();

    memset(seen, 0, sizeof(seen));
    if (device) {
        board_fixture_device(f, device);
    }
    board_fixture_build(f);
    vm_observe(f->vm, count, NULL);
    vm_start(f->vm);
    return f;
}

static void wait_for(BoardFixture *f, VmEvent event)
{
    gint64 deadline = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;

    while (!seen[event]) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_main_context_iteration(NULL, FALSE);
    }
}

static void test_s3_suspends_and_wakes(void)
{
    g_autoptr(GError) error = NULL;
    BoardFixture *f = running(NULL);

    outw(f, PM_CONTROL, 0x2401);
    wait_for(f, VM_EVENT_SUSPEND);
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_SUSPENDED);
    g_assert_cmphex(inw(f, PM_CONTROL), ==, 0x0401); /* SLP_EN reads as 0 */
    ((RAMBlock *)g_ptr_array_index(f->vm->ram.blocks, 0))->host[0x8000] = 0x77;
    g_assert_true(vm_wakeup(f->vm, &error));
    g_assert_cmphex(inw(f, PM_STATUS), ==, 0x8000);
    outw(f, PM_STATUS, 0x8000);
    g_assert_cmphex(inw(f, PM_STATUS), ==, 0);
    g_assert_cmphex(((RAMBlock *)g_ptr_array_index(f->vm->ram.blocks, 0))
                        ->host[0x8000], ==, 0x77);
    board_fixture_free(f);
}

static void test_s5_powers_off(void)
{
    BoardFixture *f = running(NULL);

    outb(f, PM_CONTROL + 1, 0x20); /* type 0, by bytes */
    g_assert_cmpint(vm_main_loop(f->vm), ==, 0);
    g_assert_cmpuint(seen[VM_EVENT_SHUTDOWN], ==, 1);
    board_fixture_free(f);
}

static void test_other_sleep_types_do_nothing(void)
{
    BoardFixture *f = running(NULL);

    outw(f, PM_CONTROL, 0x2000 | 5 << 10);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_RUNNING);
    board_fixture_free(f);
}

static void test_button_interrupts_when_enabled(void)
{
    BoardFixture *f = running(NULL);

    vm_powerdown_request(f->vm);
    wait_for(f, VM_EVENT_POWERDOWN);
    g_assert_cmphex(inw(f, PM_STATUS), ==, 0x100);
    g_assert_false(vm_irq_level(f->vm, 9));
    outw(f, PM_ENABLE, 0xffff);
    g_assert_cmphex(inw(f, PM_ENABLE), ==, 0x120);
    g_assert_true(vm_irq_level(f->vm, 9));
    outb(f, PM_STATUS + 1, 0x01);
    g_assert_false(vm_irq_level(f->vm, 9));
    board_fixture_free(f);
}

static void test_timer_counts_vm_clock(void)
{
    BoardFixture *f = running(NULL);

    vm_clock_set_ns(f->vm, 0);
    g_assert_cmphex(inl(f, PM_TIMER), ==, 0);
    vm_clock_set_ns(f->vm, 1000000000);
    g_assert_cmpuint(inl(f, PM_TIMER), ==, 3579545);
    vm_clock_set_ns(f->vm, INT64_C(1000000000) * 100);
    g_assert_cmpuint(inl(f, PM_TIMER), ==, 357954500 & 0xffffff);
    g_assert_cmphex(inb(f, PM_TIMER + 3), ==, 0);
    board_fixture_free(f);
}

static void test_apm_switches_acpi(void)
{
    BoardFixture *f = running(NULL);

    outb(f, 0xb2, 0xf0);
    g_assert_cmphex(inw(f, PM_CONTROL) & 1, ==, 0);
    outb(f, 0xb2, 0xf1);
    g_assert_cmphex(inw(f, PM_CONTROL) & 1, ==, 1);
    outb(f, 0xb3, 0x42);
    g_assert_cmphex(inb(f, 0xb3), ==, 0x42);
    g_assert_cmphex(inb(f, 0xb2), ==, 0xf1);
    board_fixture_free(f);
}

static void test_save_has_the_known_bytes(void)
{
    static const uint8_t want[] = { 1, 0, 1, 0x20, 4, 1, 0xf1, 0x42 };
    BoardFixture *f = running(NULL);
    g_autoptr(GBytes) body = NULL;
    g_autoptr(GError) error = NULL;
    const void *data;
    size_t n;

    outb(f, 0xb2, 0xf1);
    outb(f, 0xb3, 0x42);
    outw(f, PM_ENABLE, 0x120);
    outw(f, PM_CONTROL, 0x0401);
    vm_powerdown_request(f->vm);
    wait_for(f, VM_EVENT_POWERDOWN);
    body = board_fixture_save(f, "acpi-pm", 0);
    data = g_bytes_get_data(body, &n);
    g_assert_cmpmem(data, n, want, sizeof(want));

    vm_reset(f->vm, false, NULL);
    g_assert_false(vm_irq_level(f->vm, 9));
    g_assert_true(board_fixture_load(f, "acpi-pm", 0, data, n, &error));
    g_assert_true(vm_irq_level(f->vm, 9));
    board_fixture_free(f);
}

static void test_load_never_sleeps(void)
{
    static const uint8_t hostile[] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    };
    BoardFixture *f = running(NULL);

    g_assert_true(board_fixture_load(f, "acpi-pm", 0, hostile,
                                     sizeof(hostile), NULL));
    g_assert_cmphex(inw(f, PM_CONTROL) & 0x2004, ==, 0);
    outw(f, PM_ENABLE, 0); /* would sleep if SLP_EN had stayed */
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_RUNNING);
    board_fixture_free(f);
}

static void test_port92_resets_on_rising_bit(void)
{
    BoardFixture *f = running(NULL);

    g_assert_cmphex(inb(f, 0x92), ==, 2);
    outb(f, 0x92, 0x2e);
    g_assert_cmphex(inb(f, 0x92), ==, 0x2e);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpuint(seen[VM_EVENT_RESET], ==, 0);
    outb(f, 0x92, 3);
    wait_for(f, VM_EVENT_RESET);
    g_assert_cmphex(inb(f, 0x92), ==, 2);
    board_fixture_free(f);
}

static void test_debug_exit_gives_its_status(void)
{
    BoardFixture *f = running("isa-debug-exit,iobase=0xf4,iosize=4");

    g_assert_cmphex(inb(f, 0xf4), ==, 0);
    outb(f, 0xf4, 0x15);
    g_assert_cmpint(vm_main_loop(f->vm), ==, 0x2b);
    board_fixture_free(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/acpi-pm/s3/suspends-and-wakes",
                    test_s3_suspends_and_wakes);
    g_test_add_func("/acpi-pm/s5/powers-off", test_s5_powers_off);
    g_test_add_func("/acpi-pm/sleep/other-types",
                    test_other_sleep_types_do_nothing);
    g_test_add_func("/acpi-pm/button/interrupts",
                    test_button_interrupts_when_enabled);
    g_test_add_func("/acpi-pm/timer/vm-clock", test_timer_counts_vm_clock);
    g_test_add_func("/acpi-pm/apm", test_apm_switches_acpi);
    g_test_add_func("/acpi-pm/save/known-bytes",
                    test_save_has_the_known_bytes);
    g_test_add_func("/acpi-pm/load/never-sleeps", test_load_never_sleeps);
    g_test_add_func("/port92/reset", test_port92_resets_on_rising_bit);
    g_test_add_func("/debug-exit/status", test_debug_exit_gives_its_status);
    return g_test_run();
}
