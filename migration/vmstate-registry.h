/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Insides of the registry of a machine's device states and of its reasons not
 * to migrate. Guarded by the big lock.
 */
#ifndef MIGRATION_VMSTATE_REGISTRY_H
#define MIGRATION_VMSTATE_REGISTRY_H

#include <glib.h>

#include "migration/vmstate.h"

struct VmStateRegistry {
    GPtrArray *entries;      /* of VmStateEntry *, in order of registration */
    GArray *blockers;        /* of struct MigrationBlocker */
    unsigned next_blocker;
};

typedef struct MigrationBlocker {
    unsigned id;
    char *reason;
} MigrationBlocker;

#endif
