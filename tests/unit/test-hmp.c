/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor for people without a terminal: lines in, text out.
 */
#include <string.h>

#include "fake-chardev.h"
#include "fake-machine.h"
#include "monitor/hmp-args.h"
#include "monitor/hmp-tables.h"
#include "monitor/monitor.h"
#include "monitor/readline.h"
#include "qapi/json-text.h"
#include "qapi/qapi-commands.h"
#include "util/error.h"

/* -- handlers that belong to the migration room */

HmpHandler hmp_calc_dirty_rate, hmp_info_dirty_rate, hmp_info_migrate,
    hmp_info_migrate_capabilities, hmp_info_migrate_parameters, hmp_migrate,
    hmp_migrate_cancel, hmp_migrate_continue, hmp_migrate_incoming,
    hmp_migrate_set_capability, hmp_migrate_set_parameter,
    hmp_snapshot_save, hmp_set_vcpu_dirty_limit, hmp_cancel_vcpu_dirty_limit,
    hmp_info_vcpu_dirty_limit;

static void note_args(Hmp *hmp, const char *name, JsonObject *args)
{
    FakeMachine *machine = qmp_session_app(hmp_session(hmp));
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), args);

    g_string_append_printf(machine->log, "%s ", name);
    json_text_print(machine->log, node);
}

