/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See kvm-model-ring.h: vCPUs' files, what is pushed into their rings, and
 * how a reset takes it.
 */
#include "kvm-model-int.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/bitmap.h"

#define MASK_PAGES 64

/* Pages of one slot that are protected together. */
typedef struct Mask {
    uint32_t slot;
    uint64_t first;      /* the lowest page, bit 0 */
    uint64_t bits;       /* 0: nothing yet */
    unsigned entries;    /* that it stands for */
} Mask;

/* ---- capabilities -------------------------------------------------------- */

static uint32_t reserved(const KvmModel *m)
{
    return KVM_MODEL_RING_RESERVED + (m->pml ? KVM_MODEL_PML_ENTRIES : 0);
}

static bool has_vcpus(const KvmModel *m)
{
    for (unsigned i = 0; i < KVM_MODEL_VCPUS; i++) {
        if (m->vcpus[i].is_made) {
            return true;
        }
    }
    return false;
}

int kvm_model_enable_ring(KvmModel *m, const struct kvm_enable_cap *cap)
{
    bool offered = cap->cap == KVM_CAP_DIRTY_LOG_RING ? m->offer_ring :
        m->offer_ring_acq_rel;
    uint32_t bytes = cap->args[0]; /* as much of it as the kernel looks at */

    if (!offered || bytes & (bytes - 1) ||
        bytes < MAX(MODEL_PAGE_BYTES,
                    reserved(m) * sizeof(struct kvm_dirty_gfn))) {
        return -EINVAL;
    }
    if (bytes > KVM_MODEL_RING_BYTES) {
        return -E2BIG;
    }
    if (m->ring_bytes || has_vcpus(m)) {
        return -EINVAL;
    }
    m->ring_bytes = bytes;
    return 0;
}

int kvm_model_enable_ring_bitmap(KvmModel *m,
                                 const struct kvm_enable_cap *cap)
{
    if (!m->offer_ring_bitmap || cap->flags || !m->ring_bytes ||
        m->slots->len) {
        return -EINVAL;
    }
    m->ring_with_bitmap = true;
    return 0;
}

/* ---- vCPUs' files -------------------------------------------------------- */

static void init_ring(KvmModel *m, KvmModelVcpu *v)
{
    KvmModelRing *ring = &v->ring;

    ring->entries = (struct kvm_dirty_gfn *)
        ((char *)v->file + KVM_DIRTY_LOG_PAGE_OFFSET * MODEL_PAGE_BYTES);
    ring->size = m->ring_bytes / sizeof(struct kvm_dirty_gfn);
    ring->soft_limit = ring->size - reserved(m);
    ring->dirty = ring->reset = m->ring_lap * ring->size;
    if (m->pml) {
        ring->pml = g_new0(uint64_t, KVM_MODEL_PML_ENTRIES);
    }
}

/* The file is memory that both sides map; its number is the caller's. */
static int open_file(KvmModel *m, KvmModelVcpu *v)
{
    int fd = memfd_create("kvm-model-vcpu", MFD_CLOEXEC);

    v->file_bytes = KVM_DIRTY_LOG_PAGE_OFFSET * MODEL_PAGE_BYTES +
        m->ring_bytes;
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, v->file_bytes), ==, 0);
    v->file = mmap(NULL, v->file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                   fd, 0);
    g_assert_true(v->file != MAP_FAILED);
    return fd;
}

KvmModelVcpu *kvm_model_vcpu_of(KvmModel *m, int fd)
{
    for (unsigned i = 0; i < KVM_MODEL_VCPUS; i++) {
        KvmModelVcpu *v = &m->vcpus[i];

        if (__atomic_load_n(&v->is_made, __ATOMIC_ACQUIRE) &&
            __atomic_load_n(&v->fd, __ATOMIC_RELAXED) == fd) {
            return v;
        }
    }
    return NULL;
}

int kvm_model_new_vcpu(KvmModel *m, uintptr_t id)
{
    KvmModelVcpu *v, *former;

    if (id >= KVM_MODEL_VCPUS) {
        return -EINVAL;
    }
    v = &m->vcpus[id];
    if (v->is_made) {
        return -EEXIST;
    }
    v->fd = open_file(m, v);
    former = kvm_model_vcpu_of(m, v->fd);
    if (former) { /* which the caller has closed */
        __atomic_store_n(&former->fd, -1, __ATOMIC_RELAXED);
    }
    v->run = v->file;
    if (m->ring_bytes) {
        init_ring(m, v);
    }
    __atomic_store_n(&v->is_made, true, __ATOMIC_RELEASE);
    return v->fd;
}

void kvm_model_vcpu_free(KvmModelVcpu *v)
{
    if (v->is_made) {
        munmap(v->file, v->file_bytes);
        g_free(v->ring.pml);
    }
}

static bool is_in_ring(const KvmModel *m, uint64_t page)
{
    return page >= KVM_DIRTY_LOG_PAGE_OFFSET &&
        page - KVM_DIRTY_LOG_PAGE_OFFSET < m->ring_bytes >> MODEL_PAGE_BITS;
}

