/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A JSON reader: recursive descent over a counted text, depth bounded.
 * See include/qapi/json-text.h for the dialect.
 */
#include <errno.h>
#include <string.h>

#include "qapi/json-text.h"
#include "util/error.h"

typedef struct JsonScan {
    const char *at, *end;
    unsigned depth;
    GError **error;
} JsonScan;

static JsonNode *read_value(JsonScan *r);

static void *fail(JsonScan *r, const char *what)
{
    tm_error_set(r->error, "JSON parse error, %s", what);
    return NULL;
}

static void skip_space(JsonScan *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) {
        r->at++;
    }
}

/* Next byte, or 0 at the end (a NUL in the text fits nowhere either). */
static char peek(JsonScan *r)
{
    return r->at < r->end ? *r->at : 0;
}

static bool take(JsonScan *r, char c)
{
    skip_space(r);
    if (peek(r) != c) {
        return false;
    }
    r->at++;
    return true;
}

/* Four hexadecimal digits; -1 if they are not there. */
static int read_hex4(JsonScan *r)
{
    int value = 0;

    if (r->end - r->at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(*r->at++);

        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, a surrogate pair included; NUL and lone halves are refused. */
static bool read_unicode(JsonScan *r, GString *out)
{
    int low, code = read_hex4(r);

    if (code >= 0xD800 && code < 0xDC00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') {
            return false;
        }
        r->at += 2;
        low = read_hex4(r);
        if (low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code <= 0 || (code >= 0xDC00 && code <= 0xDFFF)) {
        return false;
    }
    g_string_append_unichar(out, code);
    return true;
}

static bool read_escape(JsonScan *r, GString *out)
{
    static const char from[] = "\"'\\/bfnrt", to[] = "\"'\\/\b\f\n\r\t";
    const char *which;
    char c = peek(r);

    r->at++;
    if (c == 'u') {
        return read_unicode(r, out);
    }
    which = c ? strchr(from, c) : NULL;
    if (!which) {
        return false;
    }
    g_string_append_c(out, to[which - from]);
    return true;
}

/* The string whose opening quote is next. */
static char *read_string(JsonScan *r)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char quote = *r->at++;

    for (;;) {
        unsigned char c = peek(r);

        if (r->at >= r->end) {
            return fail(r, "unterminated string");
        }
        if (c < 0x20) {
            return fail(r, "control character in string");
        }
        r->at++;
        if (c == quote) {
            break;
        }
        if (c != '\\') {
            g_string_append_c(out, c);
        } else if (!read_escape(r, out)) {
            return fail(r, "invalid escape sequence in string");
        }
    }
    if (!g_utf8_validate(out->str, out->len, NULL)) {
        return fail(r, "invalid UTF-8 sequence in string");
    }
    return g_strndup(out->str, out->len);
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && g_ascii_isdigit(*p)) {
        p++;
    }
    return p;
}

/*
 * End of the number that starts at @p by the grammar of JSON, NULL if there
 * is none. @ret_integer: it has neither fraction nor exponent.
 */
static const char *scan_number(const char *p, const char *end,
                               bool *ret_integer)
{
    const char *digits;

    p += p < end && *p == '-';
    digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) {
        return NULL;
    }
    *ret_integer = true;
    if (p < end && *p == '.') {
        digits = p + 1;
        p = skip_digits(digits, end);
        *ret_integer = false;
        if (p == digits) {
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        digits = p;
        p = skip_digits(p, end);
        *ret_integer = false;
        if (p == digits) {
            return NULL;
        }
    }
    return p;
}

static JsonNode *read_number(JsonScan *r)
{
    g_autofree char *text = NULL;
    const char *end;
    bool integer;
    double real;

    end = scan_number(r->at, r->end, &integer);
    if (!end || (end < r->end && (g_ascii_isalnum(*end) || *end == '.'))) {
        return fail(r, "invalid number");
    }
    text = g_strndup(r->at, end - r->at);
    r->at = end;
    if (integer) {
        int64_t value;
        uint64_t large;

        errno = 0;
        value = g_ascii_strtoll(text, NULL, 10);
        if (!errno) {
            return json_node_init_int(json_node_alloc(), value);
        }
        errno = 0;
        large = g_ascii_strtoull(text, NULL, 10);
        if (!errno && text[0] != '-') {
            return json_text_new_uint64(large);
        }
    }
    real = g_ascii_strtod(text, NULL);
    if (real > G_MAXDOUBLE || real < -G_MAXDOUBLE) {
        return fail(r, "number out of range");
    }
    return json_node_init_double(json_node_alloc(), real);
}

