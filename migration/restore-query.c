/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a query tells of a restore; see restore.h. Reads numbers that others
 * write.
 */
#include "migration/restore-internal.h"

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

RestoreInfo *restore_query(const Restore *r, int64_t started_ns)
{
    RestoreInfo *info;

    /* Pairs with restore_memory(): all that is told was settled before. */
    if (!__atomic_load_n(&r->is_done, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    info = g_new0(RestoreInfo, 1);
    info->mode = restore_needs_file(r) ? RESTORE_MODE_MAP : RESTORE_MODE_READ;
    info->file_bytes = restore_normal_pages(r) << TM_PAGE_BITS;
    info->zero_bytes = restore_zero_pages(r) << TM_PAGE_BITS;
    info->memory_ns = r->memory_ns;
    info->read_bytes = r->read_bytes;
    query_start(r, started_ns, info);
    if (info->mode == RESTORE_MODE_MAP) {
        query_mapping(r, info);
    }
    return info;
}