void *kvm_model_vcpu_mmap(KvmModel *m, int vcpu_fd, int prot, int flags,
                          unsigned page, size_t length)
{
    uint64_t last = page + (length + MODEL_PAGE_BYTES - 1) / MODEL_PAGE_BYTES -
        1;
    void *p;

    if (!kvm_model_vcpu_of(m, vcpu_fd)) {
        errno = EBADF;
        return NULL;
    }
    if (prot & PROT_EXEC) {
        errno = EPERM;
        return NULL;
    }
    if (!(flags & MAP_SHARED) &&
        (is_in_ring(m, page) || is_in_ring(m, last))) {
        errno = EINVAL;
        return NULL;
    }
    p = mmap(NULL, length, prot, flags, vcpu_fd,
             (off_t)page << MODEL_PAGE_BITS);
    return p == MAP_FAILED ? NULL : p;
}

/* ---- pushing ------------------------------------------------------------- */

static uint32_t used(const KvmModelRing *ring)
{
    return __atomic_load_n(&ring->dirty, __ATOMIC_RELAXED) -
        __atomic_load_n(&ring->reset, __ATOMIC_RELAXED);
}

uint32_t kvm_model_ring_used(const KvmModel *m, unsigned vcpu)
{
    return used(&m->vcpus[vcpu].ring);
}

/* Pairs with the release of whoever harvested. */
static bool is_harvested(const KvmModelRing *ring, uint32_t index)
{
    return __atomic_load_n(&ring->entries[index % ring->size].flags,
                           __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET;
}

bool kvm_model_ring_is_full(const KvmModel *m, const KvmModelVcpu *v)
{
    const KvmModelRing *ring = &v->ring;

    if (!ring->entries || used(ring) < ring->soft_limit ||
        m->bug == KVM_MODEL_BUG_RING_NO_LIMIT) {
        return false;
    }
    return m->bug != KVM_MODEL_BUG_RING_HARVESTED ||
        !is_harvested(ring, ring->reset);
}

/* Nothing is asked here: who pushes has looked at the limit, or has not. */
static void push(KvmModel *m, KvmModelRing *ring, uint32_t slot,
                 uint64_t offset)
{
    struct kvm_dirty_gfn *e = &ring->entries[ring->dirty % ring->size];

    m->overwritten += used(ring) >= ring->size;
    __atomic_store_n(&e->slot, slot, __ATOMIC_RELAXED);
    __atomic_store_n(&e->offset, offset, __ATOMIC_RELAXED);
    /* Pairs with the acquire of whoever harvests. */
    __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->dirty, ring->dirty + 1, __ATOMIC_RELAXED);
    ring->pushes++;
}

/* Hardware knows addresses; slots are looked up when it is too late. */
static void push_address(KvmModel *m, KvmModelVcpu *v, uint64_t gpa)
{
    KvmModelSlot *slot = kvm_model_slot_at(m, v->as_id, gpa);

    if (slot && slot->flags & KVM_MEM_LOG_DIRTY_PAGES) {
        push(m, &v->ring, slot->id, (gpa - slot->gpa) >> MODEL_PAGE_BITS);
    }
}

void kvm_model_drain(KvmModel *m, KvmModelVcpu *v)
{
    for (unsigned i = 0; i < v->ring.n_pml; i++) {
        push_address(m, v, v->ring.pml[i]);
    }
    v->ring.n_pml = 0;
}

void kvm_model_push(KvmModel *m, KvmModelVcpu *v, KvmModelSlot *slot,
                    uint64_t page)
{
    KvmModelRing *ring = &v->ring;

    g_assert_nonnull(ring->entries); /* a vCPU of a ring VM has to be made */
    if (!ring->pml) {
        push(m, ring, slot->id, page);
        return;
    }
    ring->pml[ring->n_pml++] = slot->gpa + (page << MODEL_PAGE_BITS);
    if (ring->n_pml == KVM_MODEL_PML_ENTRIES) {
        kvm_model_drain(m, v);
        kvm_model_left(v);
    }
}

/* ---- resetting ----------------------------------------------------------- */

/* Returns: whether the page goes with those of @mask. */
static bool coalesce(Mask *mask, uint32_t slot, uint64_t page)
{
    uint64_t first = MIN(page, mask->first), last;

    if (!mask->bits || slot != mask->slot) {
        return false;
    }
    last = mask->first + MASK_PAGES - 1 - __builtin_clzll(mask->bits);
    if (MAX(page, last) - first >= MASK_PAGES) {
        return false;
    }
    mask->bits <<= mask->first - first;
    mask->bits |= UINT64_C(1) << (page - first);
    mask->first = first;
    mask->entries++;
    return true;
}

static void protect_word(KvmModel *m, KvmModelSlot *slot, uint64_t w,
                         uint64_t bits)
{
    if (bits) {
        g_mutex_lock(&m->mmu_lock);
        __atomic_fetch_and(&slot->writable[w], ~bits, __ATOMIC_SEQ_CST);
        g_mutex_unlock(&m->mmu_lock);
    }
}

/* A mask of which anything lies outside of its slot is left alone, all of it:
 * its entries are of a slot that was here before. */
