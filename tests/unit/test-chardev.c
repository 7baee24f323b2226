/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chardevs: options, files, a server with its clients, slow readers, passed
 * descriptors, standard input and output.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "chardev/chardev.h"
#include "io/listener.h"
#include "io/socket.h"
#include "util/error.h"

#define LIMIT_US (20 * G_USEC_PER_SEC)

static char *dir, *path;

/* A frontend that writes down what it is told. */
typedef struct Front {
    Chardev *chr;
    GString *got;
    GString *events; /* "O" and "C" */
    size_t room;     /* what can_read() says; atomic */
    unsigned drained;
    GArray *fds; /* taken inside read() */
    bool take_fds;
} Front;

static size_t front_can_read(void *opaque)
{
    return __atomic_load_n(&((Front *)opaque)->room, __ATOMIC_ACQUIRE);
}

static void front_read(void *opaque, const uint8_t *buf, size_t n)
{
    Front *f = opaque;

    g_assert_cmpuint(n, >, 0);
    g_assert_cmpuint(n, <=, front_can_read(f));
    g_string_append_len(f->got, (const char *)buf, n);
    if (front_can_read(f) != SIZE_MAX) {
        __atomic_fetch_sub(&f->room, n, __ATOMIC_ACQ_REL);
    }
    if (f->take_fds) {
        f->fds = chardev_take_fds(f->chr);
    }
}

static void front_event(void *opaque, ChardevEvent event)
{
    g_string_append_c(((Front *)opaque)->events,
                      event == CHARDEV_OPENED ? 'O' : 'C');
}

static void front_drained(void *opaque)
{
    ((Front *)opaque)->drained++;
}

static const ChardevFrontend front_ops = {
    .can_read = front_can_read,
    .read = front_read,
    .event = front_event,
    .drained = front_drained,
};

static void front_attach(Front *f, Chardev *chr)
{
    g_autoptr(GError) error = NULL;

    *f = (Front){.chr = chr, .room = SIZE_MAX};
    f->got = g_string_new(NULL);
    f->events = g_string_new(NULL);
    g_assert_true(chardev_attach(chr, &front_ops, f, &error));
    g_assert_no_error(error);
}

static void front_done(Front *f)
{
    g_string_free(f->got, TRUE);
    g_string_free(f->events, TRUE);
}

static void turn(gint64 *end_us)
{
    if (!*end_us) {
        *end_us = g_get_monotonic_time() + LIMIT_US;
    }
    g_assert_cmpint(g_get_monotonic_time(), <, *end_us);
    if (!g_main_context_iteration(NULL, FALSE)) {
        g_usleep(200);
    }
}

/* Turns the main loop until the condition holds; fails when it never does. */
#define RUN_UNTIL(condition)                                                   \
    do {                                                                       \
        gint64 end_us_ = 0;                                                    \
        while (!(condition)) {                                                 \
            turn(&end_us_);                                                    \
        }                                                                      \
    } while (0)

/* Lets everything happen that can happen now. */
static void settle(void)
{
    for (unsigned i = 0; i < 20; i++) {
        while (g_main_context_iteration(NULL, FALSE)) {
        }
        g_usleep(500);
    }
}

static Chardev *add(ChardevList *list, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KeyVal) options = keyval_parse(text, "backend", &error);
    Chardev *chr = chardev_add(list, options, &error);

    g_assert_no_error(error);
    g_assert_nonnull(chr);
    return chr;
}

static Chardev *add_legacy(ChardevList *list, const char *id, const char *text)
{
    g_autoptr(GError) error = NULL;
    Chardev *chr = chardev_add_legacy(list, id, text, &error);

    g_assert_no_error(error);
    return chr;
}

static Chardev *add_server(ChardevList *list)
{
    g_autofree char *text = g_strdup_printf("unix:%s,server=on,wait=off", path);

    return add_legacy(list, "server", text);
}

/* Returns: the socket, or -1 on error. */
static int try_connect(GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_new_unix(path);

    return socket_connect(address, -1, error);
}

static int connect_client(void)
{
    g_autoptr(GError) error = NULL;
    int fd = try_connect(&error);

    g_assert_no_error(error);
    return fd;
}

