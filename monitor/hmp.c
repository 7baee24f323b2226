/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The monitor for people: finding a command, running a line, help.
 * See include/monitor/hmp.h.
 */
#include <string.h>

#include "monitor/hmp-args.h"
#include "monitor/hmp-cmds.h"
#include "monitor/monitor-internal.h"
#include "qapi/qapi-commands.h"
#include "trace/monitor.h"

static const HmpCommand no_commands[] = { { 0 } };

static const HmpCommand *commands_of(Hmp *hmp)
{
    const HmpCommand *table = hmp->session->monitors->config.hmp_commands;

    return table ? table : no_commands;
}

static const HmpCommand *info_of(Hmp *hmp)
{
    const HmpCommand *table = hmp->session->monitors->config.hmp_info;

    return table ? table : no_commands;
}

static void put_text(Hmp *hmp, const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);

    for (; *text; text++) {
        if (*text == '\n') {
            g_string_append_c(out, '\r');
        }
        g_string_append_c(out, *text);
    }
    if (hmp->chr) {
        chardev_write(hmp->chr, out->str, out->len);
    } else {
        g_string_append_len(hmp->out, out->str, out->len);
    }
}

void hmp_printf(Hmp *hmp, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    put_text(hmp, text);
}

bool hmp_report(Hmp *hmp, const GError *error)
{
    if (error) {
        hmp_printf(hmp, "Error: %s\n", error->message);
    }
    return error != NULL;
}

void hmp_print_text(Hmp *hmp, HumanReadableText *text, GError *error)
{
    if (!hmp_report(hmp, error)) {
        put_text(hmp, text->human_readable_text);
    }
    qapi_free_HumanReadableText(text);
    g_clear_error(&error);
}

QmpSession *hmp_session(Hmp *hmp)
{
    return hmp->session;
}

int64_t hmp_cpu_index(Hmp *hmp)
{
    return hmp->cpu_index;
}

/* Is the word of @length bytes one of "cont|c"? */
static bool is_named(const char *names, const char *word, size_t length)
{
    for (;;) {
        size_t n = strcspn(names, "|");

        if (n == length && !memcmp(names, word, n)) {
            return true;
        }
        if (!names[n]) {
            return false;
        }
        names += n + 1;
    }
}

/* Bytes of the command's name at the start of @text. */
static size_t name_length(const char *text)
{
    return strcspn(text, " \t\r\n/");
}

static const HmpCommand *find_command(const HmpCommand *table,
                                      const char *word, size_t length)
{
    for (; table->name; table++) {
        if (is_named(table->name, word, length)) {
            return table;
        }
    }
    return NULL;
}

static const char *skip_blanks(const char *text)
{
    while (g_ascii_isspace(*text)) {
        text++;
    }
    return text;
}

/*
 * Find the command that @line begins with, "info" and its subject taken
 * together. @ret_end: what stands behind its name; also set when nothing is
 * found, to the end of what was looked for.
 */
static const HmpCommand *resolve(Hmp *hmp, const char *line,
                                 bool *ret_is_info, const char **ret_end)
{
    size_t length = name_length(line);
    const HmpCommand *command = find_command(commands_of(hmp), line, length);
    const char *rest = skip_blanks(line + length);

    *ret_is_info = command && !strcmp(command->name, "info") && *rest;
    *ret_end = line + length;
    if (!*ret_is_info) {
        return command;
    }
    length = name_length(rest);
    *ret_end = rest + length;
    return find_command(info_of(hmp), rest, length);
}

static bool lookup_register(const char *name, uint64_t *ret_value,
                            void *opaque, GError **error)
{
    Hmp *hmp = opaque;
    g_autoptr(CpuRegister) reg =
        qmp_x_query_register(hmp->session, name, true, hmp->cpu_index, error);

    if (!reg) {
        return false;
    }
    *ret_value = reg->value;
    return true;
}

void hmp_run_line(Hmp *hmp, const char *line)
{
    HmpExprEnv env = { .lookup = lookup_register, .opaque = hmp };
    g_autoptr(JsonObject) args = NULL;
    g_autoptr(GError) error = NULL;
    const HmpCommand *command;
    const char *end;
    bool is_info;

    trace_monitor_hmp_line(line);
    line = skip_blanks(line);
    if (!*line || *line == '#') {
        return;
    }
    command = resolve(hmp, line, &is_info, &end);
    if (!command) {
        hmp_printf(hmp, "unknown command: '%.*s'\n", (int)(end - line), line);
        return;
    }
    args = hmp_parse_args(command->args_type, end, &env, &error);
    if (!args) {
        g_autofree char *name = g_strndup(command->name,
                                          strcspn(command->name, "|"));

        hmp_printf(hmp, "%s: %s\nTry \"help %s%s\" for more information\n",
                   name, error->message, is_info ? "info " : "", name);
        return;
    }
    command->run(hmp, args);
}

static void print_help(Hmp *hmp, const HmpCommand *command,
                       const char *prefix)
{
    hmp_printf(hmp, "%s%s %s -- %s\n", prefix, command->name, command->params,
               command->help);
}

static void print_table(Hmp *hmp, const HmpCommand *table,
                        const char *prefix)
{
    for (; table->name; table++) {
        print_help(hmp, table, prefix);
    }
}

void hmp_help(Hmp *hmp, JsonObject *args)
{
    const char *name =
        json_object_get_string_member_with_default(args, "name", NULL);
    const HmpCommand *command;
    const char *end;
    bool is_info;

    if (!name) {
        print_table(hmp, commands_of(hmp), "");
        return;
    }
    command = resolve(hmp, name, &is_info, &end);
    if (!command || *skip_blanks(end)) {
        hmp_printf(hmp, "unknown command: '%s'\n", name);
    } else if (!strcmp(command->name, "info")) {
        print_table(hmp, info_of(hmp), "info ");
    } else {
        print_help(hmp, command, is_info ? "info " : "");
    }
}

/* "info" alone; with a subject it is that subject's row which runs. */
void hmp_info(Hmp *hmp, JsonObject *args)
{
    print_table(hmp, info_of(hmp), "info ");
}

/* "cpu": the vCPU that further commands are about */
void hmp_cpu(Hmp *hmp, JsonObject *args)
{
    int64_t index = json_object_get_int_member(args, "index");
    g_autoptr(CpuInfoFastList) list = qmp_query_cpus_fast(hmp->session, NULL);

    for (CpuInfoFastList *l = list; l; l = l->next) {
        if (l->value->cpu_index == index) {
            hmp->cpu_index = index;
            return;
        }
    }
    hmp_printf(hmp, "invalid CPU index\n");
}
