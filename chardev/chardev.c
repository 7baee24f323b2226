/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chardevs: the list, the frontend's side and the way in; see
 * include/chardev/chardev.h. The way out is chardev-output.c, the backends
 * are chardev-socket.c, chardev-file.c and chardev-stdio.c.
 *
 * Input is watched by a source of the main context. It goes away (paused)
 * while the frontend takes nothing, and chardev_accept_input() brings it back.
 */
#include "chardev/chardev.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev/chardev-backend.h"
#include "chardev/chardev-output.h"
#include "io/socket.h"
#include "trace/chardev.h"
#include "util/error.h"
#include "util/sigpipe.h"

/* Input is passed on in pieces of at most this many bytes. */
#define CHARDEV_READ_BYTES 4096

static void watch_input_locked(Chardev *chr) TSA_REQUIRES(chr->lock);

static void close_fds(GArray **fds)
{
    if (*fds) {
        for (unsigned i = 0; i < (*fds)->len; i++) {
            close(g_array_index(*fds, int, i));
        }
        g_array_unref(*fds);
        *fds = NULL;
    }
}

static void send_event(Chardev *chr, ChardevEvent event)
{
    trace_chardev_event(chr->id, event);
    if (chr->frontend.event) {
        chr->frontend.event(chr->opaque, event);
    }
}

static bool is_socket(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

void chardev_set_fds(Chardev *chr, int in_fd, int out_fd)
{
    g_mutex_lock(&chr->lock);
    chr->in_fd = in_fd;
    chr->out_fd = out_fd;
    chr->in_is_socket = is_socket(in_fd);
    chr->out_is_socket = is_socket(out_fd);
    chr->is_paused = false;
    watch_input_locked(chr);
    g_mutex_unlock(&chr->lock);
    chr->is_open = true;
    send_event(chr, CHARDEV_OPENED);
}

/* The end of the input, with the output still open (standard input). */
static void end_input(Chardev *chr)
{
    g_mutex_lock(&chr->lock);
    chardev_clear_source(&chr->in_watch);
    if (chr->in_fd != chr->out_fd) {
        close(chr->in_fd);
    }
    chr->in_fd = -1;
    g_mutex_unlock(&chr->lock);
    chr->is_open = false;
    send_event(chr, CHARDEV_CLOSED);
}

/* Closes the descriptors and forgets what was on its way. */
static void close_connection(Chardev *chr)
{
    g_mutex_lock(&chr->lock);
    chardev_clear_source(&chr->hangup);
    chardev_clear_source(&chr->in_watch);
    chardev_flush_locked(chr);
    chardev_clear_source(&chr->hangup);
    chardev_drop_locked(chr);
    if (chr->in_fd >= 0 && chr->in_fd != chr->out_fd) {
        close(chr->in_fd);
    }
    if (chr->out_fd >= 0) {
        close(chr->out_fd);
    }
    chr->in_fd = chr->out_fd = -1;
    g_mutex_unlock(&chr->lock);
    close_fds(&chr->fds);
}

void chardev_hangup(Chardev *chr)
{
    bool was_open = chr->is_open;

    close_connection(chr);
    chr->is_open = false;
    if (was_open) {
        send_event(chr, CHARDEV_CLOSED);
    }
    if (chr->backend->hung_up) {
        chr->backend->hung_up(chr);
    }
}

static gboolean hangup_now(gpointer opaque)
{
    chardev_hangup(opaque);
    return G_SOURCE_REMOVE;
}

void chardev_schedule_hangup_locked(Chardev *chr)
{
    if (!chr->hangup) {
        chr->hangup = g_idle_source_new();
        g_source_set_priority(chr->hangup, G_PRIORITY_DEFAULT);
        g_source_set_callback(chr->hangup, hangup_now, chr, NULL);
        g_source_attach(chr->hangup, NULL);
    }
}

void chardev_disconnect(Chardev *chr)
{
    g_mutex_lock(&chr->lock);
    if (chr->backend->hung_up && chr->out_fd >= 0) {
        chardev_schedule_hangup_locked(chr);
    }
    g_mutex_unlock(&chr->lock);
}

/* How much the frontend takes now. */
static size_t input_room(Chardev *chr)
{
    if (!chr->is_attached) {
        return 0;
    }
    return chr->frontend.can_read ? chr->frontend.can_read(chr->opaque) :
                                    CHARDEV_READ_BYTES;
}

/*
 * Stops watching. The frontend may have made room between its no and this, in
 * another thread, whose chardev_accept_input() then found nothing to do: so it
 * is asked once more.
 */
static void pause_input(Chardev *chr)
{
    g_mutex_lock(&chr->lock);
    chr->is_paused = true;
    chardev_clear_source(&chr->in_watch);
    g_mutex_unlock(&chr->lock);
    if (input_room(chr)) {
        chardev_accept_input(chr);
    }
}

static ssize_t receive(Chardev *chr, uint8_t *buf, size_t n)
{
    struct iovec iov = {buf, n};
    g_autoptr(GArray) fds = NULL;
    ssize_t ret;

    if (!chr->in_is_socket) {
        ret = read(chr->in_fd, buf, n);
        return ret < 0 ? -errno : ret;
    }
    fds = g_array_new(FALSE, FALSE, sizeof(int));
    ret = socket_recv(chr->in_fd, &iov, 1, fds);
    if (fds->len) {
        close_fds(&chr->fds);
        chr->fds = g_steal_pointer(&fds);
    }
    return ret;
}

static gboolean in_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    Chardev *chr = opaque;
    uint8_t buf[CHARDEV_READ_BYTES];
    size_t room = input_room(chr);
    ssize_t n;

    if (!room) {
        pause_input(chr);
        return G_SOURCE_REMOVE;
    }
    n = receive(chr, buf, MIN(room, sizeof(buf)));
    if (n > 0) {
        if (chr->frontend.read) {
            chr->frontend.read(chr->opaque, buf, n);
        }
        return G_SOURCE_CONTINUE;
    }
    if (n == -EAGAIN || n == -EINTR) {
        return G_SOURCE_CONTINUE;
    }
    if (chr->backend->hung_up) {
        chardev_hangup(chr);
    } else {
        end_input(chr);
    }
    return G_SOURCE_REMOVE;
}

