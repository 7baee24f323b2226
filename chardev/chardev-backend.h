/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the core of a chardev (chardev.c: frontend, queue, watching of
 * descriptors) and its backends, which open descriptors and hand them to the
 * core; private to chardev/.
 */
#ifndef CHARDEV_CHARDEV_BACKEND_H
#define CHARDEV_CHARDEV_BACKEND_H

#include <glib.h>
#include <stdbool.h>

#include "chardev/chardev.h"
#include "util/compiler.h"
#include "util/keyval.h"

typedef struct ChardevBackend {
    const char *name; /* as in -chardev NAME */
    bool discards;    /* what is written is meant to be lost */
    /* Would open() take these options? Opens nothing. */
    bool (*check)(KeyVal *options, GError **error);
    /* Reads its options, opens, and ends with chardev_set_fds() if somebody
     * is there at once. On error chr->data is left for close(). */
    bool (*open)(Chardev *chr, KeyVal *options, GError **error);
    /* The client has gone and its descriptors are closed. May be NULL. */
    void (*hung_up)(Chardev *chr);
    /* For query-chardev. Returns: to be freed. */
    char *(*filename)(Chardev *chr);
    /* Frees chr->data, which may be NULL; the descriptors are the core's. */
    void (*close)(Chardev *chr);
} ChardevBackend;

struct ChardevList {
    GPtrArray *chardevs; /* of Chardev, owned */
    int cancel_fd;       /* not owned; -1: none */
    bool stdio_taken;    /* standard input and output serve one chardev */
};

struct Chardev {
    ChardevList *list;
    char *id;
    const ChardevBackend *backend;
    void *data; /* the backend's */

    /* Main thread only. */
    ChardevFrontend frontend; /* all NULL: none attached */
    void *opaque;
    bool is_attached;
    bool is_open;
    GArray *fds; /* of int: received with the last bytes, or NULL */

    GMutex lock; /* protects what follows */
    int in_fd;   /* -1: none; changed by the main thread only */
    int out_fd;  /* -1: none, bytes are dropped */
    bool in_is_socket;
    bool out_is_socket;
    bool is_paused; /* input is not watched until chardev_accept_input() */
    GSource *in_watch;  /* or NULL */
    GSource *out_watch; /* or NULL; there while the queue is not empty */
    GSource *hangup;    /* or NULL; chardev_hangup() is on its way */
    GByteArray *queue;
    size_t queue_head;  /* bytes of it that are sent already */
    size_t bound;       /* bytes */
    uint64_t dropped;   /* bytes */
};

extern const ChardevBackend chardev_socket;
extern const ChardevBackend chardev_file;
extern const ChardevBackend chardev_stdio;
extern const ChardevBackend chardev_null;

/**
 * chardev_set_fds() - somebody is there: begin to read and write
 * @in_fd:  owned from now on, non-blocking; -1: nothing to read
 * @out_fd: owned from now on, non-blocking (or a regular file); may be the
 *          same as @in_fd; -1: what is written is dropped
 * The frontend gets CHARDEV_OPENED. Context: main thread, nobody was there.
 */
void chardev_set_fds(Chardev *chr, int in_fd, int out_fd);

/**
 * chardev_create() - make a chardev with a given backend
 * @options: the backend's own; any other is refused
 * Returns: owned by @list; NULL on error.
 */
Chardev *chardev_create(ChardevList *list, const char *id,
                        const ChardevBackend *backend, KeyVal *options,
                        GError **error);

#endif
