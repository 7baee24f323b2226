/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of the machine as a whole travels in a stream: the configuration (its
 * name, perhaps its UUID), the VM clock (section "timer", the first device
 * section) and the run state (section "globalstate", the last one).
 */
#ifndef MIGRATION_MACHINE_STATE_H
#define MIGRATION_MACHINE_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/machine-caps.h"
#include "migration/options.h"
#include "migration/vmstate.h"
#include "qapi/qapi-types.h"

typedef struct Vm Vm;

struct MachineState {
    Vm *vm;
    bool store_always;        /* property store-global-state */
    bool send_uuid;
    /* Section "timer". */
    int64_t tick_offset;      /* of the TSC; each vCPU's travels with it */
    int64_t clock_ns;
    /* Section "globalstate". */
    uint32_t runstate_size;   /* strlen + 1 */
    char runstate[32];        /* name, zero padded */
    bool has_was_suspended;
    bool was_suspended;
    RunState loaded;          /* destination, if has_loaded */
    bool has_loaded;
    /* The configuration. */
    uint8_t uuid[16];
    MachineCaps caps;
};

extern const VmStateDesc machine_timer_desc, machine_globalstate_desc;

/** machine_state_init() - @options: read here once. Context: big lock. */
void machine_state_init(MachineState *ms, Vm *vm,
                        const MigrationOptions *options);

/** machine_state_note() - source: the run state as it is now is what the
 *  destination is to enter. Context: big lock. */
void machine_state_note(MachineState *ms);

/** machine_state_note_sleep() - source, when the machine has been stopped:
 *  whether the guest sleeps now. It may have fallen asleep with its last
 *  instruction, after machine_state_note(). Context: big lock. */
void machine_state_note_sleep(MachineState *ms);

/** machine_state_enter() - destination: run, pause or sleep as the source
 *  did; -S keeps a running guest paused. Cannot fail: what was loaded was
 *  checked. Context: big lock, everything loaded. */
void machine_state_enter(MachineState *ms);

/** machine_put_configuration() - the section, with its description as
 *  members of the object that is open in @json (may be NULL). */
bool machine_put_configuration(MachineState *ms, Stream *s,
                               struct _JsonBuilder *json, GError **error);

/** machine_get_configuration() - Errors: another machine, another UUID, a
 *  capability that is on at one side only or not built; both sides' values
 *  are named. */
bool machine_get_configuration(MachineState *ms, Stream *s, GError **error);

#endif
