/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Freeing, copying and writing values by their descriptions, and the
 * descriptions of the built-in types; reading is in qapi-from-json.c.
 */
#include "qapi/qapi-type.h"

#include <string.h>

#include "qapi/json-text.h"

#define BUILTIN(ident, kind_, ctype) \
    const QapiType qapi_type_ ## ident = { \
        .kind = (kind_), .name = #ident, .size = sizeof(ctype) }

#define BUILTIN_LIST(ident) \
    const QapiType qapi_type_ ## ident ## List = { \
        .kind = QAPI_KIND_LIST, .name = #ident "List", \
        .size = sizeof(void *), .element = &qapi_type_ ## ident }

BUILTIN(any, QAPI_KIND_ANY, JsonNode *);
BUILTIN(bool, QAPI_KIND_BOOL, bool);
BUILTIN(int, QAPI_KIND_INT, int64_t);
BUILTIN(int8, QAPI_KIND_INT, int8_t);
BUILTIN(int16, QAPI_KIND_INT, int16_t);
BUILTIN(int32, QAPI_KIND_INT, int32_t);
BUILTIN(int64, QAPI_KIND_INT, int64_t);
BUILTIN(null, QAPI_KIND_NULL, uint64_t);
BUILTIN(number, QAPI_KIND_NUMBER, double);
BUILTIN(size, QAPI_KIND_UINT, uint64_t);
BUILTIN(str, QAPI_KIND_STR, char *);
BUILTIN(uint8, QAPI_KIND_UINT, uint8_t);
BUILTIN(uint16, QAPI_KIND_UINT, uint16_t);
BUILTIN(uint32, QAPI_KIND_UINT, uint32_t);
BUILTIN(uint64, QAPI_KIND_UINT, uint64_t);

BUILTIN_LIST(any);
BUILTIN_LIST(bool);
BUILTIN_LIST(int);
BUILTIN_LIST(int8);
BUILTIN_LIST(int16);
BUILTIN_LIST(int32);
BUILTIN_LIST(int64);
BUILTIN_LIST(number);
BUILTIN_LIST(size);
BUILTIN_LIST(str);
BUILTIN_LIST(uint8);
BUILTIN_LIST(uint16);
BUILTIN_LIST(uint32);
BUILTIN_LIST(uint64);

static const char *const qtype_names[] = {
    "none", "qnull", "qnum", "qstring", "qdict", "qlist", "qbool",
};
G_STATIC_ASSERT(G_N_ELEMENTS(qtype_names) == QTYPE__MAX);

const QapiType qapi_type_QType = {
    .kind = QAPI_KIND_ENUM, .name = "QType", .size = sizeof(QType),
    .n_values = QTYPE__MAX, .values = qtype_names,
};

/* Branch chosen by the tag of a union or alternate; NULL: no data. */
static const QapiType *chosen_branch(const QapiType *type, const char *value)
{
    uint32_t tag = *(const uint32_t *)(value + type->tag_offset);

    return tag < type->n_branches ? type->branches[tag] : NULL;
}

void qapi_object_clear(const QapiType *type, void *value)
{
    const QapiType *branch;

    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];

        qapi_free(m->type, (char *)value + m->offset);
    }
    if (type->kind == QAPI_KIND_UNION) {
        branch = chosen_branch(type, value);
        if (branch) {
            qapi_object_clear(branch, (char *)value + type->u_offset);
        }
    }
}

/* What an alternate's branch holds: structs lie in place, the rest in slots */
static void free_alternate(const QapiType *type, char *value)
{
    const QapiType *branch = chosen_branch(type, value);

    if (!branch) {
        return;
    }
    if (branch->kind == QAPI_KIND_STRUCT || branch->kind == QAPI_KIND_UNION) {
        qapi_object_clear(branch, value + type->u_offset);
    } else {
        qapi_free(branch, value + type->u_offset);
    }
}

static void free_list(const QapiType *type, QapiListNode *node)
{
    while (node) {
        QapiListNode *next = node->next;

        qapi_free(type->element, &node->value);
        g_free(node);
        node = next;
    }
}

void qapi_free_list(const QapiType *type, void *list)
{
    free_list(type, list);
}

void qapi_free(const QapiType *type, void *slot)
{
    void **pointer = slot;

    switch (type->kind) {
    case QAPI_KIND_STR:
        g_clear_pointer((char **)pointer, g_free);
        break;
    case QAPI_KIND_ANY:
        g_clear_pointer((JsonNode **)pointer, json_node_unref);
        break;
    case QAPI_KIND_LIST:
        free_list(type, *pointer);
        *pointer = NULL;
        break;
    case QAPI_KIND_STRUCT:
    case QAPI_KIND_UNION:
        if (*pointer) {
            qapi_object_clear(type, *pointer);
        }
        g_clear_pointer(pointer, g_free);
        break;
    case QAPI_KIND_ALTERNATE:
        if (*pointer) {
            free_alternate(type, *pointer);
        }
        g_clear_pointer(pointer, g_free);
        break;
    default:
        break;
    }
}

