/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging what has a chardev: -chardev, -mon, -qmp, -monitor, -serial,
 * -qtest.
 */
#include "system/opts.h"

#include <string.h>

#include "util/error.h"
#include "util/path.h"

#define CHARDEV_PREFIX "chardev:"
#define MAX_SERIALS G_N_ELEMENTS(((BoardConfig *)0)->serial)

static bool chardev_is_given(const Options *opts, const char *id)
{
    for (guint i = 0; i < opts->chardevs->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->chardevs, i);

        if (!g_strcmp0(keyval_get_str(kv, "id"), id)) {
            return true;
        }
    }
    return false;
}

static bool check_chardevs(Options *opts, GError **error)
{
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < opts->chardevs->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->chardevs, i);
        const char *id = keyval_get_str(kv, "id");

        if (id && !g_hash_table_add(ids, (gpointer)id)) {
            tm_error_set(error, "id '%s' is given twice", id);
            return opts_error(error, "chardev");
        }
        if (!chardev_check(kv, error)) {
            return opts_error(error, "chardev");
        }
    }
    return true;
}

/* The text of -serial and its like; "none" is the caller's affair. */
static bool check_text(const Options *opts, const char *option,
                       const char *text, GError **error)
{
    if (g_str_has_prefix(text, CHARDEV_PREFIX)) {
        const char *id = text + strlen(CHARDEV_PREFIX);

        if (chardev_is_given(opts, id)) {
            return true;
        }
        tm_error_set(error, "-%s: there is no -chardev with id '%s'", option,
                     id);
        return false;
    }
    return chardev_check_legacy(text, error) || opts_error(error, option);
}

static bool check_texts(const Options *opts, const char *option,
                        const GPtrArray *texts, GError **error)
{
    for (guint i = 0; i < texts->len; i++) {
        const char *text = g_ptr_array_index(texts, i);

        if (strcmp(text, "none") && !check_text(opts, option, text, error)) {
            return false;
        }
    }
    return true;
}

static void monitor_free(gpointer opaque)
{
    OptMonitor *monitor = opaque;

    g_free(monitor->chardev_id);
    g_free(monitor->legacy);
    g_free(monitor);
}

static bool check_mon(Options *opts, KeyVal *kv, GError **error)
{
    const char *id = keyval_get_str(kv, "chardev");
    const char *mode = keyval_get_str(kv, "mode");
    bool pretty = false;
    OptMonitor *monitor;

    if (!id || !chardev_is_given(opts, id)) {
        tm_error_set(error, id ? "there is no -chardev with id '%s'" :
                     "'chardev' is missing", id);
        return opts_error(error, "mon");
    }
    if (mode && strcmp(mode, "control") && strcmp(mode, "readline")) {
        tm_error_set(error, "mode '%s' is neither 'control' nor 'readline'",
                     mode);
        return opts_error(error, "mon");
    }
    if (!keyval_get_bool(kv, "pretty", &pretty, error)) {
        return opts_error(error, "mon");
    }
    if (!opts_unused(kv, "mon", error)) {
        return false;
    }
    monitor = g_new0(OptMonitor, 1);
    monitor->chardev_id = g_strdup(id);
    monitor->qmp = mode && !strcmp(mode, "control");
    monitor->pretty = pretty;
    g_ptr_array_add(opts->monitors, monitor);
    if (pretty && !monitor->qmp) {
        tm_error_set(error, "-mon: 'pretty' is for mode 'control' only");
        return false;
    }
    return true;
}

static void add_legacy(Options *opts, const GPtrArray *texts, bool qmp,
                       bool pretty)
{
    for (guint i = 0; i < texts->len; i++) {
        const char *text = g_ptr_array_index(texts, i);
        OptMonitor *monitor;

        if (!strcmp(text, "none")) {
            continue;
        }
        monitor = g_new0(OptMonitor, 1);
        monitor->legacy = g_strdup(text);
        monitor->qmp = qmp;
        monitor->pretty = pretty;
        g_ptr_array_add(opts->monitors, monitor);
    }
}

static bool check_serials(const Options *opts, GError **error)
{
    if (opts->serials->len > MAX_SERIALS) {
        tm_error_set(error, "-serial: there are %u, the board has room for "
                     "%zu", opts->serials->len, MAX_SERIALS);
        return false;
    }
    for (guint i = 0; i < opts->serials->len; i++) {
        if (strcmp(g_ptr_array_index(opts->serials, i), "none") &&
            !opts->machine_type->has_cpus) {
            tm_error_set(error, "-serial: machine '%s' has no serial ports",
                         opts->machine_type->name);
            return false;
        }
    }
    return check_texts(opts, "serial", opts->serials, error);
}

