/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware would do: the first sector of the first disk goes to 0x7c00
 * and the first vCPU starts in it, in real mode with DL = 0x80. This happens
 * at power-on, at every reset and at a wake-up from S3, where the rest of RAM
 * is kept. Without a disk that has the boot signature there is nothing to
 * start; the vCPU then meets a halt loop in the same place.
 *
 * A machine that waits for an incoming migration leaves RAM alone: what
 * belongs there comes with the stream, or stands there already, in memory
 * that is shared with a source whose guest still runs in it.
 */
#include <string.h>

#include "hw/board-internal.h"
#include "hw/disk.h"
#include "system/guest-access.h"
#include "system/runstate.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "trace/hw.h"

#define BOOT_GPA 0x7c00
#define BOOT_DRIVE 0x80

static void boot_load_sector(Board *board)
{
    static const uint8_t halt_loop[] = { 0xfa, 0xf4, 0xeb, 0xfd };
    uint8_t sector[SECTOR_BYTES] = { 0 };
    Disk *disk = board->disks[0];
    bool loaded = disk && disk_read(disk, 0, 1, sector) == 0 &&
        sector[510] == 0x55 && sector[511] == 0xaa;

    if (!loaded) {
        memset(sector, 0, sizeof(sector));
        memcpy(sector, halt_loop, sizeof(halt_loop));
    }
    trace_board_boot(disk ? disk->path : "", loaded);
    guest_write(board->vm->map, BOOT_GPA, sector, sizeof(sector));
}

static void boot_reset(void *opaque, bool wakeup)
{
    Board *board = opaque;
    GPtrArray *vcpus = board->vm->vcpus;

    if (runstate_get(board->vm) != RUN_STATE_INMIGRATE) {
        boot_load_sector(board);
    }
    for (guint i = 0; i < vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(vcpus, i);

        x86_cpu_reset(vcpu->state);
        if (i == 0) { /* the others wait to be started by it */
            x86_cpu_set_boot_sector(vcpu->state, BOOT_DRIVE);
        }
    }
}

void boot_reset_register(Board *board)
{
    vm_reset_register(board->vm, boot_reset, board);
}
