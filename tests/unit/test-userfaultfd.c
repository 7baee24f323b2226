/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * userfaultfd: what a kernel lacks is told in words (kernels that are faked
 * for it); on the real one, threads that write or read wait until they are
 * let go, memory of each kind.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <linux/magic.h>
#include <unistd.h>

#include "util/error.h"
#include "util/linux-compat.h"
#include "util/userfaultfd.h"

#define PAGE UINT64_C(4096)
#define PAGES 16
#define WAIT_MS 120000

/* ---- a kernel that lacks things ------------------------------------------ */

static struct {
    int device, syscall;     /* -errno; 0: works */
    uint64_t known;          /* features */
    uint64_t asked;          /* in the last handshake */
    int api_err;
    unsigned again;          /* calls that are to be tried again first */
    unsigned calls;
    unsigned unregistered;
    uint64_t range_ioctls;
    uint64_t step;           /* bytes a copy moves before it wants more */
    uint64_t moved;
    uint64_t last_dst, last_src;
} fake;

static int fake_fd(int err)
{
    return err ? err : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int fake_open_device(void)
{
    return fake_fd(fake.device);
}

static int fake_open_syscall(void)
{
    return fake_fd(fake.syscall);
}

static int fake_api(struct uffdio_api *api)
{
    if (fake.api_err || api->features & ~fake.known) {
        return fake.api_err ? fake.api_err : -EINVAL;
    }
    fake.asked = api->features;
    api->features = fake.known;
    return 0;
}

/* Pieces of fake.step bytes, so that the last is brought with success. */
static int fake_move(int64_t *ret_moved, uint64_t len)
{
    *ret_moved = MIN(len, fake.step);
    fake.moved += *ret_moved;
    return fake.step < len ? -EAGAIN : 0;
}

static int fake_call(int fd, unsigned long request, void *arg)
{
    fake.calls++;
    if (fake.again) {
        fake.again--;
        return fake.again % 2 ? -EAGAIN : -EINTR;
    }
    switch (request) {
    case UFFDIO_API:
        return fake_api(arg);
    case UFFDIO_REGISTER:
        ((struct uffdio_register *)arg)->ioctls = fake.range_ioctls;
        return 0;
    case UFFDIO_UNREGISTER:
        fake.unregistered++;
        return 0;
    case UFFDIO_COPY:
        fake.last_dst = ((struct uffdio_copy *)arg)->dst;
        fake.last_src = ((struct uffdio_copy *)arg)->src;
        return fake_move((int64_t *)&((struct uffdio_copy *)arg)->copy,
                         ((struct uffdio_copy *)arg)->len);
    case UFFDIO_ZEROPAGE:
        fake.last_dst = ((struct uffdio_zeropage *)arg)->range.start;
        return fake_move((int64_t *)&((struct uffdio_zeropage *)arg)->zeropage,
                         ((struct uffdio_zeropage *)arg)->range.len);
    default:
        return 0;
    }
}

static const UffdKernel fake_kernel = {
    .open_device = fake_open_device,
    .open_syscall = fake_open_syscall,
    .call = fake_call,
};

static void fake_reset(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.known = UFFD_WP | UFFD_MISSING_HUGE | UFFD_MISSING_SHARED |
        UFFD_WP_SHARED | UFFD_WP_HOLES;
    fake.range_ioctls = UINT64_MAX;
}

static void expect_no_open(uint64_t wanted, const char *words)
{
    g_autoptr(GError) error = NULL;
    Uffd uffd;

    g_assert_false(uffd_open(&uffd, &fake_kernel, wanted, 0, &error));
    g_assert_cmpint(uffd.fd, ==, -1);
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
}

static void test_open_lack_is_told(void)
{
    fake_reset();
    fake.device = -ENOENT;
    fake.syscall = -ENOSYS;
    expect_no_open(UFFD_WP, "no userfaultfd (CONFIG_USERFAULTFD)");
    fake.device = -EACCES;
    fake.syscall = -EPERM;
    expect_no_open(UFFD_WP, "/dev/userfaultfd: Permission denied");
    expect_no_open(UFFD_WP, "CAP_SYS_PTRACE");
    expect_no_open(UFFD_WP, "vm.unprivileged_userfaultfd=1");
    fake.syscall = -EMFILE;
    expect_no_open(UFFD_WP, "cannot open userfaultfd: Too many open files");
    fake.syscall = 0;
    fake.api_err = -EINVAL;
    expect_no_open(UFFD_WP, "cannot set up userfaultfd");
}

static void test_open_missing_feature_is_named(void)
{
    static const struct {
        uint64_t bit;
        const char *words;
    } cases[] = {
        { UFFD_WP, "PAGEFAULT_FLAG_WP, Linux 5.7" },
        { UFFD_MISSING_HUGE, "MISSING_HUGETLBFS, Linux 4.11" },
        { UFFD_MISSING_SHARED, "MISSING_SHMEM, Linux 4.11" },
        { UFFD_WP_SHARED, "WP_HUGETLBFS_SHMEM, Linux 5.19" },
        { UFFD_WP_HOLES, "WP_UNPOPULATED, Linux 6.4" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_reset();
        fake.known &= ~cases[i].bit;
        expect_no_open(UFFD_WP | cases[i].bit, cases[i].words);
    }
}

static void test_open_device_or_syscall(void)
{
    for (unsigned i = 0; i < 3; i++) {
        g_autoptr(GError) error = NULL;
        Uffd uffd;

        fake_reset();
        fake.device = i == 1 ? -EACCES : 0;
        fake.syscall = i == 2 ? -EPERM : 0;
        g_assert_true(uffd_open(&uffd, &fake_kernel, UFFD_WP, 0, &error));
        g_assert_no_error(error);
        g_assert_cmpint(uffd.fd, >=, 0);
        uffd_close(&uffd);
        uffd_close(&uffd);
        g_assert_cmpint(uffd.fd, ==, -1);
    }
}

static void test_open_welcome_features_if_there(void)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t expected = UFFD_WP | (i ? UFFD_WP_HOLES : 0);
        Uffd uffd;

        fake_reset();
        fake.known = UFFD_WP | UFFD_WP_SHARED | (i ? UFFD_WP_HOLES : 0);
        g_assert_true(uffd_open(&uffd, &fake_kernel, UFFD_WP, UFFD_WP_HOLES,
                                NULL));
        g_assert_cmphex(uffd.features, ==, expected);
        g_assert_cmphex(fake.asked, ==, expected);
        uffd_close(&uffd);
    }
}

