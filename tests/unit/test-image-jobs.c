/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pictures written by threads: their ends are told by the main context, once,
 * also of those that would never end by themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ui/image-jobs.h"

#define LONG_MS 60000

typedef struct Fixture {
    char *dir, *path;
    ImageJobs *jobs;
    unsigned ends, failures;
    GString *words;            /* of the failures */
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->dir = g_dir_make_tmp("test-image-jobs-XXXXXX", NULL);
    g_assert_nonnull(f->dir);
    f->path = g_build_filename(f->dir, "picture", NULL);
    f->jobs = image_jobs_new(NULL);
    f->words = g_string_new(NULL);
}

static void tear_down(Fixture *f, const void *unused)
{
    image_jobs_free(f->jobs);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f->path);
    g_string_free(f->words, TRUE);
}

static void on_end(void *opaque, const GError *error)
{
    Fixture *f = opaque;

    f->ends++;
    if (error) {
        f->failures++;
        g_string_append(f->words, error->message);
    }
}

static ImageJob *start(Fixture *f, const char *path, int fd, int side)
{
    ImageTarget target = {
        .kind = IMAGE_PPM, .path = path, .fd = fd,
        .image = pixman_image_create_bits(PIXMAN_x8r8g8b8, side, side, NULL,
                                          0),
    };

    g_assert_true(image_jobs_have_room(f->jobs, NULL));
    return image_jobs_start(f->jobs, &target, on_end, f);
}

/* A pipe whose other end nobody reads. Returns: the end to write to. */
static int stuck_pipe(int *ret_other)
{
    int ends[2];

    g_assert_cmpint(pipe(ends), ==, 0);
    *ret_other = ends[0];
    return ends[1];
}

static void expect_size(const char *path, goffset bytes)
{
    GStatBuf st = { .st_size = -1 };

    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, bytes);
}

static void test_end_comes_by_main_context(Fixture *f, const void *unused)
{
    start(f, f->path, -1, 64);
    g_assert_cmpuint(f->ends, ==, 0);
    while (!f->ends) {
        g_main_context_iteration(NULL, TRUE);
    }
    g_assert_cmpuint(f->failures, ==, 0);
    expect_size(f->path, 13 + 64 * 64 * 3);
    while (g_main_context_iteration(NULL, FALSE)) {
        continue;
    }
    g_assert_cmpuint(f->ends, ==, 1);
}

static void test_descriptor_is_closed_before_the_end(Fixture *f,
                                                     const void *unused)
{
    int fd = open(f->path, O_WRONLY | O_CREAT, 0600);

    g_assert_true(image_jobs_wait(f->jobs, start(f, "fd", fd, 8), LONG_MS));
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
    g_assert_cmpint(errno, ==, EBADF);
    expect_size(f->path, 11 + 8 * 8 * 3);
}

static void test_failure_is_told(Fixture *f, const void *unused)
{
    ImageJob *job = start(f, "/dev/full", -1, 64);

    g_assert_true(image_jobs_wait(f->jobs, job, LONG_MS));
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpstr(f->words->str, ==, "cannot write '/dev/full': "
                    "No space left on device");
}

static void test_wait_ends_at_its_limit(Fixture *f, const void *unused)
{
    int other;
    ImageJob *job = start(f, "pipe", stuck_pipe(&other), 512);

    g_assert_false(image_jobs_wait(f->jobs, job, 1));
    g_assert_cmpuint(f->ends, ==, 0);
    close(other); /* now it ends by itself */
    g_assert_true(image_jobs_wait(f->jobs, job, LONG_MS));
    g_assert_cmpstr(f->words->str, ==, "cannot write 'pipe': Broken pipe");
}

static void test_free_gives_up_what_is_stuck(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;
    int other[IMAGE_JOBS_MAX];

    for (unsigned i = 0; i < IMAGE_JOBS_MAX; i++) {
        start(f, "pipe", stuck_pipe(&other[i]), 512);
    }
    g_assert_false(image_jobs_have_room(f->jobs, &error));
    g_assert_cmpstr(error->message, ==,
                    "16 pictures are being written already");
    image_jobs_free(g_steal_pointer(&f->jobs));
    g_assert_cmpuint(f->ends, ==, IMAGE_JOBS_MAX);
    g_assert_cmpuint(f->failures, ==, IMAGE_JOBS_MAX);
    for (unsigned i = 0; i < IMAGE_JOBS_MAX; i++) {
        close(other[i]);
    }
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/image-jobs/end/comes-by-main-context",
        test_end_comes_by_main_context);
    add("/image-jobs/end/closes-descriptor",
        test_descriptor_is_closed_before_the_end);
    add("/image-jobs/end/tells-of-failure", test_failure_is_told);
    add("/image-jobs/wait/ends-at-its-limit", test_wait_ends_at_its_limit);
    add("/image-jobs/free/gives-up-what-is-stuck",
        test_free_gives_up_what_is_stuck);
    return g_test_run();
}
