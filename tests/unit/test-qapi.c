/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generator's output for qapi/test-schema.json: values go to JSON and
 * back, what does not fit is refused in the words that QMP clients know.
 */
#include <string.h>

#include "qapi/json-text.h"
#include "qapi/qapi-introspect.h"
#include "qapi/qapi-visit.h"
#include "qapi/test-qapi-commands.h"
#include "qapi/test-qapi-events.h"
#include "qapi/test-qapi-introspect.h"
#include "qapi/test-qapi-visit.h"
#include "util/error.h"

static JsonNode *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    JsonNode *node = json_text_parse(text, strlen(text), &error);

    g_assert_no_error(error);
    return node;
}

/* Read @text as @type and write it again; NULL and an error if refused. */
static char *round_trip(const QapiType *type, const char *text,
                        GError **error)
{
    g_autoptr(JsonNode) node = parse(text);
    g_autoptr(JsonNode) back = NULL;
    void *value = NULL;

    if (!qapi_from_json(type, node, &value, error)) {
        g_assert_null(value);
        return NULL;
    }
    back = qapi_to_json(type, &value);
    qapi_free(type, &value);
    g_assert_null(value);
    return json_text_to_string(back);
}

typedef struct Case {
    const QapiType *type;
    const char *in, *out;      /* out: the same text, or the error's */
} Case;

static const Case good_cases[] = {
    { &qapi_type_Everything, "{}", "{}" },
    { &qapi_type_Everything,
      "{\"s\":\"x\",\"b\":true,\"i\":-1,\"e\":\"blue-green\",\"a\":{\"q\":[1]}}",
      "{\"s\": \"x\", \"b\": true, \"i\": -1, \"e\": \"blue-green\", "
      "\"a\": {\"q\": [1]}}" },
    { &qapi_type_Everything, "{\"b\":false,\"i\":0,\"s\":\"\"}",
      "{\"s\": \"\", \"b\": false, \"i\": 0}" },
    { &qapi_type_Everything, "{\"i8\":-128,\"u8\":255}",
      "{\"i8\": -128, \"u8\": 255}" },
    { &qapi_type_Everything, "{\"i16\":32767,\"u16\":65535}",
      "{\"i16\": 32767, \"u16\": 65535}" },
    { &qapi_type_Everything, "{\"i32\":-2147483648,\"u32\":4294967295}",
      "{\"i32\": -2147483648, \"u32\": 4294967295}" },
    { &qapi_type_Everything,
      "{\"i\":-9223372036854775808,\"u64\":18446744073709551615,"
      "\"z\":9223372036854775808}",
      "{\"i\": -9223372036854775808, \"u64\": 18446744073709551615, "
      "\"z\": 9223372036854775808}" },
    { &qapi_type_Everything, "{\"n\":1.5}", "{\"n\": 1.5}" },
    { &qapi_type_Everything, "{\"n\":3}", "{\"n\": 3}" },
    { &qapi_type_Everything, "{\"a\":null}", "{\"a\": null}" },
    { &qapi_type_Everything, "{\"a\":18446744073709551615}",
      "{\"a\": 18446744073709551615}" },
    { &qapi_type_Nest,
      "{\"one\":{\"x\":1},\"many\":[{\"x\":2,\"y\":3},{\"x\":4}],"
      "\"names\":[\"a\",\"b\"],\"colours\":[\"red\",\"blue-green\"],"
      "\"flags\":[true,false],\"default\":7}",
      "{\"one\": {\"x\": 1}, \"many\": [{\"x\": 2, \"y\": 3}, {\"x\": 4}], "
      "\"names\": [\"a\", \"b\"], \"colours\": [\"red\", \"blue-green\"], "
      "\"flags\": [true, false], \"default\": 7}" },
    { &qapi_type_Nest, "{\"names\":[]}", "{\"names\": []}" },
    { &qapi_type_Shape,
      "{\"radius\":2,\"kind\":\"circle\",\"centre\":{\"x\":1}}",
      "{\"kind\": \"circle\", \"centre\": {\"x\": 1}, \"radius\": 2}" },
    { &qapi_type_Shape, "{\"kind\":\"none\",\"label\":\"l\"}",
      "{\"kind\": \"none\", \"label\": \"l\"}" },
    { &qapi_type_Shape, "{\"kind\":\"inner\",\"tint\":\"red\",\"x\":1}",
      "{\"kind\": \"inner\", \"tint\": \"red\", \"x\": 1}" },
    { &qapi_type_Holder, "{\"e\":\"t\"}", "{\"e\": \"t\"}" },
    { &qapi_type_Holder, "{\"e\":null}", "{\"e\": null}" },
    { &qapi_type_Holder, "{\"e\":{\"x\":1}}", "{\"e\": {\"x\": 1}}" },
    { &qapi_type_Holder, "{\"e\":[\"a\"]}", "{\"e\": [\"a\"]}" },
    { &qapi_type_Holder, "{\"e\":true}", "{\"e\": true}" },
};

