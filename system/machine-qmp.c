/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about the machine as a whole: run state, vCPUs, names.
 * Memory is in machine-qmp-memory.c, what exists at all (machines, types) in
 * machine-qmp-types.c.
 */
#include <string.h>

#include "accel/accel.h"
#include "hw/board.h"
#include "migration/migration.h"
#include "qapi/qapi-commands.h"
#include "system/app.h"
#include "system/machine-qmp.h"
#include "system/vm.h"
#include "target/i386/cpu-state.h"
#include "util/error.h"

static App *app_of(QmpSession *session)
{
    return qmp_session_app(session);
}

static Vm *vm_of(QmpSession *session)
{
    return app_of(session)->vm;
}

StatusInfo *qmp_query_status(QmpSession *session, GError **error)
{
    StatusInfo *info = g_new0(StatusInfo, 1);

    info->status = runstate_get(vm_of(session));
    info->running = info->status == RUN_STATE_RUNNING;
    return info;
}

bool qmp_stop(QmpSession *session, GError **error)
{
    Vm *vm = vm_of(session);

    switch (runstate_get(vm)) {
    case RUN_STATE_INMIGRATE:
        vm->autostart = false;
        break;
    case RUN_STATE_RUNNING:
    case RUN_STATE_SUSPENDED:
    case RUN_STATE_SAVE_VM: /* for a moment only, then it goes on */
        vm_stop(vm, RUN_STATE_PAUSED);
        break;
    case RUN_STATE_FINISH_MIGRATE:
        vm_note_stop(vm); /* if that fails it would go on */
        break;
    default: /* stands already */
        break;
    }
    return true;
}

/* Before the stream is here, "cont" only says what is to happen then. */
static bool cont_incoming(App *app, GError **error)
{
    if (!migration_incoming_pending(app->migration)) {
        tm_error_set(error, "cannot run: the incoming migration has failed");
        return false;
    }
    app->vm->autostart = true;
    return true;
}

bool qmp_cont(QmpSession *session, GError **error)
{
    App *app = app_of(session);

    if (vm_condemned(app->vm)) {
        tm_error_set(error, "cannot run ever again: %s",
                     vm_condemned(app->vm));
        return false;
    }
    switch (runstate_get(app->vm)) {
    case RUN_STATE_INTERNAL_ERROR:
    case RUN_STATE_SHUTDOWN:
        tm_error_set(error, "cannot run in state '%s': a reset is needed",
                     RunState_str(runstate_get(app->vm)));
        return false;
    case RUN_STATE_FINISH_MIGRATE:
        tm_error_set(error, "cannot run: a migration is just finishing");
        return false;
    case RUN_STATE_INMIGRATE:
        return cont_incoming(app, error);
    default:
        vm_start(app->vm);
        return true;
    }
}

bool qmp_system_reset(QmpSession *session, GError **error)
{
    Vm *vm = vm_of(session);

    if (runstate_get(vm) == RUN_STATE_INMIGRATE) {
        tm_error_set(error, "cannot reset: the machine's state is to come "
                     "from a migration");
        return false;
    }
    vm_reset_request(vm, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return true;
}

bool qmp_system_powerdown(QmpSession *session, GError **error)
{
    vm_powerdown_request(vm_of(session));
    return true;
}

bool qmp_system_wakeup(QmpSession *session, GError **error)
{
    return vm_wakeup(vm_of(session), error);
}

/* ---- what it is called ---- */

NameInfo *qmp_query_name(QmpSession *session, GError **error)
{
    NameInfo *info = g_new0(NameInfo, 1);

    info->name = g_strdup(vm_of(session)->name);
    return info;
}

UuidInfo *qmp_query_uuid(QmpSession *session, GError **error)
{
    UuidInfo *info = g_new0(UuidInfo, 1);
    const uint8_t *u = vm_of(session)->uuid;

    info->UUID = g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-"
                                 "%02x%02x-%02x%02x%02x%02x%02x%02x",
                                 u[0], u[1], u[2], u[3], u[4], u[5], u[6],
                                 u[7], u[8], u[9], u[10], u[11], u[12],
                                 u[13], u[14], u[15]);
    return info;
}

TargetInfo *qmp_query_target(QmpSession *session, GError **error)
{
    TargetInfo *info = g_new0(TargetInfo, 1);

    info->arch = SYS_EMU_TARGET_X86_64;
    return info;
}

CurrentMachineParams *qmp_query_current_machine(QmpSession *session,
                                                GError **error)
{
    CurrentMachineParams *params = g_new0(CurrentMachineParams, 1);

    params->wakeup_suspend_support = app_of(session)->machine_type->has_cpus;
    return params;
}

static DirtyRingInfo *ring_info(Accel *accel)
{
    DirtyRingInfo *info = g_new0(DirtyRingInfo, 1);
    AccelRingInfo now;

    accel->ring_info(accel, &now);
    info->size = accel->dirty_ring_entries;
    info->has_logs_every_store = now.host_known;
    info->logs_every_store = now.logs_every_store;
    info->period = now.period_us;
    info->entries = now.entries;
    info->dropped = now.dropped;
    info->resets = now.resets;
    info->fullest = now.fullest;
    info->full_exits = now.full_exits;
    info->full_time = now.full_ns;
    info->lost = now.lost;
    info->repaired = now.repaired;
    return info;
}

