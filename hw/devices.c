/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What -device and -drive make: one table of drivers, each with the
 * properties it takes. A property is asked for by the maker; what nobody asked
 * for is refused by name.
 */
#include <string.h>

#include "hw/board-internal.h"
#include "hw/disk.h"
#include "util/error.h"

typedef struct DeviceProperty {
    const char *name;
    const char *type;
    const char *description;
} DeviceProperty;

typedef struct DeviceType {
    const char *name;
    bool (*create)(Board *board, KeyVal *options, GError **error);
    const DeviceProperty *properties;
} DeviceType;

static bool ide_hd_create(Board *board, KeyVal *options, GError **error);

static const DeviceType device_table[] = {
    {
        "ide-hd", ide_hd_create,
        (const DeviceProperty[]) {
            { "drive", "str", "id of the -drive behind it" },
            { "cyls", "uint32", "cylinders shown to the guest, 1 to 65535" },
            { "heads", "uint32", "heads, 1 to 16" },
            { "secs", "uint32", "sectors per track, 1 to 255" },
            { "serial", "str", "serial number, up to 20 characters" },
            { NULL },
        },
    }, {
        "isa-debug-exit", debug_exit_create,
        (const DeviceProperty[]) {
            { "iobase", "uint32", "first port (default: 1281)" },
            { "iosize", "uint32", "number of ports (default: 2)" },
            { NULL },
        },
    }, {
        "tidemark-fb", framebuffer_create,
        (const DeviceProperty[]) {
            { "vram-size", "size", "its memory, 64K to 256M (default: 16M)" },
            { "iobase", "uint32", "first of 64 ports (default: 1792)" },
            { NULL },
        },
    },
};

const char *const *device_types(void)
{
    static const char *names[G_N_ELEMENTS(device_table) + 1];

    for (size_t i = 0; i < G_N_ELEMENTS(device_table); i++) {
        names[i] = device_table[i].name;
    }
    return names;
}

static const DeviceType *device_type_find(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(device_table); i++) {
        if (g_str_equal(device_table[i].name, name)) {
            return &device_table[i];
        }
    }
    return NULL;
}

char *device_help_text(const char *driver)
{
    const DeviceType *type = device_type_find(driver);
    GString *text;

    if (!type) {
        return NULL;
    }
    text = g_string_new(NULL);
    g_string_printf(text, "%s options:\n", type->name);
    for (const DeviceProperty *p = type->properties; p->name; p++) {
        g_autofree char *left = g_strdup_printf("%s=<%s>", p->name, p->type);

        g_string_append_printf(text, "  %-22s - %s\n", left, p->description);
    }
    return g_string_free(text, FALSE);
}

static DriveConfig *drive_find(const Board *board, const char *id)
{
    GPtrArray *drives = board->config->drives;

    for (guint i = 0; drives && i < drives->len; i++) {
        DriveConfig *drive = g_ptr_array_index(drives, i);

        if (drive->id && g_str_equal(drive->id, id)) {
            return drive;
        }
    }
    return NULL;
}

/* Open a drive's image and put it on the next free unit. */
static Disk *drive_attach(Board *board, DriveConfig *drive, GError **error)
{
    Disk *disk;

    if (drive->used) {
        tm_error_set(error, "drive '%s' is in use by another device",
                     drive->id);
        return NULL;
    }
    if (board->n_disks == IDE_UNITS) {
        tm_error_set(error, "no IDE unit is free: there are %d", IDE_UNITS);
        return NULL;
    }
    if (!drive->path) {
        tm_error_set(error, "drive '%s' has no file",
                     drive->id ? drive->id : "");
        return NULL;
    }
    disk = disk_open(drive->path, drive->readonly, error);
    if (!disk) {
        return NULL;
    }
    disk->id = g_strdup(drive->id);
    disk->serial = g_strdup_printf("TM%05u", board->n_disks + 1);
    drive->used = true;
    board->disks[board->n_disks++] = disk;
    return disk;
}

static bool ide_hd_set_serial(Disk *disk, const char *serial, GError **error)
{
    if (!serial) {
        return true;
    }
    if (strlen(serial) > 20) {
        tm_error_set(error, "'serial' is longer than 20 characters");
        return false;
    }
    g_free(disk->serial);
    disk->serial = g_strdup(serial);
    return true;
}

static bool ide_hd_create(Board *board, KeyVal *options, GError **error)
{
    const char *id = keyval_get_str(options, "drive");
    const char *serial = keyval_get_str(options, "serial");
    uint64_t cyls = 0, heads = 0, secs = 0;
    DriveConfig *drive;
    Disk *disk;

    if (!id) {
        tm_error_set(error, "property 'drive' is missing");
        return false;
    }
    if (!keyval_get_uint64(options, "cyls", UINT32_MAX, &cyls, error) ||
        !keyval_get_uint64(options, "heads", UINT32_MAX, &heads, error) ||
        !keyval_get_uint64(options, "secs", UINT32_MAX, &secs, error)) {
        return false;
    }
    drive = drive_find(board, id);
    if (!drive) {
        tm_error_set(error, "property 'drive' names no drive: '%s'", id);
        return false;
    }
    disk = drive_attach(board, drive, error);
    return disk && disk_set_geometry(disk, cyls, heads, secs, error) &&
        ide_hd_set_serial(disk, serial, error);
}

bool devices_attach_drives(Board *board, GError **error)
{
    GPtrArray *drives = board->config->drives;

    for (guint i = 0; drives && i < drives->len; i++) {
        DriveConfig *drive = g_ptr_array_index(drives, i);
        const char *interface = drive->interface ? drive->interface : "ide";

        if (drive->used || g_str_equal(interface, "none")) {
            continue;
        }
        if (!g_str_equal(interface, "ide")) {
            tm_error_set(error, "drive interface '%s' is not supported",
                         interface);
            return false;
        }
        if (!drive_attach(board, drive, error)) {
            return false;
        }
    }
    return true;
}

bool device_create(Board *board, KeyVal *options, GError **error)
{
    const char *driver = keyval_get_str(options, "driver");
    g_autofree char *what = g_strdup_printf("-device %s",
                                            driver ? driver : "");
    const DeviceType *type = driver ? device_type_find(driver) : NULL;

    if (!driver) {
        tm_error_set(error, "-device: no driver is given");
        return false;
    }
    if (!type) {
        tm_error_set(error, "-device: '%s' is not a device this board knows",
                     driver);
        return false;
    }
    keyval_get_str(options, "id"); /* a name; every device may have one */
    if (!type->create(board, options, error)) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    return keyval_check_unused(options, what, error);
}
