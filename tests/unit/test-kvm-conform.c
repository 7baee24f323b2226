/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance list on the kernel model: a right one passes, with one and
 * with several address spaces; one that is wrong does not.
 */
#include <errno.h>
#include <linux/kvm.h>

#include "conform-kvm-log.h"
#include "kvm-model.h"

static bool model_store(ConformKernel *k, uint64_t gpa, uint64_t value)
{
    return kvm_model_write(k->opaque, gpa, value);
}

static void run_body(const ConformBody *body, KvmModelBug bug,
                     uint32_t address_spaces)
{
    KvmModel *m = kvm_model_new(3);
    ConformKernel k = {
        .io = &m->io, .max_slots = KVM_MODEL_SLOTS, .store = model_store,
        .opaque = m,
    };

    m->bug = bug;
    m->address_spaces = address_spaces;
    m->offer_ring = body->needs_ring;
    body->run(&k);
    kvm_model_free(m);
}

static void test_model(gconstpointer data)
{
    run_body(data, KVM_MODEL_RIGHT, 1);
    run_body(data, KVM_MODEL_RIGHT, 2);
    run_body(data, KVM_MODEL_RIGHT, 7);
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

static const char *const bug_names[] = {
    [KVM_MODEL_BUG_NO_PROTECT] = "clear-does-not-protect",
    [KVM_MODEL_BUG_NO_FLUSH] = "clear-does-not-flush",
    [KVM_MODEL_BUG_EXTRA_DIRTY] = "marks-too-much",
    [KVM_MODEL_BUG_FIRST_ONLY] = "protects-one-of-a-word",
    [KVM_MODEL_BUG_CLEAR_ALL] = "clears-too-much",
    [KVM_MODEL_BUG_TAIL] = "forgets-the-tail",
};

/* Some body has to fail; it does so in a process of its own. */
static void test_bug_is_noticed(gconstpointer data)
{
    KvmModelBug bug = GPOINTER_TO_UINT(data);

    if (g_test_subprocess()) {
        for (const ConformBody *b = conform_bodies; b->name; b++) {
            run_body(b, bug, 1);
        }
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_failed();
    g_test_trap_assert_stderr("*conform-kvm-*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (const ConformBody *b = conform_bodies; b->name; b++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/model/%s",
                                                b->name);

        g_test_add_data_func(path, b, test_model);
    }
    g_test_add_func("/kvm-conform/model/without-ring", test_no_ring);
    for (unsigned i = 1; i < G_N_ELEMENTS(bug_names); i++) {
        g_autofree char *path = g_strdup_printf("/kvm-conform/bug/%s",
                                                bug_names[i]);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_bug_is_noticed);
    }
    return g_test_run();
}
