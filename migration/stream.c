/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The byte stream under all migration state; see include/migration/stream.h.
 *
 * Output: small values are copied into a buffer, pages are only pointed at;
 * an iovec array keeps both in order and goes out with one writev when either
 * is full. Input: the bytes between pos and len of the buffer are read but not
 * got; what does not fit is read straight to its place, with the buffer behind
 * it in the same readv, so that a page costs no copy.
 *
 * Invariant: the iovec array covers exactly the buffer's first len bytes and
 * the pages put between them, in order. With an error set nothing moves.
 */
#include "migration/stream.h"

#include <errno.h>
#include <string.h>

#include "util/byteorder.h"
#include "util/error.h"
#include "util/iov.h"

#define STREAM_BUFFER_BYTES (32 * 1024)
#define STREAM_IOVECS 128

struct Stream {
    Channel *channel;        /* NULL: memory */
    GByteArray *memory;      /* memory output */
    const uint8_t *data;     /* memory input: what is left of it */
    size_t data_len;
    StreamReader *reader;    /* input from a function */
    void *reader_opaque;
    size_t pos;              /* input: next byte of the buffer */
    size_t len;              /* bytes in the buffer */
    unsigned n_iov;          /* output */
    bool output;
    bool at_end;             /* input: the channel has no more */
    bool placed;             /* by stream_seek() */
    uint64_t place;          /* of the next transfer, in the file */
    uint64_t bytes;
    GError *error;
    void (*before_wait)(void);
    void (*after_wait)(void);
    StreamFlushHook *flush_hook;
    void *flush_opaque;
    struct iovec iov[STREAM_IOVECS];
    uint8_t buffer[STREAM_BUFFER_BYTES];
};

static Stream *stream_new(Channel *channel, bool output)
{
    Stream *s = g_malloc(sizeof(*s));

    /* The buffer needs no clearing, it is most of the object. */
    memset(s, 0, offsetof(Stream, iov));
    s->channel = channel ? channel_ref(channel) : NULL;
    s->output = output;
    return s;
}

Stream *stream_new_output(Channel *channel)
{
    return stream_new(channel, true);
}

Stream *stream_new_input(Channel *channel)
{
    return stream_new(channel, false);
}

Stream *stream_new_memory_output(void)
{
    Stream *s = stream_new(NULL, true);

    s->memory = g_byte_array_new();
    return s;
}

Stream *stream_new_reader_input(StreamReader *reader, void *opaque)
{
    Stream *s = stream_new(NULL, false);

    s->reader = reader;
    s->reader_opaque = opaque;
    return s;
}

static size_t read_memory(void *opaque, void *to, size_t n)
{
    Stream *s = opaque;

    n = MIN(n, s->data_len);
    if (n) {
        memcpy(to, s->data, n);
        s->data += n;
        s->data_len -= n;
    }
    return n;
}

Stream *stream_new_memory_input(const void *data, size_t len)
{
    Stream *s = stream_new_reader_input(read_memory, NULL);

    s->reader_opaque = s;
    s->data = data;
    s->data_len = len;
    return s;
}

void stream_free(Stream *s)
{
    if (!s) {
        return;
    }
    if (s->channel) {
        channel_unref(s->channel);
    }
    if (s->memory) {
        g_byte_array_unref(s->memory);
    }
    g_clear_error(&s->error);
    g_free(s);
}

void stream_set_wait_hooks(Stream *s, void (*before)(void),
                           void (*after)(void))
{
    s->before_wait = before;
    s->after_wait = after;
}

const uint8_t *stream_memory(const Stream *s, size_t *ret_len)
{
    *ret_len = s->memory->len;
    return s->memory->data;
}

/* ---- output ---------------------------------------------------------- */

static void stream_write_memory(Stream *s)
{
    for (unsigned i = 0; i < s->n_iov; i++) {
        g_byte_array_append(s->memory, s->iov[i].iov_base,
                            s->iov[i].iov_len);
    }
}

static void stream_write_channel(Stream *s)
{
    GError *error = NULL;

    if (s->before_wait) {
        s->before_wait();
    }
    if (s->placed) {
        channel_pwritev_full(s->channel, s->iov, s->n_iov, s->place, &error);
        s->place += iov_size(s->iov, s->n_iov);
    } else {
        channel_writev_full(s->channel, s->iov, s->n_iov, &error);
    }
    s->error = error;
    if (s->after_wait) {
        s->after_wait();
    }
}

static void stream_write_out(Stream *s)
{
    if (!s->error && s->n_iov) {
        if (s->memory) {
            stream_write_memory(s);
        } else {
            stream_write_channel(s);
        }
    }
    s->n_iov = 0;
    s->len = 0;
}

void stream_flush(Stream *s)
{
    if (s->flush_hook) {
        s->flush_hook(s->flush_opaque, s);
    }
    stream_write_out(s);
}

void stream_set_flush_hook(Stream *s, StreamFlushHook *hook, void *opaque)
{
    s->flush_hook = hook;
    s->flush_opaque = opaque;
}

