/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a query tells of a restore; see restore.h. Reads numbers that others
 * write.
 */
#include "migration/restore-fault.h"

#include <sys/resource.h>

#include "util/bitmap.h"
#include "util/clock.h"

uint64_t restore_normal_pages(const Restore *r)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->blocks->len; i++) {
        const RestoreBlock *rb = restore_block(r, i);

        n += bitmap_count(rb->bitmap, 0, rb->block->npages);
    }
    return n;
}

uint64_t restore_zero_pages(const Restore *r)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < r->blocks->len; i++) {
        n += restore_block(r, i)->block->npages;
    }
    return n - restore_normal_pages(r);
}

void restore_note_faults(RestoreFaultCount *ret)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        ret->minor = usage.ru_minflt;
        ret->major = usage.ru_majflt;
    }
}

/* The vCPUs may have been let go before, by another life of the guest. */
static void query_start(const Restore *r, int64_t started_ns,
                        RestoreInfo *info)
{
    if (started_ns >= r->config.asked_ns) {
        info->has_start_ns = true;
        info->start_ns = started_ns - r->config.asked_ns;
        info->has_process_start_ns = true;
        info->process_start_ns = started_ns - clock_process_start_ns();
    }
}

static void query_mapping(const Restore *r, RestoreInfo *info)
{
    RestoreFaultCount now = r->faults_before;

    restore_note_faults(&now);
    info->has_minor_faults = true;
    info->minor_faults = now.minor - r->faults_before.minor;
    info->has_major_faults = true;
    info->major_faults = now.major - r->faults_before.major;
}

/* Since the guest was let go; what was touched before it counts as then. */
static uint64_t since(int64_t ns, int64_t started_ns)
{
    return MAX(ns - started_ns, 0);
}

static RestoreTouchedList *query_steps(const RestoreFaultStats *stats,
                                       int64_t started_ns)
{
    RestoreTouchedList *list = NULL, **tail = &list;

    for (unsigned i = 0; i < RESTORE_STEPS; i++) {
        /* Pairs with note_step(): the bytes are older. */
        int64_t ns = __atomic_load_n(&stats->step_ns[i], __ATOMIC_ACQUIRE);
        RestoreTouched *touched;

        if (!ns) {
            break;
        }
        touched = g_new0(RestoreTouched, 1);
        touched->pages = restore_steps[i];
        touched->time_ns = since(ns, started_ns);
        touched->bytes = __atomic_load_n(&stats->step_bytes[i],
                                         __ATOMIC_RELAXED);
        QAPI_LIST_APPEND(tail, touched);
    }
    return list;
}

static char *fault_error(RestoreFault *f)
{
    char *words;

    g_mutex_lock(&f->lock);
    words = f->error ? g_strdup(f->error->message) : NULL;
    g_mutex_unlock(&f->lock);
    return words;
}

#define GET(field) __atomic_load_n(&f->stats.field, __ATOMIC_RELAXED)

void restore_fault_query(RestoreFault *f, int64_t started_ns,
                         RestoreInfo *info)
{
    RestoreFaults *faults = g_new0(RestoreFaults, 1);
    HistogramSummary stalls;
    int64_t end_ns = GET(end_ns);

    histogram_summary(&f->stats.stalls, &stalls);
    faults->complete = end_ns;
    faults->has_complete_ns = end_ns && started_ns;
    faults->complete_ns = since(end_ns, started_ns);
    faults->faults = stalls.count;
    faults->stall_total_ns = stalls.total;
    faults->stall_max_ns = stalls.max;
    faults->stall_p50_ns = stalls.p50;
    faults->stall_p99_ns = stalls.p99;
    faults->fault_bytes = GET(fault_bytes);
    faults->read_ahead_bytes = GET(ahead_bytes);
    faults->background_bytes = GET(fetched_bytes);
    faults->has_working_set_bytes = f->known;
    faults->working_set_bytes = GET(prefetched_bytes);
    faults->touched = query_steps(&f->stats, started_ns);
    faults->error_desc = fault_error(f);
    info->faults = faults;
}

RestoreInfo *restore_query(const Restore *r, int64_t started_ns)
{
    RestoreInfo *info;

    /* Pairs with restore_memory(): all that is told was settled before. */
    if (!__atomic_load_n(&r->is_done, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    info = g_new0(RestoreInfo, 1);
    info->mode = r->fault ? RESTORE_MODE_FAULT :
        restore_needs_file(r) ? RESTORE_MODE_MAP : RESTORE_MODE_READ;
    info->file_bytes = restore_normal_pages(r) << TM_PAGE_BITS;
    info->zero_bytes = restore_zero_pages(r) << TM_PAGE_BITS;
    info->memory_ns = r->memory_ns;
    info->read_bytes = r->read_bytes;
    query_start(r, started_ns, info);
    if (info->mode == RESTORE_MODE_MAP) {
        query_mapping(r, info);
    }
    if (r->fault) {
        restore_fault_query(r->fault, started_ns, info);
    }
    return info;
}
