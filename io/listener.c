/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening sockets; see include/io/listener.h. All of it runs on the main
 * thread.
 */
#include "io/listener.h"

#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/fd-channel.h"
#include "io/socket-address.h"
#include "trace/io.h"
#include "util/error.h"

/* Connections that may wait in the kernel: multifd opens a few at once. */
#define LISTENER_BACKLOG 64
/* A name has a few addresses at most (this host: IPv4 and IPv6). */
#define LISTENER_MAX 8

typedef struct ListenerSocket {
    int fd;
    ChannelAddress *address;
    guint source; /* GLib source id while started, else 0 */
} ListenerSocket;

struct Listener {
    ListenerSocket sockets[LISTENER_MAX];
    unsigned n;
    char *unlink_path; /* UNIX socket that we have made, or NULL */
    ListenerAcceptFn *accept;
    void *opaque; /* for accept */
    bool *freed;  /* set when freed inside the callback, or NULL */
};

/* Adds a listening descriptor, which is owned from then on. */
static void add_socket(Listener *l, int fd)
{
    ListenerSocket *s = &l->sockets[l->n++];

    fd_set_nonblocking(fd);
    s->fd = fd;
    s->address = channel_address_of_socket(fd, false);
    trace_listener_new(l, fd, l->n);
}

