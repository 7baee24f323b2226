/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See conform-kvm-log.h: the list, the calls, and the rules of how the log
 * flag, GET and CLEAR take their arguments.
 */
#include "conform-kvm-int.h"

#include <sys/mman.h>

const ConformBody conform_bodies[] = {
    { "cap/arguments", conform_cap_arguments },
    { "cap/ring", conform_cap_ring, true },
    { "slot/arguments", conform_slot_arguments },
    { "slot/changes", conform_slot_changes },
    { "slot/overlaps", conform_slot_overlaps },
    { "slot/address-spaces", conform_slot_address_spaces },
    { "log/start", conform_log_start },
    { "log/arguments", conform_log_arguments },
    { "log/faults", conform_log_faults },
    { "bits/legacy", conform_bits_legacy },
    { "bits/manual", conform_bits_manual },
    { "bits/initially-set", conform_bits_initially_set },
    { "bits/clear-rearms", conform_bits_clear_rearms },
    { "bits/readonly", conform_bits_readonly },
    { "bits/move", conform_bits_move },
    { "bits/slot-again", conform_bits_slot_again },
    { "bits/log-again", conform_bits_log_again },
    { "bits/two-slots", conform_bits_two_slots },
    { "bits/own-writes", conform_bits_own_writes },
    { "bits/lost-copy", conform_bits_lost_copy },
    { NULL },
};

/* ---- the calls ----------------------------------------------------------- */

uint8_t *memory_new(void)
{
    void *p = mmap(NULL, 2 * NPAGES * PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(p != MAP_FAILED);
    return p;
}

void memory_free(uint8_t *p)
{
    munmap(p, 2 * NPAGES * PAGE);
}

int enable(ConformKernel *k, uint32_t cap, uint64_t arg, uint32_t flags)
{
    struct kvm_enable_cap c = { .cap = cap, .flags = flags, .args = { arg } };

    return kvm_vm(k->io, KVM_ENABLE_CAP, &c);
}

int manual(ConformKernel *k, uint64_t arg)
{
    return enable(k, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, arg, 0);
}

int slot(ConformKernel *k, uint32_t id, uint64_t gpa, uint64_t bytes,
         uint32_t flags, uint8_t *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = id, .flags = flags, .guest_phys_addr = gpa,
        .memory_size = bytes, .userspace_addr = (uintptr_t)host,
    };

    return kvm_vm(k->io, KVM_SET_USER_MEMORY_REGION, &r);
}

int get(ConformKernel *k, uint32_t id, void *words)
{
    struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = words };

    return kvm_vm(k->io, KVM_GET_DIRTY_LOG, &log);
}

int clear(ConformKernel *k, uint32_t id, uint64_t first, uint32_t n,
          void *words)
{
    struct kvm_clear_dirty_log log = {
        .slot = id, .first_page = first, .num_pages = n,
        .dirty_bitmap = words,
    };

    return kvm_vm(k->io, KVM_CLEAR_DIRTY_LOG, &log);
}

int clear_ones(ConformKernel *k, uint32_t id, uint64_t first, uint32_t n)
{
    uint64_t ones[2 * WORDS];

    memset(ones, 0xff, sizeof(ones));
    return clear(k, id, first, n, ones);
}

int count(ConformKernel *k, uint32_t id)
{
    uint64_t words[WORDS] = { 0 };
    int r = get(k, id, words);

    return r < 0 ? r : (int)bitmap_count(words, 0, WORDS * 64);
}

void store(ConformKernel *k, uint64_t page, uint64_t value)
{
    g_assert_true(k->store(k, GPA + page * PAGE, value));
}

void check_pages(ConformKernel *k, uint32_t id, const int *pages)
{
    uint64_t words[WORDS] = { 0 }, want[WORDS] = { 0 };

    for (unsigned i = 0; pages[i] >= 0; i++) {
        bitmap_set_bit(want, pages[i]);
    }
    OK(get(k, id, words));
    for (unsigned w = 0; w < WORDS; w++) {
        g_assert_cmphex(words[w], ==, want[w]);
    }
}

/* ---- log start ----------------------------------------------------------- */