#define NOTING_HANDLER(name) \
    void hmp_ ## name(Hmp *hmp, JsonObject *args) \
    { \
        note_args(hmp, #name, args); \
    }

NOTING_HANDLER(calc_dirty_rate)
NOTING_HANDLER(cancel_vcpu_dirty_limit)
NOTING_HANDLER(info_dirty_rate)
NOTING_HANDLER(info_migrate)
NOTING_HANDLER(info_migrate_capabilities)
NOTING_HANDLER(info_migrate_parameters)
NOTING_HANDLER(info_vcpu_dirty_limit)
NOTING_HANDLER(migrate_cancel)
NOTING_HANDLER(migrate_continue)
NOTING_HANDLER(migrate_incoming)
NOTING_HANDLER(migrate_set_capability)
NOTING_HANDLER(migrate_set_parameter)
NOTING_HANDLER(set_vcpu_dirty_limit)
NOTING_HANDLER(snapshot_save)

void hmp_migrate(Hmp *hmp, JsonObject *args)
{
    FakeMachine *machine = qmp_session_app(hmp_session(hmp));

    note_args(hmp, "migrate", args);
    if (!json_object_has_member(args, "detach")) {
        if (hmp_suspend(hmp)) {
            machine->waiting = hmp;
        } else {
            hmp_printf(hmp, "not waiting\n");
        }
    }
}

/* -- a monitor to type at */

typedef struct Fixture {
    FakeMachine machine;
    Chardev *chr;
    Monitors *monitors;
} Fixture;

#define BANNER "Tidemark test monitor - type 'help' for more information\r\n"
#define PROMPT "(qemu) "

static void set_up(Fixture *f, const void *unused)
{
    MonitorConfig config = {
        .hmp_commands = hmp_commands,
        .hmp_info = hmp_info_commands,
        .package = "tidemark test",
        .app = &f->machine,
        .quit = fake_machine_quit,
    };
    g_autofree char *hello = NULL;

    fake_machine_init(&f->machine);
    f->chr = fake_chardev_new("q");
    config.chardevs = (ChardevList *)f->chr;
    f->monitors = monitors_new(&config);
    g_assert_true(monitor_add_hmp(f->monitors, f->chr, NULL));
    fake_chardev_open(f->chr);
    hello = fake_chardev_take(f->chr);
    g_assert_cmpstr(hello, ==, BANNER PROMPT);
}

static void tear_down(Fixture *f, const void *unused)
{
    monitors_free(f->monitors);
    fake_chardev_free(f->chr);
    fake_machine_done(&f->machine);
}

/* What is printed for a line, without its echo and without the prompt. */
static char *run(Fixture *f, const char *line)
{
    g_autofree char *typed = g_strconcat(line, "\n", NULL);
    g_autofree char *echo = g_strconcat(line, "\r\n", NULL);
    g_autofree char *text = NULL;

    fake_chardev_type(f->chr, typed, strlen(typed));
    text = fake_chardev_take(f->chr);
    g_assert_true(g_str_has_prefix(text, echo));
    g_assert_true(g_str_has_suffix(text, PROMPT));
    return g_strndup(text + strlen(echo),
                     strlen(text) - strlen(echo) - strlen(PROMPT));
}

static const struct {
    const char *line, *text;
} golden[] = {
    { "", "" },
    { "   ", "" },
    { "# words", "" },
    { "info kvm",
      "kvm support: enabled\r\nmanual dirty log protect: enabled\r\n"
      "dirty log initially set: disabled\r\n" },
    { "info status", "VM status: paused (prelaunch)\r\n" },
    { "cont", "" },
    { "info status", "VM status: running\r\n" },
    { "s", "" },
    { "  info   status ", "VM status: paused\r\n" },
    { "info version", "10.0.2 (tidemark test)\r\n" },
    { "info name", "demo\r\n" },
    { "info uuid", "00000000-0000-0000-0000-000000000000\r\n" },
    { "info cpus",
      "* CPU #0: thread_id=29514\r\n  CPU #1: thread_id=29515\r\n" },
    { "info chardev", "q: filename=unix:/fake\r\n" },
    { "info memory_size_summary",
      "base memory: 134217728\r\nplugged memory: 0\r\n" },
    { "info memdev",
      "memory backend: pc.ram\r\n  size:  134217728\r\n  merge: true\r\n"
      "  dump: true\r\n  prealloc: false\r\n  share: false\r\n"
      "  reserve: true\r\n  policy: default\r\n  host nodes: \r\n\r\n" },
    { "info mtree", "memory\r\n  RAM 100%\r\n" },
    { "info ram_digest",
      "pc.ram: length=4096 digest=00ff\r\ndigest: 11ee\r\n" },
    { "info registers", "CPU#0\r\n" },
    { "info registers -a", "CPU#-1\r\n" },
    { "info registers 1", "CPU#1\r\n" },
    { "cpu 2", "invalid CPU index\r\n" },
    { "cpu 1", "" },
    { "info registers", "CPU#1\r\n" },
    { "system_wakeup",
      "Error: Unable to wake up: guest is not in suspended state\r\n" },
    { "nosuch", "unknown command: 'nosuch'\r\n" },
    { "nosuch at all", "unknown command: 'nosuch'\r\n" },
    { "info nosuch", "unknown command: 'info nosuch'\r\n" },
    { "migrate",
      "migrate: string expected\r\n"
      "Try \"help migrate\" for more information\r\n" },
    { "info registers x",
      "registers: invalid char in expression\r\n"
      "Try \"help info registers\" for more information\r\n" },
    { "stop now",
      "stop: extraneous characters at the end of line\r\n"
      "Try \"help stop\" for more information\r\n" },
    { "c now",
      "cont: extraneous characters at the end of line\r\n"
      "Try \"help cont\" for more information\r\n" },
    { "migrate -z tcp:x",
      "migrate: unsupported option -z\r\n"
      "Try \"help migrate\" for more information\r\n" },
    { "migrate_set_capability events maybe",
      "migrate_set_capability: Expected 'on' or 'off'\r\n"
      "Try \"help migrate_set_capability\" for more information\r\n" },
    { "help migrate",
      "migrate [-d] uri -- migrate to URI "
      "(using -d to not wait for completion)\r\n" },
    { "? cont", "cont|c  -- let the guest run\r\n" },
    { "help c", "cont|c  -- let the guest run\r\n" },
    { "help info kvm", "info kvm  -- show how KVM is used\r\n" },
    { "help nosuch", "unknown command: 'nosuch'\r\n" },
    { "xp /4xb 0x10",
      "0000000000000010: 0x10 0x11 0x12 0x13\r\n" },
    { "xp/2xw 0x10", "0000000000000010: 0x13121110 0x17161514\r\n" },
    { "xp/9xb 0",
      "0000000000000000: 0x00 0x01 0x02 0x03 0x04 0x05 0x06 0x07\r\n"
      "0000000000000008: 0x08\r\n" },
    { "xp/3xg 0",
      "0000000000000000: 0x0706050403020100 0x0f0e0d0c0b0a0908\r\n"
      "0000000000000010: 0x1716151413121110\r\n" },
    { "x/1dh 0xfe", "00000000000000fe:    -2\r\n" },
    { "x/1uh 0xfe", "00000000000000fe: 65534\r\n" },
    { "x/1ob 0x41", "0000000000000041: 0101\r\n" },
    { "x/3c 'A'", "0000000000000041: 'A' 'B' 'C'\r\n" },
    { "x/2c 0x0a", "000000000000000a: '\\n' '\\x0b'\r\n" },
    { "x $rip+4", "0000000000007c04: 0x07060504\r\n" },
    { "x $rax",
      "x: unknown register 'rax'\r\n"
      "Try \"help x\" for more information\r\n" },
    { "xp/2xb 0xfffff",
      "Error: Cannot access memory at address 0xfffff\r\n" },
    { "x/i 0",
      "x: invalid char in format: 'i'\r\n"
      "Try \"help x\" for more information\r\n" },
    { "x/0x 0",
      "x: count must be 1 to 65536\r\n"
      "Try \"help x\" for more information\r\n" },
};

static void test_line_golden_text(Fixture *f, const void *unused)
{
    for (size_t i = 0; i < G_N_ELEMENTS(golden); i++) {
        g_autofree char *text = run(f, golden[i].line);

        g_test_message("%s", golden[i].line);
        g_assert_cmpstr(text, ==, golden[i].text);
    }
}

static void test_line_without_kvm_is_one_line(Fixture *f, const void *unused)
{
    g_autofree char *text = NULL;

    f->machine.has_kvm = false;
    text = run(f, "info kvm");
    g_assert_cmpstr(text, ==, "kvm support: disabled\r\n");
}

static void test_line_arguments_reach_handler(Fixture *f, const void *unused)
{
    static const char *const table[][2] = {
        { "migrate -d tcp:1.2.3.4:5",
          "migrate {\"detach\": true, \"uri\": \"tcp:1.2.3.4:5\"}" },
        { "migrate -d \"exec:cat > \\\"a b\\\"\"",
          "migrate {\"detach\": true, \"uri\": \"exec:cat > \\\"a b\\\"\"}" },
        { "migrate_set_capability events on",
          "migrate_set_capability {\"capability\": \"events\", "
          "\"state\": true}" },
        { "migrate_set_parameter max-bandwidth 1G",
          "migrate_set_parameter {\"parameter\": \"max-bandwidth\", "
          "\"value\": \"1G\"}" },
        { "info migrate", "info_migrate {}" },
        { "set_vcpu_dirty_limit 10 1",
          "set_vcpu_dirty_limit {\"dirty_rate\": 10, \"cpu_index\": 1}" },
        { "set_vcpu_dirty_limit 5*4",
          "set_vcpu_dirty_limit {\"dirty_rate\": 20}" },
        { "cancel_vcpu_dirty_limit", "cancel_vcpu_dirty_limit {}" },
        { "info vcpu_dirty_limit", "info_vcpu_dirty_limit {}" },
        { "pmemsave 0x1000 2*1024 /tmp/f", "pmemsave 1000 2048 /tmp/f;" },
        { "memsave 0 (1+1)*8 f", "memsave 0 16 f cpu 0;" },
        { "screendump f", "screendump f - -1 -1;" },
        { "screendump f -f png d 0", "screendump f d 0 1;" },
        { "system_reset", "reset;" },
        { "system_powerdown", "powerdown;" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *text = run(f, table[i][0]);

        g_assert_cmpstr(text, ==, "");
        g_assert_cmpstr(f->machine.log->str, ==, table[i][1]);
        g_string_truncate(f->machine.log, 0);
    }
}

static void test_line_with_bad_picture_format(Fixture *f, const void *unused)
{
    g_autofree char *text = run(f, "screendump f -f gif");

    g_assert_cmpstr(text, ==, "Error: 'gif' is no format of pictures: ppm "
                    "and png are\r\n");
    g_assert_cmpstr(f->machine.log->str, ==, "");
}

static void test_help_lists_all(Fixture *f, const void *unused)
{
    g_autofree char *all = run(f, "help");
    g_autofree char *info = run(f, "help info");
    g_autofree char *same = run(f, "info");

    g_assert_cmpstr(info, ==, same);
    for (const HmpCommand *c = hmp_commands; c->name; c++) {
        g_assert_nonnull(strstr(all, c->name));
    }
    for (const HmpCommand *c = hmp_info_commands; c->name; c++) {
        g_autofree char *name = g_strdup_printf("info %s ", c->name);

        g_assert_nonnull(strstr(info, name));
    }
}

static void test_suspend_holds_lines_until_resume(Fixture *f,
                                                  const void *unused)
{
    static const char typed[] = "migrate tcp:x\ninfo name\n";
    g_autofree char *before = NULL, *after = NULL;

    fake_chardev_type(f->chr, typed, strlen(typed));
    before = fake_chardev_take(f->chr);
    g_assert_cmpstr(before, ==, "migrate tcp:x\r\n");
    hmp_resume(f->machine.waiting);
    after = fake_chardev_take(f->chr);
    g_assert_cmpstr(after, ==, PROMPT "info name\r\ndemo\r\n" PROMPT);
}

static void test_deferred_holds_lines_until_its_end(Fixture *f,
                                                    const void *unused)
{
    static const char typed[] = "system_reset\ninfo name\n";
    g_autoptr(GError) error = NULL;
    g_autofree char *before = NULL, *after = NULL;

    f->machine.defers = true;
    fake_chardev_type(f->chr, typed, strlen(typed));
    before = fake_chardev_take(f->chr);
    g_assert_cmpstr(before, ==, "system_reset\r\n");
    tm_error_set(&error, "disk full");
    qmp_deferred_end(g_steal_pointer(&f->machine.deferred), error);
    after = fake_chardev_take(f->chr);
    g_assert_cmpstr(after, ==, "Error: disk full\r\n" PROMPT
                    "info name\r\ndemo\r\n" PROMPT);
    fake_chardev_type(f->chr, "system_reset\n", 13);
    monitors_free(g_steal_pointer(&f->monitors));
    qmp_deferred_end(g_steal_pointer(&f->machine.deferred), NULL);
}

/* Whoever comes next neither waits nor is told of it. */
static void test_deferred_outlives_its_terminal(Fixture *f,
                                                const void *unused)
{
    g_autofree char *hello = NULL, *late = NULL, *answer = NULL;
    QmpDeferred *first;

    f->machine.defers = true;
    fake_chardev_type(f->chr, "system_reset\n", 13);
    first = g_steal_pointer(&f->machine.deferred);
    fake_chardev_close(f->chr);
    fake_chardev_open(f->chr);
    hello = fake_chardev_take(f->chr);
    g_assert_true(g_str_has_suffix(hello, BANNER PROMPT));
    fake_chardev_type(f->chr, "system_reset\n", 13);
    qmp_deferred_end(first, NULL);
    late = fake_chardev_take(f->chr);
    g_assert_cmpstr(late, ==, "system_reset\r\n");
    qmp_deferred_end(g_steal_pointer(&f->machine.deferred), NULL);
    answer = fake_chardev_take(f->chr);
    g_assert_cmpstr(answer, ==, PROMPT);
}

static void test_slow_terminal_holds_lines(Fixture *f, const void *unused)
{
    g_autofree char *text = NULL;

    fake_chardev_stall(f->chr, true);
    fake_chardev_type(f->chr, "info name\nsystem_reset\n", 23);
    g_assert_cmpstr(f->machine.log->str, ==, "");
    fake_chardev_stall(f->chr, false);
    g_assert_cmpstr(f->machine.log->str, ==, "reset;");
    text = fake_chardev_take(f->chr);
    g_assert_cmpstr(text, ==, "info name\r\ndemo\r\n" PROMPT
                    "system_reset\r\n" PROMPT);
}

static void test_quit_does_not_prompt_again(Fixture *f, const void *unused)
{
    g_autofree char *text = NULL;

    fake_chardev_type(f->chr, "q\n", 2);
    text = fake_chardev_take(f->chr);
    g_assert_cmpstr(text, ==, "q\r\n");
    g_assert_cmpuint(f->machine.quits, ==, 1);
}

static void test_session_reconnect_prompts_again(Fixture *f,
                                                 const void *unused)
{
    g_autofree char *text = NULL;

    fake_chardev_type(f->chr, "half a li", 9);
    fake_chardev_close(f->chr);
    g_free(fake_chardev_take(f->chr));
    fake_chardev_open(f->chr);
    text = fake_chardev_take(f->chr);
    g_assert_cmpstr(text, ==, BANNER PROMPT);
    g_free(run(f, "info name"));
}

/* -- expressions */

static void test_expr_values(void)
{
    static const struct {
        const char *text;
        uint64_t value;
    } table[] = {
        { "0", 0 }, { "010", 8 }, { "0x10", 16 }, { "1+2*3", 7 },
        { "(1+2)*3", 9 }, { "7%4", 3 }, { "-1", UINT64_MAX }, { "~0", UINT64_MAX },
        { "0xff&0x0f", 15 }, { "1|6", 7 }, { "5^1", 4 }, { "'a'", 97 },
        { "1-2", UINT64_MAX }, { "8/2/2", 2 }, { "- -1", 1 },
        { "0xffffffffffffffff", UINT64_MAX }, { "1 + 2", 3 }, { "8 / 2", 4 },
        { "(8 /2)", 4 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        const char *at = table[i].text;
        g_autoptr(GError) error = NULL;
        uint64_t value = 0;

        hmp_expr(&at, NULL, &value, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(value, ==, table[i].value);
        g_assert_cmpstr(at, ==, "");
    }
}

static void test_expr_errors(void)
{
    static const char *const table[] = {
        "", "+", "1+", "(1", "1/0", "1%0", "x", "1x", "'", "'ab'", "$", "$rip",
        "0x10000000000000000", ")", "*1",
    };
    g_autofree char *deep = g_strnfill(100000, '(');
    const char *at = deep;
    uint64_t value = 77;

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GError) error = NULL;
        const char *text = table[i];

        g_assert_false(hmp_expr(&text, NULL, &value, &error));
        g_assert_nonnull(error);
    }
    g_assert_false(hmp_expr(&at, NULL, &value, NULL));
    g_assert_cmpuint(value, ==, 77);
}

static void test_args_size_and_range(void)
{
    static const char *const table[][3] = {
        { "a:o", " 1", "{\"a\": 1048576}" },
        { "a:o", " 2K", "{\"a\": 2048}" },
        { "a:i", " 0x100000000", NULL },
        { "a:i", " -1", "{\"a\": -1}" },
        { "a:l,b:l?", " 1 2", "{\"a\": 1, \"b\": 2}" },
        { "a:l,b:l?", " 1", "{\"a\": 1}" },
        { "a:l,b:l?", " 1 -2", "{\"a\": 1, \"b\": -2}" },
        { "a:l,b:s", " 8 /tmp/x", "{\"a\": 8, \"b\": \"/tmp/x\"}" },
        { "a:S", "  x y  ", "{\"a\": \"x y\"}" },
        { "a:s", " \"x y", NULL },
        { "f:-f,g:-g,a:s", " -g -f v", "{\"g\": true, \"f\": true, "
          "\"a\": \"v\"}" },
        { "a:s", " -f", "{\"a\": \"-f\"}" },
        { "a:s,f:-fs,b:s?", " x -f png y", "{\"a\": \"x\", \"f\": "
          "\"png\", \"b\": \"y\"}" },
        { "a:s,f:-fs,b:s?", " -f png x", "{\"f\": \"png\", "
          "\"a\": \"x\"}" },
        { "a:s,f:-fs,b:s?", " x", "{\"a\": \"x\"}" },
        { "a:s,f:-fs,b:s?", " x y", "{\"a\": \"x\", \"b\": \"y\"}" },
        { "a:s,f:-fs,b:s?", " x y -f png", NULL },
        { "a:s,f:-fs,b:s?", " x -f", NULL },
        { "a:s,f:-fs,b:s?", " x -g png", NULL },
        { "", " x", NULL },
        { "", "  ", "{}" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonObject) args = hmp_parse_args(table[i][0], table[i][1],
                                                    NULL, &error);
        g_autoptr(JsonNode) node = NULL;
        g_autofree char *text = NULL;

        if (args) {
            node = json_node_init_object(json_node_alloc(), args);
            text = json_text_to_string(node);
        }
        g_assert_cmpstr(text, ==, table[i][2]);
        g_assert_true(!args == !!error);
    }
}

/* -- line editing */

/* Lines finished by @typed, each followed by "|". */
static char *edit(const char *typed, GString *echo)
{
    Readline *rl = readline_new();
    GString *out = g_string_new(NULL);

    for (; *typed; typed++) {
        g_autofree char *line = readline_feed(rl, *typed, echo);

        if (line) {
            g_string_append_printf(out, "%s|", line);
        }
    }
    readline_free(rl);
    return g_string_free(out, FALSE);
}

static void test_readline_edits(void)
{
    static const char *const table[][2] = {
        { "ab\n", "ab|" },
        { "ab\r\ncd\r", "ab|cd|" },
        { "\n\n", "||" },
        { "ax\x7f" "b\n", "ab|" },
        { "\x7f\x7f" "a\n", "a|" },
        { "junk\x15ok\n", "ok|" },
        { "one two\x17three\n", "one three|" },
        { "a\x1b[Db\x1b[3~c\n", "abc|" },
        { "one\ntwo\n\x1b[A\x1b[A\n", "one|two|one|" },
        { "one\n\x10\x0ex\n", "one|x|" },
        { "a\tb\n", "ab|" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(GString) echo = g_string_new(NULL);
        g_autofree char *out = edit(table[i][0], echo);

        g_assert_cmpstr(out, ==, table[i][1]);
    }
}

static void test_readline_echoes(void)
{
    g_autoptr(GString) echo = g_string_new(NULL);
    g_autofree char *out = edit("ax\x7f" "b\n", echo);

    g_assert_cmpstr(echo->str, ==, "ax\b \bb\r\n");
}

static void test_readline_long_line_is_bounded(void)
{
    g_autofree char *long_line = g_strnfill(100000, 'x');
    g_autofree char *typed = g_strconcat(long_line, "\n", NULL);
    g_autoptr(GString) echo = g_string_new(NULL);
    g_autofree char *out = edit(typed, echo);

    g_assert_cmpuint(strlen(out), ==, READLINE_MAX_LINE + 1);
}

static void add(const char *path, void (*test)(Fixture *, const void *))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/hmp/line/golden-text", test_line_golden_text);
    add("/hmp/line/without-kvm-is-one-line",
        test_line_without_kvm_is_one_line);
    add("/hmp/line/arguments-reach-handler",
        test_line_arguments_reach_handler);
    add("/hmp/line/with-bad-picture-format",
        test_line_with_bad_picture_format);
    add("/hmp/help/lists-all", test_help_lists_all);
    add("/hmp/suspend/holds-lines-until-resume",
        test_suspend_holds_lines_until_resume);
    add("/hmp/deferred/holds-lines-until-its-end",
        test_deferred_holds_lines_until_its_end);
    add("/hmp/deferred/outlives-its-terminal",
        test_deferred_outlives_its_terminal);
    add("/hmp/slow-terminal/holds-lines", test_slow_terminal_holds_lines);
    add("/hmp/quit/does-not-prompt-again", test_quit_does_not_prompt_again);
    add("/hmp/session/reconnect-prompts-again",
        test_session_reconnect_prompts_again);
    g_test_add_func("/hmp/expr/values", test_expr_values);
    g_test_add_func("/hmp/expr/errors", test_expr_errors);
    g_test_add_func("/hmp/args/size-and-range", test_args_size_and_range);
    g_test_add_func("/hmp/readline/edits", test_readline_edits);
    g_test_add_func("/hmp/readline/echoes", test_readline_echoes);
    g_test_add_func("/hmp/readline/long-line-is-bounded",
                    test_readline_long_line_is_bounded);
    return g_test_run();
}
