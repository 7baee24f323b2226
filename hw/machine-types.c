/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names that -machine knows. Clients look for QEMU's versioned names and
 * their aliases (they skip or refuse us without them); the board behind all
 * but "none" is one and the same.
 */
#include "hw/board.h"

#define MIB (UINT64_C(1) << 20)

static const MachineType types[] = {
    {
        .name = "none",
        .description = "empty machine",
        .max_cpus = 1,
        .default_ram_id = "ram",
    }, {
        .name = "pc-i440fx-10.0",
        .alias = "pc",
        .description = "Tidemark board under the name of a PC (i440FX)",
        .is_default = true,
        .has_cpus = true,
        .max_cpus = 255,
        .default_ram_bytes = 128 * MIB,
        .default_ram_id = "pc.ram",
    }, {
        .name = "pc-q35-10.0",
        .alias = "q35",
        .description = "Tidemark board under the name of a PC (Q35)",
        .has_cpus = true,
        .max_cpus = 255,
        .default_ram_bytes = 128 * MIB,
        .default_ram_id = "pc.ram",
    },
    { .name = NULL },
};

const MachineType *machine_types(void)
{
    return types;
}

const MachineType *machine_type_find(const char *name)
{
    for (const MachineType *type = types; type->name; type++) {
        if (g_str_equal(type->name, name) ||
            (type->alias && g_str_equal(type->alias, name))) {
            return type;
        }
    }
    return NULL;
}
