/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses that leave the guest: by port, by MMIO, by qtest. One access is cut
 * into pieces, each of which one device takes, or RAM, or nobody; pieces are
 * made in ascending order and put together little-endian, as x86 does.
 *
 * A guest whose memory is lost may have read anything: none of what it still
 * says before its vCPUs are out reaches a device.
 */
#include <string.h>

#include "system/big-lock.h"
#include "system/guest-access.h"
#include "system/memory-map-int.h"

/* Returns whether the lock was taken and is to be given back. */
static bool lock_unless_held(void)
{
    if (big_lock_is_held()) {
        return false;
    }
    big_lock();
    return true;
}

static void unlock_if(bool taken)
{
    if (taken) {
        big_unlock();
    }
}

/* The largest power of two that fits everywhere: 3 bytes go as 2 and 1. */
static unsigned piece_bytes(const IoRegion *r, uint64_t addr, unsigned left)
{
    uint64_t room = r->base + r->size - addr;
    unsigned n = MIN(left, r->ops->max_access);

    n = MIN(n, room);
    while (n & (n - 1)) {
        n &= n - 1;
    }
    return n;
}

static uint64_t size_mask(unsigned size)
{
    return size < 8 ? (UINT64_C(1) << (size * 8)) - 1 : UINT64_MAX;
}

/* Read the next piece; returns its size in bytes. */
static unsigned read_piece(MemoryMap *map, const MemoryView *view,
                           IoSpace space, uint64_t addr, unsigned left,
                           uint64_t *ret)
{
    const IoRegion *r = memory_view_find_io(view, space, addr);
    unsigned n = 1;

    *ret = UINT64_MAX;
    if (r) {
        n = piece_bytes(r, addr, left);
        if (r->ops->read) {
            *ret = r->ops->read(r->opaque, addr - r->base, n);
        }
    } else if (space == IO_SPACE_MEMORY) {
        uint64_t bytes = 0;
        uint64_t done = guest_read(map, addr, &bytes, left);

        if (done) {
            n = done;
            *ret = GUINT64_FROM_LE(bytes);
        }
    }
    *ret &= size_mask(n);
    return n;
}

static unsigned write_piece(MemoryMap *map, const MemoryView *view,
                            IoSpace space, uint64_t addr, unsigned left,
                            uint64_t value)
{
    const IoRegion *r = memory_view_find_io(view, space, addr);
    unsigned n = 1;

    if (r) {
        n = piece_bytes(r, addr, left);
        if (r->ops->write) {
            r->ops->write(r->opaque, addr - r->base, value & size_mask(n), n);
        }
    } else if (space == IO_SPACE_MEMORY) {
        uint64_t bytes = GUINT64_TO_LE(value);

        n = MAX(guest_write(map, addr, &bytes, left), 1);
    }
    return n;
}

/*
 * The view is taken once per access: a hook that changes the map (a device
 * that moves its own window) does not change what the rest of this access
 * meets. Devices go away under the big lock only, so those in the view live.
 */
uint64_t memory_map_io_read(MemoryMap *map, IoSpace space, uint64_t addr,
                            unsigned size)
{
    bool locked;
    g_autoptr(MemoryView) view = NULL;
    uint64_t value = 0;
    unsigned n;

    if (ram_list_is_lost(map->ram)) {
        return size_mask(size);
    }
    locked = lock_unless_held();
    view = memory_view_get(map);

    for (unsigned done = 0; done < size; done += n) {
        uint64_t piece;

        n = read_piece(map, view, space, addr + done, size - done, &piece);
        value |= piece << (done * 8);
    }
    unlock_if(locked);
    return value;
}

void memory_map_io_write(MemoryMap *map, IoSpace space, uint64_t addr,
                         uint64_t value, unsigned size)
{
    bool locked;
    g_autoptr(MemoryView) view = NULL;
    unsigned n;

    if (ram_list_is_lost(map->ram)) {
        return;
    }
    locked = lock_unless_held();
    view = memory_view_get(map);
    for (unsigned done = 0; done < size; done += n) {
        n = write_piece(map, view, space, addr + done, size - done,
                        value >> (done * 8));
    }
    unlock_if(locked);
}
