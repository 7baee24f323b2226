/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The byte stream: golden bytes, sticky errors, peeking, pages by reference,
 * over memory and over channels that move a few bytes at a time.
 */
#include <glib.h>
#include <string.h>

#include "io/channel-kinds.h"
#include "migration/stream.h"
#include "util/error.h"

static const uint8_t golden[] = {
    0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde,
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    3, 'r', 'a', 'm', 0, 'x', 'y',
};

static void put_golden(Stream *s)
{
    stream_put_u8(s, 0x12);
    stream_put_be16(s, 0x3456);
    stream_put_be32(s, 0x789abcde);
    stream_put_be64(s, 0x0102030405060708);
    stream_put_cstr(s, "ram");
    stream_put_cstr(s, "");
    stream_put_bytes(s, "xy", 2);
}

static void get_golden(Stream *s)
{
    char text[256], two[2];

    g_assert_cmphex(stream_get_u8(s), ==, 0x12);
    g_assert_cmphex(stream_get_be16(s), ==, 0x3456);
    g_assert_cmphex(stream_get_be32(s), ==, 0x789abcde);
    g_assert_cmphex(stream_get_be64(s), ==, 0x0102030405060708);
    g_assert_true(stream_get_cstr(s, text));
    g_assert_cmpstr(text, ==, "ram");
    g_assert_true(stream_get_cstr(s, text));
    g_assert_cmpstr(text, ==, "");
    g_assert_true(stream_get_bytes(s, two, 2));
    g_assert_cmpmem(two, 2, "xy", 2);
    g_assert_no_error(stream_error(s));
    g_assert_cmpuint(stream_bytes(s), ==, sizeof(golden));
}

static void test_put_scalars_is_big_endian(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    const uint8_t *data;
    size_t len;

    put_golden(s);
    g_assert_cmpuint(stream_bytes(s), ==, sizeof(golden));
    stream_flush(s);
    data = stream_memory(s, &len);
    g_assert_cmpmem(data, len, golden, sizeof(golden));
}

static void test_get_scalars_returns_what_was_put(void)
{
    g_autoptr(Stream) s = stream_new_memory_input(golden, sizeof(golden));

    get_golden(s);
}

/* As above through a channel that moves @max bytes per call. */
static void test_channel_in_small_pieces(gconstpointer data)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) inner = channel_buffer_new(NULL, 0);
    g_autoptr(Channel) c = NULL;
    g_autoptr(Stream) out = NULL;
    g_autoptr(Stream) in = NULL;

    faults.max_io = GPOINTER_TO_SIZE(data);
    c = channel_fault_new(inner, &faults);
    out = stream_new_output(c);
    in = stream_new_input(c);
    put_golden(out);
    stream_flush(out);
    get_golden(in);
    stream_get_u8(in);
    g_assert_nonnull(stream_error(in));
}

static void test_put_page_keeps_order(void)
{
    g_autoptr(Channel) c = channel_buffer_new(NULL, 0);
    g_autoptr(Stream) out = stream_new_output(c);
    g_autoptr(Stream) in = stream_new_input(c);
    g_autofree uint8_t *page = g_malloc(4096);
    g_autofree uint8_t *got = g_malloc(4096);
    unsigned n = 1000;

    memset(page, 0x5a, 4096);
    for (unsigned i = 0; i < n; i++) {
        stream_put_be64(out, i);
        stream_put_page(out, page, 4096);
    }
    stream_flush(out);
    g_assert_cmpuint(stream_bytes(out), ==, n * (8 + 4096));
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(stream_get_be64(in), ==, i);
        g_assert_true(stream_get_bytes(in, got, 4096));
        g_assert_cmpmem(got, 4096, page, 4096);
    }
    g_assert_no_error(stream_error(in));
    g_assert_cmpuint(stream_bytes(in), ==, n * (8 + 4096));
}

