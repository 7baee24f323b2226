/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the monitor for people that belong to no other room. Each calls
 * qmp_* and prints what that returns.
 */
#include "monitor/hmp-cmds.h"

#include <inttypes.h>

#include "monitor/hmp.h"
#include "qapi/qapi-commands.h"

typedef bool PlainCommand(QmpSession *session, GError **error);

static void run_plain(Hmp *hmp, PlainCommand *command)
{
    g_autoptr(GError) error = NULL;

    command(hmp_session(hmp), &error);
    hmp_report(hmp, error);
}

void hmp_quit(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_quit);
}

void hmp_stop(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_stop);
}

void hmp_cont(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_cont);
}

void hmp_system_reset(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_system_reset);
}

void hmp_system_powerdown(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_system_powerdown);
}

void hmp_system_wakeup(Hmp *hmp, JsonObject *args)
{
    run_plain(hmp, qmp_system_wakeup);
}

void hmp_getfd(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_getfd(hmp_session(hmp), json_object_get_string_member(args, "fdname"),
              &error);
    hmp_report(hmp, error);
}

void hmp_closefd(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;

    qmp_closefd(hmp_session(hmp),
                json_object_get_string_member(args, "fdname"), &error);
    hmp_report(hmp, error);
}

void hmp_screendump(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    const char *format =
        json_object_get_string_member_with_default(args, "format", NULL);
    ImageFormat value = IMAGE_FORMAT_PPM;

    if (format && !ImageFormat_parse(format, &value)) {
        hmp_printf(hmp, "Error: '%s' is no format of pictures: ppm and png "
                   "are\n", format);
        return;
    }
    qmp_screendump(hmp_session(hmp),
                   json_object_get_string_member(args, "filename"),
                   json_object_get_string_member_with_default(args, "device",
                                                              NULL),
                   json_object_has_member(args, "head"),
                   json_object_get_int_member_with_default(args, "head", 0),
                   format != NULL, value, &error);
    hmp_report(hmp, error);
}

void hmp_info_status(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StatusInfo) info = qmp_query_status(hmp_session(hmp), &error);

    if (hmp_report(hmp, error)) {
        return;
    }
    hmp_printf(hmp, "VM status: %s", info->running ? "running" : "paused");
    if (!info->running && info->status != RUN_STATE_PAUSED) {
        hmp_printf(hmp, " (%s)", RunState_str(info->status));
    }
    hmp_printf(hmp, "\n");
}

void hmp_info_version(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VersionInfo) info = qmp_query_version(hmp_session(hmp), &error);

    if (!hmp_report(hmp, error)) {
        hmp_printf(hmp, "%" PRId64 ".%" PRId64 ".%" PRId64 " (%s)\n",
                   info->qemu->major, info->qemu->minor, info->qemu->micro,
                   info->package);
    }
}

static void print_dirty_ring(Hmp *hmp, const DirtyRingInfo *ring)
{
    hmp_printf(hmp, "dirty ring: %" PRIu32 " entries, read every %" PRIu32
               " us\n", ring->size, ring->period);
    hmp_printf(hmp, "dirty ring host: %s\n",
               !ring->has_logs_every_store ? "unknown" :
               ring->logs_every_store ? "logs every store of emulated code" :
               "logs the first store to a page");
    hmp_printf(hmp, "dirty ring entries: %" PRIu64 " (dropped %" PRIu64
               ", fullest %" PRIu64 "), resets: %" PRIu64 "\n",
               ring->entries, ring->dropped, ring->fullest, ring->resets);
    hmp_printf(hmp, "dirty ring full: %" PRIu64 " times, %" PRIu64 " us\n",
               ring->full_exits, ring->full_time / 1000);
    hmp_printf(hmp, "dirty tracking lost: %" PRIu64 " times, repaired %"
               PRIu64 "\n", ring->lost, ring->repaired);
}

void hmp_info_kvm(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(KvmInfo) info = qmp_query_kvm(hmp_session(hmp), &error);

    if (hmp_report(hmp, error)) {
        return;
    }
    hmp_printf(hmp, "kvm support: %s\n",
               info->enabled ? "enabled" :
               info->present ? "disabled" : "not compiled");
    if (info->enabled) {
        hmp_printf(hmp, "manual dirty log protect: %s\n",
                   info->manual_dirty_log_protect ? "enabled" : "disabled");
        hmp_printf(hmp, "dirty log initially set: %s\n",
                   info->dirty_log_initially_set ? "enabled" : "disabled");
    }
    if (info->dirty_mode) {
        hmp_printf(hmp, "dirty pages by: %s\n", info->dirty_mode);
    }
    if (info->dirty_ring) {
        print_dirty_ring(hmp, info->dirty_ring);
    }
}

void hmp_info_name(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(NameInfo) info = qmp_query_name(hmp_session(hmp), &error);

    if (!hmp_report(hmp, error) && info->name) {
        hmp_printf(hmp, "%s\n", info->name);
    }
}

void hmp_info_uuid(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(UuidInfo) info = qmp_query_uuid(hmp_session(hmp), &error);

    if (!hmp_report(hmp, error)) {
        hmp_printf(hmp, "%s\n", info->UUID);
    }
}

void hmp_info_cpus(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CpuInfoFastList) list = qmp_query_cpus_fast(hmp_session(hmp),
                                                          &error);

    hmp_report(hmp, error);
    for (CpuInfoFastList *l = list; l; l = l->next) {
        int64_t index = l->value->cpu_index;

        hmp_printf(hmp, "%c CPU #%" PRId64 ": thread_id=%" PRId64 "\n",
                   index == hmp_cpu_index(hmp) ? '*' : ' ', index,
                   l->value->thread_id);
    }
}

void hmp_info_chardev(Hmp *hmp, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(ChardevInfoList) list = qmp_query_chardev(hmp_session(hmp),
                                                        &error);

    hmp_report(hmp, error);
    for (ChardevInfoList *l = list; l; l = l->next) {
        hmp_printf(hmp, "%s: filename=%s\n", l->value->label,
                   l->value->filename);
    }
}

void hmp_info_registers(Hmp *hmp, JsonObject *args)
{
    bool all = json_object_get_boolean_member_with_default(args, "all", FALSE);
    int64_t index = json_object_get_int_member_with_default(
        args, "vcpu", hmp_cpu_index(hmp));
    GError *error = NULL;
    HumanReadableText *text = qmp_x_query_registers(hmp_session(hmp), !all,
                                                    index, &error);

    hmp_print_text(hmp, text, error);
}
