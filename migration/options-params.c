/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration parameters; see migration/options.h. One row each: how it is
 * called, what it may be, what it is at first, and what is missing if it can
 * be nothing else. Values travel between the rows and the QAPI structures as
 * JSON members of the rows' names, so that a parameter is this one row (and
 * its line in the schema).
 */
#include "migration/options.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "qapi/json-text.h"
#include "qapi/qapi-visit.h"
#include "util/cutils.h"
#include "util/error.h"

typedef enum ParamKind {
    PARAM_NUMBER,
    PARAM_RATE,      /* a number of bytes per second */
    PARAM_BOOL,
    PARAM_ENUM,
    PARAM_TEXT,      /* only ever empty */
    PARAM_PATH,      /* the only one; MigrationOptions.working_set */
} ParamKind;

typedef struct ParamRow {
    const char *name;
    ParamKind kind;
    uint64_t initial;
    uint64_t min;
    uint64_t max;
    const char *unit;        /* in texts; "" for none */
    const QapiType *values;  /* of an enum */
    const char *lacks;       /* NULL, or what there would have to be for any
                                other value than the initial one */
    bool quiet;              /* not in "info migrate_parameters" */
} ParamRow;

#define NUMBER(name, initial, min, max, unit, lacks) \
    { name, PARAM_NUMBER, initial, min, max, unit, NULL, lacks, false }
#define QUIET(name, initial, min, max, lacks) \
    { name, PARAM_NUMBER, initial, min, max, "", NULL, lacks, true }
#define RATE(name, initial) \
    { name, PARAM_RATE, initial, 0, UINT64_MAX, "bytes/second", NULL, NULL, \
      false }
#define BOOL(name, lacks) \
    { name, PARAM_BOOL, 0, 0, 1, "", NULL, lacks, false }
#define ENUM(name, initial, type, lacks) \
    { name, PARAM_ENUM, initial, 0, UINT64_MAX, "", type, lacks, false }
#define TEXT(name, lacks) \
    { name, PARAM_TEXT, 0, 0, 1, "", NULL, lacks, false }

#define PATH(name) { name, PARAM_PATH, 0, 0, 1, "", NULL, NULL, false }

#define NETWORK "a network device"
#define MULTIFD "capability 'multifd'"
#define TLS "TLS"