static const Case bad_cases[] = {
    { &qapi_type_Everything, "[]",
      "Invalid parameter type for 'null', expected: object" },
    { &qapi_type_Everything, "{\"s\":5}",
      "Invalid parameter type for 's', expected: string" },
    { &qapi_type_Everything, "{\"s\":null}",
      "Invalid parameter type for 's', expected: string" },
    { &qapi_type_Everything, "{\"s\":18446744073709551615}",
      "Invalid parameter type for 's', expected: string" },
    { &qapi_type_Everything, "{\"b\":1}",
      "Invalid parameter type for 'b', expected: boolean" },
    { &qapi_type_Everything, "{\"i\":1.5}",
      "Invalid parameter type for 'i', expected: integer" },
    { &qapi_type_Everything, "{\"i\":true}",
      "Invalid parameter type for 'i', expected: integer" },
    { &qapi_type_Everything, "{\"i\":9223372036854775808}",
      "Invalid parameter type for 'i', expected: integer" },
    { &qapi_type_Everything, "{\"i8\":128}", "Parameter 'i8' expects int8" },
    { &qapi_type_Everything, "{\"i8\":-129}", "Parameter 'i8' expects int8" },
    { &qapi_type_Everything, "{\"u8\":256}", "Parameter 'u8' expects uint8" },
    { &qapi_type_Everything, "{\"u8\":-1}", "Parameter 'u8' expects uint8" },
    { &qapi_type_Everything, "{\"u32\":4294967296}",
      "Parameter 'u32' expects uint32" },
    { &qapi_type_Everything, "{\"z\":-1}", "Parameter 'z' expects size" },
    { &qapi_type_Everything, "{\"u64\":18446744073709551616}",
      "Invalid parameter type for 'u64', expected: integer" },
    { &qapi_type_Everything, "{\"n\":\"1\"}",
      "Invalid parameter type for 'n', expected: number" },
    { &qapi_type_Everything, "{\"e\":\"green\"}",
      "Parameter 'e' does not accept value 'green'" },
    { &qapi_type_Everything, "{\"e\":0}",
      "Invalid parameter type for 'e', expected: string" },
    { &qapi_type_Everything, "{\"s\":\"x\",\"S\":\"y\"}",
      "Parameter 'S' is unexpected" },
    { &qapi_type_Nest, "{\"one\":{}}", "Parameter 'one.x' is missing" },
    { &qapi_type_Nest, "{\"one\":[]}",
      "Invalid parameter type for 'one', expected: object" },
    { &qapi_type_Nest, "{\"many\":{}}",
      "Invalid parameter type for 'many', expected: array" },
    { &qapi_type_Nest, "{\"many\":[{\"x\":1},{\"x\":\"\"}]}",
      "Invalid parameter type for 'many[1].x', expected: integer" },
    { &qapi_type_Nest, "{\"many\":[{\"x\":1,\"z\":1}]}",
      "Parameter 'many[0].z' is unexpected" },
    { &qapi_type_Nest, "{\"names\":[\"a\",1]}",
      "Invalid parameter type for 'names[1]', expected: string" },
    { &qapi_type_Nest, "{\"colours\":[\"red\",\"pink\"]}",
      "Parameter 'colours[1]' does not accept value 'pink'" },
    { &qapi_type_Nest, "{\"q_default\":7}",
      "Parameter 'q_default' is unexpected" },
    { &qapi_type_Shape, "{}", "Parameter 'kind' is missing" },
    { &qapi_type_Shape, "{\"kind\":\"box\"}",
      "Parameter 'kind' does not accept value 'box'" },
    { &qapi_type_Shape, "{\"kind\":\"none\",\"radius\":1}",
      "Parameter 'radius' is unexpected" },
    { &qapi_type_Shape, "{\"kind\":\"circle\",\"radius\":1}",
      "Parameter 'centre' is missing" },
    { &qapi_type_Shape,
      "{\"kind\":\"circle\",\"radius\":1,\"centre\":{\"x\":1},\"tint\":\"red\"}",
      "Parameter 'tint' is unexpected" },
    { &qapi_type_Shape, "{\"kind\":\"inner\",\"tint\":\"blue-green\",\"x\":1}",
      "Parameter 'x' is unexpected" },
    { &qapi_type_Holder, "{\"e\":1}",
      "Invalid parameter type for 'e', expected: Either" },
    { &qapi_type_Holder, "{\"e\":{\"x\":1,\"w\":2}}",
      "Parameter 'e.w' is unexpected" },
    { &qapi_type_Holder, "{\"e\":[1]}",
      "Invalid parameter type for 'e[0]', expected: string" },
};

