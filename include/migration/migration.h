/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration job, outgoing and incoming, as the monitor and the
 * composition root see it. One object per process, made by system/main.c.
 */
#ifndef MIGRATION_MIGRATION_H
#define MIGRATION_MIGRATION_H

#include <glib.h>
#include <stdbool.h>

#include "io/address.h"
#include "io/connect.h"
#include "qapi/qapi-types.h"

typedef struct DirtyLimit DirtyLimit;
typedef struct Vm Vm;
typedef struct Migration Migration;

/* Told on the main thread or the migration thread, under the big lock. */
typedef struct MigrationObserver {
    void (*status)(void *opaque, MigrationStatus status);
    void (*pass)(void *opaque, uint64_t pass);
    /** Something goes badly; @words for the administrator. */
    void (*warning)(void *opaque, const char *words);
    /** A background snapshot has ended, after its status was told.
     *  @error: NULL unless it failed; @info: NULL if no memory was protected;
     *  both are the caller's. */
    void (*snapshot_ended)(void *opaque, MigrationStatus end,
                           const GError *error, uint64_t total_ns,
                           uint64_t bytes, SnapshotInfo *info);
    /** A restore by faults has ended, one way or another. */
    void (*restore_ended)(void *opaque, const GError *error,
                          RestoreInfo *info);
    /** Incoming failed and exit-on-error is on: the process is to end. */
    void (*incoming_fatal)(void *opaque, const GError *error);
} MigrationObserver;

/** migration_new() - the job's object, idle. @observer: copied. */
Migration *migration_new(Vm *vm, const MigrationObserver *observer,
                         void *opaque);
/** migration_free() - cancels and joins whatever runs. Context: main thread,
 *  big lock. */
void migration_free(Migration *m);

/** migration_set_channel_env() - what addresses may refer to: file descriptors
 *  that clients have passed. @env: copied. Context: start-up. */
void migration_set_channel_env(Migration *m, const ChannelEnv *env);

/** migration_set_dirty_limit() - what capability dirty-limit limits vCPUs
 *  with; outlives the job. Context: start-up. */
void migration_set_dirty_limit(Migration *m, DirtyLimit *limit);

/**
 * migration_set_global() - -global migration.NAME=VALUE: a property
 * (x-clear-bitmap-shift, send-configuration, x-events, ...), capability
 * ("x-CAP") or parameter
 * Context: start-up. Errors: unknown name, or a bad value.
 */
bool migration_set_global(Migration *m, const char *name, const char *value,
                          GError **error);

/** migration_set_capabilities() - switch several on or off; later entries
 *  win. Context: big lock. Errors: one is not supported, one needs another
 *  (both are named), or a migration runs. Nothing is changed then. */
bool migration_set_capabilities(Migration *m,
                                const MigrationCapabilityStatusList *list,
                                GError **error);
/** migration_get_capability() - Context: any thread. */
bool migration_get_capability(const Migration *m, MigrationCapability cap);
/** migration_set_parameters() - change the members that are present, also
 *  while a migration runs. Context: big lock. Errors: out of range, or a value
 *  that asks for what is not built; named. Nothing is changed then. */
bool migration_set_parameters(Migration *m,
                              const MigrateSetParameters *params,
                              GError **error);
/** migration_get_parameters() - free with the generated function. */
MigrationParameters *migration_get_parameters(const Migration *m);

/**
 * migration_start() - begin an outgoing migration
 * @address: copied
 * Returns at once; a refused connection fails the job later, not this call.
 * Context: main thread, big lock.
 * Errors:  blockers, a job already runs, wrong run state, capabilities that
 *          the transport cannot serve, or what can be opened at once (a file,
 *          a command, a descriptor) cannot be. Nothing has happened then.
 */
bool migration_start(Migration *m, const ChannelAddress *address,
                     GError **error);
/**
 * migration_save_file() - a background snapshot to a file, with all it needs
 * Capabilities and bandwidth are put back when it ends.
 * @mapped, @checksums: with capability mapped-ram, page-checksums
 * Context, Errors: as migration_start(), and capabilities that do not go with
 *          it. Nothing has happened then.
 */
bool migration_save_file(Migration *m, const char *filename, bool mapped,
                         bool checksums, GError **error);

/**
 * migration_cancel() - give up; the machine goes on here
 * Returns at once. Idle or finished: nothing. Once the end of the stream is
 * on its way the other side may run: then the channel is shut down, and how
 * the job ends is what docs/devel/errors.md says about the hand-over.
 * Context: main thread, big lock.
 */
void migration_cancel(Migration *m);
/** migration_continue() - leave @state (pre-switchover).
 *  Context: big lock. Errors: the job is not in @state, or that is no state
 *  in which it waits. */
bool migration_continue(Migration *m, MigrationStatus state, GError **error);

/** migration_incoming_defer() - -incoming defer */
void migration_incoming_defer(Migration *m);
/**
 * migration_incoming_start() - listen (or open) and wait for a stream
 * @exit_on_error: tell observer->incoming_fatal when loading fails
 * Context: big lock. Errors: not started with -incoming, started already,
 * cannot listen.
 */
bool migration_incoming_start(Migration *m, const ChannelAddress *address,
                              bool exit_on_error, GError **error);
/** migration_incoming_pending() - is the VM still to receive its state? No
 *  more so once that has failed. */
bool migration_incoming_pending(const Migration *m);

/** migration_query() - free with the generated function. Context: big lock. */
MigrationInfo *migration_query(Migration *m);
/** migration_globals_text() - the "globals:" lines of "info migrate". */
char *migration_globals_text(const Migration *m);
/** migration_is_running() - outgoing: between setup and its end. */
bool migration_is_running(const Migration *m);

#endif
