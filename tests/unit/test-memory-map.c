/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map against a map of single pages, and single ports: random
 * programs of windows, regions, removals and nested brackets.
 */
#include <glib.h>
#include <string.h>

#include "recording-listener.h"
#include "system/big-lock.h"
#include "system/guest-access.h"
#include "system/memory-map.h"

#define PROGRAMS 4096
#define STEPS 16
#define PAGES 48
#define BLOCK_PAGES 20

typedef struct Owner {
    unsigned id;         /* 0: nobody */
    RAMBlock *block;
    uint64_t page;       /* in the block */
    bool readonly;
} Owner;

typedef struct World {
    RAMList list;
    RAMBlock *blocks[2];
    MemoryMap *map;
    RecordingListener rec;
    Owner ram[PAGES];    /* the plan */
    unsigned io[PAGES];  /* the plan: id or 0 */
    GArray *ids;         /* of unsigned */
    unsigned depth;
} World;

static uint64_t random_below(uint64_t n)
{
    return g_test_rand_int_range(0, n);
}

static void world_init(World *w)
{
    memset(w, 0, sizeof(*w));
    ram_list_init(&w->list);
    w->blocks[0] = ram_list_add_anon(&w->list, "a",
                                     BLOCK_PAGES * TM_PAGE_BYTES, NULL);
    w->blocks[1] = ram_list_add_anon(&w->list, "b",
                                     BLOCK_PAGES * TM_PAGE_BYTES, NULL);
    w->map = memory_map_new(&w->list);
    w->ids = g_array_new(FALSE, FALSE, sizeof(unsigned));
    recording_listener_init(&w->rec, "rec");
}

static void world_done(World *w)
{
    memory_listener_unregister(&w->rec.listener);
    recording_listener_done(&w->rec);
    memory_map_free(w->map);
    g_array_unref(w->ids);
    ram_list_done(&w->list);
}

/* The region's name is its only state: which page was asked for. */
static uint64_t page_read(void *opaque, uint64_t offset, unsigned size)
{
    g_assert_true(big_lock_is_held());
    return GPOINTER_TO_UINT(opaque) * 100 + (offset >> TM_PAGE_BITS);
}

static const IoRegionOps page_ops = { .read = page_read, .max_access = 8 };

static void step_add_ram(World *w)
{
    RAMBlock *block = w->blocks[random_below(2)];
    uint64_t first = random_below(PAGES);
    uint64_t n = random_below(MIN(PAGES - first, BLOCK_PAGES)) + 1;
    uint64_t offset = random_below(BLOCK_PAGES);
    bool readonly = g_test_rand_bit();
    bool fits = offset + n <= BLOCK_PAGES;
    unsigned id;

    for (uint64_t p = first; p < first + n; p++) {
        fits &= !w->ram[p].id;
    }
    id = memory_map_add_ram(w->map, first * TM_PAGE_BYTES, n * TM_PAGE_BYTES,
                            block, offset * TM_PAGE_BYTES, readonly, NULL);
    g_assert_cmpint(id != 0, ==, fits);
    if (!fits) {
        return;
    }
    g_array_append_val(w->ids, id);
    for (uint64_t i = 0; i < n; i++) {
        w->ram[first + i] = (Owner) { id, block, offset + i, readonly };
    }
}

static void step_add_io(World *w)
{
    uint64_t first = random_below(PAGES);
    uint64_t n = random_below(MIN(PAGES - first, 6)) + 1;
    bool fits = true;
    unsigned id;

    for (uint64_t p = first; p < first + n; p++) {
        fits &= !w->io[p];
    }
    id = memory_map_add_io(w->map, IO_SPACE_MEMORY, first * TM_PAGE_BYTES,
                           n * TM_PAGE_BYTES, &page_ops,
                           GUINT_TO_POINTER(first + 1), "dev", NULL);
    g_assert_cmpint(id != 0, ==, fits);
    if (fits) {
        g_array_append_val(w->ids, id);
        for (uint64_t p = first; p < first + n; p++) {
            w->io[p] = id;
        }
    }
}