/* The last @len bytes of the buffer are new: have an iovec cover them. */
static void stream_cover(Stream *s, size_t len)
{
    uint8_t *start = s->buffer + s->len - len;
    struct iovec *last = s->n_iov ? &s->iov[s->n_iov - 1] : NULL;

    if (last && (uint8_t *)last->iov_base + last->iov_len == start) {
        last->iov_len += len;
    } else {
        s->iov[s->n_iov++] = (struct iovec){ start, len };
    }
}

/* Room for @len more bytes, with an iovec to cover them; NULL at an error. */
static uint8_t *stream_reserve(Stream *s, size_t len)
{
    uint8_t *at;

    if (s->error) {
        return NULL;
    }
    if (s->len + len > STREAM_BUFFER_BYTES || s->n_iov == STREAM_IOVECS) {
        stream_write_out(s);
        if (s->error) {
            return NULL;
        }
    }
    at = s->buffer + s->len;
    s->len += len;
    s->bytes += len;
    stream_cover(s, len);
    return at;
}

void stream_put_u8(Stream *s, uint8_t v)
{
    uint8_t *at = stream_reserve(s, sizeof(v));

    if (at) {
        *at = v;
    }
}

void stream_put_be16(Stream *s, uint16_t v)
{
    uint8_t *at = stream_reserve(s, sizeof(v));

    if (at) {
        store_be16(at, v);
    }
}

void stream_put_be32(Stream *s, uint32_t v)
{
    uint8_t *at = stream_reserve(s, sizeof(v));

    if (at) {
        store_be32(at, v);
    }
}

void stream_put_be64(Stream *s, uint64_t v)
{
    uint8_t *at = stream_reserve(s, sizeof(v));

    if (at) {
        store_be64(at, v);
    }
}

void stream_put_bytes(Stream *s, const void *buf, size_t len)
{
    const uint8_t *from = buf;

    while (len) {
        size_t n = MIN(len, STREAM_BUFFER_BYTES / 2);
        uint8_t *at = stream_reserve(s, n);

        if (!at) {
            return;
        }
        memcpy(at, from, n);
        from += n;
        len -= n;
    }
}

void stream_put_cstr(Stream *s, const char *text)
{
    size_t len = strlen(text);

    if (len > 255) {
        stream_set_error(s, g_error_new(TM_ERROR, TM_ERROR_GENERIC,
                                        "name '%.32s...' is longer than 255 "
                                        "bytes", text));
        return;
    }
    stream_put_u8(s, len);
    stream_put_bytes(s, text, len);
}

void stream_put_page(Stream *s, const void *buf, size_t len)
{
    if (s->n_iov == STREAM_IOVECS) {
        stream_write_out(s);
    }
    if (s->error) {
        return;
    }
    s->iov[s->n_iov++] = (struct iovec){ (void *)buf, len };
    s->bytes += len;
}

/* ---- input ----------------------------------------------------------- */

static size_t stream_read_reader(Stream *s, const struct iovec *iov,
                                 unsigned n_iov)
{
    size_t total = 0;

    for (unsigned i = 0; i < n_iov; i++) {
        size_t n = s->reader(s->reader_opaque, iov[i].iov_base,
                             iov[i].iov_len);

        total += n;
        if (n < iov[i].iov_len) {
            break;
        }
    }
    return total;
}

static ssize_t stream_read_channel(Stream *s, const struct iovec *iov,
                                   unsigned n_iov)
{
    GError *error = NULL;
    ssize_t n;

    if (s->before_wait) {
        s->before_wait();
    }
    n = s->placed ? channel_preadv(s->channel, iov, n_iov, s->place, &error)
                  : channel_readv(s->channel, iov, n_iov, NULL, &error);
    if (s->after_wait) {
        s->after_wait();
    }
    if (n < 0) {
        g_prefix_error(&error, "cannot read at byte %" G_GUINT64_FORMAT ": ",
                       stream_place(s) + (s->len - s->pos));
        s->error = error;
    } else {
        s->place += n;
    }
    return n;
}

/*
 * Read at least one byte, first to @to (may be empty), then into the buffer
 * behind what it holds.
 * Returns: bytes that went to @to and the buffer together; 0 at the end of the
 * stream or at an error.
 */
static size_t stream_read(Stream *s, void *to, size_t to_len)
{
    struct iovec iov[2];
    unsigned n_iov = 0;
    ssize_t n;

    if (s->error || s->at_end) {
        return 0;
    }
    if (to_len) {
        iov[n_iov++] = (struct iovec){ to, to_len };
    }
    if (s->len < STREAM_BUFFER_BYTES) {
        iov[n_iov++] = (struct iovec){ s->buffer + s->len,
                                       STREAM_BUFFER_BYTES - s->len };
    }
    n = s->channel ? stream_read_channel(s, iov, n_iov)
                   : (ssize_t)stream_read_reader(s, iov, n_iov);
    if (n <= 0) {
        s->at_end = n == 0;
        return 0;
    }
    if ((size_t)n > to_len) {
        s->len += n - to_len;
    }
    return n;
}

