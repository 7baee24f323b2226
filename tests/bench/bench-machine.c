/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What holds for all figures of a benchmark.
 */
#include <stdlib.h>
#include <sys/utsname.h>

#include "bench-parts.h"

void bench_tell_machine(Report *r, const BenchConfig *c)
{
    struct utsname name;
    double load[3] = { 0 };

    uname(&name);
    getloadavg(load, 3);
    report_fact(r, "system", "%s %s", name.sysname, name.release);
    report_fact(r, "CPUs", "%u", g_get_num_processors());
    report_fact(r, "load", "%.2f %.2f %.2f", load[0], load[1], load[2]);
    report_fact(r, "runs", "%d in turn; shown are the median and, in "
                "brackets, the best", c->runs);
#ifdef TM_DEBUG_CHECKS
    report_fact(r, "build", "with debug checks: not what a release costs");
#else
    report_fact(r, "build", "without debug checks");
#endif
}
