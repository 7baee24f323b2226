/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restore by faults, on real userfaultfd: whoever touches memory finds what the
 * file says, whatever the fetcher does meanwhile, and what is written stays; a
 * file that fails is told of once, and nobody is left waiting.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/channel-kinds.h"
#include "migration/restore-fault.h"
#include "migration/restore-set.h"
#include "tests/unit/fake-mapped.h"
#include "tests/unit/fake-threads.h"
#include "util/linux-compat.h"

#define NPAGES 2048
#define DATA_PLACE (1 << 20)    /* of block b0's pages, see test-restore.c */
#define WAIT_US (60 * G_USEC_PER_SEC)

typedef struct Rig {
    FakeMapped src, dst;
    Restore *r;
    Clock *clock;
    RestoreConfig config;
    GMutex lock;
    GCond told;
    unsigned ends;              /* how often the end was told */
    char *error;                /* what was told then */
    uint64_t rate;              /* atomic */
} Rig;

static void ended(void *opaque, const GError *error)
{
    Rig *rig = opaque;

    g_mutex_lock(&rig->lock);
    rig->ends++;
    if (error) {
        rig->error = g_strdup(error->message);
    }
    g_cond_broadcast(&rig->told);
    g_mutex_unlock(&rig->lock);
}

static uint64_t rate(void *opaque)
{
    return __atomic_load_n(&((Rig *)opaque)->rate, __ATOMIC_RELAXED);
}

/* b0: 0-99 data, 100-499 every third, 500-1199 zeros, then all but each
 * 64th; b1: one page of zeros, three of data. */
static bool has_data(unsigned block, uint64_t page)
{
    if (block) {
        return page > 0;
    }
    return page < 100 || (page < 500 ? page % 3 == 0 : page >= 1200 &&
                          page % 64);
}

static uint64_t value_of(unsigned block, uint64_t page)
{
    return has_data(block, page) ? 7 + page * 5 + block : 0;
}

static const uint64_t block_pages[] = {NPAGES, 4};

static bool can_fault(void)
{
    g_autoptr(GError) error = NULL;
    uint64_t features;

    if (!uffd_probe(NULL, &features, &error)) {
        g_test_skip(error->message);
        return false;
    }
    return true;
}

static void rig_init(Rig *rig, uint64_t read_ahead)
{
    *rig = (Rig) { .clock = clock_new_host() };
    g_mutex_init(&rig->lock);
    g_cond_init(&rig->told);
    rig->config = (RestoreConfig) {
        .mode = RESTORE_MODE_FAULT, .clock = rig->clock, .ended = ended,
        .rate = rate, .opaque = rig, .read_ahead_bytes = read_ahead,
    };
    fake_mapped_init(&rig->src, 2, block_pages);
    fake_mapped_init(&rig->dst, 2, block_pages);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t page = 0; page < block_pages[i]; page++) {
            if (has_data(i, page)) {
                fake_mapped_fill(fake_mapped_block(&rig->src, i), page,
                                 value_of(i, page));
            }
            fake_mapped_fill(fake_mapped_block(&rig->dst, i), page, 99);
        }
    }
    fake_mapped_save(&rig->src);
}

static void rig_take(Rig *rig)
{
    g_autoptr(GError) error = NULL;

    rig->r = restore_new(rig->src.file, &rig->config);
    fake_mapped_take(&rig->src, &rig->dst.list, rig->r, &error);
    g_assert_no_error(error);
}

/* @read_ahead: bytes. */
static void rig_start(Rig *rig, uint64_t read_ahead)
{
    g_autoptr(GError) error = NULL;

    rig_init(rig, read_ahead);
    rig_take(rig);
    restore_memory(rig->r, &error);
    g_assert_no_error(error);
    g_assert_true(restore_is_lazy(rig->r));
    g_assert_true(restore_needs_file(rig->r));
}

static void rig_done(Rig *rig)
{
    restore_free(rig->r);
    fake_mapped_done(&rig->dst);
    fake_mapped_done(&rig->src);
    g_cond_clear(&rig->told);
    g_mutex_clear(&rig->lock);
    clock_free(rig->clock);
    g_free(rig->error);
}