/* Three pieces at places of their own, and what lies between is nobody's. */
static void test_seek_puts_and_gets_at_places(void)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) inner = channel_buffer_new("0123456789", 10);
    g_autoptr(Channel) c = NULL;
    g_autoptr(Stream) out = NULL;
    g_autoptr(Stream) in = NULL;
    char text[256];

    faults.max_io = 3;
    c = channel_fault_new(inner, &faults);
    out = stream_new_output(c);
    in = stream_new_input(c);
    stream_put_u8(out, 'x'); /* behind the ten */
    g_assert_cmpuint(stream_place(out), ==, 1);
    stream_seek(out, 2);
    stream_put_be16(out, 0x4142);
    g_assert_cmpuint(stream_place(out), ==, 4);
    stream_seek(out, 70000);
    stream_put_cstr(out, "far away");
    g_assert_cmpuint(stream_place(out), ==, 70009);
    stream_add_bytes(out, 5);
    stream_flush(out);
    g_assert_no_error(stream_error(out));
    g_assert_cmpuint(stream_bytes(out), ==, 1 + 2 + 9 + 5);

    stream_seek(in, 70000);
    g_assert_true(stream_get_cstr(in, text));
    g_assert_cmpstr(text, ==, "far away");
    g_assert_cmpuint(stream_peek(in, text, 1, 0), ==, 0); /* the end */
    stream_seek(in, 1);
    g_assert_cmpuint(stream_peek(in, text, 4, 2), ==, 4);
    g_assert_cmpuint(stream_place(in), ==, 1);
    g_assert_true(stream_get_bytes(in, text, 10));
    g_assert_cmpmem(text, 10, "1AB456789x", 10);
    g_assert_cmpuint(stream_place(in), ==, 11);
    stream_seek(in, 70008);
    stream_get_be16(in);
    g_assert_nonnull(strstr(stream_error(in)->message,
                            "the stream ends at byte 70009"));
}

static void count_call(void *opaque, Stream *s)
{
    if (++*(unsigned *)opaque == 2) {
        stream_set_error(s, g_error_new(TM_ERROR, TM_ERROR_GENERIC, "beside"));
    }
}

/* Not by what only makes room; what fails there fails the stream. */
static void test_flush_hook_comes_first(void)
{
    g_autoptr(Channel) c = channel_buffer_new(NULL, 0);
    g_autoptr(Stream) s = stream_new_output(c);
    g_autofree uint8_t *much = g_malloc0(100000);
    unsigned calls = 0;
    size_t n;

    stream_set_flush_hook(s, count_call, &calls);
    stream_put_bytes(s, much, 100000);
    g_assert_cmpuint(calls, ==, 0);
    stream_flush(s);
    g_assert_cmpuint(calls, ==, 1);
    stream_put_u8(s, 1);
    stream_flush(s);
    g_assert_cmpuint(calls, ==, 2);
    g_assert_cmpstr(stream_error(s)->message, ==, "beside");
    channel_buffer_data(c, &n);
    g_assert_cmpuint(n, ==, 100000);
}

typedef struct Trickle {
    const char *data;
    size_t len, most;
} Trickle;

static size_t trickle(void *opaque, void *to, size_t n)
{
    Trickle *t = opaque;

    n = MIN(MIN(n, t->len), t->most);
    memcpy(to, t->data, n);
    t->data += n;
    t->len -= n;
    return n;
}

static void test_reader_brings_what_it_has(void)
{
    for (size_t most = 1; most < 20; most++) {
        Trickle t = { "\0\0\1\2\3abc\0\0\0\0\0\0\0\7x", 17, most };
        g_autoptr(Stream) s = stream_new_reader_input(trickle, &t);
        char text[256];

        g_assert_cmpuint(stream_get_be32(s), ==, 0x102);
        g_assert_true(stream_get_cstr(s, text));
        g_assert_cmpstr(text, ==, "abc");
        g_assert_cmpuint(stream_get_be64(s), ==, 7);
        g_assert_cmpuint(stream_get_u8(s), ==, 'x');
        g_assert_null(stream_error(s));
        stream_get_u8(s);
        g_assert_nonnull(strstr(stream_error(s)->message,
                                "the stream ends at byte 17"));
    }
}

