/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream is cut into values, wherever its pieces begin and end.
 */
#include <string.h>

#include "monitor/qmp-splitter.h"
#include "qapi/json-text.h"

/* All values of a stream fed in pieces of @step bytes, each followed by "|";
 * an error counts as "!". */
static char *split(const char *bytes, size_t length, size_t step,
                   size_t max_bytes)
{
    GString *out = g_string_new(NULL);
    QmpSplitter splitter;

    qmp_splitter_init(&splitter);
    splitter.max_bytes = max_bytes;
    for (size_t at = 0; at < length;) {
        size_t end = MIN(at + step, length);

        while (at < end) {
            g_autofree char *text = NULL;
            g_autoptr(GError) error = NULL;
            /* a copy of the exact size, so that reading on is seen */
            g_autofree char *piece = g_memdup2(bytes + at, end - at);
            size_t used = qmp_splitter_feed(&splitter, piece, end - at,
                                            &text, &error);

            g_assert_cmpuint(used, <=, end - at);
            g_assert_false(text && error);
            g_assert_true(used || text);
            at += used;
            if (text) {
                g_string_append_printf(out, "%s|", text);
            }
            if (error) {
                g_string_append_c(out, '!');
            }
        }
    }
    qmp_splitter_done(&splitter);
    return g_string_free(out, FALSE);
}

static const struct {
    const char *in, *out;
} cases[] = {
    { "{\"a\":1}", "{\"a\":1}|" },
    { "  {\"a\":1}\r\n {}\n", "{\"a\":1}|{}|" },
    { "{}{}[]", "{}|{}|[]|" },
    { "{\"a\":\"}\"}{\"b\":\"\\\"}\"}", "{\"a\":\"}\"}|{\"b\":\"\\\"}\"}|" },
    { "{'a':'\"}'}", "{'a':'\"}'}|" },
    { "{\"a\":'\\\\'}{}", "{\"a\":'\\\\'}|{}|" },
    { "[{\"a\":[1,2,{}]}] ", "[{\"a\":[1,2,{}]}]|" },
    { "null\n", "null|" },
    { "12 {}", "12|{}|" },
    { "true{}", "true|{}|" },
    { "\"text\"{}", "\"text\"|{}|" },
    { "{\"a\" :\n\t1}", "{\"a\" :\n\t1}|" },
    /* wrong, but whole: the parser's affair */
    { "{]\n{}", "{]|{}|" },
    { "}{}", "}|{}|" },
    { "{[}{}", "{[}|{}|" },
    { "{\"execute\":}{}", "{\"execute\":}|{}|" },
    /* what can be no value */
    { "{\xff{}", "!{}|" },
    { "{\x01{}", "!{}|" },
    { "{'bad \xff{}", "!{}|" },
    { "{\"id\":'\n{}", "!{}|" },
    { "%p{}", "!{}|" },
    { "%p [1] x\n[2]", "![2]|" },
    { "@@@\n@\n{}", "!!{}|" },
};

static void test_feed_any_pieces_same_values(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (size_t step = 1; step < 12; step++) {
            g_autofree char *out = split(cases[i].in, strlen(cases[i].in),
                                         step, JSON_TEXT_MAX_BYTES);

            g_assert_cmpstr(out, ==, cases[i].out);
        }
    }
}

static void test_feed_nul_is_error(void)
{
    g_autofree char *out = split("{\0{}", 4, 4, JSON_TEXT_MAX_BYTES);

    g_assert_cmpstr(out, ==, "!{}|");
}

static void test_feed_deep_is_error_once(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *out = NULL;

    for (int i = 0; i < 100000; i++) {
        g_string_append_c(text, '[');
    }
    g_string_append(text, "\n{}");
    out = split(text->str, text->len, 4096, JSON_TEXT_MAX_BYTES);
    g_assert_cmpstr(out, ==, "!{}|");
}

static void test_feed_long_is_error_once(void)
{
    g_autoptr(GString) text = g_string_new("{\"a\":\"");
    g_autofree char *out = NULL;

    for (int i = 0; i < 5000; i++) {
        g_string_append_c(text, 'x');
    }
    g_string_append(text, "\"}\n{}");
    out = split(text->str, text->len, 100, 1000);
    g_assert_cmpstr(out, ==, "!{}|");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-splitter/feed/any-pieces-same-values",
                    test_feed_any_pieces_same_values);
    g_test_add_func("/qmp-splitter/feed/nul-is-error",
                    test_feed_nul_is_error);
    g_test_add_func("/qmp-splitter/feed/deep-is-error-once",
                    test_feed_deep_is_error_once);
    g_test_add_func("/qmp-splitter/feed/long-is-error-once",
                    test_feed_long_is_error_once);
    return g_test_run();
}
