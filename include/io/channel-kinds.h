/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of channel and how to make each; io/channel.h says how to use
 * them. Whoever has an address uses io/connect.h or io/listener.h instead.
 */
#ifndef IO_CHANNEL_KINDS_H
#define IO_CHANNEL_KINDS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "util/fdset.h"

/**
 * channel_socket_new() - a connected stream socket
 * @fd: owned by the channel from now on
 * Capability fds if it is a UNIX socket.
 */
Channel *channel_socket_new(int fd);

/**
 * channel_fd_new() - any open descriptor: socket, pipe, file or device
 * @fd: owned by the channel from a successful call on; which kind it is, is
 *      found out here. A file is used from its present position on
 * Errors:  @fd is not open.
 */
Channel *channel_fd_new(int fd, GError **error);

/**
 * channel_pipe_new() - the ends of two pipes, or of one
 * @read_fd:  owned by the channel; -1: reading fails
 * @write_fd: owned by the channel; -1: writing fails
 * Both are made non-blocking, for all who share their descriptions.
 */
Channel *channel_pipe_new(int read_fd, int write_fd);

/**
 * channel_file_new() - an open regular file or block device
 * @fd:     owned by the channel
 * @offset: where writev and readv begin; -1: the descriptor's own position
 * Capability seek; offsets of pwritev and preadv count from the file's start.
 */
Channel *channel_file_new(int fd, int64_t offset);

/**
 * channel_file_open() - open a file by path
 * @path:   "/dev/fdset/N" opens a member of @fdsets that fits
 * @offset: where the channel's data begins. For writing the file is created
 *          if needed and cut at @offset: what stands before it is kept
 * @flags:  O_RDONLY, O_WRONLY or O_RDWR, with O_DIRECT if wanted
 * @fdsets: may be NULL
 * A regular file or block device is locked (flock) until the channel is closed:
 * for itself by a writer, against writers by readers. Programs that do not ask
 * are not kept out. What comes from an fd set is opened once more for that,
 * and is not locked where that is not allowed.
 * Errors:  cannot open; somebody else has locked it; no such fd set (no member
 *          that fits); cannot cut.
 */
Channel *channel_file_open(const char *path, uint64_t offset, int flags,
                           FdSets *fdsets, GError **error);

/**
 * channel_file_open_new() - write a file that replaces another when it is whole
 * A regular file, or a name that nothing has, is written as PATH.part next to
 * it, with the owner and the mode of the old one if that is allowed, until
 * channel_file_name(); closed before that, it is removed. Links are followed,
 * but not one that is called PATH.part; only what was begun and not finished
 * may be called so.
 * What else @path may be (a device, a pipe, an fd set) is opened as it is.
 * Errors:  as channel_file_open(); the old file is in use; PATH.part is.
 */
Channel *channel_file_open_new(const char *path, FdSets *fdsets,
                               GError **error);

/**
 * channel_file_name() - give a file of channel_file_open_new() its name, also
 *                       on the medium
 * Of other channels: nothing. After channel_file_sync().
 * Context: any thread; blocks as long as the medium takes.
 * Errors:  the file cannot be renamed: it stays, called PATH.part. Or it has
 *          its name and that may not be on the medium.
 */
bool channel_file_name(Channel *c, GError **error);

/**
 * channel_file_fd() - the descriptor of a regular file or block device, for
 *                     what channels cannot do
 * Returns: it stays the channel's; -1 if the channel is on something else.
 */
int channel_file_fd(const Channel *c);

/**
 * channel_file_size() - how many bytes there are
 * Context: any thread.
 * Errors:  no regular file or block device.
 */
bool channel_file_size(Channel *c, uint64_t *ret_bytes, GError **error);

/** channel_file_unlock() - let others have the file that was opened by its
 *  name; other channels: nothing. Context: any thread. */
void channel_file_unlock(Channel *c);

/**
 * channel_file_sync() - have all that was written on the medium
 * The first time its name, too. A channel on something that keeps nothing has
 * nothing to do.
 * Context: any thread; blocks as long as the medium takes. A shutdown ends it
 *          after some MiB.
 * Errors:  what could not be written, now or earlier; shut down.
 */
bool channel_file_sync(Channel *c, GError **error);

/**
 * channel_file_punch() - give back the room of @n bytes at @offset, which read
 *                        as zeros then
 * Context: any thread, beside others' transfers elsewhere in the file.
 * Returns: false if that cannot be done to this file; nothing has changed.
 */
bool channel_file_punch(Channel *c, uint64_t offset, uint64_t n);

/**
 * channel_file_open_direct() - the file of @c once more, past the page cache
 * Of the result pwritev and preadv are used; memory and offsets have to be
 * multiples of the medium's blocks. The file is not cut.
 * @fdsets: as @c was opened with; the set needs a member with O_DIRECT
 * Context: as channel_file_open().
 * Errors:  @c was not opened by a name, or there is another file now; the file
 *          system has no direct I/O; no such member.
 */
Channel *channel_file_open_direct(Channel *c, bool writes, FdSets *fdsets,
                                  GError **error);

/**
 * channel_exec_new() - a child process: written to its standard input, read
 *                      from its standard output
 * @argv:  program (looked up in PATH) and arguments, NULL-terminated
 * @flags: O_WRONLY: its input is ours and its output is discarded; O_RDONLY:
 *         its output is ours and its input empty; O_RDWR: both are ours
 * The child has a process group of its own, default signal dispositions, our
 * standard error and none of our other descriptors. channel_close() waits for
 * it and reports how it ended, unless reading stopped before the end of its
 * output; after a shutdown it is told to end (SIGTERM, SIGKILL a second
 * later).
 * Errors:  the program cannot be started.
 */
Channel *channel_exec_new(const char *const *argv, int flags, GError **error);

/**
 * channel_buffer_new() - memory: writev appends, readv takes from the front
 * @data: first @n bytes of its content, copied; may be NULL
 * Capability seek. Never blocks: an empty buffer reads as the end.
 */
Channel *channel_buffer_new(const void *data, size_t n);

/**
 * channel_buffer_data() - all bytes written so far, those read included
 * Context: nobody is writing.
 * Returns: memory of the channel, good until the next write.
 */
const uint8_t *channel_buffer_data(Channel *c, size_t *ret_n);

/**
 * channel_null_new() - takes everything, has nothing to read
 * Capability seek.
 */
Channel *channel_null_new(void);

/**
 * channel_null_bytes() - how many bytes were written to a null channel
 * Context: any thread.
 */
uint64_t channel_null_bytes(Channel *c);

/* Misbehaviour on purpose; positions are bytes of one direction. */
typedef struct ChannelFaults {
    uint64_t fail_write_at;  /* first byte that cannot be written */
    uint64_t fail_read_at;   /* first byte that cannot be read */
    uint64_t stall_write_at; /* block there until shut down */
    uint64_t stall_read_at;
    size_t max_io;           /* no call moves more than this many bytes */
} ChannelFaults;

/* No fault at all; change the fields that are wanted. */
#define CHANNEL_FAULTS_NONE                                                    \
    ((ChannelFaults){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, SIZE_MAX})

/**
 * channel_fault_new() - a channel in front of another that misbehaves
 * @inner: a reference of its own is taken; closed and shut down with it
 * Positioned writes and reads (if @inner has them) count like the others.
 */
Channel *channel_fault_new(Channel *inner, const ChannelFaults *faults);

#endif
