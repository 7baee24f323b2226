/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The project's one GError domain. Its codes map onto the error classes of
 * QMP; whoever answers a QMP command turns code and text into a reply, nobody
 * else needs to look at the code.
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include <glib.h>

#define TM_ERROR (tm_error_quark())

typedef enum TmErrorCode {
    TM_ERROR_GENERIC,            /* QMP GenericError */
    TM_ERROR_COMMAND_NOT_FOUND,  /* QMP CommandNotFound */
    TM_ERROR_DEVICE_NOT_ACTIVE,  /* QMP DeviceNotActive */
    TM_ERROR_DEVICE_NOT_FOUND,   /* QMP DeviceNotFound */
    TM_ERROR_KVM_MISSING_CAP,    /* QMP KVMMissingCap */
    TM_ERROR_CODE_MAX,
} TmErrorCode;

/** tm_error_quark() - the domain behind TM_ERROR. Context: any thread. */
GQuark tm_error_quark(void);

/**
 * tm_error_set() - set @error to a generic error with these words
 * @error: as in GLib; may be NULL, must not be set already
 * @fmt:   the error first, lower case, no full stop
 * Context: any thread.
 */
void tm_error_set(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/**
 * tm_error_set_errno() - as tm_error_set(), followed by ": " and strerror
 * @err: an errno value; negative ones are taken as -errno
 * Context: any thread.
 */
void tm_error_set_errno(GError **error, int err, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/**
 * tm_error_class() - the QMP class name of an error
 * @error: any GError; other domains count as GenericError
 * Returns: a static string, "GenericError" for instance.
 */
const char *tm_error_class(const GError *error);

#endif
