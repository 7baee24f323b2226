/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See freeze-rig.h.
 */
#include "freeze-rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/guest-access.h"
#include "util/linux-compat.h"

#define SMALL_PAGES 33
#define WAIT_US 200
#define WAIT_MAX (120 * (G_USEC_PER_SEC / WAIT_US))

/* ---- blocks -------------------------------------------------------------- */

const char *rig_kind_name(RigKind kind)
{
    static const char *const names[] = {
        "anonymous", "shared-anonymous", "memfd-shared", "memfd-private",
        "tmpfs", "hugetlb",
    };

    return names[kind];
}

static HostMem *new_file(HostMemConfig *config, RigKind kind, GError **error)
{
    g_autofree char *path = NULL;
    HostMem *mem;
    int fd;

    config->kind = HOSTMEM_FILE;
    if (kind == RIG_TMPFS) {
        config->mem_path = "/dev/shm";
        return hostmem_new(config, error);
    }
    fd = memfd_create("rig", MFD_CLOEXEC | MFD_HUGETLB);
    path = g_strdup_printf("/proc/self/fd/%d", fd);
    config->mem_path = path;
    mem = hostmem_new(config, error);
    g_prefix_error(error, "no free huge pages: ");
    close(fd);
    return mem;
}

static HostMem *new_mem(RigKind kind, uint64_t npages, GError **error)
{
    HostMemConfig config = {
        .id = "rig",
        .kind = kind <= RIG_SHARED_ANONYMOUS ? HOSTMEM_RAM : HOSTMEM_MEMFD,
        .size_bytes = npages * RIG_PAGE,
        .share = kind != RIG_ANONYMOUS && kind != RIG_MEMFD_PRIVATE,
    };

    return kind >= RIG_TMPFS ? new_file(&config, kind, error) :
        hostmem_new(&config, error);
}

static bool add_block(Rig *rig, RigKind kind, uint64_t npages, GError **error)
{
    unsigned i = rig->n_blocks;
    g_autofree char *name = g_strdup_printf("ram%u", i);

    rig->mem[i] = new_mem(kind, npages, error);
    if (!rig->mem[i]) {
        return false;
    }
    rig->blocks[i] = ram_list_add(&rig->list, name, rig->mem[i], NULL);
    rig->total_pages += npages;
    rig->n_blocks++;
    return true;
}

static unsigned count_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

Rig *rig_new(RigKind kind, unsigned n, uint64_t npages)
{
    Rig *rig = g_new0(Rig, 1);
    g_autoptr(GError) error = NULL;

    rig->n_fds = count_fds();
    memset(&rig_faults, 0, sizeof(rig_faults));
    ram_list_init(&rig->list);
    rig->threads = g_ptr_array_new();
    g_mutex_init(&rig->lock);
    g_cond_init(&rig->changed);
    for (unsigned i = 0; i < n; i++) {
        uint64_t second = kind == RIG_HUGETLB ? 1024 : SMALL_PAGES;

        if (!add_block(rig, kind, i ? second : npages, &error)) {
            g_test_skip(error->message);
            rig_free(rig);
            return NULL;
        }
    }
    rig->reach = rig->total_pages;
    rig->config = (RamFreezeConfig) {
        .blocks = rig->list.blocks, .list = &rig->list,
        .pool_bytes = 64 * rig->blocks[0]->mem->page_bytes,
        .detect_zero = true, .kernel = rig_kernel(),
    };
    if (!rig_can_freeze(rig)) {
        rig_free(rig);
        return NULL;
    }
    return rig;
}

bool rig_can_freeze(const Rig *rig)
{
    g_autoptr(GError) error = NULL;

    if (!ram_freeze_probe(rig->config.blocks, NULL, &error)) {
        g_test_skip(error->message);
        return false;
    }
    return true;
}

void rig_free(Rig *rig)
{
    __atomic_store_n(&rig->end, true, __ATOMIC_RELAXED);
    rig_resume(rig);
    for (guint i = 0; i < rig->threads->len; i++) {
        g_thread_join(g_ptr_array_index(rig->threads, i));
    }
    g_ptr_array_unref(rig->threads);
    ram_list_done(&rig->list);
    for (unsigned i = 0; i < rig->n_blocks; i++) {
        hostmem_free(rig->mem[i]);
    }
    g_assert_cmpuint(count_fds(), ==, rig->n_fds);
    g_mutex_clear(&rig->lock);
    g_cond_clear(&rig->changed);
    g_free(rig);
}

