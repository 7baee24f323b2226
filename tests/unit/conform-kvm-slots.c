/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: capabilities, and what slots may be and become.
 */
#include "conform-kvm-int.h"

void conform_cap_arguments(ConformKernel *k)
{
    const uint32_t cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
    uint8_t *p = memory_new();

    g_assert_cmpint(kvm_vm(k->io, KVM_CHECK_EXTENSION, KVM_ARG(cap)), ==, 3);
    OK(manual(k, 0));
    OK(manual(k, 1));
    FAILS(manual(k, 2), EINVAL);
    OK(manual(k, 3));
    FAILS(manual(k, 4), EINVAL);
    FAILS(manual(k, 7), EINVAL);
    FAILS(manual(k, UINT64_C(1) << 63 | 1), EINVAL);
    FAILS(enable(k, cap, 3, 1), EINVAL);
    /* The first try at it is not to be had. */
    FAILS(enable(k, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT, 1, 0), EINVAL);
    /* It may change at any time, and a refused one changes nothing. */
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    OK(manual(k, 0));
    FAILS(manual(k, 2), EINVAL);
    OK(manual(k, 3));
    OK(slot(k, 0, GPA, 0, 0, p));
    memory_free(p);
}

/* The log and the ring exclude each other, whatever was there first. */
void conform_cap_ring(ConformKernel *k)
{
    const uint32_t cap = KVM_CAP_DIRTY_LOG_RING;
    uint64_t words[WORDS] = { 0 };
    uint8_t *p = memory_new();

    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    OK(get(k, 0, words));
    FAILS(enable(k, cap, 0, 0), EINVAL);
    FAILS(enable(k, cap, 1000, 0), EINVAL);
    FAILS(enable(k, cap, 2048, 0), EINVAL);
    FAILS(enable(k, cap, 65536 + 4096, 0), EINVAL);
    FAILS(enable(k, cap, 2 << 20, 0), E2BIG);
    OK(get(k, 0, words));
    OK(enable(k, cap, 65536, 0));
    FAILS(enable(k, cap, 65536, 0), EINVAL);
    FAILS(enable(k, cap, 4096 * 8, 0), EINVAL);
    FAILS(get(k, 0, words), ENXIO);
    FAILS(get(k, 0xffff, words), ENXIO);
    FAILS(clear_ones(k, 0, 0, 64), ENXIO);
    FAILS(clear_ones(k, 0, 1, 64), ENXIO);
    OK(slot(k, 0, GPA, 0, 0, p));
    memory_free(p);
}

void conform_slot_arguments(ConformKernel *k)
{
    const uint64_t kernel_half = UINT64_C(0xffff800000000000);
    uint8_t *p = memory_new();

    FAILS(slot(k, 4, GPA + 0x800, PAGE, LOG, p), EINVAL);
    FAILS(slot(k, 4, GPA, PAGE + 8, LOG, p), EINVAL);
    FAILS(slot(k, 4, GPA, PAGE, LOG, p + 8), EINVAL);
    FAILS(slot(k, 4, GPA, PAGE, 1 << 20, p), EINVAL);
    FAILS(slot(k, 4, UINT64_C(1) << 60, PAGE, 0, p), EINVAL);
    FAILS(slot(k, 4, -PAGE, 2 * PAGE, 0, p), EINVAL);
    FAILS(slot(k, 4, GPA, PAGE, 0, (void *)kernel_half), EINVAL);
    FAILS(slot(k, k->max_slots, GPA, PAGE, 0, p), EINVAL);
    FAILS(slot(k, 0xffff, GPA, PAGE, 0, p), EINVAL);
    /* The largest slot has one page less than 2^31. */
    FAILS(slot(k, 4, UINT64_C(1) << 36, PAGE << 31, 0, NULL), EINVAL);
    /* Nothing of that is there; what is not there cannot go. */
    FAILS(slot(k, 4, GPA, 0, 0, p), EINVAL);
    OK(slot(k, 4, GPA, PAGE, LOG | READONLY, p));
    OK(slot(k, 4, GPA, 0, 0, p));
    FAILS(slot(k, 4, GPA, 0, 0, p), EINVAL);
    memory_free(p);
}

