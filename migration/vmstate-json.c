/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building the stream's description; see migration/vmstate-json.h. Runs once
 * per field in the blackout of a switch-over: some kilobytes in all.
 */
#include "migration/vmstate-json.h"

#include <string.h>

void vmstate_json_begin(JsonBuilder *json, const char *name, int version)
{
    json_builder_set_member_name(json, "vmsd_name");
    json_builder_add_string_value(json, name);
    json_builder_set_member_name(json, "version");
    json_builder_add_int_value(json, version);
    json_builder_set_member_name(json, "fields");
    json_builder_begin_array(json);
}

void vmstate_json_field(JsonBuilder *json, const char *name, const char *type,
                        size_t size, unsigned array_len)
{
    json_builder_begin_object(json);
    json_builder_set_member_name(json, "name");
    json_builder_add_string_value(json, name);
    if (array_len) {
        json_builder_set_member_name(json, "array_len");
        json_builder_add_int_value(json, array_len);
    }
    json_builder_set_member_name(json, "type");
    json_builder_add_string_value(json, type);
    json_builder_set_member_name(json, "size");
    json_builder_add_int_value(json, size);
    json_builder_end_object(json);
}

char *vmstate_json_field_name(const VmStateDesc *desc, unsigned index)
{
    const char *name = desc->fields[index].name;
    unsigned before = 0, all = 0;

    for (unsigned i = 0; desc->fields[i].name; i++) {
        if (!strcmp(desc->fields[i].name, name)) {
            all++;
            before += i < index;
        }
    }
    return all == 1 ? g_strdup(name) : g_strdup_printf("%s[%u]", name, before);
}

bool vmstate_json_length_is_safe(uint32_t length)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        uint8_t byte = length >> shift;

        /* From the last byte forwards: what is before a zero does no harm. */
        if (byte == 0) {
            return true;
        }
        if (byte == '{') {
            return false;
        }
    }
    return true;
}

char *vmstate_json_text(JsonBuilder *json, uint32_t *ret_length)
{
    g_autoptr(JsonNode) root = json_builder_get_root(json);
    g_autofree char *compact = json_to_string(root, FALSE);
    GString *text = g_string_new(compact);

    while (!vmstate_json_length_is_safe(text->len)) {
        g_string_append_c(text, ' ');
    }
    *ret_length = text->len;
    return g_string_free(text, FALSE);
}
