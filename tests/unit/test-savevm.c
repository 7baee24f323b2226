/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole stream, written by one machine and read by another: golden bytes,
 * the description as tools find it, every refusal, every truncation, random
 * damage, the return path.
 */
#include <glib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#include "io/channel-kinds.h"
#include "migration/wire.h"
#include "system/big-lock.h"
#include "system/runstate.h"
#include "system/vm-clock.h"
#include "tests/unit/fake-stream.h"
#include "util/byteorder.h"

#define NAME "toy-1.0"

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

/* The stream of a machine in @state with some values in its devices. */
static GByteArray *source_stream(RunState state, unsigned parts, bool rp,
                                 size_t *ret_end)
{
    GByteArray *bytes;
    ToyMachine fm;

    toy_machine_init(&fm, NAME, state);
    vm_clock_set_ns(fm.vm, 123456789);
    fm.alpha = (FakeAlpha){ 0xdeadbeef, { 1, 2, 3, 4 }, 9 };
    fm.beta[0].port = 0x3f8;
    fm.beta[1].port = 0x2f8;
    bytes = toy_machine_save(&fm, parts, rp, ret_end);
    toy_machine_done(&fm);
    return bytes;
}

static const char golden[] =
    "QEVM\0\0\0\3" "\7\0\0\0\7toy-1.0"
    "\1\0\0\0\1\7numbers\0\0\0\0\0\0\0\4" "\x11\x11\x11\x11" "\x7e\0\0\0\1"
    "\2\0\0\0\1" "\0\0\0\1" "\x7e\0\0\0\1"
    "\x08\0\x0b\0\0"
    "\3\0\0\0\1" "\0\0\0\2" "\x7e\0\0\0\1"
    "\4\0\0\0\0\5timer\0\0\0\0\0\0\0\2"
    "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0\x07\x5b\xcd\x15"
    "\x7e\0\0\0\0"
    "\4\0\0\0\2\5alpha\0\0\0\0\0\0\0\3" "\xde\xad\xbe\xef\1\2\3\4"
    "\5\x0b" "alpha/extra\0\0\0\1\x09" "\x7e\0\0\0\2"
    "\4\0\0\0\3\4beta\0\0\0\0\0\0\0\1" "\3\xf8" "\x7e\0\0\0\3"
    "\4\0\0\0\4\4beta\0\0\0\1\0\0\0\1" "\2\xf8" "\x7e\0\0\0\4"
    "\4\0\0\0\5\x0bglobalstate\0\0\0\0\0\0\0\1" "\0\0\0\7paused\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0" "\1\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\x7e\0\0\0\5" "\0\6";

static void test_save_golden(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 1, false,
                                                &end);

    g_assert_cmpuint(end, ==, sizeof(golden) - 1 - 2);
    for (size_t i = 0; i < sizeof(golden) - 1; i++) {
        if (bytes->data[i] != (uint8_t)golden[i]) {
            g_test_message("byte %zu is 0x%02x instead of 0x%02x", i,
                           bytes->data[i], (uint8_t)golden[i]);
            g_test_fail();
        }
    }
    g_assert_cmpuint(load_be32(bytes->data + end + 2), ==,
                     bytes->len - end - 6);
}

/* As tools do it: the last zero byte, then the first brace after it. */
static void test_description_is_found_from_the_end(void)
{
    size_t end, at;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, false,
                                                &end);
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonArray *devices;
    JsonObject *root, *beta;

    for (at = bytes->len; bytes->data[at - 1]; at--) {
        continue;
    }
    while (bytes->data[at] != '{') {
        at++;
    }
    g_assert_cmpuint(bytes->data[at - 5], ==, WIRE_SECTION_DESCRIPTION);
    g_assert_cmpuint(at, ==, end + 6);
    g_assert_true(json_parser_load_from_data(
        parser, (char *)bytes->data + at, bytes->len - at, NULL));
    root = json_node_get_object(json_parser_get_root(parser));
    g_assert_cmpint(json_object_get_int_member(root, "page_size"), ==, 4096);
    g_assert_cmpint(json_object_get_int_member(
        json_object_get_object_member(root, "configuration"), "version"),
        ==, 1);
    devices = json_object_get_array_member(root, "devices");
    g_assert_cmpuint(json_array_get_length(devices), ==, 5);
    beta = json_array_get_object_element(devices, 3);
    g_assert_cmpstr(json_object_get_string_member(beta, "name"), ==, "beta");
    g_assert_cmpint(json_object_get_int_member(beta, "instance_id"), ==, 1);
}

