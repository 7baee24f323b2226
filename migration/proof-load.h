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

#include "migration/page-sums.h"
#include "migration/savevm.h"

typedef struct Vm Vm;
typedef struct ProofLoad ProofLoad;

/**
 * proof_load_new() - for one incoming stream
 * @ignore_shared: nothing comes of blocks that are shared with the source
 * Context: big lock. Errors: no memory for the checksums.
 */
ProofLoad *proof_load_new(Vm *vm, bool ignore_shared, GError **error);

/** proof_load_free() - NULL is fine. */
void proof_load_free(ProofLoad *pl);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ProofLoad, proof_load_free)

/** proof_load_sums() - where the pages that come are to be noted
 *  Returns: owned by @pl. */
PageSums *proof_load_sums(const ProofLoad *pl);

/** proof_load_section() - for the loader's table
 *  Errors of the hook: those of page_sums_load(); the table comes twice. */
LiveSection proof_load_section(ProofLoad *pl);

#endif
