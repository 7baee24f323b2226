/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Warnings pass once per interval and none is forgotten in the count.
 */
#include "util/warn-limit.h"

static void test_one_passes_per_interval(void)
{
    WarnLimit limit = { .interval_ns = 100 };
    uint64_t held = 77;

    g_assert_true(warn_limit_pass(&limit, 5, &held));
    g_assert_cmpuint(held, ==, 0);
    held = 77;
    for (int64_t now = 5; now < 105; now++) {
        g_assert_false(warn_limit_pass(&limit, now, &held));
    }
    g_assert_cmpuint(held, ==, 77);
    g_assert_true(warn_limit_pass(&limit, 105, &held));
    g_assert_cmpuint(held, ==, 100);
    g_assert_false(warn_limit_pass(&limit, 204, &held));
    g_assert_true(warn_limit_pass(&limit, 1000, &held));
    g_assert_cmpuint(held, ==, 1);
}

static void test_words_carry_the_count(void)
{
    WarnLimit limit = { .interval_ns = 10 };
    g_autofree char *first = warn_limit_text(&limit, 0, "bad");
    g_autofree char *second = warn_limit_text(&limit, 1, "bad");
    g_autofree char *third = warn_limit_text(&limit, 10, "worse");

    g_assert_cmpstr(first, ==, "bad");
    g_assert_null(second);
    g_assert_cmpstr(third, ==, "worse (and 1 more since the last one told)");
}

/* Random times: what passed and what was held back add up to all. */
static void test_random_times_add_up(void)
{
    WarnLimit limit = { .interval_ns = 50 };
    uint64_t passed = 0, told = 0, held = 0;
    int64_t now = 0, last = -1000;

    for (unsigned i = 1; i <= 4096; i++) {
        now += g_test_rand_int_range(0, 30);
        if (warn_limit_pass(&limit, now, &held)) {
            g_assert_cmpint(now - last, >=, 50);
            last = now;
            passed++;
            told += held;
        }
        g_assert_cmpuint(passed + told + limit.held_back, ==, i);
    }
    g_assert_cmpuint(passed, >, 100);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/warn-limit/pass/one-per-interval",
                    test_one_passes_per_interval);
    g_test_add_func("/warn-limit/text/words-carry-the-count",
                    test_words_carry_the_count);
    g_test_add_func("/warn-limit/pass/random-times-add-up",
                    test_random_times_add_up);
    return g_test_run();
}
