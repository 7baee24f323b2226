/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events on their way to the monitors.
 *
 * Every room may announce an event by a generated qapi_event_send_NAME();
 * whoever carries events to clients registers one emitter. Without one,
 * events go nowhere.
 */
#ifndef QAPI_QAPI_EVENT_H
#define QAPI_QAPI_EVENT_H

#include <glib.h>
#include <json-glib/json-glib.h>

/**
 * QapiEmitter - takes one complete event
 * @event:  the object with event, data and timestamp; not the emitter's own
 * @opaque: as registered
 * Context: the thread that sent the event, any; must not block.
 */
typedef void QapiEmitter(JsonNode *event, void *opaque);

/**
 * qapi_event_set_emitter() - choose where events go
 * @emitter: called for each event from now on; NULL: none
 * @opaque:  handed to it
 * Context: main thread. A send in another thread has left the old emitter
 *          when this returns.
 */
void qapi_event_set_emitter(QapiEmitter *emitter, void *opaque);

/**
 * qapi_event_send() - stamp an event with the time and emit it
 * @name: its name on the wire;  @data: its data, taken over; NULL: none
 * Called by the generated functions only.
 * Context: any thread.
 */
void qapi_event_send(const char *name, JsonNode *data);

#endif
