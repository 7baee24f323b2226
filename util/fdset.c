/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of passed file descriptors; see include/util/fdset.h.
 *
 * One flat array of members sorted by set id: a set is the run of members
 * with its id, so a set without members cannot exist. The lock is held for a
 * walk of the array and a dup, never across anything that blocks.
 */
#include "util/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/compiler.h"
#include "util/error.h"

#define FDSET_PREFIX "/dev/fdset/"

typedef struct Member {
    int64_t set_id;
    int fd;
    char *opaque;
} Member;

struct FdSets {
    GMutex lock;
    GArray *members; /* of Member; protected by lock */
};

static void member_clear(gpointer opaque)
{
    Member *member = opaque;

    close(member->fd);
    g_free(member->opaque);
}

FdSets *fdsets_new(void)
{
    FdSets *sets = g_new0(FdSets, 1);

    g_mutex_init(&sets->lock);
    sets->members = g_array_new(FALSE, FALSE, sizeof(Member));
    g_array_set_clear_func(sets->members, member_clear);
    return sets;
}

void fdsets_free(FdSets *sets)
{
    if (sets) {
        g_array_unref(sets->members);
        g_mutex_clear(&sets->lock);
        g_free(sets);
    }
}

/* Lowest id that no member has: members are sorted by it. */
static int64_t free_id_locked(FdSets *sets) TSA_REQUIRES(sets->lock);
static int64_t free_id_locked(FdSets *sets)
{
    int64_t id = 0;

    for (unsigned i = 0; i < sets->members->len; i++) {
        int64_t has = g_array_index(sets->members, Member, i).set_id;

        if (has > id) {
            break;
        }
        id += has == id;
    }
    return id;
}

bool fdsets_add(FdSets *sets, int fd, const int64_t *set_id,
                const char *opaque, int64_t *ret_set_id, GError **error)
{
    Member member = {.fd = fd};
    unsigned at = 0;

    if (set_id && *set_id < 0) {
        tm_error_set(error, "Parameter 'fdset-id' expects a non-negative "
                     "value");
        return false;
    }
    member.opaque = g_strdup(opaque);
    g_mutex_lock(&sets->lock);
    member.set_id = set_id ? *set_id : free_id_locked(sets);
    while (at < sets->members->len &&
           g_array_index(sets->members, Member, at).set_id <= member.set_id) {
        at++;
    }
    g_array_insert_val(sets->members, at, member);
    g_mutex_unlock(&sets->lock);
    if (ret_set_id) {
        *ret_set_id = member.set_id;
    }
    return true;
}

bool fdsets_remove(FdSets *sets, int64_t set_id, const int *fd,
                   GError **error)
{
    unsigned removed = 0;

    g_mutex_lock(&sets->lock);
    for (unsigned i = sets->members->len; i-- > 0;) {
        Member *member = &g_array_index(sets->members, Member, i);

        if (member->set_id == set_id && (!fd || member->fd == *fd)) {
            g_array_remove_index(sets->members, i);
            removed++;
        }
    }
    g_mutex_unlock(&sets->lock);
    if (removed) {
        return true;
    }
    if (fd) {
        tm_error_set(error, "File descriptor named 'fdset-id:%"
                     G_GINT64_FORMAT ", fd:%d' not found", set_id, *fd);
    } else {
        tm_error_set(error, "File descriptor named 'fdset-id:%"
                     G_GINT64_FORMAT "' not found", set_id);
    }
    return false;
}

void fdsets_foreach(FdSets *sets, FdSetsVisitFn *visit, void *user)
{
    g_mutex_lock(&sets->lock);
    for (unsigned i = 0; i < sets->members->len; i++) {
        Member *member = &g_array_index(sets->members, Member, i);

        visit(&(FdSetMember){.set_id = member->set_id, .fd = member->fd,
                             .opaque = member->opaque}, user);
    }
    g_mutex_unlock(&sets->lock);
}

bool fdsets_path_id(const char *path, int64_t *ret_set_id)
{
    char *end;
    int64_t id;

    if (!g_str_has_prefix(path, FDSET_PREFIX)) {
        return false;
    }
    path += strlen(FDSET_PREFIX);
    errno = 0;
    id = g_ascii_strtoll(path, &end, 10);
    if (errno || !g_ascii_isdigit(*path) || *end) {
        return false;
    }
    *ret_set_id = id;
    return true;
}

int fdsets_open(FdSets *sets, int64_t set_id, int flags)
{
    const int compared = O_ACCMODE | O_DIRECT;
    int ret = -ENOENT;

    g_mutex_lock(&sets->lock);
    for (unsigned i = 0; i < sets->members->len && ret < 0; i++) {
        Member *member = &g_array_index(sets->members, Member, i);
        int has = member->set_id == set_id ? fcntl(member->fd, F_GETFL) : -1;

        if (member->set_id != set_id) {
            continue;
        }
        ret = -EACCES;
        if (has >= 0 && (has & compared) == (flags & compared)) {
            ret = fcntl(member->fd, F_DUPFD_CLOEXEC, 0);
            ret = ret < 0 ? -errno : ret;
        }
    }
    g_mutex_unlock(&sets->lock);
    return ret;
}
