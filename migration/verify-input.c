/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes to be inspected; see verify-input.h. A file is read 1 MiB at a time,
 * with what was just before it, so that going on and going back a little cost
 * nothing.
 */
#include "migration/verify-input.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

#define WINDOW_BYTES (1u << 20)

struct VerifyInput {
    const uint8_t *memory;   /* NULL: a descriptor */
    int fd;
    bool can_seek;
    bool is_device;
    uint64_t size;           /* if it can seek */
    uint64_t base;           /* of the window */
    size_t len;              /* bytes in it */
    bool at_end;             /* of a pipe */
    GError *error;
    /* A parser's: see verify_input_stream(). */
    uint64_t stream_at;
    uint8_t *window;
};

VerifyInput *verify_input_new_memory(const void *data, size_t n)
{
    VerifyInput *in = g_new0(VerifyInput, 1);

    in->memory = n ? data : (const void *)"";
    in->can_seek = true;
    in->size = n;
    return in;
}

VerifyInput *verify_input_new_fd(int fd)
{
    VerifyInput *in = g_new0(VerifyInput, 1);
    struct stat st = { 0 };

    in->fd = fd;
    in->window = g_malloc(WINDOW_BYTES);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        in->can_seek = true;
        in->size = st.st_size;
    } else if (S_ISBLK(st.st_mode) &&
               ioctl(fd, BLKGETSIZE64, &in->size) == 0) {
        in->can_seek = in->is_device = true;
    }
    return in;
}

void verify_input_free(VerifyInput *in)
{
    if (in) {
        g_clear_error(&in->error);
        g_free(in->window);
        g_free(in);
    }
}

bool verify_input_can_seek(const VerifyInput *in)
{
    return in->can_seek;
}

bool verify_input_is_device(const VerifyInput *in)
{
    return in->is_device;
}

void verify_input_set_device(VerifyInput *in)
{
    in->is_device = true;
}

uint64_t verify_input_size(const VerifyInput *in)
{
    return in->size;
}

bool verify_input_check(const VerifyInput *in, GError **error)
{
    if (!in->error) {
        return true;
    }
    if (error) {
        *error = g_error_copy(in->error);
    }
    return false;
}

/* ---- the window ------------------------------------------------------ */

/* Behind what the window holds. Returns: whether there was anything. */
static bool read_more(VerifyInput *in)
{
    uint8_t *to = in->window + in->len;
    size_t room = WINDOW_BYTES - in->len;
    ssize_t n;

    if (in->at_end || in->error) {
        return false;
    }
    do {
        n = in->can_seek ? pread(in->fd, to, room, in->base + in->len)
                         : read(in->fd, to, room);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        tm_error_set_errno(&in->error, errno, "cannot read at byte %" PRIu64,
                           in->base + in->len);
        return false;
    }
    in->len += n;
    in->at_end = n == 0 && !in->can_seek;
    return n > 0;
}

static void move_to(VerifyInput *in, uint64_t base)
{
    if (base >= in->base && base <= in->base + in->len) {
        in->len -= base - in->base;
        memmove(in->window, in->window + (base - in->base), in->len);
    } else {
        in->len = 0;
    }
    in->base = base;
}

/* Only forward, and all that lies between has to be read. */
static void fill_from_pipe(VerifyInput *in, uint64_t end)
{
    while (end > in->base + in->len) {
        if (in->len == WINDOW_BYTES) {
            uint64_t keep = MIN(end, in->base + in->len) - VERIFY_LOOK_MAX;

            move_to(in, keep - VERIFY_LOOK_MAX);
        }
        if (!read_more(in)) {
            return;
        }
    }
}

/* Have the window hold as much as there is of [@at, @at + @n). */
static void fill_window(VerifyInput *in, uint64_t at, size_t n)
{
    if (!in->can_seek) {
        fill_from_pipe(in, at + n);
        return;
    }
    if (at < in->base || at + n > in->base + WINDOW_BYTES ||
        at > in->base + in->len) {
        move_to(in, at - MIN(at, VERIFY_LOOK_MAX));
    }
    while (at + n > in->base + in->len && read_more(in)) {
        continue;
    }
}

const uint8_t *verify_input_look(VerifyInput *in, uint64_t at, size_t n,
                                 size_t *ret_n)
{
    g_assert(n <= VERIFY_LOOK_MAX); /* a caller's constant */
    if (in->memory) {
        *ret_n = at < in->size ? MIN(n, in->size - at) : 0;
        return in->memory + (*ret_n ? at : 0);
    }
    /* No file has such places: that there is nothing is a fault of whoever
     * says so, not of whoever reads it. */
    if (at > INT64_MAX - 2 * WINDOW_BYTES ||
        (in->can_seek && at >= in->size)) {
        *ret_n = 0;
        return in->window;
    }
    fill_window(in, at, n);
    if (at < in->base || at >= in->base + in->len) {
        *ret_n = 0;
        return in->window;
    }
    *ret_n = MIN(n, in->base + in->len - at);
    return in->window + (at - in->base);
}

uint8_t *verify_input_rest(VerifyInput *in, uint64_t at, size_t max,
                           size_t *ret_n, bool *ret_more)
{
    g_autoptr(GByteArray) rest = g_byte_array_new();
    size_t n;

    do {
        const uint8_t *data =
            verify_input_look(in, at + rest->len,
                              MIN(max - rest->len, VERIFY_LOOK_MAX), &n);

        g_byte_array_append(rest, data, n);
    } while (n && rest->len < max);
    *ret_n = rest->len;
    verify_input_look(in, at + rest->len, 1, &n);
    *ret_more = n;
    g_byte_array_append(rest, (const uint8_t *)"", 1); /* never NULL */
    return g_byte_array_steal(rest, NULL);
}

static size_t bring(void *opaque, void *to, size_t n)
{
    VerifyInput *in = opaque;
    size_t have;
    const uint8_t *data = verify_input_look(in, in->stream_at,
                                            MIN(n, VERIFY_LOOK_MAX), &have);

    memcpy(to, data, have);
    in->stream_at += have;
    return have;
}

Stream *verify_input_stream(VerifyInput *in, uint64_t at)
{
    in->stream_at = at;
    return stream_new_reader_input(bring, in);
}
