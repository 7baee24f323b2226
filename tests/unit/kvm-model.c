/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-model.h: the VM and the seam, capabilities, made-up failures.
 */
#include "kvm-model-int.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bitmap.h"

void kvm_model_interleave(KvmModel *m)
{
    if (m->interleave) {
        m->interleave(m->opaque);
    }
}

static bool slot_is_broken(KvmModel *m, const KvmModelSlot *slot)
{
    if (m->ring_bytes) {
        return slot->flags & KVM_MEM_LOG_DIRTY_PAGES &&
            !kvm_model_in_rings(m, slot);
    }
    for (uint64_t w = 0; slot->dirty && w < bitmap_words(slot->npages); w++) {
        if (__atomic_load_n(&slot->writable[w], __ATOMIC_RELAXED) &
            ~__atomic_load_n(&slot->dirty[w], __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

const char *kvm_model_broken(KvmModel *m)
{
    bool broken = false;

    g_mutex_lock(&m->mmu_lock);
    for (guint i = 0; i < m->slots->len && !broken; i++) {
        broken = slot_is_broken(m, g_ptr_array_index(m->slots, i));
    }
    g_mutex_unlock(&m->mmu_lock);
    return !broken ? NULL : m->ring_bytes ?
        "I2: a page is writable and in no ring" :
        "I2: a page is writable and not dirty";
}

/* A kernel that was told to lose pages has lost some. */
static bool has_lost(KvmModel *m)
{
    bool lost;

    g_mutex_lock(&m->mmu_lock);
    lost = m->overwritten || m->dropped;
    g_mutex_unlock(&m->mmu_lock);
    return lost;
}

static void check(KvmModel *m)
{
    if (!m->unchecked && m->bug == KVM_MODEL_RIGHT) {
        const char *broken = kvm_model_broken(m);

        g_assert_cmpstr(has_lost(m) ? NULL : broken, ==, NULL);
    }
}

/* ---- capabilities ------------------------------------------------------- */

static int enable_manual(KvmModel *m, const struct kvm_enable_cap *cap)
{
    uint64_t want = cap->args[0];

    if (cap->flags || want & ~m->offered ||
        want == KVM_DIRTY_LOG_INITIALLY_SET) {
        return -EINVAL;
    }
    m->manual = want;
    return 0;
}

static int enable_cap(KvmModel *m, const struct kvm_enable_cap *cap)
{
    switch (cap->cap) {
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return enable_manual(m, cap);
    case KVM_CAP_DIRTY_LOG_RING:
    case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
        return kvm_model_enable_ring(m, cap);
    case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
        return kvm_model_enable_ring_bitmap(m, cap);
    default:
        return -EINVAL;
    }
}

static int check_extension(KvmModel *m, uintptr_t cap)
{
    switch (cap) {
    case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
        return m->offered;
    case KVM_CAP_DIRTY_LOG_RING:
        return m->offer_ring ? KVM_MODEL_RING_BYTES : 0;
    case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
        return m->offer_ring_acq_rel ? KVM_MODEL_RING_BYTES : 0;
    case KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP:
        return m->offer_ring_bitmap;
    case KVM_CAP_NR_MEMSLOTS:
        return KVM_MODEL_SLOTS;
    case KVM_CAP_MULTI_ADDRESS_SPACE:
        return m->address_spaces;
    case KVM_CAP_READONLY_MEM:
        return 1;
    default:
        return 0;
    }
}

/* ---- the seam ----------------------------------------------------------- */

/* Chosen by its number among all calls. */
static bool is_chosen(const KvmModel *m)
{
    return m->calls >= m->fail_call && m->calls - m->fail_call < m->fail_calls;
}

static int chosen_errno(KvmModel *m)
{
    m->calls++;
    if (!m->fail_late) {
        return is_chosen(m) ? m->fail_chosen : 0;
    }
    m->fail_copy_out = is_chosen(m);
    return 0;
}

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

static int call_locked(KvmModel *m, unsigned long request, void *arg)
{
    int chosen = chosen_errno(m);

    if (chosen) {
        return -chosen;
    }
    if (must_fail(m, request)) {
        return -m->fail_errno;
    }
    switch (request) {
    case KVM_CHECK_EXTENSION:
        return check_extension(m, (uintptr_t)arg);
    case KVM_ENABLE_CAP:
        return enable_cap(m, arg);
    case KVM_SET_USER_MEMORY_REGION:
        return kvm_model_set_region(m, arg);
    case KVM_GET_DIRTY_LOG:
        return kvm_model_get_log(m, arg);
    case KVM_CLEAR_DIRTY_LOG:
        return kvm_model_clear_log(m, arg);
    case KVM_CREATE_VCPU:
        return kvm_model_new_vcpu(m, (uintptr_t)arg);
    case KVM_RESET_DIRTY_RINGS:
        return kvm_model_reset_rings(m);
    default:
        return -ENOTTY;
    }
}

static int model_vm(KvmIo *io, unsigned long request, void *arg)
{
    KvmModel *m = io->opaque;
    int r;

    g_mutex_lock(&m->slots_lock);
    r = call_locked(m, request, arg);
    if (request != KVM_CHECK_EXTENSION) {
        kvm_model_interleave(m);
    }
    check(m);
    g_mutex_unlock(&m->slots_lock);
    return r;
}

static int model_sys(KvmIo *io, unsigned long request, void *arg)
{
    return request == KVM_GET_VCPU_MMAP_SIZE ? (int)MODEL_PAGE_BYTES : -ENOTTY;
}

static int model_vcpu(KvmIo *io, int vcpu_fd, unsigned long request, void *arg)
{
    KvmModelVcpu *v = kvm_model_vcpu_of(io->opaque, vcpu_fd);

    if (!v) {
        return -EBADF;
    }
    return request == KVM_RUN ? kvm_model_run(io->opaque, v) : -ENOTTY;
}

static int model_open(KvmIo *io, const char **ret_what)
{
    return 0;
}

static void model_close(KvmIo *io)
{
}

static void *model_mmap(KvmIo *io, int vcpu_fd, unsigned page,
                        size_t length)
{
    return kvm_model_vcpu_mmap(io->opaque, vcpu_fd, PROT_READ | PROT_WRITE,
                               MAP_SHARED, page, length);
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
    /* not g_new0(): a vCPU wants a cache line of its own */
    KvmModel *m = g_aligned_alloc0(1, sizeof(KvmModel), 64);

    m->io = (KvmIo) { .ops = &model_ops, .sys_fd = -1, .vm_fd = -1,
                      .opaque = m };
    m->offered = offered;
    m->address_spaces = 1;
    m->slots = g_ptr_array_new();
    m->memory_fd = memfd_create("kvm-model", MFD_CLOEXEC);
    g_assert_cmpint(m->memory_fd, >=, 0);
    g_mutex_init(&m->slots_lock);
    g_mutex_init(&m->mmu_lock);
    return m;
}

void kvm_model_free(KvmModel *m)
{
    for (unsigned i = 0; i < KVM_MODEL_VCPUS; i++) {
        kvm_model_vcpu_free(&m->vcpus[i]);
    }
    g_ptr_array_set_free_func(m->slots, kvm_model_slot_free);
    g_ptr_array_free(m->slots, TRUE);
    g_mutex_clear(&m->slots_lock);
    g_mutex_clear(&m->mmu_lock);
    close(m->memory_fd);
    g_aligned_free(m);
}
