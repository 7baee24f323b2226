/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Configuration, clock and run state of the whole machine; see
 * migration/machine-state.h. Layouts are QEMU's.
 *
 * The machine's name must be equal, to the letter: QEMU takes any prefix of
 * its own, even an empty one, but a machine that is only nearly the same is
 * one that goes wrong later.
 */
#include "migration/machine-state.h"

#include <string.h>

#include "migration/wire.h"
#include "system/runstate.h"
#include "system/vm-clock.h"
#include "system/vm.h"
#include "util/error.h"

/* ---- the clock ------------------------------------------------------- */

static bool timer_pre_save(void *opaque, GError **error)
{
    MachineState *ms = opaque;

    ms->clock_ns = vm_clock_ns(ms->vm);
    return true;
}

static bool timer_post_load(void *opaque, int version, GError **error)
{
    MachineState *ms = opaque;

    if (ms->clock_ns < 0) {
        tm_error_set(error, "the VM clock is at %" G_GINT64_FORMAT " ns",
                     ms->clock_ns);
        return false;
    }
    vm_clock_set_ns(ms->vm, ms->clock_ns);
    return true;
}

const VmStateDesc machine_timer_desc = {
    .name = "timer",
    .version = 2,
    .minimum_version = 2,
    .fields = (const VmStateField[]) {
        VMSTATE_I64(MachineState, tick_offset),
        VMSTATE_UNUSED(8),
        VMSTATE_I64(MachineState, clock_ns),
        VMSTATE_END
    },
    .pre_save = timer_pre_save,
    .post_load = timer_post_load,
};

/* ---- the run state --------------------------------------------------- */

/* Without it the destination runs, or is paused by its own -S. */
static bool globalstate_needed(void *opaque)
{
    MachineState *ms = opaque;

    return ms->store_always ||
        (strcmp(ms->runstate, "running") && strcmp(ms->runstate, "paused"));
}

static bool globalstate_post_load(void *opaque, int version, GError **error)
{
    MachineState *ms = opaque;
    RunState state;

    if (!memchr(ms->runstate, '\0', sizeof(ms->runstate)) ||
        !stream_name_is_plain(ms->runstate, strlen(ms->runstate))) {
        tm_error_set(error, "the run state is not plain text");
        return false;
    }
    if (!RunState_parse(ms->runstate, &state)) {
        tm_error_set(error, "unknown run state '%s'", ms->runstate);
        return false;
    }
    if (!runstate_can_change(RUN_STATE_INMIGRATE, state)) {
        tm_error_set(error, "run state '%s' cannot be entered here",
                     ms->runstate);
        return false;
    }
    ms->loaded = state;
    ms->has_loaded = true;
    return true;
}

const VmStateDesc machine_globalstate_desc = {
    .name = "globalstate",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        { .name = "size", .offset = offsetof(MachineState, runstate_size),
          .size = 4, .count = 1, .type = &vmstate_type_u32 },
        VMSTATE_BUFFER(MachineState, runstate),
        VMSTATE_BOOL(MachineState, has_was_suspended),
        VMSTATE_BOOL(MachineState, was_suspended),
        VMSTATE_UNUSED(66),
        VMSTATE_END
    },
    .needed = globalstate_needed,
    .post_load = globalstate_post_load,
};

void machine_state_note(MachineState *ms)
{
    const char *name = RunState_str(runstate_get(ms->vm));

    memset(ms->runstate, 0, sizeof(ms->runstate));
    g_strlcpy(ms->runstate, name, sizeof(ms->runstate));
    ms->runstate_size = strlen(ms->runstate) + 1;
    ms->has_was_suspended = true;
    machine_state_note_sleep(ms);
}

void machine_state_note_sleep(MachineState *ms)
{
    ms->was_suspended = vm_was_suspended(ms->vm) ||
        runstate_get(ms->vm) == RUN_STATE_SUSPENDED;
}

void machine_state_enter(MachineState *ms)
{
    RunState state = ms->has_loaded ? ms->loaded : RUN_STATE_RUNNING;
    bool live = state == RUN_STATE_RUNNING || state == RUN_STATE_SUSPENDED;

    vm_set_was_suspended(ms->vm, state == RUN_STATE_SUSPENDED ||
                         (ms->has_was_suspended && ms->was_suspended));
    if (!live) {
        runstate_set(ms->vm, state);
    } else if (ms->vm->autostart) {
        vm_start(ms->vm);
    } else {
        runstate_set(ms->vm, RUN_STATE_PAUSED);
    }
}

