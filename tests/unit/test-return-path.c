/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's reader of the return path: what it makes of good messages, of
 * bad ones, and of silence.
 */
#include <glib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/return-path.h"
#include "tests/unit/fake-threads.h"
#include "util/error.h"

#define BYTES(text) text, sizeof(text) - 1
#define PONG_1 "\0\2\0\4\0\0\0\1"
#define ACK "\0\7\0\0"
#define SHUT(code) "\0\1\0\4\0\0\0" code

typedef struct Fixture {
    Channel *channel;
    ReturnPath *rp;
    int peer;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    f->channel = channel_socket_new(fds[0]);
    f->peer = fds[1];
    f->rp = return_path_start(f->channel, NULL);
}

static void tear_down(Fixture *f, const void *unused)
{
    channel_shutdown(f->channel);
    return_path_free(f->rp);
    channel_unref(f->channel);
    if (f->peer >= 0) {
        close(f->peer);
    }
}

static void say(Fixture *f, const void *bytes, size_t n)
{
    g_assert_cmpint(write(f->peer, bytes, n), ==, n);
}

static void test_good_end(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(return_path_acked(f->rp));
    g_assert_false(return_path_failed(f->rp, NULL));
    say(f, BYTES(ACK PONG_1));
    g_assert_true(return_path_wait_pong(f->rp, 1, &error));
    g_assert_true(return_path_acked(f->rp));
    say(f, BYTES(SHUT("\0")));
    g_assert_true(return_path_wait_shut(f->rp, &error));
    g_assert_true(return_path_wait_shut(f->rp, &error));
    g_assert_false(return_path_refused(f->rp));
    g_assert_false(return_path_failed(f->rp, &error));
    g_assert_no_error(error);
}

static void test_shut_with_error(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;

    say(f, BYTES(SHUT("\5")));
    g_assert_false(return_path_wait_shut(f->rp, &error));
    g_assert_cmpstr(error->message, ==, "the destination reports error 5");
    g_assert_true(return_path_refused(f->rp));
    g_assert_true(return_path_failed(f->rp, NULL));
}

/* Bytes after which the reader gives up, and its words. */
static void test_bad_end(Fixture *f, const void *data)
{
    const char *const *row = data;
    g_autoptr(GError) error = NULL;

    say(f, row[0], atoi(row[1]));
    if (atoi(row[1]) < 4) {
        close(f->peer);
        f->peer = -1;
    }
    g_assert_false(return_path_wait_shut(f->rp, &error));
    g_assert_nonnull(strstr(error->message, row[2]));
    g_assert_false(return_path_refused(f->rp));
    g_assert_true(return_path_failed(f->rp, NULL));
}

static void test_shut_instead_of_pong(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;

    say(f, BYTES(SHUT("\0")));
    g_assert_false(return_path_wait_pong(f->rp, 1, &error));
    g_assert_nonnull(strstr(error->message, "without an answer to PING 1"));
}

static gpointer shut_later(gpointer opaque)
{
    g_usleep(20000);
    channel_shutdown(opaque);
    return NULL;
}

static void test_shutdown_ends_the_wait(Fixture *f, const void *unused)
{
    GThread *thread = g_thread_new("shut", shut_later, f->channel);
    g_autoptr(GError) error = NULL;

    g_assert_false(return_path_wait_shut(f->rp, &error));
    g_assert_nonnull(error);
    g_thread_join(thread);
}

#define ADD(path, fn, data) \
    g_test_add("/return-path/" path, Fixture, data, set_up, fn, tear_down)

static void test_no_thread_left(void)
{
    g_autoptr(Channel) channel = channel_socket_new(dup(0));
    g_autoptr(GError) error = NULL;

    fake_threads_lack = "return-path";
    g_assert_null(return_path_start(channel, &error));
    fake_threads_lack = NULL;
    g_assert_cmpstr(error->message, ==, "cannot make thread 'return-path': "
                    "Resource temporarily unavailable");
}

int main(int argc, char **argv)
{
    static const char *const closed[] = { "", "0", "without a word" };
    static const char *const cut[] = { "\0\1\0", "3", "ends at byte" };
    static const char *const unknown[] = { "\0\x9\0\0", "4", "message 9" };
    static const char *const long_shut[] = { "\0\1\0\5", "4",
                                             "SHUT has a payload of 5" };
    static const char *const asks[] = { "\0\4\0\xc" "123456789012", "16",
                                        "message 4, which nothing" };

    g_test_init(&argc, &argv, NULL);
    ADD("end/good", test_good_end, NULL);
    ADD("end/shut-with-error", test_shut_with_error, NULL);
    ADD("end/closed", test_bad_end, closed);
    ADD("end/cut", test_bad_end, cut);
    ADD("end/unknown-message", test_bad_end, unknown);
    ADD("end/wrong-length", test_bad_end, long_shut);
    ADD("end/page-request", test_bad_end, asks);
    ADD("pong/shut-instead", test_shut_instead_of_pong, NULL);
    ADD("shutdown/ends-the-wait", test_shutdown_ends_the_wait, NULL);
    g_test_add_func("/return-path/no-thread-left", test_no_thread_left);
    return g_test_run();
}
