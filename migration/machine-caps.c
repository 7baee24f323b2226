/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities in the configuration; see migration/machine-caps.h. Runs once
 * per stream. Names have no fixed length, so each is described as a field of
 * its own.
 */
#include "migration/machine-caps.h"

#include <string.h>

#include "migration/machine-state.h"
#include "util/error.h"

#define BIT(cap) (UINT64_C(1) << (cap))
#define COUNT_FIELD \
    { .name = "caps_count", .offset = offsetof(MachineState, caps.count), \
      .size = 4, .count = 1, .type = &vmstate_type_u32 }

/* In the order in which they are named. */
static const MigrationCapability stream_caps[] = {
    MIGRATION_CAPABILITY_X_IGNORE_SHARED,
    MIGRATION_CAPABILITY_MAPPED_RAM,
    MIGRATION_CAPABILITY_PAGE_CHECKSUMS,
};

G_STATIC_ASSERT(G_N_ELEMENTS(stream_caps) <= MACHINE_CAPS_MAX);

void machine_caps_init(MachineCaps *caps, const MigrationOptions *options)
{
    memset(caps, 0, sizeof(*caps));
    for (unsigned i = 0; i < G_N_ELEMENTS(stream_caps); i++) {
        if (migration_options_cap(options, stream_caps[i])) {
            caps->here |= BIT(stream_caps[i]);
            caps->named[caps->count++] = stream_caps[i];
        }
    }
}

/* ---- source ---------------------------------------------------------- */

static void put_name(Stream *s, const void *value, size_t size)
{
    stream_put_cstr(s, MigrationCapability_str(*(const uint32_t *)value));
}

static const VmStateType name_type = { "capability", put_name, NULL };

static bool any_is_on(void *opaque)
{
    return ((MachineState *)opaque)->caps.count > 0;
}

const VmStateDesc *machine_caps_describe(const MachineState *ms,
                                         MachineCapsDesc *ret)
{
    VmStateField *field = ret->fields;

    *field++ = (VmStateField)COUNT_FIELD;
    for (uint32_t i = 0; i < ms->caps.count; i++) {
        const char *name = MigrationCapability_str(ms->caps.named[i]);

        *field++ = (VmStateField){
            .name = "capabilities",
            .offset = offsetof(MachineState, caps.named[i]),
            .size = 1 + strlen(name), .count = 1, .type = &name_type };
    }
    *field = (VmStateField)VMSTATE_END;
    ret->desc = (VmStateDesc){
        .name = "configuration/capabilities",
        .version = 1,
        .minimum_version = 1,
        .needed = any_is_on,
        .fields = ret->fields,
    };
    return &ret->desc;
}

/* ---- destination ----------------------------------------------------- */

static bool find_cap(const char *name, MigrationCapability *ret)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(stream_caps); i++) {
        if (!strcmp(name, MigrationCapability_str(stream_caps[i]))) {
            *ret = stream_caps[i];
            return true;
        }
    }
    return false;
}

/* A name twice is refused, so the count is bounded by what we know. */
static bool get_names(Stream *s, void *value, size_t size, GError **error)
{
    MachineCaps *caps = value;
    MigrationCapability cap;
    char name[256];

    caps->there = 0;
    for (uint32_t i = 0; i < caps->count; i++) {
        if (!stream_get_cstr(s, name)) {
            return true; /* the stream's error, which the caller sees */
        }
        if (!find_cap(name, &cap)) {
            tm_error_set(error, "the source has capability '%s' on, which is "
                         "not supported", name);
            return false;
        }
        if (caps->there & BIT(cap)) {
            tm_error_set(error, "capability '%s' is named twice", name);
            return false;
        }
        caps->there |= BIT(cap);
    }
    return true;
}

static const VmStateType names_type = { "capability", NULL, get_names };

const VmStateDesc machine_caps_load_desc = {
    .name = "configuration/capabilities",
    .version = 1,
    .minimum_version = 1,
    .fields = (const VmStateField[]) {
        COUNT_FIELD,
        { .name = "capabilities", .offset = offsetof(MachineState, caps),
          .size = sizeof(MachineCaps), .count = 1, .type = &names_type },
        VMSTATE_END
    },
};

bool machine_caps_check(MachineCaps *caps, GError **error)
{
    MigrationCapability cap;
    uint64_t differ;

    /* What is taken over was never held against what is on here. Whoever
     * agrees with the source agrees with all of it: the source's set is what
     * has to fit together. */
    if (!migration_options_check_caps(caps->there, error)) {
        g_prefix_error(error, "the source has on what cannot be loaded: ");
        return false;
    }
    caps->here |= caps->there & caps->adopts;
    differ = caps->here ^ caps->there;
    if (!differ) {
        return true;
    }
    cap = __builtin_ctzll(differ);
    tm_error_set(error, caps->there & BIT(cap)
                            ? "capability '%s' is on at the source and off "
                              "here; this stream needs it on here"
                            : "capability '%s' is off at the source and on "
                              "here; this stream needs it off here",
                 MigrationCapability_str(cap));
    return false;
}

bool machine_caps_has(const MachineCaps *caps, MigrationCapability cap)
{
    return caps->here & BIT(cap);
}
