/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty rings of the kernel model: what it must do, and that it goes
 * wrong when told to. That it is like the real kernel is for the conformance
 * list to say.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm-model.h"
#include "ring-reader.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define NPAGES 2000
#define GPA UINT64_C(0x1000000)
#define LOG KVM_MEM_LOG_DIRTY_PAGES
#define ENTRIES 256
#define LIMIT (ENTRIES - KVM_MODEL_RING_RESERVED)
#define SLOT 3
#define VCPUS 2

typedef struct Vm {
    KvmModel *m;
    uint8_t *host;
    int fds[VCPUS];
    RingReader rings[VCPUS];
} Vm;

static int enable(KvmModel *m, uint32_t cap, uint64_t arg)
{
    struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

    return kvm_vm(&m->io, KVM_ENABLE_CAP, &c);
}

static int set_slot(Vm *vm, uint32_t id, uint64_t npages, uint32_t flags)
{
    struct kvm_userspace_memory_region r = {
        .slot = id, .flags = flags, .guest_phys_addr = GPA,
        .memory_size = npages * PAGE, .userspace_addr = (uintptr_t)vm->host,
    };

    return kvm_vm(&vm->m->io, KVM_SET_USER_MEMORY_REGION, &r);
}

static void add_vcpu(Vm *vm, unsigned i, uint32_t entries)
{
    vm->fds[i] = kvm_vm(&vm->m->io, KVM_CREATE_VCPU, KVM_ARG(i));
    g_assert_cmpint(vm->fds[i], >=, 0);
    ring_reader_init(&vm->rings[i], &vm->m->io, vm->fds[i], entries);
}

/* What a test may want of the kernel before it is used. */
typedef struct Kind {
    uint32_t entries;    /* 0: ENTRIES */
    bool pml;
    bool initially_set;
    bool bitmap;
    uint32_t address_spaces;  /* 0: one */
    uint32_t lap;
} Kind;

static void vm_init(Vm *vm, Kind kind)
{
    uint32_t entries = kind.entries ? kind.entries : ENTRIES;

    vm->m = kvm_model_new(3);
    vm->m->offer_ring = true;
    vm->m->offer_ring_bitmap = kind.bitmap;
    vm->m->address_spaces = MAX(kind.address_spaces, 1);
    vm->m->pml = kind.pml;
    vm->m->ring_lap = kind.lap;
    g_assert_cmpint(enable(vm->m, KVM_CAP_DIRTY_LOG_RING,
                           entries * sizeof(struct kvm_dirty_gfn)), ==, 0);
    if (kind.bitmap) {
        g_assert_cmpint(enable(vm->m, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 0),
                        ==, 0);
    }
    if (kind.initially_set) {
        g_assert_cmpint(enable(vm->m, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3),
                        ==, 0);
    }
    vm->host = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(vm->host != MAP_FAILED);
    g_assert_cmpint(set_slot(vm, SLOT, NPAGES, LOG), ==, 0);
    for (unsigned i = 0; i < VCPUS; i++) {
        add_vcpu(vm, i, entries);
    }
}

static void vm_done(Vm *vm)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        ring_reader_done(&vm->rings[i]);
        close(vm->fds[i]);
    }
    munmap(vm->host, NPAGES * PAGE);
    kvm_model_free(vm->m);
}

static KvmModelStore store(Vm *vm, unsigned vcpu, uint64_t page,
                           uint64_t value)
{
    return kvm_model_vcpu_try(vm->m, vcpu, GPA + page * PAGE, value);
}

static void store_pages(Vm *vm, unsigned vcpu, uint64_t first, uint64_t n,
                        uint64_t value)
{
    for (uint64_t page = first; page < first + n; page++) {
        g_assert_cmpint(store(vm, vcpu, page, value), ==, KVM_MODEL_STORED);
    }
}

static int reset(Vm *vm)
{
    return kvm_vm(&vm->m->io, KVM_RESET_DIRTY_RINGS, NULL);
}

