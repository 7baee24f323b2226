/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reasons why the machine cannot be migrated; see migration/blocker.h. A few
 * at most, so a plain array.
 */
#include "migration/blocker.h"

#include "migration/vmstate-registry.h"

unsigned migration_blocker_add(VmStateRegistry *registry, const char *reason)
{
    MigrationBlocker blocker = { ++registry->next_blocker, g_strdup(reason) };

    g_array_append_val(registry->blockers, blocker);
    return blocker.id;
}

void migration_blocker_del(VmStateRegistry *registry, unsigned id)
{
    for (unsigned i = 0; i < registry->blockers->len; i++) {
        if (g_array_index(registry->blockers, MigrationBlocker, i).id == id) {
            g_array_remove_index(registry->blockers, i);
            return;
        }
    }
}

char **migration_blockers(VmStateRegistry *registry)
{
    char **reasons = g_new0(char *, registry->blockers->len + 1);

    for (unsigned i = 0; i < registry->blockers->len; i++) {
        reasons[i] = g_strdup(g_array_index(registry->blockers,
                                            MigrationBlocker, i).reason);
    }
    return reasons;
}
