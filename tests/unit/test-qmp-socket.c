/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP over a real socket: the monitor room on top of the chardev room.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev/chardev.h"
#include "fake-machine.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"

#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct Fixture {
    FakeMachine machine;
    ChardevList *chardevs;
    FdSets *fdsets;
    Monitors *monitors;
    int client;
    GString *got;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    MonitorConfig config = {
        .qmp_commands = qmp_commands,
        .package = "tidemark test",
        .app = &f->machine,
        .quit = fake_machine_quit,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(KeyVal) options = NULL;
    g_autofree char *text = NULL;
    int pair[2];
    Chardev *chr;

    fake_machine_init(&f->machine);
    f->got = g_string_new(NULL);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
                    ==, 0);
    f->client = pair[0];
    g_assert_cmpint(fcntl(f->client, F_SETFL, O_NONBLOCK), ==, 0);
    text = g_strdup_printf("socket,id=mon0,fd=%d", pair[1]);
    options = keyval_parse(text, "backend", &error);
    g_assert_no_error(error);
    f->chardevs = chardev_list_new(-1);
    chr = chardev_add(f->chardevs, options, &error);
    g_assert_no_error(error);
    f->fdsets = fdsets_new();
    config.chardevs = f->chardevs;
    config.fdsets = f->fdsets;
    f->monitors = monitors_new(&config);
    g_assert_true(monitor_add_qmp(f->monitors, chr, false, &error));
}

static void tear_down(Fixture *f, const void *unused)
{
    monitors_free(f->monitors);
    chardev_list_free(f->chardevs);
    fdsets_free(f->fdsets);
    close(f->client);
    g_string_free(f->got, TRUE);
    fake_machine_done(&f->machine);
}

/* Let the monitor work until nothing is left to do at once. */
static void turn(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
        continue;
    }
}

static void receive(Fixture *f)
{
    char buf[65536];
    ssize_t n = recv(f->client, buf, sizeof(buf), 0);

    if (n > 0) {
        g_string_append_len(f->got, buf, n);
    }
}

/* Run the main loop until @text has come; it and all before is used up. */
static void await(Fixture *f, const char *text)
{
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    char *found;

    while (!(found = strstr(f->got->str, text))) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        turn();
        receive(f);
    }
    g_string_erase(f->got, 0, found + strlen(text) - f->got->str);
}

static void send_text(Fixture *f, const char *text, int fd)
{
    struct iovec iov = { (char *)text, strlen(text) };
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    g_assert_cmpint(sendmsg(f->client, &msg, 0), ==, iov.iov_len);
}

static void negotiate(Fixture *f)
{
    await(f, "\"capabilities\": []}}\r\n");
    send_text(f, "{\"execute\":\"qmp_capabilities\"}\n", -1);
    await(f, "{\"return\": {}}\r\n");
}

static void test_command_is_answered(Fixture *f, const void *unused)
{
    negotiate(f);
    send_text(f, "{\"execute\":\"query-status\",\"id\":7}\n", -1);
    await(f, "{\"return\": {\"running\": false, \"status\": \"prelaunch\"}, "
          "\"id\": 7}\r\n");
}

static void test_fd_reaches_its_command(Fixture *f, const void *unused)
{
    int pipe_fds[2];
    int fd;
    struct stat sent, taken;
    g_autofree char *reply = NULL;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    negotiate(f);
    send_text(f, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":3}}\n",
              pipe_fds[0]);
    await(f, "\"fdset-id\": 3, \"fd\": ");
    await(f, "\r\n");
    fd = fdsets_open(f->fdsets, 3, O_RDONLY);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(pipe_fds[0], &sent), ==, 0);
    g_assert_cmpint(fstat(fd, &taken), ==, 0);
    g_assert_cmpuint(sent.st_ino, ==, taken.st_ino);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* A client that sends and never reads: events go on, nothing waits. */
static void test_deaf_client_holds_nobody(Fixture *f, const void *unused)
{
    static const char request[] = "{\"execute\":\"query-qmp-schema\"}\n";
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    unsigned sent = 0, answers = 0;

    negotiate(f);
    /* until the monitor takes no more and the socket is full */
    for (;;) {
        ssize_t n = send(f->client, request, strlen(request), 0);

        turn();
        if (n < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            break;
        }
        g_assert_cmpint(n, ==, strlen(request));
        sent++;
    }
    for (int i = 0; i < 50000; i++) {
        qapi_event_send_resume();
    }
    turn();
    /* now it reads, and gets an answer for each */
    while (answers < sent) {
        char *end;

        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        turn();
        receive(f);
        while ((end = strstr(f->got->str, "\r\n"))) {
            answers += g_str_has_prefix(f->got->str, "{\"return\": [");
            g_string_erase(f->got, 0, end + 2 - f->got->str);
        }
    }
    send_text(f, "{\"execute\":\"query-name\"}\n", -1);
    await(f, "{\"return\": {\"name\": \"demo\"}}\r\n");
}

#define THREAD_EVENTS 2000

static void *send_events(void *unused)
{
    for (int i = 1; i <= THREAD_EVENTS; i++) {
        qapi_event_send_migration_pass(i);
    }
    return NULL;
}

/* Events of a thread come in order, whole, between whole answers. */
static void test_events_of_a_thread_keep_order(Fixture *f, const void *unused)
{
    int64_t deadline = g_get_monotonic_time() + PATIENCE_US;
    unsigned pass = 0, answers = 0;
    GThread *thread;
    char *end;

    negotiate(f);
    thread = g_thread_new("events", send_events, NULL);
    for (int i = 0; i < 20; i++) {
        send_text(f, "{\"execute\":\"query-name\"}\n", -1);
    }
    while (pass < THREAD_EVENTS || answers < 20) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        turn();
        receive(f);
        while ((end = strstr(f->got->str, "\r\n"))) {
            g_autofree char *line = g_strndup(f->got->str,
                                              end - f->got->str);
            const char *number = strstr(line, "\"pass\": ");

            g_string_erase(f->got, 0, end + 2 - f->got->str);
            if (number) {
                g_assert_cmpuint(atoi(number + 8), ==, ++pass);
            } else {
                g_assert_cmpstr(line, ==,
                                "{\"return\": {\"name\": \"demo\"}}");
                answers++;
            }
        }
    }
    g_thread_join(thread);
}

static void test_client_that_goes_is_forgotten(Fixture *f, const void *unused)
{
    negotiate(f);
    send_text(f, "{\"execute\":\"query-na", -1);
    turn();
    shutdown(f->client, SHUT_RDWR);
    turn();
    qapi_event_send_resume();
    turn();
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp-socket/command/is-answered", test_command_is_answered);
    add("/qmp-socket/fd/reaches-its-command", test_fd_reaches_its_command);
    add("/qmp-socket/deaf-client/holds-nobody",
        test_deaf_client_holds_nobody);
    add("/qmp-socket/events/of-a-thread-keep-order",
        test_events_of_a_thread_keep_order);
    add("/qmp-socket/client-that-goes/is-forgotten",
        test_client_that_goes_is_forgotten);
    return g_test_run();
}
