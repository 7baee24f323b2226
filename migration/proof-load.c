/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the destination; see proof-load.h.
 */
#include "migration/proof-load.h"

#include <inttypes.h>

#include "migration/ram-shared.h"
#include "system/vm.h"
#include "trace/migration.h"
#include "util/error.h"

struct ProofLoad {
    ProofLoadConfig config;
    PageSums *sums;     /* of what has come */
    bool loaded;        /* the table was there, and right */
};

ProofLoad *proof_load_new(const ProofLoadConfig *config, GError **error)
{
    g_autoptr(ProofLoad) pl = g_new0(ProofLoad, 1);
    GPtrArray *blocks = config->vm->ram.blocks;

    pl->config = *config;
    pl->sums = page_sums_new();
    for (unsigned i = 0; i < blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(blocks, i);

        if (config->ignore_shared && ram_block_is_shared(block)) {
            continue;
        }
        if (!page_sums_add(pl->sums, block->name, block->npages, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&pl);
}

void proof_load_free(ProofLoad *pl)
{
    if (pl) {
        page_sums_free(pl->sums);
        g_free(pl);
    }
}

PageSums *proof_load_sums(const ProofLoad *pl)
{
    return pl->sums;
}

PageSums *proof_load_take_sums(ProofLoad *pl)
{
    if (!pl->loaded) {
        return NULL;
    }
    __atomic_store_n(pl->config.unchecked_pages, 0, __ATOMIC_RELAXED);
    return g_steal_pointer(&pl->sums);
}

/* The first page of the range that is not what came. */
static uint64_t check_range(PageSumBlock *sums, const uint8_t *host,
                            uint64_t first, uint64_t n)
{
    if (sums->unread) {
        page_sums_note_range(sums, host, first, n);
        return first + n;
    }
    return page_sums_check_range(sums, host, first, n);
}

static bool check_block(const ProofLoad *pl, PageSumBlock *sums,
                        GError **error)
{
    const RAMBlock *block = ram_list_find(&pl->config.vm->ram, sums->name);

    if (sums->unread && !pl->config.verify) {
        return true; /* to read it all is what was not wanted */
    }
    for (uint64_t i = 0; i < sums->npages; i += PAGE_SUMS_CHUNK_PAGES) {
        uint64_t n = MIN(sums->npages - i, PAGE_SUMS_CHUNK_PAGES);
        uint64_t page = check_range(sums, block->host, i, n);

        if (page < i + n) {
            tm_error_set(error, "page at 0x%" PRIx64 " of RAM block '%s' is "
                         "in memory not what came", page * TM_PAGE_BYTES,
                         sums->name);
            return false;
        }
        if (pl->config.channel && channel_is_shut(pl->config.channel)) {
            tm_error_set(error, "the channel was shut down");
            return false;
        }
    }
    sums->unread = false;
    return true;
}

/* What came is held against memory, and then against the table: so memory and
 * table are the same. */
static bool check_memory(const ProofLoad *pl, GError **error)
{
    int64_t start_ns = clock_now_ns(pl->config.clock);
    uint64_t time_ns;

    for (unsigned i = 0; i < pl->sums->blocks->len; i++) {
        if (!check_block(pl, g_ptr_array_index(pl->sums->blocks, i), error)) {
            return false;
        }
    }
    time_ns = MAX(clock_now_ns(pl->config.clock) - start_ns, 1);
    __atomic_store_n(pl->config.verify_ns, time_ns, __ATOMIC_RELAXED);
    trace_proof_verify("destination", time_ns);
    return true;
}

static void tell_unchecked(const ProofLoad *pl)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < pl->sums->blocks->len; i++) {
        const PageSumBlock *block = g_ptr_array_index(pl->sums->blocks, i);

        n += block->unread ? block->trail.records : 0;
    }
    __atomic_store_n(pl->config.unchecked_pages, n, __ATOMIC_RELAXED);
}

static bool load(void *opaque, Stream *s, WireSection type, uint32_t version,
                 GError **error)
{
    ProofLoad *pl = opaque;
    PageSumsKind kind;

    if (!page_sums_get_kind(s, &kind, error) ||
        ((kind == PAGE_SUMS_HELD || pl->config.verify) &&
         !check_memory(pl, error)) ||
        !page_sums_load(pl->sums, s, kind, error)) {
        return false;
    }
    tell_unchecked(pl);
    pl->loaded = true;
    return true;
}

static const SectionOps proof_load_ops = {
    .load = load,
};

LiveSection proof_load_section(ProofLoad *pl)
{
    return (LiveSection){
        .name = PAGE_SUMS_SECTION,
        .instance = 0,
        .version = PAGE_SUMS_VERSION,
        .ops = &proof_load_ops,
        .opaque = pl,
        .has_cap = true,
        .cap = MIGRATION_CAPABILITY_PAGE_CHECKSUMS,
    };
}
