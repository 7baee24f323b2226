/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks that need not be sent; see migration/ram-shared.h. Used once per
 * migration, at its beginning.
 */
#include "migration/ram-shared.h"

bool ram_block_is_shared(const RAMBlock *block)
{
    return block->mem->share && block->mem->named;
}

typedef struct GpaSearch {
    const RAMBlock *block;
    uint64_t gpa;
} GpaSearch;

/* Sections come in the order of their addresses. */
static bool is_other_block(const MemorySection *s, void *opaque)
{
    GpaSearch *search = opaque;

    if (s->block != search->block) {
        return true;
    }
    search->gpa = s->gpa;
    return false;
}

uint64_t *ram_block_gpas(MemoryMap *map)
{
    GPtrArray *blocks = memory_map_ram(map)->blocks;
    uint64_t *gpas = g_new0(uint64_t, blocks->len);

    for (unsigned i = 0; i < blocks->len; i++) {
        GpaSearch search = { .block = g_ptr_array_index(blocks, i) };

        memory_map_foreach_ram(map, is_other_block, &search);
        gpas[i] = search.gpa;
    }
    return gpas;
}