static void test_load_round_trip(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 5, false,
                                                &end);
    g_autoptr(GError) error = NULL;
    ToyMachine fm;

    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    g_assert_true(toy_machine_load(&fm, bytes->data, bytes->len, NULL,
                                    &error));
    g_assert_no_error(error);
    g_assert_cmphex(fm.alpha.reg, ==, 0xdeadbeef);
    g_assert_cmpuint(fm.alpha.fifo[3], ==, 4);
    g_assert_cmpuint(fm.alpha.extra, ==, 9);
    g_assert_cmphex(fm.beta[0].port, ==, 0x3f8);
    g_assert_cmphex(fm.beta[1].port, ==, 0x2f8);
    g_assert_cmpuint(fm.live.starts, ==, 1);
    g_assert_cmpuint(fm.live.parts, ==, 5);
    g_assert_cmpuint(fm.live.ends, ==, 1);
    g_assert_cmpuint(fm.live.got, ==, 1 + 2 + 3 + 4 + 5 + 6);
    g_assert_cmpint(vm_clock_ns(fm.vm), ==, 123456789);
    g_assert_cmpint(runstate_get(fm.vm), ==, RUN_STATE_PAUSED);
    toy_machine_done(&fm);
}

/* ---- run states ------------------------------------------------------ */

static RunState arrive(RunState source, bool autostart, bool store,
                       bool *ret_suspended)
{
    g_autoptr(GByteArray) bytes = NULL;
    g_autoptr(GError) error = NULL;
    ToyMachine fm;
    RunState state;
    size_t end;

    toy_machine_init(&fm, NAME, source);
    fm.options.props.store_global_state = store;
    bytes = toy_machine_save(&fm, 0, false, &end);
    toy_machine_done(&fm);
    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    fm.vm->autostart = autostart;
    g_assert_true(toy_machine_load(&fm, bytes->data, bytes->len, NULL,
                                    &error));
    g_assert_no_error(error);
    state = runstate_get(fm.vm);
    *ret_suspended = vm_was_suspended(fm.vm);
    toy_machine_done(&fm);
    return state;
}

static void test_load_enters_the_sources_state(void)
{
    static const struct {
        RunState source, started, held; /* held: the destination has -S */
    } rows[] = {
        { RUN_STATE_RUNNING, RUN_STATE_RUNNING, RUN_STATE_PAUSED },
        { RUN_STATE_PAUSED, RUN_STATE_PAUSED, RUN_STATE_PAUSED },
        { RUN_STATE_SUSPENDED, RUN_STATE_SUSPENDED, RUN_STATE_PAUSED },
        { RUN_STATE_PRELAUNCH, RUN_STATE_PRELAUNCH, RUN_STATE_PRELAUNCH },
        { RUN_STATE_SHUTDOWN, RUN_STATE_SHUTDOWN, RUN_STATE_SHUTDOWN },
        { RUN_STATE_INTERNAL_ERROR, RUN_STATE_INTERNAL_ERROR,
          RUN_STATE_INTERNAL_ERROR },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool suspended;

        g_assert_cmpint(arrive(rows[i].source, true, true, &suspended), ==,
                        rows[i].started);
        g_assert_cmpint(arrive(rows[i].source, false, true, &suspended), ==,
                        rows[i].held);
        g_assert_cmpint(suspended, ==,
                        rows[i].source == RUN_STATE_SUSPENDED);
    }
}

/* Without the section a destination runs; other states insist on it. */
static void test_global_state_may_stay_away(void)
{
    bool suspended;

    g_assert_cmpint(arrive(RUN_STATE_PAUSED, true, false, &suspended), ==,
                    RUN_STATE_RUNNING);
    g_assert_cmpint(arrive(RUN_STATE_PRELAUNCH, true, false, &suspended), ==,
                    RUN_STATE_PRELAUNCH);
}

