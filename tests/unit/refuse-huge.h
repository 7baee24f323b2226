/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests that ask for impossible amounts of memory on purpose: the
 * sanitizers end the program there unless told that NULL is an answer.
 */
#ifndef TESTS_UNIT_REFUSE_HUGE_H
#define TESTS_UNIT_REFUSE_HUGE_H

const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

#endif