static void test_from_json_good_reads_back(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(good_cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = round_trip(good_cases[i].type,
                                           good_cases[i].in, &error);

        g_assert_no_error(error);
        g_assert_cmpstr(text, ==, good_cases[i].out);
    }
}

static void test_from_json_bad_names_member(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad_cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = round_trip(bad_cases[i].type,
                                           bad_cases[i].in, &error);

        g_assert_null(text);
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_cmpstr(error->message, ==, bad_cases[i].out);
    }
}

static void test_from_json_sets_members_of_c(void)
{
    g_autoptr(JsonNode) node = parse(
        "{\"many\":[{\"x\":2},{\"x\":3,\"y\":4}],\"default\":-7}");
    g_autoptr(Nest) nest = NULL;

    g_assert_true(qapi_Nest_from_json(node, &nest, NULL));
    g_assert_true(nest->has_many);
    g_assert_cmpint(nest->many->value->x, ==, 2);
    g_assert_false(nest->many->value->has_y);
    g_assert_cmpint(nest->many->next->value->y, ==, 4);
    g_assert_null(nest->many->next->next);
    g_assert_true(nest->has_q_default);
    g_assert_cmpint(nest->q_default, ==, -7);
    g_assert_null(nest->one);
    g_assert_false(nest->has_flags);
}

static void test_clone_is_deep(void)
{
    Nest nest = { 0 };
    strList **tail = &nest.names;
    g_autoptr(Nest) copy = NULL;

    nest.has_names = true;
    QAPI_LIST_APPEND(tail, g_strdup("b"));
    QAPI_LIST_APPEND(tail, g_strdup("c"));
    QAPI_LIST_PREPEND(nest.names, g_strdup("a"));
    copy = QAPI_CLONE(Nest, &nest);
    qapi_object_clear(&qapi_type_Nest, &nest);
    g_assert_cmpstr(copy->names->value, ==, "a");
    g_assert_cmpstr(copy->names->next->next->value, ==, "c");
    g_assert_null(copy->names->next->next->next);
    g_assert_null(QAPI_CLONE(Nest, NULL));
}

static void test_enum_names_and_numbers(void)
{
    Colour colour = COLOUR_RED;

    g_assert_cmpstr(Colour_str(COLOUR_BLUE_GREEN), ==, "blue-green");
    g_assert_cmpstr(Colour_str(COLOUR__MAX), ==, "?");
    g_assert_true(Colour_parse("blue-green", &colour));
    g_assert_cmpint(colour, ==, COLOUR_BLUE_GREEN);
    g_assert_false(Colour_parse("blue_green", &colour));
    g_assert_false(Colour_parse(NULL, &colour));
    g_assert_cmpint(colour, ==, COLOUR_BLUE_GREEN);
}