static void step_del(World *w)
{
    guint i;
    unsigned id;

    if (!w->ids->len) {
        return;
    }
    i = random_below(w->ids->len);
    id = g_array_index(w->ids, unsigned, i);
    g_array_remove_index_fast(w->ids, i);
    memory_map_del(w->map, id);
    for (uint64_t p = 0; p < PAGES; p++) {
        if (w->ram[p].id == id) {
            w->ram[p] = (Owner) { 0 };
        }
        if (w->io[p] == id) {
            w->io[p] = 0;
        }
    }
}

/* Pages from @p on that belong to the same visible section; 0: none there. */
static uint64_t visible_run(const World *w, uint64_t p)
{
    uint64_t n = 0;

    while (p + n < PAGES && !w->io[p + n] && w->ram[p].id &&
           w->ram[p + n].id == w->ram[p].id) {
        n++;
    }
    return n;
}

static void check_find(World *w, uint64_t p)
{
    uint64_t gpa = p * TM_PAGE_BYTES + random_below(TM_PAGE_BYTES);
    uint64_t n = visible_run(w, p);
    MemorySection s = { .gpa = 1 };

    g_assert_cmpint(memory_map_find(w->map, gpa, &s), ==, n > 0);
    if (!n) {
        g_assert_cmpuint(s.gpa, ==, 1);
        return;
    }
    g_assert_cmpuint(s.gpa, ==, gpa);
    g_assert_cmpuint(s.size, ==, (p + n) * TM_PAGE_BYTES - gpa);
    g_assert_true(s.block == w->ram[p].block);
    g_assert_cmpuint(s.offset, ==, w->ram[p].page * TM_PAGE_BYTES +
                     gpa % TM_PAGE_BYTES);
    g_assert_cmpint(s.readonly, ==, w->ram[p].readonly);
}

static void check_io(World *w, uint64_t p)
{
    uint64_t want = UINT64_MAX;
    uint64_t first = p;

    if (w->io[p]) {
        while (first > 0 && w->io[first - 1] == w->io[p]) {
            first--;
        }
        want = (first + 1) * 100 + (p - first);
    } else if (w->ram[p].id) {
        memcpy(&want, w->ram[p].block->host + w->ram[p].page * TM_PAGE_BYTES,
               8);
    }
    g_assert_cmphex(memory_map_io_read(w->map, IO_SPACE_MEMORY,
                                       p * TM_PAGE_BYTES, 8), ==, want);
}

typedef struct Walk {
    World *w;
    uint64_t page; /* of the address space, where the walk has come to */
} Walk;

static bool check_next(const MemorySection *s, void *opaque)
{
    Walk *walk = opaque;

    while (!visible_run(walk->w, walk->page)) {
        walk->page++;
    }
    g_assert_cmpuint(s->gpa, ==, walk->page * TM_PAGE_BYTES);
    g_assert_cmpuint(s->size, ==, visible_run(walk->w, walk->page) *
                     TM_PAGE_BYTES);
    walk->page += s->size / TM_PAGE_BYTES;
    return true;
}

static void check_walk(World *w)
{
    Walk walk = { .w = w };

    memory_map_foreach_ram(w->map, check_next, &walk);
    while (walk.page < PAGES) {
        g_assert_cmpuint(visible_run(w, walk.page), ==, 0);
        walk.page++;
    }
}

/* What the listener was told is what is visible, section for section. */
static void check_listener(World *w)
{
    guint n = 0;

    for (uint64_t p = 0; p < PAGES; ) {
        uint64_t run = visible_run(w, p);
        bool found = false;

        for (guint i = 0; run && i < w->rec.sections->len; i++) {
            const MemorySection *s = &g_array_index(w->rec.sections,
                                                    RecordedSection,
                                                    i).section;

            found |= s->gpa == p * TM_PAGE_BYTES &&
                s->size == run * TM_PAGE_BYTES &&
                s->block == w->ram[p].block &&
                s->offset == w->ram[p].page * TM_PAGE_BYTES &&
                s->readonly == w->ram[p].readonly;
        }
        g_assert_cmpint(found, ==, run > 0);
        n += run > 0;
        p += MAX(run, 1);
    }
    g_assert_cmpuint(n, ==, w->rec.sections->len);
}

static bool has_section(const GArray *sections, const MemorySection *s)
{
    for (guint i = 0; i < sections->len; i++) {
        const MemorySection *o = &g_array_index(sections, RecordedSection,
                                                i).section;

        if (o->gpa == s->gpa && o->size == s->size && o->block == s->block &&
            o->offset == s->offset && o->readonly == s->readonly) {
            return true;
        }
    }
    return false;
}