/* ---- refusals -------------------------------------------------------- */

/* Load @bytes into a machine; it must fail, leave it waiting, and say so. */
static void refuse(const void *data, size_t len, const char *name,
                   const char *words)
{
    g_autoptr(GError) error = NULL;
    ToyMachine fm;

    toy_machine_init(&fm, name, RUN_STATE_INMIGRATE);
    fm.vm->autostart = true;
    g_assert_false(toy_machine_load(&fm, data, len, NULL, &error));
    g_assert_cmpint(runstate_get(fm.vm), ==, RUN_STATE_INMIGRATE);
    g_assert_nonnull(strstr(error->message, ", byte "));
    expect_words(&error, words);
    toy_machine_done(&fm);
}

static void test_load_other_machine_is_refused(void)
{
    static const char *const others[] = { "toy-1.1", "toy-1.0x", "x" };
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, false,
                                                &end);

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        refuse(bytes->data, bytes->len, others[i],
               "the configuration, byte 20: the source is a machine "
               "'toy-1.0', this is a '");
    }
    refuse("QEVM\0\0\0\3\7\0\0\0\0\0", 14, NAME, "machine ''");
}

static void test_load_every_truncation_is_refused(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 1, false,
                                                &end);

    for (size_t n = 0; n <= end; n++) {
        /* A cut subsection is none, and then the footer is missing. */
        refuse(bytes->data, n, NAME, n >= 159 && n < 171
               ? "expected the section's footer" : "the stream ends at byte ");
    }
}

/* From the end byte on, everything is there: the rest is for tools. */
static void test_load_without_description_is_whole(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 1, false,
                                                &end);

    for (size_t n = end + 1; n < bytes->len; n += 37) {
        g_autoptr(GError) error = NULL;
        ToyMachine fm;

        toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
        g_assert_true(toy_machine_load(&fm, bytes->data, n, NULL, &error));
        toy_machine_done(&fm);
    }
}

/* Replace @from by @to once, in a copy that may change its length. */
static GByteArray *edit(const GByteArray *bytes, const void *from,
                        size_t from_len, const void *to, size_t to_len)
{
    GByteArray *copy = g_byte_array_new();
    uint8_t *at = memmem(bytes->data, bytes->len, from, from_len);

    g_assert_nonnull(at);
    g_byte_array_append(copy, bytes->data, at - bytes->data);
    g_byte_array_append(copy, to, to_len);
    g_byte_array_append(copy, at + from_len,
                        bytes->data + bytes->len - at - from_len);
    return copy;
}

#define EDIT(from, to, words) { from, sizeof(from) - 1, to, sizeof(to) - 1, \
                                words }

