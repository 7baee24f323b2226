/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real kernel behind KvmIoctlOps: the only file that calls ioctl(2) on
 * KVM's file descriptors.
 */
#include "accel/kvm/kvm-ioctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

int kvm_sys(KvmIo *io, unsigned long request, void *arg)
{
    return io->ops->sys(io, request, arg);
}

int kvm_vm(KvmIo *io, unsigned long request, void *arg)
{
    return io->ops->vm(io, request, arg);
}

int kvm_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg)
{
    return io->ops->vcpu(io, vcpu_fd, request, arg);
}

static int call(int fd, unsigned long request, void *arg)
{
    int r = ioctl(fd, request, arg);

    return r < 0 ? -errno : r;
}

static void kernel_close(KvmIo *io)
{
    if (io->vm_fd >= 0) {
        close(io->vm_fd);
        io->vm_fd = -1;
    }
    if (io->sys_fd >= 0) {
        close(io->sys_fd);
        io->sys_fd = -1;
    }
}

/* VM creation is cut short by a signal now and then: the kernel says EINTR. */
static int create_vm(int sys_fd)
{
    int fd;

    do {
        fd = call(sys_fd, KVM_CREATE_VM, NULL);
    } while (fd == -EINTR);
    return fd;
}

static int kernel_open(KvmIo *io, const char **ret_what)
{
    int version;

    io->vm_fd = -1;
    io->sys_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (io->sys_fd < 0) {
        *ret_what = "cannot open '/dev/kvm'";
        return -errno;
    }
    version = call(io->sys_fd, KVM_GET_API_VERSION, NULL);
    if (version != KVM_API_VERSION) {
        *ret_what = "KVM's interface has an unknown version";
        kernel_close(io);
        return version < 0 ? version : -EPROTO;
    }
    io->vm_fd = create_vm(io->sys_fd);
    if (io->vm_fd < 0) {
        int err = io->vm_fd;

        *ret_what = "cannot create a VM (KVM_CREATE_VM)";
        kernel_close(io);
        return err;
    }
    return 0;
}

static int kernel_sys(KvmIo *io, unsigned long request, void *arg)
{
    return call(io->sys_fd, request, arg);
}

static int kernel_vm(KvmIo *io, unsigned long request, void *arg)
{
    return call(io->vm_fd, request, arg);
}

static int kernel_vcpu(KvmIo *io, int vcpu_fd, unsigned long request,
                       void *arg)
{
    return call(vcpu_fd, request, arg);
}

static void *kernel_mmap(KvmIo *io, int vcpu_fd, unsigned page,
                         size_t length)
{
    void *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd,
                   (off_t)page * getpagesize());

    return p == MAP_FAILED ? NULL : p;
}

const KvmIoctlOps kvm_ioctl_kernel_ops = {
    .open = kernel_open,
    .close = kernel_close,
    .sys = kernel_sys,
    .vm = kernel_vm,
    .vcpu = kernel_vcpu,
    .mmap = kernel_mmap,
};
