/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Constants of kernels newer than the headers we build with (Debian 12 ships
 * those of Linux 6.1). Each stands behind #ifndef, so that newer headers win,
 * with the release that brought it. Only what is used belongs here.
 */
#ifndef UTIL_LINUX_COMPAT_H
#define UTIL_LINUX_COMPAT_H

#include <linux/kvm.h>

#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39 /* Linux 6.8 */
#endif

#endif
