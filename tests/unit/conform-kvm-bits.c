/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance: which bits stand after a guest's stores.
 */
#include "conform-kvm-int.h"

#include <sys/mman.h>

static uint8_t *logged_memory(ConformKernel *k, uint64_t mode)
{
    uint8_t *p = memory_new();

    OK(manual(k, mode));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    return p;
}

static void end(ConformKernel *k, uint8_t *p)
{
    OK(slot(k, 0, GPA, 0, 0, p));
    memory_free(p);
}

static uint64_t page_value(const uint8_t *p, uint64_t page)
{
    return *(volatile const uint64_t *)(p + page * PAGE);
}

/* GET shows a store once, and again after the next. */
void conform_bits_legacy(ConformKernel *k)
{
    uint8_t *p = logged_memory(k, 0);

    CHECK_PAGES(k, 0);
    store(k, 5, 11);
    store(k, 999, 12);
    g_assert_cmpuint(page_value(p, 5), ==, 11);
    g_assert_cmpuint(page_value(p, 999), ==, 12);
    CHECK_PAGES(k, 0, 5, 999);
    CHECK_PAGES(k, 0);
    store(k, 5, 13);
    store(k, 5, 14);
    CHECK_PAGES(k, 0, 5);
    /* CLEAR takes as well, enabled or not. */
    store(k, 64, 1);
    store(k, 128, 1);
    OK(clear_ones(k, 0, 64, 64));
    CHECK_PAGES(k, 0, 128);
    end(k, p);
}

/* GET shows and takes nothing; CLEAR takes what it names and no more. */
void conform_bits_manual(ConformKernel *k)
{
    uint8_t *p = logged_memory(k, 1);
    uint64_t words[WORDS] = { 0 };

    store(k, 5, 1);
    store(k, 6, 1);
    store(k, 70, 1);
    store(k, 998, 1);
    CHECK_PAGES(k, 0, 5, 6, 70, 998);
    CHECK_PAGES(k, 0, 5, 6, 70, 998);
    OK(clear(k, 0, 0, 64, words));
    CHECK_PAGES(k, 0, 5, 6, 70, 998);
    words[0] = UINT64_C(1) << 5;
    OK(clear(k, 0, 0, 64, words));
    CHECK_PAGES(k, 0, 6, 70, 998);
    /* Bits of pages that are clean, and of pages that do not exist. */
    words[0] = UINT64_C(1) << 7;
    OK(clear(k, 0, 64, 64, words));
    CHECK_PAGES(k, 0, 6, 70, 998);
    OK(clear_ones(k, 0, 960, 40));
    CHECK_PAGES(k, 0, 6, 70);
    store(k, 71, 1);
    store(k, 999, 1);
    store(k, 5, 2);
    CHECK_PAGES(k, 0, 5, 6, 70, 71, 999);
    end(k, p);
}

/* Pages stay writable until they are cleared for the first time. */
void conform_bits_initially_set(ConformKernel *k)
{
    uint8_t *p = memory_new();
    uint64_t words[WORDS] = { 0 };

    OK(slot(k, 0, GPA, NPAGES * PAGE, 0, p));
    for (unsigned page = 0; page < 32; page++) {
        store(k, page, 1); /* writable before the log begins */
    }
    OK(manual(k, 3));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    store(k, 9, 1);
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    words[0] = UINT64_C(1) << 9;
    OK(clear(k, 0, 0, 64, words));
    g_assert_cmpint(count(k, 0), ==, NPAGES - 1);
    store(k, 9, 2);
    g_assert_cmpint(count(k, 0), ==, NPAGES);
    OK(clear_ones(k, 0, 0, NPAGES));
    CHECK_PAGES(k, 0);
    for (unsigned page = 0; page < 3; page++) {
        store(k, page, 3);
    }
    CHECK_PAGES(k, 0, 0, 1, 2);
    end(k, p);
}

/* After a clear every single page of the slot is logged again. */
void conform_bits_clear_rearms(ConformKernel *k)
{
    for (uint64_t mode = 0; mode <= 3; mode += mode ? 2 : 1) {
        uint8_t *p = logged_memory(k, mode);

        for (unsigned round = 0; round < 3; round++) {
            for (unsigned page = 0; page < NPAGES; page++) {
                store(k, page, round);
            }
            g_assert_cmpint(count(k, 0), ==, NPAGES);
            if (mode) {
                OK(clear_ones(k, 0, 0, 512));
                OK(clear_ones(k, 0, 512, NPAGES - 512));
            }
            g_assert_cmpint(count(k, 0), ==, 0);
        }
        end(k, p);
    }
}