/* -- commands */

int64_t qmp_add(QmpSession *session, int64_t x, bool has_y, int64_t y,
                GError **error)
{
    return has_y ? x + y : x;
}

bool qmp_nop(QmpSession *session, GError **error)
{
    return true;
}

bool qmp_fail(QmpSession *session, const char *class, GError **error)
{
    g_set_error(error, TM_ERROR, TM_ERROR_DEVICE_NOT_FOUND, "no %s", class);
    return false;
}

PointList *qmp_list_points(QmpSession *session, int64_t count,
                           GError **error)
{
    PointList *list = NULL, **tail = &list;

    if (count < 0) {
        tm_error_set(error, "negative");
        return NULL;
    }
    for (int64_t i = 0; i < count; i++) {
        Point *point = g_new0(Point, 1);

        point->x = i;
        QAPI_LIST_APPEND(tail, point);
    }
    return list;
}

Shape *qmp_boxed(QmpSession *session, Shape *arg, GError **error)
{
    return QAPI_CLONE(Shape, arg);
}

bool qmp_silent(QmpSession *session, GError **error)
{
    return true;
}

static const QmpCommand *find_command(const char *name)
{
    const QmpCommand *command = test_qmp_commands;

    while (command->name && strcmp(command->name, name)) {
        command++;
    }
    g_assert_nonnull(command->name);
    return command;
}

/* The command's JSON, or its error's text; "" for no value. */
static char *run(const char *name, const char *args)
{
    g_autoptr(JsonNode) node = parse(args);
    g_autoptr(JsonNode) value = NULL;
    g_autoptr(GError) error = NULL;
    bool ok = find_command(name)->marshal(NULL, json_node_get_object(node),
                                          &value, &error);

    g_assert_true(ok == !error);
    if (!ok) {
        g_assert_null(value);
        return g_strdup(error->message);
    }
    return value ? json_text_to_string(value) : g_strdup("");
}