static void test_calls_are_tried_again(void)
{
    uint64_t done = 0;
    char page[1];
    Uffd uffd;

    fake_reset();
    g_assert_true(uffd_open(&uffd, &fake_kernel, UFFD_WP, 0, NULL));
    for (unsigned i = 0; i < 7; i++) {
        fake.again = 5;
        fake.calls = 0;
        fake.step = UINT64_MAX;
        g_assert_cmpint(
            i == 0 ? uffd_register(&uffd, page, PAGE, UFFD_WRITES) :
            i == 1 ? uffd_protect(&uffd, page, PAGE) :
            i == 2 ? uffd_unprotect(&uffd, page, PAGE) :
            i == 3 ? uffd_wake(&uffd, page, PAGE) :
            i == 4 ? uffd_unregister(&uffd, page, PAGE) :
            i == 5 ? uffd_copy(&uffd, page, page, PAGE, &done) :
            uffd_zero(&uffd, page, PAGE, &done), ==, 0);
        g_assert_cmpuint(fake.calls, ==, 6);
    }
    uffd_close(&uffd);
}

static void test_copy_goes_on_where_it_stopped(void)
{
    char dst[1], src[1];
    Uffd uffd;

    fake_reset();
    g_assert_true(uffd_open(&uffd, &fake_kernel, UFFD_WP, 0, NULL));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t done = 0;

        fake.step = 2 * PAGE;
        fake.moved = fake.calls = 0;
        g_assert_cmpint(i ? uffd_copy(&uffd, dst, src, 7 * PAGE, &done) :
                        uffd_zero(&uffd, dst, 7 * PAGE, &done), ==, 0);
        g_assert_cmpuint(done, ==, 7 * PAGE);
        g_assert_cmpuint(fake.moved, ==, 7 * PAGE);
        g_assert_cmpuint(fake.calls, ==, 4);
        g_assert_cmphex(fake.last_dst, ==, (uintptr_t)dst + 6 * PAGE);
        g_assert_cmphex(fake.last_src, ==, i ? (uintptr_t)src + 6 * PAGE : 0);
    }
    uffd_close(&uffd);
}