static void protect(KvmModel *m, const Mask *mask)
{
    KvmModelSlot *slot = mask->bits ? kvm_model_slot(m, mask->slot) : NULL;
    uint64_t bits = mask->bits, w = mask->first / MASK_PAGES;
    unsigned shift = mask->first % MASK_PAGES;

    if (!slot || mask->first >= slot->npages ||
        MASK_PAGES - 1 - __builtin_clzll(bits) >= slot->npages - mask->first ||
        m->bug == KVM_MODEL_BUG_RESET_NO_PROTECT) {
        return;
    }
    if (m->bug == KVM_MODEL_BUG_RESET_FIRST_ONLY) {
        bits = 1;
    }
    protect_word(m, slot, w, bits << shift);
    protect_word(m, slot, w + 1, shift ? bits >> (MASK_PAGES - shift) : 0);
}

/* Returns: whether a reset that has taken @n entries ends here. */
static bool is_cut(KvmModel *m, unsigned n)
{
    if (!m->reset_cuts || n != m->reset_cut_after) {
        return false;
    }
    m->reset_cuts--;
    return true;
}

static void add_entry(KvmModel *m, Mask *mask, uint32_t slot, uint64_t page)
{
    if (!coalesce(mask, slot, page)) {
        protect(m, mask);
        *mask = (Mask) { slot, page, 1, 1 };
    }
}

/* Returns: whether the reset goes on with the next ring. */
static bool reset_ring(KvmModel *m, KvmModelRing *ring, unsigned *n)
{
    Mask mask = { 0 };
    bool cut;

    while (!(cut = is_cut(m, *n))) {
        struct kvm_dirty_gfn *e = &ring->entries[ring->reset % ring->size];
        uint32_t slot;
        uint64_t offset;

        kvm_model_interleave(m);
        if (!is_harvested(ring, ring->reset) &&
            (m->bug != KVM_MODEL_BUG_RESET_SKIPS || !used(ring))) {
            break;
        }
        slot = __atomic_load_n(&e->slot, __ATOMIC_RELAXED);
        offset = __atomic_load_n(&e->offset, __ATOMIC_RELAXED);
        __atomic_store_n(&e->flags, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&ring->reset, ring->reset + 1, __ATOMIC_RELAXED);
        ++*n;
        add_entry(m, &mask, slot, offset);
    }
    if (cut && m->reset_cut_drops) {
        m->dropped += mask.entries;
    } else {
        protect(m, &mask);
    }
    return !cut;
}

static void flush_all(KvmModel *m)
{
    for (guint i = 0; i < m->slots->len; i++) {
        kvm_model_flush(m, g_ptr_array_index(m->slots, i));
    }
}

int kvm_model_reset_rings(KvmModel *m)
{
    bool go_on = true;
    unsigned n = 0;

    m->resets++;
    if (!m->ring_bytes) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < KVM_MODEL_VCPUS && go_on; i++) {
        if (m->vcpus[i].is_made) {
            go_on = reset_ring(m, &m->vcpus[i].ring, &n) &&
                m->bug != KVM_MODEL_BUG_RESET_ONE_RING;
        }
    }
    kvm_model_interleave(m);
    if (n && m->bug != KVM_MODEL_BUG_RESET_NO_FLUSH) {
        flush_all(m);
    }
    m->reset_entries += n;
    return n;
}

/* ---- the invariant ------------------------------------------------------- */

static void note(uint64_t *seen, const KvmModelSlot *slot, uint64_t page)
{
    if (page < slot->npages) {
        bitmap_set_bit(seen, page);
    }
}

/* What lies between the indices, as far as it has not been overwritten. */
static void note_ring(uint64_t *seen, const KvmModelSlot *slot,
                      const KvmModelRing *ring)
{
    uint32_t n = MIN(used(ring), ring->size);

    for (uint32_t i = 1; i <= n; i++) {
        const struct kvm_dirty_gfn *e =
            &ring->entries[(ring->dirty - i) % ring->size];

        if (e->slot == slot->id) {
            note(seen, slot, e->offset);
        }
    }
}

static void note_vcpu(uint64_t *seen, const KvmModelSlot *slot,
                      const KvmModelVcpu *v)
{
    note_ring(seen, slot, &v->ring);
    for (unsigned i = 0; i < v->ring.n_pml; i++) {
        if (v->as_id == slot->id >> 16 && v->ring.pml[i] >= slot->gpa) {
            note(seen, slot, (v->ring.pml[i] - slot->gpa) >> MODEL_PAGE_BITS);
        }
    }
}

bool kvm_model_in_rings(KvmModel *m, const KvmModelSlot *slot)
{
    g_autofree uint64_t *seen = bitmap_try_new(slot->npages, NULL);
    bool all = true;

    for (unsigned i = 0; i < KVM_MODEL_VCPUS; i++) {
        if (m->vcpus[i].is_made) {
            note_vcpu(seen, slot, &m->vcpus[i]);
        }
    }
    for (uint64_t w = 0; w < bitmap_words(slot->npages); w++) {
        all = all && !(__atomic_load_n(&slot->writable[w], __ATOMIC_RELAXED) &
                       ~seen[w]);
    }
    return all;
}
