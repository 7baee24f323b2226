/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Putting a machine together from checked options, and taking it apart.
 */
#ifndef SYSTEM_MAIN_BUILD_H
#define SYSTEM_MAIN_BUILD_H

#include <glib.h>
#include <stdbool.h>

#include "migration/migration.h"
#include "system/app.h"
#include "system/opts.h"

typedef struct Accel Accel; /* accel/accel-ops.h */

typedef struct DisplayPng DisplayPng;   /* ui/display-png.h */
typedef struct QtestServer QtestServer; /* system/qtest.h */

/* All that a process has; @app is what command handlers see of it. */
typedef struct Machine {
    App app;
    Options *opts;           /* not owned; outlives the machine */
    QtestServer *qtest;
    DisplayPng *display;     /* of -display png; or NULL */
    int cancel_fd;           /* ends waits of the start-up */
} Machine;

/**
 * machine_judge() - the first half: all that can be wrong with the options
 * and could not be told by opts_check()
 * The accelerator, the migration job with its -global, a rehearsal of the
 * board. No file, socket or process is made.
 * Context: main thread, big lock held.
 * Errors:  any part's; @machine is then only good for machine_done().
 */
bool machine_judge(Machine *machine, Options *opts, GError **error);

/**
 * machine_build() - the second half: a machine that stands, stopped
 * Chardevs, memory, board, vCPUs, monitors, qtest.
 * Context: main thread, big lock held; blocks until clients have come where
 * chardevs wait for them.
 * Errors:  any part's; @machine is then only good for machine_done().
 */
bool machine_build(Machine *machine, GError **error);

/** machine_begin() - wait for the migration that was asked for, or start */
bool machine_begin(Machine *machine, GError **error);

/** machine_done() - end what runs, free everything; half-built is fine.
 *  Context: main thread, big lock held. */
void machine_done(Machine *machine);

/** machine_watch_events() - turn what observers of the machine and of the
 *  migration job are told into QMP events. Context: start-up, once app->vm
 *  stands. machine_migration_observer: for migration_new(), with the App. */
void machine_watch_events(App *app);

/** machine_watch_accel() - the same for what the accelerator tells.
 *  Context: start-up, once it is chosen. */
void machine_watch_accel(Accel *accel);
extern const MigrationObserver machine_migration_observer;

#endif
