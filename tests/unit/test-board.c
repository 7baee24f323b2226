/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board: where RAM is, how the guest starts, and what is refused.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "system/guest-access.h"
#include "target/i386/cpu-state.h"
#include "tests/unit/board-fixture.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static char *image_new(const void *data, size_t n)
{
    char *path;
    int fd = g_file_open_tmp("test-board-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, n), ==, n);
    close(fd);
    return path;
}

static void image_free(char *path)
{
    g_unlink(path);
    g_free(path);
}

static void boot_image_fill(uint8_t sector[512], uint8_t first)
{
    memset(sector, 0, 512);
    sector[0] = first;
    sector[510] = 0x55;
    sector[511] = 0xaa;
}

static void test_machines_have_names_and_aliases(void)
{
    unsigned defaults = 0;

    g_assert_cmpstr(machine_type_find("q35")->name, ==, "pc-q35-10.0");
    g_assert_cmpstr(machine_type_find("pc")->name, ==, "pc-i440fx-10.0");
    g_assert_cmpstr(machine_type_find("pc-q35-10.0")->alias, ==, "q35");
    g_assert_false(machine_type_find("none")->has_cpus);
    g_assert_null(machine_type_find("microvm"));
    for (const MachineType *t = machine_types(); t->name; t++) {
        defaults += t->is_default;
    }
    g_assert_cmpuint(defaults, ==, 1);
}

static void test_small_ram_is_one_piece_with_the_hole_filled(void)
{
    BoardFixture *f = board_fixture_new();
    MemorySection s;

    f->config.ram_bytes = 150 * MIB;
    board_fixture_build(f);
    g_assert_cmpuint(f->vm->ram_bytes, ==, 150 * MIB);
    g_assert_true(memory_map_find(f->vm->map, 0, &s));
    g_assert_cmphex(s.size, ==, 150 * MIB);
    g_assert_cmpstr(s.block->name, ==, "pc.ram");
    g_assert_cmpuint(guest_memset(f->vm->map, 0xa0000, 0x5a, 0x60000), ==,
                     0x60000);
    g_assert_false(memory_map_find(f->vm->map, 150 * MIB, &s));
    board_fixture_free(f);
}

static void test_large_ram_goes_on_above_4_gib(void)
{
    g_autoptr(GError) error = NULL;
    BoardFixture *f = board_fixture_new();
    MemorySection s;

    f->config.ram_bytes = 3 * GIB + 2 * MIB;
    if (!board_create(f->vm, &f->config, &error)) {
        g_test_skip(error->message); /* a host that does not overcommit */
        board_fixture_free(f);
        return;
    }
    g_assert_true(memory_map_find(f->vm->map, 3 * GIB - 4096, &s));
    g_assert_cmphex(s.size, ==, 4096);
    g_assert_false(memory_map_find(f->vm->map, 3 * GIB, &s));
    g_assert_false(memory_map_find(f->vm->map, 4 * GIB - 4096, &s));
    g_assert_true(memory_map_find(f->vm->map, 4 * GIB, &s));
    g_assert_cmphex(s.size, ==, 2 * MIB);
    g_assert_cmphex(s.offset, ==, 3 * GIB);
    g_assert_cmphex(memory_map_io_read(f->vm->map, IO_SPACE_MEMORY, 3 * GIB,
                                       4), ==, 0xffffffff);
    board_fixture_free(f);
}

static void test_backend_is_used_under_its_name(void)
{
    g_autoptr(GError) error = NULL;
    HostMemConfig want = { .id = "mem0", .kind = HOSTMEM_MEMFD,
                           .size_bytes = 2 * MIB, .share = true };
    HostMem *mem = hostmem_new(&want, &error);
    BoardFixture *f = board_fixture_new();

    g_assert_no_error(error);
    f->config.ram = mem;
    f->config.ram_bytes = 3 * MIB;
    g_assert_false(board_create(f->vm, &f->config, &error));
    g_assert_nonnull(strstr(error->message, "mem0"));
    g_clear_error(&error);
    f->config.ram_bytes = 2 * MIB;
    board_fixture_build(f);
    g_assert_nonnull(ram_list_find(&f->vm->ram, "mem0"));
    g_assert_null(ram_list_find(&f->vm->ram, "pc.ram"));
    board_fixture_free(f);
    hostmem_free(mem);
}

static uint8_t ram_byte(BoardFixture *f, uint64_t gpa)
{
    uint8_t byte = 0;

    g_assert_cmpuint(guest_read(f->vm->map, gpa, &byte, 1), ==, 1);
    return byte;
}

static void test_boot_sector_is_loaded_at_every_reset(void)
{
    uint8_t sector[512];
    BoardFixture *f = board_fixture_new();
    X86CpuState *state;
    char *path;

    boot_image_fill(sector, 0x90);
    path = image_new(sector, sizeof(sector));
    board_fixture_drive(f, "d0", path, "none");
    board_fixture_device(f, "ide-hd,drive=d0,secs=1,cyls=1,heads=1");
    board_fixture_build(f);
    state = ((Vcpu *)g_ptr_array_index(f->vm->vcpus, 0))->state;
    g_assert_cmphex(ram_byte(f, 0x7c00), ==, 0x90);
    g_assert_cmphex(ram_byte(f, 0x7dff), ==, 0xaa);
    g_assert_cmphex(state->rip, ==, 0x7c00);
    g_assert_cmphex(state->segs[X86_SEG_CS].base, ==, 0);
    g_assert_cmphex(state->segs[X86_SEG_DS].base, ==, 0);
    g_assert_cmphex(state->regs[X86_RDX] & 0xff, ==, 0x80);
    g_assert_cmphex(state->cr0 & 1, ==, 0);
    g_assert_cmphex(state->rflags & 0x200, ==, 0);

    /* A wake-up loads it again and keeps the rest of RAM. */
    guest_memset(f->vm->map, 0x7c00, 0, 512);
    guest_memset(f->vm->map, 0x80000, 0x66, 1);
    state->rip = 0x1234;
    state->cr0 |= 1;
    g_assert_true(vm_reset(f->vm, true, NULL));
    g_assert_cmphex(ram_byte(f, 0x7c00), ==, 0x90);
    g_assert_cmphex(ram_byte(f, 0x80000), ==, 0x66);
    g_assert_cmphex(state->rip, ==, 0x7c00);
    g_assert_cmphex(state->cr0 & 1, ==, 0);
    board_fixture_free(f);
    image_free(path);
}

/* What RAM holds may be shared with the source, whose guest runs in it. */
static void test_boot_leaves_ram_of_a_migration_alone(void)
{
    BoardFixture *f = board_fixture_new();

    board_fixture_build(f);
    guest_memset(f->vm->map, 0x7c00, 0x66, 512);
    g_assert_true(runstate_set(f->vm, RUN_STATE_INMIGRATE));
    g_assert_true(vm_reset(f->vm, false, NULL));
    g_assert_cmphex(ram_byte(f, 0x7c00), ==, 0x66);
    g_assert_cmphex(ram_byte(f, 0x7dff), ==, 0x66);
    board_fixture_free(f);
}

static void test_boot_without_signature_halts(void)
{
    uint8_t sector[512] = { 0x90 };
    char *path = image_new(sector, sizeof(sector));

    for (unsigned with_disk = 0; with_disk < 2; with_disk++) {
        BoardFixture *f = board_fixture_new();

        if (with_disk) {
            board_fixture_drive(f, NULL, path, "ide");
        }
        board_fixture_build(f);
        g_assert_cmphex(ram_byte(f, 0x7c00), ==, 0xfa); /* cli; hlt; jmp */
        g_assert_cmphex(ram_byte(f, 0x7c01), ==, 0xf4);
        board_fixture_free(f);
    }
    image_free(path);
}

static void test_drive_with_interface_ide_is_a_disk(void)
{
    uint8_t sector[512];
    BoardFixture *f = board_fixture_new();
    char *path;

    boot_image_fill(sector, 0x91);
    path = image_new(sector, sizeof(sector));
    board_fixture_drive(f, NULL, path, "ide");
    board_fixture_drive(f, "unused", "/nowhere", "none");
    board_fixture_build(f);
    g_assert_cmphex(ram_byte(f, 0x7c00), ==, 0x91);
    g_assert_cmphex(inb(f, 0x1f7), ==, 0x50);
    board_fixture_free(f);
    image_free(path);
}

static void test_no_disk_leaves_the_ports_floating(void)
{
    BoardFixture *f = board_fixture_new();

    board_fixture_build(f);
    g_assert_cmphex(inb(f, 0x1f7), ==, 0xff);
    g_assert_cmphex(inb(f, 0x3fd), ==, 0xff); /* no serial port either */
    board_fixture_free(f);
}

/* What -device and -drive cannot give is named. */
static void test_bad_devices_are_refused_by_name(void)
{
    static const struct { const char *device, *words; } cases[] = {
        { "no-such-device", "'no-such-device'" },
        { "ide-hd,drive=d0,lunch=yes", "lunch" },
        { "ide-hd,drive=d1", "'d1'" },
        { "ide-hd", "'drive'" },
        { "ide-hd,drive=d0,cyls=70000,heads=1,secs=1", "cyls" },
        { "ide-hd,drive=d0,heads=one", "heads" },
        { "ide-hd,drive=d0,heads=3", "'cyls'" },
        { "ide-hd,drive=d0,serial=123456789012345678901", "'serial'" },
        { "ide-hd,drive=gone", "/no/such/image" },
        { "ide-hd,drive=dir", "'/'" },
        { "isa-debug-exit,iobase=0xffff", "'iosize'" },
        { "isa-debug-exit,iobase=0x92", "isa-debug-exit" },
        { "isa-debug-exit,port=1", "port" },
    };
    uint8_t sector[512] = { 0 };
    char *path = image_new(sector, sizeof(sector));

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        BoardFixture *f = board_fixture_new();
        g_autoptr(GError) error = NULL;

        board_fixture_drive(f, "d0", path, "none");
        board_fixture_drive(f, "gone", "/no/such/image", "none");
        board_fixture_drive(f, "dir", "/", "none");
        ((DriveConfig *)g_ptr_array_index(f->config.drives, 2))->readonly =
            true;
        board_fixture_device(f, cases[i].device);
        g_assert_false(board_create(f->vm, &f->config, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, cases[i].words)) {
            g_test_message("%s: '%s' lacks '%s'", cases[i].device,
                           error->message, cases[i].words);
            g_test_fail();
        }
        board_fixture_free(f);
    }
    image_free(path);
}

