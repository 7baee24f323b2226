/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about the monitor itself: version, commands, schema, chardevs,
 * the monitor for people, and the end of the program.
 */
#include <string.h>

#include "monitor/monitor-internal.h"
#include "qapi/json-text.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-introspect.h"
#include "qapi/qapi-visit.h"
#include "util/error.h"

VersionInfo *qmp_query_version(QmpSession *session, GError **error)
{
    VersionInfo *info = g_new0(VersionInfo, 1);

    info->qemu = g_new0(VersionTriple, 1);
    info->qemu->major = MONITOR_QEMU_MAJOR;
    info->qemu->minor = MONITOR_QEMU_MINOR;
    info->qemu->micro = MONITOR_QEMU_MICRO;
    info->package = g_strdup(session->monitors->config.package);
    return info;
}

CommandInfoList *qmp_query_commands(QmpSession *session, GError **error)
{
    CommandInfoList *list = NULL, **tail = &list;

    for (const QmpCommand *c = session->monitors->config.qmp_commands;
         c->name; c++) {
        CommandInfo *info = g_new0(CommandInfo, 1);

        info->name = g_strdup(c->name);
        QAPI_LIST_APPEND(tail, info);
    }
    return list;
}

SchemaInfoList *qmp_query_qmp_schema(QmpSession *session, GError **error)
{
    SchemaInfoList *list = NULL;
    g_autoptr(JsonNode) node = json_text_parse(qmp_schema_json,
                                               strlen(qmp_schema_json),
                                               error);

    if (node) {
        qapi_SchemaInfoList_from_json(node, &list, error);
    }
    return list;
}

static void add_chardev(Chardev *chr, void *user)
{
    ChardevInfoList ***tail = user;
    ChardevInfo *info = g_new0(ChardevInfo, 1);
    ChardevDesc desc;

    chardev_info(chr, &desc);
    info->label = g_strdup(desc.label);
    info->filename = desc.filename;
    info->frontend_open = desc.is_frontend_open;
    QAPI_LIST_APPEND(*tail, info);
}

ChardevInfoList *qmp_query_chardev(QmpSession *session, GError **error)
{
    ChardevInfoList *list = NULL, **tail = &list;

    chardev_list_foreach(session->monitors->config.chardevs, add_chardev,
                         &tail);
    return list;
}

bool qmp_quit(QmpSession *session, GError **error)
{
    const MonitorConfig *config = &session->monitors->config;

    session->monitors->quitting = true;
    config->quit(config->app);
    return true;
}

static bool is_cpu(QmpSession *session, int64_t index, GError **error)
{
    g_autoptr(CpuInfoFastList) list = qmp_query_cpus_fast(session, NULL);

    for (CpuInfoFastList *l = list; l; l = l->next) {
        if (l->value->cpu_index == index) {
            return true;
        }
    }
    tm_error_set(error, "Parameter 'cpu-index' expects a CPU number");
    return false;
}

char *qmp_human_monitor_command(QmpSession *session, const char *command_line,
                                bool has_cpu_index, int64_t cpu_index,
                                GError **error)
{
    g_autofree Hmp *hmp = NULL;

    if (has_cpu_index && !is_cpu(session, cpu_index, error)) {
        return NULL;
    }
    hmp = g_new0(Hmp, 1);
    hmp->session = session;
    hmp->cpu_index = has_cpu_index ? cpu_index : 0;
    hmp->out = g_string_new(NULL);
    hmp_run_line(hmp, command_line);
    if (session->deferred) {
        qmp_deferred_text(session->deferred, g_steal_pointer(&hmp));
        return g_strdup(""); /* the text is still to come */
    }
    return g_string_free(hmp->out, FALSE);
}
