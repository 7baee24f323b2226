/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading values out of JSON by their descriptions, strictly.
 *
 * The way from the outermost value to the one being read is a chain of
 * QapiPath on the stack; it is only looked at when an error has to name a
 * member. Recursion is bounded by the schema, not by the input: a value can
 * nest no deeper than its type.
 */
#include <string.h>

#include "qapi/json-text.h"
#include "qapi/qapi-type.h"
#include "util/error.h"

typedef struct QapiPath {
    const struct QapiPath *up;
    const char *name;          /* member; NULL for a list element */
    unsigned index;            /* of the list element */
} QapiPath;

static bool read_slot(const QapiPath *path, const QapiType *type,
                      JsonNode *node, void *slot, GError **error);

static void append_path(GString *out, const QapiPath *path)
{
    if (!path) {
        return;
    }
    append_path(out, path->up);
    if (!path->name) {
        g_string_append_printf(out, "[%u]", path->index);
        return;
    }
    if (out->len) {
        g_string_append_c(out, '.');
    }
    g_string_append(out, path->name);
}

/* "capabilities[0].state"; a value without a name is called "null" */
static char *path_str(const QapiPath *path)
{
    GString *out = g_string_new(NULL);

    append_path(out, path);
    if (!out->len) {
        g_string_append(out, "null");
    }
    return g_string_free(out, FALSE);
}

static bool fail_type(const QapiPath *path, const char *expected,
                      GError **error)
{
    g_autofree char *name = path_str(path);

    tm_error_set(error, "Invalid parameter type for '%s', expected: %s",
                 name, expected);
    return false;
}

static bool fail_range(const QapiPath *path, const QapiType *type,
                       GError **error)
{
    g_autofree char *name = path_str(path);

    tm_error_set(error, "Parameter '%s' expects %s", name, type->name);
    return false;
}

/* QMP names the enum's member alone, without the path to it. */
static bool fail_enum(const QapiPath *path, const char *text, GError **error)
{
    g_autofree char *whole = path_str(path);
    const char *name = path && path->name ? path->name : whole;

    tm_error_set(error, "Parameter '%s' does not accept value '%s'",
                 name, text);
    return false;
}

static bool is_int_node(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_VALUE(node) &&
           json_node_get_value_type(node) == G_TYPE_INT64;
}

static void store_uint(const QapiType *type, void *slot, uint64_t value)
{
    switch (type->size) {
    case 1:
        *(uint8_t *)slot = value;
        break;
    case 2:
        *(uint16_t *)slot = value;
        break;
    case 4:
        *(uint32_t *)slot = value;
        break;
    default:
        *(uint64_t *)slot = value;
        break;
    }
}

static bool read_int(const QapiPath *path, const QapiType *type,
                     JsonNode *node, void *slot, GError **error)
{
    int64_t value, limit = INT64_MAX >> (64 - 8 * type->size);

    if (!is_int_node(node)) {
        return fail_type(path, "integer", error);
    }
    value = json_node_get_int(node);
    if (value > limit || value < -limit - 1) {
        return fail_range(path, type, error);
    }
    store_uint(type, slot, value);
    return true;
}

static bool read_uint(const QapiPath *path, const QapiType *type,
                      JsonNode *node, void *slot, GError **error)
{
    uint64_t value, limit = UINT64_MAX >> (64 - 8 * type->size);

    if (!json_text_get_uint64(node, &value)) {
        return is_int_node(node) ? fail_range(path, type, error)
                                 : fail_type(path, "integer", error);
    }
    if (value > limit) {
        return fail_range(path, type, error);
    }
    store_uint(type, slot, value);
    return true;
}

static bool read_number(const QapiPath *path, JsonNode *node, double *slot,
                        GError **error)
{
    uint64_t large;

    if (json_text_get_uint64(node, &large)) {
        *slot = large;
        return true;
    }
    if (node && JSON_NODE_HOLDS_VALUE(node) &&
        (is_int_node(node) ||
         json_node_get_value_type(node) == G_TYPE_DOUBLE)) {
        *slot = json_node_get_double(node);
        return true;
    }
    return fail_type(path, "number", error);
}

static bool read_bool(const QapiPath *path, JsonNode *node, bool *slot,
                      GError **error)
{
    if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_BOOLEAN) {
        return fail_type(path, "boolean", error);
    }
    *slot = json_node_get_boolean(node);
    return true;
}

static bool read_str(const QapiPath *path, JsonNode *node, char **slot,
                     GError **error)
{
    if (!json_text_is_string(node)) {
        return fail_type(path, "string", error);
    }
    *slot = json_node_dup_string(node);
    return true;
}

static bool read_enum(const QapiPath *path, const QapiType *type,
                      JsonNode *node, int *slot, GError **error)
{
    int value;

    if (!json_text_is_string(node)) {
        return fail_type(path, "string", error);
    }
    value = qapi_enum_parse(type, json_node_get_string(node));
    if (value < 0) {
        return fail_enum(path, json_node_get_string(node), error);
    }
    *slot = value;
    return true;
}

static bool read_list(const QapiPath *path, const QapiType *type,
                      JsonNode *node, QapiListNode **slot, GError **error)
{
    QapiListNode *list = NULL, **tail = &list;
    JsonArray *array;

    if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
        return fail_type(path, "array", error);
    }
    array = json_node_get_array(node);
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        QapiPath here = { .up = path, .index = i };

        *tail = g_new0(QapiListNode, 1);
        if (!read_slot(&here, type->element,
                       json_array_get_element(array, i),
                       &(*tail)->value, error)) {
            qapi_free(type, &list);
            return false;
        }
        tail = &(*tail)->next;
    }
    *slot = list;
    return true;
}

