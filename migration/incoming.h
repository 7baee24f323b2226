/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The incoming side of the job: wait for a stream, load it in a thread of its
 * own, start the guest as the source left it.
 *
 *   none -> setup (listening, or a file opened) -> active (the stream has
 *   come) -> completed | failed
 *
 * Nothing that was half loaded ever runs: a failed load leaves the machine in
 * run state "inmigrate" for good, and ends the process unless it was told not
 * to.
 */
#ifndef MIGRATION_INCOMING_H
#define MIGRATION_INCOMING_H

#include <glib.h>
#include <stdbool.h>

#include "qapi/qapi-types.h"

typedef struct Migration Migration;
typedef struct MigrationIncoming MigrationIncoming;

/** incoming_new() - of a job; nothing is waited for yet. */
MigrationIncoming *incoming_new(Migration *m);

/** incoming_free() - stop listening, end a load that is under way.
 *  Context: main thread, big lock (dropped while it waits). */
void incoming_free(MigrationIncoming *in);

/** incoming_query() - status, socket-address and error-desc, if there is
 *  anything incoming. Context: big lock. */
void incoming_query(MigrationIncoming *in, MigrationInfo *info);

/** incoming_is_loading() - has a stream come that is not at its end?
 *  Context: any thread. */
bool incoming_is_loading(const MigrationIncoming *in);

#endif
