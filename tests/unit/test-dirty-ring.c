/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty rings' engine on the kernel model: what is written is told to
 * every client, of whom it was, after it is protected again; slots come and
 * go; and where the kernel loses track, that is noticed, all is dirty until
 * it is repaired, and no page is lost. The right copy is made of nothing but
 * the bits.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "kvm-rig.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"

#define ENTRIES 256u
#define NPAGES 2000u
#define GPA UINT64_C(0x1000000)
#define PAGE UINT64_C(4096)

typedef struct World {
    KvmRig *rig;
    RAMBlock *block;
    unsigned window;
    uint8_t *copy;
    uint64_t value;      /* stored last by read_and_store() */
    unsigned more;       /* stores to be made by store_more() */
    unsigned lost;       /* calls of the hook; atomic */
} World;

static void on_lost(void *opaque)
{
    World *w = opaque;

    __atomic_fetch_add(&w->lost, 1, __ATOMIC_SEQ_CST);
}

static KvmDirtyRing *engine(World *w)
{
    return w->rig->slots.ring;
}

/* As for every test: what rings lose is found by the copy. */
static void world_init(World *w, unsigned vcpus)
{
    memset(w, 0, sizeof(*w));
    w->rig = kvm_rig_new_ring(ENTRIES, vcpus);
    w->window = kvm_rig_add(w->rig, "ram", NPAGES, GPA, 0, false);
    w->block = g_ptr_array_index(w->rig->ram.blocks, 0);
    w->copy = g_malloc0(NPAGES * PAGE);
    engine(w)->on_lost = on_lost;
    engine(w)->opaque = w;
}

static void world_done(World *w)
{
    kvm_rig_free(w->rig);
    g_free(w->copy);
}

static bool guest_store(World *w, unsigned vcpu, unsigned page, uint64_t value)
{
    return kvm_model_vcpu_write(w->rig->model, vcpu, GPA + page * PAGE, value);
}

/* Into pages 0 to @n - 1. */
static void guest_store_all(World *w, unsigned n, uint64_t value)
{
    for (unsigned i = 0; i < n; i++) {
        guest_store(w, 0, i, value);
    }
}

static uint64_t dirty(World *w, DirtyClient client)
{
    return dirty_bitmap_count(w->block, client);
}

static bool is_asleep(World *w)
{
    KvmReaper *r = &engine(w)->reaper;
    bool asleep;

    g_mutex_lock(&r->lock);
    asleep = r->asleep && !r->poked;
    g_mutex_unlock(&r->lock);
    return asleep;
}

/* The reaper has seen that there is a log, and sleeps: no vCPU is in guest
 * mode. From here on it works when it is asked. */
static void start(World *w, DirtyClient client, bool all_ones)
{
    kvm_rig_start(w->rig, client, all_ones);
    while (!is_asleep(w)) {
        g_usleep(100);
    }
}

/* Take every bit, then read its page. Returns: how many. */
static unsigned copy_dirty(World *w)
{
    uint64_t page = 0;
    unsigned n = 0;

    while ((page = dirty_bitmap_next(w->block, DIRTY_CLIENT_MIGRATION, page)) <
           NPAGES) {
        g_assert_true(dirty_bitmap_take(w->block, DIRTY_CLIENT_MIGRATION,
                                        page));
        memcpy(w->copy + page * PAGE, w->block->host + page * PAGE, PAGE);
        n++;
    }
    return n;
}

static void check_copy(World *w)
{
    for (unsigned page = 0; page < NPAGES; page++) {
        if (memcmp(w->copy + page * PAGE, w->block->host + page * PAGE,
                   PAGE)) {
            g_error("page %u is lost", page);
        }
    }
}

static KvmRingStats stats(World *w)
{
    KvmRingStats now;

    kvm_dirty_ring_stats(engine(w), &now);
    return now;
}

/* The vCPU stands still: what main loops do when the hook was called. */
static void repair(World *w)
{
    unsigned turns = 0;

    while (!kvm_dirty_ring_repair(engine(w), NULL)) {
        g_assert_cmpuint(++turns, <, 100);
        guest_store(w, 0, 0, turns);
    }
    g_assert_false(kvm_dirty_ring_is_lost(engine(w)));
}

/* ---- what is told -------------------------------------------------------- */

