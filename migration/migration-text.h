/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What query-migrate and query-dirty-rate answer, as lines for people. Pure.
 */
#ifndef MIGRATION_MIGRATION_TEXT_H
#define MIGRATION_MIGRATION_TEXT_H

#include "qapi/qapi-types.h"

/** migration_info_text() - the lines of "info migrate" after the globals
 *  Returns: text, owned by the caller. */
char *migration_info_text(const MigrationInfo *info);

/** dirty_rate_info_text() - the lines of "info dirty_rate"
 *  Returns: text, owned by the caller. */
char *dirty_rate_info_text(const DirtyRateInfo *info);

#endif
