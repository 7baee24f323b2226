/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device asks of the board it is made for: to be kept, and ports.
 */
#include "hw/board-internal.h"

#include "system/vm.h"

void board_keep(Board *board, void *device, GDestroyNotify destroy)
{
    g_assert(board->n_parts < G_N_ELEMENTS(board->parts));
    board->parts[board->n_parts].device = device;
    board->parts[board->n_parts++].destroy = destroy;
}

bool board_add_ports(Board *board, uint64_t base, uint64_t size,
                     const IoRegionOps *ops, void *opaque, const char *name,
                     GError **error)
{
    if (!memory_map_add_io(board->vm->map, IO_SPACE_PORT, base, size, ops,
                           opaque, name, error)) {
        g_prefix_error(error, "%s: ", name);
        return false;
    }
    return true;
}
