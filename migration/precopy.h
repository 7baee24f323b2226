/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live migration before the switch-over: sync, decide, send, repeat. Rounds
 * are numbered by the sync that begins them; what a round has brought is
 * judged by convergence.h and kept in the job's statistics.
 */
#ifndef MIGRATION_PRECOPY_H
#define MIGRATION_PRECOPY_H

#include <glib.h>
#include <stdbool.h>

typedef struct Migration Migration;
typedef struct Precopy Precopy;

/** precopy_new() - for one migration. precopy_free(): NULL is fine. */
Precopy *precopy_new(Migration *m);
void precopy_free(Precopy *p);

/**
 * precopy_setup() - from a connected channel to status "active"
 * Logging on, first sync, file header, return path, list of RAM blocks.
 * Context: migration thread. Errors: any of these, or cancelled.
 */
bool precopy_setup(Precopy *p, GError **error);

/**
 * precopy_run() - send until what is left fits into the downtime limit
 * Context: migration thread. Errors: the channel's, a sync's or clear's, or
 * cancelled; the dirty bits of what was sent are gone, so that a new migration
 * begins with all of them.
 */
bool precopy_run(Precopy *p, GError **error);

/**
 * precopy_sync() - a sync: one round ends, the next begins
 * Context: migration thread, big lock. Errors: those of ram_save_sync().
 */
bool precopy_sync(Precopy *p, GError **error);

#endif
