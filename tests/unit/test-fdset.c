/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of passed file descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fdset.h"

static char *path;

static int open_flags(int flags)
{
    int fd = open(path, flags | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void append(const FdSetMember *member, void *user)
{
    g_string_append_printf(user, "%" G_GINT64_FORMAT ":%s ", member->set_id,
                           member->opaque ? member->opaque : "-");
}

static char *dump(FdSets *sets)
{
    GString *text = g_string_new(NULL);

    fdsets_foreach(sets, append, text);
    return g_string_free(text, FALSE);
}

static void test_add_without_id_takes_lowest_free(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    g_autofree char *text = NULL;
    int64_t id, one = 1, three = 3;

    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), &one, "a", NULL,
                             NULL));
    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), &three, NULL, &id,
                             NULL));
    g_assert_cmpint(id, ==, 3);
    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), &one, "b", &id, NULL));
    g_assert_cmpint(id, ==, 1);
    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), NULL, "c", &id, NULL));
    g_assert_cmpint(id, ==, 0);
    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), NULL, "d", &id, NULL));
    g_assert_cmpint(id, ==, 2);
    text = dump(sets);
    g_assert_cmpstr(text, ==, "0:c 1:a 1:b 2:d 3:- ");
}

static void test_add_negative_id_keeps_callers_fd(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    g_autoptr(GError) error = NULL;
    int64_t id = -1;
    int fd = open_flags(O_RDONLY);

    g_assert_false(fdsets_add(sets, fd, &id, NULL, NULL, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_true(is_open(fd));
    close(fd);
}

static void test_remove_closes_and_forgets(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    int64_t id = 1;
    int a = open_flags(O_RDONLY), b = open_flags(O_WRONLY), copy;

    g_assert_true(fdsets_add(sets, a, &id, NULL, NULL, NULL));
    g_assert_true(fdsets_add(sets, b, &id, NULL, NULL, NULL));
    copy = fdsets_open(sets, 1, O_WRONLY);
    g_assert_cmpint(copy, >=, 0);
    g_assert_true(fdsets_remove(sets, 1, &a, NULL));
    g_assert_false(is_open(a));
    g_assert_false(fdsets_remove(sets, 1, &a, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_true(fdsets_remove(sets, 1, NULL, NULL));
    g_assert_false(is_open(b));
    g_assert_false(fdsets_remove(sets, 1, NULL, &error));
    g_assert_cmpstr(error->message, ==,
                    "File descriptor named 'fdset-id:1' not found");
    text = dump(sets);
    g_assert_cmpstr(text, ==, "");
    /* What was given out before is its owner's. */
    g_assert_cmpint(write(copy, "x", 1), ==, 1);
    close(copy);
}

static void test_open_picks_fitting_access_mode(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    int64_t id = 7;
    int fd;

    g_assert_cmpint(fdsets_open(sets, 7, O_RDONLY), ==, -ENOENT);
    g_assert_true(fdsets_add(sets, open_flags(O_RDONLY), &id, NULL, NULL,
                             NULL));
    g_assert_cmpint(fdsets_open(sets, 7, O_WRONLY), ==, -EACCES);
    g_assert_true(fdsets_add(sets, open_flags(O_WRONLY), &id, NULL, NULL,
                             NULL));
    fd = fdsets_open(sets, 7, O_WRONLY | O_CREAT | O_TRUNC);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_WRONLY);
    g_assert_cmpint(fcntl(fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    close(fd);
    fd = fdsets_open(sets, 7, O_RDONLY);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    close(fd);
    g_assert_cmpint(fdsets_open(sets, 7, O_RDWR), ==, -EACCES);
    g_assert_cmpint(fdsets_open(sets, 8, O_RDONLY), ==, -ENOENT);
}

static void test_open_direct_io_must_match(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    int64_t id = 1;
    int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC), fd;

    if (direct < 0) {
        g_test_skip("no O_DIRECT on this file system");
        return;
    }
    g_assert_true(fdsets_add(sets, direct, &id, NULL, NULL, NULL));
    g_assert_cmpint(fdsets_open(sets, 1, O_WRONLY), ==, -EACCES);
    fd = fdsets_open(sets, 1, O_WRONLY | O_DIRECT);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_DIRECT, ==, O_DIRECT);
    close(fd);
}

static void test_path_only_exact_form_counts(void)
{
    int64_t id = -5;

    g_assert_true(fdsets_path_id("/dev/fdset/12", &id));
    g_assert_cmpint(id, ==, 12);
    g_assert_false(fdsets_path_id("/dev/fdset/", &id));
    g_assert_false(fdsets_path_id("/dev/fdset/-1", &id));
    g_assert_false(fdsets_path_id("/dev/fdset/ 1", &id));
    g_assert_false(fdsets_path_id("/dev/fdset/1x", &id));
    g_assert_false(fdsets_path_id("/dev/fdset/99999999999999999999", &id));
    g_assert_false(fdsets_path_id("/dev/fd/1", &id));
    g_assert_cmpint(id, ==, 12);
}

int main(int argc, char **argv)
{
    int fd, ret;

    g_test_init(&argc, &argv, NULL);
    fd = g_file_open_tmp("test-fdset-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_test_add_func("/fdset/add/lowest-free-id",
                    test_add_without_id_takes_lowest_free);
    g_test_add_func("/fdset/add/negative-id",
                    test_add_negative_id_keeps_callers_fd);
    g_test_add_func("/fdset/remove/closes", test_remove_closes_and_forgets);
    g_test_add_func("/fdset/open/access-mode",
                    test_open_picks_fitting_access_mode);
    g_test_add_func("/fdset/open/direct-io", test_open_direct_io_must_match);
    g_test_add_func("/fdset/path/exact-form", test_path_only_exact_form_counts);
    ret = g_test_run();
    g_unlink(path);
    g_free(path);
    return ret;
}
