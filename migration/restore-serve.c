/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The server of a restore by faults; see restore-fault.h. Runs once for each
 * batch of touches. A toucher waits for one read of the file and one page that
 * is copied; the rest of the window comes after it was let go.
 */
#include "migration/restore-fault.h"

#include <errno.h>
#include <poll.h>

#include "migration/restore-set.h"
#include "trace/migration.h"
#include "util/bitmap.h"
#include "util/error.h"

#define BATCH 16

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- what is told ---------------------------------------------------- */

static void note_step(RestoreFault *f, unsigned i)
{
    RestoreFaultStats *stats = &f->stats;
    uint64_t bytes = get(&stats->fault_bytes) + get(&stats->ahead_bytes) +
        get(&stats->fetched_bytes) + get(&stats->prefetched_bytes);

    __atomic_store_n(&stats->step_bytes[i], bytes, __ATOMIC_RELAXED);
    /* Pairs with restore_fault_query(). */
    __atomic_store_n(&stats->step_ns[i], MAX(fault_now_ns(f), 1),
                     __ATOMIC_RELEASE);
}

/* The toucher goes on. @since_ns: it had begun to wait by then. */
static void note_touch(RestoreFault *f, int64_t since_ns)
{
    uint64_t touched = get(&f->stats.touched) + 1;

    histogram_add(&f->stats.stalls, fault_now_ns(f) - since_ns);
    add(&f->stats.touched, 1);
    for (unsigned i = 0; i < RESTORE_STEPS; i++) {
        if (restore_steps[i] == touched) {
            note_step(f, i);
        }
    }
}

/* ---- one touch ------------------------------------------------------- */

static const FaultPiece *find_piece(const RestoreFault *f, uint64_t address)
{
    unsigned low = 0, high = f->pieces->len;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const FaultPiece *piece = &g_array_index(f->pieces, FaultPiece, mid);
        uint64_t host = (uintptr_t)piece->rb->block->host;

        if (address < host + (piece->first << TM_PAGE_BITS)) {
            high = mid;
        } else if (address >= host + (piece->end << TM_PAGE_BITS)) {
            low = mid + 1;
        } else {
            return piece;
        }
    }
    return NULL;
}

static void wake_page(RestoreFault *f, const RestoreBlock *rb, uint64_t page)
{
    uffd_wake(&f->uffd, rb->block->host + (page << TM_PAGE_BITS),
              TM_PAGE_BYTES);
}

/* Zeros from @page on, as far as they go within the window. */
static int serve_zeros(RestoreFault *f, const FaultPiece *piece, uint64_t page,
                       uint64_t window_end)
{
    RestoreBlock *rb = piece->rb;
    uint64_t end = bitmap_find_next_set(rb->bitmap, window_end, page);
    uint64_t done = 0;
    int err = uffd_zero(&f->uffd, rb->block->host + (page << TM_PAGE_BITS),
                        (end - page) << TM_PAGE_BITS, &done);

    if (err == -EEXIST) {
        wake_page(f, rb, page); /* further ones can wait for their touch */
        err = 0;
    }
    return err;
}

/* Is this page to be brought? */
static bool is_wanted(const RestoreBlock *rb, uint64_t page)
{
    return bitmap_test_bit(rb->bitmap, page) && !fault_is_there(rb, page);
}

static bool fail_bring(const RestoreBlock *rb, uint64_t page, int err,
                       GError **error)
{
    if (err && err != -ECANCELED) {
        tm_error_set_errno(error, err, "cannot bring page 0x%"
                           G_GINT64_MODIFIER "x of RAM block '%s' into memory",
                           page, rb->block->name);
    }
    return !err || err == -ECANCELED;
}

/* @data: of these pages, from the file. Adds to @bytes. */
static bool bring(RestoreFault *f, RestoreBlock *rb, uint64_t page, uint64_t n,
                  const uint8_t *data, uint64_t *bytes, GError **error)
{
    uint64_t pages = 0;
    int err;

    if (!fault_check(f, rb, page, n, data, error)) {
        return false;
    }
    err = fault_bring(f, rb, page, n, data, &pages);
    add(bytes, pages << TM_PAGE_BITS);
    return fail_bring(rb, page, err, error);
}

/* What was read of [first, end) but the touched page, run by run. */
static bool bring_rest(RestoreFault *f, RestoreBlock *rb, uint64_t first,
                       uint64_t end, GError **error)
{
    for (uint64_t page = first, n; page < end; page += MAX(n, 1)) {
        n = 0;
        while (page + n < end && is_wanted(rb, page + n)) {
            n++;
        }
        if (n && !bring(f, rb, page, n,
                        f->window + ((page - first) << TM_PAGE_BITS),
                        &f->stats.ahead_bytes, error)) {
            return false;
        }
    }
    return true;
}

