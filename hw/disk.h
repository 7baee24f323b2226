/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw disk image in sectors of 512 bytes. It is opened without any lock: the
 * two ends of a migration have it open together, and only one of them runs.
 */
#ifndef HW_DISK_H
#define HW_DISK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SECTOR_BYTES 512

typedef struct Disk {
    char *id;           /* of the drive, or NULL */
    char *path;
    char *serial;       /* shown by IDENTIFY */
    int fd;
    bool readonly;
    uint64_t sectors;   /* a last one may be cut short in the file */
    uint32_t cyls, heads, secs; /* what IDENTIFY says; 1.. each */
} Disk;

/**
 * disk_open() - open an image
 * An image whose size is no multiple of 512 gets a last sector that reads as
 * zeros beyond the end and is made whole when written.
 * It is locked (flock) against writers of saved machines until it is closed;
 * others may have it open, too.
 * Context: start-up. Errors: as open(2); being written; not a file or block
 *          device; empty.
 */
Disk *disk_open(const char *path, bool readonly, GError **error);
void disk_free(Disk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Disk, disk_free)

/**
 * disk_set_geometry() - cylinders, heads, sectors per track as told by the
 * user, 0 for each not told
 * Errors: out of what ATA can express (65535, 16, 255).
 */
bool disk_set_geometry(Disk *disk, uint64_t cyls, uint64_t heads,
                       uint64_t secs, GError **error);

/**
 * disk_read(), disk_write(), disk_flush() - whole sectors
 * Context: big lock; blocks as long as the host's file does.
 * Returns: 0, -EINVAL beyond the end, -EROFS, or the host's -errno.
 */
int disk_read(Disk *disk, uint64_t sector, uint32_t n, void *buf);
int disk_write(Disk *disk, uint64_t sector, uint32_t n, const void *buf);
int disk_flush(Disk *disk);

#endif
