/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The incoming job as a whole: over sockets, files, commands and descriptors;
 * peers that leave, lie or say nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "io/connect.h"
#include "migration/migration.h"
#include "migration/savevm.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/vm.h"
#include "tests/unit/fake-threads.h"

#define BLOCK_BYTES (16 * TM_PAGE_BYTES)

/* ---- a stream with a real RAM section -------------------------------- */

static bool ram_setup(void *opaque, Stream *s, GError **error)
{
    const RAMBlock *block = opaque;

    stream_put_be64(s, wire_ram_word(block->length, WIRE_RAM_MEM_SIZE));
    stream_put_cstr(s, block->name);
    stream_put_be64(s, block->length);
    stream_put_be64(s, WIRE_RAM_EOS);
    return true;
}

static uint64_t ram_pending(void *opaque, bool exact)
{
    return 0;
}

static int ram_iterate(void *opaque, Stream *s, GError **error)
{
    const RAMBlock *block = opaque;

    for (uint64_t page = 0; page < block->npages; page++) {
        unsigned flags = WIRE_RAM_PAGE | (page ? WIRE_RAM_CONTINUE : 0);

        stream_put_be64(s, wire_ram_word(page << TM_PAGE_BITS, flags));
        if (!page) {
            stream_put_cstr(s, block->name);
        }
        stream_put_page(s, block->host + (page << TM_PAGE_BITS),
                        TM_PAGE_BYTES);
    }
    stream_put_be64(s, WIRE_RAM_EOS);
    return 1;
}

static bool ram_complete(void *opaque, Stream *s, GError **error)
{
    stream_put_be64(s, WIRE_RAM_EOS);
    return true;
}

static const SectionOps ram_ops = { .setup = ram_setup,
                                    .pending = ram_pending,
                                    .iterate = ram_iterate,
                                    .complete = ram_complete };

static Vm *new_vm(uint64_t ram_bytes)
{
    Vm *vm = vm_new();

    vm->machine_name = g_strdup("toy-1.0");
    vm->autostart = true;
    g_assert_nonnull(ram_list_add_anon(&vm->ram, "toy.ram", ram_bytes, NULL));
    return vm;
}

/* The stream of a paused machine whose page n is full of n + 1. */
static GByteArray *make_stream(bool return_path)
{
    GByteArray *bytes = g_byte_array_new();
    Vm *vm = new_vm(BLOCK_BYTES);
    RAMBlock *block = g_ptr_array_index(vm->ram.blocks, 0);
    LiveSection ram = { "ram", 0, WIRE_RAM_VERSION, &ram_ops, block };
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    MigrationOptions options;
    const uint8_t *data;
    SaveVm *sv;
    size_t len;

    migration_options_init(&options);
    for (uint64_t page = 0; page < block->npages; page++) {
        memset(block->host + (page << TM_PAGE_BITS), page + 1, TM_PAGE_BYTES);
    }
    runstate_set(vm, RUN_STATE_RUNNING);
    runstate_set(vm, RUN_STATE_PAUSED);
    sv = savevm_new(vm, &options, &ram, 1);
    g_assert_true(savevm_put_header(sv, s, &error));
    if (return_path) {
        g_assert_true(savevm_put_open_return_path(sv, s, &error));
        g_assert_true(savevm_put_ping(sv, s, 5, &error));
    }
    g_assert_true(savevm_setup(sv, s, &error));
    g_assert_cmpint(savevm_iterate(sv, s, &error), ==, 1);
    savevm_note_runstate(sv);
    g_assert_true(savevm_put_switchover_start(sv, s, &error));
    g_assert_true(savevm_complete(sv, s, &error));
    g_assert_true(savevm_collect_devices(sv, &error));
    g_assert_true(savevm_put_devices(sv, s, &error));
    g_assert_true(savevm_put_end(sv, s, &error));
    data = stream_memory(s, &len);
    g_byte_array_append(bytes, data, len);
    savevm_free(sv);
    vm_free(vm);
    return bytes;
}

