/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel: where bytes of a migration go or come from. One seam, ChannelOps,
 * with the same rules for sockets, files, pipes, child processes and memory:
 *
 * - Calls block until they moved something, reached the end, or failed.
 * - channel_shutdown() may come from any other thread at any time. It wakes
 *   whoever is blocked in the channel at once; that call and all later ones
 *   fail with "channel ... was shut down". This is how a migration is
 *   cancelled. Only a transfer that the kernel is making to or from a disk
 *   is finished first.
 * - One thread reads and one writes at a time; they may be two threads.
 * - channel_close() is called by the last user of the data, when no other
 *   thread is inside a read or write; shutdown may still come beside it.
 *
 * Counted references: channel_unref() of the last one closes.
 */
#ifndef IO_CHANNEL_H
#define IO_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct Channel Channel;

/* What a channel can do beyond a stream of bytes. */
typedef enum ChannelCap {
    CHANNEL_CAP_FDS = 1 << 0,  /* pass file descriptors (UNIX sockets) */
    CHANNEL_CAP_SEEK = 1 << 1, /* pwritev and preadv at any offset */
} ChannelCap;

/*
 * The seam. writev and readv block, return the bytes moved (0: end of the
 * stream, readv and preadv only) or -1 with @error set; shutdown does not
 * block. A kind without a capability leaves its hooks NULL.
 */
typedef struct ChannelOps {
    ssize_t (*writev)(Channel *c, const struct iovec *iov, unsigned niov,
                      const int *fds, unsigned nfds, GError **error);
    ssize_t (*readv)(Channel *c, const struct iovec *iov, unsigned niov,
                     GArray *fds, GError **error);
    ssize_t (*pwritev)(Channel *c, const struct iovec *iov, unsigned niov,
                       uint64_t offset, GError **error);
    ssize_t (*preadv)(Channel *c, const struct iovec *iov, unsigned niov,
                      uint64_t offset, GError **error);
    void (*shutdown)(Channel *c); /* with c->lock held, at most once */
    bool (*close)(Channel *c, GError **error); /* exactly once */
} ChannelOps;

/* First member of every implementation; its fields are private to io/. */
struct Channel {
    const ChannelOps *ops;
    unsigned caps; /* ChannelCap bits */
    char *name;    /* for messages: "unix:/tmp/x", "file:/tmp/y" */
    int refs;      /* atomic */
    GMutex lock;   /* guards is_closed and the fds against shutdown */
    bool is_shut;  /* atomic; set with the lock held */
    bool is_closed;
    GByteArray *peeked; /* peeked and not read yet, or NULL; the reader's */
};

/** channel_ref() - one more user. Context: any thread. Returns: @c. */
Channel *channel_ref(Channel *c);

/**
 * channel_unref() - one user less; the last one closes and frees
 * Errors of that closing are lost: call channel_close() where they matter.
 * Context: any thread. Accepts NULL.
 */
void channel_unref(Channel *c);

/** channel_name() - for messages and traces, never NULL */
const char *channel_name(const Channel *c);

/**
 * channel_set_name() - a better name, "main" or "multifd-3" for instance
 * Context: before other threads use the channel.
 */
void channel_set_name(Channel *c, const char *name);

/** channel_has_cap() - can the channel do this */
bool channel_has_cap(const Channel *c, ChannelCap cap);

/**
 * channel_writev() - write some of the vector, with file descriptors
 * @fds: @nfds descriptors that go with the first byte; they stay the caller's
 *       and arrive as copies. Needs CHANNEL_CAP_FDS unless @nfds is 0
 * Context: any thread, blocks.
 * Errors:  the peer is gone, no space, shut down, no such capability. What
 *          was written before the error is unknown.
 * Returns: bytes written, at least 1 unless the vector is empty; -1 on error.
 */
ssize_t channel_writev(Channel *c, const struct iovec *iov, unsigned niov,
                       const int *fds, unsigned nfds, GError **error);

/**
 * channel_readv() - read what is there
 * @fds: received descriptors are appended as int and are the caller's; NULL
 *       to have them closed
 * Context: any thread, blocks until there is at least one byte.
 * Errors:  connection reset, shut down, I/O error.
 * Returns: bytes read; 0 at the end of the stream; -1 on error.
 */
ssize_t channel_readv(Channel *c, const struct iovec *iov, unsigned niov,
                      GArray *fds, GError **error);

/**
 * channel_read() - channel_readv() into one buffer
 * Returns: bytes read, 1..@n; 0 at the end of the stream; -1 on error.
 */
ssize_t channel_read(Channel *c, void *buf, size_t n, GError **error);

/**
 * channel_writev_full() - write all of the vector
 * Context, Errors: as channel_writev().
 * Returns: whether everything was written.
 */
bool channel_writev_full(Channel *c, const struct iovec *iov, unsigned niov,
                         GError **error);

/** channel_write_full() - write all @n bytes; else as channel_writev_full() */
bool channel_write_full(Channel *c, const void *buf, size_t n,
                        GError **error);

/**
 * channel_readv_full() - fill the whole vector
 * Context: any thread, blocks.
 * Errors:  as channel_readv(), and an end of the stream before the last byte.
 * Returns: whether the vector was filled.
 */
bool channel_readv_full(Channel *c, const struct iovec *iov, unsigned niov,
                        GError **error);

/** channel_read_full() - read exactly @n bytes; as channel_readv_full() */
bool channel_read_full(Channel *c, void *buf, size_t n, GError **error);

/**
 * channel_peek_full() - look at the next @n bytes without taking them
 * They are kept in the channel and are what the next reads return.
 * Context: the reading thread, blocks.
 * Errors:  as channel_read_full(); what came before the end stays readable.
 */
bool channel_peek_full(Channel *c, void *buf, size_t n, GError **error);

/**
 * channel_pwritev_full() - write all of the vector at @offset
 * The position of writev and readv does not move. Needs CHANNEL_CAP_SEEK.
 * Context: any number of threads at once, as long as ranges do not overlap.
 * Errors:  no space, shut down, no such capability.
 */
bool channel_pwritev_full(Channel *c, const struct iovec *iov, unsigned niov,
                          uint64_t offset, GError **error);

/**
 * channel_preadv() - read what is there at @offset
 * Context, Errors: as channel_pwritev_full().
 * Returns: bytes read; 0 at the end of the file; -1 on error.
 */
ssize_t channel_preadv(Channel *c, const struct iovec *iov, unsigned niov,
                       uint64_t offset, GError **error);

/**
 * channel_preadv_full() - fill the vector from @offset
 * Context, Errors: as channel_pwritev_full(), and an end of the file.
 */
bool channel_preadv_full(Channel *c, const struct iovec *iov, unsigned niov,
                         uint64_t offset, GError **error);

/**
 * channel_shutdown() - make every present and future call fail
 * The peer of a socket sees the end of the stream. Idempotent; allowed on a
 * closed channel.
 * Context: any thread, does not block.
 */
void channel_shutdown(Channel *c);

/** channel_is_shut() - has channel_shutdown() been called */
bool channel_is_shut(Channel *c);

/**
 * channel_close() - give the bytes' other side its end, free the resources
 * For a child process: waits for its exit, which counts as failed unless its
 * status is 0. After channel_shutdown() nothing is waited for long.
 * Idempotent; the channel itself lives until its last channel_unref().
 * Context: the last user of the data; blocks (shutdown interrupts).
 * Errors:  the child's exit status, a late write error. Closed in any case.
 */
bool channel_close(Channel *c, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Channel, channel_unref)

#endif
