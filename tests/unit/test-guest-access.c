/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one door to guest memory: every writer at every offset puts its bytes
 * exactly where they belong and marks exactly the pages it touched.
 */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/dirty-bitmap.h"
#include "system/guest-access.h"
#include "system/memory-map.h"

#define PAGE TM_PAGE_BYTES

/*
 * Guest memory: pages 0..2 are block "a" from its page 1 on, pages 3..5 are
 * block "b" from its page 2 on, page 6 is ROM, page 7 is nothing, page 8 is
 * "a" page 0, page 9 a device.
 */
typedef struct World {
    RAMList list;
    RAMBlock *a, *b, *rom;
    MemoryMap *map;
} World;

static const IoRegionOps device_ops = { .max_access = 1 };

static void world_init(World *w)
{
    ram_list_init(&w->list);
    w->a = ram_list_add_anon(&w->list, "a", 4 * PAGE, NULL);
    w->b = ram_list_add_anon(&w->list, "b", 6 * PAGE, NULL);
    w->rom = ram_list_add_anon(&w->list, "rom", PAGE, NULL);
    w->map = memory_map_new(&w->list);
    memory_map_begin(w->map);
    memory_map_add_ram(w->map, 0, 3 * PAGE, w->a, PAGE, false, NULL);
    memory_map_add_ram(w->map, 3 * PAGE, 3 * PAGE, w->b, 2 * PAGE, false,
                       NULL);
    memory_map_add_ram(w->map, 6 * PAGE, PAGE, w->rom, 0, true, NULL);
    memory_map_add_ram(w->map, 8 * PAGE, PAGE, w->a, 0, false, NULL);
    memory_map_add_io(w->map, IO_SPACE_MEMORY, 9 * PAGE, PAGE, &device_ops,
                      NULL, "dev", NULL);
    g_assert_true(memory_map_commit(w->map, NULL));
}

static void world_done(World *w)
{
    memory_map_free(w->map);
    ram_list_done(&w->list);
}

/* Where the byte at @gpa lies; NULL where there is no RAM. */
static uint8_t *byte_at(World *w, uint64_t gpa)
{
    if (gpa < 3 * PAGE) {
        return w->a->host + PAGE + gpa;
    }
    if (gpa < 6 * PAGE) {
        return w->b->host + 2 * PAGE + gpa - 3 * PAGE;
    }
    if (gpa < 7 * PAGE) {
        return w->rom->host + gpa - 6 * PAGE;
    }
    if (gpa >= 8 * PAGE && gpa < 9 * PAGE) {
        return w->a->host + gpa - 8 * PAGE;
    }
    return NULL;
}

static bool is_dirty(World *w, uint64_t gpa, DirtyClient client)
{
    uint64_t offset;
    RAMBlock *block = ram_list_find_host(&w->list, byte_at(w, gpa), &offset);

    return dirty_bitmap_test(block, client, offset / PAGE);
}

static uint64_t total_dirty(World *w, DirtyClient client)
{
    return dirty_bitmap_count(w->a, client) +
           dirty_bitmap_count(w->b, client) +
           dirty_bitmap_count(w->rom, client);
}

typedef uint64_t Writer(MemoryMap *map, uint64_t gpa, const uint8_t *bytes,
                        uint64_t len);

static uint64_t by_write(MemoryMap *map, uint64_t gpa, const uint8_t *bytes,
                         uint64_t len)
{
    return guest_write(map, gpa, bytes, len);
}

static uint64_t by_memset(MemoryMap *map, uint64_t gpa, const uint8_t *bytes,
                          uint64_t len)
{
    /* One value only: those of the tests are as good as any. */
    return guest_memset(map, gpa, len ? bytes[0] : 0, len);
}

/* MMIO writes of 8 bytes fall through to RAM and mark it. */
static uint64_t by_io(MemoryMap *map, uint64_t gpa, const uint8_t *bytes,
                      uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        memory_map_io_write(map, IO_SPACE_MEMORY, gpa + i, bytes[i], 1);
    }
    return len;
}

