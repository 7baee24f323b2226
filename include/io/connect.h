/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an address to an open channel.
 *
 * Sockets connect, which takes time: in a thread, the result delivered to the
 * main context. Everything else (fd, exec, file) opens at once.
 */
#ifndef IO_CONNECT_H
#define IO_CONNECT_H

#include <glib.h>

#include "io/address.h"
#include "io/channel.h"
#include "util/fdset.h"

/* What addresses may refer to; given by whoever knows the monitors. */
typedef struct ChannelEnv {
    FdSets *fdsets; /* for file:/dev/fdset/N; may be NULL */
    /*
     * Takes the descriptor that a client has passed under this name out of
     * the table: it is the caller's then. Called on the main thread only.
     * NULL: only numbers are descriptors. Returns -1 with @error set.
     */
    int (*take_fd)(void *opaque, const char *name, GError **error);
    void *opaque; /* for take_fd */
} ChannelEnv;

typedef enum ChannelDirection {
    CHANNEL_IN,  /* we read: the destination of a migration */
    CHANNEL_OUT, /* we write: the source */
} ChannelDirection;

/**
 * channel_open() - open what an address names, or connect to it
 * @direction: whether a file is read, or cut and written; which end of a
 *             command is ours. Sockets are open both ways in any case
 * @env:       may be NULL: no fd sets, descriptors by number only
 * @cancel_fd: a connection attempt ends with an error as soon as this
 *             descriptor is readable; -1 for none
 * Context: the main thread for fd:, else any thread; blocks for unix: and
 *          tcp: until connected.
 * Errors:  as the kinds have them, the address named.
 * Returns: the channel, or NULL.
 */
Channel *channel_open(const ChannelAddress *address,
                      ChannelDirection direction, const ChannelEnv *env,
                      int cancel_fd, GError **error);

typedef struct ConnectJob ConnectJob;

/**
 * ConnectDoneFn - the end of a ConnectJob
 * @c:     the channel, the callee's now; NULL if it failed
 * @error: why it failed, owned by the caller of this function; else NULL
 * Context: the main context; the job is gone when this is called.
 */
typedef void ConnectDoneFn(Channel *c, const GError *error, void *opaque);

/**
 * connect_start() - begin to open what an address names
 * unix: and tcp: are connected by a thread; their errors are delivered to
 * @done. fd:, exec: and file: are opened before this returns and their errors
 * are returned here; their channel is delivered by @done as well, later.
 * @done is called exactly once, unless connect_cancel() comes before.
 * Context: main thread.
 * Errors:  the address cannot be opened; @done will not be called.
 * Returns: the job, good until @done is called or it is cancelled; NULL on
 *          error.
 */
ConnectJob *connect_start(const ChannelAddress *address,
                          ChannelDirection direction, const ChannelEnv *env,
                          ConnectDoneFn *done, void *opaque, GError **error);

/**
 * connect_cancel() - give up; @done will not be called
 * The attempt itself ends in the background; a name that is being looked up
 * is looked up to its end there, without anybody waiting.
 * Context: main thread. Accepts NULL.
 */
void connect_cancel(ConnectJob *job);

#endif
