/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options in the form key=value,key2=value2: parsed once, then asked for by
 * key. Asking marks a key as used, so that whoever has asked for all it knows
 * can have the others refused by name.
 *
 * - A comma inside a value is written ",,".
 * - A first item without '=' is the value of the implied key, if there is one;
 *   any other item without '=' is a switch: "server" means "server=on".
 * - Of a key that is given twice the last value counts.
 * - A comma at the very end is allowed and means nothing.
 * - Dots in keys are not special.
 */
#ifndef UTIL_KEYVAL_H
#define UTIL_KEYVAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct KeyVal KeyVal;

/**
 * keyval_parse() - read an option text
 * @implied_key: key of a first item without '='; NULL for none
 * Errors:  an item without a name ("=x", ",,x").
 * Returns: to be freed with keyval_free(); NULL on error.
 */
KeyVal *keyval_parse(const char *text, const char *implied_key,
                     GError **error);

/** keyval_free() - accepts NULL */
void keyval_free(KeyVal *kv);

/**
 * keyval_set() - give @key a value, replacing the one it has
 */
void keyval_set(KeyVal *kv, const char *key, const char *value);

/**
 * keyval_merge() - add every key of @from, whose values win, to @kv
 * As for an option that is given several times and counts as one.
 */
void keyval_merge(KeyVal *kv, const KeyVal *from);

/**
 * keyval_count() - number of different keys
 */
unsigned keyval_count(const KeyVal *kv);

/**
 * keyval_key_at() - the key that was given as number @index
 * @index: 0..keyval_count() - 1, in the order of first appearance
 * Looking at a key this way does not mark it used.
 */
const char *keyval_key_at(const KeyVal *kv, unsigned index);

/**
 * keyval_get_str() - value of @key; marks it used
 * Returns: text owned by @kv, good until the key is set again; NULL if the
 *          key was not given.
 */
const char *keyval_get_str(KeyVal *kv, const char *key);

/**
 * keyval_get_uint64() - value of @key as a number; marks it used
 * @max:       the largest value accepted
 * @ret_value: left alone when the key was not given: preset the default
 * Errors:  as parse_uint64(), with the key named; @ret_value untouched.
 * Returns: false on error only.
 */
bool keyval_get_uint64(KeyVal *kv, const char *key, uint64_t max,
                       uint64_t *ret_value, GError **error);

/**
 * keyval_get_size() - value of @key in bytes; marks it used
 * @default_unit: as for parse_size()
 * @ret_bytes: left alone when the key was not given
 * Errors:  as parse_size(), with the key named; @ret_bytes untouched.
 * Returns: false on error only.
 */
bool keyval_get_size(KeyVal *kv, const char *key, char default_unit,
                     uint64_t *ret_bytes, GError **error);

/**
 * keyval_get_bool() - value of @key as a switch; marks it used
 * @ret_on: left alone when the key was not given
 * Errors:  as parse_bool(), with the key named; @ret_on untouched.
 * Returns: false on error only.
 */
bool keyval_get_bool(KeyVal *kv, const char *key, bool *ret_on,
                     GError **error);

/**
 * keyval_check_unused() - refuse the first key that nobody asked for
 * @what: what the options are for, as in "-chardev file"
 * Errors:  there is such a key; it and @what are named.
 * Returns: true when every key was asked for.
 */
bool keyval_check_unused(const KeyVal *kv, const char *what, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeyVal, keyval_free)

#endif