static void check_bytes(World *w, uint64_t from, uint64_t to,
                        const uint8_t *old, uint64_t gpa, uint64_t len,
                        const uint8_t *bytes)
{
    for (uint64_t at = from; at < to; at++) {
        bool inside = at >= gpa && at < gpa + len;

        if (*byte_at(w, at) != (inside ? bytes[at - gpa] : old[at])) {
            g_error("byte 0x%" G_GINT64_MODIFIER "x is wrong after a write "
                    "of %" G_GUINT64_FORMAT " at 0x%" G_GINT64_MODIFIER "x",
                    at, len, gpa);
        }
    }
}

static void check_writer(World *w, Writer *writer, uint64_t gpa, uint64_t len)
{
    static uint8_t old[7 * PAGE], bytes[3 * PAGE];
    uint64_t first = gpa / PAGE, last = (gpa + len - 1) / PAGE;
    uint64_t pages = len ? last - first + 1 : 0;
    uint64_t from = MAX(gpa, 64) - 64, to = MIN(gpa + len + 64, 6 * PAGE);

    for (uint64_t i = 0; i < len; i++) {
        bytes[i] = writer == by_memset ? 0x3c : g_test_rand_int();
    }
    g_assert_cmpuint(guest_read(w->map, 0, old, 7 * PAGE), ==, 7 * PAGE);
    dirty_client_start(&w->list, DIRTY_CLIENT_MIGRATION, false, NULL);
    dirty_client_start(&w->list, DIRTY_CLIENT_DISPLAY, false, NULL);
    g_assert_cmpuint(writer(w->map, gpa, bytes, len), ==, len);
    check_bytes(w, from, to, old, gpa, len, bytes);
    for (int c = DIRTY_CLIENT_MIGRATION; c <= DIRTY_CLIENT_DISPLAY; c++) {
        for (uint64_t p = first; p < first + pages; p++) {
            g_assert_true(is_dirty(w, p * PAGE, c));
        }
        g_assert_cmpuint(total_dirty(w, c), ==, pages);
    }
    dirty_client_stop(&w->list, DIRTY_CLIENT_MIGRATION);
    dirty_client_stop(&w->list, DIRTY_CLIENT_DISPLAY);
}

static void check_writer_everywhere(Writer *writer, uint64_t step)
{
    static const uint64_t lens[] = {
        0, 1, 2, 3, 4, 7, 8, 9, 64, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 1,
    };
    World w;

    world_init(&w);
    for (unsigned i = 0; i < G_N_ELEMENTS(lens); i++) {
        /* Around a page border, and around the border of two blocks. */
        for (uint64_t d = 0; d <= 20; d += step) {
            check_writer(&w, writer, PAGE - 10 + d, lens[i]);
            check_writer(&w, writer, 3 * PAGE - 10 + d, lens[i]);
        }
        check_writer(&w, writer, 0, lens[i]);
        check_writer(&w, writer, 6 * PAGE - lens[i], lens[i]);
    }
    world_done(&w);
}

static void test_write_every_offset_marks_what_it_wrote(void)
{
    check_writer_everywhere(by_write, 1);
}

static void test_memset_every_offset_marks_what_it_wrote(void)
{
    check_writer_everywhere(by_memset, 1);
}

static void test_io_write_marks_what_it_wrote(void)
{
    check_writer_everywhere(by_io, 5);
}

/*
 * Bytes first, then the mark: a write to a protected page is caught in the
 * moment of its first byte, and the page must not be marked then.
 */
static World *trapped;
static int traps;          /* stores caught */
static int marked_before;  /* of these, to pages that were marked already */

static void trap_store(int sig, siginfo_t *info, void *context)
{
    uint64_t offset;
    RAMBlock *block = ram_list_find_host(&trapped->list, info->si_addr,
                                         &offset);

    if (!block) {
        _exit(2);
    }
    traps++;
    marked_before += dirty_bitmap_test(block, DIRTY_CLIENT_MIGRATION,
                                       offset / PAGE);
    mprotect(block->host + (offset & TM_PAGE_MASK), PAGE,
             PROT_READ | PROT_WRITE);
}

