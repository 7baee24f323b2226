/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capabilities, properties and -global; see migration/options.h. The
 * parameters are in options-params.c.
 *
 * All capabilities that clients know have a name; those without a row here
 * are not built and can only be switched off. Switching several at once
 * changes all of them or none.
 */
#include "migration/options.h"

#include <stddef.h>
#include <string.h>

#include "util/cutils.h"
#include "util/error.h"

#define CAP(name) (UINT64_C(1) << MIGRATION_CAPABILITY_##name)

/* The capabilities that are built, and which others each needs or does not go
 * with. */
typedef struct CapRow {
    bool built;
    uint64_t needs;          /* CAP()s */
    uint64_t excludes;       /* the same; one of the two says so */
} CapRow;

static const CapRow cap_rows[MIGRATION_CAPABILITY__MAX] = {
    /* Throttle the vCPUs when the guest dirties faster than it is sent. */
    [MIGRATION_CAPABILITY_AUTO_CONVERGE] = { true, 0, 0 },
    /* Send the events MIGRATION and MIGRATION_PASS. */
    [MIGRATION_CAPABILITY_EVENTS] = { true, 0, 0 },
    /* Wait until the destination has said that it has everything. */
    [MIGRATION_CAPABILITY_RETURN_PATH] = { true, 0, 0 },
    /* Wait for migrate-continue with the guest stopped. */
    [MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER] = { true, 0, 0 },
    /* Send no memory that both sides have mapped. */
    [MIGRATION_CAPABILITY_X_IGNORE_SHARED] = { true, 0, 0 },
    /* Do not switch over before the destination has said that it can. */
    [MIGRATION_CAPABILITY_SWITCHOVER_ACK] = {
        true, CAP(RETURN_PATH), 0 },
    /* Send the UUID, for the destination to compare. */
    [MIGRATION_CAPABILITY_VALIDATE_UUID] = { true, 0, 0 },
    /* Save the guest as it was at the start, while it runs. Nothing that
     * needs a second party, later rounds or a dirty log goes with it; nor
     * memory that others go on writing. */
    [MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT] = {
        true, 0,
        CAP(XBZRLE) | CAP(RDMA_PIN_ALL) | CAP(AUTO_CONVERGE) |
        CAP(POSTCOPY_RAM) | CAP(X_COLO) | CAP(RELEASE_RAM) |
        CAP(RETURN_PATH) | CAP(PAUSE_BEFORE_SWITCHOVER) | CAP(MULTIFD) |
        CAP(DIRTY_BITMAPS) | CAP(POSTCOPY_BLOCKTIME) |
        CAP(LATE_BLOCK_ACTIVATE) | CAP(X_IGNORE_SHARED) |
        CAP(VALIDATE_UUID) | CAP(ZERO_COPY_SEND) | CAP(POSTCOPY_PREEMPT) |
        CAP(SWITCHOVER_ACK) | CAP(DIRTY_LIMIT) },
    /* Limit the rate at which vCPUs dirty memory, instead of their time. */
    [MIGRATION_CAPABILITY_DIRTY_LIMIT] = {
        true, 0, CAP(AUTO_CONVERGE) },
    /* Give each page a fixed place in a file. QEMU lets it go with
     * x-ignore-shared, which then fails. */
    [MIGRATION_CAPABILITY_MAPPED_RAM] = {
        true, 0, CAP(XBZRLE) | CAP(POSTCOPY_RAM) | CAP(MULTIFD) |
                 CAP(X_IGNORE_SHARED) },
    /* Send a checksum with every page, and all of them at the end. */
    [MIGRATION_CAPABILITY_PAGE_CHECKSUMS] = { true, 0, 0 },
};

/* A switch or number that -global sets. */
typedef struct PropertyRow {
    const char *name;        /* for -global */
    const char *label;       /* in "info migrate"; NULL: not there */
    size_t offset;           /* in MigrationProperties: bool, or uint8_t */
    bool is_number;
    uint8_t initial;
    uint8_t max;
} PropertyRow;

#define PROPERTY(field) offsetof(MigrationProperties, field)