/* The next entry of @vcpu is that page. */
static void check_next(Vm *vm, unsigned vcpu, uint32_t slot, uint64_t page)
{
    struct kvm_dirty_gfn e;

    g_assert_true(ring_reader_take(&vm->rings[vcpu], &e));
    g_assert_cmphex(e.slot, ==, slot);
    g_assert_cmpuint(e.offset, ==, page);
}

static void check_empty(Vm *vm, unsigned vcpu)
{
    struct kvm_dirty_gfn e;

    g_assert_false(ring_reader_take(&vm->rings[vcpu], &e));
}

static uint32_t skip_all(Vm *vm, unsigned vcpu)
{
    return ring_reader_skip(&vm->rings[vcpu], UINT32_MAX);
}

static uint64_t page_value(Vm *vm, uint64_t page)
{
    return *(uint64_t *)(vm->host + page * PAGE);
}

/* ---- enabling ------------------------------------------------------------ */

static void test_enable_offers(void)
{
    KvmModel *m = kvm_model_new(3);
    const struct { uint32_t cap; bool *offer; int value; } caps[] = {
        { KVM_CAP_DIRTY_LOG_RING, &m->offer_ring, KVM_MODEL_RING_BYTES },
        { KVM_CAP_DIRTY_LOG_RING_ACQ_REL, &m->offer_ring_acq_rel,
          KVM_MODEL_RING_BYTES },
        { KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, &m->offer_ring_bitmap, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(caps); i++) {
        void *cap = KVM_ARG(caps[i].cap);

        g_assert_cmpint(kvm_vm(&m->io, KVM_CHECK_EXTENSION, cap), ==, 0);
        g_assert_cmpint(enable(m, caps[i].cap, 4096), ==, -EINVAL);
        *caps[i].offer = true;
        g_assert_cmpint(kvm_vm(&m->io, KVM_CHECK_EXTENSION, cap), ==,
                        caps[i].value);
    }
    /* The bitmap comes after the ring and before slots. */
    g_assert_cmpint(enable(m, caps[2].cap, 0), ==, -EINVAL);
    g_assert_cmpint(enable(m, caps[1].cap, 4096), ==, 0);
    g_assert_cmpint(enable(m, caps[0].cap, 4096), ==, -EINVAL);
    g_assert_cmpint(enable(m, caps[2].cap, 0), ==, 0);
    kvm_model_free(m);
}

/* A hardware buffer needs room above the limit, so rings are larger. */
static void test_enable_reserves(void)
{
    KvmModel *m = kvm_model_new(3);

    m->offer_ring = true;
    m->pml = true;
    g_assert_cmpint(enable(m, KVM_CAP_DIRTY_LOG_RING, 4096), ==, -EINVAL);
    g_assert_cmpint(enable(m, KVM_CAP_DIRTY_LOG_RING, 8192), ==, -EINVAL);
    g_assert_cmpint(enable(m, KVM_CAP_DIRTY_LOG_RING, 16384), ==, 0);
    kvm_model_free(m);
}

static void test_enable_before_vcpus(void)
{
    KvmModel *m = kvm_model_new(3);
    void *page;
    int fd;

    m->offer_ring = true;
    g_assert_cmpint(kvm_vm(&m->io, KVM_RESET_DIRTY_RINGS, NULL), ==, -EINVAL);
    fd = kvm_vm(&m->io, KVM_CREATE_VCPU, KVM_ARG(7));
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(kvm_vm(&m->io, KVM_CREATE_VCPU, KVM_ARG(7)), ==, -EEXIST);
    g_assert_cmpint(kvm_vm(&m->io, KVM_CREATE_VCPU,
                           KVM_ARG(KVM_MODEL_VCPUS)), ==, -EINVAL);
    g_assert_cmpint(enable(m, KVM_CAP_DIRTY_LOG_RING, 4096), ==, -EINVAL);
    page = m->io.ops->mmap(&m->io, fd, 0, PAGE);
    g_assert_nonnull(page);
    munmap(page, PAGE);
    close(fd);
    kvm_model_free(m);
}

/* ---- pushing ------------------------------------------------------------- */

static void test_push_names_pages_in_order(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 70, 3, 1);
    store_pages(&vm, 1, 5, 1, 2);
    store_pages(&vm, 0, 69, 3, 3); /* of which two are writable */
    store_pages(&vm, 1, 72, 1, 4); /* by another vCPU's fault, too */
    for (uint64_t page = 70; page < 73; page++) {
        check_next(&vm, 0, SLOT, page);
    }
    check_next(&vm, 0, SLOT, 69);
    check_empty(&vm, 0);
    check_next(&vm, 1, SLOT, 5);
    check_empty(&vm, 1);
    g_assert_cmpuint(page_value(&vm, 72), ==, 4);
    g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, 4);
    g_assert_cmpint(reset(&vm), ==, 5);
    g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, 0);
    vm_done(&vm);
}

