/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What channels on files can do beyond others: size, holes, syncing, the file
 * once more past the page cache, who keeps whom out, and a file that takes the
 * place of another.
 */
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-kinds.h"

static char *dir, *path;

static Channel *open_or_fail(int flags)
{
    g_autoptr(GError) error = NULL;
    Channel *c = channel_file_open(path, 0, flags, NULL, &error);

    g_assert_no_error(error);
    return c;
}

static void refuse(int flags, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(channel_file_open(path, 0, flags, NULL, &error));
    if (!strstr(error->message, words)) {
        g_error("'%s' is not in '%s'", words, error->message);
    }
}

static void write_file(const char *text)
{
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void expect_file(const char *text)
{
    g_autofree char *got = NULL;

    g_assert_true(g_file_get_contents(path, &got, NULL, NULL));
    g_assert_cmpstr(got, ==, text);
}

static void test_writer_is_alone(void)
{
    Channel *writer;

    write_file("old");
    writer = open_or_fail(O_WRONLY);
    refuse(O_WRONLY, "it is in use");
    refuse(O_RDONLY, "it is being written");
    g_assert_true(channel_close(writer, NULL));
    channel_unref(open_or_fail(O_RDONLY));
    channel_unref(writer);
}

/* Refused before anything is cut off. */
static void test_readers_keep_writers_out(void)
{
    Channel *a, *b, *writer;

    write_file("memory");
    a = open_or_fail(O_RDONLY);
    b = open_or_fail(O_RDONLY);
    refuse(O_WRONLY, "by a guest that was restored from it");
    channel_unref(a);
    refuse(O_WRONLY, "it is in use");
    expect_file("memory");
    channel_file_unlock(b);
    writer = open_or_fail(O_WRONLY);
    expect_file("");
    channel_unref(b); /* is not the writer's end */
    refuse(O_RDONLY, "it is being written");
    channel_unref(writer);
}

/* The set's member goes on living when our copy of it is closed. */
static void test_lock_is_not_left_in_an_fd_set(void)
{
    g_autoptr(FdSets) sets = fdsets_new();
    g_autoptr(GError) error = NULL;
    int64_t id = 1;
    Channel *c;

    write_file("x");
    fdsets_add(sets, open(path, O_RDWR | O_CLOEXEC), &id, NULL, NULL, &error);
    g_assert_no_error(error);
    c = channel_file_open("/dev/fdset/1", 0, O_RDWR, sets, &error);
    g_assert_no_error(error);
    refuse(O_RDONLY, "it is being written");
    channel_unref(c);
    channel_unref(open_or_fail(O_WRONLY));
}

/* As a manager does that passes one descriptor to two machines. */
static void test_lock_is_not_shared_with_its_passer(void)
{
    g_autoptr(FdSets) one = fdsets_new(), two = fdsets_new();
    int64_t id = 1;
    int fd;
    Channel *a, *b;

    write_file("memory");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    fdsets_add(one, dup(fd), &id, NULL, NULL, NULL);
    fdsets_add(two, fd, &id, NULL, NULL, NULL);
    a = channel_file_open("/dev/fdset/1", 0, O_RDONLY, one, NULL);
    b = channel_file_open("/dev/fdset/1", 0, O_RDONLY, two, NULL);
    g_assert_true(channel_close(b, NULL));
    refuse(O_WRONLY, "it is in use");
    expect_file("memory");
    g_assert_true(channel_close(a, NULL));
    channel_unref(open_or_fail(O_WRONLY));
    channel_unref(a);
    channel_unref(b);
}

static void test_bad_offset_makes_no_file(void)
{
    g_autoptr(GError) error = NULL;

    unlink(path);
    g_assert_null(channel_file_open(path, UINT64_MAX, O_WRONLY, NULL, &error));
    g_assert_nonnull(strstr(error->message, "cannot go to offset"));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_sync_heeds_a_shutdown(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Channel) c = open_or_fail(O_WRONLY);

    g_assert_true(channel_write_full(c, "x", 1, NULL));
    channel_shutdown(c);
    g_assert_false(channel_file_sync(c, &error));
    g_assert_nonnull(strstr(error->message, "was shut down"));
}

/* It may be written to but not looked into. */
static void test_sync_without_a_look_at_the_directory(void)
{
    g_autoptr(GError) error = NULL;
    Channel *c;

    if (geteuid() != 0) {
        g_test_skip("only root can become somebody else");
        return;
    }
    unlink(path);
    g_assert_cmpint(chmod(dir, 0733), ==, 0);
    g_assert_cmpint(seteuid(65534), ==, 0);
    c = open_or_fail(O_WRONLY);
    g_assert_true(channel_file_sync(c, &error));
    g_assert_no_error(error);
    channel_unref(c);
    g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_cmpint(chmod(dir, 0700), ==, 0);
}

/* ---- a file that replaces another ---------------------------------------- */

static Channel *new_or_fail(const char *to)
{
    g_autoptr(GError) error = NULL;
    Channel *c = channel_file_open_new(to, NULL, &error);

    g_assert_no_error(error);
    g_assert_true(channel_write_full(c, "new", 3, NULL));
    return c;
}

static bool has_part(void)
{
    g_autofree char *part = g_strconcat(path, ".part", NULL);

    return g_file_test(part, G_FILE_TEST_EXISTS);
}

static void test_new_replaces_when_it_is_whole(void)
{
    struct stat st;
    Channel *c;

    write_file("old");
    g_assert_cmpint(chmod(path, 0604), ==, 0);
    c = new_or_fail(path);
    expect_file("old");
    g_assert_true(has_part());
    g_assert_true(channel_file_sync(c, NULL));
    g_assert_true(channel_file_name(c, NULL));
    g_assert_true(channel_file_name(c, NULL)); /* it has it already */
    expect_file("new");
    g_assert_true(channel_close(c, NULL));
    expect_file("new");
    g_assert_false(has_part());
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0604);
    channel_unref(c);
}

