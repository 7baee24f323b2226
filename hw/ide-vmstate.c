/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How an IDE channel travels: section "ide", version 1, one instance per
 * channel, own layout. A transfer in flight is a subsection of the channel
 * ("ide/transfer", for both units), so that an idle channel costs 50 bytes.
 */
#include <string.h>

#include "hw/ide-regs.h"
#include "util/error.h"

static const VmStateDesc ata_unit_vmstate = {
    .name = "ata-unit",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U64(AtaUnit, sectors),
        VMSTATE_U8(AtaUnit, feature),
        VMSTATE_U8(AtaUnit, error),
        VMSTATE_U8(AtaUnit, status),
        VMSTATE_U8(AtaUnit, device),
        VMSTATE_U8(AtaUnit, count),
        VMSTATE_U8(AtaUnit, count_prev),
        VMSTATE_U8(AtaUnit, lba_low),
        VMSTATE_U8(AtaUnit, lba_low_prev),
        VMSTATE_U8(AtaUnit, lba_mid),
        VMSTATE_U8(AtaUnit, lba_mid_prev),
        VMSTATE_U8(AtaUnit, lba_high),
        VMSTATE_U8(AtaUnit, lba_high_prev),
        VMSTATE_U8(AtaUnit, multiple),
        VMSTATE_U8(AtaUnit, heads),
        VMSTATE_U8(AtaUnit, secs),
        VMSTATE_END
    },
};

static const VmStateDesc ata_transfer_vmstate = {
    .name = "ata-transfer",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(AtaUnit, transfer),
        VMSTATE_U8(AtaUnit, lba48),
        VMSTATE_U8(AtaUnit, block),
        VMSTATE_U32(AtaUnit, left),
        VMSTATE_U64(AtaUnit, lba),
        VMSTATE_U32(AtaUnit, pos),
        VMSTATE_U32(AtaUnit, len),
        VMSTATE_BUFFER(AtaUnit, buffer),
        VMSTATE_END
    },
};

static bool ide_transfer_needed(void *opaque)
{
    AtaChannel *channel = opaque;

    return channel->units[0].transfer || channel->units[1].transfer;
}

static const VmStateDesc ide_transfer_vmstate = {
    .name = "ide/transfer",
    .version = 1,
    .minimum_version = 1,
    .needed = ide_transfer_needed,
    .fields = (const VmStateField[]) {
        VMSTATE_STRUCT_ARRAY(AtaChannel, units, 2, ata_transfer_vmstate),
        VMSTATE_END
    },
};

static void ata_forget_transfer(AtaUnit *unit)
{
    unit->transfer = ATA_TRANSFER_NONE;
    unit->left = unit->pos = unit->len = 0;
}

static bool ide_pre_load(void *opaque, GError **error)
{
    AtaChannel *channel = opaque;

    channel->loading = true;
    ata_forget_transfer(&channel->units[0]);
    ata_forget_transfer(&channel->units[1]);
    return true;
}

/* A transfer must be one that ata_transfer_begin() could have begun. */
static bool ata_transfer_is_sane(const AtaUnit *unit)
{
    uint64_t sectors = unit->disk ? unit->disk->sectors : 0;

    switch (unit->transfer) {
    case ATA_TRANSFER_NONE:
        return unit->pos == 0 && unit->len == 0;
    case ATA_TRANSFER_IN:
        return unit->disk && unit->len == SECTOR_BYTES &&
            unit->pos < unit->len;
    case ATA_TRANSFER_WRITE:
        if (unit->disk && unit->disk->readonly) {
            return false;
        }
        /* fallthrough */
    case ATA_TRANSFER_READ:
        return unit->block >= 1 && unit->block <= ATA_MAX_MULTIPLE &&
            unit->left >= 1 && unit->lba < sectors &&
            unit->left <= sectors - unit->lba &&
            unit->len == MIN(unit->left, unit->block) * SECTOR_BYTES &&
            unit->pos < unit->len;
    default:
        return false;
    }
}

static bool ata_unit_check(AtaUnit *unit, unsigned index, GError **error)
{
    uint64_t sectors = unit->disk ? unit->disk->sectors : 0;

    if (unit->sectors != sectors) {
        tm_error_set(error, "unit %u has %" G_GUINT64_FORMAT " sectors here "
                     "and %" G_GUINT64_FORMAT " in the stream", index, sectors,
                     unit->sectors);
        return false;
    }
    if (unit->multiple > ATA_MAX_MULTIPLE ||
        (unit->multiple & (unit->multiple - 1)) || unit->heads > 16 ||
        (unit->disk && (unit->heads == 0 || unit->secs == 0))) {
        tm_error_set(error, "unit %u: no such geometry or multiple", index);
        return false;
    }
    if (!ata_transfer_is_sane(unit)) {
        tm_error_set(error, "unit %u: no such transfer", index);
        return false;
    }
    unit->status &= ~STATUS_BSY; /* commands are never half done */
    return true;
}

static bool ide_post_load(void *opaque, int version, GError **error)
{
    AtaChannel *channel = opaque;

    for (unsigned i = 0; i < 2; i++) {
        if (!ata_unit_check(&channel->units[i], i, error)) {
            return false;
        }
    }
    channel->selected &= 1;
    channel->loading = false;
    if (channel->irq_pending) {
        ata_raise_irq(channel);
    } else {
        ata_lower_irq(channel);
    }
    return true;
}

static const VmStateDesc *const ide_subsections[] = {
    &ide_transfer_vmstate,
    NULL
};

const VmStateDesc ide_vmstate = {
    .name = "ide",
    .version = 1,
    .minimum_version = 1,
    .pre_load = ide_pre_load,
    .post_load = ide_post_load,
    .subsections = ide_subsections,
    .fields = (const VmStateField[]) {
        VMSTATE_U8(AtaChannel, selected),
        VMSTATE_U8(AtaChannel, control),
        VMSTATE_U8(AtaChannel, irq_pending),
        VMSTATE_STRUCT_ARRAY(AtaChannel, units, 2, ata_unit_vmstate),
        VMSTATE_END
    },
};