static void assert_filename(Chardev *chr, const char *want)
{
    ChardevDesc desc;

    chardev_info(chr, &desc);
    g_assert_cmpstr(desc.filename, ==, want);
    g_free(desc.filename);
}

/* ---- options ---- */

static void test_add_bad_options_are_named(void)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"", "backend"},
        {"null", "id"},
        {"pty,id=a", "'pty'"},
        {"null,id=1a", "'1a'"},
        {"null,id=a b", "'a b'"},
        {"null,id=taken", "'taken'"},
        {"null,id=a,path=/x", "'path'"},
        {"file,id=a", "path"},
        {"file,id=a,path=/nonexistent/x", "'/nonexistent/x'"},
        {"file,id=a,path=/dev/null,append=1", "'append'"},
        {"file,id=a,path=/dev/null,mux=on", "'mux'"},
        {"stdio,id=a,signal=maybe", "'signal'"},
        {"socket,id=a", "one of"},
        {"socket,id=a,path=/x,host=y,port=1", "one of"},
        {"socket,id=a,host=localhost", "port"},
        {"socket,id=a,host=localhost,port=70000", "70000"},
        {"socket,id=a,path=/x,wait=off", "'wait'"},
        {"socket,id=a,path=/x,server=maybe", "'server'"},
        {"socket,id=a,path=/x,server=on,wait=off,telnet=on", "'telnet'"},
        {"socket,id=a,path=/x,nodelay=on", "'nodelay'"},
        {"socket,id=a,path=/nonexistent/x", "/nonexistent/x"},
        {"socket,id=a,path=/nonexistent/x,server=on", "/nonexistent/x"},
        {"socket,id=a,fd=987654", "987654"},
        {"socket,id=a,fd=x", "'x'"},
    };
    g_autoptr(ChardevList) list = chardev_list_new(-1);

    add(list, "null,id=taken");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(KeyVal) kv = keyval_parse(rows[i].text, "backend", NULL);

        g_assert_null(chardev_add(list, kv, &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_nonnull(strstr(error->message, rows[i].word));
        g_assert_null(chardev_find(list, "a"));
    }
}

static void test_legacy_bad_texts_are_named(void)
{
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"", "''"}, {"mon:stdio", "'mon:stdio'"}, {"none", "'none'"},
        {"file:", "path"}, {"unix:", "one of"}, {"tcp:1", "HOST:PORT"},
        {"tcp:127.0.0.1:x,server=on,wait=off", "'x'"},
        {"unix:/x,backend=file", "'wait' is"}, {"chardev:nobody", "'nobody'"},
    };
    g_autoptr(ChardevList) list = chardev_list_new(-1);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        const char *text = rows[i].text;
        bool odd = g_str_has_prefix(text, "unix:/x");

        g_assert_null(chardev_add_legacy(
            list, "a", odd ? "unix:/x,backend=file,server=on" : text, &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
        g_assert_nonnull(strstr(error->message,
                                odd ? "'backend'" : rows[i].word));
    }
}

static void append_id(Chardev *chr, void *user)
{
    g_string_append_printf(user, "%s ", chardev_id(chr));
}

static void test_list_finds_by_id(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autoptr(GString) ids = g_string_new(NULL);
    Chardev *a = add(list, "null,id=a");
    Chardev *b = add_legacy(list, "serial0", "null");

    g_assert_true(chardev_find(list, "a") == a);
    g_assert_true(add_legacy(list, "x", "chardev:serial0") == b);
    g_assert_null(chardev_find(list, "x"));
    chardev_list_foreach(list, append_id, ids);
    g_assert_cmpstr(ids->str, ==, "a serial0 ");
}

static void test_attach_only_one_frontend(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autoptr(GError) error = NULL;
    Chardev *chr = add(list, "null,id=a");
    ChardevDesc desc;
    Front f, g;

    front_attach(&f, chr);
    g_assert_cmpstr(f.events->str, ==, "O");
    g_assert_false(chardev_attach(chr, &front_ops, &f, &error));
    g_assert_nonnull(strstr(error->message, "'a'"));
    chardev_info(chr, &desc);
    g_assert_true(desc.is_frontend_open);
    g_assert_cmpstr(desc.label, ==, "a");
    g_free(desc.filename);
    chardev_detach(chr);
    front_attach(&g, chr);
    g_assert_cmpuint(chardev_write(chr, "abc", 3), ==, 3);
    assert_filename(chr, "null");
    front_done(&f);
    front_done(&g);
}