/* A bound and listening socket, or -errno. */
static int listen_on(int family, const struct sockaddr *addr, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, err;

    if (fd < 0) {
        return -errno;
    }
    if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (family == AF_INET6) {
        /* IPv4 has a socket of its own. */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (bind(fd, addr, len) < 0 || listen(fd, LISTENER_BACKLOG) < 0) {
        err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* Is there a socket at @un that nobody listens on any more? */
static bool is_stale(const struct sockaddr_un *un)
{
    struct stat st;
    bool stale;
    int fd;

    /* Connecting to any other kind of file is refused in the same words. */
    if (stat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    stale = connect(fd, (const struct sockaddr *)un, sizeof(*un)) < 0 &&
            errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int listen_unix(Listener *l, const ChannelAddress *address,
                       GError **error)
{
    struct sockaddr_un un;
    int fd;

    if (!socket_fill_unix(&un, address->path, error)) {
        return -EINVAL;
    }
    fd = listen_on(AF_UNIX, (struct sockaddr *)&un, sizeof(un));
    if (fd == -EADDRINUSE && is_stale(&un)) {
        unlink(address->path);
        fd = listen_on(AF_UNIX, (struct sockaddr *)&un, sizeof(un));
    }
    if (fd < 0) {
        return fd;
    }
    add_socket(l, fd);
    l->unlink_path = g_strdup(address->path);
    return 0;
}

static void set_port(struct sockaddr *addr, uint16_t port)
{
    if (addr->sa_family == AF_INET) {
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
    } else if (addr->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
    }
}

/* May this address of a host be passed over, if another one works? */
static bool is_skippable(int err, bool port_chosen)
{
    return err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL ||
           (port_chosen && err == -EADDRINUSE);
}

static int listen_tcp(Listener *l, const ChannelAddress *address,
                      GError **error)
{
    struct addrinfo *list = socket_resolve(address, true, error);
    int err = -ENOENT;

    for (struct addrinfo *at = list; at && l->n < LISTENER_MAX;
         at = at->ai_next) {
        bool port_chosen = l->n && address->port == 0;
        int fd;

        if (port_chosen) {
            set_port(at->ai_addr, l->sockets[0].address->port);
        }
        fd = listen_on(at->ai_family, at->ai_addr, at->ai_addrlen);
        if (fd >= 0) {
            add_socket(l, fd);
        } else {
            err = fd;
            if (!is_skippable(err, port_chosen)) {
                break;
            }
        }
    }
    if (list) {
        freeaddrinfo(list);
    }
    return l->n && (err == -ENOENT || is_skippable(err, true)) ? 0 : err;
}

Listener *listener_new(const ChannelAddress *address, GError **error)
{
    g_autofree char *uri = channel_address_to_uri(address);
    g_autoptr(Listener) l = g_new0(Listener, 1);
    GError *why = NULL;
    int ret;

    if (!channel_address_is_socket(address)) {
        tm_error_set(error, "cannot listen on '%s': not a socket address",
                     uri);
        return NULL;
    }
    ret = address->kind == CHANNEL_ADDRESS_TCP ?
        listen_tcp(l, address, &why) : listen_unix(l, address, &why);
    if (why) {
        g_propagate_prefixed_error(error, why, "cannot listen on '%s': ", uri);
        return NULL;
    }
    if (ret < 0) {
        tm_error_set_errno(error, ret, "cannot listen on '%s'", uri);
        return NULL;
    }
    return g_steal_pointer(&l);
}

Listener *listener_new_fd(int fd, GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_of_socket(fd, false);
    int listening = 0;
    socklen_t len = sizeof(listening);
    Listener *l;

    if (!address || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening,
                               &len) < 0 || !listening) {
        tm_error_set(error, "file descriptor %d is not a listening socket",
                     fd);
        return NULL;
    }
    l = g_new0(Listener, 1);
    add_socket(l, fd);
    return l;
}

unsigned listener_address_count(const Listener *listener)
{
    return listener->n;
}

const ChannelAddress *listener_address(const Listener *listener,
                                       unsigned index)
{
    return listener->sockets[index].address;
}

static int accept_from(int fd)
{
    int conn;

    do {
        conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (conn < 0 && (errno == EINTR || errno == ECONNABORTED));
    return conn < 0 ? -errno : conn;
}

static gboolean listener_ready(gint fd, GIOCondition condition,
                               gpointer opaque)
{
    Listener *l = opaque;
    int conn = accept_from(fd);
    bool freed = false;

    trace_listener_accept(l, fd, conn);
    if (conn >= 0) {
        l->freed = &freed;
        l->accept(l, conn, l->opaque);
        if (!freed) {
            l->freed = NULL;
        }
    }
    /* A source removed meanwhile stays removed, whatever this says. */
    return G_SOURCE_CONTINUE;
}

void listener_start(Listener *listener, ListenerAcceptFn *accept, void *opaque)
{
    listener_stop(listener);
    listener->accept = accept;
    listener->opaque = opaque;
    for (unsigned i = 0; i < listener->n; i++) {
        listener->sockets[i].source = g_unix_fd_add(
            listener->sockets[i].fd, G_IO_IN, listener_ready, listener);
    }
}

void listener_stop(Listener *listener)
{
    for (unsigned i = 0; i < listener->n; i++) {
        if (listener->sockets[i].source) {
            g_source_remove(listener->sockets[i].source);
            listener->sockets[i].source = 0;
        }
    }
}

int listener_accept(Listener *listener, int cancel_fd, GError **error)
{
    g_autofree char *uri =
        channel_address_to_uri(listener_address(listener, 0));
    struct pollfd fds[LISTENER_MAX + 1];

    for (unsigned i = 0; i < listener->n; i++) {
        fds[i] = (struct pollfd){.fd = listener->sockets[i].fd,
                                 .events = POLLIN};
    }
    fds[listener->n] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
    for (;;) {
        if (poll(fds, listener->n + 1, -1) < 0 && errno != EINTR) {
            tm_error_set_errno(error, errno, "cannot wait on '%s'", uri);
            return -1;
        }
        if (fds[listener->n].revents) {
            tm_error_set(error, "interrupted while waiting for a connection "
                         "on '%s'", uri);
            return -1;
        }
        for (unsigned i = 0; i < listener->n; i++) {
            int conn = fds[i].revents ? accept_from(fds[i].fd) : -EAGAIN;

            if (conn >= 0) {
                return conn;
            }
            if (conn != -EAGAIN) {
                tm_error_set_errno(error, conn, "cannot accept on '%s'", uri);
                return -1;
            }
        }
    }
}

void listener_free(Listener *listener)
{
    if (!listener) {
        return;
    }
    listener_stop(listener);
    /* Before the closing: the path is still ours, and not a successor's. */
    if (listener->unlink_path) {
        unlink(listener->unlink_path);
        g_free(listener->unlink_path);
    }
    for (unsigned i = 0; i < listener->n; i++) {
        close(listener->sockets[i].fd);
        channel_address_free(listener->sockets[i].address);
    }
    if (listener->freed) {
        *listener->freed = true;
    }
    g_free(listener);
}
