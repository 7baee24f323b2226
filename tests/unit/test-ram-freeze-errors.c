/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A freeze that fails lets everybody go and says why; a host that cannot, or a
 * pool that is too small, is named before anything is done.
 */
#include <errno.h>
#include <glib.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake-threads.h"
#include "freeze-rig.h"

#define PAGES 1024

static void expect_error(GError *error, const char *words)
{
    g_assert_nonnull(error);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, words));
}

static void test_error_while_arming(void)
{
    for (unsigned i = 1; i <= 2; i++) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES / 2);
        g_autoptr(GError) error = NULL;
        RamFreeze *freeze;

        if (!rig) {
            return;
        }
        rig_set(fail_protect_at, i);
        freeze = ram_freeze_new(&rig->config, NULL);
        g_assert_false(ram_freeze_arm(freeze, &error));
        expect_error(error, i == 1 ? "cannot write-protect RAM block 'ram0'" :
                     "cannot write-protect RAM block 'ram1'");
        g_assert_false(ram_freeze_now(freeze, NULL));
        ram_freeze_free(freeze);
        rig_check_released(rig);
        rig_free(rig);
    }
}

static void test_error_at_the_moment(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
    g_autoptr(GError) error = NULL;
    RamFreeze *freeze;

    if (!rig) {
        return;
    }
    freeze = rig_freeze(rig);
    rig_store(rig, 5, 1);
    rig_store(rig, 600, 1);
    rig_set(fail_protect_at, 2);
    g_assert_false(ram_freeze_now(freeze, &error));
    expect_error(error, "cannot write-protect RAM block 'ram0'");
    ram_freeze_free(freeze);
    rig_check_released(rig);
    rig_free(rig);
}

/* One release fails, or all do: then the end of the descriptor lets the one
 * go who waits. */
static void test_error_of_a_release(void)
{
    for (int how = -1; how <= 1; how += 2) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
        g_autoptr(GError) error = NULL;
        RamFreeze *freeze;
        RamCopy copy;

        if (!rig) {
            return;
        }
        freeze = rig_freeze(rig);
        g_assert_true(ram_freeze_now(freeze, NULL));
        rig_set(fail_unprotect_at, how);
        rig_store_end(rig_store_begin(rig, 77, 1));
        rig_wait(freeze, phase, RAM_FREEZE_FAILED);
        g_assert_cmpint(ram_freeze_take(freeze, &copy, 1, false, 0, &error),
                        ==, -1);
        expect_error(error, "cannot release 1 pages of RAM block 'ram0' from "
                     "page 77 on");
        ram_freeze_free(freeze);
        rig_set(fail_unprotect_at, 0);
        rig_check_released(rig);
        rig_free(rig);
    }
}

static void test_new_failure_leaves_nothing(void)
{
    for (unsigned i = 1; i <= 2; i++) {
        Rig *rig = rig_new(RIG_ANONYMOUS, RIG_BLOCKS, PAGES);
        g_autoptr(GError) error = NULL;

        if (!rig) {
            return;
        }
        rig_set(fail_register_at, i);
        g_assert_null(ram_freeze_new(&rig->config, &error));
        expect_error(error, "is watched by another userfaultfd");
        rig_check_released(rig);
        rig_free(rig);
    }
}

static void test_new_refuses_a_small_pool(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    g_autoptr(GError) error = NULL;

    if (!rig) {
        return;
    }
    rig->config.pool_bytes = 4 * RIG_PAGE - 1;
    g_assert_null(ram_freeze_new(&rig->config, &error));
    expect_error(error, "a pool of 12 KiB is too small to copy pages of RAM "
                 "block 'ram0' aside: it takes 16 KiB at least");
    rig_free(rig);
}

static void check_refused(Rig *rig, const char *words)
{
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(i ? ram_freeze_new(&rig->config, &error) != NULL :
                       ram_freeze_probe(rig->config.blocks, rig_kernel(),
                                        &error));
        expect_error(error, words);
    }
}

