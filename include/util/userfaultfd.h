/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * userfaultfd: page faults of this process, told to one of its threads. Two
 * uses: a write to a protected page waits until the page is un-protected
 * (UFFD_WRITES), a touch of a missing page waits until it is brought
 * (UFFD_MISSING). Accesses by the kernel count, KVM's among them.
 *
 * To end without leaving anybody asleep: un-protect (which wakes), unregister
 * (which does not), close (which wakes whoever is left), in this order.
 *
 * Calls return 0 or -errno unless they say otherwise; what the kernel asks to
 * be tried again is tried again. Addresses and lengths are whole pages of
 * the memory's backing.
 *
 * Source: Documentation/admin-guide/mm/userfaultfd.rst
 */
#ifndef UTIL_USERFAULTFD_H
#define UTIL_USERFAULTFD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Features that somebody may ask for, by the kernel's own bits. */
#define UFFD_WP UINT64_C(0x1)               /* writes; Linux 5.7 */
#define UFFD_MISSING_HUGE UINT64_C(0x10)    /* missing huge pages; 4.11 */
#define UFFD_MISSING_SHARED UINT64_C(0x20)  /* missing shared pages; 4.11 */
#define UFFD_WP_SHARED UINT64_C(0x1000)     /* writes to shared memory, memfd
                                               and huge pages; 5.19 */
#define UFFD_WP_HOLES UINT64_C(0x2000)      /* writes to anonymous pages that
                                               were never touched; 6.4 */

typedef enum UffdMode {
    UFFD_WRITES = 1,
    UFFD_MISSING = 2,
    UFFD_WRITES_AND_MISSING = UFFD_WRITES | UFFD_MISSING,
} UffdMode;

/* The kernel's side, so that tests can put another in its place. */
struct UffdKernel {
    int (*open_device)(void);   /* a descriptor, not blocking, or -errno */
    int (*open_syscall)(void);
    int (*call)(int fd, unsigned long request, void *arg); /* 0 or -errno */
    unsigned (*release)(void);  /* UFFD_RELEASE(); NULL: the real one's */
};

typedef struct UffdKernel UffdKernel;

typedef struct Uffd {
    int fd;                     /* may be polled for faults; -1: closed */
    uint64_t features;          /* those that were asked for */
    const UffdKernel *kernel;
} Uffd;

typedef struct UffdFault {
    uint64_t address;           /* in this process; first of a page */
    bool write;                 /* the access */
    bool is_protected;          /* the page is there, but protected; else it
                                   is missing */
} UffdFault;

#define UFFD_RELEASE(major, minor) ((major) << 16 | (minor))

/** uffd_release() - of the kernel; NULL: of the real one. What vendors have
 *  repaired in theirs it does not tell. */
unsigned uffd_release(const UffdKernel *kernel);

/** uffd_kernel_real() - Linux. */
const UffdKernel *uffd_kernel_real(void);

/**
 * uffd_probe() - what this kernel can do
 * @kernel: NULL: the real one
 * @ret_features: all that it knows, more than the names above
 * Context: any thread.
 * Errors:  no userfaultfd in this kernel; no right to it, with what to change.
 */
bool uffd_probe(const UffdKernel *kernel, uint64_t *ret_features,
                GError **error);

/**
 * uffd_open() - a descriptor with these features
 * @wanted: features that must be there
 * @welcome: features to have if they can be had; see Uffd.features
 * The descriptor does not block, is closed on exec, and hears of faults inside
 * of the kernel too.
 * Context: any thread.
 * Errors:  those of uffd_probe(); a feature is missing, by name and with the
 *          release that brought it. @ret_uffd is closed then.
 */
bool uffd_open(Uffd *ret_uffd, const UffdKernel *kernel, uint64_t wanted,
               uint64_t welcome, GError **error);

/** uffd_close() - wakes whoever waits still. Closed already: nothing. */
void uffd_close(Uffd *uffd);

/**
 * uffd_register() - tell faults of this range to @uffd
 * Errors:  -EINVAL the memory is of a kind that cannot be (a file on a real
 *          filesystem); -EBUSY it is registered with another descriptor;
 *          -EOPNOTSUPP what @mode needs cannot be done with this memory.
 */
int uffd_register(Uffd *uffd, const void *start, uint64_t bytes,
                  UffdMode mode);

/** uffd_unregister() - protection goes; sleepers are not woken. */
int uffd_unregister(Uffd *uffd, const void *start, uint64_t bytes);

/** uffd_protect() - writes fault from here on.
 *  uffd_unprotect() - they do not, and who waits goes on. */
int uffd_protect(Uffd *uffd, const void *start, uint64_t bytes);
int uffd_unprotect(Uffd *uffd, const void *start, uint64_t bytes);

/** uffd_wake() - who waits for a page of this range tries again. */
int uffd_wake(Uffd *uffd, const void *start, uint64_t bytes);

/**
 * uffd_copy() - bring missing pages, and wake
 * @src: @bytes of any alignment, not in memory registered with @uffd
 * @ret_done: bytes brought, from the start; on success all. May be NULL
 * Errors:  -EEXIST a page is there already (those before it were brought).
 */
int uffd_copy(Uffd *uffd, void *dst, const void *src, uint64_t bytes,
              uint64_t *ret_done);

/** uffd_zero() - as uffd_copy(), with zeros; not for huge pages. */
int uffd_zero(Uffd *uffd, void *dst, uint64_t bytes, uint64_t *ret_done);

/**
 * uffd_read() - faults that nobody has read yet
 * @max: at least 1
 * Events that are no faults are left out.
 * Returns: how many; 0: none at the moment; or -errno.
 */
int uffd_read(Uffd *uffd, UffdFault *ret_faults, unsigned max);

#endif