/* The high half of the slot is the address space that the vCPU is in. */
static void test_push_names_the_address_space(void)
{
    const uint32_t id = 1 << 16 | SLOT;
    Vm vm;

    vm_init(&vm, (Kind) { .address_spaces = 2 });
    g_assert_cmpint(set_slot(&vm, id, NPAGES, LOG), ==, 0);
    vm.m->vcpus[1].as_id = 1;
    store_pages(&vm, 0, 7, 1, 1);
    store_pages(&vm, 1, 7, 1, 2);
    check_next(&vm, 0, SLOT, 7);
    check_next(&vm, 1, id, 7);
    g_assert_cmpint(reset(&vm), ==, 2);
    store_pages(&vm, 1, 7, 1, 3);
    check_empty(&vm, 0);
    check_next(&vm, 1, id, 7);
    vm_done(&vm);
}

static void test_push_follows_the_flag(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 0, 2, 1);
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, 0), ==, 0);
    store_pages(&vm, 0, 0, 10, 2);
    g_assert_cmpuint(skip_all(&vm, 0), ==, 2);
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, LOG), ==, 0);
    store_pages(&vm, 0, 0, 10, 3);
    g_assert_cmpuint(skip_all(&vm, 0), ==, 10);
    g_assert_cmpint(reset(&vm), ==, 12);
    vm_done(&vm);
}

/* Accepted, and all that was writable before stays so, without a trace. */
static void test_push_with_initially_set_loses(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { .initially_set = true });
    vm.m->unchecked = true;
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, 0), ==, 0);
    store_pages(&vm, 0, 0, 100, 1);
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, LOG), ==, 0);
    store_pages(&vm, 0, 0, 100, 2);
    check_empty(&vm, 0);
    g_assert_nonnull(kvm_model_broken(vm.m));
    vm_done(&vm);
}

static void test_push_without_a_vcpu(void)
{
    uint64_t words[NPAGES / 64 + 1] = { 0 };
    struct kvm_dirty_log log = { .slot = SLOT, .dirty_bitmap = words };
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    kvm_model_kernel_write(vm.m, GPA + 7 * PAGE, 1);
    check_empty(&vm, 0);
    g_assert_cmpint(kvm_vm(&vm.m->io, KVM_GET_DIRTY_LOG, &log), ==, -ENXIO);
    vm_done(&vm);
    vm_init(&vm, (Kind) { .bitmap = true });
    kvm_model_kernel_write(vm.m, GPA + 7 * PAGE, 1);
    store_pages(&vm, 0, 8, 1, 1);
    g_assert_cmpint(kvm_vm(&vm.m->io, KVM_GET_DIRTY_LOG, &log), ==, 0);
    g_assert_cmphex(words[0], ==, 1 << 7);
    g_assert_cmpuint(page_value(&vm, 7), ==, 1);
    check_next(&vm, 0, SLOT, 8);
    vm_done(&vm);
}