static void test_tells_every_client_and_whose(void)
{
    World w;

    world_init(&w, 2);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    start(&w, DIRTY_CLIENT_LIMIT, false);
    for (unsigned i = 0; i < 100; i++) {
        guest_store(&w, 0, 7 * i, i + 1);
        guest_store(&w, 0, 7 * i, i + 2);
    }
    guest_store(&w, 1, NPAGES - 1, 5);
    guest_store(&w, 1, 7, 5); /* vCPU 0's as well */
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 101);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_LIMIT), ==, 101);
    for (unsigned i = 0; i < 100; i++) {
        g_assert_true(dirty_bitmap_test(w.block, DIRTY_CLIENT_LIMIT, 7 * i));
    }
    g_assert_cmpuint(w.rig->rings[0].by_client[DIRTY_CLIENT_LIMIT], ==, 100);
    g_assert_cmpuint(w.rig->rings[1].by_client[DIRTY_CLIENT_LIMIT], ==, 1);
    g_assert_cmpuint(w.rig->rings[0].by_client[DIRTY_CLIENT_RATE], ==, 0);
    g_assert_cmpuint(copy_dirty(&w), ==, 101);
    check_copy(&w);
    /* Protected again: the same page makes another entry. */
    guest_store(&w, 0, 7, 9);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 1);
    g_assert_cmpuint(w.rig->rings[0].by_client[DIRTY_CLIENT_MIGRATION], ==,
                     101);
    g_assert_cmpuint(w.rig->rings[0].by_client[DIRTY_CLIENT_LIMIT], ==, 100);
    g_assert_cmpuint(stats(&w).lost, ==, 0);
    world_done(&w);
}

/* In the middle of a reset a reader comes, and after it a store to the same
 * page, which may be writable still. */
static void read_and_store(void *opaque)
{
    World *w = opaque;

    if (w->value > 40) {
        return; /* what follows is the second time */
    }
    copy_dirty(w);
    for (unsigned page = 0; page < 20; page++) {
        g_assert_true(guest_store(w, 0, page, ++w->value));
    }
}

static void test_resets_before_it_tells(void)
{
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    for (unsigned page = 0; page < 40; page++) {
        guest_store(&w, 0, page, ++w.value);
    }
    w.rig->model->interleave = read_and_store;
    w.rig->model->opaque = &w;
    kvm_rig_sync(w.rig);
    w.rig->model->interleave = NULL;
    g_assert_cmpuint(w.value, >, 40);
    copy_dirty(&w);
    kvm_rig_sync(w.rig);
    copy_dirty(&w);
    check_copy(&w);
    world_done(&w);
}

/* Nobody is on: nothing is logged; what is left in a ring is dropped. */
static void test_off_costs_nothing(void)
{
    World w;

    world_init(&w, 1);
    guest_store(&w, 0, 3, 1);
    g_assert_cmpuint(kvm_model_ring_used(w.rig->model, 0), ==, 0);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 3, 1);
    dirty_log_stop(w.rig->map, DIRTY_CLIENT_MIGRATION);
    kvm_reaper_ask(&engine(&w)->reaper, KVM_REAPER_PASS);
    g_assert_cmpuint(kvm_model_ring_used(w.rig->model, 0), ==, 0);
    g_assert_cmpuint(stats(&w).entries, ==, 1);
    g_assert_cmpuint(stats(&w).dropped, ==, 1);
    world_done(&w);
}

static void test_one_pass_for_a_sync(void)
{
    World w;

    world_init(&w, 1);
    for (unsigned i = 0; i < 5; i++) {
        kvm_rig_add(w.rig, (char[]) { 'a' + i, 0 }, 10,
                    GPA + (NPAGES + 100 * i) * PAGE, 0, false);
    }
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 1, 1);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(stats(&w).passes, ==, 1);
    g_assert_cmpuint(w.rig->slots.ring->reaper.asked[KVM_REAPER_PASS], ==, 1);
    world_done(&w);
}

/* ---- slots --------------------------------------------------------------- */

