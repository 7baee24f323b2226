/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by faults, the beginning and the end of it; see restore-fault.h.
 */
#include "migration/restore-fault.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/restore-set.h"
#include "system/runstate.h"
#include "trace/migration.h"
#include "util/bitmap.h"
#include "util/error.h"
#include "util/prompt-thread.h"
#include "util/thread.h"

const uint64_t restore_steps[RESTORE_STEPS] = { 1, 16, 256, 4096, 65536 };

/* ---- the beginning --------------------------------------------------- */

bool restore_check_fault(const RestoreBlock *rb, GError **error)
{
    const HostMem *mem = rb->block->mem;
    const char *why = NULL;

    if (mem->prealloc) {
        why = "is preallocated";
    } else if (mem->page_bytes != TM_PAGE_BYTES) {
        why = "is made of huge pages";
    } else if (mem->share && mem->kind == HOSTMEM_FILE) {
        why = "is a shared file";
    }
    if (why) {
        tm_error_set(error, "RAM block '%s' cannot be filled by faults: memory "
                     "backend '%s' %s", rb->block->name, mem->id, why);
        return false;
    }
    return true;
}

/* Nothing of it may be there: what is, is never faulted on. Whoever looks at
 * the guest before it is watched maps zeros, so this comes last; and before
 * anything is brought, which would be lost. */
static bool empty_block(RestoreBlock *rb, GError **error)
{
    if (!hostmem_discard(rb->block->mem)) {
        tm_error_set(error, "cannot give back the memory of RAM block '%s'",
                     rb->block->name);
        return false;
    }
    return true;
}

static bool watch_piece(RestoreFault *f, const FaultPiece *piece,
                        GError **error)
{
    const RAMBlock *block = piece->rb->block;
    int err = uffd_register(&f->uffd,
                            block->host + (piece->first << TM_PAGE_BITS),
                            (piece->end - piece->first) << TM_PAGE_BITS,
                            UFFD_MISSING);

    if (err) {
        tm_error_set_errno(error, err, "cannot watch for touches of RAM block "
                           "'%s' (userfaultfd)", block->name);
        return false;
    }
    g_array_append_val(f->pieces, *piece);
    return true;
}

static bool watch_block(RestoreFault *f, RestoreBlock *rb, GError **error)
{
    HostMem *mem = rb->block->mem;
    FaultPiece piece = { .rb = rb };

    rb->there = bitmap_try_new(rb->block->npages, error);
    if (!rb->there || (!mem->share && !hostmem_make_anonymous(mem, error))) {
        return false;
    }
    while (restore_next_piece(rb, piece.end, &piece.first, &piece.end)) {
        if (!watch_piece(f, &piece, error)) {
            return false;
        }
    }
    return empty_block(rb, error);
}

static gint compare_pieces(gconstpointer a, gconstpointer b)
{
    const FaultPiece *x = a, *y = b;
    const uint8_t *p = x->rb->block->host + (x->first << TM_PAGE_BITS);
    const uint8_t *q = y->rb->block->host + (y->first << TM_PAGE_BITS);

    return p < q ? -1 : p > q;
}

static bool watch_all(RestoreFault *f, GError **error)
{
    uint64_t wanted = 0;

    for (unsigned i = 0; i < f->r->blocks->len; i++) {
        const RestoreBlock *rb = restore_block(f->r, i);

        if (!restore_check_fault(rb, error)) {
            return false;
        }
        wanted |= rb->block->mem->share ? UFFD_MISSING_SHARED : 0;
    }
    if (!uffd_open(&f->uffd, f->r->config.kernel, wanted, 0, error)) {
        return false;
    }
    for (unsigned i = 0; i < f->r->blocks->len; i++) {
        if (!watch_block(f, restore_block(f->r, i), error)) {
            return false;
        }
    }
    g_array_sort(f->pieces, compare_pieces);
    return true;
}

/* What the last restore of this file had missed. */
static bool load_set(RestoreFault *f, GError **error)
{
    const Restore *r = f->r;
    g_autofree char *words = NULL;

    if (!r->working_set) {
        return true;
    }
    f->known = working_set_load(r, r->working_set, &words, error);
    f->missed = g_array_new(FALSE, FALSE, sizeof(WorkingRun));
    if (words) {
        fault_warn(f, words);
    }
    return f->known;
}

