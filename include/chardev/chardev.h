/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the host's end of a serial port, a monitor or a qtest
 * session. One backend (socket, file, stdio, null), at most one frontend.
 *
 * Input is pushed: the frontend's callbacks run in the main context, one at a
 * time. Output goes out at once as far as the backend takes it; the rest waits
 * in a bounded queue that the main loop drains. What does not fit is dropped
 * and counted: no reader, however slow, ever blocks the guest or the program.
 * A frontend that may not lose anything (a monitor) sets a bound that it keeps
 * below by itself, with chardev_pending() and the @drained callback.
 *
 * Backends that can be disconnected (socket) report it as an event; a server
 * then waits for its next client.
 */
#ifndef CHARDEV_CHARDEV_H
#define CHARDEV_CHARDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/keyval.h"

/* Bytes an undrained queue may hold unless chardev_set_bound() says more. */
#define CHARDEV_DEFAULT_BOUND (64 * 1024)

typedef struct Chardev Chardev;
typedef struct ChardevList ChardevList;

typedef enum ChardevEvent {
    CHARDEV_OPENED, /* somebody is there: a client, or right at attach */
    CHARDEV_CLOSED, /* the client has gone, standard input has ended */
} ChardevEvent;

/*
 * A frontend's callbacks, all in the main context on the main thread; each
 * may be NULL. They may write, and may detach the frontend.
 */
typedef struct ChardevFrontend {
    /* Bytes that read() may be given now; 0 stops reading until
     * chardev_accept_input(). NULL: always any number. */
    size_t (*can_read)(void *opaque);
    /* 1..can_read() bytes of input. */
    void (*read)(void *opaque, const uint8_t *buf, size_t n);
    void (*event)(void *opaque, ChardevEvent event);
    /* The queue has become empty after bytes had to wait. */
    void (*drained)(void *opaque);
} ChardevFrontend;

/* What query-chardev shows of a chardev. */
typedef struct ChardevDesc {
    const char *label;     /* its id; owned by the chardev */
    char *filename;        /* "unix:/path,server=on"; free with g_free() */
    bool is_frontend_open; /* a frontend is attached */
} ChardevDesc;

typedef void ChardevVisitFn(Chardev *chr, void *user);

/**
 * chardev_list_new() - no chardevs yet
 * @cancel_fd: ends a server's waiting for its first client (wait=on) with an
 *             error as soon as it is readable: an eventfd or pipe that the
 *             handler of SIGTERM writes to; -1: nothing ends it. Not owned
 * Returns: to be freed with chardev_list_free().
 */
ChardevList *chardev_list_new(int cancel_fd);

/**
 * chardev_list_free() - close all; terminal settings are put back
 * Queued output is given to the kernel as far as it takes it without waiting.
 * Frontends are forgotten without an event. Context: main thread; accepts NULL.
 */
void chardev_list_free(ChardevList *list);

/**
 * chardev_list_foreach() - visit all, in the order they were made
 * Context: main thread.
 */
void chardev_list_foreach(ChardevList *list, ChardevVisitFn *visit,
                          void *user);

/** chardev_find() - by id. Context: main thread. Returns: NULL if not there */
Chardev *chardev_find(ChardevList *list, const char *id);

/**
 * chardev_add() - make a chardev from the options of -chardev
 * @options: backend= (the implied key), id=, and the backend's own:
 *   socket  path= or host=,port= or fd=; server=on|off (off), wait=on|off (on
 *           for a server), nodelay=on|off
 *   file    path=, append=on|off (off)
 *   stdio   signal=on|off (on)
 *   null    none
 * A client connects before this returns; so does a server's first client if
 * it waits. Context: main thread, blocks for those.
 * Errors:  id missing or in use, unknown backend or option (named), cannot
 *          open, cannot connect, cancelled while waiting.
 * Returns: the chardev, owned by @list; NULL on error, nothing made.
 */
