/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Histograms against the sorted list of their values.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "util/histogram.h"

#define N 4096

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The smallest value that at least this share does not exceed. */
static uint64_t exact(const uint64_t *sorted, unsigned n, unsigned per_mille)
{
    unsigned rank = ((uint64_t)n * per_mille + 999) / 1000;

    return sorted[rank ? rank - 1 : 0];
}

static void check_quantile(const Histogram *h, const uint64_t *sorted,
                           unsigned n, unsigned per_mille)
{
    uint64_t truth = exact(sorted, n, per_mille);
    uint64_t told = histogram_quantile(h, per_mille);

    g_assert_cmpuint(told, >=, truth);
    g_assert_cmpuint(told - truth, <=, truth / 16);
    g_assert_cmpuint(told, <=, sorted[n - 1]);
}

static void test_empty_is_all_zero(void)
{
    static Histogram h;
    HistogramSummary s;

    memset(&s, 0xff, sizeof(s));
    histogram_summary(&h, &s);
    g_assert_cmpuint(s.count | s.total | s.max | s.p50 | s.p99 | s.p999, ==,
                     0);
    g_assert_cmpuint(histogram_quantile(&h, 1000), ==, 0);
}

static void test_edges_fall_where_they_belong(void)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = UINT64_C(1) << bit;
        const uint64_t values[] = { power - 1, power, power + power / 16,
                                    power + (power - 1) };

        for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
            g_autofree Histogram *h = g_new0(Histogram, 1);
            const uint64_t sorted[] = { values[i], UINT64_MAX };

            histogram_add(h, values[i]);
            g_assert_cmpuint(histogram_quantile(h, 500), ==, values[i]);
            histogram_add(h, UINT64_MAX); /* the largest hides no bucket */
            check_quantile(h, sorted, 2, 500);
            g_assert_cmpuint(histogram_quantile(h, 1000), ==, UINT64_MAX);
        }
    }
}

static void test_small_values_are_exact(void)
{
    static Histogram h;

    for (unsigned v = 0; v < 32; v++) {
        histogram_add(&h, v);
    }
    for (unsigned v = 0; v < 32; v++) {
        g_assert_cmpuint(histogram_quantile(&h, (v + 1) * 1000 / 32), ==,
                         ((v + 1) * 1000 / 32 * 32 + 999) / 1000 - 1);
    }
}

static void test_random_values_within_a_sixteenth(void)
{
    g_autofree uint64_t *values = g_new(uint64_t, N);

    for (unsigned round = 0; round < 32; round++) {
        g_autofree Histogram *h = g_new0(Histogram, 1);
        unsigned n = g_test_rand_int_range(1, N);
        HistogramSummary s;
        uint64_t total = 0;

        for (unsigned i = 0; i < n; i++) {
            values[i] = ((uint64_t)(uint32_t)g_test_rand_int() << 20 |
                         (uint32_t)g_test_rand_int()) >>
                g_test_rand_int_range(0, 53);
            total += values[i];
            histogram_add(h, values[i]);
        }
        qsort(values, n, sizeof(values[0]), compare);
        for (unsigned q = 0; q <= 1000; q += 20) {
            check_quantile(h, values, n, q);
        }
        histogram_summary(h, &s);
        g_assert_cmpuint(s.count, ==, n);
        g_assert_cmpuint(s.total, ==, total);
        g_assert_cmpuint(s.max, ==, values[n - 1]);
        g_assert_cmpuint(s.p50, ==, histogram_quantile(h, 500));
        g_assert_cmpuint(s.p99, ==, histogram_quantile(h, 990));
        g_assert_cmpuint(s.p999, ==, histogram_quantile(h, 999));
    }
}

static gpointer add_many(gpointer opaque)
{
    for (unsigned i = 0; i < 100000; i++) {
        histogram_add(opaque, i);
    }
    return NULL;
}

static void test_adders_lose_nothing(void)
{
    static Histogram h;
    GThread *threads[4];
    HistogramSummary s;

    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("adder", add_many, &h);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        histogram_summary(&h, &s); /* for the sanitizer */
        g_thread_join(threads[i]);
    }
    histogram_summary(&h, &s);
    g_assert_cmpuint(s.count, ==, 400000);
    g_assert_cmpuint(s.total, ==, UINT64_C(4) * 99999 * 50000);
    g_assert_cmpuint(s.max, ==, 99999);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/histogram/quantile/empty-is-zero",
                    test_empty_is_all_zero);
    g_test_add_func("/histogram/quantile/edges-fall-where-they-belong",
                    test_edges_fall_where_they_belong);
    g_test_add_func("/histogram/quantile/small-values-are-exact",
                    test_small_values_are_exact);
    g_test_add_func("/histogram/quantile/random-within-a-sixteenth",
                    test_random_values_within_a_sixteenth);
    g_test_add_func("/histogram/add/adders-lose-nothing",
                    test_adders_lose_nothing);
    return g_test_run();
}
