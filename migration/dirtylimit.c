/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits of the vCPUs' dirty rates: who owns them, the client of the dirty log
 * that counts for them, and the thread that looks at the accounts of
 * dirty-limiter.h. The thread is there while limits are in force.
 *
 * Order of locks: the big lock, then this object's. The thread never takes the
 * big lock, so that it neither waits for a migration's sync nor for a device,
 * and whoever holds the big lock may join it.
 */
#include "migration/dirtylimit.h"

#include <inttypes.h>

#include "accel/accel-ops.h"
#include "migration/dirty-limiter.h"
#include "migration/dirty-writers.h"
#include "system/dirty-sync.h"
#include "system/vm.h"
#include "trace/migration.h"
#include "util/error.h"
#include "util/thread.h"

struct DirtyLimit {
    Vm *vm;
    Clock *clock;            /* owned */

    /* Big lock. */
    bool claimed;            /* by a migration */
    bool logging;            /* our client is on */
    GThread *thread;         /* NULL: no limits are in force */
    bool in_force;           /* the same, for whoever asks; atomic */

    GMutex lock;             /* guards what follows */
    GCond wake;              /* of the thread */
    bool stop;               /* the thread is to end */
    DirtyLimiter *limiter;   /* changed under both locks; NULL as @thread */
    unsigned pace_us;        /* what the accelerator was told last */
};

DirtyLimit *dirty_limit_new(Vm *vm, Clock *clock)
{
    DirtyLimit *l = g_new0(DirtyLimit, 1);

    l->vm = vm;
    l->clock = clock;
    g_mutex_init(&l->lock);
    g_cond_init(&l->wake);
    return l;
}

void dirty_limit_free(DirtyLimit *l)
{
    if (!l) {
        return;
    }
    l->claimed = true;
    dirty_limit_lift(l);
    dirty_limit_release(l);
    g_mutex_clear(&l->lock);
    g_cond_clear(&l->wake);
    clock_free(l->clock);
    g_free(l);
}

/* ---- the thread ---------------------------------------------------------- */

/* What the accelerator was told is good for paces up to twice as slow, so that
 * it is not told at every look. 0: nobody wants any. */
static void set_pace(DirtyLimit *l, int64_t pace_ns)
{
    Accel *accel = l->vm->accel;
    unsigned us = pace_ns / NS_PER_US;

    if (us && l->pace_us <= us && us < 2 * l->pace_us) {
        return;
    }
    l->pace_us = us - us / 4;
    if (accel->set_dirty_pace) {
        accel->set_dirty_pace(accel, l->pace_us);
    }
}

static gpointer limit_thread(gpointer opaque)
{
    DirtyLimit *l = opaque;

    g_mutex_lock(&l->lock);
    while (!l->stop) {
        int64_t next_ns =
            dirty_limiter_look(l->limiter, clock_now_ns(l->clock));

        set_pace(l, dirty_limiter_pace_ns(l->limiter));
        g_cond_wait_until(&l->wake, &l->lock, next_ns / NS_PER_US + 1);
    }
    g_mutex_unlock(&l->lock);
    return NULL;
}

static void end_log(DirtyLimit *l)
{
    if (l->logging) {
        l->logging = false;
        dirty_log_stop(l->vm->map, DIRTY_CLIENT_LIMIT);
    }
}

/* Big lock. */
static bool begin(DirtyLimit *l, uint64_t period_ms, GError **error)
{
    if (l->thread) {
        return true;
    }
    if (!l->logging &&
        !dirty_log_start(l->vm->map, DIRTY_CLIENT_LIMIT, false, error)) {
        return false;
    }
    l->logging = true;
    l->stop = false;
    l->pace_us = 0;
    l->limiter = dirty_limiter_new(l->vm);
    dirty_limiter_begin(l->limiter, clock_now_ns(l->clock),
                        period_ms * NS_PER_MS);
    l->thread = thread_new("dirty-limit", limit_thread, l, error);
    if (!l->thread) {
        g_clear_pointer(&l->limiter, dirty_limiter_free);
        end_log(l);
        return false;
    }
    __atomic_store_n(&l->in_force, true, __ATOMIC_RELAXED);
    return true;
}

void dirty_limit_lift(DirtyLimit *l)
{
    if (!l->thread) {
        return;
    }
    g_mutex_lock(&l->lock);
    l->stop = true;
    g_cond_signal(&l->wake);
    g_mutex_unlock(&l->lock);
    g_thread_join(g_steal_pointer(&l->thread));
    __atomic_store_n(&l->in_force, false, __ATOMIC_RELAXED);
    g_clear_pointer(&l->limiter, dirty_limiter_free);
    set_pace(l, 0);
    for (guint i = 0; i < l->vm->vcpus->len; i++) {
        vcpu_end_sleep(g_ptr_array_index(l->vm->vcpus, i));
    }
}

/* ---- limits -------------------------------------------------------------- */

/* In force already. The sleep of the old limit ends; the thread, which is
 * woken up, orders a new one if one is due. */
static void set_locked(DirtyLimit *l, guint index, uint64_t mib_per_s)
{
    if (dirty_limiter_limit(l->limiter, index) == mib_per_s) {
        return;
    }
    trace_dirty_limit_set(index, mib_per_s);
    dirty_limiter_set(l->limiter, index, mib_per_s, clock_now_ns(l->clock));
    vcpu_end_sleep(g_ptr_array_index(l->vm->vcpus, index));
}

