/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty ring of the real kernel, driven by hand: a guest that writes more
 * pages than the ring holds leaves with the ring full, and goes on after what
 * it holds has been harvested and reset. Every page written is named, and a
 * copy made from nothing but those names, each page read after the reset that
 * covers it, is the memory in the end.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "raw-guest.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define NPAGES UINT64_C(4096)
#define BYTES (NPAGES * PAGE)
#define GPA UINT64_C(0x1000000)
#define MEMORY_SLOT 3
#define CODE_SLOT 7
#define ENTRIES 1024              /* enough for CPUs with page-modification
                                     logging, which reserve 576 */
#define RING_BYTES (ENTRIES * sizeof(struct kvm_dirty_gfn))
#define PASSES 4
#define MAX_VCPUS 2
#define HARVESTED KVM_DIRTY_GFN_F_RESET

/* mov [rdi],rsi; add rdi,4096; cmp rdi,rbx; jb; out; again from rdx */
static const uint8_t writer[] = {
    0x48, 0x89, 0x37, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00,
    0x48, 0x39, 0xdf, 0x72, 0xf1, 0xe6, RAW_PORT,
    0x48, 0x89, 0xd7, 0x48, 0xff, 0xc6, 0xeb, 0xe7,
};

typedef struct Ring {
    KvmIo io;
    RawGuest *g;
    uint8_t *memory, *copy;
    unsigned n_vcpus;
    RawVcpu *v[MAX_VCPUS];
    struct kvm_dirty_gfn *entries[MAX_VCPUS];
    uint32_t next[MAX_VCPUS];     /* the entry to harvest next; runs free */
    uint64_t seen[NPAGES / 64];   /* pages named in this pass */
    uint64_t pending[NPAGES / 64];/* harvested, not yet reset and copied */
    unsigned full_exits;
} Ring;

static void set_slot(Ring *r, uint32_t flags)
{
    struct kvm_userspace_memory_region s = {
        .slot = MEMORY_SLOT, .flags = flags, .guest_phys_addr = GPA,
        .memory_size = BYTES, .userspace_addr = (uintptr_t)r->memory,
    };

    g_assert_cmpint(kvm_vm(&r->io, KVM_SET_USER_MEMORY_REGION, &s), ==, 0);
}

static bool ring_open(Ring *r)
{
    struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING,
                                  .args = { RING_BYTES } };
    g_autoptr(GError) error = NULL;
    KvmCaps caps;

    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return false;
    }
    memset(r, 0, sizeof(*r));
    r->io = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1,
                      .vm_fd = -1 };
    kvm_vm_open(&r->io, &caps, &error);
    g_assert_no_error(error);
    if (kvm_vm(&r->io, KVM_CHECK_EXTENSION,
               KVM_ARG(KVM_CAP_DIRTY_LOG_RING)) < (int)RING_BYTES) {
        g_test_skip("KVM without dirty rings");
        r->io.ops->close(&r->io);
        return false;
    }
    g_assert_cmpint(kvm_vm(&r->io, KVM_ENABLE_CAP, &cap), ==, 0);
    r->memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(r->memory != MAP_FAILED);
    r->copy = g_malloc0(BYTES);
    set_slot(r, KVM_MEM_LOG_DIRTY_PAGES);
    r->g = raw_guest_new(&r->io, CODE_SLOT);
    raw_guest_map(r->g, GPA, BYTES);
    return true;
}

static void add_vcpu(Ring *r, unsigned cpl, const uint8_t *code, size_t len,
                     const struct kvm_regs *regs)
{
    unsigned i = r->n_vcpus++;

    r->v[i] = raw_vcpu_new(r->g, i, cpl, code, len, regs);
    r->entries[i] = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                         r->v[i]->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
    g_assert_true(r->entries[i] != MAP_FAILED);
}

/* A vCPU that stores into [@first, @end) of the pages in passes. */
static void add_writer(Ring *r, unsigned cpl, uint64_t first, uint64_t end)
{
    const struct kvm_regs regs = {
        .rdi = GPA + first * PAGE, .rdx = GPA + first * PAGE,
        .rbx = GPA + end * PAGE, .rsi = 1,
    };

    add_vcpu(r, cpl, writer, sizeof(writer), &regs);
}

