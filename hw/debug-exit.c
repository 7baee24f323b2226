/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a guest's write ends the program with exit status
 * (value << 1) | 1, so never 0. The device keeps nothing, so nothing travels.
 */
#include "hw/board-internal.h"
#include "system/vm.h"
#include "trace/hw.h"
#include "util/error.h"

#define DEBUG_EXIT_IOBASE 0x501
#define DEBUG_EXIT_IOSIZE 2

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value,
                             unsigned size)
{
    Vm *vm = opaque;

    trace_debug_exit(value);
    vm_shutdown_request_with_code(vm, SHUTDOWN_CAUSE_GUEST_SHUTDOWN,
                                  (int)((value << 1 | 1) & 0xff));
}

static const IoRegionOps debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .max_access = 4,
};

bool debug_exit_create(Board *board, KeyVal *options, GError **error)
{
    uint64_t iobase = DEBUG_EXIT_IOBASE, iosize = DEBUG_EXIT_IOSIZE;

    if (!keyval_get_uint64(options, "iobase", 0xffff, &iobase, error) ||
        !keyval_get_uint64(options, "iosize", 0x10000, &iosize, error)) {
        return false;
    }
    if (iosize == 0 || iobase + iosize > 0x10000) {
        tm_error_set(error, "'iosize' must be at least 1 and end below port "
                     "0x10000");
        return false;
    }
    return board_add_ports(board, iobase, iosize, &debug_exit_ops, board->vm,
                           "isa-debug-exit", error);
}
