/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The section "ram" of a background snapshot: every page once, as it was when
 * memory was frozen. Copies come from a RamFreeze, those of pages that
 * somebody wrote first. They are paid for like all others, but never wait for
 * the rate limit: what they take is missing to the scan.
 *
 * Used by the migration thread only.
 */
#ifndef MIGRATION_RAM_FROZEN_H
#define MIGRATION_RAM_FROZEN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/savevm.h"

typedef struct RamFreeze RamFreeze;
typedef struct RamSave RamSave;

/* Setup, pending and iterate; there is no END. @opaque: the RamSave. */
extern const SectionOps ram_frozen_ops;

/** ram_frozen_begin() - copies come from @freeze, which is frozen and outlives
 *  the section. */
void ram_frozen_begin(RamSave *rs, RamFreeze *freeze);

/**
 * ram_frozen_wait() - until there are copies for one iterate()
 * @bps: the rate limit; 0: none
 * Waits some milliseconds at most.
 * Errors:  those of ram_freeze_take().
 * Returns: whether there are copies: 1 or 0; -1 with @error set.
 */
int ram_frozen_wait(RamSave *rs, uint64_t bps, GError **error);

/** ram_frozen_is_over() - every page has been put. */
bool ram_frozen_is_over(const RamSave *rs);

#endif