static void test_drive_is_taken_once(void)
{
    uint8_t sector[512] = { 0 };
    char *path = image_new(sector, sizeof(sector));
    BoardFixture *f = board_fixture_new();
    g_autoptr(GError) error = NULL;

    board_fixture_drive(f, "d0", path, "none");
    board_fixture_device(f, "ide-hd,drive=d0");
    board_fixture_device(f, "ide-hd,drive=d0");
    g_assert_false(board_create(f->vm, &f->config, &error));
    g_assert_nonnull(strstr(error->message, "in use"));
    board_fixture_free(f);
    image_free(path);
}

static void test_five_disks_are_too_many(void)
{
    uint8_t sector[512] = { 0 };
    char *path = image_new(sector, sizeof(sector));

    for (unsigned n = 4; n <= 5; n++) {
        BoardFixture *f = board_fixture_new();
        g_autoptr(GError) error = NULL;

        for (unsigned i = 0; i < n; i++) {
            board_fixture_drive(f, NULL, path, "ide");
        }
        g_assert_cmpint(board_create(f->vm, &f->config, &error), ==, n == 4);
        board_fixture_free(f);
    }
    image_free(path);
}

static void test_two_boards_share_an_image(void)
{
    uint8_t sector[512];
    BoardFixture *f = board_fixture_new();
    g_autoptr(GError) error = NULL;
    char *path;

    boot_image_fill(sector, 0x92);
    path = image_new(sector, sizeof(sector));
    board_fixture_drive(f, "a", path, "ide");
    board_fixture_drive(f, "b", path, "ide");
    board_fixture_build(f);
    board_fixture_free(f);
    image_free(path);
}

