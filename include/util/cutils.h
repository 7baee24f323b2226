/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers, sizes, times and switches as people write them on the command line
 * and in the monitors. All parsers take the whole text or nothing: leading
 * blanks, signs and trailing characters are errors that quote the text.
 */
#ifndef UTIL_CUTILS_H
#define UTIL_CUTILS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)

/**
 * parse_uint64() - an unsigned number
 * @text: decimal, or hexadecimal after 0x; a leading 0 does not mean octal
 * @max:  the largest value accepted
 * Errors:  empty, not a number, larger than @max; @ret_value untouched.
 * Returns: whether @ret_value was set.
 */
bool parse_uint64(const char *text, uint64_t max, uint64_t *ret_value,
                  GError **error);

/**
 * parse_int64() - a number that may be negative
 * @text: as for parse_uint64(), after an optional '-'
 * Errors:  empty, not a number, out of range; @ret_value untouched.
 * Returns: whether @ret_value was set.
 */
bool parse_int64(const char *text, int64_t *ret_value, GError **error);

/**
 * parse_size() - a number of bytes with an optional unit
 * @text: a decimal number, with a fraction if a unit follows, and one of the
 *        units B K M G T P E in either case, powers of 1024; or a hexadecimal
 *        number after 0x, which takes no unit (in 0x1E the E is a digit)
 * @default_unit: the unit of a decimal or hexadecimal text without one, 'B' or
 *        'M' for instance
 * Errors:  not such a text, negative, 2^64 or more; @ret_bytes untouched.
 * Returns: whether @ret_bytes was set; fractions are rounded to whole bytes.
 */
bool parse_size(const char *text, char default_unit, uint64_t *ret_bytes,
                GError **error);

/**
 * parse_time_ns() - a time with an optional unit
 * @text: a decimal number and one of ns, us, ms, s
 * @default_unit: the unit of a text without one: "ns", "us", "ms" or "s"
 * Errors:  not such a text, negative, above INT64_MAX ns; @ret_ns untouched.
 * Returns: whether @ret_ns was set.
 */
bool parse_time_ns(const char *text, const char *default_unit, int64_t *ret_ns,
                   GError **error);

/**
 * parse_bool() - a switch
 * @text: on, yes, true or y; off, no, false or n
 * Errors:  anything else; @ret_on untouched.
 * Returns: whether @ret_on was set.
 */
bool parse_bool(const char *text, bool *ret_on, GError **error);

/**
 * size_to_text() - a size for people, three digits and a binary unit
 * Returns: "512 B", "150 MiB", "1.5 GiB"; to be freed with g_free().
 */
char *size_to_text(uint64_t bytes);

#endif
