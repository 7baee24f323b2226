/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging the command line: board, vCPUs, accelerators, names, and how the
 * machine is to start. Memory and drives are in opts-check-memory.c, monitors
 * and what else has a chardev in opts-check-monitors.c.
 */
#include "system/opts.h"

#include <fcntl.h>
#include <string.h>

#include "util/cutils.h"
#include "util/error.h"
#include "util/path.h"
#include "util/trace.h"

/* Is @text, if given, one of the two accepted words? */
static bool check_word(const char *option, const char *text, const char *word,
                       const char *other, GError **error)
{
    if (!text || !strcmp(text, word) || (other && !strcmp(text, other))) {
        return true;
    }
    tm_error_set(error, "-%s: '%s' is not supported, only '%s' is", option,
                 text, word);
    return false;
}

static const MachineType *default_machine(void)
{
    const MachineType *type = machine_types();

    while (type->name && !type->is_default) {
        type++;
    }
    g_assert(type->name); /* the table of our boards has one */
    return type;
}

static bool check_machine(Options *opts, GError **error)
{
    const char *name = NULL;

    if (opts->machine) {
        name = keyval_get_str(opts->machine, "type");
    }
    opts->machine_type = name ? machine_type_find(name) : default_machine();
    if (!opts->machine_type) {
        tm_error_set(error, "-machine: there is no machine '%s', see "
                     "-machine help", name);
        return false;
    }
    return true;
}

static KeyVal *accel_choice(const char *name)
{
    KeyVal *kv = keyval_parse("", NULL, NULL);

    keyval_set(kv, "accel", name);
    return kv;
}

/* "kvm:tcg" */
static bool add_choices(GPtrArray *choices, const char *names, GError **error)
{
    g_auto(GStrv) words = g_strsplit(names, ":", -1);

    for (char **word = words; *word; word++) {
        if (!**word) {
            tm_error_set(error, "-machine: accel='%s' names no accelerator",
                         names);
            return false;
        }
        g_ptr_array_add(choices, accel_choice(*word));
    }
    if (!choices->len) {
        tm_error_set(error, "-machine: accel= names no accelerator");
        return false;
    }
    return true;
}

static void unref_choice(gpointer choice)
{
    keyval_free(choice);
}

static bool check_accels(Options *opts, GError **error)
{
    const char *names = NULL;

    if (opts->machine) {
        names = keyval_get_str(opts->machine, "accel");
    }
    if (names && opts->accels->len) {
        tm_error_set(error, "-machine: accel= and -accel exclude each other");
        return false;
    }
    if (opts->accels->len) {
        for (guint i = 0; i < opts->accels->len; i++) {
            if (!keyval_get_str(g_ptr_array_index(opts->accels, i), "accel")) {
                tm_error_set(error, "-accel: no accelerator is named");
                return false;
            }
        }
        opts->accel_choices = g_ptr_array_ref(opts->accels);
        return true;
    }
    opts->accel_choices = g_ptr_array_new_with_free_func(unref_choice);
    return add_choices(opts->accel_choices, names ? names : "kvm:tcg", error);
}

static bool check_cpus(Options *opts, GError **error)
{
    const MachineType *type = opts->machine_type;
    uint64_t n = 1;

    if (opts->smp) {
        if (!keyval_get_uint64(opts->smp, "cpus", UINT32_MAX, &n, error)) {
            return opts_error(error, "smp");
        }
        if (!opts_unused(opts->smp, "smp", error)) {
            return false;
        }
    }
    if (n < 1 || n > MAX(type->max_cpus, 1)) {
        tm_error_set(error, "-smp: cannot have %" G_GUINT64_FORMAT " vCPUs, "
                     "machine '%s' has 1 to %u", n, type->name,
                     MAX(type->max_cpus, 1));
        return false;
    }
    opts->cpus = type->has_cpus ? n : 0;
    return true;
}

static bool check_cpu_model(Options *opts, GError **error)
{
    if (!opts->cpu) {
        return true;
    }
    opts->cpu_spec = x86_cpu_spec_parse(opts->cpu, error);
    if (!opts->cpu_spec) {
        return opts_error(error, "cpu");
    }
    if (opts->cpu_spec->has_apic_id && opts->cpus > 1) {
        tm_error_set(error, "-cpu: 'apic-id=0' cannot be the id of all %u "
                     "vCPUs", opts->cpus);
        return false;
    }
    return true;
}

static bool check_name(Options *opts, GError **error)
{
    bool threads = true;

    if (!opts->name) {
        return true;
    }
    opts->guest_name = keyval_get_str(opts->name, "guest");
    opts->process_name = keyval_get_str(opts->name, "process");
    if (!keyval_get_bool(opts->name, "debug-threads", &threads, error)) {
        return opts_error(error, "name");
    }
    if (!threads) {
        tm_error_set(error, "-name: debug-threads=off is not supported, "
                     "threads always have names");
        return false;
    }
    return opts_unused(opts->name, "name", error);
}

static bool parse_uuid(const char *text, uint8_t bytes[16])
{
    unsigned n = 0;

    if (!g_uuid_string_is_valid(text)) {
        return false;
    }
    for (const char *p = text; *p; p++) {
        int high, low;

        if (*p == '-') {
            continue;
        }
        high = g_ascii_xdigit_value(*p++);
        low = g_ascii_xdigit_value(*p);
        bytes[n++] = high << 4 | low;
    }
    return true;
}

