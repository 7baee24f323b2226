/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP sessions without a socket: lines in, lines out.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fake-chardev.h"
#include "fake-machine.h"
#include "monitor/hmp-cmds.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"

#include "util/error.h"

#define GREETING \
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 10, \"minor\": 0, " \
    "\"micro\": 2}, \"package\": \"tidemark test\"}, \"capabilities\": []}}" \
    "\r\n"
#define OK "{\"return\": {}}\r\n"

/* What a monitor for people can be asked for here. */
static const HmpCommand lines[] = {
    { "system_reset", "", "", "", hmp_system_reset },
    { "system_wakeup", "", "", "", hmp_system_wakeup },
    { NULL },
};

typedef struct Fixture {
    FakeMachine machine;
    Chardev *chr;
    FdSets *fdsets;
    Monitors *monitors;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    MonitorConfig config = {
        .qmp_commands = qmp_commands,
        .hmp_commands = lines,
        .package = "tidemark test",
        .app = &f->machine,
        .quit = fake_machine_quit,
    };

    fake_machine_init(&f->machine);
    f->chr = fake_chardev_new("mon0");
    f->fdsets = fdsets_new();
    config.fdsets = f->fdsets;
    config.chardevs = (ChardevList *)f->chr;
    f->monitors = monitors_new(&config);
    g_assert_true(monitor_add_qmp(f->monitors, f->chr, false, NULL));
}

static void tear_down(Fixture *f, const void *unused)
{
    monitors_free(f->monitors);
    fdsets_free(f->fdsets);
    fake_chardev_free(f->chr);
    fake_machine_done(&f->machine);
}

static void type(Fixture *f, const char *text)
{
    fake_chardev_type(f->chr, text, strlen(text));
}

/* What came back since, without time stamps. */
static char *take(Fixture *f)
{
    g_autofree char *text = fake_chardev_take(f->chr);
    g_autoptr(GRegex) stamp = g_regex_new("\"timestamp\": {[^}]*}, ", 0, 0,
                                          NULL);

    return g_regex_replace_literal(stamp, text, -1, 0, "", 0, NULL);
}

static void expect(Fixture *f, const char *text)
{
    g_autofree char *got = take(f);

    g_assert_cmpstr(got, ==, text);
}

/* Open and begin the conversation. */
static void negotiate(Fixture *f)
{
    fake_chardev_open(f->chr);
    type(f, "{\"execute\": \"qmp_capabilities\"}\n");
    expect(f, GREETING OK);
}

/* What comes back, in order, from requests that reach a fresh session. */
static const struct {
    const char *in, *out;
} talk[] = {
    { "{'execute':'query-status'}",
      "{\"return\": {\"running\": false, \"status\": \"prelaunch\"}}" },
    { "{\"execute\":\"nope\"}",
      "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
      "\"The command nope has not been found\"}}" },
    { "{\"execute\":\"system_reset\",\"id\":{\"a\":[1,2]}}",
      "{\"return\": {}, \"id\": {\"a\": [1, 2]}}" },
    { "{\"execute\":\"system_reset\",\"id\":null}",
      "{\"return\": {}, \"id\": null}" },
    { "{\"execute\":\"system_reset\",\"id\":18446744073709551615}",
      "{\"return\": {}, \"id\": 18446744073709551615}" },
    { "{\"id\":\"x\",\"execute\":\"nope\"}",
      "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
      "\"The command nope has not been found\"}, \"id\": \"x\"}" },
    { "{\"execute\":\"migrate\",\"arguments\":{\"uri\":5}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"Invalid parameter type for 'uri', expected: string\"}}" },
    { "{\"execute\":\"migrate\"}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"need either 'uri' or 'channels' argument\"}}" },
    { "{\"execute\":\"migrate\",\"arguments\":{\"foo\":1}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"Parameter 'foo' is unexpected\"}}" },
    { "{\"execute\":\"migrate-set-capabilities\",\"arguments\":"
      "{\"capabilities\":[{\"capability\":\"bogus\",\"state\":true}]}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"Parameter 'capability' does not accept value 'bogus'\"}}" },
    { "{\"exec-oob\":\"migrate\",\"id\":\"r\"}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input member 'exec-oob' is unexpected\"}, \"id\": \"r\"}" },
    { "{\"execute\":}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"JSON parse error, expecting value\"}}" },
    { "[1]",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input must be a JSON object\"}}" },
    { "{\"id\":1}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input lacks member 'execute'\"}, \"id\": 1}" },
    { "{\"execute\":\"stop\",\"junk\":1}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input member 'junk' is unexpected\"}}" },
    { "{\"execute\":1}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input member 'execute' must be a string\"}}" },
    { "{\"execute\":\"stop\",\"arguments\":[]}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"QMP input member 'arguments' must be an object\"}}" },
    { "{\"execute\":\"qmp_capabilities\"}",
      "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
      "\"Capabilities negotiation is already complete, command ignored\"}}" },
    { "{\"execute\":\"stop\"}",
      "{\"event\": \"STOP\"}\r\n{\"return\": {}}" },
    { "{\"execute\":\"query-chardev\"}",
      "{\"return\": [{\"label\": \"mon0\", \"filename\": \"unix:/fake\", "
      "\"frontend-open\": true}]}" },
    { "{\"execute\":\"query-machines\"}", "{\"return\": []}" },
    { "{\"execute\":\"human-monitor-command\",\"arguments\":"
      "{\"command-line\":\"nosuch\"}}",
      "{\"return\": \"unknown command: 'nosuch'\\r\\n\"}" },
    { "{\"execute\":\"human-monitor-command\",\"arguments\":"
      "{\"command-line\":\"\",\"cpu-index\":2}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"Parameter 'cpu-index' expects a CPU number\"}}" },
    { "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"fd-mig\"}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"File descriptor named 'fd-mig' not found\"}}" },
    { "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"fd-mig\"}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"No file descriptor supplied via SCM_RIGHTS\"}}" },
    { "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1}}",
      "{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"File descriptor named 'fdset-id:1' not found\"}}" },
    { "{\"execute\":\"query-fdsets\"}", "{\"return\": []}" },
    { "{\"execute\":\"query-version\"}",
      "{\"return\": {\"qemu\": {\"major\": 10, \"minor\": 0, \"micro\": 2}, "
      "\"package\": \"tidemark test\"}}" },
};

