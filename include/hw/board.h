/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boards: what -machine names, and the making of one.
 */
#ifndef HW_BOARD_H
#define HW_BOARD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "chardev/chardev.h"
#include "util/keyval.h"

typedef struct Vm Vm;
typedef struct HostMem HostMem;
typedef struct Consoles Consoles; /* ui/console.h */

typedef struct MachineType {
    const char *name;        /* versioned: "pc-q35-10.0" */
    const char *alias;       /* "q35", or NULL */
    const char *description;
    bool is_default;
    bool has_cpus;
    unsigned max_cpus;
    uint64_t default_ram_bytes;
    const char *default_ram_id; /* of the RAM block: "pc.ram", "ram" */
} MachineType;

/** machine_types() - the table, ended by a NULL name. */
const MachineType *machine_types(void);
/** machine_type_find() - by name or alias; NULL if unknown. */
const MachineType *machine_type_find(const char *name);

/* A drive as -drive describes it. */
typedef struct DriveConfig {
    char *id;            /* or NULL */
    char *path;
    char *interface;     /* "none" or "ide" */
    bool readonly;
    bool used;           /* a device has taken it */
} DriveConfig;

typedef struct BoardConfig {
    const MachineType *type;
    HostMem *ram;                 /* memory-backend=, or NULL */
    uint64_t ram_bytes;           /* 0: none */
    Chardev *serial[4];           /* NULL: no device behind it */
    GPtrArray *drives;            /* of DriveConfig * */
    GPtrArray *devices;           /* of KeyVal *, -device in order; implied
                                     key "driver" */
    Consoles *consoles;           /* where displays appear */
    void (*report)(const char *text); /* words for the user about what a guest
                                     does wrong, any thread; NULL: none */
} BoardConfig;

/**
 * board_create() - RAM, devices and their state's registration
 * Context: start-up, big lock; before the vCPUs.
 * Errors:  an unknown device or property, a drive that cannot be opened, no
 *          memory; the process is to end.
 */
bool board_create(Vm *vm, const BoardConfig *config, GError **error);

/**
 * board_destroy() - close the disks and free the devices
 * Their ports and sections stay registered but dead: only for the end.
 * Context: big lock; vCPUs are gone, chardevs still there. No board: nothing.
 */
void board_destroy(Vm *vm);

/** device_types() - names that -device takes; NULL-terminated. */
const char *const *device_types(void);
/** device_help_text() - properties of one driver, or NULL if unknown. */
char *device_help_text(const char *driver);

#endif
