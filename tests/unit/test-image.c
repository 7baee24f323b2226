/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing pictures: read back by libpng's reader and by hand; to files, pipes,
 * sockets, full disks; given up half-way.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <png.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ui/image.h"

typedef struct Fixture {
    char *dir, *path;
    int cancel_fd;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->dir = g_dir_make_tmp("test-image-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "picture", NULL);
    f->cancel_fd = eventfd(0, EFD_CLOEXEC);
    g_assert_nonnull(f->dir);
}

static unsigned files_in(Fixture *f)
{
    GDir *dir = g_dir_open(f->dir, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    g_dir_close(dir);
    return n;
}

static void tear_down(Fixture *f, const void *unused)
{
    GDir *dir = g_dir_open(f->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(f->dir, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(f->dir);
    g_free(f->dir);
    g_free(f->path);
    close(f->cancel_fd);
}

/* A picture of random pixels; its bytes in RGB order come back, too. */
static pixman_image_t *picture(uint32_t w, uint32_t h, GByteArray *ret_rgb)
{
    pixman_image_t *image = pixman_image_create_bits(PIXMAN_x8r8g8b8, w, h,
                                                     NULL, 0);

    for (uint32_t i = 0; i < w * h; i++) {
        uint32_t v = g_test_rand_int();
        uint8_t rgb[3] = { v >> 16, v >> 8, v };

        pixman_image_get_data(image)[i] = v;
        if (ret_rgb) {
            g_byte_array_append(ret_rgb, rgb, 3);
        }
    }
    return image;
}

static void check_ppm(const char *bytes, size_t n, uint32_t w, uint32_t h,
                      const GByteArray *rgb)
{
    g_autofree char *head = g_strdup_printf("P6\n%u %u\n255\n", w, h);

    g_assert_cmpuint(n, ==, strlen(head) + rgb->len);
    g_assert_cmpmem(bytes, strlen(head), head, strlen(head));
    g_assert_cmpmem(bytes + strlen(head), rgb->len, rgb->data, rgb->len);
}

static void check_png(const char *bytes, size_t n, uint32_t w, uint32_t h,
                      const GByteArray *rgb)
{
    png_image png = { .version = PNG_IMAGE_VERSION };
    g_autofree uint8_t *got = g_malloc(rgb->len);

    g_assert_true(png_image_begin_read_from_memory(&png, bytes, n));
    g_assert_cmpuint(png.width, ==, w);
    g_assert_cmpuint(png.height, ==, h);
    png.format = PNG_FORMAT_RGB;
    g_assert_true(png_image_finish_read(&png, NULL, got, 0, NULL));
    g_assert_cmpmem(got, rgb->len, rgb->data, rgb->len);
}

static void check_file(Fixture *f, ImageKind kind, uint32_t w, uint32_t h,
                       const GByteArray *rgb)
{
    g_autofree char *bytes = NULL;
    gsize n;

    g_assert_true(g_file_get_contents(f->path, &bytes, &n, NULL));
    (kind == IMAGE_PNG ? check_png : check_ppm)(bytes, n, w, h, rgb);
}

static void test_files_come_back(Fixture *f, const void *unused)
{
    static const uint32_t sizes[][2] = {
        { 1, 1 }, { 2, 1 }, { 3, 5 }, { 5, 3 }, { 255, 257 }, { 640, 480 },
        { 4096, 3 }, { 1, 4096 },
    };

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GByteArray) rgb = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        const uint32_t *size = sizes[i / 2];
        pixman_image_t *image = picture(size[0], size[1], rgb);

        image_write_path(i % 2, image, f->path, f->cancel_fd, &error);
        g_assert_no_error(error);
        check_file(f, i % 2, size[0], size[1], rgb);
        pixman_image_unref(image);
        g_assert_cmpuint(files_in(f), ==, 1);
    }
}

static void test_formats_of_surfaces_come_back(Fixture *f,
                                               const void *unused)
{
    static const pixman_format_code_t formats[] = {
        PIXMAN_x8r8g8b8, PIXMAN_a8r8g8b8, PIXMAN_x8b8g8r8, PIXMAN_r8g8b8,
        PIXMAN_b8g8r8, PIXMAN_r8g8b8x8,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(GByteArray) rgb = g_byte_array_new();
        pixman_image_t *from = picture(33, 7, rgb);
        pixman_image_t *image = pixman_image_create_bits(formats[i], 33, 7,
                                                         NULL, 0);

        pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, image, 0, 0, 0, 0,
                                 0, 0, 33, 7);
        g_assert_true(image_write_path(IMAGE_PNG, image, f->path, -1, NULL));
        check_file(f, IMAGE_PNG, 33, 7, rgb);
        pixman_image_unref(image);
        pixman_image_unref(from);
    }
}

typedef struct Reader {
    int fd;
    GByteArray *bytes;
} Reader;

static gpointer reader_thread(gpointer opaque)
{
    Reader *r = opaque;
    uint8_t buf[1000];
    ssize_t n;

    while ((n = read(r->fd, buf, sizeof(buf))) > 0) {
        g_byte_array_append(r->bytes, buf, n);
    }
    return NULL;
}

static void through(int out, int in, ImageKind kind)
{
    g_autoptr(GByteArray) rgb = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    Reader r = { in, g_byte_array_new() };
    GThread *thread = g_thread_new("reader", reader_thread, &r);
    pixman_image_t *image = picture(300, 300, rgb);

    image_write_fd(kind, image, out, "there", -1, &error);
    g_assert_no_error(error);
    close(out);
    g_thread_join(thread);
    close(in);
    (kind == IMAGE_PNG ? check_png : check_ppm)((char *)r.bytes->data,
                                                r.bytes->len, 300, 300, rgb);
    g_byte_array_unref(r.bytes);
    pixman_image_unref(image);
}

static void test_pipes_and_sockets_get_all(Fixture *f, const void *unused)
{
    for (unsigned i = 0; i < 8; i++) {
        bool nonblocking = i & 4;
        int fds[2];

        if (i & 2) {
            g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        } else {
            g_assert_cmpint(pipe(fds), ==, 0);
        }
        if (nonblocking) {
            fcntl(fds[1], F_SETFL, O_NONBLOCK);
        }
        through(fds[1], fds[0], i & 1);
    }
}

static gpointer give_up(gpointer opaque)
{
    g_usleep(20000);
    eventfd_write(((Fixture *)opaque)->cancel_fd, 1);
    return NULL;
}

/* Nobody ever reads: the order to give up has to reach the writer. */
static void test_unread_pipe_is_given_up(Fixture *f, const void *unused)
{
    for (unsigned i = 0; i < 2; i++) {
        pixman_image_t *image = picture(600, 600, NULL);
        g_autoptr(GError) error = NULL;
        GThread *thread;
        uint64_t count;
        int fds[2];

        if (i) {
            g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        } else {
            g_assert_cmpint(pipe(fds), ==, 0);
        }
        thread = g_thread_new("give up", give_up, f);
        g_assert_false(image_write_fd(IMAGE_PPM, image, fds[1], "there",
                                      f->cancel_fd, &error));
        g_assert_nonnull(strstr(error->message, "given up"));
        g_thread_join(thread);
        g_assert_cmpint(read(f->cancel_fd, &count, 8), ==, 8);
        close(fds[0]);
        close(fds[1]);
        pixman_image_unref(image);
    }
}

static void refused(ImageKind kind, const char *path, const char *word,
                    int cancel_fd)
{
    pixman_image_t *image = picture(600, 600, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(image_write_path(kind, image, path, cancel_fd, &error));
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, word));
    g_assert_nonnull(strstr(error->message, path));
    pixman_image_unref(image);
}

