/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One row of the command table, and what a handler may ask its session.
 *
 * A handler is called in the main thread as
 *     ret qmp_NAME(QmpSession *session, arguments..., GError **error)
 * A command that returns nothing has a bool handler; true is success. Any
 * other handler has failed if and only if it has set @error, so that an
 * empty list (NULL) can be returned. What is returned belongs to the caller,
 * the arguments do not belong to the handler.
 */
#ifndef QAPI_QMP_COMMAND_H
#define QAPI_QMP_COMMAND_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* The conversation a command came by; see monitor/qmp.h. */
typedef struct QmpSession QmpSession;

typedef enum QmpCommandFlags {
    QMP_COMMAND_ALLOW_OOB = 1 << 0,
    QMP_COMMAND_ALLOW_PRECONFIG = 1 << 1,
    QMP_COMMAND_NO_SUCCESS_RESPONSE = 1 << 2,
} QmpCommandFlags;

typedef struct QmpCommand {
    const char *name;
    bool (*marshal)(QmpSession *session, JsonObject *args,
                    JsonNode **ret_value, GError **error);
    unsigned flags;            /* QmpCommandFlags */
} QmpCommand;

/**
 * qmp_session_app() - the composition root's own context
 * @session: the session of the command being handled
 * Context: main thread.
 * Returns: what was given when the monitors were set up; handlers cast it.
 */
void *qmp_session_app(QmpSession *session);

/* The answer to a command, which comes later. */
typedef struct QmpDeferred QmpDeferred;

/**
 * qmp_session_defer() - the command being handled will be answered later
 * The handler has to succeed then, without a value. Its session takes no
 * further request until qmp_deferred_end(); others do. A monitor for people
 * has no prompt meanwhile.
 * Context: main thread, inside a handler, once.
 * Returns: to be ended once, even if the client has gone by then.
 */
QmpDeferred *qmp_session_defer(QmpSession *session);

/**
 * qmp_deferred_end() - answer after all, and take further requests
 * @error: not freed; NULL: it succeeded, with nothing to tell
 * Context: main thread, not inside the handler. Nobody there any more:
 *          nothing is sent.
 */
void qmp_deferred_end(QmpDeferred *deferred, const GError *error);

/**
 * qmp_command_no_args() - check the arguments of a command that takes none
 * @args: what came, may be NULL
 * Context: any thread.
 * Errors:  GenericError "Parameter 'x' is unexpected".
 */
bool qmp_command_no_args(JsonObject *args, GError **error);

#endif
