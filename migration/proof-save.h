/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "page-checksums" on the source: the table of the checksums of
 * all pages, sent whole when all of them are. See page-sums.h.
 */
#ifndef MIGRATION_PROOF_SAVE_H
#define MIGRATION_PROOF_SAVE_H

#include "migration/page-sums.h"
#include "migration/savevm.h"

/** proof_save_section() - what savevm_new() is given besides the section "ram"
 *  @sums: ram_save_sums(); outlives the section */
LiveSection proof_save_section(PageSums *sums);

#endif