/* Told before the slot goes; its number is another memory's afterwards. */
static void test_slot_goes(void)
{
    unsigned elsewhere;
    RAMBlock *other;
    World w;

    world_init(&w, 1);
    elsewhere = kvm_rig_add(w.rig, "other", 50, GPA + NPAGES * PAGE, 0, false);
    other = g_ptr_array_index(w.rig->ram.blocks, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 42, 1);
    guest_store(&w, 0, NPAGES - 1, 1);
    kvm_rig_hide(w.rig, w.window);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 2);
    guest_store(&w, 0, NPAGES + 7, 1);
    kvm_rig_hide(w.rig, elsewhere);
    g_assert_cmpuint(dirty_bitmap_count(other, DIRTY_CLIENT_MIGRATION), ==, 1);
    kvm_rig_show(w.rig, other, GPA, 0);
    guest_store(&w, 0, 1, 1);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(dirty_bitmap_count(other, DIRTY_CLIENT_MIGRATION), ==,
                     50); /* as for all memory that appears */
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 2);
    g_assert_cmpuint(stats(&w).dropped, ==, 0);
    g_assert_cmpuint(stats(&w).entries, ==, 4);
    world_done(&w);
}

/* The slots' own rule, without a sync of the map before it. */
static void test_slot_taken_away(void)
{
    MemorySection s = { .gpa = GPA, .size = NPAGES * PAGE };
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 42, 1);
    kvm_slots_del(&w.rig->slots, &s);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 1);
    g_assert_true(dirty_bitmap_test(w.block, DIRTY_CLIENT_MIGRATION, 42));
    world_done(&w);
}

/* Entries that no slot of ours explains do no harm. */
static void test_strange_entries_are_dropped(void)
{
    static const struct { uint32_t slot; uint64_t offset; } strange[] = {
        { 0, NPAGES }, { 0, UINT64_MAX }, { 1, 0 }, { 77777, 5 },
        { 1u << 16, 3 }, { UINT32_MAX, UINT64_MAX },
    };
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    for (unsigned i = 0; i < G_N_ELEMENTS(strange); i++) {
        struct kvm_dirty_gfn *e = &w.rig->rings[0].entries[i];

        guest_store(&w, 0, i, 1);
        e->slot = strange[i].slot;
        e->offset = strange[i].offset;
    }
    w.rig->model->unchecked = true; /* the pages are writable for ever */
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, 0);
    g_assert_cmpuint(stats(&w).dropped, ==, G_N_ELEMENTS(strange));
    world_done(&w);
}

/* ---- lost ---------------------------------------------------------------- */

/* A kernel that logs every store and looks at the limit seldom. */
static void test_overflow_is_noticed(void)
{
    World w;

    for (unsigned stores = 1; stores < 5 * ENTRIES; stores += 37) {
        world_init(&w, 1);
        w.rig->model->log_stores = true;
        w.rig->model->log_batch = 8 * ENTRIES;
        start(&w, DIRTY_CLIENT_MIGRATION, false);
        for (unsigned i = 0; i < stores; i++) {
            guest_store(&w, 0, (i * 13) % NPAGES, i + 1);
        }
        kvm_rig_sync(w.rig);
        g_assert_cmpint(kvm_dirty_ring_is_lost(engine(&w)), ==,
                        stores >= ENTRIES);
        g_assert_cmpuint(w.lost, ==, stores >= ENTRIES);
        copy_dirty(&w);
        check_copy(&w);
        if (w.lost) {
            guest_store(&w, 0, 1999, 77);
            kvm_rig_sync(w.rig);
            g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, NPAGES);
            w.rig->model->log_stores = false;
            w.rig->model->log_batch = 0;
            repair(&w);
            g_assert_cmpuint(copy_dirty(&w), ==, NPAGES);
        }
        guest_store(&w, 0, 5, 78);
        kvm_rig_sync(w.rig);
        g_assert_cmpuint(copy_dirty(&w), ==, 1);
        check_copy(&w);
        g_assert_cmpuint(stats(&w).lost, ==, stores >= ENTRIES);
        g_assert_cmpuint(stats(&w).repaired, ==, stores >= ENTRIES);
        world_done(&w);
    }
}

/* The vCPU overflowed and then stands still: its ring stays astray, and there
 * is nothing to tell and nothing to repair until it writes. */