/* ---- file ---- */

static void test_file_bytes_are_there_at_once(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autofree char *file = g_build_filename(dir, "a,b", NULL);
    g_autofree char *text = g_strdup_printf("file:%s", file);
    g_autofree char *content = NULL;
    Chardev *chr;

    g_assert_true(g_file_set_contents(file, "old", 3, NULL));
    chr = add_legacy(list, "serial0", text);
    g_assert_true(g_file_get_contents(file, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "");
    g_free(content);
    g_assert_cmpuint(chardev_write(chr, "A", 1), ==, 1);
    g_assert_cmpuint(chardev_write(chr, "BB", 2), ==, 2);
    g_assert_true(g_file_get_contents(file, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "ABB");
    assert_filename(chr, "file");
    g_assert_true(chardev_is_open(chr));
    g_unlink(file);
}

static void test_file_append_keeps_content(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autofree char *file = g_build_filename(dir, "append", NULL);
    g_autofree char *text = g_strdup_printf("file,id=a,append=on,path=%s",
                                            file);
    g_autofree char *content = NULL;

    g_assert_true(g_file_set_contents(file, "old", 3, NULL));
    chardev_write(add(list, text), "new", 3);
    g_assert_true(g_file_get_contents(file, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "oldnew");
    g_unlink(file);
}

static void test_file_full_disk_drops_and_counts(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_legacy(list, "serial0", "file:/dev/full");

    g_assert_cmpuint(chardev_write(chr, "abc", 3), ==, 0);
    g_assert_cmpuint(chardev_write(chr, "de", 2), ==, 0);
    g_assert_cmpuint(chardev_dropped(chr), ==, 5);
    g_assert_cmpuint(chardev_pending(chr), ==, 0);
}

/* ---- socket ---- */

static void test_server_clients_come_and_go(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autofree char *away = g_strdup_printf("disconnected:unix:%s,server=on",
                                            path);
    Chardev *chr = add_server(list);
    int first, second;
    char buf[8] = "";
    Front f;

    front_attach(&f, chr);
    assert_filename(chr, away);
    g_assert_false(chardev_is_open(chr));
    g_assert_cmpuint(chardev_write(chr, "nobody", 6), ==, 0);
    g_assert_cmpuint(chardev_dropped(chr), ==, 6);
    first = connect_client();
    RUN_UNTIL(f.events->len == 1);
    assert_filename(chr, away + strlen("disconnected:"));
    second = connect_client(); /* waits for its turn */
    g_assert_cmpint(write(second, "second", 6), ==, 6);
    g_assert_cmpint(write(first, "first", 5), ==, 5);
    RUN_UNTIL(f.got->len == 5);
    g_assert_cmpstr(f.got->str, ==, "first");
    g_assert_cmpuint(chardev_write(chr, "reply", 5), ==, 5);
    g_assert_cmpint(read(first, buf, sizeof(buf)), ==, 5);
    g_assert_cmpstr(buf, ==, "reply");
    settle();
    g_assert_cmpstr(f.events->str, ==, "O");
    close(first);
    RUN_UNTIL(f.got->len == 11);
    g_assert_cmpstr(f.got->str, ==, "firstsecond");
    g_assert_cmpstr(f.events->str, ==, "OCO");
    close(second);
    RUN_UNTIL(f.events->len == 4);
    assert_filename(chr, away);
    front_done(&f);
}

static void test_server_bytes_before_the_end_arrive(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    Front f;

    front_attach(&f, chr);
    g_assert_cmpint(write(fd, "last words", 10), ==, 10);
    close(fd);
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.got->str, ==, "last words");
    g_assert_cmpstr(f.events->str, ==, "OC");
    front_done(&f);
}

static void test_server_disconnect_ends_the_client(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    char buf[8];
    Front f;

    front_attach(&f, chr);
    RUN_UNTIL(f.events->len == 1);
    chardev_write(chr, "bye", 3);
    chardev_disconnect(chr);
    g_assert_cmpstr(f.events->str, ==, "O");
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.events->str, ==, "OC");
    fcntl(fd, F_SETFL, 0);
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 3);
    g_assert_cmpint(read(fd, buf, sizeof(buf)), ==, 0);
    close(fd);
    front_done(&f);
}

