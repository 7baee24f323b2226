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
    uint64_t *there;      /* by faults: it has been brought; atomic */
    PageSumBlock *sums;   /* of its pages, when they are read; or NULL */
    bool is_there;        /* its memory is as the file says */
    bool shows_file;      /* ... by a mapping */
} RestoreBlock;

typedef struct RestoreFault RestoreFault; /* restore-fault.h */

/* Page faults of the process so far. */
typedef struct RestoreFaultCount {
    uint64_t minor, major;
} RestoreFaultCount;

struct Restore {
    RestoreConfig config;
    char *working_set;    /* owned; the config's */
    Channel *file;
    GArray *blocks;       /* of RestoreBlock, in the file's order */
    PageSums *sums;       /* NULL: pages have none. Not owned */
    PageSums *held;       /* the same, owned from restore_hold_sums() on */
    uint64_t file_bytes;  /* its length */
    /* Settled before @is_done, which is atomic. */
    uint64_t memory_ns;   /* how long restore_memory() took */
    uint64_t read_bytes;  /* of memory, by restore_read_blocks() */
    RestoreFaultCount faults_before; /* the guest ran */
    bool is_done;
    bool has_begun;       /* restore_memory() was called */
    RestoreFault *fault;  /* if memory comes by faults */
};

static inline RestoreBlock *restore_block(const Restore *r, unsigned i)
{
    return &g_array_index(r->blocks, RestoreBlock, i);
}

/** restore_note_faults() - of this process, now. */
void restore_note_faults(RestoreFaultCount *ret);

/** restore_open_source() - what pages are read from: the file, or itself past
 *  the page cache. Returns: a reference, or NULL with @error. */
Channel *restore_open_source(Restore *r, GError **error);

/**
 * restore_next_piece() - pages that belong together from @from on
 * Runs of pages that are in the file, with the gaps between them if those are
 * small. Returns: false if there is none.
 */
bool restore_next_piece(const RestoreBlock *rb, uint64_t from,
                        uint64_t *ret_first, uint64_t *ret_end);

/** restore_check_map() - can this block become a mapping of the file?
 *  Errors: why not, the block named. */
bool restore_check_map(const Restore *r, const RestoreBlock *rb,
                       GError **error);

/**
 * restore_map_block() - have the block show the file
 * Runs of pages that are in the file are mapped, smaller gaps between them as
 * well; pages of zeros there that the file holds something of are cleared.
 * Context, Errors: as restore_memory(), and the kernel's. Cost: O(runs).
 */
bool restore_map_block(Restore *r, RestoreBlock *rb, GError **error);

/** restore_read_blocks() - read all pages of all blocks that are not there
 *  yet, by some threads
 *  Context, Errors: as restore_memory(). */
bool restore_read_blocks(Restore *r, GError **error);

#endif
