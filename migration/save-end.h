/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an outgoing stream: what every engine does once memory and
 * devices are put.
 *
 * A file is sealed. Its first 8 bytes, magic and version, are zeros until all
 * else is on the medium, then they are written and the medium is waited for
 * once more. So a file that was cut short, by whatever, is not mistaken for a
 * whole one. Files that are addressed by their name are (file:, an fd set),
 * regular ones and block devices.
 */
#ifndef MIGRATION_SAVE_END_H
#define MIGRATION_SAVE_END_H

#include <glib.h>
#include <stdbool.h>

typedef struct Migration Migration;

/** save_is_sealed() - does the stream go to such a file?
 *  Context: while the job has a channel. */
bool save_is_sealed(const Migration *m);

/** save_unseal() - the zeros are put: have them on the medium before anything
 *  that is not of the file as it was. Nothing if it is not sealed.
 *  Context: migration thread, no lock. Errors: the file's. */
bool save_unseal(Migration *m, GError **error);

/**
 * save_put_end() - end byte and description; where pages have fixed places in
 * the file, what tells which they are; at last the seal
 * Context: migration thread, no lock. Cost: a file's way to the medium.
 * Errors:  the stream's; the destination may have the end byte already. A
 *          file has no seal then.
 */
bool save_put_end(Migration *m, GError **error);

#endif
