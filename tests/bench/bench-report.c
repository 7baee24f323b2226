/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-report.h.
 */
#include "bench-report.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct Report {
    JsonObject *root;
    JsonArray *rows;            /* of the table under way */
    JsonObject *row;            /* not yet whole; NULL: none */
    const char *const *columns;
    unsigned column;            /* of the next cell */
};

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- samples ------------------------------------------------------------ */

void samples_add(Samples *s, double value)
{
    if (s->n == s->room) {
        s->room = MAX(16, 2 * s->room);
        s->value = g_renew(double, s->value, s->room);
    }
    s->value[s->n++] = value;
}

void samples_done(Samples *s)
{
    g_free(s->value);
    *s = (Samples){ 0 };
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double samples_median(const Samples *s)
{
    g_autofree double *sorted = g_memdup2(s->value, s->n * sizeof(double));

    if (!s->n) {
        return 0;
    }
    qsort(sorted, s->n, sizeof(double), compare);
    return (sorted[(s->n - 1) / 2] + sorted[s->n / 2]) / 2;
}

double samples_min(const Samples *s)
{
    double min = s->n ? s->value[0] : 0;

    for (unsigned i = 1; i < s->n; i++) {
        min = MIN(min, s->value[i]);
    }
    return min;
}

double samples_max(const Samples *s)
{
    double max = 0;

    for (unsigned i = 0; i < s->n; i++) {
        max = MAX(max, s->value[i]);
    }
    return max;
}

/* ---- tables ------------------------------------------------------------- */

Report *report_new(void)
{
    Report *r = g_new0(Report, 1);

    r->root = json_object_new();
    json_object_set_object_member(r->root, "facts", json_object_new());
    json_object_set_object_member(r->root, "tables", json_object_new());
    return r;
}

void report_free(Report *r)
{
    if (r) {
        json_object_unref(r->root);
        g_free(r);
    }
}

void report_fact(Report *r, const char *name, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    printf("%s: %s\n", name, text);
    json_object_set_string_member(
        json_object_get_object_member(r->root, "facts"), name, text);
}

void report_table(Report *r, const char *name, const char *title,
                  const char *const *columns)
{
    g_assert_null(r->row);
    r->columns = columns;
    r->rows = json_array_new();
    json_object_set_array_member(
        json_object_get_object_member(r->root, "tables"), name, r->rows);
    printf("\n%s\n\n|", title);
    for (unsigned i = 0; columns[i]; i++) {
        printf(" %s |", columns[i]);
    }
    printf("\n|");
    for (unsigned i = 0; columns[i]; i++) {
        printf("---|");
    }
    printf("\n");
}

/* Three digits that count. */
static char *digits(double value)
{
    int whole = value >= 1 ? (int)floor(log10(value)) + 1 : 0;

    return g_strdup_printf("%.*f", whole >= 3 ? 0 : 3 - MAX(whole, 1), value);
}

static void cell(Report *r, const char *text, JsonNode *value)
{
    if (!r->row) {
        r->row = json_object_new();
        r->column = 0;
        printf("|");
    }
    printf(" %s |", text);
    json_object_set_member(r->row, r->columns[r->column++], value);
    if (!r->columns[r->column]) {
        json_array_add_object_element(r->rows, r->row);
        r->row = NULL;
        printf("\n");
        fflush(stdout);
    }
}

void report_text(Report *r, const char *text)
{
    cell(r, text, json_node_init_string(json_node_alloc(), text));
}

void report_number(Report *r, double value)
{
    g_autofree char *text = value == floor(value)
        ? g_strdup_printf("%.0f", value) : digits(value);

    cell(r, text, json_node_init_double(json_node_alloc(), value));
}

static void samples_cell(Report *r, const Samples *s, double best)
{
    g_autofree char *median = digits(samples_median(s));
    g_autofree char *in_brackets = digits(best);
    g_autofree char *text = g_strdup_printf("%s (%s)", median, in_brackets);
    JsonObject *o = json_object_new();
    JsonArray *all = json_array_new();

    for (unsigned i = 0; i < s->n; i++) {
        json_array_add_double_element(all, s->value[i]);
    }
    json_object_set_double_member(o, "median", samples_median(s));
    json_object_set_double_member(o, "best", best);
    json_object_set_array_member(o, "samples", all);
    cell(r, s->n ? text : "-",
         json_node_init_object(json_node_alloc(), o));
    json_object_unref(o);
}

void report_times(Report *r, const Samples *s)
{
    samples_cell(r, s, samples_min(s));
}

void report_speeds(Report *r, const Samples *s)
{
    samples_cell(r, s, samples_max(s));
}

bool report_write(Report *r, const char *path, GError **error)
{
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) node =
        json_node_init_object(json_node_alloc(), r->root);

    json_generator_set_root(generator, node);
    json_generator_set_pretty(generator, TRUE);
    return json_generator_to_file(generator, path, error);
}
