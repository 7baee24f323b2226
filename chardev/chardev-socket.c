/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chardev on a UNIX or TCP socket, as client or as server.
 *
 * A server serves one client at a time: while one is there, the others wait
 * in the kernel; when it goes, the next one is taken. A client connects once.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chardev/chardev-backend.h"
#include "io/address.h"
#include "io/listener.h"
#include "io/socket.h"
#include "util/cutils.h"
#include "util/error.h"
#include "util/path.h"

typedef struct SocketOptions {
    ChannelAddress *address; /* NULL: fd is given */
    int fd;                  /* -1: address is given; owned */
    bool server;
    bool wait;
    bool nodelay;
} SocketOptions;

typedef struct SocketData {
    Listener *listener;      /* NULL: a client */
    ChannelAddress *address; /* of the server, or where we listen */
    bool nodelay;
} SocketData;

static void set_client(Chardev *chr, int fd)
{
    SocketData *s = chr->data;

    if (s->nodelay) {
        socket_set_nodelay(fd, true);
    }
    chardev_set_fds(chr, fd, fd);
}

static void client_came(Listener *listener, int fd, void *opaque)
{
    Chardev *chr = opaque;

    listener_stop(listener);
    set_client(chr, fd);
}

static void socket_hung_up(Chardev *chr)
{
    SocketData *s = chr->data;

    /* Unless the frontend's reaction has brought the next one already. */
    if (s->listener && !chr->is_open) {
        listener_start(s->listener, client_came, chr);
    }
}

static bool read_flags(SocketOptions *o, KeyVal *options, GError **error)
{
    if (!keyval_get_bool(options, "server", &o->server, error)) {
        return false;
    }
    if (!o->server && keyval_get_str(options, "wait")) {
        tm_error_set(error, "'wait' is an option of servers: it needs "
                     "server=on");
        return false;
    }
    o->wait = o->server;
    return keyval_get_bool(options, "wait", &o->wait, error);
}

static bool read_tcp(SocketOptions *o, KeyVal *options, const char *host,
                     GError **error)
{
    uint64_t port = 0;

    if (!keyval_get_str(options, "port")) {
        tm_error_set(error, "a TCP socket needs host and port");
        return false;
    }
    if (!keyval_get_uint64(options, "port", UINT16_MAX, &port, error) ||
        !keyval_get_bool(options, "nodelay", &o->nodelay, error)) {
        return false;
    }
    o->address = channel_address_new_tcp(host ? host : "", port);
    return true;
}

static bool read_fd(SocketOptions *o, KeyVal *options, GError **error)
{
    uint64_t fd = 0;

    if (!keyval_get_uint64(options, "fd", INT32_MAX, &fd, error)) {
        return false;
    }
    if (fcntl(fd, F_GETFD) < 0) {
        tm_error_set(error, "file descriptor %d is not open", (int)fd);
        return false;
    }
    o->fd = fd;
    return true;
}

/* Reads all options; nothing is opened yet. */
static bool read_options(SocketOptions *o, KeyVal *options, GError **error)
{
    const char *path = keyval_get_str(options, "path");
    const char *host = keyval_get_str(options, "host");
    const char *port = keyval_get_str(options, "port");
    const char *fd = keyval_get_str(options, "fd");

    if (!!path + (host || port) + !!fd != 1) {
        tm_error_set(error, "chardev backend 'socket' needs one of path, "
                     "host and port, or fd");
        return false;
    }
    if (path) {
        o->address = channel_address_new_unix(path);
    } else if (!(fd ? read_fd(o, options, error) :
                      read_tcp(o, options, host, error))) {
        return false;
    }
    return read_flags(o, options, error) &&
           keyval_check_unused(options, "chardev backend 'socket'", error);
}

/* A server makes the path, a client finds it there. */
static bool check_path(const char *path, bool server, GError **error)
{
    if (server) {
        return path_check_writable(path, error);
    }
    if (access(path, F_OK) < 0) {
        tm_error_set_errno(error, errno, "cannot connect to 'unix:%s'", path);
        return false;
    }
    return true;
}

static bool socket_check(KeyVal *options, GError **error)
{
    SocketOptions o = {.fd = -1};
    bool ok = read_options(&o, options, error);

    if (ok && o.address && o.address->kind == CHANNEL_ADDRESS_UNIX) {
        ok = check_path(o.address->path, o.server, error);
    }
    channel_address_free(o.address);
    return ok;
}

static bool open_server(Chardev *chr, SocketOptions *o, GError **error)
{
    SocketData *s = chr->data;
    int fd;

    s->listener = o->address ? listener_new(o->address, error) :
                               listener_new_fd(o->fd, error);
    if (!s->listener) {
        return false;
    }
    o->fd = -1; /* the listener's now */
    s->address = channel_address_copy(listener_address(s->listener, 0));
    if (!o->wait) {
        listener_start(s->listener, client_came, chr);
        return true;
    }
    fd = listener_accept(s->listener, chr->list->cancel_fd, error);
    if (fd < 0) {
        return false;
    }
    set_client(chr, fd);
    return true;
}

static bool open_client(Chardev *chr, SocketOptions *o, GError **error)
{
    SocketData *s = chr->data;
    int fd = o->fd;

    if (o->address) {
        fd = socket_connect(o->address, chr->list->cancel_fd, error);
        s->address = g_steal_pointer(&o->address);
    } else {
        s->address = channel_address_of_socket(fd, true);
        if (!s->address) {
            tm_error_set(error, "file descriptor %d is not a connected socket",
                         fd);
            return false;
        }
        o->fd = -1; /* the core's from here on */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (fd < 0) {
        return false;
    }
    set_client(chr, fd);
    return true;
}

static bool socket_open(Chardev *chr, KeyVal *options, GError **error)
{
    SocketOptions o = {.fd = -1};
    SocketData *s = g_new0(SocketData, 1);
    bool ok;

    chr->data = s;
    ok = read_options(&o, options, error);
    s->nodelay = o.nodelay;
    ok = ok && (o.server ? open_server(chr, &o, error) :
                           open_client(chr, &o, error));
    channel_address_free(o.address);
    if (o.fd >= 0) {
        close(o.fd);
    }
    return ok;
}

/* "HOST:PORT" of one end of the connection. */
static char *end_text(int fd, bool peer)
{
    g_autoptr(ChannelAddress) address = channel_address_of_socket(fd, peer);
    g_autofree char *uri = address ? channel_address_to_uri(address) : NULL;

    return g_strdup(uri ? strchr(uri, ':') + 1 : "");
}

static char *socket_filename(Chardev *chr)
{
    SocketData *s = chr->data;
    g_autofree char *uri = channel_address_to_uri(s->address);
    const char *server = s->listener ? ",server=on" : "";

    if (!chr->is_open) {
        return g_strdup_printf("disconnected:%s%s", uri, server);
    }
    if (s->address->kind == CHANNEL_ADDRESS_TCP) {
        g_autofree char *near = end_text(chr->in_fd, false);
        g_autofree char *far = end_text(chr->in_fd, true);

        return g_strdup_printf("tcp:%s%s <-> %s", near, server, far);
    }
    return g_strdup_printf("%s%s", uri, server);
}

static void socket_close(Chardev *chr)
{
    SocketData *s = chr->data;

    if (s) {
        listener_free(s->listener);
        channel_address_free(s->address);
        g_free(s);
    }
}

const ChardevBackend chardev_socket = {
    .name = "socket",
    .check = socket_check,
    .open = socket_open,
    .hung_up = socket_hung_up,
    .filename = socket_filename,
    .close = socket_close,
};