static void test_astray_and_idle(void)
{
    World w;

    world_init(&w, 1);
    w.rig->model->log_stores = true;
    w.rig->model->log_batch = 8 * ENTRIES;
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    for (unsigned i = 0; i < ENTRIES + 5; i++) {
        guest_store(&w, 0, i, i + 1);
    }
    kvm_rig_sync(w.rig);
    w.rig->model->log_stores = false;
    w.rig->model->log_batch = 0;
    g_assert_true(kvm_dirty_ring_can_repair(engine(&w)));
    g_assert_false(kvm_dirty_ring_repair(engine(&w), NULL));
    copy_dirty(&w);
    for (unsigned i = 0; i < 3; i++) {
        kvm_rig_sync(w.rig);
        g_assert_cmpuint(copy_dirty(&w), ==, 0);
        g_assert_false(kvm_dirty_ring_can_repair(engine(&w)));
    }
    guest_store(&w, 0, 9, 99);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(copy_dirty(&w), ==, NPAGES);
    g_assert_true(kvm_dirty_ring_can_repair(engine(&w)));
    repair(&w);
    copy_dirty(&w);
    check_copy(&w);
    world_done(&w);
}

/* A reset that ends early, with or without what it had taken. */
static void test_short_reset_is_noticed(void)
{
    for (unsigned drops = 0; drops < 2; drops++) {
        World w;

        world_init(&w, 2);
        start(&w, DIRTY_CLIENT_MIGRATION, false);
        for (unsigned i = 0; i < 150; i++) {
            guest_store(&w, i % 2, 3 * i, 1);
        }
        w.rig->model->reset_cuts = 2;
        w.rig->model->reset_cut_after = 40;
        w.rig->model->reset_cut_drops = drops;
        kvm_rig_sync(w.rig);
        g_assert_cmpuint(w.lost, ==, 1);
        g_assert_cmpuint(stats(&w).losses[KVM_RING_LOSS_SHORT], >, 0);
        copy_dirty(&w);
        for (unsigned i = 0; i < 150; i++) {
            guest_store(&w, i % 2, 3 * i, 2);
        }
        repair(&w);
        copy_dirty(&w);
        check_copy(&w);
        for (unsigned i = 0; i < 150; i++) {
            guest_store(&w, i % 2, 3 * i, 3);
        }
        kvm_rig_sync(w.rig);
        g_assert_cmpuint(copy_dirty(&w), ==, 150);
        check_copy(&w);
        world_done(&w);
    }
}

static void store_more(void *opaque)
{
    World *w = opaque;

    for (; w->more; w->more--) {
        guest_store(w, 0, 1000 + w->more, 1);
    }
}

/* A ring that fills up while it is reset may have overflowed into the entry
 * that was being taken back. */
static void test_full_in_reset_is_noticed(void)
{
    static const struct {
        unsigned fewer;
        bool may_overrun, lost;
    } cases[] = {
        { 0, true, true }, { 1, true, false }, { 0, false, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        World w;

        world_init(&w, 1);
        w.rig->model->log_stores = true;
        w.rig->model->log_batch = 8 * ENTRIES;
        engine(&w)->may_overrun = cases[i].may_overrun;
        start(&w, DIRTY_CLIENT_MIGRATION, false);
        for (unsigned page = 0; page < 100; page++) {
            guest_store(&w, 0, page, 1);
        }
        w.more = ENTRIES - 100 - cases[i].fewer;
        w.rig->model->opaque = &w;
        w.rig->model->interleave = store_more;
        kvm_rig_sync(w.rig);
        w.rig->model->interleave = NULL;
        g_assert_cmpuint(w.lost, ==, cases[i].lost);
        if (w.lost) {
            repair(&w);
        }
        kvm_rig_sync(w.rig);
        copy_dirty(&w);
        check_copy(&w);
        world_done(&w);
    }
}

/* An entry taken back in the moment it was overwritten leaves a hole, behind
 * which nothing would ever be harvested. */
static void test_hole_is_noticed(void)
{
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store_all(&w, 180, 1);
    w.rig->rings[0].entries[150].flags = 0;
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(w.lost, ==, 1);
    g_assert_cmpuint(stats(&w).losses[KVM_RING_LOSS_AHEAD], ==, 1);
    copy_dirty(&w);
    check_copy(&w);
    repair(&w);
    copy_dirty(&w);
    guest_store_all(&w, 180, 2);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(copy_dirty(&w), ==, 180);
    check_copy(&w);
    world_done(&w);
}

/* The kernel took more than it was given: its index ran past. */
static void test_ran_past_is_noticed(void)
{
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 3, 1);
    for (unsigned i = 1; i < 4; i++) {
        w.rig->rings[0].entries[i].flags = KVM_DIRTY_GFN_F_RESET;
    }
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(w.lost, ==, 1);
    g_assert_cmpuint(stats(&w).losses[KVM_RING_LOSS_AHEAD], ==, 1);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, NPAGES);
    world_done(&w);
}

