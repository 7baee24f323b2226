/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job's options, as the monitor and the composition root change them: the
 * rules about when that may be; what may be is options.h's.
 */
#include "migration/migration.h"

#include "migration/background-snapshot.h"
#include "migration/dirty-writers.h"
#include "migration/incoming.h"
#include "migration/migration-internal.h"
#include "migration/options.h"
#include "util/error.h"

/* What a capability asks of the machine. */
static bool check_machine(const Migration *m, const MigrationOptions *o,
                          GError **error)
{
    if (migration_options_cap(o, MIGRATION_CAPABILITY_DIRTY_LIMIT) &&
        !dirty_writers_check(m->vm, "capability 'dirty-limit'", error)) {
        return false;
    }
    return !background_snapshot_is_wanted(o) ||
           background_snapshot_check(m, error);
}

bool migration_set_global(Migration *m, const char *name, const char *value,
                          GError **error)
{
    MigrationOptions wanted = m->options;

    if (!migration_options_set_global(&wanted, name, value, error)) {
        return false;
    }
    if (!check_machine(m, &wanted, error)) {
        g_prefix_error(error, "cannot set 'migration.%s' to '%s': ", name,
                       value);
        return false;
    }
    m->options = wanted; /* start-up: nobody reads them yet */
    return true;
}

bool migration_set_capabilities(Migration *m,
                                const MigrationCapabilityStatusList *list,
                                GError **error)
{
    MigrationOptions wanted = m->options;

    /* Both sides look at them as they go. */
    if (migration_is_running(m) || incoming_is_loading(m->incoming)) {
        tm_error_set(error, "capabilities cannot change while a migration is "
                     "in progress");
        return false;
    }
    return migration_options_set_caps(&wanted, list, error) &&
           check_machine(m, &wanted, error) &&
           migration_options_set_caps(&m->options, list, error);
}

bool migration_get_capability(const Migration *m, MigrationCapability cap)
{
    return migration_options_cap(&m->options, cap);
}

bool migration_set_parameters(Migration *m, const MigrateSetParameters *params,
                              GError **error)
{
    return migration_options_set_params(&m->options, params, error);
}

MigrationParameters *migration_get_parameters(const Migration *m)
{
    return migration_options_get_params(&m->options);
}

char *migration_globals_text(const Migration *m)
{
    return migration_options_globals_text(&m->options);
}
