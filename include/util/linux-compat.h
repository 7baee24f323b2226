/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Constants of kernels newer than the headers we build with (Debian 12 ships
 * those of Linux 6.1). Each stands behind #ifndef, so that newer headers win,
 * with the release that brought it. Only what is used belongs here.
 */
#ifndef UTIL_LINUX_COMPAT_H
#define UTIL_LINUX_COMPAT_H

#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39 /* Linux 6.8 */
#endif

/* Writes to protected pages pass, and un-protect them: Linux 6.7. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* Which pages of a range are un-protected, and protect them: Linux 6.7. */
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN (1 << 1)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)

struct page_region {
    __u64 start, end, categories;
};

struct pm_scan_arg {
    __u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
    __u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#endif

#endif