static void watch_input_locked(Chardev *chr)
{
    if (chr->in_fd >= 0 && !chr->in_watch) {
        chr->in_watch = g_unix_fd_source_new(chr->in_fd, G_IO_IN | G_IO_HUP);
        g_source_set_callback(chr->in_watch, G_SOURCE_FUNC(in_ready), chr,
                              NULL);
        g_source_attach(chr->in_watch, NULL);
    }
}

void chardev_accept_input(Chardev *chr)
{
    g_mutex_lock(&chr->lock);
    if (chr->is_paused) {
        chr->is_paused = false;
        watch_input_locked(chr);
    }
    g_mutex_unlock(&chr->lock);
}

bool chardev_attach(Chardev *chr, const ChardevFrontend *frontend,
                    void *opaque, GError **error)
{
    if (chr->is_attached) {
        tm_error_set(error, "chardev '%s' is in use", chr->id);
        return false;
    }
    chr->frontend = *frontend;
    chr->opaque = opaque;
    chr->is_attached = true;
    if (chr->is_open) {
        send_event(chr, CHARDEV_OPENED);
    }
    chardev_accept_input(chr);
    return true;
}

void chardev_detach(Chardev *chr)
{
    chr->frontend = (ChardevFrontend){};
    chr->opaque = NULL;
    chr->is_attached = false;
}

bool chardev_is_open(Chardev *chr)
{
    return chr->is_open;
}

GArray *chardev_take_fds(Chardev *chr)
{
    return g_steal_pointer(&chr->fds);
}

const char *chardev_id(const Chardev *chr)
{
    return chr->id;
}

void chardev_info(Chardev *chr, ChardevDesc *ret_info)
{
    ret_info->label = chr->id;
    ret_info->filename = chr->backend->filename(chr);
    ret_info->is_frontend_open = chr->is_attached;
}

static void chardev_free(gpointer opaque)
{
    Chardev *chr = opaque;

    chardev_detach(chr);
    close_connection(chr);
    chr->backend->close(chr);
    g_byte_array_unref(chr->queue);
    g_mutex_clear(&chr->lock);
    g_free(chr->id);
    g_free(chr);
}

ChardevList *chardev_list_new(int cancel_fd)
{
    ChardevList *list = g_new0(ChardevList, 1);

    sigpipe_ignore();
    list->chardevs = g_ptr_array_new_with_free_func(chardev_free);
    list->cancel_fd = cancel_fd;
    return list;
}

void chardev_list_free(ChardevList *list)
{
    if (list) {
        g_ptr_array_unref(list->chardevs);
        g_free(list);
    }
}

void chardev_list_foreach(ChardevList *list, ChardevVisitFn *visit, void *user)
{
    for (unsigned i = 0; i < list->chardevs->len; i++) {
        visit(g_ptr_array_index(list->chardevs, i), user);
    }
}

Chardev *chardev_find(ChardevList *list, const char *id)
{
    for (unsigned i = 0; i < list->chardevs->len; i++) {
        Chardev *chr = g_ptr_array_index(list->chardevs, i);

        if (g_str_equal(chr->id, id)) {
            return chr;
        }
    }
    return NULL;
}

Chardev *chardev_create(ChardevList *list, const char *id,
                        const ChardevBackend *backend, KeyVal *options,
                        GError **error)
{
    Chardev *chr;

    if (chardev_find(list, id)) {
        tm_error_set(error, "there is a chardev '%s' already", id);
        return NULL;
    }
    chr = g_new0(Chardev, 1);
    chr->list = list;
    chr->id = g_strdup(id);
    chr->backend = backend;
    chr->queue = g_byte_array_new();
    chr->bound = CHARDEV_DEFAULT_BOUND;
    chr->in_fd = chr->out_fd = -1;
    g_mutex_init(&chr->lock);
    if (!backend->open(chr, options, error)) {
        g_prefix_error(error, "cannot open chardev '%s': ", id);
        chardev_free(chr);
        return NULL;
    }
    g_ptr_array_add(list->chardevs, chr);
    trace_chardev_open(chr->id, backend->name);
    return chr;
}
