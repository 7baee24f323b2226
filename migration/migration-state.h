/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The status of a migration: which changes are legal, and who is told.
 *
 * A status is changed under the big lock and read by any thread. Whoever wants
 * to change it says what it believes the status is: of the migration thread
 * ("go on") and the monitor ("cancel") only one can win, and the loser sees
 * that it has lost. Meaning of the outgoing ones, by what may be done in them:
 *
 *   setup           the channel is being made; nothing is logged yet
 *   active          the guest may run; pages travel
 *   pre-switchover  the guest is stopped and waits for migrate-continue
 *   device          the guest is stopped; last pages and devices travel
 *   cancelling      the user wants it back; the thread is on its way out
 *   completed, failed, cancelled   the end; a new migration may begin
 */
#ifndef MIGRATION_MIGRATION_STATE_H
#define MIGRATION_MIGRATION_STATE_H

#include <glib.h>
#include <stdbool.h>

#include "migration/migration.h"
#include "qapi/qapi-types.h"

typedef enum MigrationRole {
    MIGRATION_ROLE_OUTGOING,
    MIGRATION_ROLE_INCOMING,
} MigrationRole;

typedef struct MigrationState {
    MigrationRole role;
    int status;                 /* MigrationStatus; atomic */
    MigrationObserver observer; /* status hook may be NULL */
    void *opaque;
} MigrationState;

/** migration_state_init() - status "none", nobody told. Context: start-up. */
void migration_state_init(MigrationState *state, MigrationRole role,
                          const MigrationObserver *observer, void *opaque);

/** migration_state_get() - Context: any thread. */
MigrationStatus migration_state_get(const MigrationState *state);

/**
 * migration_state_change() - go from @from to @to and tell the observer
 * Context: big lock.
 * Returns: false if the status is not @from any more; nothing is changed.
 *          A change that the table forbids is our own bug and asserts.
 */
bool migration_state_change(MigrationState *state, MigrationStatus from,
                            MigrationStatus to);

/** migration_status_can_change() - the table. Context: any; pure. */
bool migration_status_can_change(MigrationRole role, MigrationStatus from,
                                 MigrationStatus to);

/** migration_status_is_running() - between setup and an end? Pure. */
bool migration_status_is_running(MigrationStatus status);

#endif
