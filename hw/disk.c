/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw disk images; see hw/disk.h.
 */
#include "hw/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file-lock.h"

/* Limits of the classic geometry. */
#define MAX_CYLS 65535
#define MAX_HEADS 16
#define MAX_SECS 255

static void disk_guess_geometry(Disk *disk)
{
    disk->heads = 16;
    disk->secs = 63;
    disk->cyls = CLAMP(disk->sectors / (16 * 63), 1, 16383);
}

/* Size in bytes; seeking tells it for files and block devices alike. */
static bool disk_find_size(Disk *disk, GError **error)
{
    struct stat st;
    off_t size;

    if (fstat(disk->fd, &st) < 0) {
        tm_error_set_errno(error, errno, "cannot look at '%s'", disk->path);
        return false;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        tm_error_set(error, "'%s' is neither a file nor a block device",
                     disk->path);
        return false;
    }
    size = lseek(disk->fd, 0, SEEK_END);
    if (size < 0) {
        tm_error_set_errno(error, errno, "cannot find the size of '%s'",
                           disk->path);
        return false;
    }
    if (size == 0) {
        tm_error_set(error, "'%s' is empty", disk->path);
        return false;
    }
    disk->sectors = ((uint64_t)size + SECTOR_BYTES - 1) / SECTOR_BYTES;
    return true;
}

Disk *disk_open(const char *path, bool readonly, GError **error)
{
    g_autoptr(Disk) disk = g_new0(Disk, 1);

    disk->path = g_strdup(path);
    disk->readonly = readonly;
    /* O_NONBLOCK so that a FIFO is refused below and not waited for. */
    disk->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                    O_NONBLOCK);
    if (disk->fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s'", path);
        return NULL;
    }
    /* Keeps saved machines out, whose writers lock what they write to; the
     * other end of a migration may have it open, too. */
    if (!file_lock(disk->fd, false)) {
        tm_error_set(error, "cannot open '%s': it is being written", path);
        return NULL;
    }
    if (!disk_find_size(disk, error)) {
        return NULL;
    }
    disk_guess_geometry(disk);
    return g_steal_pointer(&disk);
}

void disk_free(Disk *disk)
{
    if (!disk) {
        return;
    }
    if (disk->fd >= 0) {
        close(disk->fd);
    }
    g_free(disk->id);
    g_free(disk->path);
    g_free(disk->serial);
    g_free(disk);
}

bool disk_set_geometry(Disk *disk, uint64_t cyls, uint64_t heads,
                       uint64_t secs, GError **error)
{
    if (cyls > MAX_CYLS || heads > MAX_HEADS || secs > MAX_SECS) {
        tm_error_set(error, "geometry must lie within cyls=1..%d, "
                     "heads=1..%d, secs=1..%d", MAX_CYLS, MAX_HEADS, MAX_SECS);
        return false;
    }
    if (!!cyls + !!heads + !!secs == 0) {
        return true;
    }
    if (!cyls || !heads || !secs) {
        tm_error_set(error, "'cyls', 'heads' and 'secs' go together");
        return false;
    }
    disk->cyls = cyls;
    disk->heads = heads;
    disk->secs = secs;
    return true;
}

static bool disk_has(const Disk *disk, uint64_t sector, uint32_t n)
{
    return sector < disk->sectors && n <= disk->sectors - sector;
}

int disk_read(Disk *disk, uint64_t sector, uint32_t n, void *buf)
{
    uint8_t *to = buf;
    size_t left = (size_t)n * SECTOR_BYTES;
    off_t at = sector * SECTOR_BYTES;

    if (!disk_has(disk, sector, n)) {
        return -EINVAL;
    }
    while (left > 0) {
        ssize_t got = pread(disk->fd, to, left, at);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        if (got == 0) { /* beyond the end of a cut image */
            memset(to, 0, left);
            return 0;
        }
        to += got;
        at += got;
        left -= got;
    }
    return 0;
}

int disk_write(Disk *disk, uint64_t sector, uint32_t n, const void *buf)
{
    const uint8_t *from = buf;
    size_t left = (size_t)n * SECTOR_BYTES;
    off_t at = sector * SECTOR_BYTES;

    if (!disk_has(disk, sector, n)) {
        return -EINVAL;
    }
    if (disk->readonly) {
        return -EROFS;
    }
    while (left > 0) {
        ssize_t put = pwrite(disk->fd, from, left, at);

        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -errno;
        }
        from += put;
        at += put;
        left -= put;
    }
    return 0;
}

int disk_flush(Disk *disk)
{
    if (disk->readonly || fdatasync(disk->fd) == 0) {
        return 0;
    }
    return -errno;
}