static const ParamRow param_rows[MIG_PARAM__MAX] = {
    /* When the guest's network addresses are told to the switches. */
    [MIG_PARAM_ANNOUNCE_INITIAL] =
        NUMBER("announce-initial", 50, 0, 100000, "ms", NETWORK),
    [MIG_PARAM_ANNOUNCE_MAX] =
        NUMBER("announce-max", 550, 0, 100000, "ms", NETWORK),
    [MIG_PARAM_ANNOUNCE_ROUNDS] =
        NUMBER("announce-rounds", 5, 0, 1000, "", NETWORK),
    [MIG_PARAM_ANNOUNCE_STEP] =
        NUMBER("announce-step", 100, 1, 10000, "ms", NETWORK),
    /* Percent of the bytes sent in a round that may be dirtied in it before
     * the vCPUs are throttled (with auto-converge). */
    [MIG_PARAM_THROTTLE_TRIGGER_THRESHOLD] =
        NUMBER("throttle-trigger-threshold", 50, 1, 100, "", NULL),
    /* Percent of their time that throttled vCPUs sleep: at first, and how
     * much more each time that it does not suffice. */
    [MIG_PARAM_CPU_THROTTLE_INITIAL] =
        NUMBER("cpu-throttle-initial", 20, 1, 99, "", NULL),
    [MIG_PARAM_CPU_THROTTLE_INCREMENT] =
        NUMBER("cpu-throttle-increment", 10, 1, 99, "", NULL),
    /* Make the increment smaller as it gets close to enough. */
    [MIG_PARAM_CPU_THROTTLE_TAILSLOW] = BOOL("cpu-throttle-tailslow", NULL),
    [MIG_PARAM_MAX_CPU_THROTTLE] =
        NUMBER("max-cpu-throttle", 99, 1, 99, "", NULL),
    [MIG_PARAM_TLS_CREDS] = TEXT("tls-creds", TLS),
    [MIG_PARAM_TLS_HOSTNAME] = TEXT("tls-hostname", TLS),
    /* What may be sent while the guest runs; 0: no limit. */
    [MIG_PARAM_MAX_BANDWIDTH] = RATE("max-bandwidth", 128 * MiB),
    /* What to expect of the channel at the switch-over; 0: as measured. */
    [MIG_PARAM_AVAIL_SWITCHOVER_BANDWIDTH] =
        RATE("avail-switchover-bandwidth", 0),
    /* How long the guest may stand still. */
    [MIG_PARAM_DOWNTIME_LIMIT] =
        NUMBER("downtime-limit", 300, 0, 2000000, "ms", NULL),
    [MIG_PARAM_X_CHECKPOINT_DELAY] =
        NUMBER("x-checkpoint-delay", 20000, 0, UINT32_MAX, "ms",
               "capability 'x-colo'"),
    [MIG_PARAM_MULTIFD_CHANNELS] =
        NUMBER("multifd-channels", 2, 1, 255, "", MULTIFD),
    [MIG_PARAM_MULTIFD_COMPRESSION] =
        ENUM("multifd-compression", MULTIFD_COMPRESSION_NONE,
             &qapi_type_MultiFDCompression, MULTIFD),
    [MIG_PARAM_MULTIFD_ZLIB_LEVEL] =
        QUIET("multifd-zlib-level", 1, 0, 9, MULTIFD),
    [MIG_PARAM_MULTIFD_ZSTD_LEVEL] =
        QUIET("multifd-zstd-level", 1, 0, 20, MULTIFD),
    [MIG_PARAM_MULTIFD_QATZIP_LEVEL] =
        QUIET("multifd-qatzip-level", 1, 1, 9, MULTIFD),
    /* "multifd", with no further channels, means the same as "legacy": the
     * migration thread looks. */
    [MIG_PARAM_ZERO_PAGE_DETECTION] =
        ENUM("zero-page-detection", ZERO_PAGE_DETECTION_MULTIFD,
             &qapi_type_ZeroPageDetection, NULL),
    [MIG_PARAM_XBZRLE_CACHE_SIZE] =
        NUMBER("xbzrle-cache-size", 64 * MiB, 4096, UINT64_MAX, "bytes",
               "capability 'xbzrle'"),
    [MIG_PARAM_MAX_POSTCOPY_BANDWIDTH] =
        NUMBER("max-postcopy-bandwidth", 0, 0, UINT64_MAX, "",
               "capability 'postcopy-ram'"),
    [MIG_PARAM_TLS_AUTHZ] = TEXT("tls-authz", TLS),
    /* With dirty-limit: the time in which a page counts once, and what each
     * vCPU may dirty when the guest has to be held back. */
    [MIG_PARAM_X_VCPU_DIRTY_LIMIT_PERIOD] =
        NUMBER("x-vcpu-dirty-limit-period", 1000, 1, 1000, "ms", NULL),
    [MIG_PARAM_VCPU_DIRTY_LIMIT] =
        NUMBER("vcpu-dirty-limit", 1, 1, UINT64_MAX, "MB/s", NULL),
    [MIG_PARAM_MODE] =
        ENUM("mode", MIG_MODE_NORMAL, &qapi_type_MigMode,
             "checkpoint and restart"),
    /* With mapped-ram: pages pass by the host's page cache. */
    [MIG_PARAM_DIRECT_IO] = BOOL("direct-io", NULL),
    /* With background-snapshot: memory for copies of pages that are not
     * written yet. What a guest that writes 500 MB/s writes in a tenth of a
     * second; beyond it, its writes wait for the file. */
    [MIG_PARAM_X_SNAPSHOT_POOL_SIZE] =
        NUMBER("x-snapshot-pool-size", 64 * MiB, 4 * MiB, INT64_MAX, "bytes",
               NULL),
    /* With mapped-ram, on the destination: how memory comes out of the file. */
    [MIG_PARAM_X_RESTORE_MODE] =
        ENUM("x-restore-mode", RESTORE_MODE_AUTO, &qapi_type_RestoreMode,
             NULL),
    /* With mode fault: how much is read around a page that is touched. */
    [MIG_PARAM_X_RESTORE_READ_AHEAD] =
        NUMBER("x-restore-read-ahead", 128 * KiB, 4096, 16 * MiB, "bytes",
               NULL),
    /* ... and what may be brought meanwhile of what nobody touches. */
    [MIG_PARAM_X_RESTORE_BANDWIDTH] = RATE("x-restore-bandwidth", 0),
    /* ... and where is written down what was touched. */
    [MIG_PARAM_X_WORKING_SET] = PATH("x-working-set"),
    /* Hash all memory at the hand-over. */
    [MIG_PARAM_X_VERIFY] = BOOL("x-verify", NULL),
};

