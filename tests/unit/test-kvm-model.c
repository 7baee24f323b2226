/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs against an oracle. A program is a few hundred steps of:
 * guest writes, writes by the VMM, sync rounds, three clients that clear, take
 * and read ranges of any alignment, clients that come and go, windows that
 * come and go, move, shrink, grow, get holes, show another block or show one
 * block twice. Guest writes also fall into the middle of all ioctls, but for
 * those made while the map holds the vCPUs.
 *
 * A page holds one number, the time of its last write. A client keeps its own
 * copy of all pages, made by reading those whose bits it took. The oracle is
 * that simple: at the end, after the guest has stopped, a last sync and a
 * last sending, a client's copy equals memory, unless the client came on with
 * nothing dirty, when pages that were not written since may differ. On the
 * way: a bit that leaves the kernel is known to every client that is on.
 *
 * The mutants at the end are the known ways to get it wrong; each must be
 * caught.
 */
#include <linux/kvm.h>
#include <string.h>

#include "kvm-rig.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "system/memory-listener.h"
#include "util/bitmap.h"

#define PAGE TM_PAGE_BYTES
#define STEPS 120
#define CLIENTS 3
#define PLACES 8
#define PROGRAMS 1024

/* What a program does wrong on purpose. */
typedef enum Fault {
    FAULT_NONE,
    FAULT_CLEAR_AFTER_READ,   /* of the sender */
    FAULT_ALL_ONES,           /* clear: ones instead of the cache */
    FAULT_KEEP_CACHE,         /* clear: the cache's bits stay */
    FAULT_WIDEN,              /* clear: edges are not masked */
    FAULT_PRESET_ANYWAY,      /* a cache of ones without initially-set */
    FAULT_LATE_STOP,          /* the guest writes after the last sync */
    FAULT_NO_HOLD,            /* the guest writes while the map changes */
} Fault;

static Fault fault;
static bool only_the_end; /* look at the copies alone, not at invariants */

/* Blocks of shapes around words and slots. */
static const struct { const char *name; uint64_t npages; } layouts[] = {
    { "a", 300 }, { "b", 1 }, { "c", 63 }, { "d", 130 }, { "e", 64 },
};
#define BLOCKS G_N_ELEMENTS(layouts)
#define MAX_PAGES 300

/* Where a window may be; two apart by more than the largest block. */
typedef struct Place {
    unsigned id;        /* of the window, 0: none */
    unsigned hole;      /* of the I/O region in it, 0: none */
    unsigned block;
    uint64_t first, npages;  /* of the block */
} Place;

typedef struct Client {
    DirtyClient which;
    bool on;
    int only;        /* the block that it is on for; -1: all */
    uint64_t copy[BLOCKS][MAX_PAGES];
    uint64_t since;  /* pages written after this time must be right */
} Client;

typedef struct Program {
    KvmRig *rig;
    GRand *rand;
    uint64_t time;
    Place places[PLACES];
    Client clients[CLIENTS];
    const char *failure;
    unsigned held;   /* by the map */
    bool stopped;    /* the guest, for good */
} Program;

static uint64_t pick(Program *p, uint64_t n)
{
    return g_rand_int(p->rand) % n;
}

static RAMBlock *block_at(Program *p, unsigned i)
{
    return g_ptr_array_index(p->rig->ram.blocks, i);
}

static uint64_t page_now(RAMBlock *b, uint64_t page)
{
    uint64_t value;

    memcpy(&value, b->host + page * PAGE, sizeof(value));
    return value;
}

static void fail(Program *p, const char *why)
{
    if (!p->failure) {
        p->failure = why;
    }
}

/* ---- the guest -------------------------------------------------------- */

static uint64_t place_gpa(unsigned i)
{
    return (i + 1) * UINT64_C(0x1000000) + i % 2 * 3 * PAGE;
}

/* A page of a window at random, some more often. Returns: false if there is
 * no window in the place that was picked. */
static bool pick_page(Program *p, uint64_t *ret_gpa)
{
    unsigned i = pick(p, PLACES);
    const Place *place = &p->places[i];
    uint64_t page = pick(p, MAX_PAGES);

    if (!place->id) {
        return false;
    }
    page %= g_rand_int(p->rand) % 2 ? 8 : MAX_PAGES;
    *ret_gpa = place_gpa(i) + page % place->npages * PAGE;
    return true;
}