static void set_some(DirtyLimit *l, const int64_t *cpu_index,
                     uint64_t mib_per_s)
{
    g_mutex_lock(&l->lock);
    for (guint i = 0; i < l->vm->vcpus->len; i++) {
        if (!cpu_index || *cpu_index == i) {
            set_locked(l, i, mib_per_s);
        }
    }
    g_cond_signal(&l->wake);
    g_mutex_unlock(&l->lock);
}

static bool check_index(const DirtyLimit *l, const int64_t *cpu_index,
                        GError **error)
{
    if (!cpu_index || (*cpu_index >= 0 && *cpu_index < l->vm->vcpus->len)) {
        return true;
    }
    tm_error_set(error, "there is no vCPU %" PRId64 ", their number is %u",
                 *cpu_index, l->vm->vcpus->len);
    return false;
}

static bool check_owner(const DirtyLimit *l, GError **error)
{
    if (l->claimed) {
        tm_error_set(error, "a migration with capability 'dirty-limit' runs, "
                     "and limits are its own business until it ends");
        return false;
    }
    return true;
}

bool dirty_limit_set(DirtyLimit *l, const int64_t *cpu_index,
                     uint64_t mib_per_s, GError **error)
{
    if (!dirty_writers_check(l->vm, "a limit of the dirty rate", error) ||
        !check_index(l, cpu_index, error) || !check_owner(l, error)) {
        return false;
    }
    if (mib_per_s == 0) {
        return dirty_limit_cancel(l, cpu_index, error);
    }
    if (!begin(l, DIRTY_LIMIT_PERIOD_MS, error)) {
        return false;
    }
    set_some(l, cpu_index, mib_per_s);
    return true;
}

bool dirty_limit_cancel(DirtyLimit *l, const int64_t *cpu_index,
                        GError **error)
{
    bool last;

    if (!check_index(l, cpu_index, error)) {
        return false;
    }
    if (!l->thread) {
        return true;
    }
    if (!check_owner(l, error)) {
        return false;
    }
    set_some(l, cpu_index, 0);
    g_mutex_lock(&l->lock);
    last = dirty_limiter_limited(l->limiter) == 0;
    g_mutex_unlock(&l->lock);
    if (last) {
        dirty_limit_lift(l);
        end_log(l);
    }
    return true;
}

/* ---- for a migration ----------------------------------------------------- */

bool dirty_limit_claim(DirtyLimit *l, GError **error)
{
    if (!dirty_writers_check(l->vm, "capability 'dirty-limit'", error)) {
        return false;
    }
    if (l->thread) {
        tm_error_set(error, "capability 'dirty-limit' sets limits of its own, "
                     "and vCPUs are limited already; cancel-vcpu-dirty-limit "
                     "lifts that");
        return false;
    }
    l->claimed = true;
    return true;
}

bool dirty_limit_hold_back(DirtyLimit *l, uint64_t mib_per_s,
                           uint64_t period_ms, GError **error)
{
    if (!begin(l, period_ms, error)) {
        return false;
    }
    g_mutex_lock(&l->lock);
    dirty_limiter_set_period(l->limiter, period_ms * NS_PER_MS);
    g_mutex_unlock(&l->lock);
    set_some(l, NULL, mib_per_s);
    return true;
}

void dirty_limit_release(DirtyLimit *l)
{
    if (l->claimed) {
        end_log(l);
        l->claimed = false;
    }
}

/* ---- queries ------------------------------------------------------------- */

static DirtyLimitInfo *info_of(const DirtyLimit *l, unsigned index)
{
    DirtyLimitInfo *info = g_new0(DirtyLimitInfo, 1);

    info->cpu_index = index;
    info->limit_rate = dirty_limiter_limit(l->limiter, index);
    info->current_rate =
        dirty_limiter_rate(l->limiter, index) >> (20 - TM_PAGE_BITS);
    return info;
}

DirtyLimitInfoList *dirty_limit_query(DirtyLimit *l)
{
    DirtyLimitInfoList *list = NULL, **tail = &list;

    if (!l->thread) {
        return NULL;
    }
    g_mutex_lock(&l->lock);
    for (guint i = 0; i < l->vm->vcpus->len; i++) {
        if (dirty_limiter_limit(l->limiter, i)) {
            DirtyLimitInfo *info = info_of(l, i);

            QAPI_LIST_APPEND(tail, info);
        }
    }
    g_mutex_unlock(&l->lock);
    return list;
}

/* At the average of all vCPUs, those that sleep included. */
static uint64_t ring_full_us(const DirtyLimit *l)
{
    uint64_t n = l->vm->vcpus->len;
    unsigned __int128 pps = 0;

    for (guint i = 0; i < n; i++) {
        pps += dirty_limiter_rate(l->limiter, i);
    }
    return pps ? (unsigned __int128)l->vm->accel->dirty_ring_entries * n *
                     G_USEC_PER_SEC / pps
               : 0;
}

bool dirty_limit_is_in_force(const DirtyLimit *l)
{
    return __atomic_load_n(&l->in_force, __ATOMIC_RELAXED);
}

bool dirty_limit_stats(DirtyLimit *l, DirtyLimitStats *ret)
{
    if (!l->thread) {
        return false;
    }
    g_mutex_lock(&l->lock);
    ret->sleep_us = dirty_limiter_sleep_ns(l->limiter) / NS_PER_US;
    ret->ring_full_us = ring_full_us(l);
    g_mutex_unlock(&l->lock);
    return true;
}