static guint count_missing(const GArray *from, const GArray *in)
{
    guint n = 0;

    for (guint i = 0; i < from->len; i++) {
        n += !has_section(in, &g_array_index(from, RecordedSection,
                                             i).section);
    }
    return n;
}

static void commit_and_check_calls(World *w)
{
    g_autoptr(GArray) before = g_array_copy(w->rec.sections);
    g_autoptr(GError) error = NULL;

    w->rec.calls = 0;
    memory_map_commit(w->map, &error);
    g_assert_no_error(error);
    if (--w->depth) {
        g_assert_cmpuint(w->rec.calls, ==, 0);
        return;
    }
    /* One call per difference; sections that stay are not mentioned. */
    g_assert_cmpuint(w->rec.calls, ==,
                     count_missing(before, w->rec.sections) +
                     count_missing(w->rec.sections, before));
    if (w->rec.listener.map) {
        check_listener(w);
    }
    for (uint64_t p = 0; p < PAGES; p++) {
        check_find(w, p);
        check_io(w, p);
    }
    check_walk(w);
}

static void step_register(World *w)
{
    g_autofree char *log = NULL;

    if (w->rec.listener.map) {
        memory_listener_unregister(&w->rec.listener);
        g_assert_cmpuint(w->rec.sections->len, ==, 0);
    } else {
        g_assert_true(memory_listener_register(w->map, &w->rec.listener,
                                               NULL));
    }
    log = recording_listener_take_log(&w->rec);
}

static void step(World *w)
{
    int what = g_test_rand_int_range(0, 10);

    if (w->depth == 0) {
        if (what == 0) {
            step_register(w);
        }
        memory_map_begin(w->map);
        w->depth = 1;
    }
    if (what < 4) {
        step_add_ram(w);
    } else if (what < 6) {
        step_add_io(w);
    } else if (what < 8) {
        step_del(w);
    } else if (what == 8) {
        memory_map_begin(w->map);
        w->depth++;
    } else {
        commit_and_check_calls(w);
    }
}

static void test_random_programs_match_oracle(void)
{
    for (int i = 0; i < PROGRAMS; i++) {
        World w;

        world_init(&w);
        memory_listener_register(w.map, &w.rec.listener, NULL);
        for (uint64_t p = 0; p < BLOCK_PAGES; p++) {
            w.blocks[0]->host[p * TM_PAGE_BYTES] = p;
            w.blocks[1]->host[p * TM_PAGE_BYTES] = 100 + p;
        }
        for (int s = 0; s < STEPS; s++) {
            step(&w);
        }
        while (w.depth) {
            commit_and_check_calls(&w);
        }
        world_done(&w);
    }
}

static void test_claimed_window_splits_and_heals(void)
{
    g_autofree char *log = NULL;
    unsigned id;
    World w;

    world_init(&w);
    memory_listener_register(w.map, &w.rec.listener, NULL);
    memory_map_begin(w.map);
    memory_map_add_ram(w.map, 0, 0x10000, w.blocks[0], 0, false, NULL);
    memory_map_commit(w.map, NULL);
    memory_map_begin(w.map);
    id = memory_map_add_io(w.map, IO_SPACE_MEMORY, 0x4000, 0x2000, &page_ops,
                           NULL, "vga", NULL);
    memory_map_commit(w.map, NULL);
    memory_map_begin(w.map);
    memory_map_del(w.map, id);
    memory_map_commit(w.map, NULL);
    log = recording_listener_take_log(&w.rec);
    g_assert_cmpstr(log, ==,
                    "add 0x0+0x10000 a@0x0\n"
                    "del 0x0+0x10000 a@0x0\n"
                    "add 0x0+0x4000 a@0x0\n"
                    "add 0x6000+0xa000 a@0x6000\n"
                    "del 0x6000+0xa000 a@0x6000\n"
                    "del 0x0+0x4000 a@0x0\n"
                    "add 0x0+0x10000 a@0x0\n");
    world_done(&w);
}

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("got: %s", (*error)->message);
        g_test_fail();
    }
    g_clear_error(error);
}

