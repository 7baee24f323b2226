/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the qtest protocol on a machine with one page and one
 * device: replies to the letter, marks, bad words.
 */
#include <glib.h>
#include <string.h>

#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/qtest.h"
#include "system/vm.h"

static Vm *vm;
static RAMBlock *block;
static uint64_t port_value;

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    return port_value;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    port_value = value | offset << 32;
}

static const IoRegionOps port_ops = { port_read, port_write, 4 };

/* RAM from 0x1000 to 0x5000, ports 0x80 to 0x83. */
static void setup(void)
{
    big_lock();
    vm = vm_new();
    block = ram_list_add_anon(&vm->ram, "ram", 0x4000, NULL);
    g_assert_nonnull(block);
    memory_map_begin(vm->map);
    g_assert_cmpuint(memory_map_add_ram(vm->map, 0x1000, 0x4000, block, 0,
                                        false, NULL), >, 0);
    g_assert_cmpuint(memory_map_add_io(vm->map, IO_SPACE_PORT, 0x80, 4,
                                       &port_ops, NULL, "port", NULL), >, 0);
    g_assert_true(memory_map_commit(vm->map, NULL));
}

static void teardown(void)
{
    vm_free(vm);
    big_unlock();
}

static void assert_reply(const char *line, const char *expected)
{
    g_autofree char *copy = g_strdup(line);
    g_autoptr(GString) reply = g_string_new("before\n");

    qtest_execute(vm, copy, reply);
    g_assert_true(g_str_has_prefix(reply->str, "before\n"));
    g_assert_cmpstr(reply->str + 7, ==, expected);
}

/* The reply is one line that begins with @word. */
static void assert_refused(const char *line, const char *word)
{
    g_autofree char *copy = g_strdup(line);
    g_autoptr(GString) reply = g_string_new(NULL);

    qtest_execute(vm, copy, reply);
    g_test_message("%s: %s", line, reply->str);
    g_assert_true(g_str_has_prefix(reply->str, word));
    g_assert_true(strchr(reply->str, '\n') == reply->str + reply->len - 1);
}

static void test_numbers_round_trip(void)
{
    setup();
    assert_reply("endianness", "OK little\n");
    assert_reply("readq 0x1000", "OK 0x0000000000000000\n");
    assert_reply("writeq 0x1008 0xFEED12345678CAFE", "OK\n");
    assert_reply("readq 4104", "OK 0xfeed12345678cafe\n");
    assert_reply("readl 0x1008", "OK 0x000000005678cafe\n");
    assert_reply("readw 0x100a", "OK 0x0000000000005678\n");
    assert_reply("readb 0x100f", "OK 0x00000000000000fe\n");
    assert_reply("writeb 0x1008 0x1ff", "OK\n");
    assert_reply("writew 0x100a 1", "OK\n");
    assert_reply("writel 0x100c 2", "OK\n");
    assert_reply("read 0x1008 8", "OK 0xffca010002000000\n");
    assert_reply("readb 0x9000", "OK 0x00000000000000ff\n");
    teardown();
}

static void test_bytes_round_trip(void)
{
    setup();
    assert_reply("write 0x1000 4 0xDEadbe", "OK\n");
    assert_reply("read 0x1000 0x1", "OK 0xde\n");
    assert_reply("read 0x1000 5", "OK 0xdeadbe0000\n");
    assert_reply("b64read 0x1000 3", "OK 3q2+\n");
    assert_reply("b64write 0x1001 3 3q2+", "OK\n");
    assert_reply("read 0x1000 4", "OK 0xdedeadbe\n");
    assert_reply("memset 0x1000 2 0x77", "OK\n");
    assert_reply("read 0x1000 4", "OK 0x7777adbe\n");
    /* Beyond the end of RAM: all ones, writes go nowhere. */
    assert_reply("memset 0x4fff 3 1", "OK\n");
    assert_reply("read 0x4ffe 4", "OK 0x0001ffff\n");
    teardown();
}

