/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an outgoing stream: what every engine does once memory and
 * devices are put.
 */
#ifndef MIGRATION_SAVE_END_H
#define MIGRATION_SAVE_END_H

#include <glib.h>
#include <stdbool.h>

typedef struct Migration Migration;

/**
 * save_put_end() - end byte and description; where pages have fixed places in
 * the file, what tells which they are
 * Context: migration thread, no lock.
 * Errors:  the stream's; the destination may have the end byte already.
 */
bool save_put_end(Migration *m, GError **error);

#endif
