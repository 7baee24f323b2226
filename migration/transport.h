/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the job needs to know of the address it goes to, and the connecting.
 */
#ifndef MIGRATION_TRANSPORT_H
#define MIGRATION_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>

#include "io/address.h"
#include "io/channel.h"
#include "migration/options.h"

typedef struct Migration Migration;

/** transport_is_storage() - does it lead to a file, which runs nothing? Pure.
 *  A descriptor may be anything and counts as a peer. */
bool transport_is_storage(const ChannelAddress *address);

/** transport_place() - the stream's first byte in the file it leads to.
 *  Pure. NULL: a channel that was handed over; 0. */
uint64_t transport_place(const ChannelAddress *address);

/** transport_check() - can it serve what the options ask for?
 *  Errors: a return path is asked of a file or a pipe, fixed places of what is
 *  no file. Pure. */
bool transport_check(const ChannelAddress *address,
                     const MigrationOptions *options, GError **error);

/** transport_check_incoming() - the same, for where a stream comes from. */
bool transport_check_incoming(const ChannelAddress *address,
                              const MigrationOptions *options, GError **error);

/** transport_check_channel() - the same, once it is open: what has a file's
 *  name need not be one. Errors: fixed places of what cannot seek. */
bool transport_check_channel(const Channel *channel,
                             const MigrationOptions *options, bool incoming,
                             GError **error);

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