/* The whole conversation in one go, and in pieces of every small size. */
static void test_session_any_pieces_same_answers(Fixture *f,
                                                 const void *unused)
{
    g_autoptr(GString) in = g_string_new(NULL);
    g_autoptr(GString) out = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(talk); i++) {
        g_string_append(in, talk[i].in);
        g_string_append_printf(out, "%s\r\n", talk[i].out);
    }
    for (size_t step = 1; step < 5000; step = step * 3 + 1) {
        f->machine.state = RUN_STATE_PRELAUNCH;
        negotiate(f);
        for (size_t at = 0; at < in->len; at += step) {
            fake_chardev_type(f->chr, in->str + at,
                              MIN(step, in->len - at));
        }
        expect(f, out->str);
        fake_chardev_close(f->chr);
    }
}

static void test_session_before_negotiation_refuses(Fixture *f,
                                                    const void *unused)
{
    fake_chardev_open(f->chr);
    expect(f, GREETING);
    type(f, "{\"execute\":\"query-status\"}");
    expect(f, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
           "\"Expecting capabilities negotiation with "
           "'qmp_capabilities'\"}}\r\n");
    qapi_event_send_stop();
    expect(f, "");
    type(f, "{\"execute\":\"qmp_capabilities\","
         "\"arguments\":{\"enable\":[\"oob\"]}}");
    expect(f, "{\"error\": {\"class\": \"GenericError\", \"desc\": "
           "\"capability 'oob' is not on offer\"}}\r\n");
    type(f, "{\"execute\":\"qmp_capabilities\","
         "\"arguments\":{\"enable\":[]}}");
    expect(f, OK);
    qapi_event_send_migration(MIGRATION_STATUS_PRE_SWITCHOVER);
    expect(f, "{\"event\": \"MIGRATION\", \"data\": "
           "{\"status\": \"pre-switchover\"}}\r\n");
}

static void test_session_reconnect_starts_afresh(Fixture *f,
                                                 const void *unused)
{
    negotiate(f);
    type(f, "{\"execute\":\"query-st");
    fake_chardev_close(f->chr);
    qapi_event_send_stop();
    negotiate(f);
    type(f, "{\"execute\":\"system_reset\"}");
    expect(f, OK);
}