static void ring_close(Ring *r)
{
    for (unsigned i = 0; i < r->n_vcpus; i++) {
        munmap(r->entries[i], RING_BYTES);
        raw_vcpu_free(r->v[i]);
    }
    raw_guest_free(r->g);
    r->io.ops->close(&r->io);
    munmap(r->memory, BYTES);
    g_free(r->copy);
}

/* ---- harvest and reset --------------------------------------------------- */

/* Up to @max entries of vCPU @i. Returns: how many there were. */
static unsigned harvest(Ring *r, unsigned i, unsigned max)
{
    unsigned n = 0;

    for (; n < max; n++, r->next[i]++) {
        struct kvm_dirty_gfn *e = &r->entries[i][r->next[i] % ENTRIES];

        /* Pairs with the kernel's release of an entry it has filled. */
        if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) !=
            KVM_DIRTY_GFN_F_DIRTY) {
            break;
        }
        g_assert_cmpuint(e->slot, ==, MEMORY_SLOT);
        g_assert_cmpuint(e->offset, <, NPAGES);
        bitmap_set_bit(r->seen, e->offset);
        bitmap_set_bit(r->pending, e->offset);
        /* Pairs with the kernel's acquire when it resets. */
        __atomic_store_n(&e->flags, HARVESTED, __ATOMIC_RELEASE);
    }
    return n;
}

/* A reset may return before it has seen all, never more. */
static void reset(Ring *r, unsigned harvested)
{
    while (harvested) {
        int n = kvm_vm(&r->io, KVM_RESET_DIRTY_RINGS, NULL);

        g_assert_cmpint(n, >, 0);
        g_assert_cmpuint(n, <=, harvested);
        harvested -= n;
    }
    g_assert_cmpint(kvm_vm(&r->io, KVM_RESET_DIRTY_RINGS, NULL), ==, 0);
}

static unsigned collect(Ring *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->n_vcpus; i++) {
        n += harvest(r, i, ENTRIES);
    }
    reset(r, n);
    for (uint64_t page = 0; page < NPAGES; page++) {
        if (bitmap_test_bit(r->pending, page)) {
            memcpy(r->copy + page * PAGE, r->memory + page * PAGE, PAGE);
        }
    }
    memset(r->pending, 0, sizeof(r->pending));
    return n;
}

/* ---- the ring is full ---------------------------------------------------- */

/* Where code at CPL 0 runs in the kernel's emulator, each store makes an
 * entry, and the ring may run over before the guest leaves. */
static bool stores_are_emulated(Ring *r)
{
    const struct kvm_regs none = { 0 };
    bool emulated;

    add_vcpu(r, 0, raw_store_code, raw_store_code_bytes, &none);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(raw_vcpu_store(r->v[0], GPA, i + 1));
    }
    emulated = collect(r) > 1;
    munmap(r->entries[0], RING_BYTES);
    raw_vcpu_free(r->v[0]);
    r->n_vcpus = 0;
    return emulated;
}

static bool can_fill_at(unsigned cpl)
{
    bool can;
    Ring r;

    if (cpl) {
        return true;
    }
    if (!ring_open(&r)) {
        return false;
    }
    can = !stores_are_emulated(&r);
    ring_close(&r);
    if (!can) {
        g_test_skip("KVM emulates guest code at CPL 0");
    }
    return can;
}

/* Until vCPU @i has come to the end of its pass. */
static void run_pass(Ring *r, unsigned i)
{
    int reason;

    while ((reason = raw_vcpu_run(r->v[i])) != KVM_EXIT_IO) {
        unsigned n;

        g_assert_cmpint(reason, ==, KVM_EXIT_DIRTY_RING_FULL);
        r->full_exits++;
        n = collect(r);
        /* Not before the reserve is touched, nor after it is used up. */
        g_assert_cmpuint(n, >=, ENTRIES / 4);
        g_assert_cmpuint(n, <, ENTRIES);
    }
    collect(r);
}