/* The path is there before anybody listens: a refusal is not the end. */
static gpointer connect_later(gpointer opaque)
{
    gint64 end_us = g_get_monotonic_time() + LIMIT_US;
    int fd;

    while ((fd = try_connect(NULL)) < 0) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
    return GINT_TO_POINTER(fd);
}

static void test_server_waits_for_first_client(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autofree char *text = g_strdup_printf("unix:%s,server=on", path);
    GThread *thread = g_thread_new("client", connect_later, NULL);
    Chardev *chr = add_legacy(list, "a", text);
    Front f;

    g_assert_true(chardev_is_open(chr));
    front_attach(&f, chr);
    g_assert_cmpstr(f.events->str, ==, "O");
    close(GPOINTER_TO_INT(g_thread_join(thread)));
    RUN_UNTIL(f.events->len == 2);
    front_done(&f);
}

static void test_server_waiting_can_be_cancelled(void)
{
    int cancel = eventfd(1, EFD_CLOEXEC);
    g_autoptr(ChardevList) list = chardev_list_new(cancel);
    g_autofree char *text = g_strdup_printf("unix:%s,server", path);
    g_autoptr(GError) error = NULL;

    g_assert_null(chardev_add_legacy(list, "a", text, &error));
    g_assert_nonnull(strstr(error->message, "interrupted"));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    close(cancel);
}

static void test_client_connects_and_is_told_the_end(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autoptr(ChannelAddress) address = channel_address_new_unix(path);
    g_autoptr(Listener) listener = listener_new(address, NULL);
    g_autofree char *text = g_strdup_printf("socket,id=char0,path=%s", path);
    g_autofree char *open_name = g_strdup_printf("unix:%s", path);
    g_autofree char *away = g_strdup_printf("disconnected:unix:%s", path);
    Chardev *chr = add(list, text);
    int fd = listener_accept(listener, -1, NULL);
    Front f;

    front_attach(&f, chr);
    assert_filename(chr, open_name);
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    RUN_UNTIL(f.got->len == 1);
    close(fd);
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.events->str, ==, "OC");
    assert_filename(chr, away);
    front_done(&f);
}

static void test_fd_is_used_as_it_is(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    g_autofree char *text = NULL;
    int fds[2];
    char c;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    text = g_strdup_printf("socket,id=a,fd=%d", fds[0]);
    g_assert_cmpuint(chardev_write(add(list, text), "x", 1), ==, 1);
    g_assert_cmpint(read(fds[1], &c, 1), ==, 1);
    close(fds[1]);
}

static void test_tcp_server_shows_its_port(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_legacy(list, "a",
                              "tcp:127.0.0.1:0,server=on,wait=off,nodelay=on");
    g_autoptr(ChannelAddress) address = NULL;
    g_autofree char *uri = NULL;
    ChardevDesc desc;
    Front f;
    int fd;

    front_attach(&f, chr);
    chardev_info(chr, &desc);
    g_assert_true(g_str_has_prefix(desc.filename,
                                   "disconnected:tcp:127.0.0.1:"));
    g_assert_true(g_str_has_suffix(desc.filename, ",server=on"));
    uri = g_strdup(desc.filename + strlen("disconnected:"));
    *strchr(uri, ',') = '\0';
    g_free(desc.filename);
    address = channel_address_parse(uri, NULL);
    g_assert_cmpuint(address->port, !=, 0);
    fd = socket_connect(address, -1, NULL);
    g_assert_cmpint(fd, >=, 0);
    RUN_UNTIL(f.events->len == 1);
    chardev_info(chr, &desc);
    g_assert_true(g_str_has_prefix(desc.filename, uri));
    g_assert_nonnull(strstr(desc.filename, ",server=on <-> 127.0.0.1:"));
    g_free(desc.filename);
    close(fd);
    front_done(&f);
}

/* ---- the frontend's pace, the reader's pace ---- */

