/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capabilities that change what follows in a stream: the configuration
 * names those that are on at the source, and the destination must have the
 * same of them on. Which they are is the table in machine-caps.c.
 */
#ifndef MIGRATION_MACHINE_CAPS_H
#define MIGRATION_MACHINE_CAPS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/options.h"
#include "migration/vmstate.h"

typedef struct MachineState MachineState; /* machine-state.h */

#define MACHINE_CAPS_MAX 8    /* rows of the table, at most */

typedef struct MachineCaps MachineCaps;

struct MachineCaps {
    uint64_t here;            /* those of the table that are on here; bit per
                                 MigrationCapability */
    uint64_t adopts;          /* destination: those that are taken over if
                                 the source has them on */
    uint64_t there;           /* destination: those the source has named */
    uint32_t count;           /* how many are named in the stream */
    uint32_t named[MACHINE_CAPS_MAX]; /* source: these */
};

/* A description whose shape depends on what is on. */
typedef struct MachineCapsDesc {
    VmStateField fields[MACHINE_CAPS_MAX + 2];
    VmStateDesc desc;
} MachineCapsDesc;

/* The destination's half of the subsection; of a MachineState. */
extern const VmStateDesc machine_caps_load_desc;

/** machine_caps_init() - Context: big lock. */
void machine_caps_init(MachineCaps *caps, const MigrationOptions *options);

/** machine_caps_describe() - the source's half of the subsection
 *  Returns: a description of @ms in @ret, good as long as that is. */
const VmStateDesc *machine_caps_describe(const MachineState *ms,
                                         MachineCapsDesc *ret);

/** machine_caps_check() - destination, when the configuration has been read
 *  What is taken over is on here from then on.
 *  Errors: two that the source has on exclude each other, with both names; one
 *  that is on at one side only, with both values. */
bool machine_caps_check(MachineCaps *caps, GError **error);

/** machine_caps_has() - is one of the table on in this stream? */
bool machine_caps_has(const MachineCaps *caps, MigrationCapability cap);

#endif
