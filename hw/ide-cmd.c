/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATA commands. Each runs to its end, or to the point where data is due,
 * while the guest's write to the command register waits.
 *
 * A transfer moves blocks of one sector (or of SET MULTIPLE's number): the
 * buffer holds one block, DRQ says that it can be moved, and an interrupt
 * announces each block that is ready (reads) or was written (writes).
 */
#include <string.h>

#include "hw/ide-regs.h"
#include "trace/hw.h"

typedef struct AtaCommand {
    uint8_t code;
    void (*run)(AtaChannel *channel, AtaUnit *unit, bool lba48);
    bool lba48;
} AtaCommand;

/* The command is over; @error 0 for success. */
static void ata_end(AtaChannel *channel, AtaUnit *unit, uint8_t error)
{
    unit->transfer = ATA_TRANSFER_NONE;
    unit->left = unit->pos = unit->len = 0;
    unit->error = error;
    unit->status = STATUS_DRDY | STATUS_DSC | (error ? STATUS_ERR : 0);
    ata_raise_irq(channel);
}

static void ata_ok(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    ata_end(channel, unit, 0);
}

/* First sector of a command; false if the numbers mean none. */
static bool ata_get_lba(const AtaUnit *unit, bool lba48, uint64_t *ret_lba)
{
    uint64_t low = unit->lba_low | unit->lba_mid << 8 | unit->lba_high << 16;
    uint64_t cyl = unit->lba_mid | unit->lba_high << 8;
    unsigned head = unit->device & 0xf;

    if (lba48) {
        *ret_lba = low | (uint64_t)unit->lba_low_prev << 24 |
            (uint64_t)unit->lba_mid_prev << 32 |
            (uint64_t)unit->lba_high_prev << 40;
        return true;
    }
    if (unit->device & DEVICE_LBA) {
        *ret_lba = low | (uint64_t)head << 24;
        return true;
    }
    if (unit->lba_low == 0 || unit->lba_low > unit->secs ||
        head >= unit->heads) {
        return false;
    }
    *ret_lba = (cyl * unit->heads + head) * unit->secs + unit->lba_low - 1;
    return true;
}

/* Leave the position of a sector in the registers, in the command's form. */
static void ata_put_lba(AtaUnit *unit, uint64_t lba)
{
    if (unit->lba48) {
        unit->lba_low_prev = lba >> 24;
        unit->lba_mid_prev = lba >> 32;
        unit->lba_high_prev = lba >> 40;
    } else if (unit->device & DEVICE_LBA) {
        unit->device = (unit->device & 0xf0) | (lba >> 24 & 0xf);
    } else {
        uint64_t track = lba / unit->secs, cyl = track / unit->heads;

        unit->device = (unit->device & 0xf0) | (track % unit->heads);
        unit->lba_low = lba % unit->secs + 1;
        unit->lba_mid = cyl;
        unit->lba_high = cyl >> 8;
        return;
    }
    unit->lba_low = lba;
    unit->lba_mid = lba >> 8;
    unit->lba_high = lba >> 16;
}

static uint32_t ata_get_count(const AtaUnit *unit, bool lba48)
{
    uint32_t n = unit->count | (lba48 ? unit->count_prev << 8 : 0);

    return n ? n : lba48 ? 0x10000 : 0x100;
}

/* A sector could not be had: say where, and end. */
static void ata_fail_at(AtaChannel *channel, AtaUnit *unit, uint64_t lba,
                        uint8_t error)
{
    ata_put_lba(unit, lba);
    trace_ide_error(channel->index, unit - channel->units, 0, error);
    ata_end(channel, unit, error);
}

/* The next block of a read is to be in the buffer. */
static void ata_next_read(AtaChannel *channel, AtaUnit *unit)
{
    uint32_t n = MIN(unit->left, unit->block);

    if (disk_read(unit->disk, unit->lba, n, unit->buffer) < 0) {
        ata_fail_at(channel, unit, unit->lba, ERROR_UNC);
        return;
    }
    unit->pos = 0;
    unit->len = n * SECTOR_BYTES;
    unit->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
    ata_raise_irq(channel);
}

/* A buffer is to be filled by the guest. */
static void ata_next_write(AtaUnit *unit)
{
    unit->pos = 0;
    unit->len = MIN(unit->left, unit->block) * SECTOR_BYTES;
    unit->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
}

/* Check the range of a transfer; false when the command was ended. */
static bool ata_transfer_begin(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    uint32_t n = ata_get_count(unit, lba48);
    uint64_t lba = 0;

    unit->lba48 = lba48;
    if (!ata_get_lba(unit, lba48, &lba) || lba >= unit->disk->sectors ||
        n > unit->disk->sectors - lba) {
        ata_end(channel, unit, ERROR_IDNF | ERROR_ABRT);
        return false;
    }
    trace_ide_command(channel->index, unit - channel->units, 0, lba, n);
    unit->lba = lba;
    unit->left = n;
    unit->block = 1;
    unit->error = 0;
    return true;
}

static void ata_read_sectors(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (ata_transfer_begin(channel, unit, lba48)) {
        unit->transfer = ATA_TRANSFER_READ;
        ata_next_read(channel, unit);
    }
}

static void ata_write_sectors(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (unit->disk->readonly) {
        ata_end(channel, unit, ERROR_ABRT);
    } else if (ata_transfer_begin(channel, unit, lba48)) {
        unit->transfer = ATA_TRANSFER_WRITE;
        ata_next_write(unit); /* no interrupt before the first block */
    }
}

static void ata_read_multiple(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (unit->multiple == 0) {
        ata_end(channel, unit, ERROR_ABRT);
    } else if (ata_transfer_begin(channel, unit, lba48)) {
        unit->block = unit->multiple;
        unit->transfer = ATA_TRANSFER_READ;
        ata_next_read(channel, unit);
    }
}

static void ata_write_multiple(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (unit->multiple == 0 || unit->disk->readonly) {
        ata_end(channel, unit, ERROR_ABRT);
    } else if (ata_transfer_begin(channel, unit, lba48)) {
        unit->block = unit->multiple;
        unit->transfer = ATA_TRANSFER_WRITE;
        ata_next_write(unit);
    }
}

static void ata_verify(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (!ata_transfer_begin(channel, unit, lba48)) {
        return;
    }
    for (; unit->left > 0; unit->left--, unit->lba++) {
        if (disk_read(unit->disk, unit->lba, 1, unit->buffer) < 0) {
            ata_fail_at(channel, unit, unit->lba, ERROR_UNC);
            return;
        }
    }
    ata_put_lba(unit, unit->lba - 1);
    ata_end(channel, unit, 0);
}

/* The guest has taken, or filled, the whole block. */
static void ata_block_done(AtaChannel *channel, AtaUnit *unit)
{
    uint32_t n = unit->len / SECTOR_BYTES;

    if (unit->transfer == ATA_TRANSFER_IN) {
        unit->transfer = ATA_TRANSFER_NONE;
        unit->pos = unit->len = 0;
        unit->status = STATUS_DRDY | STATUS_DSC;
        return;
    }
    if (unit->transfer == ATA_TRANSFER_WRITE &&
        disk_write(unit->disk, unit->lba, n, unit->buffer) < 0) {
        ata_fail_at(channel, unit, unit->lba, ERROR_UNC | ERROR_ABRT);
        return;
    }
    unit->lba += n;
    unit->left -= n;
    ata_put_lba(unit, unit->lba - 1);
    if (unit->transfer == ATA_TRANSFER_READ && unit->left > 0) {
        ata_next_read(channel, unit);
    } else if (unit->transfer == ATA_TRANSFER_READ) {
        unit->transfer = ATA_TRANSFER_NONE; /* nothing more to announce */
        unit->pos = unit->len = 0;
        unit->status = STATUS_DRDY | STATUS_DSC;
    } else if (unit->left > 0) {
        ata_next_write(unit);
        ata_raise_irq(channel);
    } else {
        ata_end(channel, unit, 0);
    }
}

uint32_t ata_data_read(AtaChannel *channel, AtaUnit *unit, unsigned size)
{
    uint32_t value = 0;

    if (unit->transfer != ATA_TRANSFER_IN &&
        unit->transfer != ATA_TRANSFER_READ) {
        return 0;
    }
    for (unsigned i = 0; i < size && unit->pos < unit->len; i++) {
        value |= (uint32_t)unit->buffer[unit->pos++] << 8 * i;
    }
    if (unit->pos == unit->len) {
        ata_block_done(channel, unit);
    }
    return value;
}

void ata_data_write(AtaChannel *channel, AtaUnit *unit, uint32_t value,
                    unsigned size)
{
    if (unit->transfer != ATA_TRANSFER_WRITE) {
        return;
    }
    for (unsigned i = 0; i < size && unit->pos < unit->len; i++) {
        unit->buffer[unit->pos++] = value >> 8 * i;
    }
    if (unit->pos == unit->len) {
        ata_block_done(channel, unit);
    }
}

static void put_word(uint8_t *words, unsigned index, uint16_t value)
{
    words[2 * index] = value;
    words[2 * index + 1] = value >> 8;
}

/* ATA strings: padded with blanks, the bytes of each word swapped. */
static void put_string(uint8_t *words, unsigned index, unsigned n_words,
                       const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < 2 * n_words; i++) {
        words[2 * index + (i ^ 1)] = i < len ? text[i] : ' ';
    }
}

