/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of file descriptors that a client has passed in. "/dev/fdset/N" names
 * set N where a path is expected; opening it duplicates the member that was
 * opened the way it is wanted now. Copies given out live on when a member or
 * the whole set is removed.
 */
#ifndef UTIL_FDSET_H
#define UTIL_FDSET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct FdSets FdSets;

/* One member as fdsets_foreach() shows it. */
typedef struct FdSetMember {
    int64_t set_id;
    int fd;
    const char *opaque; /* the client's words, or NULL */
} FdSetMember;

typedef void FdSetsVisitFn(const FdSetMember *member, void *user);

/** fdsets_new() - no sets yet. Returns: freed with fdsets_free(). */
FdSets *fdsets_new(void);

/** fdsets_free() - closes all members; accepts NULL */
void fdsets_free(FdSets *sets);

/**
 * fdsets_add() - add @fd to a set, which is made if it does not exist
 * @fd:     owned by the set from a successful call on
 * @set_id: NULL for a new set with the lowest free id
 * @opaque: the client's words for query-fdsets, copied; may be NULL
 * @ret_set_id: the set it is in now; may be NULL
 * Context: any thread.
 * Errors:  *@set_id is negative; @fd is still the caller's then.
 */
bool fdsets_add(FdSets *sets, int fd, const int64_t *set_id,
                const char *opaque, int64_t *ret_set_id, GError **error);

/**
 * fdsets_remove() - close one member or all members of a set
 * @fd: NULL for all; a set without members is gone
 * Context: any thread.
 * Errors:  there is no such set or member; nothing was closed.
 */
bool fdsets_remove(FdSets *sets, int64_t set_id, const int *fd,
                   GError **error);

/**
 * fdsets_foreach() - show every member, sets in order of their ids
 * @visit: called with the lock held: must not call back into @sets
 * Context: any thread.
 */
void fdsets_foreach(FdSets *sets, FdSetsVisitFn *visit, void *user);

/**
 * fdsets_path_id() - does a path name a set
 * @ret_set_id: its id
 * Returns: true for "/dev/fdset/" and a decimal number, nothing else.
 */
bool fdsets_path_id(const char *path, int64_t *ret_set_id);

/**
 * fdsets_open() - duplicate the member of a set that was opened like @flags
 * @flags: as for open(2); the access mode and O_DIRECT must be those the
 *         member has, other flags are not compared
 * Context: any thread.
 * Errors:  -ENOENT no such set; -EACCES no member fits; -errno of the copying.
 * Returns: a new file descriptor (close-on-exec) that shares the member's
 *          position, or a negative errno.
 */
int fdsets_open(FdSets *sets, int64_t set_id, int flags);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdSets, fdsets_free)

#endif
