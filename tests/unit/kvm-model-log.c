/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel model's GET and CLEAR. Words are taken one by one with others
 * running in between, which the kernel allows where it faults without its big
 * lock; a client that is right there is right everywhere.
 */
#include "kvm-model-int.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/bitmap.h"

/*
 * User memory that cannot be used is EFAULT, not a crash of the test. The
 * first and the last byte are tried by system calls that read it, and write it
 * as it was; between the two the caller is trusted, and so is a page that was
 * good before.
 */
static int check_byte(KvmModel *m, void *p, bool write)
{
    uintptr_t key = (uintptr_t)p >> MODEL_PAGE_BITS << 2 | write << 1 | 1;
    uintptr_t *known = &m->good_pages[key % KVM_MODEL_GOOD_PAGES];

    if (*known == key) {
        return 0;
    }
    if (pwrite(m->memory_fd, p, 1, 0) < 0 ||
        (write && pread(m->memory_fd, p, 1, 0) < 0)) {
        return -EFAULT;
    }
    *known = key;
    return 0;
}

static int check_user(KvmModel *m, const void *p, size_t bytes, bool write)
{
    char *first = (char *)p;

    return check_byte(m, first, write) ||
        check_byte(m, first + bytes - 1, write) ? -EFAULT : 0;
}

static int find_logged(KvmModel *m, uint32_t id, KvmModelSlot **ret)
{
    if (!kvm_model_has_log(m)) {
        return -ENXIO;
    }
    if (id >> 16 >= m->address_spaces || (id & 0xffff) >= KVM_MODEL_SLOTS) {
        return -EINVAL;
    }
    *ret = kvm_model_slot(m, id);
    return *ret && (*ret)->dirty ? 0 : -ENOENT;
}

static void tell_taken(KvmModel *m, KvmModelSlot *slot, uint64_t w,
                       uint64_t taken, bool by_get)
{
    for (unsigned b = 0; m->on_taken && b < MODEL_WORD_PAGES; b++) {
        if (taken >> b & 1) {
            m->on_taken(m->opaque, slot, w * MODEL_WORD_PAGES + b, by_get);
        }
    }
}

/* Take the D bits of @mask in word @w, and W with them. T is for later. */
static uint64_t take_word(KvmModel *m, KvmModelSlot *slot, uint64_t w,
                          uint64_t mask, bool by_get)
{
    uint64_t taken, protect;

    if (!by_get && m->bug == KVM_MODEL_BUG_CLEAR_ALL && mask) {
        mask = ~UINT64_C(0);
    }
    g_mutex_lock(&m->mmu_lock);
    taken = __atomic_fetch_and(&slot->dirty[w], ~mask, __ATOMIC_SEQ_CST) &
        mask;
    protect = m->bug == KVM_MODEL_BUG_NO_PROTECT ? 0 :
        m->bug == KVM_MODEL_BUG_FIRST_ONLY ? taken & -taken : taken;
    if (protect) {
        __atomic_fetch_and(&slot->writable[w], ~protect, __ATOMIC_SEQ_CST);
    }
    g_mutex_unlock(&m->mmu_lock);
    tell_taken(m, slot, w, taken, by_get);
    return taken;
}

/* The first @n words; the copy may fault after some. */
static void copy_words(KvmModel *m, KvmModelSlot *slot, uint64_t *words,
                       uint64_t n)
{
    for (uint64_t w = 0; w < n; w++) {
        kvm_model_interleave(m);
        words[w] = __atomic_load_n(&slot->dirty[w], __ATOMIC_SEQ_CST);
    }
    if (m->bug == KVM_MODEL_BUG_TAIL && slot->npages % MODEL_WORD_PAGES) {
        words[n - 1] = 0;
    }
}

static int show_words(KvmModel *m, KvmModelSlot *slot, uint64_t *words)
{
    uint64_t n = bitmap_words(slot->npages);
    int r = check_user(m, words, n * 8, true);

    if (!r && m->fail_copy_out) {
        copy_words(m, slot, words, (n + 1) / 2);
        r = -EFAULT;
    } else if (!r) {
        copy_words(m, slot, words, n);
    }
    return r;
}

/* Everything is taken and protected before a byte reaches the caller: if it
 * cannot, the bits are lost. */
static int take_words(KvmModel *m, KvmModelSlot *slot, uint64_t *words)
{
    uint64_t n = bitmap_words(slot->npages);
    g_autofree uint64_t *second_half = bitmap_try_new(slot->npages, NULL);
    uint64_t bits = 0;
    int r;

    for (uint64_t w = 0; w < n; w++) {
        kvm_model_interleave(m);
        second_half[w] = take_word(m, slot, w, ~UINT64_C(0), true);
        bits += __builtin_popcountll(second_half[w]);
    }
    if (bits && m->bug != KVM_MODEL_BUG_NO_FLUSH) {
        kvm_model_flush(m, slot);
    }
    m->got_bits += bits;
    r = m->fail_copy_out ? -EFAULT : check_user(m, words, n * 8, true);
    if (!r) {
        memcpy(words, second_half, n * 8);
    }
    return r;
}

int kvm_model_get_log(KvmModel *m, const struct kvm_dirty_log *log)
{
    uint64_t *words = log->dirty_bitmap;
    KvmModelSlot *slot;
    int r = find_logged(m, log->slot, &slot);

    m->gets++;
    if (r) {
        return r;
    }
    return m->manual ? show_words(m, slot, words) :
        take_words(m, slot, words);
}

static int check_range(const KvmModelSlot *slot, uint64_t first, uint64_t n)
{
    bool fits = first <= slot->npages && n <= slot->npages - first;
    bool reaches_end = fits && n == slot->npages - first;

    return fits && (n % MODEL_WORD_PAGES == 0 || reaches_end) ? 0 : -EINVAL;
}

int kvm_model_clear_log(KvmModel *m, const struct kvm_clear_dirty_log *log)
{
    const uint64_t *words = log->dirty_bitmap;
    uint64_t first = log->first_page, n = bitmap_words(log->num_pages);
    uint64_t bits = 0;
    KvmModelSlot *slot;
    int r = find_logged(m, log->slot, &slot);

    m->clears++;
    if (r != -ENXIO && first % MODEL_WORD_PAGES) {
        r = -EINVAL;
    }
    r = r ? r : check_range(slot, first, log->num_pages);
    r = r || !n ? r : check_user(m, words, n * 8, false);
    if (r) {
        return r;
    }
    for (uint64_t i = 0; i < n; i++) {
        kvm_model_interleave(m);
        bits += __builtin_popcountll(
            take_word(m, slot, first / MODEL_WORD_PAGES + i, words[i], false));
    }
    if (bits && m->bug != KVM_MODEL_BUG_NO_FLUSH) {
        kvm_model_flush(m, slot);
    }
    m->cleared_bits += bits;
    return 0;
}
