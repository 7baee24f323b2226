/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON text: what is read comes out again, and what is no JSON is refused.
 */
#include <string.h>

#include "qapi/json-text.h"

/* Text in, text out; NULL where it must be refused. */
static const struct {
    const char *in, *out;
} cases[] = {
    { "null", "null" },
    { " true ", "true" },
    { "\tfalse\r\n", "false" },
    { "0", "0" },
    { "-0", "0" },
    { "-12", "-12" },
    { "9223372036854775807", "9223372036854775807" },
    { "-9223372036854775808", "-9223372036854775808" },
    { "9223372036854775808", "9223372036854775808" },
    { "18446744073709551615", "18446744073709551615" },
    { "18446744073709551616", "1.8446744073709552e+19" },
    { "-9223372036854775809", "-9.223372036854776e+18" },
    { "31.52016", "31.52016" },
    { "558.3609814814814", "558.3609814814814" },
    { "1e3", "1000" },
    { "0.1", "0.1" },
    { "\"\"", "\"\"" },
    { "'it'", "\"it\"" },
    { "'a\"b'", "\"a\\\"b\"" },
    { "\"\\u0041\\n\\/\\\\\"", "\"A\\n/\\\\\"" },
    { "\"\\u00e4\"", "\"\\u00E4\"" },
    { "\"\xc3\xa4\"", "\"\\u00E4\"" },
    { "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\"" },
    { "\"\x7f\"", "\"\\u007F\"" },
    { "[]", "[]" },
    { "[1,[2],{}]", "[1, [2], {}]" },
    { "{'b':1,\"a\":[null]}", "{\"b\": 1, \"a\": [null]}" },

    { "", NULL }, { "  ", NULL }, { "nul", NULL }, { "True", NULL },
    { "01", NULL }, { "1.", NULL }, { ".5", NULL }, { "+1", NULL },
    { "1e", NULL }, { "0x10", NULL }, { "1e999", NULL }, { "-", NULL },
    { "\"a", NULL }, { "\"a\nb\"", NULL }, { "\"\\x\"", NULL },
    { "\"\\u00\"", NULL }, { "\"\\u0000\"", NULL }, { "\"\\ud800\"", NULL },
    { "\"\\udc00\"", NULL }, { "\"\xff\"", NULL }, { "\"\xc3\"", NULL },
    { "[1,]", NULL }, { "[1 2]", NULL }, { "[", NULL }, { "{\"a\"}", NULL },
    { "{a:1}", NULL }, { "{\"a\":1,}", NULL }, { "{\"a\":1,\"a\":2}", NULL },
    { "{\"a\":}", NULL }, { "1 2", NULL }, { "{]", NULL },
    { "/* no */ 1", NULL },
};

static void test_parse_table_reads_back(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) node = json_text_parse(cases[i].in,
                                                   strlen(cases[i].in),
                                                   &error);
        g_autofree char *text = node ? json_text_to_string(node) : NULL;

        g_test_message("case %zu", i);
        g_assert_cmpstr(text, ==, cases[i].out);
        g_assert_true(!node == !!error);
        if (error) {
            g_assert_true(g_str_has_prefix(error->message,
                                           "JSON parse error, "));
        }
    }
}

static JsonNode *parse_nested(unsigned depth)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < depth; i++) {
        g_string_append_c(text, '[');
    }
    for (unsigned i = 0; i < depth; i++) {
        g_string_append_c(text, ']');
    }
    return json_text_parse(text->str, text->len, NULL);
}

static void test_parse_deep_is_bounded(void)
{
    g_autoptr(JsonNode) good = parse_nested(JSON_TEXT_MAX_DEPTH);
    g_autoptr(JsonNode) bad = parse_nested(JSON_TEXT_MAX_DEPTH + 1);
    g_autoptr(JsonNode) worse = parse_nested(1000000);

    g_assert_nonnull(good);
    g_assert_null(bad);
    g_assert_null(worse);
}

