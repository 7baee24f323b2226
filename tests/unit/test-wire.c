/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The framing, byte by byte: golden bytes for every header, every refusal,
 * and random bytes that must never be more than refused.
 */
#include <glib.h>
#include <string.h>

#include "migration/wire.h"

#define BYTES(text) text, sizeof(text) - 1

static void expect(Stream *s, const void *bytes, size_t n)
{
    const uint8_t *data;
    size_t len;

    stream_flush(s);
    data = stream_memory(s, &len);
    g_assert_cmpmem(data, len, bytes, n);
}

static void expect_words(GError **error, const char *words)
{
    g_assert_nonnull(*error);
    if (!strstr((*error)->message, words)) {
        g_test_message("'%s' lacks '%s'", (*error)->message, words);
        g_test_fail();
    }
    g_clear_error(error);
}

static void test_file_header(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) good = stream_new_memory_input(BYTES("QEVM\0\0\0\3"));
    g_autoptr(Stream) magic = stream_new_memory_input(BYTES("QEWM\0\0\0\3"));
    g_autoptr(Stream) version = stream_new_memory_input(BYTES("QEVM\0\0\0\2"));
    g_autoptr(Stream) cut = stream_new_memory_input(BYTES("QEVM\0\0"));
    g_autoptr(Stream) blank = stream_new_memory_output();
    g_autoptr(Stream) zeros = stream_new_memory_input(BYTES("\0\0\0\0\0\0\0"
                                                            "\0"));
    uint8_t head[WIRE_FILE_HEADER_BYTES];
    g_autoptr(GError) error = NULL;

    wire_put_file_header(out);
    expect(out, BYTES("QEVM\0\0\0\3"));
    wire_file_header(head);
    g_assert_cmpmem(head, sizeof(head), "QEVM\0\0\0\3", 8);
    wire_put_file_blank(blank);
    expect(blank, BYTES("\0\0\0\0\0\0\0\0"));
    g_assert_false(wire_get_file_header(zeros, &error));
    expect_words(&error, "a file that was never finished");
    g_assert_true(wire_get_file_header(good, &error));
    g_assert_no_error(error);
    g_assert_false(wire_get_file_header(magic, &error));
    expect_words(&error, "not a migration stream");
    g_assert_false(wire_get_file_header(version, &error));
    expect_words(&error, "version 2");
    g_assert_false(wire_get_file_header(cut, &error));
    expect_words(&error, "ends at byte 6");
}

static void test_configuration(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) good = stream_new_memory_input(BYTES("\7\0\0\0\2pc"));
    g_autoptr(Stream) other = stream_new_memory_input(BYTES("\1\0\0\0\2pc"));
    g_autoptr(Stream) large =
        stream_new_memory_input(BYTES("\7\xff\xff\xff\xff" "pc"));
    g_autoptr(Stream) nul = stream_new_memory_input(BYTES("\7\0\0\0\3p\0c"));
    g_autoptr(GError) error = NULL;
    char name[WIRE_MACHINE_NAME_MAX + 1] = "untouched";

    wire_put_configuration(out, "pc");
    expect(out, BYTES("\7\0\0\0\2pc"));
    g_assert_false(wire_get_configuration(other, name, &error));
    expect_words(&error, "type 0x01");
    g_assert_false(wire_get_configuration(large, name, &error));
    expect_words(&error, "4294967295 bytes");
    g_assert_false(wire_get_configuration(nul, name, &error));
    expect_words(&error, "not plain");
    g_assert_cmpstr(name, ==, "untouched");
    g_assert_true(wire_get_configuration(good, name, &error));
    g_assert_cmpstr(name, ==, "pc");
}

static void test_section_headers(void)
{
    static const char full[] = "\4\0\0\0\7\3cpu\0\0\0\1\0\0\0\14";
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) part = stream_new_memory_output();
    g_autoptr(Stream) in = stream_new_memory_input(BYTES(full));
    g_autoptr(GError) error = NULL;
    WireSectionHeader header = { .type = WIRE_SECTION_FULL, .id = 7,
                                 .name = "cpu", .instance = 1, .version = 12 };
    WireSectionHeader got;

    wire_put_section(out, &header);
    expect(out, BYTES(full));
    header.type = WIRE_SECTION_PART;
    wire_put_section(part, &header);
    expect(part, BYTES("\2\0\0\0\7"));
    g_assert_cmpuint(stream_get_u8(in), ==, WIRE_SECTION_FULL);
    g_assert_true(wire_get_section(in, WIRE_SECTION_FULL, &got, &error));
    g_assert_cmpstr(got.name, ==, "cpu");
    g_assert_cmpuint(got.id, ==, 7);
    g_assert_cmpuint(got.instance, ==, 1);
    g_assert_cmpuint(got.version, ==, 12);
    g_assert_false(wire_get_section(in, WIRE_SECTION_PART, &got, &error));
    expect_words(&error, "the stream ends");
}