static void check_trapped(World *w, Writer *writer, uint64_t gpa,
                          uint64_t len, int npages)
{
    static const uint8_t bytes[2 * PAGE];

    dirty_client_start(&w->list, DIRTY_CLIENT_MIGRATION, false, NULL);
    mprotect(w->a->host, w->a->length, PROT_READ);
    mprotect(w->b->host, w->b->length, PROT_READ);
    traps = marked_before = 0;
    g_assert_cmpuint(writer(w->map, gpa, bytes, len), ==, len);
    g_assert_cmpint(traps, ==, npages);
    g_assert_cmpint(marked_before, ==, 0);
    g_assert_cmpuint(total_dirty(w, DIRTY_CLIENT_MIGRATION), ==, npages);
    dirty_client_stop(&w->list, DIRTY_CLIENT_MIGRATION);
}

static void test_writers_mark_after_the_bytes(void)
{
    struct sigaction sa = {
        .sa_sigaction = trap_store, .sa_flags = SA_SIGINFO,
    };
    struct sigaction old;
    World w;

    world_init(&w);
    trapped = &w;
    g_assert_cmpint(sigaction(SIGSEGV, &sa, &old), ==, 0);
    check_trapped(&w, by_write, 16, 8, 1);
    check_trapped(&w, by_write, PAGE - 3, 7, 2);
    check_trapped(&w, by_write, 3 * PAGE - 3, 7, 2);
    check_trapped(&w, by_memset, 16, 8, 1);
    check_trapped(&w, by_memset, PAGE - 3, 7, 2);
    check_trapped(&w, by_memset, 3 * PAGE - 3, 7, 2);
    check_trapped(&w, by_io, 100, 1, 1);
    g_assert_cmpint(sigaction(SIGSEGV, &old, NULL), ==, 0);
    world_done(&w);
}

static void test_read_spans_blocks_and_does_not_mark(void)
{
    static uint8_t buf[6 * PAGE];
    World w;

    world_init(&w);
    dirty_client_start(&w.list, DIRTY_CLIENT_RATE, false, NULL);
    for (uint64_t at = 0; at < 6 * PAGE; at++) {
        *byte_at(&w, at) = at * 7 + at / PAGE;
    }
    for (uint64_t from = 0; from < 6 * PAGE; from += 997) {
        uint64_t len = 6 * PAGE - from;

        memset(buf, 0, sizeof(buf));
        g_assert_cmpuint(guest_read(w.map, from, buf, len), ==, len);
        for (uint64_t i = 0; i < len; i++) {
            g_assert_cmphex(buf[i], ==, *byte_at(&w, from + i));
        }
    }
    g_assert_cmpuint(total_dirty(&w, DIRTY_CLIENT_RATE), ==, 0);
    world_done(&w);
}

static void test_access_ends_at_holes_devices_and_rom(void)
{
    uint8_t buf[64] = { 1, 2, 3 };
    uint64_t rom_gpa = 6 * PAGE;
    World w;

    world_init(&w);
    dirty_client_start(&w.list, DIRTY_CLIENT_RATE, false, NULL);
    g_assert_cmpuint(guest_write(w.map, rom_gpa - 5, buf, 64), ==, 5);
    g_assert_cmpuint(guest_write(w.map, rom_gpa, buf, 64), ==, 0);
    g_assert_cmpuint(guest_memset(w.map, rom_gpa - 1, 9, 64), ==, 1);
    g_assert_cmpuint(w.rom->host[0], ==, 0);
    g_assert_cmpuint(dirty_bitmap_count(w.rom, DIRTY_CLIENT_RATE), ==, 0);
    g_assert_cmpuint(total_dirty(&w, DIRTY_CLIENT_RATE), ==, 1);
    g_assert_cmpuint(guest_read(w.map, rom_gpa - 5, buf, 64), ==, 64);
    g_assert_cmpuint(guest_read(w.map, 7 * PAGE - 5, buf, 64), ==, 5);
    g_assert_cmpuint(guest_read(w.map, 7 * PAGE, buf, 64), ==, 0);
    g_assert_cmpuint(guest_write(w.map, 9 * PAGE - 7, buf, 64), ==, 7);
    g_assert_cmpuint(guest_write(w.map, 9 * PAGE, buf, 64), ==, 0);
    g_assert_cmpuint(guest_read(w.map, UINT64_MAX - 3, buf, 64), ==, 0);
    g_assert_cmpuint(guest_read(w.map, 0, buf, 0), ==, 0);
    world_done(&w);
}