Chardev *chardev_add(ChardevList *list, KeyVal *options, GError **error);

/**
 * chardev_add_legacy() - make a chardev from the text of -serial, -monitor,
 *                        -qmp, -qtest
 * @id:   label of a new one, "serial0" for instance
 * @text: "null", "stdio", "file:PATH", "unix:PATH[,server=on][,wait=off]",
 *        "tcp:HOST:PORT[,server=on][,wait=off][,nodelay=on]", or
 *        "chardev:ID" for one that exists. "none" means no chardev at all and
 *        is for the caller to see first
 * Context, Errors: as chardev_add(), and no chardev of that ID.
 * Returns: the chardev, owned by @list; NULL on error.
 */
Chardev *chardev_add_legacy(ChardevList *list, const char *id,
                            const char *text, GError **error);

/**
 * chardev_check(), chardev_check_legacy() - would chardev_add() take these
 * options, or chardev_add_legacy() this text?
 * For judging a whole command line before anything of it is done: opens,
 * connects and makes nothing. "chardev:ID" is good for any ID.
 * Context: main thread.
 * Errors:  as the functions that add, as far as can be told from the options.
 */
bool chardev_check(KeyVal *options, GError **error);
bool chardev_check_legacy(const char *text, GError **error);

/** chardev_id() - its id, owned by the chardev */
const char *chardev_id(const Chardev *chr);

/** chardev_info() - fill @ret_info for query-chardev. Context: main thread */
void chardev_info(Chardev *chr, ChardevDesc *ret_info);

/**
 * chardev_attach() - become its frontend
 * If somebody is there already, CHARDEV_OPENED comes before this returns.
 * Context: main thread.
 * Errors:  another frontend is attached.
 */
bool chardev_attach(Chardev *chr, const ChardevFrontend *frontend,
                    void *opaque, GError **error);

/**
 * chardev_detach() - be no frontend any more; no callback comes after this
 * Input then waits for the next frontend. Context: main thread. Idempotent.
 */
void chardev_detach(Chardev *chr);

/**
 * chardev_accept_input() - can_read() would no longer say 0
 * Context: any thread; the reading itself happens in the main context.
 */
void chardev_accept_input(Chardev *chr);

/**
 * chardev_write() - send bytes
 * What the backend does not take at once is queued up to the bound; the rest
 * is dropped and counted, as is everything while nobody is there. Bytes for a
 * regular file are in the file when this returns.
 * Context: any thread; writers are served one after the other. Never waits
 *          for a reader.
 * Returns: bytes sent or queued, less than @n if some were dropped.
 */
size_t chardev_write(Chardev *chr, const void *buf, size_t n);

/** chardev_pending() - bytes in the queue. Context: any thread */
size_t chardev_pending(Chardev *chr);

/** chardev_dropped() - bytes dropped since the start. Context: any thread */
uint64_t chardev_dropped(Chardev *chr);

/**
 * chardev_set_bound() - how many bytes the queue may hold from now on
 * Context: any thread.
 */
void chardev_set_bound(Chardev *chr, size_t bytes);

/**
 * chardev_is_open() - is somebody there: a client, or always for a file
 * Context: main thread.
 */
bool chardev_is_open(Chardev *chr);

/**
 * chardev_take_fds() - descriptors that came with the bytes being read
 * To be called inside read(): the next bytes that bring descriptors replace
 * those that nobody took.
 * Context: main thread.
 * Returns: an array of int, the caller's with all its descriptors; NULL when
 *          there are none.
 */
GArray *chardev_take_fds(Chardev *chr);

/**
 * chardev_disconnect() - end the connection with the present client
 * What is queued is given to the kernel first, as far as it takes it. The
 * frontend gets CHARDEV_CLOSED in a later turn of the main loop.
 * Context: main thread. Does nothing for backends without clients.
 */
void chardev_disconnect(Chardev *chr);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ChardevList, chardev_list_free)

#endif
