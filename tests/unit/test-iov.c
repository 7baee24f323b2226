/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iovec arithmetic: every offset and length over a vector with empty entries.
 */
#include <glib.h>
#include <string.h>

#include "util/iov.h"

#define TEXT "abcdefghij"
#define TEXT_LEN 10

typedef struct Vector {
    char bytes[TEXT_LEN + 1];
    struct iovec iov[5];
} Vector;

/* "", "abc", "", "d", "efghij" */
static void vector_init(Vector *v)
{
    memcpy(v->bytes, TEXT, sizeof(v->bytes));
    v->iov[0] = (struct iovec){v->bytes, 0};
    v->iov[1] = (struct iovec){v->bytes, 3};
    v->iov[2] = (struct iovec){v->bytes + 3, 0};
    v->iov[3] = (struct iovec){v->bytes + 3, 1};
    v->iov[4] = (struct iovec){v->bytes + 4, 6};
}

static void test_skip_every_length_leaves_the_rest(void)
{
    for (size_t skip = 0; skip <= TEXT_LEN; skip++) {
        Vector v;
        struct iovec *iov = v.iov;
        unsigned niov = 5;
        char rest[TEXT_LEN + 1] = "";

        vector_init(&v);
        g_assert_cmpuint(iov_size(iov, niov), ==, TEXT_LEN);
        iov_skip(&iov, &niov, skip);
        g_assert_cmpuint(iov_size(iov, niov), ==, TEXT_LEN - skip);
        g_assert_true(niov == 0 || iov->iov_len > 0);
        iov_to_buf(iov, niov, 0, rest, sizeof(rest));
        g_assert_cmpstr(rest, ==, &TEXT[skip]);
    }
}

static void check_copy(size_t offset, size_t n)
{
    size_t want = offset < TEXT_LEN ? MIN(n, TEXT_LEN - offset) : 0;
    char buf[16], back[TEXT_LEN + 1] = TEXT;
    Vector v;

    vector_init(&v);
    memset(buf, '.', sizeof(buf));
    g_assert_cmpuint(iov_to_buf(v.iov, 5, offset, buf, n), ==, want);
    g_assert_cmpint(memcmp(buf, &TEXT[MIN(offset, TEXT_LEN)], want), ==, 0);
    g_assert_cmpint(buf[want], ==, '.');

    memset(buf, 'X', sizeof(buf));
    g_assert_cmpuint(iov_from_buf(v.iov, 5, offset, buf, n), ==, want);
    memset(back + MIN(offset, TEXT_LEN), 'X', want);
    g_assert_cmpstr(v.bytes, ==, back);
}

static void test_copy_every_offset_and_length(void)
{
    for (size_t offset = 0; offset <= TEXT_LEN + 1; offset++) {
        for (size_t n = 0; n <= TEXT_LEN + 2; n++) {
            check_copy(offset, n);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/iov/skip/leaves-the-rest",
                    test_skip_every_length_leaves_the_rest);
    g_test_add_func("/iov/copy/every-offset", test_copy_every_offset_and_length);
    return g_test_run();
}
