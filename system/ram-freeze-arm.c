/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host can protect, and protecting and releasing it.
 *
 * A walk over all memory goes in steps that take some 50 us each, with a look
 * at the faults between them: a step is one call, and the kernel lets nobody
 * in before it is through with it. And it rests a third of the time: the
 * thread goes before others, and a vCPU that shares its CPU would stand still
 * until the walk's end otherwise (measured: 75 to 85 ms for 2 GiB).
 */
#include "system/ram-freeze-int.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "trace/system.h"
#include "util/bitmap.h"
#include "util/error.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

#define STEP_MIN_BYTES (UINT64_C(2) << 20) /* a huge page stays in one piece */
#define STEP_MAX_BYTES (UINT64_C(16) << 20) /* small ones may follow huge ones */
#define UNREGISTER_BYTES (UINT64_C(64) << 20)
#define STEP_SHORT_NS (25 * NS_PER_US)
#define STEP_LONG_NS (75 * NS_PER_US)
#define STEP_CREDIBLE_NS NS_PER_MS /* what took longer has waited, not worked */
#define GIVEN_UP_REST_NS (15 * NS_PER_US)

/* Noted pages nearer to each other than this are protected in one call with
 * what lies between, which is protected already. Measured: a call costs as
 * much as some 100 pages in a longer one. */
#define GAP_PAGES 64

/* ---- what can be --------------------------------------------------------- */

static bool is_private_anonymous(const HostMem *mem)
{
    return mem->fd < 0 && !mem->share;
}

static bool check_file(const RAMBlock *block, GError **error)
{
    const HostMem *mem = block->mem;
    struct statfs fs;

    if (mem->shows_file) {
        tm_error_set(error, "RAM block '%s' is a mapping of the file it was "
                     "restored from, whose pages cannot be write-protected; "
                     "restored with an x-restore-mode that does not map, such "
                     "as 'read', it can be", block->name);
        return false;
    }
    if (mem->kind != HOSTMEM_FILE) {
        return true;
    }
    if (fstatfs(mem->fd, &fs) < 0) {
        tm_error_set_errno(error, errno, "cannot examine the file of RAM "
                           "block '%s'", block->name);
        return false;
    }
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC) {
        tm_error_set(error, "RAM block '%s' lies in file '%s', on a filesystem "
                     "whose pages cannot be write-protected: only anonymous "
                     "memory, memfd, tmpfs and hugetlbfs can", block->name,
                     mem->mem_path);
        return false;
    }
    return true;
}

bool freeze_check_blocks(const GPtrArray *blocks, uint64_t *ret_wanted,
                         GError **error)
{
    uint64_t wanted = UFFD_WP;

    for (guint i = 0; i < blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(blocks, i);

        if (!check_file(block, error)) {
            return false;
        }
        wanted |= is_private_anonymous(block->mem) ? 0 : UFFD_WP_SHARED;
    }
    *ret_wanted = wanted;
    return true;
}

static bool register_block(RamFreeze *f, FreezeBlock *b, GError **error)
{
    int err = uffd_register(&f->uffd, b->block->host, b->block->length,
                            UFFD_WRITES);

    if (err == -EBUSY) {
        tm_error_set(error, "RAM block '%s' is watched by another userfaultfd",
                     b->block->name);
    } else if (err) {
        tm_error_set_errno(error, err, "cannot have RAM block '%s' "
                           "write-protected", b->block->name);
    }
    b->registered = !err;
    return !err;
}

static int populate(void *host, uint64_t bytes)
{
    int err;

    do {
        err = madvise(host, bytes, MADV_POPULATE_READ) < 0 ? -errno : 0;
    } while (err == -EINTR || err == -EAGAIN);
    return err;
}

