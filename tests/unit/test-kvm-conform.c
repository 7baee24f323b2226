/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance list on the kernel model: a right one passes, with one and
 * with several address spaces; one that is wrong does not.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <unistd.h>

#include "conform-kvm-log.h"
#include "kvm-model.h"

static bool model_store(ConformKernel *k, uint64_t gpa, uint64_t value)
{
    return kvm_model_write(k->opaque, gpa, value);
}

/* What kernel a body is run on. */
typedef struct Kind {
    KvmModelBug bug;
    uint32_t address_spaces;   /* 0: one */
    uint32_t ring_entries;     /* 0: 1024 */
    bool pml;
} Kind;

typedef struct ModelKernel {
    ConformKernel k;
    KvmModel *m;
    int fds[2];                /* of vCPUs; 0: none */
} ModelKernel;

static int model_vcpu(ConformKernel *k, unsigned vcpu)
{
    ModelKernel *mk = (ModelKernel *)k;

    if (!mk->fds[vcpu]) {
        mk->fds[vcpu] = kvm_vm(k->io, KVM_CREATE_VCPU, KVM_ARG(vcpu));
        g_assert_cmpint(mk->fds[vcpu], >, 0);
    }
    return mk->fds[vcpu];
}

/* Each store is followed by an exit, as the real guest's is. */
static int model_try_store(ConformKernel *k, unsigned vcpu, uint64_t gpa,
                           uint64_t value)
{
    KvmModelStore r;

    model_vcpu(k, vcpu);
    r = kvm_model_vcpu_try(k->opaque, vcpu, gpa, value);
    kvm_model_kick(k->opaque, vcpu);
    return r == KVM_MODEL_STORED ? 0 :
        r == KVM_MODEL_EXIT ? KVM_EXIT_MMIO : KVM_EXIT_DIRTY_RING_FULL;
}

static void *model_map(ConformKernel *k, int vcpu_fd, int prot, int flags,
                       unsigned page, size_t length)
{
    return kvm_model_vcpu_mmap(k->opaque, vcpu_fd, prot, flags, page, length);
}

static void run_body(const ConformBody *body, Kind kind)
{
    KvmModel *m = kvm_model_new(3);
    ModelKernel mk = {
        .k = { .io = &m->io, .max_slots = KVM_MODEL_SLOTS,
               .store = model_store, .vcpu = model_vcpu,
               .try_store = model_try_store, .map = model_map, .opaque = m },
        .m = m,
    };

    mk.k.ring_entries = kind.ring_entries ? kind.ring_entries : 1024;
    mk.k.ring_reserved = KVM_MODEL_RING_RESERVED +
        (kind.pml ? KVM_MODEL_PML_ENTRIES : 0);
    m->bug = kind.bug;
    m->address_spaces = MAX(kind.address_spaces, 1);
    m->offer_ring = m->offer_ring_acq_rel = body->needs_ring;
    m->pml = kind.pml;
    m->unchecked = body->loses;
    body->run(&mk.k);
    for (unsigned i = 0; i < G_N_ELEMENTS(mk.fds) && mk.fds[i]; i++) {
        close(mk.fds[i]);
    }
    kvm_model_free(m);
}

static void test_model(gconstpointer body)
{
    run_body(body, (Kind) { 0 });
    run_body(body, (Kind) { .address_spaces = 2 });
    run_body(body, (Kind) { .address_spaces = 7 });
}

static void test_ring(gconstpointer body)
{
    run_body(body, (Kind) { .ring_entries = 256 });
    run_body(body, (Kind) { .ring_entries = 512, .address_spaces = 2 });
    run_body(body, (Kind) { .ring_entries = 1024 });
    run_body(body, (Kind) { .ring_entries = 1024, .pml = true });
}

/* A kernel without the ring refuses it. */
static void test_no_ring(void)
{
    KvmModel *m = kvm_model_new(3);
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 65536 },
    };

    g_assert_cmpint(kvm_vm(&m->io, KVM_ENABLE_CAP, &cap), ==, -EINVAL);
    kvm_model_free(m);
}

static const struct { const char *name; bool of_ring; } bugs[] = {
    [KVM_MODEL_BUG_NO_PROTECT] = { "clear-does-not-protect" },
    [KVM_MODEL_BUG_NO_FLUSH] = { "clear-does-not-flush" },
    [KVM_MODEL_BUG_EXTRA_DIRTY] = { "marks-too-much" },
    [KVM_MODEL_BUG_FIRST_ONLY] = { "protects-one-of-a-word" },
    [KVM_MODEL_BUG_CLEAR_ALL] = { "clears-too-much" },
    [KVM_MODEL_BUG_TAIL] = { "forgets-the-tail" },
    [KVM_MODEL_BUG_RESET_NO_PROTECT] = { "reset-does-not-protect", true },
    [KVM_MODEL_BUG_RESET_NO_FLUSH] = { "reset-does-not-flush", true },
    [KVM_MODEL_BUG_RESET_FIRST_ONLY] = { "reset-protects-one-of-a-mask",
                                         true },
    [KVM_MODEL_BUG_RESET_SKIPS] = { "reset-skips-unharvested", true },
    [KVM_MODEL_BUG_RESET_ONE_RING] = { "resets-one-ring", true },
    [KVM_MODEL_BUG_RING_NO_LIMIT] = { "ring-has-no-limit", true },
    [KVM_MODEL_BUG_RING_HARVESTED] = { "harvested-makes-room", true },
};

/* Some body has to fail; it does so in a process of its own. */
static void test_bug_is_noticed(gconstpointer data)
{
    Kind kind = { .bug = GPOINTER_TO_UINT(data) };
    bool of_ring = bugs[kind.bug].of_ring;

    if (g_test_subprocess()) {
        const ConformBody *b = of_ring ? conform_ring_bodies : conform_bodies;

        for (; b->name; b++) {
            run_body(b, kind);
        }
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr(of_ring ? "*conform-kvm-ring*" :
                              "*conform-kvm-*");
}

/* The rings' bodies, too, see pages marked that nobody wrote. */
static void test_ring_marks_too_much(void)
{
    if (g_test_subprocess()) {
        for (const ConformBody *b = conform_ring_bodies; b->name; b++) {
            run_body(b, (Kind) { .bug = KVM_MODEL_BUG_EXTRA_DIRTY });
        }
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*conform-kvm-ring*");
}

static void add_bodies(const ConformBody *list, const char *under,
                       GTestDataFunc test)
{
    for (const ConformBody *b = list; b->name; b++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/%s/%s", under,
                                                b->name);

        g_test_add_data_func(path, b, test);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_bodies(conform_bodies, "model", test_model);
    add_bodies(conform_ring_bodies, "model/ring", test_ring);
    g_test_add_func("/kvm-conform/model/without-ring", test_no_ring);
    for (unsigned i = 1; i < G_N_ELEMENTS(bugs); i++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/bug/%s",
                                                bugs[i].name);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_bug_is_noticed);
    }
    g_test_add_func("/kvm-conform/bug/ring-marks-too-much",
                    test_ring_marks_too_much);
    return g_test_run();
}
