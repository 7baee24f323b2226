/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty bits of RAM blocks: mark, merge, take. Hops 0' and 5 of the data's
 * way. The bitmaps' life and the memory order are told in the header; how the
 * balance is kept is told above balance_begin().
 */
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "system/dirty-bitmap.h"
#include "trace/system.h"
#include "util/bitmap.h"
#include "util/compiler.h"
#include "util/error.h"

#ifdef TM_DEBUG_CHECKS
#define BALANCE 1
#else
#define BALANCE 0
#endif

static const char *const client_names[DIRTY_CLIENT_MAX] = {
    [DIRTY_CLIENT_MIGRATION] = "migration",
    [DIRTY_CLIENT_DISPLAY] = "display",
    [DIRTY_CLIENT_RATE] = "dirty-rate",
    [DIRTY_CLIENT_LIMIT] = "dirty-limit",
};

/*
 * A store to guest memory before it and a load after it keep their order.
 * ThreadSanitizer knows no fences and gcc says so at every one; it does not
 * need this one, since it never sees plain accesses to guest memory.
 */
static inline void full_fence(void)
{
#ifdef TM_TSAN
    static uint32_t unused;

    __atomic_fetch_add(&unused, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * The balance. An operation counts itself begun, changes the bitmap, adds up
 * what it did, and counts itself ended. A reader that finds as many ended as
 * begun, counts the bits and finds begun unchanged has seen a moment in which
 * nobody was at work, and the sums must be right. begun and ended run on from
 * one start of the client to the next; a start during which a late marker was
 * at work cannot say what it began with and is moot.
 */
static inline void balance_add(uint64_t *counter, uint64_t n)
{
    if (BALANCE && n) {
        __atomic_fetch_add(counter, n, __ATOMIC_SEQ_CST);
    }
}

static inline void balance_begin(RAMBlock *block, DirtyClient client)
{
    balance_add(&block->balance[client].begun, 1);
}

static inline void balance_end(RAMBlock *block, DirtyClient client)
{
    balance_add(&block->balance[client].ended, 1);
}

uint32_t dirty_block_clients(const RAMBlock *block)
{
    /* Pairs with the release in switch_on(): the bitmaps of the clients found
     * here are there. */
    return __atomic_load_n(&block->clients, __ATOMIC_ACQUIRE);
}

static bool map_bitmap(RAMBlock *block, DirtyClient client, GError **error)
{
    uint64_t bytes = bitmap_bytes(block->npages);
    void *words;

    if (block->dirty[client]) {
        return true;
    }
    words = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (words == MAP_FAILED) {
        tm_error_set(error, "no memory for the dirty bitmap of RAM block "
                     "'%s', %" PRIu64 " bytes", block->name, bytes);
        return false;
    }
    block->dirty[client] = words;
    return true;
}

/*
 * All bits to zero, and the memory back to the kernel. A late marker may still
 * write: afterwards, so that its bit stands, or before, so that it is gone,
 * which matters to nobody because the client is off.
 */
static void drop_bits(RAMBlock *block, DirtyClient client)
{
    uint64_t bytes = bitmap_bytes(block->npages);

    if (madvise(block->dirty[client], bytes, MADV_DONTNEED) < 0) {
        /* Locked memory (mlockall) stays; then zero it by hand. */
        bitmap_clear_atomic(block->dirty[client], 0, block->npages);
    }
}

static void balance_zero(DirtyBalance *b)
{
    __atomic_store_n(&b->fetched, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->marked, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->fresh, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->already, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&b->taken, 0, __ATOMIC_SEQ_CST);
}

static void reset_bits(RAMBlock *block, DirtyClient client, bool all_ones)
{
    drop_bits(block, client);
    if (all_ones) {
        bitmap_set_atomic(block->dirty[client], 0, block->npages);
    }
}

static void reset_block(RAMBlock *block, DirtyClient client, bool all_ones)
{
    DirtyBalance *b = &block->balance[client];
    DirtyBalance before, after;

    if (!BALANCE) {
        reset_bits(block, client, all_ones);
        return;
    }
    dirty_balance_get(block, client, &before);
    balance_zero(b);
    reset_bits(block, client, all_ones);
    __atomic_store_n(&b->initial, dirty_bitmap_count(block, client),
                     __ATOMIC_SEQ_CST);
    dirty_balance_get(block, client, &after);
    __atomic_store_n(&b->moot, before.ended != before.begun ||
                     before.begun != after.begun, __ATOMIC_SEQ_CST);
}

static RAMBlock *block_at(const RAMList *list, guint i)
{
    return g_ptr_array_index(list->blocks, i);
}

/* Release: pairs with dirty_block_clients(). */
static void switch_on(uint32_t *clients, DirtyClient client)
{
    __atomic_fetch_or(clients, UINT32_C(1) << client, __ATOMIC_SEQ_CST);
}

static void switch_off(uint32_t *clients, DirtyClient client)
{
    __atomic_fetch_and(clients, ~(UINT32_C(1) << client), __ATOMIC_SEQ_CST);
}

static void refuse_twice(DirtyClient client, GError **error)
{
    tm_error_set(error, "dirty pages are tracked for client '%s' already",
                 client_names[client]);
}

bool dirty_client_start(RAMList *list, DirtyClient client, bool all_ones,
                        GError **error)
{
    if (dirty_client_is_on(list, client)) {
        refuse_twice(client, error);
        return false;
    }
    for (guint i = 0; i < list->blocks->len; i++) {
        if (!map_bitmap(block_at(list, i), client, error)) {
            return false;
        }
    }
    for (guint i = 0; i < list->blocks->len; i++) {
        reset_block(block_at(list, i), client, all_ones);
        switch_on(&block_at(list, i)->clients, client);
    }
    switch_on(&list->clients, client);
    /* Pairs with the one in dirty_bitmap_mark(): pages are read after it. */
    full_fence();
    return true;
}

bool dirty_client_start_block(RAMList *list, DirtyClient client,
                              RAMBlock *block, GError **error)
{
    if (dirty_block_clients(block) >> client & 1) {
        refuse_twice(client, error);
        return false;
    }
    if (!map_bitmap(block, client, error)) {
        return false;
    }
    reset_block(block, client, false);
    switch_on(&block->clients, client);
    switch_on(&list->clients, client);
    full_fence(); /* as above */
    return true;
}

static void stop_block(RAMBlock *block, DirtyClient client)
{
    if (dirty_block_clients(block) >> client & 1) {
        switch_off(&block->clients, client);
        drop_bits(block, client);
    }
}

void dirty_client_stop(RAMList *list, DirtyClient client)
{
    for (guint i = 0; i < list->blocks->len; i++) {
        stop_block(block_at(list, i), client);
    }
    switch_off(&list->clients, client);
}

void dirty_client_stop_block(RAMList *list, DirtyClient client,
                             RAMBlock *block)
{
    uint32_t left = 0;

    stop_block(block, client);
    for (guint i = 0; i < list->blocks->len; i++) {
        left |= dirty_block_clients(block_at(list, i));
    }
    if (!(left >> client & 1)) {
        switch_off(&list->clients, client);
    }
}

bool dirty_client_is_on(const RAMList *list, DirtyClient client)
{
    return __atomic_load_n(&list->clients, __ATOMIC_ACQUIRE) >> client & 1;
}

static void check_range(const RAMBlock *block, uint64_t first, uint64_t npages)
{
    /* Callers have found the block by the very range they give. */
    g_assert(first <= block->npages && npages <= block->npages - first);
}

void dirty_bitmap_mark_client(RAMBlock *block, DirtyClient client,
                              uint64_t first, uint64_t npages)
{
    DirtyBalance *balance = &block->balance[client];
    uint64_t fresh;

    check_range(block, first, npages);
    balance_begin(block, client);
    fresh = bitmap_set_atomic(block->dirty[client], first, npages);
    balance_add(&balance->marked, npages);
    balance_add(&balance->fresh, fresh);
    balance_add(&balance->already, npages - fresh);
    balance_end(block, client);
}

void dirty_bitmap_mark(RAMList *list, RAMBlock *block, uint64_t first,
                       uint64_t npages)
{
    uint32_t clients;

    /* The caller's bytes before the question who is on; pairs with the fence
     * in dirty_client_start(). */
    full_fence();
    clients = dirty_block_clients(block);
    if (!clients || !npages) {
        return;
    }
    trace_dirty_mark(block->name, first, npages);
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        if (clients >> c & 1) {
            dirty_bitmap_mark_client(block, c, first, npages);
        }
    }
}

static uint64_t or_words_client(RAMBlock *block, DirtyClient client,
                                uint64_t first, const uint64_t *words,
                                uint64_t npages, uint64_t nset)
{
    DirtyBalance *balance = &block->balance[client];
    uint64_t fresh;

    balance_begin(block, client);
    fresh = bitmap_or_into_atomic(block->dirty[client], first, words, npages);
    balance_add(&balance->fetched, nset);
    balance_add(&balance->fresh, fresh);
    balance_add(&balance->already, nset - fresh);
    balance_end(block, client);
    return fresh;
}

uint64_t dirty_bitmap_or_words(RAMList *list, RAMBlock *block, uint64_t first,
                               const uint64_t *words, uint64_t npages,
                               uint64_t ret_new[DIRTY_CLIENT_MAX])
{
    uint32_t clients = dirty_block_clients(block);
    uint64_t nset;

    check_range(block, first, npages);
    nset = bitmap_count(words, 0, npages);
    if (nset == 0) {
        return 0;
    }
    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        if (clients >> c & 1) {
            uint64_t fresh = or_words_client(block, c, first, words, npages,
                                             nset);

            if (ret_new) {
                ret_new[c] += fresh;
            }
        }
    }
    return nset;
}

