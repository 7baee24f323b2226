/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers in memory with a stated byte order, at any alignment. The migration
 * stream is big-endian; disks and most devices are little-endian. The compiler
 * makes one move (and byte swap) of each.
 */
#ifndef UTIL_BYTEORDER_H
#define UTIL_BYTEORDER_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

/** load_be16() - the big-endian 16-bit number at @at, at any alignment */
static inline uint16_t load_be16(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT16_FROM_BE(value);
}

/** load_be32() - the big-endian 32-bit number at @at */
static inline uint32_t load_be32(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT32_FROM_BE(value);
}

/** load_be64() - the big-endian 64-bit number at @at */
static inline uint64_t load_be64(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT64_FROM_BE(value);
}

/** load_le16() - the little-endian 16-bit number at @at */
static inline uint16_t load_le16(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT16_FROM_LE(value);
}

/** load_le32() - the little-endian 32-bit number at @at */
static inline uint32_t load_le32(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT32_FROM_LE(value);
}

/** load_le64() - the little-endian 64-bit number at @at */
static inline uint64_t load_le64(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return GUINT64_FROM_LE(value);
}

/** store_be16() - write @value big-endian to @at, which need not be aligned */
static inline void store_be16(void *at, uint16_t value)
{
    value = GUINT16_TO_BE(value);
    memcpy(at, &value, sizeof(value));
}

/** store_be32() - write @value big-endian to @at */
static inline void store_be32(void *at, uint32_t value)
{
    value = GUINT32_TO_BE(value);
    memcpy(at, &value, sizeof(value));
}

/** store_be64() - write @value big-endian to @at */
static inline void store_be64(void *at, uint64_t value)
{
    value = GUINT64_TO_BE(value);
    memcpy(at, &value, sizeof(value));
}

/** store_le16() - write @value little-endian to @at */
static inline void store_le16(void *at, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    memcpy(at, &value, sizeof(value));
}

/** store_le32() - write @value little-endian to @at */
static inline void store_le32(void *at, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof(value));
}

/** store_le64() - write @value little-endian to @at */
static inline void store_le64(void *at, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, sizeof(value));
}

#endif
