/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See fake-machine.h. Memory at address A holds the byte A & 0xff, up to
 * 1 MiB; the register rip is 0x7c00.
 */
#include "fake-machine.h"

#include <inttypes.h>

#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "util/error.h"

#define MEMORY_BYTES (1 << 20)

void fake_machine_init(FakeMachine *machine)
{
    *machine = (FakeMachine) {
        .state = RUN_STATE_PRELAUNCH,
        .has_kvm = true,
        .manual_protect = true,
        .log = g_string_new(NULL),
    };
}

void fake_machine_done(FakeMachine *machine)
{
    g_string_free(machine->log, TRUE);
}

void fake_machine_quit(void *app)
{
    ((FakeMachine *)app)->quits++;
}

static FakeMachine *machine_of(QmpSession *session)
{
    return qmp_session_app(session);
}

static bool note(QmpSession *session, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

static bool note(QmpSession *session, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_append_vprintf(machine_of(session)->log, fmt, ap);
    va_end(ap);
    return true;
}

StatusInfo *qmp_query_status(QmpSession *session, GError **error)
{
    StatusInfo *info = g_new0(StatusInfo, 1);

    info->status = machine_of(session)->state;
    info->running = info->status == RUN_STATE_RUNNING;
    return info;
}

bool qmp_stop(QmpSession *session, GError **error)
{
    machine_of(session)->state = RUN_STATE_PAUSED;
    qapi_event_send_stop();
    return true;
}

bool qmp_cont(QmpSession *session, GError **error)
{
    machine_of(session)->state = RUN_STATE_RUNNING;
    qapi_event_send_resume();
    return true;
}

bool qmp_system_reset(QmpSession *session, GError **error)
{
    FakeMachine *machine = machine_of(session);

    note(session, "reset;");
    if (machine->defers) {
        machine->deferred = qmp_session_defer(session);
    }
    return true;
}

bool qmp_system_powerdown(QmpSession *session, GError **error)
{
    return note(session, "powerdown;");
}

bool qmp_system_wakeup(QmpSession *session, GError **error)
{
    tm_error_set(error, "Unable to wake up: guest is not in suspended state");
    return false;
}

CpuInfoFastList *qmp_query_cpus_fast(QmpSession *session, GError **error)
{
    CpuInfoFastList *list = NULL, **tail = &list;

    for (int i = 0; i < 2; i++) {
        CpuInfoFast *cpu = g_new0(CpuInfoFast, 1);

        cpu->cpu_index = i;
        cpu->thread_id = 29514 + i;
        QAPI_LIST_APPEND(tail, cpu);
    }
    return list;
}

bool qmp_screendump(QmpSession *session, const char *filename,
                    const char *device, bool has_head, int64_t head,
                    bool has_format, ImageFormat format, GError **error)
{
    return note(session, "screendump %s %s %d %d;", filename,
                device ? device : "-", has_head ? (int)head : -1,
                has_format ? (int)format : -1);
}

MachineInfoList *qmp_query_machines(QmpSession *session, GError **error)
{
    return NULL;
}

CpuDefinitionInfoList *qmp_query_cpu_definitions(QmpSession *session,
                                                 GError **error)
{
    return NULL;
}

CurrentMachineParams *qmp_query_current_machine(QmpSession *session,
                                                GError **error)
{
    return g_new0(CurrentMachineParams, 1);
}

TargetInfo *qmp_query_target(QmpSession *session, GError **error)
{
    return g_new0(TargetInfo, 1);
}

UuidInfo *qmp_query_uuid(QmpSession *session, GError **error)
{
    UuidInfo *info = g_new0(UuidInfo, 1);

    info->UUID = g_strdup("00000000-0000-0000-0000-000000000000");
    return info;
}

NameInfo *qmp_query_name(QmpSession *session, GError **error)
{
    NameInfo *info = g_new0(NameInfo, 1);

    info->name = g_strdup("demo");
    return info;
}

KvmInfo *qmp_query_kvm(QmpSession *session, GError **error)
{
    FakeMachine *machine = machine_of(session);
    KvmInfo *info = g_new0(KvmInfo, 1);

    info->enabled = machine->has_kvm;
    info->present = true;
    info->manual_dirty_log_protect = machine->manual_protect;
    return info;
}

MemoryInfo *qmp_query_memory_size_summary(QmpSession *session,
                                          GError **error)
{
    MemoryInfo *info = g_new0(MemoryInfo, 1);

    info->base_memory = 134217728;
    info->has_plugged_memory = true;
    return info;
}

MemdevList *qmp_query_memdev(QmpSession *session, GError **error)
{
    MemdevList *list = NULL;
    Memdev *dev = g_new0(Memdev, 1);

    dev->id = g_strdup("pc.ram");
    dev->size = 134217728;
    dev->merge = dev->dump = true;
    dev->has_reserve = dev->reserve = true;
    QAPI_LIST_PREPEND(list, dev);
    return list;
}

bool qmp_memsave(QmpSession *session, uint64_t val, uint64_t size,
                 const char *filename, bool has_cpu_index, int64_t cpu_index,
                 GError **error)
{
    return note(session, "memsave %" PRIx64 " %" PRIu64 " %s cpu %" PRId64
                ";", val, size, filename, has_cpu_index ? cpu_index : -1);
}

bool qmp_pmemsave(QmpSession *session, uint64_t val, uint64_t size,
                  const char *filename, GError **error)
{
    return note(session, "pmemsave %" PRIx64 " %" PRIu64 " %s;", val, size,
                filename);
}

MemoryContent *qmp_x_memory_read(QmpSession *session, uint64_t addr,
                                 uint64_t size, bool physical,
                                 bool has_cpu_index, int64_t cpu_index,
                                 GError **error)
{
    g_autofree uint8_t *bytes = NULL;
    MemoryContent *content;

    if (size > MEMORY_BYTES || addr > MEMORY_BYTES - size) {
        tm_error_set(error, "Cannot access memory at address 0x%" PRIx64,
                     addr);
        return NULL;
    }
    bytes = g_malloc(size);
    for (uint64_t i = 0; i < size; i++) {
        bytes[i] = addr + i;
    }
    content = g_new0(MemoryContent, 1);
    content->data = g_base64_encode(bytes, size);
    return content;
}

static HumanReadableText *text_of(const char *text)
{
    HumanReadableText *info = g_new0(HumanReadableText, 1);

    info->human_readable_text = g_strdup(text);
    return info;
}

HumanReadableText *qmp_x_query_mtree(QmpSession *session, GError **error)
{
    return text_of("memory\n  RAM 100%\n");
}

HumanReadableText *qmp_x_query_ramblock(QmpSession *session, GError **error)
{
    return text_of("blocks\n");
}

HumanReadableText *qmp_x_query_registers(QmpSession *session,
                                         bool has_cpu_index,
                                         int64_t cpu_index, GError **error)
{
    g_autofree char *text = g_strdup_printf("CPU#%" PRId64 "\n",
                                            has_cpu_index ? cpu_index : -1);

    return text_of(text);
}

CpuRegister *qmp_x_query_register(QmpSession *session, const char *name,
                                  bool has_cpu_index, int64_t cpu_index,
                                  GError **error)
{
    CpuRegister *reg;

    if (g_strcmp0(name, "rip")) {
        tm_error_set(error, "unknown register '%s'", name);
        return NULL;
    }
    reg = g_new0(CpuRegister, 1);
    reg->value = 0x7c00;
    return reg;
}

RamDigest *qmp_x_query_ram_digest(QmpSession *session, GError **error)
{
    RamDigest *info = g_new0(RamDigest, 1);
    RamBlockDigest *block = g_new0(RamBlockDigest, 1);

    block->name = g_strdup("pc.ram");
    block->length = 4096;
    block->digest = g_strdup("00ff");
    QAPI_LIST_PREPEND(info->blocks, block);
    info->digest = g_strdup("11ee");
    return info;
}

ObjectTypeInfoList *qmp_qom_list_types(QmpSession *session,
                                       const char *implements,
                                       bool has_abstract, bool abstract,
                                       GError **error)
{
    return NULL;
}