static void guest_writes(Program *p, unsigned n)
{
    uint64_t gpa;

    for (unsigned i = 0; i < n && !p->stopped && !p->held; i++) {
        if (pick_page(p, &gpa)) {
            kvm_model_write(p->rig->model, gpa, ++p->time);
        }
    }
}

static bool is_on_for(Program *p, const Client *c, const RAMBlock *b)
{
    return c->on && (c->only < 0 || block_at(p, c->only) == b);
}

static void on_interleave(void *opaque)
{
    Program *p = opaque;

    if (g_rand_int(p->rand) % 4 == 0) {
        guest_writes(p, 1 + pick(p, 3));
    }
}

/* A bit left the kernel: whoever is on must have been told. Bits that GET
 * takes are about to be told. */
static void on_taken(void *opaque, const KvmModelSlot *slot, uint64_t page,
                     bool by_get)
{
    Program *p = opaque;
    uint64_t offset;
    RAMBlock *b = ram_list_find_host(&p->rig->ram, slot->host + page * PAGE,
                                     &offset);

    for (unsigned c = 0; !by_get && c < CLIENTS; c++) {
        if (is_on_for(p, &p->clients[c], b) &&
            !dirty_bitmap_test(b, p->clients[c].which, offset / PAGE)) {
            fail(p, "a kernel bit was cleared that a client does not know");
        }
    }
}

/* ---- clients ---------------------------------------------------------- */

static void sync_all(Program *p)
{
    g_autoptr(GError) error = NULL;

    if (!dirty_sync_round(p->rig->map, &error)) {
        fail(p, "sync failed");
    }
}

static void clear_range(Program *p, RAMBlock *b, uint64_t first, uint64_t n)
{
    g_autoptr(GError) error = NULL;

    if (!memory_region_clear_dirty_bitmap(p->rig->map, b, first, n, &error)) {
        fail(p, "clear failed");
    }
}

/* Clear, then take, then read, with the guest in every gap. */
static void send_range(Program *p, Client *c, unsigned i, uint64_t first,
                       uint64_t n)
{
    RAMBlock *b = block_at(p, i);

    if (fault != FAULT_CLEAR_AFTER_READ) {
        clear_range(p, b, first, n);
    }
    guest_writes(p, pick(p, 3));
    for (uint64_t page = first; page < first + n; page++) {
        if (dirty_bitmap_take(b, c->which, page)) {
            on_interleave(p);
            c->copy[i][page] = page_now(b, page);
        }
    }
    if (fault == FAULT_CLEAR_AFTER_READ) {
        guest_writes(p, pick(p, 3));
        clear_range(p, b, first, n);
    }
}

static void send_some(Program *p)
{
    Client *c = &p->clients[pick(p, CLIENTS)];
    unsigned i = pick(p, BLOCKS);
    uint64_t npages = layouts[i].npages;
    uint64_t first = pick(p, npages);
    uint64_t n = 1 + pick(p, npages - first);

    if (is_on_for(p, c, block_at(p, i))) {
        send_range(p, c, i, first, n);
    }
}

/* The display's kind is on for one block. */
static void client_on(Program *p, Client *c, bool all_ones)
{
    g_autoptr(GError) error = NULL;
    bool ok;

    c->on = true;
    c->only = c->which == DIRTY_CLIENT_DISPLAY ? (int)pick(p, BLOCKS) : -1;
    if (c->only >= 0) {
        all_ones = false;
        ok = dirty_log_start_block(p->rig->map, c->which,
                                   block_at(p, c->only), &error);
    } else {
        ok = dirty_log_start(p->rig->map, c->which, all_ones, &error);
    }
    if (!ok) {
        fail(p, "log start failed");
    }
    c->since = all_ones ? 0 : p->time; /* promised from the return on */
}

static void client_off(Program *p, Client *c)
{
    c->on = false;
    if (c->only >= 0) {
        dirty_log_stop_block(p->rig->map, c->which, block_at(p, c->only));
    } else {
        dirty_log_stop(p->rig->map, c->which);
    }
}