static bool check_uuid(Options *opts, GError **error)
{
    if (!opts->uuid) {
        return true;
    }
    if (!parse_uuid(opts->uuid, opts->uuid_bytes)) {
        tm_error_set(error, "-uuid: '%s' is not a UUID", opts->uuid);
        return false;
    }
    opts->has_uuid = true;
    return true;
}

static bool check_msg(Options *opts, GError **error)
{
    if (!opts->msg) {
        return true;
    }
    if (!keyval_get_bool(opts->msg, "timestamp", &opts->timestamps, error)) {
        return opts_error(error, "msg");
    }
    return opts_unused(opts->msg, "msg", error);
}

/* Events are switched on here already: that nothing matches is an error. */
static bool check_traces(Options *opts, GError **error)
{
    for (guint i = 0; i < opts->traces->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->traces, i);
        const char *pattern = keyval_get_str(kv, "enable");

        if (!opts_unused(kv, "trace", error)) {
            return false;
        }
        if (!pattern || !trace_enable(pattern, true)) {
            tm_error_set(error, "-trace: no event matches '%s'",
                         pattern ? pattern : "");
            return false;
        }
    }
    return true;
}

static void global_free(gpointer opaque)
{
    OptGlobal *global = opaque;

    g_free(global->driver);
    g_free(global->name);
    g_free(global->value);
    g_free(global);
}

static bool check_global(Options *opts, const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    const char *dot = strchr(text, '.');
    OptGlobal *global;

    if (!equals || !dot || dot > equals) {
        tm_error_set(error, "-global: '%s' is not DRIVER.NAME=VALUE", text);
        return false;
    }
    global = g_new0(OptGlobal, 1);
    global->driver = g_strndup(text, dot - text);
    global->name = g_strndup(dot + 1, equals - dot - 1);
    global->value = g_strdup(equals + 1);
    g_ptr_array_add(opts->global_list, global);
    if (strcmp(global->driver, "migration")) {
        tm_error_set(error, "-global: no property '%s' of '%s' can be preset, "
                     "only those of 'migration'", global->name,
                     global->driver);
        return false;
    }
    return true;
}

static bool check_globals(Options *opts, GError **error)
{
    opts->global_list = g_ptr_array_new_with_free_func(global_free);
    for (guint i = 0; i < opts->globals->len; i++) {
        if (!check_global(opts, g_ptr_array_index(opts->globals, i), error)) {
            return false;
        }
    }
    return true;
}

/* Nobody can have passed a descriptor by name yet. */
static bool check_fd(const char *name, GError **error)
{
    uint64_t fd;

    if (!parse_uint64(name, INT32_MAX, &fd, NULL)) {
        tm_error_set(error, "File descriptor named '%s' not found", name);
        return false;
    }
    if (fcntl(fd, F_GETFD) < 0) {
        tm_error_set(error, "file descriptor %s is not open", name);
        return false;
    }
    return true;
}

/* What can be told without opening it. */
static bool check_source(const ChannelAddress *from, GError **error)
{
    switch (from->kind) {
    case CHANNEL_ADDRESS_UNIX:
        return path_check_writable(from->path, error);
    case CHANNEL_ADDRESS_FILE:
        return path_check_readable(from->path, error);
    case CHANNEL_ADDRESS_FD:
        return check_fd(from->fd_name, error);
    default:
        return true;
    }
}

static bool check_incoming(Options *opts, const char *text, GError **error)
{
    if (opts->incoming || opts->incoming_defer) {
        tm_error_set(error, "-incoming: '%s' is one too many, there is one "
                     "channel", text);
        return false;
    }
    if (!strcmp(text, "defer")) {
        opts->incoming_defer = true;
        return true;
    }
    if (g_str_has_prefix(text, "cpr,") || g_str_has_prefix(text, "main,") ||
        *text == '{') {
        tm_error_set(error, "-incoming: channels ('%s') are not supported, "
                     "only a URI or 'defer'", text);
        return false;
    }
    opts->incoming = channel_address_parse(text, error);
    return (opts->incoming && check_source(opts->incoming, error)) ||
           opts_error(error, "incoming");
}

bool opts_check_run(Options *opts, GError **error)
{
    for (guint i = 0; i < opts->incomings->len; i++) {
        if (!check_incoming(opts, g_ptr_array_index(opts->incomings, i),
                            error)) {
            return false;
        }
    }
    return check_name(opts, error) && check_uuid(opts, error) &&
           check_msg(opts, error) && check_traces(opts, error) &&
           check_globals(opts, error) &&
           opts_check_display(opts, error) &&
           check_word("audio", opts->audio, "none", "driver=none", error) &&
           check_word("vga", opts->vga, "none", NULL, error);
}

bool opts_check(Options *opts, GError **error)
{
    if (!check_machine(opts, error) || !check_accels(opts, error) ||
        !check_cpus(opts, error) || !check_cpu_model(opts, error) ||
        !opts_check_memory(opts, error)) {
        return false;
    }
    if (opts->machine && !opts_unused(opts->machine, "machine", error)) {
        return false;
    }
    return opts_check_drives(opts, error) &&
           opts_check_monitors(opts, error) && opts_check_run(opts, error);
}
