/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listening and connecting: real ports, stale paths, callbacks in the main
 * context, refusals delivered later, cancelling.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "io/connect.h"
#include "io/listener.h"
#include "io/socket.h"
#include "tests/unit/fake-threads.h"
#include "util/error.h"

#define LIMIT_US (20 * G_USEC_PER_SEC)

static char *dir, *path;

static Listener *listen_uri(const char *uri, GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, NULL);

    return listener_new(address, error);
}

/* One turn of the main loop after the other until @flag or the time is up. */
static void run_until(const int *flag)
{
    gint64 end_us = g_get_monotonic_time() + LIMIT_US;

    while (!*flag && g_get_monotonic_time() < end_us) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(200);
    }
    g_assert_cmpint(*flag, !=, 0);
}

static void test_new_port_0_reports_the_real_one(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) l = listen_uri("tcp:127.0.0.1:0", &error);
    g_autoptr(Listener) again = NULL;
    g_autofree char *uri = NULL;
    int fd;

    g_assert_no_error(error);
    g_assert_cmpuint(listener_address_count(l), ==, 1);
    g_assert_cmpuint(listener_address(l, 0)->port, >, 0);
    g_assert_cmpstr(listener_address(l, 0)->host, ==, "127.0.0.1");
    fd = socket_connect(listener_address(l, 0), -1, &error);
    g_assert_no_error(error);
    close(fd);
    uri = channel_address_to_uri(listener_address(l, 0));
    again = listen_uri(uri, &error);
    g_assert_null(again);
    g_assert_nonnull(strstr(error->message, uri));
    g_assert_nonnull(strstr(error->message, "in use"));
}

static void test_new_any_host_shares_one_port(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) l = listen_uri("tcp::0", &error);

    g_assert_no_error(error);
    for (unsigned i = 0; i < listener_address_count(l); i++) {
        g_assert_cmpuint(listener_address(l, i)->port, ==,
                         listener_address(l, 0)->port);
    }
}

static void test_new_stale_path_is_taken_over(void)
{
    g_autofree char *uri = g_strdup_printf("unix:%s", path);
    g_autoptr(GError) error = NULL;
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, NULL);
    Listener *l = listener_new(address, &error), *second;
    g_autofree char *moved = g_strconcat(path, "-moved", NULL);

    g_assert_no_error(error);
    /* In use: refused. */
    second = listener_new(address, &error);
    g_assert_null(second);
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_clear_error(&error);
    /* Left over by somebody who did not tidy up: moved away and back. */
    g_assert_cmpint(g_rename(path, moved), ==, 0);
    listener_free(l);
    g_assert_cmpint(g_rename(moved, path), ==, 0);
    l = listener_new(address, &error);
    g_assert_no_error(error);
    listener_free(l);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    /* Something else with that name is nobody's to remove. */
    g_assert_true(g_file_set_contents(path, "x", 1, NULL));
    g_assert_null(listener_new(address, &error));
    g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    g_unlink(path);
}

static void test_new_fd_listens_on_what_is_there(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client, conn;
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) l = NULL;

    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&any, sizeof(any)), ==, 0);
    g_assert_null(listener_new_fd(fd, &error));
    g_assert_nonnull(strstr(error->message, "not a listening socket"));
    g_clear_error(&error);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    l = listener_new_fd(fd, &error);
    g_assert_no_error(error);
    client = socket_connect(listener_address(l, 0), -1, &error);
    conn = listener_accept(l, -1, &error);
    g_assert_no_error(error);
    close(conn);
    close(client);
}