static const PropertyRow property_rows[] = {
    /* Whether a guest that only ran or was paused says so in the stream. */
    { "store-global-state", "store-global-state",
      PROPERTY(store_global_state), false, true, 1 },
    /* Framing; both sides must agree. */
    { "send-configuration", "send-configuration",
      PROPERTY(send_configuration), false, true, 1 },
    { "send-section-footer", "send-section-footer",
      PROPERTY(send_section_footer), false, true, 1 },
    /* Tell the destination that the last memory section follows. */
    { "send-switchover-start", "send-switchover-start",
      PROPERTY(send_switchover_start), false, true, 1 },
    /* log2 of the pages that are cleared in the kernel's log at once; what is
     * below the log's own granularity of 64 pages counts as 6. */
    { "x-clear-bitmap-shift", "clear-bitmap-shift",
      PROPERTY(clear_bitmap_shift), true, 18, 63 },
    /* Have a background snapshot tell the digest of all memory as it was in
     * the pause, which grows with it: a test's way to know what is right. */
    { "x-pause-digest", NULL,
      PROPERTY(pause_digest), false, false, 1 },
};

static void *property_at(const MigrationOptions *o, const PropertyRow *row)
{
    return (uint8_t *)&o->props + row->offset;
}

void migration_options_init(MigrationOptions *o)
{
    memset(o, 0, sizeof(*o));
    for (unsigned i = 0; i < G_N_ELEMENTS(property_rows); i++) {
        const PropertyRow *row = &property_rows[i];

        if (row->is_number) {
            *(uint8_t *)property_at(o, row) = row->initial;
        } else {
            *(bool *)property_at(o, row) = row->initial;
        }
    }
    migration_options_init_params(o);
}

/* ---- capabilities ---------------------------------------------------- */

bool migration_options_cap(const MigrationOptions *o, MigrationCapability cap)
{
    return __atomic_load_n(&o->caps, __ATOMIC_RELAXED) & (UINT64_C(1) << cap);
}

/* The first of @caps, which are not none. */
static const char *cap_name(uint64_t caps)
{
    return MigrationCapability_str(__builtin_ctzll(caps));
}

static bool cap_check(MigrationCapability cap, uint64_t caps, GError **error)
{
    const CapRow *row = &cap_rows[cap];

    if (!row->built) {
        tm_error_set(error, "capability '%s' is not supported",
                     MigrationCapability_str(cap));
        return false;
    }
    if (row->needs & ~caps) {
        tm_error_set(error, "capability '%s' needs capability '%s'",
                     MigrationCapability_str(cap),
                     cap_name(row->needs & ~caps));
        return false;
    }
    if (row->excludes & caps) {
        tm_error_set(error, "capabilities '%s' and '%s' exclude each other",
                     MigrationCapability_str(cap),
                     cap_name(row->excludes & caps));
        return false;
    }
    return true;
}

bool migration_options_check_verify(const MigrationOptions *o, uint64_t caps,
                                    GError **error)
{
    if (caps & CAP(BACKGROUND_SNAPSHOT) &&
        migration_options_param(o, MIG_PARAM_X_VERIFY)) {
        tm_error_set(error, "parameter 'x-verify' and capability "
                     "'background-snapshot' exclude each other: there is no "
                     "hand-over at which the guest stands still");
        return false;
    }
    return true;
}

bool migration_options_check_caps(uint64_t caps, GError **error)
{
    for (unsigned i = 0; i < MIGRATION_CAPABILITY__MAX; i++) {
        if (caps & (UINT64_C(1) << i) && !cap_check(i, caps, error)) {
            return false;
        }
    }
    return true;
}

bool migration_options_set_caps(MigrationOptions *o,
                                const MigrationCapabilityStatusList *list,
                                GError **error)
{
    uint64_t caps = o->caps;

    for (; list; list = list->next) {
        uint64_t bit = UINT64_C(1) << list->value->capability;

        caps = list->value->state ? caps | bit : caps & ~bit;
    }
    if (!migration_options_check_caps(caps, error) ||
        !migration_options_check_verify(o, caps, error)) {
        return false;
    }
    __atomic_store_n(&o->caps, caps, __ATOMIC_RELAXED);
    return true;
}

bool migration_options_for_snapshot(MigrationOptions *o, bool mapped,
                                    bool checksums, GError **error)
{
    /* What the file looks like is for who asks to say, whatever is on. */
    uint64_t caps = (o->caps & ~(CAP(MAPPED_RAM) | CAP(PAGE_CHECKSUMS))) |
                    CAP(BACKGROUND_SNAPSHOT) |
                    (mapped ? CAP(MAPPED_RAM) : 0) |
                    (checksums ? CAP(PAGE_CHECKSUMS) : 0);

    if (!migration_options_check_caps(caps, error) ||
        !migration_options_check_verify(o, caps, error)) {
        return false;
    }
    __atomic_store_n(&o->caps, caps, __ATOMIC_RELAXED);
    __atomic_store_n(&o->params[MIG_PARAM_MAX_BANDWIDTH], 0, __ATOMIC_RELAXED);
    return true;
}

