/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host memory that backs guest RAM: anonymous, memfd or a file. What -object
 * memory-backend-{ram,memfd,file} makes; a board without one gets an
 * anonymous backend under its own name.
 */
#ifndef SYSTEM_HOSTMEM_H
#define SYSTEM_HOSTMEM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum HostMemKind {
    HOSTMEM_RAM,    /* anonymous, or shared anonymous with share=on */
    HOSTMEM_MEMFD,
    HOSTMEM_FILE,
} HostMemKind;

typedef struct HostMemConfig {
    const char *id;       /* for messages and "info memdev"; copied */
    HostMemKind kind;
    uint64_t size_bytes;  /* multiple of the backing's page size */
    bool share;           /* writes go to the memfd, the file, forked children;
                             else they stay private to this process */
    bool prealloc;        /* all pages present before hostmem_new() returns */
    const char *mem_path; /* HOSTMEM_FILE: a file, which is created if absent
                             and extended if empty; or a directory, in which a
                             file without a name is made */
} HostMemConfig;

typedef struct HostMem {
    char *id;
    HostMemKind kind;
    uint8_t *host;        /* mapped, page aligned (2 MiB aligned when larger) */
    uint64_t size_bytes;
    uint64_t page_bytes;  /* of the backing: 4096, or a huge page */
    int fd;               /* owned; -1 for anonymous memory */
    bool share;
    bool prealloc;
    char *mem_path;
    bool named;           /* a file that other processes can open by mem_path */
    bool in_use;          /* a RAM block was made of it */
    bool shows_file;      /* parts of it are private mappings of some other
                             file, see hostmem_map_file() */
    bool made_anonymous;  /* nothing of @fd is mapped any more, see
                             hostmem_make_anonymous() */
} HostMem;

/**
 * hostmem_new() - map memory as configured
 * New memory reads as zeros; a file keeps what it holds. Pages come when they
 * are touched, unless preallocated; without @prealloc the size is not counted
 * against the host's commit limit, so sparse guests may be larger than it.
 * Not inherited by fork(): a process that goes into the background does so
 * before it makes its memory.
 * Context: start-up, main thread. Cost: with @prealloc, O(size).
 * Errors:  size zero or not a multiple of the page size; no mem_path, a
 *          mem_path that is neither file nor directory, a file that is not
 *          empty and too small; mmap, memfd_create, open, ftruncate or the
 *          preallocation failed. Nothing is left behind.
 * Returns: the memory, or NULL with @error set.
 */
HostMem *hostmem_new(const HostMemConfig *config, GError **error);

/**
 * hostmem_discard() - have it all read as zeros, by giving the pages back
 * Not done to preallocated memory, which is to stay allocated, nor to a
 * private mapping of a file, which would read as the file again. Who watches
 * the memory (userfaultfd) goes on doing so.
 * Context: nobody uses the content.
 * Returns: false if nothing was done.
 */
bool hostmem_discard(HostMem *mem);

/**
 * hostmem_check_map() - can parts of it become private mappings of a file?
 * Errors:  it is shared, preallocated or made of huge pages.
 */
bool hostmem_check_map(const HostMem *mem, GError **error);

/**
 * hostmem_make_anonymous() - fresh anonymous memory in its place, all zero
 * Context: hostmem_check_map() holds; nobody uses the content.
 * Errors:  the kernel's; some of it may be gone then.
 */
bool hostmem_make_anonymous(HostMem *mem, GError **error);

/**
 * hostmem_map_file() - show @bytes of a file at @offset; writes stay here
 * @fd:    may be closed afterwards
 * @place: in the file; like @offset and @bytes a multiple of 4096
 * Whoever changes the file later changes what was not written yet, and cuts
 * pages out of memory by cutting the file: see that nobody does.
 * Context: hostmem_check_map() holds; nobody uses the content.
 * Errors:  the kernel's (no mapping of this file; too many mappings); the
 *          part is anonymous and zero then.
 */
bool hostmem_map_file(HostMem *mem, uint64_t offset, uint64_t bytes, int fd,
                      uint64_t place, GError **error);

/** hostmem_free() - unmap and close; NULL is fine. Context: nobody uses it. */
void hostmem_free(HostMem *mem);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostMem, hostmem_free)

#endif
