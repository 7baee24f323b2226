/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages by the product's own layers: memory map, slots, sync and
 * clear, with the machine's kernel behind them. A second client, as a display
 * is one, takes parts all the time and must not take anything from the first.
 */
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
} Engine;

static void init_slots(DlTracker *t, Engine *e)
{
    KvmLogMode mode = {
        .manual = t->config->mode != DL_DIRTY_LOG,
        .initially_set = t->config->mode == DL_CLEAR_LOG_SET,
    };
    const KvmDirtyOps *dirty = mode.manual ? &kvm_dirty_log_manual_ops :
        &kvm_dirty_log_ops;
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

static void engine_start(DlTracker *t)
{
    Engine *e = t->opaque;
    g_autoptr(GError) error = NULL;

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
    memory_listener_unregister(&e->slots.listener);
    kvm_slots_done(&e->slots);
    memory_map_free(e->map);
    ram_list_done(&e->ram);
    big_unlock();
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