/* Everything that is dirty, then compare. */
static void client_finish(Program *p, Client *c)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        uint64_t n = is_on_for(p, c, block_at(p, i)) ? layouts[i].npages : 0;

        send_range(p, c, i, 0, n);
        for (uint64_t page = 0; page < n; page++) {
            uint64_t now = page_now(block_at(p, i), page);

            if (now > c->since && now != c->copy[i][page]) {
                fail(p, "a dirty page was not sent");
            }
        }
    }
}

/* ---- the map ---------------------------------------------------------- */

static void map_hold(void *opaque)
{
    Program *p = opaque;

    p->held += fault != FAULT_NO_HOLD;
}

static void map_release(void *opaque)
{
    Program *p = opaque;

    p->held -= fault != FAULT_NO_HOLD;
}

static void window_del(Program *p, Place *place)
{
    if (place->hole) {
        memory_map_del(p->rig->map, place->hole);
    }
    if (place->id) {
        memory_map_del(p->rig->map, place->id);
    }
    place->hole = place->id = 0;
}

/* Any part of any block. */
static void window_add(Program *p, unsigned i)
{
    Place *place = &p->places[i];
    g_autoptr(GError) error = NULL;

    place->block = pick(p, BLOCKS);
    place->first = pick(p, layouts[place->block].npages);
    if (g_rand_int(p->rand) % 2) {
        place->first = 0;
    }
    place->npages = layouts[place->block].npages - place->first;
    place->npages -= g_rand_int(p->rand) % 2 ? pick(p, place->npages) : 0;
    place->id = memory_map_add_ram(p->rig->map, place_gpa(i),
                                   place->npages * PAGE,
                                   block_at(p, place->block),
                                   place->first * PAGE, false, &error);
    g_assert_no_error(error);
}

static void hole_add(Program *p, unsigned i)
{
    static const IoRegionOps nothing = { .max_access = 8 };
    Place *place = &p->places[i];
    uint64_t page = pick(p, place->npages);
    g_autoptr(GError) error = NULL;

    place->hole = memory_map_add_io(
        p->rig->map, IO_SPACE_MEMORY, place_gpa(i) + page * PAGE,
        (1 + pick(p, place->npages - page)) * PAGE, &nothing, NULL, "hole",
        &error);
    g_assert_no_error(error);
}

/* One change, or several that the listeners see as one: with a window gone
 * and another added that is a move, a change of size, or of the block shown. */
static void change_map(Program *p)
{
    g_autoptr(GError) error = NULL;

    memory_map_begin(p->rig->map);
    for (unsigned n = 1 + pick(p, 3); n > 0; n--) {
        unsigned i = pick(p, PLACES);
        Place *place = &p->places[i];

        if (!place->id) {
            window_add(p, i);
        } else if (pick(p, 3) > 0) {
            window_del(p, place);
            if (pick(p, 2)) {
                window_add(p, i);
            }
        } else if (place->hole) {
            memory_map_del(p->rig->map, place->hole);
            place->hole = 0;
        } else {
            hole_add(p, i);
        }
    }
    memory_map_commit(p->rig->map, &error);
    g_assert_no_error(error);
}

static void map_all(Program *p)
{
    memory_map_begin(p->rig->map);
    for (unsigned i = 0; i < BLOCKS; i++) {
        g_autoptr(GError) error = NULL;
        RAMBlock *b = ram_list_add_anon(&p->rig->ram, layouts[i].name,
                                        layouts[i].npages * PAGE, &error);

        g_assert_no_error(error);
        p->places[i] = (Place) { .block = i, .npages = layouts[i].npages };
        p->places[i].id = memory_map_add_ram(p->rig->map, place_gpa(i),
                                             b->length, b, 0, false, &error);
        g_assert_no_error(error);
    }
    memory_map_commit(p->rig->map, NULL);
}

static void vmm_writes(Program *p)
{
    uint64_t gpa;

    p->time++;
    if (pick_page(p, &gpa)) {
        guest_write(p->rig->map, gpa, &p->time, sizeof(p->time));
    }
}

/* ---- programs --------------------------------------------------------- */