static void test_add_ram_bad_windows_are_refused(void)
{
    g_autoptr(GError) error = NULL;
    RAMBlock *a;
    World w;

    world_init(&w);
    a = w.blocks[0];
    memory_map_begin(w.map);
    g_assert_cmpuint(memory_map_add_ram(w.map, 0x3000, 0x2000, a, 0, false,
                                        &error), >, 0);
    g_assert_cmpuint(memory_map_add_ram(w.map, 0x800, 0x1000, a, 0, false,
                                        &error), ==, 0);
    expect_words(&error, "whole pages");
    memory_map_add_ram(w.map, 0, 0, a, 0, false, &error);
    expect_words(&error, "whole pages");
    memory_map_add_ram(w.map, 0, 0x1000, a, 0x10, false, &error);
    expect_words(&error, "whole pages");
    memory_map_add_ram(w.map, 0x10000, a->length, a, 0x1000, false, &error);
    expect_words(&error, "beyond RAM block 'a'");
    memory_map_add_ram(w.map, 0x10000, 0x1000, a, -0x1000, false, &error);
    expect_words(&error, "beyond RAM block 'a'");
    memory_map_add_ram(w.map, -0x1000, 0x2000, a, 0, false, &error);
    expect_words(&error, "beyond the address space");
    memory_map_add_ram(w.map, 0x4000, 0x1000, w.blocks[1], 0, false, &error);
    expect_words(&error, "overlaps RAM block 'a' at 0x3000");
    memory_map_commit(w.map, NULL);
    world_done(&w);
}

static void test_add_io_bad_regions_are_refused(void)
{
    static const IoRegionOps odd = { .max_access = 3 };
    g_autoptr(GError) error = NULL;
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    g_assert_cmpuint(memory_map_add_io(w.map, IO_SPACE_PORT, 0x3f8, 8,
                                       &page_ops, NULL, "uart", &error),
                     >, 0);
    g_assert_cmpuint(memory_map_add_io(w.map, IO_SPACE_PORT, 0x3ff, 1,
                                       &page_ops, NULL, "x", &error), ==, 0);
    expect_words(&error, "'x' at 0x3ff, size 0x1 overlaps 'uart' at 0x3f8");
    memory_map_add_io(w.map, IO_SPACE_PORT, 0xfff9, 8, &page_ops, NULL, "x",
                      &error);
    expect_words(&error, "no range");
    memory_map_add_io(w.map, IO_SPACE_PORT, 5, 0, &page_ops, NULL, "x",
                      &error);
    expect_words(&error, "no range");
    memory_map_add_io(w.map, IO_SPACE_MEMORY, -0x1000, 0x1000, &page_ops,
                      NULL, "x", &error);
    expect_words(&error, "no range");
    memory_map_add_io(w.map, IO_SPACE_MEMORY, 0x1000, 0x800, &page_ops, NULL,
                      "x", &error);
    expect_words(&error, "whole pages");
    memory_map_add_io(w.map, IO_SPACE_PORT, 0x10, 1, &odd, NULL, "x", &error);
    expect_words(&error, "accesses of 3 bytes");
    /* Ports and memory are two spaces. */
    g_assert_cmpuint(memory_map_add_io(w.map, IO_SPACE_MEMORY, 0, 0x1000,
                                       &page_ops, NULL, "x", &error), >, 0);
    memory_map_commit(w.map, NULL);
    world_done(&w);
}

/*
 * Ports: every access against an oracle of single bytes.
 */
#define NPORTS 24

typedef struct PortDev {
    uint64_t base;
    uint64_t size;
    unsigned max;
    uint8_t *bytes; /* of all ports */
} PortDev;

static void check_port_access(const PortDev *dev, uint64_t offset,
                              unsigned size)
{
    g_assert_true(big_lock_is_held());
    g_assert_cmpuint(size, <=, dev->max);
    g_assert_cmpuint(size & (size - 1), ==, 0);
    g_assert_cmpuint(offset + size, <=, dev->size);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    PortDev *dev = opaque;
    uint64_t v = UINT64_MAX; /* bits beyond the size are not the caller's */

    check_port_access(dev, offset, size);
    memcpy(&v, dev->bytes + dev->base + offset, size);
    return v;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    PortDev *dev = opaque;

    check_port_access(dev, offset, size);
    if (size < 8) {
        g_assert_cmphex(value >> (size * 8), ==, 0);
    }
    memcpy(dev->bytes + dev->base + offset, &value, size);
}