static bool start_threads(RestoreFault *f, GError **error)
{
    /* It waits; so that later on nothing can fail. */
    f->fetcher = thread_new("restore-fetch", fault_fetch, f, error);
    f->server = !f->fetcher ? NULL :
        prompt_thread_new("restore-fault", fault_serve, f, error);
    f->started = f->server != NULL;
    return f->started;
}

static bool begin(RestoreFault *f, GError **error)
{
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake_fd < 0) {
        tm_error_set_errno(error, errno, "cannot make an eventfd");
        return false;
    }
    f->from = restore_open_source(f->r, error);
    if (!f->from || !load_set(f, error) || !watch_all(f, error)) {
        return false;
    }
    for (unsigned i = 0; i < f->r->blocks->len; i++) {
        restore_block(f->r, i)->is_there = true; /* to whoever looks at it */
    }
    return start_threads(f, error);
}

bool restore_fault_start(Restore *r, GError **error)
{
    RestoreFault *f;

    if (r->fault) { /* its threads may be at work */
        tm_error_set(error, "the restore by faults has begun already");
        return false;
    }
    f = g_new0(RestoreFault, 1);
    f->r = r;
    r->fault = f; /* freed with it, however far this comes */
    f->uffd.fd = f->wake_fd = -1;
    f->pieces = g_array_new(FALSE, FALSE, sizeof(FaultPiece));
    f->early = g_array_new(FALSE, FALSE, sizeof(FaultEarly));
    f->window_pages = MAX(r->config.read_ahead_bytes >> TM_PAGE_BITS, 1);
    f->window = g_aligned_alloc(f->window_pages, TM_PAGE_BYTES, TM_PAGE_BYTES);
    g_mutex_init(&f->lock);
    g_cond_init(&f->changed);
    if (!begin(f, error)) {
        /* Nobody serves. Whoever touched a page meanwhile may hold the lock
         * without which nobody could free us. */
        fault_release(f);
        uffd_close(&f->uffd);
        return false;
    }
    return true;
}

static void ask_for_stop(RestoreFault *f)
{
    vm_stop_request(f->r->config.vm, RUN_STATE_IO_ERROR);
}

void restore_fault_fetch(RestoreFault *f)
{
    bool lost;

    g_mutex_lock(&f->lock);
    f->go = true;
    lost = f->lost;
    g_clear_pointer(&f->early, g_array_unref); /* no table has come */
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
    if (lost) {
        ask_for_stop(f);
    }
}

void fault_warn(RestoreFault *f, const char *words)
{
    if (f->r->config.warn) {
        f->r->config.warn(f->r->config.opaque, words);
    }
}

int64_t fault_now_ns(const RestoreFault *f)
{
    return f->r->config.clock ? clock_now_ns(f->r->config.clock) : 0;
}

/* ---- bringing pages -------------------------------------------------- */

bool fault_read(RestoreFault *f, const RestoreBlock *rb, uint64_t first,
                uint64_t n, uint8_t *buf, GError **error)
{
    struct iovec iov = { buf, n << TM_PAGE_BITS };

    if (!channel_preadv_full(f->from, &iov, 1,
                             rb->places.pages + (first << TM_PAGE_BITS),
                             error)) {
        g_prefix_error(error, "cannot read pages 0x%" G_GINT64_MODIFIER
                       "x+%u of RAM block '%s': ", first, (unsigned)n,
                       rb->block->name);
        return false;
    }
    return true;
}

int fault_bring(RestoreFault *f, RestoreBlock *rb, uint64_t first, uint64_t n,
                const uint8_t *data, uint64_t *ret_pages)
{
    while (n) {
        uint8_t *host = rb->block->host + (first << TM_PAGE_BITS);
        uint64_t done = 0;
        int err = uffd_copy(&f->uffd, host, data, n << TM_PAGE_BITS, &done);

        done >>= TM_PAGE_BITS;
        *ret_pages += done;
        if (err == -EEXIST) {
            done++; /* the other thread was faster */
        } else if (err) {
            return __atomic_load_n(&f->released, __ATOMIC_SEQ_CST) ?
                -ECANCELED : err;
        }
        bitmap_set_atomic(rb->there, first, done);
        first += done;
        data += done << TM_PAGE_BITS;
        n -= done;
    }
    return 0;
}

/* ---- the end --------------------------------------------------------- */