static int64_t load_int(const QapiType *type, const void *slot)
{
    switch (type->size) {
    case 1:
        return *(const int8_t *)slot;
    case 2:
        return *(const int16_t *)slot;
    case 4:
        return *(const int32_t *)slot;
    default:
        return *(const int64_t *)slot;
    }
}

static uint64_t load_uint(const QapiType *type, const void *slot)
{
    switch (type->size) {
    case 1:
        return *(const uint8_t *)slot;
    case 2:
        return *(const uint16_t *)slot;
    case 4:
        return *(const uint32_t *)slot;
    default:
        return *(const uint64_t *)slot;
    }
}

/* Is an optional member there? Pointers tell by themselves. */
static bool member_is_set(const QapiMember *m, const char *value)
{
    if (!m->optional) {
        return true;
    }
    if (m->has_offset >= 0) {
        return *(const bool *)(value + m->has_offset);
    }
    return *(void *const *)(value + m->offset) != NULL;
}

static void write_members(const QapiType *type, const char *value,
                          JsonObject *object)
{
    const QapiType *branch;

    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];

        if (member_is_set(m, value)) {
            json_object_set_member(object, m->name,
                                   qapi_to_json(m->type, value + m->offset));
        }
    }
    if (type->kind == QAPI_KIND_UNION) {
        branch = chosen_branch(type, value);
        if (branch) {
            write_members(branch, value + type->u_offset, object);
        }
    }
}

static JsonNode *object_to_json(const QapiType *type, const char *value)
{
    JsonNode *node = json_node_alloc();
    JsonObject *object = json_object_new();

    if (value) {
        write_members(type, value, object);
    }
    json_node_init_object(node, object);
    json_object_unref(object);
    return node;
}

static JsonNode *list_to_json(const QapiType *type, const QapiListNode *list)
{
    JsonNode *node = json_node_alloc();
    JsonArray *array = json_array_new();

    for (; list; list = list->next) {
        json_array_add_element(array,
                               qapi_to_json(type->element, &list->value));
    }
    json_node_init_array(node, array);
    json_array_unref(array);
    return node;
}

static JsonNode *alternate_to_json(const QapiType *type, const char *value)
{
    const QapiType *branch = value ? chosen_branch(type, value) : NULL;

    if (!branch) {
        return json_node_new(JSON_NODE_NULL);
    }
    if (branch->kind == QAPI_KIND_STRUCT || branch->kind == QAPI_KIND_UNION) {
        return object_to_json(branch, value + type->u_offset);
    }
    return qapi_to_json(branch, value + type->u_offset);
}

/* A missing string is written as "", so that what is sent keeps its type. */
static JsonNode *str_to_json(const char *text)
{
    return json_node_init_string(json_node_alloc(), text ? text : "");
}

JsonNode *qapi_to_json(const QapiType *type, const void *slot)
{
    const void *pointer;

    switch (type->kind) {
    case QAPI_KIND_NULL:
        return json_node_new(JSON_NODE_NULL);
    case QAPI_KIND_BOOL:
        return json_node_init_boolean(json_node_alloc(), *(const bool *)slot);
    case QAPI_KIND_NUMBER:
        return json_node_init_double(json_node_alloc(),
                                     *(const double *)slot);
    case QAPI_KIND_INT:
        return json_node_init_int(json_node_alloc(), load_int(type, slot));
    case QAPI_KIND_UINT:
        return json_text_new_uint64(load_uint(type, slot));
    case QAPI_KIND_ENUM:
        return str_to_json(qapi_enum_str(type, *(const int *)slot));
    default:
        break;
    }
    pointer = *(const void *const *)slot;
    switch (type->kind) {
    case QAPI_KIND_ANY:
        return pointer ? json_node_copy((JsonNode *)pointer)
                       : json_node_new(JSON_NODE_NULL);
    case QAPI_KIND_STR:
        return str_to_json(pointer);
    case QAPI_KIND_LIST:
        return list_to_json(type, pointer);
    case QAPI_KIND_ALTERNATE:
        return alternate_to_json(type, pointer);
    default:
        return object_to_json(type, pointer);
    }
}

void *qapi_clone(const QapiType *type, const void *value)
{
    g_autoptr(JsonNode) node = NULL;
    void *copy = NULL;

    if (!value) {
        return NULL;
    }
    node = qapi_to_json(type, &value);
    if (!qapi_from_json(type, node, &copy, NULL)) {
        /* what we wrote ourselves we can read */
        g_assert_not_reached();
    }
    return copy;
}

int qapi_enum_parse(const QapiType *type, const char *name)
{
    for (uint32_t i = 0; name && i < type->n_values; i++) {
        if (!strcmp(type->values[i], name)) {
            return i;
        }
    }
    return -1;
}

const char *qapi_enum_str(const QapiType *type, int value)
{
    if (value < 0 || value >= (int)type->n_values) {
        return "?";
    }
    return type->values[value];
}