static void ata_identify_sizes(AtaUnit *unit, uint8_t *words)
{
    const Disk *disk = unit->disk;
    uint32_t chs = (uint32_t)disk->cyls * unit->heads * unit->secs;
    uint32_t lba28 = MIN(disk->sectors, 0x0fffffff);

    put_word(words, 1, disk->cyls);
    put_word(words, 3, disk->heads);
    put_word(words, 6, disk->secs);
    put_word(words, 54, disk->cyls);
    put_word(words, 55, unit->heads);
    put_word(words, 56, unit->secs);
    put_word(words, 57, chs);
    put_word(words, 58, chs >> 16);
    put_word(words, 60, lba28);
    put_word(words, 61, lba28 >> 16);
    for (unsigned i = 0; i < 4; i++) {
        put_word(words, 100 + i, disk->sectors >> 16 * i);
    }
}

static void ata_identify(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    uint8_t *words = unit->buffer;

    memset(words, 0, SECTOR_BYTES);
    put_word(words, 0, 0x0040);                  /* fixed disk */
    put_string(words, 10, 10, unit->disk->serial);
    put_string(words, 23, 4, "1.0");
    put_string(words, 27, 20, "TIDEMARK HARDDISK");
    put_word(words, 47, 0x8000 | ATA_MAX_MULTIPLE);
    put_word(words, 49, 1 << 9);                 /* LBA; no DMA */
    put_word(words, 53, 1);                      /* words 54..58 hold */
    put_word(words, 59, unit->multiple ? 0x100 | unit->multiple : 0);
    put_word(words, 80, 0x00f0);                 /* ATA/ATAPI-4 to -7 */
    put_word(words, 83, 0x4000 | 1 << 13 | 1 << 12 | 1 << 10);
    put_word(words, 84, 0x4000);
    put_word(words, 86, 1 << 13 | 1 << 12 | 1 << 10); /* flushes, 48 bit */
    put_word(words, 87, 0x4000);
    put_word(words, 93, 0x6001 | (unit == channel->units ? 0 : 0x100));
    ata_identify_sizes(unit, words);
    unit->transfer = ATA_TRANSFER_IN;
    unit->error = 0;
    unit->pos = 0;
    unit->len = SECTOR_BYTES;
    unit->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
    ata_raise_irq(channel);
}

