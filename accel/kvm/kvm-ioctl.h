/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The narrow door to KVM: every ioctl of this room goes through these hooks,
 * so that a model of the kernel (tests/unit/kvm-model.c) can stand behind
 * them instead of /dev/kvm.
 *
 * All calls return what the ioctl returned, or a negative errno.
 */
#ifndef ACCEL_KVM_KVM_IOCTL_H
#define ACCEL_KVM_KVM_IOCTL_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

typedef struct KvmIo KvmIo;

typedef struct KvmIoctlOps {
    /** Open the system and make a VM; sets io->sys_fd and io->vm_fd.
     *  Errors: -errno, with @ret_what naming the step; nothing is open. */
    int (*open)(KvmIo *io, const char **ret_what);
    /** Close everything but the vCPUs; NULL-safe for half-open ones. */
    void (*close)(KvmIo *io);
    int (*sys)(KvmIo *io, unsigned long request, void *arg);
    int (*vm)(KvmIo *io, unsigned long request, void *arg);
    int (*vcpu)(KvmIo *io, int vcpu_fd, unsigned long request, void *arg);
    /** Map @length bytes of a vCPU's file from @page on, in pages: 0 is the
     *  page of KVM_RUN, KVM_DIRTY_LOG_PAGE_OFFSET the dirty ring. NULL with
     *  errno set. The caller unmaps with munmap(). */
    void *(*mmap)(KvmIo *io, int vcpu_fd, unsigned page, size_t length);
} KvmIoctlOps;

struct KvmIo {
    const KvmIoctlOps *ops;
    int sys_fd;     /* -1: not open */
    int vm_fd;      /* -1: no VM */
    void *opaque;   /* the implementation's own */
};

/* /dev/kvm. */
extern const KvmIoctlOps kvm_ioctl_kernel_ops;

/* Numbers as arguments are passed as pointers, as ioctl(2) takes both. */
#define KVM_ARG(number) ((void *)(uintptr_t)(number))

/** kvm_sys() - an ioctl on /dev/kvm. Returns: its result or -errno. */
int kvm_sys(KvmIo *io, unsigned long request, void *arg);

/** kvm_vm() - an ioctl on the VM. Returns: its result or -errno. */
int kvm_vm(KvmIo *io, unsigned long request, void *arg);

/** kvm_vcpu() - an ioctl on a vCPU. Returns: its result or -errno. */
int kvm_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg);

#endif
