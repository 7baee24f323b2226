/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the source; see proof-save.h.
 */
#include "migration/proof-save.h"

#include "migration/page-sums.h"
#include "trace/migration.h"
#include "util/error.h"

struct ProofSave {
    ProofSaveConfig config;
};

ProofSave *proof_save_new(const ProofSaveConfig *config)
{
    ProofSave *ps = g_new0(ProofSave, 1);

    ps->config = *config;
    return ps;
}

void proof_save_free(ProofSave *ps)
{
    g_free(ps);
}

static bool hash_block(ProofSave *ps, PageSumBlock *sums, GError **error)
{
    const RAMBlock *block = ram_list_find(ps->config.list, sums->name);

    for (uint64_t i = 0; i < sums->npages; i += PAGE_SUMS_CHUNK_PAGES) {
        page_sums_note_range(sums, block->host, i,
                             MIN(sums->npages - i, PAGE_SUMS_CHUNK_PAGES));
        if (__atomic_load_n(ps->config.stop, __ATOMIC_RELAXED)) {
            tm_error_set(error, "migration was cancelled");
            return false;
        }
    }
    return true;
}

/* Every page's checksum becomes that of memory as it is. */
static bool hash_memory(ProofSave *ps, GError **error)
{
    int64_t start_ns = clock_now_ns(ps->config.clock);
    GPtrArray *blocks = ps->config.sums->blocks;
    uint64_t time_ns;

    for (unsigned i = 0; i < blocks->len; i++) {
        if (!hash_block(ps, g_ptr_array_index(blocks, i), error)) {
            return false;
        }
    }
    time_ns = MAX(clock_now_ns(ps->config.clock) - start_ns, 1);
    migration_stat_set(&ps->config.stats->verify_ns, time_ns);
    trace_proof_verify("source", time_ns);
    return true;
}

static void count_bitmaps(ProofSave *ps)
{
    GPtrArray *blocks = ps->config.sums->blocks;

    for (unsigned i = 0; i < blocks->len; i++) {
        PageSumBlock *sums = g_ptr_array_index(blocks, i);

        page_sums_count_bitmap(sums, mapped_save_bitmap(ps->config.mapped,
                                                        sums->name));
    }
}

static bool put_table(void *opaque, Stream *s, GError **error)
{
    ProofSave *ps = opaque;

    if (ps->config.verify) {
        page_sums_put_kind(s, PAGE_SUMS_HELD);
        stream_flush(s); /* the other side is to begin as well */
        if (!hash_memory(ps, error)) {
            return false;
        }
    } else {
        page_sums_put_kind(s, PAGE_SUMS_SENT);
    }
    if (ps->config.mapped) {
        count_bitmaps(ps);
    }
    page_sums_put(ps->config.sums, s);
    return stream_check(s, error);
}

static const SectionOps proof_save_ops = {
    .complete = put_table,
};

LiveSection proof_save_section(ProofSave *ps)
{
    return (LiveSection){
        .name = PAGE_SUMS_SECTION,
        .instance = 0,
        .version = PAGE_SUMS_VERSION,
        .ops = &proof_save_ops,
        .opaque = ps,
    };
}