static void wait_end(Rig *rig)
{
    gint64 until = g_get_monotonic_time() + WAIT_US;

    g_mutex_lock(&rig->lock);
    while (!rig->ends) {
        g_assert_true(g_cond_wait_until(&rig->told, &rig->lock, until));
    }
    g_mutex_unlock(&rig->lock);
}

static uint64_t look(const Rig *rig, unsigned block, uint64_t page)
{
    return *(volatile uint64_t *)(fake_mapped_block(&rig->dst, block)->host +
                                  (page << TM_PAGE_BITS));
}

static unsigned count_ends(Rig *rig)
{
    unsigned n;

    g_mutex_lock(&rig->lock);
    n = rig->ends;
    g_mutex_unlock(&rig->lock);
    return n;
}

static RestoreInfo *query(const Rig *rig)
{
    return restore_query(rig->r, 1);
}

/* Of which pages is the contents there? Asks the kernel, touches nothing. */
static unsigned count_there(const Rig *rig, unsigned block, uint64_t first,
                            uint64_t n)
{
    const RAMBlock *b = fake_mapped_block(&rig->dst, block);
    g_autofree unsigned char *there = g_malloc(n);
    unsigned count = 0;

    g_assert_cmpint(mincore(b->host + (first << TM_PAGE_BITS),
                            n << TM_PAGE_BITS, there), ==, 0);
    for (uint64_t i = 0; i < n; i++) {
        count += there[i] & 1;
    }
    return count;
}

/* ---- touches ----------------------------------------------------------- */

static void test_touch_all_finds_the_file(void)
{
    g_autoptr(RestoreInfo) info = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 128 << 10);
    g_assert_cmpuint(count_there(&rig, 0, 0, NPAGES), ==, 0);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    info = query(&rig);
    g_assert_cmpint(info->mode, ==, RESTORE_MODE_FAULT);
    g_assert_false(info->faults->complete);
    g_assert_cmpuint(info->faults->fault_bytes + info->faults->read_ahead_bytes,
                     ==, info->file_bytes);
    g_assert_cmpuint(info->faults->background_bytes, ==, 0);
    g_assert_cmpuint(info->faults->faults, >=, NPAGES / 32 / 2);
    g_assert_cmpuint(info->faults->stall_max_ns, >=,
                     info->faults->stall_p50_ns);
    g_assert_cmpuint(info->faults->stall_total_ns, >=,
                     info->faults->stall_max_ns);
    g_assert_cmpuint(info->faults->touched->value->pages, ==, 1);
    g_assert_cmpuint(info->faults->touched->next->value->pages, ==, 16);
    g_assert_cmpuint(count_ends(&rig), ==, 0);
    rig_done(&rig);
}

typedef struct Window {
    uint64_t read_ahead, touched;   /* of b0 */
    uint64_t first, n;              /* what of it is there then */
    uint64_t data;                  /* of which so many are in the file */
} Window;

/* At the edges of block, piece and data; a window that is no power of two, and
 * one that is no whole pages. */
static const Window windows[] = {
    { 4096, 0, 0, 1, 1 },
    { 4096, 2047, 2047, 1, 1 },
    { 128 << 10, 0, 0, 32, 32 },
    { 128 << 10, 31, 0, 32, 32 },
    { 128 << 10, 32, 32, 32, 32 },
    { 128 << 10, 2047, 2016, 32, 32 },
    { 128 << 10, 1200, 1200, 16, 16 },      /* 1216 is zeros */
    { 128 << 10, 99, 96, 4, 4 },            /* then each third */
    { 5 << 12, 7, 5, 5, 5 },
    { (5 << 12) + 4095, 7, 5, 5, 5 },
    { 16 << 20, 50, 0, 100, 100 },
};

static void check_window(const Window *w)
{
    Rig rig;

    rig_start(&rig, w->read_ahead);
    g_assert_cmpuint(look(&rig, 0, w->touched), ==, value_of(0, w->touched));
    /* The rest of the window comes after the page; this waits for it. */
    restore_free(g_steal_pointer(&rig.r));
    g_assert_cmpuint(count_there(&rig, 0, w->first, w->n), ==, w->data);
    if (w->first) {
        g_assert_cmpuint(count_there(&rig, 0, w->first - 1, 1), ==, 0);
    }
    rig_done(&rig);
}

static void test_window_is_brought(void)
{
    if (!can_fault()) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        check_window(&windows[i]);
    }
}