static gpointer make_room(gpointer opaque)
{
    Front *f = opaque;

    __atomic_store_n(&f->room, 5, __ATOMIC_RELEASE);
    chardev_accept_input(f->chr);
    return NULL;
}

static void test_can_read_limits_are_kept(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    Front f;

    front_attach(&f, chr);
    f.room = 3;
    RUN_UNTIL(f.events->len == 1);
    g_assert_cmpint(write(fd, "0123456789", 10), ==, 10);
    RUN_UNTIL(f.got->len == 3);
    settle();
    g_assert_cmpstr(f.got->str, ==, "012");
    /* Room comes from another thread, as a vCPU that reads its UART makes. */
    g_thread_join(g_thread_new("vcpu", make_room, &f));
    RUN_UNTIL(f.got->len == 8);
    settle();
    g_assert_cmpstr(f.got->str, ==, "01234567");
    close(fd);
    f.room = SIZE_MAX;
    chardev_accept_input(chr);
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.got->str, ==, "0123456789");
    front_done(&f);
}

typedef struct Pump {
    Front f;
    size_t bytes;
    int done; /* atomic */
} Pump;

/* Makes room byte by byte while the main thread reads and pauses. */
static gpointer pump_thread(gpointer opaque)
{
    Pump *p = opaque;

    for (size_t i = 0; i < p->bytes; i++) {
        while (__atomic_load_n(&p->f.room, __ATOMIC_ACQUIRE)) {
            g_thread_yield();
        }
        __atomic_store_n(&p->f.room, 1, __ATOMIC_RELEASE);
        chardev_accept_input(p->f.chr);
    }
    return NULL;
}

static void test_can_read_room_made_in_between_is_not_missed(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    g_autofree char *data = g_malloc(5000);
    int fd = connect_client();
    Pump p = {.bytes = 5000};
    GThread *thread;

    front_attach(&p.f, chr);
    p.f.room = 0;
    memset(data, 'x', p.bytes);
    g_assert_cmpint(write(fd, data, p.bytes), ==, p.bytes);
    thread = g_thread_new("pump", pump_thread, &p);
    RUN_UNTIL(p.f.got->len == p.bytes);
    g_thread_join(thread);
    close(fd);
    front_done(&p.f);
}

static void test_attach_input_waits_for_a_frontend(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    Front f;

    RUN_UNTIL(chardev_is_open(chr));
    g_assert_cmpint(write(fd, "early", 5), ==, 5);
    settle();
    front_attach(&f, chr);
    RUN_UNTIL(f.got->len == 5);
    chardev_detach(chr);
    g_assert_cmpint(write(fd, "later", 5), ==, 5);
    settle();
    g_assert_cmpuint(f.got->len, ==, 5);
    front_done(&f);
    front_attach(&f, chr);
    RUN_UNTIL(f.got->len == 5);
    g_assert_cmpstr(f.got->str, ==, "later");
    close(fd);
    front_done(&f);
}

static void test_write_slow_reader_costs_only_its_bytes(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    size_t taken = 0, written = 0, read_bytes = 0, bad = 0;
    Front f;

    front_attach(&f, chr);
    RUN_UNTIL(f.events->len == 1);
    for (unsigned i = 0; i < 1024; i++) {
        uint8_t line[1024];
        size_t n;

        for (unsigned k = 0; k < sizeof(line); k++) {
            line[k] = (taken + k) * 7;
        }
        n = chardev_write(chr, line, sizeof(line));
        taken += n;
        written += sizeof(line);
        g_assert_cmpuint(chardev_pending(chr), <=, CHARDEV_DEFAULT_BOUND);
    }
    g_assert_cmpuint(chardev_pending(chr), ==, CHARDEV_DEFAULT_BOUND);
    g_assert_cmpuint(chardev_dropped(chr), ==, written - taken);
    g_assert_cmpuint(written - taken, >, 0);
    g_assert_cmpuint(f.drained, ==, 0);
    /* What was taken arrives, in order, when it reads at last. */
    while (read_bytes < taken) {
        uint8_t buf[5000];
        ssize_t n = read(fd, buf, sizeof(buf));

        for (ssize_t k = 0; k < n; k++) {
            bad += buf[k] != (uint8_t)((read_bytes + k) * 7);
        }
        read_bytes += MAX(n, 0);
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(bad, ==, 0);
    RUN_UNTIL(f.drained == 1);
    g_assert_cmpuint(chardev_pending(chr), ==, 0);
    close(fd);
    front_done(&f);
}

/* Writes until some must wait in the queue. Returns bytes taken in all. */
static size_t fill_queue(Chardev *chr, uint8_t byte)
{
    size_t taken = 0;

    while (!chardev_pending(chr)) {
        taken += chardev_write(chr, &byte, 1);
    }
    return taken;
}

/* Reads what is there without waiting, and counts each byte value. */
static void drain(int fd, size_t count[256], uint8_t *ret_last)
{
    uint8_t buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t k = 0; k < n; k++) {
            count[buf[k]]++;
        }
        *ret_last = buf[n - 1];
    }
}

