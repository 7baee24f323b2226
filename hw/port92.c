/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A (0x92): bit 1 is line A20, bit 0 resets the machine
 * when it goes from 0 to 1. A20 is always open here: the bit can be written
 * and read, no address is ever wrapped. Bits 2 to 7 read as written.
 *
 * State: section "port92", version 1, one byte, as QEMU's.
 */
#include "hw/board-internal.h"
#include "migration/vmstate.h"
#include "system/vm.h"
#include "trace/hw.h"

enum { PORT92_RESET = 1, PORT92_A20 = 2 };

typedef struct Port92 {
    Vm *vm;
    uint8_t outport;
} Port92;

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    Port92 *p = opaque;

    return p->outport;
}

static void port92_write(void *opaque, uint64_t offset, uint64_t value,
                         unsigned size)
{
    Port92 *p = opaque;
    uint8_t old = p->outport;

    p->outport = value;
    if (~old & value & PORT92_RESET) {
        trace_port92_reset(value);
        vm_reset_request(p->vm, SHUTDOWN_CAUSE_GUEST_RESET);
    }
}

static void port92_reset(void *opaque, bool wakeup)
{
    Port92 *p = opaque;

    p->outport = PORT92_A20;
}

static const IoRegionOps port92_ops = {
    .read = port92_read,
    .write = port92_write,
    .max_access = 1,
};

static const VmStateDesc port92_vmstate = {
    .name = "port92",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(Port92, outport),
        VMSTATE_END
    },
};

bool port92_create(Board *board, GError **error)
{
    Port92 *p = g_new0(Port92, 1);

    p->vm = board->vm;
    port92_reset(p, false);
    board_keep(board, p, g_free);
    if (!board_add_ports(board, 0x92, 1, &port92_ops, p, "port92", error)) {
        return false;
    }
    vm_reset_register(board->vm, port92_reset, p);
    vmstate_register(board->vm->vmstate, &port92_vmstate, 0, p);
    return true;
}
