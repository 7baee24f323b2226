/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" on the source; see ram.h. A part ends when its portion of
 * the bandwidth is used up, after 50 ms, or when nothing is dirty.
 */
#include "migration/ram-internal.h"

#include "migration/ram-frozen.h"
#include "migration/ram-shared.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/dirty-bitmap.h"
#include "system/dirty-sync.h"
#include "util/error.h"

#define RAM_RUN_PAGES 64

/* Returns: the bytes of the blocks chosen. */
static uint64_t choose_blocks(RamSave *rs)
{
    uint64_t sum = 0;

    rs->sent = g_ptr_array_new();
    for (unsigned i = 0; i < rs->list->blocks->len; i++) {
        RAMBlock *block = g_ptr_array_index(rs->list->blocks, i);

        if (!rs->config.ignore_shared || !ram_block_is_shared(block)) {
            g_ptr_array_add(rs->sent, block);
            sum += block->length;
        }
    }
    return sum;
}

static bool begin_sums(RamSave *rs, GError **error)
{
    if (!rs->config.checksums) {
        return true;
    }
    rs->sender.sums = page_sums_new();
    rs->sender.stage = g_aligned_alloc(PAGE_SEND_STAGE, TM_PAGE_BYTES,
                                       TM_PAGE_BYTES);
    for (unsigned i = 0; i < rs->sent->len; i++) {
        const RAMBlock *block = g_ptr_array_index(rs->sent, i);

        if (!page_sums_add(rs->sender.sums, block->name, block->npages,
                           error)) {
            return false;
        }
    }
    return true;
}

RamSave *ram_save_new(const RamSaveConfig *config, GError **error)
{
    g_autoptr(RamSave) rs = g_new0(RamSave, 1);

    rs->config = *config;
    rs->list = &config->vm->ram;
    rs->map = config->vm->map;
    rs->gpas = config->ignore_shared ? ram_block_gpas(rs->map) : NULL;
    rs->sender.detect_zero = config->detect_zero;
    rs->sender.mapped = config->mapped;
    migration_stat_set(&config->stats->total_bytes, choose_blocks(rs));
    if (!begin_sums(rs, error)) {
        return NULL;
    }
    page_search_init(&rs->search, rs->sent, DIRTY_CLIENT_MIGRATION);
    rs->clear = g_new0(ClearBmap, rs->sent->len);
    for (; rs->n_clear < rs->sent->len; rs->n_clear++) {
        RAMBlock *block = g_ptr_array_index(rs->sent, rs->n_clear);

        if (!clear_bmap_init(&rs->clear[rs->n_clear], block->npages,
                             config->clear_shift, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&rs);
}

void ram_save_free(RamSave *rs)
{
    if (!rs) {
        return;
    }
    for (unsigned i = 0; i < rs->n_clear; i++) {
        clear_bmap_done(&rs->clear[i]);
    }
    g_free(rs->clear);
    page_sums_free(rs->sender.sums);
    g_aligned_free(rs->sender.stage);
    g_ptr_array_unref(rs->sent);
    g_free(rs->gpas);
    g_free(rs);
}

uint64_t ram_save_remaining(const RamSave *rs)
{
    return rs->remaining_pages;
}

const GPtrArray *ram_save_blocks(const RamSave *rs)
{
    return rs->sent;
}

PageSums *ram_save_sums(const RamSave *rs)
{
    return rs->sender.sums;
}

void ram_save_set_down(RamSave *rs)
{
    rs->down = true;
}

void ram_save_set_remaining(RamSave *rs, uint64_t npages)
{
    rs->remaining_pages = npages;
    migration_stat_set(&rs->config.stats->remaining_pages, npages);
}

static uint64_t count_dirty(const RamSave *rs)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < rs->sent->len; i++) {
        n += dirty_bitmap_count(g_ptr_array_index(rs->sent, i),
                                DIRTY_CLIENT_MIGRATION);
    }
    return n;
}

/* The half of the balance that this room can see. */
static void check_balance(const RamSave *rs)
{
#ifdef TM_DEBUG_CHECKS
    g_assert_cmpuint(rs->taken_pages, ==,
                     rs->sender.zero_pages + rs->sender.normal_pages);
#endif
}