static int param_find(const char *name)
{
    for (int i = 0; i < MIG_PARAM__MAX; i++) {
        if (!strcmp(param_rows[i].name, name)) {
            return i;
        }
    }
    return -1;
}

void migration_options_init_params(MigrationOptions *o)
{
    for (unsigned i = 0; i < MIG_PARAM__MAX; i++) {
        o->params[i] = param_rows[i].initial;
    }
}

uint64_t migration_options_param(const MigrationOptions *o, MigParam param)
{
    return __atomic_load_n(&o->params[param], __ATOMIC_RELAXED);
}

bool migration_options_is_initial(const MigrationOptions *o, MigParam param)
{
    return migration_options_param(o, param) == param_rows[param].initial;
}

/* ---- values ---------------------------------------------------------- */

/* The type of @node was checked against the schema. */
static uint64_t param_from_json(const ParamRow *row, JsonNode *node)
{
    uint64_t value = 0;

    switch (row->kind) {
    case PARAM_NUMBER:
    case PARAM_RATE:
        json_text_get_uint64(node, &value);
        break;
    case PARAM_BOOL:
        value = json_node_get_boolean(node);
        break;
    case PARAM_ENUM:
        value = qapi_enum_parse(row->values, json_node_get_string(node));
        break;
    case PARAM_TEXT:
        /* None can be set; 1 stands for any that is not empty. */
        value = !JSON_NODE_HOLDS_NULL(node) && *json_node_get_string(node);
        break;
    case PARAM_PATH:
        value = *json_node_get_string(node) != 0;
        break;
    }
    return value;
}

static JsonNode *param_to_json(const MigrationOptions *o, const ParamRow *row,
                               uint64_t value)
{
    JsonNode *node = json_node_alloc();

    switch (row->kind) {
    case PARAM_BOOL:
        return json_node_init_boolean(node, value);
    case PARAM_ENUM:
        return json_node_init_string(node, qapi_enum_str(row->values, value));
    case PARAM_TEXT:
        return json_node_init_string(node, "");
    case PARAM_PATH:
        return json_node_init_string(node, o->working_set);
    default:
        json_node_unref(node);
        return json_text_new_uint64(value);
    }
}

/* As people read it. */
static char *param_to_text(const ParamRow *row, JsonNode *node)
{
    uint64_t value = param_from_json(row, node);

    switch (row->kind) {
    case PARAM_BOOL:
        return g_strdup(value ? "on" : "off");
    case PARAM_ENUM:
        return g_strdup(json_node_get_string(node));
    case PARAM_TEXT:
    case PARAM_PATH:
        return g_strdup_printf("'%s'", json_node_get_string(node));
    default:
        return g_strdup_printf("%" G_GUINT64_FORMAT "%s%s", value,
                               *row->unit ? " " : "", row->unit);
    }
}

static bool param_check(const ParamRow *row, uint64_t value, GError **error)
{
    if (value < row->min || value > row->max) {
        tm_error_set(error, "Parameter '%s' expects an integer in the range "
                     "of %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "%s%s",
                     row->name, row->min, row->max, *row->unit ? " " : "",
                     row->unit);
        return false;
    }
    if (row->lacks && value != row->initial) {
        tm_error_set(error, "Parameter '%s' cannot be changed: %s is not "
                     "supported", row->name, row->lacks);
        return false;
    }
    return true;
}

static bool check_path(const char *path, GError **error)
{
    if (path && strlen(path) >= PATH_MAX) {
        tm_error_set(error, "Parameter 'x-working-set' expects a path of less "
                     "than %d bytes", PATH_MAX);
        return false;
    }
    return true;
}

