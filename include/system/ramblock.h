/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: named pieces of guest memory, each a host mapping of whole
 * pages. A block knows where its bytes are and which of its pages are dirty
 * for whom; it knows nothing of guest addresses (memory-map.h) and nothing of
 * migration. The list of a machine's blocks is fixed before its vCPUs start.
 */
#ifndef SYSTEM_RAMBLOCK_H
#define SYSTEM_RAMBLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "system/hostmem.h"

#define TM_PAGE_BITS 12
#define TM_PAGE_BYTES (UINT64_C(1) << TM_PAGE_BITS)
#define TM_PAGE_MASK (~(TM_PAGE_BYTES - 1))

/* Who wants to know which pages are dirty; see dirty-bitmap.h. */
typedef enum DirtyClient {
    DIRTY_CLIENT_MIGRATION,
    DIRTY_CLIENT_DISPLAY,
    DIRTY_CLIENT_RATE,
    DIRTY_CLIENT_LIMIT,     /* counts, vCPU by vCPU; see cpus.h */
    DIRTY_CLIENT_MAX,
} DirtyClient;

/*
 * What went in and out of one bitmap since its client was started; pages.
 * Kept in builds with debug checks only (-Ddebug_checks), zero elsewhere.
 * See dirty_balance_check() in dirty-bitmap.h for what must hold.
 */
typedef struct DirtyBalance {
    uint64_t initial;   /* dirty from the start */
    uint64_t fetched;   /* reported by accelerators */
    uint64_t marked;    /* written by the VMM, or given back */
    uint64_t fresh;     /* of fetched + marked: set newly */
    uint64_t already;   /* of fetched + marked: stood already */
    uint64_t taken;     /* cleared by a taker */
    uint64_t begun;     /* operations on the bitmap, for telling whether */
    uint64_t ended;     /* one was under way while the counters were read */
    bool moot;          /* a marker was under way when the client started */
} DirtyBalance;

typedef struct RAMBlock {
    char *name;         /* unique, at most 255 bytes: it goes on the wire */
    HostMem *mem;       /* owned if made by ram_list_add_anon() */
    bool owns_mem;
    uint8_t *host;      /* = mem->host */
    uint64_t length;    /* bytes, a multiple of TM_PAGE_BYTES */
    uint64_t npages;    /* length / TM_PAGE_BYTES */
    uint64_t ram_addr;  /* bytes; sum of the lengths of the blocks before */
    /*
     * One bit per page and client; use dirty-bitmap.h. NULL until the client
     * is started for the first time, never changed again until the list is
     * freed: whether a client is on is said by @clients alone.
     */
    uint64_t *dirty[DIRTY_CLIENT_MAX];
    uint32_t clients;   /* bit per DirtyClient that is on for this block;
                           atomic, changed under the big lock. While any is
                           on, and only then, the block is logged */
    DirtyBalance balance[DIRTY_CLIENT_MAX]; /* atomic */
} RAMBlock;

typedef struct RAMList {
    GPtrArray *blocks;   /* of RAMBlock *, in order of creation; owned */
    uint64_t total_bytes;
    uint32_t clients;    /* bit per DirtyClient that is on for some block;
                            atomic, changed under the big lock */
    unsigned hurry;      /* how many must not wait for room in the pool of a
                            freeze of this memory; atomic */
    bool lost;           /* some of its bytes are not what they should be and
                            cannot be had; atomic, stays */
} RAMList;

/** ram_list_init() - an empty list. Context: start-up. */
void ram_list_init(RAMList *list);

/** ram_list_done() - free all blocks and the bitmaps of all clients.
 *  Context: nobody uses them any more. */
void ram_list_done(RAMList *list);

/**
 * ram_list_hurry() - from here to ram_list_unhurry() somebody writes these
 * blocks, or waits for others who may do, and must not wait for long
 * Writers of frozen memory (ram-freeze.h) wait until there is room for a copy
 * of the page; while anybody is in a hurry, room is made. For who holds or
 * awaits the big lock: whoever makes room may need it. Counts; may nest.
 * Context: any thread, any lock.  Cost: one atomic operation.
 */
static inline void ram_list_hurry(RAMList *list)
{
    __atomic_fetch_add(&list->hurry, 1, __ATOMIC_SEQ_CST);
}

/** ram_list_unhurry() - ends what ram_list_hurry() began. */
static inline void ram_list_unhurry(RAMList *list)
{
    __atomic_fetch_sub(&list->hurry, 1, __ATOMIC_SEQ_CST);
}

/** ram_list_lose() - some bytes cannot be had, and other ones may be read in
 *  their place from now on; vm_condemn() is for who knows the machine.
 *  Context: any thread. */
static inline void ram_list_lose(RAMList *list)
{
    __atomic_store_n(&list->lost, true, __ATOMIC_SEQ_CST);
}

/** ram_list_is_lost() - whoever has read before it asks and hears no has read
 *  what was there. Context: any thread. */
static inline bool ram_list_is_lost(const RAMList *list)
{
    return __atomic_load_n(&list->lost, __ATOMIC_SEQ_CST);
}

/**
 * ram_list_add() - make a block of @mem and add it
 * @name: unique, 1 to 255 bytes; copied
 * @mem:  stays the caller's, who frees it after the list
 * Context: start-up, main thread; no dirty client is on.
 * Errors:  the name is taken, empty or too long; @mem is in use already; a
 *          client is on. Nothing is changed.
 * Returns: the block, owned by @list; or NULL with @error set.
 */
RAMBlock *ram_list_add(RAMList *list, const char *name, HostMem *mem,
                       GError **error);

/**
 * ram_list_add_anon() - as ram_list_add() with anonymous memory of its own
 * @size_bytes: a positive multiple of TM_PAGE_BYTES
 * Context: start-up, main thread.
 * Errors:  those of ram_list_add() and hostmem_new().
 * Returns: the block, which owns its memory; or NULL with @error set.
 */
RAMBlock *ram_list_add_anon(RAMList *list, const char *name,
                            uint64_t size_bytes, GError **error);

/** ram_list_find() - by name. Returns: the block or NULL. Context: any. */
RAMBlock *ram_list_find(const RAMList *list, const char *name);

/**
 * ram_list_find_host() - the block that holds a host pointer
 * @ret_offset: byte offset in the block; untouched if there is none
 * Context: any thread.
 * Returns: the block or NULL.
 */
RAMBlock *ram_list_find_host(const RAMList *list, const void *host,
                             uint64_t *ret_offset);

#endif
