/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The project's error domain; see include/util/error.h.
 */
#include "util/error.h"

/* Not G_DEFINE_QUARK, whose static is written without a lock by whichever
 * thread comes first. Errors are rare enough for a look-up each. */
GQuark tm_error_quark(void)
{
    return g_quark_from_static_string("tidemark-error-quark");
}

void tm_error_set(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (error) {
        *error = g_error_new_valist(TM_ERROR, TM_ERROR_GENERIC, fmt, ap);
    }
    va_end(ap);
}

void tm_error_set_errno(GError **error, int err, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    if (!error) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error(error, TM_ERROR, TM_ERROR_GENERIC, "%s: %s", text,
                g_strerror(ABS(err)));
}

const char *tm_error_class(const GError *error)
{
    static const char *const names[TM_ERROR_CODE_MAX] = {
        [TM_ERROR_GENERIC] = "GenericError",
        [TM_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [TM_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [TM_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [TM_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
    };

    if (error->domain != TM_ERROR || error->code < 0 ||
        error->code >= TM_ERROR_CODE_MAX) {
        return "GenericError";
    }
    return names[error->code];
}
