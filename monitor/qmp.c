/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session on a chardev.
 *
 * Bytes are cut into requests, requests run one after the other. While output
 * waits for the client, no request runs and no byte is read, so a client that
 * does not read its replies only holds up itself. Events go past that, from
 * any thread, as long as the backlog is small.
 */
#include <string.h>
#include <unistd.h>

#include "monitor/monitor-internal.h"
#include "qapi/json-text.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "qapi/qmp-dispatch.h"
#include "trace/monitor.h"
#include "util/error.h"

/* A request as it came, or what was wrong with the bytes. */
typedef struct QmpItem {
    char *text;
    GError *error;
} QmpItem;

static void item_free(QmpItem *item)
{
    g_free(item->text);
    g_clear_error(&item->error);
    g_free(item);
}

/* A reply is never cut, an event is all or nothing. */
static void send_node(QmpMonitor *m, JsonNode *node)
{
    g_autofree char *text = m->pretty ? json_text_to_pretty(node)
                                      : json_text_to_string(node);
    g_autofree char *line = g_strconcat(text, "\r\n", NULL);

    chardev_write(m->chr, line, strlen(line));
}

void qmp_monitor_emit(QmpMonitor *m, JsonNode *event)
{
    if (!m->session.negotiated) {
        return;
    }
    if (chardev_pending(m->chr) > MONITOR_EVENT_BACKLOG) {
        m->dropped++;
        trace_monitor_event_drop(chardev_id(m->chr), m->dropped);
        return;
    }
    send_node(m, event);
}

static void set_negotiated(QmpSession *session, bool negotiated)
{
    g_mutex_lock(&session->monitors->lock);
    session->negotiated = negotiated;
    g_mutex_unlock(&session->monitors->lock);
}

bool qmp_qmp_capabilities(QmpSession *session, bool has_enable,
                          QMPCapabilityList *enable, GError **error)
{
    if (enable) {
        tm_error_set(error, "capability '%s' is not on offer",
                     QMPCapability_str(enable->value));
        return false;
    }
    set_negotiated(session, true);
    return true;
}

static void dispatch_item(QmpMonitor *m, QmpItem *item)
{
    g_autoptr(JsonNode) request = NULL;
    g_autoptr(JsonNode) response = NULL;

    trace_monitor_qmp_request(chardev_id(m->chr), item->text ?: "(error)");
    if (item->text) {
        request = json_text_parse(item->text, strlen(item->text),
                                  &item->error);
    }
    response = qmp_dispatch(m->session.monitors->config.qmp_commands,
                            &m->session, m->session.negotiated, request,
                            item->error);
    if (m->session.deferred) {
        qmp_deferred_response(m->session.deferred,
                              g_steal_pointer(&response));
    } else if (response) {
        send_node(m, response);
    }
}

static bool is_busy(QmpMonitor *m)
{
    return m->session.deferred || chardev_pending(m->chr);
}

/* Run what is queued while the client keeps up. */
static void run_requests(QmpMonitor *m)
{
    if (m->running) {
        return;
    }
    m->running = true;
    while (!g_queue_is_empty(&m->requests) && !is_busy(m)) {
        QmpItem *item = g_queue_pop_head(&m->requests);

        dispatch_item(m, item);
        item_free(item);
    }
    m->running = false;
    if (g_queue_is_empty(&m->requests) && !m->splitter.text->len) {
        /* no request is left that these could belong to */
        qmp_session_close_fds(&m->session);
    }
}

static size_t on_can_read(void *opaque)
{
    QmpMonitor *m = opaque;

    if (!g_queue_is_empty(&m->requests) || is_busy(m)) {
        return 0;
    }
    return MONITOR_READ_CHUNK;
}

static void take_fds(QmpMonitor *m)
{
    g_autoptr(GArray) fds = chardev_take_fds(m->chr);

    for (guint i = 0; fds && i < fds->len; i++) {
        if (m->session.fds->len < MONITOR_MAX_FDS) {
            g_array_append_val(m->session.fds, g_array_index(fds, int, i));
        } else {
            close(g_array_index(fds, int, i));
        }
    }
}

static void on_read(void *opaque, const uint8_t *buf, size_t n)
{
    QmpMonitor *m = opaque;

    take_fds(m);
    while (n) {
        g_autofree char *text = NULL;
        GError *error = NULL;
        size_t used = qmp_splitter_feed(&m->splitter, (const char *)buf, n,
                                        &text, &error);

        if (text || error) {
            QmpItem *item = g_new0(QmpItem, 1);

            item->text = g_steal_pointer(&text);
            item->error = error;
            g_queue_push_tail(&m->requests, item);
        }
        buf += used;
        n -= used;
    }
    run_requests(m);
}

static void go_on(QmpMonitor *m)
{
    run_requests(m);
    if (on_can_read(m)) {
        chardev_accept_input(m->chr);
    }
}

static void on_drained(void *opaque)
{
    go_on(opaque);
}

void qmp_monitor_answer(QmpMonitor *m, JsonNode *response)
{
    send_node(m, response);
    go_on(m);
}

static JsonNode *greeting(QmpMonitor *m)
{
    g_autoptr(VersionInfo) version = qmp_query_version(&m->session, NULL);
    g_autoptr(JsonObject) outer = json_object_new();
    JsonObject *inner = json_object_new();

    json_object_set_member(inner, "version",
                           qapi_VersionInfo_to_json(version));
    json_object_set_array_member(inner, "capabilities", json_array_new());
    json_object_set_object_member(outer, "QMP", inner);
    return json_node_init_object(json_node_alloc(), outer);
}

/* Forget all of the client that was there. */
static void forget_client(QmpMonitor *m)
{
    set_negotiated(&m->session, false);
    qmp_session_orphan(&m->session);
    g_queue_clear_full(&m->requests, (GDestroyNotify)item_free);
    qmp_splitter_reset(&m->splitter);
    qmp_session_close_fds(&m->session);
}

static void on_event(void *opaque, ChardevEvent event)
{
    QmpMonitor *m = opaque;
    g_autoptr(JsonNode) hello = NULL;

    forget_client(m);
    if (event == CHARDEV_OPENED) {
        hello = greeting(m);
        send_node(m, hello);
    }
}

bool monitor_add_qmp(Monitors *monitors, Chardev *chr, bool pretty,
                     GError **error)
{
    static const ChardevFrontend frontend = {
        .can_read = on_can_read,
        .read = on_read,
        .event = on_event,
        .drained = on_drained,
    };
    QmpMonitor *m = g_new0(QmpMonitor, 1);

    m->chr = chr;
    m->pretty = pretty;
    qmp_session_init(&m->session, monitors);
    m->session.qmp = m;
    qmp_splitter_init(&m->splitter);
    g_queue_init(&m->requests);
    chardev_set_bound(chr, MONITOR_OUTPUT_BOUND);
    if (!chardev_attach(chr, &frontend, m, error)) {
        m->chr = NULL;
        qmp_monitor_free(m);
        return false;
    }
    g_mutex_lock(&monitors->lock);
    g_ptr_array_add(monitors->qmp, m);
    g_mutex_unlock(&monitors->lock);
    return true;
}

void qmp_monitor_free(QmpMonitor *m)
{
    if (m->chr) {
        chardev_detach(m->chr);
    }
    forget_client(m);
    qmp_splitter_done(&m->splitter);
    qmp_session_done(&m->session);
    g_free(m);
}
