/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of capability background-snapshot: the guest as it was in a short
 * pause, saved while it runs on.
 *
 *   protect all memory        the guest runs
 *   stop, device state into memory, protect again what was written, resume
 *   pages, from copies        the guest runs; a write waits for a copy
 *   device state, end
 *
 * Nothing in the pause grows with the speed of the target, nor with the size
 * of RAM but for what the guest writes while all of it is being protected. The
 * stream is one that any destination can load.
 */
#ifndef MIGRATION_BACKGROUND_SNAPSHOT_H
#define MIGRATION_BACKGROUND_SNAPSHOT_H

#include <glib.h>
#include <stdbool.h>

#include "migration/options.h"

typedef struct Migration Migration;
typedef struct SnapshotInfo SnapshotInfo;

/** background_snapshot_is_wanted() - is the capability on in @o? */
bool background_snapshot_is_wanted(const MigrationOptions *o);

/**
 * background_snapshot_check() - can this host protect this guest's memory?
 * Context: big lock. Errors: what is missing, for the administrator.
 */
bool background_snapshot_check(const Migration *m, GError **error);

/**
 * background_snapshot_run() - from a connected channel to the last byte
 * In any case the guest is as it was before, stopped only if somebody else
 * has stopped it; m->freeze is still there, for the job's end to free.
 * Context: migration thread, without the big lock.
 * Errors:  the channel's, a device's, the host's, cancelled.
 */
bool background_snapshot_run(Migration *m, GError **error);

/** background_snapshot_query() - what it did so far, or has done
 *  Context: big lock. Returns: NULL if no memory was protected (yet). */
SnapshotInfo *background_snapshot_query(const Migration *m);

/**
 * background_snapshot_release() - let all writers go; keep the numbers
 * Nothing if there is no freeze.
 * Context: migration thread, without the big lock.
 */
void background_snapshot_release(Migration *m);

#endif
