/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU: one vCPU, executed by the Unicorn library. It maps guest
 * RAM by pointer, takes ports and device memory to the memory map by hooks,
 * and tells of stores while somebody logs. What it cannot do is said in
 * docs/devel/accelerators.md.
 */
#include "accel/accel.h"

#include "accel/tcg/tcg-internal.h"
#include "system/vm.h"
#include "target/i386/x86-bits.h"
#include "trace/tcg.h"
#include "util/error.h"

TcgRegion *tcg_region_find(TcgAccel *tcg, uint64_t gpa)
{
    for (guint i = 0; i < tcg->regions->len; i++) {
        TcgRegion *r = g_ptr_array_index(tcg->regions, i);

        if (gpa >= r->section.gpa && gpa - r->section.gpa < r->section.size) {
            return r;
        }
    }
    return NULL;
}

/* Registers into a new engine, which sees memory as it is mapped now. */
static bool tcg_renew(TcgCpu *cpu, GError **error)
{
    if (!tcg_engine_open(cpu, error) ||
        !tcg_load_state(cpu, cpu->state, error)) {
        return false;
    }
    if (!tcg_tables_are_flat(cpu, cpu->state)) {
        tm_error_set(error, "the guest's page tables map addresses to others; "
                     "the software CPU can do one-to-one maps only");
        tcg_engine_close(cpu);
        return false;
    }
    if (!tcg_engine_finish(cpu, error)) {
        tcg_engine_close(cpu);
        return false;
    }
    trace_tcg_engine(cpu->vcpu->index, cpu->state->rip, cpu->state->cr0);
    return true;
}

bool tcg_remap_now(TcgCpu *cpu, GError **error)
{
    return tcg_save_state(cpu, cpu->state, error) && tcg_renew(cpu, error);
}

/*
 * After the map has changed. The vCPU is stopped, or it is this thread and in
 * a hook of the engine, for a device whose register moves a window: the engine
 * cannot be replaced under its own feet, so it stops first.
 */
static bool tcg_remap(TcgAccel *tcg, GError **error)
{
    TcgCpu *cpu = tcg->cpu;

    if (!cpu || !cpu->uc) {
        return true;
    }
    if (cpu->in_engine) {
        cpu->remap = true;
        tcg_kick(cpu->vcpu);
        return true;
    }
    return tcg_remap_now(cpu, error);
}

static void tcg_region_free(void *opaque)
{
    TcgRegion *r = opaque;

    g_free(r->dirty);
    g_free(r->fetched);
    g_free(r);
}

static gint region_order(gconstpointer a, gconstpointer b)
{
    const TcgRegion *x = *(TcgRegion *const *)a, *y = *(TcgRegion *const *)b;

    return x->section.gpa < y->section.gpa ? -1 : 1;
}

static bool tcg_region_add(MemoryListener *l, const MemorySection *s,
                           GError **error)
{
    TcgAccel *tcg = (TcgAccel *)l;
    TcgRegion *r = g_new0(TcgRegion, 1);

    r->section = *s;
    g_ptr_array_add(tcg->regions, r);
    g_ptr_array_sort(tcg->regions, region_order);
    if (!tcg_remap(tcg, error)) {
        g_ptr_array_remove(tcg->regions, r);
        return false;
    }
    return true;
}

static void tcg_region_del(MemoryListener *l, const MemorySection *s)
{
    TcgAccel *tcg = (TcgAccel *)l;
    TcgRegion *r = tcg_region_find(tcg, s->gpa);

    if (r) {
        tcg->logging -= r->dirty != NULL;
        if (tcg->cpu && tcg->cpu->in_engine) {
            g_array_append_val(tcg->cpu->stale, *s);
        }
        g_ptr_array_remove(tcg->regions, r);
        /* An engine that cannot be had again is an error of the next run. */
        tcg_remap(tcg, NULL);
    }
}