static bool check_qtest(const Options *opts, GError **error)
{
    bool given = opts->qtest && strcmp(opts->qtest, "none");

    if (opts->qtest_log && !given) {
        tm_error_set(error, "-qtest-log: there is no -qtest to write down");
        return false;
    }
    if (opts->qtest_log && !path_check_writable(opts->qtest_log, error)) {
        return opts_error(error, "qtest-log");
    }
    return !given || check_text(opts, "qtest", opts->qtest, error);
}

static bool check_all_texts(Options *opts, GError **error)
{
    if (!check_qtest(opts, error)) {
        return false;
    }
    return check_serials(opts, error) &&
           check_texts(opts, "qmp", opts->qmps, error) &&
           check_texts(opts, "qmp-pretty", opts->pretty_qmps, error) &&
           check_texts(opts, "monitor", opts->hmps, error);
}

/* Note that @option uses the chardev @id; it has one user only. */
static bool use_chardev(GHashTable *used, const char *option, const char *id,
                        GError **error)
{
    if (g_hash_table_add(used, (gpointer)id)) {
        return true;
    }
    tm_error_set(error, "-%s: chardev '%s' is in use", option, id);
    return false;
}

static bool use_text(GHashTable *used, const char *option, const char *text,
                     GError **error)
{
    return !g_str_has_prefix(text, CHARDEV_PREFIX) ||
           use_chardev(used, option, text + strlen(CHARDEV_PREFIX), error);
}

/* Has every -chardev at most one user? */
static bool check_users(const Options *opts, GError **error)
{
    const struct {
        const char *option;
        const GPtrArray *texts;
    } lists[] = { { "serial", opts->serials }, { "qmp", opts->qmps },
                  { "qmp-pretty", opts->pretty_qmps },
                  { "monitor", opts->hmps } };
    g_autoptr(GHashTable) used = g_hash_table_new(g_str_hash, g_str_equal);

    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        for (guint i = 0; i < lists[l].texts->len; i++) {
            if (!use_text(used, lists[l].option,
                          g_ptr_array_index(lists[l].texts, i), error)) {
                return false;
            }
        }
    }
    for (guint i = 0; i < opts->mons->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->mons, i);

        if (!use_chardev(used, "mon", keyval_get_str(kv, "chardev"), error)) {
            return false;
        }
    }
    return !opts->qtest || use_text(used, "qtest", opts->qtest, error);
}

/* Standard input and output are one thing, and none in the background. */
static bool check_stdio(const Options *opts, GError **error)
{
    const GPtrArray *lists[] = { opts->serials, opts->qmps,
                                 opts->pretty_qmps, opts->hmps };
    unsigned users = !g_strcmp0(opts->qtest, "stdio");

    for (unsigned l = 0; l < G_N_ELEMENTS(lists); l++) {
        for (guint i = 0; i < lists[l]->len; i++) {
            users += !strcmp(g_ptr_array_index(lists[l], i), "stdio");
        }
    }
    for (guint i = 0; i < opts->chardevs->len; i++) {
        KeyVal *kv = g_ptr_array_index(opts->chardevs, i);

        users += !g_strcmp0(keyval_get_str(kv, "backend"), "stdio");
    }
    if (users > 1) {
        tm_error_set(error, "-chardev: 'stdio' can be used only once");
        return false;
    }
    if (users && opts->daemonize) {
        tm_error_set(error, "-daemonize: 'stdio' cannot be used with it");
        return false;
    }
    return true;
}

bool opts_check_monitors(Options *opts, GError **error)
{
    opts->monitors = g_ptr_array_new_with_free_func(monitor_free);
    if (!check_chardevs(opts, error) || !check_all_texts(opts, error) ||
        !check_stdio(opts, error)) {
        return false;
    }
    for (guint i = 0; i < opts->mons->len; i++) {
        if (!check_mon(opts, g_ptr_array_index(opts->mons, i), error)) {
            return false;
        }
    }
    add_legacy(opts, opts->qmps, true, false);
    add_legacy(opts, opts->pretty_qmps, true, true);
    add_legacy(opts, opts->hmps, false, false);
    return check_users(opts, error);
}