/* ---- the limit ----------------------------------------------------------- */

static void test_full_until_reset(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 0, LIMIT - 1, 1);
    g_assert_cmpint(kvm_model_vcpu_enter(vm.m, 0), ==, 0);
    /* The entry that fills it is of a store that has not been made. */
    g_assert_cmpint(store(&vm, 0, 1000, 1), ==, KVM_MODEL_FULL);
    g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, LIMIT);
    g_assert_cmpuint(page_value(&vm, 1000), ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(store(&vm, 0, 0, 2), ==, KVM_MODEL_FULL);
        g_assert_cmpint(kvm_model_vcpu_enter(vm.m, 0), ==,
                        KVM_EXIT_DIRTY_RING_FULL);
    }
    g_assert_cmpuint(vm.m->vcpus[0].full_exits, ==, 7);
    g_assert_cmpint(kvm_model_vcpu_enter(vm.m, 1), ==, 0);
    /* A harvest makes no room, a reset of one entry does. */
    g_assert_cmpuint(ring_reader_skip(&vm.rings[0], 1), ==, 1);
    g_assert_cmpint(store(&vm, 0, 0, 2), ==, KVM_MODEL_FULL);
    g_assert_cmpint(reset(&vm), ==, 1);
    g_assert_cmpint(store(&vm, 0, 1000, 2), ==, KVM_MODEL_STORED);
    g_assert_cmpuint(page_value(&vm, 1000), ==, 2);
    vm_done(&vm);
}

static int guest_of_one_store(void *opaque, unsigned vcpu)
{
    Vm *vm = opaque;

    g_assert_cmpuint(vcpu, ==, 1);
    return store(vm, vcpu, 9, 9) == KVM_MODEL_STORED ? KVM_EXIT_HLT : -EFAULT;
}

static void test_full_leaves_run(void)
{
    struct kvm_run *run;
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->guest = guest_of_one_store;
    vm.m->opaque = &vm;
    run = vm.m->io.ops->mmap(&vm.m->io, vm.fds[1], 0, PAGE);
    run->immediate_exit = 1;
    g_assert_cmpint(kvm_vcpu(&vm.m->io, vm.fds[1], KVM_RUN, NULL), ==, -EINTR);
    check_empty(&vm, 1);
    run->immediate_exit = 0;
    g_assert_cmpint(kvm_vcpu(&vm.m->io, vm.fds[1], KVM_RUN, NULL), ==, 0);
    g_assert_cmpuint(run->exit_reason, ==, KVM_EXIT_HLT);
    check_next(&vm, 1, SLOT, 9);
    store_pages(&vm, 1, 100, LIMIT - 2, 1);
    g_assert_cmpint(store(&vm, 1, 8, 1), ==, KVM_MODEL_FULL);
    g_assert_cmpint(kvm_vcpu(&vm.m->io, vm.fds[1], KVM_RUN, NULL), ==, 0);
    g_assert_cmpuint(run->exit_reason, ==, KVM_EXIT_DIRTY_RING_FULL);
    munmap(run, PAGE);
    vm_done(&vm);
}

/* ---- the reset ----------------------------------------------------------- */

static void test_reset_stops_at_unharvested(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 0, 10, 1);
    store_pages(&vm, 1, 20, 10, 1);
    g_assert_cmpint(reset(&vm), ==, 0);
    ring_reader_skip(&vm.rings[0], 2);
    vm.rings[0].entries[3].flags = KVM_DIRTY_GFN_F_RESET;
    ring_reader_skip(&vm.rings[1], 5);
    g_assert_cmpint(reset(&vm), ==, 7);
    g_assert_cmpint(reset(&vm), ==, 0);
    vm.rings[0].entries[2].flags = KVM_DIRTY_GFN_F_MASK;
    g_assert_cmpint(reset(&vm), ==, 2);
    vm_done(&vm);
}

/* A kernel that protects but the lowest page of each mask shows how entries
 * go together: the other pages are not named again. */
