/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every variant of the zero test this CPU can run: every length and alignment
 * around the steps, every single set bit. The buffer ends at a page that may
 * not be touched, so a read too far is a crash.
 */
#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/buffer-is-zero.h"

#define PAGE 4096
#define MAX_N 600

static unsigned char *guarded; /* MAX_N bytes, then a forbidden page */

static void check_every_bit(BufferIsZeroFn *fn, size_t n)
{
    unsigned char *buf = guarded + MAX_N - n;

    g_assert_true(fn(buf, n));
    for (size_t i = 0; i < n * 8; i++) {
        buf[i / 8] = 1 << (i % 8);
        g_assert_false(fn(buf, n));
        buf[i / 8] = 0;
    }
}

static void test_variant_every_set_bit_is_seen(gconstpointer opaque)
{
    const BufferIsZeroVariant *variant = opaque;

    for (size_t n = 0; n <= 300; n++) {
        check_every_bit(variant->fn, n);
    }
    check_every_bit(variant->fn, 511);
    check_every_bit(variant->fn, 512);
    check_every_bit(variant->fn, 513);
}

static void test_variant_dirty_surroundings_do_not_count(gconstpointer opaque)
{
    const BufferIsZeroVariant *variant = opaque;
    unsigned char buf[512];

    for (size_t at = 1; at <= 65; at++) {
        for (size_t n = 0; n <= 400; n += 1 + n / 16) {
            memset(buf, 0xff, sizeof(buf));
            memset(buf + at, 0, n);
            g_assert_true(variant->fn(buf + at, n));
            g_assert_false(variant->fn(buf + at - 1, n + 1));
            g_assert_false(variant->fn(buf + at, n + 1));
        }
    }
}

/* Not a check: how fast, printed with --verbose. */
static void measure(const BufferIsZeroVariant *variant)
{
    static unsigned char page[PAGE] __attribute__((aligned(64)));
    gint64 start_us = g_get_monotonic_time();
    unsigned zero = 0;

    for (unsigned i = 0; i < 100000; i++) {
        __asm__ volatile("" : : "r"(page) : "memory");
        zero += variant->fn(page, PAGE);
    }
    g_assert_cmpuint(zero, ==, 100000);
    g_test_message("%s: %.1f ns per zero page", variant->name,
                   (g_get_monotonic_time() - start_us) / 100.0);
}

int main(int argc, char **argv)
{
    unsigned n;
    const BufferIsZeroVariant *variants = buffer_is_zero_variants(&n);
    unsigned char *map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_test_init(&argc, &argv, NULL);
    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mprotect(map + PAGE, PAGE, PROT_NONE), ==, 0);
    guarded = map + PAGE - MAX_N;
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *bits = g_strdup_printf("/buffer-is-zero/%s/every-bit",
                                                variants[i].name);
        g_autofree char *around = g_strdup_printf(
            "/buffer-is-zero/%s/surroundings", variants[i].name);

        g_test_add_data_func(bits, &variants[i],
                             test_variant_every_set_bit_is_seen);
        g_test_add_data_func(around, &variants[i],
                             test_variant_dirty_surroundings_do_not_count);
        if (g_test_perf()) {
            measure(&variants[i]);
        }
    }
    return g_test_run();
}
