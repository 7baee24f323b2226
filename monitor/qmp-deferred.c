/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands that are answered after their handler has returned, because their
 * work is done by another thread. One at most per session, so answers keep
 * the order of the requests.
 *
 * What waits belongs to whoever works on it. A client that goes away cuts the
 * tie to its session, and the answer then goes nowhere.
 */
#include "monitor/monitor-internal.h"
#include "qapi/qmp-dispatch.h"

struct QmpDeferred {
    QmpSession *session;    /* NULL: nobody waits any more */
    JsonNode *response;     /* for the case of success; has the id */
    Hmp *text;              /* of human-monitor-command, owned; or NULL */
};

QmpDeferred *qmp_session_defer(QmpSession *session)
{
    QmpDeferred *d = g_new0(QmpDeferred, 1);

    g_assert(!session->deferred); /* a handler defers once */
    d->session = session;
    session->deferred = d;
    if (session->hmp) {
        hmp_suspend(session->hmp);
    }
    return d;
}

void qmp_deferred_response(QmpDeferred *d, JsonNode *response)
{
    d->response = response;
}

void qmp_deferred_text(QmpDeferred *d, Hmp *hmp)
{
    d->text = hmp;
}

void qmp_session_orphan(QmpSession *session)
{
    if (session->deferred) {
        session->deferred->session = NULL;
        session->deferred = NULL;
        if (session->hmp) {
            session->hmp->suspended = false; /* nobody will resume it */
        }
    }
}

/* What was printed becomes the value of human-monitor-command. */
static JsonNode *text_response(QmpDeferred *d, const GError *error)
{
    JsonObject *object = json_node_get_object(d->response);

    hmp_report(d->text, error);
    json_object_set_string_member(object, "return", d->text->out->str);
    return json_node_ref(d->response);
}

static void answer_program(QmpDeferred *d, QmpMonitor *monitor,
                           const GError *error)
{
    g_autoptr(JsonNode) response = NULL;

    if (d->text) {
        response = text_response(d, error);
    } else if (error) {
        response = qmp_error_response(error, d->response);
    } else {
        response = json_node_ref(d->response);
    }
    qmp_monitor_answer(monitor, response);
}

static void deferred_free(QmpDeferred *d)
{
    if (d->text) {
        g_string_free(d->text->out, TRUE);
        g_free(d->text);
    }
    g_clear_pointer(&d->response, json_node_unref);
    g_free(d);
}

void qmp_deferred_end(QmpDeferred *d, const GError *error)
{
    QmpSession *session = d->session;

    if (session) {
        session->deferred = NULL;
        if (session->hmp) {
            hmp_report(session->hmp, error);
            hmp_resume(session->hmp);
        } else if (session->qmp) {
            answer_program(d, session->qmp, error);
        }
    }
    deferred_free(d);
}
