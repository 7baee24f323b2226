/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" on the source: joins hops 2 to 7 of the data's way.
 *
 * What is true between calls: every page whose copy at the destination may be
 * older than the guest's has its bit in the migration bitmap, or is known to
 * the accelerator and will be in the bitmap after the next sync. A page's bit
 * is taken only by this section, after its chunk was cleared and before it is
 * read. Bits taken = pages sent.
 *
 * Used by the migration thread only.
 */
#ifndef MIGRATION_RAM_H
#define MIGRATION_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/mapped-save.h"
#include "migration/migration-stats.h"
#include "migration/page-sums.h"
#include "migration/rate-limit.h"
#include "migration/savevm.h"
#include "util/clock.h"

typedef struct Vm Vm;
typedef struct RamSave RamSave;

typedef struct RamSaveConfig {
    Vm *vm;
    Clock *clock;
    MigrationCounters *stats;
    RateLimit *limit;          /* asked and charged by iterate */
    const bool *stop;          /* atomic: give up soon */
    unsigned clear_shift;      /* log2 of the pages of a chunk, as asked */
    bool detect_zero;
    MappedSave *mapped;        /* where pages have fixed places, or NULL; not
                                  owned */
    bool checksums;            /* with every page; see page-sums.h */
    bool ignore_shared;        /* send no pages of blocks that the destination
                                  has mapped, too; see ram-shared.h */
    bool frozen;               /* send copies of a RamFreeze (ram-frozen.h)
                                  instead of what is dirty: no sync, no END */
} RamSaveConfig;

/* What one sync found. */
typedef struct RamSync {
    uint64_t dirty_pages;      /* now, all in all */
    uint64_t new_pages;        /* of these, since the sync before */
    uint64_t time_ns;
} RamSync;

/** ram_save_new() - for one migration; @config is copied
 *  Context: big lock. Errors: no memory for chunk bitmaps or checksums. */
RamSave *ram_save_new(const RamSaveConfig *config, GError **error);

/** ram_save_free() - NULL is fine. */
void ram_save_free(RamSave *rs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RamSave, ram_save_free)

/**
 * ram_save_sync() - one round: every accelerator reports, all chunks are armed
 * Complete only if no vCPU is in guest mode.
 * Context: migration thread, big lock. Errors: those of dirty_sync_round().
 */
bool ram_save_sync(RamSave *rs, RamSync *ret, GError **error);

/** ram_save_remaining() - dirty pages not yet sent: exact after a sync and
 *  when nothing was left, in between without what became dirty since. */
uint64_t ram_save_remaining(const RamSave *rs);

/** ram_save_sums() - of the blocks whose pages travel, as sent last. Returns:
 *  owned by @rs; NULL without checksums. */
PageSums *ram_save_sums(const RamSave *rs);

/** ram_save_set_down() - the guest has stopped: bytes count as downtime. */
void ram_save_set_down(RamSave *rs);

/** ram_save_blocks() - those whose pages travel. Returns: of RAMBlock *. */
const GPtrArray *ram_save_blocks(const RamSave *rs);

/** ram_save_section() - what savevm_new() is given. */
LiveSection ram_save_section(RamSave *rs);

#endif