void conform_slot_changes(ConformKernel *k)
{
    uint8_t *p = memory_new();
    const uint64_t far = 2 * GPA;

    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    OK(clear_ones(k, 0, 0, 64));
    /* The same again is nothing. */
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES - 64);
    FAILS(slot(k, 0, GPA, NPAGES * PAGE, LOG | READONLY, p), EINVAL);
    FAILS(slot(k, 0, GPA, NPAGES * PAGE, READONLY, p), EINVAL);
    FAILS(slot(k, 0, GPA, 992 * PAGE, LOG, p), EINVAL);
    FAILS(slot(k, 0, GPA, (NPAGES + 1) * PAGE, LOG, p), EINVAL);
    FAILS(slot(k, 0, GPA, NPAGES * PAGE, LOG, p + PAGE), EINVAL);
    g_assert_cmpint(count(k, 0), ==, NPAGES - 64);
    /* It may move, and keeps its bits; also when the move is refused. */
    OK(slot(k, 0, far, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES - 64);
    FAILS(slot(k, 0, far + 8, NPAGES * PAGE, LOG, p), EINVAL);
    g_assert_cmpint(count(k, 0), ==, NPAGES - 64);
    /* A move that ends logging frees the bitmap, one that begins it makes
     * one. */
    OK(slot(k, 0, GPA, NPAGES * PAGE, 0, p));
    FAILS(count(k, 0), ENOENT);
    OK(slot(k, 0, far, NPAGES * PAGE, LOG, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    OK(slot(k, 0, far, 0, 0, p));
    FAILS(slot(k, 0, far, 0, 0, p), EINVAL);
    /* A read-only slot is as fixed as a writable one. */
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG | READONLY, p));
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    FAILS(slot(k, 0, GPA, NPAGES * PAGE, LOG, p), EINVAL);
    OK(slot(k, 0, GPA, 0, 0, p));
    memory_free(p);
}

void conform_slot_overlaps(ConformKernel *k)
{
    uint8_t *p = memory_new(), *q = p + NPAGES * PAGE;
    const uint64_t end = GPA + NPAGES * PAGE;

    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    FAILS(slot(k, 3, GPA, 64 * PAGE, LOG, q), EEXIST);
    FAILS(slot(k, 3, GPA + 10 * PAGE, PAGE, LOG, q), EEXIST);
    FAILS(slot(k, 3, end - PAGE, 64 * PAGE, LOG, q), EEXIST);
    FAILS(slot(k, 3, GPA - PAGE, 2 * PAGE, LOG, q), EEXIST);
    FAILS(slot(k, 3, GPA - PAGE, (NPAGES + 2) * PAGE, 0, p), EEXIST);
    FAILS(get(k, 3, p), ENOENT);
    /* Side by side is fine, and so is the same host memory once more. */
    OK(slot(k, 3, end, 64 * PAGE, LOG, p));
    OK(slot(k, 4, GPA - PAGE, PAGE, LOG, p));
    FAILS(slot(k, 3, end - PAGE, 64 * PAGE, LOG, p), EEXIST);
    g_assert_cmpint(count(k, 3), ==, 64);
    /* What may not change is refused before the place is looked at. */
    FAILS(slot(k, 3, GPA, 65 * PAGE, LOG, p), EINVAL);
    /* A slot may move onto a part of its own old place. */
    OK(slot(k, 3, end + 32 * PAGE, 64 * PAGE, LOG, p));
    OK(slot(k, 0, GPA, 0, 0, p));
    OK(slot(k, 3, GPA, 64 * PAGE, LOG, p));
    OK(slot(k, 3, GPA, 0, 0, p));
    OK(slot(k, 4, GPA, 0, 0, p));
    memory_free(p);
}

void conform_slot_address_spaces(ConformKernel *k)
{
    int n = kvm_vm(k->io, KVM_CHECK_EXTENSION,
                   KVM_ARG(KVM_CAP_MULTI_ADDRESS_SPACE));
    uint32_t above = MAX(n, 1) << 16, last = (MAX(n, 1) - 1) << 16;
    uint8_t *p = memory_new();
    uint64_t words[WORDS];

    g_test_message("%d address spaces", n);
    OK(manual(k, 1));
    FAILS(slot(k, above, GPA, PAGE, LOG, p), EINVAL);
    FAILS(get(k, above, words), EINVAL);
    FAILS(clear_ones(k, above, 0, 64), EINVAL);
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    if (last) { /* a second one has its own slots at the same addresses */
        FAILS(get(k, last, words), ENOENT);
        OK(slot(k, last, GPA, NPAGES * PAGE, LOG, p));
        FAILS(slot(k, last | 1, GPA, PAGE, LOG, p), EEXIST);
        store(k, 3, 1);
        CHECK_PAGES(k, 0, 3);
        CHECK_PAGES(k, last);
        OK(slot(k, 0, GPA, 0, 0, p));
        FAILS(count(k, 0), ENOENT);
        g_assert_cmpint(count(k, last), ==, 0);
    }
    OK(slot(k, last, GPA, 0, 0, p));
    memory_free(p);
}
