/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address spaces of the real kernel: one for vCPUs in system management mode,
 * one for all others. Each has slots of its own, with a dirty log of its own,
 * and what a vCPU writes is in the log of the space it is in.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/kvm/kvm-vm.h"
#include "raw-guest.h"
#include "util/bitmap.h"

#define PAGE UINT64_C(4096)
#define NPAGES 128
#define WORDS (NPAGES / 64)
#define GPA UINT64_C(0x1000000)
#define CODE_SLOT 7
#define SMM UINT32_C(0x10000)  /* added to a slot's id: the second space */

typedef struct Spaces {
    KvmIo io;
    uint8_t *memory[2];
    RawGuest *g;
    RawVcpu *v;
} Spaces;

static int set_slot(Spaces *s, uint32_t id, uint64_t gpa, uint64_t bytes,
                    uint32_t flags, void *host)
{
    struct kvm_userspace_memory_region r = {
        .slot = id, .flags = flags, .guest_phys_addr = gpa,
        .memory_size = bytes, .userspace_addr = (uintptr_t)host,
    };

    return kvm_vm(&s->io, KVM_SET_USER_MEMORY_REGION, &r);
}

static void enable_manual(Spaces *s, uint64_t arg)
{
    struct kvm_enable_cap c = {
        .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { arg },
    };

    g_assert_cmpint(kvm_vm(&s->io, KVM_ENABLE_CAP, &c), ==, 0);
}

static void check_log(Spaces *s, uint32_t id, uint64_t low, uint64_t high)
{
    uint64_t words[WORDS] = { 0 };
    struct kvm_dirty_log log = { .slot = id, .dirty_bitmap = words };

    g_assert_cmpint(kvm_vm(&s->io, KVM_GET_DIRTY_LOG, &log), ==, 0);
    g_assert_cmphex(words[0], ==, low);
    g_assert_cmphex(words[1], ==, high);
}

static void clear_first(Spaces *s, uint32_t id, uint64_t bits)
{
    struct kvm_clear_dirty_log log = {
        .slot = id, .first_page = 0, .num_pages = 64, .dirty_bitmap = &bits,
    };

    g_assert_cmpint(kvm_vm(&s->io, KVM_CLEAR_DIRTY_LOG, &log), ==, 0);
}

static bool spaces_open(Spaces *s)
{
    g_autoptr(GError) error = NULL;
    KvmCaps caps;

    if (access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("no access to /dev/kvm");
        return false;
    }
    s->io = (KvmIo) { .ops = &kvm_ioctl_kernel_ops, .sys_fd = -1,
                      .vm_fd = -1 };
    kvm_vm_open(&s->io, &caps, &error);
    g_assert_no_error(error);
    if (kvm_vm(&s->io, KVM_CHECK_EXTENSION,
               KVM_ARG(KVM_CAP_MULTI_ADDRESS_SPACE)) < 2) {
        g_test_skip("KVM with one address space");
        s->io.ops->close(&s->io);
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        s->memory[i] = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(s->memory[i] != MAP_FAILED);
    }
    return true;
}

static void spaces_close(Spaces *s)
{
    s->io.ops->close(&s->io);
    munmap(s->memory[0], NPAGES * PAGE);
    munmap(s->memory[1], NPAGES * PAGE);
}

/* Slots of one id in both spaces: what happens to one leaves the other be. */
static void test_slots_are_apart(void)
{
    const uint32_t log = KVM_MEM_LOG_DIRTY_PAGES;
    Spaces s;

    if (!spaces_open(&s)) {
        return;
    }
    enable_manual(&s, 3);
    g_assert_cmpint(set_slot(&s, 0, GPA, NPAGES * PAGE, log, s.memory[0]), ==,
                    0);
    g_assert_cmpint(set_slot(&s, SMM, GPA, NPAGES * PAGE, log, s.memory[1]),
                    ==, 0);
    g_assert_cmpint(set_slot(&s, SMM | 1, GPA, PAGE, 0, s.memory[0]), ==,
                    -EEXIST);
    check_log(&s, 0, UINT64_MAX, UINT64_MAX);
    clear_first(&s, SMM, 0xf0);
    check_log(&s, 0, UINT64_MAX, UINT64_MAX);
    check_log(&s, SMM, ~UINT64_C(0xf0), UINT64_MAX);
    clear_first(&s, 0, 0xf);
    check_log(&s, 0, ~UINT64_C(0xf), UINT64_MAX);
    check_log(&s, SMM, ~UINT64_C(0xf0), UINT64_MAX);
    g_assert_cmpint(set_slot(&s, 0, GPA, 0, 0, s.memory[0]), ==, 0);
    check_log(&s, SMM, ~UINT64_C(0xf0), UINT64_MAX);
    spaces_close(&s);
}

