/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See freeze-rig.h.
 */
#include "freeze-rig.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

Rig *rig_new(RigKind kind, unsigned n, uint64_t npages)
{
    Rig *rig = g_new0(Rig, 1);
    g_autoptr(GError) error = NULL;

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

static gpointer writer(gpointer opaque)
{
    Rig *rig = opaque;
    uint64_t x = (uintptr_t)g_thread_self();

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
        g_ptr_array_add(rig->threads, g_thread_new("writer", writer, rig));
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

struct RigStore {
    uint64_t *at;
    uint64_t value;
    bool done;                 /* atomic */
    GThread *thread;
};

static gpointer store_once(gpointer opaque)
{
    RigStore *store = opaque;

    store_uint64(store->at, store->value);
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

bool rig_store_is_done(RigStore *store)
{
    return __atomic_load_n(&store->done, __ATOMIC_ACQUIRE);
}

void rig_store_end(RigStore *store)
{
    g_thread_join(store->thread);
    g_free(store);
}

void rig_wait_a_little(void)
{
    static unsigned waited;

    g_assert_cmpuint(waited++, <, WAIT_MAX);
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

/* ---- the kernel ---------------------------------------------------------- */

RigFaults rig_faults;

static bool is_due(int *countdown)
{
    return *countdown > 0 && --*countdown == 0;
}

static int before_call(unsigned long request, bool protects)
{
    char letter = request == UFFDIO_UNREGISTER ? 'R' :
        request == UFFDIO_REGISTER ? 'r' : protects ? 'p' : 'u';

    if (request == UFFDIO_API) {
        return 0;
    }
    if (rig_faults.order) {
        g_string_append_c(rig_faults.order, letter);
    }
    return letter == 'p' && is_due(&rig_faults.fail_protect_at) ? -ENOMEM :
        letter == 'u' && is_due(&rig_faults.fail_unprotect_at) ? -ENOENT :
        letter == 'r' && is_due(&rig_faults.fail_register_at) ? -EBUSY : 0;
}

static int rig_call(int fd, unsigned long request, void *arg)
{
    struct uffdio_writeprotect *wp = arg;
    bool is_wp = request == UFFDIO_WRITEPROTECT;
    int err = before_call(request, is_wp && wp->mode);

    rig_faults.fd = fd;
    if (err) {
        return err;
    }
    err = uffd_kernel_real()->call(fd, request, arg);
    if (request == UFFDIO_API) {
        ((struct uffdio_api *)arg)->features &= ~rig_faults.hide;
    }
    if (is_wp && !wp->mode && !err && rig_faults.on_unprotect) {
        rig_faults.on_unprotect(wp->range.start, wp->range.len,
                                rig_faults.opaque);
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

const UffdKernel *rig_kernel(void)
{
    static const UffdKernel kernel = {
        .open_device = rig_open_device,
        .open_syscall = rig_open_syscall,
        .call = rig_call,
    };

    return &kernel;
}
