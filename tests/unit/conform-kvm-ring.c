/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: dirty rings.
 */
#include "conform-kvm-int.h"

#include <sys/mman.h>

#include "ring-reader.h"

#define VCPUS 2
#define RING KVM_CAP_DIRTY_LOG_RING
#define RING_PAGE KVM_DIRTY_LOG_PAGE_OFFSET
#define FULL KVM_EXIT_DIRTY_RING_FULL
#define RW (PROT_READ | PROT_WRITE)
#define SLOT 5
#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif

/* A VM with rings, a slot that is logged, and who harvests. */
typedef struct Rings {
    ConformKernel *k;
    uint8_t *p;
    RingReader of[VCPUS];
} Rings;

static size_t ring_bytes(ConformKernel *k)
{
    return k->ring_entries * sizeof(struct kvm_dirty_gfn);
}

static int set(Rings *r, uint64_t npages, uint32_t flags)
{
    return slot(r->k, SLOT, GPA, npages * PAGE, flags, r->p);
}

static void begin(Rings *r, ConformKernel *k)
{
    r->k = k;
    r->p = memory_new();
    OK(enable(k, RING, ring_bytes(k), 0));
    OK(set(r, NPAGES, LOG));
    for (unsigned i = 0; i < VCPUS; i++) {
        ring_reader_init(&r->of[i], k->io, k->vcpu(k, i), k->ring_entries);
    }
}

static void end(Rings *r)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        ring_reader_done(&r->of[i]);
    }
    OK(set(r, 0, 0));
    memory_free(r->p);
}

static int try_page(Rings *r, unsigned vcpu, uint64_t page, uint64_t value)
{
    return r->k->try_store(r->k, vcpu, GPA + page * PAGE, value);
}

static void store_pages(Rings *r, unsigned vcpu, uint64_t first, uint64_t n,
                        uint64_t value)
{
    for (uint64_t page = first; page < first + n; page++) {
        g_assert_cmpint(try_page(r, vcpu, page, value), ==, 0);
    }
}

static uint64_t value_of(Rings *r, uint64_t page)
{
    return *(uint64_t *)(r->p + page * PAGE);
}

static int reset(Rings *r)
{
    return kvm_vm(r->k->io, KVM_RESET_DIRTY_RINGS, NULL);
}

#define RESETS(r, n) g_assert_cmpint(reset(r), ==, n)

/* The next entries of @vcpu are these pages in this order; -1 ends them. */
static void check_next(Rings *r, unsigned vcpu, const int *pages)
{
    struct kvm_dirty_gfn e;

    for (unsigned i = 0; pages[i] >= 0; i++) {
        g_assert_true(ring_reader_take(&r->of[vcpu], &e));
        g_assert_cmphex(e.slot, ==, SLOT);
        g_assert_cmpuint(e.offset, ==, pages[i]);
    }
}
#define NEXT(r, vcpu, ...)                                                 \
    check_next(r, vcpu, (const int[]) { __VA_ARGS__, -1 })

static void check_run(Rings *r, unsigned vcpu, uint64_t first, uint64_t n)
{
    for (uint64_t page = first; page < first + n; page++) {
        NEXT(r, vcpu, page);
    }
}

static void check_empty(Rings *r, unsigned vcpu)
{
    struct kvm_dirty_gfn e;

    g_assert_false(ring_reader_take(&r->of[vcpu], &e));
}

/* ---- enabling ------------------------------------------------------------ */

