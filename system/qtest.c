/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest server: lines in, replies out. All lines of one read are served
 * before their replies are written together, and no line costs an allocation:
 * a test may send tens of thousands and wait for each reply.
 *
 * While replies wait for a slow reader nothing is read, so that nothing of
 * them is ever dropped.
 */
#include "system/qtest.h"

#include <stdio.h>
#include <string.h>

#include "util/path.h"

/* A line with the longest data: two digits a byte, and the words before. */
#define LINE_MAX_BYTES (2 * (size_t)QTEST_MAX_BYTES + 256)
#define READ_BYTES 65536
#define REPLY_ENOUGH_BYTES (1u << 20) /* then they are written */

struct QtestServer {
    Vm *vm;
    Chardev *chr;
    GString *input;    /* lines not served yet; the last may be a part */
    size_t scanned;    /* bytes of it that hold no line's end */
    GString *reply;    /* of lines served and not written yet */
    bool overlong;     /* the rest of the line is thrown away */
    FILE *log;         /* or NULL */
    gint64 begin_us;   /* log lines tell the time since then */
};

static void log_line(QtestServer *s, char direction, const char *text,
                     size_t n)
{
    if (s->log) {
        fprintf(s->log, "[%c +%.6f] %.*s\n", direction,
                (g_get_monotonic_time() - s->begin_us) / 1e6, (int)n, text);
    }
}

/* @line: ends in NUL where its end was; is cut up. */
static void serve_line(QtestServer *s, char *line, size_t n)
{
    size_t before = s->reply->len;

    if (n && line[n - 1] == '\r') {
        line[--n] = '\0';
    }
    log_line(s, 'R', line, n);
    if (s->overlong || strlen(line) != n) {
        g_string_append(s->reply, "ERR the line is too long or holds a NUL\n");
        s->overlong = false;
    } else {
        qtest_execute(s->vm, line, s->reply);
    }
    if (s->reply->len > before) {
        log_line(s, 'S', s->reply->str + before, s->reply->len - before - 1);
    }
}

/* Whoever has a reply finds it in the log. */
static void write_replies(QtestServer *s)
{
    if (s->log) {
        fflush(s->log);
    }
    if (s->reply->len) {
        chardev_write(s->chr, s->reply->str, s->reply->len);
        g_string_truncate(s->reply, 0);
    }
}

/* Serve whole lines as long as their replies find a reader. */
static void serve(QtestServer *s)
{
    size_t done = 0;
    char *end;

    while (!chardev_pending(s->chr) &&
           (end = memchr(s->input->str + s->scanned, '\n',
                         s->input->len - s->scanned))) {
        char *line = s->input->str + done;

        *end = '\0';
        serve_line(s, line, end - line);
        done = s->scanned = end + 1 - s->input->str;
        if (s->reply->len > REPLY_ENOUGH_BYTES) {
            write_replies(s);
        }
    }
    write_replies(s);
    g_string_erase(s->input, 0, done);
    s->scanned -= done;
}

static void qtest_read(void *opaque, const uint8_t *buf, size_t n)
{
    QtestServer *s = opaque;

    g_string_append_len(s->input, (const char *)buf, n);
    serve(s);
    if (!chardev_pending(s->chr)) {
        s->scanned = s->input->len;
    }
    if (s->scanned > LINE_MAX_BYTES) {
        s->overlong = true;
        s->scanned = 0;
        g_string_truncate(s->input, 0);
    }
}

static size_t qtest_can_read(void *opaque)
{
    QtestServer *s = opaque;

    return chardev_pending(s->chr) ? 0 : READ_BYTES;
}

static void qtest_drained(void *opaque)
{
    QtestServer *s = opaque;

    serve(s);
    chardev_accept_input(s->chr);
}

static void qtest_event(void *opaque, ChardevEvent event)
{
    QtestServer *s = opaque;

    g_string_truncate(s->input, 0);
    s->scanned = 0;
    s->overlong = false;
}

static const ChardevFrontend frontend = {
    .can_read = qtest_can_read,
    .read = qtest_read,
    .event = qtest_event,
    .drained = qtest_drained,
};

static bool open_log(QtestServer *s, const char *path, GError **error)
{
    int fd;

    if (!path) {
        return true;
    }
    fd = path_open_log(path, error);
    if (fd < 0) {
        return false;
    }
    s->log = fdopen(fd, "a");
    g_assert(s->log); /* the descriptor is good and so is the mode */
    return true;
}

QtestServer *qtest_server_new(Vm *vm, Chardev *chr, const char *log_path,
                              GError **error)
{
    QtestServer *s = g_new0(QtestServer, 1);

    s->vm = vm;
    s->input = g_string_new(NULL);
    s->reply = g_string_new(NULL);
    s->begin_us = g_get_monotonic_time();
    if (!open_log(s, log_path, error)) {
        qtest_server_free(s);
        return NULL;
    }
    /* serve() queues at most one long reply beyond REPLY_ENOUGH_BYTES. */
    chardev_set_bound(chr, REPLY_ENOUGH_BYTES + 2 * LINE_MAX_BYTES);
    s->chr = chr;
    if (!chardev_attach(chr, &frontend, s, error)) {
        s->chr = NULL;
        qtest_server_free(s);
        return NULL;
    }
    return s;
}

void qtest_server_free(QtestServer *s)
{
    if (!s) {
        return;
    }
    if (s->chr) {
        chardev_detach(s->chr);
    }
    if (s->log) {
        fclose(s->log);
    }
    g_string_free(s->input, TRUE);
    g_string_free(s->reply, TRUE);
    g_free(s);
}
