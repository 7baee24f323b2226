/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host memory of every kind: what it holds, where it lies, what it costs and
 * what is left behind.
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/hostmem.h"

#define PAGE UINT64_C(4096)
#define MIB (UINT64_C(1) << 20)

static char *temp_dir;

static HostMem *new_or_fail(const HostMemConfig *config)
{
    g_autoptr(GError) error = NULL;
    HostMem *mem = hostmem_new(config, &error);

    g_assert_no_error(error);
    g_assert_nonnull(mem);
    g_assert_nonnull(mem->host);
    g_assert_cmpuint(mem->size_bytes, ==, config->size_bytes);
    g_assert_cmpstr(mem->id, ==, config->id);
    return mem;
}

static void expect_error(const HostMemConfig *config, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(hostmem_new(config, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, config->id));
    if (!strstr(error->message, words)) {
        g_test_message("got: %s", error->message);
        g_test_fail();
    }
}

/* Number of pages of @mem that are present. */
static uint64_t resident_pages(const HostMem *mem)
{
    g_autofree unsigned char *vec = g_malloc(mem->size_bytes / PAGE);
    uint64_t n = 0;

    g_assert_cmpint(mincore(mem->host, mem->size_bytes, vec), ==, 0);
    for (uint64_t i = 0; i < mem->size_bytes / PAGE; i++) {
        n += vec[i] & 1;
    }
    return n;
}

static void check_zero_and_writable(HostMem *mem)
{
    uint64_t last = mem->size_bytes - 1;

    g_assert_cmpuint(mem->host[0], ==, 0);
    g_assert_cmpuint(mem->host[last], ==, 0);
    mem->host[0] = 0x5a;
    mem->host[last] = 0xa5;
    g_assert_cmpuint(mem->host[0], ==, 0x5a);
    g_assert_cmpuint(mem->host[last], ==, 0xa5);
}

static void test_new_every_kind_is_zero_and_writable(void)
{
    for (int kind = HOSTMEM_RAM; kind <= HOSTMEM_FILE; kind++) {
        for (int share = 0; share <= 1; share++) {
            HostMemConfig config = {
                .id = "m0", .kind = kind, .size_bytes = 3 * PAGE,
                .share = share, .mem_path = temp_dir,
            };
            g_autoptr(HostMem) mem = new_or_fail(&config);

            check_zero_and_writable(mem);
            g_assert_cmpuint((uintptr_t)mem->host % PAGE, ==, 0);
            g_assert_cmpint(mem->fd >= 0, ==, kind != HOSTMEM_RAM);
            g_assert_cmpuint(mem->page_bytes, ==, PAGE);
        }
    }
}

static void test_new_large_is_aligned(void)
{
    static const uint64_t sizes[] = { 2 * MIB, 3 * MIB + PAGE, 64 * MIB };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        HostMemConfig config = { .id = "m0", .size_bytes = sizes[i] };
        g_autoptr(HostMem) mem = new_or_fail(&config);

        g_assert_cmpuint((uintptr_t)mem->host % (2 * MIB), ==, 0);
        check_zero_and_writable(mem);
    }
}

static void test_new_huge_costs_nothing(void)
{
    HostMemConfig config = { .id = "m0", .size_bytes = UINT64_C(64) << 30 };

    for (int kind = HOSTMEM_RAM; kind <= HOSTMEM_MEMFD; kind++) {
        config.kind = kind;
        config.share = kind == HOSTMEM_MEMFD;
        g_autoptr(HostMem) mem = new_or_fail(&config);

        check_zero_and_writable(mem);
    }
}

static void test_prealloc_makes_all_pages_present(void)
{
    for (int kind = HOSTMEM_RAM; kind <= HOSTMEM_FILE; kind++) {
        for (int prealloc = 0; prealloc <= 1; prealloc++) {
            HostMemConfig config = {
                .id = "m0", .kind = kind, .size_bytes = MIB,
                .share = true, .prealloc = prealloc, .mem_path = temp_dir,
            };
            g_autoptr(HostMem) mem = new_or_fail(&config);

            g_assert_cmpuint(resident_pages(mem), ==,
                             prealloc ? MIB / PAGE : 0);
            check_zero_and_writable(mem);
        }
    }
}

static uint64_t count_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    uint64_t n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

static void test_directory_leaves_no_name(void)
{
    HostMemConfig config = {
        .id = "a/b", .kind = HOSTMEM_FILE, .size_bytes = PAGE,
        .share = true, .mem_path = temp_dir,
    };
    g_autoptr(HostMem) mem = new_or_fail(&config);
    struct stat st;

    g_assert_cmpuint(count_entries(temp_dir), ==, 0);
    g_assert_false(mem->named);
    g_assert_cmpint(fstat(mem->fd, &st), ==, 0);
    g_assert_cmpuint(st.st_nlink, ==, 0);
}

