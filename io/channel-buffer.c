/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The channel into memory: device state that has to be complete before its
 * length can be written, and tests.
 */
#include <errno.h>
#include <string.h>

#include "io/fd-channel.h"
#include "io/channel-kinds.h"
#include "util/iov.h"

/* Room is made in steps that double, from this many bytes on. */
#define BUFFER_FIRST_BYTES 4096

typedef struct BufferChannel {
    Channel base;
    uint8_t *data;
    size_t len;      /* bytes written: end of the data */
    size_t room;     /* bytes allocated */
    size_t read_pos; /* next byte of readv, at most len */
} BufferChannel;

/* Makes the buffer @end bytes long at least, the new ones zero; 0 or -errno. */
static int reserve(BufferChannel *b, uint64_t end)
{
    size_t room = MAX(b->room, BUFFER_FIRST_BYTES);
    uint8_t *data;

    if (end <= b->len) {
        return 0;
    }
    while (room < end) {
        if (room > SIZE_MAX / 2) {
            return -EFBIG;
        }
        room *= 2;
    }
    if (room > b->room) {
        data = g_try_realloc(b->data, room);
        if (!data) {
            return -ENOMEM;
        }
        b->data = data;
        b->room = room;
    }
    memset(b->data + b->len, 0, end - b->len);
    b->len = end;
    return 0;
}

static ssize_t buffer_pwritev(Channel *c, const struct iovec *iov,
                              unsigned niov, uint64_t offset, GError **error)
{
    BufferChannel *b = (BufferChannel *)c;
    size_t n = iov_size(iov, niov);
    uint64_t end;
    int ret;

    if (__builtin_add_overflow(offset, n, &end)) {
        return channel_set_errno(c, "write to", EFBIG, error);
    }
    ret = reserve(b, end);
    if (ret < 0) {
        return channel_set_errno(c, "write to", ret, error);
    }
    return iov_to_buf(iov, niov, 0, b->data + offset, n);
}

static ssize_t buffer_writev(Channel *c, const struct iovec *iov, unsigned niov,
                             const int *fds, unsigned nfds, GError **error)
{
    return buffer_pwritev(c, iov, niov, ((BufferChannel *)c)->len, error);
}

static ssize_t buffer_preadv(Channel *c, const struct iovec *iov,
                             unsigned niov, uint64_t offset, GError **error)
{
    BufferChannel *b = (BufferChannel *)c;

    if (offset >= b->len) {
        return 0;
    }
    return iov_from_buf(iov, niov, 0, b->data + offset, b->len - offset);
}

static ssize_t buffer_readv(Channel *c, const struct iovec *iov, unsigned niov,
                            GArray *fds, GError **error)
{
    BufferChannel *b = (BufferChannel *)c;
    ssize_t n = buffer_preadv(c, iov, niov, b->read_pos, error);

    b->read_pos += n;
    return n;
}

static void buffer_shutdown(Channel *c)
{
    /* Nobody ever waits in here. */
}

static bool buffer_close(Channel *c, GError **error)
{
    BufferChannel *b = (BufferChannel *)c;

    g_clear_pointer(&b->data, g_free);
    b->len = b->room = b->read_pos = 0;
    return true;
}

static const ChannelOps buffer_ops = {
    .writev = buffer_writev,
    .readv = buffer_readv,
    .pwritev = buffer_pwritev,
    .preadv = buffer_preadv,
    .shutdown = buffer_shutdown,
    .close = buffer_close,
};

Channel *channel_buffer_new(const void *data, size_t n)
{
    BufferChannel *b = g_new0(BufferChannel, 1);

    channel_init(&b->base, &buffer_ops, CHANNEL_CAP_SEEK, g_strdup("buffer"));
    if (n) {
        b->data = g_memdup2(data, n);
        b->len = b->room = n;
    }
    return &b->base;
}

const uint8_t *channel_buffer_data(Channel *c, size_t *ret_n)
{
    BufferChannel *b = (BufferChannel *)c;

    *ret_n = b->len;
    return b->data;
}
