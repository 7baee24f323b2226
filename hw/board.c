/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board: RAM, fixed devices, what -device and -drive ask for, and the
 * boot sector. "none" has nothing but RAM, and that only when asked for.
 *
 *   0x0000_0000  RAM up to 3 GiB; the VGA hole at 0xa0000 is RAM, too
 *   0xc000_0000  nothing (the interrupt controllers' pages of a kernel
 *                irqchip lie here)
 *   0x1_0000_0000  what RAM there is beyond 3 GiB
 */
#include "hw/board-internal.h"

#include "hw/disk.h"
#include "system/vm.h"
#include "trace/hw.h"
#include "util/error.h"

#define RAM_LOW_MAX UINT64_C(0xc0000000)
#define RAM_HIGH_BASE UINT64_C(0x100000000)

static const struct { uint16_t base; unsigned irq; } serial_ports[4] = {
    { 0x3f8, IRQ_SERIAL_ODD }, { 0x2f8, IRQ_SERIAL_EVEN },
    { 0x3e8, IRQ_SERIAL_ODD }, { 0x2e8, IRQ_SERIAL_EVEN },
};

static bool board_add_ram(Board *board, GError **error)
{
    const BoardConfig *config = board->config;
    uint64_t low = MIN(config->ram_bytes, RAM_LOW_MAX);
    uint64_t high = config->ram_bytes - low;
    Vm *vm = board->vm;

    vm->ram_bytes = config->ram_bytes;
    if (config->ram_bytes == 0) {
        return true;
    }
    board->ram = config->ram
        ? ram_list_add(&vm->ram, config->ram->id, config->ram, error)
        : ram_list_add_anon(&vm->ram, config->type->default_ram_id,
                            config->ram_bytes, error);
    if (!board->ram) {
        return false;
    }
    trace_board_ram(board->ram->name, low, high);
    return memory_map_add_ram(vm->map, 0, low, board->ram, 0, false, error) &&
        (high == 0 || memory_map_add_ram(vm->map, RAM_HIGH_BASE, high,
                                         board->ram, low, false, error));
}

static bool board_add_serials(Board *board, GError **error)
{
    for (unsigned i = 0; i < 4; i++) {
        Chardev *chr = board->config->serial[i];

        if (chr && !serial_create(board, i, serial_ports[i].base,
                                  serial_ports[i].irq, chr, error)) {
            return false;
        }
    }
    return true;
}

static bool board_add_devices(Board *board, GError **error)
{
    GPtrArray *devices = board->config->devices;

    for (guint i = 0; devices && i < devices->len; i++) {
        if (!device_create(board, g_ptr_array_index(devices, i), error)) {
            return false;
        }
    }
    return devices_attach_drives(board, error) && ide_create(board, error);
}

/* "none" has no bus to put anything on. */
static bool board_check_none(const BoardConfig *config, GError **error)
{
    if (config->devices && config->devices->len) {
        tm_error_set(error, "machine 'none' takes no -device");
        return false;
    }
    for (guint i = 0; config->drives && i < config->drives->len; i++) {
        DriveConfig *drive = g_ptr_array_index(config->drives, i);

        if (g_strcmp0(drive->interface, "none") != 0) {
            tm_error_set(error, "machine 'none' takes no -drive without "
                         "if=none");
            return false;
        }
    }
    return true;
}

static bool board_fill(Board *board, GError **error)
{
    if (!board_add_ram(board, error)) {
        return false;
    }
    if (!board->config->type->has_cpus) {
        return board_check_none(board->config, error);
    }
    if (!port92_create(board, error) || !acpi_pm_create(board, error) ||
        !board_add_serials(board, error) || !board_add_devices(board, error)) {
        return false;
    }
    boot_reset_register(board);
    return true;
}

bool board_create(Vm *vm, const BoardConfig *config, GError **error)
{
    Board *board = g_new0(Board, 1);
    bool filled;

    if (config->ram && config->ram->size_bytes != config->ram_bytes) {
        tm_error_set(error, "memory backend '%s' has another size than the "
                     "machine's RAM", config->ram->id);
        g_free(board);
        return false;
    }
    board->vm = vm;
    board->config = config;
    vm->board = board;
    memory_map_begin(vm->map);
    filled = board_fill(board, error);
    board->config = NULL;
    /* The bracket must be closed either way; the first error counts. */
    return memory_map_commit(vm->map, filled ? error : NULL) && filled;
}

void board_destroy(Vm *vm)
{
    Board *board = vm->board;

    if (!board) {
        return;
    }
    vm->board = NULL;
    while (board->n_parts > 0) {
        board->n_parts--;
        board->parts[board->n_parts].destroy(
            board->parts[board->n_parts].device);
    }
    for (unsigned i = 0; i < board->n_disks; i++) {
        disk_free(board->disks[i]);
    }
    g_free(board);
}