static void conform_ring_arguments(ConformKernel *k)
{
    const uint32_t caps[] = { RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL };

    for (unsigned i = 0; i < G_N_ELEMENTS(caps); i++) {
        g_assert_cmpint(kvm_vm(k->io, KVM_CHECK_EXTENSION, KVM_ARG(caps[i])),
                        ==, 1 << 20);
        FAILS(enable(k, caps[i], 0, 0), EINVAL);
        FAILS(enable(k, caps[i], 1000, 0), EINVAL);
        FAILS(enable(k, caps[i], 16, 0), EINVAL);
        FAILS(enable(k, caps[i], 2048, 0), EINVAL);
        FAILS(enable(k, caps[i], 65536 + 16, 0), EINVAL);
        FAILS(enable(k, caps[i], 2 << 20, 0), E2BIG);
        FAILS(enable(k, caps[i], UINT64_C(1) << 32, 0), EINVAL);
    }
    FAILS(reset(&(Rings) { .k = k }), EINVAL);
    /* Of the size 32 bits are looked at, of the flags none. */
    OK(enable(k, caps[1], UINT64_C(1) << 32 | ring_bytes(k), 1));
    FAILS(enable(k, caps[1], ring_bytes(k), 0), EINVAL);
    FAILS(enable(k, caps[0], 65536, 0), EINVAL);
    /* Too large is said before too late. */
    FAILS(enable(k, caps[0], 2 << 20, 0), E2BIG);
    FAILS(enable(k, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0, 0), EINVAL);
    OK(reset(&(Rings) { .k = k }));
    /* What makes no sense with it is accepted all the same. */
    OK(manual(k, 1));
    OK(manual(k, 3));
}

static void conform_ring_largest(ConformKernel *k)
{
    OK(enable(k, RING, 1 << 20, 0));
}

static void conform_ring_after_vcpu(ConformKernel *k)
{
    g_assert_cmpint(k->vcpu(k, 0), >=, 0);
    FAILS(enable(k, RING, ring_bytes(k), 0), EINVAL);
    FAILS(enable(k, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, ring_bytes(k), 0),
          EINVAL);
    FAILS(reset(&(Rings) { .k = k }), EINVAL);
}

static void conform_ring_no_log(ConformKernel *k)
{
    uint64_t words[2 * WORDS] = { 0 };
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 3, 1, 1);
    FAILS(get(k, SLOT, words), ENXIO);
    FAILS(get(k, SLOT + 1, words), ENXIO);
    FAILS(clear_ones(k, SLOT, 0, 64), ENXIO);
    NEXT(&r, 0, 3);
    end(&r);
}

/* ---- mapping ------------------------------------------------------------- */

static void check_map_refused(ConformKernel *k, int prot, int flags, int err)
{
    errno = 0;
    g_assert_null(k->map(k, k->vcpu(k, 0), prot, flags, RING_PAGE,
                         ring_bytes(k)));
    g_assert_cmpint(errno, ==, err);
}

static void conform_ring_mapping(ConformKernel *k)
{
    struct kvm_dirty_gfn *more, *half;
    Rings r;
    int fd;

    begin(&r, k);
    fd = k->vcpu(k, 0);
    check_map_refused(k, RW, MAP_PRIVATE, EINVAL);
    check_map_refused(k, PROT_READ, MAP_PRIVATE, EINVAL);
    check_map_refused(k, RW | PROT_EXEC, MAP_SHARED, EPERM);
    check_map_refused(k, RW | PROT_EXEC, MAP_PRIVATE, EPERM);
    /* Longer than the ring, shorter, and several at once show the same. */
    more = k->map(k, fd, RW, MAP_SHARED, RING_PAGE, 2 * ring_bytes(k));
    half = k->map(k, fd, PROT_READ, MAP_SHARED, RING_PAGE, PAGE);
    g_assert_nonnull(more);
    g_assert_nonnull(half);
    store_pages(&r, 0, 3, 1, 1);
    g_assert_cmpuint(half[0].flags, ==, KVM_DIRTY_GFN_F_DIRTY);
    g_assert_cmpuint(half[0].offset, ==, 3);
    g_assert_cmpuint(more[0].offset, ==, 3);
    more[0].flags = KVM_DIRTY_GFN_F_RESET;
    RESETS(&r, 1);
    g_assert_cmpuint(half[0].flags, ==, 0);
    munmap(more, 2 * ring_bytes(k));
    /* The ring stays while nobody maps it. */
    munmap(half, PAGE);
    ring_reader_done(&r.of[0]);
    store_pages(&r, 0, 4, 1, 1);
    ring_reader_init(&r.of[0], k->io, fd, k->ring_entries);
    r.of[0].next = 1;
    NEXT(&r, 0, 4);
    RESETS(&r, 1);
    end(&r);
}

/* ---- pushing ------------------------------------------------------------- */

