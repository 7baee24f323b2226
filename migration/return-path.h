/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way back from the destination to the source, on the same channel: one
 * thread at the source reads its messages. The stream's writer and this
 * reader use the channel at the same time in opposite directions.
 */
#ifndef MIGRATION_RETURN_PATH_H
#define MIGRATION_RETURN_PATH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"

typedef struct ReturnPath ReturnPath;

/** return_path_start() - read messages from now on, in a thread
 *  @channel: a reference is taken. Context: any thread. Errors: those of
 *  thread_new(). */
ReturnPath *return_path_start(Channel *channel, GError **error);

/**
 * return_path_wait_shut() - wait until the destination has said how it ended
 * Context: no lock. channel_shutdown() on the channel from another thread
 * ends the wait.
 * Errors: the destination reported an error, closed without a word, or sent
 * what is no message.
 */
bool return_path_wait_shut(ReturnPath *rp, GError **error);

/** return_path_wait_pong() - wait for the answer to PING @token. As above. */
bool return_path_wait_pong(ReturnPath *rp, uint32_t token, GError **error);

/** return_path_acked() - has SWITCHOVER_ACK arrived? Context: any thread. */
bool return_path_acked(const ReturnPath *rp);

/** return_path_failed() - has the reader ended with an error, or was SHUT
 *  with an error seen? @error may be NULL. Context: any thread. */
bool return_path_failed(const ReturnPath *rp, GError **error);

/** return_path_refused() - has the destination said, by SHUT with a value
 *  other than 0, that it failed? Then it does not run the guest; of one that
 *  closed without a word nobody knows. Context: any thread. */
bool return_path_refused(const ReturnPath *rp);

/** return_path_free() - joins the thread: the channel must have been shut
 *  down, or the peer closed. NULL is fine. */
void return_path_free(ReturnPath *rp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReturnPath, return_path_free)

#endif
