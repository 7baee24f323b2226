/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging -m, -object memory-backend-*, -numa and -drive.
 */
#include "system/opts.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/path.h"

#define PAGE_BYTES 4096

static const struct {
    const char *name;
    HostMemKind kind;
    bool share;         /* unless share= says otherwise */
} kinds[] = {
    { "memory-backend-ram", HOSTMEM_RAM, false },
    { "memory-backend-memfd", HOSTMEM_MEMFD, true },
    { "memory-backend-file", HOSTMEM_FILE, false },
};

static const OptBackend *find_backend(const Options *opts, const char *id)
{
    for (guint i = 0; i < opts->backends->len; i++) {
        const OptBackend *b = g_ptr_array_index(opts->backends, i);

        if (b->config.id && !strcmp(b->config.id, id)) {
            return b;
        }
    }
    return NULL;
}

/* As QEMU has them: begins with a letter. */
static bool id_is_good(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    while (g_ascii_isalnum(*id) || *id == '-' || *id == '.' || *id == '_') {
        id++;
    }
    return *id == '\0';
}

static bool check_size(uint64_t bytes, const char *what, GError **error)
{
    if (bytes == 0 || bytes % PAGE_BYTES || bytes > INT64_MAX) {
        tm_error_set(error, "%s of %" G_GUINT64_FORMAT " bytes is not a "
                     "positive multiple of %d", what, bytes, PAGE_BYTES);
        return false;
    }
    return true;
}

static bool backend_kind(OptBackend *b, GError **error)
{
    const char *type = keyval_get_str(b->options, "qom-type");

    for (unsigned i = 0; type && i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(type, kinds[i].name)) {
            b->config.kind = kinds[i].kind;
            b->config.share = kinds[i].share;
            return true;
        }
    }
    tm_error_set(error, "there is no object type '%s'", type ? type : "");
    return false;
}

static bool backend_fill(OptBackend *b, GError **error)
{
    HostMemConfig *c = &b->config;

    if (!backend_kind(b, error)) {
        return false;
    }
    c->id = keyval_get_str(b->options, "id");
    if (!c->id || !id_is_good(c->id)) {
        tm_error_set(error, c->id ? "id '%s' is not an identifier" :
                     "'id' is missing", c->id);
        c->id = NULL;
        return false;
    }
    if (c->kind == HOSTMEM_FILE) {
        c->mem_path = keyval_get_str(b->options, "mem-path");
        if (!c->mem_path) {
            tm_error_set(error, "'mem-path' of '%s' is missing", c->id);
            return false;
        }
        /* A directory is fine: a file without a name is made in it. */
        if (!g_file_test(c->mem_path, G_FILE_TEST_IS_DIR) &&
            !path_check_writable(c->mem_path, error)) {
            return false;
        }
    }
    if (!keyval_get_str(b->options, "size")) {
        tm_error_set(error, "'size' of '%s' is missing", c->id);
        return false;
    }
    return keyval_get_size(b->options, "size", 'B', &c->size_bytes, error) &&
           check_size(c->size_bytes, "a size", error) &&
           keyval_get_bool(b->options, "share", &c->share, error) &&
           keyval_get_bool(b->options, "prealloc", &c->prealloc, error);
}

static bool check_backends(Options *opts, GError **error)
{
    opts->backends = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < opts->objects->len; i++) {
        OptBackend *b = g_new0(OptBackend, 1);

        b->options = g_ptr_array_index(opts->objects, i);
        if (!backend_fill(b, error)) {
            g_free(b);
            return opts_error(error, "object");
        }
        if (find_backend(opts, b->config.id)) {
            tm_error_set(error, "-object: id '%s' is given twice",
                         b->config.id);
            g_free(b);
            return false;
        }
        g_ptr_array_add(opts->backends, b);
        if (!opts_unused(b->options, "object", error)) {
            return false;
        }
    }
    return true;
}

/* The board has one node: -numa can only say what its memory is. */
static bool numa_words(Options *opts, const char **ret_id, GError **error)
{
    KeyVal *kv = g_ptr_array_index(opts->numas, 0);
    const char *type = keyval_get_str(kv, "type");

    if (opts->numas->len > 1) {
        tm_error_set(error, "more than one node is not supported");
    } else if (g_strcmp0(type, "node")) {
        tm_error_set(error, "type '%s' is not supported, only 'node' is",
                     type ? type : "");
    } else if (*ret_id) {
        tm_error_set(error, "-machine memory-backend=%s says already what "
                     "the guest's RAM is", *ret_id);
    } else {
        *ret_id = keyval_get_str(kv, "memdev");
        if (*ret_id) {
            return opts_unused(kv, "numa", error);
        }
        tm_error_set(error, "'memdev' is missing");
    }
    return opts_error(error, "numa");
}