static void conform_ring_push(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 70, 3, 1);
    store_pages(&r, 1, 5, 1, 2);
    store_pages(&r, 0, 0, 1, 1);
    store_pages(&r, 0, NPAGES - 1, 1, 1);
    /* What can be written is not named again, whoever writes. */
    store_pages(&r, 0, 70, 3, 3);
    store_pages(&r, 1, 70, 3, 4);
    store_pages(&r, 0, 5, 1, 4);
    NEXT(&r, 0, 70, 71, 72, 0, NPAGES - 1);
    check_empty(&r, 0);
    NEXT(&r, 1, 5);
    check_empty(&r, 1);
    /* Neither is what a slot that cannot be written refuses, nor what this
     * process writes. */
    OK(slot(k, SLOT + 1, GPA + NPAGES * PAGE, 10 * PAGE, LOG | READONLY,
            r.p + NPAGES * PAGE));
    g_assert_cmpint(try_page(&r, 0, NPAGES + 1, 5), ==, KVM_EXIT_MMIO);
    memset(r.p + 7 * PAGE, 1, 3 * PAGE);
    check_empty(&r, 0);
    RESETS(&r, 6);
    OK(slot(k, SLOT + 1, GPA, 0, 0, NULL));
    end(&r);
}

/* Entries name pages of slots: a move changes nothing for those that are
 * there, and every page is named again. */
static void conform_ring_move(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 3, 2, 1);
    OK(slot(k, SLOT, GPA + 100 * PAGE, NPAGES * PAGE, LOG, r.p));
    store_pages(&r, 0, 104, 1, 2);
    g_assert_cmpuint(value_of(&r, 4), ==, 2);
    NEXT(&r, 0, 3, 4, 4);
    RESETS(&r, 3);
    store_pages(&r, 0, 104, 1, 3);
    NEXT(&r, 0, 4);
    end(&r);
}

static void conform_ring_flag(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 0, 2, 1);
    OK(set(&r, NPAGES, 0));
    store_pages(&r, 0, 1, 9, 2);
    NEXT(&r, 0, 0, 1);
    check_empty(&r, 0);
    /* On again, all that can be written is not. */
    OK(set(&r, NPAGES, LOG));
    store_pages(&r, 0, 0, 10, 3);
    check_run(&r, 0, 0, 10);
    check_empty(&r, 0);
    RESETS(&r, 12);
    /* So it mends a page whose entry nobody minded: off and on is enough. */
    store_pages(&r, 0, 20, 1, 1);
    NEXT(&r, 0, 20);
    store_pages(&r, 0, 20, 1, 2);
    check_empty(&r, 0);
    OK(set(&r, NPAGES, 0));
    OK(set(&r, NPAGES, LOG));
    store_pages(&r, 0, 20, 1, 3);
    NEXT(&r, 0, 20);
    RESETS(&r, 2);
    end(&r);
}

/* The capability that lets the log begin with every bit set is accepted; what
 * was writable before the log began stays so, and is in no ring. */
static void conform_ring_initially_set(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    OK(set(&r, NPAGES, 0));
    store_pages(&r, 0, 0, 20, 1);
    OK(manual(k, 3));
    OK(set(&r, NPAGES, LOG));
    store_pages(&r, 0, 0, 20, 2);
    check_empty(&r, 0);
    OK(set(&r, NPAGES, 0));
    OK(manual(k, 1));
    OK(set(&r, NPAGES, LOG));
    store_pages(&r, 0, 0, 20, 3);
    check_run(&r, 0, 0, 20);
    end(&r);
}

/* ---- the limit ----------------------------------------------------------- */

/* Until the ring is full. Returns: the page whose store was not made. */
static uint64_t fill(Rings *r, unsigned vcpu, uint64_t value)
{
    uint64_t page = 0;
    int reason;

    while ((reason = try_page(r, vcpu, page, value)) == 0) {
        page++;
        g_assert_cmpuint(page, <, NPAGES);
    }
    g_assert_cmpint(reason, ==, FULL);
    return page;
}

