/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers, sizes, times, switches and byte order: tables of texts and values.
 */
#include <glib.h>
#include <string.h>

#include "util/byteorder.h"
#include "util/clock.h"
#include "util/cutils.h"
#include "util/error.h"

#define UNTOUCHED UINT64_C(0xdeadbeef)

typedef struct Row {
    const char *text;
    uint64_t value;
} Row;

static void assert_refused(bool ok, GError **error, uint64_t value,
                           const char *text)
{
    g_assert_false(ok);
    g_assert_error(*error, TM_ERROR, TM_ERROR_GENERIC);
    g_assert_nonnull(strstr((*error)->message, text));
    g_assert_cmpuint(value, ==, UNTOUCHED);
    g_clear_error(error);
}

static void test_size_good_texts_give_bytes(void)
{
    static const Row rows[] = {
        {"0", 0},
        {"1", 1},
        {"007", 7},
        {"4096", 4096},
        {"12345B", 12345},
        {"8k", 8192},
        {"8K", 8192},
        {"150M", 150 * MiB},
        {"1.5G", 3 * GiB / 2},
        {"0.5k", 512},
        {"1.0000000000000000009K", 1024},
        {"0.0001K", 0},
        {"0.9999K", 1024},
        {"2T", 2 * TiB},
        {"1p", UINT64_C(1) << 50},
        {"1E", UINT64_C(1) << 60},
        {"15.999999999999999999E", UINT64_MAX},
        {"0x1000", 4096},
        {"0X1e", 30},
        {"0x1E", 30},
        {"0x1b", 27},
        {"18446744073709551615", UINT64_MAX},
        {"0xffffffffffffffff", UINT64_MAX},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes = UNTOUCHED;

        g_assert_true(parse_size(rows[i].text, 'B', &bytes, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(bytes, ==, rows[i].value);
    }
}

static void test_size_bad_texts_are_refused(void)
{
    static const char *const texts[] = {
        "", " 1", "1 ", "-1", "+1", "M", "k1", "1Q", "1MM", "1KB", "1.5",
        "1.5B", "1.K", ".5K", "1..5K", "0x", "0x20M", "0x1.8", "0xg", "1e3",
        "18446744073709551616", "0x10000000000000000", "16E", "17179869184G",
        "1,5K", "1\n",
    };
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        uint64_t bytes = UNTOUCHED;
        bool ok = parse_size(texts[i], 'B', &bytes, &error);

        assert_refused(ok, &error, bytes, texts[i]);
    }
}

static void test_size_default_unit_applies(void)
{
    uint64_t bytes;

    g_assert_true(parse_size("150", 'M', &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 150 * MiB);
    g_assert_true(parse_size("1.5", 'M', &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 3 * MiB / 2);
    g_assert_true(parse_size("0x10", 'M', &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 16 * MiB);
    g_assert_true(parse_size("2G", 'M', &bytes, NULL));
    g_assert_cmpuint(bytes, ==, 2 * GiB);
    g_assert_false(parse_size("17592186044416", 'M', &bytes, NULL));
}

static void test_uint_limits_hold(void)
{
    static const char *const bad[] = {
        "", "x", "-1", "+1", " 1", "1 ", "0x", "12a", "256", "0x100",
        "99999999999999999999999",
    };
    g_autoptr(GError) error = NULL;
    uint64_t value = UNTOUCHED;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        bool ok = parse_uint64(bad[i], 255, &value, &error);

        assert_refused(ok, &error, value, bad[i]);
    }
    g_assert_true(parse_uint64("255", 255, &value, NULL));
    g_assert_cmpuint(value, ==, 255);
    g_assert_true(parse_uint64("0xfF", 255, &value, NULL));
    g_assert_cmpuint(value, ==, 255);
    g_assert_true(parse_uint64("010", 255, &value, NULL));
    g_assert_cmpuint(value, ==, 10);
}

static void test_int_limits_hold(void)
{
    int64_t value = 5;

    g_assert_false(parse_int64("9223372036854775808", &value, NULL));
    g_assert_false(parse_int64("-9223372036854775809", &value, NULL));
    g_assert_false(parse_int64("--1", &value, NULL));
    g_assert_false(parse_int64("-", &value, NULL));
    g_assert_cmpint(value, ==, 5);
    g_assert_true(parse_int64("-9223372036854775808", &value, NULL));
    g_assert_cmpint(value, ==, INT64_MIN);
    g_assert_true(parse_int64("9223372036854775807", &value, NULL));
    g_assert_cmpint(value, ==, INT64_MAX);
    g_assert_true(parse_int64("-0x10", &value, NULL));
    g_assert_cmpint(value, ==, -16);
}

static void test_time_units_apply(void)
{
    static const char *const bad[] = {
        "", "-1", "1.5s", "1 s", "1sec", "s", "9223372037s",
        "99999999999999999999",
    };
    int64_t ns = 7;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(parse_time_ns(bad[i], "ms", &ns, &error));
        g_assert_nonnull(strstr(error->message, bad[i]));
        g_assert_cmpint(ns, ==, 7);
    }
    g_assert_true(parse_time_ns("300", "ms", &ns, NULL));
    g_assert_cmpint(ns, ==, 300 * NS_PER_MS);
    g_assert_true(parse_time_ns("300us", "ms", &ns, NULL));
    g_assert_cmpint(ns, ==, 300 * NS_PER_US);
    g_assert_true(parse_time_ns("9223372036s", "ms", &ns, NULL));
    g_assert_cmpint(ns, ==, INT64_C(9223372036) * NS_PER_SEC);
    g_assert_true(parse_time_ns("5ns", "s", &ns, NULL));
    g_assert_cmpint(ns, ==, 5);
}

static void test_bool_words_only(void)
{
    g_autoptr(GError) error = NULL;
    bool on = false;

    g_assert_true(parse_bool("on", &on, NULL) && on);
    g_assert_true(parse_bool("off", &on, NULL) && !on);
    g_assert_true(parse_bool("yes", &on, NULL) && on);
    g_assert_true(parse_bool("n", &on, NULL) && !on);
    g_assert_false(parse_bool("1", &on, &error));
    g_assert_cmpstr(error->message, ==, "'1' is neither 'on' nor 'off'");
    g_assert_false(parse_bool("ON", &on, NULL));
    g_assert_false(parse_bool("", &on, NULL));
}

static void test_text_sizes_have_three_digits(void)
{
    static const Row rows[] = {
        {"0 B", 0},
        {"999 B", 999},
        {"0.977 KiB", 1000},
        {"1 KiB", KiB},
        {"150 MiB", 150 * MiB},
        {"1.5 GiB", 3 * GiB / 2},
        {"16 EiB", UINT64_MAX},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = size_to_text(rows[i].value);

        g_assert_cmpstr(text, ==, rows[i].text);
    }
}

static void test_byteorder_unaligned_round_trip(void)
{
    unsigned char buf[9] = {0};

    store_be64(buf + 1, UINT64_C(0x0102030405060708));
    for (unsigned i = 1; i <= 8; i++) {
        g_assert_cmpuint(buf[i], ==, i);
    }
    g_assert_cmpuint(load_be64(buf + 1), ==, UINT64_C(0x0102030405060708));
    g_assert_cmpuint(load_be32(buf + 1), ==, 0x01020304);
    g_assert_cmpuint(load_be16(buf + 1), ==, 0x0102);
    g_assert_cmpuint(load_le64(buf + 1), ==, UINT64_C(0x0807060504030201));
    g_assert_cmpuint(load_le32(buf + 1), ==, 0x04030201);
    g_assert_cmpuint(load_le16(buf + 1), ==, 0x0201);
    store_le64(buf + 1, UINT64_C(0x1112131415161718));
    g_assert_cmpuint(buf[1], ==, 0x18);
    g_assert_cmpuint(load_be64(buf + 1), ==, UINT64_C(0x1817161514131211));
    store_be32(buf + 1, 0xa1a2a3a4);
    store_le32(buf + 5, 0xa1a2a3a4);
    g_assert_cmpuint(load_be64(buf + 1), ==, UINT64_C(0xa1a2a3a4a4a3a2a1));
    store_be16(buf + 1, 0xb1b2);
    store_le16(buf + 3, 0xb1b2);
    g_assert_cmpuint(load_be32(buf + 1), ==, 0xb1b2b2b1);
}

static void test_clock_test_clock_stands_until_wound(void)
{
    g_autoptr(Clock) clock = clock_new_test(100);

    g_assert_cmpint(clock_now_ns(clock), ==, 100);
    clock_wind(clock, 5);
    clock_sleep_ns(clock, 20);
    clock_sleep_ns(clock, -20);
    g_assert_cmpint(clock_now_ns(clock), ==, 125);
}

static void test_clock_host_clock_sleeps_long_enough(void)
{
    g_autoptr(Clock) clock = clock_new_host();
    int64_t start_ns = clock_now_ns(clock);

    clock_sleep_ns(clock, 2 * NS_PER_MS);
    g_assert_cmpint(clock_now_ns(clock) - start_ns, >=, 2 * NS_PER_MS);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cutils/size/good", test_size_good_texts_give_bytes);
    g_test_add_func("/cutils/size/bad", test_size_bad_texts_are_refused);
    g_test_add_func("/cutils/size/default-unit",
                    test_size_default_unit_applies);
    g_test_add_func("/cutils/uint/limits", test_uint_limits_hold);
    g_test_add_func("/cutils/int/limits", test_int_limits_hold);
    g_test_add_func("/cutils/time/units", test_time_units_apply);
    g_test_add_func("/cutils/bool/words", test_bool_words_only);
    g_test_add_func("/cutils/text/sizes", test_text_sizes_have_three_digits);
    g_test_add_func("/byteorder/unaligned/round-trip",
                    test_byteorder_unaligned_round_trip);
    g_test_add_func("/clock/test/stands-until-wound",
                    test_clock_test_clock_stands_until_wound);
    g_test_add_func("/clock/host/sleeps-long-enough",
                    test_clock_host_clock_sleeps_long_enough);
    return g_test_run();
}