/* ---- the configuration ----------------------------------------------- */

static bool uuid_needed(void *opaque)
{
    return ((MachineState *)opaque)->send_uuid;
}

static char *uuid_text(const uint8_t *u)
{
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                           "%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
                           u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                           u[12], u[13], u[14], u[15]);
}

/* A machine that was given no UUID takes any. */
static bool uuid_post_load(void *opaque, int version, GError **error)
{
    MachineState *ms = opaque;

    if (ms->vm->has_uuid && memcmp(ms->uuid, ms->vm->uuid, 16)) {
        g_autofree char *there = uuid_text(ms->uuid);
        g_autofree char *here = uuid_text(ms->vm->uuid);

        tm_error_set(error, "the source's UUID is %s, here it is %s", there,
                     here);
        return false;
    }
    return true;
}

static const VmStateDesc uuid_desc = {
    .name = "configuration/uuid",
    .version = 1,
    .minimum_version = 1,
    .needed = uuid_needed,
    .fields = (const VmStateField[]) {
        VMSTATE_BUFFER(MachineState, uuid),
        VMSTATE_END
    },
    .post_load = uuid_post_load,
};

static const VmStateDesc *const configuration_subsections[] = {
    &machine_caps_load_desc, &uuid_desc, NULL
};

/* Behind the name, which has no fixed length and so no fixed table. */
static const VmStateDesc configuration_rest_desc = {
    .name = "configuration",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) { VMSTATE_END },
    .subsections = configuration_subsections,
};

static void put_name(Stream *s, const void *value, size_t size)
{
    stream_put_bytes(s, ((const MachineState *)value)->vm->machine_name, size);
}

static void put_name_size(Stream *s, const void *value, size_t size)
{
    stream_put_be32(s,
                    strlen(((const MachineState *)value)->vm->machine_name));
}

bool machine_put_configuration(MachineState *ms, Stream *s,
                               struct _JsonBuilder *json, GError **error)
{
    /* As the tables of devices, but made for this machine's name. */
    const VmStateType size_type = { "uint32", put_name_size, NULL };
    const VmStateType name_type = { "buffer", put_name, NULL };
    const VmStateField fields[] = {
        { .name = "len", .size = 4, .count = 1, .type = &size_type },
        { .name = "name", .size = strlen(ms->vm->machine_name), .count = 1,
          .type = &name_type },
        VMSTATE_END
    };
    MachineCapsDesc caps;
    const VmStateDesc *const subsections[] = {
        machine_caps_describe(ms, &caps), &uuid_desc, NULL
    };
    const VmStateDesc desc = {
        .name = "configuration",
        .version = 1,
        .minimum_version = 1,
        .fields = fields,
        .subsections = subsections,
    };

    memcpy(ms->uuid, ms->vm->uuid, sizeof(ms->uuid));
    stream_put_u8(s, WIRE_SECTION_CONFIGURATION);
    return vmstate_save(s, &desc, ms, json, error);
}

bool machine_get_configuration(MachineState *ms, Stream *s, GError **error)
{
    char name[WIRE_MACHINE_NAME_MAX + 1];

    if (!wire_get_configuration(s, name, error)) {
        return false;
    }
    if (strcmp(name, ms->vm->machine_name)) {
        tm_error_set(error, "the source is a machine '%s', this is a '%s'",
                     name, ms->vm->machine_name);
        return false;
    }
    return vmstate_load(s, &configuration_rest_desc, ms, 1, error) &&
        machine_caps_check(&ms->caps, error);
}

void machine_state_init(MachineState *ms, Vm *vm,
                        const MigrationOptions *options)
{
    memset(ms, 0, sizeof(*ms));
    ms->vm = vm;
    ms->store_always = options->props.store_global_state;
    ms->send_uuid = vm->has_uuid &&
        migration_options_cap(options, MIGRATION_CAPABILITY_VALIDATE_UUID);
    machine_caps_init(&ms->caps, options);
}