static void test_reset_that_fails(void)
{
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store(&w, 0, 3, 1);
    w.rig->model->fail_request = KVM_RESET_DIRTY_RINGS;
    w.rig->model->fail_errno = EINTR;
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, NPAGES);
    g_assert_true(kvm_dirty_ring_is_lost(engine(&w)));
    w.rig->model->fail_request = 0;
    repair(&w);
    copy_dirty(&w);
    guest_store(&w, 0, 3, 2);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(copy_dirty(&w), ==, 1);
    check_copy(&w);
    world_done(&w);
}

/* The log cannot be begun anew: syncs fail and say why, until it can. */
static void test_repair_that_fails(void)
{
    g_autoptr(GError) error = NULL, told = NULL;
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    guest_store_all(&w, 10, 1);
    w.rig->model->reset_cuts = 1;
    w.rig->model->reset_cut_after = 4;
    kvm_rig_sync(w.rig);
    g_assert_true(kvm_dirty_ring_is_lost(engine(&w)));
    w.rig->model->fail_request = KVM_SET_USER_MEMORY_REGION;
    w.rig->model->fail_errno = ENOMEM;
    g_assert_false(kvm_dirty_ring_repair(engine(&w), &error));
    g_assert_nonnull(strstr(error->message, "a reset was cut short"));
    g_assert_false(dirty_sync_round(w.rig->map, &told));
    g_assert_nonnull(strstr(told->message, "dirty ring has lost track"));
    g_assert_cmpuint(dirty(&w, DIRTY_CLIENT_MIGRATION), ==, NPAGES);
    w.rig->model->fail_request = 0;
    repair(&w);
    kvm_rig_sync(w.rig);
    copy_dirty(&w);
    guest_store(&w, 0, 3, 2);
    kvm_rig_sync(w.rig);
    g_assert_cmpuint(copy_dirty(&w), ==, 1);
    check_copy(&w);
    world_done(&w);
}

/* ---- beside running vCPUs ------------------------------------------------ */

typedef struct Writer {
    World *w;
    unsigned vcpu;
    unsigned full;
    bool stop;       /* atomic */
} Writer;

static gpointer writer_thread(gpointer opaque)
{
    Writer *v = opaque;
    KvmDirtyRing *d = engine(v->w);
    KvmRing *ring = v->w->rig->rings[v->vcpu].ring;
    g_autoptr(GRand) rand = g_rand_new_with_seed(v->vcpu + 1);

    for (uint64_t i = 1; !__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE); i++) {
        unsigned page = g_rand_int_range(rand, 0, NPAGES / 2) * 2 + v->vcpu;

        kvm_dirty_ring_enter(d, ring);
        while (!guest_store(v->w, v->vcpu, page, i)) {
            kvm_dirty_ring_leave(d);
            g_assert_true(kvm_dirty_ring_full(d, ring));
            v->full++;
            kvm_dirty_ring_enter(d, ring);
        }
        kvm_dirty_ring_leave(d);
    }
    return NULL;
}

/* Each vCPU has pages of its own, so that a copy of one is never torn in the
 * eight bytes that matter. @late: the rings fill up before they are read. */
static void run_beside(World *w, unsigned late_us)
{
    Writer v[2] = { { .w = w, .vcpu = 0 }, { .w = w, .vcpu = 1 } };
    GThread *threads[2];
    unsigned rounds = 0;

    kvm_reaper_set_delay(&engine(w)->reaper, late_us);
    kvm_rig_start(w->rig, DIRTY_CLIENT_MIGRATION, true);
    for (unsigned i = 0; i < 2; i++) {
        threads[i] = g_thread_new("writer", writer_thread, &v[i]);
    }
    while (rounds < 100 || (late_us && stats(w).full_exits < 20)) {
        kvm_rig_sync(w->rig);
        copy_dirty(w);
        rounds++;
    }
    for (unsigned i = 0; i < 2; i++) {
        __atomic_store_n(&v[i].stop, true, __ATOMIC_RELEASE);
    }
    for (unsigned i = 0; i < 2; i++) {
        g_thread_join(threads[i]);
    }
    kvm_rig_sync(w->rig);
    copy_dirty(w);
    check_copy(w);
    g_assert_cmpuint(stats(w).lost, ==, 0);
    g_assert_cmpuint(stats(w).dropped, ==, 0);
}