static void test_probe_names_what_lacks(void)
{
    for (RigKind kind = 0; kind <= RIG_MEMFD_PRIVATE; kind++) {
        Rig *rig = rig_new(kind, 1, PAGES);

        if (!rig) {
            return;
        }
        rig_set(hide, UFFD_WP_SHARED);
        if (kind == RIG_ANONYMOUS) {
            g_assert_true(ram_freeze_probe(rig->config.blocks, rig_kernel(),
                                           NULL));
        } else {
            check_refused(rig, "WP_HUGETLBFS_SHMEM, Linux 5.19");
        }
        rig_set(hide, UFFD_WP);
        check_refused(rig, "PAGEFAULT_FLAG_WP, Linux 5.7");
        rig_free(rig);
    }
}

/* Kernels that cannot protect holes of private memory read it first, if they
 * can; those without repairs for shared memory are not trusted. */
static bool no_populate;

/* In the place of the C library's. */
int madvise(void *start, size_t bytes, int advice)
{
    if (no_populate && advice == 22) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_madvise, start, bytes, advice);
}

static void test_probe_knows_old_kernels(void)
{
    static const struct {
        unsigned release;
        bool populates;
        const char *anonymous, *shared; /* why not; NULL: it can */
    } kernels[] = {
        { UFFD_RELEASE(5, 13), false, "nor populate (Linux 5.14 or later)",
          "when it moves pages of shared memory or of a memfd" },
        { UFFD_RELEASE(6, 1), true, NULL,
          "private anonymous memory keeps it" },
        { UFFD_RELEASE(6, 2), true, NULL, NULL },
        { UFFD_RELEASE(10, 0), true, NULL, NULL },
    };

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(kernels); i++) {
        Rig *rig = rig_new(i % 2 ? RIG_MEMFD_SHARED : RIG_ANONYMOUS, 1, PAGES);
        const char *words = i % 2 ? kernels[i / 2].shared
                                  : kernels[i / 2].anonymous;

        if (!rig) {
            return;
        }
        rig_set(hide, UFFD_WP_HOLES);
        rig_set(release, kernels[i / 2].release);
        no_populate = !kernels[i / 2].populates;
        if (words) {
            check_refused(rig, words);
        } else {
            g_assert_true(ram_freeze_probe(rig->config.blocks, rig_kernel(),
                                           NULL));
        }
        no_populate = false;
        rig_free(rig);
    }
}

/* Wherever temporary files lie, if that is a real filesystem. */
static void test_probe_refuses_a_file(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    HostMemConfig config = {
        .id = "f", .kind = HOSTMEM_FILE, .size_bytes = RIG_PAGE,
        .share = true, .mem_path = g_get_tmp_dir(),
    };
    g_autofree char *words = NULL;
    struct statfs fs;
    HostMem *mem;

    if (!rig) {
        return;
    }
    mem = hostmem_new(&config, NULL);
    g_assert_nonnull(mem);
    g_assert_cmpint(fstatfs(mem->fd, &fs), ==, 0);
    g_assert_nonnull(ram_list_add(&rig->list, "file", mem, NULL));
    words = g_strdup_printf("RAM block 'file' lies in file '%s'",
                            g_get_tmp_dir());
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("the directory for temporary files is no real filesystem");
    } else {
        check_refused(rig, words);
    }
    rig->n_fds++; /* that of the file, whose block ends first */
    rig_free(rig);
    hostmem_free(mem);
}

static void test_no_thread_left(void)
{
    Rig *rig = rig_new(RIG_ANONYMOUS, 1, PAGES);
    GError *error = NULL;

    if (!rig) {
        return;
    }
    fake_threads_lack = "ram-freeze";
    g_assert_null(ram_freeze_new(&rig->config, &error));
    fake_threads_lack = NULL;
    expect_error(error, "cannot make thread 'ram-freeze': Resource");
    rig_check_released(rig);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/ram-freeze-errors/" path, fn)
    T("call/while-arming", test_error_while_arming);
    T("call/at-the-moment", test_error_at_the_moment);
    T("call/of-a-release", test_error_of_a_release);
    T("new/failure-leaves-nothing", test_new_failure_leaves_nothing);
    T("new/refuses-a-small-pool", test_new_refuses_a_small_pool);
    T("probe/names-what-lacks", test_probe_names_what_lacks);
    T("probe/knows-old-kernels", test_probe_knows_old_kernels);
    T("probe/refuses-a-file", test_probe_refuses_a_file);
    T("new/no-thread-left", test_no_thread_left);
    return g_test_run();
}
