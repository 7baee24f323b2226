/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels on descriptors of any kind: inherited ones, which are asked what
 * they are, and those that opening a path gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-file.h"
#include "io/channel-kinds.h"
#include "util/error.h"
#include "util/file-lock.h"

/* How often a file may change its name while we open it. */
#define NAME_TRIES 5

Channel *channel_fd_new(int fd, GError **error)
{
    struct stat st;
    int mode;

    if (fd < 0 || fstat(fd, &st) < 0) {
        tm_error_set(error, "file descriptor %d is not open", fd);
        return NULL;
    }
    if (S_ISSOCK(st.st_mode)) {
        return channel_socket_new(fd);
    }
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) {
        return channel_file_new(fd, -1);
    }
    mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    return channel_pipe_new(mode == O_WRONLY ? -1 : fd,
                            mode == O_RDONLY ? -1 : fd);
}

/*
 * A lock belongs to the open file description, which those who pass us
 * descriptors share with us and maybe with others: we get one of our own where
 * we may. Returns: @fd, or another for it.
 */
static int of_our_own(int fd, int flags, const struct stat *st, bool *ret_own)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    int own = -1;

    if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) {
        own = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    }
    *ret_own = own >= 0;
    if (own < 0) {
        return fd;
    }
    lseek(own, lseek(fd, 0, SEEK_CUR), SEEK_SET);
    close(fd);
    return own;
}

/* A descriptor for @path, or -errno. O_NONBLOCK: opening a FIFO must not wait
 * for its other end. */
static int open_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0660);

    return fd < 0 ? -errno : fd;
}

/* Also of what @fdsets hold; @ret_own: is its description nobody else's? */
static int open_any(const char *path, int flags, FdSets *fdsets,
                    struct stat *ret_st, bool *ret_own)
{
    int64_t set_id;
    bool is_set = fdsets_path_id(path, &set_id);
    int fd = !is_set ? open_path(path, flags) :
        fdsets ? fdsets_open(fdsets, set_id, flags & ~O_CREAT) : -ENOENT;

    if (fd >= 0 && fstat(fd, ret_st) < 0) {
        int err = errno;

        close(fd);
        return -err;
    }
    *ret_own = !is_set;
    return fd >= 0 && is_set ?
        of_our_own(fd, flags & ~O_CREAT, ret_st, ret_own) : fd;
}

/*
 * Writers keep others out, readers keep writers out, until the channel is
 * closed or unlocked. Only among those who ask for it, which we all do; a file
 * system that has no such locks lets everybody in. 0 or -errno.
 */
static int lock_fd(int fd, const struct stat *st, bool writes)
{
    return (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode)) &&
        !file_lock(fd, writes) ? -EWOULDBLOCK : 0;
}

/* Who had the lock before us may have given the file another name, or removed
 * it: what is in it is not ours to cut off then. */
static bool is_still_at(const char *path, const struct stat *st)
{
    struct stat now;

    return !S_ISREG(st->st_mode) ||
        (stat(path, &now) == 0 && now.st_dev == st->st_dev &&
         now.st_ino == st->st_ino);
}

/* Open and lock; -EWOULDBLOCK: somebody else has the lock. */
static int open_and_lock(const char *path, int flags, FdSets *fdsets,
                         struct stat *ret_st, bool *ret_own)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    int64_t set_id;

    for (unsigned tries = NAME_TRIES; tries; tries--) {
        int fd = open_any(path, flags, fdsets, ret_st, ret_own);

        if (fd < 0 || !*ret_own) {
            return fd;
        }
        if (lock_fd(fd, ret_st, writes) < 0) {
            close(fd);
            return -EWOULDBLOCK;
        }
        if (!writes || fdsets_path_id(path, &set_id) ||
            is_still_at(path, ret_st)) {
            return fd;
        }
        close(fd);
    }
    return -ESTALE;
}

/* Makes @fd ready at @offset; 0 or -errno. */
static int prepare_fd(int fd, const struct stat *st, uint64_t offset,
                      bool writes)
{
    if (writes && S_ISREG(st->st_mode) && ftruncate(fd, offset) < 0) {
        return -errno;
    }
    /* What cannot seek (a FIFO, a terminal) can only begin at 0. */
    if (lseek(fd, offset, SEEK_SET) < 0 && (errno != ESPIPE || offset)) {
        return -errno;
    }
    return 0;
}

/* Returns: a descriptor that is locked (if it may be) and at @offset; -1. */
static int open_and_prepare(const char *path, uint64_t offset, int flags,
                            FdSets *fdsets, bool *ret_own, GError **error)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    struct stat st;
    int fd, ret;

    if (offset > INT64_MAX) {
        tm_error_set_errno(error, EFBIG, "cannot go to offset %"
                           G_GUINT64_FORMAT " of '%s'", offset, path);
        return -1;
    }
    fd = open_and_lock(path, flags | (writes ? O_CREAT : 0), fdsets, &st,
                       ret_own);
    if (fd == -EWOULDBLOCK) {
        tm_error_set(error, writes ? "cannot open '%s' for writing: it is in "
                     "use, as a guest's disk, by a guest that was restored "
                     "from it or by a migration" :
                     "cannot open '%s' for reading: it is being written", path);
        return -1;
    }
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for %s%s", path,
                           writes ? "writing" : "reading", fd == -ENXIO ?
                           ", which nobody reads from" : "");
        return -1;
    }
    ret = prepare_fd(fd, &st, offset, writes);
    if (ret < 0) {
        tm_error_set_errno(error, ret, "cannot go to offset %" G_GUINT64_FORMAT
                           " of '%s'", offset, path);
        close(fd);
        return -1;
    }
    return fd;
}

Channel *channel_file_open(const char *path, uint64_t offset, int flags,
                           FdSets *fdsets, GError **error)
{
    g_autofree char *name = g_strdup_printf("file:%s", path);
    bool own = false;
    int fd = open_and_prepare(path, offset, flags, fdsets, &own, error);
    Channel *c = fd < 0 ? NULL : channel_fd_new(fd, error);
    FileChannel *f;

    if (!c) {
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    channel_set_name(c, name);
    f = channel_file_of(c);
    if (f) {
        f->path = g_strdup(path);
        f->locked = own;
    }
    return c;
}

/* @path may lead to another file by now. */
static bool is_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
        x.st_ino == y.st_ino;
}

Channel *channel_file_open_direct(Channel *c, bool writes, FdSets *fdsets,
                                  GError **error)
{
    const char *path = channel_file_path(c);
    int flags = (writes ? O_WRONLY : O_RDONLY) | O_DIRECT;
    struct stat st;
    Channel *direct;
    bool own;
    int fd;

    if (!path) {
        tm_error_set(error, "channel '%s' was not opened by a name",
                     channel_name(c));
        return NULL;
    }
    fd = open_any(path, flags, fdsets, &st, &own);
    if (fd >= 0 && !is_same_file(fd, channel_file_fd(c))) {
        close(fd);
        fd = -ESTALE;
    }
    if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open '%s' for direct I/O%s",
                           path, fd == -EINVAL ? ", which its file system does "
                           "not have" : "");
        return NULL;
    }
    direct = channel_file_new(fd, -1);
    g_free(direct->name);
    direct->name = g_strdup_printf("%s (direct)", channel_name(c));
    return direct;
}