bool dirty_bitmap_take(RAMBlock *block, DirtyClient client, uint64_t page)
{
    bool taken;

    check_range(block, page, 1);
    balance_begin(block, client);
    taken = bitmap_test_and_clear_atomic(block->dirty[client], page);
    balance_add(&block->balance[client].taken, taken);
    balance_end(block, client);
    return taken;
}

uint64_t dirty_bitmap_take_range(RAMBlock *block, DirtyClient client,
                                 uint64_t first, uint64_t npages,
                                 uint64_t *ret_words)
{
    uint64_t *map = block->dirty[client];
    uint64_t taken = 0;

    check_range(block, first, npages);
    if (npages == 0) {
        return 0; /* ret_words may be nothing then */
    }
    memset(ret_words, 0, bitmap_bytes(npages));
    balance_begin(block, client);
    for (uint64_t done = 0; done < npages; ) {
        unsigned bit = (first + done) % BITMAP_WORD_BITS;
        uint64_t n = MIN(BITMAP_WORD_BITS - bit, npages - done);
        uint64_t mask = (~UINT64_C(0) >> (BITMAP_WORD_BITS - n)) << bit;
        uint64_t got = __atomic_fetch_and(&map[(first + done) /
                                               BITMAP_WORD_BITS],
                                          ~mask, __ATOMIC_ACQ_REL);

        got = (got & mask) >> bit;
        bitmap_copy_dst_offset(ret_words, done, &got, n);
        taken += __builtin_popcountll(got);
        done += n;
    }
    balance_add(&block->balance[client].taken, taken);
    balance_end(block, client);
    return taken;
}

