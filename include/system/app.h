/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the composition root has put together, for the handlers of monitor
 * commands: qmp_session_app() returns it. Nobody below level 7 knows it.
 */
#ifndef SYSTEM_APP_H
#define SYSTEM_APP_H

#include <glib.h>
#include <stdbool.h>

typedef struct ChardevList ChardevList;
typedef struct Consoles Consoles;
typedef struct DirtyLimit DirtyLimit;
typedef struct DirtyRate DirtyRate;
typedef struct FdSets FdSets;
typedef struct ImageJobs ImageJobs;
typedef struct MachineType MachineType;
typedef struct Migration Migration;
typedef struct Monitors Monitors;
typedef struct Vm Vm;

typedef struct App {
    Vm *vm;
    Migration *migration;
    DirtyRate *dirty_rate;
    DirtyLimit *dirty_limit;
    Monitors *monitors;
    ChardevList *chardevs;
    Consoles *consoles;
    ImageJobs *image_jobs;
    FdSets *fdsets;
    const MachineType *machine_type;
    GPtrArray *host_mems;    /* of HostMem *, from -object, in order */
} App;

#endif
