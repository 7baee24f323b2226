/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE channels at 0x1f0/0x3f6 (line 14) and 0x170/0x376 (line 15), PIO
 * only. A channel that has no disk is not there at all: its ports float, as
 * those of an empty channel do. The registers of a channel are written to
 * both units; reads are answered by the selected one.
 *
 * Commands are carried out while the guest's port write waits, so BSY is
 * never seen.
 */
#include "hw/ide-regs.h"

#include "trace/hw.h"
#include "util/error.h"

AtaUnit *ata_selected(AtaChannel *channel)
{
    return &channel->units[channel->selected];
}

static void ata_update_irq(AtaChannel *channel)
{
    vm_irq_set(channel->vm, channel->irq,
               channel->irq_pending && !(channel->control & CONTROL_NIEN));
}

void ata_raise_irq(AtaChannel *channel)
{
    channel->irq_pending = 1;
    ata_update_irq(channel);
}

void ata_lower_irq(AtaChannel *channel)
{
    channel->irq_pending = 0;
    ata_update_irq(channel);
}

void ata_signature(AtaUnit *unit)
{
    unit->count = unit->lba_low = 1;
    unit->lba_mid = unit->lba_high = 0;
    unit->count_prev = unit->lba_low_prev = 0;
    unit->lba_mid_prev = unit->lba_high_prev = 0;
    unit->device = DEVICE_FIXED;
    unit->error = ERROR_DIAG_OK;
    unit->status = unit->disk ? STATUS_DRDY | STATUS_DSC : 0;
    unit->transfer = ATA_TRANSFER_NONE;
    unit->left = unit->pos = unit->len = 0;
}

/* Reset as by power, or by SRST in the control register. */
static void ata_channel_reset(AtaChannel *channel)
{
    for (unsigned i = 0; i < 2; i++) {
        AtaUnit *unit = &channel->units[i];

        ata_signature(unit);
        unit->feature = unit->multiple = 0;
        unit->heads = unit->disk ? unit->disk->heads : 0;
        unit->secs = unit->disk ? unit->disk->secs : 0;
    }
    channel->selected = 0;
    ata_lower_irq(channel);
}

static void ide_reset(void *opaque, bool wakeup)
{
    AtaChannel *channel = opaque;

    channel->control = 0;
    channel->loading = false;
    ata_channel_reset(channel);
}

/* Registers of an absent unit read as zero: status 0 says nobody is there. */
static uint8_t ata_read_reg(AtaChannel *channel, uint64_t offset)
{
    AtaUnit *unit = ata_selected(channel);
    bool hob = channel->control & CONTROL_HOB;

    if (!unit->disk && offset != ATA_DEVICE) {
        return 0;
    }
    switch (offset) {
    case ATA_ERROR:
        return unit->error;
    case ATA_COUNT:
        return hob ? unit->count_prev : unit->count;
    case ATA_LBA_LOW:
        return hob ? unit->lba_low_prev : unit->lba_low;
    case ATA_LBA_MID:
        return hob ? unit->lba_mid_prev : unit->lba_mid;
    case ATA_LBA_HIGH:
        return hob ? unit->lba_high_prev : unit->lba_high;
    case ATA_DEVICE:
        return unit->device;
    default:
        ata_lower_irq(channel); /* reading STATUS acknowledges */
        return unit->status;
    }
}

static void ata_push(uint8_t *reg, uint8_t *previous, uint8_t value)
{
    *previous = *reg;
    *reg = value;
}

static void ata_write_unit_reg(AtaUnit *unit, uint64_t offset, uint8_t value)
{
    switch (offset) {
    case ATA_ERROR:
        unit->feature = value;
        break;
    case ATA_COUNT:
        ata_push(&unit->count, &unit->count_prev, value);
        break;
    case ATA_LBA_LOW:
        ata_push(&unit->lba_low, &unit->lba_low_prev, value);
        break;
    case ATA_LBA_MID:
        ata_push(&unit->lba_mid, &unit->lba_mid_prev, value);
        break;
    case ATA_LBA_HIGH:
        ata_push(&unit->lba_high, &unit->lba_high_prev, value);
        break;
    case ATA_DEVICE:
        unit->device = value | DEVICE_FIXED;
        break;
    }
}

