/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From request to response; see include/qapi/qmp-dispatch.h. All that is
 * wrong with a request becomes an error response here, once.
 */
#include "qapi/qmp-dispatch.h"

#include <string.h>

#include "qapi/json-text.h"
#include "util/error.h"

/* A request after its form has been checked; nothing here is owned. */
typedef struct QmpRequest {
    const char *execute;
    JsonObject *arguments;     /* NULL: none */
} QmpRequest;

const QmpCommand *qmp_find_command(const QmpCommand *commands,
                                   const char *name)
{
    for (; commands->name; commands++) {
        if (!strcmp(commands->name, name)) {
            return commands;
        }
    }
    return NULL;
}

static bool fail_not_found(GError **error, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

static bool fail_not_found(GError **error, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(error, TM_ERROR, TM_ERROR_COMMAND_NOT_FOUND, text);
    return false;
}

/* One member of the request. */
static bool read_member(const char *name, JsonNode *value, QmpRequest *out,
                        GError **error)
{
    if (!strcmp(name, "id")) {
        return true;
    }
    if (!strcmp(name, "execute")) {
        if (!json_text_is_string(value)) {
            tm_error_set(error, "QMP input member 'execute' must be a string");
            return false;
        }
        out->execute = json_node_get_string(value);
        return true;
    }
    if (!strcmp(name, "arguments")) {
        if (!JSON_NODE_HOLDS_OBJECT(value)) {
            tm_error_set(error,
                         "QMP input member 'arguments' must be an object");
            return false;
        }
        out->arguments = json_node_get_object(value);
        return true;
    }
    tm_error_set(error, "QMP input member '%s' is unexpected", name);
    return false;
}

static bool read_request(JsonNode *request, QmpRequest *out, GError **error)
{
    g_autoptr(GList) names = NULL;
    JsonObject *object;

    if (!JSON_NODE_HOLDS_OBJECT(request)) {
        tm_error_set(error, "QMP input must be a JSON object");
        return false;
    }
    object = json_node_get_object(request);
    names = json_object_get_members(object);
    for (GList *l = names; l; l = l->next) {
        if (!read_member(l->data, json_object_get_member(object, l->data),
                         out, error)) {
            return false;
        }
    }
    if (!out->execute) {
        tm_error_set(error, "QMP input lacks member 'execute'");
        return false;
    }
    return true;
}

static bool check_negotiation(const char *name, bool negotiated,
                              GError **error)
{
    bool is_negotiation = !strcmp(name, "qmp_capabilities");

    if (negotiated == !is_negotiation) {
        return true;
    }
    if (negotiated) {
        return fail_not_found(error, "Capabilities negotiation is already "
                              "complete, command ignored");
    }
    return fail_not_found(error, "Expecting capabilities negotiation with "
                          "'qmp_capabilities'");
}

/*
 * @ret_flags: of the command, once it is known; @ret_value: what it returned,
 * NULL for nothing.
 */
static bool run_request(const QmpCommand *commands, QmpSession *session,
                        bool negotiated, JsonNode *request,
                        unsigned *ret_flags, JsonNode **ret_value,
                        GError **error)
{
    const QmpCommand *command;
    QmpRequest parsed = { 0 };

    if (!read_request(request, &parsed, error) ||
        !check_negotiation(parsed.execute, negotiated, error)) {
        return false;
    }
    command = qmp_find_command(commands, parsed.execute);
    if (!command) {
        return fail_not_found(error, "The command %s has not been found",
                              parsed.execute);
    }
    *ret_flags = command->flags;
    return command->marshal(session, parsed.arguments, ret_value, error);
}

static JsonNode *error_node(const GError *error)
{
    g_autoptr(JsonObject) object = json_object_new();

    json_object_set_string_member(object, "class", tm_error_class(error));
    json_object_set_string_member(object, "desc", error->message);
    return json_node_init_object(json_node_alloc(), object);
}

/* Takes @content over, @request is only looked at. */
static JsonNode *make_response(const char *member, JsonNode *content,
                               JsonNode *request)
{
    g_autoptr(JsonObject) object = json_object_new();
    JsonNode *id = NULL;

    json_object_set_member(object, member, content);
    if (request && JSON_NODE_HOLDS_OBJECT(request)) {
        id = json_object_get_member(json_node_get_object(request), "id");
    }
    if (id) {
        json_object_set_member(object, "id", json_node_copy(id));
    }
    return json_node_init_object(json_node_alloc(), object);
}

JsonNode *qmp_error_response(const GError *error, JsonNode *like)
{
    return make_response("error", error_node(error), like);
}

JsonNode *qmp_dispatch(const QmpCommand *commands, QmpSession *session,
                       bool negotiated, JsonNode *request,
                       const GError *failure)
{
    g_autoptr(JsonObject) nothing = NULL;
    g_autoptr(GError) error = NULL;
    JsonNode *value = NULL;
    unsigned flags = 0;

    if (!request) {
        return qmp_error_response(failure, NULL);
    }
    if (!run_request(commands, session, negotiated, request, &flags, &value,
                     &error)) {
        return qmp_error_response(error, request);
    }
    if (!value) {
        if (flags & QMP_COMMAND_NO_SUCCESS_RESPONSE) {
            return NULL;
        }
        nothing = json_object_new();
        value = json_node_init_object(json_node_alloc(), nothing);
    }
    return make_response("return", value, request);
}
