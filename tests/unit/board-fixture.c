/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board for tests of its devices; see board-fixture.h.
 */
#include "tests/unit/board-fixture.h"

#include "accel/accel.h"
#include "io/channel-kinds.h"
#include "migration/vmstate.h"
#include "system/big-lock.h"

static void drive_free(void *opaque)
{
    DriveConfig *drive = opaque;

    g_free(drive->id);
    g_free(drive->path);
    g_free(drive->interface);
    g_free(drive);
}

BoardFixture *board_fixture_new(void)
{
    g_autoptr(GPtrArray) choices = g_ptr_array_new();
    g_autoptr(KeyVal) qtest = keyval_parse("qtest", "accel", NULL);
    g_autoptr(GError) error = NULL;
    BoardFixture *f = g_new0(BoardFixture, 1);

    f->vm = vm_new();
    big_lock_attach_main_loop();
    g_ptr_array_add(choices, qtest);
    accel_configure(f->vm, choices, NULL, &error);
    g_assert_no_error(error);
    f->vm->accel->options = NULL;
    f->config.type = machine_type_find("pc");
    f->config.ram_bytes = 1 << 20;
    f->consoles = consoles_new();
    f->config.consoles = f->consoles;
    f->config.devices =
        g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free);
    f->config.drives = g_ptr_array_new_with_free_func(drive_free);
    return f;
}

void board_fixture_device(BoardFixture *f, const char *options)
{
    KeyVal *kv = keyval_parse(options, "driver", NULL);

    g_assert_nonnull(kv);
    g_ptr_array_add(f->config.devices, kv);
}

void board_fixture_drive(BoardFixture *f, const char *id, const char *path,
                         const char *interface)
{
    DriveConfig *drive = g_new0(DriveConfig, 1);

    drive->id = g_strdup(id);
    drive->path = g_strdup(path);
    drive->interface = g_strdup(interface);
    g_ptr_array_add(f->config.drives, drive);
}

void board_fixture_build(BoardFixture *f)
{
    g_autoptr(GError) error = NULL;

    board_create(f->vm, &f->config, &error);
    g_assert_no_error(error);
    cpus_create(f->vm, 1, &error);
    g_assert_no_error(error);
    g_assert_true(vm_reset(f->vm, false, &error));
}

void board_fixture_free(BoardFixture *f)
{
    if (runstate_is_running(f->vm)) {
        vm_stop(f->vm, RUN_STATE_PAUSED);
    }
    cpus_destroy(f->vm);
    board_destroy(f->vm);
    consoles_free(f->consoles);
    accel_free(f->vm->accel);
    vm_free(f->vm);
    g_ptr_array_unref(f->config.devices);
    g_ptr_array_unref(f->config.drives);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
    g_free(f);
}

uint8_t inb(BoardFixture *f, uint16_t port)
{
    return memory_map_io_read(f->vm->map, IO_SPACE_PORT, port, 1);
}

uint16_t inw(BoardFixture *f, uint16_t port)
{
    return memory_map_io_read(f->vm->map, IO_SPACE_PORT, port, 2);
}

uint32_t inl(BoardFixture *f, uint16_t port)
{
    return memory_map_io_read(f->vm->map, IO_SPACE_PORT, port, 4);
}

void outb(BoardFixture *f, uint16_t port, uint8_t value)
{
    memory_map_io_write(f->vm->map, IO_SPACE_PORT, port, value, 1);
}

void outw(BoardFixture *f, uint16_t port, uint16_t value)
{
    memory_map_io_write(f->vm->map, IO_SPACE_PORT, port, value, 2);
}

void outl(BoardFixture *f, uint16_t port, uint32_t value)
{
    memory_map_io_write(f->vm->map, IO_SPACE_PORT, port, value, 4);
}

GBytes *board_fixture_save(BoardFixture *f, const char *name,
                           uint32_t instance)
{
    VmStateEntry *entry = vmstate_registry_find(f->vm->vmstate, name,
                                                instance);
    Channel *buffer = channel_buffer_new(NULL, 0);
    g_autoptr(Stream) s = stream_new_output(buffer);
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    GBytes *bytes;
    size_t n;

    g_assert_nonnull(entry);
    vmstate_save(s, entry->desc, entry->opaque, NULL, &error);
    g_assert_no_error(error);
    stream_flush(s);
    g_assert_null(stream_error(s));
    data = channel_buffer_data(buffer, &n);
    bytes = g_bytes_new(data, n);
    channel_unref(buffer);
    return bytes;
}

bool board_fixture_load(BoardFixture *f, const char *name, uint32_t instance,
                        const void *body, size_t n, GError **error)
{
    VmStateEntry *entry = vmstate_registry_find(f->vm->vmstate, name,
                                                instance);
    Channel *buffer = channel_buffer_new(body, n);
    g_autoptr(Stream) s = stream_new_input(buffer);

    g_assert_nonnull(entry);
    channel_unref(buffer);
    return vmstate_load(s, entry->desc, entry->opaque, entry->desc->version,
                        error);
}