static void test_register_needs_its_ioctls(void)
{
    Uffd uffd;
    char page[1];

    fake_reset();
    g_assert_true(uffd_open(&uffd, &fake_kernel, UFFD_WP, 0, NULL));
    fake.range_ioctls = ~(UINT64_C(1) << _UFFDIO_WRITEPROTECT);
    g_assert_cmpint(uffd_register(&uffd, page, PAGE, UFFD_MISSING), ==, 0);
    g_assert_cmpint(uffd_register(&uffd, page, PAGE, UFFD_WRITES_AND_MISSING),
                    ==, -EOPNOTSUPP);
    fake.range_ioctls = ~(UINT64_C(1) << _UFFDIO_COPY);
    g_assert_cmpint(uffd_register(&uffd, page, PAGE, UFFD_WRITES), ==, 0);
    g_assert_cmpint(uffd_register(&uffd, page, PAGE, UFFD_MISSING), ==,
                    -EOPNOTSUPP);
    g_assert_cmpuint(fake.unregistered, ==, 2);
    uffd_close(&uffd);
}

/* ---- the real one -------------------------------------------------------- */

typedef enum Kind {
    ANONYMOUS,
    SHARED_ANONYMOUS,
    MEMFD_SHARED,
    MEMFD_PRIVATE,
    N_KINDS,
} Kind;

static uint8_t *map_kind(Kind kind)
{
    bool memfd = kind == MEMFD_SHARED || kind == MEMFD_PRIVATE;
    bool shared = kind == SHARED_ANONYMOUS || kind == MEMFD_SHARED;
    int fd = memfd ? memfd_create("test", MFD_CLOEXEC) : -1;
    uint8_t *p;

    if (memfd) {
        g_assert_cmpint(ftruncate(fd, PAGES * PAGE), ==, 0);
    }
    p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
             (shared ? MAP_SHARED : MAP_PRIVATE) |
             (memfd ? 0 : MAP_ANONYMOUS), fd, 0);
    g_assert_true(p != MAP_FAILED);
    if (memfd) {
        close(fd);
    }
    return p;
}

static bool open_or_skip(Uffd *uffd, uint64_t wanted)
{
    g_autoptr(GError) error = NULL;

    if (!uffd_open(uffd, NULL, wanted, 0, &error)) {
        g_test_skip(error->message);
        return false;
    }
    return true;
}

typedef struct Toucher {
    uint8_t *at;
    bool write;
    uint8_t got;
    GThread *thread;
} Toucher;

