/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All monitors of the process, the way of events to them, and the
 * descriptors that clients have named; see include/monitor/monitor.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "monitor/monitor-internal.h"
#include "qapi/qapi-event.h"
#include "util/cutils.h"
#include "util/error.h"

/* One event to all sessions; any thread. */
static void emit_to_all(JsonNode *event, void *opaque)
{
    Monitors *monitors = opaque;

    g_mutex_lock(&monitors->lock);
    for (guint i = 0; i < monitors->qmp->len; i++) {
        qmp_monitor_emit(g_ptr_array_index(monitors->qmp, i), event);
    }
    g_mutex_unlock(&monitors->lock);
}

Monitors *monitors_new(const MonitorConfig *config)
{
    Monitors *monitors = g_new0(Monitors, 1);

    monitors->config = *config;
    g_mutex_init(&monitors->lock);
    monitors->qmp = g_ptr_array_new();
    monitors->hmp = g_ptr_array_new();
    monitors->named_fds = g_hash_table_new_full(g_str_hash, g_str_equal,
                                                g_free, NULL);
    qapi_event_set_emitter(emit_to_all, monitors);
    return monitors;
}

static void close_named_fds(Monitors *monitors)
{
    GHashTableIter iter;
    void *fd;

    g_hash_table_iter_init(&iter, monitors->named_fds);
    while (g_hash_table_iter_next(&iter, NULL, &fd)) {
        close(GPOINTER_TO_INT(fd));
    }
    g_hash_table_destroy(monitors->named_fds);
}

void monitors_free(Monitors *monitors)
{
    if (!monitors) {
        return;
    }
    qapi_event_set_emitter(NULL, NULL);
    for (guint i = 0; i < monitors->qmp->len; i++) {
        qmp_monitor_free(g_ptr_array_index(monitors->qmp, i));
    }
    for (guint i = 0; i < monitors->hmp->len; i++) {
        hmp_monitor_free(g_ptr_array_index(monitors->hmp, i));
    }
    g_ptr_array_free(monitors->qmp, TRUE);
    g_ptr_array_free(monitors->hmp, TRUE);
    close_named_fds(monitors);
    g_mutex_clear(&monitors->lock);
    g_free(monitors);
}

void *qmp_session_app(QmpSession *session)
{
    return session->monitors->config.app;
}

void qmp_session_init(QmpSession *session, Monitors *monitors)
{
    session->monitors = monitors;
    session->fds = g_array_new(FALSE, FALSE, sizeof(int));
    session->negotiated = false;
}

void qmp_session_done(QmpSession *session)
{
    qmp_session_orphan(session);
    qmp_session_close_fds(session);
    g_array_unref(session->fds);
}

void qmp_session_close_fds(QmpSession *session)
{
    for (guint i = 0; i < session->fds->len; i++) {
        close(g_array_index(session->fds, int, i));
    }
    g_array_set_size(session->fds, 0);
}

int qmp_session_take_fd(QmpSession *session, GError **error)
{
    int fd;

    if (!session->fds->len) {
        tm_error_set(error, "No file descriptor supplied via SCM_RIGHTS");
        return -1;
    }
    fd = g_array_index(session->fds, int, 0);
    g_array_remove_index(session->fds, 0);
    return fd;
}

void monitors_name_fd(Monitors *monitors, const char *name, int fd)
{
    int old = monitors_steal_fd(monitors, name);

    if (old >= 0) {
        close(old);
    }
    g_hash_table_insert(monitors->named_fds, g_strdup(name),
                        GINT_TO_POINTER(fd));
}

int monitors_steal_fd(Monitors *monitors, const char *name)
{
    void *fd;

    if (!g_hash_table_lookup_extended(monitors->named_fds, name, NULL, &fd)) {
        return -1;
    }
    g_hash_table_remove(monitors->named_fds, name);
    return GPOINTER_TO_INT(fd);
}

int monitors_take_fd(Monitors *monitors, const char *name, GError **error)
{
    uint64_t number;
    int fd;

    if (g_ascii_isdigit(name[0])) {
        if (!parse_uint64(name, INT_MAX, &number, error)) {
            return -1;
        }
        if (fcntl(number, F_GETFD) < 0) {
            tm_error_set_errno(error, errno, "file descriptor %s", name);
            return -1;
        }
        return number;
    }
    fd = monitors_steal_fd(monitors, name);
    if (fd < 0) {
        tm_error_set(error, "File descriptor named '%s' not found", name);
    }
    return fd;
}

int monitor_take_fd(QmpSession *session, const char *name, GError **error)
{
    return monitors_take_fd(session->monitors, name, error);
}
