/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that takes the place of another when it is whole, and not before: it
 * is called NAME.part until then.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-file.h"
#include "io/channel-kinds.h"
#include "util/error.h"
#include "util/file-lock.h"

/*
 * Where a new file is to lie at last, or NULL: what is there is no file, or a
 * link to what is not there, and is written to as it is. The name itself is
 * looked at first: somebody may give it to a file of his while we look.
 */
static char *final_name(const char *path, struct stat *ret_old, bool *ret_is)
{
    char *final;
    int64_t set_id;

    *ret_is = false;
    if (fdsets_path_id(path, &set_id)) {
        return NULL;
    }
    if (lstat(path, ret_old) < 0) {
        return errno == ENOENT ? strdup(path) : NULL;
    }
    if (S_ISLNK(ret_old->st_mode) && stat(path, ret_old) < 0) {
        return NULL;
    }
    if (!S_ISREG(ret_old->st_mode)) {
        return NULL;
    }
    *ret_is = true;
    final = realpath(path, NULL);
    return final ? final : strdup(path); /* it has gone meanwhile */
}

/* Whoever uses the old one, as a disk maybe, wants to find it again. */
static bool is_in_use(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool used = fd >= 0 && !file_lock(fd, true);

    if (fd >= 0) {
        close(fd);
    }
    return used;
}

/* What of that is not allowed is left: it is a file of ours, then. */
static void look_like(int fd, const struct stat *old)
{
    if (fchown(fd, old->st_uid, old->st_gid) == 0) {
        fchmod(fd, old->st_mode & 0777);
    }
}

/* Is a part that is there one that was not finished? Such a one is empty or
 * begins with zeros; what else is called so is somebody's. */
static bool may_be_overwritten(const char *part, GError **error)
{
    static const uint8_t zeros[8];
    uint8_t head[8];
    struct stat st;
    int fd = open(part, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    ssize_t n = -1;
    bool ok;

    if (fd < 0 && errno == ENOENT) {
        return true;
    }
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        n = pread(fd, head, sizeof(head), 0);
    }
    ok = n == 0 || (n == sizeof(head) && !memcmp(head, zeros, sizeof(zeros)));
    if (fd >= 0) {
        close(fd);
    }
    if (!ok) {
        tm_error_set(error, "'%s' is in the way: it is no file that was begun "
                     "and not finished", part);
    }
    return ok;
}

Channel *channel_file_open_new(const char *path, FdSets *fdsets, GError **error)
{
    struct stat old;
    bool is_old;
    char *final = final_name(path, &old, &is_old); /* of malloc() */
    g_autofree char *part = final ? g_strconcat(final, ".part", NULL) : NULL;
    g_autofree char *name = g_strconcat("file:", path, NULL);
    Channel *c = NULL;
    FileChannel *f;

    if (is_old && final && is_in_use(final)) {
        tm_error_set(error, "cannot replace '%s': it is in use, as a guest's "
                     "disk, by a guest that was restored from it or by a "
                     "migration", path);
    } else if (!part) {
        c = channel_file_open(path, 0, O_WRONLY, fdsets, error);
    } else if (may_be_overwritten(part, error)) {
        c = channel_file_open(part, 0, O_WRONLY | O_NOFOLLOW, NULL, error);
    }
    f = c && final ? channel_file_of(c) : NULL;
    if (f) {
        f->final = g_strdup(final);
        channel_set_name(c, name);
        if (is_old) {
            look_like(f->fdc.write_fd, &old);
        }
    }
    free(final);
    return c;
}
