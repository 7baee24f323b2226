/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an address to an open channel; see include/io/connect.h.
 *
 * A job has two owners: the main thread, until it has delivered or cancelled,
 * and the thread that connects, until it has handed over its result. The
 * result travels by an idle source, so everything but the connecting itself
 * happens on the main thread and needs no lock.
 */
#include "io/connect.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "io/socket.h"
#include "util/cutils.h"
#include "util/error.h"
#include "util/thread.h"

struct ConnectJob {
    int refs; /* atomic */
    ChannelAddress *address; /* of a socket, or NULL: opened already */
    int cancel_fd;           /* eventfd; readable from connect_cancel() on */
    Channel *channel;        /* the result; the thread's until is_ready */
    GError *error;           /* likewise */
    bool is_ready;           /* atomic: release by the thread, see below */
    bool is_cancelled; /* main thread only */
    ConnectDoneFn *done;
    void *opaque; /* for done */
};

static Channel *open_fd(const char *name, const ChannelEnv *env,
                        GError **error)
{
    Channel *c;
    uint64_t number;
    int fd;

    if (g_ascii_isdigit(*name)) {
        if (!parse_uint64(name, INT32_MAX, &number, error)) {
            g_prefix_error(error, "invalid file descriptor: ");
            return NULL;
        }
        fd = number;
    } else if (env && env->take_fd) {
        fd = env->take_fd(env->opaque, name, error);
        if (fd < 0) {
            return NULL;
        }
    } else {
        tm_error_set(error, "no file descriptor is known as '%s'", name);
        return NULL;
    }
    c = channel_fd_new(fd, error);
    if (c) {
        g_autofree char *full = g_strdup_printf("fd:%s", name);

        /* Inherited descriptors may lack it; no child is to get this one. */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        channel_set_name(c, full);
    }
    return c;
}

Channel *channel_open(const ChannelAddress *address,
                      ChannelDirection direction, const ChannelEnv *env,
                      int cancel_fd, GError **error)
{
    int flags = direction == CHANNEL_IN ? O_RDONLY : O_WRONLY;
    int fd;

    switch (address->kind) {
    case CHANNEL_ADDRESS_UNIX:
    case CHANNEL_ADDRESS_TCP:
        fd = socket_connect(address, cancel_fd, error);
        return fd < 0 ? NULL : channel_socket_new(fd);
    case CHANNEL_ADDRESS_FD:
        return open_fd(address->fd_name, env, error);
    case CHANNEL_ADDRESS_EXEC:
        return channel_exec_new((const char *const *)address->argv, flags,
                                error);
    case CHANNEL_ADDRESS_FILE:
        if (address->replace && direction != CHANNEL_IN) {
            return channel_file_open_new(address->path,
                                         env ? env->fdsets : NULL, error);
        }
        return channel_file_open(address->path, address->offset, flags,
                                 env ? env->fdsets : NULL, error);
    }
    g_assert_not_reached(); /* all kinds are above */
}

static void job_unref(ConnectJob *job)
{
    if (__atomic_sub_fetch(&job->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    channel_address_free(job->address);
    if (job->cancel_fd >= 0) {
        close(job->cancel_fd);
    }
    channel_unref(job->channel);
    g_clear_error(&job->error);
    g_free(job);
}

static gboolean job_deliver(gpointer opaque)
{
    ConnectJob *job = opaque;

    /* Acquire: pairs with job_schedule(). */
    if (__atomic_load_n(&job->is_ready, __ATOMIC_ACQUIRE) &&
        !job->is_cancelled) {
        job->done(g_steal_pointer(&job->channel), job->error, job->opaque);
        job_unref(job); /* the main thread's share */
    }
    return G_SOURCE_REMOVE; /* which drops the source's own share */
}

static void job_source_gone(gpointer opaque)
{
    job_unref(opaque);
}

/* Has the result delivered by the main context; takes over one share. */
static void job_schedule(ConnectJob *job)
{
    GSource *source = g_idle_source_new();

    /* Release: the result, for job_deliver(). */
    __atomic_store_n(&job->is_ready, true, __ATOMIC_RELEASE);
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, job_deliver, job, job_source_gone);
    g_source_attach(source, NULL);
    g_source_unref(source);
}

static gpointer job_thread(gpointer opaque)
{
    ConnectJob *job = opaque;

    job->channel = channel_open(job->address, CHANNEL_OUT, NULL,
                                job->cancel_fd, &job->error);
    job_schedule(job);
    return NULL;
}

ConnectJob *connect_start(const ChannelAddress *address,
                          ChannelDirection direction, const ChannelEnv *env,
                          ConnectDoneFn *done, void *opaque, GError **error)
{
    ConnectJob *job;
    Channel *channel = NULL;
    GThread *thread;
    bool is_socket = channel_address_is_socket(address);

    if (!is_socket) {
        channel = channel_open(address, direction, env, -1, error);
        if (!channel) {
            return NULL;
        }
    }
    job = g_new0(ConnectJob, 1);
    job->refs = 2;
    job->channel = channel;
    job->cancel_fd = -1;
    job->done = done;
    job->opaque = opaque;
    if (is_socket) {
        job->address = channel_address_copy(address);
        job->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        thread = thread_new("connect", job_thread, job, error);
        if (!thread) {
            job->refs = 1;
            job_unref(job);
            return NULL;
        }
        g_thread_unref(thread);
    } else {
        job_schedule(job);
    }
    return job;
}

void connect_cancel(ConnectJob *job)
{
    if (!job) {
        return;
    }
    job->is_cancelled = true;
    if (job->cancel_fd >= 0) {
        eventfd_write(job->cancel_fd, 1);
    }
    job_unref(job); /* the main thread's share */
}
