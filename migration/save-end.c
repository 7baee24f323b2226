/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an outgoing stream; see save-end.h.
 */
#include "migration/save-end.h"

#include "migration/mapped-save.h"
#include "migration/migration-internal.h"
#include "migration/savevm.h"

static bool put_all(Migration *m, GError **error)
{
    if (!savevm_put_end(m->savevm, m->out, error)) {
        return false;
    }
    if (m->mapped) {
        mapped_save_finish(m->mapped);
    }
    return stream_check(m->out, error);
}

bool save_put_end(Migration *m, GError **error)
{
    bool ok = put_all(m, error);

    migration_stat_set(&m->stats.transferred_bytes, stream_bytes(m->out));
    return ok;
}
