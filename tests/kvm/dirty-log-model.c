/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests on the kernel model, twice: each vCPU a thread, or all of them run
 * step by step between and in the middle of the host's calls, in an order that
 * the seed decides. A step is to load the iteration, to fault, or to store.
 */
#include <linux/kvm.h>
#include <sched.h>
#include <unistd.h>

#include "dirty-log.h"
#include "tests/unit/kvm-model.h"

typedef enum Pc { PC_LOAD, PC_STORE, PC_FAULT } Pc;

typedef struct ModelVcpu {
    DlMachine *m;
    unsigned id;
    uint64_t random;
    uint32_t count;      /* of stores; makes each one different */
    uint64_t stores;
    Pc pc;
    uint64_t page, value;
} ModelVcpu;

typedef struct ModelMachine {
    KvmModel *model;
    uint64_t iteration;
    bool parked;
    bool has_vcpus;
    ModelVcpu vcpus[DL_MAX_VCPUS];
} ModelMachine;

static const char *model_open(DlMachine *m)
{
    ModelMachine *mm = g_new0(ModelMachine, 1);

    mm->model = kvm_model_new(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
                              KVM_DIRTY_LOG_INITIALLY_SET);
    mm->model->bug = m->config->model_bug;
    mm->model->offer_ring = true;
    mm->model->unchecked = m->config->mutant == DL_RING_SET; /* it says so */
    if (m->config->model_init) {
        m->config->model_init(mm->model);
    }
    m->io = &mm->model->io;
    m->max_slots = KVM_MODEL_SLOTS;
    m->manual_offered = 3;
    m->iteration = &mm->iteration;
    m->opaque = mm;
    return NULL;
}

static void model_close(DlMachine *m)
{
    ModelMachine *mm = m->opaque;

    for (unsigned i = 0; i < m->config->vcpus && mm->has_vcpus; i++) {
        close(m->vcpu_fds[i]);
    }
    kvm_model_free(mm->model);
    g_free(mm);
}

/* ---- what a vCPU does ---------------------------------------------------- */

static void pick_page(ModelVcpu *v)
{
    v->random = v->random * UINT64_C(0x5851f42d4c957f2d) +
        UINT64_C(0x14057b7ef767814f);
    v->page = (v->random >> 32) * v->m->config->npages >> 32;
}

static void load(ModelVcpu *v)
{
    v->count += 16;
    v->value = __atomic_load_n(v->m->iteration, __ATOMIC_SEQ_CST) << 32 |
        v->count | v->id;
}

static uint64_t gpa_of(const ModelVcpu *v)
{
    return v->m->config->offset + v->page * DL_PAGE;
}

/* Returns: false if it will not be made any more. */
static bool write_page(ModelVcpu *v)
{
    ModelMachine *mm = v->m->opaque;
    KvmModelStore r;

    load(v);
    do {
        dl_vcpu_enter(v->m, v->id);
        r = kvm_model_vcpu_try(mm->model, v->id, gpa_of(v), v->value);
    } while (dl_vcpu_leave(v->m, v->id, r == KVM_MODEL_FULL));
    g_assert_cmpint(r, !=, KVM_MODEL_EXIT);
    return r == KVM_MODEL_STORED;
}

static void init_vcpus(DlMachine *m)
{
    ModelMachine *mm = m->opaque;

    for (unsigned i = 0; i < m->config->vcpus; i++) {
        mm->vcpus[i] = (ModelVcpu) {
            .m = m, .id = i, .random = g_rand_int(m->rand),
        };
        m->vcpu_fds[i] = kvm_vm(m->io, KVM_CREATE_VCPU, KVM_ARG(i));
        g_assert_cmpint(m->vcpu_fds[i], >=, 0);
    }
    mm->has_vcpus = true;
}

static void touch(ModelVcpu *v)
{
    for (v->page = 0; v->page < v->m->config->npages; v->page++) {
        write_page(v);
    }
}

/* ---- threads ------------------------------------------------------------- */

/* A sync point is an exit, as OUT is. */
static bool exit_to_gate(ModelVcpu *v)
{
    kvm_model_kick(((ModelMachine *)v->m->opaque)->model, v->id);
    return dl_gate_sync(&v->m->gate, v->id);
}

static gpointer run_vcpu(gpointer opaque)
{
    ModelVcpu *v = opaque;

    if (v->id == 0) {
        touch(v);
    }
    while (exit_to_gate(v)) {
        bool go_on = true;

        for (unsigned i = 0; i < v->m->config->stores && go_on; i++) {
            pick_page(v);
            go_on = write_page(v);
        }
    }
    return NULL;
}

