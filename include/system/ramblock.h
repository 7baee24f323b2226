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
    DIRTY_CLIENT_MAX,
} DirtyClient;

typedef struct RAMBlock {
    char *name;         /* unique, at most 255 bytes: it goes on the wire */
    HostMem *mem;       /* owned if made by ram_block_new_anon() */
    bool owns_mem;
    uint8_t *host;      /* = mem->host */
    uint64_t length;    /* bytes, a multiple of TM_PAGE_BYTES */
    uint64_t npages;    /* length / TM_PAGE_BYTES */
    uint64_t ram_addr;  /* offset of the block in all RAM; page aligned */
    /*
     * One bit per page and client; NULL while the client is off. Pointers are
     * loaded with acquire and only changed while no vCPU and no device thread
     * can mark (see dirty_client_start()); words are atomic.
     */
    uint64_t *dirty[DIRTY_CLIENT_MAX];
} RAMBlock;

typedef struct RAMList {
    GPtrArray *blocks;   /* of RAMBlock *, in order of creation; owned */
    uint64_t total_bytes;
    uint32_t clients;    /* bit per DirtyClient that is on; atomic */
} RAMList;

/** ram_list_init() - an empty list. Context: start-up. */
void ram_list_init(RAMList *list);

/** ram_list_done() - free all blocks. Context: nobody uses them any more. */
void ram_list_done(RAMList *list);

/**
 * ram_list_add() - make a block of @mem and add it
 * @mem: stays the caller's, who frees it after the list
 * Context: start-up, main thread.
 * Errors:  the name is taken, empty or too long; @mem is in use already.
 * Returns: the block, owned by @list; or NULL with @error set.
 */
RAMBlock *ram_list_add(RAMList *list, const char *name, HostMem *mem,
                       GError **error);

/**
 * ram_list_add_anon() - as ram_list_add() with anonymous memory of its own
 * Errors: those of ram_list_add() and hostmem_new().
 */
RAMBlock *ram_list_add_anon(RAMList *list, const char *name,
                            uint64_t size_bytes, GError **error);

/** ram_list_find() - by name. Returns: the block or NULL. Context: any. */
RAMBlock *ram_list_find(const RAMList *list, const char *name);

/**
 * ram_list_find_host() - the block that holds a host pointer
 * Returns: the block, with *@ret_offset set to the byte offset in it; or NULL.
 */
RAMBlock *ram_list_find_host(const RAMList *list, const void *host,
                             uint64_t *ret_offset);

#endif
