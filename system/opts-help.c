/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the program tells about itself: -help from the table of options, and
 * the lists behind "-machine help", "-accel help", "-device help", ...
 */
#include "system/opts.h"

#include <string.h>

#include "accel/accel.h"
#include "target/i386/cpu-model.h"
#include "util/trace.h"

#define HELP_COLUMN 16 /* where the explanations begin */

static void add_lines(GString *out, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        g_string_append_printf(out, "%*s%s\n", HELP_COLUMN, "", *line);
    }
}

static void add_row(GString *out, const OptRow *row)
{
    size_t begin = out->len;

    g_string_append_printf(out, "-%s", row->name);
    if (row->argument) {
        g_string_append_printf(out, " %s", row->argument);
    }
    if (out->len - begin < HELP_COLUMN && !strchr(row->help, '\n')) {
        g_string_append_printf(out, "%*s%s\n",
                               (int)(HELP_COLUMN - (out->len - begin)), "",
                               row->help);
        return;
    }
    g_string_append_c(out, '\n');
    add_lines(out, row->help);
}

char *opts_help(const char *program)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "usage: %s [options]\n\n"
        "Options may begin with one dash or two. A comma inside a value is\n"
        "written as two.\n\n", program);
    for (const OptRow *row = opts_rows(); row->name; row++) {
        if (row->help) {
            add_row(out, row);
        }
    }
    return g_string_free(out, FALSE);
}

static bool is_help(const char *text)
{
    return text && (!strcmp(text, "help") || !strcmp(text, "?"));
}

static bool asks_help(KeyVal *kv, const char *key)
{
    return kv && is_help(keyval_get_str(kv, key));
}

static bool any_asks_help(GPtrArray *list, const char *key)
{
    for (guint i = 0; i < list->len; i++) {
        if (asks_help(g_ptr_array_index(list, i), key)) {
            return true;
        }
    }
    return false;
}

static char *machine_help(void)
{
    GString *out = g_string_new("Supported machines are:\n");

    for (const MachineType *t = machine_types(); t->name; t++) {
        if (t->alias) {
            g_string_append_printf(out, "%-20s %s (alias of %s)\n", t->alias,
                                   t->description, t->name);
        }
        g_string_append_printf(out, "%-20s %s%s\n", t->name, t->description,
                               t->is_default ? " (default)" : "");
    }
    return g_string_free(out, FALSE);
}

static char *names_help(const char *title, const char *const *names)
{
    GString *out = g_string_new(title);

    for (; *names; names++) {
        g_string_append_printf(out, "%s\n", *names);
    }
    return g_string_free(out, FALSE);
}

static char *trace_help(void)
{
    GString *out = g_string_new(NULL);

    for (unsigned room = 0; trace_rooms[room]; room++) {
        for (TraceEvent *const *e = trace_rooms[room]; *e; e++) {
            g_string_append_printf(out, "%s\n", (*e)->name);
        }
    }
    return g_string_free(out, FALSE);
}

/* "-device NAME,help" */
static char *driver_help(const Options *opts)
{
    for (guint i = 0; i < opts->devices->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->devices, i);
        const char *driver = keyval_get_str(kv, "driver");

        for (unsigned k = 0; driver && k < keyval_count(kv); k++) {
            if (is_help(keyval_key_at(kv, k))) {
                return device_help_text(driver);
            }
        }
    }
    return NULL;
}

char *opts_help_for(const Options *opts)
{
    static const char *const backends[] = { "memory-backend-file",
        "memory-backend-memfd", "memory-backend-ram", NULL };
    static const char *const chardevs[] = { "file", "null", "socket", "stdio",
        NULL };
    static const char *const displays[] = { "none", "png", NULL };

    if (asks_help(opts->machine, "type")) {
        return machine_help();
    }
    if (any_asks_help(opts->accels, "accel")) {
        return names_help("Accelerators of this program:\n", accel_names());
    }
    if (any_asks_help(opts->devices, "driver")) {
        return names_help("Drivers of -device:\n", device_types());
    }
    if (any_asks_help(opts->objects, "qom-type")) {
        return names_help("Types of -object:\n", backends);
    }
    if (any_asks_help(opts->chardevs, "backend")) {
        return names_help("Backends of -chardev:\n", chardevs);
    }
    if (any_asks_help(opts->traces, "enable")) {
        return trace_help();
    }
    if (is_help(opts->cpu)) {
        return x86_cpu_help();
    }
    if (is_help(opts->display)) {
        return names_help("Values of -display:\n", displays);
    }
    return driver_help(opts);
}
