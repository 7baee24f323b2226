/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job's options, as the monitor and the composition root change them: the
 * rules about when that may be; what may be is options.h's.
 */
#include "migration/migration.h"

#include "migration/incoming.h"
#include "migration/migration-internal.h"
#include "migration/options.h"
#include "util/error.h"

bool migration_set_global(Migration *m, const char *name, const char *value,
                          GError **error)
{
    return migration_options_set_global(&m->options, name, value, error);
}

bool migration_set_capabilities(Migration *m,
                                const MigrationCapabilityStatusList *list,
                                GError **error)
{
    /* Both sides look at them as they go. */
    if (migration_is_running(m) || incoming_is_loading(m->incoming)) {
        tm_error_set(error, "capabilities cannot change while a migration is "
                     "in progress");
        return false;
    }
    return migration_options_set_caps(&m->options, list, error);
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
