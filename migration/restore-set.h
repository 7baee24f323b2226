/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The working set of a restore by faults: which pages somebody missed, in the
 * order in which they did, the last restore's first. Written down at the end of
 * one restore, it is brought ahead of everything in the next one of the same
 * file.
 *
 * It is a hint and nothing else: what a record says decides when a page is
 * brought, never what is in it. A record that is damaged, or of another file, is
 * left out and replaced; what was never a record is not written over.
 *
 *   "TMwrkset" | whose it is | n | n times block, pages, first page | checksum
 *       8      |      8      | 8 |        4  +   4   +    8         |    8
 *
 * All numbers are big-endian. Whose: a hash of the file's length and, for each
 * block, name, place and bitmap of its pages.
 */
#ifndef MIGRATION_RESTORE_SET_H
#define MIGRATION_RESTORE_SET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/restore-internal.h"

/* Pages that were brought for one touch. */
typedef struct WorkingRun {
    unsigned index;       /* of the block */
    uint64_t first, n;    /* within it; n > 0 */
} WorkingRun;

/**
 * working_set_load() - the record at @path, if it is one of this file
 * @ret_words: why there is none that could be used, for a warning; g_free() it.
 *             NULL if there is one, or no file
 * Returns: of WorkingRun, perhaps empty; NULL with @error if what is at @path
 *          is no record (and not empty either), or cannot be read.
 * Context: all blocks are added. Cost: hashes the bitmaps.
 */
GArray *working_set_load(const Restore *r, const char *path, char **ret_words,
                         GError **error);

/**
 * working_set_merge() - what is to be known the next time
 * What was missed comes first, as nothing else was waited for; then what was
 * known; each page once.
 * Errors: no memory. Cost: a bit for each page of the machine, and O(runs).
 */
GArray *working_set_merge(const Restore *r, const GArray *missed,
                          const GArray *known, GError **error);

/** working_set_save() - write @runs to @path, all or nothing, and to the disk
 *  Context: any thread without a lock. Errors: the host's, @path named. */
bool working_set_save(const Restore *r, const char *path, const GArray *runs,
                      GError **error);

#endif
