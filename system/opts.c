/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking the command line apart, by the table of opts-table.c.
 */
#include "system/opts.h"

#include <string.h>

#include "util/error.h"

#define FIELD(opts, row, type) ((type *)((char *)(opts) + (row)->offset))

static GPtrArray *keyvals_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)keyval_free);
}

static GPtrArray *texts_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

static Options *opts_new(void)
{
    Options *opts = g_new0(Options, 1);

    for (const OptRow *row = opts_rows(); row->name; row++) {
        GPtrArray **list = FIELD(opts, row, GPtrArray *);

        if (row->kind == OPT_TEXTS && !*list) {
            *list = texts_new();
        } else if (row->kind == OPT_KEYVALS && !*list) {
            *list = keyvals_new();
        }
    }
    return opts;
}

bool opts_error(GError **error, const char *option)
{
    g_prefix_error(error, "-%s: ", option);
    return false;
}

bool opts_unused(const KeyVal *kv, const char *option, GError **error)
{
    g_autofree char *what = g_strdup_printf("-%s", option);

    return keyval_check_unused(kv, what, error) || opts_error(error, option);
}

static bool store_keyval(Options *opts, const OptRow *row, const char *text,
                         GError **error)
{
    KeyVal *kv = keyval_parse(text, row->implied_key, error);

    if (!kv) {
        return opts_error(error, row->name);
    }
    if (row->kind == OPT_KEYVALS) {
        g_ptr_array_add(*FIELD(opts, row, GPtrArray *), kv);
    } else if (*FIELD(opts, row, KeyVal *)) {
        keyval_merge(*FIELD(opts, row, KeyVal *), kv);
        keyval_free(kv);
    } else {
        *FIELD(opts, row, KeyVal *) = kv;
    }
    return true;
}

static bool store(Options *opts, const OptRow *row, const char *text,
                  GError **error)
{
    switch (row->kind) {
    case OPT_FLAG:
        *FIELD(opts, row, bool) = true;
        return true;
    case OPT_TEXT:
        g_free(*FIELD(opts, row, char *));
        *FIELD(opts, row, char *) = g_strdup(text);
        return true;
    case OPT_TEXTS:
        g_ptr_array_add(*FIELD(opts, row, GPtrArray *), g_strdup(text));
        return true;
    case OPT_MERGED:
    case OPT_KEYVALS:
        break;
    }
    return store_keyval(opts, row, text, error);
}

/* The row that a word of the command line names. */
static const OptRow *find_row(const char *word, GError **error)
{
    const char *name = word;
    const OptRow *row;

    if (*name++ != '-') {
        tm_error_set(error, "'%s' is no option", word);
        return NULL;
    }
    name += *name == '-';
    row = opts_find(name);
    if (!row) {
        tm_error_set(error, "%s: unknown option", word);
    }
    return row;
}

Options *opts_parse(int argc, char *const *argv, GError **error)
{
    g_autoptr(Options) opts = opts_new();

    for (int i = 1; i < argc; i++) {
        const OptRow *row = find_row(argv[i], error);
        const char *text = NULL;

        if (!row) {
            return NULL;
        }
        if (row->kind != OPT_FLAG) {
            text = i + 1 < argc ? argv[++i] : NULL;
            if (!text) {
                tm_error_set(error, "-%s: its argument is missing", row->name);
                return NULL;
            }
        }
        if (!store(opts, row, text, error)) {
            return NULL;
        }
    }
    return g_steal_pointer(&opts);
}

void opts_free(Options *opts)
{
    if (!opts) {
        return;
    }
    for (const OptRow *row = opts_rows(); row->name; row++) {
        switch (row->kind) {
        case OPT_FLAG:
            break;
        case OPT_TEXT:
            g_clear_pointer(FIELD(opts, row, char *), g_free);
            break;
        case OPT_MERGED:
            g_clear_pointer(FIELD(opts, row, KeyVal *), keyval_free);
            break;
        case OPT_TEXTS:
        case OPT_KEYVALS:
            g_clear_pointer(FIELD(opts, row, GPtrArray *), g_ptr_array_unref);
            break;
        }
    }
    g_clear_pointer(&opts->accel_choices, g_ptr_array_unref);
    g_clear_pointer(&opts->backends, g_ptr_array_unref);
    g_clear_pointer(&opts->drive_configs, g_ptr_array_unref);
    g_clear_pointer(&opts->monitors, g_ptr_array_unref);
    g_clear_pointer(&opts->global_list, g_ptr_array_unref);
    g_clear_pointer(&opts->display_options, keyval_free);
    channel_address_free(opts->incoming);
    x86_cpu_spec_free(opts->cpu_spec);
    g_free(opts);
}