static bool params_check_together(const uint64_t *values, GError **error)
{
    uint64_t first = values[MIG_PARAM_CPU_THROTTLE_INITIAL];
    uint64_t most = values[MIG_PARAM_MAX_CPU_THROTTLE];

    if (most < first) {
        tm_error_set(error, "Parameter 'max-cpu-throttle' (%" G_GUINT64_FORMAT
                     ") is below 'cpu-throttle-initial' (%" G_GUINT64_FORMAT
                     ")", most, first);
        return false;
    }
    return true;
}

bool migration_options_set_params(MigrationOptions *o,
                                  const MigrateSetParameters *params,
                                  GError **error)
{
    g_autoptr(JsonNode) root = qapi_MigrateSetParameters_to_json(params);
    JsonObject *members = json_node_get_object(root);
    MigrationOptions wanted = *o;
    uint64_t *values = wanted.params;

    for (unsigned i = 0; i < MIG_PARAM__MAX; i++) {
        JsonNode *node = json_object_get_member(members, param_rows[i].name);

        values[i] = migration_options_param(o, i);
        if (node) {
            values[i] = param_from_json(&param_rows[i], node);
            if (!param_check(&param_rows[i], values[i], error)) {
                return false;
            }
        }
    }
    if (!params_check_together(values, error) ||
        !check_path(params->x_working_set, error) ||
        !migration_options_check_verify(&wanted, wanted.caps, error)) {
        return false;
    }
    if (params->x_working_set) {
        g_strlcpy(o->working_set, params->x_working_set, PATH_MAX);
    }
    for (unsigned i = 0; i < MIG_PARAM__MAX; i++) {
        __atomic_store_n(&o->params[i], values[i], __ATOMIC_RELAXED);
    }
    return true;
}

MigrationParameters *migration_options_get_params(const MigrationOptions *o)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    g_autoptr(JsonObject) members = json_object_new();
    MigrationParameters *params = NULL;
    bool ok;

    for (unsigned i = 0; i < MIG_PARAM__MAX; i++) {
        json_object_set_member(members, param_rows[i].name,
                               param_to_json(o, &param_rows[i],
                                             migration_options_param(o, i)));
    }
    json_node_set_object(root, members);
    ok = qapi_MigrationParameters_from_json(root, &params, NULL);
    g_assert(ok); /* table and schema name the same things; tested */
    return params;
}

/* ---- texts ----------------------------------------------------------- */

static JsonNode *param_parse(const ParamRow *row, const char *text,
                             char rate_unit, GError **error)
{
    JsonNode *node;
    uint64_t value;
    bool on;

    switch (row->kind) {
    case PARAM_NUMBER:
    case PARAM_RATE:
        if (!parse_size(text, row->kind == PARAM_RATE ? rate_unit : 'B',
                        &value, error)) {
            return NULL;
        }
        return json_text_new_uint64(value);
    case PARAM_BOOL:
        if (!parse_bool(text, &on, error)) {
            return NULL;
        }
        node = json_node_alloc();
        return json_node_init_boolean(node, on);
    default:
        node = json_node_alloc();
        return json_node_init_string(node, text);
    }
}

MigrateSetParameters *migration_param_from_text(const char *name,
                                                const char *value,
                                                char rate_unit, GError **error)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    g_autoptr(JsonObject) members = json_object_new();
    MigrateSetParameters *params = NULL;
    int i = param_find(name);
    JsonNode *node;

    if (i < 0) {
        tm_error_set(error, "invalid parameter value: %s", name);
        return NULL;
    }
    node = param_parse(&param_rows[i], value, rate_unit, error);
    if (!node) {
        g_prefix_error(error, "parameter '%s': ", name);
        return NULL;
    }
    json_object_set_member(members, name, node);
    json_node_set_object(root, members);
    /* Names of an enum's values and widths of numbers are the schema's. */
    qapi_MigrateSetParameters_from_json(root, &params, error);
    return params;
}

char *migration_params_text(const MigrationParameters *params)
{
    g_autoptr(JsonNode) root = qapi_MigrationParameters_to_json(params);
    JsonObject *members = json_node_get_object(root);
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < MIG_PARAM__MAX; i++) {
        const ParamRow *row = &param_rows[i];
        JsonNode *node = json_object_get_member(members, row->name);

        if (node && !row->quiet) {
            g_autofree char *value = param_to_text(row, node);

            g_string_append_printf(text, "%s: %s\n", row->name, value);
        }
    }
    return g_string_free(text, FALSE);
}