static void test_write_goes_behind_what_waits(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    size_t count[256] = {}, taken;
    uint8_t last = 0;

    RUN_UNTIL(chardev_is_open(chr));
    taken = fill_queue(chr, 'a');
    /* The kernel has room again, but something is still in the queue. */
    drain(fd, count, &last);
    g_assert_cmpuint(count['a'], ==, taken - 1);
    g_assert_cmpuint(chardev_write(chr, "b", 1), ==, 1);
    g_assert_cmpuint(chardev_pending(chr), ==, 2);
    RUN_UNTIL(!chardev_pending(chr));
    drain(fd, count, &last);
    g_assert_cmpuint(count['a'], ==, taken);
    g_assert_cmpint(last, ==, 'b');
    close(fd);
}

static void test_free_sends_what_waits(void)
{
    ChardevList *list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    size_t count[256] = {}, taken;
    uint8_t last;

    RUN_UNTIL(chardev_is_open(chr));
    taken = fill_queue(chr, 'a');
    drain(fd, count, &last);
    g_assert_cmpuint(count['a'], ==, taken - 1);
    chardev_list_free(list);
    drain(fd, count, &last);
    g_assert_cmpuint(count['a'], ==, taken);
    close(fd);
}

static void test_write_bound_can_be_raised(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    g_autofree char *data = g_malloc0(8 << 20);
    int fd = connect_client();
    size_t got = 0;
    char buf[65536];
    Front f;

    front_attach(&f, chr);
    RUN_UNTIL(f.events->len == 1);
    chardev_set_bound(chr, 16 << 20);
    g_assert_cmpuint(chardev_write(chr, data, 8 << 20), ==, 8 << 20);
    while (got < 8 << 20) {
        ssize_t n = read(fd, buf, sizeof(buf));

        got += MAX(n, 0);
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(chardev_dropped(chr), ==, 0);
    close(fd);
    front_done(&f);
}

static void test_write_gone_client_is_noticed(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    Front f;

    front_attach(&f, chr);
    f.room = 0; /* nothing is read: only the writing can tell */
    RUN_UNTIL(f.events->len == 1);
    settle();
    close(fd);
    g_assert_cmpuint(chardev_write(chr, "abc", 3), ==, 0);
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.events->str, ==, "OC");
    fd = connect_client();
    RUN_UNTIL(f.events->len == 3);
    close(fd);
    front_done(&f);
}

typedef struct Writer {
    Chardev *chr;
    char byte;
} Writer;

static gpointer writer_thread(gpointer opaque)
{
    Writer *w = opaque;

    for (unsigned i = 0; i < 20000; i++) {
        g_assert_cmpuint(chardev_write(w->chr, &w->byte, 1), ==, 1);
    }
    return NULL;
}