/* Any prefix of a good text is a bad text, and never read past its end. */
static void test_parse_prefix_is_refused(void)
{
    static const char text[] =
        "{\"a\": [1.5e+3, \"\\ud83d\\ude00\", {\"b\": null}], 'c': true}";
    size_t length = strlen(text);

    for (size_t i = 0; i < length; i++) {
        g_autofree char *piece = g_memdup2(text, MAX(i, 1));
        g_autoptr(JsonNode) node = json_text_parse(piece, i, NULL);

        g_assert_null(node);
    }
}

static void test_parse_nul_is_refused(void)
{
    g_assert_null(json_text_parse("1\0", 2, NULL));
    g_assert_null(json_text_parse("\"\0\"", 3, NULL));
    g_assert_null(json_text_parse("\0", 1, NULL));
}

/* Random bytes: an answer or an error, and no crash. */
static void test_parse_noise_survives(void)
{
    static const char alphabet[] = "{}[]:,'\"\\u0e-1.ntfals \xff\xc3\n";

    for (int i = 0; i < 20000; i++) {
        char text[24];
        g_autoptr(JsonNode) node = NULL;
        size_t n = g_test_rand_int_range(0, sizeof(text));

        for (size_t j = 0; j < n; j++) {
            text[j] = alphabet[g_test_rand_int_range(0,
                                                     sizeof(alphabet) - 1)];
        }
        node = json_text_parse(text, n, NULL);
        if (node) {
            g_autofree char *out = json_text_to_string(node);
            g_autoptr(JsonNode) again = json_text_parse(out, strlen(out),
                                                        NULL);

            g_assert_nonnull(again);
        }
    }
}

static void test_print_bad_utf8_is_replaced(void)
{
    g_autoptr(JsonNode) node = json_node_init_string(json_node_alloc(),
                                                     "a\xc3z");
    g_autofree char *text = json_text_to_string(node);

    g_assert_cmpstr(text, ==, "\"a\\uFFFDz\"");
}

static void test_print_pretty_indents(void)
{
    static const char text[] = "{\"a\":[1,{}],\"b\":{\"c\":[]}}";
    g_autoptr(JsonNode) node = json_text_parse(text, strlen(text), NULL);
    g_autofree char *out = json_text_to_pretty(node);

    g_assert_cmpstr(out, ==,
                    "{\n    \"a\": [\n        1,\n        {}\n    ],\n"
                    "    \"b\": {\n        \"c\": []\n    }\n}");
}

static void test_uint64_large_is_no_string(void)
{
    g_autoptr(JsonNode) large = json_text_new_uint64(UINT64_MAX);
    g_autoptr(JsonNode) small = json_text_new_uint64(5);
    uint64_t value = 0;

    g_assert_false(json_text_is_string(large));
    g_assert_true(json_text_get_uint64(large, &value));
    g_assert_cmpuint(value, ==, UINT64_MAX);
    g_assert_true(json_text_get_uint64(small, &value));
    g_assert_cmpuint(value, ==, 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json-text/parse/table-reads-back",
                    test_parse_table_reads_back);
    g_test_add_func("/json-text/parse/deep-is-bounded",
                    test_parse_deep_is_bounded);
    g_test_add_func("/json-text/parse/prefix-is-refused",
                    test_parse_prefix_is_refused);
    g_test_add_func("/json-text/parse/nul-is-refused",
                    test_parse_nul_is_refused);
    g_test_add_func("/json-text/parse/noise-survives",
                    test_parse_noise_survives);
    g_test_add_func("/json-text/print/bad-utf8-is-replaced",
                    test_print_bad_utf8_is_replaced);
    g_test_add_func("/json-text/print/pretty-indents",
                    test_print_pretty_indents);
    g_test_add_func("/json-text/uint64/large-is-no-string",
                    test_uint64_large_is_no_string);
    return g_test_run();
}
