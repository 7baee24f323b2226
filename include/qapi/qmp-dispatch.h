/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request of QMP to one response, without any socket.
 */
#ifndef QAPI_QMP_DISPATCH_H
#define QAPI_QMP_DISPATCH_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "qapi/qmp-command.h"

/**
 * qmp_find_command() - look a command up
 * @commands: a generated table
 * Context: any thread.
 * Returns: its row, NULL if there is none of that name.
 */
const QmpCommand *qmp_find_command(const QmpCommand *commands,
                                   const char *name);

/**
 * qmp_dispatch() - check a request, run its command, make the response
 * @commands:   a generated table
 * @session:    handed to the handler
 * @negotiated: whether qmp_capabilities has been through: before it only that
 *              command is known, afterwards only the others are
 * @request:    any JSON value; NULL when the text was no JSON
 * @failure:    why @request is NULL; not freed
 * The response carries the request's id, whatever its type, if it had one.
 * Context: main thread.
 * Returns: the response, the caller's; NULL if the command sends none.
 */
JsonNode *qmp_dispatch(const QmpCommand *commands, QmpSession *session,
                       bool negotiated, JsonNode *request,
                       const GError *failure);

/**
 * qmp_error_response() - what answers a request that has failed
 * @like: an object whose id is taken, the request or another response
 * Context: any thread.
 * Returns: the response, the caller's.
 */
JsonNode *qmp_error_response(const GError *error, JsonNode *like);

#endif