static void test_new_goes_if_it_is_not_whole(void)
{
    write_file("old");
    channel_unref(new_or_fail(path));
    expect_file("old");
    g_assert_false(has_part());
    unlink(path);
    channel_unref(new_or_fail(path));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_assert_false(has_part());
}

static void test_new_follows_links(void)
{
    g_autofree char *link = g_strconcat(path, ".link", NULL);
    Channel *c;

    write_file("old");
    g_assert_cmpint(symlink("file", link), ==, 0);
    c = new_or_fail(link);
    g_assert_true(channel_file_name(c, NULL));
    channel_unref(c);
    expect_file("new");
    g_assert_true(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
    unlink(path); /* a link to nothing: its target is made */
    channel_unref(new_or_fail(link));
    expect_file("new");
    unlink(link);
}

static void refuse_new(const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(channel_file_open_new(path, NULL, &error));
    if (!strstr(error->message, words)) {
        g_error("'%s' is not in '%s'", words, error->message);
    }
}

static void test_new_is_refused(void)
{
    Channel *c;

    write_file("old");
    c = open_or_fail(O_RDONLY);
    refuse_new("it is in use");
    g_assert_false(has_part());
    channel_unref(c);
    c = channel_file_open_new(path, NULL, NULL);
    refuse_new("it is in use"); /* the part is */
    g_assert_true(has_part()); /* and is not removed */
    g_assert_true(channel_write_full(c, "new", 3, NULL));
    g_assert_true(channel_file_name(c, NULL));
    channel_unref(c);
    expect_file("new");
    c = channel_file_open_new("/dev/null", NULL, NULL);
    g_assert_nonnull(c);
    g_assert_true(channel_file_name(c, NULL));
    channel_unref(c);
}

static char *part_name(void)
{
    return g_strconcat(path, ".part", NULL);
}

/* A link, a FIFO and somebody's file are left alone, an unfinished one not. */
static void test_new_spares_what_is_called_so(void)
{
    g_autofree char *part = part_name();
    g_autofree char *got = NULL;
    Channel *c;

    write_file("precious");
    g_assert_cmpint(symlink("file", part), ==, 0);
    refuse_new("is in the way");
    expect_file("precious");
    unlink(part);
    g_assert_cmpint(mkfifo(part, 0600), ==, 0);
    refuse_new("is in the way");
    unlink(part);
    g_assert_true(g_file_set_contents(part, "diary", -1, NULL));
    refuse_new("is in the way");
    g_assert_true(g_file_get_contents(part, &got, NULL, NULL));
    g_assert_cmpstr(got, ==, "diary");
    g_assert_true(g_file_set_contents(part, "\0\0\0\0\0\0\0\0old", 11, NULL));
    c = new_or_fail(path);
    g_assert_true(channel_file_name(c, NULL));
    channel_unref(c);
    expect_file("new");
    g_assert_false(has_part());
}

static void test_new_stays_if_it_cannot_be_named(void)
{
    g_autofree char *part = part_name();
    g_autofree char *got = NULL;
    g_autoptr(GError) error = NULL;
    Channel *c;

    unlink(path);
    c = new_or_fail(path);
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
    g_assert_false(channel_file_name(c, &error));
    g_assert_nonnull(strstr(error->message, part));
    channel_unref(c);
    g_assert_true(g_file_get_contents(part, &got, NULL, NULL));
    g_assert_cmpstr(got, ==, "new");
    unlink(part);
    rmdir(path);
}

static gpointer take_over(gpointer unused)
{
    g_autoptr(GError) error = NULL;
    Channel *c = NULL;

    while (!c) {
        c = channel_file_open_new(path, NULL, &error);
        g_clear_error(&error);
    }
    channel_unref(c); /* without a word in it */
    return NULL;
}

/* The second opens what the first is about to rename. */
static void test_new_is_not_cut_by_the_next(void)
{
    static const char whole[] = "\0\0\0\0\0\0\0\0whole";

    for (unsigned i = 0; i < 300; i++) {
        Channel *c = channel_file_open_new(path, NULL, NULL);
        g_autofree char *got = NULL;
        GThread *thread;
        gsize n;

        if (i % 2) {
            unlink(path); /* nothing is called so until the first is */
        }
        g_assert_true(channel_write_full(c, whole, sizeof(whole), NULL));
        thread = g_thread_new("next", take_over, NULL);
        g_usleep(i % 50 * 4);
        g_assert_true(channel_file_name(c, NULL));
        channel_unref(c);
        g_thread_join(thread);
        g_assert_true(g_file_get_contents(path, &got, &n, NULL));
        g_assert_cmpmem(got, n, whole, sizeof(whole));
    }
}

/* ---- what files can do --------------------------------------------------- */

static void test_size_punch_and_sync(void)
{
    g_autofree char *text = g_strnfill(64 << 12, 'x');
    g_autoptr(Channel) pipe = channel_null_new();
    g_autoptr(Channel) c = NULL;
    g_autoptr(GError) error = NULL;
    uint64_t n = 0;
    char buf[8192];
    int fd;

    unlink(path);
    c = open_or_fail(O_RDWR);
    g_assert_true(channel_write_full(c, text, 64 << 12, &error));
    g_assert_true(channel_file_sync(c, &error));
    g_assert_true(channel_file_sync(c, &error));
    g_assert_true(channel_file_size(c, &n, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(n, ==, 64 << 12);
    fd = channel_file_fd(c);
    g_assert_cmpint(fd, >=, 0);
    if (channel_file_punch(c, 4096, 40 << 12)) {
        struct stat st;

        g_assert_cmpint(fstat(fd, &st), ==, 0);
        g_assert_cmpuint(st.st_blocks * 512, <=, 28 << 12);
        g_assert_cmpint(pread(fd, buf, 8192, 0), ==, 8192);
        g_assert_cmpint(buf[4095], ==, 'x');
        g_assert_cmpint(buf[4096], ==, 0);
    }
    g_assert_cmpint(channel_file_fd(pipe), ==, -1);
    g_assert_false(channel_file_size(pipe, &n, &error));
    g_assert_nonnull(strstr(error->message, "cannot find the size"));
    g_assert_false(channel_file_punch(pipe, 0, 4096));
    g_assert_true(channel_file_sync(pipe, NULL)); /* it keeps nothing */
    channel_file_unlock(pipe);
}

static void test_direct_is_the_same_file(void)
{
    g_autofree char *text = g_strnfill(2 << 12, 'y');
    g_autoptr(GError) error = NULL;
    Channel *c, *direct;
    void *page = g_aligned_alloc(1, 4096, 4096);
    struct iovec iov = { page, 4096 };

    unlink(path);
    c = open_or_fail(O_RDWR);
    g_assert_true(channel_write_full(c, text, 2 << 12, NULL));
    direct = channel_file_open_direct(c, true, NULL, &error);
    if (!direct) {
        g_test_skip(error->message);
    } else {
        memset(page, 'z', 4096);
        g_assert_true(channel_pwritev_full(direct, &iov, 1, 4096, &error));
        channel_unref(direct);
        memset(page, 0, 4096);
        g_assert_true(channel_preadv_full(c, &iov, 1, 0, &error));
        g_assert_cmpint(*(char *)page, ==, 'y'); /* it was not cut */
        g_assert_true(channel_preadv_full(c, &iov, 1, 4096, &error));
        g_assert_cmpint(*(char *)page, ==, 'z');
    }
    g_aligned_free(page);
    channel_unref(c);
}

static void refuse_direct(Channel *c, const char *words)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(channel_file_open_direct(c, false, NULL, &error));
    if (!strstr(error->message, words)) {
        g_error("'%s' is not in '%s'", words, error->message);
    }
}

static void test_direct_is_refused_with_words(void)
{
    g_autoptr(Channel) proc = channel_file_open("/proc/self/status", 0,
                                                O_RDONLY, NULL, NULL);
    g_autoptr(Channel) nameless = channel_file_new(dup(0), -1);
    g_autoptr(Channel) moved = NULL;

    refuse_direct(proc, "which its file system does not have");
    refuse_direct(nameless, "was not opened by a name");
    write_file("one");
    moved = open_or_fail(O_RDONLY);
    unlink(path);
    refuse_direct(moved, "cannot open");
    write_file("another");
    refuse_direct(moved, "Stale file handle");
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("channel-file-XXXXXX", NULL);
    path = g_build_filename(dir, "file", NULL);
    g_test_add_func("/channel-file/lock/writer-is-alone", test_writer_is_alone);
    g_test_add_func("/channel-file/lock/readers-keep-writers-out",
                    test_readers_keep_writers_out);
    g_test_add_func("/channel-file/lock/is-not-left-in-an-fd-set",
                    test_lock_is_not_left_in_an_fd_set);
    g_test_add_func("/channel-file/lock/is-not-shared-with-its-passer",
                    test_lock_is_not_shared_with_its_passer);
    g_test_add_func("/channel-file/open/bad-offset-makes-no-file",
                    test_bad_offset_makes_no_file);
    g_test_add_func("/channel-file/sync/heeds-a-shutdown",
                    test_sync_heeds_a_shutdown);
    g_test_add_func("/channel-file/sync/without-a-look-at-the-directory",
                    test_sync_without_a_look_at_the_directory);
    g_test_add_func("/channel-file/new/replaces-when-it-is-whole",
                    test_new_replaces_when_it_is_whole);
    g_test_add_func("/channel-file/new/goes-if-it-is-not-whole",
                    test_new_goes_if_it_is_not_whole);
    g_test_add_func("/channel-file/new/follows-links", test_new_follows_links);
    g_test_add_func("/channel-file/new/is-refused", test_new_is_refused);
    g_test_add_func("/channel-file/new/spares-what-is-called-so",
                    test_new_spares_what_is_called_so);
    g_test_add_func("/channel-file/new/stays-if-it-cannot-be-named",
                    test_new_stays_if_it_cannot_be_named);
    g_test_add_func("/channel-file/new/is-not-cut-by-the-next",
                    test_new_is_not_cut_by_the_next);
    g_test_add_func("/channel-file/size-punch-and-sync",
                    test_size_punch_and_sync);
    g_test_add_func("/channel-file/direct/is-the-same-file",
                    test_direct_is_the_same_file);
    g_test_add_func("/channel-file/direct/is-refused-with-words",
                    test_direct_is_refused_with_words);
    status = g_test_run();
    unlink(path);
    g_rmdir(dir);
    return status;
}