/* The branch that the tag in @value has chosen; NULL: it has no members. */
static const QapiType *tag_branch(const QapiType *type, const char *value)
{
    uint32_t tag;

    if (type->kind != QAPI_KIND_UNION) {
        return NULL;
    }
    tag = *(const uint32_t *)(value + type->tag_offset);
    return tag < type->n_branches ? type->branches[tag] : NULL;
}

static bool read_members(const QapiPath *path, const QapiType *type,
                         JsonObject *object, char *value, GError **error)
{
    const QapiType *branch;

    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];
        QapiPath here = { .up = path, .name = m->name };

        if (!json_object_has_member(object, m->name)) {
            if (!m->optional) {
                g_autofree char *name = path_str(&here);

                tm_error_set(error, "Parameter '%s' is missing", name);
                return false;
            }
            continue;
        }
        if (!read_slot(&here, m->type, json_object_get_member(object, m->name),
                       value + m->offset, error)) {
            return false;
        }
        if (m->has_offset >= 0) {
            *(bool *)(value + m->has_offset) = true;
        }
    }
    branch = tag_branch(type, value);
    return !branch || read_members(path, branch, object,
                                   value + type->u_offset, error);
}

static bool is_member(const QapiType *type, const char *value,
                      const char *name)
{
    const QapiType *branch;

    for (uint32_t i = 0; i < type->n_members; i++) {
        if (!strcmp(type->members[i].name, name)) {
            return true;
        }
    }
    branch = tag_branch(type, value);
    return branch && is_member(branch, value + type->u_offset, name);
}

static bool read_object(const QapiPath *path, const QapiType *type,
                        JsonObject *object, char *value, GError **error)
{
    g_autoptr(GList) names = NULL;

    if (!read_members(path, type, object, value, error)) {
        return false;
    }
    names = json_object_get_members(object);
    for (GList *l = names; l; l = l->next) {
        if (!is_member(type, value, l->data)) {
            QapiPath here = { .up = path, .name = l->data };
            g_autofree char *name = path_str(&here);

            tm_error_set(error, "Parameter '%s' is unexpected", name);
            return false;
        }
    }
    return true;
}

static bool read_struct(const QapiPath *path, const QapiType *type,
                        JsonNode *node, void **slot, GError **error)
{
    void *value;

    if (!node || !JSON_NODE_HOLDS_OBJECT(node)) {
        return fail_type(path, "object", error);
    }
    value = g_malloc0(MAX(type->size, 1));
    if (!read_object(path, type, json_node_get_object(node), value, error)) {
        qapi_free(type, &value);
        return false;
    }
    *slot = value;
    return true;
}

static QType node_qtype(JsonNode *node)
{
    if (!node || JSON_NODE_HOLDS_NULL(node)) {
        return QTYPE_QNULL;
    }
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        return QTYPE_QDICT;
    }
    if (JSON_NODE_HOLDS_ARRAY(node)) {
        return QTYPE_QLIST;
    }
    if (json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        return QTYPE_QBOOL;
    }
    return json_text_is_string(node) ? QTYPE_QSTRING : QTYPE_QNUM;
}

static bool read_alternate(const QapiPath *path, const QapiType *type,
                           JsonNode *node, void **slot, GError **error)
{
    QType qtype = node_qtype(node);
    const QapiType *branch = type->branches[qtype];
    char *value, *u;
    bool ok;

    if (!branch) {
        return fail_type(path, type->name, error);
    }
    value = g_malloc0(type->size);
    u = value + type->u_offset;
    *(QType *)(value + type->tag_offset) = qtype;
    if (branch->kind == QAPI_KIND_STRUCT || branch->kind == QAPI_KIND_UNION) {
        ok = read_object(path, branch, json_node_get_object(node), u, error);
    } else {
        ok = read_slot(path, branch, node, u, error);
    }
    if (!ok) {
        qapi_free(type, &value);
        return false;
    }
    *slot = value;
    return true;
}

static bool read_slot(const QapiPath *path, const QapiType *type,
                      JsonNode *node, void *slot, GError **error)
{
    switch (type->kind) {
    case QAPI_KIND_NULL:
        return node_qtype(node) == QTYPE_QNULL ||
               fail_type(path, "null", error);
    case QAPI_KIND_ANY:
        *(JsonNode **)slot = node ? json_node_copy(node)
                                  : json_node_new(JSON_NODE_NULL);
        return true;
    case QAPI_KIND_STR:
        return read_str(path, node, slot, error);
    case QAPI_KIND_BOOL:
        return read_bool(path, node, slot, error);
    case QAPI_KIND_NUMBER:
        return read_number(path, node, slot, error);
    case QAPI_KIND_INT:
        return read_int(path, type, node, slot, error);
    case QAPI_KIND_UINT:
        return read_uint(path, type, node, slot, error);
    case QAPI_KIND_ENUM:
        return read_enum(path, type, node, slot, error);
    case QAPI_KIND_LIST:
        return read_list(path, type, node, slot, error);
    case QAPI_KIND_ALTERNATE:
        return read_alternate(path, type, node, slot, error);
    default:
        return read_struct(path, type, node, slot, error);
    }
}

bool qapi_from_json(const QapiType *type, JsonNode *node, void *slot,
                    GError **error)
{
    return read_slot(NULL, type, node, slot, error);
}

bool qapi_object_from_json(const QapiType *type, JsonObject *object,
                           void *value, GError **error)
{
    g_autoptr(JsonObject) empty = NULL;

    if (!object) {
        object = empty = json_object_new();
    }
    return read_object(NULL, type, object, value, error);
}