static void test_none_takes_no_device(void)
{
    BoardFixture *f = board_fixture_new();
    g_autoptr(GError) error = NULL;

    f->config.type = machine_type_find("none");
    f->config.ram_bytes = 0;
    g_assert_true(board_create(f->vm, &f->config, &error));
    g_assert_cmpuint(f->vm->ram.blocks->len, ==, 0);
    board_fixture_free(f);

    f = board_fixture_new();
    f->config.type = machine_type_find("none");
    board_fixture_device(f, "isa-debug-exit");
    g_assert_false(board_create(f->vm, &f->config, &error));
    g_assert_nonnull(strstr(error->message, "'none'"));
    board_fixture_free(f);
}

static void test_help_names_every_property(void)
{
    g_autofree char *ide = device_help_text("ide-hd");

    g_assert_cmpstr(device_types()[0], ==, "ide-hd");
    g_assert_nonnull(strstr(ide, "drive=<str>"));
    g_assert_nonnull(strstr(ide, "secs="));
    g_assert_null(device_help_text("no-such-device"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/board/machines/names",
                    test_machines_have_names_and_aliases);
    g_test_add_func("/board/ram/small",
                    test_small_ram_is_one_piece_with_the_hole_filled);
    g_test_add_func("/board/ram/large", test_large_ram_goes_on_above_4_gib);
    g_test_add_func("/board/ram/backend",
                    test_backend_is_used_under_its_name);
    g_test_add_func("/board/boot/every-reset",
                    test_boot_sector_is_loaded_at_every_reset);
    g_test_add_func("/board/boot/leaves-ram-of-a-migration-alone",
                    test_boot_leaves_ram_of_a_migration_alone);
    g_test_add_func("/board/boot/no-signature",
                    test_boot_without_signature_halts);
    g_test_add_func("/board/drive/implicit",
                    test_drive_with_interface_ide_is_a_disk);
    g_test_add_func("/board/drive/none",
                    test_no_disk_leaves_the_ports_floating);
    g_test_add_func("/board/device/refused",
                    test_bad_devices_are_refused_by_name);
    g_test_add_func("/board/drive/once", test_drive_is_taken_once);
    g_test_add_func("/board/drive/five", test_five_disks_are_too_many);
    g_test_add_func("/board/drive/shared", test_two_boards_share_an_image);
    g_test_add_func("/board/none", test_none_takes_no_device);
    g_test_add_func("/board/help", test_help_names_every_property);
    return g_test_run();
}