static void ata_write_reg(AtaChannel *channel, uint64_t offset, uint8_t value)
{
    channel->control &= ~CONTROL_HOB; /* as every write to the block does */
    if (offset == ATA_STATUS) {
        AtaUnit *unit = ata_selected(channel);

        if (unit->disk && !(unit->status & STATUS_BSY)) {
            ata_lower_irq(channel);
            ata_command(channel, unit, value);
        }
        return;
    }
    ata_write_unit_reg(&channel->units[0], offset, value);
    ata_write_unit_reg(&channel->units[1], offset, value);
    if (offset == ATA_DEVICE) {
        channel->selected = !!(value & DEVICE_SLAVE);
    }
}

static uint64_t ide_read(void *opaque, uint64_t offset, unsigned size)
{
    AtaChannel *channel = opaque;
    uint64_t value = 0;

    if (channel->loading) {
        return UINT64_MAX;
    }
    if (offset == ATA_DATA) {
        return ata_data_read(channel, ata_selected(channel), size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)ata_read_reg(channel, offset + i) << 8 * i;
    }
    return value;
}

static void ide_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    AtaChannel *channel = opaque;

    if (channel->loading) {
        return;
    }
    if (offset == ATA_DATA) {
        ata_data_write(channel, ata_selected(channel), value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        ata_write_reg(channel, offset + i, value >> 8 * i);
    }
}

/* Alternate status: as status, without acknowledging. */
static uint64_t ide_control_read(void *opaque, uint64_t offset, unsigned size)
{
    AtaChannel *channel = opaque;

    if (channel->loading) {
        return UINT64_MAX;
    }
    return ata_selected(channel)->disk ? ata_selected(channel)->status : 0;
}

static void ide_control_write(void *opaque, uint64_t offset, uint64_t value,
                              unsigned size)
{
    AtaChannel *channel = opaque;
    uint8_t old = channel->control;

    if (channel->loading) {
        return;
    }
    channel->control = value & (CONTROL_NIEN | CONTROL_SRST | CONTROL_HOB);
    if (old & ~channel->control & CONTROL_SRST) {
        ata_channel_reset(channel); /* reset ends: signature, not busy */
    } else if (channel->control & CONTROL_SRST) {
        ata_selected(channel)->status = STATUS_BSY;
    }
    ata_update_irq(channel);
}

static const IoRegionOps ide_ops = {
    .read = ide_read,
    .write = ide_write,
    .max_access = 4,
};

static const IoRegionOps ide_control_ops = {
    .read = ide_control_read,
    .write = ide_control_write,
    .max_access = 1,
};

static bool ide_channel_create(Board *board, unsigned index, GError **error)
{
    static const struct { uint16_t block, control; unsigned irq; } where[2] = {
        { 0x1f0, 0x3f6, IRQ_IDE_PRIMARY },
        { 0x170, 0x376, IRQ_IDE_SECONDARY },
    };
    AtaChannel *channel = g_new0(AtaChannel, 1);

    board_keep(board, channel, g_free);
    channel->vm = board->vm;
    channel->index = index;
    channel->irq = where[index].irq;
    for (unsigned i = 0; i < 2; i++) {
        Disk *disk = board->disks[2 * index + i];

        channel->units[i].disk = disk;
        channel->units[i].sectors = disk ? disk->sectors : 0;
    }
    if (!board_add_ports(board, where[index].block, 8, &ide_ops, channel,
                         "ide", error) ||
        !board_add_ports(board, where[index].control, 1, &ide_control_ops,
                         channel, "ide-control", error)) {
        return false;
    }
    ide_reset(channel, false);
    vm_reset_register(board->vm, ide_reset, channel);
    vmstate_register(board->vm->vmstate, &ide_vmstate, index, channel);
    return true;
}

bool ide_create(Board *board, GError **error)
{
    for (unsigned i = 0; i < 2; i++) {
        if (board->n_disks > 2 * i && !ide_channel_create(board, i, error)) {
            return false;
        }
    }
    return true;
}