uint64_t dirty_bitmap_next(const RAMBlock *block, DirtyClient client,
                           uint64_t from)
{
    const uint64_t *map = block->dirty[client];

    return map ? bitmap_find_next_set(map, block->npages, from)
               : block->npages;
}

uint64_t dirty_bitmap_next_clean(const RAMBlock *block, DirtyClient client,
                                 uint64_t from, uint64_t end)
{
    const uint64_t *map = block->dirty[client];

    return map ? bitmap_find_next_zero(map, MIN(end, block->npages), from)
               : MIN(from, end);
}

bool dirty_bitmap_test(const RAMBlock *block, DirtyClient client,
                       uint64_t page)
{
    const uint64_t *map = block->dirty[client];

    check_range(block, page, 1);
    return map && bitmap_test_bit_atomic(map, page);
}

uint64_t dirty_bitmap_count(const RAMBlock *block, DirtyClient client)
{
    const uint64_t *map = block->dirty[client];

    return map ? bitmap_count(map, 0, block->npages) : 0;
}

void dirty_balance_get(const RAMBlock *block, DirtyClient client,
                       DirtyBalance *ret)
{
    const DirtyBalance *b = &block->balance[client];

    /* Ended before begun: then equal means that none was under way. */
    ret->ended = __atomic_load_n(&b->ended, __ATOMIC_SEQ_CST);
    ret->initial = __atomic_load_n(&b->initial, __ATOMIC_SEQ_CST);
    ret->fetched = __atomic_load_n(&b->fetched, __ATOMIC_SEQ_CST);
    ret->marked = __atomic_load_n(&b->marked, __ATOMIC_SEQ_CST);
    ret->fresh = __atomic_load_n(&b->fresh, __ATOMIC_SEQ_CST);
    ret->already = __atomic_load_n(&b->already, __ATOMIC_SEQ_CST);
    ret->taken = __atomic_load_n(&b->taken, __ATOMIC_SEQ_CST);
    ret->moot = __atomic_load_n(&b->moot, __ATOMIC_SEQ_CST);
    ret->begun = __atomic_load_n(&b->begun, __ATOMIC_SEQ_CST);
}

bool dirty_balance_check(const RAMBlock *block, DirtyClient client,
                         GError **error)
{
    DirtyBalance b;
    uint64_t now;

    if (!BALANCE) {
        return true;
    }
    dirty_balance_get(block, client, &b);
    now = dirty_bitmap_count(block, client);
    if (b.moot || b.begun != b.ended ||
        __atomic_load_n(&block->balance[client].begun, __ATOMIC_SEQ_CST) !=
        b.begun) {
        return true;
    }
    if (b.fetched + b.marked == b.fresh + b.already &&
        b.initial + b.fresh == b.taken + now) {
        return true;
    }
    tm_error_set(error, "dirty pages of RAM block '%s' for client '%s' do not "
                 "balance: fetched %" PRIu64 " marked %" PRIu64 " fresh %"
                 PRIu64 " already %" PRIu64 " initial %" PRIu64 " taken %"
                 PRIu64 " now %" PRIu64, block->name, client_names[client],
                 b.fetched, b.marked, b.fresh, b.already, b.initial, b.taken,
                 now);
    return false;
}