static void check_masks(const int *pages, const int *lowest)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->bug = KVM_MODEL_BUG_RESET_FIRST_ONLY;
    for (unsigned i = 0; pages[i] >= 0; i++) {
        store_pages(&vm, 0, pages[i], 1, 1);
    }
    skip_all(&vm, 0);
    reset(&vm);
    for (unsigned i = 0; pages[i] >= 0; i++) {
        store_pages(&vm, 0, pages[i], 1, 2);
    }
    for (unsigned i = 0; lowest[i] >= 0; i++) {
        check_next(&vm, 0, SLOT, lowest[i]);
    }
    check_empty(&vm, 0);
    vm_done(&vm);
}
#define PAGES(...) ((const int[]) { __VA_ARGS__, -1 })

static void test_reset_coalesces(void)
{
    check_masks(PAGES(100, 101, 163), PAGES(100));
    check_masks(PAGES(100, 164), PAGES(100, 164));
    check_masks(PAGES(163, 101, 100), PAGES(100));
    check_masks(PAGES(164, 100), PAGES(164, 100));
    check_masks(PAGES(150, 100, 163, 164, 99), PAGES(100, 164, 99));
    check_masks(PAGES(63, 64, 500, 65), PAGES(63, 500, 65));
    check_masks(PAGES(1999, 1936), PAGES(1936));
}

static void test_reset_rearms_every_page(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { .entries = 4096 });
    for (unsigned round = 1; round <= 3; round++) {
        store_pages(&vm, 0, 0, NPAGES, round);
        store_pages(&vm, 0, 0, NPAGES, round);
        g_assert_cmpuint(skip_all(&vm, 0), ==, NPAGES);
        store_pages(&vm, 0, 0, NPAGES, round);
        check_empty(&vm, 0);
        g_assert_cmpint(reset(&vm), ==, NPAGES);
    }
    vm_done(&vm);
}

/* Entries of a slot that has gone: taken, counted, and without effect, also
 * where another has come in its place and is smaller. */
static void test_reset_ignores_stale(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 10, 1, 1);
    store_pages(&vm, 0, 200, 1, 1);
    g_assert_cmpint(set_slot(&vm, SLOT, 0, 0), ==, 0);
    check_next(&vm, 0, SLOT, 10);
    check_next(&vm, 0, SLOT, 200);
    g_assert_cmpint(reset(&vm), ==, 2);
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, LOG), ==, 0);
    store_pages(&vm, 0, 200, 1, 2);
    g_assert_cmpint(set_slot(&vm, SLOT, 0, 0), ==, 0);
    g_assert_cmpint(set_slot(&vm, SLOT, 100, LOG), ==, 0);
    store_pages(&vm, 0, 99, 1, 3);
    check_next(&vm, 0, SLOT, 200);
    check_next(&vm, 0, SLOT, 99);
    g_assert_cmpint(reset(&vm), ==, 2);
    store_pages(&vm, 0, 99, 1, 4);
    check_next(&vm, 0, SLOT, 99);
    /* What a harvester scribbles is harmless. */
    vm.rings[0].entries[4].slot = 0xffff0003;
    vm.rings[0].entries[4].offset = UINT64_MAX;
    vm.m->unchecked = true;
    g_assert_cmpint(reset(&vm), ==, 1);
    vm_done(&vm);
}

/* Indices run over their 32 bits. */
static void test_reset_over_many_laps(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { .lap = UINT32_MAX / ENTRIES });
    for (unsigned i = 0; i < 5 * ENTRIES; i += 10) {
        store_pages(&vm, 0, i, 10, 1);
        g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, 10);
        for (unsigned k = 0; k < 10; k++) {
            check_next(&vm, 0, SLOT, i + k);
        }
        g_assert_cmpint(reset(&vm), ==, 10);
    }
    g_assert_cmpuint(vm.m->vcpus[0].ring.dirty, <, 5 * ENTRIES);
    vm_done(&vm);
}

