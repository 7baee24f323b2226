/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of restore.h share.
 */
#ifndef MIGRATION_RESTORE_INTERNAL_H
#define MIGRATION_RESTORE_INTERNAL_H

#include "migration/mapped-layout.h"
#include "migration/restore.h"

typedef struct RestoreBlock {
    RAMBlock *block;
    MappedPlaces places;
    uint64_t *bitmap;     /* a set bit: the page is in the file */
} RestoreBlock;

struct Restore {
    RestoreConfig config;
    Channel *file;
    GArray *blocks;       /* of RestoreBlock, in the file's order */
    uint64_t file_bytes;  /* its length */
};

static inline RestoreBlock *restore_block(const Restore *r, unsigned i)
{
    return &g_array_index(r->blocks, RestoreBlock, i);
}

/** restore_read_blocks() - read all pages of all blocks, by some threads
 *  Context, Errors: as restore_memory(). */
bool restore_read_blocks(Restore *r, GError **error);

#endif
