/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-chardev.h.
 */
#include "fake-chardev.h"

#include <string.h>
#include <unistd.h>

struct Chardev {
    char *id;
    const ChardevFrontend *frontend;
    void *opaque;
    bool open, stalled, feeding;
    GString *input;      /* sent by the client, not yet taken */
    GString *queue;      /* written, not yet taken by the client */
    GString *output;     /* taken by the client */
    GArray *fds;
};

Chardev *fake_chardev_new(const char *id)
{
    Chardev *chr = g_new0(Chardev, 1);

    chr->id = g_strdup(id);
    chr->input = g_string_new(NULL);
    chr->queue = g_string_new(NULL);
    chr->output = g_string_new(NULL);
    chr->fds = g_array_new(FALSE, FALSE, sizeof(int));
    return chr;
}

void fake_chardev_free(Chardev *chr)
{
    for (guint i = 0; i < chr->fds->len; i++) {
        close(g_array_index(chr->fds, int, i));
    }
    g_array_unref(chr->fds);
    g_string_free(chr->input, TRUE);
    g_string_free(chr->queue, TRUE);
    g_string_free(chr->output, TRUE);
    g_free(chr->id);
    g_free(chr);
}

void fake_chardev_open(Chardev *chr)
{
    chr->open = true;
    if (chr->frontend && chr->frontend->event) {
        chr->frontend->event(chr->opaque, CHARDEV_OPENED);
    }
}

void fake_chardev_close(Chardev *chr)
{
    chr->open = false;
    g_string_truncate(chr->input, 0);
    g_string_truncate(chr->queue, 0);
    if (chr->frontend->event) {
        chr->frontend->event(chr->opaque, CHARDEV_CLOSED);
    }
}

static void feed(Chardev *chr)
{
    if (chr->feeding) {
        return;
    }
    chr->feeding = true;
    while (chr->input->len) {
        size_t n = MIN(chr->frontend->can_read(chr->opaque),
                       chr->input->len);
        g_autofree uint8_t *piece = g_memdup2(chr->input->str, MAX(n, 1));

        if (!n) {
            break;
        }
        g_string_erase(chr->input, 0, n);
        chr->frontend->read(chr->opaque, piece, n);
    }
    chr->feeding = false;
}

void fake_chardev_type(Chardev *chr, const char *bytes, size_t n)
{
    g_string_append_len(chr->input, bytes, n);
    feed(chr);
}

void fake_chardev_send_fd(Chardev *chr, int fd)
{
    g_array_append_val(chr->fds, fd);
}

static void drain(Chardev *chr)
{
    bool had = chr->queue->len;

    g_string_append_len(chr->output, chr->queue->str, chr->queue->len);
    g_string_truncate(chr->queue, 0);
    if (had) {
        if (chr->frontend->drained) {
            chr->frontend->drained(chr->opaque);
        }
        feed(chr);
    }
}

void fake_chardev_stall(Chardev *chr, bool stalled)
{
    chr->stalled = stalled;
    if (!stalled) {
        drain(chr);
    }
}

char *fake_chardev_take(Chardev *chr)
{
    char *text = g_strndup(chr->output->str, chr->output->len);

    g_string_truncate(chr->output, 0);
    return text;
}

size_t fake_chardev_unread(Chardev *chr)
{
    return chr->input->len;
}

/* -- the chardev room's functions that a monitor uses */

const char *chardev_id(const Chardev *chr)
{
    return chr->id;
}

bool chardev_attach(Chardev *chr, const ChardevFrontend *frontend,
                    void *opaque, GError **error)
{
    g_assert_null(chr->frontend);
    chr->frontend = frontend;
    chr->opaque = opaque;
    if (chr->open && frontend->event) {
        frontend->event(opaque, CHARDEV_OPENED);
    }
    return true;
}

void chardev_detach(Chardev *chr)
{
    chr->frontend = NULL;
}

void chardev_accept_input(Chardev *chr)
{
    feed(chr);
}

size_t chardev_write(Chardev *chr, const void *buf, size_t n)
{
    if (!chr->open) {
        return 0;
    }
    g_string_append_len(chr->stalled ? chr->queue : chr->output, buf, n);
    return n;
}

size_t chardev_pending(Chardev *chr)
{
    return chr->queue->len;
}

void chardev_set_bound(Chardev *chr, size_t bytes)
{
}

GArray *chardev_take_fds(Chardev *chr)
{
    GArray *fds;

    if (!chr->fds->len) {
        return NULL;
    }
    fds = chr->fds;
    chr->fds = g_array_new(FALSE, FALSE, sizeof(int));
    return fds;
}

void chardev_list_foreach(ChardevList *list, ChardevVisitFn *visit,
                          void *user)
{
    visit((Chardev *)list, user);    /* a list of one */
}

void chardev_info(Chardev *chr, ChardevDesc *ret_info)
{
    *ret_info = (ChardevDesc) {
        .label = chr->id,
        .filename = g_strdup("unix:/fake"),
        .is_frontend_open = chr->frontend != NULL,
    };
}