/* Zeros come without the file, and only so far. */
static void test_zeros_are_zeros(void)
{
    g_autoptr(RestoreInfo) info = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 128 << 10);
    g_assert_cmpuint(look(&rig, 0, 1216), ==, 0);
    g_assert_cmpuint(look(&rig, 1, 0), ==, 0);
    g_assert_cmpuint(look(&rig, 0, 800), ==, 0);
    info = query(&rig);
    g_assert_cmpuint(info->faults->fault_bytes, ==, 0);
    g_assert_cmpuint(info->faults->faults, >=, 1);
    rig_done(&rig);
}

/* ---- the fetcher ------------------------------------------------------- */

static bool is_uffd_open(void)
{
    for (int fd = 0; fd < 256; fd++) {
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autofree char *to = g_file_read_link(link, NULL);

        if (to && strstr(to, "userfaultfd")) {
            return true;
        }
    }
    return false;
}

static void test_all_is_fetched(void)
{
    g_autoptr(RestoreInfo) info = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 128 << 10);
    g_assert_true(is_uffd_open());
    restore_fetch(rig.r);
    wait_end(&rig);
    g_assert_cmpstr(rig.error, ==, NULL);
    g_assert_false(restore_needs_file(rig.r));
    g_assert_false(is_uffd_open());
    info = query(&rig);
    g_assert_true(info->faults->complete);
    g_assert_cmpuint(info->faults->background_bytes, ==, info->file_bytes);
    g_assert_cmpuint(info->faults->faults, ==, 0);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    rig_done(&rig);
    g_assert_cmpuint(rig.ends, ==, 1);
}

/* What is written before a page was fetched is not fetched over. */
static void test_writes_stay(void)
{
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 4096);
    for (uint64_t page = 0; page < NPAGES; page += 5) {
        fake_mapped_fill(fake_mapped_block(&rig.dst, 0), page, ~page);
        fake_mapped_fill(fake_mapped_block(&rig.src, 0), page, ~page);
    }
    restore_fetch(rig.r);
    wait_end(&rig);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    rig_done(&rig);
}

typedef struct Toucher {
    Rig *rig;
    unsigned seed;
    uint64_t bad;               /* a page that was wrong; 0: none */
    uint64_t done;              /* touches; atomic */
} Toucher;

static gpointer touch_at_random(gpointer opaque)
{
    Toucher *t = opaque;
    GRand *rand = g_rand_new_with_seed(t->seed);

    for (unsigned i = 0; i < 3 * NPAGES; i++) {
        uint64_t page = g_rand_int_range(rand, 0, NPAGES);

        if (look(t->rig, 0, page) != value_of(0, page)) {
            t->bad = page + 1;
        }
        __atomic_fetch_add(&t->done, 1, __ATOMIC_RELAXED);
    }
    g_rand_free(rand);
    return NULL;
}

/* Many touchers and the fetcher, all after the same pages. */
static void test_touchers_and_fetcher_agree(void)
{
    if (!can_fault()) {
        return;
    }
    for (unsigned round = 0; round < 20; round++) {
        Toucher touchers[4] = { 0 };
        GThread *threads[4];
        Rig rig;

        rig_start(&rig, round % 2 ? 4096 : 64 << 10);
        for (unsigned i = 0; i < 4; i++) {
            touchers[i] = (Toucher) { .rig = &rig, .seed = round * 4 + i };
            threads[i] = g_thread_new("touch", touch_at_random, &touchers[i]);
        }
        restore_fetch(rig.r);
        for (unsigned i = 0; i < 4; i++) {
            g_thread_join(threads[i]);
            g_assert_cmpuint(touchers[i].bad, ==, 0);
        }
        wait_end(&rig);
        g_assert_cmpstr(rig.error, ==, NULL);
        fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
        rig_done(&rig);
    }
}