static void ata_set_multiple(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    uint8_t n = unit->count;

    if (n > ATA_MAX_MULTIPLE || (n & (n - 1))) {
        ata_end(channel, unit, ERROR_ABRT);
        return;
    }
    unit->multiple = n; /* 0 forbids the MULTIPLE commands */
    ata_end(channel, unit, 0);
}

static void ata_set_features(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    switch (unit->feature) {
    case 0x03: /* transfer mode: PIO is all there is */
        ata_end(channel, unit, unit->count >> 3 <= 1 ? 0 : ERROR_ABRT);
        break;
    case 0x02: case 0x82: /* write cache: the host's in any case */
    case 0x55: case 0xaa: /* read look-ahead */
    case 0x66: case 0xcc: /* defaults at reset */
        ata_end(channel, unit, 0);
        break;
    default:
        ata_end(channel, unit, ERROR_ABRT);
    }
}

static void ata_flush(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    ata_end(channel, unit, disk_flush(unit->disk) < 0 ? ERROR_ABRT : 0);
}

static void ata_init_params(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    if (unit->count == 0) {
        ata_end(channel, unit, ERROR_ABRT);
        return;
    }
    unit->secs = unit->count;
    unit->heads = (unit->device & 0xf) + 1;
    ata_end(channel, unit, 0);
}

