/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See write-oracle.h.
 */
#include "write-oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/bitmap.h"
#include "util/linux-compat.h"

#define PAGE UINT64_C(4096)
#define REGIONS 512           /* runs of pages that one call tells */

struct WriteOracle {
    uint64_t start, npages;
    int uffd, pagemap;
    struct page_region regions[REGIONS];
};

/* vCPUs fault in the kernel, so the kind for user mode only will not do. */
static int open_uffd(void)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    int device;

    if (fd < 0) {
        device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
        if (device >= 0) {
            fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
            close(device);
        }
    }
    return fd;
}

static int scan(WriteOracle *o, uint64_t from, struct pm_scan_arg *a)
{
    *a = (struct pm_scan_arg) {
        .size = sizeof(*a),
        .flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
        .start = from, .end = o->start + o->npages * PAGE,
        .vec = (uintptr_t)o->regions, .vec_len = REGIONS,
        .category_mask = PAGE_IS_WRITTEN, .return_mask = PAGE_IS_WRITTEN,
    };
    return ioctl(o->pagemap, PAGEMAP_SCAN, a);
}

/* Returns: what is missing, or NULL. */
static const char *watch(WriteOracle *o)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_WP_ASYNC |
            UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    };
    struct uffdio_register area = {
        .range = { o->start, o->npages * PAGE },
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    struct uffdio_writeprotect protect = {
        .range = area.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };
    struct pm_scan_arg a;

    o->uffd = open_uffd();
    if (o->uffd < 0) {
        return "no userfaultfd for faults in the kernel (needs "
               "CAP_SYS_PTRACE, or vm.unprivileged_userfaultfd=1)";
    }
    if (ioctl(o->uffd, UFFDIO_API, &api)) {
        return "userfaultfd has no asynchronous write protection (Linux 6.7)";
    }
    if (ioctl(o->uffd, UFFDIO_REGISTER, &area)) {
        return "this memory cannot be write-protected by userfaultfd";
    }
    o->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (o->pagemap < 0 || scan(o, o->start, &a) < 0) {
        return "/proc/self/pagemap has no PAGEMAP_SCAN (Linux 6.7)";
    }
    /* That was to see whether it can; now all of it, holes too. */
    g_assert_cmpint(ioctl(o->uffd, UFFDIO_WRITEPROTECT, &protect), ==, 0);
    return NULL;
}

WriteOracle *write_oracle_new(void *memory, uint64_t npages,
                              const char **ret_why)
{
    WriteOracle *o = g_new0(WriteOracle, 1);

    *o = (WriteOracle) {
        .start = (uintptr_t)memory, .npages = npages, .uffd = -1,
        .pagemap = -1,
    };
    *ret_why = watch(o);
    if (*ret_why) {
        write_oracle_free(o);
        return NULL;
    }
    return o;
}

void write_oracle_free(WriteOracle *o)
{
    if (o->uffd >= 0) {
        close(o->uffd); /* un-protects and unregisters */
    }
    if (o->pagemap >= 0) {
        close(o->pagemap);
    }
    g_free(o);
}

uint64_t write_oracle_take(WriteOracle *o, uint64_t *words)
{
    uint64_t end = o->start + o->npages * PAGE, n = 0;
    struct pm_scan_arg a = { .walk_end = o->start };

    memset(words, 0, bitmap_bytes(o->npages));
    while (a.walk_end < end) {
        int told = scan(o, a.walk_end, &a);

        g_assert_cmpint(told, >=, 0);
        for (int i = 0; i < told; i++) {
            uint64_t first = (o->regions[i].start - o->start) / PAGE;
            uint64_t len = (o->regions[i].end - o->regions[i].start) / PAGE;

            bitmap_set(words, first, len);
            n += len;
        }
    }
    return n;
}
