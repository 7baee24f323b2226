/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front of ram-freeze.h: what is called by others than the saver.
 */
#include "system/ram-freeze-int.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/bitmap.h"
#include "util/error.h"
#include "util/prompt-thread.h"

#define POOL_UNITS_MIN 4

/* ---- begin --------------------------------------------------------------- */

bool ram_freeze_probe(const GPtrArray *blocks, const UffdKernel *kernel,
                      GError **error)
{
    uint64_t wanted;
    Uffd uffd;

    if (!freeze_check_blocks(blocks, &wanted, error) ||
        !freeze_open(&uffd, kernel, blocks, wanted, error)) {
        return false;
    }
    uffd_close(&uffd);
    return true;
}

static bool init_block(FreezeBlock *b, RAMBlock *block, unsigned index,
                       uint64_t pool_pages, GError **error)
{
    *b = (FreezeBlock) {
        .block = block, .index = index,
        .unit = block->mem->page_bytes >> TM_PAGE_BITS,
    };
    if (pool_pages < POOL_UNITS_MIN * b->unit) {
        tm_error_set(error, "a pool of %" G_GUINT64_FORMAT " KiB is too small "
                     "to copy pages of RAM block '%s' aside: it takes %"
                     G_GUINT64_FORMAT " KiB at least",
                     pool_pages << TM_PAGE_BITS >> 10, block->name,
                     POOL_UNITS_MIN * b->unit << TM_PAGE_BITS >> 10);
        return false;
    }
    b->taken = bitmap_try_new(block->npages, error);
    b->noted = b->taken ? bitmap_try_new(block->npages, error) : NULL;
    b->noted_areas = b->noted ?
        bitmap_try_new(block->npages / FREEZE_AREA_PAGES + 1, error) : NULL;
    return b->noted_areas;
}

static bool init_blocks(RamFreeze *f, const GPtrArray *blocks, GError **error)
{
    f->blocks = g_new0(FreezeBlock, blocks->len);
    f->n_blocks = blocks->len;
    for (unsigned i = 0; i < f->n_blocks; i++) {
        RAMBlock *block = g_ptr_array_index(blocks, i);

        if (!init_block(&f->blocks[i], block, i,
                        f->config.pool_bytes >> TM_PAGE_BITS, error)) {
            return false;
        }
        f->stats.total_pages += block->npages;
    }
    return true;
}

static bool init_queue(FreezeQueue *queue, GError **error)
{
    queue->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->wake_fd < 0) {
        tm_error_set_errno(error, errno, "cannot make an eventfd");
    }
    return queue->wake_fd >= 0;
}

RamFreeze *ram_freeze_new(const RamFreezeConfig *config, GError **error)
{
    g_autoptr(RamFreeze) f = g_new0(RamFreeze, 1);
    uint64_t wanted;

    f->config = *config;
    f->config.blocks = NULL; /* the caller's list; the blocks are copied */
    f->uffd.fd = f->queue.wake_fd = f->pool.wake_fd = -1;
    f->warn.interval_ns = 30 * NS_PER_SEC;
    f->clock = clock_new_host();
    f->waiters = g_array_new(FALSE, FALSE, sizeof(FreezeWaiter));
    f->stats.pool_pages = config->pool_bytes >> TM_PAGE_BITS;
    g_mutex_init(&f->lock);
    g_cond_init(&f->changed);
    if (!freeze_check_blocks(config->blocks, &wanted, error) ||
        !init_blocks(f, config->blocks, error) ||
        !freeze_pool_init(&f->pool, f->stats.pool_pages, error) ||
        !init_queue(&f->queue, error) ||
        !freeze_open(&f->uffd, config->kernel, config->blocks, wanted,
                     error) ||
        !freeze_register(f, error)) {
        return NULL;
    }
    f->thread = prompt_thread_new("ram-freeze", freeze_saver, f, error);
    return f->thread ? g_steal_pointer(&f) : NULL;
}

/* ---- phases -------------------------------------------------------------- */

static RamFreezePhase phase_of(const RamFreeze *f)
{
    return __atomic_load_n(&f->phase, __ATOMIC_SEQ_CST);
}

static bool is_cancelled(const RamFreeze *f)
{
    return __atomic_load_n(&f->cancelled, __ATOMIC_SEQ_CST);
}

/* Sets @error if this freeze has failed or was cancelled. */
static bool check_alive(RamFreeze *f, GError **error)
{
    if (phase_of(f) == RAM_FREEZE_FAILED) {
        g_propagate_error(error, g_error_copy(f->error));
        return false;
    }
    if (is_cancelled(f)) {
        tm_error_set(error, "the frozen memory was given up");
        return false;
    }
    return true;
}

static bool wait_beyond(RamFreeze *f, RamFreezePhase phase, GError **error)
{
    g_mutex_lock(&f->lock);
    while (phase_of(f) <= phase) {
        g_cond_wait(&f->changed, &f->lock);
    }
    g_mutex_unlock(&f->lock);
    return check_alive(f, error);
}

static void order(RamFreeze *f, bool *flag)
{
    __atomic_store_n(flag, true, __ATOMIC_SEQ_CST);
    eventfd_write(f->pool.wake_fd, 1);
}

bool ram_freeze_arm(RamFreeze *f, GError **error)
{
    return wait_beyond(f, RAM_FREEZE_ARMING, error);
}

