/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers, sizes, times and switches in text; see include/util/cutils.h.
 */
#include "util/cutils.h"

#include <string.h>

#include "util/error.h"

/* Digits of a fraction beyond these cannot change a byte of a size. */
#define FRACTION_DIGITS 18

/*
 * Reads digits of @base at *@text and moves *@text behind them. False when
 * there is none, or when the number does not fit (*ret_overflow says which).
 */
static bool scan_digits(const char **text, unsigned base, uint64_t *ret_value,
                        bool *ret_overflow)
{
    const char *at = *text;
    uint64_t value = 0;
    int digit;

    *ret_overflow = false;
    while ((digit = g_ascii_xdigit_value(*at)) >= 0 && digit < (int)base) {
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            *ret_overflow = true;
            return false;
        }
        at++;
    }
    if (at == *text) {
        return false;
    }
    *text = at;
    *ret_value = value;
    return true;
}

static bool skip_hex_prefix(const char **text)
{
    if ((*text)[0] == '0' && ((*text)[1] == 'x' || (*text)[1] == 'X')) {
        *text += 2;
        return true;
    }
    return false;
}

bool parse_uint64(const char *text, uint64_t max, uint64_t *ret_value,
                  GError **error)
{
    const char *at = text;
    unsigned base = skip_hex_prefix(&at) ? 16 : 10;
    uint64_t value = 0;
    bool overflow;
    bool ok = scan_digits(&at, base, &value, &overflow);

    if (!overflow && (!ok || *at)) {
        tm_error_set(error, "'%s' is not a number", text);
        return false;
    }
    if (overflow || value > max) {
        tm_error_set(error, "number '%s' is larger than %" G_GUINT64_FORMAT,
                     text, max);
        return false;
    }
    *ret_value = value;
    return true;
}

bool parse_int64(const char *text, int64_t *ret_value, GError **error)
{
    bool negative = text[0] == '-';
    uint64_t max = negative ? UINT64_C(1) << 63 : INT64_MAX;
    uint64_t value;

    if (!parse_uint64(text + negative, max, &value, error)) {
        return false;
    }
    *ret_value = negative ? -value : value;
    return true;
}

/* The power of two of a unit letter, -1 for any other character. */
static int unit_shift(char unit)
{
    static const char units[] = "BKMGTPE";
    const char *at = unit ? strchr(units, g_ascii_toupper(unit)) : NULL;

    return at ? 10 * (at - units) : -1;
}

/* Reads ".digits" as a number of 1/10^18; true also when there is none. */
static bool scan_fraction(const char **text, uint64_t *ret_fraction)
{
    uint64_t fraction = 0;
    const char *at = *text;
    unsigned n = 0;

    *ret_fraction = 0;
    if (*at != '.') {
        return true;
    }
    for (at++; g_ascii_isdigit(*at); at++) {
        if (n < FRACTION_DIGITS) {
            fraction = fraction * 10 + (*at - '0');
            n++;
        }
    }
    if (at == *text + 1) {
        return false;
    }
    for (; n < FRACTION_DIGITS; n++) {
        fraction *= 10;
    }
    *text = at;
    *ret_fraction = fraction;
    return true;
}

/* @whole + @fraction/10^18, times 2^@shift, rounded; false if >= 2^64. */
static bool scale(uint64_t whole, uint64_t fraction, unsigned shift,
                  uint64_t *ret_value)
{
    const uint64_t one = UINT64_C(1000000000000000000);
    unsigned __int128 value = (unsigned __int128)whole << shift;

    value += (((unsigned __int128)fraction << shift) + one / 2) / one;
    if (value > UINT64_MAX) {
        return false;
    }
    *ret_value = value;
    return true;
}

bool parse_size(const char *text, char default_unit, uint64_t *ret_bytes,
                GError **error)
{
    const char *at = text;
    bool hex = skip_hex_prefix(&at);
    uint64_t whole = 0, fraction = 0;
    int shift = unit_shift(default_unit);
    bool overflow, ok;

    ok = scan_digits(&at, hex ? 16 : 10, &whole, &overflow);
    if (overflow) {
        goto too_large;
    }
    ok = ok && (hex || scan_fraction(&at, &fraction));
    if (ok && !hex && *at) {
        shift = unit_shift(*at);
        at++;
    }
    /* A fraction of a byte, even ".0", is a slip rather than a size. */
    if (!ok || shift < 0 || *at || (shift == 0 && strchr(text, '.'))) {
        tm_error_set(error, hex && *at ?
                     "size '%s' is hexadecimal and takes no unit" :
                     "'%s' is not a size, as 4096, 1.5G or 0x1000 are", text);
        return false;
    }
    if (scale(whole, fraction, shift, ret_bytes)) {
        return true;
    }
too_large:
    tm_error_set(error, "size '%s' is too large", text);
    return false;
}

bool parse_time_ns(const char *text, const char *default_unit, int64_t *ret_ns,
                   GError **error)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {
        {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000},
    };
    const char *at = text;
    uint64_t number = 0;
    bool overflow;

    if (scan_digits(&at, 10, &number, &overflow)) {
        const char *unit = *at ? at : default_unit;

        for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
            if (strcmp(unit, units[i].name) == 0) {
                if (number <= (uint64_t)(INT64_MAX / units[i].ns)) {
                    *ret_ns = number * units[i].ns;
                    return true;
                }
                overflow = true;
            }
        }
    }
    tm_error_set(error, overflow ? "time '%s' is too large" :
                 "'%s' is not a time, as 300ms or 2s are", text);
    return false;
}

bool parse_bool(const char *text, bool *ret_on, GError **error)
{
    static const char *const words[][2] = {
        {"off", "on"}, {"no", "yes"}, {"false", "true"}, {"n", "y"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        for (unsigned on = 0; on < 2; on++) {
            if (strcmp(text, words[i][on]) == 0) {
                *ret_on = on;
                return true;
            }
        }
    }
    tm_error_set(error, "'%s' is neither 'on' nor 'off'", text);
    return false;
}

char *size_to_text(uint64_t bytes)
{
    static const char *const units[] = {
        "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
    };
    double value = bytes;
    unsigned unit = 0;

    /* From 999.5 on three digits would round to the next thousand. */
    while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    return g_strdup_printf("%.3g %s", value, units[unit]);
}
