/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room for copies, and the ways between the saver and the taker.
 *
 * A stack is a pointer to its newest node. Pushing is a compare-and-swap of
 * that pointer, emptying an exchange with NULL; nobody takes a single node
 * off, so a node that comes back at the wrong moment confuses nobody.
 *
 * Neither side sleeps past the other's news: who is about to sleep sets
 * "wanted" and then looks at the stack once more; who pushes looks at "wanted"
 * after the push. All four are sequentially consistent, so one of them sees
 * the other. See freeze_pool_put() and the saver's sleep, freeze_queue_push()
 * and the taker's.
 */
#include "system/ram-freeze-int.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"

/* ---- stacks -------------------------------------------------------------- */

static void stack_push(FreezeNode **top, FreezeNode *first, FreezeNode *last)
{
    FreezeNode *seen = __atomic_load_n(top, __ATOMIC_RELAXED);

    do {
        last->next = seen;
    } while (!__atomic_compare_exchange_n(top, &seen, first, true,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

static FreezeNode *stack_empty(FreezeNode **top)
{
    /* Mostly there is nothing, and a look is cheaper than a locked exchange. */
    return __atomic_load_n(top, __ATOMIC_SEQ_CST) ?
        __atomic_exchange_n(top, NULL, __ATOMIC_SEQ_CST) : NULL;
}

static void wake(bool *wanted, int fd)
{
    if (__atomic_load_n(wanted, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(wanted, false, __ATOMIC_SEQ_CST)) {
        eventfd_write(fd, 1);
    }
}

/* ---- shelves ------------------------------------------------------------- */

static bool shelf_init(FreezeShelf *shelf, uint64_t total)
{
    *shelf = (FreezeShelf) {
        .nodes = g_try_new0(FreezeNode, total), .total = total,
    };
    return shelf->nodes;
}

static FreezeNode *shelf_get(FreezeShelf *shelf)
{
    FreezeNode *node = shelf->free;

    if (!node) {
        g_assert(shelf->fresh < shelf->total); /* the caller looked for room */
        return &shelf->nodes[shelf->fresh++];
    }
    shelf->free = node->next;
    shelf->n_free--;
    return node;
}

static void shelf_put(FreezeShelf *shelf, FreezeNode *node)
{
    node->next = shelf->free;
    shelf->free = node;
    shelf->n_free++;
}

static uint64_t shelf_in_use(const FreezeShelf *shelf)
{
    return shelf->fresh - shelf->n_free;
}

/* ---- the pool ------------------------------------------------------------ */

/* Its memory is touched when it is used, the same pages again and again; in
 * small pages, since a fault that cleared a huge one would keep a writer
 * waiting. */
bool freeze_pool_init(FreezePool *pool, uint64_t pages, GError **error)
{
    uint64_t bytes = 2 * pages << TM_PAGE_BITS;
    void *memory = MAP_FAILED;

    *pool = (FreezePool) { .pages = pages, .wake_fd = -1 };
    if (pages <= UINT64_MAX >> (TM_PAGE_BITS + 1) &&
        shelf_init(&pool->copies, 2 * pages) &&
        shelf_init(&pool->zeros, pages)) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (memory == MAP_FAILED) {
        tm_error_set(error, "no memory for a pool of %" G_GUINT64_FORMAT
                     " pages to be copied", pages);
        return false;
    }
    pool->memory = memory;
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->wake_fd < 0) {
        tm_error_set_errno(error, errno, "cannot make an eventfd");
    }
    return pool->wake_fd >= 0;
}

void freeze_pool_done(FreezePool *pool)
{
    if (pool->memory) {
        munmap(pool->memory, 2 * pool->pages << TM_PAGE_BITS);
    }
    if (pool->wake_fd >= 0) {
        close(pool->wake_fd);
    }
    g_free(pool->copies.nodes);
    g_free(pool->zeros.nodes);
}

static void collect_recycled(FreezePool *pool)
{
    FreezeNode *node = stack_empty(&pool->recycled);

    while (node) {
        FreezeNode *next = node->next;

        shelf_put(node->copy.data ? &pool->copies : &pool->zeros, node);
        node = next;
    }
}

uint64_t freeze_pool_room(FreezePool *pool, uint64_t limit)
{
    uint64_t used;

    collect_recycled(pool);
    used = shelf_in_use(&pool->copies);
    return limit > used ? limit - used : 0;
}

uint64_t freeze_pool_in_use(const FreezePool *pool)
{
    return shelf_in_use(&pool->copies);
}

uint64_t freeze_pool_zeros(FreezePool *pool)
{
    collect_recycled(pool);
    return pool->zeros.total - shelf_in_use(&pool->zeros);
}

FreezeNode *freeze_pool_get(FreezePool *pool, bool data)
{
    FreezeNode *node = shelf_get(data ? &pool->copies : &pool->zeros);

    node->n = 1;
    node->copy = (RamCopy) {
        .data = data ? pool->memory +
            ((node - pool->copies.nodes) << TM_PAGE_BITS) : NULL,
    };
    return node;
}

void freeze_pool_put(FreezePool *pool, FreezeNode *first, FreezeNode *last)
{
    stack_push(&pool->recycled, first, last);
    wake(&pool->wanted, pool->wake_fd);
}

FreezeNode *freeze_pool_node(FreezePool *pool, const uint8_t *data)
{
    return &pool->copies.nodes[(data - pool->memory) >> TM_PAGE_BITS];
}

/* ---- the queue ----------------------------------------------------------- */

void freeze_queue_push(FreezeQueue *queue, bool faulted, FreezeNode *newest,
                       FreezeNode *oldest)
{
    stack_push(&queue->pushed[faulted], newest, oldest);
    wake(&queue->wanted, queue->wake_fd);
}

/* Append what was pushed since, the oldest first. */
static void line_extend(FreezeLine *line, FreezeNode *newest)
{
    FreezeNode *first = NULL, *last = newest;

    while (newest) {
        FreezeNode *older = newest->next;

        newest->next = first;
        first = newest;
        newest = older;
    }
    if (!first) {
        return;
    }
    if (line->tail) {
        line->tail->next = first;
    } else {
        line->head = first;
    }
    line->tail = last;
}

static FreezeNode *line_shift(FreezeLine *line)
{
    FreezeNode *node = line->head;

    line->head = node->next;
    if (!line->head) {
        line->tail = NULL;
    }
    return node;
}

unsigned freeze_queue_pop(FreezeQueue *queue, FreezePool *pool, bool faulted,
                          RamCopy *ret, unsigned max)
{
    FreezeLine *line = &queue->lines[faulted];
    unsigned n = 0;

    line_extend(line, stack_empty(&queue->pushed[faulted]));
    while (n < max && line->head) {
        FreezeNode *node = line->head;

        ret[n++] = node->copy;
        node->copy.page++;
        if (--node->n == 0) {
            line_shift(line);
            if (!node->copy.data) {
                freeze_pool_put(pool, node, node);
            }
        }
    }
    return n;
}

bool freeze_queue_is_empty(const FreezeQueue *queue)
{
    for (unsigned i = 0; i < 2; i++) {
        if (queue->lines[i].head ||
            __atomic_load_n(&queue->pushed[i], __ATOMIC_SEQ_CST)) {
            return false;
        }
    }
    return true;
}