static unsigned device_calls;

static uint64_t count_read(void *opaque, uint64_t offset, unsigned size)
{
    device_calls++;
    return 0;
}

static void count_write(void *opaque, uint64_t offset, uint64_t value,
                        unsigned size)
{
    device_calls++;
}

/* Nobody is given a byte any more, and no device hears of anything. */
static void test_lost_memory_is_not_read(void)
{
    static const IoRegionOps ops = {
        .read = count_read, .write = count_write, .max_access = 4,
    };
    uint8_t buf[64] = { 0 };
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    memory_map_add_io(w.map, IO_SPACE_PORT, 0x80, 4, &ops, NULL, "port", NULL);
    g_assert_true(memory_map_commit(w.map, NULL));
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_PORT, 0x80, 4), ==, 0);
    memory_map_io_write(w.map, IO_SPACE_PORT, 0x80, 1, 4);
    g_assert_cmpuint(device_calls, ==, 2);
    g_assert_false(ram_list_is_lost(&w.list));
    ram_list_lose(&w.list);
    g_assert_true(ram_list_is_lost(&w.list));
    g_assert_cmpuint(guest_read(w.map, 0, buf, 64), ==, 0);
    g_assert_cmpuint(guest_write(w.map, 0, buf, 64), ==, 0);
    g_assert_cmpuint(guest_memset(w.map, 0, 1, 64), ==, 0);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_PORT, 0x80, 2), ==,
                    0xffff);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, 0, 8), ==,
                    UINT64_MAX);
    memory_map_io_write(w.map, IO_SPACE_PORT, 0x80, 1, 4);
    g_assert_cmpuint(device_calls, ==, 2);
    world_done(&w);
}

static void test_load_page_does_not_mark(void)
{
    uint8_t page[PAGE];
    World w;

    world_init(&w);
    dirty_client_start(&w.list, DIRTY_CLIENT_MIGRATION, false, NULL);
    memset(page, 0x77, sizeof(page));
    memset(w.b->host, 0x11, w.b->length);
    guest_load_page(w.b, 2, page);
    guest_load_page(w.b, 3, NULL);
    for (uint64_t i = 0; i < w.b->length; i++) {
        g_assert_cmphex(w.b->host[i], ==, i / PAGE == 2 ? 0x77
                        : i / PAGE == 3 ? 0 : 0x11);
    }
    g_assert_cmpuint(total_dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 0);
    world_done(&w);
}

/* A zero page is written only if it is not zero: a write would fault here. */
static void test_load_zero_page_leaves_zero_memory_alone(void)
{
    World w;

    world_init(&w);
    g_assert_cmpint(mprotect(w.b->host, w.b->length, PROT_READ), ==, 0);
    for (uint64_t p = 0; p < w.b->npages; p++) {
        guest_load_page(w.b, p, NULL);
    }
    g_assert_cmpint(mprotect(w.b->host, w.b->length, PROT_READ | PROT_WRITE),
                    ==, 0);
    for (uint64_t i = 0; i < PAGE; i++) {
        w.b->host[i] = 1;
        guest_load_page(w.b, 0, NULL);
        g_assert_cmpuint(w.b->host[i], ==, 0);
    }
    world_done(&w);
}

/*
 * Aligned numbers are single accesses: a writer flips all bits of one, no
 * reader ever sees half of it. And no write is lost by a taker that copies.
 */
typedef struct Race {
    World w;
    unsigned size;
    bool stop; /* atomic */
} Race;

#define RACE_WRITES 30000

