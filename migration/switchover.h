/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switch-over: from a running guest with little left to send to a guest
 * that is somebody else's. What is true at each point, and who may run the
 * guest after a failure there, is docs/devel/errors.md's chapter on the
 * hand-over.
 */
#ifndef MIGRATION_SWITCHOVER_H
#define MIGRATION_SWITCHOVER_H

#include <glib.h>
#include <stdbool.h>

typedef struct Migration Migration;

/**
 * switchover_run() - pause, last sync, last pages, devices, hand over
 * Context: migration thread.
 * Errors:  as they come. While m->handover_begun is false on return, the
 *          destination cannot run the guest and the source may.
 * Returns: true when the destination has everything.
 */
bool switchover_run(Migration *m, GError **error);

/**
 * switchover_undo() - put the run state back to what it was
 * Nothing if the machine was not stopped by switchover_run().
 * Context: big lock; the destination cannot run the guest.
 */
void switchover_undo(Migration *m);

#endif