uint8_t *rig_page(const Rig *rig, uint64_t page, unsigned *ret_block)
{
    unsigned i = 0;

    while (page >= rig->blocks[i]->npages) {
        page -= rig->blocks[i++]->npages;
    }
    if (ret_block) {
        *ret_block = i;
    }
    return rig->blocks[i]->host + page * RIG_PAGE;
}

void rig_fill(Rig *rig, uint64_t n)
{
    for (uint64_t page = 0; page < n; page++) {
        uint32_t *words = (uint32_t *)rig_page(rig, page, NULL);

        for (unsigned i = 0; page % 3 && i < RIG_PAGE / 4; i += 16) {
            words[i] = g_test_rand_int();
        }
    }
}

/* ---- writers ------------------------------------------------------------- */

/* Beside the saver's copy, as a vCPU does; tests/tsan.supp knows the name. */
static void __attribute__((noinline)) store_uint64(uint64_t *at, uint64_t v)
{
    __atomic_store_n(at, v, __ATOMIC_RELAXED);
}

static void wait_while_paused(Rig *rig)
{
    g_mutex_lock(&rig->lock);
    rig->paused++;
    g_cond_broadcast(&rig->changed);
    while (__atomic_load_n(&rig->pause, __ATOMIC_RELAXED)) {
        g_cond_wait(&rig->changed, &rig->lock);
    }
    rig->paused--;
    g_mutex_unlock(&rig->lock);
}

typedef struct Writer {
    Rig *rig;
    uint64_t seed;
} Writer;

