/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks: a wound one stands still; and when a process was started, seen from
 * the process that has started it.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"

static const char *self;

static void test_test_clock_moves_when_wound(void)
{
    g_autoptr(Clock) clock = clock_new_test(5);

    g_assert_cmpint(clock_now_ns(clock), ==, 5);
    clock_wind(clock, 7);
    clock_sleep_ns(clock, 8);
    clock_sleep_ns(clock, -8);
    g_assert_cmpint(clock_now_ns(clock), ==, 20);
}

static void test_host_clock_is_monotonic_time(void)
{
    g_autoptr(Clock) clock = clock_new_host();
    int64_t before = g_get_monotonic_time();
    int64_t now = clock_now_ns(clock);

    g_assert_cmpint(now / 1000, >=, before);
    clock_sleep_ns(clock, 2 * NS_PER_MS);
    g_assert_cmpint(clock_now_ns(clock), >=, now + 2 * NS_PER_MS);
}

static void test_process_start_is_when_it_was(void)
{
    char *argv[] = { (char *)self, (char *)"--print-start", NULL };
    g_autoptr(Clock) clock = clock_new_host();
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    int64_t before, start, now;

    clock_sleep_ns(clock, 30 * NS_PER_MS); /* away from our own start */
    before = clock_now_ns(clock);
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text, NULL,
                 NULL, &error);
    g_assert_no_error(error);
    now = clock_now_ns(clock);
    start = g_ascii_strtoll(text, NULL, 10);
    g_assert_cmpint(start, >=, before - 10 * NS_PER_MS);
    g_assert_cmpint(start, <=, now - 50 * NS_PER_MS); /* it slept */
    g_assert_cmpint(clock_process_start_ns(), <=, before - 30 * NS_PER_MS);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--print-start")) {
        g_usleep(50000);
        printf("%" G_GINT64_FORMAT "\n", clock_process_start_ns());
        return 0;
    }
    self = argv[0];
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/test/moves-when-wound",
                    test_test_clock_moves_when_wound);
    g_test_add_func("/clock/host/is-monotonic",
                    test_host_clock_is_monotonic_time);
    g_test_add_func("/clock/process-start/is-when-it-was",
                    test_process_start_is_when_it_was);
    return g_test_run();
}