static const IoRegionOps port_ops[] = {
    { port_read, port_write, 1 }, { port_read, port_write, 2 },
    { port_read, port_write, 4 }, { port_read, port_write, 8 },
};

static void check_ports(MemoryMap *map, uint8_t *bytes, const bool *claimed)
{
    for (int i = 0; i < 64; i++) {
        unsigned size = 1 << random_below(4);
        uint64_t addr = random_below(NPORTS);
        uint64_t value = (uint64_t)g_test_rand_int() << 32 |
                         (uint32_t)g_test_rand_int();
        uint8_t want[NPORTS + 8], old[NPORTS + 8];
        uint64_t got = memory_map_io_read(map, IO_SPACE_PORT, addr, size);

        memcpy(want, bytes, sizeof(want));
        for (unsigned b = 0; b < 8; b++) {
            uint8_t byte = b >= size ? 0 : claimed[addr + b] ? bytes[addr + b]
                                                             : 0xff;

            g_assert_cmphex(got >> (b * 8) & 0xff, ==, byte);
            if (b < size && claimed[addr + b]) {
                want[addr + b] = value >> (b * 8);
            }
        }
        memory_map_io_write(map, IO_SPACE_PORT, addr, value, size);
        memcpy(old, bytes, sizeof(old));
        g_assert_cmpmem(old, sizeof(old), want, sizeof(want));
    }
}

static void test_ports_random_accesses_match_bytes(void)
{
    for (int i = 0; i < 512; i++) {
        RAMList list = { 0 };
        MemoryMap *map = memory_map_new(&list);
        uint8_t bytes[NPORTS + 8] = { 0 };
        bool claimed[NPORTS + 8] = { false };
        PortDev devs[6];
        uint64_t at = random_below(4);
        bool hold = g_test_rand_bit();

        memory_map_begin(map);
        for (int d = 0; d < 6 && at < NPORTS; d++) {
            unsigned kind = random_below(4);

            devs[d] = (PortDev) { at, random_below(MIN(9, NPORTS - at)) + 1,
                                  1 << kind, bytes };
            g_assert_cmpuint(memory_map_add_io(map, IO_SPACE_PORT, at,
                                               devs[d].size, &port_ops[kind],
                                               &devs[d], "dev", NULL), >, 0);
            memset(claimed + at, true, devs[d].size);
            at += devs[d].size + random_below(3);
        }
        memory_map_commit(map, NULL);
        if (hold) {
            big_lock();
        }
        check_ports(map, bytes, claimed);
        g_assert_cmpint(big_lock_is_held(), ==, hold);
        if (hold) {
            big_unlock();
        }
        memory_map_free(map);
    }
}

static void test_io_memory_access_straddles_ram_and_device(void)
{
    static const IoRegionOps silent = { .max_access = 4 };
    uint64_t word = UINT64_C(0x8877665544332211);
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    memory_map_add_ram(w.map, 0, 0x2000, w.blocks[0], 0, false, NULL);
    memory_map_add_ram(w.map, 0x4000, 0x1000, w.blocks[0], 0x4000, true, NULL);
    memory_map_add_io(w.map, IO_SPACE_MEMORY, 0x2000, 0x1000, &silent, NULL,
                      "silent", NULL);
    memory_map_commit(w.map, NULL);
    memory_map_io_write(w.map, IO_SPACE_MEMORY, 0x1ffd, word, 8);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, 0x1ffd, 8), ==,
                    UINT64_C(0xffffffffff332211));
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, 0x1ffd, 2), ==,
                    0x2211);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, 0x9000, 4), ==,
                    0xffffffff);
    memory_map_io_write(w.map, IO_SPACE_MEMORY, 0x4ffc, word, 8);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, 0x4ffc, 8), ==,
                    UINT64_C(0xffffffff00000000));
    /* The last bytes of the address space, and beyond them its first. */
    memory_map_io_write(w.map, IO_SPACE_MEMORY, -2, word, 4);
    g_assert_cmphex(memory_map_io_read(w.map, IO_SPACE_MEMORY, -2, 4), ==,
                    0x4433ffff);
    world_done(&w);
}

