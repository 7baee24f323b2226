/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the destination: every page has its checksum
 * noted as it comes, and when the table has come the two must be the same. See
 * page-sums.h.
 */
#ifndef MIGRATION_PROOF_LOAD_H
#define MIGRATION_PROOF_LOAD_H

#include <glib.h>
#include <stdbool.h>

#include "io/channel.h"
#include "migration/page-sums.h"
#include "migration/savevm.h"
#include "util/clock.h"

typedef struct Vm Vm;
typedef struct ProofLoad ProofLoad;

typedef struct ProofLoadConfig {
    Vm *vm;
    bool ignore_shared;    /* nothing comes of blocks shared with the source */
    bool verify;           /* hash memory even if the source has not, and
                              what nobody has looked at yet */
    Clock *clock;
    uint64_t *verify_ns;   /* atomic; how long that took */
    uint64_t *unchecked_pages; /* atomic; that are in the file and that nobody
                              has looked at, so far */
    Channel *channel;      /* once it is shut, give up soon; may be NULL */
} ProofLoadConfig;

/** proof_load_new() - for one incoming stream; @config is copied
 *  Context: big lock. Errors: no memory for the checksums. */
ProofLoad *proof_load_new(const ProofLoadConfig *config, GError **error);

/** proof_load_free() - NULL is fine. */
void proof_load_free(ProofLoad *pl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProofLoad, proof_load_free)

/** proof_load_take_sums() - the table that was loaded, for somebody who holds
 *  all pages against it that nobody has looked at
 *  Context: after the end of the stream. Returns: NULL if there was none. */
PageSums *proof_load_take_sums(ProofLoad *pl);

/** proof_load_sums() - where the pages that come are to be noted
 *  Returns: owned by @pl. */
PageSums *proof_load_sums(const ProofLoad *pl);

/** proof_load_section() - for the loader's table
 *  Errors of the hook: those of page_sums_load(); memory that does not hold
 *  what came, with the first such page of a block.
 *  Cost: if it verifies, reads all of RAM, some 5 GB/s. */
LiveSection proof_load_section(ProofLoad *pl);

#endif
