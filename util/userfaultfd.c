/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See util/userfaultfd.h. The system call by itself (without the flag that
 * leaves faults in the kernel out) needs a capability or a sysctl; the device
 * node only the right to open it, so it is tried first.
 */
#include "util/userfaultfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "util/error.h"
#include "util/linux-compat.h"

#define DEVICE "/dev/userfaultfd"
#define OPEN_FLAGS (O_CLOEXEC | O_NONBLOCK)
#define READ_BATCH 16

typedef struct Feature {
    uint64_t bit;
    const char *name;
    const char *use;
    const char *since;
} Feature;

static const Feature features[] = {
    { UFFD_WP, "PAGEFAULT_FLAG_WP", "write-protected pages", "5.7" },
    { UFFD_MISSING_HUGE, "MISSING_HUGETLBFS", "missing huge pages", "4.11" },
    { UFFD_MISSING_SHARED, "MISSING_SHMEM", "missing pages of shared memory",
      "4.11" },
    { UFFD_WP_SHARED, "WP_HUGETLBFS_SHMEM",
      "write-protected shared memory, memfd and huge pages", "5.19" },
    { UFFD_WP_HOLES, "WP_UNPOPULATED",
      "write-protected pages that were never touched", "6.4" },
};

/* ---- the kernel ---------------------------------------------------------- */

static int kernel_open_device(void)
{
    int dev = open(DEVICE, O_RDWR | O_CLOEXEC);
    int fd;

    if (dev < 0) {
        return -errno;
    }
    fd = ioctl(dev, USERFAULTFD_IOC_NEW, OPEN_FLAGS);
    fd = fd < 0 ? -errno : fd;
    close(dev);
    return fd;
}

static int kernel_open_syscall(void)
{
    int fd = syscall(SYS_userfaultfd, OPEN_FLAGS);

    return fd < 0 ? -errno : fd;
}

static int kernel_call(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static unsigned kernel_release(void)
{
    unsigned major = 0, minor = 0;
    struct utsname name;

    uname(&name);
    sscanf(name.release, "%u.%u", &major, &minor);
    return UFFD_RELEASE(major, minor);
}

unsigned uffd_release(const UffdKernel *kernel)
{
    return kernel && kernel->release ? kernel->release() : kernel_release();
}

const UffdKernel *uffd_kernel_real(void)
{
    static const UffdKernel kernel = {
        .open_device = kernel_open_device,
        .open_syscall = kernel_open_syscall,
        .call = kernel_call,
    };

    return &kernel;
}

/* ---- open ---------------------------------------------------------------- */

static int open_any(const UffdKernel *kernel, GError **error)
{
    int device = kernel->open_device();
    int fd = device >= 0 ? device : kernel->open_syscall();

    if (fd == -ENOSYS) {
        tm_error_set(error, "this kernel has no userfaultfd "
                     "(CONFIG_USERFAULTFD)");
    } else if (fd == -EPERM) {
        tm_error_set(error, "userfaultfd is not allowed: cannot open "
                     DEVICE ": %s; and the system call needs CAP_SYS_PTRACE, "
                     "or the sysctl vm.unprivileged_userfaultfd=1",
                     g_strerror(-device));
    } else if (fd < 0) {
        tm_error_set_errno(error, fd, "cannot open userfaultfd");
    }
    return fd;
}

/* One handshake for each descriptor; a second is refused by the kernel. */
static int handshake(const UffdKernel *kernel, int fd, uint64_t *features_io,
                     GError **error)
{
    struct uffdio_api api = { .api = UFFD_API, .features = *features_io };
    int err = kernel->call(fd, UFFDIO_API, &api);

    if (err) {
        tm_error_set_errno(error, err, "cannot set up userfaultfd with "
                           "features 0x%" G_GINT64_MODIFIER "x", *features_io);
        return err;
    }
    *features_io = api.features;
    return 0;
}

bool uffd_probe(const UffdKernel *kernel, uint64_t *ret_features,
                GError **error)
{
    uint64_t known = 0;
    int fd, err;

    kernel = kernel ? kernel : uffd_kernel_real();
    fd = open_any(kernel, error);
    if (fd < 0) {
        return false;
    }
    err = handshake(kernel, fd, &known, error);
    close(fd);
    if (err) {
        return false;
    }
    *ret_features = known;
    return true;
}

static bool check_features(uint64_t known, uint64_t wanted, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(features); i++) {
        if (wanted & ~known & features[i].bit) {
            tm_error_set(error, "this kernel's userfaultfd knows no %s "
                         "(%s, Linux %s or later)", features[i].use,
                         features[i].name, features[i].since);
            return false;
        }
    }
    return true;
}

bool uffd_open(Uffd *ret_uffd, const UffdKernel *kernel, uint64_t wanted,
               uint64_t welcome, GError **error)
{
    uint64_t known;

    kernel = kernel ? kernel : uffd_kernel_real();
    *ret_uffd = (Uffd) { .fd = -1, .kernel = kernel };
    if (!uffd_probe(kernel, &known, error) ||
        !check_features(known, wanted, error)) {
        return false;
    }
    ret_uffd->features = wanted | (welcome & known);
    ret_uffd->fd = open_any(kernel, error);
    if (ret_uffd->fd < 0) {
        return false;
    }
    known = ret_uffd->features;
    if (handshake(kernel, ret_uffd->fd, &known, error)) {
        uffd_close(ret_uffd);
        return false;
    }
    return true;
}