/* A rate is kept from the first byte on, and a new one seen. */
static void test_rate_is_kept(void)
{
    uint64_t brought = 0;
    int64_t begin_ns;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 4096);
    rig.rate = 1 << 20;
    begin_ns = clock_now_ns(rig.clock);
    restore_fetch(rig.r);
    while (brought < 64 << 12) {
        g_autoptr(RestoreInfo) info = query(&rig);
        double ns;

        brought = info->faults->background_bytes;
        ns = clock_now_ns(rig.clock) - begin_ns;
        /* What may be made up for, and a page begun. */
        g_assert_cmpfloat(brought, <=, (ns + 20e6) / 1e9 * rig.rate + 4096);
        g_usleep(1000);
    }
    g_assert_cmpuint(count_ends(&rig), ==, 0);
    __atomic_store_n(&rig.rate, 0, __ATOMIC_RELAXED);
    wait_end(&rig);
    g_assert_cmpstr(rig.error, ==, NULL);
    rig_done(&rig);
}

/* Touches do not wait for the fetcher's turn. */
static void test_touches_need_no_turn(void)
{
    g_autoptr(RestoreInfo) info = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 4096);
    rig.rate = 1;
    restore_fetch(rig.r);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    info = query(&rig);
    g_assert_false(info->faults->complete);
    g_assert_cmpuint(info->faults->background_bytes, <=, 64 << 12);
    g_assert_cmpuint(count_ends(&rig), ==, 0);
    rig_done(&rig);
}

/* ---- the working set ----------------------------------------------------- */

static const uint64_t wanted[] = { 1300, 2000, 50, 1301, 3, 1300 };

/* A restore in which these pages are touched, as devices do before the guest is
 * let go, so always before the fetcher brings any.
 * @extra: touched first. Returns: the record, behind which it leaves nothing. */
static GArray *restore_with_set(const char *path, uint64_t extra)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *words = NULL;
    GArray *runs;
    Rig rig;

    rig_init(&rig, 16 << 10);
    rig.config.working_set = path;
    rig.rate = 1;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    look(&rig, 0, extra);
    for (unsigned i = 0; i < G_N_ELEMENTS(wanted); i++) {
        look(&rig, 0, wanted[i]);
    }
    restore_fetch(rig.r);
    rig_done(&rig);
    rig_init(&rig, 16 << 10); /* with the same file */
    rig_take(&rig);
    runs = working_set_load(rig.r, path, &words, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(words, ==, NULL);
    rig_done(&rig);
    return runs;
}

/* What was missed comes first the next time, and nothing twice. */
static void test_set_does_not_grow(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-restore-fault-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "set", NULL);

    if (!can_fault()) {
        g_rmdir(dir);
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        /* 1500 is new in the second. */
        uint64_t extra = round == 1 ? 1500 : 1300;
        g_autoptr(GArray) runs = restore_with_set(path, extra);
        const WorkingRun *run = &g_array_index(runs, WorkingRun, 0);

        g_assert_cmpuint(runs->len, ==, round ? 5 : 4);
        g_assert_cmpuint(run->first, ==, extra);
        g_assert_cmpuint(run->n, ==, 4);
    }
    g_unlink(path);
    g_rmdir(dir);
}

/* The load failed, say, after devices had touched something. */
static void test_failed_load_leaves_the_set(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-restore-fault-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "set", NULL);
    g_autoptr(GArray) runs = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autoptr(GError) error = NULL;
    gsize n_before, n_after;
    Rig rig;

    if (!can_fault()) {
        g_rmdir(dir);
        return;
    }
    runs = restore_with_set(path, 1300);
    g_assert_true(g_file_get_contents(path, &before, &n_before, NULL));
    rig_init(&rig, 4096);
    rig.config.working_set = path;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    look(&rig, 0, 1500);
    rig_done(&rig);
    g_assert_true(g_file_get_contents(path, &after, &n_after, NULL));
    g_assert_cmpmem(before, n_before, after, n_after);
    g_unlink(path);
    g_rmdir(dir);
}

/* What came ahead because it was known counts as brought. */
static void test_set_counts_as_brought(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-restore-fault-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "set", NULL);
    gint64 until = g_get_monotonic_time() + WAIT_US;
    g_autoptr(RestoreInfo) info = NULL;
    g_autoptr(GArray) runs = NULL;
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        g_rmdir(dir);
        return;
    }
    runs = restore_with_set(path, 1300);
    rig_init(&rig, 4096);
    rig.config.working_set = path;
    rig.rate = 1;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    restore_fetch(rig.r);
    while (__atomic_load_n(&rig.r->fault->stats.prefetched_bytes,
                           __ATOMIC_RELAXED) < 4 * 4 * TM_PAGE_BYTES) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_usleep(1000);
    }
    look(&rig, 0, 2047);
    do {
        g_clear_pointer(&info, qapi_free_RestoreInfo);
        info = query(&rig); /* it is noted after the page is there */
        g_assert_cmpint(g_get_monotonic_time(), <, until);
    } while (!info->faults->touched);
    g_assert_cmpuint(info->faults->touched->value->bytes, >=,
                     (4 * 4 + 1) * TM_PAGE_BYTES);
    rig_done(&rig);
    g_unlink(path);
    g_rmdir(dir);
}

