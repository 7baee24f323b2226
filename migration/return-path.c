/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's reader of the return path; see migration/return-path.h. A few
 * messages per migration. The thread ends with SHUT, with the end of the
 * channel, or with the first thing that is no message.
 */
#include "migration/return-path.h"

#include "migration/stream.h"
#include "migration/wire.h"
#include "trace/migration.h"
#include "util/error.h"
#include "util/thread.h"

struct ReturnPath {
    Channel *channel;
    GThread *thread;
    GMutex lock;             /* guards the rest */
    GCond changed;
    uint64_t pongs;          /* bit per token; we send none above 63 */
    bool acked;
    bool shut;               /* SHUT has come */
    uint32_t shut_value;
    GError *error;           /* the thread has ended without SHUT */
};

static bool note_message(ReturnPath *rp, const WireMessageHeader *message)
{
    uint32_t value;

    switch (message->type) {
    case WIRE_MESSAGE_PONG:
        value = wire_message_u32(message);
        rp->pongs |= value < 64 ? UINT64_C(1) << value : 0;
        return true;
    case WIRE_MESSAGE_SWITCHOVER_ACK:
        rp->acked = true;
        return true;
    case WIRE_MESSAGE_SHUT:
        rp->shut = true;
        rp->shut_value = wire_message_u32(message);
        return false;
    default:
        tm_error_set(&rp->error, "the destination sent message %u, which "
                     "nothing here asks for", message->type);
        return false;
    }
}

static gpointer return_path_thread(gpointer opaque)
{
    ReturnPath *rp = opaque;
    g_autoptr(Stream) s = stream_new_input(rp->channel);
    WireMessageHeader message;
    bool more = true;

    while (more) {
        g_autoptr(GError) error = NULL;
        bool got = wire_get_message(s, &message, &error);

        g_mutex_lock(&rp->lock);
        if (got) {
            trace_return_path_message(message.type, message.length);
            more = note_message(rp, &message);
        } else {
            g_prefix_error(&error, "the destination closed the return path "
                           "without a word: ");
            rp->error = g_steal_pointer(&error);
            more = false;
        }
        g_cond_broadcast(&rp->changed);
        g_mutex_unlock(&rp->lock);
    }
    return NULL;
}

ReturnPath *return_path_start(Channel *channel, GError **error)
{
    ReturnPath *rp = g_new0(ReturnPath, 1);

    rp->channel = channel_ref(channel);
    g_mutex_init(&rp->lock);
    g_cond_init(&rp->changed);
    rp->thread = thread_new("return-path", return_path_thread, rp, error);
    if (!rp->thread) {
        g_clear_pointer(&rp, return_path_free);
    }
    return rp;
}

void return_path_free(ReturnPath *rp)
{
    if (!rp) {
        return;
    }
    if (rp->thread) {
        g_thread_join(rp->thread);
    }
    channel_unref(rp->channel);
    g_clear_error(&rp->error);
    g_cond_clear(&rp->changed);
    g_mutex_clear(&rp->lock);
    g_free(rp);
}

/* How it ended, if it has. Returns: false with @error for a bad end. */
static bool check_end_locked(const ReturnPath *rp, GError **error)
{
    if (rp->shut && rp->shut_value) {
        tm_error_set(error, "the destination reports error %u",
                     rp->shut_value);
        return false;
    }
    if (rp->error) {
        g_propagate_error(error, g_error_copy(rp->error));
        return false;
    }
    return true;
}

bool return_path_wait_shut(ReturnPath *rp, GError **error)
{
    bool ok;

    g_mutex_lock(&rp->lock);
    while (!rp->shut && !rp->error) {
        g_cond_wait(&rp->changed, &rp->lock);
    }
    ok = check_end_locked(rp, error);
    g_mutex_unlock(&rp->lock);
    return ok;
}

bool return_path_wait_pong(ReturnPath *rp, uint32_t token, GError **error)
{
    uint64_t bit = UINT64_C(1) << token;
    bool ok;

    g_assert(token < 64); /* our own choice */
    g_mutex_lock(&rp->lock);
    while (!(rp->pongs & bit) && !rp->shut && !rp->error) {
        g_cond_wait(&rp->changed, &rp->lock);
    }
    ok = rp->pongs & bit;
    if (!ok && check_end_locked(rp, error)) {
        tm_error_set(error, "the destination ended without an answer to PING "
                     "%u", token);
    }
    g_mutex_unlock(&rp->lock);
    return ok;
}

/* A flag of a path that others may be changing. */
static bool read_flag(const ReturnPath *rp, const bool *flag)
{
    GMutex *lock = (GMutex *)&rp->lock;
    bool value;

    g_mutex_lock(lock);
    value = *flag;
    g_mutex_unlock(lock);
    return value;
}

bool return_path_acked(const ReturnPath *rp)
{
    return read_flag(rp, &rp->acked);
}

bool return_path_refused(const ReturnPath *rp)
{
    GMutex *lock = (GMutex *)&rp->lock;
    bool refused;

    g_mutex_lock(lock);
    refused = rp->shut && rp->shut_value;
    g_mutex_unlock(lock);
    return refused;
}

bool return_path_failed(const ReturnPath *rp, GError **error)
{
    GMutex *lock = (GMutex *)&rp->lock;
    bool ok;

    g_mutex_lock(lock);
    ok = check_end_locked(rp, error);
    g_mutex_unlock(lock);
    return !ok;
}
