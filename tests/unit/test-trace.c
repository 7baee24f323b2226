/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events: off by default, switched on by pattern, one line each.
 */
#include <glib.h>
#include <glib/gstdio.h>

#include "trace/util.h"
#include "util/trace.h"

static void test_emit_when_on_writes_one_line(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(),
                                             "test-trace-XXXXXX", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_mkstemp(path);

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(trace_set_output(path, &error));
    trace_trace_self_test(1, "unseen");
    g_assert_cmpuint(trace_enable("trace_self_*", true), ==, 1);
    trace_trace_self_test(2, "seen");
    g_assert_cmpuint(trace_enable("trace_self_test", false), ==, 1);
    trace_trace_self_test(3, "unseen");
    g_assert_true(trace_set_output(NULL, NULL));
    g_assert_true(g_file_get_contents(path, &text, NULL, &error));
    g_assert_cmpstr(text, ==, "trace_self_test number=2 text=seen\n");
    g_close(fd, NULL);
    g_unlink(path);
}

static void test_enable_unknown_matches_none(void)
{
    g_assert_cmpuint(trace_enable("no_such_event", true), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trace/emit/one-line-when-on",
                    test_emit_when_on_writes_one_line);
    g_test_add_func("/trace/enable/unknown-matches-none",
                    test_enable_unknown_matches_none);
    return g_test_run();
}
