/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty pages by rings and nothing but ioctls. A pass harvests every ring in
 * order, resets until the kernel has taken all that was given back, and then
 * tells. A thread with all signals blocked makes passes beside the guests, and
 * when somebody asks; where a seed decides all, passes are made in between.
 *
 * That entries are lost shows in one of three ways. A reset that takes less
 * than it was given has been cut, and may have forgotten some: the log flag
 * off and on protects every page again, and then all are told. All entries of
 * a ring harvested at once, or a vCPU that leaves twice with its ring full
 * while nothing is in it, is an overflow: where the kernel goes on is not
 * known, and the run ends with that.
 */
#include <errno.h>
#include <signal.h>

#include "dirty-log-raw.h"
#include "tests/unit/ring-reader.h"
#include "util/bitmap.h"

#define SKIP_ONE_IN 100       /* DL_SKIP_ENTRY */
#define TRIES 1000            /* of a reset that takes nothing */

typedef struct RawRings {
    RingReader of[DL_MAX_VCPUS];
    uint64_t harvested[DL_MAX_VCPUS];  /* in all; atomic */
    /* The vCPU's thread: what that was when it left with a full ring, and how
     * often it was the same. */
    uint64_t seen[DL_MAX_VCPUS];
    unsigned in_vain[DL_MAX_VCPUS];
    /* Who makes the pass. */
    uint64_t *pending;        /* harvested, not yet reset */
    uint64_t given;           /* entries of these */
    GThread *thread;          /* NULL: passes are made in between */
    GMutex lock;              /* all below */
    GCond wake, done;
    uint64_t asked, served;
    bool quit;
} RawRings;

static RawRings *rings_of(DlTracker *t)
{
    return ((RawTracker *)t->opaque)->rings;
}

static void fail(DlTracker *t, const struct kvm_dirty_gfn *e)
{
    g_mutex_lock(&t->m->gate.lock);
    dl_fail(&t->m->failure, "an entry names page %u of slot 0x%x",
            (unsigned)e->offset, e->slot);
    g_mutex_unlock(&t->m->gate.lock);
}

/* ---- a pass -------------------------------------------------------------- */

static void note(DlTracker *t, const struct kvm_dirty_gfn *e)
{
    RawTracker *r = t->opaque;
    unsigned i = e->slot / DL_SLOT_STRIDE;

    if (e->slot % DL_SLOT_STRIDE || i >= r->n ||
        e->offset >= r->slots[i].npages) {
        fail(t, e);
    } else {
        bitmap_set_bit(r->rings->pending, r->slots[i].first + e->offset);
    }
}

/* Of one ring, no more than it holds. */
static void harvest(DlTracker *t, unsigned vcpu)
{
    RawRings *r = rings_of(t);
    RingReader *ring = &r->of[vcpu];
    struct kvm_dirty_gfn e;
    uint32_t n = 0;

    while (n < ring->size && ring_reader_take(ring, &e)) {
        n++;
        if (t->config->mutant != DL_SKIP_ENTRY ||
            (r->harvested[vcpu] + n) % SKIP_ONE_IN) {
            note(t, &e);
        }
    }
    if (n == ring->size) {
        dl_notice(t, "all entries of a ring were dirty at once");
    }
    r->given += n;
    __atomic_fetch_add(&r->harvested[vcpu], n, __ATOMIC_RELAXED);
    __atomic_fetch_add(&t->entries, n, __ATOMIC_RELAXED);
}

/* Returns: whether the kernel has taken all of it, and in one go. A signal
 * may end a reset before it has taken a thing. */
static bool reset(DlTracker *t)
{
    RawRings *r = rings_of(t);
    unsigned calls = 0, in_vain = 0;

    while (r->given) {
        int n = kvm_vm(t->m->io, KVM_RESET_DIRTY_RINGS, NULL);

        in_vain = n == 0 || n == -EINTR ? in_vain + 1 : 0;
        if (in_vain > TRIES || (n < 0 && n != -EINTR) || n > (int)r->given) {
            dl_notice(t, "a reset took less or more than it was given");
            r->given = 0;
            break;
        }
        r->given -= MAX(n, 0);
        calls++;
    }
    return calls <= 1;
}

static void tell(DlTracker *t)
{
    RawTracker *r = t->opaque;
    uint64_t npages = t->config->npages;

    bitmap_or_into_atomic(r->told, 0, r->rings->pending, npages);
    bitmap_clear(r->rings->pending, 0, npages);
}

/* What the guests store while no log is on comes before all is told. */
static void repair(DlTracker *t)
{
    RawTracker *r = t->opaque;

    raw_log(t, false);
    raw_log(t, true);
    bitmap_set_atomic(r->told, 0, t->config->npages);
    __atomic_fetch_add(&t->repairs, 1, __ATOMIC_RELAXED);
}

static void take_back(DlTracker *t)
{
    if (!reset(t) && t->config->mutant != DL_TRUST_RESET) {
        repair(t);
    }
}

/* Told before the reset is the mistake; here it comes with the next pass. */
static void pass(DlTracker *t)
{
    bool late = t->config->mutant == DL_BEFORE_RESET;

    if (late) {
        take_back(t);
    }
    for (unsigned i = 0; i < t->config->vcpus; i++) {
        harvest(t, i);
    }
    if (!late) {
        take_back(t);
    }
    tell(t);
    __atomic_fetch_add(&t->passes, 1, __ATOMIC_RELAXED);
}

