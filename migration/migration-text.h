/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What query-migrate, query-dirty-rate and query-vcpu-dirty-limit answer, as
 * lines for people. Pure.
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

/** dirty_limit_info_text() - the lines of "info vcpu_dirty_limit"
 *  Returns: text, owned by the caller. */
char *dirty_limit_info_text(const DirtyLimitInfoList *list);

#endif