/* ---- the job --------------------------------------------------------- */

typedef struct Fixture {
    Vm *vm;
    Migration *m;
    GString *told;           /* statuses, each followed by a blank */
    char *fatal;             /* what incoming_fatal was told */
    char *dir;
    char *path;              /* of a socket or file in it */
} Fixture;

static void told_status(void *opaque, MigrationStatus status)
{
    Fixture *f = opaque;

    g_assert_true(big_lock_is_held());
    g_string_append_printf(f->told, "%s ", MigrationStatus_str(status));
}

static void told_fatal(void *opaque, const GError *error)
{
    Fixture *f = opaque;

    g_assert_null(f->fatal);
    f->fatal = g_strdup(error->message);
}

static void set_up(Fixture *f, const void *unused)
{
    MigrationObserver observer = { .status = told_status,
                                   .incoming_fatal = told_fatal };

    f->vm = new_vm(BLOCK_BYTES);
    f->told = g_string_new(NULL);
    f->dir = g_dir_make_tmp("test-incoming-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "x", NULL);
    big_lock_attach_main_loop();
    f->m = migration_new(f->vm, &observer, f);
    migration_incoming_defer(f->m);
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_INMIGRATE);
}

static void tear_down(Fixture *f, const void *unused)
{
    migration_free(f->m);
    vm_free(f->vm);
    g_main_context_set_poll_func(NULL, NULL);
    big_unlock();
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_free(f->fatal);
    g_string_free(f->told, TRUE);
}

static bool start(Fixture *f, bool exit_on_error, GError **error,
                  const char *fmt, ...) G_GNUC_PRINTF(4, 5);

static bool start(Fixture *f, bool exit_on_error, GError **error,
                  const char *fmt, ...)
{
    g_autoptr(ChannelAddress) address = NULL;
    g_autofree char *uri = NULL;
    va_list ap;

    va_start(ap, fmt);
    uri = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    address = channel_address_parse(uri, error);
    return address &&
        migration_incoming_start(f->m, address, exit_on_error, error);
}

static MigrationStatus status_of(Fixture *f)
{
    g_autoptr(MigrationInfo) info = migration_query(f->m);

    return info->has_status ? info->status : MIGRATION_STATUS_NONE;
}

/* Serve the main loop until the job is in one of these states. */
static void wait_for_any(Fixture *f, MigrationStatus one,
                         MigrationStatus other)
{
    gint64 limit = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    while (status_of(f) != one && status_of(f) != other) {
        if (g_get_monotonic_time() > limit) {
            g_error("still in '%s' after 20 s",
                    MigrationStatus_str(status_of(f)));
        }
        if (!g_main_context_iteration(NULL, FALSE)) {
            big_unlock();
            g_usleep(500);
            big_lock();
        }
    }
}

static void wait_for(Fixture *f, MigrationStatus status)
{
    wait_for_any(f, status, status);
}

static int connect_to(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A connection to where the job listens. */
static int connect_to(const char *fmt, ...)
{
    g_autoptr(ChannelAddress) address = NULL;
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GSocketAddress) where = NULL;
    g_autofree char *uri = NULL;
    g_autoptr(GError) error = NULL;
    va_list ap;
    int fd;

    va_start(ap, fmt);
    uri = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    address = channel_address_parse(uri, &error);
    g_assert_no_error(error);
    where = address->kind == CHANNEL_ADDRESS_UNIX
        ? g_unix_socket_address_new(address->path)
        : g_inet_socket_address_new_from_string(address->host, address->port);
    connection = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(where),
                                         NULL, &error);
    g_assert_no_error(error);
    fd = dup(g_socket_get_fd(g_socket_connection_get_socket(connection)));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    return fd;
}

static void send_all(int fd, const void *data, size_t len)
{
    const uint8_t *from = data;

    while (len) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

        if (n < 0) {
            return; /* refused early: what is sent last is not wanted */
        }
        from += n;
        len -= n;
    }
}