static void test_session_garbage_recovers(Fixture *f, const void *unused)
{
    static const char *const garbage[] = {
        "{]\n", "{\xff", "{\x01", "{'bad \xff",
        "{'execute': 'nonexistent', 'id':'\n", "%%p\n", "null\n", "}",
    };

    negotiate(f);
    for (size_t i = 0; i < G_N_ELEMENTS(garbage); i++) {
        g_autofree char *reply = NULL;

        type(f, garbage[i]);
        reply = take(f);
        g_assert_nonnull(strstr(reply, "\"class\": \"GenericError\""));
        g_assert_cmpuint(strlen(reply) - (strstr(reply, "\r\n") - reply), ==,
                         2);
        type(f, "{\"execute\":\"system_reset\"}");
        expect(f, OK);
    }
}

/* Requests with bytes changed, dropped and doubled: still in step after. */
static void test_session_mutated_requests_survive(Fixture *f,
                                                  const void *unused)
{
    static const char bytes[] = "{}[]:,\"'\\ \n0-9eutx\xff\x01";

    negotiate(f);
    for (int round = 0; round < 3000; round++) {
        const char *base = talk[g_test_rand_int_range(
            0, G_N_ELEMENTS(talk))].in;
        g_autoptr(GString) text = g_string_new(base);
        g_autofree char *reply = NULL;

        for (int n = g_test_rand_int_range(1, 5); n && text->len; n--) {
            gsize at = g_test_rand_int_range(0, text->len);
            char byte = bytes[g_test_rand_int_range(0, sizeof(bytes) - 1)];

            switch (g_test_rand_int_range(0, 3)) {
            case 0:
                text->str[at] = byte;
                break;
            case 1:
                g_string_erase(text, at, 1);
                break;
            default:
                g_string_insert_c(text, at, byte);
                break;
            }
        }
        type(f, text->str);
        /* 0xFF ends whatever was begun, in a string or not */
        type(f, "\xff\n{\"execute\":\"query-name\",\"id\":\"end\"}");
        reply = fake_chardev_take(f->chr);
        g_assert_true(g_str_has_suffix(
            reply, "{\"return\": {\"name\": \"demo\"}, \"id\": \"end\"}\r\n"));
    }
}

static void test_session_slow_reader_holds_only_itself(Fixture *f,
                                                       const void *unused)
{
    g_autoptr(GString) all = g_string_new(NULL);

    negotiate(f);
    fake_chardev_stall(f->chr, true);
    for (int i = 0; i < 5000; i++) {
        g_string_append(all, "{\"execute\":\"system_powerdown\"}\n");
    }
    type(f, all->str);
    /* one ran, its answer waits; no more than a chunk was taken in */
    g_assert_cmpstr(f->machine.log->str, ==, "powerdown;");
    g_assert_cmpuint(fake_chardev_unread(f->chr), >=, all->len - 4096);
    for (int i = 0; i < 100000; i++) {
        qapi_event_send_resume();
    }
    fake_chardev_stall(f->chr, false);
    g_assert_cmpuint(fake_chardev_unread(f->chr), ==, 0);
    g_assert_cmpuint(f->machine.log->len, ==,
                     5000 * strlen("powerdown;"));
    {
        g_autofree char *got = fake_chardev_take(f->chr);
        size_t events = 0, answers = 0;
        g_auto(GStrv) lines = g_strsplit(got, "\r\n", -1);

        for (char **line = lines; *line; line++) {
            events += strstr(*line, "RESUME") != NULL;
            answers += !strcmp(*line, "{\"return\": {}}");
        }
        g_assert_cmpuint(answers, ==, 5000);
        /* a backlog of events is kept, the rest is dropped whole */
        g_assert_cmpuint(events, >, 5000);
        g_assert_cmpuint(events, <, 100000);
        g_assert_cmpuint(strlen(got), <, 3 * MONITOR_EVENT_BACKLOG);
    }
    qapi_event_send_stop();
    expect(f, "{\"event\": \"STOP\"}\r\n");
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_getfd_names_are_taken_once(Fixture *f, const void *unused)
{
    int fd = open("/dev/null", O_RDONLY);

    negotiate(f);
    fake_chardev_send_fd(f->chr, fd);
    type(f, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"fd-mig\"}}");
    expect(f, OK);
    g_assert_true(is_open(fd));
    type(f, "{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"fd-mig\"}}");
    expect(f, OK);
    g_assert_false(is_open(fd));
}

static void test_getfd_second_of_batch_gets_it(Fixture *f,
                                               const void *unused)
{
    int fd = open("/dev/null", O_RDONLY);

    negotiate(f);
    fake_chardev_send_fd(f->chr, fd);
    type(f, "{\"execute\":\"system_reset\"}"
         "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"a\"}}");
    expect(f, OK OK);
    g_assert_true(is_open(fd));
}

static void test_fd_nobody_takes_is_closed(Fixture *f, const void *unused)
{
    int fd = open("/dev/null", O_RDONLY), other = open("/dev/null", O_RDONLY);

    negotiate(f);
    fake_chardev_send_fd(f->chr, fd);
    type(f, "{\"execute\":\"system_reset\"}");
    g_assert_false(is_open(fd));
    fake_chardev_send_fd(f->chr, other);
    type(f, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"5\"}}");
    g_assert_false(is_open(other));
    expect(f, OK "{\"error\": {\"class\": \"GenericError\", \"desc\": "
           "\"Parameter 'fdname' expects a name not starting with a digit\"}}"
           "\r\n");
}

static void test_fdset_is_listed_and_removed(Fixture *f, const void *unused)
{
    int fd = open("/dev/null", O_RDONLY);
    g_autofree char *added = g_strdup_printf(
        "{\"return\": {\"fdset-id\": 1, \"fd\": %d}}\r\n", fd);
    g_autofree char *listed = g_strdup_printf(
        "{\"return\": [{\"fdset-id\": 1, \"fds\": [{\"fd\": %d, "
        "\"opaque\": \"o\"}]}]}\r\n", fd);

    negotiate(f);
    fake_chardev_send_fd(f->chr, fd);
    type(f, "{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1,"
         "\"opaque\":\"o\"}}");
    expect(f, added);
    type(f, "{\"execute\":\"query-fdsets\"}");
    expect(f, listed);
    type(f, "{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":1}}");
    type(f, "{\"execute\":\"query-fdsets\"}");
    expect(f, OK "{\"return\": []}\r\n");
    g_assert_false(is_open(fd));
}