bool ram_save_sync(RamSave *rs, RamSync *ret, GError **error)
{
    int64_t start_ns = clock_now_ns(rs->config.clock);
    uint64_t before = rs->remaining_pages;

    g_assert(big_lock_is_held());
    check_balance(rs);
    if (!dirty_sync_round(rs->map, error)) {
        g_prefix_error(error, "dirty sync failed: ");
        return false;
    }
    for (unsigned i = 0; i < rs->n_clear; i++) {
        clear_bmap_arm(&rs->clear[i]);
    }
    ram_save_set_remaining(rs, count_dirty(rs));
    ret->dirty_pages = rs->remaining_pages;
    ret->new_pages = ret->dirty_pages > before ? ret->dirty_pages - before : 0;
    ret->time_ns = clock_now_ns(rs->config.clock) - start_ns;
    migration_stat_add(&rs->config.stats->sync_count, 1);
    migration_stat_add(&rs->config.stats->sync_ns, ret->time_ns);
    return true;
}

/* Take the bits of the run; it ends before a bit that is not set any more. */
static void take_run(RamSave *rs, PageRun *run)
{
    uint64_t n = 0;

    while (n < run->npages &&
           dirty_bitmap_take(run->block, DIRTY_CLIENT_MIGRATION,
                             run->first + n)) {
        n++;
    }
    run->npages = n;
    rs->taken_pages += n;
}

void ram_save_account(RamSave *rs, uint64_t npages, uint64_t bytes)
{
    MigrationCounters *stats = rs->config.stats;

    ram_save_set_remaining(rs, rs->remaining_pages > npages
                                   ? rs->remaining_pages - npages : 0);
    migration_stat_set(&stats->taken_pages, rs->taken_pages);
    migration_stat_set(&stats->zero_pages, rs->sender.zero_pages);
    migration_stat_set(&stats->normal_pages, rs->sender.normal_pages);
    migration_stat_add(rs->down ? &stats->downtime_bytes
                                : &stats->precopy_bytes, bytes);
}

void ram_save_charge(RamSave *rs, Stream *s)
{
    uint64_t put = stream_bytes(s);

    rate_limit_spend(rs->config.limit, put - rs->charged_bytes);
    rs->charged_bytes = put;
    migration_stat_set(&rs->config.stats->transferred_bytes, put);
}

static bool others_clear(const RamSave *rs)
{
    return dirty_client_is_on(rs->list, DIRTY_CLIENT_DISPLAY) ||
           dirty_client_is_on(rs->list, DIRTY_CLIENT_RATE);
}

/*
 * A chunk is cleared once after each of our own syncs. A sync that another
 * client made since then has put pages of it into our bitmap that the
 * accelerator still holds as seen and writable:
 *
 *     migration                    display, dirty rate
 *                                  sync: the page dirty for us both
 *     take the bit, read the page
 *                                                  <- written, noted nowhere
 *                                  clear the page  <- forgotten
 *
 * So while others are on, what was taken is cleared before it is read. Asked
 * after the take: whoever comes on later syncs first, and that sets our bit
 * again. Nothing known, nothing to clear: then this costs a look at the cache.
 */
static bool clear_after_others(const RamSave *rs, const PageRun *run,
                               GError **error)
{
    return !others_clear(rs) ||
           memory_region_clear_dirty_bitmap(rs->map, run->block, run->first,
                                            run->npages, error);
}

static int fail_clear(const PageRun *run, GError **error)
{
    g_prefix_error(error, "cannot clear dirty log of RAM block '%s': ",
                   run->block->name);
    return -1;
}

/*
 * The law in one function: clear, then take, then read and send.
 * Returns: 1 if a run was sent, 0 if nothing is dirty, -1 with @error.
 */