static void stream_ended(Stream *s)
{
    if (!s->error) {
        g_set_error(&s->error, TM_ERROR, TM_ERROR_GENERIC,
                    "the stream ends at byte %" G_GUINT64_FORMAT,
                    stream_place(s));
    }
}

static bool stream_get_slow(Stream *s, uint8_t *to, size_t len)
{
    while (len) {
        size_t have = MIN(s->len - s->pos, len);

        memcpy(to, s->buffer + s->pos, have);
        s->pos += have;
        s->bytes += have;
        to += have;
        len -= have;
        if (len) {
            /* The buffer is used up: start it afresh. */
            size_t got;

            s->pos = s->len = 0;
            got = stream_read(s, to, len);
            if (!got) {
                stream_ended(s);
                return false;
            }
            got = MIN(got, len);
            s->bytes += got;
            to += got;
            len -= got;
        }
    }
    return true;
}

bool stream_get_bytes(Stream *s, void *buf, size_t len)
{
    if (s->error) {
        memset(buf, 0, len);
        return false;
    }
    if (len <= s->len - s->pos) {
        memcpy(buf, s->buffer + s->pos, len);
        s->pos += len;
        s->bytes += len;
        return true;
    }
    return stream_get_slow(s, buf, len);
}

uint8_t stream_get_u8(Stream *s)
{
    uint8_t v;

    return stream_get_bytes(s, &v, sizeof(v)) ? v : 0;
}

uint16_t stream_get_be16(Stream *s)
{
    uint8_t v[2];

    return stream_get_bytes(s, v, sizeof(v)) ? load_be16(v) : 0;
}

uint32_t stream_get_be32(Stream *s)
{
    uint8_t v[4];

    return stream_get_bytes(s, v, sizeof(v)) ? load_be32(v) : 0;
}

uint64_t stream_get_be64(Stream *s)
{
    uint8_t v[8];

    return stream_get_bytes(s, v, sizeof(v)) ? load_be64(v) : 0;
}

bool stream_name_is_plain(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!g_ascii_isprint(name[i])) {
            return false;
        }
    }
    return true;
}

bool stream_get_cstr(Stream *s, char buf[256])
{
    uint8_t len = stream_get_u8(s);

    buf[0] = '\0';
    if (!stream_get_bytes(s, buf, len)) {
        buf[0] = '\0';
        return false;
    }
    buf[len] = '\0';
    if (!stream_name_is_plain(buf, len)) {
        stream_set_error(s, g_error_new(TM_ERROR, TM_ERROR_GENERIC,
                                        "name before byte %" G_GUINT64_FORMAT
                                        " is not plain text",
                                        stream_place(s)));
        buf[0] = '\0';
        return false;
    }
    return true;
}

bool stream_skip(Stream *s, uint64_t len)
{
    uint8_t waste[512];

    while (len) {
        size_t n = MIN(len, sizeof(waste));

        if (!stream_get_bytes(s, waste, n)) {
            return false;
        }
        len -= n;
    }
    return true;
}

size_t stream_peek(Stream *s, void *buf, size_t len, size_t ahead)
{
    size_t have;

    g_assert(len + ahead <= STREAM_PEEK_MAX); /* a caller's constant */
    if (s->error) {
        return 0;
    }
    if (s->pos + ahead + len > STREAM_BUFFER_BYTES) {
        memmove(s->buffer, s->buffer + s->pos, s->len - s->pos);
        s->len -= s->pos;
        s->pos = 0;
    }
    while (s->len - s->pos < ahead + len && stream_read(s, NULL, 0)) {
        continue;
    }
    have = s->len - s->pos;
    have = have > ahead ? MIN(have - ahead, len) : 0;
    memcpy(buf, s->buffer + s->pos + ahead, have);
    return have;
}

/* ---- both ------------------------------------------------------------ */

void stream_seek(Stream *s, uint64_t place)
{
    g_assert(s->channel); /* our own code's choice; memory has no places */
    if (s->output) {
        stream_write_out(s);
    }
    s->pos = s->len = 0;
    s->at_end = false;
    s->placed = true;
    s->place = place;
}

uint64_t stream_place(const Stream *s)
{
    if (!s->placed) {
        return s->bytes;
    }
    return s->output ? s->place + iov_size(s->iov, s->n_iov)
                     : s->place - (s->len - s->pos);
}

void stream_add_bytes(Stream *s, uint64_t n)
{
    s->bytes += n;
}

const GError *stream_error(const Stream *s)
{
    return s->error;
}

void stream_set_error(Stream *s, GError *error)
{
    if (s->error) {
        g_error_free(error);
    } else {
        s->error = error;
    }
}

bool stream_check(const Stream *s, GError **error)
{
    if (!s->error) {
        return true;
    }
    if (error) {
        *error = g_error_copy(s->error);
    }
    return false;
}

uint64_t stream_bytes(const Stream *s)
{
    return s->bytes;
}
