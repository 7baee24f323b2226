/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How every outgoing stream begins, whichever engine fills it: the sections
 * are made, the head and the START sections go out, the status becomes
 * "active".
 */
#ifndef MIGRATION_SAVE_BEGIN_H
#define MIGRATION_SAVE_BEGIN_H

#include <glib.h>
#include <stdbool.h>

typedef struct Migration Migration;

/** save_begin() - make m->ram and m->savevm as the options say
 *  Context: migration thread, big lock. Errors: no memory. The job's end
 *  frees what was made. */
bool save_begin(Migration *m, GError **error);

/** save_put_head() - header, configuration, return path if asked for, START
 *  Context: migration thread, without the lock. Errors: the stream's. */
bool save_put_head(Migration *m, GError **error);

/** save_enter_active() - the set-up is over
 *  Context: migration thread, without the lock. Errors: cancelled meanwhile. */
bool save_enter_active(Migration *m, GError **error);

#endif