static void test_write_threads_lose_nothing(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int fd = connect_client();
    Writer a = {chr, 'a'}, b = {chr, 'b'};
    size_t count[256] = {};
    GThread *threads[2];
    Front f;

    front_attach(&f, chr);
    RUN_UNTIL(f.events->len == 1);
    threads[0] = g_thread_new("a", writer_thread, &a);
    threads[1] = g_thread_new("b", writer_thread, &b);
    while (count['a'] + count['b'] < 40000) {
        uint8_t buf[999];
        ssize_t n = read(fd, buf, sizeof(buf));

        for (ssize_t k = 0; k < n; k++) {
            count[buf[k]]++;
        }
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpuint(count['a'], ==, 20000);
    g_thread_join(threads[0]);
    g_thread_join(threads[1]);
    close(fd);
    front_done(&f);
}

/* ---- passed descriptors ---- */

static void send_with_fd(int sock, const char *text, int fd)
{
    struct iovec iov = {(char *)text, strlen(text)};

    g_assert_cmpint(socket_send(sock, &iov, 1, &fd, 1), ==, strlen(text));
}

static void test_fds_are_taken_with_their_bytes(void)
{
    g_autoptr(ChardevList) list = chardev_list_new(-1);
    Chardev *chr = add_server(list);
    int sock = connect_client(), ends[2], unused[2];
    char c;
    Front f;

    front_attach(&f, chr);
    RUN_UNTIL(f.events->len == 1);
    g_assert_cmpint(pipe2(unused, O_CLOEXEC), ==, 0);
    send_with_fd(sock, "ignored", unused[1]);
    close(unused[1]);
    RUN_UNTIL(f.got->len == 7);
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    f.take_fds = true;
    send_with_fd(sock, "getfd", ends[1]);
    close(ends[1]);
    RUN_UNTIL(f.got->len == 12);
    g_assert_nonnull(f.fds);
    g_assert_cmpuint(f.fds->len, ==, 1);
    g_assert_cmpint(write(g_array_index(f.fds, int, 0), "p", 1), ==, 1);
    g_assert_cmpint(read(ends[0], &c, 1), ==, 1);
    g_assert_null(chardev_take_fds(chr));
    /* The one that nobody took was closed when the next came. */
    g_assert_cmpint(read(unused[0], &c, 1), ==, 0);
    close(g_array_index(f.fds, int, 0));
    g_array_unref(f.fds);
    close(ends[0]);
    close(unused[0]);
    close(sock);
    front_done(&f);
}

/* ---- standard input and output ---- */

typedef struct Std {
    int saved[2];
} Std;

/* Puts these in place of our own; the test's output waits meanwhile. */
static void std_replace(Std *s, int in_fd, int out_fd)
{
    fflush(stdout);
    s->saved[0] = fcntl(0, F_DUPFD_CLOEXEC, 3);
    s->saved[1] = fcntl(1, F_DUPFD_CLOEXEC, 3);
    dup2(in_fd, 0);
    dup2(out_fd, 1);
}

static void std_restore(Std *s)
{
    dup2(s->saved[0], 0);
    dup2(s->saved[1], 1);
    close(s->saved[0]);
    close(s->saved[1]);
}

static void test_stdio_end_of_input_leaves_output(void)
{
    ChardevList *list = chardev_list_new(-1);
    g_autoptr(GError) error = NULL;
    int in[2], out[2], flags[2];
    char buf[8] = "";
    Chardev *chr, *second;
    Std s;
    Front f;

    g_assert_cmpint(pipe2(in, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    std_replace(&s, in[0], out[1]);
    chr = chardev_add_legacy(list, "serial0", "stdio", &error);
    second = chardev_add_legacy(list, "serial1", "stdio", NULL);
    flags[0] = fcntl(0, F_GETFL);
    flags[1] = fcntl(1, F_GETFL);
    std_restore(&s);
    g_assert_no_error(error);
    g_assert_null(second);
    /* What we share with others still blocks. */
    g_assert_cmpint(flags[0] & O_NONBLOCK, ==, 0);
    g_assert_cmpint(flags[1] & O_NONBLOCK, ==, 0);
    front_attach(&f, chr);
    assert_filename(chr, "stdio");
    g_assert_cmpint(write(in[1], "hello", 5), ==, 5);
    RUN_UNTIL(f.got->len == 5);
    close(in[1]);
    RUN_UNTIL(f.events->len == 2);
    g_assert_cmpstr(f.events->str, ==, "OC");
    g_assert_cmpuint(chardev_write(chr, "out", 3), ==, 3);
    g_assert_cmpint(read(out[0], buf, sizeof(buf)), ==, 3);
    chardev_list_free(list);
    close(in[0]);
    close(out[0]);
    close(out[1]);
    front_done(&f);
}

static void test_stdio_terminal_is_put_back(void)
{
    ChardevList *list = chardev_list_new(-1);
    g_autoptr(KeyVal) options = keyval_parse("stdio,id=a,signal=off",
                                             "backend", NULL);
    struct termios before, raw, after;
    int master, slave;
    Chardev *chr;
    Std s;

    if (openpty(&master, &slave, NULL, NULL, NULL) < 0) {
        g_test_skip("no pseudo terminal");
        chardev_list_free(list);
        return;
    }
    tcgetattr(slave, &before);
    std_replace(&s, slave, slave);
    chr = chardev_add(list, options, NULL);
    tcgetattr(slave, &raw);
    chardev_list_free(list);
    std_restore(&s);
    tcgetattr(slave, &after);
    g_assert_nonnull(chr);
    g_assert_cmpuint(before.c_lflag & (ICANON | ECHO | ISIG), ==,
                     ICANON | ECHO | ISIG);
    g_assert_cmpuint(raw.c_lflag & (ICANON | ECHO | ISIG), ==, 0);
    g_assert_cmpuint(raw.c_oflag & OPOST, ==, OPOST);
    g_assert_cmpuint(after.c_iflag, ==, before.c_iflag);
    g_assert_cmpuint(after.c_oflag, ==, before.c_oflag);
    g_assert_cmpuint(after.c_lflag, ==, before.c_lflag);
    g_assert_cmpuint(after.c_cflag, ==, before.c_cflag);
    close(master);
    close(slave);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("test-chardev-XXXXXX", NULL);
    path = g_build_filename(dir, "sock", NULL);
    g_test_add_func("/chardev/add/bad", test_add_bad_options_are_named);
    g_test_add_func("/chardev/legacy/bad", test_legacy_bad_texts_are_named);
    g_test_add_func("/chardev/list/find", test_list_finds_by_id);
    g_test_add_func("/chardev/attach/one", test_attach_only_one_frontend);
    g_test_add_func("/chardev/attach/input-waits",
                    test_attach_input_waits_for_a_frontend);
    g_test_add_func("/chardev/file/at-once", test_file_bytes_are_there_at_once);
    g_test_add_func("/chardev/file/append", test_file_append_keeps_content);
    g_test_add_func("/chardev/file/full-disk",
                    test_file_full_disk_drops_and_counts);
    g_test_add_func("/chardev/server/come-and-go",
                    test_server_clients_come_and_go);
    g_test_add_func("/chardev/server/last-words",
                    test_server_bytes_before_the_end_arrive);
    g_test_add_func("/chardev/server/disconnect",
                    test_server_disconnect_ends_the_client);
    g_test_add_func("/chardev/server/waits", test_server_waits_for_first_client);
    g_test_add_func("/chardev/server/waiting-cancelled",
                    test_server_waiting_can_be_cancelled);
    g_test_add_func("/chardev/client/connects",
                    test_client_connects_and_is_told_the_end);
    g_test_add_func("/chardev/fd/as-it-is", test_fd_is_used_as_it_is);
    g_test_add_func("/chardev/tcp/port", test_tcp_server_shows_its_port);
    g_test_add_func("/chardev/can-read/limits", test_can_read_limits_are_kept);
    g_test_add_func("/chardev/can-read/not-missed",
                    test_can_read_room_made_in_between_is_not_missed);
    g_test_add_func("/chardev/write/slow-reader",
                    test_write_slow_reader_costs_only_its_bytes);
    g_test_add_func("/chardev/write/behind", test_write_goes_behind_what_waits);
    g_test_add_func("/chardev/free/sends", test_free_sends_what_waits);
    g_test_add_func("/chardev/write/bound", test_write_bound_can_be_raised);
    g_test_add_func("/chardev/write/gone-client",
                    test_write_gone_client_is_noticed);
    g_test_add_func("/chardev/write/threads", test_write_threads_lose_nothing);
    g_test_add_func("/chardev/fds/taken", test_fds_are_taken_with_their_bytes);
    g_test_add_func("/chardev/stdio/end-of-input",
                    test_stdio_end_of_input_leaves_output);
    g_test_add_func("/chardev/stdio/terminal", test_stdio_terminal_is_put_back);
    ret = g_test_run();
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
    return ret;
}