static void test_get_past_end_sticks(void)
{
    g_autoptr(Stream) s = stream_new_memory_input("\1\2\3", 3);
    char text[256] = "before";

    g_assert_cmphex(stream_get_be16(s), ==, 0x0102);
    g_assert_cmphex(stream_get_be32(s), ==, 0);
    g_assert_error(stream_error(s), TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr(stream_error(s)->message, "ends at byte 3"));
    g_assert_cmphex(stream_get_u8(s), ==, 0);
    g_assert_false(stream_get_cstr(s, text));
    g_assert_cmpstr(text, ==, "");
    g_assert_cmpuint(stream_peek(s, text, 1, 0), ==, 0);
}

static void test_error_first_one_stays(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autoptr(GError) error = NULL;
    size_t len;

    stream_put_u8(s, 1);
    stream_set_error(s, g_error_new(TM_ERROR, TM_ERROR_GENERIC, "first"));
    stream_set_error(s, g_error_new(TM_ERROR, TM_ERROR_GENERIC, "second"));
    stream_put_u8(s, 2);
    stream_put_page(s, "page", 4);
    stream_flush(s);
    stream_memory(s, &len);
    g_assert_cmpuint(len, ==, 0);
    g_assert_cmpuint(stream_bytes(s), ==, 1);
    g_assert_false(stream_check(s, &error));
    g_assert_cmpstr(error->message, ==, "first");
    g_assert_false(stream_check(s, NULL));
}

static void test_put_cstr_too_long_is_refused(void)
{
    g_autoptr(Stream) s = stream_new_memory_output();
    g_autofree char *text = g_strnfill(256, 'a');

    stream_put_cstr(s, text + 1);
    g_assert_no_error(stream_error(s));
    g_assert_cmpuint(stream_bytes(s), ==, 256);
    stream_put_cstr(s, text);
    g_assert_nonnull(stream_error(s));
}

/* Names are told in messages: no control characters, no half letters. */
static void test_get_cstr_that_is_not_plain_is_refused(void)
{
    static const char *const bad[] = {
        "\3a\0b", "\3a\nb", "\3\x1b[m", "\3a\x7f" "b", "\3a\xe1" "b",
    };
    char text[256];

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(Stream) s = stream_new_memory_input(bad[i], 4);

        g_assert_false(stream_get_cstr(s, text));
        g_assert_cmpstr(text, ==, "");
        g_assert_nonnull(strstr(stream_error(s)->message, "not plain text"));
    }
}

static void test_write_failure_sticks(void)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) inner = channel_null_new();
    g_autoptr(Channel) c = NULL;
    g_autoptr(Stream) s = NULL;

    faults.fail_write_at = 40000;
    c = channel_fault_new(inner, &faults);
    s = stream_new_output(c);
    for (unsigned i = 0; i < 100000; i++) {
        stream_put_u8(s, i);
    }
    g_assert_nonnull(stream_error(s));
    g_assert_cmpuint(channel_null_bytes(inner), <=, 40000);
}

static void test_read_failure_tells_where(void)
{
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) inner = channel_buffer_new(golden, sizeof(golden));
    g_autoptr(Channel) c = NULL;
    g_autoptr(Stream) s = NULL;

    faults.fail_read_at = 5;
    c = channel_fault_new(inner, &faults);
    s = stream_new_input(c);
    stream_get_be32(s);
    g_assert_no_error(stream_error(s));
    stream_get_be32(s);
    g_assert_nonnull(strstr(stream_error(s)->message, "at byte 5"));
}