static void test_to_text_shows_both_spaces(void)
{
    g_autofree char *text = NULL;
    World w;

    world_init(&w);
    memory_map_begin(w.map);
    memory_map_add_ram(w.map, 0x8000, 0x2000, w.blocks[1], 0x1000, true, NULL);
    memory_map_add_ram(w.map, 0, 0x8000, w.blocks[0], 0, false, NULL);
    memory_map_add_io(w.map, IO_SPACE_MEMORY, 0x4000, 0x1000, &page_ops, NULL,
                      "vga", NULL);
    memory_map_add_io(w.map, IO_SPACE_MEMORY, UINT64_C(0xfee00000), 0x100000,
                      &page_ops, NULL, "apic", NULL);
    memory_map_add_io(w.map, IO_SPACE_PORT, 0x3f8, 8, &page_ops, NULL,
                      "serial", NULL);
    memory_map_add_io(w.map, IO_SPACE_PORT, 0x92, 1, &page_ops, NULL,
                      "port92", NULL);
    memory_map_commit(w.map, NULL);
    text = memory_map_to_text(w.map);
    g_assert_cmpstr(text, ==,
        "address-space: memory\n"
        "  0000000000000000-0000000000003fff (prio 0, ram): a\n"
        "  0000000000004000-0000000000004fff (prio 0, i/o): vga\n"
        "  0000000000005000-0000000000007fff (prio 0, ram): a"
        " @0000000000005000\n"
        "  0000000000008000-0000000000009fff (prio 0, rom): b"
        " @0000000000001000\n"
        "  00000000fee00000-00000000feefffff (prio 0, i/o): apic\n"
        "\n"
        "address-space: I/O\n"
        "  0000000000000092-0000000000000092 (prio 0, i/o): port92\n"
        "  00000000000003f8-00000000000003ff (prio 0, i/o): serial\n");
    world_done(&w);
}

/* Readers beside a writer that claims and frees a page again and again. */
typedef struct Race {
    World w;
    bool stop; /* atomic */
} Race;

static gpointer race_reader(gpointer data)
{
    Race *r = data;
    uint64_t n = 0;

    while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
        uint8_t buf[3 * 4096];
        uint64_t got = guest_read(r->w.map, 0, buf, sizeof(buf));
        MemorySection s;

        g_assert_true(got == sizeof(buf) || got == 4096);
        g_assert_true(memory_map_find(r->w.map, 0x2000, &s));
        g_assert_cmpuint(s.size, ==, 0x1000);
        n++;
    }
    return GUINT_TO_POINTER(n > 0);
}

static void test_readers_beside_commits_see_whole_views(void)
{
    GThread *threads[2];
    Race r = { .stop = false };

    world_init(&r.w);
    memory_map_begin(r.w.map);
    memory_map_add_ram(r.w.map, 0, 0x3000, r.w.blocks[0], 0, false, NULL);
    memory_map_commit(r.w.map, NULL);
    for (int i = 0; i < 2; i++) {
        threads[i] = g_thread_new("reader", race_reader, &r);
    }
    for (int i = 0; i < 2000; i++) {
        unsigned id;

        memory_map_begin(r.w.map);
        id = memory_map_add_io(r.w.map, IO_SPACE_MEMORY, 0x1000, 0x1000,
                               &page_ops, NULL, "dev", NULL);
        memory_map_commit(r.w.map, NULL);
        memory_map_begin(r.w.map);
        memory_map_del(r.w.map, id);
        memory_map_commit(r.w.map, NULL);
    }
    __atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        g_thread_join(threads[i]);
    }
    world_done(&r.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory-map/random/matches-oracle",
                    test_random_programs_match_oracle);
    g_test_add_func("/memory-map/commit/claimed-window-splits-and-heals",
                    test_claimed_window_splits_and_heals);
    g_test_add_func("/memory-map/add-ram/bad-windows-are-refused",
                    test_add_ram_bad_windows_are_refused);
    g_test_add_func("/memory-map/add-io/bad-regions-are-refused",
                    test_add_io_bad_regions_are_refused);
    g_test_add_func("/memory-map/io/random-accesses-match-bytes",
                    test_ports_random_accesses_match_bytes);
    g_test_add_func("/memory-map/io/straddles-ram-and-device",
                    test_io_memory_access_straddles_ram_and_device);
    g_test_add_func("/memory-map/to-text/shows-both-spaces",
                    test_to_text_shows_both_spaces);
    g_test_add_func("/memory-map/threads/readers-see-whole-views",
                    test_readers_beside_commits_see_whole_views);
    return g_test_run();
}
