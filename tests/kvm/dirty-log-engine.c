/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages by the product's own layers: memory map, slots, sync and
 * clear, with the machine's kernel behind them. A second client, as a display
 * is one, takes parts all the time and must not take anything from the first.
 */
#include <linux/kvm.h>
#include <sys/mman.h>

#include "accel/kvm/kvm-dirty-ring.h"
#include "accel/kvm/kvm-slots.h"
#include "dirty-log.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "system/guest-access.h"
#include "system/memory-map.h"

#define MIG DIRTY_CLIENT_MIGRATION
#define DISPLAY DIRTY_CLIENT_DISPLAY

typedef struct Engine {
    RAMList ram;
    MemoryMap *map;
    KvmSlots slots;
    RAMBlock *block;
    unsigned window;
    uint64_t fetches;
    /* Rings. */
    struct kvm_dirty_gfn *entries[DL_MAX_VCPUS];
    KvmRing *rings[DL_MAX_VCPUS];
    uint64_t by_client[DL_MAX_VCPUS][DIRTY_CLIENT_MAX];
    GMutex lock;          /* all below */
    GCond cond;
    bool hold;            /* no vCPU may run */
    unsigned running;     /* from before it enters until it knows what to do
                             about a full ring */
} Engine;

static void init_slots(DlTracker *t, Engine *e)
{
    bool ring = t->config->mode == DL_DIRTY_RING;
    KvmLogMode mode = {
        .manual = t->config->mode == DL_CLEAR_LOG ||
            t->config->mode == DL_CLEAR_LOG_SET,
        .initially_set = t->config->mode == DL_CLEAR_LOG_SET,
        .ring_entries = ring ? t->config->ring_entries : 0,
        .ring_capability = KVM_CAP_DIRTY_LOG_RING,
    };
    const KvmDirtyOps *dirty = ring ? &kvm_dirty_ring_ops :
        mode.manual ? &kvm_dirty_log_manual_ops : &kvm_dirty_log_ops;
    g_autoptr(GError) error = NULL;

    kvm_slots_init(&e->slots, t->m->io, dirty, mode, t->m->max_slots, true);
    e->slots.max_pages = t->config->npages / t->config->slots + 1;
    dirty->enable(&e->slots, &error);
    g_assert_no_error(error);
    memory_listener_register(e->map, &e->slots.listener, &error);
    g_assert_no_error(error);
}

static void engine_map(DlTracker *t)
{
    Engine *e = g_new0(Engine, 1);
    g_autoptr(GError) error = NULL;

    t->opaque = e;
    g_mutex_init(&e->lock);
    g_cond_init(&e->cond);
    big_lock();
    ram_list_init(&e->ram);
    e->map = memory_map_new(&e->ram);
    init_slots(t, e);
    e->block = ram_list_add(&e->ram, "ram", &t->mem, &error);
    g_assert_no_error(error);
    memory_map_begin(e->map);
    e->window = memory_map_add_ram(e->map, t->config->offset,
                                   e->block->length, e->block, 0, false,
                                   &error);
    g_assert_no_error(error);
    memory_map_commit(e->map, &error);
    g_assert_no_error(error);
    t->slots_used = e->slots.table->len;
}

/* ---- rings --------------------------------------------------------------- */

static void enter(void *opaque, unsigned vcpu)
{
    Engine *e = ((DlTracker *)opaque)->opaque;

    g_mutex_lock(&e->lock);
    while (e->hold) {
        g_cond_wait(&e->cond, &e->lock);
    }
    e->running++;
    g_mutex_unlock(&e->lock);
    kvm_dirty_ring_enter(e->slots.ring, e->rings[vcpu]);
}

static bool leave(void *opaque, unsigned vcpu, bool full)
{
    DlTracker *t = opaque;
    Engine *e = t->opaque;
    bool again;

    kvm_dirty_ring_leave(e->slots.ring);
    again = full && kvm_dirty_ring_full(e->slots.ring, e->rings[vcpu]);
    if (full && !again) {
        dl_notice(t, "no repair helps a vCPU whose ring is full");
    }
    g_mutex_lock(&e->lock);
    e->running--;
    g_cond_broadcast(&e->cond);
    g_mutex_unlock(&e->lock);
    return again;
}

static void hold_vcpus(Engine *e, bool hold)
{
    g_mutex_lock(&e->lock);
    e->hold = hold;
    g_cond_broadcast(&e->cond);
    while (hold && e->running) {
        g_cond_wait(&e->cond, &e->lock);
    }
    g_mutex_unlock(&e->lock);
}

/* What a machine does when it is told. If a ring is astray still, its vCPU has
 * to run, and the next fetch tries again. */
static void repair_if_lost(void *opaque)
{
    DlTracker *t = opaque;
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

    if (kvm_dirty_ring_is_lost(e->slots.ring)) {
        hold_vcpus(e, true);
        kvm_dirty_ring_repair(e->slots.ring, &error);
        hold_vcpus(e, false);
        g_assert_no_error(error);
        __atomic_fetch_add(&t->repairs, 1, __ATOMIC_RELAXED);
    }
}

