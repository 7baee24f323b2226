/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device state as field tables: the walk that writes, describes and reads it;
 * see include/migration/vmstate.h.
 *
 * A body is its fields in order, without tags or padding, then its
 * subsections, each 0x05, name, version, fields, nested subsections. A nested
 * structure is the same, in line. Depth and number of everything come from
 * our own tables, never from the stream, so hostile input is bounded by them.
 */
#include "migration/vmstate.h"

#include <string.h>

#include "migration/vmstate-json.h"
#include "migration/wire.h"
#include "trace/vmstate.h"
#include "util/error.h"

#define SUBSECTIONS_MAX 64 /* of one description: bits of a word */

static bool save_fields(Stream *s, const VmStateDesc *desc, void *opaque,
                        JsonBuilder *json, GError **error);
static bool save_subsections(Stream *s, const VmStateDesc *desc, void *opaque,
                             JsonBuilder *json, GError **error);

static void *field_element(const VmStateField *field, void *opaque, unsigned i)
{
    return (uint8_t *)opaque + field->offset + (size_t)i * field->size;
}

static bool field_is_there(const VmStateField *field, void *opaque,
                           int version)
{
    return field->version <= version &&
        (!field->exists || field->exists(opaque, version));
}

/* ---- saving ---------------------------------------------------------- */

static bool desc_save(Stream *s, const VmStateDesc *desc, void *opaque,
                      JsonBuilder *json, GError **error)
{
    if (desc->pre_save && !desc->pre_save(opaque, error)) {
        g_prefix_error(error, "cannot save '%s': ", desc->name);
        return false;
    }
    return save_fields(s, desc, opaque, json, error) &&
        save_subsections(s, desc, opaque, json, error);
}

/* Do all elements of an array of these look the same on the wire? */
static bool desc_is_uniform(const VmStateDesc *desc)
{
    if (desc->subsections) {
        return false;
    }
    for (const VmStateField *field = desc->fields; field->name; field++) {
        if (field->exists || (field->desc && !desc_is_uniform(field->desc))) {
            return false;
        }
    }
    return true;
}

/*
 * One structure, described as element @index of an array, as all @array_len
 * elements of one (0: neither), or not at all.
 */
static bool save_struct(Stream *s, const VmStateField *field, void *value,
                        JsonBuilder *json, const char *name, int index,
                        unsigned array_len, GError **error)
{
    uint64_t start = stream_bytes(s);

    if (!json) {
        return desc_save(s, field->desc, value, NULL, error);
    }
    json_builder_begin_object(json);
    json_builder_set_member_name(json, "name");
    json_builder_add_string_value(json, name);
    if (array_len || index >= 0) {
        json_builder_set_member_name(json, array_len ? "array_len" : "index");
        json_builder_add_int_value(json, array_len ? array_len : index);
    }
    json_builder_set_member_name(json, "type");
    json_builder_add_string_value(json, "struct");
    json_builder_set_member_name(json, "struct");
    json_builder_begin_object(json);
    if (!desc_save(s, field->desc, value, json, error)) {
        return false;
    }
    json_builder_end_object(json);
    json_builder_set_member_name(json, "size");
    json_builder_add_int_value(json, stream_bytes(s) - start);
    json_builder_end_object(json);
    return true;
}

static bool save_structs(Stream *s, const VmStateField *field, void *opaque,
                         JsonBuilder *json, const char *name, GError **error)
{
    bool uniform = field->is_array && desc_is_uniform(field->desc);

    for (unsigned i = 0; i < field->count; i++) {
        JsonBuilder *describe = uniform && i ? NULL : json;

        if (!save_struct(s, field, field_element(field, opaque, i), describe,
                         name, field->is_array && !uniform ? (int)i : -1,
                         uniform ? field->count : 0, error)) {
            return false;
        }
    }
    return true;
}

static void save_scalars(Stream *s, const VmStateField *field, void *opaque,
                         JsonBuilder *json, const char *name)
{
    for (unsigned i = 0; i < field->count; i++) {
        field->type->put(s, field_element(field, opaque, i), field->size);
    }
    if (json && field->count) {
        vmstate_json_field(json, name, field->type->name, field->size,
                           field->is_array ? field->count : 0);
    }
}

static bool save_fields(Stream *s, const VmStateDesc *desc, void *opaque,
                        JsonBuilder *json, GError **error)
{
    if (json) {
        vmstate_json_begin(json, desc->name, desc->version);
    }
    for (unsigned i = 0; desc->fields[i].name; i++) {
        const VmStateField *field = &desc->fields[i];
        g_autofree char *name = NULL;

        if (!field_is_there(field, opaque, desc->version)) {
            continue;
        }
        name = json ? vmstate_json_field_name(desc, i) : NULL;
        if (field->type) {
            save_scalars(s, field, opaque, json, name);
        } else if (!save_structs(s, field, opaque, json, name, error)) {
            return false;
        }
    }
    if (json) {
        json_builder_end_array(json);
    }
    return stream_check(s, error);
}

static bool save_subsection(Stream *s, const VmStateDesc *sub, void *opaque,
                            JsonBuilder *json, GError **error)
{
    trace_vmstate_save_subsection(sub->name, sub->version);
    stream_put_u8(s, WIRE_SECTION_SUBSECTION);
    stream_put_cstr(s, sub->name);
    stream_put_be32(s, sub->version);
    if (json) {
        json_builder_begin_object(json);
    }
    if (!desc_save(s, sub, opaque, json, error)) {
        return false;
    }
    if (json) {
        json_builder_end_object(json);
    }
    return true;
}

