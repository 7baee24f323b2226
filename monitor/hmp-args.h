/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the text after a command's name to its arguments.
 */
#ifndef MONITOR_HMP_ARGS_H
#define MONITOR_HMP_ARGS_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Looks up a register for "$name" in an expression. */
typedef bool HmpRegisterFn(const char *name, uint64_t *ret_value,
                           void *opaque, GError **error);

typedef struct HmpExprEnv {
    HmpRegisterFn *lookup;     /* NULL: there are no registers */
    void *opaque;
} HmpExprEnv;

/**
 * hmp_expr() - evaluate an expression
 * @text: moved past it and past the blanks behind it
 * Numbers are decimal, octal or hexadecimal as in C, 'c' or $register; + -
 * bind loosest, then & | ^, then * / %; ~ + - ( ) as in C. 64 bits, wrapping.
 * A blank ends it, outside of brackets, unless an operator and a second blank
 * follow: "4 /tmp/x" is 4.
 * Context: main thread.
 * Errors:  not an expression, division by zero, nested too deep; @text is
 *          somewhere inside then.
 * Returns: whether @ret_value was set.
 */
bool hmp_expr(const char **text, const HmpExprEnv *env, uint64_t *ret_value,
              GError **error);

/**
 * hmp_parse_args() - arguments by a row's args_type
 * @args_type: "name:type,..." with the types
 *             s  a word, or a string in double quotes
 *             S  the rest of the line
 *             i  an expression that fits 32 bits
 *             l  an expression of 64 bits
 *             o  a size; MiB without a unit
 *             b  on or off
 *             -x the flag -x, anywhere before what is not a flag
 *             -xs the flag -x and a word, there or in its own place
 *             /  /NFS before all else: count, format, unit size
 *             and ? behind the type for what may be left out, at the end
 * @text: what stands behind the command's name
 * Context: main thread.
 * Errors:  words for people, "string expected" for instance.
 * Returns: the arguments, the caller's; NULL on error.
 */
JsonObject *hmp_parse_args(const char *args_type, const char *text,
                           const HmpExprEnv *env, GError **error);

#endif