static void count(DlTracker *t)
{
    Engine *e = t->opaque;
    KvmRingStats stats;

    if (e->slots.ring) {
        kvm_dirty_ring_stats(e->slots.ring, &stats);
        __atomic_store_n(&t->passes, stats.passes, __ATOMIC_RELAXED);
        __atomic_store_n(&t->entries, stats.entries, __ATOMIC_RELAXED);
    }
}

static void add_rings(DlTracker *t)
{
    Engine *e = t->opaque;
    size_t bytes = t->config->ring_entries * sizeof(struct kvm_dirty_gfn);

    for (unsigned i = 0; i < t->config->vcpus; i++) {
        e->entries[i] = t->m->io->ops->mmap(t->m->io, t->m->vcpu_fds[i],
                                            KVM_DIRTY_LOG_PAGE_OFFSET, bytes);
        g_assert_nonnull(e->entries[i]);
        e->rings[i] = kvm_dirty_ring_add(e->slots.ring, e->entries[i],
                                         e->by_client[i]);
    }
    t->m->hooks = (DlRunHooks) {
        .enter = enter, .leave = leave, .opaque = t,
    };
    t->m->gate.turn = repair_if_lost;
    t->m->gate.opaque = t;
}

static void remove_rings(DlTracker *t)
{
    Engine *e = t->opaque;
    size_t bytes = t->config->ring_entries * sizeof(struct kvm_dirty_gfn);

    for (unsigned i = 0; i < t->config->vcpus && e->slots.ring; i++) {
        kvm_dirty_ring_del(e->slots.ring, e->rings[i]);
        munmap(e->entries[i], bytes);
    }
}

/* ---- the tracker --------------------------------------------------------- */

static void engine_start(DlTracker *t)
{
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

    if (e->slots.ring) {
        add_rings(t);
    }
    dirty_log_start(e->map, MIG, true, &error);
    g_assert_no_error(error);
}

/* The other client: comes, looks at some range, goes. */
static void other_client(DlTracker *t)
{
    Engine *e = t->opaque;
    GRand *rand = t->m->rand;
    uint64_t first = g_rand_int(rand) % e->block->npages;
    uint64_t n = 1 + g_rand_int(rand) % (e->block->npages - first);
    g_autoptr(GError) error = NULL;
    DirtySnapshot *shot;

    if (e->fetches % 16 == 3) {
        dirty_log_start(e->map, DISPLAY, false, &error);
        g_assert_no_error(error);
    } else if (e->fetches % 16 == 12) {
        dirty_log_stop(e->map, DISPLAY);
    }
    if (dirty_client_is_on(&e->ram, DISPLAY)) {
        shot = memory_region_snapshot_and_clear_dirty(e->map, e->block,
                                                      DISPLAY, first, n,
                                                      &error);
        g_assert_no_error(error);
        dirty_snapshot_free(shot);
    }
}

static void engine_fetch(DlTracker *t)
{
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

    e->fetches++;
    other_client(t);
    dirty_sync_round(e->map, &error);
    g_assert_no_error(error);
    if (e->slots.ring) {
        repair_if_lost(t);
    }
}

static void engine_clear(DlTracker *t, uint64_t first, uint64_t n)
{
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

    memory_region_clear_dirty_bitmap(e->map, e->block, first, n, &error);
    g_assert_no_error(error);
}

static void engine_take(DlTracker *t, uint64_t first, uint64_t n,
                        uint64_t *words)
{
    Engine *e = t->opaque;

    dirty_bitmap_take_range(e->block, MIG, first, n, words);
    count(t);
}

static void engine_write(DlTracker *t, uint64_t page, uint64_t value)
{
    Engine *e = t->opaque;
    uint64_t gpa = t->config->offset + page * DL_PAGE + DL_DEVICE_AT;

    g_assert_cmpuint(guest_write(e->map, gpa, &value, sizeof(value)), ==,
                     sizeof(value));
}

static void engine_stop(DlTracker *t)
{
    Engine *e = t->opaque;

    dirty_log_stop(e->map, DISPLAY);
    dirty_log_stop(e->map, MIG);
}

static void engine_unmap(DlTracker *t)
{
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

    memory_map_begin(e->map);
    memory_map_del(e->map, e->window);
    memory_map_commit(e->map, &error);
    g_assert_no_error(error);
    remove_rings(t);
    memory_listener_unregister(&e->slots.listener);
    kvm_dirty_ring_free(e->slots.ring);
    kvm_slots_done(&e->slots);
    memory_map_free(e->map);
    ram_list_done(&e->ram);
    big_unlock();
    g_mutex_clear(&e->lock);
    g_cond_clear(&e->cond);
    g_free(e);
}

const DlTrackerOps dl_tracker_engine = {
    .name = "engine",
    .map = engine_map,
    .start = engine_start,
    .fetch = engine_fetch,
    .clear = engine_clear,
    .take = engine_take,
    .write = engine_write,
    .stop = engine_stop,
    .unmap = engine_unmap,
};