static void test_load_damage_is_named(void)
{
    static const struct {
        const char *from;
        size_t from_len;
        const char *to;
        size_t to_len;
        const char *words;
    } rows[] = {
        EDIT("QEVM", "QEVN", "the header, byte 4: not a migration stream"),
        EDIT("\0\0\0\3\7", "\0\0\0\4\7", "version 4 is not supported"),
        EDIT("\7\0\0\0\7", "\6\0\0\0\7", "expected the configuration"),
        EDIT("\5alpha\0", "\5delta\0",
             "section 'delta', instance 0, byte 150: this machine has no "
             "such device"),
        EDIT("\4beta\0\0\0\1", "\4beta\0\0\0\2",
             "section 'beta', instance 2, byte 224: this machine has no"),
        EDIT("\5alpha\0\0\0\0\0\0\0\3", "\5alpha\0\0\0\0\0\0\0\4",
             "'alpha' has version 4, newer than 3"),
        EDIT("\5alpha\0\0\0\0\0\0\0\3", "\5alpha\0\0\0\0\0\0\0\1",
             "'alpha' has version 1, older than 2"),
        EDIT("\5alpha\0\0\0\0\0\0\0\3", "\5alpha\0\0\0\0\xff\xff\xff\xff",
             "newer than 3"),
        EDIT("alpha/extra", "alpha/extrb",
             "unknown subsection 'alpha/extrb' of 'alpha'"),
        EDIT("alpha/extra", "alpha/ext\x1b" "a", "is not plain text"),
        EDIT("\4beta\0\0\0\1", "\4\xe2" "eta\0\0\0\1", "is not plain text"),
        EDIT("toy-1.0", "toy-1\n0", "machine name is not plain text"),
        EDIT("paused", "pau\ned", "run state is not plain text"),
        EDIT("\3\xf8\x7e", "\xff\xff\x7e",
             "cannot load 'beta': port 0xffff is impossible"),
        EDIT("\x7e\0\0\0\3", "\x7e\0\0\0\4", "footer is of section id 4"),
        EDIT("\x7e\0\0\0\3", "", "expected the section's footer"),
        EDIT("numbers\0\0\0\0\0\0\0\4", "numbers\0\0\0\0\0\0\0\3",
             "section 'numbers', instance 0, byte 41: the section has "
             "version 3, only 4 is known"),
        EDIT("numbers\0\0\0\0", "numbert\0\0\0\0", "no such section in parts"),
        EDIT("\2\0\0\0\1\0\0\0\1", "\2\0\0\0\7\0\0\0\1",
             "section id 7, which was not started"),
        EDIT("\x08\0\x0b\0\0", "\x08\0\x0c\0\0", "unknown command 12"),
        EDIT("\x08\0\x0b\0\0", "\x08\0\x03\0\0",
             "command POSTCOPY_ADVISE, byte 69: the command is not "
             "supported"),
        EDIT("\x08\0\x0b\0\0", "\x08\0\1\0\0",
             "command OPEN_RETURN_PATH, byte 69: this channel cannot"),
        EDIT("\x08\0\x0b\0\0", "\x08\0\2\0\4\0\0\0\1",
             "command PING, byte 73: the return path is not open"),
        EDIT("\x08\0\x0b\0\0", "\x09", "unknown section type 0x09"),
        EDIT("\x08\0\x0b\0\0",
             "\1\0\0\0\x9\7numbers\0\0\0\0\0\0\0\4\x11\x11\x11\x11"
             "\x7e\0\0\0\x9", "the section was started before"),
        EDIT("\4\0\0\0\3\4beta\0\0\0\0\0\0\0\1\3\xf8\x7e\0\0\0\3", "",
             "the end, byte 341: section 'beta', instance 0 is missing"),
        EDIT("paused", "asleep", "unknown run state 'asleep'"),
        EDIT("\0\0\0\7paused\0", "\0\0\0\7save-vm",
             "run state 'save-vm' cannot be entered here"),
    };
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 1, false,
                                                &end);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) bad = edit(bytes, rows[i].from, rows[i].from_len,
                                         rows[i].to, rows[i].to_len);

        g_test_message("row %u", i);
        refuse(bad->data, bad->len, NAME, rows[i].words);
    }
}

static void test_load_part_after_end_is_refused(void)
{
    static const char part[] = "\2\0\0\0\1\0\0\0\1\x7e\0\0\0\1";
    static const char timer[] = "\4\0\0\0\0\5timer";
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 1, false,
                                                &end);
    g_autofree char *both = g_malloc(sizeof(part) + sizeof(timer) - 2);
    g_autoptr(GByteArray) bad = NULL;

    memcpy(both, part, sizeof(part) - 1);
    memcpy(both + sizeof(part) - 1, timer, sizeof(timer) - 1);
    bad = edit(bytes, timer, sizeof(timer) - 1, both,
               sizeof(part) + sizeof(timer) - 2);
    refuse(bad->data, bad->len, NAME, "the section had ended");
}

