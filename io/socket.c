/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets as plain descriptors; see include/io/socket.h.
 */
#include "io/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/fd-channel.h"
#include "io/socket-address.h"
#include "util/error.h"

/* How long to wait before knocking again where a backlog is full. */
#define BACKLOG_RETRY_MS 10

typedef union FdsControl {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(SOCKET_MAX_FDS * sizeof(int))];
} FdsControl;

ssize_t socket_send(int fd, const struct iovec *iov, unsigned niov,
                    const int *fds, unsigned nfds)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = niov};
    FdsControl control = {};
    ssize_t n;

    if (nfds > SOCKET_MAX_FDS) {
        return -EINVAL;
    }
    if (nfds) {
        struct cmsghdr *head;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(head), fds, nfds * sizeof(int));
    }
    do {
        n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Hands received descriptors over, or closes them if nobody wants them. */
static void take_fds(struct msghdr *msg, GArray *fds)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head;
         head = CMSG_NXTHDR(msg, head)) {
        size_t n = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
            if (fds) {
                g_array_append_val(fds, fd);
            } else {
                close(fd);
            }
        }
    }
}

ssize_t socket_recv(int fd, const struct iovec *iov, unsigned niov,
                    GArray *fds)
{
    FdsControl control;
    struct msghdr msg = {
        .msg_iov = (struct iovec *)iov,
        .msg_iovlen = niov,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control),
    };
    ssize_t n;

    do {
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    take_fds(&msg, fds);
    return n;
}

/* Connects @fd; 0 or -errno. */
static int connect_fd(int fd, const struct sockaddr *addr, socklen_t len,
                      int cancel_fd)
{
    int ret, err = 0;
    socklen_t err_len = sizeof(err);

    for (;;) {
        if (connect(fd, addr, len) == 0) {
            return 0;
        }
        if (errno == EINPROGRESS || errno == EINTR) {
            break;
        }
        if (errno != EAGAIN) {
            return -errno;
        }
        /* A UNIX listener whose backlog is full says so and no more. */
        ret = fd_poll_cancel(-1, 0, cancel_fd, BACKLOG_RETRY_MS);
        if (ret < 0) {
            return ret;
        }
    }
    ret = fd_poll_cancel(fd, POLLOUT, cancel_fd, -1);
    if (ret < 0) {
        return ret;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &err_len) < 0) {
        return -errno;
    }
    return -err;
}

/* A connected socket or -errno. */
static int connect_to(int family, const struct sockaddr *addr, socklen_t len,
                      int cancel_fd)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int ret;

    if (fd < 0) {
        return -errno;
    }
    ret = connect_fd(fd, addr, len, cancel_fd);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    return fd;
}

/* A connected socket or -errno; -ENOENT with @error set for an unknown name. */
static int connect_tcp(const ChannelAddress *address, int cancel_fd,
                       GError **error)
{
    struct addrinfo *list = socket_resolve(address, false, error);
    int fd = -ENOENT;

    for (struct addrinfo *at = list; at && fd < 0 && fd != -ECANCELED;
         at = at->ai_next) {
        fd = connect_to(at->ai_family, at->ai_addr, at->ai_addrlen, cancel_fd);
    }
    if (list) {
        freeaddrinfo(list);
    }
    return fd;
}

static int connect_unix(const ChannelAddress *address, int cancel_fd,
                        GError **error)
{
    struct sockaddr_un un;

    if (!socket_fill_unix(&un, address->path, error)) {
        return -EINVAL;
    }
    return connect_to(AF_UNIX, (struct sockaddr *)&un, sizeof(un), cancel_fd);
}

int socket_connect(const ChannelAddress *address, int cancel_fd,
                   GError **error)
{
    g_autofree char *uri = channel_address_to_uri(address);
    GError *why = NULL;
    int fd;

    if (!channel_address_is_socket(address)) {
        tm_error_set(error, "cannot connect to '%s': not a socket address",
                     uri);
        return -1;
    }
    fd = address->kind == CHANNEL_ADDRESS_TCP ?
        connect_tcp(address, cancel_fd, &why) :
        connect_unix(address, cancel_fd, &why);
    if (why) {
        g_propagate_prefixed_error(error, why, "cannot connect to '%s': ",
                                   uri);
        return -1;
    }
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot connect to '%s'", uri);
        return -1;
    }
    return fd;
}

bool socket_is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX;
}

void socket_set_nodelay(int fd, bool on)
{
    int value = on;

    /* Fails on a socket that is not TCP, which is what we want there. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value));
}