static void test_command_marshals_both_ways(void)
{
    static const char *const table[][3] = {
        { "add", "{\"x\":1,\"y\":2}", "3" },
        { "add", "{\"x\":1}", "1" },
        { "add", "{}", "Parameter 'x' is missing" },
        { "add", "{\"x\":1,\"z\":2}", "Parameter 'z' is unexpected" },
        { "nop", "{}", "" },
        { "nop", "{\"x\":1}", "Parameter 'x' is unexpected" },
        { "fail", "{\"class\":\"disk\"}", "no disk" },
        { "list-points", "{\"count\":2}", "[{\"x\": 0}, {\"x\": 1}]" },
        { "list-points", "{\"count\":0}", "[]" },
        { "list-points", "{\"count\":-1}", "negative" },
        { "boxed", "{\"kind\":\"none\"}", "{\"kind\": \"none\"}" },
        { "boxed", "{\"kind\":\"circle\"}", "Parameter 'centre' is missing" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *text = run(table[i][0], table[i][1]);

        g_assert_cmpstr(text, ==, table[i][2]);
    }
}

static void test_command_flags_are_kept(void)
{
    g_assert_cmpuint(find_command("nop")->flags, ==, QMP_COMMAND_ALLOW_OOB);
    g_assert_cmpuint(find_command("silent")->flags, ==,
                     QMP_COMMAND_NO_SUCCESS_RESPONSE);
    g_assert_cmpuint(find_command("add")->flags, ==, 0);
}

/* -- events */

static void collect(JsonNode *event, void *opaque)
{
    GString *out = opaque;
    g_autoptr(JsonNode) copy = json_node_copy(event);
    JsonObject *object = json_node_get_object(copy);
    JsonObject *stamp = json_object_get_object_member(object, "timestamp");

    g_assert_cmpint(json_object_get_int_member(stamp, "seconds"), >, 0);
    g_assert_true(json_object_has_member(stamp, "microseconds"));
    json_object_remove_member(object, "timestamp");
    json_text_print(out, copy);
}

static void test_event_reaches_emitter(void)
{
    g_autoptr(GString) out = g_string_new(NULL);
    Point point = { .x = 4 };

    qapi_event_set_emitter(collect, out);
    qapi_event_send_plain();
    qapi_event_send_pointed(&point, NULL, true, 0);
    qapi_event_set_emitter(NULL, NULL);
    qapi_event_send_plain();
    g_assert_cmpstr(out->str, ==,
                    "{\"event\": \"PLAIN\"}"
                    "{\"event\": \"POINTED\", \"data\": {\"where\": "
                    "{\"x\": 4}, \"how-often\": 0}}");
}

/* -- introspection */

/* Every type that is named is described, once, and names are numbers. */
static void check_introspection(const char *json)
{
    g_autoptr(JsonNode) node = parse(json);
    g_autoptr(SchemaInfoList) list = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);

    qapi_SchemaInfoList_from_json(node, &list, &error);
    g_assert_no_error(error);
    for (SchemaInfoList *l = list; l; l = l->next) {
        g_assert_true(g_hash_table_add(known, l->value->name));
    }
    for (SchemaInfoList *l = list; l; l = l->next) {
        const SchemaInfo *info = l->value;

        switch (info->meta_type) {
        case SCHEMA_META_TYPE_COMMAND:
            g_assert_true(g_hash_table_contains(known,
                                                info->u.command.ret_type));
            g_assert_true(g_hash_table_contains(known,
                                                info->u.command.arg_type));
            break;
        case SCHEMA_META_TYPE_EVENT:
            g_assert_true(g_hash_table_contains(known,
                                                info->u.event.arg_type));
            break;
        case SCHEMA_META_TYPE_ARRAY:
            g_assert_true(g_hash_table_contains(known,
                                                info->u.array.element_type));
            break;
        case SCHEMA_META_TYPE_OBJECT:
            g_assert_true(g_ascii_isdigit(info->name[0]));
            for (SchemaInfoObjectMemberList *m = info->u.object.members; m;
                 m = m->next) {
                g_assert_true(g_hash_table_contains(known, m->value->type));
            }
            for (SchemaInfoObjectVariantList *v = info->u.object.variants; v;
                 v = v->next) {
                g_assert_true(g_hash_table_contains(known, v->value->type));
            }
            break;
        default:
            break;
        }
    }
}

static void test_introspect_is_closed(void)
{
    check_introspection(test_qmp_schema_json);
    check_introspection(qmp_schema_json);
}

static void test_introspect_optional_has_default(void)
{
    g_assert_nonnull(strstr(test_qmp_schema_json,
                            "{\"name\": \"x\", \"type\": \"int\"}, "
                            "{\"name\": \"y\", \"type\": \"int\", "
                            "\"default\": null}"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qapi/from-json/good-reads-back",
                    test_from_json_good_reads_back);
    g_test_add_func("/qapi/from-json/bad-names-member",
                    test_from_json_bad_names_member);
    g_test_add_func("/qapi/from-json/sets-members-of-c",
                    test_from_json_sets_members_of_c);
    g_test_add_func("/qapi/clone/is-deep", test_clone_is_deep);
    g_test_add_func("/qapi/enum/names-and-numbers",
                    test_enum_names_and_numbers);
    g_test_add_func("/qapi/command/marshals-both-ways",
                    test_command_marshals_both_ways);
    g_test_add_func("/qapi/command/flags-are-kept",
                    test_command_flags_are_kept);
    g_test_add_func("/qapi/event/reaches-emitter",
                    test_event_reaches_emitter);
    g_test_add_func("/qapi/introspect/is-closed", test_introspect_is_closed);
    g_test_add_func("/qapi/introspect/optional-has-default",
                    test_introspect_optional_has_default);
    return g_test_run();
}
