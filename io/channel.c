/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels, the part all kinds share; see include/io/channel.h. Here are the
 * checks that every call makes first (shut down, closed, capability), the
 * loops over short I/O, and the bytes that were peeked.
 */
#include "io/channel.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "io/fd-channel.h"
#include "trace/io.h"
#include "util/compiler.h"
#include "util/error.h"
#include "util/iov.h"

/* More entries than the kernel takes at once are left for the next call. */
#define CHANNEL_MAX_IOV IOV_MAX

void channel_init(Channel *c, const ChannelOps *ops, unsigned caps,
                  char *name)
{
    c->ops = ops;
    c->caps = caps;
    c->name = name;
    c->refs = 1;
    g_mutex_init(&c->lock);
    trace_channel_new(c, name);
}

Channel *channel_ref(Channel *c)
{
    __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void channel_unref(Channel *c)
{
    /* Release: our use is over; acquire: the others' is, before we free. */
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    channel_close(c, NULL);
    g_mutex_clear(&c->lock);
    if (c->peeked) {
        g_byte_array_unref(c->peeked);
    }
    g_free(c->name);
    g_free(c);
}

const char *channel_name(const Channel *c)
{
    return c->name;
}

void channel_set_name(Channel *c, const char *name)
{
    char *copy = g_strdup(name);

    g_free(c->name);
    c->name = copy;
}

bool channel_has_cap(const Channel *c, ChannelCap cap)
{
    return c->caps & cap;
}

ssize_t channel_set_errno(Channel *c, const char *verb, int err,
                          GError **error)
{
    tm_error_set_errno(error, err, "cannot %s channel '%s'", verb, c->name);
    return -1;
}

ssize_t channel_set_shut(Channel *c, GError **error)
{
    tm_error_set(error, "channel '%s' was shut down", c->name);
    return -1;
}

/* May bytes be moved at all; what every call asks first. */
static bool is_usable(Channel *c, GError **error)
{
    if (channel_is_shut(c)) {
        channel_set_shut(c, error);
        return false;
    }
    if (__atomic_load_n(&c->is_closed, __ATOMIC_ACQUIRE)) {
        tm_error_set(error, "channel '%s' is closed", c->name);
        return false;
    }
    return true;
}

static bool need_cap(Channel *c, ChannelCap cap, const char *what,
                     GError **error)
{
    if (!channel_has_cap(c, cap)) {
        tm_error_set(error, "channel '%s' does not support %s", c->name, what);
        return false;
    }
    return true;
}

ssize_t channel_writev(Channel *c, const struct iovec *iov, unsigned niov,
                       const int *fds, unsigned nfds, GError **error)
{
    if (!is_usable(c, error) ||
        (nfds && !need_cap(c, CHANNEL_CAP_FDS, "passing file descriptors",
                           error))) {
        return -1;
    }
    if (!nfds && iov_size(iov, niov) == 0) {
        return 0;
    }
    return c->ops->writev(c, iov, MIN(niov, CHANNEL_MAX_IOV), fds, nfds,
                          error);
}

/* Bytes that were peeked, for a reader; 0 if there are none. */
static size_t read_peeked(Channel *c, const struct iovec *iov, unsigned niov)
{
    size_t n = 0;

    if (c->peeked && c->peeked->len) {
        n = iov_from_buf(iov, niov, 0, c->peeked->data, c->peeked->len);
        g_byte_array_remove_range(c->peeked, 0, n);
    }
    return n;
}

ssize_t channel_readv(Channel *c, const struct iovec *iov, unsigned niov,
                      GArray *fds, GError **error)
{
    size_t peeked;

    if (!is_usable(c, error)) {
        return -1;
    }
    peeked = read_peeked(c, iov, niov);
    if (peeked || iov_size(iov, niov) == 0) {
        return peeked;
    }
    return c->ops->readv(c, iov, MIN(niov, CHANNEL_MAX_IOV), fds, error);
}

ssize_t channel_read(Channel *c, void *buf, size_t n, GError **error)
{
    struct iovec iov = {buf, n};

    return channel_readv(c, &iov, 1, NULL, error);
}

/* One of the four ways to move bytes, for the loop below. */
typedef ssize_t MoveFn(Channel *c, const struct iovec *iov, unsigned niov,
                       uint64_t offset, GError **error);

static ssize_t move_writev(Channel *c, const struct iovec *iov, unsigned niov,
                           uint64_t offset, GError **error)
{
    return channel_writev(c, iov, niov, NULL, 0, error);
}

static ssize_t move_readv(Channel *c, const struct iovec *iov, unsigned niov,
                          uint64_t offset, GError **error)
{
    return channel_readv(c, iov, niov, NULL, error);
}

static ssize_t move_pwritev(Channel *c, const struct iovec *iov, unsigned niov,
                            uint64_t offset, GError **error)
{
    return is_usable(c, error) ?
        c->ops->pwritev(c, iov, MIN(niov, CHANNEL_MAX_IOV), offset, error) : -1;
}

static ssize_t move_preadv(Channel *c, const struct iovec *iov, unsigned niov,
                           uint64_t offset, GError **error)
{
    return is_usable(c, error) ?
        c->ops->preadv(c, iov, MIN(niov, CHANNEL_MAX_IOV), offset, error) : -1;
}

/* Moves the whole vector, which stays as it is: a copy of it is cut. */
static bool move_full(Channel *c, MoveFn *move, const struct iovec *iov,
                      unsigned niov, uint64_t offset, GError **error)
{
    g_autofree struct iovec *copy = g_memdup2(iov, niov * sizeof(*iov));
    struct iovec *left = copy;

    iov_skip(&left, &niov, 0);
    while (niov) {
        ssize_t n = move(c, left, niov, offset, error);

        if (n < 0) {
            return false;
        }
        if (n == 0) {
            tm_error_set(error, "channel '%s' ended with %zu bytes missing",
                         c->name, iov_size(left, niov));
            return false;
        }
        offset += n;
        iov_skip(&left, &niov, n);
    }
    return true;
}

bool channel_writev_full(Channel *c, const struct iovec *iov, unsigned niov,
                         GError **error)
{
    return move_full(c, move_writev, iov, niov, 0, error);
}

bool channel_write_full(Channel *c, const void *buf, size_t n, GError **error)
{
    struct iovec iov = {(void *)buf, n};

    return channel_writev_full(c, &iov, 1, error);
}

bool channel_readv_full(Channel *c, const struct iovec *iov, unsigned niov,
                        GError **error)
{
    return move_full(c, move_readv, iov, niov, 0, error);
}

bool channel_read_full(Channel *c, void *buf, size_t n, GError **error)
{
    struct iovec iov = {buf, n};

    return channel_readv_full(c, &iov, 1, error);
}

bool channel_peek_full(Channel *c, void *buf, size_t n, GError **error)
{
    if (!is_usable(c, error)) {
        return false;
    }
    if (!c->peeked) {
        c->peeked = g_byte_array_new();
    }
    while (c->peeked->len < n) {
        uint8_t more[256];
        struct iovec iov = {more, MIN(sizeof(more), n - c->peeked->len)};
        ssize_t got = c->ops->readv(c, &iov, 1, NULL, error);

        if (got < 0) {
            return false;
        }
        if (got == 0) {
            tm_error_set(error, "channel '%s' ended with %zu bytes missing",
                         c->name, n - c->peeked->len);
            return false;
        }
        g_byte_array_append(c->peeked, more, got);
    }
    memcpy(buf, c->peeked->data, n);
    return true;
}

bool channel_pwritev_full(Channel *c, const struct iovec *iov, unsigned niov,
                          uint64_t offset, GError **error)
{
    return need_cap(c, CHANNEL_CAP_SEEK, "writing at an offset", error) &&
           move_full(c, move_pwritev, iov, niov, offset, error);
}

ssize_t channel_preadv(Channel *c, const struct iovec *iov, unsigned niov,
                       uint64_t offset, GError **error)
{
    if (!need_cap(c, CHANNEL_CAP_SEEK, "reading at an offset", error)) {
        return -1;
    }
    return move_preadv(c, iov, niov, offset, error);
}

bool channel_preadv_full(Channel *c, const struct iovec *iov, unsigned niov,
                         uint64_t offset, GError **error)
{
    return need_cap(c, CHANNEL_CAP_SEEK, "reading at an offset", error) &&
           move_full(c, move_preadv, iov, niov, offset, error);
}

void channel_shutdown(Channel *c)
{
    trace_channel_shutdown(c, c->name);
    g_mutex_lock(&c->lock);
    if (!c->is_shut) {
        /* Before the hook wakes anybody, who will look at it. */
        __atomic_store_n(&c->is_shut, true, __ATOMIC_RELEASE);
        c->ops->shutdown(c);
    }
    g_mutex_unlock(&c->lock);
}

bool channel_is_shut(Channel *c)
{
    return __atomic_load_n(&c->is_shut, __ATOMIC_ACQUIRE);
}

bool channel_close(Channel *c, GError **error)
{
    bool was_closed;

    g_mutex_lock(&c->lock);
    was_closed = c->is_closed;
    __atomic_store_n(&c->is_closed, true, __ATOMIC_RELEASE);
    g_mutex_unlock(&c->lock);
    if (was_closed) {
        return true;
    }
    trace_channel_close(c, c->name);
    return c->ops->close(c, error);
}
