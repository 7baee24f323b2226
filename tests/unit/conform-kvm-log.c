/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See conform-kvm-log.h.
 */
#include "conform-kvm-log.h"

#include <errno.h>
#include <glib.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define NPAGES 1000
#define WORDS 16
#define LOG KVM_MEM_LOG_DIRTY_PAGES

static uint8_t *memory_new(void)
{
    void *p = mmap(NULL, 2 * NPAGES * PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(p != MAP_FAILED);
    return p;
}

static void memory_free(uint8_t *p)
{
    munmap(p, 2 * NPAGES * PAGE);
}

static int enable(KvmIo *io, uint32_t cap, uint64_t arg, uint32_t flags)
{
    struct kvm_enable_cap c = { .cap = cap, .flags = flags, .args = { arg } };

    return kvm_vm(io, KVM_ENABLE_CAP, &c);
}

static int manual(KvmIo *io, uint64_t arg)
{
    return enable(io, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, arg, 0);
}

static int slot(KvmIo *io, uint32_t id, uint64_t gpa, uint64_t bytes,
                uint32_t flags, uint8_t *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = id, .flags = flags, .guest_phys_addr = gpa,
        .memory_size = bytes, .userspace_addr = (uintptr_t)host,
    };

    return kvm_vm(io, KVM_SET_USER_MEMORY_REGION, &r);
}

static int get(KvmIo *io, uint32_t id, uint64_t words[WORDS])
{
    struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = words };

    return kvm_vm(io, KVM_GET_DIRTY_LOG, &log);
}

static int clear(KvmIo *io, uint32_t id, uint64_t first, uint32_t n)
{
    static uint64_t ones[2 * WORDS];
    struct kvm_clear_dirty_log log = {
        .slot = id, .first_page = first, .num_pages = n,
        .dirty_bitmap = ones,
    };

    memset(ones, 0xff, sizeof(ones));
    return kvm_vm(io, KVM_CLEAR_DIRTY_LOG, &log);
}

/* Dirty pages of the slot, or the error of GET. */
static int count(KvmIo *io, uint32_t id)
{
    uint64_t words[WORDS] = { 0 };
    int r = get(io, id, words);

    return r < 0 ? r : (int)bitmap_count(words, 0, WORDS * 64);
}

void conform_kvm_cap(KvmIo *io)
{
    g_assert_cmpint(manual(io, 0), ==, 0);
    g_assert_cmpint(manual(io, 1), ==, 0);
    g_assert_cmpint(manual(io, 2), ==, -EINVAL);
    g_assert_cmpint(manual(io, 3), ==, 0);
    g_assert_cmpint(manual(io, 7), ==, -EINVAL);
    g_assert_cmpint(enable(io, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, 3, 1), ==,
                    -EINVAL);
    g_assert_cmpint(enable(io, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT, 1, 0), ==,
                    -EINVAL);
}

static void check_clear_arguments(KvmIo *io)
{
    static const struct {
        uint64_t first;
        uint32_t n;
        int result;
    } calls[] = {
        { 0, 64, 0 }, { 1, 64, -EINVAL }, { 1, 0, -EINVAL },
        { 64, 65, -EINVAL }, { 960, 40, 0 }, { 960, 64, -EINVAL },
        { 960, 39, -EINVAL }, { 64, 0, 0 }, { 1000, 0, -EINVAL },
        { 1024, 0, -EINVAL }, { 0, 1024, -EINVAL }, { 0, 1000, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        int r = clear(io, 0, calls[i].first, calls[i].n);

        g_test_message("clear first %u num %u", (unsigned)calls[i].first,
                       calls[i].n);
        g_assert_cmpint(r, ==, calls[i].result);
    }
    g_assert_cmpint(count(io, 0), ==, 0);
}

void conform_kvm_log(KvmIo *io, uint32_t max_slots)
{
    uint8_t *p = memory_new();
    uint64_t words[WORDS] = { 0 };

    g_assert_cmpint(manual(io, 3), ==, 0);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG, p), ==, 0);
    g_assert_cmpint(slot(io, 1, 0x1000000, 64 * PAGE, 0, p + NPAGES * PAGE),
                    ==, 0);
    g_assert_cmpint(get(io, 0, words), ==, 0);
    g_assert_cmpuint(bitmap_count(words, 0, WORDS * 64), ==, NPAGES);
    g_assert_cmphex(words[WORDS - 1], ==, UINT64_C(0xffffffffff));
    g_assert_cmpint(get(io, 1, words), ==, -ENOENT);
    g_assert_cmpint(get(io, 5, words), ==, -ENOENT);
    g_assert_cmpint(get(io, max_slots, words), ==, -EINVAL);
    g_assert_cmpint(get(io, 1 << 16, words), ==, -EINVAL);
    g_assert_cmpint(clear(io, 1, 0, 64), ==, -ENOENT);
    g_assert_cmpint(clear(io, 7, 0, 64), ==, -ENOENT);
    g_assert_cmpint(clear(io, max_slots, 0, 64), ==, -EINVAL);
    check_clear_arguments(io);
    /* Other ways to begin a log, and GET that clears. */
    g_assert_cmpint(manual(io, 1), ==, 0);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, 0, p), ==, 0);
    g_assert_cmpint(count(io, 0), ==, -ENOENT);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG, p), ==, 0);
    g_assert_cmpint(count(io, 0), ==, 0);
    g_assert_cmpint(manual(io, 0), ==, 0);
    g_assert_cmpint(clear(io, 0, 0, 64), ==, 0);
    slot(io, 0, 0, 0, 0, p);
    slot(io, 1, 0x1000000, 0, 0, p);
    memory_free(p);
}

void conform_kvm_slots(KvmIo *io)
{
    uint8_t *p = memory_new();
    const uint64_t far = 0x2000000;

    g_assert_cmpint(manual(io, 3), ==, 0);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG, p), ==, 0);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG, p), ==, 0);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG | KVM_MEM_READONLY, p),
                    ==, -EINVAL);
    g_assert_cmpint(slot(io, 0, 0, 992 * PAGE, LOG, p), ==, -EINVAL);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG, p + PAGE), ==, -EINVAL);
    g_assert_cmpint(clear(io, 0, 0, 64), ==, 0);
    g_assert_cmpint(slot(io, 0, far, NPAGES * PAGE, LOG, p), ==, 0);
    g_assert_cmpint(count(io, 0), ==, NPAGES - 64);
    g_assert_cmpint(slot(io, 3, far, 64 * PAGE, LOG, p + NPAGES * PAGE), ==,
                    -EEXIST);
    g_assert_cmpint(slot(io, 4, 0x800, PAGE, LOG, p), ==, -EINVAL);
    g_assert_cmpint(slot(io, 1 << 16, 0, PAGE, LOG, p), ==, -EINVAL);
    g_assert_cmpint(slot(io, 0, far, 0, 0, p), ==, 0);
    g_assert_cmpint(slot(io, 0, far, 0, 0, p), ==, -EINVAL);
    g_assert_cmpint(slot(io, 0, 0, NPAGES * PAGE, LOG | KVM_MEM_READONLY, p),
                    ==, 0);
    g_assert_cmpint(count(io, 0), ==, NPAGES);
    g_assert_cmpint(slot(io, 0, 0, 0, 0, p), ==, 0);
    memory_free(p);
}