/* ---- kernels that go wrong ----------------------------------------------- */

static void test_wrong_logs_every_store(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->log_stores = true;
    for (unsigned i = 0; i < 20; i++) {
        store_pages(&vm, 0, 4, 2, i);
    }
    g_assert_cmpuint(vm.m->vcpus[0].faults, ==, 0);
    for (unsigned i = 0; i < 20; i++) {
        check_next(&vm, 0, SLOT, 4);
        check_next(&vm, 0, SLOT, 5);
    }
    check_empty(&vm, 0);
    g_assert_cmpint(reset(&vm), ==, 40);
    vm_done(&vm);
}

/* A batch that runs over the ring: entries are gone, and in the end the ring
 * is full for ever while there is nothing in it to harvest. */
static void test_wrong_overflows(void)
{
    unsigned stores = 0;
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->log_stores = true;
    vm.m->log_batch = 2 * ENTRIES - 1;
    while (store(&vm, 0, stores, 1) == KVM_MODEL_STORED) {
        stores++;
    }
    g_assert_cmpuint(stores, ==, 2 * ENTRIES);
    g_assert_cmpuint(vm.m->overwritten, ==, ENTRIES);
    for (unsigned i = 0; i < ENTRIES; i++) {
        check_next(&vm, 0, SLOT, ENTRIES + i);
    }
    check_empty(&vm, 0);
    g_assert_cmpint(reset(&vm), ==, ENTRIES);
    g_assert_cmpint(store(&vm, 0, 0, 1), ==, KVM_MODEL_FULL);
    check_empty(&vm, 0);
    g_assert_cmpint(reset(&vm), ==, 0);
    g_assert_cmpint(store(&vm, 0, 0, 1), ==, KVM_MODEL_FULL);
    vm_done(&vm);
}

static void test_wrong_shows_late(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { .entries = 2048, .pml = true });
    store_pages(&vm, 0, 0, KVM_MODEL_PML_ENTRIES - 1, 1);
    check_empty(&vm, 0);
    store_pages(&vm, 0, 1000, 1, 1);
    g_assert_cmpuint(skip_all(&vm, 0), ==, KVM_MODEL_PML_ENTRIES);
    store_pages(&vm, 0, 1001, 2, 1);
    g_assert_cmpint(reset(&vm), ==, KVM_MODEL_PML_ENTRIES);
    check_empty(&vm, 0);
    kvm_model_kick(vm.m, 0);
    check_next(&vm, 0, SLOT, 1001);
    check_next(&vm, 0, SLOT, 1002);
    /* What it held of a slot is gone with the slot. */
    store_pages(&vm, 0, 1003, 1, 1);
    g_assert_cmpint(set_slot(&vm, SLOT, 0, 0), ==, 0);
    kvm_model_kick(vm.m, 0);
    check_empty(&vm, 0);
    vm_done(&vm);
}

/* The reserve is for what hardware still holds when the limit is met. */
static void test_wrong_late_stays_in_reserve(void)
{
    unsigned stores = 0;
    Vm vm;

    vm_init(&vm, (Kind) { .entries = 1024, .pml = true });
    while (store(&vm, 0, stores, 1) == KVM_MODEL_STORED) {
        stores++;
    }
    /* The last fault of a full buffer leaves, before its store. */
    g_assert_cmpuint(stores, ==, KVM_MODEL_PML_ENTRIES - 1);
    g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, KVM_MODEL_PML_ENTRIES);
    g_assert_cmpuint(vm.m->overwritten, ==, 0);
    vm_done(&vm);
}