void conform_log_start(ConformKernel *k)
{
    uint64_t words[WORDS] = { 0 };
    uint8_t *p = memory_new();

    /* Every bit is set, but none beyond the slot. */
    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    OK(get(k, 0, words));
    g_assert_cmpuint(bitmap_count(words, 0, WORDS * 64), ==, NPAGES);
    g_assert_cmphex(words[WORDS - 1], ==, UINT64_C(0xffffffffff));
    /* The capability acts where a bitmap is made, not on one that is there. */
    OK(manual(k, 1));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    OK(slot(k, 0, GPA, NPAGES * PAGE, 0, p));
    FAILS(count(k, 0), ENOENT);
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, 0);
    OK(manual(k, 3));
    g_assert_cmpint(count(k, 0), ==, 0);
    OK(slot(k, 0, GPA, NPAGES * PAGE, 0, p));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    /* Without manual protection GET takes what it shows. */
    OK(manual(k, 0));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    g_assert_cmpint(count(k, 0), ==, 0);
    OK(slot(k, 0, GPA, 0, 0, p));
    memory_free(p);
}

/* ---- arguments ------------------------------------------------------------ */

static void check_clear_ranges(ConformKernel *k)
{
    static const struct {
        uint64_t first;
        uint32_t n;
        int result;
    } calls[] = {
        { 0, 64, 0 }, { 1, 64, -EINVAL }, { 1, 0, -EINVAL },
        { 64, 65, -EINVAL }, { 960, 40, 0 }, { 960, 64, -EINVAL },
        { 960, 39, -EINVAL }, { 64, 0, 0 }, { 1000, 0, -EINVAL },
        { 1024, 0, -EINVAL }, { 0, 1024, -EINVAL }, { 0, 1001, -EINVAL },
        { 0, 999, -EINVAL }, { UINT64_C(1) << 63, 64, -EINVAL },
        { UINT64_MAX - 63, 64, -EINVAL }, { 0, UINT32_MAX, -EINVAL },
        { 64, UINT32_MAX - 63, -EINVAL }, { 0, 1000, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        int before = count(k, 0), after;
        int r = clear_ones(k, 0, calls[i].first, calls[i].n);

        g_test_message("clear first %" G_GUINT64_FORMAT " num %u",
                       calls[i].first, calls[i].n);
        g_assert_cmpint(r, ==, calls[i].result);
        after = count(k, 0);
        if (r < 0) {
            g_assert_cmpint(after, ==, before);
        }
    }
    g_assert_cmpint(count(k, 0), ==, 0);
}

void conform_log_arguments(ConformKernel *k)
{
    uint64_t words[WORDS] = { 0 };
    uint8_t *p = memory_new();

    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    OK(slot(k, 1, 2 * GPA, 64 * PAGE, 0, p + NPAGES * PAGE));
    FAILS(get(k, 1, words), ENOENT);
    FAILS(get(k, 5, words), ENOENT);
    FAILS(get(k, k->max_slots, words), EINVAL);
    FAILS(get(k, 0xffff, words), EINVAL);
    FAILS(get(k, 0xffff0000, words), EINVAL);
    FAILS(clear_ones(k, 1, 0, 64), ENOENT);
    FAILS(clear_ones(k, 7, 0, 64), ENOENT);
    FAILS(clear_ones(k, 7, 1, 64), EINVAL);
    FAILS(clear_ones(k, k->max_slots, 0, 64), EINVAL);
    FAILS(clear_ones(k, 0xffff0000, 0, 64), EINVAL);
    check_clear_ranges(k);
    /* CLEAR works whether or not the capability was ever enabled. */
    OK(manual(k, 0));
    OK(clear_ones(k, 0, 0, 64));
    OK(slot(k, 0, GPA, 0, 0, p));
    OK(slot(k, 1, 2 * GPA, 0, 0, p));
    memory_free(p);
}

/* A page that neither GET may write nor CLEAR may read. */
void conform_log_faults(ConformKernel *k)
{
    uint64_t words[WORDS + 1];
    uint8_t *p = memory_new();
    void *bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);

    g_assert_true(bad != MAP_FAILED);
    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    FAILS(get(k, 0, bad), EFAULT);
    FAILS(get(k, 0, (void *)8), EFAULT);
    FAILS(clear(k, 0, 0, 64, bad), EFAULT);
    FAILS(clear(k, 0, 0, 64, (void *)8), EFAULT);
    OK(clear(k, 0, 0, 0, bad));
    FAILS(clear(k, 0, 1, 64, bad), EINVAL);
    FAILS(get(k, 5, bad), ENOENT);
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    /* The buffer is whole words, and not one more. */
    memset(words, 0xa5, sizeof(words));
    OK(get(k, 0, words));
    g_assert_cmphex(words[WORDS - 1], ==, UINT64_C(0xffffffffff));
    g_assert_cmphex(words[WORDS], ==, UINT64_C(0xa5a5a5a5a5a5a5a5));
    OK(slot(k, 0, GPA, 0, 0, p));
    munmap(bad, PAGE);
    memory_free(p);
}
