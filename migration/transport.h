/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the job needs to know of the address it goes to, and the connecting.
 */
#ifndef MIGRATION_TRANSPORT_H
#define MIGRATION_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>

#include "io/address.h"
#include "migration/options.h"

typedef struct Migration Migration;

/** transport_is_storage() - does it lead to a file, which runs nothing? Pure.
 *  A descriptor may be anything and counts as a peer. */
bool transport_is_storage(const ChannelAddress *address);

/** transport_check() - can it serve what the options ask for?
 *  Errors: a return path is asked of a file or a pipe. Pure. */
bool transport_check(const ChannelAddress *address,
                     const MigrationOptions *options, GError **error);

/**
 * transport_connect() - begin to open @address; ends in migration_connected(),
 * which the main loop calls later
 * Context: main thread, big lock.
 * Errors:  what can be opened at once could not be; migration_connected()
 *          will not be called.
 */
bool transport_connect(Migration *m, const ChannelAddress *address,
                       GError **error);

/** transport_cancel() - give up connecting; migration_connected() will not be
 *  called. Context: main thread, big lock.
 *  Returns: whether it was still under way. */
bool transport_cancel(Migration *m);

#endif
