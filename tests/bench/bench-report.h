/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of a benchmark, printed as tables for people while they are made,
 * and written as JSON for programs when all is done. Of a figure that was
 * measured several times the table shows the median and, in brackets, the
 * best; the JSON has every sample.
 */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A list of figures of one kind. Zeroed is empty. */
typedef struct Samples {
    double *value;
    unsigned n, room;
} Samples;

void samples_add(Samples *s, double value);
/** samples_done() - free; empty again */
void samples_done(Samples *s);
/** samples_median(), samples_min(), samples_max() - 0 if there are none */
double samples_median(const Samples *s);
double samples_min(const Samples *s);
double samples_max(const Samples *s);

typedef struct Report Report;

/** report_new() - tables go to standard output */
Report *report_new(void);
/** report_free() - NULL is fine */
void report_free(Report *r);

/** report_fact() - what holds for all figures; printed as a line */
void report_fact(Report *r, const char *name, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/**
 * report_table() - a table begins
 * @name:    of it in the JSON
 * @title:   printed above
 * @columns: names of all columns, NULL-terminated; outlive the table
 */
void report_table(Report *r, const char *name, const char *title,
                  const char *const *columns);

/** report_text(), report_number(), report_times(), report_speeds() - the next
 *  cell; the cell of the last column ends the row. Of times the least is the
 *  best, of speeds the greatest. */
void report_text(Report *r, const char *text);
void report_number(Report *r, double value);
void report_times(Report *r, const Samples *s);
void report_speeds(Report *r, const Samples *s);

/**
 * report_write() - everything as JSON
 * Errors: the file cannot be written.
 */
bool report_write(Report *r, const char *path, GError **error);

/** bench_now_ns() - a clock that only goes forward */
uint64_t bench_now_ns(void);

#endif
