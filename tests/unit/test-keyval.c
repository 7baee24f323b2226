/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the form key=value: texts in, keys and values out; no text may
 * crash the parser.
 */
#include <glib.h>
#include <string.h>

#include "util/error.h"
#include "util/keyval.h"

/* "key[value] key[value]", in order of first appearance. */
static char *dump(KeyVal *kv)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < keyval_count(kv); i++) {
        const char *key = keyval_key_at(kv, i);

        g_string_append_printf(text, "%s%s[%s]", i ? " " : "", key,
                               keyval_get_str(kv, key));
    }
    return g_string_free(text, FALSE);
}

static void test_parse_texts_give_pairs(void)
{
    static const struct {
        const char *text;
        const char *implied;
        const char *want;
    } rows[] = {
        {"", NULL, ""},
        {"", "type", ""},
        {"pc", "type", "type[pc]"},
        {"pc,", "type", "type[pc]"},
        {"pc-q35-10.0,accel=kvm:tcg,", "type",
         "type[pc-q35-10.0] accel[kvm:tcg]"},
        {"type=pc", "type", "type[pc]"},
        {"accel=tcg,pc", "type", "accel[tcg] pc[on]"},
        {"socket,server,wait=off", "backend",
         "backend[socket] server[on] wait[off]"},
        {"a=1,b=2,a=3", NULL, "a[3] b[2]"},
        {"path=/tmp/a,,b,id=x", NULL, "path[/tmp/a,b] id[x]"},
        {"path=,,", NULL, "path[,]"},
        {"path=a,,,b=1", NULL, "path[a,] b[1]"},
        {"a=b=c", NULL, "a[b=c]"},
        {"a=", NULL, "a[]"},
        {"a=,b", NULL, "a[] b[on]"},
        {"x,,y,b=1", "path", "path[x,y] b[1]"},
        {"addr.type=unix,addr.path=/x", NULL,
         "addr.type[unix] addr.path[/x]"},
        {",a=1", "path", "path[] a[1]"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(KeyVal) kv = keyval_parse(rows[i].text, rows[i].implied,
                                            &error);
        g_autofree char *text = NULL;

        g_assert_no_error(error);
        text = dump(kv);
        g_assert_cmpstr(text, ==, rows[i].want);
    }
}

static void test_parse_nameless_items_are_refused(void)
{
    static const char *const texts[] = {"=1", ",a", "a=1,=2", "a=1,,=2,=3"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(keyval_parse(texts[i], NULL, &error));
        g_assert_error(error, TM_ERROR, TM_ERROR_GENERIC);
    }
}

static void test_parse_random_texts_do_not_crash(void)
{
    static const char alphabet[] = "ab=,,=.";

    for (unsigned round = 0; round < 4096; round++) {
        char text[12] = "";
        g_autoptr(KeyVal) kv = NULL;

        for (int i = g_test_rand_int_range(0, 12); i-- > 0;) {
            text[i] = alphabet[g_test_rand_int_range(0, 7)];
        }
        kv = keyval_parse(text, round & 1 ? "first" : NULL, NULL);
        if (kv) {
            g_free(dump(kv)); /* which asks for every key */
            g_assert_true(keyval_check_unused(kv, "anything", NULL));
        }
    }
}

static void test_get_typed_values(void)
{
    g_autoptr(KeyVal) kv = keyval_parse("size=2K,n=0x10,flag=off,bare", NULL,
                                        NULL);
    uint64_t value = 0;
    bool on = true;

    g_assert_true(keyval_get_size(kv, "size", 'B', &value, NULL));
    g_assert_cmpuint(value, ==, 2048);
    g_assert_true(keyval_get_uint64(kv, "n", 100, &value, NULL));
    g_assert_cmpuint(value, ==, 16);
    g_assert_true(keyval_get_bool(kv, "flag", &on, NULL));
    g_assert_false(on);
    g_assert_true(keyval_get_bool(kv, "bare", &on, NULL));
    g_assert_true(on);
    value = 77;
    g_assert_true(keyval_get_uint64(kv, "absent", 100, &value, NULL));
    g_assert_cmpuint(value, ==, 77);
    g_assert_null(keyval_get_str(kv, "absent"));
}

static void test_get_bad_value_names_the_key(void)
{
    g_autoptr(KeyVal) kv = keyval_parse("size=0x20M,n=101,flag=1", NULL, NULL);
    g_autoptr(GError) error = NULL;
    uint64_t value = 77;
    bool on = true;

    g_assert_false(keyval_get_size(kv, "size", 'B', &value, &error));
    g_assert_cmpstr(error->message, ==, "invalid 'size': size '0x20M' is "
                    "hexadecimal and takes no unit");
    g_clear_error(&error);
    g_assert_false(keyval_get_uint64(kv, "n", 100, &value, &error));
    g_assert_cmpstr(error->message, ==,
                    "invalid 'n': number '101' is larger than 100");
    g_clear_error(&error);
    g_assert_false(keyval_get_bool(kv, "flag", &on, &error));
    g_assert_nonnull(strstr(error->message, "'flag'"));
    g_assert_cmpuint(value, ==, 77);
    g_assert_true(on);
    g_assert_false(keyval_get_bool(kv, "flag", &on, NULL));
}

static void test_unused_first_unasked_key_is_named(void)
{
    g_autoptr(KeyVal) kv = keyval_parse("a=1,b=2,c=3", NULL, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(keyval_get_str(kv, "a"));
    g_assert_false(keyval_check_unused(kv, "-thing", &error));
    g_assert_cmpstr(error->message, ==, "'b' is not an option of -thing");
    g_assert_nonnull(keyval_get_str(kv, "b"));
    g_assert_nonnull(keyval_get_str(kv, "c"));
    g_assert_true(keyval_check_unused(kv, "-thing", NULL));
    /* A new value has not been looked at. */
    keyval_set(kv, "b", "4");
    g_assert_false(keyval_check_unused(kv, "-thing", NULL));
}

static void test_merge_later_values_win(void)
{
    g_autoptr(KeyVal) kv = keyval_parse("pc,accel=tcg", "type", NULL);
    g_autoptr(KeyVal) more = keyval_parse("accel=kvm,vmport=off", "type", NULL);
    g_autofree char *text = NULL;

    keyval_merge(kv, more);
    text = dump(kv);
    g_assert_cmpstr(text, ==, "type[pc] accel[kvm] vmport[off]");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keyval/parse/pairs", test_parse_texts_give_pairs);
    g_test_add_func("/keyval/parse/nameless",
                    test_parse_nameless_items_are_refused);
    g_test_add_func("/keyval/parse/random",
                    test_parse_random_texts_do_not_crash);
    g_test_add_func("/keyval/get/typed", test_get_typed_values);
    g_test_add_func("/keyval/get/names-the-key",
                    test_get_bad_value_names_the_key);
    g_test_add_func("/keyval/unused/is-named",
                    test_unused_first_unasked_key_is_named);
    g_test_add_func("/keyval/merge/later-wins", test_merge_later_values_win);
    return g_test_run();
}