/* Somebody missed a page of these. */
static void note_missed(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                        uint64_t end)
{
    WorkingRun run = {
        .index = rb - restore_block(f->r, 0), .first = first, .n = end - first,
    };

    if (f->missed) {
        g_array_append_val(f->missed, run);
    }
}

/* @first, @end: the window. */
static bool serve_data(RestoreFault *f, RestoreBlock *rb, uint64_t page,
                       uint64_t first, uint64_t end, int64_t since_ns,
                       GError **error)
{
    /* The fetcher may bring any of them meanwhile, @page too. */
    while (first < page && !is_wanted(rb, first)) {
        first++;
    }
    while (end - 1 > page && !is_wanted(rb, end - 1)) {
        end--;
    }
    if (!fault_read(f, rb, first, end - first, f->window, error) ||
        !bring(f, rb, page, 1, f->window + ((page - first) << TM_PAGE_BITS),
               &f->stats.fault_bytes, error)) {
        return false;
    }
    note_touch(f, since_ns);
    note_missed(f, rb, first, end);
    return bring_rest(f, rb, first, end, error);
}

static bool serve_page(RestoreFault *f, const FaultPiece *piece, uint64_t page,
                       int64_t since_ns, GError **error)
{
    RestoreBlock *rb = piece->rb;
    uint64_t begin = page - page % f->window_pages;
    uint64_t first = MAX(begin, piece->first);
    uint64_t end = MIN(begin + f->window_pages, piece->end);
    int err;

    if (!bitmap_test_bit(rb->bitmap, page)) {
        err = serve_zeros(f, piece, page, end);
        if (!err) {
            note_touch(f, since_ns);
        } else if (__atomic_load_n(&f->released, __ATOMIC_SEQ_CST)) {
            err = 0; /* it is anonymous memory by now */
        }
        return fail_bring(rb, page, err, error);
    }
    if (fault_is_there(rb, page)) {
        wake_page(f, rb, page); /* it came while the toucher fell asleep */
        return true;
    }
    return serve_data(f, rb, page, first, end, since_ns, error);
}

/* ---- the thread ------------------------------------------------------ */

/* Returns: false when the thread has nothing to do any more. */
static bool serve_batch(RestoreFault *f, const UffdFault *faults, int n,
                        int64_t since_ns)
{
    for (int i = 0; i < n && !fault_should_quit(f); i++) {
        const FaultPiece *piece = find_piece(f, faults[i].address);
        GError *error = NULL;
        uint64_t page;

        if (!piece) {
            continue; /* not ours: there is no such address */
        }
        page = (faults[i].address - (uintptr_t)piece->rb->block->host) >>
            TM_PAGE_BITS;
        trace_restore_fault(piece->rb->block->name, page, faults[i].write);
        if (!serve_page(f, piece, page, since_ns, &error)) {
            fault_fail(f, error);
            return false;
        }
    }
    return !fault_should_quit(f);
}

static void wait_for_touches(RestoreFault *f)
{
    struct pollfd fds[2] = {
        { .fd = f->uffd.fd, .events = POLLIN },
        { .fd = f->wake_fd, .events = POLLIN },
    };

    poll(fds, 2, -1);
}

static void fail_read(RestoreFault *f, int err)
{
    GError *error = NULL;

    tm_error_set_errno(&error, err, "cannot hear of touches of missing memory "
                       "(userfaultfd)");
    fault_fail(f, error);
}

/* Whoever is read of now was not there when the queue was last seen empty; nor,
 * then, before the wait that it ended. */
gpointer fault_serve(gpointer opaque)
{
    RestoreFault *f = opaque;
    int64_t since_ns = fault_now_ns(f);
    UffdFault faults[BATCH];
    bool go_on = true;

    while (go_on && !fault_should_quit(f)) {
        int64_t read_ns = fault_now_ns(f);
        int n = uffd_read(&f->uffd, faults, BATCH);

        if (n > 0) {
            go_on = serve_batch(f, faults, n, since_ns);
            if (n < BATCH) {
                since_ns = read_ns; /* it was empty then */
            }
        } else if (n < 0) {
            fail_read(f, n);
            go_on = false;
        } else {
            wait_for_touches(f);
            since_ns = fault_now_ns(f);
        }
    }
    return NULL;
}