/* ---- what goes wrong --------------------------------------------------- */

/* The touch of what the file lost ends, and why is told, once. */
static void test_cut_file_releases_the_toucher(void)
{
    g_autoptr(RestoreInfo) info = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 16 << 10);
    g_assert_cmpint(ftruncate(channel_file_fd(rig.src.file),
                              DATA_PLACE + (1400 << 12)), ==, 0);
    rig.rate = 1;
    restore_fetch(rig.r);
    g_assert_cmpuint(look(&rig, 0, 1300), ==, value_of(0, 1300));
    g_assert_cmpuint(count_ends(&rig), ==, 0);
    look(&rig, 0, 1401);
    wait_end(&rig);
    g_assert_nonnull(strstr(rig.error, "cannot read pages 0x578+4 of RAM "
                            "block 'b0'"));
    look(&rig, 0, 1900);
    info = query(&rig);
    g_assert_false(info->faults->complete);
    g_assert_cmpstr(info->faults->error_desc, ==, rig.error);
    g_assert_true(restore_needs_file(rig.r));
    rig_done(&rig);
    g_assert_cmpuint(rig.ends, ==, 1);
}

static gpointer touch_cut(gpointer opaque)
{
    look(opaque, 0, 1900);
    return NULL;
}

/* The fetcher by itself, and then at the same moment as a toucher: whoever is
 * first tells. */
static void test_fetcher_tells_of_a_cut_file(void)
{
    if (!can_fault()) {
        return;
    }
    for (unsigned round = 0; round < 100; round++) {
        GThread *thread = NULL;
        Rig rig;

        rig_start(&rig, 16 << 10);
        g_assert_cmpint(ftruncate(channel_file_fd(rig.src.file), DATA_PLACE),
                        ==, 0);
        if (round) {
            thread = g_thread_new("touch", touch_cut, &rig);
        }
        restore_fetch(rig.r);
        wait_end(&rig);
        g_assert_nonnull(strstr(rig.error, " of RAM block 'b"));
        look(&rig, 0, 1900);
        if (thread) {
            g_thread_join(thread);
        }
        rig_done(&rig);
        g_assert_cmpuint(rig.ends, ==, 1);
    }
}

/* Whoever waits when all is given up goes on. */
static void test_free_releases_touchers(void)
{
    if (!can_fault()) {
        return;
    }
    for (unsigned round = 0; round < 20; round++) {
        Toucher touchers[2] = { 0 };
        GThread *threads[2];
        Rig rig;

        rig_start(&rig, 4096);
        rig.rate = round % 2;
        for (unsigned i = 0; i < 2; i++) {
            touchers[i] = (Toucher) { .rig = &rig, .seed = round * 2 + i };
            threads[i] = g_thread_new("touch", touch_at_random, &touchers[i]);
        }
        restore_fetch(rig.r);
        while (__atomic_load_n(&touchers[1].done, __ATOMIC_RELAXED) < 20) {
            g_usleep(10);
        }
        restore_free(g_steal_pointer(&rig.r));
        for (unsigned i = 0; i < 2; i++) {
            g_thread_join(threads[i]);
            g_assert_cmpuint(touchers[i].done, ==, 3 * NPAGES);
        }
        rig_done(&rig);
    }
}

/* ---- a kernel that does not do it --------------------------------------- */

static int copies_left;

static int no_open(void)
{
    return -ENOSYS;
}

static int failing_call(int fd, unsigned long request, void *arg)
{
    if (request == UFFDIO_COPY && copies_left-- <= 0) {
        return -ENOMEM;
    }
    return uffd_kernel_real()->call(fd, request, arg);
}