void uffd_close(Uffd *uffd)
{
    if (uffd->fd >= 0) {
        close(uffd->fd);
    }
    uffd->fd = -1;
}

/* ---- calls --------------------------------------------------------------- */

static int call(Uffd *uffd, unsigned long request, void *arg)
{
    int err;

    do {
        err = uffd->kernel->call(uffd->fd, request, arg);
    } while (err == -EAGAIN || err == -EINTR);
    return err;
}

static struct uffdio_range range_of(const void *start, uint64_t bytes)
{
    return (struct uffdio_range) { .start = (uintptr_t)start, .len = bytes };
}

static uint64_t ioctls_of(UffdMode mode)
{
    return (mode & UFFD_WRITES ? UINT64_C(1) << _UFFDIO_WRITEPROTECT : 0) |
        (mode & UFFD_MISSING ? UINT64_C(1) << _UFFDIO_COPY : 0);
}

int uffd_register(Uffd *uffd, const void *start, uint64_t bytes, UffdMode mode)
{
    struct uffdio_register arg = {
        .range = range_of(start, bytes),
        .mode = (mode & UFFD_WRITES ? UFFDIO_REGISTER_MODE_WP : 0) |
            (mode & UFFD_MISSING ? UFFDIO_REGISTER_MODE_MISSING : 0),
    };
    int err = call(uffd, UFFDIO_REGISTER, &arg);

    if (!err && ioctls_of(mode) & ~(uint64_t)arg.ioctls) {
        uffd_unregister(uffd, start, bytes);
        return -EOPNOTSUPP;
    }
    return err;
}

int uffd_unregister(Uffd *uffd, const void *start, uint64_t bytes)
{
    struct uffdio_range arg = range_of(start, bytes);

    return call(uffd, UFFDIO_UNREGISTER, &arg);
}

static int write_protect(Uffd *uffd, const void *start, uint64_t bytes,
                         uint64_t mode)
{
    struct uffdio_writeprotect arg = {
        .range = range_of(start, bytes), .mode = mode,
    };

    return call(uffd, UFFDIO_WRITEPROTECT, &arg);
}

int uffd_protect(Uffd *uffd, const void *start, uint64_t bytes)
{
    return write_protect(uffd, start, bytes, UFFDIO_WRITEPROTECT_MODE_WP);
}

int uffd_unprotect(Uffd *uffd, const void *start, uint64_t bytes)
{
    return write_protect(uffd, start, bytes, 0);
}

int uffd_wake(Uffd *uffd, const void *start, uint64_t bytes)
{
    struct uffdio_range arg = range_of(start, bytes);

    return call(uffd, UFFDIO_WAKE, &arg);
}

/* The kernel may stop half way and wants to be asked for the rest: it tells
 * how far it came (or an error once more) in @moved. */
static bool go_on(int err, int64_t moved, uint64_t *done)
{
    *done += moved > 0 ? moved : 0;
    return err == -EAGAIN || err == -EINTR;
}

int uffd_copy(Uffd *uffd, void *dst, const void *src, uint64_t bytes,
              uint64_t *ret_done)
{
    uint64_t done = 0;
    struct uffdio_copy arg;
    int err;

    do {
        arg = (struct uffdio_copy) {
            .dst = (uintptr_t)dst + done, .src = (uintptr_t)src + done,
            .len = bytes - done,
        };
        err = uffd->kernel->call(uffd->fd, UFFDIO_COPY, &arg);
    } while (go_on(err, arg.copy, &done));
    if (ret_done) {
        *ret_done = done;
    }
    return err;
}

int uffd_zero(Uffd *uffd, void *dst, uint64_t bytes, uint64_t *ret_done)
{
    uint64_t done = 0;
    struct uffdio_zeropage arg;
    int err;

    do {
        arg = (struct uffdio_zeropage) {
            .range = range_of((uint8_t *)dst + done, bytes - done),
        };
        err = uffd->kernel->call(uffd->fd, UFFDIO_ZEROPAGE, &arg);
    } while (go_on(err, arg.zeropage, &done));
    if (ret_done) {
        *ret_done = done;
    }
    return err;
}

/* ---- faults -------------------------------------------------------------- */

static unsigned pick_faults(const struct uffd_msg *msgs, unsigned n,
                            UffdFault *ret_faults)
{
    unsigned found = 0;

    for (unsigned i = 0; i < n; i++) {
        uint64_t flags = msgs[i].arg.pagefault.flags;

        if (msgs[i].event == UFFD_EVENT_PAGEFAULT) {
            ret_faults[found++] = (UffdFault) {
                .address = msgs[i].arg.pagefault.address,
                .write = flags & UFFD_PAGEFAULT_FLAG_WRITE,
                .is_protected = flags & UFFD_PAGEFAULT_FLAG_WP,
            };
        }
    }
    return found;
}

int uffd_read(Uffd *uffd, UffdFault *ret_faults, unsigned max)
{
    struct uffd_msg msgs[READ_BATCH];
    unsigned want = MIN(max, READ_BATCH);
    ssize_t got;

    do {
        got = read(uffd->fd, msgs, want * sizeof(msgs[0]));
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    return pick_faults(msgs, got / sizeof(msgs[0]), ret_faults);
}
