/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two witnesses of the same writes. Guests write through a kernel's log and a
 * device of the VMM writes and marks, while the host collects what log and
 * marks report (E) and, of the page tables, what was written at all (O; see
 * write-oracle.h). Neither knows of the other; their sets must agree.
 *
 * The machines and trackers are those of dirty-log.h. That test reads what
 * pages hold and knows when a write is lost; this one knows nothing of
 * contents, and sees the writes that no guest made and the pages that were
 * reported for nothing.
 */
#ifndef TESTS_DIRTY_ORACLE_H
#define TESTS_DIRTY_ORACLE_H

#include "dirty-log.h"

typedef struct DoConfig {
    DlConfig dl;              /* its interval is not looked at */
    bool unmarked;            /* a mistake: the device does not mark */
} DoConfig;

typedef struct DoStats {
    uint64_t rounds, collections;
    uint64_t written, reported;  /* pages, summed over rounds */
    uint64_t late;            /* reported a round after the write was seen */
    uint64_t unwritten;       /* reported for nothing */
    uint64_t device;          /* writes of the device */
    uint64_t parked;          /* times that both had to be empty */
    char *failure;            /* NULL: the two agree */
    const char *skip;         /* why it cannot be run here */
} DoStats;

/** do_run() - the body. Free with do_stats_done(). */
void do_run(const DoConfig *config, DoStats *ret);
void do_stats_done(DoStats *stats);

/** do_print_stats() - as a message of the test */
void do_print_stats(const DoConfig *config, const DoStats *stats);

#endif