static void test_footer(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) in =
        stream_new_memory_input(BYTES("\x7e\0\0\1\2\x7e\0\0\1\3"));
    g_autoptr(Stream) none = stream_new_memory_input(BYTES("\4\0\0\1\2"));
    g_autoptr(GError) error = NULL;

    wire_put_footer(out, 0x102);
    expect(out, BYTES("\x7e\0\0\1\2"));
    g_assert_true(wire_get_footer(in, 0x102, &error));
    g_assert_false(wire_get_footer(in, 0x102, &error));
    expect_words(&error, "section id 259 instead of 258");
    g_assert_false(wire_get_footer(none, 0x102, &error));
    expect_words(&error, "got 0x04");
}

static void test_commands(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) in = stream_new_memory_input(BYTES("\0\2\0\4"));
    g_autoptr(GError) error = NULL;
    WireCommandHeader header;

    wire_put_command(out, WIRE_COMMAND_PING, "\0\0\0\1", 4);
    expect(out, BYTES("\x08\0\2\0\4\0\0\0\1"));
    g_assert_true(wire_get_command(in, &header, &error));
    g_assert_cmpuint(header.command, ==, WIRE_COMMAND_PING);
    g_assert_cmpuint(header.length, ==, 4);
    g_assert_cmpstr(wire_command_name(2), ==, "PING");
    g_assert_cmpstr(wire_command_name(0), ==, "unknown");
    g_assert_cmpstr(wire_command_name(12), ==, "unknown");
}

static void test_commands_bad_ones_are_refused(void)
{
    static const struct {
        const char bytes[5];
        const char *words;
    } bad[] = {
        { "\0\0\0\0", "unknown command 0" },
        { "\0\14\0\0", "unknown command 12" },
        { "\0\2\0\10", "PING has a payload of 8" },
        { "\0\13\0\1", "SWITCHOVER_START has a payload of 1" },
        { "\0\6\0\2", "POSTCOPY_RAM_DISCARD has a payload of 2" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Stream) s = stream_new_memory_input(bad[i].bytes, 4);
        g_autoptr(GError) error = NULL;
        WireCommandHeader header;

        g_assert_false(wire_get_command(s, &header, &error));
        expect_words(&error, bad[i].words);
        g_assert_nonnull(stream_error(s));
    }
}

static void test_messages(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) in = stream_new_memory_input(
        BYTES("\0\1\0\4\0\0\0\5" "\0\7\0\0" "\0\2\0\3xyz"));
    g_autoptr(Stream) huge = stream_new_memory_input(BYTES("\0\5\2\1"));
    g_autoptr(Stream) unknown = stream_new_memory_input(BYTES("\0\10\0\0"));
    g_autoptr(GError) error = NULL;
    WireMessageHeader message;

    wire_put_message_u32(out, WIRE_MESSAGE_SHUT, 5);
    expect(out, BYTES("\0\1\0\4\0\0\0\5"));
    g_assert_true(wire_get_message(in, &message, &error));
    g_assert_cmpuint(message.type, ==, WIRE_MESSAGE_SHUT);
    g_assert_cmpuint(wire_message_u32(&message), ==, 5);
    g_assert_true(wire_get_message(in, &message, &error));
    g_assert_cmpuint(message.type, ==, WIRE_MESSAGE_SWITCHOVER_ACK);
    g_assert_false(wire_get_message(in, &message, &error));
    expect_words(&error, "PONG has a payload of 3");
    g_assert_false(wire_get_message(huge, &message, &error));
    expect_words(&error, "RECV_BITMAP has a payload of 513");
    g_assert_false(wire_get_message(unknown, &message, &error));
    expect_words(&error, "message 8");
}