static bool check_ram_backend(Options *opts, bool sized, GError **error)
{
    bool numa = opts->numas->len > 0;
    const char *id = NULL;

    if (opts->machine) {
        id = keyval_get_str(opts->machine, "memory-backend");
    }
    if (numa && !numa_words(opts, &id, error)) {
        return false;
    }
    if (!id) {
        return true;
    }
    opts->ram_backend = find_backend(opts, id);
    if (!opts->ram_backend) {
        tm_error_set(error, "%s: there is no -object with id '%s'",
                     numa ? "-numa: memdev" : "-machine: memory-backend", id);
        return false;
    }
    if (sized && opts->ram_bytes != opts->ram_backend->config.size_bytes) {
        tm_error_set(error, "-m: size %" G_GUINT64_FORMAT " differs from size "
                     "%" G_GUINT64_FORMAT " of memory-backend '%s'",
                     opts->ram_bytes, opts->ram_backend->config.size_bytes,
                     id);
        return false;
    }
    opts->ram_bytes = opts->ram_backend->config.size_bytes;
    return true;
}

bool opts_check_memory(Options *opts, GError **error)
{
    uint64_t bytes = 0;
    bool sized = opts->memory != NULL;

    if (sized) {
        if (!keyval_get_size(opts->memory, "size", 'M', &bytes, error) ||
            !check_size(bytes, "a size", error)) {
            return opts_error(error, "m");
        }
        if (!opts_unused(opts->memory, "m", error)) {
            return false;
        }
    }
    opts->ram_bytes = sized ? bytes : opts->machine_type->default_ram_bytes;
    return check_backends(opts, error) &&
           check_ram_backend(opts, sized, error);
}

static void drive_free(gpointer opaque)
{
    DriveConfig *drive = opaque;

    g_free(drive->id);
    g_free(drive->path);
    g_free(drive->interface);
    g_free(drive);
}

static bool drive_has_id(const Options *opts, const char *id)
{
    for (guint i = 0; i < opts->drive_configs->len; i++) {
        DriveConfig *drive = g_ptr_array_index(opts->drive_configs, i);

        if (!g_strcmp0(drive->id, id)) {
            return true;
        }
    }
    return false;
}

static bool drive_words(KeyVal *kv, DriveConfig *drive, GError **error)
{
    const char *format = keyval_get_str(kv, "format");
    const char *interface = keyval_get_str(kv, "if");

    drive->path = g_strdup(keyval_get_str(kv, "file"));
    drive->id = g_strdup(keyval_get_str(kv, "id"));
    drive->interface = g_strdup(interface ? interface : "ide");
    if (!drive->path) {
        tm_error_set(error, "'file' is missing");
        return false;
    }
    if (format && strcmp(format, "raw")) {
        tm_error_set(error, "format '%s' is not supported, only 'raw' is",
                     format);
        return false;
    }
    if (strcmp(drive->interface, "ide") && strcmp(drive->interface, "none")) {
        tm_error_set(error, "interface '%s' is not supported, only 'ide' and "
                     "'none' are", drive->interface);
        return false;
    }
    return keyval_get_bool(kv, "readonly", &drive->readonly, error);
}

static bool drive_fill(const Options *opts, KeyVal *kv, DriveConfig *drive,
                       GError **error)
{
    if (!drive_words(kv, drive, error)) {
        return false;
    }
    if (drive->id && !id_is_good(drive->id)) {
        tm_error_set(error, "id '%s' is not an identifier", drive->id);
        return false;
    }
    if (drive->id && drive_has_id(opts, drive->id)) {
        tm_error_set(error, "id '%s' is given twice", drive->id);
        return false;
    }
    if (access(drive->path, drive->readonly ? R_OK : R_OK | W_OK)) {
        tm_error_set_errno(error, errno, "cannot open '%s'", drive->path);
        return false;
    }
    return true;
}

bool opts_check_drives(Options *opts, GError **error)
{
    opts->drive_configs = g_ptr_array_new_with_free_func(drive_free);
    for (guint i = 0; i < opts->drives->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->drives, i);
        DriveConfig *drive = g_new0(DriveConfig, 1);

        if (!drive_fill(opts, kv, drive, error)) {
            drive_free(drive);
            return opts_error(error, "drive");
        }
        g_ptr_array_add(opts->drive_configs, drive);
        if (!opts_unused(kv, "drive", error)) {
            return false;
        }
    }
    return true;
}
