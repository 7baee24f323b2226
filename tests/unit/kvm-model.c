/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-model.h. Rules as in Documentation/virt/kvm/api.rst and as measured
 * on a kernel; conform-kvm-log.c holds this and /dev/kvm to the same ones.
 */
#include "kvm-model.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "util/bitmap.h"

#define PAGE_BYTES 4096
#define PAGE_BITS 12
#define WORD_PAGES 64
#define MAX_SLOT_PAGES ((UINT64_C(1) << 31) - 1)
#define KNOWN_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)

static void interleave(KvmModel *m)
{
    if (m->interleave) {
        m->interleave(m->opaque);
    }
}

static void slot_free(gpointer data)
{
    KvmModelSlot *slot = data;

    g_free(slot->dirty);
    g_free(slot->writable);
    g_free(slot);
}

KvmModelSlot *kvm_model_slot(KvmModel *m, uint32_t id)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        if (slot->id == id) {
            return slot;
        }
    }
    return NULL;
}

const char *kvm_model_broken(const KvmModel *m)
{
    for (guint i = 0; i < m->slots->len; i++) {
        const KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        for (uint64_t w = 0; slot->dirty && w < bitmap_words(slot->npages);
             w++) {
            if (slot->writable[w] & ~slot->dirty[w]) {
                return "I2: a page is writable and not dirty";
            }
        }
    }
    return NULL;
}

bool kvm_model_write(KvmModel *m, uint64_t gpa, uint64_t value)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);
        uint64_t page = (gpa - slot->gpa) >> PAGE_BITS;

        if (gpa < slot->gpa || page >= slot->npages) {
            continue;
        }
        if (slot->flags & KVM_MEM_READONLY) {
            return false;
        }
        /* The fault comes first and marks; then the store executes. */
        if (!bitmap_test_bit(slot->writable, page)) {
            if (slot->dirty) {
                bitmap_set_bit(slot->dirty, page);
            }
            bitmap_set_bit(slot->writable, page);
        }
        memcpy(slot->host + (page << PAGE_BITS), &value, sizeof(value));
        return true;
    }
    return false;
}

/* ---- slots ------------------------------------------------------------ */

static bool overlaps(const KvmModelSlot *slot, uint64_t gpa, uint64_t npages)
{
    return gpa < slot->gpa + (slot->npages << PAGE_BITS) &&
        slot->gpa < gpa + (npages << PAGE_BITS);
}

static bool is_taken(KvmModel *m, uint32_t id, uint64_t gpa, uint64_t npages)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        if (slot->id != id && overlaps(slot, gpa, npages)) {
            return true;
        }
    }
    return false;
}

/* Switching the log on protects everything, or calls everything dirty. */
static void log_on(KvmModel *m, KvmModelSlot *slot)
{
    slot->dirty = bitmap_try_new(slot->npages, NULL);
    if (m->manual & KVM_DIRTY_LOG_INITIALLY_SET) {
        bitmap_set(slot->dirty, 0, slot->npages);
    } else {
        bitmap_clear(slot->writable, 0, slot->npages);
    }
}

static void set_log(KvmModel *m, KvmModelSlot *slot, bool on)
{
    if (on && !slot->dirty) {
        log_on(m, slot);
    } else if (!on) {
        g_clear_pointer(&slot->dirty, g_free);
    }
}

static int create_slot(KvmModel *m,
                       const struct kvm_userspace_memory_region *r)
{
    KvmModelSlot *slot = g_new0(KvmModelSlot, 1);

    slot->id = r->slot;
    slot->flags = r->flags;
    slot->gpa = r->guest_phys_addr;
    slot->npages = r->memory_size >> PAGE_BITS;
    slot->host = (uint8_t *)(uintptr_t)r->userspace_addr;
    slot->writable = bitmap_try_new(slot->npages, NULL);
    set_log(m, slot, r->flags & KVM_MEM_LOG_DIRTY_PAGES);
    g_ptr_array_add(m->slots, slot);
    return 0;
}

static int change_slot(KvmModel *m, KvmModelSlot *slot,
                       const struct kvm_userspace_memory_region *r)
{
    if (slot->npages != r->memory_size >> PAGE_BITS ||
        slot->host != (uint8_t *)(uintptr_t)r->userspace_addr ||
        (slot->flags ^ r->flags) & KVM_MEM_READONLY) {
        return -EINVAL;
    }
    if (slot->gpa != r->guest_phys_addr) {
        slot->gpa = r->guest_phys_addr; /* mappings go, the bitmap stays */
        bitmap_clear(slot->writable, 0, slot->npages);
    }
    slot->flags = r->flags;
    set_log(m, slot, r->flags & KVM_MEM_LOG_DIRTY_PAGES);
    return 0;
}

static int set_region(KvmModel *m, const struct kvm_userspace_memory_region *r)
{
    KvmModelSlot *slot = kvm_model_slot(m, r->slot);
    uint64_t npages = r->memory_size >> PAGE_BITS;

    m->sets++;
    if (r->slot >= KVM_MODEL_SLOTS || r->flags & ~KNOWN_FLAGS ||
        r->memory_size % PAGE_BYTES || r->guest_phys_addr % PAGE_BYTES ||
        r->userspace_addr % PAGE_BYTES || npages > MAX_SLOT_PAGES) {
        return -EINVAL;
    }
    if (!npages) {
        return slot && g_ptr_array_remove(m->slots, slot) ? 0 : -EINVAL;
    }
    if (is_taken(m, r->slot, r->guest_phys_addr, npages)) {
        return -EEXIST;
    }
    return slot ? change_slot(m, slot, r) : create_slot(m, r);
}