KvmInfo *qmp_query_kvm(QmpSession *session, GError **error)
{
    Accel *accel = vm_of(session)->accel;
    KvmInfo *info = g_new0(KvmInfo, 1);

    accel_find("kvm", &info->present);
    info->enabled = !strcmp(accel->name, "kvm");
    if (info->enabled) {
        info->manual_dirty_log_protect = accel->manual_dirty_log_protect;
        info->dirty_log_initially_set = accel->initially_all_set;
        info->dirty_mode = g_strdup(accel->dirty_mode);
        info->dirty_ring = accel->ring_info ? ring_info(accel) : NULL;
    }
    return info;
}

/* ---- vCPUs ---- */

CpuInfoFastList *qmp_query_cpus_fast(QmpSession *session, GError **error)
{
    const Vm *vm = vm_of(session);
    CpuInfoFastList *list = NULL, **tail = &list;

    for (guint i = 0; i < vm->vcpus->len; i++) {
        const Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);
        CpuInfoFast *info = g_new0(CpuInfoFast, 1);

        info->cpu_index = i;
        info->qom_path = g_strdup_printf("/machine/cpu[%u]", i);
        info->thread_id = vcpu->thread_id;
        info->target = SYS_EMU_TARGET_X86_64;
        info->props = g_new0(CpuInstanceProperties, 1);
        info->props->has_socket_id = true;
        info->props->has_core_id = true;
        info->props->core_id = i;
        info->props->has_thread_id = true;
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}

typedef struct Fetch {
    bool ok;
    GError *error;
} Fetch;

static void fetch_state(Vcpu *vcpu, void *opaque)
{
    Fetch *fetch = opaque;

    fetch->ok = vcpu->vm->accel->ops->get_state(vcpu, &fetch->error);
}

Vcpu *machine_qmp_cpu(QmpSession *session, int64_t index, GError **error)
{
    Vm *vm = vm_of(session);
    Fetch fetch = { .ok = true };
    Vcpu *vcpu;

    if (index < 0 || index >= vm->vcpus->len) {
        tm_error_set(error, "there is no vCPU %" G_GINT64_FORMAT, index);
        return NULL;
    }
    vcpu = g_ptr_array_index(vm->vcpus, index);
    /* What a migration has brought is not in the accelerator yet. */
    if (runstate_get(vm) != RUN_STATE_INMIGRATE) {
        vcpu_run_on(vcpu, fetch_state, &fetch);
    }
    if (!fetch.ok) {
        g_propagate_error(error, fetch.error);
        return NULL;
    }
    return vcpu;
}

static HumanReadableText *human_text(GString *text)
{
    HumanReadableText *h = g_new0(HumanReadableText, 1);

    h->human_readable_text = g_string_free(text, FALSE);
    return h;
}

HumanReadableText *qmp_x_query_registers(QmpSession *session,
                                         bool has_cpu_index, int64_t cpu_index,
                                         GError **error)
{
    Vm *vm = vm_of(session);
    int64_t first = has_cpu_index ? cpu_index : 0;
    guint count = has_cpu_index ? 1 : vm->vcpus->len;
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < count; i++) {
        Vcpu *vcpu = machine_qmp_cpu(session, first + i, error);
        g_autofree char *block = NULL;

        if (!vcpu) {
            g_string_free(text, TRUE);
            return NULL;
        }
        block = x86_cpu_state_to_text(vcpu);
        g_string_append(text, block);
    }
    return human_text(text);
}

#define REGISTER(reg, member) { reg, offsetof(X86CpuState, member) }

static const struct {
    const char *name;
    size_t offset;
} registers[] = {
    REGISTER("rax", regs[X86_RAX]), REGISTER("rbx", regs[X86_RBX]),
    REGISTER("rcx", regs[X86_RCX]), REGISTER("rdx", regs[X86_RDX]),
    REGISTER("rsi", regs[X86_RSI]), REGISTER("rdi", regs[X86_RDI]),
    REGISTER("rbp", regs[X86_RBP]), REGISTER("rsp", regs[X86_RSP]),
    REGISTER("r8", regs[X86_R8]), REGISTER("r9", regs[X86_R9]),
    REGISTER("r10", regs[X86_R10]), REGISTER("r11", regs[X86_R11]),
    REGISTER("r12", regs[X86_R12]), REGISTER("r13", regs[X86_R13]),
    REGISTER("r14", regs[X86_R14]), REGISTER("r15", regs[X86_R15]),
    REGISTER("rip", rip), REGISTER("pc", rip), REGISTER("rflags", rflags),
    REGISTER("cr0", cr0), REGISTER("cr2", cr2), REGISTER("cr3", cr3),
    REGISTER("cr4", cr4), REGISTER("cr8", cr8), REGISTER("efer", efer),
};

CpuRegister *qmp_x_query_register(QmpSession *session, const char *name,
                                  bool has_cpu_index, int64_t cpu_index,
                                  GError **error)
{
    Vcpu *vcpu = machine_qmp_cpu(session, has_cpu_index ? cpu_index : 0,
                                 error);

    if (!vcpu) {
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        if (!strcmp(registers[i].name, name)) {
            CpuRegister *reg = g_new0(CpuRegister, 1);

            memcpy(&reg->value, (char *)vcpu->state + registers[i].offset,
                   sizeof(uint64_t));
            return reg;
        }
    }
    tm_error_set(error, "there is no register '%s'", name);
    return NULL;
}