static const MemoryListenerOps tcg_listener_ops = {
    .region_add = tcg_region_add,
    .region_del = tcg_region_del,
    .log_start = tcg_log_start,
    .log_stop = tcg_log_stop,
    .log_sync = tcg_log_sync,
    /* No log_clear: a bit is gone once it was fetched. */
};

static void tcg_cpu_free(TcgCpu *cpu)
{
    if (cpu) {
        tcg_engine_close(cpu);
        x86_cpu_state_free(cpu->state);
        g_ptr_array_unref(cpu->holes);
        g_array_unref(cpu->stale);
        g_free(cpu);
    }
}

static void tcg_close(Accel *accel)
{
    TcgAccel *tcg = accel->opaque;

    tcg_cpu_free(g_steal_pointer(&tcg->cpu));
    memory_listener_unregister(&tcg->listener);
    g_ptr_array_unref(tcg->regions);
    g_free(tcg);
}

static bool tcg_init(Accel *accel, Vm *vm, GError **error)
{
    TcgAccel *tcg;
    int model;

    if (accel->options) {
        keyval_get_str(accel->options, "accel");
        if (!keyval_check_unused(accel->options, "-accel tcg", error)) {
            accel->options_refused = true;
            return false;
        }
    }
    if (!tcg_cpu_choose(vm->cpu, &model, error)) {
        accel->options_refused = true;
        return false;
    }
    tcg = g_new0(TcgAccel, 1);
    tcg->vm = vm;
    tcg->model = model;
    tcg->regions = g_ptr_array_new_with_free_func(tcg_region_free);
    tcg->listener.ops = &tcg_listener_ops;
    tcg->listener.name = "tcg";
    if (!memory_listener_register(vm->map, &tcg->listener, error)) {
        g_ptr_array_unref(tcg->regions);
        g_free(tcg);
        return false;
    }
    accel->opaque = tcg;
    accel->close = tcg_close;
    accel->dirty_mode = "software";
    accel->runs_guest = true;
    accel->cpu_models = tcg_cpu_models();
    return true;
}

static bool tcg_vcpu_new(Vcpu *vcpu, GError **error)
{
    TcgAccel *tcg = vcpu->vm->accel->opaque;
    TcgCpu *cpu;

    if (vcpu->index > 0) {
        tm_error_set(error, "the software CPU can do one vCPU (-smp 1) only");
        return false;
    }
    cpu = g_new0(TcgCpu, 1);
    cpu->tcg = tcg;
    cpu->vcpu = vcpu;
    cpu->state = x86_cpu_state_new();
    cpu->holes = g_ptr_array_new_with_free_func(g_free);
    cpu->stale = g_array_new(FALSE, FALSE, sizeof(MemorySection));
    vcpu->state = cpu->state;
    vcpu->accel = cpu;
    tcg_cpu_free(tcg->cpu);
    tcg->cpu = cpu;
    return true;
}

/* Without an engine the state is what was loaded last. */
static bool tcg_get_state(Vcpu *vcpu, GError **error)
{
    TcgCpu *cpu = vcpu->accel;

    if (cpu->uc && !tcg_save_state(cpu, cpu->state, error)) {
        return false;
    }
    cpu->state->halted = vcpu->halted;
    cpu->state->mp_state = vcpu->halted ? X86_MP_HALTED : X86_MP_RUNNABLE;
    return true;
}

static bool tcg_set_state(Vcpu *vcpu, GError **error)
{
    TcgCpu *cpu = vcpu->accel;

    if (!tcg_renew(cpu, error)) {
        return false;
    }
    vcpu_set_halted(vcpu, cpu->state->halted ||
                    cpu->state->mp_state == X86_MP_HALTED);
    return true;
}

const AccelOps accel_tcg_ops = {
    .init = tcg_init,
    .vcpu_new = tcg_vcpu_new,
    .vcpu_run = tcg_vcpu_run,
    .kick = tcg_kick,
    .get_state = tcg_get_state,
    .set_state = tcg_set_state,
};