static JsonNode *read_keyword(JsonScan *r)
{
    const char *start = r->at;
    size_t length;

    while (r->at < r->end && g_ascii_isalnum(*r->at)) {
        r->at++;
    }
    length = r->at - start;
    if (length == 4 && !memcmp(start, "true", 4)) {
        return json_node_init_boolean(json_node_alloc(), TRUE);
    }
    if (length == 5 && !memcmp(start, "false", 5)) {
        return json_node_init_boolean(json_node_alloc(), FALSE);
    }
    if (length == 4 && !memcmp(start, "null", 4)) {
        return json_node_new(JSON_NODE_NULL);
    }
    tm_error_set(r->error, "JSON parse error, invalid keyword '%.*s'",
                 (int)MIN(length, 64), start);
    return NULL;
}

/* One "key": value of an object. */
static bool read_pair(JsonScan *r, JsonObject *object)
{
    g_autofree char *key = NULL;
    JsonNode *value;

    skip_space(r);
    if (peek(r) != '"' && peek(r) != '\'') {
        fail(r, "key is not a string in object");
        return false;
    }
    key = read_string(r);
    if (!key) {
        return false;
    }
    if (!take(r, ':')) {
        fail(r, "missing : in object pair");
        return false;
    }
    if (json_object_has_member(object, key)) {
        fail(r, "duplicate key");
        return false;
    }
    value = read_value(r);
    if (!value) {
        return false;
    }
    json_object_set_member(object, key, value);
    return true;
}

static JsonNode *read_object(JsonScan *r)
{
    g_autoptr(JsonObject) object = json_object_new();

    r->at++;
    if (!take(r, '}')) {
        do {
            if (!read_pair(r, object)) {
                return NULL;
            }
        } while (take(r, ','));
        if (!take(r, '}')) {
            return fail(r, "expected separator in object");
        }
    }
    return json_node_init_object(json_node_alloc(), object);
}

static JsonNode *read_array(JsonScan *r)
{
    g_autoptr(JsonArray) array = json_array_new();
    JsonNode *value;

    r->at++;
    if (!take(r, ']')) {
        do {
            value = read_value(r);
            if (!value) {
                return NULL;
            }
            json_array_add_element(array, value);
        } while (take(r, ','));
        if (!take(r, ']')) {
            return fail(r, "expected separator in array");
        }
    }
    return json_node_init_array(json_node_alloc(), array);
}

static JsonNode *read_nested(JsonScan *r)
{
    JsonNode *node;

    if (r->depth >= JSON_TEXT_MAX_DEPTH) {
        return fail(r, "nesting depth limit exceeded");
    }
    r->depth++;
    node = peek(r) == '{' ? read_object(r) : read_array(r);
    r->depth--;
    return node;
}

static JsonNode *read_value(JsonScan *r)
{
    g_autofree char *text = NULL;
    char c;

    skip_space(r);
    c = peek(r);
    if (c == '{' || c == '[') {
        return read_nested(r);
    }
    if (c == '"' || c == '\'') {
        text = read_string(r);
        return text ? json_node_init_string(json_node_alloc(), text) : NULL;
    }
    if (c == '-' || g_ascii_isdigit(c)) {
        return read_number(r);
    }
    if (g_ascii_isalpha(c)) {
        return read_keyword(r);
    }
    return fail(r, "expecting value");
}

JsonNode *json_text_parse(const char *text, size_t length, GError **error)
{
    JsonScan r = { .at = text, .end = text + length, .error = error };
    JsonNode *node = read_value(&r);

    if (!node) {
        return NULL;
    }
    skip_space(&r);
    if (r.at < r.end) {
        json_node_unref(node);
        return fail(&r, "text after the value");
    }
    return node;
}
