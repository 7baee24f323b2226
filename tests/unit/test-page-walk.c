/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables of every kind, written by hand into a small RAM, and the
 * addresses they give.
 */
#include <glib.h>

#include "system/big-lock.h"
#include "system/guest-access.h"
#include "system/vm.h"
#include "target/i386/page-walk.h"

#define PG (UINT64_C(1) << 31)
#define PSE (UINT64_C(1) << 4)
#define PAE (UINT64_C(1) << 5)
#define LA57 (UINT64_C(1) << 12)
#define LMA (UINT64_C(1) << 10)
#define P 1
#define PS 0x80

static Vm *vm;

static void setup(void)
{
    RAMBlock *block;

    big_lock();
    vm = vm_new();
    block = ram_list_add_anon(&vm->ram, "ram", 0x10000, NULL);
    memory_map_begin(vm->map);
    g_assert_cmpuint(memory_map_add_ram(vm->map, 0, 0x10000, block, 0, false,
                                        NULL), >, 0);
    g_assert_true(memory_map_commit(vm->map, NULL));
}

static void teardown(void)
{
    vm_free(vm);
    big_unlock();
}

/* Entry @index of the table at @table. */
static void put(uint64_t table, unsigned index, uint64_t entry, unsigned bytes)
{
    g_assert_cmpuint(guest_write(vm->map, table + index * bytes, &entry,
                                 bytes), ==, bytes);
}

static void assert_maps(const X86CpuState *s, uint64_t gva, uint64_t gpa)
{
    uint64_t got = ~UINT64_C(0);

    g_assert_true(x86_translate(s, vm->map, gva, &got));
    g_assert_cmphex(got, ==, gpa);
}

static void assert_unmapped(const X86CpuState *s, uint64_t gva)
{
    uint64_t got = 1234;

    g_assert_false(x86_translate(s, vm->map, gva, &got));
    g_assert_cmpuint(got, ==, 1234);
}

static void test_walk_without_paging(void)
{
    X86CpuState s = { .cr0 = 1 };

    setup();
    assert_maps(&s, 0x123456789, 0x23456789);
    teardown();
}

static void test_walk_32_bit(void)
{
    X86CpuState s = { .cr0 = PG | 1, .cr3 = 0x1018 };

    setup();
    put(0x1000, 1, 0x2000 | P, 4);
    put(0x1000, 2, 0x00800000 | PS | P | 3 << 13, 4);
    put(0x1000, 3, 0xf0000000 | P, 4); /* a table beyond RAM */
    put(0x2000, 5, 0xabcde000 | P | 0xf00, 4);
    assert_maps(&s, 0x00405123, 0xabcde123);
    assert_unmapped(&s, 0x00406000);
    assert_unmapped(&s, 0x00000000);
    assert_unmapped(&s, 0x00c00000);
    s.cr4 = PSE;
    assert_maps(&s, 0x00812345, UINT64_C(0x300812345));
    teardown();
}

static void test_walk_pae(void)
{
    X86CpuState s = { .cr0 = PG | 1, .cr4 = PAE, .cr3 = 0x1020 };

    setup();
    put(0x1020, 3, 0x2000 | P, 8);
    put(0x2000, 511, 0x3000 | P, 8);
    put(0x2000, 1, UINT64_C(0x8000000123400000) | PS | P, 8);
    put(0x3000, 511, UINT64_C(0x80000fedcba98000) | P, 8);
    assert_maps(&s, 0xffffffff, UINT64_C(0xfedcba98fff));
    assert_maps(&s, 0xc0212345, UINT64_C(0x123412345));
    assert_unmapped(&s, 0x00000000);
    assert_unmapped(&s, 0xffffe000);
    teardown();
}

static void test_walk_long_mode(void)
{
    X86CpuState s = { .cr0 = PG | 1, .cr4 = PAE, .efer = LMA,
                      .cr3 = 0x1fff };

    setup();
    put(0x1000, 511, 0x2000 | P, 8);
    put(0x1000, 0, 0x5000 | P, 8);
    put(0x2000, 510, 0x3000 | P, 8);
    put(0x2000, 1, 0x40000000 | PS | P, 8);
    put(0x3000, 2, 0x4000 | P, 8);
    put(0x3000, 3, 0x00600000 | PS | P, 8);
    put(0x4000, 7, 0x9000 | P, 8);
    put(0x5000, 0, 0x3000 | P, 8);
    assert_maps(&s, UINT64_C(0xffffffff80407abc), 0x9abc);
    assert_maps(&s, UINT64_C(0xffffffff80612345), 0x612345);
    assert_maps(&s, UINT64_C(0xffffff8052345678), 0x52345678);
    assert_maps(&s, UINT64_C(0x407123), 0x9123);
    assert_unmapped(&s, UINT64_C(0x0000008000000000));
    s.cr4 |= LA57;
    put(0x6000, 256, 0x1000 | P, 8);
    s.cr3 = 0x6000;
    assert_maps(&s, UINT64_C(0xff00000000407123), 0x9123);
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/page-walk/" path, fn)
    T("no-paging/own-address", test_walk_without_paging);
    T("32-bit/pages-and-large", test_walk_32_bit);
    T("pae/pages-and-large", test_walk_pae);
    T("long-mode/four-and-five-levels", test_walk_long_mode);
    return g_test_run();
}