static void threads_start(DlMachine *m)
{
    ModelMachine *mm = m->opaque;

    init_vcpus(m);
    for (unsigned i = 0; i < m->config->vcpus; i++) {
        m->threads[i] = g_thread_new("model-vcpu", run_vcpu, &mm->vcpus[i]);
    }
    dl_gate_park(&m->gate, m->config->vcpus);
}

static void threads_moment(DlMachine *m)
{
    sched_yield();
}

static void threads_park(DlMachine *m)
{
    dl_gate_park(&m->gate, m->config->vcpus);
}

static void threads_resume(DlMachine *m)
{
    dl_gate_resume(&m->gate);
}

static void threads_close(DlMachine *m)
{
    dl_gate_quit(&m->gate);
    for (unsigned i = 0; i < m->config->vcpus && m->threads[i]; i++) {
        g_thread_join(m->threads[i]);
    }
    model_close(m);
}

const DlMachineOps dl_machine_model = {
    .name = "model",
    .open = model_open,
    .start = threads_start,
    .moment = threads_moment,
    .park = threads_park,
    .resume = threads_resume,
    .close = threads_close,
};

/* ---- steps --------------------------------------------------------------- */

static void stored(ModelVcpu *v)
{
    v->pc = PC_LOAD;
    if (++v->stores % v->m->config->stores == 0) {
        kvm_model_kick(((ModelMachine *)v->m->opaque)->model, v->id);
        __atomic_fetch_add(&v->m->gate.syncs[v->id], 1, __ATOMIC_SEQ_CST);
    }
}

static bool at_sync(const ModelVcpu *v)
{
    return v->pc == PC_LOAD && v->stores % v->m->config->stores == 0;
}

/* Returns: false if its ring is full. */
static bool step(ModelVcpu *v)
{
    KvmModel *model = ((ModelMachine *)v->m->opaque)->model;

    if (!model->vcpus[v->id].in_guest &&
        kvm_model_vcpu_enter(model, v->id)) {
        return false;
    }
    if (v->pc == PC_LOAD) {
        pick_page(v);
        load(v);
        v->pc = PC_STORE;
    } else if (v->pc == PC_FAULT) {
        kvm_model_fault(model, v->id, gpa_of(v));
        v->pc = PC_STORE;
    } else if (kvm_model_store(model, v->id, gpa_of(v), v->value) ==
               KVM_MODEL_FAULT) {
        v->pc = PC_FAULT;
    } else {
        stored(v);
    }
    return true;
}

static void random_step(DlMachine *m)
{
    ModelMachine *mm = m->opaque;
    ModelVcpu *v = &mm->vcpus[g_rand_int(m->rand) % m->config->vcpus];

    if (!mm->parked &&
        !(at_sync(v) && dl_gate_syncs(&m->gate, v->id) >= m->gate.allowed)) {
        m->full_exits += !step(v);
    }
}

/* Now and then a burst, so that a page may be stored to, cleared and stored
 * to again while a vCPU stands still between a fault and its store. */
static void stepped_moment(DlMachine *m)
{
    unsigned n = g_rand_int(m->rand) % 4;

    for (n = n == 3 ? 64 : n; n; n--) {
        random_step(m);
    }
}

static void interleave(void *opaque)
{
    DlMachine *m = opaque;

    if (g_rand_int(m->rand) % 4 == 0) {
        random_step(m);
    }
}

static void stepped_park(DlMachine *m)
{
    ModelMachine *mm = m->opaque;

    for (unsigned i = 0; i < m->config->vcpus; i++) {
        while (!at_sync(&mm->vcpus[i]) &&
               (step(&mm->vcpus[i]) || dl_vcpu_leave(m, i, true))) {
        }
    }
    mm->parked = true;
}

static void stepped_resume(DlMachine *m)
{
    ((ModelMachine *)m->opaque)->parked = false;
}

static void stepped_start(DlMachine *m)
{
    ModelMachine *mm = m->opaque;

    init_vcpus(m);
    touch(&mm->vcpus[0]);
    mm->parked = true;
    mm->model->opaque = m;
    mm->model->interleave = interleave;
}

const DlMachineOps dl_machine_stepped = {
    .name = "stepped",
    .open = model_open,
    .start = stepped_start,
    .moment = stepped_moment,
    .park = stepped_park,
    .resume = stepped_resume,
    .close = model_close,
};
