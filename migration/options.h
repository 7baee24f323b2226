/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What can be asked of a migration: capabilities (on or off), parameters
 * (numbers, switches, names) and properties (-global only). Each is one row of
 * a table in options.c: name, unit, range, default, document.
 *
 * Values are changed under the big lock; the migration thread reads them at
 * any time, so every value is one atomic word. What has no effect here is
 * known by name and refused: nothing is accepted and ignored.
 */
#ifndef MIGRATION_OPTIONS_H
#define MIGRATION_OPTIONS_H

#include <glib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "qapi/qapi-types.h"

/* The parameters, in the order of "info migrate_parameters". */
typedef enum MigParam {
    MIG_PARAM_ANNOUNCE_INITIAL,
    MIG_PARAM_ANNOUNCE_MAX,
    MIG_PARAM_ANNOUNCE_ROUNDS,
    MIG_PARAM_ANNOUNCE_STEP,
    MIG_PARAM_THROTTLE_TRIGGER_THRESHOLD, /* percent */
    MIG_PARAM_CPU_THROTTLE_INITIAL,       /* percent */
    MIG_PARAM_CPU_THROTTLE_INCREMENT,     /* percent */
    MIG_PARAM_CPU_THROTTLE_TAILSLOW,      /* bool */
    MIG_PARAM_MAX_CPU_THROTTLE,           /* percent */
    MIG_PARAM_TLS_CREDS,
    MIG_PARAM_TLS_HOSTNAME,
    MIG_PARAM_MAX_BANDWIDTH,              /* bytes/s; 0: no limit */
    MIG_PARAM_AVAIL_SWITCHOVER_BANDWIDTH, /* bytes/s; 0: as measured */
    MIG_PARAM_DOWNTIME_LIMIT,             /* ms */
    MIG_PARAM_X_CHECKPOINT_DELAY,
    MIG_PARAM_MULTIFD_CHANNELS,
    MIG_PARAM_MULTIFD_COMPRESSION,
    MIG_PARAM_MULTIFD_ZLIB_LEVEL,
    MIG_PARAM_MULTIFD_ZSTD_LEVEL,
    MIG_PARAM_MULTIFD_QATZIP_LEVEL,
    MIG_PARAM_ZERO_PAGE_DETECTION,        /* ZeroPageDetection */
    MIG_PARAM_XBZRLE_CACHE_SIZE,
    MIG_PARAM_MAX_POSTCOPY_BANDWIDTH,
    MIG_PARAM_TLS_AUTHZ,
    MIG_PARAM_X_VCPU_DIRTY_LIMIT_PERIOD,  /* ms */
    MIG_PARAM_VCPU_DIRTY_LIMIT,           /* MiB/s */
    MIG_PARAM_MODE,                       /* MigMode */
    MIG_PARAM_DIRECT_IO,
    MIG_PARAM_X_SNAPSHOT_POOL_SIZE,       /* bytes */
    MIG_PARAM_X_RESTORE_MODE,             /* RestoreMode */
    MIG_PARAM_X_RESTORE_READ_AHEAD,       /* bytes */
    MIG_PARAM_X_RESTORE_BANDWIDTH,        /* bytes/s; 0: no limit */
    MIG_PARAM_X_WORKING_SET,              /* bool: there is a path */
    MIG_PARAM_X_VERIFY,                   /* bool */
    MIG_PARAM__MAX,
} MigParam;

/* -global migration.NAME: fixed from start-up on. */
typedef struct MigrationProperties {
    bool store_global_state;
    bool send_configuration;
    bool send_section_footer;
    bool send_switchover_start;
    uint8_t clear_bitmap_shift;  /* log2 of the pages of a chunk */
    bool pause_digest;           /* of a background snapshot */
} MigrationProperties;

typedef struct MigrationOptions {
    uint64_t caps;                       /* bit per capability; atomic */
    uint64_t params[MIG_PARAM__MAX];     /* atomic */
    char working_set[PATH_MAX];          /* big lock */
    MigrationProperties props;
} MigrationOptions;