/* Tried out, for there is no other way to ask. */
static bool can_populate(void)
{
    void *page = mmap(NULL, TM_PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = page != MAP_FAILED && !populate(page, TM_PAGE_BYTES);

    if (page != MAP_FAILED) {
        munmap(page, TM_PAGE_BYTES);
    }
    return can;
}

/* A kernel without WP_UNPOPULATED: what it lacks beside that. One that has it
 * has all repairs, too. */
static bool check_old_kernel(const GPtrArray *blocks, const UffdKernel *kernel,
                             GError **error)
{
    for (guint i = 0; i < blocks->len; i++) {
        const RAMBlock *block = g_ptr_array_index(blocks, i);

        if (!is_private_anonymous(block->mem) &&
            uffd_release(kernel) < UFFD_RELEASE(6, 2)) {
            tm_error_set(error, "this kernel may lose the write-protection of "
                         "RAM block '%s' when it moves pages of shared memory "
                         "or of a memfd (repaired in Linux 6.2); private "
                         "anonymous memory keeps it", block->name);
            return false;
        }
        if (is_private_anonymous(block->mem) && !can_populate()) {
            tm_error_set(error, "RAM block '%s' may have pages that were "
                         "never touched, which this kernel can neither "
                         "protect (userfaultfd's WP_UNPOPULATED, Linux 6.4 or "
                         "later) nor populate (Linux 5.14 or later)",
                         block->name);
            return false;
        }
    }
    return true;
}

bool freeze_open(Uffd *ret_uffd, const UffdKernel *kernel,
                 const GPtrArray *blocks, uint64_t wanted, GError **error)
{
    if (!uffd_open(ret_uffd, kernel, wanted, UFFD_WP_HOLES, error)) {
        return false;
    }
    if (!(ret_uffd->features & UFFD_WP_HOLES) &&
        !check_old_kernel(blocks, kernel, error)) {
        uffd_close(ret_uffd);
        return false;
    }
    return true;
}

bool freeze_register(RamFreeze *f, GError **error)
{
    for (unsigned i = 0; i < f->n_blocks; i++) {
        FreezeBlock *b = &f->blocks[i];

        b->populate = is_private_anonymous(b->block->mem) &&
            !(f->uffd.features & UFFD_WP_HOLES);
        if (!register_block(f, b, error)) {
            return false;
        }
    }
    return true;
}

/* ---- rests --------------------------------------------------------------- */

/* Until @end_ns, faults being served as they come. */
static void rest_until(RamFreeze *f, int64_t end_ns)
{
    struct pollfd fd = { .fd = f->uffd.fd, .events = POLLIN };
    int64_t ns;

    freeze_serve_faults(f);
    while ((ns = end_ns - clock_now_ns(f->clock)) > 0) {
        struct timespec timeout = { .tv_nsec = ns };

        ppoll(&fd, 1, &timeout, NULL);
        f->woken_ns = clock_now_ns(f->clock);
        freeze_serve_faults(f);
    }
}

/* For each slice. Who gave up waits for the end. */
static int64_t rest_ns(const RamFreeze *f)
{
    return f->releasing && f->phase != RAM_FREEZE_COPIED ? GIVEN_UP_REST_NS
                                                         : FREEZE_REST_NS;
}

/* Between two steps of a walk that works since @work_ns. Returns: since when it
 * does from here on. */
static int64_t rest(RamFreeze *f, int64_t work_ns)
{
    int64_t now_ns = clock_now_ns(f->clock);
    int64_t worked_ns = now_ns - work_ns;

    if (worked_ns < FREEZE_SLICE_NS) {
        freeze_serve_faults(f);
        return work_ns;
    }
    worked_ns = MIN(worked_ns, STEP_CREDIBLE_NS);
    rest_until(f, now_ns + worked_ns * rest_ns(f) / FREEZE_SLICE_NS);
    return clock_now_ns(f->clock);
}

/* ---- walks --------------------------------------------------------------- */

static uint8_t *host_of(const FreezeBlock *b, uint64_t page)
{
    return b->block->host + (page << TM_PAGE_BITS);
}

static void adapt_step(RamFreeze *f, int64_t ns)
{
    if (ns > STEP_LONG_NS) {
        f->walk_bytes = MAX(f->walk_bytes / 2, STEP_MIN_BYTES);
    } else if (ns < STEP_SHORT_NS) {
        f->walk_bytes = MIN(f->walk_bytes * 2, STEP_MAX_BYTES);
    }
}

typedef int StepFn(RamFreeze *f, FreezeBlock *b, void *host, uint64_t bytes);

/* Returns: 0, or the first step's -errno; what is asked of the saver from
 * outside is not looked at. */
static int walk_block(RamFreeze *f, FreezeBlock *b, StepFn *step)
{
    int64_t work_ns = clock_now_ns(f->clock);
    uint64_t bytes;

    f->walk_bytes = STEP_MIN_BYTES;
    for (uint64_t at = 0; at < b->block->length; at += bytes) {
        int64_t begin_ns = clock_now_ns(f->clock);
        int err;

        bytes = MIN(MAX(f->walk_bytes, b->unit << TM_PAGE_BITS),
                    b->block->length - at);
        err = step(f, b, b->block->host + at, bytes);
        if (err) {
            return err;
        }
        adapt_step(f, clock_now_ns(f->clock) - begin_ns);
        work_ns = rest(f, work_ns);
    }
    return 0;
}

static int protect_step(RamFreeze *f, FreezeBlock *b, void *host,
                        uint64_t bytes)
{
    int err = 0;

    if (freeze_is_over(f)) {
        return -ECANCELED;
    }
    if (b->populate) {
        err = populate(host, bytes);
    }
    return err ? err : uffd_protect(&f->uffd, host, bytes);
}

/* What cannot be released here is left to the end of the descriptor. */
static int release_step(RamFreeze *f, FreezeBlock *b, void *host,
                        uint64_t bytes)
{
    uffd_unprotect(&f->uffd, host, bytes);
    return 0;
}

static void fail_protect(RamFreeze *f, const FreezeBlock *b, int err)
{
    GError *error = NULL;

    tm_error_set_errno(&error, err, "cannot write-protect RAM block '%s'",
                       b->block->name);
    freeze_fail(f, error);
}

void freeze_protect_all(RamFreeze *f)
{
    int64_t begin_ns = clock_now_ns(f->clock);

    for (unsigned i = 0; i < f->n_blocks; i++) {
        int err = walk_block(f, &f->blocks[i], protect_step);

        if (freeze_is_over(f)) {
            return;
        }
        if (err) {
            fail_protect(f, &f->blocks[i], err);
            return;
        }
    }
    freeze_count(&f->stats.arm_ns, clock_now_ns(f->clock) - begin_ns);
    trace_ram_freeze_arm(f->stats.total_pages, f->stats.arm_ns);
}

/* In pieces, for it looks at each page once more (8 to 15 ms per GiB), and the
 * address space is locked against all other faults meanwhile. Not in smaller
 * ones: each may wait for a thread that was put aside in the midst of such a
 * fault (measured: 500 ms for 512 pieces on a busy host). */
static void unregister_block(RamFreeze *f, FreezeBlock *b)
{
    uint64_t unit_bytes = b->unit << TM_PAGE_BITS;
    int64_t work_ns = clock_now_ns(f->clock);
    uint64_t bytes;

    for (uint64_t at = 0; at < b->block->length; at += bytes) {
        bytes = MIN(MAX(UNREGISTER_BYTES, unit_bytes), b->block->length - at);
        uffd_unregister(&f->uffd, b->block->host + at, bytes);
        work_ns = rest(f, work_ns);
    }
    b->registered = false;
}

/* In this order, because unregistering wakes nobody. Once all is copied each
 * page was released by itself. */
void freeze_release_all(RamFreeze *f)
{
    f->releasing = true;
    for (unsigned i = 0; i < f->n_blocks; i++) {
        if (f->blocks[i].registered && f->phase != RAM_FREEZE_COPIED) {
            walk_block(f, &f->blocks[i], release_step);
        }
    }
    for (unsigned i = 0; i < f->n_blocks; i++) {
        if (f->blocks[i].registered) {
            unregister_block(f, &f->blocks[i]);
        }
    }
    uffd_close(&f->uffd); /* wakes whoever could not be released above */
}

/* ---- single pages -------------------------------------------------------- */

void freeze_release_pages(RamFreeze *f, FreezeBlock *b, uint64_t first,
                          uint64_t n)
{
    GError *error = NULL;
    int err = uffd_unprotect(&f->uffd, host_of(b, first), n << TM_PAGE_BITS);

    if (err) {
        tm_error_set_errno(&error, err, "cannot release %" G_GUINT64_FORMAT
                           " pages of RAM block '%s' from page %"
                           G_GUINT64_FORMAT " on", n, b->block->name, first);
        freeze_fail(f, error);
    }
}

void freeze_note(RamFreeze *f, FreezeBlock *b, uint64_t first)
{
    if (!bitmap_test_bit(b->noted, first)) {
        bitmap_set(b->noted, first, b->unit);
        bitmap_set_bit(b->noted_areas, first / FREEZE_AREA_PAGES);
        freeze_count(&f->stats.noted_pages, b->unit);
    }
}

/* The first noted page at or after @from; npages if there is none. Areas
 * without any are skipped, so that the cost follows the pages noted. */
static uint64_t next_noted(const FreezeBlock *b, uint64_t from)
{
    uint64_t npages = b->block->npages;
    uint64_t n_areas = npages / FREEZE_AREA_PAGES + 1;

    while (from < npages) {
        uint64_t area = bitmap_find_next_set(b->noted_areas, n_areas,
                                             from / FREEZE_AREA_PAGES);
        uint64_t end = MIN((area + 1) * FREEZE_AREA_PAGES, npages);
        uint64_t page;

        if (area == n_areas) {
            break;
        }
        page = bitmap_find_next_set(b->noted, end,
                                    MAX(from, area * FREEZE_AREA_PAGES));
        if (page < end) {
            return page;
        }
        from = end;
    }
    return npages;
}

/* Returns: the end of the run that begins at @first, short gaps included. */
static uint64_t run_end(const FreezeBlock *b, uint64_t first, uint64_t *ret_next)
{
    uint64_t end = first + b->unit;

    *ret_next = next_noted(b, end);
    while (*ret_next < b->block->npages && *ret_next - end <= GAP_PAGES) {
        end = *ret_next + b->unit;
        *ret_next = next_noted(b, end);
    }
    return end;
}

static int protect_noted_in(RamFreeze *f, FreezeBlock *b)
{
    uint64_t page = next_noted(b, 0);
    int err = 0;

    while (page < b->block->npages && !err) {
        uint64_t next;
        uint64_t end = run_end(b, page, &next);

        err = uffd_protect(&f->uffd, host_of(b, page),
                           (end - page) << TM_PAGE_BITS);
        page = next;
    }
    return err;
}

void freeze_protect_noted(RamFreeze *f)
{
    for (unsigned i = 0; i < f->n_blocks; i++) {
        int err = protect_noted_in(f, &f->blocks[i]);

        if (err) {
            fail_protect(f, &f->blocks[i], err);
            return;
        }
    }
}