/* A store to a read-only slot leaves as MMIO, changes and marks nothing. */
void conform_bits_readonly(ConformKernel *k)
{
    uint8_t *p = memory_new();

    OK(manual(k, 1));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG | READONLY, p));
    g_assert_false(k->store(k, GPA + 3 * PAGE, 77));
    g_assert_false(k->store(k, GPA + 3 * PAGE, 78));
    g_assert_cmpuint(page_value(p, 3), ==, 0);
    CHECK_PAGES(k, 0);
    /* So does one to where nothing is. */
    g_assert_false(k->store(k, GPA + NPAGES * PAGE, 79));
    OK(slot(k, 0, GPA, 0, 0, p));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    store(k, 3, 80);
    g_assert_cmpuint(page_value(p, 3), ==, 80);
    CHECK_PAGES(k, 0, 3);
    end(k, p);
}

/* A slot that moves takes its bits along and goes on logging. */
void conform_bits_move(ConformKernel *k)
{
    uint8_t *p = logged_memory(k, 1);

    store(k, 3, 1);
    store(k, 64, 1);
    OK(slot(k, 0, GPA + NPAGES * PAGE, NPAGES * PAGE, LOG, p));
    CHECK_PAGES(k, 0, 3, 64);
    g_assert_false(k->store(k, GPA + 3 * PAGE, 2));
    store(k, NPAGES + 5, 2);
    g_assert_cmpuint(page_value(p, 5), ==, 2);
    CHECK_PAGES(k, 0, 3, 5, 64);
    OK(clear_ones(k, 0, 0, 64));
    OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
    CHECK_PAGES(k, 0, 64);
    store(k, 5, 3);
    CHECK_PAGES(k, 0, 5, 64);
    end(k, p);
}

/* What a slot that comes again knows of stores to the one before: nothing,
 * or, if every bit begins set, everything. */
void conform_bits_slot_again(ConformKernel *k)
{
    for (uint64_t mode = 0; mode <= 3; mode += mode ? 2 : 1) {
        uint8_t *p = logged_memory(k, mode);

        store(k, 3, 1);
        OK(slot(k, 0, GPA, 0, 0, p));
        OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
        g_assert_cmpint(count(k, 0), ==, mode == 3 ? NPAGES : 0);
        if (mode == 3) {
            OK(clear_ones(k, 0, 0, NPAGES));
        }
        store(k, 4, 1);
        CHECK_PAGES(k, 0, 4);
        end(k, p);
    }
}

/* Stores while no log was on are not in the next one. */
void conform_bits_log_again(ConformKernel *k)
{
    for (uint64_t mode = 0; mode <= 3; mode += mode ? 2 : 1) {
        uint8_t *p = logged_memory(k, mode);

        store(k, 3, 1);
        OK(slot(k, 0, GPA, NPAGES * PAGE, 0, p));
        store(k, 3, 2);
        store(k, 4, 2);
        OK(slot(k, 0, GPA, NPAGES * PAGE, LOG, p));
        g_assert_cmpint(count(k, 0), ==, mode == 3 ? NPAGES : 0);
        if (mode == 3) {
            OK(clear_ones(k, 0, 0, NPAGES));
        }
        store(k, 4, 3);
        store(k, 5, 3);
        CHECK_PAGES(k, 0, 4, 5);
        end(k, p);
    }
}

/* Two slots that show the same memory: the one that was written through. */
void conform_bits_two_slots(ConformKernel *k)
{
    uint8_t *p = logged_memory(k, 1);

    OK(slot(k, 1, GPA + NPAGES * PAGE, 100 * PAGE, LOG, p));
    store(k, 3, 1);
    store(k, NPAGES + 4, 2);
    g_assert_cmpuint(page_value(p, 3), ==, 1);
    g_assert_cmpuint(page_value(p, 4), ==, 2);
    CHECK_PAGES(k, 0, 3);
    CHECK_PAGES(k, 1, 4);
    OK(clear_ones(k, 0, 0, 64));
    CHECK_PAGES(k, 0);
    CHECK_PAGES(k, 1, 4);
    OK(slot(k, 1, GPA, 0, 0, p));
    end(k, p);
}

/* What this process writes itself is in nobody's log. */
void conform_bits_own_writes(ConformKernel *k)
{
    uint8_t *p = logged_memory(k, 1);

    memset(p + 7 * PAGE, 1, 3 * PAGE);
    CHECK_PAGES(k, 0);
    store(k, 8, 1);
    memset(p + 8 * PAGE, 2, PAGE);
    CHECK_PAGES(k, 0, 8);
    end(k, p);
}

/* A GET whose copy fails: gone if GET takes, all there if it does not. */
void conform_bits_lost_copy(ConformKernel *k)
{
    void *bad = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);

    g_assert_true(bad != MAP_FAILED);
    for (uint64_t mode = 0; mode <= 1; mode++) {
        uint8_t *p = logged_memory(k, mode);

        store(k, 3, 1);
        FAILS(get(k, 0, bad), EFAULT);
        g_assert_cmpint(count(k, 0), ==, mode ? 1 : 0);
        store(k, 3, 2);
        CHECK_PAGES(k, 0, 3);
        end(k, p);
    }
    munmap(bad, PAGE);
}