static void test_wrong_reset_drops(gconstpointer drops)
{
    const unsigned cut = 100, lost = drops ? 100 - 64 : 0;
    uint64_t named[NPAGES / 64 + 1] = { 0 };
    struct kvm_dirty_gfn e;
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->reset_cuts = 1;
    vm.m->reset_cut_after = cut;
    vm.m->reset_cut_drops = drops != NULL;
    store_pages(&vm, 0, 0, 150, 1);
    g_assert_cmpuint(skip_all(&vm, 0), ==, 150);
    g_assert_cmpint(reset(&vm), ==, cut);
    g_assert_cmpuint(vm.m->dropped, ==, lost);
    g_assert_cmpint(reset(&vm), ==, 150 - cut);
    g_assert_cmpint(kvm_model_broken(vm.m) != NULL, ==, lost != 0);
    store_pages(&vm, 0, 0, 150, 2);
    while (ring_reader_take(&vm.rings[0], &e)) {
        bitmap_set_bit(named, e.offset);
    }
    g_assert_cmpuint(bitmap_count(named, 0, 150), ==, 150 - lost);
    g_assert_cmpuint(bitmap_count(named, 64, cut - 64), ==, cut - 64 - lost);
    /* The flag off and on mends it. */
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, 0), ==, 0);
    g_assert_cmpint(set_slot(&vm, SLOT, NPAGES, LOG), ==, 0);
    g_assert_null(kvm_model_broken(vm.m));
    vm_done(&vm);
}

static void test_wrong_reset_fails(void)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    store_pages(&vm, 0, 0, 5, 1);
    skip_all(&vm, 0);
    vm.m->fail_request = KVM_RESET_DIRTY_RINGS;
    vm.m->fail_errno = EINTR;
    g_assert_cmpint(reset(&vm), ==, -EINTR);
    g_assert_cmpuint(kvm_model_ring_used(vm.m, 0), ==, 5);
    vm.m->fail_errno = 0;
    g_assert_cmpint(reset(&vm), ==, 5);
    vm_done(&vm);
}

static void test_wrong_reset_leaves(gconstpointer bug)
{
    Vm vm;

    vm_init(&vm, (Kind) { 0 });
    vm.m->bug = GPOINTER_TO_UINT(bug);
    store_pages(&vm, 0, 0, 2, 1);
    skip_all(&vm, 0);
    g_assert_cmpint(reset(&vm), ==, 2);
    store_pages(&vm, 0, 1, 1, 2);
    check_empty(&vm, 0);
    g_assert_cmpint(kvm_model_broken(vm.m) != NULL, ==,
                    vm.m->bug != KVM_MODEL_BUG_RESET_NO_FLUSH);
    vm_done(&vm);
}

/* ---- threads ------------------------------------------------------------- */

#define LIVE_STORES 30000
#define LIVE_PAGES 500

typedef struct Live {
    Vm vm;
    uint64_t copy[NPAGES];
    uint64_t pending[NPAGES / 64 + 1];
    int writing;         /* threads; atomic */
} Live;

typedef struct Writer {
    Live *live;
    unsigned vcpu;
    uint32_t seed;
} Writer;

