/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's half of capability mapped-ram: memory from a file in which
 * every page has a fixed place (mapped-layout.h). While the section "ram" is
 * being loaded, the headers of its blocks are taken in one by one and held
 * against file and machine; when the list is whole, memory is brought to the
 * state that the file describes.
 *
 * Memory need not be fresh: what the file says is zero is zero afterwards.
 *
 * The ways (RestoreMode) differ in when a page is read: before the guest runs,
 * or when it is touched. docs/devel/restore.md compares them.
 */
#ifndef MIGRATION_RESTORE_H
#define MIGRATION_RESTORE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/channel.h"
#include "migration/page-sums.h"
#include "migration/stream.h"
#include "qapi/qapi-types.h"
#include "system/ramblock.h"
#include "util/clock.h"
#include "util/fdset.h"

typedef struct Restore Restore;
typedef struct UffdKernel UffdKernel; /* util/userfaultfd.h */
typedef struct Vm Vm;

/*
 * All of memory is there, some time after the guest was let go, or (@error)
 * will never be: the guest is condemned then, and a stop was asked for if
 * restore_fetch() was called.
 * Called from a thread of its own, without any lock, once at the most.
 */
typedef void RestoreEndedFn(void *opaque, const GError *error);

/* Bytes per second that may be brought in the background; 0: no limit. Called
 * from a thread of its own, without any lock. */
typedef uint64_t RestoreRateFn(void *opaque);

/* Something for people to know that is in nobody's way. Context: as that. */
typedef void RestoreWarnFn(void *opaque, const char *words);

typedef struct RestoreConfig {
    Vm *vm;               /* condemned if its memory is lost; NULL: none */
    Clock *clock;         /* outlives us; NULL: nothing is timed */
    uint64_t read_ahead_bytes; /* around a page that is touched */
    RestoreRateFn *rate;       /* NULL: no limit */
    const char *working_set;   /* a path, or NULL: none; copied */
    RestoreWarnFn *warn;       /* NULL: nobody listens */
    const UffdKernel *kernel;  /* NULL: the real one */
    RestoreEndedFn *ended;
    void *opaque;         /* for all of them */
    int64_t asked_ns;     /* when the restore was asked for */
    RestoreMode mode;
    bool direct_io;       /* read past the page cache */
    FdSets *fdsets;       /* that the file was opened with; may be NULL */
    bool must_check;      /* all pages are to be held against checksums, so
                             all have to be read: "auto" does, "fault" when
                             they come, "map" fails */
} RestoreConfig;

/** restore_mode_is_late() - may the guest run before memory was read? */
static inline bool restore_mode_is_late(RestoreMode mode)
{
    return mode == RESTORE_MODE_MAP || mode == RESTORE_MODE_FAULT;
}

/** restore_new() - from @file, which can seek; a reference is taken
 *  @config: copied. Context: big lock. */
Restore *restore_new(Channel *file, const RestoreConfig *config);

/** restore_free() - a guest whose memory is not all there is condemned first.
 *  NULL is fine. Context: no lock that config->ended takes. */
void restore_free(Restore *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Restore, restore_free)

/**
 * restore_add_block() - get the header of @block from the stream, and its
 * bitmap from the file; the stream is behind its pages then
 * Context: the loading thread.
 * Errors:  the header's (mapped_get_header()), a block twice, a bitmap with
 *          bits of pages that the block does not have, no memory.
 */
bool restore_add_block(Restore *r, Stream *s, RAMBlock *block, GError **error);

/**
 * restore_memory() - all blocks are added: bring memory to what the file says
 * Context: the loading thread, the guest does not run.
 * Errors:  reading the file, or what is asked for cannot be done with it;
 *          memory is half loaded then and must not be used. The second call:
 *          it changes nothing.
 */
bool restore_memory(Restore *r, GError **error);

/** restore_set_sums() - note every page that is read, and the bitmaps
 *  @sums: of the blocks that will be added; not owned. Those of blocks whose
 *         pages are only mapped become unread
 *  Context: before the first block is added. */
void restore_set_sums(Restore *r, PageSums *sums);

/** restore_is_lazy() - may the guest run although pages are missing?
 *  Context: after restore_memory(). */
bool restore_is_lazy(const Restore *r);

/**
 * restore_hold_sums() - the file's table of checksums has been read: hold all
 *                       pages against it that came by touches, or will come
 * @sums: those of restore_set_sums(); ours from now on, also on errors
 * Context: the loading thread; restore_is_lazy(), before restore_fetch(); once.
 * Errors:  block and place of a page that is wrong or that the file lacks.
 */
bool restore_hold_sums(Restore *r, PageSums *sums, GError **error);

/** restore_fetch() - the guest was let go: bring what is missing, in the
 *  background. Context: restore_is_lazy(); once. */
void restore_fetch(Restore *r);

/** restore_needs_file() - does memory depend on the file from now on, for good
 *  or until config->ended is called? Context: after restore_memory(). */
bool restore_needs_file(const Restore *r);

/** restore_check_unused() - the stream does not need us after all
 *  Errors: something was asked for that only fixed places can do. */
bool restore_check_unused(const Restore *r, GError **error);

/**
 * restore_query() - what it did, and does
 * @started_ns: when the vCPUs were let go; 0: not yet
 * Context: any thread. Returns: NULL until memory is there.
 */
RestoreInfo *restore_query(const Restore *r, int64_t started_ns);

/** restore_zero_pages(), restore_normal_pages() - in all blocks together. */
uint64_t restore_zero_pages(const Restore *r);
uint64_t restore_normal_pages(const Restore *r);

#endif
