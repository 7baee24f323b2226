/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mode dirty-ring: a client of the dirty log as in mode dirty-bitmap, but what
 * is counted is not its bits: it is how many of them each vCPU's stores have
 * set. Where two vCPUs wrote a page it counts for one of them; what we write
 * to guest memory ourselves counts for nobody.
 *
 *     log on, sync, forget      as in dirtyrate-log.c
 *     note the vCPUs' counters
 *     wait
 *     sync, note them again
 *     log off
 */
#include "migration/dirty-writers.h"

#include "accel/accel-ops.h"
#include "migration/dirtyrate-internal.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "util/error.h"

static uint64_t pages_of(const DirtyRate *r, guint i)
{
    return dirty_writer_pages(g_ptr_array_index(r->vm->vcpus, i),
                              DIRTY_CLIENT_RATE);
}

/* What they have grown by since @ret holds them. */
static void note_growth(const DirtyRate *r, DirtyRateResult *ret)
{
    ret->pages = 0;
    for (guint i = 0; i < ret->n_vcpus; i++) {
        ret->vcpu_pages[i] = pages_of(r, i) - ret->vcpu_pages[i];
        ret->pages += ret->vcpu_pages[i];
    }
}

/* How often tracking was lost, and whether it is found again. */
static uint64_t losses(const DirtyRate *r, bool *ret_found)
{
    Accel *accel = r->vm->accel;
    AccelRingInfo info = { 0 };

    if (accel->ring_info) {
        accel->ring_info(accel, &info);
    }
    *ret_found = info.lost == info.repaired;
    return info.lost;
}

static bool measure(DirtyRate *r, DirtyRateResult *ret, GError **error)
{
    bool found;
    uint64_t lost = losses(r, &found);
    int64_t begin_ns;

    if (!dirty_rate_log_sync(r, error) || !dirty_rate_log_forget(r, error)) {
        return false;
    }
    begin_ns = clock_now_ns(r->clock);
    ret->n_vcpus = r->vm->vcpus->len;
    ret->vcpu_pages = g_new(uint64_t, ret->n_vcpus);
    for (guint i = 0; i < ret->n_vcpus; i++) {
        ret->vcpu_pages[i] = pages_of(r, i);
    }
    if (!dirty_rate_wait(r, begin_ns + r->wait_ns, error) ||
        !dirty_rate_log_sync(r, error)) {
        return false;
    }
    if (!found || losses(r, &found) != lost) {
        tm_error_set(error, "dirty tracking was lost meanwhile, and all "
                     "memory marked: there is nothing to count");
        return false;
    }
    ret->period_ns = clock_now_ns(r->clock) - begin_ns;
    note_growth(r, ret);
    return true;
}

bool dirty_rate_ring_measure(DirtyRate *r, DirtyRateResult *ret,
                             GError **error)
{
    bool ok = measure(r, ret, error);

    big_lock();
    dirty_log_stop(r->vm->map, DIRTY_CLIENT_RATE);
    big_unlock();
    return ok;
}