static void test_failures_are_told(Fixture *f, const void *unused)
{
    g_autofree char *nowhere = g_build_filename(f->path, "x", NULL);
    g_autofree char *fifo = g_build_filename(f->dir, "fifo", NULL);

    refused(IMAGE_PNG, "/dev/full", "No space", -1);
    refused(IMAGE_PPM, "/dev/full", "No space", -1);
    refused(IMAGE_PNG, f->dir, "directory", -1);
    refused(IMAGE_PPM, nowhere, "No such file", -1);
    refused(IMAGE_PPM, "", "No such file", -1);
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    refused(IMAGE_PPM, fifo, "No such device", -1);
}

/* What stood there stays, and nothing half-done stays beside it. */
static void test_failure_leaves_the_old_file(Fixture *f, const void *unused)
{
    struct rlimit old, small = { 100000, RLIM_INFINITY };
    g_autofree char *bytes = NULL;

    g_assert_true(g_file_set_contents(f->path, "old", -1, NULL));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    refused(IMAGE_PNG, f->path, "File too large", -1);
    refused(IMAGE_PPM, f->path, "File too large", -1);
    setrlimit(RLIMIT_FSIZE, &old);
    eventfd_write(f->cancel_fd, 1);
    refused(IMAGE_PPM, f->path, "given up", f->cancel_fd);
    g_assert_true(g_file_get_contents(f->path, &bytes, NULL, NULL));
    g_assert_cmpstr(bytes, ==, "old");
    g_assert_cmpuint(files_in(f), ==, 1);
}

static void test_links_and_modes_are_kept(Fixture *f, const void *unused)
{
    g_autofree char *link = g_build_filename(f->dir, "link", NULL);
    g_autoptr(GByteArray) rgb = g_byte_array_new();
    pixman_image_t *image = picture(9, 9, rgb);
    struct stat st;

    g_assert_true(g_file_set_contents(f->path, "old", -1, NULL));
    g_assert_cmpint(chmod(f->path, 0600), ==, 0);
    g_assert_cmpint(symlink("picture", link), ==, 0);
    g_assert_true(image_write_path(IMAGE_PPM, image, link, -1, NULL));
    g_assert_cmpint(lstat(link, &st), ==, 0);
    g_assert_true(S_ISLNK(st.st_mode));
    g_assert_cmpint(stat(f->path, &st), ==, 0);
    g_assert_cmphex(st.st_mode & 0777, ==, 0600);
    check_file(f, IMAGE_PPM, 9, 9, rgb);
    pixman_image_unref(image);
}

#define ADD(path, fn) \
    g_test_add("/image/" path, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("write/files-come-back", test_files_come_back);
    ADD("write/formats-of-surfaces-come-back",
        test_formats_of_surfaces_come_back);
    ADD("write/pipes-and-sockets-get-all", test_pipes_and_sockets_get_all);
    ADD("write/unread-pipe-is-given-up", test_unread_pipe_is_given_up);
    ADD("write/failures-are-told", test_failures_are_told);
    ADD("write/failure-leaves-the-old-file",
        test_failure_leaves_the_old_file);
    ADD("write/links-and-modes-are-kept", test_links_and_modes_are_kept);
    return g_test_run();
}