static gpointer write_thread(gpointer opaque)
{
    Writer *w = opaque;
    g_autoptr(GRand) rand = g_rand_new_with_seed(w->seed);

    for (uint64_t i = 1; i <= LIVE_STORES; i++) {
        uint64_t page = g_rand_int(rand) % LIVE_PAGES;

        while (store(&w->live->vm, w->vcpu, page, i << 8 | w->vcpu) !=
               KVM_MODEL_STORED) {
            g_thread_yield(); /* until somebody has made room */
        }
    }
    __atomic_fetch_sub(&w->live->writing, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Harvest all, reset, and only then read. */
static void collect(Live *live)
{
    struct kvm_dirty_gfn e;
    int n = 0;

    for (unsigned i = 0; i < VCPUS; i++) {
        while (ring_reader_take(&live->vm.rings[i], &e)) {
            bitmap_set_bit(live->pending, e.offset);
            n++;
        }
    }
    g_assert_cmpint(reset(&live->vm), ==, n);
    for (uint64_t page = 0; page < LIVE_PAGES; page++) {
        if (bitmap_test_bit(live->pending, page)) {
            live->copy[page] = __atomic_load_n(
                (uint64_t *)(live->vm.host + page * PAGE), __ATOMIC_RELAXED);
        }
    }
    memset(live->pending, 0, sizeof(live->pending));
}

static void test_threads_lose_nothing(gconstpointer pml)
{
    Live live = { .writing = VCPUS };
    GThread *threads[VCPUS];
    Writer writers[VCPUS];

    vm_init(&live.vm, (Kind) { .entries = pml ? 1024 : ENTRIES,
                               .pml = pml != NULL });
    for (unsigned i = 0; i < VCPUS; i++) {
        writers[i] = (Writer) { &live, i, g_test_rand_int() };
        threads[i] = g_thread_new("vcpu", write_thread, &writers[i]);
    }
    while (__atomic_load_n(&live.writing, __ATOMIC_ACQUIRE)) {
        collect(&live);
    }
    for (unsigned i = 0; i < VCPUS; i++) {
        g_thread_join(threads[i]);
        kvm_model_kick(live.vm.m, i);
    }
    collect(&live);
    for (uint64_t page = 0; page < LIVE_PAGES; page++) {
        g_assert_cmphex(live.copy[page], ==, page_value(&live.vm, page));
    }
    g_assert_cmpuint(live.vm.m->overwritten, ==, 0);
    vm_done(&live.vm);
}

static void add_tests(void)
{
    g_test_add_data_func("/kvm-model-ring/wrong/reset-drops",
                         GUINT_TO_POINTER(1), test_wrong_reset_drops);
    g_test_add_data_func("/kvm-model-ring/wrong/reset-ends-early", NULL,
                         test_wrong_reset_drops);
    g_test_add_func("/kvm-model-ring/wrong/reset-fails",
                    test_wrong_reset_fails);
    g_test_add_data_func("/kvm-model-ring/wrong/reset-does-not-protect",
                         GUINT_TO_POINTER(KVM_MODEL_BUG_RESET_NO_PROTECT),
                         test_wrong_reset_leaves);
    g_test_add_data_func("/kvm-model-ring/wrong/reset-does-not-flush",
                         GUINT_TO_POINTER(KVM_MODEL_BUG_RESET_NO_FLUSH),
                         test_wrong_reset_leaves);
    g_test_add_data_func("/kvm-model-ring/threads/lose-nothing", NULL,
                         test_threads_lose_nothing);
    g_test_add_data_func("/kvm-model-ring/threads/lose-nothing-late",
                         GUINT_TO_POINTER(1), test_threads_lose_nothing);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } tests[] = {
        { "enable/offers", test_enable_offers },
        { "enable/reserves", test_enable_reserves },
        { "enable/before-vcpus", test_enable_before_vcpus },
        { "push/names-pages-in-order", test_push_names_pages_in_order },
        { "push/names-the-address-space", test_push_names_the_address_space },
        { "push/follows-the-flag", test_push_follows_the_flag },
        { "push/initially-set-loses", test_push_with_initially_set_loses },
        { "push/without-a-vcpu", test_push_without_a_vcpu },
        { "full/until-reset", test_full_until_reset },
        { "full/leaves-run", test_full_leaves_run },
        { "reset/stops-at-unharvested", test_reset_stops_at_unharvested },
        { "reset/coalesces", test_reset_coalesces },
        { "reset/rearms-every-page", test_reset_rearms_every_page },
        { "reset/ignores-stale", test_reset_ignores_stale },
        { "reset/over-many-laps", test_reset_over_many_laps },
        { "wrong/logs-every-store", test_wrong_logs_every_store },
        { "wrong/overflows", test_wrong_overflows },
        { "wrong/shows-late", test_wrong_shows_late },
        { "wrong/late-stays-in-reserve", test_wrong_late_stays_in_reserve },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/kvm-model-ring/%s",
                                                tests[i].name);

        g_test_add_func(path, tests[i].run);
    }
    add_tests();
    return g_test_run();
}