static void test_beside_vcpus(void)
{
    World w;

    world_init(&w, 2);
    run_beside(&w, 0);
    world_done(&w);
}

static void test_full_exits_wait(void)
{
    World w;

    world_init(&w, 2);
    run_beside(&w, 2000);
    g_assert_cmpuint(stats(&w).full_ns, >, 0);
    world_done(&w);
}

/* ---- the reaper ---------------------------------------------------------- */

static void test_period(void)
{
    static const struct {
        unsigned period, passed, fill, most, want;
    } cases[] = {
        { 1000, 1000, 512, 100000, 1000 },  /* as it is to be */
        { 1000, 1000, 1024, 100000, 500 },
        { 1000, 1000, 4096, 100000, 125 },
        { 1000, 1000, 256, 100000, 2000 },
        { 1000, 1000, 1, 100000, 2000 },    /* not more than twice */
        { 1000, 1000, 0, 100000, 2000 },
        { 1000, 10, 0, 100000, 1000 },      /* came early: says nothing */
        { 1000, 100, 512, 100000, 100 },    /* came early and is full */
        { 100, 100, 4096, 100000, 100 },    /* the least */
        { 90000, 90000, 0, 100000, 100000 },/* the most */
        { 1000, 1000, 0, 700, 700 },
        { 1000, 1000, 0, 10, 100 },
        { 1000, 50000, 512, 100000, 2000 }, /* late, and not full */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %u", i);
        g_assert_cmpuint(kvm_reaper_period(cases[i].period, cases[i].passed,
                                           cases[i].fill, 4096,
                                           cases[i].most), ==, cases[i].want);
    }
}

/* Signals stay away from its thread, and it sleeps while nothing can come. */
static void test_idle_reaper_sleeps(void)
{
    World w;

    world_init(&w, 1);
    start(&w, DIRTY_CLIENT_MIGRATION, false);
    kvm_dirty_ring_enter(engine(&w), w.rig->rings[0].ring);
    guest_store(&w, 0, 9, 1);
    while (!dirty(&w, DIRTY_CLIENT_MIGRATION)) {
        g_usleep(1000); /* nobody asked */
    }
    kvm_dirty_ring_leave(engine(&w));
    while (!is_asleep(&w)) {
        g_usleep(1000);
    }
    world_done(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dirty-ring/tells/every-client-and-whose",
                    test_tells_every_client_and_whose);
    g_test_add_func("/dirty-ring/tells/resets-first",
                    test_resets_before_it_tells);
    g_test_add_func("/dirty-ring/tells/off-costs-nothing",
                    test_off_costs_nothing);
    g_test_add_func("/dirty-ring/tells/one-pass-for-a-sync",
                    test_one_pass_for_a_sync);
    g_test_add_func("/dirty-ring/slots/goes", test_slot_goes);
    g_test_add_func("/dirty-ring/slots/taken-away", test_slot_taken_away);
    g_test_add_func("/dirty-ring/slots/strange-entries",
                    test_strange_entries_are_dropped);
    g_test_add_func("/dirty-ring/lost/overflow", test_overflow_is_noticed);
    g_test_add_func("/dirty-ring/lost/astray-and-idle", test_astray_and_idle);
    g_test_add_func("/dirty-ring/lost/short-reset",
                    test_short_reset_is_noticed);
    g_test_add_func("/dirty-ring/lost/full-in-reset",
                    test_full_in_reset_is_noticed);
    g_test_add_func("/dirty-ring/lost/hole", test_hole_is_noticed);
    g_test_add_func("/dirty-ring/lost/ran-past", test_ran_past_is_noticed);
    g_test_add_func("/dirty-ring/lost/reset-fails", test_reset_that_fails);
    g_test_add_func("/dirty-ring/lost/repair-fails", test_repair_that_fails);
    g_test_add_func("/dirty-ring/live/beside-vcpus", test_beside_vcpus);
    g_test_add_func("/dirty-ring/live/full-exits-wait", test_full_exits_wait);
    g_test_add_func("/dirty-ring/reaper/period", test_period);
    g_test_add_func("/dirty-ring/reaper/idle-sleeps", test_idle_reaper_sleeps);
    return g_test_run();
}
