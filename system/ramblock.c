/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's RAM blocks, a handful, in order of creation. The list changes
 * at start-up only; from then on any thread reads it without a lock.
 */
#include <string.h>
#include <sys/mman.h>

#include "system/ramblock.h"
#include "util/bitmap.h"
#include "util/error.h"

#define RAM_BLOCK_NAME_MAX 255 /* one length byte on the wire */

static void ram_block_free(gpointer data)
{
    RAMBlock *block = data;

    for (int c = 0; c < DIRTY_CLIENT_MAX; c++) {
        if (block->dirty[c]) {
            munmap(block->dirty[c], bitmap_bytes(block->npages));
        }
    }
    block->mem->in_use = false;
    if (block->owns_mem) {
        hostmem_free(block->mem);
    }
    g_free(block->name);
    g_free(block);
}

void ram_list_init(RAMList *list)
{
    *list = (RAMList) {
        .blocks = g_ptr_array_new_with_free_func(ram_block_free),
    };
}

void ram_list_done(RAMList *list)
{
    g_clear_pointer(&list->blocks, g_ptr_array_unref);
    list->total_bytes = 0;
    list->clients = 0;
}

static bool check_new_block(const RAMList *list, const char *name,
                            GError **error)
{
    size_t len = strlen(name);

    if (len == 0 || len > RAM_BLOCK_NAME_MAX) {
        tm_error_set(error, "RAM block name '%s' is not 1 to %d bytes long",
                     name, RAM_BLOCK_NAME_MAX);
        return false;
    }
    if (ram_list_find(list, name)) {
        tm_error_set(error, "RAM block '%s' exists already", name);
        return false;
    }
    if (list->clients) {
        tm_error_set(error, "cannot add RAM block '%s' while dirty pages are "
                     "tracked", name);
        return false;
    }
    return true;
}

RAMBlock *ram_list_add(RAMList *list, const char *name, HostMem *mem,
                       GError **error)
{
    RAMBlock *block;

    if (!check_new_block(list, name, error)) {
        return NULL;
    }
    if (mem->in_use) {
        tm_error_set(error, "memory backend '%s' is in use already", mem->id);
        return NULL;
    }
    mem->in_use = true;
    block = g_new0(RAMBlock, 1);
    block->name = g_strdup(name);
    block->mem = mem;
    block->host = mem->host;
    block->length = mem->size_bytes;
    block->npages = mem->size_bytes >> TM_PAGE_BITS;
    block->ram_addr = list->total_bytes;
    list->total_bytes += block->length;
    g_ptr_array_add(list->blocks, block);
    return block;
}

RAMBlock *ram_list_add_anon(RAMList *list, const char *name,
                            uint64_t size_bytes, GError **error)
{
    HostMemConfig config = {
        .id = name,
        .kind = HOSTMEM_RAM,
        .size_bytes = size_bytes,
    };
    g_autoptr(HostMem) mem = NULL;
    RAMBlock *block;

    /* Names first: a mistaken name shall not map gigabytes in vain. */
    if (!check_new_block(list, name, error)) {
        return NULL;
    }
    mem = hostmem_new(&config, error);
    if (!mem) {
        return NULL;
    }
    block = ram_list_add(list, name, mem, error);
    if (block) {
        block->owns_mem = true;
        mem = NULL;
    }
    return block;
}

RAMBlock *ram_list_find(const RAMList *list, const char *name)
{
    for (guint i = 0; i < list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(list->blocks, i);

        if (g_str_equal(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

RAMBlock *ram_list_find_host(const RAMList *list, const void *host,
                             uint64_t *ret_offset)
{
    for (guint i = 0; i < list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(list->blocks, i);
        uintptr_t offset = (uintptr_t)host - (uintptr_t)block->host;

        /* A pointer below the block wraps to a huge offset. */
        if (offset < block->length) {
            *ret_offset = offset;
            return block;
        }
    }
    return NULL;
}
