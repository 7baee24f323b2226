/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one emitter of events; see include/qapi/qapi-event.h. The lock is held
 * while the emitter runs, so events leave in one order and an emitter that
 * was replaced is not called any more.
 */
#include "qapi/qapi-event.h"

static struct {
    GRecMutex lock;      /* outside the monitors' locks */
    QapiEmitter *emitter;
    void *opaque;
} sink;

void qapi_event_set_emitter(QapiEmitter *emitter, void *opaque)
{
    g_rec_mutex_lock(&sink.lock);
    sink.emitter = emitter;
    sink.opaque = opaque;
    g_rec_mutex_unlock(&sink.lock);
}

static JsonNode *timestamp_now(void)
{
    int64_t now_us = g_get_real_time();
    JsonObject *stamp = json_object_new();
    JsonNode *node = json_node_alloc();

    json_object_set_int_member(stamp, "seconds", now_us / G_USEC_PER_SEC);
    json_object_set_int_member(stamp, "microseconds",
                               now_us % G_USEC_PER_SEC);
    json_node_init_object(node, stamp);
    json_object_unref(stamp);
    return node;
}

void qapi_event_send(const char *name, JsonNode *data)
{
    g_autoptr(JsonObject) event = json_object_new();
    g_autoptr(JsonNode) node = json_node_alloc();

    g_rec_mutex_lock(&sink.lock);
    json_object_set_member(event, "timestamp", timestamp_now());
    json_object_set_string_member(event, "event", name);
    if (data) {
        json_object_set_member(event, "data", data);
    }
    json_node_init_object(node, event);
    if (sink.emitter) {
        sink.emitter(node, sink.opaque);
    }
    g_rec_mutex_unlock(&sink.lock);
}
