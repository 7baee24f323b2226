/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs against an oracle. A program is a few hundred steps of:
 * guest writes, writes by the VMM, sync rounds, two clients that clear, take
 * and read ranges of any alignment, clients that come and go, windows that go
 * and come back. Guest writes also fall into the middle of GET and CLEAR.
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
#define CLIENTS 2
#define PROGRAMS 1500

/* What a program does wrong on purpose. */
typedef enum Fault {
    FAULT_NONE,
    FAULT_CLEAR_AFTER_READ,   /* of the sender */
    FAULT_ALL_ONES,           /* clear: ones instead of the cache */
    FAULT_KEEP_CACHE,         /* clear: the cache's bits stay */
    FAULT_WIDEN,              /* clear: edges are not masked */
    FAULT_PRESET_ANYWAY,      /* a cache of ones without initially-set */
    FAULT_LATE_STOP,          /* the guest writes after the last sync */
} Fault;

static Fault fault;
static bool only_the_end; /* look at the copies alone, not at invariants */

typedef struct Layout {
    const char *name;
    uint64_t npages, gpa, skip;
} Layout;

/* Shapes around words and slots; "d" begins at an odd page of its block. */
static const Layout layouts[] = {
    { "a", 300, 0x0, 0 },
    { "b", 1, 0x1000000, 0 },
    { "c", 63, 0x2003000, 0 },
    { "d", 130, 0x3005000, 5 },
    { "e", 64, 0x4000000, 0 },
};
#define BLOCKS G_N_ELEMENTS(layouts)
#define MAX_PAGES 300

typedef struct Client {
    DirtyClient which;
    bool on;
    uint64_t copy[BLOCKS][MAX_PAGES];
    uint64_t since;  /* pages written after this time must be right */
} Client;

typedef struct Program {
    KvmRig *rig;
    GRand *rand;
    uint64_t time;
    unsigned windows[BLOCKS];  /* 0: hidden */
    Client clients[CLIENTS];
    const char *failure;
    bool stopped;              /* the guest */
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

static void guest_writes(Program *p, unsigned n)
{
    for (unsigned i = 0; i < n && !p->stopped; i++) {
        const Layout *l = &layouts[pick(p, BLOCKS)];
        uint64_t page = pick(p, l->npages - l->skip);

        if (g_rand_int(p->rand) % 2) {
            page = page % 8; /* some pages are hot */
        }
        if (page < l->npages - l->skip) {
            kvm_model_write(p->rig->model, l->gpa + page * PAGE, ++p->time);
        }
    }
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
        if (p->clients[c].on &&
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

    if (c->on) {
        send_range(p, c, i, first, n);
    }
}

static void client_on(Program *p, Client *c, bool all_ones)
{
    g_autoptr(GError) error = NULL;

    c->on = true;
    if (!dirty_log_start(p->rig->map, c->which, all_ones, &error)) {
        fail(p, "log start failed");
    }
    c->since = all_ones ? 0 : p->time; /* promised from the return on */
}

static void client_off(Program *p, Client *c)
{
    c->on = false;
    dirty_log_stop(p->rig->map, c->which);
}

/* Everything that is dirty, then compare. */
static void client_finish(Program *p, Client *c)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        send_range(p, c, i, 0, layouts[i].npages);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        for (uint64_t page = 0; page < layouts[i].npages; page++) {
            uint64_t now = page_now(block_at(p, i), page);

            if (now > c->since && now != c->copy[i][page]) {
                fail(p, "a dirty page was not sent");
            }
        }
    }
}

/* ---- the map ---------------------------------------------------------- */

/* With the guest stopped, as the map's rules want it. */
static void change_map(Program *p)
{
    unsigned i = pick(p, BLOCKS);

    p->stopped = true;
    if (p->windows[i]) {
        kvm_rig_hide(p->rig, p->windows[i]);
        p->windows[i] = 0;
    } else {
        p->windows[i] = kvm_rig_show(p->rig, block_at(p, i), layouts[i].gpa,
                                     layouts[i].skip);
    }
    p->stopped = false;
}

static void vmm_writes(Program *p)
{
    const Layout *l = &layouts[pick(p, BLOCKS)];
    uint64_t page = pick(p, l->npages - l->skip);

    p->time++;
    guest_write(p->rig->map, l->gpa + page * PAGE, &p->time, sizeof(p->time));
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
    } else if (what < 96) {
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
    for (unsigned i = 0; i < BLOCKS; i++) {
        p.windows[i] = kvm_rig_add(p.rig, layouts[i].name, layouts[i].npages,
                                   layouts[i].gpa, layouts[i].skip, false);
    }
    p.rig->model->opaque = &p;
    p.rig->model->interleave = on_interleave;
    p.rig->model->on_taken = only_the_end ? NULL : on_taken;
    p.clients[0].which = DIRTY_CLIENT_MIGRATION;
    p.clients[1].which = DIRTY_CLIENT_DISPLAY;
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
        client_off(&p, &p.clients[c]);
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
    g_test_add_data_func("/kvm-model/mutant/clear-all-ones-loses-pages",
                         GUINT_TO_POINTER(FAULT_ALL_ONES),
                         test_mutant_loses_pages);
    g_test_add_data_func("/kvm-model/mutant/clear-after-read-loses-pages",
                         GUINT_TO_POINTER(FAULT_CLEAR_AFTER_READ),
                         test_mutant_loses_pages);
    return g_test_run();
}
