/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATA registers and the state of a channel, for the files of the IDE disk:
 *   ide.c        the ports: registers, selection, interrupt, reset
 *   ide-cmd.c    what the commands do
 *   ide-vmstate.c  how a channel travels
 */
#ifndef HW_IDE_REGS_H
#define HW_IDE_REGS_H

#include <stdbool.h>
#include <stdint.h>

#include "hw/board-internal.h"
#include "hw/disk.h"
#include "migration/vmstate.h"
#include "system/vm.h"

enum {
    ATA_DATA = 0, ATA_ERROR = 1 /* feature */, ATA_COUNT = 2, ATA_LBA_LOW = 3,
    ATA_LBA_MID = 4, ATA_LBA_HIGH = 5, ATA_DEVICE = 6,
    ATA_STATUS = 7 /* command */,

    STATUS_ERR = 0x01, STATUS_DRQ = 0x08, STATUS_DSC = 0x10,
    STATUS_DRDY = 0x40, STATUS_BSY = 0x80,

    ERROR_DIAG_OK = 0x01, ERROR_ABRT = 0x04, ERROR_IDNF = 0x10,
    ERROR_UNC = 0x40,

    DEVICE_SLAVE = 0x10, DEVICE_LBA = 0x40, DEVICE_FIXED = 0xa0,

    CONTROL_NIEN = 0x02, CONTROL_SRST = 0x04, CONTROL_HOB = 0x80,
};

/* Sectors that a READ or WRITE MULTIPLE moves per interrupt, at most. */
#define ATA_MAX_MULTIPLE 16
#define ATA_BUFFER_BYTES (ATA_MAX_MULTIPLE * SECTOR_BYTES)

/* What the data port is being used for. Values travel. */
typedef enum AtaTransfer {
    ATA_TRANSFER_NONE = 0,
    ATA_TRANSFER_IN = 1,      /* IDENTIFY: one block to the guest, then done */
    ATA_TRANSFER_READ = 2,    /* sectors to the guest */
    ATA_TRANSFER_WRITE = 3,   /* sectors from the guest */
} AtaTransfer;

/* All guarded by the big lock. */
typedef struct AtaUnit {
    Disk *disk;               /* NULL: nothing attached */
    uint64_t sectors;         /* the disk's, 0 if none; must match on arrival */
    uint8_t feature, error, status, device;
    /* Each with what was in it before the last write ("previous"), which is
     * how 48-bit commands get their upper halves. */
    uint8_t count, count_prev, lba_low, lba_low_prev, lba_mid, lba_mid_prev,
        lba_high, lba_high_prev;
    uint8_t multiple;         /* of SET MULTIPLE; 0: not set */
    uint8_t heads, secs;      /* of INITIALIZE DEVICE PARAMETERS */
    /* The transfer in flight. */
    uint8_t transfer;         /* AtaTransfer */
    uint8_t lba48;            /* report the position in 48-bit form */
    uint8_t block;            /* sectors per DRQ */
    uint32_t left;            /* sectors not yet moved, buffered ones too */
    uint64_t lba;             /* of the first of these */
    uint32_t pos, len;        /* bytes in the buffer: done, all */
    uint8_t buffer[ATA_BUFFER_BYTES];
} AtaUnit;

typedef struct AtaChannel {
    Vm *vm;
    unsigned index, irq;
    AtaUnit units[2];
    uint8_t selected;         /* 0 or 1 */
    uint8_t control;
    uint8_t irq_pending;
    bool loading;             /* a load has begun and not succeeded: nothing
                                 here can be trusted, the ports are dead */
} AtaChannel;

extern const VmStateDesc ide_vmstate;

/** ata_selected() - the unit that DEVICE selects; it may have no disk. */
AtaUnit *ata_selected(AtaChannel *channel);

/** ata_raise_irq(), ata_lower_irq() - INTRQ, gated by nIEN */
void ata_raise_irq(AtaChannel *channel);
void ata_lower_irq(AtaChannel *channel);

/** ata_signature() - registers as after a reset or diagnosis. */
void ata_signature(AtaUnit *unit);

/** ata_command() - the guest wrote the command register of a unit that has a
 *  disk and is not busy. */
void ata_command(AtaChannel *channel, AtaUnit *unit, uint8_t command);

/** ata_data_read(), ata_data_write() - @size bytes through the data port;
 *  without a transfer in that direction zeros, or nothing */
uint32_t ata_data_read(AtaChannel *channel, AtaUnit *unit, unsigned size);
void ata_data_write(AtaChannel *channel, AtaUnit *unit, uint32_t value,
                    unsigned size);

#endif
