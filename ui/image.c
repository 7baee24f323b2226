/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a picture to a descriptor or a path; see ui/image.h.
 *
 * A descriptor that is no file may belong to somebody who does not read. It is
 * waited for, together with the order to give up, before each write; and no
 * write is larger than what a pipe that is ready takes without blocking.
 */
#include "ui/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ui/image-int.h"
#include "util/error.h"
#include "util/sigpipe.h"

#define TEMPORARY_TRIES 64

const char *image_kind_name(ImageKind kind)
{
    return kind == IMAGE_PNG ? "png" : "ppm";
}

/* ---- the sink ---- */

/* Returns: 0, -ECANCELED, or another negative errno. */
static int wait_writable(const ImageSink *sink)
{
    struct pollfd fds[2] = {
        { .fd = sink->fd, .events = POLLOUT },
        { .fd = sink->cancel_fd, .events = POLLIN },
    };
    int n;

    if (!sink->may_block) {
        fds[0].fd = -1; /* always ready: only ask for the order to give up */
    }
    do {
        n = poll(fds, 2, sink->may_block ? -1 : 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    return fds[1].revents ? -ECANCELED : 0;
}

static ssize_t write_some(const ImageSink *sink, const uint8_t *bytes,
                          size_t n)
{
    if (sink->is_socket) {
        return send(sink->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return write(sink->fd, bytes, sink->may_block ? MIN(n, PIPE_BUF) : n);
}

static bool sink_fail(ImageSink *sink, int err)
{
    if (err == -ECANCELED) {
        tm_error_set(&sink->error, "writing '%s' was given up", sink->name);
    } else {
        tm_error_set_errno(&sink->error, err, "cannot write '%s'",
                           sink->name);
    }
    return false;
}

static bool sink_flush(ImageSink *sink)
{
    size_t done = 0;

    while (!sink->error && done < sink->used) {
        int ret = wait_writable(sink);
        ssize_t n;

        if (ret < 0) {
            return sink_fail(sink, ret);
        }
        n = write_some(sink, sink->buf + done, sink->used - done);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return sink_fail(sink, errno);
        }
        if (n == 0) {
            return sink_fail(sink, EIO);
        }
        done += MAX(n, 0);
    }
    sink->used = 0;
    return !sink->error;
}

bool image_sink_write(ImageSink *sink, const void *bytes, size_t n)
{
    const uint8_t *from = bytes;

    while (n && !sink->error) {
        size_t part = MIN(n, sizeof(sink->buf) - sink->used);

        memcpy(sink->buf + sink->used, from, part);
        sink->used += part;
        from += part;
        n -= part;
        if (sink->used == sizeof(sink->buf)) {
            sink_flush(sink);
        }
    }
    return !sink->error;
}

/* ---- rows ---- */

bool image_rows_init(ImageRows *rows, pixman_image_t *image, GError **error)
{
    rows->image = image;
    rows->width = pixman_image_get_width(image);
    rows->height = pixman_image_get_height(image);
    /* in memory: red first */
    rows->row = pixman_image_create_bits(PIXMAN_b8g8r8, rows->width, 1, NULL,
                                         0);
    if (!rows->row) {
        tm_error_set(error, "no memory for a row of %u pixels", rows->width);
    }
    return rows->row != NULL;
}

const uint8_t *image_rows_get(ImageRows *rows, uint32_t y)
{
    pixman_image_composite32(PIXMAN_OP_SRC, rows->image, NULL, rows->row, 0, y,
                             0, 0, 0, 0, rows->width, 1);
    return (const uint8_t *)pixman_image_get_data(rows->row);
}

void image_rows_done(ImageRows *rows)
{
    pixman_image_unref(rows->row);
}

/* ---- descriptors ---- */

bool image_write_fd(ImageKind kind, pixman_image_t *image, int fd,
                    const char *name, int cancel_fd, GError **error)
{
    g_autofree ImageSink *sink = g_new0(ImageSink, 1);
    ImageRows rows;
    struct stat st;

    sigpipe_ignore();
    if (fstat(fd, &st) < 0) {
        tm_error_set_errno(error, errno, "cannot write '%s'", name);
        return false;
    }
    if (!image_rows_init(&rows, image, error)) {
        return false;
    }
    sink->fd = fd;
    sink->name = name;
    sink->cancel_fd = cancel_fd;
    sink->may_block = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
    sink->is_socket = S_ISSOCK(st.st_mode);
    if (kind == IMAGE_PNG) {
        image_put_png(&rows, sink);
    } else {
        image_put_ppm(&rows, sink);
    }
    image_rows_done(&rows);
    sink_flush(sink);
    if (sink->error) {
        g_propagate_error(error, sink->error);
        return false;
    }
    return true;
}

/* Some file systems tell of a full disk only now. */
static bool close_checked(int fd, const char *path, bool ok, GError **error)
{
    if (close(fd) < 0 && ok) {
        tm_error_set_errno(error, errno, "cannot write '%s'", path);
        return false;
    }
    return ok;
}

/* ---- paths ---- */

static bool write_directly(ImageKind kind, pixman_image_t *image,
                           const char *path, int cancel_fd, GError **error)
{
    /* O_NONBLOCK: a FIFO without a reader must not hold anybody up. */
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK |
                  O_NOCTTY);

    if (fd < 0) {
        tm_error_set_errno(error, errno, "cannot open '%s'", path);
        return false;
    }
    return close_checked(fd, path, image_write_fd(kind, image, fd, path,
                                                  cancel_fd, error), error);
}

/* A new file beside @path. Returns: its descriptor, or a negative errno. */
static int open_temporary(const char *path, mode_t mode, char **ret_name)
{
    int fd = -1;

    for (unsigned i = 0; i < TEMPORARY_TRIES && fd < 0; i++) {
        g_autofree char *name = g_strdup_printf("%s.%08x", path,
                                                g_random_int());

        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0) {
            *ret_name = g_steal_pointer(&name);
        } else if (errno != EEXIST) {
            break;
        }
    }
    return fd < 0 ? -errno : fd;
}

static bool write_and_rename(ImageKind kind, pixman_image_t *image,
                             const char *path, mode_t mode, int cancel_fd,
                             GError **error)
{
    g_autofree char *temporary = NULL;
    int fd = open_temporary(path, mode, &temporary);
    bool ok;

    if ((fd == -EACCES || fd == -EPERM) && access(path, W_OK) == 0) {
        /* A file made for us where we may make none. */
        return write_directly(kind, image, path, cancel_fd, error);
    }
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot make '%s'", path);
        return false;
    }
    ok = close_checked(fd, path, image_write_fd(kind, image, fd, path,
                                                cancel_fd, error), error);
    if (ok && rename(temporary, path) < 0) {
        tm_error_set_errno(error, errno, "cannot write '%s'", path);
        ok = false;
    }
    if (!ok) {
        unlink(temporary);
    }
    return ok;
}

bool image_write_path(ImageKind kind, pixman_image_t *image, const char *path,
                      int cancel_fd, GError **error)
{
    char *target = realpath(path, NULL); /* NULL: there is nothing yet */
    struct stat st;
    bool ok;

    if (!target || stat(target, &st) < 0) {
        ok = write_and_rename(kind, image, path, 0666, cancel_fd, error);
    } else if (S_ISREG(st.st_mode) && access(target, W_OK) == 0) {
        ok = write_and_rename(kind, image, target, st.st_mode & 0777,
                              cancel_fd, error);
    } else {
        /* also for the words of what cannot be written to */
        ok = write_directly(kind, image, target, cancel_fd, error);
    }
    free(target);
    return ok;
}
