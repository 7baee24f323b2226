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

static void print_object(GString *out, JsonObject *object)
{
    g_autoptr(GList) names = json_object_get_members(object);

    g_string_append_c(out, '{');
    for (GList *l = names; l; l = l->next) {
        print_string(out, l->data);
        g_string_append(out, ": ");
        json_text_print(out, json_object_get_member(object, l->data));
        if (l->next) {
            g_string_append(out, ", ");
        }
    }
    g_string_append_c(out, '}');
}

static void print_array(GString *out, JsonArray *array)
{
    unsigned length = json_array_get_length(array);

    g_string_append_c(out, '[');
    for (unsigned i = 0; i < length; i++) {
        if (i) {
            g_string_append(out, ", ");
        }
        json_text_print(out, json_array_get_element(array, i));
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

void json_text_print(GString *out, JsonNode *node)
{
    if (!node || JSON_NODE_HOLDS_NULL(node)) {
        g_string_append(out, "null");
    } else if (JSON_NODE_HOLDS_OBJECT(node)) {
        print_object(out, json_node_get_object(node));
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        print_array(out, json_node_get_array(node));
    } else {
        print_scalar(out, node);
    }
}

char *json_text_to_string(JsonNode *node)
{
    GString *out = g_string_new(NULL);

    json_text_print(out, node);
    return g_string_free(out, FALSE);
}
