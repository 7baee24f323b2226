/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See bench-kernel.h.
 */
#include "bench-kernel.h"

#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "bench-report.h"
#include "system/ramblock.h"
#include "util/bitmap.h"

static int counted_vm(KvmIo *io, unsigned long request, void *arg)
{
    BenchKernel *k = io->opaque;
    uint64_t begin_ns = bench_now_ns();
    int r = kvm_vm(k->below, request, arg);

    k->ns += bench_now_ns() - begin_ns;
    k->calls++;
    return r;
}

static const KvmIoctlOps counted_ops = {
    .vm = counted_vm, /* all that slots call */
};

/* from rdi below rsi, by rbx: mov [rdi],rdi; add rdi,rbx; cmp rdi,rsi; jb;
 * out RAW_PORT,al; and once more */
static const uint8_t store_code[] = {
    0x48, 0x89, 0x3f, 0x48, 0x01, 0xdf, 0x48, 0x39, 0xf7, 0x72, 0xf5,
    0xe6, RAW_PORT, 0xeb, 0xf1,
};

const char *bench_kernel_why_not(void)
{
    return access("/dev/kvm", R_OK | W_OK) ? "no access to /dev/kvm" : NULL;
}

static void open_kvm(BenchKernel *k, uint64_t bytes)
{
    struct kvm_regs regs = { 0 };
    g_autoptr(GError) error = NULL;
    KvmCaps caps;

    k->kvm = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1,
                       .vm_fd = -1 };
    kvm_vm_open(&k->kvm, &caps, &error);
    g_assert_no_error(error);
    k->below = &k->kvm;
    k->max_slots = caps.max_slots - 1;
    k->guest = raw_guest_new(&k->kvm, caps.max_slots - 1);
    raw_guest_map(k->guest, 0, bytes);
    k->vcpu = raw_vcpu_new(k->guest, 0, 3, store_code, sizeof(store_code),
                           &regs);
}

static void open_model(BenchKernel *k)
{
    k->model = kvm_model_new(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
                             KVM_DIRTY_LOG_INITIALLY_SET);
    k->model->unchecked = true;
    k->below = &k->model->io;
    k->max_slots = KVM_MODEL_SLOTS;
}

BenchKernel *bench_kernel_new(bool real, uint64_t bytes)
{
    BenchKernel *k = g_new0(BenchKernel, 1);

    if (real) {
        open_kvm(k, bytes);
    } else {
        open_model(k);
    }
    k->io = (KvmIo) { .ops = &counted_ops, .sys_fd = -1, .vm_fd = -1,
                      .opaque = k };
    return k;
}

void bench_kernel_free(BenchKernel *k)
{
    if (k->model) {
        kvm_model_free(k->model);
    } else {
        raw_vcpu_free(k->vcpu);
        raw_guest_free(k->guest);
        k->kvm.ops->close(&k->kvm);
    }
    g_free(k);
}

/* ---- dirty pages -------------------------------------------------------- */

/* Numbers that look random: Marsaglia's xorshift. */
static uint64_t random_word(void)
{
    static uint64_t x = UINT64_C(0x9e3779b97f4a7c15);

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

void bench_dirty_words(uint64_t *words, uint64_t npages, double fraction)
{
    if (fraction >= 1) {
        bitmap_set(words, 0, npages);
    } else if (fraction >= 0.5) {
        for (uint64_t page = 0; page + 64 <= npages; page += 64) {
            words[page / 64] |= random_word();
        }
    } else if (fraction > 0) {
        uint64_t most = 2 / fraction - 1; /* from one to the next */

        for (uint64_t page = random_word() % most; page < npages;
             page += 1 + random_word() % most) {
            words[page / 64] |= UINT64_C(1) << page % 64;
        }
    }
}

static void dirty_model(KvmModel *m, double fraction)
{
    for (guint i = 0; i < m->slots->len; i++) {
        KvmModelSlot *slot = g_ptr_array_index(m->slots, i);

        if (slot->dirty) {
            bench_dirty_words(slot->dirty, slot->npages, fraction);
        }
    }
}

/* Where there is no slot the store leaves as MMIO, to nowhere. */
static void dirty_kvm(BenchKernel *k, uint64_t bytes, double fraction)
{
    struct kvm_regs r;
    int reason;

    g_assert_cmpint(kvm_vcpu(&k->kvm, k->vcpu->fd, KVM_GET_REGS, &r), ==, 0);
    r.rdi = 0;
    r.rsi = bytes;
    r.rbx = (uint64_t)(1 / fraction) * TM_PAGE_BYTES;
    g_assert_cmpint(kvm_vcpu(&k->kvm, k->vcpu->fd, KVM_SET_REGS, &r), ==, 0);
    while ((reason = raw_vcpu_run(k->vcpu)) != KVM_EXIT_IO) {
        g_assert_cmpint(reason, ==, KVM_EXIT_MMIO);
    }
}

void bench_kernel_dirty(BenchKernel *k, uint64_t bytes, double fraction)
{
    if (k->model) {
        dirty_model(k->model, fraction);
    } else if (fraction > 0) {
        dirty_kvm(k, bytes, fraction);
    }
}

double bench_kernel_us(BenchKernel *k)
{
    double us = k->ns / 1e3;

    k->ns = 0;
    return us;
}