void fault_release(RestoreFault *f)
{
    __atomic_store_n(&f->released, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < f->pieces->len; i++) {
        const FaultPiece *piece = &g_array_index(f->pieces, FaultPiece, i);
        uint8_t *host = piece->rb->block->host +
            (piece->first << TM_PAGE_BITS);
        uint64_t bytes = (piece->end - piece->first) << TM_PAGE_BITS;

        uffd_unregister(&f->uffd, host, bytes);
        uffd_wake(&f->uffd, host, bytes); /* unregistering wakes nobody */
    }
}

void fault_quit(RestoreFault *f)
{
    g_mutex_lock(&f->lock);
    __atomic_store_n(&f->quit, true, __ATOMIC_SEQ_CST);
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
    if (f->wake_fd >= 0) {
        eventfd_write(f->wake_fd, 1);
    }
}

/* Returns: false if an error, or the order to quit, came before it. */
static bool note_error(RestoreFault *f, GError *error)
{
    bool first;

    g_mutex_lock(&f->lock);
    first = !f->error && !f->quit;
    if (first) {
        f->error = g_error_copy(error);
    }
    g_mutex_unlock(&f->lock);
    return first;
}

/* A guest that has not been let go yet never will be, and keeps its state; or
 * it is on its way past us, and whoever sees that second asks. */
static void condemn(RestoreFault *f, const char *why)
{
    bool go;

    vm_condemn(f->r->config.vm, why);
    g_mutex_lock(&f->lock);
    f->lost = true;
    go = f->go;
    g_mutex_unlock(&f->lock);
    if (go) {
        ask_for_stop(f);
    }
}

void fault_fail(RestoreFault *f, GError *error)
{
    const RestoreConfig *config = &f->r->config;
    g_autoptr(GError) mine = error;

    if (!note_error(f, mine)) {
        return;
    }
    trace_restore_fail(mine->message);
    if (config->vm) {
        condemn(f, mine->message);
    }
    fault_quit(f);
    fault_release(f);
    if (config->ended) {
        config->ended(config->opaque, mine);
    }
}

static void join(GThread **thread)
{
    if (*thread) {
        g_thread_join(g_steal_pointer(thread));
    }
}

/* What was known, and what was missed nevertheless. The server is gone. What is
 * touched in a guest that was never let go is no measure. */
static void save_set(RestoreFault *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) runs = NULL;

    if (!f->known || !f->go || f->error || !f->missed->len) {
        return;
    }
    runs = working_set_merge(f->r, f->missed, f->known, &error);
    g_array_set_size(f->missed, 0); /* once */
    if (!runs || !working_set_save(f->r, f->r->working_set, runs, &error)) {
        fault_warn(f, error->message);
    }
}

void fault_end(RestoreFault *f)
{
    fault_quit(f);
    join(&f->server);
    if (f->error) {
        return; /* the server missed something before we had brought it */
    }
    fault_release(f);
    uffd_close(&f->uffd);
    if (f->from != f->r->file) {
        channel_close(f->from, NULL);
    }
    save_set(f);
    __atomic_store_n(&f->stats.end_ns, MAX(fault_now_ns(f), 1),
                     __ATOMIC_SEQ_CST);
    trace_restore_all_there(f->stats.touched, f->stats.fetched_bytes);
    if (f->r->config.ended) {
        f->r->config.ended(f->r->config.opaque, NULL);
    }
}

void restore_fault_free(RestoreFault *f)
{
    if (!f) {
        return;
    }
    if (f->started && f->r->config.vm &&
        !__atomic_load_n(&f->stats.end_ns, __ATOMIC_SEQ_CST)) {
        vm_condemn(f->r->config.vm,
                   "it was given up to bring its memory back from a file");
    }
    fault_quit(f);
    if (f->from) {
        channel_shutdown(f->r->file); /* a read under way is the last */
        channel_shutdown(f->from);
    }
    join(&f->fetcher);
    join(&f->server);
    if (!__atomic_load_n(&f->released, __ATOMIC_SEQ_CST)) {
        fault_release(f);
    }
    uffd_close(&f->uffd);
    save_set(f); /* it may have been left before its end */
    g_clear_pointer(&f->known, g_array_unref);
    g_clear_pointer(&f->missed, g_array_unref);
    if (f->wake_fd >= 0) {
        close(f->wake_fd);
    }
    channel_unref(f->from);
    g_clear_pointer(&f->early, g_array_unref);
    g_array_unref(f->pieces);
    g_aligned_free(f->window);
    g_clear_error(&f->error);
    g_cond_clear(&f->changed);
    g_mutex_clear(&f->lock);
    g_free(f);
}
