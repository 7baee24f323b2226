/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the form key=value,...; see include/util/keyval.h.
 *
 * A list in the order given; options have a handful of keys, so looking one
 * up walks it.
 */
#include "util/keyval.h"

#include <string.h>

#include "util/cutils.h"
#include "util/error.h"

typedef struct KeyValItem {
    char *key;
    char *value;
    bool used;
} KeyValItem;

struct KeyVal {
    GPtrArray *items; /* of KeyValItem */
};

static void item_free(gpointer opaque)
{
    KeyValItem *item = opaque;

    g_free(item->key);
    g_free(item->value);
    g_free(item);
}

static KeyValItem *find_item(const KeyVal *kv, const char *key)
{
    for (unsigned i = 0; i < kv->items->len; i++) {
        KeyValItem *item = g_ptr_array_index(kv->items, i);

        if (strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

/* Takes @key and @value over. */
static void set_item(KeyVal *kv, char *key, char *value)
{
    KeyValItem *item = find_item(kv, key);

    if (item) {
        g_free(key);
        g_free(item->value);
        item->value = value;
        item->used = false;
        return;
    }
    item = g_new0(KeyValItem, 1);
    item->key = key;
    item->value = value;
    g_ptr_array_add(kv->items, item);
}

/* The value at *@text, its ",," made ","; moves *@text behind its comma. */
static char *scan_value(const char **text)
{
    GString *value = g_string_new(NULL);
    const char *at = *text;

    for (; *at; at++) {
        if (*at == ',' && *++at != ',') {
            break;
        }
        g_string_append_c(value, *at);
    }
    *text = at;
    return g_string_free(value, FALSE);
}

/* One item at *@text; moves *@text behind it and its comma. */
static bool scan_item(KeyVal *kv, const char **text, const char *implied_key,
                      GError **error)
{
    size_t len = strcspn(*text, "=,");
    char sign = (*text)[len];
    const char *at = *text + len;

    if (sign != '=' && implied_key) {
        set_item(kv, g_strdup(implied_key), scan_value(text));
        return true;
    }
    if (len == 0) {
        tm_error_set(error, "option without a name at '%s'", *text);
        return false;
    }
    if (sign == '=') {
        at++;
        set_item(kv, g_strndup(*text, len), scan_value(&at));
    } else {
        set_item(kv, g_strndup(*text, len), g_strdup("on"));
        at += sign == ',';
    }
    *text = at;
    return true;
}

KeyVal *keyval_parse(const char *text, const char *implied_key,
                     GError **error)
{
    g_autoptr(KeyVal) kv = g_new0(KeyVal, 1);

    kv->items = g_ptr_array_new_with_free_func(item_free);
    while (*text) {
        if (!scan_item(kv, &text, implied_key, error)) {
            return NULL;
        }
        implied_key = NULL;
    }
    return g_steal_pointer(&kv);
}

void keyval_free(KeyVal *kv)
{
    if (kv) {
        g_ptr_array_unref(kv->items);
        g_free(kv);
    }
}

void keyval_set(KeyVal *kv, const char *key, const char *value)
{
    set_item(kv, g_strdup(key), g_strdup(value));
}

void keyval_merge(KeyVal *kv, const KeyVal *from)
{
    for (unsigned i = 0; i < from->items->len; i++) {
        KeyValItem *item = g_ptr_array_index(from->items, i);

        keyval_set(kv, item->key, item->value);
    }
}

unsigned keyval_count(const KeyVal *kv)
{
    return kv->items->len;
}

const char *keyval_key_at(const KeyVal *kv, unsigned index)
{
    KeyValItem *item = g_ptr_array_index(kv->items, index);

    return item->key;
}

const char *keyval_get_str(KeyVal *kv, const char *key)
{
    KeyValItem *item = find_item(kv, key);

    if (!item) {
        return NULL;
    }
    item->used = true;
    return item->value;
}

/* Says which key a value that could not be read belongs to; false. */
static bool blame_key(const char *key, GError **error)
{
    g_prefix_error(error, "invalid '%s': ", key);
    return false;
}

bool keyval_get_uint64(KeyVal *kv, const char *key, uint64_t max,
                       uint64_t *ret_value, GError **error)
{
    const char *text = keyval_get_str(kv, key);

    return !text || parse_uint64(text, max, ret_value, error) ||
           blame_key(key, error);
}

bool keyval_get_size(KeyVal *kv, const char *key, char default_unit,
                     uint64_t *ret_bytes, GError **error)
{
    const char *text = keyval_get_str(kv, key);

    return !text || parse_size(text, default_unit, ret_bytes, error) ||
           blame_key(key, error);
}

bool keyval_get_bool(KeyVal *kv, const char *key, bool *ret_on,
                     GError **error)
{
    const char *text = keyval_get_str(kv, key);

    return !text || parse_bool(text, ret_on, error) || blame_key(key, error);
}

bool keyval_check_unused(const KeyVal *kv, const char *what, GError **error)
{
    for (unsigned i = 0; i < kv->items->len; i++) {
        KeyValItem *item = g_ptr_array_index(kv->items, i);

        if (!item->used) {
            tm_error_set(error, "'%s' is not an option of %s", item->key,
                         what);
            return false;
        }
    }
    return true;
}