static gpointer touch(gpointer opaque)
{
    Toucher *t = opaque;

    if (t->write) {
        __atomic_store_n(t->at, 0x77, __ATOMIC_RELAXED);
    } else {
        t->got = __atomic_load_n(t->at, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void toucher_start(Toucher *t, uint8_t *at, bool write)
{
    *t = (Toucher) { .at = at, .write = write };
    t->thread = g_thread_new("toucher", touch, t);
}

static void wait_for_faults(Uffd *uffd)
{
    struct pollfd pfd = { .fd = uffd->fd, .events = POLLIN };

    g_assert_cmpint(poll(&pfd, 1, WAIT_MS), ==, 1);
}

static UffdFault one_fault(Uffd *uffd)
{
    UffdFault fault[2];

    wait_for_faults(uffd);
    g_assert_cmpint(uffd_read(uffd, fault, 2), ==, 1);
    return fault[0];
}

/* A write of a page that was touched before, and of one that was not. */
static void check_writes_wait(Uffd *uffd, uint8_t *p)
{
    memset(p, 1, PAGES / 2 * PAGE);
    g_assert_cmpint(uffd_register(uffd, p, PAGES * PAGE, UFFD_WRITES), ==, 0);
    g_assert_cmpint(uffd_protect(uffd, p, PAGES * PAGE), ==, 0);
    for (unsigned page = 3; page < PAGES; page += PAGES / 2) {
        uint8_t *at = p + page * PAGE + 5;
        uint8_t before = page < PAGES / 2;
        UffdFault fault;
        Toucher t;

        g_assert_cmpuint(*at, ==, before); /* whoever reads may */
        toucher_start(&t, at, true);
        fault = one_fault(uffd);
        g_assert_cmphex(fault.address, ==, (uintptr_t)p + page * PAGE);
        g_assert_true(fault.write);
        g_assert_true(fault.is_protected);
        g_assert_cmpuint(__atomic_load_n(at, __ATOMIC_RELAXED), ==, before);
        g_assert_cmpint(uffd_unprotect(uffd, p + page * PAGE, PAGE), ==, 0);
        g_thread_join(t.thread);
        g_assert_cmphex(*at, ==, 0x77);
    }
    g_assert_cmpint(uffd_unprotect(uffd, p, PAGES * PAGE), ==, 0);
    memset(p, 2, PAGES * PAGE);
    g_assert_cmpint(uffd_unregister(uffd, p, PAGES * PAGE), ==, 0);
}

static void test_protect_writes_wait(gconstpointer opaque)
{
    Kind kind = GPOINTER_TO_UINT(opaque);
    uint8_t *p;
    Uffd uffd;

    if (!open_or_skip(&uffd, UFFD_WP | (kind == ANONYMOUS ? UFFD_WP_HOLES :
                                        UFFD_WP_SHARED))) {
        return;
    }
    p = map_kind(kind);
    check_writes_wait(&uffd, p);
    munmap(p, PAGES * PAGE);
    uffd_close(&uffd);
}

static void test_open_descriptor_is_quiet(void)
{
    UffdFault fault;
    Uffd uffd;

    if (!open_or_skip(&uffd, UFFD_WP)) {
        return;
    }
    g_assert_true(fcntl(uffd.fd, F_GETFD) & FD_CLOEXEC);
    g_assert_true(fcntl(uffd.fd, F_GETFL) & O_NONBLOCK);
    g_assert_cmpint(uffd_read(&uffd, &fault, 1), ==, 0);
    uffd_close(&uffd);
    g_assert_cmpint(uffd_read(&uffd, &fault, 1), ==, -EBADF);
}

/* Unregistered while somebody waits: a wake or the end of the descriptor
 * lets him go (unregistering alone does not). */
static void test_unregister_then_wake_or_close(void)
{
    for (unsigned by_wake = 0; by_wake < 2; by_wake++) {
        uint8_t *p;
        Toucher t;
        Uffd uffd;

        if (!open_or_skip(&uffd, UFFD_WP)) {
            return;
        }
        p = map_kind(ANONYMOUS);
        memset(p, 1, PAGES * PAGE);
        g_assert_cmpint(uffd_register(&uffd, p, PAGES * PAGE, UFFD_WRITES),
                        ==, 0);
        g_assert_cmpint(uffd_protect(&uffd, p, PAGES * PAGE), ==, 0);
        toucher_start(&t, p, true);
        one_fault(&uffd);
        g_assert_cmpint(uffd_unregister(&uffd, p, PAGES * PAGE), ==, 0);
        if (by_wake) {
            g_assert_cmpint(uffd_wake(&uffd, p, PAGE), ==, 0);
        } else {
            uffd_close(&uffd);
        }
        g_thread_join(t.thread);
        g_assert_cmphex(p[0], ==, 0x77);
        uffd_close(&uffd);
        munmap(p, PAGES * PAGE);
    }
}

static void test_read_in_batches(void)
{
    enum { N = 5 };
    Toucher t[N];
    UffdFault faults[N];
    unsigned seen = 0;
    uint8_t *p;
    Uffd uffd;

    if (!open_or_skip(&uffd, UFFD_WP)) {
        return;
    }
    p = map_kind(ANONYMOUS);
    memset(p, 1, PAGES * PAGE);
    g_assert_cmpint(uffd_register(&uffd, p, PAGES * PAGE, UFFD_WRITES), ==, 0);
    g_assert_cmpint(uffd_protect(&uffd, p, PAGES * PAGE), ==, 0);
    for (unsigned i = 0; i < N; i++) {
        toucher_start(&t[i], p + i * PAGE, true);
    }
    while (seen != (1 << N) - 1) {
        int n;

        wait_for_faults(&uffd);
        n = uffd_read(&uffd, faults, 2);
        g_assert_cmpint(n, >=, 1);
        g_assert_cmpint(n, <=, 2);
        for (int i = 0; i < n; i++) {
            seen |= 1 << (faults[i].address - (uintptr_t)p) / PAGE;
        }
    }
    g_assert_cmpint(uffd_read(&uffd, faults, N), ==, 0);
    g_assert_cmpint(uffd_unprotect(&uffd, p, PAGES * PAGE), ==, 0);
    for (unsigned i = 0; i < N; i++) {
        g_thread_join(t[i].thread);
    }
    uffd_close(&uffd);
    munmap(p, PAGES * PAGE);
}

static gpointer discard(gpointer opaque)
{
    g_assert_cmpint(madvise(opaque, PAGE, MADV_DONTNEED), ==, 0);
    return NULL;
}

static void test_read_other_events_are_left_out(void)
{
    UffdFault fault;
    GThread *thread;
    uint8_t *p;
    Uffd uffd;

    if (!open_or_skip(&uffd, UFFD_WP | UFFD_FEATURE_EVENT_REMOVE)) {
        return;
    }
    p = map_kind(ANONYMOUS);
    g_assert_cmpint(uffd_register(&uffd, p, PAGES * PAGE, UFFD_WRITES), ==, 0);
    thread = g_thread_new("discard", discard, p);
    wait_for_faults(&uffd);
    g_assert_cmpint(uffd_read(&uffd, &fault, 1), ==, 0);
    g_thread_join(thread);
    uffd_close(&uffd);
    munmap(p, PAGES * PAGE);
}

static void test_register_file_is_refused(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("test-uffd-XXXXXX", &path, NULL);
    struct statfs fs;
    uint8_t *p;
    Uffd uffd;

    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    g_assert_cmpint(fstatfs(fd, &fs), ==, 0);
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("the directory for temporary files is no real filesystem");
    } else if (open_or_skip(&uffd, UFFD_WP | UFFD_WP_SHARED)) {
        g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
        for (unsigned shared = 0; shared < 2; shared++) {
            p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                     shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
            g_assert_true(p != MAP_FAILED);
            g_assert_cmpint(uffd_register(&uffd, p, PAGE, UFFD_WRITES), ==,
                            -EINVAL);
            munmap(p, PAGE);
        }
        uffd_close(&uffd);
    }
    close(fd);
}

/* Pages that are missing: brought with content, with zeros, and not twice. */
static void check_missing(Uffd *uffd, uint8_t *p)
{
    g_autofree uint8_t *src = g_malloc(4 * PAGE);
    uint64_t done;
    UffdFault fault;
    Toucher t;

    memset(src, 0x5a, 4 * PAGE);
    g_assert_cmpint(uffd_register(uffd, p, PAGES * PAGE, UFFD_MISSING), ==, 0);
    toucher_start(&t, p + 4 * PAGE, false);
    fault = one_fault(uffd);
    g_assert_cmphex(fault.address, ==, (uintptr_t)p + 4 * PAGE);
    g_assert_false(fault.write);
    g_assert_false(fault.is_protected);
    g_assert_cmpint(uffd_copy(uffd, p + 3 * PAGE, src, 2 * PAGE, &done),
                    ==, 0);
    g_assert_cmpuint(done, ==, 2 * PAGE);
    g_thread_join(t.thread);
    g_assert_cmphex(t.got, ==, 0x5a);
    g_assert_cmpint(memcmp(p + 3 * PAGE, src, 2 * PAGE), ==, 0);

    toucher_start(&t, p + 8 * PAGE, true);
    fault = one_fault(uffd);
    g_assert_true(fault.write);
    g_assert_cmpint(uffd_zero(uffd, p + 8 * PAGE, PAGE, &done), ==, 0);
    g_thread_join(t.thread);
    g_assert_cmphex(p[8 * PAGE], ==, 0x77);
    g_assert_cmphex(p[8 * PAGE + 1], ==, 0);

    done = 99;
    g_assert_cmpint(uffd_copy(uffd, p + PAGE, src, 4 * PAGE, &done), ==,
                    -EEXIST);
    g_assert_cmpuint(done, ==, 2 * PAGE); /* pages 1 and 2 */
    g_assert_cmpint(uffd_zero(uffd, p + 7 * PAGE, 2 * PAGE, &done), ==,
                    -EEXIST);
    g_assert_cmpuint(done, ==, PAGE);
    g_assert_cmphex(p[8 * PAGE], ==, 0x77);
}

static void test_missing_pages_are_brought(gconstpointer opaque)
{
    Kind kind = GPOINTER_TO_UINT(opaque);
    uint8_t *p;
    Uffd uffd;

    if (!open_or_skip(&uffd, UFFD_MISSING_SHARED)) {
        return;
    }
    p = map_kind(kind);
    check_missing(&uffd, p);
    uffd_close(&uffd);
    munmap(p, PAGES * PAGE);
}

static void add_kinds(void)
{
    static const char *const names[] = { "anonymous", "shared-anonymous",
                                         "memfd-shared", "memfd-private" };

    for (unsigned k = 0; k < N_KINDS; k++) {
        g_autofree char *protect = g_strdup_printf(
            "/userfaultfd/protect/writes-wait/%s", names[k]);
        g_autofree char *missing = g_strdup_printf(
            "/userfaultfd/missing/pages-are-brought/%s", names[k]);

        g_test_add_data_func(protect, GUINT_TO_POINTER(k),
                             test_protect_writes_wait);
        g_test_add_data_func(missing, GUINT_TO_POINTER(k),
                             test_missing_pages_are_brought);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/userfaultfd/open/lack-is-told", test_open_lack_is_told);
    g_test_add_func("/userfaultfd/open/missing-feature-is-named",
                    test_open_missing_feature_is_named);
    g_test_add_func("/userfaultfd/open/device-or-syscall",
                    test_open_device_or_syscall);
    g_test_add_func("/userfaultfd/open/welcome-features-if-there",
                    test_open_welcome_features_if_there);
    g_test_add_func("/userfaultfd/open/descriptor-is-quiet",
                    test_open_descriptor_is_quiet);
    g_test_add_func("/userfaultfd/calls/tried-again",
                    test_calls_are_tried_again);
    g_test_add_func("/userfaultfd/copy/goes-on-where-it-stopped",
                    test_copy_goes_on_where_it_stopped);
    g_test_add_func("/userfaultfd/register/needs-its-ioctls",
                    test_register_needs_its_ioctls);
    g_test_add_func("/userfaultfd/register/file-is-refused",
                    test_register_file_is_refused);
    g_test_add_func("/userfaultfd/unregister/then-wake-or-close",
                    test_unregister_then_wake_or_close);
    g_test_add_func("/userfaultfd/read/in-batches", test_read_in_batches);
    g_test_add_func("/userfaultfd/read/other-events-are-left-out",
                    test_read_other_events_are_left_out);
    add_kinds();
    return g_test_run();
}