static void test_new_bad_addresses_are_refused(void)
{
    g_autofree char *dots = g_strnfill(200, 'x');
    g_autofree char *longest = g_strdup_printf("unix:/tmp/%s", dots);
    const char *const uris[] = {longest, "tcp:no.such.host.invalid:1",
                                "exec:true", "file:/x", "fd:3",
                                "unix:/nonexistent/sock"};

    for (unsigned i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(listen_uri(uris[i], &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_nonnull(strstr(error->message, uris[i]));
    }
    g_assert_null(listener_new_fd(0, NULL));
}

typedef struct Accepted {
    int n;
    int fds[4];
    bool free_in_callback;
} Accepted;

static void on_accept(Listener *l, int fd, void *opaque)
{
    Accepted *a = opaque;

    a->fds[a->n++] = fd;
    if (a->free_in_callback) {
        listener_free(l);
    }
}

static void test_start_connections_reach_callback(void)
{
    g_autofree char *uri = g_strdup_printf("unix:%s", path);
    g_autoptr(Listener) l = listen_uri(uri, NULL);
    g_autoptr(GError) error = NULL;
    Accepted a = {};
    int first = socket_connect(listener_address(l, 0), -1, &error), second;
    g_autoptr(Channel) c = NULL;
    char buf[5] = "";

    g_assert_no_error(error);
    /* Stopped: it waits. */
    g_main_context_iteration(NULL, FALSE);
    g_assert_cmpint(a.n, ==, 0);
    listener_start(l, on_accept, &a);
    run_until(&a.n);
    g_assert_cmpint(a.n, ==, 1);
    listener_stop(l);
    second = socket_connect(listener_address(l, 0), -1, &error);
    while (g_main_context_iteration(NULL, FALSE)) {
    }
    g_assert_cmpint(a.n, ==, 1);
    a.n = 0;
    close(a.fds[0]);
    listener_start(l, on_accept, &a);
    run_until(&a.n);
    /* The first bytes can be seen and are still there. */
    c = channel_socket_new(a.fds[0]);
    g_assert_cmpint(write(second, "QEVMx", 5), ==, 5);
    g_assert_true(channel_peek_full(c, buf, 4, &error));
    g_assert_cmpstr(buf, ==, "QEVM");
    g_assert_true(channel_read_full(c, buf, 4, &error));
    g_assert_cmpstr(buf, ==, "QEVM");
    close(first);
    close(second);
}

static void test_start_listener_may_be_freed_in_callback(void)
{
    Listener *l = listen_uri("tcp:127.0.0.1:0", NULL);
    Accepted a = {.free_in_callback = true};
    int fd = socket_connect(listener_address(l, 0), -1, NULL);

    listener_start(l, on_accept, &a);
    run_until(&a.n);
    close(a.fds[0]);
    close(fd);
}

static void test_accept_can_be_cancelled(void)
{
    g_autofree char *uri = g_strdup_printf("unix:%s", path);
    g_autoptr(Listener) l = listen_uri(uri, NULL);
    g_autoptr(GError) error = NULL;
    int cancel = eventfd(1, EFD_CLOEXEC);

    g_assert_cmpint(listener_accept(l, cancel, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "interrupted"));
    close(cancel);
}

typedef struct Connected {
    int calls;
    Channel *c;
    char *error;
} Connected;

static void on_connected(Channel *c, const GError *error, void *opaque)
{
    Connected *k = opaque;

    k->calls++;
    k->c = c;
    k->error = error ? g_strdup(error->message) : NULL;
}

static ConnectJob *start(const char *uri, Connected *k, GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, NULL);

    return connect_start(address, CHANNEL_OUT, NULL, on_connected, k, error);
}

static void test_connect_result_is_delivered_later(void)
{
    g_autoptr(Listener) l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = channel_address_to_uri(listener_address(l, 0));
    g_autoptr(GError) error = NULL;
    Connected k = {};

    g_assert_nonnull(start(uri, &k, &error));
    g_assert_no_error(error);
    g_assert_cmpint(k.calls, ==, 0);
    run_until(&k.calls);
    g_assert_nonnull(k.c);
    g_assert_null(k.error);
    g_assert_cmpstr(channel_name(k.c), ==, uri);
    channel_unref(k.c);
}

static void test_connect_refusal_is_delivered_later(void)
{
    g_autoptr(Listener) l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = channel_address_to_uri(listener_address(l, 0));
    g_autofree char *gone = g_strdup_printf("unix:%s", path);
    const char *const uris[] = {uri, gone, "tcp:no.such.host.invalid:1"};

    g_clear_pointer(&l, listener_free);
    for (unsigned i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;
        Connected k = {};

        g_assert_nonnull(start(uris[i], &k, &error));
        g_assert_no_error(error);
        run_until(&k.calls);
        g_assert_null(k.c);
        g_assert_nonnull(strstr(k.error, uris[i]));
        g_free(k.error);
    }
}

static void test_connect_others_fail_at_once(void)
{
    static const char *const uris[] = {"file:/nonexistent/x", "fd:nobody",
                                       "fd:987654"};

    for (unsigned i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;
        Connected k = {};

        g_assert_null(start(uris[i], &k, &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_cmpint(k.calls, ==, 0);
    }
}

static void test_connect_others_are_delivered_too(void)
{
    g_autoptr(GError) error = NULL;
    Connected k = {};

    g_assert_nonnull(start("exec:cat >/dev/null", &k, &error));
    g_assert_cmpint(k.calls, ==, 0);
    run_until(&k.calls);
    g_assert_true(channel_close(k.c, &error));
    g_assert_no_error(error);
    channel_unref(k.c);
}

static gboolean set_flag(gpointer flag)
{
    *(int *)flag = 1;
    return G_SOURCE_REMOVE;
}

static void test_connect_cancelled_is_never_delivered(void)
{
    g_autoptr(Listener) l = listen_uri("tcp:127.0.0.1:0", NULL);
    g_autofree char *uri = channel_address_to_uri(listener_address(l, 0));
    Connected k = {};
    int later = 0;

    for (unsigned i = 0; i < 50; i++) {
        ConnectJob *job = start(i % 2 ? uri : "exec:true", &k, NULL);

        g_usleep(i * 20); /* before, while and after it connects */
        connect_cancel(job);
    }
    connect_cancel(NULL);
    g_timeout_add(100, set_flag, &later);
    run_until(&later);
    g_assert_cmpint(k.calls, ==, 0);
}

static gpointer cancel_later(gpointer opaque)
{
    g_usleep(50 * 1000);
    eventfd_write(*(int *)opaque, 1);
    return NULL;
}

static void test_connect_full_backlog_can_be_cancelled(void)
{
    g_autoptr(ChannelAddress) address = channel_address_new_unix(path);
    g_autoptr(GError) error = NULL;
    g_autoptr(Listener) l = listener_new(address, NULL);
    int cancel = eventfd(0, EFD_CLOEXEC), fds[1024], n = 0;
    GThread *thread;

    g_assert_nonnull(l);
    thread = g_thread_new("cancel", cancel_later, &cancel);
    /* Nobody accepts: sooner or later there is no more room. */
    while (n < 1024 && (fds[n] = socket_connect(address, cancel, &error)) >= 0) {
        n++;
    }
    g_assert_cmpint(n, <, 1024);
    g_assert_nonnull(strstr(error->message, "cancel"));
    while (n-- > 0) {
        close(fds[n]);
    }
    g_thread_join(thread);
    close(cancel);
}

static void test_connect_without_a_thread(void)
{
    g_autoptr(GError) error = NULL;
    Connected k = {};

    fake_threads_lack = "connect";
    g_assert_null(start("tcp:127.0.0.1:1", &k, &error));
    fake_threads_lack = NULL;
    g_assert_cmpstr(error->message, ==, "cannot make thread 'connect': "
                    "Resource temporarily unavailable");
    g_assert_cmpint(k.calls, ==, 0);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("test-listener-XXXXXX", NULL);
    path = g_build_filename(dir, "sock", NULL);
    g_test_add_func("/listener/new/real-port",
                    test_new_port_0_reports_the_real_one);
    g_test_add_func("/listener/new/any-host", test_new_any_host_shares_one_port);
    g_test_add_func("/listener/new/stale-path",
                    test_new_stale_path_is_taken_over);
    g_test_add_func("/listener/new/fd", test_new_fd_listens_on_what_is_there);
    g_test_add_func("/listener/new/bad", test_new_bad_addresses_are_refused);
    g_test_add_func("/listener/start/callback",
                    test_start_connections_reach_callback);
    g_test_add_func("/listener/start/freed-in-callback",
                    test_start_listener_may_be_freed_in_callback);
    g_test_add_func("/listener/accept/cancelled", test_accept_can_be_cancelled);
    g_test_add_func("/connect/result/later",
                    test_connect_result_is_delivered_later);
    g_test_add_func("/connect/refusal/later",
                    test_connect_refusal_is_delivered_later);
    g_test_add_func("/connect/others/fail-at-once",
                    test_connect_others_fail_at_once);
    g_test_add_func("/connect/others/delivered",
                    test_connect_others_are_delivered_too);
    g_test_add_func("/connect/cancelled/never-delivered",
                    test_connect_cancelled_is_never_delivered);
    g_test_add_func("/connect/cancelled/full-backlog",
                    test_connect_full_backlog_can_be_cancelled);
    g_test_add_func("/connect/no-thread-left", test_connect_without_a_thread);
    ret = g_test_run();
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
    return ret;
}