/* Any byte changed to any value: loads or is refused, nothing else. */
static void test_load_random_damage_never_crashes(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 2, false,
                                                &end);
    ToyMachine fm;

    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    for (unsigned i = 0; i < 4096; i++) {
        g_autofree uint8_t *bad = g_memdup2(bytes->data, bytes->len);
        g_autoptr(GError) error = NULL;
        unsigned n = g_test_rand_int_range(1, 4);

        while (n--) {
            bad[g_test_rand_int_range(0, end)] = g_test_rand_int();
        }
        if (!toy_machine_load(&fm, bad, bytes->len, NULL, &error)) {
            g_assert_nonnull(error);
        }
        runstate_set(fm.vm, RUN_STATE_PRELAUNCH);
        runstate_set(fm.vm, RUN_STATE_INMIGRATE);
    }
    toy_machine_done(&fm);
}

/* ---- options --------------------------------------------------------- */

static void test_uuid_is_compared(void)
{
    static const struct {
        bool cap, source, dest;
        uint8_t dest_byte;
        const char *words;
    } rows[] = {
        { true, true, true, 7, NULL },
        { true, true, false, 0, NULL },
        { true, false, true, 8, NULL },
        { false, true, true, 8, NULL },
        { true, true, true, 8, "the source's UUID is 07070707-0707-0707-0707-"
          "070707070707, here it is 08080808-0808-0808-0808-080808080808" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) bytes = NULL;
        g_autoptr(GError) error = NULL;
        ToyMachine fm;
        size_t end;
        bool ok;

        toy_machine_init(&fm, NAME, RUN_STATE_PAUSED);
        fm.options.caps = (uint64_t)rows[i].cap
            << MIGRATION_CAPABILITY_VALIDATE_UUID;
        fm.vm->has_uuid = rows[i].source;
        memset(fm.vm->uuid, 7, 16);
        bytes = toy_machine_save(&fm, 0, false, &end);
        toy_machine_done(&fm);
        toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
        fm.vm->has_uuid = rows[i].dest;
        memset(fm.vm->uuid, rows[i].dest_byte, 16);
        ok = toy_machine_load(&fm, bytes->data, bytes->len, NULL, &error);
        g_assert_cmpint(ok, ==, !rows[i].words);
        if (!ok) {
            expect_words(&error, rows[i].words);
        }
        toy_machine_done(&fm);
    }
}

static void test_foreign_capabilities_are_refused_by_name(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, false,
                                                &end);
    g_autoptr(GByteArray) bad = edit(bytes, "toy-1.0", 7,
        "toy-1.0\5\x1a" "configuration/capabilities\0\0\0\1\0\0\0\1"
        "\6x-colo", 50);
    g_autoptr(GByteArray) none = edit(bytes, "toy-1.0", 7,
        "toy-1.0\5\x1a" "configuration/capabilities\0\0\0\1\0\0\0\0", 43);
    g_autoptr(GError) error = NULL;
    ToyMachine fm;

    refuse(bad->data, bad->len, NAME,
           "the source has capability 'x-colo' on, which is not");
    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    g_assert_true(toy_machine_load(&fm, none->data, none->len, NULL,
                                    &error));
    toy_machine_done(&fm);
}

static void test_framing_properties(void)
{
    for (unsigned i = 0; i < 8; i++) {
        g_autoptr(GByteArray) bytes = NULL;
        g_autoptr(GError) error = NULL;
        ToyMachine fm;
        size_t end;

        toy_machine_init(&fm, NAME, RUN_STATE_PAUSED);
        fm.options.props.send_configuration = i & 1;
        fm.options.props.send_section_footer = i & 2;
        fm.options.props.send_switchover_start = i & 4;
        bytes = toy_machine_save(&fm, 3, false, &end);
        toy_machine_done(&fm);
        g_assert_cmpint(bytes->data[8] == WIRE_SECTION_CONFIGURATION, ==,
                        i & 1);
        g_assert_cmpint(!!memmem(bytes->data, bytes->len, "\x08\0\x0b\0\0", 5),
                        ==, !!(i & 4));
        toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
        fm.options.props.send_configuration = i & 1;
        fm.options.props.send_section_footer = i & 2;
        g_assert_true(toy_machine_load(&fm, bytes->data, bytes->len, NULL,
                                        &error));
        g_assert_no_error(error);
        toy_machine_done(&fm);
    }
}

