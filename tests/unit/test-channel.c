/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One conformance body for every kind of channel, then what is particular to
 * a kind: fd passing, file offsets and fd sets, how a command ends, faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "io/connect.h"
#include "io/listener.h"
#include "io/socket.h"
#include "util/error.h"

#include "refuse-huge.h"

/* More than any pipe or socket buffer holds, and not a round number. */
#define BIG_BYTES (3 * 1024 * 1024 + 17)
/* What no chain of TCP buffers holds, however they grow. */
#define HUGE_BYTES (64 * 1024 * 1024)
/* "At once", on a machine that has other things to do. */
#define AT_ONCE_US (5 * G_USEC_PER_SEC)

static char *dir;

static char *in_dir(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

/* ---- the kinds ---- */

typedef struct Pair {
    Channel *writer;
    Channel *reader; /* NULL: to be opened when the writer is closed */
} Pair;

typedef struct Kind {
    const char *name;
    Pair (*open)(void);
    Channel *(*open_reader)(void); /* for those that store what is written */
    bool blocks;                   /* a reader waits for a writer */
    unsigned caps;
} Kind;

static Pair open_socketpair(void)
{
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==,
                    0);
    return (Pair){channel_socket_new(fds[0]), channel_socket_new(fds[1])};
}

static Pair open_listened(const char *uri)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, &error);
    g_autoptr(Listener) listener = NULL;
    Pair pair;
    int fd;

    g_assert_no_error(error);
    listener = listener_new(address, &error);
    g_assert_no_error(error);
    pair.writer = channel_open(listener_address(listener, 0), CHANNEL_OUT, NULL,
                               -1, &error);
    g_assert_no_error(error);
    fd = listener_accept(listener, -1, &error);
    g_assert_no_error(error);
    pair.reader = channel_socket_new(fd);
    return pair;
}

static Pair open_unix(void)
{
    g_autofree char *path = in_dir("sock");
    g_autofree char *uri = g_strdup_printf("unix:%s", path);

    return open_listened(uri);
}

static Pair open_tcp(void)
{
    return open_listened("tcp:127.0.0.1:0");
}

static Pair open_tcp6(void)
{
    return open_listened("tcp:[::1]:0");
}

static Pair open_pipe(void)
{
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    return (Pair){channel_pipe_new(-1, fds[1]), channel_pipe_new(fds[0], -1)};
}

static Pair open_fd_pipe(void)
{
    g_autoptr(GError) error = NULL;
    Pair pair;
    int fds[2];

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    pair.writer = channel_fd_new(fds[1], &error);
    g_assert_no_error(error);
    pair.reader = channel_fd_new(fds[0], &error);
    g_assert_no_error(error);
    return pair;
}

static Pair open_cat(void)
{
    const char *argv[] = {"cat", NULL};
    g_autoptr(GError) error = NULL;
    Channel *c = channel_exec_new(argv, O_RDWR, &error);

    g_assert_no_error(error);
    return (Pair){c, channel_ref(c)};
}

static Channel *open_uri(const char *prefix, const char *name,
                         ChannelDirection direction)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = in_dir(name);
    g_autofree char *uri = g_strconcat(prefix, path, NULL);
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, &error);
    Channel *c;

    g_assert_no_error(error);
    c = channel_open(address, direction, NULL, -1, &error);
    g_assert_no_error(error);
    return c;
}

static Pair open_file(void)
{
    return (Pair){open_uri("file:", "file", CHANNEL_OUT), NULL};
}

static Channel *open_file_reader(void)
{
    return open_uri("file:", "file", CHANNEL_IN);
}

static Pair open_exec(void)
{
    return (Pair){open_uri("exec:cat > ", "exec", CHANNEL_OUT), NULL};
}

static Channel *open_exec_reader(void)
{
    return open_uri("exec:cat ", "exec", CHANNEL_IN);
}

static Pair open_buffer(void)
{
    Channel *c = channel_buffer_new(NULL, 0);

    return (Pair){c, channel_ref(c)};
}

/* Everything in pieces of seven bytes, on top of a socket pair. */
static Pair open_short(void)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    Pair inner = open_socketpair(), pair;

    faults.max_io = 7000;
    pair.writer = channel_fault_new(inner.writer, &faults);
    faults.max_io = 4099;
    pair.reader = channel_fault_new(inner.reader, &faults);
    channel_unref(inner.writer);
    channel_unref(inner.reader);
    return pair;
}

