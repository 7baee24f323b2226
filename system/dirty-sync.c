/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hop 2 of the data's way: what accelerators know comes into the bitmaps of
 * all clients; and the switch that makes accelerators log at all.
 */
#include <string.h>
#include <time.h>

#include "system/dirty-bitmap.h"
#include "system/memory-map-int.h"
#include "trace/system.h"
#include "util/bitmap.h"

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void stat_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void stat_set(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, n, __ATOMIC_RELAXED);
}

static uint64_t stat_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static bool any_client(const MemoryMap *map)
{
    return __atomic_load_n(&map->ram->clients, __ATOMIC_RELAXED) != 0;
}

static void reset_stats(MemoryMap *map)
{
    stat_set(&map->sync.rounds, 0);
    stat_set(&map->sync.fetched_pages, 0);
    stat_set(&map->sync.new_pages, 0);
    map->round_new_pages = 0;
    stat_set(&map->sync.last_new_pages, 0);
    stat_set(&map->sync.time_ns, 0);
    stat_set(&map->sync.last_time_ns, 0);
}

/* The one block of a client's start or stop, or (NULL) all. */
static bool concerns(const RAMBlock *only, const RAMBlock *block)
{
    return !only || only == block;
}

static RAMBlock *block_at(const MemoryMap *map, guint i)
{
    return g_ptr_array_index(map->ram->blocks, i);
}

/* Nobody else is on for the block: its log begins or ends with this client. */
static bool is_alone(const RAMBlock *block, DirtyClient client)
{
    return dirty_block_clients(block) == UINT32_C(1) << client;
}

static bool client_on(MemoryMap *map, DirtyClient client, RAMBlock *only,
                      bool all_ones, GError **error)
{
    return only ? dirty_client_start_block(map->ram, client, only, error) :
        dirty_client_start(map->ram, client, all_ones, error);
}

static void client_off(MemoryMap *map, DirtyClient client, RAMBlock *only)
{
    if (only) {
        dirty_client_stop_block(map->ram, client, only);
    } else {
        dirty_client_stop(map->ram, client);
    }
}

static bool sync_shared(MemoryMap *map, DirtyClient client, RAMBlock *only,
                        GError **error)
{
    for (guint i = 0; i < map->ram->blocks->len; i++) {
        RAMBlock *block = block_at(map, i);

        if (concerns(only, block) && !is_alone(block, client) &&
            !memory_listeners_log_sync(map, block, error)) {
            return false;
        }
    }
    return true;
}

/*
 * A client that comes while others are on, with an empty bitmap: the pages
 * that the accelerator holds as seen and not cleared yet stand in the others'
 * bitmaps and not in its own. A write to such a page, now, is reported by
 * nothing but the bit that is there already; cleared for another client
 * before the next sync, it would be lost. So what is there is fetched once
 * more, with no clear in between: a few pages too many at its start.
 */
static bool client_join(MemoryMap *map, DirtyClient client, RAMBlock *only,
                        bool all_ones, GError **error)
{
    bool ok;

    g_rw_lock_writer_lock(&map->clear_lock);
    ok = client_on(map, client, only, all_ones, error);
    if (ok && !all_ones && !sync_shared(map, client, only, error)) {
        client_off(map, client, only);
        ok = false;
    }
    g_rw_lock_writer_unlock(&map->clear_lock);
    return ok;
}

static void log_stop_alone(MemoryMap *map, DirtyClient client, RAMBlock *only,
                           guint n)
{
    while (n-- > 0) {
        RAMBlock *block = block_at(map, n);

        if (concerns(only, block) && is_alone(block, client)) {
            memory_listeners_log_stop(map, block);
        }
    }
}

static bool log_start_alone(MemoryMap *map, DirtyClient client,
                            RAMBlock *only, GError **error)
{
    for (guint i = 0; i < map->ram->blocks->len; i++) {
        RAMBlock *block = block_at(map, i);

        if (concerns(only, block) && is_alone(block, client) &&
            !memory_listeners_log_start(map, block, error)) {
            log_stop_alone(map, client, only, i);
            return false;
        }
    }
    return true;
}

/* Listeners may drop the big lock in their hooks: the hold keeps the vCPUs,
 * and with them every other change of the map, away meanwhile. */
static bool log_start(MemoryMap *map, DirtyClient client, RAMBlock *only,
                      bool all_ones, GError **error)
{
    bool first, ok;

    memory_map_hold(map);
    first = !any_client(map);
    ok = client_join(map, client, only, all_ones, error);
    if (ok && !log_start_alone(map, client, only, error)) {
        client_off(map, client, only);
        ok = false;
    }
    if (ok && (first || client == DIRTY_CLIENT_MIGRATION)) {
        reset_stats(map);
    }
    if (ok) {
        trace_dirty_log(map->ram->clients);
    }
    memory_map_release(map);
    return ok;
}

