/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the source: the table of the checksums of
 * all pages, sent whole when all of them are. See page-sums.h.
 *
 * If it is asked to verify, the table is made of memory as it stands then,
 * with the vCPUs stopped: what was sent last and what is there is the same, or
 * a page was forgotten, and the destination says which. Both sides hash their
 * memory at the same time.
 */
#ifndef MIGRATION_PROOF_SAVE_H
#define MIGRATION_PROOF_SAVE_H

#include <glib.h>
#include <stdbool.h>

#include "migration/mapped-save.h"
#include "migration/migration-stats.h"
#include "migration/page-sums.h"
#include "migration/savevm.h"
#include "system/ramblock.h"
#include "util/clock.h"

typedef struct ProofSaveConfig {
    PageSums *sums;            /* ram_save_sums() */
    const RAMList *list;       /* whose blocks they are */
    const MappedSave *mapped;  /* where pages have fixed places, or NULL */
    bool verify;               /* the vCPUs are stopped by then: hash memory */
    Clock *clock;
    MigrationCounters *stats;  /* verify_ns */
    const bool *stop;          /* atomic: give up soon */
} ProofSaveConfig;

typedef struct ProofSave ProofSave;

/** proof_save_new() - @config: copied. */
ProofSave *proof_save_new(const ProofSaveConfig *config);

/** proof_save_free() - NULL is fine. */
void proof_save_free(ProofSave *ps);

/** proof_save_section() - what savevm_new() is given besides "ram"
 *  Errors of the hook: the stream's; asked to stop.
 *  Cost: if it verifies, reads all of RAM, some 5 GB/s. */
LiveSection proof_save_section(ProofSave *ps);

#endif