static const Kind kinds[] = {
    {"socketpair", open_socketpair, NULL, true, CHANNEL_CAP_FDS},
    {"unix", open_unix, NULL, true, CHANNEL_CAP_FDS},
    {"tcp", open_tcp, NULL, true, 0},
    {"tcp6", open_tcp6, NULL, true, 0},
    {"pipe", open_pipe, NULL, true, 0},
    {"fd-pipe", open_fd_pipe, NULL, true, 0},
    {"cat", open_cat, NULL, true, 0},
    {"file", open_file, open_file_reader, false, CHANNEL_CAP_SEEK},
    {"exec", open_exec, open_exec_reader, false, 0},
    {"buffer", open_buffer, NULL, false, CHANNEL_CAP_SEEK},
    {"short", open_short, NULL, true, CHANNEL_CAP_FDS},
};

static void close_pair(Pair *pair)
{
    channel_unref(pair->writer);
    channel_unref(pair->reader);
}

/* Ends the writing, and opens the reader of a kind that stores. */
static void end_writing(const Kind *kind, Pair *pair)
{
    g_autoptr(GError) error = NULL;

    if (pair->writer != pair->reader) {
        channel_close(pair->writer, &error);
        g_assert_no_error(error);
    }
    if (!pair->reader) {
        pair->reader = kind->open_reader();
    }
}

/* ---- threads that block ---- */

typedef struct Blocked {
    Channel *c;
    bool writes;
    const uint8_t *data; /* to write */
    size_t n;            /* of it */
    GError *error;
    int tid;  /* atomic; 0 until it runs */
    int done; /* atomic */
} Blocked;

static gpointer blocked_thread(gpointer opaque)
{
    Blocked *b = opaque;
    bool ok = true;

    __atomic_store_n(&b->tid, gettid(), __ATOMIC_RELEASE);
    if (b->writes) {
        ok = channel_write_full(b->c, b->data, b->n, &b->error);
    } else {
        uint8_t buf[4096];

        while (ok && channel_read(b->c, buf, sizeof(buf), &b->error) > 0) {
        }
    }
    __atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The state letter of a thread of ours: 'S' once it sleeps. */
static char thread_state(int tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", tid);
    g_autofree char *text = NULL;
    const char *paren;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 'X';
    }
    paren = strrchr(text, ')');
    return paren ? paren[2] : '?';
}

/* Waits until the thread sleeps in its call, or has come back from it. */
static void wait_until_blocked(Blocked *b)
{
    unsigned seen = 0;

    while (seen < 3 && !__atomic_load_n(&b->done, __ATOMIC_ACQUIRE)) {
        int tid = __atomic_load_n(&b->tid, __ATOMIC_ACQUIRE);

        seen = tid && thread_state(tid) == 'S' ? seen + 1 : 0;
        g_usleep(1000);
    }
}

static void check_shutdown_wakes(Channel *c, bool writes)
{
    g_autofree uint8_t *data = g_malloc0(HUGE_BYTES);
    Blocked b = {.c = c, .writes = writes, .data = data, .n = HUGE_BYTES};
    GThread *thread = g_thread_new("blocked", blocked_thread, &b);
    gint64 start_us;

    wait_until_blocked(&b);
    g_assert_cmpint(__atomic_load_n(&b.done, __ATOMIC_ACQUIRE), ==, 0);
    start_us = g_get_monotonic_time();
    channel_shutdown(c);
    g_thread_join(thread);
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, AT_ONCE_US);
    g_assert_error(b.error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr(b.error->message, "was shut down"));
    g_clear_error(&b.error);
}

/* ---- the conformance body ---- */

static uint8_t *random_bytes(size_t n)
{
    uint8_t *data = g_malloc(n + 1);

    for (size_t i = 0; i < n; i++) {
        data[i] = g_test_rand_int();
    }
    return data;
}