/** migration_options_init() - everything at its default. */
void migration_options_init(MigrationOptions *o);

/** migration_options_cap() - is it on? Context: any thread. */
bool migration_options_cap(const MigrationOptions *o, MigrationCapability cap);

/** migration_options_param() - the value, in the unit of the enum's comment;
 *  0 or 1 for a bool. Context: any thread. */
uint64_t migration_options_param(const MigrationOptions *o, MigParam param);

/** migration_options_is_initial() - is the value that of a new process?
 *  Context: any thread. */
bool migration_options_is_initial(const MigrationOptions *o, MigParam param);

/** migration_options_for_snapshot() - what a snapshot to a file needs:
 *  background-snapshot, no limit of the bandwidth; and mapped-ram on or off
 *  (@mapped), page-checksums too (@checksums), whatever they were
 *  Context: big lock. Errors: those of migration_options_set_caps(); nothing
 *  is changed then. */
bool migration_options_for_snapshot(MigrationOptions *o, bool mapped,
                                    bool checksums, GError **error);

/** migration_options_put_back() - undo that: capabilities, and the bandwidth
 *  unless somebody has set one meanwhile, are as in @old. Context: big lock. */
void migration_options_put_back(MigrationOptions *o,
                                const MigrationOptions *old);

/** migration_options_set_caps() - change several capabilities at once
 *  @list: later entries win
 *  Context: big lock. Errors: one is not supported, two exclude each other (or
 *  x-verify one), or one needs another; all are named. Nothing is changed then. */
bool migration_options_set_caps(MigrationOptions *o,
                                const MigrationCapabilityStatusList *list,
                                GError **error);

/** migration_options_check_caps() - does a set of capabilities fit together?
 *  @caps: bit per MigrationCapability
 *  Errors: as migration_options_set_caps(), but for x-verify. */
bool migration_options_check_caps(uint64_t caps, GError **error);

/** migration_options_check_verify() - does x-verify, as it is in @o, go with
 *  @caps? Errors: both named. */
bool migration_options_check_verify(const MigrationOptions *o, uint64_t caps,
                                    GError **error);

/** migration_options_check() - before a migration begins, either way: what
 *  can be set in any order must fit together by then
 *  Context: big lock. Errors: a parameter that needs a capability which is
 *  off, or does not go with one that is on. */
bool migration_options_check(const MigrationOptions *o, GError **error);

/** migration_options_set_params() - change the members that are present
 *  Context: big lock. Errors: out of range, or a value that asks for what is
 *  not there, or does not go with a capability; named. Nothing is changed then. */
bool migration_options_set_params(MigrationOptions *o,
                                  const MigrateSetParameters *params,
                                  GError **error);

/** migration_options_get_params() - free with the generated function. */
MigrationParameters *migration_options_get_params(const MigrationOptions *o);

/** migration_param_from_text() - one parameter as people write it: sizes
 *  with suffix, on or off, names; for migration_options_set_params()
 *  @rate_unit: suffix of a rate that has none: 'M' in HMP, 'B' elsewhere
 *  Errors: unknown name, or not such a value; ranges are not checked yet.
 *  Returns: to be freed with the generated function; NULL on error. */
MigrateSetParameters *migration_param_from_text(const char *name,
                                                const char *value,
                                                char rate_unit,
                                                GError **error);

/** migration_options_set_global() - see migration_set_global(). */
bool migration_options_set_global(MigrationOptions *o, const char *name,
                                  const char *value, GError **error);

/** migration_options_globals_text() - "globals:" and its lines.
 *  Returns: text, owned by the caller. */
char *migration_options_globals_text(const MigrationOptions *o);

/** migration_params_text() - the lines of "info migrate_parameters".
 *  Returns: text, owned by the caller. */
char *migration_params_text(const MigrationParameters *params);

/** migration_options_init_params() - the parameters' part of
 *  migration_options_init(). */
void migration_options_init_params(MigrationOptions *o);

#endif
