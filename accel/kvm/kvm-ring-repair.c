/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring that overflowed. The kernel pushes past the end of a full ring where
 * guest code is emulated without a look at the limit: it overwrites what was
 * not yet read, its dirty index runs more than a ring's length ahead of its
 * reset index, and from then on "used" entries remain that no flag shows:
 *
 *     kernel's reset     user's next          kernel's dirty
 *          |                 |                     |
 *          | dirty (overwritten), free, dirty ...  |
 *
 * The vCPU then leaves with a full ring for ever, and there is nothing to
 * harvest. Neither index can be read. But flags may be written by user space,
 * and the kernel takes back whatever is flagged as harvested, one entry after
 * the other; which it took shows by their flags, where the number that it
 * tells is of all vCPUs. Two things must not happen: that it takes
 * back more than was pushed (its count of used entries would wrap, and the
 * ring be full for ever), and that an entry stays flagged behind its reset
 * index (it would be taken in the next lap, with the same result).
 *
 * So, with the vCPU out of guest mode:
 *
 *   - All entries are flagged: it has overflowed, every entry was pushed, and
 *     all may be taken. Where the kernel begins is found by giving back one
 *     half: it stops at its end if it begins in it. How far it ran ahead is
 *     not known afterwards: astray.
 *   - Some are: what is flagged was pushed. After they were given back the
 *     ones that were taken end where the kernel's reset index is; those that
 *     were not lie ahead of it, behind entries that were pushed and wiped out:
 *     the gap is flagged and taken too. The ring is in order then.
 *   - None is, and the vCPU says that the ring is full: at least as many as
 *     the limit are used, a quarter of the ring may be taken blindly. Enough
 *     of these, and the vCPU runs; its next push shows where it is.
 */
#include "accel/kvm/kvm-ring.h"

static uint32_t *flag(const KvmRing *r, uint32_t index)
{
    return &r->entries[index & (r->n - 1)].flags;
}

static bool is_free(const KvmRing *r, uint32_t index)
{
    return __atomic_load_n(flag(r, index), __ATOMIC_ACQUIRE) == 0;
}

static void set_flags(KvmRing *r, uint32_t first, uint32_t count,
                      uint32_t value)
{
    for (uint32_t i = 0; i < count; i++) {
        __atomic_store_n(flag(r, first + i), value, __ATOMIC_RELEASE);
    }
}

/* Give back all that is not free. */
static void give_flagged(KvmRing *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (!is_free(r, i)) {
            set_flags(r, i, 1, KVM_DIRTY_GFN_F_RESET);
        }
    }
}

static uint32_t count_flagged(const KvmRing *r)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < r->n; i++) {
        count += !is_free(r, i);
    }
    return count;
}

/* Returns: how many of this ring's entries the kernel took. */
static uint32_t take(KvmRing *r, KvmRingResetFn *reset, void *opaque)
{
    uint32_t before = count_flagged(r);

    reset(opaque);
    return before - count_flagged(r);
}

static void go_to(KvmRing *r, uint32_t index)
{
    r->next = r->reset = index & (r->n - 1);
}

/* Every entry is flagged, so every one was pushed. Half of them is given back:
 * if the kernel begins in it, it stops at its end. */
static void take_whole(KvmRing *r, KvmRingResetFn *reset, void *opaque)
{
    uint32_t half = r->n / 2, begin = half;

    set_flags(r, 0, half, KVM_DIRTY_GFN_F_RESET);
    set_flags(r, half, half, KVM_DIRTY_GFN_F_DIRTY);
    if (!take(r, reset, opaque)) {
        set_flags(r, 0, half, KVM_DIRTY_GFN_F_DIRTY);
        set_flags(r, half, half, KVM_DIRTY_GFN_F_RESET);
        reset(opaque);
        begin = 0;
    }
    give_flagged(r);
    go_to(r, begin + take(r, reset, opaque));
}

/* Which were taken: of those flagged in @before none is flagged now. */
static bool was_taken(const KvmRing *r, const bool *before, uint32_t index)
{
    return before[index & (r->n - 1)] && is_free(r, index);
}

/* Where the kernel is now: behind the entries that it took. */
static void find_end_of_taken(KvmRing *r, const bool *before)
{
    for (uint32_t i = 0; i < r->n; i++) {
        if (was_taken(r, before, i) && !was_taken(r, before, i + 1)) {
            go_to(r, i + 1);
            return;
        }
    }
}

/* Entries up to and with the last flagged one, counted from next. */
static uint32_t flagged_span(const KvmRing *r)
{
    uint32_t span = r->n;

    while (span && is_free(r, r->next + span - 1)) {
        span--;
    }
    return span;
}

/*
 * Some entries are flagged. Returns: whether the ring is in order now. It is
 * not if some were taken at once and others lie behind a gap: the vCPU has
 * then gone around once more.
 */
static bool take_some(KvmRing *r, KvmRingResetFn *reset, void *opaque)
{
    g_autofree bool *before = g_new(bool, r->n);
    uint32_t taken, span;

    for (uint32_t i = 0; i < r->n; i++) {
        before[i] = !is_free(r, i);
    }
    give_flagged(r);
    taken = take(r, reset, opaque);
    if (taken) {
        find_end_of_taken(r, before);
    }
    span = flagged_span(r);
    if (!span) {
        return true;
    }
    set_flags(r, r->next, span, KVM_DIRTY_GFN_F_RESET);
    go_to(r, r->next + take(r, reset, opaque));
    return !taken && !flagged_span(r);
}

/* None is flagged and the vCPU cannot go on. */
static void take_blindly(KvmRing *r, KvmRingResetFn *reset, void *opaque)
{
    set_flags(r, r->next, r->n / 4, KVM_DIRTY_GFN_F_RESET);
    go_to(r, r->next + take(r, reset, opaque));
}

bool kvm_ring_repair(KvmRing *r, KvmRingResetFn *reset, void *opaque)
{
    uint32_t flagged = count_flagged(r);
    bool stuck = __atomic_exchange_n(&r->stuck, false, __ATOMIC_ACQ_REL);

    if (flagged == r->n) {
        take_whole(r, reset, opaque);
        r->astray = true;
    } else if (flagged) {
        r->astray = !take_some(r, reset, opaque);
    } else if (stuck) {
        take_blindly(r, reset, opaque);
        r->astray = true;
    }
    r->suspect = 0;
    /* Nothing pushed, and stuck all the same: that cannot go on for ever. */
    __atomic_store_n(&r->repairs, stuck && !flagged ? r->repairs + 1 : 0,
                     __ATOMIC_RELAXED);
    return !r->astray;
}