static void check_copy(Ring *r)
{
    for (uint64_t page = 0; page < NPAGES; page++) {
        g_assert_cmpmem(r->copy + page * PAGE, PAGE,
                        r->memory + page * PAGE, PAGE);
    }
}

static void test_full_exit_loses_nothing(gconstpointer cpl)
{
    Ring r;

    if (!can_fill_at(GPOINTER_TO_UINT(cpl)) || !ring_open(&r)) {
        return;
    }
    add_writer(&r, GPOINTER_TO_UINT(cpl), 0, NPAGES);
    for (unsigned pass = 1; pass <= PASSES; pass++) {
        memset(r.seen, 0, sizeof(r.seen));
        run_pass(&r, 0);
        g_assert_cmpuint(bitmap_count(r.seen, 0, NPAGES), ==, NPAGES);
        g_assert_cmpuint(*(uint64_t *)(r.memory + BYTES - PAGE), ==, pass);
        check_copy(&r);
    }
    g_test_message("full %u times in %u passes", r.full_exits, PASSES);
    g_assert_cmpuint(r.full_exits, >=, PASSES * (NPAGES / ENTRIES));
    ring_close(&r);
}

/* One vCPU after the other, each with half of the pages and its own ring. */
static void test_full_two_vcpus(void)
{
    Ring r;

    if (!ring_open(&r)) {
        return;
    }
    add_writer(&r, 3, 0, NPAGES / 2);
    add_writer(&r, 3, NPAGES / 2, NPAGES);
    for (unsigned pass = 1; pass <= PASSES; pass++) {
        memset(r.seen, 0, sizeof(r.seen));
        run_pass(&r, pass & 1);
        run_pass(&r, !(pass & 1));
        g_assert_cmpuint(bitmap_count(r.seen, 0, NPAGES), ==, NPAGES);
        check_copy(&r);
    }
    g_assert_cmpuint(r.full_exits, >=, 2);
    ring_close(&r);
}

static uint64_t rdi(Ring *r)
{
    struct kvm_regs regs;

    g_assert_cmpint(kvm_vcpu(&r->io, r->v[0]->fd, KVM_GET_REGS, &regs), ==,
                    0);
    return regs.rdi;
}

/* What makes room is the reset; a harvest alone does not. */
static void test_full_until_reset(void)
{
    uint64_t at;
    unsigned n;
    Ring r;

    if (!ring_open(&r)) {
        return;
    }
    add_writer(&r, 3, 0, NPAGES);
    g_assert_cmpint(raw_vcpu_run(r.v[0]), ==, KVM_EXIT_DIRTY_RING_FULL);
    at = rdi(&r);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpint(raw_vcpu_run(r.v[0]), ==, KVM_EXIT_DIRTY_RING_FULL);
        g_assert_cmphex(rdi(&r), ==, at);
    }
    n = harvest(&r, 0, ENTRIES);
    g_assert_cmpint(raw_vcpu_run(r.v[0]), ==, KVM_EXIT_DIRTY_RING_FULL);
    g_assert_cmphex(rdi(&r), ==, at);
    reset(&r, n);
    run_pass(&r, 0);
    g_assert_cmphex(rdi(&r), >, at);
    g_assert_cmpuint(bitmap_count(r.seen, 0, NPAGES), ==, NPAGES);
    ring_close(&r);
}

/* ---- while the guest runs ------------------------------------------------ */

#define LIVE_PAGES 512
#define LIVE_ROUNDS 10

typedef struct Live {
    Ring *r;
    int done;                     /* atomic */
} Live;

