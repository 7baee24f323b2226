/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The description that ends a stream: JSON text which says, field by field,
 * what the device sections before it hold, so that tools can read them.
 *
 *   { "configuration": {...}, "page_size": N, "devices": [ {...}, ... ] }
 *
 * A description object is { "vmsd_name", "version", "fields": [...],
 * "subsections": [...] }; a device's also has "name" and "instance_id".
 */
#ifndef MIGRATION_VMSTATE_JSON_H
#define MIGRATION_VMSTATE_JSON_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/vmstate.h"

/** vmstate_json_begin() - open a description object's members
 *  The caller has opened the object itself. Adds name and version and opens
 *  "fields". */
void vmstate_json_begin(JsonBuilder *json, const char *name, int version);

/** vmstate_json_field() - one whole field that is no structure
 *  @array_len: 0 for a single value. */
void vmstate_json_field(JsonBuilder *json, const char *name, const char *type,
                        size_t size, unsigned array_len);

/** vmstate_json_field_name() - the name to describe @desc->fields[@index] by:
 *  its own, with [n] if the table uses it several times
 *  Returns: to be freed with g_free(). */
char *vmstate_json_field_name(const VmStateDesc *desc, unsigned index);

/**
 * vmstate_json_text() - the finished description as it goes on the wire
 * @json: a builder whose root object is closed
 * Readers search the file's end for the last zero byte and take the first
 * brace after it for the text's start. So the text has no NUL, and blanks are
 * appended until its length, written big-endian, has no byte 0x7B after its
 * own last zero byte.
 * Returns: text, owned by the caller; its length in *@ret_length.
 */
char *vmstate_json_text(JsonBuilder *json, uint32_t *ret_length);

/** vmstate_json_length_is_safe() - the rule above, for tests. Pure. */
bool vmstate_json_length_is_safe(uint32_t length);

#endif