static void check_ram(Fixture *f)
{
    const RAMBlock *block = g_ptr_array_index(f->vm->ram.blocks, 0);

    for (uint64_t i = 0; i < block->length; i++) {
        g_assert_cmpuint(block->host[i], ==, (i >> TM_PAGE_BITS) + 1);
    }
}

static void check_failed(Fixture *f, const char *words)
{
    g_autoptr(MigrationInfo) info = NULL;

    wait_for(f, MIGRATION_STATUS_FAILED);
    g_assert_false(migration_incoming_pending(f->m)); /* it will not come */
    info = migration_query(f->m);
    g_test_message("%s", info->error_desc);
    g_assert_true(g_str_has_prefix(info->error_desc,
                                   "load of migration failed: "));
    g_assert_nonnull(strstr(info->error_desc, words));
    g_assert_false(info->has_socket_address);
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_INMIGRATE);
}

/* ---- what goes well -------------------------------------------------- */

static void test_unix_stream_is_loaded(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(MigrationInfo) info = NULL;
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_true(start(f, true, &error, "unix:%s", f->path));
    info = migration_query(f->m);
    g_assert_cmpint(info->status, ==, MIGRATION_STATUS_SETUP);
    g_assert_cmpstr(info->socket_address->value->u.q_unix.path, ==, f->path);
    g_assert_false(start(f, true, &error, "unix:%s", f->path));
    g_assert_nonnull(strstr(error->message, "started already"));
    fd = connect_to("unix:%s", f->path);
    send_all(fd, bytes->data, bytes->len);
    close(fd);
    wait_for(f, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpstr(f->told->str, ==, "setup active completed ");
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_PAUSED);
    g_assert_false(migration_incoming_pending(f->m));
    g_assert_null(f->fatal);
    check_ram(f);
}

static void test_tcp_shows_the_real_port(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(MigrationInfo) info = NULL;
    const InetSocketAddress *inet;
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_true(start(f, true, &error, "tcp:127.0.0.1:0"));
    info = migration_query(f->m);
    inet = &info->socket_address->value->u.inet;
    g_assert_cmpint(info->socket_address->value->type, ==,
                    SOCKET_ADDRESS_TYPE_INET);
    g_assert_cmpstr(inet->host, ==, "127.0.0.1");
    g_assert_cmpstr(inet->port, !=, "0");
    g_assert_true(inet->has_ipv4 && inet->ipv4);
    fd = connect_to("tcp:127.0.0.1:%s", inet->port);
    send_all(fd, bytes->data, bytes->len);
    wait_for(f, MIGRATION_STATUS_COMPLETED);
    close(fd);
    check_ram(f);
}

static void test_file_and_exec_are_read(Fixture *f, const void *how)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(f->path, (char *)bytes->data,
                                      bytes->len, NULL));
    g_assert_true(start(f, true, &error, how, f->path));
    wait_for(f, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpstr(f->told->str, ==, "setup active completed ");
    check_ram(f);
}

/* The guest does not wait for what follows the end, nor for the end of the
 * command that brought it. */
static void test_exec_that_lingers_holds_nobody(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    uint8_t *json = memmem(bytes->data, bytes->len, "{", 1);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(json);
    g_assert_true(g_file_set_contents(f->path, (char *)bytes->data,
                                      json - bytes->data, NULL));
    g_assert_true(start(f, true, &error, "exec:cat %s; exec sleep 1000",
                        f->path));
    wait_for(f, MIGRATION_STATUS_COMPLETED);
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_PAUSED);
    check_ram(f);
}