static bool save_subsections(Stream *s, const VmStateDesc *desc, void *opaque,
                             JsonBuilder *json, GError **error)
{
    bool any = false;

    for (const VmStateDesc *const *sub = desc->subsections; sub && *sub;
         sub++) {
        if ((*sub)->needed && !(*sub)->needed(opaque)) {
            continue;
        }
        if (!any && json) {
            json_builder_set_member_name(json, "subsections");
            json_builder_begin_array(json);
        }
        any = true;
        if (!save_subsection(s, *sub, opaque, json, error)) {
            return false;
        }
    }
    if (any && json) {
        json_builder_end_array(json);
    }
    return stream_check(s, error);
}

bool vmstate_save(Stream *s, const VmStateDesc *desc, void *opaque,
                  struct _JsonBuilder *json, GError **error)
{
    uint64_t start = stream_bytes(s);

    if (!desc_save(s, desc, opaque, json, error)) {
        return false;
    }
    trace_vmstate_save(desc->name, desc->version, stream_bytes(s) - start);
    return true;
}

/* ---- loading --------------------------------------------------------- */

static bool load_field(Stream *s, const VmStateField *field, void *opaque,
                       GError **error)
{
    for (unsigned i = 0; i < field->count; i++) {
        void *value = field_element(field, opaque, i);

        if (!field->type) {
            if (!vmstate_load(s, field->desc, value, field->desc->version,
                              error)) {
                return false;
            }
            continue;
        }
        if (!field->type->get(s, value, field->size, error) ||
            !stream_check(s, error)) {
            return false;
        }
    }
    return true;
}

static bool load_fields(Stream *s, const VmStateDesc *desc, void *opaque,
                        int version, GError **error)
{
    for (const VmStateField *field = desc->fields; field->name; field++) {
        if (field_is_there(field, opaque, version) &&
            !load_field(s, field, opaque, error)) {
            g_prefix_error(error, "field '%s' of '%s': ", field->name,
                           desc->name);
            return false;
        }
    }
    return true;
}

/*
 * Is a subsection of @desc next? It is if its name goes on after "<name>/".
 * Nothing is consumed.
 */
static bool peek_subsection(Stream *s, const VmStateDesc *desc, char name[256])
{
    size_t prefix = strlen(desc->name);
    uint8_t head[2];

    if (stream_peek(s, head, 1, 0) < 1 || head[0] != WIRE_SECTION_SUBSECTION ||
        stream_peek(s, head, 2, 0) < 2 ||
        stream_peek(s, name, head[1], 2) < head[1]) {
        return false;
    }
    name[head[1]] = '\0';
    return !strncmp(name, desc->name, prefix) && name[prefix] == '/';
}

/* Index in the table, or -1. */
static int find_subsection(const VmStateDesc *desc, const char *name)
{
    for (int i = 0; desc->subsections && desc->subsections[i]; i++) {
        g_assert(i < SUBSECTIONS_MAX); /* our own table */
        if (!strcmp(desc->subsections[i]->name, name)) {
            return i;
        }
    }
    return -1;
}

static bool load_subsections(Stream *s, const VmStateDesc *desc, void *opaque,
                             GError **error)
{
    uint64_t seen = 0;
    char name[256];

    while (peek_subsection(s, desc, name)) {
        uint32_t version;
        int i;

        stream_get_u8(s);
        if (!stream_get_cstr(s, name)) { /* before it is in any words */
            return stream_check(s, error);
        }
        i = find_subsection(desc, name);
        if (i < 0 || (seen & (UINT64_C(1) << i))) {
            tm_error_set(error, "%s subsection '%s' of '%s'",
                         i < 0 ? "unknown" : "second", name, desc->name);
            return false;
        }
        seen |= UINT64_C(1) << i;
        version = stream_get_be32(s);
        if (!stream_check(s, error)) {
            return false;
        }
        trace_vmstate_load_subsection(name, version);
        if (!vmstate_load(s, desc->subsections[i], opaque,
                          MIN(version, INT_MAX), error)) {
            return false;
        }
    }
    return stream_check(s, error);
}

static bool check_version(const VmStateDesc *desc, int version, GError **error)
{
    if (version > desc->version) {
        tm_error_set(error, "'%s' has version %d, newer than %d", desc->name,
                     version, desc->version);
        return false;
    }
    if (version < desc->minimum_version) {
        tm_error_set(error, "'%s' has version %d, older than %d", desc->name,
                     version, desc->minimum_version);
        return false;
    }
    return true;
}

static bool load_hook(bool ok, const VmStateDesc *desc, GError **error)
{
    if (!ok) {
        g_prefix_error(error, "cannot load '%s': ", desc->name);
    }
    return ok;
}

bool vmstate_load(Stream *s, const VmStateDesc *desc, void *opaque,
                  int version, GError **error)
{
    uint64_t start = stream_bytes(s);

    if (!check_version(desc, version, error)) {
        return false;
    }
    if (desc->pre_load &&
        !load_hook(desc->pre_load(opaque, error), desc, error)) {
        return false;
    }
    if (!load_fields(s, desc, opaque, version, error) ||
        !load_subsections(s, desc, opaque, error)) {
        return false;
    }
    if (desc->post_load &&
        !load_hook(desc->post_load(opaque, version, error), desc, error)) {
        return false;
    }
    trace_vmstate_load(desc->name, version, stream_bytes(s) - start);
    return true;
}