static int send_next_run(RamSave *rs, Stream *s, uint64_t max_pages,
                         GError **error)
{
    PageRun run;
    uint64_t bytes, clears = 0;

    if (!page_search_next(&rs->search, max_pages, &run)) {
        ram_save_set_remaining(rs, count_dirty(rs));
        return 0;
    }
    if (!clear_bmap_before_read(&rs->clear[run.index], rs->map, run.block,
                                run.first, run.npages, &clears, error)) {
        return fail_clear(&run, error);
    }
    migration_stat_add(&rs->config.stats->chunk_clears, clears);
    take_run(rs, &run);
    if (!clear_after_others(rs, &run, error)) {
        return fail_clear(&run, error);
    }
    if (run.npages > 0) {
        bytes = page_send_run(&rs->sender, s, &run);
        ram_save_account(rs, run.npages, bytes);
    }
    ram_save_charge(rs, s);
    return 1;
}

bool ram_save_may_go_on(const RamSave *rs, Stream *s, GError **error)
{
    if (stream_error(s)) {
        if (error) {
            *error = g_error_copy(stream_error(s));
        }
        return false;
    }
    if (__atomic_load_n(rs->config.stop, __ATOMIC_RELAXED)) {
        tm_error_set(error, "migration was cancelled");
        return false;
    }
    return true;
}

bool ram_save_put_setup(void *opaque, Stream *s, GError **error)
{
    RamSave *rs = opaque;

    stream_put_be64(s, wire_ram_word(rs->list->total_bytes,
                                     WIRE_RAM_MEM_SIZE));
    for (unsigned i = 0; i < rs->list->blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(rs->list->blocks, i);

        stream_put_cstr(s, block->name);
        stream_put_be64(s, block->length);
        if (rs->gpas) {
            stream_put_be64(s, rs->gpas[i]);
        }
        if (rs->config.mapped &&
            !mapped_save_put_header(rs->config.mapped, block, error)) {
            return false;
        }
    }
    stream_put_be64(s, wire_ram_word(0, WIRE_RAM_EOS));
    ram_save_charge(rs, s); /* the limit begins with the pages */
    return ram_save_may_go_on(rs, s, error);
}

static uint64_t pending_bytes(void *opaque, bool exact)
{
    RamSave *rs = opaque;

    /* The dirty log is looked at by ram_save_sync(), which can fail. */
    if (exact) {
        ram_save_set_remaining(rs, count_dirty(rs));
    }
    return rs->remaining_pages << TM_PAGE_BITS;
}

void ram_save_end_part(const RamSave *rs, Stream *s)
{
    if (!rs->config.mapped) {
        stream_put_be64(s, wire_ram_word(0, WIRE_RAM_EOS));
    }
}

static int iterate(void *opaque, Stream *s, GError **error)
{
    RamSave *rs = opaque;
    int64_t end_ns = clock_now_ns(rs->config.clock) + RAM_PART_NS;
    uint64_t npages;
    int rc = 1;

    ram_save_charge(rs, s);
    while ((npages = rate_limit_pages(rs->config.limit, RAM_RUN_PAGES)) > 0) {
        rc = send_next_run(rs, s, npages, error);
        if (rc <= 0 || !ram_save_may_go_on(rs, s, NULL) ||
            clock_now_ns(rs->config.clock) >= end_ns) {
            break;
        }
    }
    ram_save_end_part(rs, s);
    if (rc < 0 || !ram_save_may_go_on(rs, s, error)) {
        return -1;
    }
    return rc == 0;
}

static bool complete(void *opaque, Stream *s, GError **error)
{
    RamSave *rs = opaque;
    int rc;

    while ((rc = send_next_run(rs, s, RAM_RUN_PAGES, error)) > 0) {
        if (!ram_save_may_go_on(rs, s, error)) {
            return false;
        }
    }
    check_balance(rs);
    stream_put_be64(s, wire_ram_word(0, WIRE_RAM_EOS));
    return rc == 0 && ram_save_may_go_on(rs, s, error);
}

static const SectionOps ram_save_ops = {
    .setup = ram_save_put_setup,
    .pending = pending_bytes,
    .iterate = iterate,
    .complete = complete,
};

LiveSection ram_save_section(RamSave *rs)
{
    return (LiveSection){
        .name = "ram",
        .instance = 0,
        .version = WIRE_RAM_VERSION,
        .ops = rs->config.frozen ? &ram_frozen_ops : &ram_save_ops,
        .opaque = rs,
        .no_parts = rs->config.mapped,
    };
}
