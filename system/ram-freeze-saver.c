/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The saver: one thread that serves faults and, between them, copies what
 * nobody has written yet. It looks for faults before each small batch of the
 * scan, so a writer waits for one batch and its own page. (A thread for the
 * faults beside one for the scan starves: measured, 240 ms.)
 *
 * A page is taken once: its contents are aside, or known to be zeros, before
 * it is released. From then on it belongs to whoever writes it.
 */
#include "system/ram-freeze-int.h"

#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#include "trace/system.h"
#include "util/bitmap.h"
#include "util/buffer-is-zero.h"
#include "util/error.h"

#define SCAN_PAGES 16
#define FAULT_BATCH 16
#define HURRY_LOOK_NS NS_PER_MS /* how long "hurry" may go unseen */
#define WARN_WAIT_NS NS_PER_SEC

/* ---- phases -------------------------------------------------------------- */

static void set_phase(RamFreeze *f, RamFreezePhase phase)
{
    g_mutex_lock(&f->lock);
    __atomic_store_n(&f->phase, phase, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
    eventfd_write(f->queue.wake_fd, 1); /* the taker may wait for pages */
}

static bool is_set(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static bool is_ordered_to_end(const RamFreeze *f)
{
    return is_set(&f->cancelled) || is_set(&f->ended);
}

void freeze_fail(RamFreeze *f, GError *error)
{
    if (f->releasing || f->phase == RAM_FREEZE_FAILED) {
        g_error_free(error); /* all is released anyway */
        return;
    }
    f->error = error;
    set_phase(f, RAM_FREEZE_FAILED);
    if (f->config.failed && !is_ordered_to_end(f)) {
        f->config.failed(f->config.opaque);
    }
}

bool freeze_is_over(const RamFreeze *f)
{
    return f->phase == RAM_FREEZE_FAILED || is_ordered_to_end(f);
}

/* ---- copies -------------------------------------------------------------- */

/* What was copied since the last push, the newest first. */
typedef struct Chain {
    FreezeNode *newest;
    FreezeNode *oldest;
} Chain;

static void chain_add(Chain *chain, FreezeNode *node)
{
    node->next = chain->newest;
    chain->newest = node;
    if (!chain->oldest) {
        chain->oldest = node;
    }
}

static void copy_page_aside(void *dst, const void *src)
{
    memcpy(dst, src, TM_PAGE_BYTES);
}

static bool goes_on_zeros(const Chain *chain, uint64_t page)
{
    return chain->newest && !chain->newest->copy.data &&
        chain->newest->copy.page + chain->newest->n == page;
}

static const uint8_t *page_at(const FreezeBlock *b, uint64_t page)
{
    return b->block->host + (page << TM_PAGE_BITS);
}

static bool is_zero(const RamFreeze *f, const FreezeBlock *b, uint64_t page)
{
    return f->config.detect_zero &&
        buffer_is_zero(page_at(b, page), TM_PAGE_BYTES);
}

/* There is room for a copy; a page of zeros is one too if marks are short. */
static void take_page(RamFreeze *f, FreezeBlock *b, uint64_t page,
                      bool faulted, Chain *chain)
{
    bool zero = is_zero(f, b, page);
    bool mark = zero && freeze_pool_zeros(&f->pool) > 0;

    if (zero) {
        freeze_count(&f->stats.zero_pages, 1);
    }
    if (mark && goes_on_zeros(chain, page)) {
        chain->newest->n++;
    } else {
        FreezeNode *node = freeze_pool_get(&f->pool, !mark);

        node->copy.block = b->block;
        node->copy.index = b->index;
        node->copy.faulted = faulted;
        node->copy.page = page;
        if (!mark) {
            copy_page_aside((void *)node->copy.data, page_at(b, page));
        }
        chain_add(chain, node);
    }
    bitmap_set_bit(b->taken, page);
}

/* All of @n pages that are not taken yet; there is room. Then they are
 * released, and not before. */
static void take_pages(RamFreeze *f, FreezeBlock *b, uint64_t first,
                       uint64_t n, bool faulted)
{
    Chain chain = { 0 };
    uint64_t used, taken = 0;

    for (uint64_t page = first; page < first + n; page++) {
        if (!bitmap_test_bit(b->taken, page)) {
            take_page(f, b, page, faulted, &chain);
            taken++;
        }
    }
    freeze_release_pages(f, b, first, n);
    used = freeze_pool_in_use(&f->pool);
    freeze_raise(&f->stats.pool_high_pages, used);
    freeze_raise(&f->stats.overdraft_high_pages,
                 used - MIN(used, f->pool.pages));
    if (chain.newest) {
        freeze_queue_push(&f->queue, faulted, chain.newest, chain.oldest);
    }
    freeze_count(faulted ? &f->stats.faulted_pages : &f->stats.scanned_pages,
                 taken);
}

/* ---- faults -------------------------------------------------------------- */

static void note_stall(RamFreeze *f, int64_t since_ns, const FreezeBlock *b,
                       uint64_t page)
{
    int64_t ns = clock_now_ns(f->clock) - since_ns;

    histogram_add(&f->stalls, MAX(ns, 0));
    trace_ram_freeze_fault(b->block->name, page, ns);
}

static FreezeBlock *find_block(RamFreeze *f, uint64_t address,
                               uint64_t *ret_unit)
{
    for (unsigned i = 0; i < f->n_blocks; i++) {
        FreezeBlock *b = &f->blocks[i];
        uint64_t offset = address - (uintptr_t)b->block->host;

        /* An address below the block wraps to a huge offset. */
        if (offset < b->block->length) {
            *ret_unit = (offset >> TM_PAGE_BITS) / b->unit * b->unit;
            return b;
        }
    }
    return NULL;
}

static uint64_t fault_limit(const RamFreeze *f)
{
    const RAMList *list = f->config.list;
    bool hurry = list && __atomic_load_n(&list->hurry, __ATOMIC_SEQ_CST);

    return hurry ? 2 * f->pool.pages : f->pool.pages;
}

static void give_up(RamFreeze *f)
{
    GError *error = NULL;

    tm_error_set(&error, "the pool of %" G_GUINT64_FORMAT " KiB for copies of "
                 "pages is full, and so is as much again, while the machine "
                 "itself must write memory or stop: the target is too slow "
                 "for this pool", f->pool.pages << TM_PAGE_BITS >> 10);
    freeze_fail(f, error);
}

static bool takes_no_room(RamFreeze *f, const FreezeBlock *b, uint64_t unit)
{
    return b->unit == 1 && freeze_pool_zeros(&f->pool) > 0 &&
        is_zero(f, b, unit);
}

/* Copy a unit aside, if there is room for it, and release it. */
static bool try_take(RamFreeze *f, FreezeBlock *b, uint64_t unit)
{
    uint64_t limit = fault_limit(f);

    if (freeze_pool_room(&f->pool, limit) >= b->unit ||
        takes_no_room(f, b, unit)) {
        take_pages(f, b, unit, b->unit, true);
        return true;
    }
    if (limit > f->pool.pages) {
        give_up(f);
    }
    return false;
}

static void set_oldest(RamFreeze *f)
{
    int64_t since = f->waiters->len ?
        g_array_index(f->waiters, FreezeWaiter, 0).since_ns : 0;

    __atomic_store_n(&f->oldest_ns, since, __ATOMIC_RELAXED);
}

/* A vCPU that is kicked out of its store and comes back faults once more. */
static bool is_waited_for(const RamFreeze *f, const FreezeBlock *b,
                          uint64_t unit)
{
    for (guint i = 0; i < f->waiters->len; i++) {
        const FreezeWaiter *w = &g_array_index(f->waiters, FreezeWaiter, i);

        if (w->b == b && w->page == unit) {
            return true;
        }
    }
    return false;
}

static void add_waiter(RamFreeze *f, FreezeBlock *b, uint64_t unit,
                       int64_t since_ns)
{
    FreezeWaiter w = {
        .b = b, .page = unit, .since_ns = since_ns,
        .queued_ns = clock_now_ns(f->clock),
    };

    if (!is_waited_for(f, b, unit)) {
        g_array_append_val(f->waiters, w);
        freeze_count(&f->stats.full_waits, 1);
        set_oldest(f);
    }
}

static void serve_fault(RamFreeze *f, uint64_t address, int64_t since_ns)
{
    uint64_t unit = 0;
    FreezeBlock *b = find_block(f, address, &unit);

    if (!b) {
        return; /* not registered by us: cannot be */
    }
    if (f->phase == RAM_FREEZE_FROZEN && !f->releasing &&
        !bitmap_test_bit(b->taken, unit)) {
        /* In the order in which they came. */
        if (f->waiters->len || !try_take(f, b, unit)) {
            add_waiter(f, b, unit, since_ns);
            return;
        }
    } else {
        if (f->phase < RAM_FREEZE_FROZEN) {
            freeze_note(f, b, unit);
        }
        freeze_release_pages(f, b, unit, b->unit);
    }
    note_stall(f, since_ns, b, unit);
}

void freeze_serve_faults(RamFreeze *f)
{
    UffdFault faults[FAULT_BATCH];
    int n;

    do {
        int64_t now_ns = clock_now_ns(f->clock);
        int64_t since_ns = MAX(f->empty_ns, f->woken_ns);

        n = uffd_read(&f->uffd, faults, FAULT_BATCH);
        for (int i = 0; i < n; i++) {
            serve_fault(f, faults[i].address, since_ns);
        }
        if (n < FAULT_BATCH) {
            f->empty_ns = now_ns; /* and what comes later came after this */
        }
    } while (n == FAULT_BATCH);
    if (n < 0) {
        GError *error = NULL;

        tm_error_set_errno(&error, n, "cannot read faults from userfaultfd");
        freeze_fail(f, error);
    }
}

/* ---- faults that wait ---------------------------------------------------- */

static void end_wait(RamFreeze *f, const FreezeWaiter *w)
{
    freeze_count(&f->stats.full_wait_ns,
                 clock_now_ns(f->clock) - w->queued_ns);
    note_stall(f, w->since_ns, w->b, w->page);
}

static void serve_waiters(RamFreeze *f)
{
    guint served = 0;

    while (served < f->waiters->len && !freeze_is_over(f)) {
        const FreezeWaiter *w = &g_array_index(f->waiters, FreezeWaiter,
                                               served);

        if (!try_take(f, w->b, w->page)) {
            break;
        }
        end_wait(f, w);
        served++;
    }
    if (served) {
        g_array_remove_range(f->waiters, 0, served);
        set_oldest(f);
    }
}

static void release_waiters(RamFreeze *f)
{
    for (guint i = 0; i < f->waiters->len; i++) {
        const FreezeWaiter *w = &g_array_index(f->waiters, FreezeWaiter, i);

        freeze_release_pages(f, w->b, w->page, w->b->unit);
        end_wait(f, w);
    }
    g_array_set_size(f->waiters, 0);
    set_oldest(f);
}

static void watch_waiters(RamFreeze *f)
{
    int64_t now_ns = clock_now_ns(f->clock);
    g_autofree char *words = NULL, *text = NULL;
    const FreezeWaiter *w;

    if (!f->waiters->len || !f->config.report) {
        return;
    }
    w = &g_array_index(f->waiters, FreezeWaiter, 0);
    if (now_ns - w->since_ns < WARN_WAIT_NS) {
        return;
    }
    words = g_strdup_printf("a write to page 0x%" G_GINT64_MODIFIER "x of RAM "
                            "block '%s' waits for %" G_GINT64_FORMAT " ms: "
                            "the snapshot's target is slow, and the pool of "
                            "%" G_GUINT64_FORMAT " KiB for copies is full",
                            w->page, w->b->block->name,
                            (now_ns - w->since_ns) / NS_PER_MS,
                            f->pool.pages << TM_PAGE_BITS >> 10);
    text = warn_limit_text(&f->warn, now_ns, words);
    if (text) {
        f->config.report(f->config.opaque, text);
    }
}

/* ---- the scan ------------------------------------------------------------ */

/* Where the scan goes on; false: all is taken. */
static bool scan_seek(RamFreeze *f)
{
    for (; f->scan_block < f->n_blocks; f->scan_block++) {
        FreezeBlock *b = &f->blocks[f->scan_block];

        f->scan_page = bitmap_find_next_zero(b->taken, b->block->npages,
                                             f->scan_page);
        if (f->scan_page < b->block->npages) {
            return true;
        }
        f->scan_page = 0;
    }
    return false;
}

/* Half of the pool is for the scan, the rest for who cannot wait. */
static bool scan_has_room(RamFreeze *f, const FreezeBlock *b, uint64_t *ret_n)
{
    uint64_t n = MAX(SCAN_PAGES, b->unit);
    uint64_t room = freeze_pool_room(&f->pool, f->pool.pages / 2);
    uint64_t zeros = freeze_pool_zeros(&f->pool);

    if (f->config.detect_zero && zeros < f->pool.zeros.total / 2) {
        return false;
    }
    *ret_n = MIN(MIN(n, room), b->block->npages - f->scan_page);
    return *ret_n >= b->unit;
}

static bool scan_rests(RamFreeze *f)
{
    int64_t now_ns = clock_now_ns(f->clock);

    if (now_ns >= f->slice_end_ns && now_ns >= f->rest_end_ns) {
        f->slice_end_ns = now_ns + FREEZE_SLICE_NS;
        f->rest_end_ns = f->slice_end_ns + FREEZE_REST_NS;
    }
    return now_ns >= f->slice_end_ns;
}

/* Returns: whether anything was done. */
static bool scan_batch(RamFreeze *f)
{
    FreezeBlock *b;
    uint64_t n;

    if (!is_set(&f->scan_asked) || scan_rests(f)) {
        return false;
    }
    if (!scan_seek(f)) {
        set_phase(f, RAM_FREEZE_COPIED);
        return true;
    }
    b = &f->blocks[f->scan_block];
    if (!scan_has_room(f, b, &n)) {
        f->rest_end_ns = 0; /* until there is room, however long */
        return false;
    }
    take_pages(f, b, f->scan_page, n, false);
    f->scan_page += n;
    return true;
}

/* ---- the thread ---------------------------------------------------------- */

static void freeze_moment(RamFreeze *f)
{
    freeze_protect_noted(f);
    if (!freeze_is_over(f)) {
        trace_ram_freeze_moment(f->stats.noted_pages);
        set_phase(f, RAM_FREEZE_FROZEN);
    }
}

/* Returns: how long to sleep at most; -1: for ever. */
static int64_t longest_sleep(const RamFreeze *f)
{
    int64_t now_ns = clock_now_ns(f->clock);

    if (f->waiters->len) {
        return HURRY_LOOK_NS;
    }
    return f->rest_end_ns ? MAX(f->rest_end_ns - now_ns, 0) : -1;
}

/* Until there is a fault, room, or an order, or the scan has rested. */
static void saver_sleep(RamFreeze *f)
{
    struct pollfd fds[] = {
        { .fd = f->uffd.fd, .events = POLLIN },
        { .fd = f->pool.wake_fd, .events = POLLIN },
    };
    int64_t ns = longest_sleep(f);
    struct timespec timeout = { .tv_nsec = ns };
    eventfd_t ignored;

    ppoll(fds, G_N_ELEMENTS(fds), ns < 0 ? NULL : &timeout, NULL);
    f->woken_ns = clock_now_ns(f->clock);
    if (fds[1].revents) {
        eventfd_read(f->pool.wake_fd, &ignored);
    }
}

/* Returns: whether anything was done. */
static bool saver_step(RamFreeze *f)
{
    freeze_serve_faults(f);
    if (f->phase == RAM_FREEZE_ARMED) {
        bool asked = is_set(&f->freeze_asked);

        if (asked) {
            freeze_moment(f);
        }
        return asked;
    }
    serve_waiters(f);
    if (f->waiters->len) {
        watch_waiters(f);
        return false;
    }
    return !freeze_is_over(f) && scan_batch(f);
}

static void saver_loop(RamFreeze *f)
{
    while (!freeze_is_over(f) && f->phase != RAM_FREEZE_COPIED) {
        if (saver_step(f)) {
            continue;
        }
        /* Pairs with wake() in the pool: look once more before sleeping. */
        __atomic_store_n(&f->pool.wanted, true, __ATOMIC_SEQ_CST);
        if (!freeze_is_over(f) && !saver_step(f)) {
            saver_sleep(f);
        }
        __atomic_store_n(&f->pool.wanted, false, __ATOMIC_SEQ_CST);
    }
}

static void saver_end(RamFreeze *f)
{
    if (is_ordered_to_end(f) && f->phase != RAM_FREEZE_COPIED) {
        GError *error = NULL;

        tm_error_set(&error, "the frozen memory was given up");
        freeze_fail(f, error);
    }
    f->releasing = true;
    release_waiters(f);
    freeze_release_all(f);
    trace_ram_freeze_end(f->stats.total_pages, f->stats.faulted_pages,
                         f->stats.scanned_pages, f->phase);
}

gpointer freeze_saver(gpointer opaque)
{
    RamFreeze *f = opaque;

    f->empty_ns = f->woken_ns = clock_now_ns(f->clock);
    freeze_protect_all(f);
    if (!freeze_is_over(f)) {
        set_phase(f, RAM_FREEZE_ARMED);
    }
    saver_loop(f);
    saver_end(f);
    return NULL;
}
