/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All monitors of the process: QMP for programs, HMP for people, each on a
 * chardev. One Monitors object, made by system/main.c; it hands events to
 * every QMP session that has begun its conversation, and keeps the
 * descriptors that clients have given names.
 *
 * A monitor never waits for its client. Replies are queued; while any bytes
 * are queued no further request is taken. Events beyond
 * MONITOR_EVENT_BACKLOG queued bytes are dropped for that session and
 * counted, and the next event that fits follows them.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "chardev/chardev.h"
#include "monitor/hmp.h"
#include "qapi/qmp-command.h"
#include "util/fdset.h"

/* The version of QEMU whose interface is spoken. */
#define MONITOR_QEMU_MAJOR 10
#define MONITOR_QEMU_MINOR 0
#define MONITOR_QEMU_MICRO 2

#define MONITOR_EVENT_BACKLOG (1u << 20)   /* bytes queued for one session */

typedef struct Monitors Monitors;

typedef struct MonitorConfig {
    const QmpCommand *qmp_commands;    /* generated table */
    const HmpCommand *hmp_commands;    /* generated; NULL: no HMP */
    const HmpCommand *hmp_info;        /* generated: the "info" ones */
    const char *package;               /* "tidemark 0.1.0"; not copied */
    ChardevList *chardevs;             /* for query-chardev */
    FdSets *fdsets;                    /* for add-fd and its like */
    void *app;                         /* qmp_session_app() */
    /* The command quit; replies go out first. Must not free the monitors. */
    void (*quit)(void *app);
} MonitorConfig;

/**
 * monitors_new() - no monitor yet; events go to this object from now on
 * @config: copied; what it points at must live longer than the monitors
 * Context: main thread.
 * Returns: freed with monitors_free().
 */
Monitors *monitors_new(const MonitorConfig *config);

/**
 * monitors_free() - detach from all chardevs and close named descriptors
 * Context: main thread; accepts NULL. Events go nowhere afterwards.
 */
void monitors_free(Monitors *monitors);

/**
 * monitor_add_qmp() - speak QMP on a chardev
 * @chr:    gets a greeting whenever a client comes
 * @pretty: indent what is sent
 * Context: main thread.
 * Errors:  the chardev has a frontend already.
 */
bool monitor_add_qmp(Monitors *monitors, Chardev *chr, bool pretty,
                     GError **error);

/**
 * monitor_add_hmp() - talk to a person on a chardev
 * @chr: gets a banner and a prompt whenever somebody comes
 * Context: main thread.
 * Errors:  the chardev has a frontend already.
 */
bool monitor_add_hmp(Monitors *monitors, Chardev *chr, GError **error);

/**
 * monitors_take_fd(), monitor_take_fd() - the descriptor behind a name, as in "fd:name"
 * @name: given by getfd; the name is free again afterwards. A number is a
 *        descriptor that the process was started with.
 * Context: main thread.
 * Errors:  "File descriptor named 'x' not found", or a bad number.
 * Returns: a descriptor that is the caller's; -1 on error.
 */
int monitors_take_fd(Monitors *monitors, const char *name, GError **error);
int monitor_take_fd(QmpSession *session, const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Monitors, monitors_free)

#endif
