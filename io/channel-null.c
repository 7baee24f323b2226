/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel to nowhere: takes everything and counts it. What a migration
 * costs without a transport is measured with it.
 */
#include "io/fd-channel.h"
#include "io/channel-kinds.h"
#include "util/iov.h"

typedef struct NullChannel {
    Channel base;
    uint64_t bytes; /* atomic */
} NullChannel;

static ssize_t null_pwritev(Channel *c, const struct iovec *iov, unsigned niov,
                            uint64_t offset, GError **error)
{
    size_t n = iov_size(iov, niov);

    __atomic_fetch_add(&((NullChannel *)c)->bytes, n, __ATOMIC_RELAXED);
    return n;
}

static ssize_t null_writev(Channel *c, const struct iovec *iov, unsigned niov,
                           const int *fds, unsigned nfds, GError **error)
{
    return null_pwritev(c, iov, niov, 0, error);
}

static ssize_t null_readv(Channel *c, const struct iovec *iov, unsigned niov,
                          GArray *fds, GError **error)
{
    return 0;
}

static ssize_t null_preadv(Channel *c, const struct iovec *iov, unsigned niov,
                           uint64_t offset, GError **error)
{
    return 0;
}

static void null_shutdown(Channel *c)
{
    /* Nobody ever waits in here. */
}

static bool null_close(Channel *c, GError **error)
{
    return true;
}

static const ChannelOps null_ops = {
    .writev = null_writev,
    .readv = null_readv,
    .pwritev = null_pwritev,
    .preadv = null_preadv,
    .shutdown = null_shutdown,
    .close = null_close,
};

Channel *channel_null_new(void)
{
    NullChannel *null = g_new0(NullChannel, 1);

    channel_init(&null->base, &null_ops, CHANNEL_CAP_SEEK, g_strdup("null"));
    return &null->base;
}

uint64_t channel_null_bytes(Channel *c)
{
    return __atomic_load_n(&((NullChannel *)c)->bytes, __ATOMIC_RELAXED);
}