/* Both ways over a descriptor: the source hears PONG and SHUT. */
static void test_fd_carries_the_return_path(Fixture *f, const void *unused)
{
    static const uint8_t want[16] = { 0, 2, 0, 4, 0, 0, 0, 5,
                                      0, 1, 0, 4, 0, 0, 0, 0 };
    g_autoptr(GByteArray) bytes = make_stream(true);
    g_autoptr(GError) error = NULL;
    uint8_t got[17];
    size_t n = 0;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    g_assert_true(start(f, true, &error, "fd:%d", fds[0]));
    send_all(fds[1], bytes->data, bytes->len);
    wait_for(f, MIGRATION_STATUS_COMPLETED);
    big_unlock(); /* it is closed by a thread that needs the lock before */
    while (n < sizeof(got)) {
        ssize_t more = read(fds[1], got + n, sizeof(got) - n);

        g_assert_cmpint(more, >=, 0);
        if (!more) {
            break;
        }
        n += more;
    }
    big_lock();
    g_assert_cmpmem(got, n, want, sizeof(want));
    close(fds[1]);
}

/* ---- what goes wrong ------------------------------------------------- */

static void test_start_errors(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(start(f, true, &error, "file:%s/none", f->dir));
    g_clear_error(&error);
    g_assert_cmpint(status_of(f), ==, MIGRATION_STATUS_NONE);
    g_assert_false(start(f, true, &error, "unix:%s/no/dir", f->dir));
    g_clear_error(&error);
    /* What could not begin may be tried again. */
    g_assert_true(start(f, true, &error, "unix:%s", f->path));
    f->vm->incoming = false;
    g_assert_false(start(f, true, &error, "unix:%s", f->path));
    g_assert_cmpstr(error->message, ==,
                    "'-incoming' was not specified on the command line");
}

static void test_peer_that_leaves_at_once(Fixture *f, const void *fatal)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(start(f, fatal != NULL, &error, "unix:%s", f->path));
    close(connect_to("unix:%s", f->path));
    check_failed(f, "the header, byte 0: the stream ends at byte 0");
    g_assert_cmpstr(f->told->str, ==, "setup active failed ");
    g_assert_cmpint(f->fatal != NULL, ==, fatal != NULL);
}

static void test_peer_that_leaves_midway(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_true(start(f, false, &error, "unix:%s", f->path));
    fd = connect_to("unix:%s", f->path);
    send_all(fd, bytes->data, 10000);
    close(fd);
    check_failed(f, "section 'ram'");
    g_assert_null(f->fatal);
}

static void test_garbage(Fixture *f, const void *unused)
{
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_true(start(f, false, &error, "unix:%s", f->path));
    fd = connect_to("unix:%s", f->path);
    send_all(fd, "GET / HTTP/1.1\r\n\r\n", 18);
    check_failed(f, "not a migration stream");
    close(fd);
}

/* The source has more, or less, or other memory. */
static void test_other_memory(Fixture *f, const void *from_to)
{
    const char *const *edit = from_to;
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(GError) error = NULL;
    uint8_t *at = memmem(bytes->data, bytes->len, "\7toy.ram", 8);
    int fd;

    g_assert_nonnull(at);
    at[atoi(edit[0])] ^= atoi(edit[1]);
    g_assert_true(start(f, false, &error, "unix:%s", f->path));
    fd = connect_to("unix:%s", f->path);
    send_all(fd, bytes->data, bytes->len);
    check_failed(f, edit[2]);
    close(fd);
}

/* A load that waits for its peer does not keep the process from ending, nor
 * the main loop from running; capabilities are fixed meanwhile. */
static void test_silent_peer_holds_nobody(Fixture *f, const void *unused)
{
    MigrationCapabilityStatus status = { MIGRATION_CAPABILITY_EVENTS, true };
    MigrationCapabilityStatusList list = { .value = &status };
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(GError) error = NULL;
    uint8_t *alone = memmem(bytes->data, bytes->len, "\5timer", 6);
    int fd;

    g_assert_true(start(f, true, &error, "unix:%s", f->path));
    fd = connect_to("unix:%s", f->path);
    /* In the middle of a device section, where the big lock is wanted. */
    send_all(fd, bytes->data, alone - bytes->data + 18);
    wait_for(f, MIGRATION_STATUS_ACTIVE);
    for (unsigned i = 0; i < 50; i++) {
        while (g_main_context_iteration(NULL, FALSE)) {
            continue;
        }
        big_unlock();
        g_usleep(1000);
        big_lock();
    }
    g_assert_false(migration_set_capabilities(f->m, &list, &error));
    g_assert_nonnull(strstr(error->message, "in progress"));
    g_assert_cmpint(status_of(f), ==, MIGRATION_STATUS_ACTIVE);
    g_clear_pointer(&f->m, migration_free);
    g_assert_null(f->fatal);
    close(fd);
}