static void test_description(void)
{
    g_autoptr(Stream) out = stream_new_memory_output();
    g_autoptr(Stream) in = stream_new_memory_input(BYTES("\0\0\0\2{}"));
    g_autoptr(Stream) huge = stream_new_memory_input(BYTES("\5\0\0\0"));
    g_autoptr(GError) error = NULL;
    uint32_t length;

    wire_put_description(out, "{}", 2);
    expect(out, BYTES("\6\0\0\0\2{}"));
    g_assert_true(wire_get_description_length(in, &length, &error));
    g_assert_cmpuint(length, ==, 2);
    g_assert_false(wire_get_description_length(huge, &length, &error));
    expect_words(&error, "83886080 bytes");
}

static void test_ram_words(void)
{
    g_autoptr(GError) error = NULL;
    WireRamWord word;

    g_assert_true(wire_ram_word_parse(wire_ram_word(
        0x7f000, WIRE_RAM_PAGE | WIRE_RAM_CONTINUE), &word, &error));
    g_assert_cmphex(word.offset, ==, 0x7f000);
    g_assert_cmphex(word.type, ==, WIRE_RAM_PAGE);
    g_assert_true(word.same_block);
    g_assert_true(wire_ram_word_parse(0x8004, &word, &error));
    g_assert_cmphex(word.offset, ==, 0x8000);
    g_assert_cmphex(word.type, ==, WIRE_RAM_MEM_SIZE);
    g_assert_false(word.same_block);
    g_assert_true(wire_ram_word_parse(WIRE_RAM_EOS, &word, &error));
}

/* Exactly the words with one known type, sane modifiers and offset pass. */
static void test_ram_words_all_flags(void)
{
    unsigned good = 0;

    for (unsigned flags = 0; flags < 0x1000; flags++) {
        for (unsigned offset = 0; offset < 2; offset++) {
            g_autoptr(GError) error = NULL;
            WireRamWord word;

            if (wire_ram_word_parse(offset * 0x1000 | flags, &word, &error)) {
                good++;
                g_assert_no_error(error);
            } else {
                g_assert_nonnull(error);
            }
        }
    }
    /* ZERO, PAGE, XBZRLE: with and without CONTINUE, any offset; MEM_SIZE:
     * any offset; EOS, HOOK, FLUSH: offset 0 only. */
    g_assert_cmpuint(good, ==, 3 * 2 * 2 + 2 + 3);
}

static void test_get_random_bytes_is_bounded(void)
{
    for (unsigned i = 0; i < 4096; i++) {
        uint8_t data[600];
        g_autoptr(Stream) s = NULL;
        WireSectionHeader section;
        WireCommandHeader command;
        WireMessageHeader message;
        char name[WIRE_MACHINE_NAME_MAX + 1];
        uint32_t length;

        for (unsigned j = 0; j < sizeof(data); j++) {
            data[j] = g_test_rand_bit() ? g_test_rand_int_range(0, 12)
                                        : g_test_rand_int();
        }
        s = stream_new_memory_input(data, g_test_rand_int_range(0, 600));
        while (!stream_error(s)) {
            switch (g_test_rand_int_range(0, 7)) {
            case 0: wire_get_section(s, WIRE_SECTION_FULL, &section, NULL);
                g_assert_cmpuint(strlen(section.name), <=, 255); break;
            case 1: wire_get_command(s, &command, NULL); break;
            case 2: wire_get_message(s, &message, NULL); break;
            case 3: wire_get_configuration(s, name, NULL); break;
            case 4: wire_get_description_length(s, &length, NULL); break;
            case 5: wire_get_footer(s, 1, NULL); break;
            default: wire_get_file_header(s, NULL); break;
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/wire/file-header", test_file_header);
    g_test_add_func("/wire/configuration", test_configuration);
    g_test_add_func("/wire/section/golden", test_section_headers);
    g_test_add_func("/wire/footer", test_footer);
    g_test_add_func("/wire/command/golden", test_commands);
    g_test_add_func("/wire/command/bad-ones-are-refused",
                    test_commands_bad_ones_are_refused);
    g_test_add_func("/wire/message", test_messages);
    g_test_add_func("/wire/description", test_description);
    g_test_add_func("/wire/ram-word/golden", test_ram_words);
    g_test_add_func("/wire/ram-word/all-flags", test_ram_words_all_flags);
    g_test_add_func("/wire/get/random-bytes-are-bounded",
                    test_get_random_bytes_is_bounded);
    return g_test_run();
}