static void step(Program *p)
{
    Client *c = &p->clients[pick(p, CLIENTS)];
    uint64_t what = pick(p, 100);

    if (what < 35) {
        guest_writes(p, 1 + pick(p, 10));
    } else if (what < 40) {
        vmm_writes(p);
    } else if (what < 60) {
        sync_all(p);
    } else if (what < 92) {
        send_some(p);
    } else if (what < 95) {
        c->on ? client_off(p, c) : client_on(p, c, pick(p, 2));
    } else {
        change_map(p);
    }
    if (!p->failure) {
        p->failure = kvm_model_broken(p->rig->model);
    }
}

/* I3: every cached bit is set in the kernel. */
static void check_caches(Program *p)
{
    KvmSlots *slots = &p->rig->slots;

    for (guint i = 0; slots->mode.manual && !only_the_end &&
         i < slots->table->len; i++) {
        KvmSlot *slot = g_ptr_array_index(slots->table, i);
        KvmModelSlot *k = kvm_model_slot(p->rig->model, slot->id);

        for (uint64_t w = 0; slot->logging && w < bitmap_words(slot->npages);
             w++) {
            if (slot->cache[w] & ~k->dirty[w]) {
                fail(p, "I3: the cache has a bit that the kernel has not");
            }
        }
    }
}

static void finish(Program *p)
{
    if (fault != FAULT_LATE_STOP) {
        p->stopped = true;
    }
    sync_all(p);
    if (fault == FAULT_LATE_STOP) {
        guest_writes(p, 20);
        p->stopped = true;
    }
    for (unsigned c = 0; c < CLIENTS; c++) {
        if (p->clients[c].on) {
            client_finish(p, &p->clients[c]);
        }
    }
    check_caches(p);
}

/* Returns: what went wrong, or NULL. */
static const char *run_program(RigMode mode, uint32_t seed,
                               const KvmDirtyOps *dirty)
{
    static Program p;

    memset(&p, 0, sizeof(p));
    p.rig = kvm_rig_new(mode, dirty);
    p.rand = g_rand_new_with_seed(seed);
    if (seed % 2) {
        p.rig->slots.max_pages = 70; /* several slots per region */
    }
    if (fault == FAULT_PRESET_ANYWAY) {
        p.rig->slots.mode.initially_set = true;
    }
    map_all(&p);
    memory_map_set_hold(p.rig->map, map_hold, map_release, &p);
    p.rig->model->opaque = &p;
    p.rig->model->interleave = on_interleave;
    p.rig->model->on_taken = only_the_end ? NULL : on_taken;
    p.clients[0].which = DIRTY_CLIENT_MIGRATION;
    p.clients[1].which = DIRTY_CLIENT_DISPLAY;
    p.clients[2].which = DIRTY_CLIENT_RATE;
    guest_writes(&p, 50);
    client_on(&p, &p.clients[0], true);
    for (unsigned i = 0; i < STEPS && !p.failure; i++) {
        step(&p);
        check_caches(&p);
    }
    if (!p.failure) {
        finish(&p);
    }
    p.rig->model->on_taken = NULL;
    p.rig->model->interleave = NULL;
    for (unsigned c = 0; c < CLIENTS; c++) {
        if (p.clients[c].on) {
            client_off(&p, &p.clients[c]);
        }
    }
    g_rand_free(p.rand);
    kvm_rig_free(p.rig);
    return p.failure;
}

static void test_programs_lose_nothing(gconstpointer data)
{
    RigMode mode = GPOINTER_TO_UINT(data);
    uint32_t seed = g_test_rand_int();

    fault = FAULT_NONE;
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        const char *failure = run_program(mode, seed + i, NULL);

        if (failure) {
            g_test_message("seed %u: %s", seed + i, failure);
            g_test_fail();
            return;
        }
    }
}

/* ---- mutants ---------------------------------------------------------- */

static bool mutant_fetch(KvmSlots *slots, KvmSlot *slot, GError **error)
{
    if (slot->preset) {
        slot->preset = false;
        return true;
    }
    return kvm_dirty_get(slots, slot, slot->cache, error);
}