static gpointer flip_writer(gpointer data)
{
    Race *r = data;

    for (int i = 0; i < RACE_WRITES; i++) {
        uint64_t value = i & 1 ? UINT64_MAX : 0;

        guest_write(r->w.map, 3 * PAGE - r->size, &value, r->size);
    }
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    return NULL;
}

static void test_aligned_numbers_are_single_accesses(void)
{
    for (unsigned size = 2; size <= 8; size *= 2) {
        Race r = { .size = size };
        uint64_t ones = size == 8 ? UINT64_MAX
                                  : (UINT64_C(1) << (size * 8)) - 1;
        GThread *thread;

        world_init(&r.w);
        thread = g_thread_new("writer", flip_writer, &r);
        while (!__atomic_load_n(&r.stop, __ATOMIC_ACQUIRE)) {
            uint64_t value = 0;

            guest_read(r.w.map, 3 * PAGE - size, &value, size);
            g_assert_true(value == 0 || value == ones);
        }
        g_thread_join(thread);
        world_done(&r.w);
    }
}

static gpointer count_writer(gpointer data)
{
    Race *r = data;

    for (uint64_t i = 1; i <= RACE_WRITES; i++) {
        guest_write(r->w.map, (i % 6) * PAGE + 8, &i, sizeof(i));
    }
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    return NULL;
}

static void take_and_copy(World *w, uint64_t *copy)
{
    for (uint64_t p = 0; p < 6; p++) {
        uint64_t offset;
        RAMBlock *block = ram_list_find_host(&w->list, byte_at(w, p * PAGE),
                                             &offset);

        if (dirty_bitmap_take(block, DIRTY_CLIENT_MIGRATION, offset / PAGE)) {
            guest_read(w->map, p * PAGE + 8, &copy[p], sizeof(copy[p]));
        }
    }
}

static void test_taker_loses_no_write(void)
{
    uint64_t copy[6] = { 0 };
    Race r = { .stop = false };
    GThread *thread;

    world_init(&r.w);
    /* The writer runs when the client comes on: all ones, then its marks. */
    thread = g_thread_new("writer", count_writer, &r);
    dirty_client_start(&r.w.list, DIRTY_CLIENT_MIGRATION, true, NULL);
    while (!__atomic_load_n(&r.stop, __ATOMIC_ACQUIRE)) {
        take_and_copy(&r.w, copy);
    }
    g_thread_join(thread);
    take_and_copy(&r.w, copy);
    for (uint64_t p = 0; p < 6; p++) {
        uint64_t now;

        memcpy(&now, byte_at(&r.w, p * PAGE + 8), sizeof(now));
        g_assert_cmpuint(copy[p], ==, now);
    }
    world_done(&r.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest-access/write/every-offset-marks",
                    test_write_every_offset_marks_what_it_wrote);
    g_test_add_func("/guest-access/memset/every-offset-marks",
                    test_memset_every_offset_marks_what_it_wrote);
    g_test_add_func("/guest-access/io-write/marks",
                    test_io_write_marks_what_it_wrote);
    g_test_add_func("/guest-access/write/marks-after-the-bytes",
                    test_writers_mark_after_the_bytes);
    g_test_add_func("/guest-access/read/spans-blocks-and-does-not-mark",
                    test_read_spans_blocks_and_does_not_mark);
    g_test_add_func("/guest-access/any/ends-at-holes-devices-and-rom",
                    test_access_ends_at_holes_devices_and_rom);
    g_test_add_func("/guest-access/lost/is-not-read",
                    test_lost_memory_is_not_read);
    g_test_add_func("/guest-access/load-page/does-not-mark",
                    test_load_page_does_not_mark);
    g_test_add_func("/guest-access/load-page/leaves-zero-memory-alone",
                    test_load_zero_page_leaves_zero_memory_alone);
    g_test_add_func("/guest-access/threads/aligned-numbers-are-single",
                    test_aligned_numbers_are_single_accesses);
    g_test_add_func("/guest-access/threads/taker-loses-no-write",
                    test_taker_loses_no_write);
    return g_test_run();
}