/* The second one would take the place of the first, whose threads go on. */
static void test_only_once(void)
{
    Rig rig;

    if (!can_fault()) {
        return;
    }
    rig_start(&rig, 4096);
    for (unsigned i = 0; i < 2; i++) {
        const RestoreFault *first = rig.r->fault;
        g_autoptr(GError) error = NULL;

        g_assert_false(i ? restore_memory(rig.r, &error)
                         : restore_fault_start(rig.r, &error));
        g_assert_nonnull(strstr(error->message, "already"));
        g_assert_true(rig.r->fault == first);
    }
    g_assert_cmpuint(look(&rig, 0, 7), ==, value_of(0, 7));
    rig_done(&rig);
}

static void test_no_userfaultfd_is_told(void)
{
    static const UffdKernel none = { no_open, no_open, failing_call };
    g_autoptr(GError) error = NULL;
    Rig rig;

    rig_init(&rig, 4096);
    rig.config.kernel = &none;
    rig_take(&rig);
    g_assert_false(restore_memory(rig.r, &error));
    g_assert_nonnull(strstr(error->message, "parameter 'x-restore-mode': this "
                            "kernel has no userfaultfd"));
    rig_done(&rig);
    g_assert_cmpuint(rig.ends, ==, 0);
}

static void test_no_memory_is_told(void)
{
    UffdKernel kernel = *uffd_kernel_real();
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    kernel.call = failing_call;
    copies_left = 3;
    rig_init(&rig, 4096);
    rig.config.kernel = &kernel;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    for (unsigned page = 0; page < 3; page++) {
        g_assert_cmpuint(look(&rig, 0, page), ==, value_of(0, page));
    }
    look(&rig, 0, 3);
    wait_end(&rig);
    g_assert_cmpstr(rig.error, ==, "cannot bring page 0x3 of RAM block 'b0' "
                    "into memory: Cannot allocate memory");
    rig_done(&rig);
}

/* ---- touches while it begins --------------------------------------------- */

/* Somebody looks at a piece right before it is watched. */
static int peeking_call(int fd, unsigned long request, void *arg)
{
    if (request == UFFDIO_REGISTER) {
        const struct uffdio_register *range = arg;
        const volatile uint8_t *host = (void *)(uintptr_t)range->range.start;

        for (uint64_t i = 0; i < range->range.len; i += TM_PAGE_BYTES) {
            (void)host[i];
        }
    }
    return uffd_kernel_real()->call(fd, request, arg);
}

/* The main loop may, whenever it is asked to: dumps, pictures. */
static void test_look_leaves_no_zeros(void)
{
    UffdKernel kernel = *uffd_kernel_real();
    g_autoptr(GError) error = NULL;
    Rig rig;

    if (!can_fault()) {
        return;
    }
    kernel.call = peeking_call;
    rig_init(&rig, 4096);
    rig.config.kernel = &kernel;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(count_there(&rig, 0, 0, NPAGES), ==, 0);
    fake_mapped_assert_same(&rig.src.list, &rig.dst.list);
    rig_done(&rig);
}

typedef struct EarlyToucher {
    GThread *thread;            /* NULL: not yet */
    volatile uint8_t *page;
    bool done;                  /* atomic */
    unsigned registers_left;    /* that do not fail */
} EarlyToucher;

static EarlyToucher early;

static gpointer touch_early(gpointer opaque)
{
    (void)*early.page;
    __atomic_store_n(&early.done, true, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Once the first piece is watched somebody waits for a page of it. */
static int early_call(int fd, unsigned long request, void *arg)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    int err;

    if (request == UFFDIO_REGISTER && !early.registers_left--) {
        return -ENOMEM;
    }
    err = uffd_kernel_real()->call(fd, request, arg);
    if (request == UFFDIO_REGISTER && !early.thread) {
        const struct uffdio_register *range = arg;

        early.page = (void *)(uintptr_t)range->range.start;
        early.thread = g_thread_new("touch", touch_early, NULL);
        g_assert_cmpint(poll(&poll_fd, 1, WAIT_US / 1000), ==, 1);
    }
    return err;
}

/* @lacks: a thread that cannot be made; NULL: a piece cannot be watched. */
static void check_early_toucher(const char *lacks, const char *words)
{
    UffdKernel kernel = *uffd_kernel_real();
    gint64 until = g_get_monotonic_time() + WAIT_US;
    g_autoptr(GError) error = NULL;
    Rig rig;

    kernel.call = early_call;
    early = (EarlyToucher) { .registers_left = lacks ? UINT_MAX : 1 };
    rig_init(&rig, 4096);
    rig.config.kernel = &kernel;
    rig_take(&rig);
    fake_threads_lack = lacks;
    fake_threads_left = 0;
    g_assert_false(restore_memory(rig.r, &error));
    fake_threads_lack = NULL;
    g_assert_nonnull(strstr(error->message, words));
    g_assert_false(is_uffd_open());
    while (!__atomic_load_n(&early.done, __ATOMIC_SEQ_CST)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until);
        g_usleep(1000);
    }
    g_thread_join(early.thread);
    rig_done(&rig);
    g_assert_cmpuint(rig.ends, ==, 0);
}

