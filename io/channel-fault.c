/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel in front of another that misbehaves on purpose: fails or stalls
 * at a given byte, moves less than asked. Every error path above is reached
 * by a test with one of these.
 */
#include <errno.h>

#include "io/fd-channel.h"
#include "io/channel-kinds.h"
#include "util/error.h"
#include "util/iov.h"

typedef struct FaultChannel {
    FdChannel fdc; /* without descriptors: only its wake_fd, to stall on */
    Channel *inner;
    ChannelFaults faults;
    uint64_t written; /* bytes so far; atomic */
    uint64_t read;    /* likewise */
} FaultChannel;

/*
 * How many of @n bytes may be moved at position @at: up to the next fault, at
 * least 1 unless the fault is here. Then it takes its effect: -1.
 */
static ssize_t allow(FaultChannel *f, const char *verb, uint64_t at, size_t n,
                     uint64_t fail_at, uint64_t stall_at, GError **error)
{
    if (at >= stall_at) {
        fd_channel_wait(&f->fdc, -1, 0, error);
        return -1;
    }
    if (at >= fail_at) {
        return channel_set_errno(&f->fdc.base, verb, EIO, error);
    }
    n = MIN(n, f->faults.max_io);
    n = MIN(n, fail_at - at);
    return MIN(n, stall_at - at);
}

static ssize_t allow_write(FaultChannel *f, size_t n, GError **error)
{
    return allow(f, "write to", __atomic_load_n(&f->written, __ATOMIC_RELAXED),
                 n, f->faults.fail_write_at, f->faults.stall_write_at, error);
}

static ssize_t allow_read(FaultChannel *f, size_t n, GError **error)
{
    return allow(f, "read from", __atomic_load_n(&f->read, __ATOMIC_RELAXED),
                 n, f->faults.fail_read_at, f->faults.stall_read_at, error);
}

/* A copy of the vector, cut to @n bytes. */
static struct iovec *cut(const struct iovec *iov, unsigned *niov, size_t n)
{
    struct iovec *copy = g_memdup2(iov, *niov * sizeof(*iov));
    unsigned i;

    for (i = 0; i < *niov && n; i++) {
        copy[i].iov_len = MIN(copy[i].iov_len, n);
        n -= copy[i].iov_len;
    }
    *niov = i;
    return copy;
}

/* Adds what was moved to a counter and passes it on. */
static ssize_t count(uint64_t *counter, ssize_t n)
{
    if (n > 0) {
        __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
    }
    return n;
}

static ssize_t fault_writev(Channel *c, const struct iovec *iov, unsigned niov,
                            const int *fds, unsigned nfds, GError **error)
{
    FaultChannel *f = (FaultChannel *)c;
    ssize_t n = allow_write(f, iov_size(iov, niov), error);
    g_autofree struct iovec *part = n < 0 ? NULL : cut(iov, &niov, n);

    return n < 0 ? -1 : count(&f->written, channel_writev(
        f->inner, part, niov, fds, nfds, error));
}

static ssize_t fault_readv(Channel *c, const struct iovec *iov, unsigned niov,
                           GArray *fds, GError **error)
{
    FaultChannel *f = (FaultChannel *)c;
    ssize_t n = allow_read(f, iov_size(iov, niov), error);
    g_autofree struct iovec *part = n < 0 ? NULL : cut(iov, &niov, n);

    return n < 0 ? -1 : count(&f->read, channel_readv(f->inner, part, niov,
                                                      fds, error));
}

static ssize_t fault_pwritev(Channel *c, const struct iovec *iov,
                             unsigned niov, uint64_t offset, GError **error)
{
    FaultChannel *f = (FaultChannel *)c;
    ssize_t n = allow_write(f, iov_size(iov, niov), error);
    g_autofree struct iovec *part = n < 0 ? NULL : cut(iov, &niov, n);

    return n < 0 ? -1 : count(&f->written, f->inner->ops->pwritev(
        f->inner, part, niov, offset, error));
}

static ssize_t fault_preadv(Channel *c, const struct iovec *iov,
                            unsigned niov, uint64_t offset, GError **error)
{
    FaultChannel *f = (FaultChannel *)c;
    ssize_t n = allow_read(f, iov_size(iov, niov), error);
    g_autofree struct iovec *part = n < 0 ? NULL : cut(iov, &niov, n);

    return n < 0 ? -1 : count(&f->read, f->inner->ops->preadv(
        f->inner, part, niov, offset, error));
}

/* With the lock held, which is taken outside that of the inner channel. */
static void fault_shutdown(Channel *c)
{
    FaultChannel *f = (FaultChannel *)c;

    if (f->inner) {
        channel_shutdown(f->inner);
    }
    fd_channel_shutdown(c);
}

static bool fault_close(Channel *c, GError **error)
{
    FaultChannel *f = (FaultChannel *)c;
    bool ok = channel_close(f->inner, error);
    Channel *inner;

    g_mutex_lock(&c->lock);
    inner = g_steal_pointer(&f->inner);
    g_mutex_unlock(&c->lock);
    channel_unref(inner);
    fd_channel_close(c, NULL);
    return ok;
}

static const ChannelOps fault_ops = {
    .writev = fault_writev,
    .readv = fault_readv,
    .pwritev = fault_pwritev,
    .preadv = fault_preadv,
    .shutdown = fault_shutdown,
    .close = fault_close,
};

Channel *channel_fault_new(Channel *inner, const ChannelFaults *faults)
{
    FaultChannel *f = g_new0(FaultChannel, 1);

    f->inner = channel_ref(inner);
    f->faults = *faults;
    fd_channel_init(&f->fdc, &fault_ops, inner->caps, -1, -1,
                    g_strdup_printf("fault:%s", channel_name(inner)));
    return &f->fdc.base;
}