/* A few passes over pages that fit into the ring. */
static gpointer live_writer(gpointer opaque)
{
    Live *live = opaque;

    for (unsigned pass = 0; pass < PASSES; pass++) {
        int reason;

        do {
            reason = raw_vcpu_run(live->r->v[0]);
        } while (reason == KVM_EXIT_DIRTY_RING_FULL);
        g_assert_cmpint(reason, ==, KVM_EXIT_IO);
    }
    __atomic_store_n(&live->done, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* The collector and the guest race for every page; when the guest has stopped
 * and one more round is done, the copy is the memory. */
static void test_live_loses_nothing(void)
{
    unsigned collected = 0;
    Ring r;

    if (!ring_open(&r)) {
        return;
    }
    add_writer(&r, 3, 0, LIVE_PAGES);
    for (unsigned round = 0; round < LIVE_ROUNDS; round++) {
        Live live = { &r };
        GThread *writer_thread = g_thread_new("writer", live_writer, &live);

        while (!__atomic_load_n(&live.done, __ATOMIC_ACQUIRE)) {
            collected += collect(&r);
        }
        g_thread_join(writer_thread);
        collected += collect(&r);
        check_copy(&r);
    }
    g_test_message("%u entries", collected);
    g_assert_cmpuint(collected, >=, LIVE_PAGES);
    ring_close(&r);
}

/* ---- rules --------------------------------------------------------------- */

static void store_pages(Ring *r, uint64_t first, uint64_t n, uint64_t value)
{
    for (uint64_t page = first; page < first + n; page++) {
        g_assert_true(raw_vcpu_store(r->v[0], GPA + page * PAGE, value));
    }
}

/* The kernel goes on in order and stops at what has not been harvested. */
static void test_reset_takes_what_is_harvested(void)
{
    const struct kvm_regs none = { 0 };
    struct kvm_dirty_gfn *third;
    Ring r;

    if (!ring_open(&r)) {
        return;
    }
    add_vcpu(&r, 3, raw_store_code, raw_store_code_bytes, &none);
    store_pages(&r, 0, 10, 1);
    g_assert_cmpint(kvm_vm(&r.io, KVM_RESET_DIRTY_RINGS, NULL), ==, 0);
    g_assert_cmpuint(harvest(&r, 0, 2), ==, 2);
    third = &r.entries[0][3];
    __atomic_store_n(&third->flags, HARVESTED, __ATOMIC_RELEASE);
    reset(&r, 2);
    __atomic_store_n(&third->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
    g_assert_cmpuint(harvest(&r, 0, ENTRIES), ==, 8);
    reset(&r, 8);
    g_assert_cmpuint(bitmap_count(r.seen, 0, NPAGES), ==, 10);
    ring_close(&r);
}

/* A page is named again after the reset that covers it, and not before. */
static void test_reset_rearms(void)
{
    const struct kvm_regs none = { 0 };
    Ring r;

    if (!ring_open(&r)) {
        return;
    }
    add_vcpu(&r, 3, raw_store_code, raw_store_code_bytes, &none);
    for (uint64_t round = 1; round <= 8; round++) {
        store_pages(&r, 60, 70, round);
        store_pages(&r, 60, 70, round + 100);
        g_assert_cmpuint(harvest(&r, 0, ENTRIES), ==, 70);
        store_pages(&r, 60, 70, round + 200);
        g_assert_cmpuint(harvest(&r, 0, ENTRIES), ==, 0);
        reset(&r, 70);
    }
    g_assert_cmpuint(bitmap_count(r.seen, 60, 70), ==, 70);
    g_assert_cmpuint(bitmap_count(r.seen, 0, NPAGES), ==, 70);
    ring_close(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/kvm-ring/full/loses-nothing/cpl0",
                         GUINT_TO_POINTER(0), test_full_exit_loses_nothing);
    g_test_add_data_func("/kvm-ring/full/loses-nothing/cpl3",
                         GUINT_TO_POINTER(3), test_full_exit_loses_nothing);
    g_test_add_func("/kvm-ring/full/two-vcpus", test_full_two_vcpus);
    g_test_add_func("/kvm-ring/full/until-reset", test_full_until_reset);
    g_test_add_func("/kvm-ring/live/loses-nothing", test_live_loses_nothing);
    g_test_add_func("/kvm-ring/reset/takes-what-is-harvested",
                    test_reset_takes_what_is_harvested);
    g_test_add_func("/kvm-ring/reset/rearms", test_reset_rearms);
    return g_test_run();
}
