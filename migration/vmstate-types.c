/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of scalar that a field table can name: how each is put, got and
 * called in the description. Sizes in memory and on the wire are the same.
 * Getters accept any bytes they are given or refuse them with words; the end
 * of the stream sticks in the stream and is seen by the caller.
 */
#include "migration/vmstate.h"

#include <string.h>

#include "util/error.h"

#define SCALAR(kind, ctype, json_name, width)                                 \
    static void put_##kind(Stream *s, const void *value, size_t size)         \
    {                                                                         \
        ctype v;                                                              \
                                                                              \
        memcpy(&v, value, sizeof(v));                                         \
        stream_put_##width(s, v);                                             \
    }                                                                         \
    static bool get_##kind(Stream *s, void *value, size_t size,               \
                           GError **error)                                    \
    {                                                                         \
        ctype v = stream_get_##width(s);                                      \
                                                                              \
        memcpy(value, &v, sizeof(v));                                         \
        return true;                                                          \
    }                                                                         \
    const VmStateType vmstate_type_##kind = { json_name, put_##kind,          \
                                              get_##kind };

SCALAR(u8, uint8_t, "uint8", u8)
SCALAR(u16, uint16_t, "uint16", be16)
SCALAR(u32, uint32_t, "uint32", be32)
SCALAR(u64, uint64_t, "uint64", be64)
SCALAR(i8, int8_t, "int8", u8)
SCALAR(i16, int16_t, "int16", be16)
SCALAR(i32, int32_t, "int32", be32)
SCALAR(i64, int64_t, "int64", be64)
/* An instant of the VM clock in ns; all ones: not armed. */
SCALAR(timer, int64_t, "timer", be64)

static void put_bool(Stream *s, const void *value, size_t size)
{
    stream_put_u8(s, *(const bool *)value);
}

static bool get_bool(Stream *s, void *value, size_t size, GError **error)
{
    uint8_t v = stream_get_u8(s); /* 0 at the end of the stream */

    if (v > 1) {
        tm_error_set(error, "%u is not a boolean", v);
        return false;
    }
    *(bool *)value = v;
    return true;
}

const VmStateType vmstate_type_bool = { "bool", put_bool, get_bool };

/* Configuration that both sides must share: what came has to be what is. */
static bool check_equal(Stream *s, uint64_t got, uint64_t have, GError **error)
{
    if (!stream_error(s) && got != have) {
        tm_error_set(error, "the source has %" G_GUINT64_FORMAT ", here it is "
                     "%" G_GUINT64_FORMAT, got, have);
        return false;
    }
    return true;
}

static bool get_u8_equal(Stream *s, void *value, size_t size, GError **error)
{
    return check_equal(s, stream_get_u8(s), *(const uint8_t *)value, error);
}

static bool get_u32_equal(Stream *s, void *value, size_t size, GError **error)
{
    uint32_t have;

    memcpy(&have, value, sizeof(have));
    return check_equal(s, stream_get_be32(s), have, error);
}

const VmStateType vmstate_type_u8_equal = { "uint8 equal", put_u8,
                                            get_u8_equal };
const VmStateType vmstate_type_u32_equal = { "uint32 equal", put_u32,
                                             get_u32_equal };

static void put_buffer(Stream *s, const void *value, size_t size)
{
    stream_put_bytes(s, value, size);
}

static bool get_buffer(Stream *s, void *value, size_t size, GError **error)
{
    stream_get_bytes(s, value, size);
    return true;
}

const VmStateType vmstate_type_buffer = { "buffer", put_buffer, get_buffer };

static void put_unused(Stream *s, const void *value, size_t size)
{
    static const uint8_t zeros[64];

    while (size) {
        size_t n = MIN(size, sizeof(zeros));

        stream_put_bytes(s, zeros, n);
        size -= n;
    }
}

static bool get_unused(Stream *s, void *value, size_t size, GError **error)
{
    stream_skip(s, size);
    return true;
}

const VmStateType vmstate_type_unused = { "unused_buffer", put_unused,
                                          get_unused };