/* A clear as it should be but for the fault. Runs on whole words. */
static bool mutant_clear(KvmSlots *slots, KvmSlot *slot, uint64_t first,
                         uint64_t npages, DirtyClearStats *stats,
                         GError **error)
{
    uint64_t begin = first / 64 * 64;
    uint64_t end = MIN(bitmap_words(first + npages) * 64, slot->npages);
    g_autofree uint64_t *words = bitmap_try_new(end - begin, NULL);
    struct kvm_clear_dirty_log log = {
        .slot = slot->id, .first_page = begin, .num_pages = end - begin,
        .dirty_bitmap = words,
    };

    for (uint64_t page = begin; page < end; page++) {
        bool inside = page >= first && page < first + npages;

        if ((inside || fault == FAULT_WIDEN) &&
            (fault == FAULT_ALL_ONES || bitmap_test_bit(slot->cache, page))) {
            bitmap_set_bit(words, page - begin);
        }
    }
    if (kvm_vm(slots->io, KVM_CLEAR_DIRTY_LOG, &log) < 0) {
        return false;
    }
    if (fault != FAULT_KEEP_CACHE) {
        bitmap_clear(slot->cache, first, npages);
    }
    return true;
}

static bool mutant_enable(KvmSlots *slots, GError **error)
{
    return kvm_dirty_log_manual_ops.enable(slots, error);
}

static void mutant_stop(KvmSlots *slots, KvmSlot *slot)
{
    kvm_dirty_log_manual_ops.stop(slots, slot);
}

static const KvmDirtyOps mutant_ops = {
    .name = "mutant",
    .enable = mutant_enable,
    .fetch = mutant_fetch,
    .clear = mutant_clear,
    .stop = mutant_stop,
};

/* Without a fault it must be right, or catching the others means nothing. */
static void test_mutant_without_fault_is_right(void)
{
    fault = FAULT_NONE;
    for (uint32_t seed = 0; seed < 64; seed++) {
        g_assert_cmpstr(run_program(RIG_MANUAL, seed, &mutant_ops), ==, NULL);
        g_assert_cmpstr(run_program(RIG_INITIALLY_SET, seed, &mutant_ops), ==,
                        NULL);
    }
}

static void test_mutant_is_caught(gconstpointer data)
{
    fault = GPOINTER_TO_UINT(data);
    for (uint32_t seed = 0; seed < 256; seed++) {
        const char *failure = run_program(RIG_MANUAL, seed, &mutant_ops);

        if (failure) {
            g_test_message("seed %u: %s", seed, failure);
            fault = FAULT_NONE;
            return;
        }
    }
    fault = FAULT_NONE;
    g_test_fail();
}

/* The two ways of the seeds to lose pages do lose pages. */
static void test_mutant_loses_pages(gconstpointer data)
{
    only_the_end = true;
    test_mutant_is_caught(data);
    only_the_end = false;
}

static void add_mutant(const char *name, Fault which)
{
    g_autofree char *path = g_strdup_printf("/kvm-model/mutant/%s", name);

    g_test_add_data_func(path, GUINT_TO_POINTER(which),
                         test_mutant_is_caught);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned mode = 0; mode < RIG_MODES; mode++) {
        g_autofree char *path =
            g_strdup_printf("/kvm-model/programs/lose-nothing/%s",
                            rig_mode_names[mode]);

        g_test_add_data_func(path, GUINT_TO_POINTER(mode),
                             test_programs_lose_nothing);
    }
    g_test_add_func("/kvm-model/mutant/without-fault-is-right",
                    test_mutant_without_fault_is_right);
    add_mutant("clear-all-ones", FAULT_ALL_ONES);
    add_mutant("clear-after-read", FAULT_CLEAR_AFTER_READ);
    add_mutant("keep-cache", FAULT_KEEP_CACHE);
    add_mutant("unmasked-edges", FAULT_WIDEN);
    add_mutant("preset-without-initially-set", FAULT_PRESET_ANYWAY);
    add_mutant("stop-after-last-sync", FAULT_LATE_STOP);
    add_mutant("window-goes-under-running-guest", FAULT_NO_HOLD);
    g_test_add_data_func("/kvm-model/mutant/clear-all-ones-loses-pages",
                         GUINT_TO_POINTER(FAULT_ALL_ONES),
                         test_mutant_loses_pages);
    g_test_add_data_func("/kvm-model/mutant/clear-after-read-loses-pages",
                         GUINT_TO_POINTER(FAULT_CLEAR_AFTER_READ),
                         test_mutant_loses_pages);
    return g_test_run();
}
