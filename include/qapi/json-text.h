/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON text to JsonNode and back, in the dialect of QMP.
 *
 * json-glib holds the values; its own parser is not used because it takes
 * texts that are no JSON, recurses without bound, and wraps integers above
 * INT64_MAX. Strings may be in single quotes, as QMP servers accept them.
 * An integer of 2^63..2^64-1 is kept as a string node that begins with the
 * byte 0xFF (which no checked string can hold); only the functions of this
 * header know that.
 */
#ifndef QAPI_JSON_TEXT_H
#define QAPI_JSON_TEXT_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_TEXT_MAX_DEPTH 1024              /* nested objects and arrays */
#define JSON_TEXT_MAX_BYTES (64u << 20)       /* one value on a monitor */

/**
 * json_text_parse() - read one JSON value
 * @text: bytes, need not end in NUL;  @length: how many
 * White space around the value is allowed, anything else is an error.
 * Integers that fit neither int64 nor uint64 become doubles.
 * Context: any thread.   Cost: O(length); depth is bounded.
 * Errors:  GenericError "JSON parse error, ...".
 * Returns: the value, owned by the caller; NULL on error.
 */
JsonNode *json_text_parse(const char *text, size_t length, GError **error);

/**
 * json_text_print() - write a value as one line of JSON
 * @out:  text is appended here;  @node: the value; NULL counts as null
 * All text beyond ASCII is written as \u escapes, so that no client can
 * stumble over an encoding.
 * Context: any thread.
 */
void json_text_print(GString *out, JsonNode *node);

/**
 * json_text_to_string() - json_text_print() into a string of its own
 * Context: any thread.
 * Returns: text, owned by the caller.
 */
char *json_text_to_string(JsonNode *node);

/**
 * json_text_to_pretty() - the same, a line and an indent for each member
 * Context: any thread.
 * Returns: text, owned by the caller.
 */
char *json_text_to_pretty(JsonNode *node);

/**
 * json_text_new_uint64() - a node that holds any uint64_t exactly
 * Context: any thread.
 * Returns: a new node, owned by the caller.
 */
JsonNode *json_text_new_uint64(uint64_t value);

/**
 * json_text_get_uint64() - read a non-negative integer node
 * @node: any node;  @ret_value: written on success
 * Context: any thread.
 * Returns: false when @node is not an integer of 0..2^64-1.
 */
bool json_text_get_uint64(JsonNode *node, uint64_t *ret_value);

/**
 * json_text_is_string() - is it a string, and not a kept large integer?
 * Context: any thread.
 */
bool json_text_is_string(JsonNode *node);

#endif
