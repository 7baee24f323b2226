/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judging -display: "none", or "png:FILE[,interval=MS][,device=ID]".
 */
#include "system/opts.h"

#include <string.h>

#include "ui/display-png.h"
#include "util/error.h"
#include "util/path.h"

#define PNG_PREFIX "png:"

static bool check_interval(Options *opts, GError **error)
{
    uint64_t ms = DISPLAY_PNG_INTERVAL_MS;

    if (!keyval_get_uint64(opts->display_options, "interval", UINT64_MAX, &ms,
                           error)) {
        return false;
    }
    if (ms < DISPLAY_PNG_MIN_MS || ms > DISPLAY_PNG_MAX_MS) {
        tm_error_set(error, "'interval' must be %d to %d ms",
                     DISPLAY_PNG_MIN_MS, DISPLAY_PNG_MAX_MS);
        return false;
    }
    opts->png_interval_ms = ms;
    return true;
}

static bool check_png(Options *opts, GError **error)
{
    KeyVal *kv = opts->display_options;
    const char *file = keyval_get_str(kv, "file");
    g_autofree char *whole = NULL;

    if (!file || !*file) {
        tm_error_set(error, "png: names no file");
        return false;
    }
    if (!path_check_writable(file, error)) {
        return false;
    }
    /* A process in the background has another working directory. */
    whole = path_absolute(file);
    keyval_set(kv, "file", whole);
    opts->png_path = keyval_get_str(kv, "file");
    opts->png_device = keyval_get_str(kv, "device");
    return check_interval(opts, error) &&
        keyval_check_unused(kv, "-display png", error);
}

bool opts_check_display(Options *opts, GError **error)
{
    const char *text = opts->display;

    if (!text || !strcmp(text, "none")) {
        return true;
    }
    if (!g_str_has_prefix(text, PNG_PREFIX)) {
        tm_error_set(error, "-display: '%s' is not supported, only 'none' "
                     "and 'png:FILE' are", text);
        return false;
    }
    if (opts->nographic) {
        tm_error_set(error, "-display: '%s' and -nographic exclude each "
                     "other", text);
        return false;
    }
    g_clear_pointer(&opts->display_options, keyval_free);
    opts->display_options = keyval_parse(text + strlen(PNG_PREFIX), "file",
                                         error);
    if (!opts->display_options || !check_png(opts, error)) {
        return opts_error(error, "display");
    }
    return true;
}
