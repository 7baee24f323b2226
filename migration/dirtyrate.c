/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A measurement of the dirty rate: refuse, start, wait, tell. The thread's
 * last act is one critical section of the big lock, in which the result
 * appears as a whole; after it the thread needs nothing any more, so that
 * whoever holds the lock may join it.
 */
#include "migration/dirtyrate.h"

#include <inttypes.h>

#include "migration/dirty-writers.h"
#include "migration/dirtyrate-internal.h"
#include "system/big-lock.h"
#include "system/dirty-sync.h"
#include "trace/migration.h"
#include "util/error.h"
#include "util/thread.h"

/* A process that is to end is noticed after this time at the latest. */
#define WAIT_SLICE_NS (10 * NS_PER_MS)

#define MS_PER_SEC 1000

DirtyRate *dirty_rate_new(Vm *vm, Clock *clock)
{
    DirtyRate *r = g_new0(DirtyRate, 1);

    r->vm = vm;
    r->clock = clock;
    r->mode = DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
    r->status = DIRTY_RATE_STATUS_UNSTARTED;
    r->vcpu_mib_per_s = g_array_new(FALSE, FALSE, sizeof(int64_t));
    return r;
}

void dirty_rate_free(DirtyRate *r)
{
    if (!r) {
        return;
    }
    __atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
    if (r->thread) {
        big_unlock(); /* it needs the lock to get to its end */
        g_thread_join(r->thread);
        big_lock();
    }
    clock_free(r->clock);
    g_array_unref(r->vcpu_mib_per_s);
    g_free(r->error);
    g_free(r);
}

void dirty_rate_set_seed(DirtyRate *r, uint32_t seed)
{
    r->has_seed = true;
    r->seed = seed;
}

bool dirty_rate_go_on(const DirtyRate *r, GError **error)
{
    if (__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
        tm_error_set(error, "the program ends");
        return false;
    }
    return true;
}

bool dirty_rate_wait(const DirtyRate *r, int64_t end_ns, GError **error)
{
    int64_t left_ns;

    while ((left_ns = end_ns - clock_now_ns(r->clock)) > 0) {
        if (!dirty_rate_go_on(r, error)) {
            return false;
        }
        clock_sleep_ns(r->clock, MIN(left_ns, WAIT_SLICE_NS));
    }
    return dirty_rate_go_on(r, error);
}

int64_t dirty_rate_mib_per_s(uint64_t pages, int64_t period_ns)
{
    unsigned __int128 rate =
        (unsigned __int128)pages * TM_PAGE_BYTES * NS_PER_SEC / period_ns;

    rate >>= 20;
    return rate > INT64_MAX ? INT64_MAX : (int64_t)rate;
}

/* ---- what is refused ----------------------------------------------------- */

static bool check_time(const DirtyRateRequest *request, GError **error)
{
    bool in_ms = request->unit == TIME_UNIT_MILLISECOND;
    int64_t min = in_ms ? DIRTY_RATE_MIN_MS : 1;
    int64_t max = in_ms ? DIRTY_RATE_MAX_MS : DIRTY_RATE_MAX_MS / MS_PER_SEC;

    if (request->calc_time >= min && request->calc_time <= max) {
        return true;
    }
    tm_error_set(error, "'calc-time' must be %" PRId64 " to %" PRId64 " %s, "
                 "not %" PRId64, min, max, in_ms ? "ms" : "s",
                 request->calc_time);
    return false;
}

static bool check_samples(const DirtyRateRequest *request, GError **error)
{
    if (!request->has_sample_pages) {
        return true;
    }
    if (request->mode != DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING) {
        tm_error_set(error, "'sample-pages' is for mode 'page-sampling', not "
                     "for '%s'", DirtyRateMeasureMode_str(request->mode));
        return false;
    }
    if (request->sample_pages < DIRTY_RATE_MIN_SAMPLES ||
        request->sample_pages > DIRTY_RATE_MAX_SAMPLES) {
        tm_error_set(error, "'sample-pages' must be %d to %d per GiB, not "
                     "%" PRId64, DIRTY_RATE_MIN_SAMPLES,
                     DIRTY_RATE_MAX_SAMPLES, request->sample_pages);
        return false;
    }
    return true;
}

static bool check_machine(const DirtyRate *r, GError **error)
{
    if (r->vm->ram.blocks->len == 0) {
        tm_error_set(error, "the machine has no RAM");
        return false;
    }
    if (runstate_get(r->vm) == RUN_STATE_INMIGRATE) {
        tm_error_set(error, "the guest waits for an incoming migration");
        return false;
    }
    return true;
}

static bool check_request(const DirtyRate *r, const DirtyRateRequest *request,
                          GError **error)
{
    if (r->status == DIRTY_RATE_STATUS_MEASURING) {
        tm_error_set(error, "the dirty rate is being measured already");
        return false;
    }
    if (!check_time(request, error)) {
        return false;
    }
    if (request->mode == DIRTY_RATE_MEASURE_MODE_DIRTY_RING &&
        !dirty_writers_check(r->vm, "mode 'dirty-ring'", error)) {
        return false;
    }
    return check_samples(request, error) && check_machine(r, error);
}