void migration_options_put_back(MigrationOptions *o,
                                const MigrationOptions *old)
{
    uint64_t *bandwidth = &o->params[MIG_PARAM_MAX_BANDWIDTH];

    __atomic_store_n(&o->caps, old->caps, __ATOMIC_RELAXED);
    if (*bandwidth == 0) {
        __atomic_store_n(bandwidth, old->params[MIG_PARAM_MAX_BANDWIDTH],
                         __ATOMIC_RELAXED);
    }
}

bool migration_options_check(const MigrationOptions *o, GError **error)
{
    if (migration_options_param(o, MIG_PARAM_X_VERIFY) &&
        !migration_options_cap(o, MIGRATION_CAPABILITY_PAGE_CHECKSUMS)) {
        tm_error_set(error, "parameter 'x-verify' needs capability "
                     "'page-checksums'");
        return false;
    }
    return migration_options_check_verify(o, o->caps, error);
}

/* ---- -global --------------------------------------------------------- */

static bool set_property(MigrationOptions *o, const PropertyRow *row,
                         const char *value, GError **error)
{
    uint64_t number;

    if (!row->is_number) {
        return parse_bool(value, property_at(o, row), error);
    }
    if (!parse_uint64(value, row->max, &number, error)) {
        return false;
    }
    *(uint8_t *)property_at(o, row) = number;
    return true;
}

static bool set_capability(MigrationOptions *o, MigrationCapability cap,
                           const char *value, GError **error)
{
    MigrationCapabilityStatus status = { .capability = cap };
    MigrationCapabilityStatusList list = { .value = &status };

    return parse_bool(value, &status.state, error) &&
        migration_options_set_caps(o, &list, error);
}

static bool set_param(MigrationOptions *o, const char *name,
                      const char *value, GError **error)
{
    g_autoptr(MigrateSetParameters) params =
        migration_param_from_text(name, value, 'B', error);

    return params && migration_options_set_params(o, params, error);
}

/* "x-NAME", or NAME itself where that begins with x- already. */
static bool is_capability(const char *name, MigrationCapability *ret_cap)
{
    return g_str_has_prefix(name, "x-") &&
        (MigrationCapability_parse(name, ret_cap) ||
         MigrationCapability_parse(name + 2, ret_cap));
}

static bool set_global(MigrationOptions *o, const char *name,
                       const char *value, GError **error)
{
    MigrationCapability cap;
    MigrationParameter param;

    for (unsigned i = 0; i < G_N_ELEMENTS(property_rows); i++) {
        if (!strcmp(property_rows[i].name, name)) {
            return set_property(o, &property_rows[i], value, error);
        }
    }
    if (is_capability(name, &cap)) {
        return set_capability(o, cap, value, error);
    }
    if (MigrationParameter_parse(name, &param)) {
        return set_param(o, name, value, error);
    }
    if (g_str_has_prefix(name, "x-") &&
        MigrationParameter_parse(name + 2, &param)) {
        return set_param(o, name + 2, value, error);
    }
    tm_error_set(error, "there is no such property");
    return false;
}

bool migration_options_set_global(MigrationOptions *o, const char *name,
                                  const char *value, GError **error)
{
    if (!set_global(o, name, value, error)) {
        g_prefix_error(error, "cannot set 'migration.%s' to '%s': ", name,
                       value);
        return false;
    }
    return true;
}

char *migration_options_globals_text(const MigrationOptions *o)
{
    GString *text = g_string_new("globals:\n");

    for (unsigned i = 0; i < G_N_ELEMENTS(property_rows); i++) {
        const PropertyRow *row = &property_rows[i];

        if (!row->label) {
            continue;
        }
        if (row->is_number) {
            g_string_append_printf(text, "%s: %u\n", row->label,
                                   *(uint8_t *)property_at(o, row));
        } else {
            g_string_append_printf(text, "%s: %s\n", row->label,
                                   *(bool *)property_at(o, row) ? "on"
                                                                : "off");
        }
        if (i == 0) {
            /* No option forbids devices that cannot be migrated. */
            g_string_append(text, "only-migratable: off\n");
        }
    }
    return g_string_free(text, FALSE);
}
