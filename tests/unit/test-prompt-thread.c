/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prompt threads: no signal, the right priority, the caller as he was.
 */
#include <glib.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

#include "fake-threads.h"
#include "util/prompt-thread.h"

typedef struct Seen {
    sigset_t blocked;
    int policy;
    bool may;          /* a thread of this process may ask for the priority */
} Seen;

static gpointer look(gpointer opaque)
{
    struct sched_param param;
    Seen *seen = opaque;

    pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    pthread_getschedparam(pthread_self(), &seen->policy, &param);
    param.sched_priority = 1;
    seen->may = !pthread_setschedparam(pthread_self(), SCHED_RR, &param);
    return seen;
}

static void test_no_signals_and_first(void)
{
    sigset_t before, after;
    Seen seen;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    g_assert_true(g_thread_join(prompt_thread_new("t", look, &seen, NULL)) ==
                  &seen);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s < 32; s++) {
        g_assert_cmpint(sigismember(&before, s), ==, sigismember(&after, s));
        g_assert_true(sigismember(&seen.blocked, s) || s == SIGKILL ||
                      s == SIGSTOP);
    }
    g_assert_cmpint(seen.policy, ==, seen.may ? SCHED_RR : SCHED_OTHER);
}

static void test_none_left(void)
{
    g_autoptr(GError) error = NULL;
    sigset_t before, after;
    Seen seen;

    fake_threads_lack = "t";
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    g_assert_null(prompt_thread_new("t", look, &seen, &error));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int s = 1; s < 32; s++) {
        g_assert_cmpint(sigismember(&before, s), ==, sigismember(&after, s));
    }
    g_assert_cmpstr(error->message, ==, "cannot make thread 't': Resource "
                    "temporarily unavailable");
    fake_threads_lack = NULL;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/prompt-thread/new/no-signals-and-first",
                    test_no_signals_and_first);
    g_test_add_func("/prompt-thread/new/none-left", test_none_left);
    return g_test_run();
}