static void test_file_is_created_and_shared_bytes_stay(void)
{
    g_autofree char *path = g_build_filename(temp_dir, "ram", NULL);
    g_autofree char *bytes = NULL;
    gsize len;
    HostMemConfig config = {
        .id = "m0", .kind = HOSTMEM_FILE, .size_bytes = 2 * PAGE,
        .share = true, .prealloc = true, .mem_path = path,
    };
    HostMem *mem = new_or_fail(&config);

    g_assert_true(mem->named);
    mem->host[PAGE] = 77;
    hostmem_free(mem);
    g_assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    g_assert_cmpuint(len, ==, 2 * PAGE);
    g_assert_cmpint(bytes[PAGE], ==, 77);

    /* Private memory begins with the file's bytes and does not change them;
     * preallocating it keeps them. */
    config.share = false;
    mem = new_or_fail(&config);
    g_assert_cmpuint(mem->host[PAGE], ==, 77);
    mem->host[PAGE] = 78;
    hostmem_free(mem);
    config.share = true;
    mem = new_or_fail(&config);
    g_assert_cmpuint(mem->host[PAGE], ==, 77);
    hostmem_free(mem);
    g_unlink(path);
}

static void test_file_too_small_is_refused_and_kept(void)
{
    g_autofree char *path = g_build_filename(temp_dir, "small", NULL);
    HostMemConfig config = {
        .id = "m0", .kind = HOSTMEM_FILE, .size_bytes = 2 * PAGE,
        .mem_path = path,
    };
    GStatBuf st;

    g_assert_true(g_file_set_contents(path, "abc", 3, NULL));
    expect_error(&config, "holds 3 bytes");
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==, 3);
    g_unlink(path);
}

static void test_failure_leaves_nothing_behind(void)
{
    g_autofree char *path = g_build_filename(temp_dir, "none", NULL);
    HostMemConfig config = {
        .id = "m0", .kind = HOSTMEM_FILE, .share = true, .mem_path = path,
        .size_bytes = UINT64_C(1) << 62, /* no file system takes that */
    };
    GStatBuf st;

    expect_error(&config, "cannot");
    g_assert_cmpint(g_access(path, F_OK), <, 0);

    /* A file that was there and empty is empty again. */
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    expect_error(&config, "cannot");
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==, 0);
    g_unlink(path);
}

static void test_new_bad_config_is_refused(void)
{
    HostMemConfig config = { .id = "m0", .size_bytes = 0 };

    expect_error(&config, "multiple of 4096");
    config.size_bytes = PAGE + 1;
    expect_error(&config, "multiple of 4096");
    config.size_bytes = -PAGE;
    expect_error(&config, "too large");
    config.size_bytes = INT64_MAX & -PAGE;
    expect_error(&config, "cannot map");
    config.size_bytes = PAGE;
    config.kind = HOSTMEM_FILE;
    expect_error(&config, "mem-path");
    config.mem_path = "/nonexistent/dir/file";
    expect_error(&config, "cannot open '/nonexistent/dir/file'");
}

static void test_new_on_device_is_refused(void)
{
    HostMemConfig config = {
        .id = "m0", .kind = HOSTMEM_FILE, .size_bytes = PAGE,
        .mem_path = "/dev/null",
    };

    expect_error(&config, "neither a regular file");
}

static void test_memfd_cannot_shrink(void)
{
    HostMemConfig config = {
        .id = "m0", .kind = HOSTMEM_MEMFD, .size_bytes = 2 * PAGE,
        .share = true,
    };
    g_autoptr(HostMem) mem = new_or_fail(&config);

    g_assert_cmpint(ftruncate(mem->fd, PAGE), <, 0);
    g_assert_cmpint(fcntl(mem->fd, F_GETFD) & FD_CLOEXEC, !=, 0);
}

static void test_fork_does_not_inherit(void)
{
    HostMemConfig config = { .id = "m0", .size_bytes = PAGE };
    g_autoptr(HostMem) mem = new_or_fail(&config);
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        unsigned char vec;

        _exit(mincore(mem->host, PAGE, &vec) == 0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int rc;

    g_test_init(&argc, &argv, NULL);
    temp_dir = g_dir_make_tmp("test-hostmem-XXXXXX", &error);
    g_assert_no_error(error);
    g_test_add_func("/hostmem/new/every-kind-is-zero-and-writable",
                    test_new_every_kind_is_zero_and_writable);
    g_test_add_func("/hostmem/new/large-is-aligned",
                    test_new_large_is_aligned);
    g_test_add_func("/hostmem/new/huge-costs-nothing",
                    test_new_huge_costs_nothing);
    g_test_add_func("/hostmem/new/prealloc-makes-all-pages-present",
                    test_prealloc_makes_all_pages_present);
    g_test_add_func("/hostmem/file/directory-leaves-no-name",
                    test_directory_leaves_no_name);
    g_test_add_func("/hostmem/file/created-and-shared-bytes-stay",
                    test_file_is_created_and_shared_bytes_stay);
    g_test_add_func("/hostmem/file/too-small-is-refused-and-kept",
                    test_file_too_small_is_refused_and_kept);
    g_test_add_func("/hostmem/file/failure-leaves-nothing-behind",
                    test_failure_leaves_nothing_behind);
    g_test_add_func("/hostmem/new/bad-config-is-refused",
                    test_new_bad_config_is_refused);
    g_test_add_func("/hostmem/file/device-is-refused",
                    test_new_on_device_is_refused);
    g_test_add_func("/hostmem/memfd/cannot-shrink", test_memfd_cannot_shrink);
    g_test_add_func("/hostmem/fork/does-not-inherit",
                    test_fork_does_not_inherit);
    rc = g_test_run();
    g_rmdir(temp_dir);
    g_free(temp_dir);
    return rc;
}