static void ata_native_max(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    uint64_t last = unit->disk->sectors - 1;

    unit->lba48 = lba48;
    if (!lba48) {
        unit->device |= DEVICE_LBA;
        last = MIN(last, 0x0fffffff);
    }
    ata_put_lba(unit, last);
    ata_end(channel, unit, 0);
}

static void ata_check_power(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    unit->count = 0xff; /* active */
    ata_end(channel, unit, 0);
}

/* Both units do it, whichever is selected; unit 0 speaks for the two. */
static void ata_diagnose(AtaChannel *channel, AtaUnit *unit, bool lba48)
{
    ata_signature(&channel->units[0]);
    ata_signature(&channel->units[1]);
    channel->selected = 0;
    ata_raise_irq(channel);
}

static const AtaCommand ata_commands[] = {
    { 0x20, ata_read_sectors }, { 0x21, ata_read_sectors },
    { 0x24, ata_read_sectors, true },
    { 0x27, ata_native_max, true }, { 0xf8, ata_native_max },
    { 0x29, ata_read_multiple, true }, { 0xc4, ata_read_multiple },
    { 0x30, ata_write_sectors }, { 0x31, ata_write_sectors },
    { 0x34, ata_write_sectors, true },
    { 0x39, ata_write_multiple, true }, { 0xc5, ata_write_multiple },
    { 0x40, ata_verify }, { 0x41, ata_verify }, { 0x42, ata_verify, true },
    { 0x70, ata_ok },                         /* SEEK */
    { 0x90, ata_diagnose },
    { 0x91, ata_init_params },
    { 0xc6, ata_set_multiple },
    { 0xe0, ata_ok }, { 0xe1, ata_ok },       /* STANDBY, IDLE, at once */
    { 0xe2, ata_ok }, { 0xe3, ata_ok },
    { 0xe5, ata_check_power },
    { 0xe7, ata_flush }, { 0xea, ata_flush },
    { 0xec, ata_identify },
    { 0xef, ata_set_features },
};

void ata_command(AtaChannel *channel, AtaUnit *unit, uint8_t command)
{
    if ((command & 0xf0) == 0x10) { /* RECALIBRATE, sixteen codes */
        ata_end(channel, unit, 0);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(ata_commands); i++) {
        if (ata_commands[i].code == command) {
            trace_ide_command(channel->index, unit - channel->units, command,
                              unit->lba, unit->count);
            ata_commands[i].run(channel, unit, ata_commands[i].lba48);
            return;
        }
    }
    trace_ide_error(channel->index, unit - channel->units, command,
                    ERROR_ABRT);
    ata_end(channel, unit, ERROR_ABRT);
}
