/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration job, as the files of this room see it. One object for both
 * directions; it is an argument everywhere, nobody in this room knows a
 * "current" one.
 *
 * Threads: the monitor's commands run in the main thread under the big lock;
 * an outgoing migration has one thread of its own, from migration_start() to
 * its end; an incoming one has another (incoming.c). Each field says who may
 * touch it.
 */
#ifndef MIGRATION_MIGRATION_INTERNAL_H
#define MIGRATION_MIGRATION_INTERNAL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/address.h"
#include "io/channel.h"
#include "migration/migration-state.h"
#include "migration/migration-stats.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/stream.h"
#include "qapi/qapi-types.h"
#include "system/vm.h"
#include "util/clock.h"

typedef struct MigrationIncoming MigrationIncoming; /* incoming.h */
typedef struct RamSave RamSave;                     /* ram.h */
typedef struct RateLimit RateLimit;                 /* rate-limit.h */
typedef struct ReturnPath ReturnPath;               /* return-path.h */
typedef struct SaveVm SaveVm;                       /* savevm.h */

struct Migration {
    Vm *vm;
    Clock *clock;               /* the host's; a wound one in tests */
    bool owns_clock;
    MigrationObserver observer;
    void *observer_opaque;
    MigrationOptions options;   /* big lock; the numbers are atomic */
    MigrationIncoming *incoming; /* made and freed with the job */

    /* Outgoing. */
    MigrationState state;       /* changed under the big lock */
    MigrationStats stats;       /* see migration-stats.h */
    ChannelAddress *address;    /* where to; set by migration_start() */
    GThread *thread;            /* big lock; joined by the next start */
    GError *error;              /* big lock; why it failed */
    GCancellable *cancellable;  /* ends a connect that is under way */
    Channel *channel;           /* big lock for the pointer; a shutdown by
                                   another thread is what cancels I/O */
    /* Asked of the thread; atomic. */
    bool cancel;                /* leave at the next opportunity */

    /* Only the migration thread touches these. */
    Stream *out;
    SaveVm *savevm;
    RamSave *ram;
    RateLimit *limit;
    ReturnPath *return_path;    /* NULL without the capability */

    /* Big lock. */
    GCond wake;                 /* migrate-continue, or cancel */
    bool go_on;                 /* migrate-continue was given */
    bool vm_stopped;            /* by us, for the switch-over */
    RunState vm_old_state;      /* before that; what the stream carries */
    bool log_started;
    bool handover_begun;        /* the end byte may be on its way: from here
                                   on the other side may run */
};

/** migration_should_stop() - cancelled, asked by long loops.
 *  Context: any thread. */
static inline bool migration_should_stop(const Migration *m)
{
    return __atomic_load_n(&m->cancel, __ATOMIC_RELAXED);
}

#endif
