/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The description that ends a stream, as far as lengths go.
 *
 * A section's body is its fields, each as long as "size" says (for a nested
 * structure that of everything in it) and as often as "array_len" says, and
 * then its subsections: a byte, their name, their version, their body.
 */
#include <json-glib/json-glib.h>
#include <string.h>

#include "migration/verify-internal.h"
#include "qapi/json-text.h"
#include "util/error.h"

/* Nested deeper than any machine nests. */
#define DEPTH_MAX 16

static void device_free(VerifyDevice *device)
{
    g_free(device->name);
    if (device->subsections) {
        g_ptr_array_unref(device->subsections);
    }
    g_free(device);
}

uint64_t verify_device_bytes(const VerifyDevice *device)
{
    uint64_t sum = device->fields_bytes;

    for (unsigned i = 0; i < device->subsections->len; i++) {
        const VerifyDevice *sub = g_ptr_array_index(device->subsections, i);

        sum += 1 + 1 + strlen(sub->name) + 4 + verify_device_bytes(sub);
    }
    return sum;
}

/* ---- values ------------------------------------------------------------ */

static bool get_number(JsonObject *object, const char *key, uint64_t max,
                       uint64_t *ret)
{
    JsonNode *node = json_object_get_member(object, key);
    uint64_t value;

    if (!node || !json_text_get_uint64(node, &value) || value > max) {
        return false;
    }
    *ret = value;
    return true;
}

static const char *get_text(JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member(object, key);

    return node && json_text_is_string(node) ? json_node_get_string(node)
                                             : NULL;
}

/* Returns: NULL if it is not there or no list. */
static JsonArray *get_list(JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member(object, key);

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;
}

static JsonObject *element(JsonArray *list, guint i)
{
    JsonNode *node = json_array_get_element(list, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static bool fail(GError **error, const char *what, const char *name)
{
    tm_error_set(error, "%s of '%s' make no sense", what, name);
    return false;
}

/* ---- states ------------------------------------------------------------ */

static bool add_fields(VerifyDevice *device, JsonObject *state, GError **error)
{
    JsonArray *fields = get_list(state, "fields");

    for (guint i = 0; fields && i < json_array_get_length(fields); i++) {
        JsonObject *field = element(fields, i);
        uint64_t size, n = 1;

        if (!field || !get_number(field, "size", UINT32_MAX, &size) ||
            (json_object_has_member(field, "array_len") &&
             !get_number(field, "array_len", UINT32_MAX, &n))) {
            return fail(error, "the fields", device->name);
        }
        device->fields_bytes += size * n;
    }
    return fields || fail(error, "the fields", device->name);
}

static VerifyDevice *parse_state(JsonObject *state, const char *name,
                                 unsigned depth, GError **error);

static bool add_subsections(VerifyDevice *device, JsonObject *state,
                            unsigned depth, GError **error)
{
    JsonArray *list = get_list(state, "subsections");

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *sub = element(list, i);
        const char *name = sub ? get_text(sub, "vmsd_name") : NULL;
        VerifyDevice *one;

        if (!name || strlen(name) > 255 || depth == DEPTH_MAX) {
            return fail(error, "the subsections", device->name);
        }
        one = parse_state(sub, name, depth + 1, error);
        if (!one) {
            return false;
        }
        g_ptr_array_add(device->subsections, one);
    }
    return list || !json_object_has_member(state, "subsections") ||
           fail(error, "the subsections", device->name);
}

/* A device, a subsection, or the configuration. */
static VerifyDevice *parse_state(JsonObject *state, const char *name,
                                 unsigned depth, GError **error)
{
    VerifyDevice *device = g_new0(VerifyDevice, 1);
    uint64_t version = 0;

    device->has_version = get_number(state, "version", UINT32_MAX, &version);
    device->name = g_strdup(name);
    device->subsections =
        g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
    device->version = version;
    if (!add_fields(device, state, error) ||
        !add_subsections(device, state, depth, error)) {
        device_free(device);
        return NULL;
    }
    return device;
}

static bool add_device(GPtrArray *devices, JsonObject *object, GError **error)
{
    const char *name = object ? get_text(object, "name") : NULL;
    VerifyDevice *device;
    uint64_t instance;

    if (!name || strlen(name) > 255 ||
        !get_number(object, "instance_id", UINT32_MAX, &instance)) {
        return fail(error, "name and instance", name ? name : "a device");
    }
    device = parse_state(object, name, 0, error);
    if (!device) {
        return false;
    }
    device->instance = instance;
    g_ptr_array_add(devices, device);
    return true;
}

/* ---- the whole --------------------------------------------------------- */

static bool parse_root(JsonNode *node, GPtrArray *devices,
                       uint64_t *ret_configuration, GError **error)
{
    JsonObject *root = node && JSON_NODE_HOLDS_OBJECT(node)
                           ? json_node_get_object(node) : NULL;
    JsonArray *list = root ? get_list(root, "devices") : NULL;
    JsonNode *configuration;
    uint64_t page_size;

    if (!list || !get_number(root, "page_size", UINT32_MAX, &page_size) ||
        page_size != WIRE_PAGE_BYTES) {
        tm_error_set(error, "it has no list of devices, or another page size "
                     "than 4096");
        return false;
    }
    for (guint i = 0; i < json_array_get_length(list); i++) {
        if (!add_device(devices, element(list, i), error)) {
            return false;
        }
    }
    configuration = json_object_get_member(root, "configuration");
    *ret_configuration = 0;
    if (configuration && JSON_NODE_HOLDS_OBJECT(configuration)) {
        VerifyDevice *state =
            parse_state(json_node_get_object(configuration), "configuration",
                        0, error);

        if (!state) {
            return false;
        }
        *ret_configuration = verify_device_bytes(state);
        device_free(state);
    }
    return true;
}

GPtrArray *verify_devices_parse(const char *text, size_t n,
                                uint64_t *ret_configuration, GError **error)
{
    g_autoptr(JsonNode) root = json_text_parse(text, n, error);
    GPtrArray *devices;

    if (!root) {
        return NULL;
    }
    devices = g_ptr_array_new_with_free_func((GDestroyNotify)device_free);
    if (!parse_root(root, devices, ret_configuration, error)) {
        g_ptr_array_unref(devices);
        return NULL;
    }
    return devices;
}