static void conform_ring_full(ConformKernel *k)
{
    const uint32_t limit = k->ring_entries - k->ring_reserved;
    uint64_t page;
    Rings r;

    begin(&r, k);
    page = fill(&r, 0, 1);
    /* A fault fills it before the store, hardware's buffer after that. */
    g_assert_cmpuint(page, >=, limit - 1);
    g_assert_cmpuint(page, <=, limit);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(try_page(&r, 0, page, 1), ==, FULL);
        g_assert_cmpint(try_page(&r, 0, 0, 2), ==, FULL);
    }
    g_assert_cmpuint(value_of(&r, page), ==, 0);
    g_assert_cmpuint(value_of(&r, 0), ==, 1);
    /* The others' rings are their own. */
    g_assert_cmpint(try_page(&r, 1, NPAGES - 1, 1), ==, 0);
    /* Harvested is not reset. */
    check_run(&r, 0, 0, limit);
    check_empty(&r, 0);
    g_assert_cmpint(try_page(&r, 0, page, 1), ==, FULL);
    RESETS(&r, limit);
    g_assert_cmpint(try_page(&r, 0, page, 1), ==, 0);
    NEXT(&r, 0, page);
    g_assert_cmpuint(value_of(&r, page), ==, 1);
    end(&r);
}

/* One entry less than the limit is room for one. */
static void conform_ring_room(ConformKernel *k)
{
    uint64_t page;
    Rings r;

    begin(&r, k);
    page = fill(&r, 0, 1);
    NEXT(&r, 0, 0);
    RESETS(&r, 1);
    g_assert_cmpint(try_page(&r, 0, page, 1), ==, 0);
    check_run(&r, 0, 1, page);
    check_empty(&r, 0);
    RESETS(&r, page);
    end(&r);
}

static void conform_ring_laps(ConformKernel *k)
{
    const uint32_t step = k->ring_entries / 8 - 1;
    uint32_t done = 0;
    Rings r;

    begin(&r, k);
    for (uint64_t i = 1; done < 3 * k->ring_entries; i++) {
        uint64_t first = done % (NPAGES - step);

        store_pages(&r, i & 1, first, step, i);
        check_run(&r, i & 1, first, step);
        check_empty(&r, i & 1);
        RESETS(&r, step);
        done += step;
    }
    end(&r);
}

/* ---- the reset ----------------------------------------------------------- */

static void conform_ring_reset_order(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    RESETS(&r, 0);
    store_pages(&r, 0, 0, 10, 1);
    store_pages(&r, 1, 20, 10, 1);
    RESETS(&r, 0);
    /* The first that is not marked is where each ring's reset ends. */
    g_assert_cmpuint(ring_reader_skip(&r.of[0], 2), ==, 2);
    r.of[0].entries[3].flags = KVM_DIRTY_GFN_F_RESET;
    g_assert_cmpuint(ring_reader_skip(&r.of[1], 5), ==, 5);
    RESETS(&r, 7);
    RESETS(&r, 0);
    g_assert_cmpuint(r.of[0].entries[1].flags, ==, 0);
    g_assert_cmpuint(r.of[0].entries[2].flags, ==, KVM_DIRTY_GFN_F_DIRTY);
    g_assert_cmpuint(r.of[0].entries[3].flags, ==, KVM_DIRTY_GFN_F_RESET);
    /* What it means is the second bit alone. */
    r.of[0].entries[2].flags = KVM_DIRTY_GFN_F_MASK;
    RESETS(&r, 2);
    r.of[0].next = 4;
    check_run(&r, 0, 4, 6);
    check_run(&r, 1, 25, 5);
    RESETS(&r, 11);
    end(&r);
}

/* After the reset that takes its entry a page is named again, each single
 * one and not before; near ones go together, in whatever order. */
static void conform_ring_rearms(ConformKernel *k)
{
    static const struct { unsigned stride, pages; } orders[] = {
        { 1, NPAGES }, { 3, NPAGES }, { 63, NPAGES }, { 64, NPAGES / 8 },
        { 65, NPAGES / 5 }, { NPAGES - 1, NPAGES }, { NPAGES - 63, NPAGES },
        { NPAGES - 64, NPAGES / 8 },
    };
    const unsigned room = (k->ring_entries - k->ring_reserved) / 2;
    Rings r;

    begin(&r, k);
    for (unsigned i = 0; i < G_N_ELEMENTS(orders); i++) {
        unsigned n = MIN(orders[i].pages, room);

        for (unsigned again = 0; again < 3; again++) {
            for (unsigned page = 0; page < n; page++) {
                store_pages(&r, 0, page * orders[i].stride % NPAGES, 1, again);
            }
            g_assert_cmpuint(ring_reader_skip(&r.of[0], n + 1), ==,
                             again == 1 ? 0 : n);
            if (again != 0) {
                RESETS(&r, n);
            }
        }
    }
    end(&r);
}