static void set_smm(Spaces *s, bool on)
{
    struct kvm_vcpu_events e;

    g_assert_cmpint(kvm_vcpu(&s->io, s->v->fd, KVM_GET_VCPU_EVENTS, &e), ==,
                    0);
    e.flags = KVM_VCPUEVENT_VALID_SMM;
    e.smi.smm = on;
    e.smi.pending = 0;
    g_assert_cmpint(kvm_vcpu(&s->io, s->v->fd, KVM_SET_VCPU_EVENTS, &e), ==,
                    0);
}

static void start_guest(Spaces *s)
{
    const struct kvm_regs none = { 0 };

    s->g = raw_guest_new(&s->io, CODE_SLOT);
    raw_guest_map(s->g, GPA, NPAGES * PAGE);
    g_assert_cmpint(set_slot(s, SMM | CODE_SLOT, RAW_GPA, RAW_BYTES, 0,
                             s->g->host), ==, 0);
    s->v = raw_vcpu_new(s->g, 0, 0, raw_store_code, raw_store_code_bytes,
                        &none);
}

static uint64_t value_at(const uint8_t *memory, uint64_t page)
{
    return *(volatile const uint64_t *)(memory + page * PAGE);
}

static void check_stores(Spaces *s)
{
    g_assert_true(raw_vcpu_store(s->v, GPA + 3 * PAGE, 11));
    check_log(s, 0, 1 << 3, 0);
    check_log(s, SMM, 0, 0);
    set_smm(s, true);
    g_assert_true(raw_vcpu_store(s->v, GPA + 5 * PAGE, 12));
    g_assert_true(raw_vcpu_store(s->v, GPA + 70 * PAGE, 13));
    check_log(s, 0, 1 << 3, 0);
    check_log(s, SMM, 1 << 5, 1 << 6);
    clear_first(s, SMM, 1 << 5);
    g_assert_true(raw_vcpu_store(s->v, GPA + 6 * PAGE, 14));
    check_log(s, SMM, 1 << 6, 1 << 6);
    set_smm(s, false);
    g_assert_true(raw_vcpu_store(s->v, GPA + 5 * PAGE, 15));
    check_log(s, 0, 1 << 3 | 1 << 5, 0);
    check_log(s, SMM, 1 << 6, 1 << 6);
    g_assert_cmpuint(value_at(s->memory[0], 3), ==, 11);
    g_assert_cmpuint(value_at(s->memory[0], 5), ==, 15);
    g_assert_cmpuint(value_at(s->memory[0], 6), ==, 0);
    g_assert_cmpuint(value_at(s->memory[1], 3), ==, 0);
    g_assert_cmpuint(value_at(s->memory[1], 5), ==, 12);
    g_assert_cmpuint(value_at(s->memory[1], 70), ==, 13);
}

/* The same guest addresses, other memory: stores in and out of SMM. */
static void test_stores_mark_their_space(void)
{
    const uint32_t log = KVM_MEM_LOG_DIRTY_PAGES;
    Spaces s;

    if (!spaces_open(&s)) {
        return;
    }
    if (kvm_vm(&s.io, KVM_CHECK_EXTENSION, KVM_ARG(KVM_CAP_X86_SMM)) <= 0) {
        g_test_skip("KVM without system management mode");
        spaces_close(&s);
        return;
    }
    enable_manual(&s, 1);
    g_assert_cmpint(set_slot(&s, 0, GPA, NPAGES * PAGE, log, s.memory[0]), ==,
                    0);
    g_assert_cmpint(set_slot(&s, SMM, GPA, NPAGES * PAGE, log, s.memory[1]),
                    ==, 0);
    start_guest(&s);
    check_stores(&s);
    raw_vcpu_free(s.v);
    raw_guest_free(s.g);
    spaces_close(&s);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-spaces/slots/are-apart", test_slots_are_apart);
    g_test_add_func("/kvm-spaces/stores/mark-their-space",
                    test_stores_mark_their_space);
    return g_test_run();
}
