/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMM's own access to guest memory: hop 0' of the data's way, and the end
 * of hop 8. One access walks the visible sections it touches; each piece is
 * copied and, if it was a write, marked, before the next one begins.
 *
 * Guest memory is shared with vCPUs and other threads, which write it when
 * they like. Copies of 1, 2, 4 and 8 aligned bytes are single accesses, as
 * the guest expects of a device; longer ones have no order within themselves.
 *
 * Whoever writes here may hold the big lock, so no write may wait until there
 * is room for a copy of frozen memory (ram-freeze.h): it hurries.
 */
#include <string.h>

#include "system/dirty-bitmap.h"
#include "system/guest-access.h"
#include "system/memory-map-int.h"
#include "util/buffer-is-zero.h"
#include "util/compiler.h"

/* Copy one naturally aligned number by one relaxed access on each side; the
 * side that is not guest memory may have any alignment. */
#define DEFINE_ACCESS(type)                                                  \
    static inline void load_##type(void *buf, const uint8_t *host)           \
    {                                                                        \
        type v = __atomic_load_n((const type *)host, __ATOMIC_RELAXED);      \
                                                                             \
        memcpy(buf, &v, sizeof(v));                                          \
    }                                                                        \
                                                                             \
    static inline void store_##type(uint8_t *host, const void *buf)          \
    {                                                                        \
        type v;                                                              \
                                                                             \
        memcpy(&v, buf, sizeof(v));                                          \
        __atomic_store_n((type *)host, v, __ATOMIC_RELAXED);                 \
    }

DEFINE_ACCESS(uint8_t)
DEFINE_ACCESS(uint16_t)
DEFINE_ACCESS(uint32_t)
DEFINE_ACCESS(uint64_t)

#ifdef TM_TSAN
/* memcpy() beside a writer is a race by the book and meant so; say it in a
 * way that ThreadSanitizer understands. */
static void load_many(uint8_t *buf, const uint8_t *host, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        load_uint8_t(buf + i, host + i);
    }
}

static void store_many(uint8_t *host, const uint8_t *buf, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        store_uint8_t(host + i, buf + i);
    }
}

static void fill_many(uint8_t *host, uint8_t value, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        store_uint8_t(host + i, &value);
    }
}
#else
static void load_many(uint8_t *buf, const uint8_t *host, uint64_t n)
{
    memcpy(buf, host, n);
}

static void store_many(uint8_t *host, const uint8_t *buf, uint64_t n)
{
    memcpy(host, buf, n);
}

static void fill_many(uint8_t *host, uint8_t value, uint64_t n)
{
    memset(host, value, n);
}
#endif

static bool is_single_access(const uint8_t *host, uint64_t n)
{
    return n <= 8 && n && !(n & (n - 1)) && !((uintptr_t)host & (n - 1));
}

static void copy_from_guest(uint8_t *buf, const uint8_t *host, uint64_t n)
{
    if (!is_single_access(host, n)) {
        load_many(buf, host, n);
    } else if (n == 8) {
        load_uint64_t(buf, host);
    } else if (n == 4) {
        load_uint32_t(buf, host);
    } else if (n == 2) {
        load_uint16_t(buf, host);
    } else {
        load_uint8_t(buf, host);
    }
}

static void copy_to_guest(uint8_t *host, const uint8_t *buf, uint64_t n)
{
    if (!is_single_access(host, n)) {
        store_many(host, buf, n);
    } else if (n == 8) {
        store_uint64_t(host, buf);
    } else if (n == 4) {
        store_uint32_t(host, buf);
    } else if (n == 2) {
        store_uint16_t(host, buf);
    } else {
        store_uint8_t(host, buf);
    }
}

/*
 * Every page of which a byte was written, once the bytes are there: a mark
 * that came first could be taken, and the page read, before them.
 */
static void mark_written(MemoryMap *map, const MemorySection *s, uint64_t n)
{
    uint64_t first = s->offset >> TM_PAGE_BITS;
    uint64_t last = (s->offset + n - 1) >> TM_PAGE_BITS;

    dirty_bitmap_mark(map->ram, s->block, first, last - first + 1);
}

/* The piece of an access that begins at @gpa; false where it must end. */
static bool next_piece(const MemoryView *view, uint64_t gpa, uint64_t len,
                       bool write, MemorySection *s)
{
    if (!memory_view_find_ram(view, gpa, s) || (write && s->readonly)) {
        return false;
    }
    s->size = MIN(s->size, len);
    return true;
}

uint64_t guest_read(MemoryMap *map, uint64_t gpa, void *buf, uint64_t len)
{
    g_autoptr(MemoryView) view = memory_view_get(map);
    uint64_t done = 0;
    MemorySection s;

    while (done < len && next_piece(view, gpa + done, len - done, false, &s)) {
        copy_from_guest((uint8_t *)buf + done, s.block->host + s.offset,
                        s.size);
        done += s.size;
    }
    /* Asked after the bytes are had: they may have been waited for in vain. */
    return ram_list_is_lost(map->ram) ? 0 : done;
}

uint64_t guest_write(MemoryMap *map, uint64_t gpa, const void *buf,
                     uint64_t len)
{
    g_autoptr(MemoryView) view = memory_view_get(map);
    uint64_t done = 0;
    MemorySection s;

    ram_list_hurry(map->ram);
    while (done < len && next_piece(view, gpa + done, len - done, true, &s)) {
        copy_to_guest(s.block->host + s.offset, (const uint8_t *)buf + done,
                      s.size);
        mark_written(map, &s, s.size);
        done += s.size;
    }
    ram_list_unhurry(map->ram);
    return ram_list_is_lost(map->ram) ? 0 : done;
}

uint64_t guest_memset(MemoryMap *map, uint64_t gpa, uint8_t value,
                      uint64_t len)
{
    g_autoptr(MemoryView) view = memory_view_get(map);
    uint64_t done = 0;
    MemorySection s;

    ram_list_hurry(map->ram);
    while (done < len && next_piece(view, gpa + done, len - done, true, &s)) {
        fill_many(s.block->host + s.offset, value, s.size);
        mark_written(map, &s, s.size);
        done += s.size;
    }
    ram_list_unhurry(map->ram);
    return ram_list_is_lost(map->ram) ? 0 : done;
}

void guest_load_page(RAMBlock *block, uint64_t page, const void *data)
{
    uint8_t *host;

    g_assert(page < block->npages); /* the stream's reader has checked it */
    host = block->host + (page << TM_PAGE_BITS);
    if (data) {
        memcpy(host, data, TM_PAGE_BYTES);
    } else if (!buffer_is_zero(host, TM_PAGE_BYTES)) {
        memset(host, 0, TM_PAGE_BYTES);
    }
}

void *guest_load_place(RAMBlock *block, uint64_t first, uint64_t npages)
{
    g_assert(first <= block->npages && npages <= block->npages - first);
    return block->host + (first << TM_PAGE_BITS);
}
