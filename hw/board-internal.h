/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of hw/ know of the board they are put on, and the makers of
 * its devices. All makers run at start-up, under the big lock, between
 * memory_map_begin() and memory_map_commit().
 */
#ifndef HW_BOARD_INTERNAL_H
#define HW_BOARD_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/board.h"
#include "system/memory-map.h"
#include "util/keyval.h"

typedef struct Vm Vm;
typedef struct Disk Disk; /* hw/disk.h */

/* Interrupt lines, as on every PC. */
enum {
    IRQ_SERIAL_ODD = 4,   /* first and third serial port */
    IRQ_SERIAL_EVEN = 3,  /* second and fourth */
    IRQ_ACPI = 9,
    IRQ_IDE_PRIMARY = 14,
    IRQ_IDE_SECONDARY = 15,
};

#define IDE_UNITS 4  /* two channels with a master and a slave each */

typedef struct Board {
    Vm *vm;
    const BoardConfig *config;   /* while board_create() runs, else NULL */
    RAMBlock *ram;
    Disk *disks[IDE_UNITS];      /* NULL: nothing attached; owned */
    unsigned n_disks;            /* they are filled in order */
    struct { void *device; GDestroyNotify destroy; } parts[16];
    unsigned n_parts;
    unsigned n_framebuffers;
} Board;

/** board_keep() - @device belongs to the board and ends with it. */
void board_keep(Board *board, void *device, GDestroyNotify destroy);

/** board_add_ports() - claim ports for a device.
 *  Errors: taken already; @name and the range are named. */
bool board_add_ports(Board *board, uint64_t base, uint64_t size,
                     const IoRegionOps *ops, void *opaque, const char *name,
                     GError **error);

/** serial_create() - a 16550 at @base. @index: 0..3, its instance on the
 *  wire. Errors: ports are taken, @chr has a frontend already. */
bool serial_create(Board *board, unsigned index, uint16_t base, unsigned irq,
                   Chardev *chr, GError **error);

/** port92_create() - system control port A. */
bool port92_create(Board *board, GError **error);

/** acpi_pm_create() - the PM1 block at 0x600 and the APM ports at 0xb2. */
bool acpi_pm_create(Board *board, GError **error);

/** ide_create() - the channels that board->disks calls for. */
bool ide_create(Board *board, GError **error);

/** debug_exit_create() - isa-debug-exit. Errors: ports out of range, taken. */
bool debug_exit_create(Board *board, KeyVal *options, GError **error);

/**
 * framebuffer_create() - tidemark-fb
 * Errors:  its memory's size, or ports out of range or taken; no memory; more
 *          than a board takes.
 */
bool framebuffer_create(Board *board, KeyVal *options, GError **error);

/** boot_reset_register() - load the boot sector and start the first vCPU in
 *  it, now and after every reset; to be registered last. */
void boot_reset_register(Board *board);

/** device_create() - what one -device asks for.
 *  Errors: unknown driver, property or drive; the maker's own. */
bool device_create(Board *board, KeyVal *options, GError **error);

/** devices_attach_drives() - give drives with if=ide that no device has taken
 *  a disk of their own. Errors: cannot be opened; no unit is free. */
bool devices_attach_drives(Board *board, GError **error);

#endif