static void test_section_error_names_it(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, false,
                                                &end);
    g_autoptr(GError) error = NULL;
    ToyMachine fm;

    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    fm.live.fail_load = true;
    g_assert_false(toy_machine_load(&fm, bytes->data, bytes->len, NULL,
                                     &error));
    expect_words(&error, "section 'numbers', instance 0, byte 45: no room");
    toy_machine_done(&fm);
}

/* ---- return path ----------------------------------------------------- */

static void check_answers(bool ack, bool fail, const void *want, size_t n)
{
    size_t end, len;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, true,
                                                &end);
    g_autoptr(Channel) back = channel_buffer_new(NULL, 0);
    g_autoptr(GError) error = NULL;
    const uint8_t *data;
    ToyMachine fm;

    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    fm.live.fail_load = fail;
    fm.options.caps = (uint64_t)ack << MIGRATION_CAPABILITY_SWITCHOVER_ACK;
    g_assert_cmpint(toy_machine_load(&fm, bytes->data, bytes->len, back,
                                      &error), ==, !fail);
    data = channel_buffer_data(back, &len);
    g_assert_cmpmem(data, len, want, n);
    toy_machine_done(&fm);
}

static void test_return_path_answers(void)
{
    check_answers(false, false, "\0\2\0\4\0\0\0\1\0\1\0\4\0\0\0\0", 16);
    check_answers(false, true, "\0\2\0\4\0\0\0\1\0\1\0\4\0\0\0\1", 16);
    check_answers(true, false, "\0\7\0\0\0\2\0\4\0\0\0\1\0\1\0\4\0\0\0\0",
                  20);
}

static void test_return_path_that_is_closed_fails_the_load(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, true,
                                                &end);
    g_autoptr(Channel) back = channel_buffer_new(NULL, 0);
    g_autoptr(GError) error = NULL;
    ToyMachine fm;

    channel_shutdown(back);
    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    g_assert_false(toy_machine_load(&fm, bytes->data, bytes->len, back,
                                     &error));
    expect_words(&error, "cannot answer on the return path");
    toy_machine_done(&fm);
}

/* ---- sections that are sent whole ------------------------------------ */

static bool whole_complete(void *opaque, Stream *s, GError **error)
{
    stream_put_be16(s, 0x5757);
    return true;
}

static bool whole_load(void *opaque, Stream *s, WireSection type,
                       uint32_t version, GError **error)
{
    g_assert_cmpint(type, ==, WIRE_SECTION_FULL);
    g_assert_cmpuint(version, ==, 7);
    *(uint16_t *)opaque = stream_get_be16(s);
    return true;
}

static const SectionOps whole_ops = { .complete = whole_complete,
                                      .load = whole_load };

/* The stream of a machine with one; parts are as if there were none. */
static GByteArray *whole_stream(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    g_autoptr(SaveVm) sv = NULL;
    LiveSection live[2];
    const uint8_t *data;
    GByteArray *bytes;
    ToyMachine fm;
    size_t n;

    toy_machine_init(&fm, NAME, RUN_STATE_PAUSED);
    live[0] = fake_live_section(&fm);
    live[1] = (LiveSection){ "whole", 3, 7, &whole_ops, NULL };
    sv = savevm_new(fm.vm, &fm.options, live, 2);
    g_assert_true(savevm_put_header(sv, s, &error));
    g_assert_true(savevm_setup(sv, s, &error));
    g_assert_cmpuint(savevm_pending(sv, false), ==, 4);
    g_assert_cmpint(savevm_iterate(sv, s, &error), ==, 0);
    savevm_note_runstate(sv);
    g_assert_true(savevm_complete(sv, s, &error));
    g_assert_true(savevm_collect_devices(sv, &error));
    g_assert_true(savevm_put_devices(sv, s, &error));
    g_assert_true(savevm_put_end(sv, s, &error));
    g_assert_no_error(error);
    data = stream_memory(s, &n);
    bytes = g_byte_array_append(g_byte_array_new(), data, n);
    toy_machine_done(&fm);
    return bytes;
}

