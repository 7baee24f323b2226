/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about descriptors that clients pass in: by name (getfd) and in
 * sets (add-fd).
 */
#include <unistd.h>

#include "monitor/monitor-internal.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

bool qmp_getfd(QmpSession *session, const char *fdname, GError **error)
{
    int fd = qmp_session_take_fd(session, error);

    if (fd < 0) {
        return false;
    }
    if (!fdname[0] || g_ascii_isdigit(fdname[0])) {
        close(fd);
        tm_error_set(error, "Parameter 'fdname' expects a name not starting "
                     "with a digit");
        return false;
    }
    monitors_name_fd(session->monitors, fdname, fd);
    return true;
}

bool qmp_closefd(QmpSession *session, const char *fdname, GError **error)
{
    int fd = monitors_steal_fd(session->monitors, fdname);

    if (fd < 0) {
        tm_error_set(error, "File descriptor named '%s' not found", fdname);
        return false;
    }
    close(fd);
    return true;
}

AddfdInfo *qmp_add_fd(QmpSession *session, bool has_fdset_id,
                      int64_t fdset_id, const char *opaque, GError **error)
{
    int fd = qmp_session_take_fd(session, error);
    AddfdInfo *info;
    int64_t id;

    if (fd < 0) {
        return NULL;
    }
    if (!fdsets_add(session->monitors->config.fdsets, fd,
                    has_fdset_id ? &fdset_id : NULL, opaque, &id, error)) {
        close(fd);
        return NULL;
    }
    info = g_new0(AddfdInfo, 1);
    info->fdset_id = id;
    info->fd = fd;
    return info;
}

bool qmp_remove_fd(QmpSession *session, int64_t fdset_id, bool has_fd,
                   int64_t fd, GError **error)
{
    int narrow = fd;

    if (has_fd && narrow != fd) {
        tm_error_set(error, "File descriptor named 'fdset-id:%" G_GINT64_FORMAT
                     ", fd:%" G_GINT64_FORMAT "' not found", fdset_id, fd);
        return false;
    }
    return fdsets_remove(session->monitors->config.fdsets, fdset_id,
                         has_fd ? &narrow : NULL, error);
}

typedef struct FdsetWalk {
    FdsetInfoList *list, **tail;
    FdsetInfo *set;            /* the last one */
    FdsetFdInfoList **fd_tail; /* in it */
} FdsetWalk;

static void add_member(const FdSetMember *member, void *user)
{
    FdsetWalk *walk = user;
    FdsetFdInfo *fd = g_new0(FdsetFdInfo, 1);

    if (!walk->set || walk->set->fdset_id != member->set_id) {
        walk->set = g_new0(FdsetInfo, 1);
        walk->set->fdset_id = member->set_id;
        walk->fd_tail = &walk->set->fds;
        QAPI_LIST_APPEND(walk->tail, walk->set);
    }
    fd->fd = member->fd;
    fd->opaque = g_strdup(member->opaque);
    QAPI_LIST_APPEND(walk->fd_tail, fd);
}

FdsetInfoList *qmp_query_fdsets(QmpSession *session, GError **error)
{
    FdsetWalk walk = { 0 };

    walk.tail = &walk.list;
    fdsets_foreach(session->monitors->config.fdsets, add_member, &walk);
    return walk.list;
}