static gpointer writer(gpointer opaque)
{
    g_autofree Writer *w = opaque;
    uint64_t x = w->seed;
    Rig *rig = w->rig;

    while (!__atomic_load_n(&rig->end, __ATOMIC_RELAXED)) {
        uint64_t reach = __atomic_load_n(&rig->reach, __ATOMIC_RELAXED);
        uint8_t *page;

        if (__atomic_load_n(&rig->pause, __ATOMIC_ACQUIRE)) {
            wait_while_paused(rig);
            continue;
        }
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
        page = rig_page(rig, (x >> 33) % reach, NULL);
        store_uint64((uint64_t *)page + (x >> 24) % (RIG_PAGE / 8), x);
        __atomic_fetch_add(&rig->stores, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

void rig_start(Rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        Writer *w = g_new(Writer, 1);

        *w = (Writer) {
            .rig = rig,
            .seed = (uint64_t)g_test_rand_int() << 32 ^ g_test_rand_int(),
        };
        g_ptr_array_add(rig->threads, g_thread_new("writer", writer, w));
    }
}

void rig_pause(Rig *rig)
{
    g_mutex_lock(&rig->lock);
    __atomic_store_n(&rig->pause, true, __ATOMIC_RELEASE);
    while (rig->paused < rig->threads->len) {
        g_cond_wait(&rig->changed, &rig->lock);
    }
    g_mutex_unlock(&rig->lock);
}

void rig_resume(Rig *rig)
{
    g_mutex_lock(&rig->lock);
    __atomic_store_n(&rig->pause, false, __ATOMIC_RELEASE);
    g_cond_broadcast(&rig->changed);
    g_mutex_unlock(&rig->lock);
}

void rig_store(Rig *rig, uint64_t page, uint64_t value)
{
    store_uint64((uint64_t *)rig_page(rig, page, NULL), value);
}

uint64_t rig_load(const Rig *rig, uint64_t page)
{
    return __atomic_load_n((uint64_t *)rig_page(rig, page, NULL),
                           __ATOMIC_RELAXED);
}

struct RigStore {
    uint64_t *at;
    uint64_t value;
    MemoryMap *map;            /* NULL: at @at */
    uint64_t gpa;
    bool fill;
    bool done;                 /* atomic */
    GThread *thread;
};

static gpointer store_once(gpointer opaque)
{
    RigStore *store = opaque;

    if (!store->map) {
        store_uint64(store->at, store->value);
    } else if (store->fill) {
        guest_memset(store->map, store->gpa, 0x11, 16);
    } else {
        guest_write(store->map, store->gpa, &store->value, 8);
    }
    __atomic_store_n(&store->done, true, __ATOMIC_RELEASE);
    return NULL;
}

RigStore *rig_store_begin(Rig *rig, uint64_t page, uint64_t value)
{
    RigStore *store = g_new0(RigStore, 1);

    store->at = (uint64_t *)rig_page(rig, page, NULL);
    store->value = value;
    store->thread = g_thread_new("store", store_once, store);
    return store;
}

RigStore *rig_guest_begin(MemoryMap *map, uint64_t gpa, bool fill)
{
    RigStore *store = g_new0(RigStore, 1);

    *store = (RigStore) { .map = map, .gpa = gpa, .fill = fill, .value = 1 };
    store->thread = g_thread_new("store", store_once, store);
    return store;
}

bool rig_store_is_done(RigStore *store)
{
    return __atomic_load_n(&store->done, __ATOMIC_ACQUIRE);
}

void rig_store_end(RigStore *store)
{
    while (!rig_store_is_done(store)) {
        rig_wait_a_little();
    }
    g_thread_join(store->thread);
    g_free(store);
}

void rig_wait_a_little(void)
{
    static unsigned waited;

    g_assert_cmpuint(__atomic_fetch_add(&waited, 1, __ATOMIC_RELAXED), <,
                     WAIT_MAX);
    g_usleep(WAIT_US);
}

RamFreeze *rig_freeze(Rig *rig)
{
    g_autoptr(GError) error = NULL;
    RamFreeze *freeze = ram_freeze_new(&rig->config, &error);

    g_assert_no_error(error);
    g_assert_nonnull(freeze);
    g_assert_true(ram_freeze_arm(freeze, &error));
    g_assert_no_error(error);
    return freeze;
}

void rig_check_released(Rig *rig)
{
    for (uint64_t page = 0; page < rig->total_pages; page++) {
        rig_store(rig, page, page);
    }
    ram_freeze_free(rig_freeze(rig));
}

/* ---- the kernel ---------------------------------------------------------- */

RigFaults rig_faults;
GMutex rig_faults_lock;

static bool is_due_locked(int *countdown)
{
    return *countdown < 0 || (*countdown > 0 && --*countdown == 0);
}

static int note_call_locked(unsigned long request, bool protects)
{
    char letter = request == UFFDIO_UNREGISTER ? 'R' :
        request == UFFDIO_REGISTER ? 'r' : protects ? 'p' : 'u';
    size_t n = strlen(rig_faults.order);

    if (request == UFFDIO_API) {
        return 0;
    }
    if (n < sizeof(rig_faults.order) - 1) {
        rig_faults.order[n] = letter;
    }
    return letter == 'p' && is_due_locked(&rig_faults.fail_protect_at) ?
            -ENOMEM :
        letter == 'u' && is_due_locked(&rig_faults.fail_unprotect_at) ?
            -ENOENT :
        letter == 'r' && is_due_locked(&rig_faults.fail_register_at) ?
            -EBUSY : 0;
}

char *rig_order(void)
{
    char *order;

    g_mutex_lock(&rig_faults_lock);
    order = g_strdup(rig_faults.order);
    g_mutex_unlock(&rig_faults_lock);
    return order;
}

static void call_hook(const RigFaults *faults, unsigned long request,
                      const void *arg)
{
    const struct uffdio_writeprotect *wp = arg; /* begins with the range */
    void (*hook)(uint64_t start, uint64_t bytes, void *opaque) =
        request == UFFDIO_UNREGISTER ? faults->on_unregister :
        request != UFFDIO_WRITEPROTECT ? NULL :
        wp->mode ? faults->on_protect : faults->on_unprotect;

    if (hook) {
        hook(wp->range.start, wp->range.len, faults->opaque);
    }
}

void rig_wait_for_fault(void)
{
    struct pollfd pfd = { .fd = rig_faults.fd, .events = POLLIN };

    g_assert_cmpint(poll(&pfd, 1, 120000), ==, 1);
}

static int rig_call(int fd, unsigned long request, void *arg)
{
    struct uffdio_writeprotect *wp = arg;
    RigFaults faults;
    int err;

    g_mutex_lock(&rig_faults_lock);
    rig_faults.fd = fd;
    err = note_call_locked(request, request == UFFDIO_WRITEPROTECT &&
                           wp->mode);
    faults = rig_faults;
    g_mutex_unlock(&rig_faults_lock);
    if (!err) {
        err = uffd_kernel_real()->call(fd, request, arg);
    }
    if (request == UFFDIO_API) {
        ((struct uffdio_api *)arg)->features &= ~faults.hide;
    }
    if (!err) {
        call_hook(&faults, request, arg);
    }
    return err;
}

static int rig_open_device(void)
{
    return uffd_kernel_real()->open_device();
}

static int rig_open_syscall(void)
{
    return uffd_kernel_real()->open_syscall();
}

static unsigned rig_release(void)
{
    return rig_faults.release ? rig_faults.release : uffd_release(NULL);
}

const UffdKernel *rig_kernel(void)
{
    static const UffdKernel kernel = {
        .release = rig_release,
        .open_device = rig_open_device,
        .open_syscall = rig_open_syscall,
        .call = rig_call,
    };

    return &kernel;
}
