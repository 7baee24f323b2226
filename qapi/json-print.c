/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A JSON writer, and the large integers that json-glib cannot hold.
 * Recursion is bounded by what was read (JSON_TEXT_MAX_DEPTH) or built.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "qapi/json-text.h"

/* First byte of a string node that is a kept integer; never valid UTF-8. */
#define LARGE_MARK '\xff'

JsonNode *json_text_new_uint64(uint64_t value)
{
    char text[24];

    if (value <= INT64_MAX) {
        return json_node_init_int(json_node_alloc(), value);
    }
    g_snprintf(text, sizeof(text), "%c%" PRIu64, LARGE_MARK, value);
    return json_node_init_string(json_node_alloc(), text);
}

/* The kept text of any string node, NULL for other kinds. */
static const char *string_of(JsonNode *node)
{
    if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_STRING) {
        return NULL;
    }
    return json_node_get_string(node);
}

bool json_text_is_string(JsonNode *node)
{
    const char *text = string_of(node);

    return text && text[0] != LARGE_MARK;
}

bool json_text_get_uint64(JsonNode *node, uint64_t *ret_value)
{
    const char *text = string_of(node);

    if (text && text[0] == LARGE_MARK) {
        *ret_value = g_ascii_strtoull(text + 1, NULL, 10);
        return true;
    }
    if (!node || !JSON_NODE_HOLDS_VALUE(node) ||
        json_node_get_value_type(node) != G_TYPE_INT64 ||
        json_node_get_int(node) < 0) {
        return false;
    }
    *ret_value = json_node_get_int(node);
    return true;
}

static void print_unichar(GString *out, gunichar c)
{
    if (c >= 0x10000) {
        c -= 0x10000;
        g_string_append_printf(out, "\\u%04X\\u%04X", 0xD800 + (c >> 10),
                               0xDC00 + (c & 0x3FF));
    } else {
        g_string_append_printf(out, "\\u%04X", c);
    }
}

/* Bytes that are no UTF-8 become U+FFFD: what we send is always JSON. */
static void print_string(GString *out, const char *text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *which;
    gunichar c;

    g_string_append_c(out, '"');
    while (*text) {
        if (*text >= 0x20 && *text < 0x7f && *text != '"' && *text != '\\') {
            g_string_append_c(out, *text++);
            continue;
        }
        which = strchr(from, *text);
        if (which) {
            g_string_append_c(out, '\\');
            g_string_append_c(out, to[which - from]);
            text++;
            continue;
        }
        c = g_utf8_get_char_validated(text, -1);
        if (c == (gunichar)-1 || c == (gunichar)-2) {
            print_unichar(out, 0xFFFD);
            text++;
        } else {
            print_unichar(out, c);
            text = g_utf8_next_char(text);
        }
    }
    g_string_append_c(out, '"');
}

/* The shortest text that reads back as the same number. */
static void print_double(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    if (!isfinite(value)) {
        g_string_append(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        char format[8];

        g_snprintf(format, sizeof(format), "%%.%dg", digits);
        g_ascii_formatd(text, sizeof(text), format, value);
        if (g_ascii_strtod(text, NULL) == value) {
            break;
        }
    }
    g_string_append(out, text);
}

/* How deep we are, when each member is to have a line of its own. */
#define NO_INDENT (-1)

static void print_node(GString *out, JsonNode *node, int indent);

/* Between two members, or around them. */
static void print_break(GString *out, int indent, bool is_separator)
{
    if (is_separator) {
        g_string_append(out, indent == NO_INDENT ? ", " : ",");
    }
    if (indent != NO_INDENT) {
        g_string_append_printf(out, "\n%*s", 4 * indent, "");
    }
}

static int deeper(int indent)
{
    return indent == NO_INDENT ? NO_INDENT : indent + 1;
}

static void print_object(GString *out, JsonObject *object, int indent)
{
    g_autoptr(GList) names = json_object_get_members(object);

    g_string_append_c(out, '{');
    for (GList *l = names; l; l = l->next) {
        print_break(out, deeper(indent), l != names);
        print_string(out, l->data);
        g_string_append(out, ": ");
        print_node(out, json_object_get_member(object, l->data),
                   deeper(indent));
    }
    if (names) {
        print_break(out, indent, false);
    }
    g_string_append_c(out, '}');
}

static void print_array(GString *out, JsonArray *array, int indent)
{
    unsigned length = json_array_get_length(array);

    g_string_append_c(out, '[');
    for (unsigned i = 0; i < length; i++) {
        print_break(out, deeper(indent), i > 0);
        print_node(out, json_array_get_element(array, i), deeper(indent));
    }
    if (length) {
        print_break(out, indent, false);
    }
    g_string_append_c(out, ']');
}

static void print_scalar(GString *out, JsonNode *node)
{
    GType type = json_node_get_value_type(node);
    const char *text;

    if (type == G_TYPE_BOOLEAN) {
        g_string_append(out, json_node_get_boolean(node) ? "true" : "false");
    } else if (type == G_TYPE_INT64) {
        g_string_append_printf(out, "%" PRId64,
                               (int64_t)json_node_get_int(node));
    } else if (type == G_TYPE_DOUBLE) {
        print_double(out, json_node_get_double(node));
    } else {
        text = json_node_get_string(node);
        if (text[0] == LARGE_MARK) {
            g_string_append(out, text + 1);
        } else {
            print_string(out, text);
        }
    }
}

static void print_node(GString *out, JsonNode *node, int indent)
{
    if (!node || JSON_NODE_HOLDS_NULL(node)) {
        g_string_append(out, "null");
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        print_object(out, json_node_get_object(node), indent);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        print_array(out, json_node_get_array(node), indent);
    } else {
        print_scalar(out, node);
    }
}

void json_text_print(GString *out, JsonNode *node)
{
    print_node(out, node, NO_INDENT);
}

char *json_text_to_string(JsonNode *node)
{
    GString *out = g_string_new(NULL);

    print_node(out, node, NO_INDENT);
    return g_string_free(out, FALSE);
}

char *json_text_to_pretty(JsonNode *node)
{
    GString *out = g_string_new(NULL);

    print_node(out, node, 0);
    return g_string_free(out, FALSE);
}