bool ram_freeze_now(RamFreeze *f, GError **error)
{
    int64_t begin_ns = clock_now_ns(f->clock);
    bool ok;

    order(f, &f->freeze_asked);
    ok = wait_beyond(f, RAM_FREEZE_ARMED, error);
    freeze_count(&f->stats.freeze_ns, clock_now_ns(f->clock) - begin_ns);
    return ok;
}

void ram_freeze_cancel(RamFreeze *f)
{
    order(f, &f->cancelled);
    eventfd_write(f->queue.wake_fd, 1);
}

void ram_freeze_end(RamFreeze *f)
{
    if (f->thread) {
        order(f, &f->ended);
        g_thread_join(g_steal_pointer(&f->thread));
    }
}

void ram_freeze_free(RamFreeze *f)
{
    if (!f) {
        return;
    }
    if (!f->thread && !f->ended) {
        freeze_release_all(f); /* it was never begun */
    }
    ram_freeze_end(f);
    freeze_pool_done(&f->pool);
    if (f->queue.wake_fd >= 0) {
        close(f->queue.wake_fd);
    }
    for (unsigned i = 0; i < f->n_blocks; i++) {
        g_free(f->blocks[i].taken);
        g_free(f->blocks[i].noted);
        g_free(f->blocks[i].noted_areas);
    }
    g_free(f->blocks);
    g_array_unref(f->waiters);
    g_clear_error(&f->error);
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->changed);
    clock_free(f->clock);
    g_free(f);
}

/* ---- copies -------------------------------------------------------------- */

static unsigned pop_copies(RamFreeze *f, RamCopy *ret, unsigned max,
                           bool only_faulted)
{
    unsigned n = freeze_queue_pop(&f->queue, &f->pool, true, ret, max);

    if (n < max && !only_faulted) {
        n += freeze_queue_pop(&f->queue, &f->pool, false, ret + n, max - n);
    }
    return n;
}

/* Until a copy is pushed, the phase changes, or the time is over. */
static void taker_sleep(RamFreeze *f, int64_t end_ns)
{
    struct pollfd fd = { .fd = f->queue.wake_fd, .events = POLLIN };
    int64_t ns = MAX(end_ns - clock_now_ns(f->clock), 0);
    struct timespec timeout = {
        .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC,
    };
    eventfd_t ignored;

    if (ppoll(&fd, 1, &timeout, NULL) > 0) {
        eventfd_read(f->queue.wake_fd, &ignored);
    }
}

int ram_freeze_take(RamFreeze *f, RamCopy *ret, unsigned max,
                    bool only_faulted, int64_t timeout_ns, GError **error)
{
    int64_t end_ns = clock_now_ns(f->clock) + timeout_ns;

    if (!__atomic_load_n(&f->scan_asked, __ATOMIC_RELAXED)) {
        order(f, &f->scan_asked);
    }
    for (;;) {
        bool last, late;
        unsigned n;

        if (!check_alive(f, error)) {
            return -1;
        }
        /* Pairs with wake() in the pool: set, then look once more. And what
         * belongs to a phase was pushed before it. */
        __atomic_store_n(&f->queue.wanted, true, __ATOMIC_SEQ_CST);
        last = phase_of(f) == RAM_FREEZE_COPIED;
        late = clock_now_ns(f->clock) >= end_ns;
        n = pop_copies(f, ret, max, only_faulted);
        if (!n && !last && !late) {
            taker_sleep(f, end_ns);
        }
        __atomic_store_n(&f->queue.wanted, false, __ATOMIC_SEQ_CST);
        if (n || last || late) {
            return n;
        }
    }
}

bool ram_freeze_is_done(const RamFreeze *f)
{
    return phase_of(f) == RAM_FREEZE_COPIED &&
        freeze_queue_is_empty(&f->queue);
}

void ram_freeze_recycle(RamFreeze *f, const RamCopy *copies, unsigned n)
{
    FreezeNode *first = NULL, *last = NULL;

    for (unsigned i = 0; i < n; i++) {
        FreezeNode *node;

        if (copies[i].data) {
            node = freeze_pool_node(&f->pool, copies[i].data);
            node->next = first;
            first = node;
            last = last ? last : node;
        }
    }
    if (first) {
        freeze_pool_put(&f->pool, first, last);
    }
}

/* ---- numbers ------------------------------------------------------------- */

static uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

void ram_freeze_stats(const RamFreeze *f, RamFreezeStats *ret_stats)
{
    int64_t oldest_ns = __atomic_load_n(&f->oldest_ns, __ATOMIC_RELAXED);
    const RamFreezeStats *s = &f->stats;

    *ret_stats = (RamFreezeStats) {
        .phase = phase_of(f),
        .total_pages = s->total_pages,
        .arm_ns = load(&s->arm_ns),
        .freeze_ns = load(&s->freeze_ns),
        .noted_pages = load(&s->noted_pages),
        .faulted_pages = load(&s->faulted_pages),
        .scanned_pages = load(&s->scanned_pages),
        .zero_pages = load(&s->zero_pages),
        .pool_pages = s->pool_pages,
        .pool_high_pages = load(&s->pool_high_pages),
        .overdraft_high_pages = load(&s->overdraft_high_pages),
        .full_waits = load(&s->full_waits),
        .full_wait_ns = load(&s->full_wait_ns),
        .oldest_fault_ns = oldest_ns ? clock_now_ns(f->clock) - oldest_ns : 0,
    };
    histogram_summary(&f->stalls, &ret_stats->stalls);
}
