/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two forms in which a migration's address is given, as one.
 */
#ifndef MIGRATION_MIGRATION_ADDRESS_H
#define MIGRATION_MIGRATION_ADDRESS_H

#include <glib.h>

#include "io/address.h"
#include "qapi/qapi-types.h"

/**
 * migration_address_from_args() - of the commands migrate, migrate-incoming
 * @uri, @channels: exactly one of them
 * Errors: both or none; more than the one main channel; a part that is
 *         malformed or that cannot be honoured, named. Pure.
 * Returns: to be freed with channel_address_free(); NULL on error.
 */
ChannelAddress *
migration_address_from_args(const char *uri,
                            const MigrationChannelList *channels,
                            GError **error);

#endif