/* One reset of two for a page that is in a ring twice, or in two. */
static void conform_ring_duplicates(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    for (unsigned other = 0; other < VCPUS; other++) {
        store_pages(&r, 0, 1, 1, 1);
        OK(set(&r, NPAGES, 0));
        OK(set(&r, NPAGES, LOG));
        store_pages(&r, other, 1, 1, 2);
        NEXT(&r, 0, 1);
        RESETS(&r, 1);
        store_pages(&r, 0, 1, 1, 3);
        NEXT(&r, other, 1);
        NEXT(&r, 0, 1);
        RESETS(&r, 2);
        store_pages(&r, 1, 1, 1, 4);
        NEXT(&r, 1, 1);
        check_empty(&r, 0);
        RESETS(&r, 1);
    }
    end(&r);
}

/* ---- what is stale ------------------------------------------------------- */

/* The entries of a slot outlive it: they are taken and counted, and touch
 * nothing, also if a smaller slot has come in its place. */
static void conform_ring_stale(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 10, 1, 1);
    store_pages(&r, 0, 900, 1, 1);
    OK(set(&r, 0, 0));
    NEXT(&r, 0, 10, 900);
    RESETS(&r, 2);
    OK(set(&r, NPAGES, LOG));
    store_pages(&r, 0, 10, 1, 2);
    store_pages(&r, 0, 900, 1, 2);
    OK(set(&r, 0, 0));
    OK(set(&r, 100, LOG));
    g_assert_cmpint(try_page(&r, 0, 900, 3), ==, KVM_EXIT_MMIO);
    store_pages(&r, 0, 99, 1, 3);
    NEXT(&r, 0, 10, 900, 99);
    RESETS(&r, 3);
    store_pages(&r, 0, 99, 1, 4);
    NEXT(&r, 0, 99);
    /* What a harvester scribbles into an entry hurts nobody else. */
    r.of[0].entries[r.of[0].next - 1].slot = 0xffff0000 | SLOT;
    r.of[0].entries[r.of[0].next - 1].offset = UINT64_MAX;
    RESETS(&r, 1);
    end(&r);
}

/* Stale entries are left alone together with their neighbours: the page of a
 * good entry beside a stale one stays writable, and its stores are lost. So a
 * ring has to be empty before a slot's number comes again. */
static void conform_ring_stale_neighbour(ConformKernel *k)
{
    Rings r;

    begin(&r, k);
    store_pages(&r, 0, 110, 1, 1);
    OK(set(&r, 0, 0));
    OK(set(&r, 100, LOG));
    store_pages(&r, 0, 99, 1, 2);
    NEXT(&r, 0, 110, 99);
    RESETS(&r, 2);
    store_pages(&r, 0, 99, 1, 3);
    check_empty(&r, 0);
    end(&r);
}

const ConformBody conform_ring_bodies[] = {
    { "arguments", conform_ring_arguments, true },
    { "largest", conform_ring_largest, true },
    { "after-vcpu", conform_ring_after_vcpu, true },
    { "no-log", conform_ring_no_log, true },
    { "mapping", conform_ring_mapping, true },
    { "push", conform_ring_push, true },
    { "move", conform_ring_move, true },
    { "flag", conform_ring_flag, true },
    { "initially-set", conform_ring_initially_set, true, true },
    { "full", conform_ring_full, true },
    { "room", conform_ring_room, true },
    { "laps", conform_ring_laps, true },
    { "reset-order", conform_ring_reset_order, true },
    { "rearms", conform_ring_rearms, true },
    { "duplicates", conform_ring_duplicates, true },
    { "stale", conform_ring_stale, true, true },
    { "stale-neighbour", conform_ring_stale_neighbour, true, true },
    { NULL },
};