static void conform_transfer_keeps_bytes(gconstpointer opaque)
{
    const Kind *kind = opaque;
    static const size_t sizes[] = {0, 1, 4096, BIG_BYTES};

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Pair pair = kind->open();
        size_t n = sizes[i];
        g_autofree uint8_t *data = random_bytes(n);
        g_autofree uint8_t *back = g_malloc0(n + 1);
        g_autoptr(GError) error = NULL;
        Blocked b = {.c = pair.writer, .writes = true, .data = data, .n = n};
        GThread *thread = g_thread_new("writer", blocked_thread, &b);

        if (!kind->blocks) {
            g_thread_join(thread);
            end_writing(kind, &pair);
        }
        g_assert_true(channel_read_full(pair.reader, back, n, &error));
        g_assert_no_error(error);
        if (kind->blocks) {
            g_thread_join(thread);
        }
        g_assert_no_error(b.error);
        g_assert_cmpmem(data, n, back, n);
        close_pair(&pair);
    }
}

static void conform_end_is_told(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    g_autoptr(GError) error = NULL;
    char buf[10];

    if (pair.writer == pair.reader && kind->blocks) {
        close_pair(&pair); /* both ends are one: its end cannot be read */
        return;
    }
    g_assert_true(channel_write_full(pair.writer, "abcde", 5, NULL));
    end_writing(kind, &pair);
    g_assert_false(channel_read_full(pair.reader, buf, 10, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr(error->message, "5 bytes missing"));
    g_clear_error(&error);
    g_assert_cmpint(channel_read(pair.reader, buf, 10, &error), ==, 0);
    g_assert_no_error(error);
    close_pair(&pair);
}

static void conform_peek_takes_nothing(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    g_autoptr(GError) error = NULL;
    char buf[8] = "";

    g_assert_true(channel_write_full(pair.writer, "magicrest", 9, NULL));
    end_writing(kind, &pair);
    g_assert_true(channel_peek_full(pair.reader, buf, 2, &error));
    g_assert_cmpstr(buf, ==, "ma");
    g_assert_true(channel_peek_full(pair.reader, buf, 5, &error));
    g_assert_cmpstr(buf, ==, "magic");
    g_assert_true(channel_read_full(pair.reader, buf, 3, &error));
    g_assert_cmpint(memcmp(buf, "mag", 3), ==, 0);
    g_assert_true(channel_read_full(pair.reader, buf, 6, &error));
    g_assert_cmpint(memcmp(buf, "icrest", 6), ==, 0);
    g_assert_no_error(error);
    close_pair(&pair);
}

static void conform_vector_is_one_stream(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    g_autoptr(GError) error = NULL;
    char text[] = "0123456789", a[4] = "", b[8] = "";
    struct iovec out[] = {{text, 0}, {text, 3}, {text + 3, 0}, {text + 3, 7}};
    struct iovec in[] = {{a, 3}, {NULL, 0}, {b, 7}};

    g_assert_true(channel_writev_full(pair.writer, out, 4, &error));
    g_assert_cmpuint(out[1].iov_len, ==, 3); /* the caller's stays whole */
    end_writing(kind, &pair);
    g_assert_true(channel_readv_full(pair.reader, in, 3, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(a, ==, "012");
    g_assert_cmpstr(b, ==, "3456789");
    close_pair(&pair);
}

static void conform_shutdown_fails_all_calls(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    Channel *both[2] = {pair.writer, pair.reader};
    char buf[4];

    for (unsigned i = 0; i < 2 && both[i]; i++) {
        g_autoptr(GError) error = NULL;

        channel_shutdown(both[i]);
        channel_shutdown(both[i]);
        g_assert_true(channel_is_shut(both[i]));
        g_assert_cmpint(channel_read(both[i], buf, 4, &error), ==, -1);
        g_assert_nonnull(strstr(error->message, "was shut down"));
        g_clear_error(&error);
        g_assert_false(channel_write_full(both[i], "x", 1, &error));
        g_assert_nonnull(strstr(error->message, "was shut down"));
        g_clear_error(&error);
        g_assert_true(channel_close(both[i], &error));
        g_assert_no_error(error);
        g_assert_true(channel_close(both[i], NULL));
        channel_shutdown(both[i]);
    }
    close_pair(&pair);
}

static void conform_closed_fails_all_calls(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    g_autoptr(GError) error = NULL;
    char buf[4];

    channel_close(pair.writer, NULL);
    g_assert_false(channel_write_full(pair.writer, "x", 1, &error));
    g_assert_nonnull(strstr(error->message, "is closed"));
    g_clear_error(&error);
    g_assert_cmpint(channel_read(pair.writer, buf, 4, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "is closed"));
    channel_shutdown(pair.writer);
    close_pair(&pair);
}

static void conform_shutdown_wakes_reader(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair;

    if (kind->blocks) {
        pair = kind->open();
        check_shutdown_wakes(pair.reader, false);
        close_pair(&pair);
    }
}

static void conform_shutdown_wakes_writer(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair;

    if (kind->blocks) {
        pair = kind->open();
        check_shutdown_wakes(pair.writer, true);
        close_pair(&pair);
    }
}

static void conform_capabilities_are_what_works(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    struct iovec out = {(char *)"xyz", 3};
    g_autoptr(GError) error = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    g_assert_cmpuint(pair.writer->caps, ==, kind->caps);
    if (!channel_has_cap(pair.writer, CHANNEL_CAP_SEEK)) {
        g_assert_false(channel_pwritev_full(pair.writer, &out, 1, 5, &error));
        g_assert_nonnull(strstr(error->message, "does not support"));
        g_clear_error(&error);
        g_assert_false(channel_preadv_full(pair.writer, &out, 1, 5, &error));
        g_assert_nonnull(strstr(error->message, "does not support"));
        g_clear_error(&error);
    }
    if (!channel_has_cap(pair.writer, CHANNEL_CAP_FDS)) {
        g_assert_cmpint(channel_writev(pair.writer, &out, 1, &fd, 1, &error),
                        ==, -1);
        g_assert_nonnull(strstr(error->message, "does not support"));
    }
    close(fd);
    close_pair(&pair);
}

static void conform_positions_are_independent(gconstpointer opaque)
{
    const Kind *kind = opaque;
    Pair pair = kind->open();
    struct iovec out = {(char *)"XYZ", 3};
    g_autoptr(GError) error = NULL;
    char buf[9] = "", part[4] = "";
    struct iovec in = {part, 3};

    if (channel_has_cap(pair.writer, CHANNEL_CAP_SEEK)) {
        g_assert_true(channel_write_full(pair.writer, "0123", 4, &error));
        g_assert_true(channel_pwritev_full(pair.writer, &out, 1, 1, &error));
        g_assert_true(channel_write_full(pair.writer, "4567", 4, &error));
        end_writing(kind, &pair);
        g_assert_true(channel_preadv_full(pair.reader, &in, 1, 2, &error));
        g_assert_cmpstr(part, ==, "YZ4");
        g_assert_true(channel_read_full(pair.reader, buf, 8, &error));
        g_assert_cmpstr(buf, ==, "0XYZ4567");
        g_assert_no_error(error);
        g_assert_false(channel_preadv_full(pair.reader, &in, 1, 6, &error));
        g_assert_nonnull(strstr(error->message, "1 bytes missing"));
    }
    close_pair(&pair);
}

/* ---- particular to a kind ---- */

static void test_fds_travel_with_bytes(void)
{
    Pair pair = open_socketpair();
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_autoptr(GError) error = NULL;
    struct iovec out = {(char *)"x", 1};
    int ends[2], got;
    char c;

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    g_assert_cmpint(channel_writev(pair.writer, &out, 1, &ends[1], 1, &error),
                    ==, 1);
    close(ends[1]);
    out.iov_base = &c;
    g_assert_cmpint(channel_readv(pair.reader, &out, 1, fds, &error), ==, 1);
    g_assert_no_error(error);
    g_assert_cmpuint(fds->len, ==, 1);
    got = g_array_index(fds, int, 0);
    g_assert_cmpint(fcntl(got, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    g_assert_cmpint(write(got, "p", 1), ==, 1);
    g_assert_cmpint(read(ends[0], &c, 1), ==, 1);
    g_assert_cmpint(c, ==, 'p');
    close(got);
    close(ends[0]);
    close_pair(&pair);
}

static void test_fds_nobody_wants_are_closed(void)
{
    Pair pair = open_socketpair();
    struct iovec out = {(char *)"x", 1};
    int ends[2];
    char c;

    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    g_assert_cmpint(channel_writev(pair.writer, &out, 1, &ends[1], 1, NULL), ==,
                    1);
    close(ends[1]);
    g_assert_cmpint(channel_read(pair.reader, &c, 1, NULL), ==, 1);
    /* The last writer is gone: the pipe has ended. */
    g_assert_cmpint(read(ends[0], &c, 1), ==, 0);
    close(ends[0]);
    close_pair(&pair);
}

static void test_peer_gone_is_an_error(void)
{
    g_autoptr(GError) error = NULL;
    Pair pair = open_socketpair();
    Pair piped = open_pipe();

    channel_close(pair.reader, NULL);
    g_assert_false(channel_write_full(pair.writer, "x", 1, &error));
    g_assert_nonnull(strstr(error->message, "Broken pipe"));
    g_clear_error(&error);
    channel_close(piped.reader, NULL);
    g_assert_false(channel_write_full(piped.writer, "x", 1, &error));
    g_assert_nonnull(strstr(error->message, "Broken pipe"));
    close_pair(&pair);
    close_pair(&piped);
}

static void test_file_offset_keeps_what_is_before(void)
{
    g_autofree char *path = in_dir("offset");
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    char buf[4] = "";
    Channel *c;
    gsize n;

    g_assert_true(g_file_set_contents(path, "aaaaaaaaaaaaaaaa", 16, NULL));
    c = channel_file_open(path, 4, O_WRONLY, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(channel_write_full(c, "xyz", 3, &error));
    g_assert_true(channel_close(c, &error));
    channel_unref(c);
    g_assert_true(g_file_get_contents(path, &text, &n, NULL));
    g_assert_cmpuint(n, ==, 7);
    g_assert_cmpstr(text, ==, "aaaaxyz");
    c = channel_file_open(path, 4, O_RDONLY, NULL, &error);
    g_assert_true(channel_read_full(c, buf, 3, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(buf, ==, "xyz");
    channel_unref(c);
}

static void test_file_bad_paths_are_refused(void)
{
    g_autofree char *fifo = in_dir("fifo");
    g_autoptr(GError) error = NULL;

    g_assert_null(channel_file_open("/nonexistent/x", 0, O_WRONLY, NULL,
                                    &error));
    g_assert_nonnull(strstr(error->message, "'/nonexistent/x'"));
    g_clear_error(&error);
    g_assert_null(channel_file_open(dir, 0, O_WRONLY, NULL, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_clear_error(&error);
    /* A FIFO without a reader must not hang. */
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_null(channel_file_open(fifo, 0, O_WRONLY, NULL, &error));
    g_assert_nonnull(strstr(error->message, "which nobody reads from"));
}

static gpointer read_fifo(gpointer channel)
{
    char buf[5] = "";

    g_assert_true(channel_read_full(channel, buf, 4, NULL));
    g_assert_cmpstr(buf, ==, "late");
    g_assert_cmpint(channel_read(channel, buf, 1, NULL), ==, 0);
    return NULL;
}

/* Its reader comes first, and finds the end only after the writer has gone. */
static void test_file_fifo_waits_for_its_writer(void)
{
    g_autofree char *fifo = in_dir("fifo-read");
    g_autoptr(GError) error = NULL;
    GThread *thread;
    Channel *in, *out;

    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    in = channel_file_open(fifo, 0, O_RDONLY, NULL, &error);
    g_assert_no_error(error);
    thread = g_thread_new("reader", read_fifo, in);
    g_usleep(20000); /* it waits by now, most likely */
    out = channel_file_open(fifo, 0, O_WRONLY, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(channel_write_full(out, "late", 4, &error));
    channel_unref(out);
    g_thread_join(thread);
    channel_unref(in);
}

static void test_file_fdset_picks_member(void)
{
    g_autofree char *path = in_dir("fdset");
    g_autofree char *text = NULL;
    g_autoptr(FdSets) sets = fdsets_new();
    g_autoptr(GError) error = NULL;
    int64_t id = 1;
    Channel *c;

    g_assert_true(g_file_set_contents(path, "0123456789", 10, NULL));
    g_assert_null(channel_file_open("/dev/fdset/1", 0, O_WRONLY, sets, &error));
    g_assert_nonnull(strstr(error->message, "No such file"));
    g_clear_error(&error);
    fdsets_add(sets, open(path, O_RDONLY | O_CLOEXEC), &id, NULL, NULL, NULL);
    g_assert_null(channel_file_open("/dev/fdset/1", 0, O_WRONLY, sets, &error));
    g_assert_nonnull(strstr(error->message, "Permission denied"));
    g_clear_error(&error);
    fdsets_add(sets, open(path, O_WRONLY | O_CLOEXEC), &id, NULL, NULL, NULL);
    c = channel_file_open("/dev/fdset/1", 4, O_WRONLY, sets, &error);
    g_assert_no_error(error);
    g_assert_true(channel_write_full(c, "x", 1, &error));
    channel_unref(c);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "0123x");
}

static void test_fd_regular_file_goes_on_where_it_is(void)
{
    g_autofree char *path = in_dir("regular");
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    int fd;
    Channel *c;

    g_assert_true(g_file_set_contents(path, "0123456789", 10, NULL));
    fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(lseek(fd, 3, SEEK_SET), ==, 3);
    c = channel_fd_new(fd, &error);
    g_assert_no_error(error);
    g_assert_true(channel_has_cap(c, CHANNEL_CAP_SEEK));
    g_assert_true(channel_write_full(c, "x", 1, &error));
    channel_unref(c);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "012x456789");
    g_assert_null(channel_fd_new(-1, &error));
    g_clear_error(&error);
    g_assert_null(channel_fd_new(987654, &error));
    g_assert_nonnull(strstr(error->message, "987654"));
}

static int take_named_fd(void *opaque, const char *name, GError **error)
{
    int *fd = opaque;
    int taken = *fd;

    if (taken < 0 || strcmp(name, "fd-mig") != 0) {
        tm_error_set(error, "no descriptor named '%s'", name);
        return -1;
    }
    *fd = -1;
    return taken;
}

static Channel *open_text(const char *uri, const ChannelEnv *env,
                          GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, NULL);

    return channel_open(address, CHANNEL_OUT, env, -1, error);
}

static void test_fd_name_is_taken_from_environment(void)
{
    int fds[2];
    ChannelEnv env = {.take_fd = take_named_fd, .opaque = &fds[1]};
    g_autoptr(GError) error = NULL;
    g_autofree char *number = NULL;
    Channel *c;

    g_assert_cmpint(pipe(fds), ==, 0);
    c = open_text("fd:fd-mig", &env, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fds[1], ==, -1);
    g_assert_cmpstr(channel_name(c), ==, "fd:fd-mig");
    channel_unref(c);
    g_assert_null(open_text("fd:fd-mig", &env, &error));
    g_assert_nonnull(strstr(error->message, "'fd-mig'"));
    g_clear_error(&error);
    g_assert_null(open_text("fd:fd-mig", NULL, &error));
    g_assert_nonnull(strstr(error->message, "'fd-mig'"));
    g_clear_error(&error);
    g_assert_null(open_text("fd:99999999999", NULL, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_clear_error(&error);
    number = g_strdup_printf("fd:%d", fds[0]);
    c = open_text(number, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
    channel_unref(c);
}

static bool close_text(const char *uri, ChannelDirection direction,
                       GError **error)
{
    g_autoptr(ChannelAddress) address = channel_address_parse(uri, NULL);
    g_autoptr(Channel) c = channel_open(address, direction, NULL, -1, error);
    char buf[16];

    g_assert_nonnull(c);
    if (direction == CHANNEL_IN) {
        while (channel_read(c, buf, sizeof(buf), NULL) > 0) {
        }
    }
    return channel_close(c, error);
}

static void test_exec_exit_status_is_reported(void)
{
    g_autoptr(GError) error = NULL;
    const char *argv[] = {"/nonexistent/program", NULL};

    g_assert_false(close_text("exec:exit 3", CHANNEL_OUT, &error));
    g_assert_nonnull(strstr(error->message, "status 3"));
    g_clear_error(&error);
    g_assert_false(close_text("exec:exit 4", CHANNEL_IN, &error));
    g_assert_nonnull(strstr(error->message, "status 4"));
    g_clear_error(&error);
    g_assert_false(close_text("exec:kill -9 $$", CHANNEL_OUT, &error));
    g_assert_nonnull(strstr(error->message, "signal 9"));
    g_clear_error(&error);
    g_assert_true(close_text("exec:true", CHANNEL_OUT, &error));
    g_assert_no_error(error);
    g_assert_null(channel_exec_new(argv, O_WRONLY, &error));
    g_assert_nonnull(strstr(error->message, "'/nonexistent/program'"));
}

static void test_exec_child_has_default_sigpipe_and_no_fds(void)
{
    /* Fails if SIGPIPE (bit 12) is ignored or a descriptor is left over. */
    static const char uri[] =
        "exec:grep -q 'SigIgn:.*[02468ace]...$' /proc/self/status && "
        "test $(ls /proc/self/fd | wc -l) -le 4";
    g_autoptr(GError) error = NULL;
    int leak = open("/dev/null", O_RDONLY);
    Pair pipe = open_pipe(); /* from the first channel on we ignore SIGPIPE */

    g_assert_true(close_text(uri, CHANNEL_OUT, &error));
    g_assert_no_error(error);
    close(leak);
    close_pair(&pipe);
}

static void test_exec_unread_output_is_no_failure(void)
{
    g_autoptr(GError) error = NULL;
    Channel *c = open_text("exec:true", NULL, &error);
    const char *argv[] = {"yes", NULL};
    char buf[4];

    channel_unref(c);
    c = channel_exec_new(argv, O_RDONLY, &error);
    g_assert_true(channel_read_full(c, buf, 4, &error));
    g_assert_true(channel_close(c, &error));
    g_assert_no_error(error);
    channel_unref(c);
}

static gpointer close_thread(gpointer opaque)
{
    Blocked *b = opaque;

    __atomic_store_n(&b->tid, gettid(), __ATOMIC_RELEASE);
    channel_close(b->c, NULL);
    __atomic_store_n(&b->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void test_exec_shutdown_ends_waiting_close(void)
{
    g_autoptr(Channel) c = open_text("exec:sleep 1000", NULL, NULL);
    Blocked b = {.c = c};
    GThread *thread = g_thread_new("close", close_thread, &b);
    gint64 start_us;

    wait_until_blocked(&b);
    g_assert_cmpint(__atomic_load_n(&b.done, __ATOMIC_ACQUIRE), ==, 0);
    start_us = g_get_monotonic_time();
    channel_shutdown(c);
    g_thread_join(thread);
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, AT_ONCE_US);
}

static void test_exec_stubborn_child_is_killed(void)
{
    const char *argv[] = {
        "/bin/sh", "-c",
        "trap '' TERM; echo ready; while :; do sleep 1; done", NULL,
    };
    g_autoptr(Channel) c = channel_exec_new(argv, O_RDWR, NULL);
    gint64 start_us;
    char buf[6];

    g_assert_true(channel_read_full(c, buf, 6, NULL));
    start_us = g_get_monotonic_time();
    channel_shutdown(c);
    channel_close(c, NULL);
    /* It had its second, and no more than that. */
    g_assert_cmpint(g_get_monotonic_time() - start_us, >, 900 * 1000);
    g_assert_cmpint(g_get_monotonic_time() - start_us, <, 2 * AT_ONCE_US);
}

static void test_fault_fails_at_the_byte(void)
{
    g_autoptr(Channel) inner = channel_buffer_new("0123456789", 10);
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) c = NULL;
    g_autoptr(GError) error = NULL;
    char buf[10];
    size_t n;

    faults.fail_write_at = 5;
    faults.fail_read_at = 3;
    c = channel_fault_new(inner, &faults);
    g_assert_cmpint(channel_read(c, buf, 10, &error), ==, 3);
    g_assert_cmpint(channel_read(c, buf, 10, &error), ==, -1);
    g_assert_nonnull(strstr(error->message, "Input/output error"));
    g_clear_error(&error);
    g_assert_false(channel_write_full(c, "abcdef", 6, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    channel_buffer_data(inner, &n);
    g_assert_cmpuint(n, ==, 15);
}

static void test_fault_stalls_at_the_byte(void)
{
    g_autoptr(Channel) inner = channel_buffer_new(NULL, 0);
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) c = NULL;
    size_t n;

    faults.stall_write_at = 5;
    c = channel_fault_new(inner, &faults);
    check_shutdown_wakes(c, true);
    channel_buffer_data(inner, &n);
    g_assert_cmpuint(n, ==, 5);
}

static void test_null_counts_bytes(void)
{
    g_autoptr(Channel) c = channel_null_new();
    g_autoptr(GError) error = NULL;
    char buf[10] = "";
    struct iovec iov = {buf, 10};

    g_assert_true(channel_write_full(c, buf, 10, &error));
    g_assert_true(channel_pwritev_full(c, &iov, 1, 1000, &error));
    g_assert_cmpuint(channel_null_bytes(c), ==, 20);
    g_assert_cmpint(channel_read(c, buf, 10, &error), ==, 0);
    g_assert_no_error(error);
}

static void test_buffer_absurd_offset_is_an_error(void)
{
    g_autoptr(Channel) c = channel_buffer_new(NULL, 0);
    g_autoptr(GError) error = NULL;
    struct iovec iov = {(char *)"x", 1};

    g_assert_false(channel_pwritev_full(c, &iov, 1, UINT64_MAX, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    g_clear_error(&error);
    g_assert_false(channel_pwritev_full(c, &iov, 1, UINT64_C(1) << 62, &error));
    g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
}

static void add_conformance(const char *name, GTestDataFunc body)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/channel/%s/%s", kinds[i].name,
                                                name);

        if (strcmp(kinds[i].name, "tcp6") != 0 ||
            g_file_test("/proc/net/if_inet6", G_FILE_TEST_EXISTS)) {
            g_test_add_data_func(path, &kinds[i], body);
        }
    }
}

static void remove_dir(void)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(entries))) {
        g_autofree char *path = in_dir(name);

        g_unlink(path);
    }
    g_rmdir(dir);
    g_free(dir);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("test-channel-XXXXXX", NULL);
    add_conformance("transfer/keeps-bytes", conform_transfer_keeps_bytes);
    add_conformance("end/is-told", conform_end_is_told);
    add_conformance("peek/takes-nothing", conform_peek_takes_nothing);
    add_conformance("vector/is-one-stream", conform_vector_is_one_stream);
    add_conformance("shutdown/fails-all", conform_shutdown_fails_all_calls);
    add_conformance("closed/fails-all", conform_closed_fails_all_calls);
    add_conformance("shutdown/wakes-reader", conform_shutdown_wakes_reader);
    add_conformance("shutdown/wakes-writer", conform_shutdown_wakes_writer);
    add_conformance("caps/are-what-works", conform_capabilities_are_what_works);
    add_conformance("positions/independent", conform_positions_are_independent);
    g_test_add_func("/channel/fds/travel", test_fds_travel_with_bytes);
    g_test_add_func("/channel/fds/unwanted-closed",
                    test_fds_nobody_wants_are_closed);
    g_test_add_func("/channel/peer/gone", test_peer_gone_is_an_error);
    g_test_add_func("/channel/file/offset",
                    test_file_offset_keeps_what_is_before);
    g_test_add_func("/channel/file/bad-paths", test_file_bad_paths_are_refused);
    g_test_add_func("/channel/file/fifo-waits-for-its-writer",
                    test_file_fifo_waits_for_its_writer);
    g_test_add_func("/channel/file/fdset", test_file_fdset_picks_member);
    g_test_add_func("/channel/fd/regular",
                    test_fd_regular_file_goes_on_where_it_is);
    g_test_add_func("/channel/fd/name", test_fd_name_is_taken_from_environment);
    g_test_add_func("/channel/exec/status", test_exec_exit_status_is_reported);
    g_test_add_func("/channel/exec/child-is-clean",
                    test_exec_child_has_default_sigpipe_and_no_fds);
    g_test_add_func("/channel/exec/unread-output",
                    test_exec_unread_output_is_no_failure);
    g_test_add_func("/channel/exec/shutdown-ends-close",
                    test_exec_shutdown_ends_waiting_close);
    g_test_add_func("/channel/exec/stubborn-child",
                    test_exec_stubborn_child_is_killed);
    g_test_add_func("/channel/fault/fails", test_fault_fails_at_the_byte);
    g_test_add_func("/channel/fault/stalls", test_fault_stalls_at_the_byte);
    g_test_add_func("/channel/null/counts", test_null_counts_bytes);
    g_test_add_func("/channel/buffer/absurd-offset",
                    test_buffer_absurd_offset_is_an_error);
    ret = g_test_run();
    remove_dir();
    return ret;
}
