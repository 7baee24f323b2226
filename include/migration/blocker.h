/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reasons why the machine cannot be migrated just now, as devices and
 * accelerators give them. "info migrate" lists them.
 */
#ifndef MIGRATION_BLOCKER_H
#define MIGRATION_BLOCKER_H

#include <glib.h>

typedef struct VmStateRegistry VmStateRegistry;

/** migration_blocker_add() - @reason is copied. Context: big lock.
 *  Returns: an id for migration_blocker_del(). */
unsigned migration_blocker_add(VmStateRegistry *registry, const char *reason);
void migration_blocker_del(VmStateRegistry *registry, unsigned id);
/** migration_blockers() - the reasons; NULL-terminated, g_strfreev() it. */
char **migration_blockers(VmStateRegistry *registry);

#endif