bool dirty_log_start(MemoryMap *map, DirtyClient client, bool all_ones,
                     GError **error)
{
    return log_start(map, client, NULL, all_ones, error);
}

bool dirty_log_start_block(MemoryMap *map, DirtyClient client,
                           RAMBlock *block, GError **error)
{
    return log_start(map, client, block, false, error);
}

static void log_stop(MemoryMap *map, DirtyClient client, RAMBlock *only)
{
    if (!dirty_client_is_on(map->ram, client)) {
        return;
    }
    memory_map_hold(map);
    log_stop_alone(map, client, only, map->ram->blocks->len);
    client_off(map, client, only);
    trace_dirty_log(map->ram->clients);
    memory_map_release(map);
}

void dirty_log_stop(MemoryMap *map, DirtyClient client)
{
    log_stop(map, client, NULL);
}

void dirty_log_stop_block(MemoryMap *map, DirtyClient client, RAMBlock *block)
{
    log_stop(map, client, block);
}

/* In debug builds: what went in and out of every bitmap explains what is in
 * it. A failure is our own bug, and lost pages; better no guest than that. */
static void check_balance(const MemoryMap *map)
{
#ifdef TM_DEBUG_CHECKS
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        for (guint i = 0; i < map->ram->blocks->len; i++) {
            g_autoptr(GError) error = NULL;

            if (dirty_block_clients(block_at(map, i)) >> c & 1) {
                dirty_balance_check(block_at(map, i), c, &error);
                g_assert_no_error(error);
            }
        }
    }
#endif
}

bool dirty_sync_round(MemoryMap *map, GError **error)
{
    uint64_t begin_ns = now_ns();
    uint64_t fetched = stat_get(&map->sync.fetched_pages);
    bool ok = memory_listeners_log_sync(map, NULL, error);
    uint64_t time_ns = now_ns() - begin_ns;
    uint64_t seen = stat_get(&map->sync.new_pages);
    uint64_t fresh = seen - map->round_new_pages;

    check_balance(map);
    fetched = stat_get(&map->sync.fetched_pages) - fetched;
    map->round_new_pages = seen;
    stat_add(&map->sync.rounds, 1);
    stat_set(&map->sync.last_new_pages, fresh);
    stat_add(&map->sync.time_ns, time_ns);
    stat_set(&map->sync.last_time_ns, time_ns);
    trace_dirty_sync(stat_get(&map->sync.rounds), fetched, fresh, time_ns);
    return ok;
}

static void count_for_clients(const uint64_t fresh[DIRTY_CLIENT_MAX],
                              uint64_t by_client[DIRTY_CLIENT_MAX])
{
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        if (fresh[c]) {
            stat_add(&by_client[c], fresh[c]);
        }
    }
}

void dirty_sync_merge(MemoryMap *map, const MemorySection *s,
                      const uint64_t *words,
                      uint64_t by_client[DIRTY_CLIENT_MAX])
{
    uint64_t fresh[DIRTY_CLIENT_MAX] = { 0 };
    uint64_t first = s->offset >> TM_PAGE_BITS;
    uint64_t npages = s->size >> TM_PAGE_BITS;
    uint64_t set = dirty_bitmap_or_words(map->ram, s->block, first, words,
                                         npages, fresh);

    stat_add(&map->sync.fetched_pages, set);
    stat_add(&map->sync.new_pages, fresh[DIRTY_CLIENT_MIGRATION]);
    if (by_client) {
        count_for_clients(fresh, by_client);
    }
    trace_dirty_merge(s->block->name, first, npages, set,
                      fresh[DIRTY_CLIENT_MIGRATION]);
}

void dirty_sync_stats(MemoryMap *map, DirtySyncStats *ret)
{
    ret->rounds = stat_get(&map->sync.rounds);
    ret->fetched_pages = stat_get(&map->sync.fetched_pages);
    ret->new_pages = stat_get(&map->sync.new_pages);
    ret->last_new_pages = stat_get(&map->sync.last_new_pages);
    ret->time_ns = stat_get(&map->sync.time_ns);
    ret->last_time_ns = stat_get(&map->sync.last_time_ns);
}

void dirty_clear_account(MemoryMap *map, const DirtyClearStats *add)
{
    stat_add(&map->clear.calls, add->calls);
    stat_add(&map->clear.pages, add->pages);
    stat_add(&map->clear.span_pages, add->span_pages);
    stat_add(&map->clear.time_ns, add->time_ns);
}

void dirty_clear_stats(MemoryMap *map, DirtyClearStats *ret)
{
    ret->calls = stat_get(&map->clear.calls);
    ret->pages = stat_get(&map->clear.pages);
    ret->span_pages = stat_get(&map->clear.span_pages);
    ret->time_ns = stat_get(&map->clear.time_ns);
}