static void test_quit_answers_first(Fixture *f, const void *unused)
{
    negotiate(f);
    type(f, "{\"execute\":\"quit\"}");
    expect(f, OK);
    g_assert_cmpuint(f->machine.quits, ==, 1);
}

static void test_schema_lists_every_command(Fixture *f, const void *unused)
{
    g_autofree char *schema = NULL;

    negotiate(f);
    type(f, "{\"execute\":\"query-qmp-schema\"}");
    schema = take(f);
    for (const QmpCommand *c = qmp_commands; c->name; c++) {
        g_autofree char *entry = g_strdup_printf(
            "{\"name\": \"%s\", \"meta-type\": \"command\"", c->name);

        g_assert_nonnull(strstr(schema, entry));
    }
}

static void test_channels_reach_handler(Fixture *f, const void *unused)
{
    negotiate(f);
    type(f, "{\"execute\":\"migrate\",\"arguments\":{\"channels\":"
         "[{\"channel-type\":\"main\",\"addr\":{\"transport\":\"socket\","
         "\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"44751\"}}]}}");
    expect(f, OK);
    g_assert_cmpstr(f->machine.log->str, ==, "migrate to 127.0.0.1:44751;");
}

static void test_events_reach_every_session(Fixture *f, const void *unused)
{
    Chardev *second = fake_chardev_new("mon1");
    g_autofree char *got = NULL;

    g_assert_true(monitor_add_qmp(f->monitors, second, true, NULL));
    negotiate(f);
    fake_chardev_open(second);
    fake_chardev_type(second, "{\"execute\":\"qmp_capabilities\"}", 31);
    g_free(fake_chardev_take(second));
    type(f, "{\"execute\":\"cont\"}");
    got = fake_chardev_take(second);
    g_assert_nonnull(strstr(got, "\n    \"event\": \"RESUME\"\n}\r\n"));
    g_assert_null(strstr(got, "return"));
    monitors_free(f->monitors);
    f->monitors = NULL;
    fake_chardev_free(second);
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

/* ---- answers that come later ---- */

#define RESET(id) "{\"execute\": \"system_reset\", \"id\": " id "}\n"
#define STATUS "{\"execute\": \"query-status\", \"id\": 9}\n"
#define STATUS_IS "{\"return\": {\"running\": false, \"status\": " \
    "\"prelaunch\"}, \"id\": 9}\r\n"

static void end_deferred(Fixture *f, const char *words)
{
    g_autoptr(GError) error = NULL;

    if (words) {
        tm_error_set(&error, "%s", words);
    }
    qmp_deferred_end(g_steal_pointer(&f->machine.deferred), error);
}

static void test_deferred_keeps_the_order(Fixture *f, const void *unused)
{
    negotiate(f);
    f->machine.defers = true;
    type(f, RESET("{\"a\": 1}") STATUS);
    type(f, STATUS);
    expect(f, "");
    g_assert_cmpuint(fake_chardev_unread(f->chr), >, 0);
    end_deferred(f, NULL);
    expect(f, "{\"return\": {}, \"id\": {\"a\": 1}}\r\n" STATUS_IS
           STATUS_IS);
    type(f, RESET("2"));
    end_deferred(f, "disk full");
    expect(f, "{\"error\": {\"class\": \"GenericError\", \"desc\": "
           "\"disk full\"}, \"id\": 2}\r\n");
    type(f, RESET("3") RESET("4") STATUS);
    end_deferred(f, NULL);
    expect(f, "{\"return\": {}, \"id\": 3}\r\n");
    end_deferred(f, NULL);
    expect(f, "{\"return\": {}, \"id\": 4}\r\n" STATUS_IS);
}

static void test_events_pass_a_deferred_one(Fixture *f, const void *unused)
{
    negotiate(f);
    f->machine.defers = true;
    type(f, RESET("1"));
    qapi_event_send_stop();
    expect(f, "{\"event\": \"STOP\"}\r\n");
    end_deferred(f, NULL);
    expect(f, "{\"return\": {}, \"id\": 1}\r\n");
}

static void test_deferred_outlives_its_client(Fixture *f, const void *unused)
{
    negotiate(f);
    f->machine.defers = true;
    type(f, RESET("1") STATUS);
    fake_chardev_close(f->chr);
    negotiate(f);
    type(f, STATUS);
    expect(f, STATUS_IS);
    end_deferred(f, "too late");
    expect(f, "");
    type(f, RESET("2"));
    monitors_free(g_steal_pointer(&f->monitors));
    end_deferred(f, NULL);
}

#define HMP(line) "{\"execute\": \"human-monitor-command\", " \
    "\"arguments\": {\"command-line\": \"" line "\"}, \"id\": 5}\n"

static void test_deferred_line_returns_its_text(Fixture *f,
                                                const void *unused)
{
    negotiate(f);
    f->machine.defers = true;
    type(f, HMP("system_reset") STATUS);
    expect(f, "");
    end_deferred(f, NULL);
    expect(f, "{\"return\": \"\", \"id\": 5}\r\n" STATUS_IS);
    type(f, HMP("system_reset"));
    end_deferred(f, "disk full");
    expect(f, "{\"return\": \"Error: disk full\\r\\n\", \"id\": 5}\r\n");
    type(f, HMP("system_wakeup"));
    expect(f, "{\"return\": \"Error: Unable to wake up: guest is not in "
           "suspended state\\r\\n\", \"id\": 5}\r\n");
    type(f, HMP("system_reset"));
    fake_chardev_close(f->chr);
    end_deferred(f, "too late");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp/session/any-pieces-same-answers",
        test_session_any_pieces_same_answers);
    add("/qmp/session/before-negotiation-refuses",
        test_session_before_negotiation_refuses);
    add("/qmp/session/reconnect-starts-afresh",
        test_session_reconnect_starts_afresh);
    add("/qmp/session/garbage-recovers", test_session_garbage_recovers);
    add("/qmp/session/mutated-requests-survive",
        test_session_mutated_requests_survive);
    add("/qmp/session/slow-reader-holds-only-itself",
        test_session_slow_reader_holds_only_itself);
    add("/qmp/getfd/names-are-taken-once", test_getfd_names_are_taken_once);
    add("/qmp/getfd/second-of-batch-gets-it",
        test_getfd_second_of_batch_gets_it);
    add("/qmp/fd/nobody-takes-is-closed", test_fd_nobody_takes_is_closed);
    add("/qmp/fdset/is-listed-and-removed",
        test_fdset_is_listed_and_removed);
    add("/qmp/quit/answers-first", test_quit_answers_first);
    add("/qmp/schema/lists-every-command", test_schema_lists_every_command);
    add("/qmp/channels/reach-handler", test_channels_reach_handler);
    add("/qmp/events/reach-every-session", test_events_reach_every_session);
    add("/qmp/deferred/keeps-the-order", test_deferred_keeps_the_order);
    add("/qmp/deferred/events-pass-it", test_events_pass_a_deferred_one);
    add("/qmp/deferred/outlives-its-client",
        test_deferred_outlives_its_client);
    add("/qmp/deferred/line-returns-its-text",
        test_deferred_line_returns_its_text);
    return g_test_run();
}
