/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out of a chardev.
 *
 * Any thread writes; the lock is held for non-blocking calls only, so a
 * writer waits for other writers and never for a reader. What the kernel does
 * not take waits in the queue, and while there is something in it the main
 * context watches for room. Bytes leave in the order of chardev_write(): a
 * writer that finds the queue not empty goes behind it.
 */
#include "chardev/chardev-output.h"

#include <errno.h>
#include <glib-unix.h>
#include <unistd.h>

#include "io/socket.h"
#include "trace/chardev.h"

void chardev_clear_source(GSource **source)
{
    if (*source) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static size_t pending_locked(Chardev *chr) TSA_REQUIRES(chr->lock);
static size_t pending_locked(Chardev *chr)
{
    return chr->queue->len - chr->queue_head;
}

static void count_dropped_locked(Chardev *chr, size_t n)
    TSA_REQUIRES(chr->lock);
static void count_dropped_locked(Chardev *chr, size_t n)
{
    if (n) {
        chr->dropped += n;
        trace_chardev_drop(chr->id, n, chr->dropped);
    }
}

/* One attempt to hand bytes to the kernel: how many it took, or -errno. */
static ssize_t send_some_locked(Chardev *chr, const uint8_t *buf, size_t n)
    TSA_REQUIRES(chr->lock);
static ssize_t send_some_locked(Chardev *chr, const uint8_t *buf, size_t n)
{
    struct iovec iov = {(void *)buf, n};
    ssize_t ret;

    if (chr->out_is_socket) {
        return socket_send(chr->out_fd, &iov, 1, NULL, 0);
    }
    do {
        ret = write(chr->out_fd, buf, n);
    } while (ret < 0 && errno == EINTR);
    return ret < 0 ? -errno : ret;
}

/* Sends until the kernel takes no more. Returns bytes sent, or -errno if it
 * refuses them for good. */
static ssize_t send_locked(Chardev *chr, const uint8_t *buf, size_t n)
    TSA_REQUIRES(chr->lock);
static ssize_t send_locked(Chardev *chr, const uint8_t *buf, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t ret = send_some_locked(chr, buf + done, n - done);

        if (ret == -EAGAIN) {
            break;
        }
        if (ret < 0) {
            return ret;
        }
        done += ret;
    }
    return done;
}

void chardev_drop_locked(Chardev *chr)
{
    count_dropped_locked(chr, pending_locked(chr));
    g_byte_array_set_size(chr->queue, 0);
    chr->queue_head = 0;
    chardev_clear_source(&chr->out_watch);
}

/*
 * Nobody takes these bytes any more. A client that has gone is hung up; a full
 * disk only costs the bytes, and later ones may find room again.
 */
static void fail_locked(Chardev *chr, int err) TSA_REQUIRES(chr->lock);
static void fail_locked(Chardev *chr, int err)
{
    trace_chardev_write_error(chr->id, -err);
    chardev_drop_locked(chr);
    if (chr->backend->hung_up) {
        chardev_schedule_hangup_locked(chr);
    }
}

void chardev_flush_locked(Chardev *chr)
{
    ssize_t ret;

    if (chr->out_fd < 0 || !pending_locked(chr)) {
        return;
    }
    ret = send_locked(chr, chr->queue->data + chr->queue_head,
                      pending_locked(chr));
    if (ret < 0) {
        fail_locked(chr, ret);
        return;
    }
    chr->queue_head += ret;
    /* Sent bytes are cut off when they are half of it: each byte is moved
     * once on average, however slowly the queue drains. */
    if (chr->queue_head * 2 >= chr->queue->len) {
        g_byte_array_remove_range(chr->queue, 0, chr->queue_head);
        chr->queue_head = 0;
    }
}

static gboolean out_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *chr = opaque;
    bool drained, failed;

    g_mutex_lock(&chr->lock);
    if (!chr->out_watch) {
        g_mutex_unlock(&chr->lock);
        return G_SOURCE_REMOVE; /* destroyed while this was on its way */
    }
    chardev_flush_locked(chr);
    failed = !chr->out_watch;
    drained = !pending_locked(chr);
    if (drained) {
        chardev_clear_source(&chr->out_watch);
    }
    g_mutex_unlock(&chr->lock);
    if (drained && !failed && chr->frontend.drained) {
        chr->frontend.drained(chr->opaque);
    }
    return drained ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static void watch_for_room_locked(Chardev *chr) TSA_REQUIRES(chr->lock);
static void watch_for_room_locked(Chardev *chr)
{
    if (!chr->out_watch) {
        chr->out_watch = g_unix_fd_source_new(chr->out_fd, G_IO_OUT);
        g_source_set_callback(chr->out_watch, G_SOURCE_FUNC(out_ready), chr,
                              NULL);
        g_source_attach(chr->out_watch, NULL);
    }
}

static size_t write_locked(Chardev *chr, const uint8_t *buf, size_t n)
    TSA_REQUIRES(chr->lock);
static size_t write_locked(Chardev *chr, const uint8_t *buf, size_t n)
{
    size_t used = pending_locked(chr), queued;
    ssize_t sent = 0;

    if (chr->out_fd < 0) {
        count_dropped_locked(chr, n);
        return 0;
    }
    if (!used) {
        sent = send_locked(chr, buf, n);
        if (sent < 0) {
            fail_locked(chr, sent);
            count_dropped_locked(chr, n);
            return 0;
        }
    }
    queued = MIN(n - sent, chr->bound - MIN(used, chr->bound));
    if (queued) {
        g_byte_array_append(chr->queue, buf + sent, queued);
        watch_for_room_locked(chr);
    }
    count_dropped_locked(chr, n - sent - queued);
    return sent + queued;
}

size_t chardev_write(Chardev *chr, const void *buf, size_t n)
{
    size_t taken;

    if (chr->backend->discards) {
        return n;
    }
    g_mutex_lock(&chr->lock);
    taken = write_locked(chr, buf, n);
    g_mutex_unlock(&chr->lock);
    return taken;
}

size_t chardev_pending(Chardev *chr)
{
    size_t pending;

    g_mutex_lock(&chr->lock);
    pending = pending_locked(chr);
    g_mutex_unlock(&chr->lock);
    return pending;
}

uint64_t chardev_dropped(Chardev *chr)
{
    uint64_t dropped;

    g_mutex_lock(&chr->lock);
    dropped = chr->dropped;
    g_mutex_unlock(&chr->lock);
    return dropped;
}

void chardev_set_bound(Chardev *chr, size_t bytes)
{
    g_mutex_lock(&chr->lock);
    chr->bound = bytes;
    g_mutex_unlock(&chr->lock);
}