/* ... and may hold the lock that is needed to give all up. */
static void test_failed_begin_releases_touchers(void)
{
    if (!can_fault()) {
        return;
    }
    check_early_toucher(NULL, "cannot watch for touches of RAM block 'b0'");
    check_early_toucher("restore-fetch", "thread");
}

static int open_dir(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* It all succeeds, and nothing is watched. */
static int agreeing_call(int fd, unsigned long request, void *arg)
{
    if (request == UFFDIO_REGISTER) {
        ((struct uffdio_register *)arg)->ioctls = UINT64_MAX;
    }
    return 0;
}

/* Its descriptor is a directory, which is always ready and cannot be read. */
static void test_unreadable_is_told(void)
{
    static const UffdKernel kernel = { open_dir, open_dir, agreeing_call };
    g_autoptr(GError) error = NULL;
    Rig rig;

    rig_init(&rig, 4096);
    rig.config.kernel = &kernel;
    rig_take(&rig);
    restore_memory(rig.r, &error);
    g_assert_no_error(error);
    wait_end(&rig);
    g_assert_cmpstr(rig.error, ==, "cannot hear of touches of missing memory "
                    "(userfaultfd): Is a directory");
    rig_done(&rig);
    g_assert_cmpuint(rig.ends, ==, 1);
}

static void test_no_descriptor_is_told(void)
{
    g_autoptr(GError) error = NULL;
    struct rlimit before, none;
    Rig rig;
    int fd;

    rig_init(&rig, 4096);
    rig_take(&rig);
    fd = open_dir();
    close(fd); /* so this is the next */
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = (struct rlimit) { .rlim_cur = fd, .rlim_max = before.rlim_max };
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_false(restore_memory(rig.r, &error));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_nonnull(strstr(error->message, "cannot make an eventfd: Too many "
                            "open files"));
    rig_done(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(path, fn) g_test_add_func("/restore-fault/" path, fn)
    T("touch/finds-the-file", test_touch_all_finds_the_file);
    T("touch/brings-the-window", test_window_is_brought);
    T("touch/zeros", test_zeros_are_zeros);
    T("fetch/all", test_all_is_fetched);
    T("fetch/writes-stay", test_writes_stay);
    T("fetch/agrees-with-touchers", test_touchers_and_fetcher_agree);
    T("fetch/rate-is-kept", test_rate_is_kept);
    T("touch/needs-no-turn", test_touches_need_no_turn);
    T("set/does-not-grow", test_set_does_not_grow);
    T("set/failed-load-leaves-it", test_failed_load_leaves_the_set);
    T("set/counts-as-brought", test_set_counts_as_brought);
    T("cut/toucher-is-released", test_cut_file_releases_the_toucher);
    T("cut/fetcher-tells", test_fetcher_tells_of_a_cut_file);
    T("free/releases-touchers", test_free_releases_touchers);
    T("start/only-once", test_only_once);
    T("begin/look-leaves-no-zeros", test_look_leaves_no_zeros);
    T("begin/failure-releases-touchers", test_failed_begin_releases_touchers);
    T("kernel/no-userfaultfd", test_no_userfaultfd_is_told);
    T("kernel/unreadable", test_unreadable_is_told);
    T("kernel/no-descriptor", test_no_descriptor_is_told);
    T("kernel/no-memory", test_no_memory_is_told);
#undef T
    return g_test_run();
}