static void test_every_write_marks(void)
{
    static const char *const lines[] = {
        "writeb 0x2000 1", "writew 0x2002 1", "writel 0x2004 1",
        "writeq 0x2008 1", "write 0x2000 1 0x01", "memset 0x2000 1 0",
        "b64write 0x2000 1 AA==",
    };

    setup();
    g_assert_true(dirty_client_start(&vm->ram, DIRTY_CLIENT_MIGRATION, false,
                                     NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(lines); i++) {
        assert_reply(lines[i], "OK\n");
        g_assert_cmpuint(dirty_bitmap_count(block, DIRTY_CLIENT_MIGRATION),
                         ==, 1);
        g_assert_true(dirty_bitmap_take(block, DIRTY_CLIENT_MIGRATION, 1));
    }
    assert_reply("readq 0x2000", "OK 0x0000000100010000\n");
    g_assert_cmpuint(dirty_bitmap_count(block, DIRTY_CLIENT_MIGRATION), ==, 0);
    assert_reply("writel 0x2ffe 0", "OK\n");
    g_assert_cmpuint(dirty_bitmap_count(block, DIRTY_CLIENT_MIGRATION), ==, 2);
    dirty_client_stop(&vm->ram, DIRTY_CLIENT_MIGRATION);
    teardown();
}

static void test_ports_reach_the_device(void)
{
    setup();
    assert_reply("outb 0x81 0x12", "OK\n");
    g_assert_cmphex(port_value, ==, UINT64_C(0x100000012));
    port_value = 0xabcd;
    assert_reply("inb 0x80", "OK 0x00cd\n");
    assert_reply("inw 0x80", "OK 0xabcd\n");
    assert_reply("outl 0x80 0xffffffff", "OK\n");
    assert_reply("inl 0x80", "OK 0xffffffff\n");
    assert_reply("inb 0x3f8", "OK 0x00ff\n");
    assert_refused("inb 0x10000", "ERR ");
    teardown();
}

static void test_clock_moves_by_hand_only(void)
{
    setup();
    assert_refused("clock_step 1", "FAIL ");
    vm_clock_set_manual(vm, true);
    assert_reply("clock_step", "OK 0\n");
    assert_reply("clock_step 100", "OK 100\n");
    assert_reply("clock_set 250", "OK 250\n");
    g_assert_cmpint(vm_clock_ns(vm), ==, 250);
    assert_refused("clock_set 249", "ERR ");
    assert_refused("clock_step 0xffffffffffffffff", "ERR ");
    teardown();
}

static void test_bad_lines_are_answered(void)
{
    static const char *const bad[] = {
        "readb", "readb 1 2", "readb x", "readb -1", "readb 0x", "writeb 1",
        "writeb 1 2 3", "read 0 0", "read 0 0x1000001", "read 1 zz",
        "read 0xffffffffffffffff 2", "write 0x1000 1 0x1",
        "write 0x1000 1 0xzz", "write 0x1000 1", "memset 0x1000 0 1",
        "memset 0x1000 17000000 1", "b64read 0x1000 0",
        "b64write 0x1000 2 AA==", "endianness now", "clock_set",
        "writeb 1 2 3 4 5 6 7 8",
    };

    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_refused(bad[i], "ERR ");
    }
    assert_refused("nosuch 1", "FAIL ");
    assert_refused("irq_intercept_in ioapic", "FAIL ");
    assert_reply("", "");
    assert_reply("   ", "");
    assert_reply("  readb   0x9000  ", "OK 0x00000000000000ff\n");
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/qtest/" path, fn)
    T("numbers/round-trip", test_numbers_round_trip);
    T("bytes/round-trip", test_bytes_round_trip);
    T("writes/mark", test_every_write_marks);
    T("ports/reach-the-device", test_ports_reach_the_device);
    T("clock/moves-by-hand-only", test_clock_moves_by_hand_only);
    T("bad/answered", test_bad_lines_are_answered);
    return g_test_run();
}