/* Damage anywhere: loaded or refused, and never left hanging. */
static void test_random_damage(void)
{
    g_autoptr(GByteArray) bytes = make_stream(false);

    for (unsigned i = 0; i < 150; i++) {
        g_autofree uint8_t *bad = g_memdup2(bytes->data, bytes->len);
        g_autoptr(GError) error = NULL;
        Fixture f = { 0 };
        int fds[2];

        for (unsigned n = g_test_rand_int_range(1, 5); n; n--) {
            unsigned at = g_test_rand_bit()
                ? g_test_rand_int_range(0, 100)
                : g_test_rand_int_range(0, bytes->len);

            bad[at] = g_test_rand_int();
        }
        set_up(&f, NULL);
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        g_assert_true(start(&f, false, &error, "fd:%d", fds[0]));
        send_all(fds[1], bad, bytes->len);
        close(fds[1]);
        wait_for_any(&f, MIGRATION_STATUS_COMPLETED, MIGRATION_STATUS_FAILED);
        tear_down(&f, NULL);
    }
}

#define ADD(path, fn, data) \
    g_test_add("/incoming/" path, Fixture, data, set_up, fn, tear_down)

static void test_no_thread_left(Fixture *f, const void *unused)
{
    g_autoptr(GByteArray) bytes = make_stream(false);
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(f->path, (char *)bytes->data, bytes->len,
                                      NULL));
    g_assert_true(start(f, false, &error, "file:%s", f->path));
    fake_threads_lack = "incoming";
    while (status_of(f) == MIGRATION_STATUS_SETUP) {
        g_main_context_iteration(NULL, TRUE);
    }
    fake_threads_lack = NULL;
    g_assert_cmpstr(f->told->str, ==, "setup active failed ");
    g_assert_cmpint(runstate_get(f->vm), ==, RUN_STATE_INMIGRATE);
}

int main(int argc, char **argv)
{
    /* offset in the list of blocks, bits to flip, words */
    static const char *const longer[] = { "14", "1", "toy.ram" };
    static const char *const renamed[] = { "1", "1", "uoy.ram" };

    g_test_init(&argc, &argv, NULL);
    ADD("unix/stream-is-loaded", test_unix_stream_is_loaded, NULL);
    ADD("tcp/shows-the-real-port", test_tcp_shows_the_real_port, NULL);
    ADD("file/is-read", test_file_and_exec_are_read, "file:%s");
    ADD("exec/is-read", test_file_and_exec_are_read, "exec:cat %s");
    ADD("exec/that-lingers-holds-nobody",
        test_exec_that_lingers_holds_nobody, NULL);
    ADD("fd/carries-the-return-path", test_fd_carries_the_return_path, NULL);
    ADD("start/errors", test_start_errors, NULL);
    ADD("peer/leaves-at-once", test_peer_that_leaves_at_once, NULL);
    ADD("peer/leaves-at-once-is-fatal", test_peer_that_leaves_at_once,
        "fatal");
    ADD("peer/leaves-midway", test_peer_that_leaves_midway, NULL);
    ADD("peer/sends-garbage", test_garbage, NULL);
    ADD("ram/other-length-is-named", test_other_memory, longer);
    ADD("ram/other-name-is-named", test_other_memory, renamed);
    ADD("peer/silent-one-holds-nobody", test_silent_peer_holds_nobody, NULL);
    g_test_add_func("/incoming/random-damage", test_random_damage);
    g_test_add("/incoming/no-thread-left", Fixture, NULL, set_up,
               test_no_thread_left, tear_down);
    return g_test_run();
}