/* Peeks and gets of random sizes see the same bytes as plain memory. */
static void test_peek_random_agrees_with_memory(void)
{
    g_autofree uint8_t *data = g_malloc(200000);
    ChannelFaults faults = CHANNEL_FAULTS_NONE;
    g_autoptr(Channel) inner = NULL;
    g_autoptr(Channel) c = NULL;
    g_autoptr(Stream) s = NULL;
    size_t at = 0;

    for (unsigned i = 0; i < 200000; i++) {
        data[i] = g_test_rand_int();
    }
    inner = channel_buffer_new(data, 200000);
    faults.max_io = 1777;
    c = channel_fault_new(inner, &faults);
    s = stream_new_input(c);
    while (at < 200000) {
        uint8_t buf[STREAM_PEEK_MAX];
        size_t ahead = g_test_rand_int_range(0, 300);
        size_t want = g_test_rand_int_range(0, STREAM_PEEK_MAX - 300);
        size_t have = 200000 - at > ahead ? 200000 - at - ahead : 0;
        size_t n = stream_peek(s, buf, want, ahead);

        g_assert_cmpuint(n, ==, MIN(have, want));
        g_assert_cmpmem(buf, n, data + at + ahead, n);
        want = g_test_rand_int_range(0, STREAM_PEEK_MAX);
        want = MIN(want, 200000 - at);
        g_assert_true(stream_get_bytes(s, buf, want));
        g_assert_cmpmem(buf, want, data + at, want);
        at += want;
        g_assert_cmpuint(stream_bytes(s), ==, at);
    }
}

static int waits;

static void count_before(void)
{
    g_assert_cmpint(waits++ % 2, ==, 0);
}

static void count_after(void)
{
    g_assert_cmpint(waits++ % 2, ==, 1);
}

static void test_wait_hooks_are_called_in_pairs(void)
{
    g_autoptr(Channel) c = channel_buffer_new(golden, sizeof(golden));
    g_autoptr(Stream) s = stream_new_input(c);

    waits = 0;
    stream_set_wait_hooks(s, count_before, count_after);
    get_golden(s);
    g_assert_cmpint(waits, >=, 2);
    g_assert_cmpint(waits % 2, ==, 0);
}

static void test_skip_counts(void)
{
    g_autofree uint8_t *data = g_malloc0(5000);
    g_autoptr(Stream) s = stream_new_memory_input(data, 5000);

    data[4000] = 7;
    g_assert_true(stream_skip(s, 4000));
    g_assert_cmpuint(stream_get_u8(s), ==, 7);
    g_assert_false(stream_skip(s, UINT64_MAX));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stream/put/big-endian", test_put_scalars_is_big_endian);
    g_test_add_func("/stream/get/round-trip",
                    test_get_scalars_returns_what_was_put);
    g_test_add_data_func("/stream/channel/one-byte-at-a-time",
                         GSIZE_TO_POINTER(1), test_channel_in_small_pieces);
    g_test_add_data_func("/stream/channel/three-bytes-at-a-time",
                         GSIZE_TO_POINTER(3), test_channel_in_small_pieces);
    g_test_add_data_func("/stream/channel/at-once",
                         GSIZE_TO_POINTER(SIZE_MAX),
                         test_channel_in_small_pieces);
    g_test_add_func("/stream/put-page/keeps-order", test_put_page_keeps_order);
    g_test_add_func("/stream/seek/puts-and-gets-at-places",
                    test_seek_puts_and_gets_at_places);
    g_test_add_func("/stream/flush/hook-comes-first",
                    test_flush_hook_comes_first);
    g_test_add_func("/stream/get/reader-brings-what-it-has",
                    test_reader_brings_what_it_has);
    g_test_add_func("/stream/get/past-end-sticks", test_get_past_end_sticks);
    g_test_add_func("/stream/error/first-one-stays",
                    test_error_first_one_stays);
    g_test_add_func("/stream/put-cstr/too-long-is-refused",
                    test_put_cstr_too_long_is_refused);
    g_test_add_func("/stream/get-cstr/not-plain-is-refused",
                    test_get_cstr_that_is_not_plain_is_refused);
    g_test_add_func("/stream/flush/write-failure-sticks",
                    test_write_failure_sticks);
    g_test_add_func("/stream/get/read-failure-tells-where",
                    test_read_failure_tells_where);
    g_test_add_func("/stream/peek/agrees-with-memory",
                    test_peek_random_agrees_with_memory);
    g_test_add_func("/stream/wait-hooks/come-in-pairs",
                    test_wait_hooks_are_called_in_pairs);
    g_test_add_func("/stream/skip/counts", test_skip_counts);
    return g_test_run();
}