/* ---- who makes it -------------------------------------------------------- */

static void block_signals(bool block, sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(block ? SIG_BLOCK : SIG_SETMASK, block ? &all : before,
                    block ? before : NULL);
}

static gpointer collect_thread(gpointer opaque)
{
    DlTracker *t = opaque;
    RawRings *r = rings_of(t);

    g_mutex_lock(&r->lock);
    while (!r->quit) {
        gint64 end = g_get_monotonic_time() + t->config->period_us;
        uint64_t asked;

        while (!r->quit && r->asked == r->served &&
               g_cond_wait_until(&r->wake, &r->lock, end)) {
        }
        asked = r->asked;
        g_mutex_unlock(&r->lock);
        pass(t);
        g_mutex_lock(&r->lock);
        r->served = asked;
        g_cond_broadcast(&r->done);
    }
    g_mutex_unlock(&r->lock);
    return NULL;
}

/* A pass that begins after the call. */
static void ask(DlTracker *t)
{
    RawRings *r = rings_of(t);
    uint64_t ticket;

    if (!r->thread) {
        pass(t);
        return;
    }
    g_mutex_lock(&r->lock);
    ticket = ++r->asked;
    g_cond_signal(&r->wake);
    while (r->served < ticket && !r->quit) {
        g_cond_wait(&r->done, &r->lock);
    }
    g_mutex_unlock(&r->lock);
}

/* Signals are blocked from the thread's first moment on, or never. */
static void start_thread(DlTracker *t)
{
    bool block = t->config->mutant != DL_TRUST_RESET;
    sigset_t before;

    if (block) {
        block_signals(true, &before);
    }
    rings_of(t)->thread = g_thread_new("collector", collect_thread, t);
    if (block) {
        block_signals(false, &before);
    }
}

static void stop_thread(DlTracker *t)
{
    RawRings *r = rings_of(t);

    if (r->thread) {
        g_mutex_lock(&r->lock);
        r->quit = true;
        g_cond_broadcast(&r->wake);
        g_cond_broadcast(&r->done);
        g_mutex_unlock(&r->lock);
        g_thread_join(r->thread);
    }
}

/* The vCPU waits for whoever collects, not the other way round. */
static bool leave(void *opaque, unsigned vcpu, bool full)
{
    DlTracker *t = opaque;
    RawRings *r = rings_of(t);
    uint64_t now;

    if (!full) {
        return false;
    }
    ask(t);
    now = __atomic_load_n(&r->harvested[vcpu], __ATOMIC_RELAXED);
    r->in_vain[vcpu] = now == r->seen[vcpu] ? r->in_vain[vcpu] + 1 : 0;
    r->seen[vcpu] = now;
    if (r->in_vain[vcpu] >= 2) {
        dl_notice(t, "a vCPU left with its ring full and nothing in it");
    }
    return !dl_has_noticed(t->m, t, NULL);
}

/* ---- the tracker --------------------------------------------------------- */

static void ring_map(DlTracker *t)
{
    RawRings *r = g_new0(RawRings, 1);

    raw_enable(t, KVM_CAP_DIRTY_LOG_RING,
               t->config->ring_entries * sizeof(struct kvm_dirty_gfn));
    if (t->config->mutant == DL_RING_SET) {
        raw_enable(t, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3);
    }
    raw_map(t);
    ((RawTracker *)t->opaque)->rings = r;
    r->pending = bitmap_try_new(t->config->npages, NULL);
    g_mutex_init(&r->lock);
    g_cond_init(&r->wake);
    g_cond_init(&r->done);
}

static void ring_start(DlTracker *t)
{
    RawRings *r = rings_of(t);

    for (unsigned i = 0; i < t->config->vcpus; i++) {
        ring_reader_init(&r->of[i], t->m->io, t->m->vcpu_fds[i],
                         t->config->ring_entries);
    }
    t->m->hooks = (DlRunHooks) { .leave = leave, .opaque = t };
    raw_log(t, true);
    if (t->config->machine != &dl_machine_stepped) {
        start_thread(t);
    }
}

static void ring_fetch(DlTracker *t)
{
    ask(t);
}

/* Nothing to clear: a reset has done that. Passes come at any time. */
static void ring_clear(DlTracker *t, uint64_t first, uint64_t n)
{
    if (!rings_of(t)->thread && g_rand_int(t->m->rand) % 4 == 0) {
        ask(t);
    }
}

static void ring_stop(DlTracker *t)
{
    stop_thread(t);
    raw_log(t, false);
}

static void ring_unmap(DlTracker *t)
{
    RawRings *r = rings_of(t);

    for (unsigned i = 0; i < t->config->vcpus; i++) {
        ring_reader_done(&r->of[i]);
    }
    g_free(r->pending);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->wake);
    g_cond_clear(&r->done);
    raw_unmap(t);
    g_free(r);
}

const DlTrackerOps dl_tracker_ring = {
    .name = "raw",
    .map = ring_map,
    .start = ring_start,
    .fetch = ring_fetch,
    .clear = ring_clear,
    .take = raw_take,
    .write = raw_write,
    .stop = ring_stop,
    .unmap = ring_unmap,
};