/* ---- the measurement ----------------------------------------------------- */

static void publish_vcpus(DirtyRate *r, const DirtyRateResult *result)
{
    g_array_set_size(r->vcpu_mib_per_s, 0);
    for (guint i = 0; i < result->n_vcpus; i++) {
        int64_t rate = dirty_rate_mib_per_s(result->vcpu_pages[i],
                                            result->period_ns);

        g_array_append_val(r->vcpu_mib_per_s, rate);
    }
}

static void publish_locked(DirtyRate *r, const DirtyRateResult *result,
                           const GError *error)
{
    if (error) {
        r->error = g_strdup(error->message);
        r->status = DIRTY_RATE_STATUS_UNSTARTED;
    } else {
        r->period_ns = result->period_ns;
        r->mib_per_s = dirty_rate_mib_per_s(result->pages, result->period_ns);
        publish_vcpus(r, result);
        r->status = DIRTY_RATE_STATUS_MEASURED;
    }
    trace_dirty_rate_end(result->pages, result->period_ns,
                         error ? error->message : "none");
}

static gpointer measure_thread(gpointer opaque)
{
    DirtyRate *r = opaque;
    g_autoptr(GError) error = NULL;
    DirtyRateResult result = { 0 };

    big_lock(); /* until whoever made this thread has said what is wanted */
    big_unlock();
    switch (r->mode) {
    case DIRTY_RATE_MEASURE_MODE_DIRTY_BITMAP:
        dirty_rate_log_measure(r, &result, &error);
        break;
    case DIRTY_RATE_MEASURE_MODE_DIRTY_RING:
        dirty_rate_ring_measure(r, &result, &error);
        break;
    default:
        dirty_rate_sample_measure(r, &result, &error);
    }
    big_lock();
    publish_locked(r, &result, error);
    big_unlock();
    g_free(result.vcpu_pages);
    return NULL;
}

static void take_request(DirtyRate *r, const DirtyRateRequest *request)
{
    bool samples = request->mode == DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;

    r->mode = request->mode;
    r->sample_pages = !samples ? 0 :
        request->has_sample_pages ? (uint64_t)request->sample_pages :
        DIRTY_RATE_DEFAULT_SAMPLES;
    r->wait_ns = request->calc_time *
        (request->unit == TIME_UNIT_MILLISECOND ? NS_PER_MS : NS_PER_SEC);
    r->period_ns = r->wait_ns;
    r->start_s = g_get_real_time() / G_USEC_PER_SEC;
    g_clear_pointer(&r->error, g_free);
}

bool dirty_rate_start(DirtyRate *r, const DirtyRateRequest *request,
                      GError **error)
{
    if (!check_request(r, request, error)) {
        return false;
    }
    if (r->thread) {
        g_thread_join(g_steal_pointer(&r->thread)); /* it has ended */
    }
    if (request->mode != DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING &&
        !dirty_rate_log_begin(r, error)) {
        return false;
    }
    r->thread = thread_new("dirty-rate", measure_thread, r, error);
    if (!r->thread) {
        if (request->mode != DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING) {
            dirty_log_stop(r->vm->map, DIRTY_CLIENT_RATE);
        }
        return false;
    }
    take_request(r, request);
    r->status = DIRTY_RATE_STATUS_MEASURING;
    trace_dirty_rate_begin(DirtyRateMeasureMode_str(r->mode), r->wait_ns,
                           r->sample_pages);
    return true;
}

static DirtyRateVcpuList *query_vcpus(const DirtyRate *r)
{
    DirtyRateVcpuList *list = NULL, **tail = &list;

    for (guint i = 0; i < r->vcpu_mib_per_s->len; i++) {
        DirtyRateVcpu *vcpu = g_new0(DirtyRateVcpu, 1);

        vcpu->id = i;
        vcpu->dirty_rate = g_array_index(r->vcpu_mib_per_s, int64_t, i);
        QAPI_LIST_APPEND(tail, vcpu);
    }
    return list;
}

DirtyRateInfo *dirty_rate_query(const DirtyRate *r, TimeUnit unit)
{
    DirtyRateInfo *info = g_new0(DirtyRateInfo, 1);

    info->status = r->status;
    info->start_time = r->start_s;
    info->calc_time = r->period_ns /
        (unit == TIME_UNIT_MILLISECOND ? NS_PER_MS : NS_PER_SEC);
    info->calc_time_unit = unit;
    info->sample_pages = r->sample_pages;
    info->mode = r->mode;
    info->has_dirty_rate = r->status == DIRTY_RATE_STATUS_MEASURED;
    info->dirty_rate = info->has_dirty_rate ? r->mib_per_s : 0;
    info->has_vcpu_dirty_rate =
        info->has_dirty_rate && r->mode == DIRTY_RATE_MEASURE_MODE_DIRTY_RING;
    info->vcpu_dirty_rate = info->has_vcpu_dirty_rate ? query_vcpus(r) : NULL;
    info->error_desc = g_strdup(r->error);
    return info;
}