/* ---- the log ---------------------------------------------------------- */

static int find_logged(KvmModel *m, uint32_t id, KvmModelSlot **ret)
{
    if (id >= KVM_MODEL_SLOTS) {
        return -EINVAL; /* there is one address space */
    }
    *ret = kvm_model_slot(m, id);
    return *ret && (*ret)->dirty ? 0 : -ENOENT;
}

/* Take the D bits of @mask in word @w, and W with them. */
static void take_word(KvmModel *m, KvmModelSlot *slot, uint64_t w,
                      uint64_t mask, bool by_get)
{
    uint64_t taken = slot->dirty[w] & mask;

    slot->dirty[w] &= ~taken;
    slot->writable[w] &= ~taken;
    for (unsigned b = 0; m->on_taken && b < WORD_PAGES; b++) {
        if (taken >> b & 1) {
            m->on_taken(m->opaque, slot, w * WORD_PAGES + b, by_get);
        }
    }
    if (!by_get) {
        m->cleared_bits += __builtin_popcountll(taken);
    }
}

static int get_log(KvmModel *m, const struct kvm_dirty_log *log)
{
    uint64_t *words = log->dirty_bitmap;
    KvmModelSlot *slot;
    int r = find_logged(m, log->slot, &slot);

    m->gets++;
    for (uint64_t w = 0; !r && w < bitmap_words(slot->npages); w++) {
        interleave(m);
        words[w] = slot->dirty[w];
        if (!m->manual) {
            take_word(m, slot, w, ~UINT64_C(0), true);
        }
    }
    return r;
}

static int clear_log(KvmModel *m, const struct kvm_clear_dirty_log *log)
{
    const uint64_t *words = log->dirty_bitmap;
    uint64_t first = log->first_page, n = log->num_pages;
    KvmModelSlot *slot;
    int r = first % WORD_PAGES ? -EINVAL : find_logged(m, log->slot, &slot);

    m->clears++;
    if (r) {
        return r;
    }
    if (first > slot->npages || n > slot->npages - first ||
        (n % WORD_PAGES && n < slot->npages - first)) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < bitmap_words(n); i++) {
        interleave(m);
        take_word(m, slot, first / WORD_PAGES + i, words[i], false);
    }
    return 0;
}

static int enable_cap(KvmModel *m, const struct kvm_enable_cap *cap)
{
    uint64_t want = cap->args[0];

    if (cap->cap != KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 || cap->flags ||
        want & ~m->offered ||
        want == KVM_DIRTY_LOG_INITIALLY_SET) {
        return -EINVAL;
    }
    m->manual = want;
    return 0;
}

static int check_extension(KvmModel *m, uintptr_t cap)
{
    switch (cap) {
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return m->offered;
    case KVM_CAP_NR_MEMSLOTS:
        return KVM_MODEL_SLOTS;
    case KVM_CAP_READONLY_MEM:
        return 1;
    default:
        return 0;
    }
}

/* ---- the seam --------------------------------------------------------- */

static bool must_fail(KvmModel *m, unsigned long request)
{
    if (!m->fail_errno || request != m->fail_request) {
        return false;
    }
    if (m->fail_after) {
        m->fail_after--;
        return false;
    }
    return true;
}

static int model_vm(KvmIo *io, unsigned long request, void *arg)
{
    KvmModel *m = io->opaque;
    const char *broken;
    int r;

    if (must_fail(m, request)) {
        return -m->fail_errno;
    }
    switch (request) {
    case KVM_CHECK_EXTENSION:
        return check_extension(m, (uintptr_t)arg);
    case KVM_ENABLE_CAP:
        r = enable_cap(m, arg);
        break;
    case KVM_SET_USER_MEMORY_REGION:
        r = set_region(m, arg);
        break;
    case KVM_GET_DIRTY_LOG:
        r = get_log(m, arg);
        break;
    case KVM_CLEAR_DIRTY_LOG:
        r = clear_log(m, arg);
        break;
    default:
        return -ENOTTY;
    }
    interleave(m);
    broken = kvm_model_broken(m);
    g_assert_cmpstr(broken, ==, NULL);
    return r;
}

static int model_sys(KvmIo *io, unsigned long request, void *arg)
{
    return -ENOTTY;
}

static int model_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg)
{
    return -ENOTTY;
}

static int model_open(KvmIo *io, const char **ret_what)
{
    return 0;
}

static void model_close(KvmIo *io)
{
}

static void *model_mmap(KvmIo *io, int vcpu_fd, size_t length)
{
    errno = ENODEV;
    return NULL;
}

static const KvmIoctlOps model_ops = {
    .open = model_open,
    .close = model_close,
    .sys = model_sys,
    .vm = model_vm,
    .vcpu = model_vcpu,
    .mmap = model_mmap,
};

KvmModel *kvm_model_new(uint64_t offered)
{
    KvmModel *m = g_new0(KvmModel, 1);

    m->io = (KvmIo) { .ops = &model_ops, .sys_fd = -1, .vm_fd = -1,
                      .opaque = m };
    m->offered = offered;
    m->slots = g_ptr_array_new_with_free_func(slot_free);
    return m;
}

void kvm_model_free(KvmModel *m)
{
    g_ptr_array_free(m->slots, TRUE);
    g_free(m);
}