static bool load_whole(const GByteArray *bytes, bool known, GError **error)
{
    g_autoptr(Stream) s = stream_new_memory_input(bytes->data, bytes->len);
    g_autoptr(LoadVm) lv = NULL;
    uint16_t value = 0;
    LiveSection live[2];
    ToyMachine fm;
    bool ok;

    toy_machine_init(&fm, NAME, RUN_STATE_INMIGRATE);
    live[0] = fake_live_section(&fm);
    live[1] = (LiveSection){ "whole", 3, 7, &whole_ops, &value };
    lv = loadvm_new(fm.vm, &fm.options, NULL, live, known ? 2 : 1);
    big_unlock();
    ok = loadvm_run(lv, s, error);
    big_lock();
    g_assert_cmphex(value, ==, ok ? 0x5757 : 0);
    toy_machine_done(&fm);
    return ok;
}

static void test_whole_section_is_between_parts_and_devices(void)
{
    static const char want[] =
        "\1\0\0\0\1\7numbers\0\0\0\0\0\0\0\4" "\x11\x11\x11\x11"
        "\x7e\0\0\0\1" "\2\0\0\0\1" "\0\0\0\1" "\x7e\0\0\0\1"
        "\3\0\0\0\1" "\0\0\0\2" "\x7e\0\0\0\1"
        "\4\0\0\0\2\5whole\0\0\0\3\0\0\0\7" "WW" "\x7e\0\0\0\2"
        "\4\0\0\0\0\5timer";
    g_autoptr(GByteArray) bytes = whole_stream();
    g_autoptr(GError) error = NULL;

    g_assert_cmpmem(bytes->data + 20, sizeof(want) - 1, want,
                    sizeof(want) - 1);
    g_assert_true(load_whole(bytes, true, &error));
    g_assert_no_error(error);
    g_assert_false(load_whole(bytes, false, &error));
    expect_words(&error, "section 'whole', instance 3, byte");
}

static void test_whole_section_must_have_come(void)
{
    size_t end;
    g_autoptr(GByteArray) bytes = source_stream(RUN_STATE_PAUSED, 0, false,
                                                &end);
    g_autoptr(GError) error = NULL;

    g_assert_false(load_whole(bytes, true, &error));
    expect_words(&error, "section 'whole' is missing");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/savevm/save/golden", test_save_golden);
    g_test_add_func("/savevm/save/description-is-found-from-the-end",
                    test_description_is_found_from_the_end);
    g_test_add_func("/savevm/load/round-trip", test_load_round_trip);
    g_test_add_func("/savevm/load/enters-the-sources-state",
                    test_load_enters_the_sources_state);
    g_test_add_func("/savevm/load/global-state-may-stay-away",
                    test_global_state_may_stay_away);
    g_test_add_func("/savevm/load/other-machine-is-refused",
                    test_load_other_machine_is_refused);
    g_test_add_func("/savevm/load/every-truncation-is-refused",
                    test_load_every_truncation_is_refused);
    g_test_add_func("/savevm/load/without-description-is-whole",
                    test_load_without_description_is_whole);
    g_test_add_func("/savevm/load/damage-is-named", test_load_damage_is_named);
    g_test_add_func("/savevm/load/part-after-end-is-refused",
                    test_load_part_after_end_is_refused);
    g_test_add_func("/savevm/load/random-damage-never-crashes",
                    test_load_random_damage_never_crashes);
    g_test_add_func("/savevm/uuid/is-compared", test_uuid_is_compared);
    g_test_add_func("/savevm/capabilities/foreign-ones-are-refused",
                    test_foreign_capabilities_are_refused_by_name);
    g_test_add_func("/savevm/properties/framing", test_framing_properties);
    g_test_add_func("/savevm/load/section-error-names-it",
                    test_section_error_names_it);
    g_test_add_func("/savevm/whole/is-between-parts-and-devices",
                    test_whole_section_is_between_parts_and_devices);
    g_test_add_func("/savevm/whole/must-have-come",
                    test_whole_section_must_have_come);
    g_test_add_func("/savevm/return-path/answers", test_return_path_answers);
    g_test_add_func("/savevm/return-path/closed-fails-the-load",
                    test_return_path_that_is_closed_fails_the_load);
    return g_test_run();
}
