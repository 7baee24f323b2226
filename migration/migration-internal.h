/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration job, as the files of this room see it. One object for both
 * directions; it is an argument everywhere, nobody in this room knows a
 * "current" one.
 *
 * Threads: the monitor's commands run in the main thread under the big lock;
 * an outgoing migration has one thread of its own, from the moment the channel
 * is connected to the end; an incoming one has another (incoming.c). Each
 * field says who may touch it.
 */
#ifndef MIGRATION_MIGRATION_INTERNAL_H
#define MIGRATION_MIGRATION_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/address.h"
#include "io/channel.h"
#include "io/connect.h"
#include "migration/migration-state.h"
#include "migration/migration-stats.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/rate-limit.h"
#include "migration/stream.h"
#include "qapi/qapi-types.h"
#include "system/dirty-sync.h"
#include "system/ram-freeze.h"
#include "system/vm.h"
#include "util/clock.h"

typedef struct DirtyLimit DirtyLimit;               /* dirtylimit.h */
typedef struct MigrationIncoming MigrationIncoming; /* incoming.h */
typedef struct MappedSave MappedSave;               /* mapped-save.h */
typedef struct RamSave RamSave;                     /* ram.h */
typedef struct Precopy Precopy;                     /* precopy.h */
typedef struct ProofSave ProofSave;                 /* proof-save.h */
typedef struct ReturnPath ReturnPath;               /* return-path.h */
typedef struct SaveVm SaveVm;                       /* savevm.h */

struct Migration {
    Vm *vm;
    Clock *clock;               /* the host's; a wound one in tests */
    bool owns_clock;
    MigrationObserver observer;
    void *observer_opaque;
    MigrationOptions options;   /* big lock; the numbers are atomic */
    ChannelEnv channel_env;      /* what addresses may refer to */
    DirtyLimit *dirty_limit;     /* not owned; NULL: vCPUs cannot be limited */
    MigrationIncoming *incoming; /* made and freed with the job */

    /* Outgoing. */
    MigrationState state;       /* changed under the big lock */
    MigrationCounters stats;    /* see migration-stats.h */
    bool cancel;                /* atomic; the thread is to leave soon */

    /* Big lock. */
    ChannelAddress *address;    /* where to */
    ConnectJob *connecting;     /* main thread only; NULL once connected */
    GThread *thread;            /* joined by whoever needs it gone */
    Channel *channel;           /* the thread's, from connected to closed; a
                                   shutdown by others is what wakes it */
    GError *error;              /* why it failed */
    GCond wake;                 /* migrate-continue, or cancel */
    DirtyClearStats clears_before; /* when it began */
    bool go_on;                 /* migrate-continue was given */
    bool log_started;
    bool vm_stopped;            /* by us, for the switch-over */
    RunState vm_old_state;      /* before that */
    bool background;            /* a background snapshot; fixed for the job */
    RamFreeze *freeze;          /* of its memory, while there is one; set and
                                   taken by the migration thread */
    RamFreezeStats freeze_stats; /* of the last freeze, once it is gone ... */
    bool freeze_known;          /* ... if there was one in this job */
    char *pause_digest;
    MigrationOptions *put_back; /* what the options were, if they are to be
                                   that again when the job ends; or NULL */
    bool handover_begun;        /* the end byte may be on its way: from here
                                   on the other side may run */

    /* The migration thread's own, from its start to its end. */
    Stream *out;
    SaveVm *savevm;
    MappedSave *mapped;         /* NULL without the capability */
    RamSave *ram;
    ProofSave *proof;           /* NULL without page-checksums */
    RateLimit limit;
    Precopy *precopy;
    ReturnPath *return_path;    /* NULL without the capability */
};

/**
 * migration_connected() - what transport_connect() ends in
 * @channel: the job's from now on; NULL if @error says why there is none
 * Context: main thread, big lock.
 */
void migration_connected(Migration *m, Channel *channel, const GError *error);

/** migration_start_channel() - as migration_start(), to a channel that is open
 *  already, and is never a file. A reference is taken. */
bool migration_start_channel(Migration *m, Channel *channel, GError **error);

/** migration_note_clears() - bring the counters of clears up to date.
 *  Context: big lock, while the job runs or just ends. */
void migration_note_clears(Migration *m);

/** migration_should_stop() - cancelled, asked by long loops.
 *  Context: any thread. */
static inline bool migration_should_stop(const Migration *m)
{
    return __atomic_load_n(&m->cancel, __ATOMIC_RELAXED);
}

#endif
